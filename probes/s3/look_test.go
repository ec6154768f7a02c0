package s3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, nothing of the rest would be worth looking at.
func TestLook_Well(t *testing.T) {
	s := newStage(t).watch(config())
	reading := s.mustLook()
	at, basis := s.point()
	require.Equal(t, readiness.BasisArchive, basis)
	require.True(t, at.Equal(s.begin), "%s, and the dump was begun at %s", at, s.begin)
	for _, name := range s.copy.Checks {
		require.Equal(t, readiness.Pass, s.check(name).Status, "%s: %+v", name, s.check(name))
	}
	require.Equal(t, 1.0, reading.Measures[readiness.BackupSizeRatio])
	require.Equal(t, 2553.0, reading.Measures[readiness.BackupSizeBytes])
	require.Equal(t, 86400.0, reading.Measures[readiness.BackupIntervalSeconds])
	start, known := reading.WindowStart.Get()
	require.True(t, known)
	require.True(t, start.Equal(s.begin.Add(-7*24*time.Hour+10*time.Minute)), "%s", start)
	require.Equal(t, map[aws.Asked]int{
		{Service: "s3", Operation: "ListObjectsV2", Region: region}:        2, // the newest, and the oldest
		{Service: "s3", Operation: "GetObject", Region: region}:            1,
		{Service: "s3", Operation: "GetBucketVersioning", Region: region}:  1,
		{Service: "s3", Operation: "ListMultipartUploads", Region: region}: 1,
	}, s.cloud.Calls())
}

// Were it to fail, looking often would cost money for nothing.
func TestLook_AsksSeldom(t *testing.T) {
	s := newStage(t).watch(config())
	s.mustLook()
	before := s.calls("")
	for range 50 {
		s.mustLook()
	}
	require.Equal(t, before, s.calls(""))
	for range 4 { // an hour, in which a dump a day is listed four times
		s.later(15 * time.Minute)
		s.mustLook()
	}
	require.Equal(t, 2+4, s.calls("ListObjectsV2"))
	require.Equal(t, 1+1, s.calls("GetObject"), "one byte, for what may change")
}

// Were it to fail, a new dump would not count, or be read twice.
func TestLook_NextDump(t *testing.T) {
	s := newStage(t).watch(config())
	s.mustLook()
	s.later(24 * time.Hour)
	next := s.begin.Add(24 * time.Hour)
	s.put(next, nil)
	s.mustLook()
	at, _ := s.point()
	require.True(t, at.Equal(next), "%s", at)
	require.Equal(t, readiness.Pass, s.check(s3.CheckDump).Status)
}

// Were it to fail, a dump that was deleted would still be counted on.
func TestLook_NewestVanishes(t *testing.T) {
	s := newStage(t).watch(config())
	s.mustLook()
	s.cloud.S3().Delete(name, dumpKey(s.begin))
	s.later(15 * time.Minute)
	s.mustLook()
	at, _ := s.point()
	require.True(t, at.Equal(s.begin.Add(-24*time.Hour)), "%s", at)
	for day := range 8 {
		s.cloud.S3().Delete(name, dumpKey(s.begin.Add(-time.Duration(day)*24*time.Hour)))
	}
	s.later(15 * time.Minute)
	s.mustLook()
	at, _ = s.point()
	require.True(t, at.IsZero(), "%s", at)
	require.Equal(t, readiness.Fail, s.check(s3.CheckDump).Status)
}

// Dumps that ceased long ago are found, and told as what they are.
func TestLook_CeasedLongAgo(t *testing.T) {
	s := newStage(t)
	s.later(60 * 24 * time.Hour)
	s.watch(config())
	s.mustLook()
	at, _ := s.point()
	require.True(t, at.Equal(s.begin), "%s", at)
	require.Equal(t, readiness.Fail, s.check(s3.CheckSchedule).Status)
	require.Contains(t, s.check(s3.CheckSchedule).Evidence, "60d")
}

