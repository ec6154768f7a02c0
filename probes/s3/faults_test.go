package s3_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/klauspost/compress/gzip"

	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// fault is a way in which dumps, or the looking at them, go wrong.
type fault struct {
	// change is how the dump of the next day is stored; nil is that there is none.
	change func(*aws.Object)
	// strike is what else happens.
	strike func(*stage)
	config func(*s3.Config)
	copy   func(*readiness.Copy)
	// check must not pass, and say told; empty is that the look fails.
	check  string
	status readiness.Status
	class  readiness.Class
	told   string
	// restorable says that the dump of the next day can be restored, and none
	// that no dump can.
	restorable, none bool
}

func faults(t *testing.T) map[string]fault {
	cut := func(o *aws.Object) { o.Body = o.Body[:len(o.Body)*9/10] }
	body := func(text string) func(*aws.Object) { return func(o *aws.Object) { o.Body = []byte(text) } }
	keep := func(*aws.Object) {}
	breaks := func(f aws.Fault) func(*stage) { return func(s *stage) { f.Service = "s3"; s.cloud.Break(f) } }
	list := aws.Asked{Operation: "ListObjectsV2"}
	return map[string]fault{
		"dump truncated": {change: cut, check: s3.CheckDump, status: readiness.Fail, told: "it is cut off: it ends within its table of contents; the newest complete one is"},
		"dump truncated by a byte": {change: func(o *aws.Object) { o.Body = o.Body[:len(o.Body)-1] },
			check: s3.CheckDump, status: readiness.Fail, told: "it is cut off: it does not end as a block of data does"},
		"dump of 0 bytes": {change: body(""), check: s3.CheckDump, status: readiness.Fail, told: "it is empty; the newest complete one is"},
		"newest object is not a dump": {change: body("pg_dump: error: connection to server at \"db\" failed\n"),
			check: s3.CheckDump, status: readiness.Fail, told: "it is no dump: it begins as no dump does"},
		"an HTML page for a dump": {change: body("<html>502 Bad Gateway</html>"), check: s3.CheckDump, status: readiness.Fail, told: "a page in HTML or XML"},
		"dump of another kind": {change: keep, config: func(c *s3.Config) { c.Format = "rdb" },
			check: s3.CheckDump, status: readiness.Fail, told: "where the file says rdb", none: true},
		"half the usual size, and whole": {change: func(o *aws.Object) { o.Body = small(t, o.Modified.Add(-10*time.Minute)) },
			config: func(c *s3.Config) { c.AtLeast = 0.9 }, check: s3.CheckSize, status: readiness.Fail, told: "81 % of the usual 2.5 KiB", restorable: true},
		"half the usual size, and perhaps not whole": {change: func(o *aws.Object) { o.Body = packed(t, 70_000) },
			strike: func(s *stage) {
				for day := range 8 {
					at := s.begin.Add(-time.Duration(day) * 24 * time.Hour)
					s.put(at, func(o *aws.Object) {
						o.Body, o.Metadata = packed(t, 200_000), map[string]string{"begun": at.UTC().Format(time.RFC3339)}
					})
				}
			},
			config: func(c *s3.Config) { c.MetadataKey = "begun" },
			check:  s3.CheckDump, status: readiness.Fail, told: "it has only 68.4 KiB, dumps before it had 195.3 KiB, and nothing tells that it is all there"},
		"upload that never completed": {strike: func(s *stage) {
			s.cloud.S3().BeginUpload(name, dumpKey(s.begin.Add(24*time.Hour)), s.begin.Add(24*time.Hour))
		},
			config: func(c *s3.Config) { c.UploadFor = 12 * time.Minute }, check: s3.CheckUploads, status: readiness.Fail, told: "has not ended; no dump was stored since"},
		"dump overdue": {strike: func(s *stage) { s.later(20 * time.Hour) }, check: s3.CheckSchedule, status: readiness.Warn, told: "one is due every 1d"},
		"bucket gone":  {strike: func(s *stage) { s.cloud.S3().DropBucket(name) }, check: s3.CheckDump, status: readiness.Fail, told: "there is no bucket " + name, none: true},
		"all dumps gone": {strike: func(s *stage) {
			for _, k := range s.cloud.S3().Keys(name) {
				s.cloud.S3().Delete(name, k)
			}
		}, check: s3.CheckDump, status: readiness.Fail, told: "there is no object in s3://" + name, none: true},
		"bucket in another region": {strike: func(s *stage) { s.cloud.S3().CreateBucket(aws.Bucket{Name: name, Region: "eu-north-1"}) },
			class: readiness.NotFound, told: `is in "eu-north-1": name that region`},
		"key access denied": {change: func(o *aws.Object) { o.KMSKey = key }, strike: func(s *stage) { s.cloud.S3().BreakKey(key, aws.KeyDenied(key)) },
			config: func(c *s3.Config) { c.Pattern = "festivals-{hh}{mi}{ss}.dump" }, check: s3.CheckEncryption, status: readiness.Fail, told: "kms:Decrypt", restorable: true},
		"key access denied, and the dump cannot be looked into": {change: func(o *aws.Object) { o.KMSKey = key }, strike: func(s *stage) { s.cloud.S3().BreakKey(key, aws.KeyDenied(key)) },
			config: func(c *s3.Config) { c.Pattern = "festivals-{hh}{mi}{ss}.dump" }, check: s3.CheckDump, status: readiness.Unknown, told: "its key cannot be used", restorable: true},
		"listing denied": {strike: breaks(aws.Fault{Asked: list, Error: aws.Denied}), class: readiness.Denied, told: "grant s3:ListBucket"},
		"reading denied": {change: keep, strike: breaks(aws.Fault{Asked: aws.Asked{Operation: "GetObject"}, Error: aws.Denied}), class: readiness.Denied, told: "grant s3:GetObject"},
		"versioning may not be seen": {strike: breaks(aws.Fault{Asked: aws.Asked{Operation: "GetBucketVersioning"}, Error: aws.Denied}),
			check: s3.CheckVersioning, status: readiness.Unknown, told: "grant s3:GetBucketVersioning"},
		"uploads may not be seen": {strike: breaks(aws.Fault{Asked: aws.Asked{Operation: "ListMultipartUploads"}, Error: aws.Denied}),
			check: s3.CheckUploads, status: readiness.Unknown, told: "grant s3:ListBucketMultipartUploads"},
		"session expired":              {strike: breaks(aws.Fault{Error: aws.Error{Status: http.StatusBadRequest, Code: "ExpiredToken", Message: "The provided token has expired."}}), class: readiness.Denied, told: "renew them"},
		"a page in place of a listing": {strike: breaks(aws.Fault{Asked: list, Body: "<html>welcome</html>", Error: aws.Error{Status: http.StatusOK}}), class: readiness.Malformed, told: "does not speak of the bucket"},
		"a page with status 404":       {strike: breaks(aws.Fault{Asked: list, Body: "<html>not here</html>", Error: aws.Error{Status: http.StatusNotFound}}), class: readiness.Malformed, told: "does not speak of the bucket"},
		"a page with status 502":       {strike: breaks(aws.Fault{Asked: list, Body: "<html>bad gateway</html>"}), class: readiness.Malformed, told: "not AWS"},
		"a page in place of a dump": {change: keep, strike: breaks(aws.Fault{Asked: aws.Asked{Operation: "GetObject"}, Body: "<html>welcome</html>", Error: aws.Error{Status: http.StatusOK}}),
			class: readiness.Malformed, told: "what answered does not speak of the bucket"},
		"connection dropped": {strike: breaks(aws.Fault{Drop: true}), class: readiness.Unreachable, told: "EOF"},
		"clock of AWS off":   {strike: func(s *stage) { s.skew.Store(int64(-10 * time.Minute)) }, check: readiness.CheckClock, status: readiness.Warn, told: "off by -"},
		"clock of AWS too far off": {strike: func(s *stage) { s.skew.Store(int64(2 * time.Hour)); s.cloud.S3().AllowSkew(time.Minute) },
			check: readiness.CheckClock, status: readiness.Warn, told: "off by"}, // the SDK signs again, by the clock of AWS
		"lock missing though immutable": {copy: func(c *readiness.Copy) { c.Immutable = true }, check: s3.CheckImmutable, status: readiness.Fail, told: "is not locked; the bucket has no object lock"},
	}
}

