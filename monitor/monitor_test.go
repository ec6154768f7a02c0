package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// probe is a function as a Prober.
type probe func(ctx context.Context) (readiness.Reading, error)

func (p probe) Look(ctx context.Context) (readiness.Reading, error) { return p(ctx) }

func good(looks *atomic.Int64) probe {
	return func(context.Context) (readiness.Reading, error) {
		looks.Add(1)
		return readiness.Reading{Role: readiness.RolePrimary}, nil
	}
}

// hangs waits for its deadline, as a server does that accepts and never answers.
func hangs(ctx context.Context) (readiness.Reading, error) {
	<-ctx.Done()
	return readiness.Reading{}, ctx.Err()
}

func every(t testing.TB, spec string) Schedule {
	t.Helper()
	s, err := cron.ParseStandard(spec)
	require.NoError(t, err)
	return s
}

// watched is a system with one datastore, and one primary in it, for each probe.
func watched(t testing.TB, spec string, probes ...probe) (readiness.System, []Target) {
	t.Helper()
	system := readiness.System{Name: "test"}
	targets := make([]Target, len(probes))
	for i, p := range probes {
		name := fmt.Sprintf("store-%d", i)
		system.Datastores = append(system.Datastores, readiness.Datastore{
			Name: name, Copies: []readiness.Copy{{Name: "primary", Kind: readiness.Primary, Probe: "test", StaleAfter: time.Minute}},
		})
		targets[i] = Target{
			ID: readiness.CopyID{Datastore: name, Copy: "primary"}, Schedule: every(t, spec),
			Timeout: 5 * time.Second, Prober: p, Fingerprint: name,
		}
	}
	return system, targets
}

// recorder notes the latest start of a look and how many are under way.
type recorder struct {
	mu       sync.Mutex
	latest   time.Duration
	inFlight int
}

func (r *recorder) LookStarted(late time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = max(r.latest, late)
	r.inFlight++
}

func (r *recorder) LookEnded(string, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
}

func look(m *Monitor, i int) readiness.ProbeReport {
	return m.Report().Datastores[i].Copies[0].Probe
}

func TestMonitor_LooksOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		system, targets := watched(t, "@every 15s", good(&looks))
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(firstSpread)
		synctest.Wait()
		require.EqualValues(t, 1, looks.Load(), "the first look does not wait for the schedule")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 1+40, looks.Load(), 1)
		m.Stop()
		time.Sleep(time.Minute)
		require.InDelta(t, 1+40, looks.Load(), 1, "nothing looks after Stop")
		m.Stop()
	})
}

// A copy that is looked at once a night is not unknown until then.
func TestMonitor_FirstLookOfARareSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		system, targets := watched(t, "0 2 * * *", good(&looks))
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(firstSpread)
		synctest.Wait()
		require.EqualValues(t, 1, looks.Load())
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		require.EqualValues(t, 3, looks.Load())
		m.Stop()
	})
}

// A thousand servers that hang delay nobody: the others are looked at on time,
// and a report costs no waiting.
func TestMonitor_HangingTargetsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		probes := make([]probe, 1100)
		for i := range probes {
			probes[i] = hangs
			if i%11 == 0 {
				probes[i] = good(&looks)
			}
		}
		system, targets := watched(t, "@every 15s", probes...)
		late := &recorder{}
		m := New(Options{System: system, Targets: targets, Recorder: late})
		m.Start()
		time.Sleep(10 * time.Minute)
		before := time.Now()
		report := m.Report()
		require.Zero(t, time.Since(before), "a report waits for nothing")
		require.Len(t, report.Datastores, 1100)
		require.InDelta(t, 100*41, looks.Load(), 101)
		for i := range probes {
			require.Equal(t, i%11 == 0, report.Datastores[i].Copies[0].Probe.Success)
		}
		m.Stop()
		require.Less(t, late.latest, 3*time.Second)
		require.Zero(t, late.inFlight)
	})
}

func TestMonitor_PanicIsAFailedLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		system, targets := watched(t, "@every 15s", func(context.Context) (readiness.Reading, error) {
			panic("index out of range")
		}, good(&looks))
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, readiness.Internal, look(m, 0).Class)
		require.Contains(t, look(m, 0).Error, "panicked")
		require.Greater(t, look(m, 0).Looks, uint64(2), "it is looked at again")
		require.True(t, look(m, 1).Success)
		m.Stop()
	})
}