// Were it to fail, the recovery point would be later than the dump was begun,
// or rest on something else than is told.
func TestLook_HowTheBeginIsKnown(t *testing.T) {
	stored := 10 * time.Minute
	plain := []byte("--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n--\n-- PostgreSQL database dump complete\n--\n\n")
	for what, row := range map[string]struct {
		change func(*aws.Object)
		config func(*s3.Config)
		basis  readiness.Basis
		before time.Duration // the recovery point is that long before the dump was begun, or after it where negative
		status readiness.Status
		told   string
	}{
		"archive": {nil, nil, readiness.BasisArchive, 0, readiness.Pass, "the archive says"},
		"archive without a time zone": {nil, func(c *s3.Config) { c.Timezone = "" },
			readiness.BasisArchive, 0, readiness.Warn, "UTC"},
		"archive of another time zone": {nil, func(c *s3.Config) { c.Timezone = "America/New_York"; c.Pattern = "*" },
			readiness.BasisName, -1, readiness.Fail, "before that"},
		"archive that is too old": {func(o *aws.Object) { o.Modified = o.Modified.Add(30 * time.Minute) }, func(c *s3.Config) { c.Takes = 20 * time.Minute },
			readiness.BasisArchive, 0, readiness.Fail, "stored 40m after that"},
		"archive by a clock that is ahead": {func(o *aws.Object) { o.Modified = o.Modified.Add(-stored - 2*time.Minute) }, nil,
			readiness.BasisArchive, 2 * time.Minute, readiness.Pass, "the archive says"}, // no later than it was stored
		"metadata": {func(o *aws.Object) {
			o.Body, o.Metadata = plain, map[string]string{"Begun": o.Modified.Add(-stored).UTC().Format(time.RFC3339)}
		}, func(c *s3.Config) { c.MetadataKey = "begun" }, readiness.BasisMetadata, 0, readiness.Pass, "its metadata says"},
		"metadata is no time": {func(o *aws.Object) { o.Body, o.Metadata = plain, map[string]string{"begun": "yesterday"} },
			func(c *s3.Config) { c.MetadataKey = "begun"; c.Pattern = "festivals-{hh}{mi}{ss}.dump" }, readiness.BasisName, 0, readiness.Warn, "which is no time"},
		"name": {func(o *aws.Object) { o.Body = plain }, func(c *s3.Config) { c.Pattern = "festivals-{hh}{mi}{ss}.dump" },
			readiness.BasisName, 0, readiness.Pass, "its key says"},
		"stored": {func(o *aws.Object) { o.Body = plain }, func(c *s3.Config) { c.Prefix, c.Pattern = "postgres/", "**.dump" },
			readiness.BasisModified, -stored, readiness.Warn, "nothing tells"},
		"stored, and dumps take that long": {func(o *aws.Object) { o.Body = plain }, func(c *s3.Config) { c.Prefix, c.Pattern, c.Takes = "postgres/", "**.dump", stored },
			readiness.BasisModified, 0, readiness.Warn, "begun up to 10m before"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.put(s.begin, row.change)
			cfg := config()
			if row.config != nil {
				row.config(&cfg)
			}
			s.watch(cfg).mustLook()
			at, basis := s.point()
			require.Equal(t, row.basis, basis)
			check := s.check(s3.CheckBegun)
			require.Equal(t, row.status, check.Status, "%+v", check)
			require.Contains(t, check.Evidence, row.told)
			if row.before != -1 {
				require.True(t, at.Equal(s.begin.Add(-row.before)), "%s, and the dump was begun at %s", at, s.begin)
			}
		})
	}
}

