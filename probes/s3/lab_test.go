package s3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, what is told of real dumps would not be true: each format is
// made by the real program of a database that is written to meanwhile, and the
// recovery point is held against what is missing in the dump.
func TestLab_RecoveryPointIsNeverBetterThanTheTruth(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t)
	for format, want := range map[lab.DumpFormat]readiness.Basis{
		lab.DumpCustom: readiness.BasisArchive, lab.DumpPiped: readiness.BasisArchive, lab.DumpTar: readiness.BasisArchive, lab.DumpDirectory: readiness.BasisArchive,
		lab.DumpVerbose: readiness.BasisArchive, lab.DumpRDB: readiness.BasisArchive, lab.DumpPlain: readiness.BasisMetadata, lab.DumpGzip: readiness.BasisMetadata,
	} {
		d, err := l.Dump(t.Context(), format)
		require.NoError(t, err, format)
		s := newStage(t)
		lab.CreateBackupBuckets(s.cloud.S3())
		require.NoError(t, d.Keep(s.cloud.S3()))
		cfg := s3.Config{
			Bucket: lab.StandbyBackupBucket, Prefix: string(d.Store) + "/{yyyy}/{mm}/{dd}/", Pattern: "festivals-*", Every: time.Hour,
			Timezone: "UTC", MetadataKey: "begun", ImmutableFor: 30 * 24 * time.Hour, Replication: true,
		}
		s.watch(cfg, func(c *readiness.Copy) { c.Region, c.Immutable = lab.StandbyRegion, true })
		s.mustLook()
		at, basis := s.point()
		require.Equal(t, want, basis, format)
		require.False(t, at.After(d.Lacks), "%s: the recovery point %s promises what is not in the dump, which lacks something of %s", format, at, d.Lacks)
		require.Less(t, d.Begun.Sub(at), 3*time.Second, "%s: and it is no worse than it need be", format)
		for _, check := range s.copy.Checks {
			if check != s3.CheckSize { // there is none before it to compare with
				require.Equal(t, readiness.Pass, s.check(check).Status, "%s: %+v", format, s.check(check))
			}
		}
	}
}

// Were it to fail, a real dump that was cut off would count, or hide the one before it.
func TestLab_CutOffDumpFallsBack(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t)
	for _, format := range []lab.DumpFormat{lab.DumpCustom, lab.DumpPiped, lab.DumpTar, lab.DumpDirectory, lab.DumpPlain, lab.DumpRDB} {
		good, err := l.Dump(t.Context(), format)
		require.NoError(t, err, format)
		s := newStage(t)
		lab.CreateBackupBuckets(s.cloud.S3())
		require.NoError(t, good.Keep(s.cloud.S3()))
		bad, err := l.Dump(t.Context(), format)
		require.NoError(t, err, format)
		key := bad.Folder() + "festivals-cut-" + bad.Name() // the last of its second
		require.NoError(t, s.cloud.S3().Put(aws.Object{Bucket: lab.BackupBucket, Key: key, Body: bad.Body[:len(bad.Body)*2/3], Modified: bad.Done}))
		cfg := s3.Config{Bucket: lab.BackupBucket, Prefix: string(good.Store) + "/{yyyy}/{mm}/{dd}/", Timezone: "UTC"}
		s.watch(cfg).mustLook()
		at, _ := s.point()
		require.False(t, at.After(good.Lacks), "%s: %s", format, at)
		check := s.check(s3.CheckDump)
		require.Equal(t, readiness.Fail, check.Status, "%s: %+v", format, check)
		require.Contains(t, check.Evidence, key)
		require.Contains(t, check.Evidence, good.Name(), format)
	}
}
