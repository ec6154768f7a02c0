package rds_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a large fleet would be throttled by AWS, or cost more than the
// page says.
func TestCost_AThousandReplicas(t *testing.T) {
	const replicas, minutes = 1000, 3
	s := newStage(t)
	var all []*watch
	for n := range replicas {
		id := fmt.Sprintf("replica-%d", n)
		s.cloud.RDS().Put(labaws.Instance{Region: central, ID: id, Class: "db.m6g.large", Engine: "postgres", Version: "15.8", Source: primaryARN, KMSKey: centralKey})
		all = append(all, s.watch(readiness.Replica, central, rds.Config{Instance: id, Source: primaryARN}))
	}
	for range minutes {
		for range 4 { // looks every 15 s
			s.lookAtAll(all)
			s.clock.pass(15 * time.Second)
		}
	}
	require.Equal(t, 10*minutes, s.count("DescribeDBInstances", central))
	require.Equal(t, 2*minutes, s.count("GetMetricData", central))
	require.Equal(t, 1*minutes, s.count("DescribeDBInstances", west), "one primary for all of them")
	total := 0
	for _, n := range s.cloud.Calls() {
		total += n
	}
	require.Equal(t, 13*minutes, total, "and nothing else")
}

// Were it to fail, restore windows and snapshots would cost more than the page says.
func TestCost_AThousandWindowsAndSnapshots(t *testing.T) {
	const copies, minutes = 1000, 5
	s := newStage(t)
	var all []*watch
	for n := range copies {
		id := fmt.Sprintf("db-%d", n)
		s.cloud.RDS().Put(labaws.Instance{Region: central, ID: id, Engine: "postgres", Version: "15.8", BackupDays: 7, KMSKey: centralKey, Created: s.clock.aws().AddDate(0, 0, -9)})
		for day := range 3 {
			at := s.clock.aws().AddDate(0, 0, -day)
			s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: fmt.Sprintf("rds:%s-%d", id, day), Type: "automated", Instance: id, Database: at, Created: at, KMSKey: centralKey})
		}
		all = append(all, s.watch(readiness.PITR, central, rds.Config{Instance: id}), s.watch(readiness.Snapshot, central, rds.Config{Instance: id, Every: 25 * time.Hour}))
	}
	for range minutes {
		s.lookAtAll(all)
		s.clock.pass(time.Minute)
	}
	require.Equal(t, 10*minutes, s.count("DescribeDBInstanceAutomatedBackups", central))
	require.Equal(t, 10*3*minutes/5, s.count("DescribeDBSnapshots", central), "three pages for each hundred, every five minutes")
}

// lookAtAll looks at all copies at a time, as the monitor does.
func (s *stage) lookAtAll(all []*watch) {
	s.t.Helper()
	var looks sync.WaitGroup
	errs := make([]error, len(all))
	for i, w := range all {
		looks.Go(func() { _, errs[i] = w.probe.Look(s.t.Context()) })
	}
	looks.Wait()
	for _, err := range errs {
		require.NoError(s.t, err)
	}
}

// What one look costs us while the answer is fresh.
func BenchmarkLook(b *testing.B) {
	s := newStage(b)
	w := s.watch(readiness.Replica, central, ofReplica())
	w.good()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.probe.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// What a minute of a thousand replicas costs us: asking, and a look at each.
func BenchmarkMinute_AThousandReplicas(b *testing.B) {
	s := newStage(b)
	var all []*watch
	for n := range 1000 {
		id := fmt.Sprintf("replica-%s%d", strings.Repeat("x", 20), n)
		s.cloud.RDS().Put(labaws.Instance{Region: central, ID: id, Class: "db.m6g.large", Engine: "postgres", Version: "15.8", Source: primaryARN, KMSKey: centralKey})
		all = append(all, s.watch(readiness.Replica, central, rds.Config{Instance: id, Source: primaryARN}))
	}
	b.ReportAllocs()
	for b.Loop() {
		s.lookAtAll(all)
		s.clock.pass(time.Minute)
	}
}
