package lab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/labtest"
)

// Without this a claimed recovery point of a dump would be held against an invention.
func TestDump_KnowsTheTruth(t *testing.T) {
	l := labtest.Start(t)
	formats := map[lab.DumpFormat]string{ // and how each begins
		lab.DumpCustom: "PGDMP", lab.DumpPiped: "PGDMP", lab.DumpTar: "toc.dat", lab.DumpDirectory: "./", lab.DumpPlain: "--\n-- PostgreSQL database dump",
		lab.DumpVerbose: "--\n-- PostgreSQL database dump", lab.DumpGzip: "\x1f\x8b", lab.DumpRDB: "REDIS",
	}
	for format, magic := range formats {
		store := lab.Postgres
		if format == lab.DumpRDB {
			store = lab.Redis
		}
		before := l.LastWrite(store)
		d, err := l.Dump(t.Context(), format)
		require.NoError(t, err, format)
		after := l.LastWrite(store)
		require.Equal(t, magic, string(d.Body[:len(magic)]), format)
		require.GreaterOrEqual(t, d.Newest, before.Number, "%s: what was acknowledged before is in it", format)
		require.LessOrEqual(t, d.Newest, after.Number, format)
		require.False(t, d.Begun.After(d.Done), format)
		require.False(t, d.Lacks.Before(d.Begun), "%s: it lacks nothing of before it was begun", format)
		require.False(t, d.Lacks.Before(before.Sent), format)
		require.Equal(t, store, d.Store)
	}
}

// Without this the buckets would not be what the example says of them.
func TestDump_Keep(t *testing.T) {
	l := labtest.Start(t)
	cloud, err := aws.Start(t.Context(), aws.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	lab.CreateBackupBuckets(cloud.S3())
	d, err := l.Dump(t.Context(), lab.DumpCustom)
	require.NoError(t, err)
	require.NoError(t, d.Keep(cloud.S3()))
	for _, bucket := range []string{lab.BackupBucket, lab.StandbyBackupBucket} {
		require.Equal(t, []string{d.Folder() + d.Name()}, cloud.S3().Keys(bucket))
	}
}