// A probe that ignores its deadline is told as a timeout, is never run twice at
// once, grows old, and does not keep the process from stopping.
func TestMonitor_ProbeThatIgnoresItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var running, most atomic.Int64
		system, targets := watched(t, "@every 15s", func(context.Context) (readiness.Reading, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-stuck
			return readiness.Reading{}, nil
		})
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(firstSpread + 5*time.Second + grace)
		synctest.Wait()
		require.Equal(t, readiness.Timeout, look(m, 0).Class)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 1, most.Load())
		require.EqualValues(t, 1, look(m, 0).Looks)
		before := time.Now()
		m.Stop()
		require.Zero(t, time.Since(before))
		close(stuck)
	})
}

// Being told to stop says nothing about the target.
func TestMonitor_StopIsNotAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system, targets := watched(t, "@every 15s", hangs)
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(firstSpread)
		synctest.Wait()
		m.Stop()
		require.Zero(t, look(m, 0).Looks)
	})
}

func TestMonitor_FailuresAreCountedByClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system, targets := watched(t, "@every 15s", hangs, func(context.Context) (readiness.Reading, error) {
			return readiness.Reading{Role: readiness.RolePrimary}, errors.New("half an answer")
		})
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Equal(t, readiness.Timeout, look(m, 0).Class)
		require.Equal(t, look(m, 0).Looks, look(m, 0).Failures[readiness.Timeout])
		require.Equal(t, readiness.Internal, look(m, 1).Class)
		require.False(t, m.Report().Datastores[1].Copies[0].RecoveryPoint.IsKnown(), "what comes with an error is not believed")
		m.Stop()
	})
}

// After a reload, what did not change keeps what was seen of it and its place in
// time; what changed starts anew; what is gone is looked at no more.
func TestMonitor_ReloadKeepsWhatDidNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stays, changes, goes, comes atomic.Int64
		system, targets := watched(t, "@every 60s", good(&stays), good(&changes), good(&goes))
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		seen, _ := look(m, 0).LastLook.Get()

		next, nextTargets := watched(t, "@every 60s", good(&stays), good(&changes), good(&goes), good(&comes))
		next.Datastores = append(next.Datastores[:2], next.Datastores[3])
		nextTargets = append(nextTargets[:2], nextTargets[3])
		nextTargets[1].Fingerprint = "changed"
		m.Reload(next, nextTargets)

		kept, _ := look(m, 0).LastLook.Get()
		require.Equal(t, seen, kept)
		require.Zero(t, look(m, 1).Looks, "what was changed has not been seen yet")
		time.Sleep(firstSpread)
		synctest.Wait()
		require.EqualValues(t, 1, stays.Load())
		require.EqualValues(t, 2, changes.Load())
		require.EqualValues(t, 1, goes.Load())
		require.EqualValues(t, 1, comes.Load())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 11, stays.Load(), 1)
		require.EqualValues(t, 1, goes.Load())
		require.Equal(t, uint64(stays.Load()), look(m, 0).Looks)
		m.Stop()
	})
}

// What is proven of a replica is proven of one primary: when the primary in the
// file is another, nothing of the datastore counts any more.
func TestMonitor_ReloadWithAnotherPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := readiness.System{Datastores: []readiness.Datastore{{Name: "db", Copies: []readiness.Copy{
			{Name: "primary", Kind: readiness.Primary}, {Name: "replica", Kind: readiness.Replica},
		}}}}
		primary := func(context.Context) (readiness.Reading, error) {
			return readiness.Reading{Role: readiness.RolePrimary, System: "7", Written: readiness.Known(readiness.Position(1))}, nil
		}
		replica := func(context.Context) (readiness.Reading, error) {
			return readiness.Reading{Role: readiness.RoleReplica, System: "7", Received: readiness.Known(readiness.Position(1))}, nil
		}
		targets := []Target{
			{ID: readiness.CopyID{Datastore: "db", Copy: "primary"}, Schedule: every(t, "@every 1h"), Timeout: time.Second, Prober: probe(primary), Fingerprint: "a"},
			{ID: readiness.CopyID{Datastore: "db", Copy: "replica"}, Schedule: every(t, "@every 1h"), Timeout: time.Second, Prober: probe(replica), Fingerprint: "r"},
		}
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(firstSpread)
		synctest.Wait()
		require.True(t, m.Report().Datastores[0].Copies[1].RecoveryPoint.IsKnown())
		changed := []Target{targets[0], targets[1]}
		changed[0].Fingerprint = "b"
		changed[0].Prober = probe(hangs)
		m.Reload(system, changed)
		require.False(t, m.Report().Datastores[0].Copies[1].RecoveryPoint.IsKnown())
		m.Stop()
	})
}