// Were it to fail, the file would be believed rather than the lock.
func TestLook_Immutable(t *testing.T) {
	immutable := func(c *readiness.Copy) { c.Immutable = true }
	month := 30 * 24 * time.Hour
	for what, row := range map[string]struct {
		lock   bool
		change func(*aws.Object)
		held   time.Duration
		status readiness.Status
		told   string
	}{
		"no lock":            {false, nil, 0, readiness.Fail, "the bucket has no object lock"},
		"not locked":         {true, nil, 0, readiness.Fail, "no default retention"},
		"compliance":         {true, func(o *aws.Object) { o.LockMode, o.RetainUntil = "COMPLIANCE", o.Modified.Add(month) }, month, readiness.Pass, "compliance mode"},
		"governance":         {true, func(o *aws.Object) { o.LockMode, o.RetainUntil = "GOVERNANCE", o.Modified.Add(month) }, month, readiness.Fail, "s3:BypassGovernanceRetention"},
		"too short":          {true, func(o *aws.Object) { o.LockMode, o.RetainUntil = "COMPLIANCE", o.Modified.Add(month/2) }, month, readiness.Fail, "must be until"},
		"until the next one": {true, func(o *aws.Object) { o.LockMode, o.RetainUntil = "COMPLIANCE", o.Modified.Add(48*time.Hour) }, 0, readiness.Pass, "compliance mode"},
		"over just now":      {true, func(o *aws.Object) { o.LockMode, o.RetainUntil = "COMPLIANCE", o.Modified.Add(49*time.Minute) }, 0, readiness.Fail, "must be until"},
		"legal hold":         {true, func(o *aws.Object) { o.LegalHold = true }, month, readiness.Fail, "s3:PutObjectLegalHold"},
		"hold and lock": {true, func(o *aws.Object) {
			o.LegalHold, o.LockMode, o.RetainUntil = true, "COMPLIANCE", o.Modified.Add(month)
		}, month, readiness.Pass, "compliance mode"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.cloud.S3().CreateBucket(aws.Bucket{Name: name, Region: region, Versioning: "Enabled", ObjectLock: row.lock})
			s.put(s.begin, row.change)
			cfg := config()
			cfg.ImmutableFor = row.held
			if what == "over just now" {
				cfg.Every = 0
			}
			s.watch(cfg, immutable).mustLook()
			check := s.check(s3.CheckImmutable)
			require.Equal(t, row.status, check.Status, "%+v", check)
			require.Contains(t, check.Evidence, row.told)
		})
	}
}

// Were it to fail, one would count on a replica that is not there.
func TestLook_Replication(t *testing.T) {
	status := func(status string) func(*aws.Object) {
		return func(o *aws.Object) { o.ReplicationStatus = status }
	}
	for what, row := range map[string]struct {
		bucket aws.Bucket
		status string
		late   time.Duration
		want   readiness.Status
		told   string
	}{
		"replicated":         {aws.Bucket{ReplicatesTo: "dr"}, "COMPLETED", 0, readiness.Pass, "is replicated to dr"},
		"a replica":          {aws.Bucket{}, "REPLICA", 0, readiness.Pass, "is itself the replica"},
		"failed":             {aws.Bucket{ReplicatesTo: "dr"}, "FAILED", 0, readiness.Fail, "has failed"},
		"late":               {aws.Bucket{ReplicatesTo: "dr"}, "PENDING", 0, readiness.Fail, "waits for replication since 50m"},
		"no rule":            {aws.Bucket{}, "", 0, readiness.Fail, "no enabled replication rule"},
		"rule of another":    {aws.Bucket{ReplicatesTo: "dr", ReplicatedPrefix: "redis/"}, "", 0, readiness.Fail, "no enabled replication rule"},
		"before the rule":    {aws.Bucket{ReplicatesTo: "dr", ReplicatedPrefix: "postgres/"}, "", 0, readiness.Fail, "before there was a rule"},
		"not late yet":       {aws.Bucket{ReplicatesTo: "dr"}, "PENDING", -45 * time.Minute, readiness.Pass, "waits for replication since 5m"},
		"no rule to be seen": {aws.Bucket{ReplicatesTo: "dr"}, "denied", 0, readiness.Unknown, "s3:GetReplicationConfiguration"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			row.bucket.Name, row.bucket.Region, row.bucket.Versioning = name, region, "Enabled"
			s.cloud.S3().CreateBucket(row.bucket)
			if row.status == "denied" {
				row.status = ""
				s.cloud.Break(aws.Fault{Asked: aws.Asked{Operation: "GetBucketReplication"}, Error: aws.Denied})
			}
			if row.late != 0 {
				s.cloud.S3().Delete(name, dumpKey(s.begin))
				s.begin = s.begin.Add(-row.late)
			}
			s.put(s.begin, status(row.status))
			cfg := config()
			cfg.Replication = true
			s.watch(cfg).mustLook()
			check := s.check(s3.CheckReplication)
			require.Equal(t, row.want, check.Status, "%+v", check)
			require.Contains(t, check.Evidence, row.told)
		})
	}
}

