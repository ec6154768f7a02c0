package redis_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// What one look costs us, connection included.
func BenchmarkLook(b *testing.B) {
	p := startPair(b, nil, nil)
	p.replica.do("ACL", "SETUSER", "drwatch", "on", ">s3cr3t", "-@all", "+info")
	file := mustWrite(b, filepath.Join(b.TempDir(), "password"), []byte("s3cr3t"))
	config := redis.Config{URL: "redis://drwatch@" + p.replica.addr(), PasswordFile: file}
	probe, err := redis.New(config, probes.Target{Copy: readiness.Copy{Name: "replica", Kind: readiness.Replica}})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := probe.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
