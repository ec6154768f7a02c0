package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
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

// every is the schedule as the file means it.
func every(t testing.TB, spec string) Schedule {
	t.Helper()
	c, _, err := config.Parse("drwatch.yaml", fmt.Appendf(nil, `
system: test
instance: { name: test, region: central }
regions: { primary: west, standby: central }
schedule: %q
datastores:
  - name: cache
    copies:
      - { name: primary, kind: primary, region: west, redis: { url: "redis://127.0.0.1:1" } }
`, spec), os.LookupEnv)
	require.NoError(t, err)
	return c.Targets()[0].Schedule
}

// watched is a system with one datastore, and one primary in it, for each probe.
func watched(t testing.TB, spec string, probes ...probe) (readiness.System, []Target) {
	t.Helper()
	system := readiness.System{Name: "test"}
	targets, schedule := make([]Target, len(probes)), every(t, spec)
	for i, p := range probes {
		name := fmt.Sprintf("store-%d", i)
		system.Datastores = append(system.Datastores, readiness.Datastore{
			Name: name, Copies: []readiness.Copy{{Name: "primary", Kind: readiness.Primary, Watch: readiness.Watch{Probe: "test", StaleAfter: time.Minute}}},
		})
		targets[i] = Target{
			ID: readiness.ID{Of: name, Name: "primary"}, Schedule: schedule, Spec: spec,
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

// A server on which looks hang must not get one more of them with each reload.
func TestMonitor_ReloadLooksAtNothingThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var running, most atomic.Int64
		hang := func(context.Context) (readiness.Reading, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-stuck
			return readiness.Reading{}, nil
		}
		var well atomic.Int64
		m := New(Options{})
		defer m.Stop()
		m.Reload(watched(t, "@every 15s", hang, good(&well)))
		m.Start()
		time.Sleep(time.Minute)
		for _, spec := range []string{"@every 20s", "* * * * *", "@every 15s"} {
			m.Reload(readiness.System{}, nil) // gone, and there again
			m.Reload(watched(t, spec, hang, good(&well)))
			before := well.Load()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			require.EqualValues(t, 1, most.Load(), "looks at one target at once")
			require.Greater(t, well.Load(), before+8)
		}
		close(stuck)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.True(t, look(m, 0).Success, "once the look has returned, the next ones are made")
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
			{ID: readiness.ID{Of: "db", Name: "primary"}, Schedule: every(t, "@every 1h"), Timeout: time.Second, Prober: probe(primary), Fingerprint: "a"},
			{ID: readiness.ID{Of: "db", Name: "replica"}, Schedule: every(t, "@every 1h"), Timeout: time.Second, Prober: probe(replica), Fingerprint: "r"},
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

// Thousands of looks in one second are a burst on the network and on the servers,
// and late looks, where there is a whole interval for them.
func TestMonitor_LooksAreSpread(t *testing.T) {
	const copies = 3000
	for spec, over := range map[string]time.Duration{
		"@every 15s":  15 * time.Second,
		"@every 5m":   spread,
		"*/5 * * * *": spread,
	} {
		t.Run(spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now().Add(7300 * time.Millisecond) // not on a tick
				time.Sleep(time.Until(began))
				var mu sync.Mutex
				looks := make(map[int]int) // by second since the start
				note := func(context.Context) (readiness.Reading, error) {
					mu.Lock()
					defer mu.Unlock()
					looks[int(time.Since(began).Seconds())]++
					return readiness.Reading{}, nil
				}
				m := New(Options{})
				m.Reload(watched(t, spec, slices.Repeat([]probe{note}, copies)...))
				m.Start()
				time.Sleep(16 * over)
				m.Stop()
				total, busiest, mean := 0, 0, copies/int(over.Seconds())
				for second, n := range looks {
					if second > int(firstSpread.Seconds()) {
						total, busiest = total+n, max(busiest, n)
					}
				}
				require.GreaterOrEqual(t, total, 3*copies)
				require.Less(t, busiest, mean*3/2, "looks in the busiest second, of a mean of %d", mean)
			})
		})
	}
}

// What a replica holds is held against where its primary stands: looks that drift
// apart make every replica look as far behind as they are apart.
func TestMonitor_CopiesOfADatastoreAreLookedAtTogether(t *testing.T) {
	for _, spec := range []string{"@every 15s", "*/5 * * * *"} {
		t.Run(spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				last := make(map[string]time.Time)
				system := readiness.System{Datastores: []readiness.Datastore{{Name: "db"}}}
				var targets []Target
				for _, name := range []string{"primary", "replica"} {
					system.Datastores[0].Copies = append(system.Datastores[0].Copies, readiness.Copy{Name: name})
					targets = append(targets, Target{
						ID: readiness.ID{Of: "db", Name: name}, Schedule: every(t, spec), Timeout: time.Second,
						Prober: probe(func(context.Context) (readiness.Reading, error) {
							mu.Lock()
							defer mu.Unlock()
							last[name] = time.Now()
							return readiness.Reading{}, nil
						}),
					})
				}
				m := New(Options{System: system, Targets: targets})
				defer m.Stop()
				m.Start()
				time.Sleep(7 * time.Second)
				changed := slices.Clone(targets) // the replica alone begins anew, at another moment
				changed[1].Fingerprint = "changed"
				m.Reload(system, changed)
				for range 5 {
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					mu.Lock()
					primary, replica := last["primary"], last["replica"]
					mu.Unlock()
					require.Equal(t, primary, replica)
				}
			})
		})
	}
}

// A clock that is set back an hour does not stop the looking for an hour, and
// hours for which the machine was suspended are not made up for.
func TestMonitor_ClockJumps(t *testing.T) {
	for _, spec := range []string{"* * * * *", "@every 60s"} {
		for _, jump := range []time.Duration{-time.Hour, -30 * time.Second, 30 * time.Second, 3 * time.Hour} {
			t.Run(fmt.Sprint(spec, jump), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var looks atomic.Int64
					var shift atomic.Int64
					system, targets := watched(t, spec, good(&looks))
					m := New(Options{System: system, Targets: targets, Now: func() time.Time {
						return time.Now().Add(time.Duration(shift.Load()))
					}})
					defer m.Stop()
					m.Start()
					time.Sleep(5 * time.Minute)
					synctest.Wait()
					before := looks.Load()
					shift.Store(int64(jump))
					time.Sleep(longestSleep)
					synctest.Wait()
					require.InDelta(t, before+1, looks.Load(), 1)
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					require.InDelta(t, before+11, looks.Load(), 1)
				})
			})
		}
	}
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
		{ID: readiness.ID{Of: "db", Name: "replica"}, Schedule: every(t, "@every 1h"), Timeout: time.Second,
			Prober: note("replica", readiness.Reading{Role: readiness.RoleReplica, System: "7", Received: readiness.Known(readiness.Position(1))})},
		{ID: readiness.ID{Of: "db", Name: "primary"}, Schedule: every(t, "@every 1h"), Timeout: time.Second,
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

// A probe that ignores its deadline must not keep one look at everything from
// telling of all the others.
func TestMonitor_LookOnceWaitsForNoProbeThatIgnoresItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var looks atomic.Int64
		system, targets := watched(t, "@every 15s", func(context.Context) (readiness.Reading, error) {
			<-stuck
			return readiness.Reading{}, nil
		}, good(&looks))
		m := New(Options{System: system, Targets: targets})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		m.LookOnce(ctx, nil)
		require.NoError(t, ctx.Err())
		require.Equal(t, readiness.Timeout, look(m, 0).Class)
		require.True(t, look(m, 1).Success)
		close(stuck)
	})
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