// A dump whose replication ends is told so, without being read again; one that
// came before it and waits still is not forgotten.
func TestLook_ReplicationEnds(t *testing.T) {
	s := newStage(t)
	s.put(s.begin, func(o *aws.Object) { o.ReplicationStatus = "PENDING" })
	cfg := config()
	cfg.Replication = true
	s.watch(cfg).mustLook()
	require.Equal(t, readiness.Fail, s.check(s3.CheckReplication).Status)
	s.later(24 * time.Hour)
	s.put(s.begin.Add(24*time.Hour), func(o *aws.Object) { o.ReplicationStatus = "COMPLETED" })
	s.mustLook()
	require.Contains(t, s.check(s3.CheckReplication).Evidence, dumpKey(s.begin)+" waits")
	s.cloud.S3().Set(name, dumpKey(s.begin), aws.Object{ReplicationStatus: "COMPLETED"})
	s.later(15 * time.Minute)
	s.mustLook()
	require.Equal(t, readiness.Pass, s.check(s3.CheckReplication).Status)
}

// A key that is switched off after the dump was made makes it worthless, and
// that is noticed although the dump itself was read before.
func TestLook_KeyDisabledLater(t *testing.T) {
	s := newStage(t)
	s.put(s.begin, func(o *aws.Object) { o.KMSKey = key })
	s.watch(config()).mustLook()
	require.Contains(t, s.check(s3.CheckEncryption).Evidence, "which can be used")
	restore := s.cloud.S3().BreakKey(key, aws.KeyDisabled(key))
	s.later(time.Hour)
	s.mustLook()
	check := s.check(s3.CheckEncryption)
	require.Equal(t, readiness.Fail, check.Status)
	require.Contains(t, check.Evidence, "is disabled")
	at, basis := s.point()
	require.True(t, at.Equal(s.begin), "%s", at)
	require.Equal(t, readiness.BasisArchive, basis, "what was read before is still so")
	restore()
	s.later(time.Hour)
	s.mustLook()
	require.Equal(t, readiness.Pass, s.check(s3.CheckEncryption).Status)
}

// Were it to fail, a dump that broke off inside of its compression would be as good as
// one whose end was seen.
func TestLook_EndThatCannotBeSeen(t *testing.T) {
	s := newStage(t)
	for day := range 8 {
		s.put(s.begin.Add(-time.Duration(day)*24*time.Hour), func(o *aws.Object) {
			o.Body = packed(t, 200_000)
			if day == 0 {
				o.Body = o.Body[:150_000]
			}
		})
	}
	s.watch(config()).mustLook()
	check := s.check(s3.CheckDump)
	require.Equal(t, readiness.Warn, check.Status, "%+v", check)
	require.Contains(t, check.Evidence, "its end cannot be told")
}

// Were it to fail, dumps beside the primary would count as ones that an intruder there
// cannot reach, because the file says so.
func TestLook_BucketOfAnotherAccount(t *testing.T) {
	s := newStage(t)
	in := func(account string) func(*readiness.Copy) { return func(c *readiness.Copy) { c.Account = account } }
	s.watch(config(), in(aws.Account)).mustLook()
	s.watch(config(), in("the other team")).mustLook() // which is a name that S3 does not know
	_, failure := s.watch(config(), in("444455556666")).look()
	require.NotNil(t, failure)
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "444455556666 (or correct account in the file)")
	at, _ := s.point()
	require.Zero(t, at)
}