// A clock that is set back an hour does not stop the looking for an hour.
func TestMonitor_ClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		var shift atomic.Int64
		system, targets := watched(t, "* * * * *", good(&looks))
		m := New(Options{System: system, Targets: targets, Now: func() time.Time {
			return time.Now().Add(time.Duration(shift.Load()))
		}})
		m.Start()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		before := looks.Load()
		shift.Store(int64(-time.Hour))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.GreaterOrEqual(t, looks.Load(), before+8)
		m.Stop()
	})
}

// One look at everything holds replicas against where their primaries stood.
func TestMonitor_LookOnce(t *testing.T) {
	var order []string
	var mu sync.Mutex
	note := func(name string, r readiness.Reading) probe {
		return func(context.Context) (readiness.Reading, error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return r, nil
		}
	}
	system := readiness.System{Datastores: []readiness.Datastore{{Name: "db", Copies: []readiness.Copy{
		{Name: "replica", Kind: readiness.Replica}, {Name: "primary", Kind: readiness.Primary},
	}}}}
	m := New(Options{System: system, Targets: []Target{
		{ID: readiness.CopyID{Datastore: "db", Copy: "replica"}, Schedule: every(t, "@every 1h"), Timeout: time.Second,
			Prober: note("replica", readiness.Reading{Role: readiness.RoleReplica, System: "7", Received: readiness.Known(readiness.Position(1))})},
		{ID: readiness.CopyID{Datastore: "db", Copy: "primary"}, Schedule: every(t, "@every 1h"), Timeout: time.Second,
			Prober: note("primary", readiness.Reading{Role: readiness.RolePrimary, System: "7", Written: readiness.Known(readiness.Position(1))})},
	}})
	var steps []string
	m.LookOnce(t.Context(), func(done, total int) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, fmt.Sprintf("%d/%d", done, total))
	})
	require.Equal(t, "primary", order[0])
	require.ElementsMatch(t, []string{"primary", "replica"}, order[1:])
	require.ElementsMatch(t, []string{"1/3", "2/3", "3/3"}, steps)
	require.True(t, m.Report().Datastores[0].Copies[0].RecoveryPoint.IsKnown())
}

// Reloads that come more often than a look takes must not keep anything from
// being seen.
func TestMonitor_LookUnderWayDuringAReloadCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (readiness.Reading, error) {
			time.Sleep(3 * time.Second)
			return readiness.Reading{Role: readiness.RolePrimary}, nil
		}
		system, targets := watched(t, "@every 24h", slow)
		m := New(Options{System: system, Targets: targets})
		m.Start()
		for range 10 {
			time.Sleep(time.Second)
			m.Reload(watched(t, "@every 24h", slow))
		}
		synctest.Wait()
		require.EqualValues(t, 1, look(m, 0).Looks)
		require.True(t, look(m, 0).Success)
		m.Stop()
	})
}

// A probe that hangs in what no context ends keeps nobody from stopping.
func TestMonitor_StopDoesNotWaitForATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		system, targets := watched(t, "@every 1h", func(context.Context) (readiness.Reading, error) {
			<-stuck
			return readiness.Reading{}, nil
		})
		targets[0].Timeout = time.Hour
		m := New(Options{System: system, Targets: targets})
		m.Start()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := time.Now()
		m.Stop()
		require.LessOrEqual(t, time.Since(before), grace)
		close(stuck)
	})
}
