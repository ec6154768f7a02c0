package rds_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

const (
	west, central = "eu-west-1", "eu-central-1"
	primaryARN    = "arn:aws:rds:eu-west-1:111122223333:db:festivals-production"
	westKey       = "arn:aws:kms:eu-west-1:111122223333:key/11111111-aaaa-bbbb-cccc-000000000001"
	centralKey    = "arn:aws:kms:eu-central-1:111122223333:key/22222222-aaaa-bbbb-cccc-000000000002"
)

// clock is the time of a test; AWS may be ahead of it.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) aws() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// stage is the system of the example in the stand-in: a primary, its cross-region
// replica, replicated backups and a snapshot.
type stage struct {
	t     testing.TB
	clock *clock
	cloud *labaws.Cloud
	pool  *awsapi.Pool
	fleet *rds.Fleet
	calls *recorder
}

type recorder struct {
	mu                  sync.Mutex
	requests, throttles int
}

func (r *recorder) CloudRequest(string, string, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
}

func (r *recorder) CloudThrottle(string, string, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.throttles++
}

func newStage(t testing.TB) *stage {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIALAB")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "lab")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &stage{t: t, clock: &clock{at: time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC)}, calls: &recorder{}}
	cloud, err := labaws.Start(t.Context(), labaws.Options{Now: s.clock.aws})
	require.NoError(t, err)
	s.cloud = cloud
	s.restart()
	t.Cleanup(func() {
		s.pool.Close()
		require.NoError(t, cloud.Close())
	})
	s.populate()
	return s
}

// restart is what a new configuration does: a new pool and a new fleet.
func (s *stage) restart() {
	if s.pool != nil {
		s.pool.Close()
	}
	s.pool = awsapi.NewPool(awsapi.Options{Recorder: s.calls, Now: s.clock.now, Attempts: 1})
	s.fleet = rds.NewFleet(s.pool)
}

func (s *stage) populate() {
	production := labaws.Instance{
		Region: west, ID: "festivals-production", Class: "db.m6g.large", Engine: "postgres", Version: "15.8",
		StorageGiB: 100, StorageType: "gp3", IOPS: 3000, MultiAZ: true, DeletionProtection: true, KMSKey: westKey, BackupDays: 7,
		Created: s.clock.aws().AddDate(0, 0, -30),
	}
	replica := production
	replica.Region, replica.ID, replica.Source, replica.KMSKey, replica.BackupDays = central, "festivals-replica-eu-central-1", primaryARN, centralKey, 0
	replica.Lag = func(context.Context, time.Time) (float64, bool) { return 12, true }
	all := s.cloud.RDS()
	all.Put(production)
	all.Put(replica)
	all.PutBackup(labaws.AutomatedBackup{Region: central, ID: "ab-festivals", Of: production, KMSKey: centralKey, Days: 7})
	all.PutSnapshot(labaws.Snapshot{
		Region: central, ID: "festivals-production-2026-11-24", Instance: "festivals-production", Engine: "postgres", Version: "15.8", StorageGiB: 100, KMSKey: centralKey,
		Database: s.clock.aws().Add(-10 * time.Hour), Original: s.clock.aws().Add(-10 * time.Hour), Created: s.clock.aws().Add(-9 * time.Hour),
		CopyOf: "arn:aws:rds:eu-west-1:111122223333:snapshot:rds:festivals-production-2026-11-24-02-00",
	})
}

// watch looks at one copy as the monitor does.
type watch struct {
	*stage
	copy      readiness.Copy
	probe     *rds.Probe
	sightings *readiness.Sightings
}

func (s *stage) watch(kind readiness.CopyKind, region string, c rds.Config) *watch {
	s.t.Helper()
	return s.watchIn("", kind, region, c)
}

// watchIn does so where the file says whose account the copy is in.
func (s *stage) watchIn(account string, kind readiness.CopyKind, region string, c rds.Config) *watch {
	s.t.Helper()
	c.AWS.Endpoint = s.cloud.URL()
	w := &watch{stage: s, copy: readiness.Copy{Name: string(kind), Kind: kind, Region: region, Account: account, Watch: readiness.Watch{Probe: "rds"}}}
	w.copy.Checks = rds.Checks(c, w.copy)
	probe, err := rds.New(c, probes.Target{Copy: w.copy}, s.fleet)
	require.NoError(s.t, err)
	w.probe = probe
	w.sightings = readiness.NewSightings(readiness.Datastore{Name: "festivals-db", Copies: []readiness.Copy{w.copy}})
	return w
}

func (w *watch) look() (readiness.Reading, *readiness.Failure) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	o := readiness.Observation{At: w.clock.now()}
	reading, err := w.probe.Look(ctx)
	o.Reading, o.Failure, o.Took = reading, probes.AsFailure(err), time.Millisecond
	w.sightings.Observe(w.copy, o)
	for _, c := range reading.Checks {
		require.Contains(w.t, w.copy.Checks, c.Name, "answered, and not listed")
		require.Equal(w.t, c.Status == readiness.Pass, c.Remedy == "", "remedy of %s: %q", c.Name, c.Remedy)
		require.NotEmpty(w.t, c.Evidence, c.Name)
	}
	return reading, o.Failure
}

func (w *watch) good() readiness.Reading {
	w.t.Helper()
	reading, failure := w.look()
	require.Nil(w.t, failure)
	return reading
}

// point is the recovery point; zero when there is none.
func (w *watch) point() time.Time {
	seen := w.sightings.Seen(w.copy.Name)
	if seen == nil {
		return time.Time{}
	}
	p, _ := seen.Received.Get()
	return p.At
}

func check(t testing.TB, r readiness.Reading, name string) readiness.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no answer to %s", name)
	return readiness.Check{}
}

// count tells how often an operation was asked for in a region.
func (s *stage) count(operation, region string) (n int) {
	for asked, times := range s.cloud.Calls() {
		if strings.EqualFold(asked.Operation, operation) && (region == "" || asked.Region == region) {
			n += times
		}
	}
	return n
}