// small is a whole dump, of a schema without data.
func small(t *testing.T, begun time.Time) []byte {
	t.Helper()
	body := dumpOf(t, begun)
	schema := mustRead(t, "archive/testdata/schema.dump")
	const first, after = 16, 16 + 7*5
	copy(schema[first:after], body[first:after])
	return schema
}

// packed is the beginning of a dump in plain format, compressed, of so many bytes.
func packed(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(append(mustRead(t, "archive/testdata/plain.sql")[:1000], noise(3*size)...))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Greater(t, b.Len(), size)
	return b.Bytes()[:size]
}

// The table of the night: each fault has its own reason and its own remedy, and
// none shows a better recovery point than is true.
func TestFaults(t *testing.T) {
	for name, f := range faults(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.play(t)
		})
	}
}

func (f fault) play(t *testing.T) {
	s := newStage(t)
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.now, Attempts: 2})
	t.Cleanup(s.pool.Close)
	s.fleet = s3.NewFleet(s.pool)
	s.later(23*time.Hour + 30*time.Minute)
	cfg := config()
	if f.config != nil {
		f.config(&cfg)
	}
	change := func(c *readiness.Copy) {}
	if f.copy != nil {
		change = f.copy
	}
	truth := s.begin
	if f.strike != nil {
		f.strike(s)
	}
	if f.change != nil {
		s.put(s.begin.Add(24*time.Hour), f.change)
	}
	if f.restorable {
		truth = s.begin.Add(24 * time.Hour)
	}
	s.watch(cfg, change)
	_, failure := s.look()
	at, _ := s.point()
	if f.class != "" {
		require.NotNil(t, failure)
		require.Equal(t, f.class, failure.Class, "%v", failure)
		require.Contains(t, failure.Error(), f.told)
		require.NotEmpty(t, s.check(readiness.CheckLook).Remedy)
		require.True(t, at.IsZero(), "nothing was proven")
		return
	}
	require.Nil(t, failure, "%v", failure)
	check := s.check(f.check)
	require.Equal(t, f.status, check.Status, "%+v", check)
	require.Contains(t, check.Evidence, f.told)
	require.NotEmpty(t, check.Remedy)
	require.Equal(t, f.none, at.IsZero(), "%s", at)
	require.False(t, at.After(truth), "the recovery point %s is better than the truth, %s", at, truth)
	if !f.none && f.check != readiness.CheckClock {
		require.True(t, at.Equal(truth), "%s, and the truth is %s", at, truth)
	}
}

// Were it to fail, a minute of throttling would be a gap in every gauge, or a
// storm of calls that prolongs it.
func TestLook_ThrottledForAMinute(t *testing.T) {
	t.Parallel() // the SDK holds back in real time
	s := newStage(t)
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.now, Attempts: 1})
	t.Cleanup(s.pool.Close)
	s.fleet = s3.NewFleet(s.pool)
	s.watch(config()).mustLook()
	heal := s.cloud.Break(aws.Fault{Asked: aws.Asked{Service: "s3"}, Error: aws.Error{Status: http.StatusServiceUnavailable, Code: "SlowDown", Message: "Please reduce your request rate."}})
	s.later(15 * time.Minute)
	before := s.calls("")
	for range 60 {
		reading := s.mustLook()
		require.NotEmpty(t, reading.Points)
		asOf, known := reading.AsOf.Get()
		require.True(t, known)
		require.Greater(t, s.now().Sub(asOf), 14*time.Minute, "an old answer is told as one")
		s.later(time.Second)
	}
	require.LessOrEqual(t, s.calls("")-before, 30, "one listing each five seconds")
	heal()
	s.later(time.Minute)
	reading := s.mustLook()
	asOf, _ := reading.AsOf.Get()
	require.Less(t, s.now().Sub(asOf), time.Minute)
}

// Were it to fail, a few broken dumps in a row would hide the good ones behind
// them, at once or when the broken ones are looked at again.
func TestLook_ManyBroken(t *testing.T) {
	s := newStage(t)
	last := s.begin
	for n := range 20 {
		s.put(s.begin.Add(time.Duration(n+1)*time.Minute), func(o *aws.Object) { o.Body = o.Body[:100+n] })
	}
	s.watch(config()).mustLook()
	require.Equal(t, readiness.Unknown, s.check(s3.CheckDump).Status, "%+v", s.check(s3.CheckDump))
	for range 5 {
		s.later(time.Hour)
		s.mustLook()
		at, _ := s.point()
		require.True(t, at.Equal(last), "%s", at)
		require.Contains(t, s.check(s3.CheckDump).Evidence, "19 more")
	}
	require.Equal(t, 20+1+4, s.calls("GetObject"), "each broken one was read once")
}
