package readiness

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func system(d ...Datastore) System {
	s := System{Name: "test", PrimaryRegion: "west", StandbyRegion: "central", InstanceRegion: "central", Datastores: d}
	for _, scenario := range Scenarios() {
		s.Scenarios = append(s.Scenarios, ScenarioObjective{scenario, DefaultObjective(scenario)})
	}
	return s
}

func evaluate(s *Sightings, second float64) *Report {
	return Evaluate(system(s.datastore), func(id ID) *Seen { return s.Seen(id.Name) }, at(second))
}

func (r *Report) coverage(t testing.TB, scenario Scenario) Coverage {
	t.Helper()
	for _, c := range r.Datastores[0].Coverage {
		if c.Scenario == scenario {
			return c
		}
	}
	t.Fatalf("no coverage of %s", scenario)
	return Coverage{}
}

func (r *Report) check(t testing.TB, subject, name string) Check {
	t.Helper()
	for _, c := range r.Checks() {
		if c.Subject == subject && c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s on %s", name, subject)
	return Check{}
}

func TestSurvives(t *testing.T) {
	const account, other = "1", "2"
	d := Datastore{Copies: []Copy{{Name: "primary", Kind: Primary, Region: "west", Account: account}}}
	all := []Scenario{ServiceFailure, DatabaseFailure, RegionFailure, DataCorruption, SecurityBreach}
	for name, row := range map[string]struct {
		copy     Copy
		survives []Scenario
	}{
		"primary":                         {Copy{Kind: Primary, Region: "west", Account: account}, all[:1]},
		"replica beside the primary":      {Copy{Kind: Replica, Region: "west"}, all[:2]},
		"replica in the standby region":   {Copy{Kind: Replica, Region: "central"}, all[:3]},
		"delayed replica elsewhere":       {Copy{Kind: Replica, Region: "central", Delay: time.Hour}, all[:4]},
		"backup in the burning region":    {Copy{Kind: Backup, Region: "west"}, []Scenario{ServiceFailure, DatabaseFailure, DataCorruption}},
		"backup that cannot be rewritten": {Copy{Kind: Backup, Region: "central", Immutable: true}, all},
		"PITR in another account":         {Copy{Kind: PITR, Region: "central", Account: other}, all},
		"PITR in the same account":        {Copy{Kind: PITR, Region: "central", Account: account}, all[:4]},
		"live replica in another account": {Copy{Kind: Replica, Region: "central", Account: other}, all[:3]},
		"delayed one in another account":  {Copy{Kind: Replica, Region: "central", Account: other, Delay: time.Hour}, all},
		"a copy in no region":             {Copy{Kind: Snapshot}, []Scenario{ServiceFailure, DatabaseFailure, DataCorruption}},
		"immutable primary":               {Copy{Kind: Primary, Region: "central", Immutable: true}, all[:1]},
		"the file knows better": {
			Copy{Kind: Replica, Region: "west", Survives: map[Scenario]bool{RegionFailure: true, DatabaseFailure: false}},
			[]Scenario{ServiceFailure, RegionFailure},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []Scenario
			for _, s := range Scenarios() {
				if system(d).Survives(d, row.copy, s) {
					got = append(got, s)
				}
			}
			require.Equal(t, row.survives, got)
		})
	}
}

func healthy() []step {
	return []step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100))}
}

// With nothing seen, nothing may look covered: no zero, no ready, and every
// check is there to alert on.
func TestEvaluate_NothingSeen(t *testing.T) {
	r := evaluate(watch(pair()), 0)
	require.False(t, r.Ready)
	for _, c := range r.Datastores[0].Coverage {
		require.False(t, c.Exposure.IsKnown(), c.Scenario)
		require.False(t, c.Compliant, c.Scenario)
		require.NotEqual(t, Pass, c.Ready, c.Scenario)
		require.NotEmpty(t, c.Because)
	}
	for _, c := range r.Checks() {
		require.Equal(t, Unknown, c.Status, c.Name)
	}
	require.Equal(t, Unknown, r.check(t, "db/replica", CheckConnected).Status)
	require.Equal(t, Unknown, r.check(t, "db", CheckSplitBrain).Status)
}

func TestEvaluate_Healthy(t *testing.T) {
	r := evaluate(watch(pair(), healthy()...), 3)
	require.Equal(t, Known(Seconds(3)), r.coverage(t, RegionFailure).Exposure)
	require.True(t, r.coverage(t, RegionFailure).Compliant)
	require.Equal(t, Pass, r.coverage(t, RegionFailure).Ready)
	require.Equal(t, "replica", r.coverage(t, RegionFailure).Copy)
	require.Equal(t, Fail, r.coverage(t, DataCorruption).Ready, "a replica replays the mistake too")
	require.Contains(t, r.coverage(t, DataCorruption).Because, "no copy survives")
	require.False(t, r.Ready)
	for _, c := range r.Checks() {
		require.Equal(t, Pass, c.Status, "%s: %s", c.Name, c.Evidence)
	}
}

func TestEvaluate_Verdicts(t *testing.T) {
	for name, row := range map[string]struct {
		steps  []step
		second float64
		// what follows for a region failure
		exposure  Maybe[Seconds]
		compliant bool
		ready     Status
		checks    map[string]Status // "subject check" -> status
	}{
		"replica unseen, still within its RPO": {
			append(healthy(), failed(60, "replica")), 70,
			Known(Seconds(70)), true, Unknown,
			map[string]Status{"db/replica look": Unknown, "db/replica role": Unknown, "db split-brain": Unknown},
		},
		"replica unseen for longer than the RPO": {
			append(healthy(), failed(60, "replica")), 3601,
			Known(Seconds(3601)), false, Fail, nil,
		},
		"primary unseen: its replica is still one to recover from": {
			append(healthy(), failed(15, "primary"), looked(15, "replica", replicaAt(100, 100))), 20,
			Known(Seconds(20)), true, Pass,
			map[string]Status{"db/primary look": Unknown, "db/replica same-system": Pass, "db split-brain": Unknown},
		},
		"link cut": {
			append(healthy(), looked(15, "primary", primaryAt(900)), looked(15, "replica", func() Reading { r := replicaAt(100, 100); r.Connected = Known(false); return r }())), 15,
			Known(Seconds(15)), true, Pass, map[string]Status{"db/replica connected": Fail},
		},
		"split brain": {
			append(healthy(), looked(15, "primary", primaryAt(100)), looked(15, "replica", Reading{Role: RolePrimary, System: "7", Timeline: "2", Server: "r"})), 15,
			Known(Seconds(15)), true, Fail, map[string]Status{"db split-brain": Fail, "db/replica role": Fail},
		},
		"replica promoted while the old primary cannot be seen": {
			append(healthy(), failed(15, "primary"), looked(15, "replica", Reading{Role: RolePrimary, System: "7", Timeline: "2", Server: "r"})), 15,
			Known(Seconds(15)), true, Fail, map[string]Status{"db split-brain": Unknown},
		},
		"the same server at both ends": {
			append(healthy(), looked(15, "replica", func() Reading { r := replicaAt(100, 100); r.Server = "p"; return r }())), 15,
			Known(Seconds(15)), true, Fail, map[string]Status{"db/replica distinct-server": Fail},
		},
		"the address of a primary where a replica is meant": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", primaryAt(100))}, 1,
			Maybe[Seconds]{}, false, Unknown,
			map[string]Status{"db/replica role": Fail, "db/replica distinct-server": Fail, "db split-brain": Fail},
		},
		"a replica where the primary is meant": {
			[]step{looked(0, "primary", replicaAt(100, 100)), looked(0, "replica", replicaAt(100, 100))}, 1,
			Maybe[Seconds]{}, false, Unknown, map[string]Status{"db/primary role": Fail, "db split-brain": Fail},
		},
		"a replica of another cluster": {
			append(healthy(), looked(15, "replica", Reading{Role: RoleReplica, System: "8", Timeline: "1", Server: "x", Received: Known(Position(1))})), 15,
			Maybe[Seconds]{}, false, Unknown, map[string]Status{"db/replica same-system": Fail},
		},
		"a replica on another timeline": {
			append(healthy(), looked(15, "replica", Reading{Role: RoleReplica, System: "7", Timeline: "2", Server: "r", Received: Known(Position(1))})), 15,
			Maybe[Seconds]{}, false, Unknown, map[string]Status{"db/replica same-system": Fail},
		},
		"a commit in the future": {
			append(healthy(), looked(15, "replica", replicaAt(100, 100).committed(75))), 16,
			Known(Seconds(1)), true, Fail, map[string]Status{"db/replica clock": Fail},
		},
		"drwatch restarted after the primary died: the newest commit is on a clock nobody knows": {
			[]step{failed(15, "primary"), looked(15, "replica", replicaAt(100, 100).committed(-3))}, 17,
			Known(Seconds(20)), true, Unknown, map[string]Status{"db/replica clock": Unknown},
		},
		"a clock that is off": {
			append(healthy(), looked(15, "replica", func() Reading { r := replicaAt(100, 100); r.ClockOffset = Known(-3 * time.Second); return r }())), 15,
			Known(Seconds(15)), true, Pass, map[string]Status{"db/replica clock": Warn},
		},
		"a server that does not tell": {
			append(healthy(), looked(15, "replica", Reading{Role: RoleReplica, System: "7", Timeline: "1", Received: Known(Position(100))})), 15,
			Known(Seconds(15)), true, Unknown,
			map[string]Status{"db/replica connected": Unknown, "db/replica distinct-server": Unknown, "db/replica clock": Unknown},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := evaluate(watch(pair(), row.steps...), row.second)
			c := r.coverage(t, RegionFailure)
			require.Equal(t, row.exposure, c.Exposure)
			require.Equal(t, row.compliant, c.Compliant)
			require.Equal(t, row.ready, c.Ready, c.Because)
			for key, want := range row.checks {
				var subject, name string
				for i := range key {
					if key[i] == ' ' {
						subject, name = key[:i], key[i+1:]
					}
				}
				got := r.check(t, subject, name)
				require.Equal(t, want, got.Status, "%s: %s", key, got.Evidence)
				require.NotEmpty(t, got.Evidence)
				if want == Fail {
					require.NotEmpty(t, got.Remedy, key)
				}
			}
		})
	}
}

// A commit that arrives while a slow look is under way is no sign of a wrong clock.
func TestEvaluate_CommitDuringASlowLook(t *testing.T) {
	d := pair()
	s := watch(d, looked(0, "primary", Reading{Role: RolePrimary, System: "7", ClockOffset: Known(time.Duration(0))}))
	s.Observe(d.Copies[1], Observation{At: at(0), Took: time.Second, Reading: replicaAt(100, 100).committed(0.9)})
	r := evaluate(s, 1)
	require.Equal(t, Pass, r.check(t, "db/replica", CheckClock).Status)
	require.Equal(t, Known(Seconds(1)), r.coverage(t, RegionFailure).Exposure, "it counts as the moment of looking")
}

// A process that was paused, or whose scheduler is stuck, must not present what
// it saw before as what there is.
func TestEvaluate_OldLooksAreUnknown(t *testing.T) {
	d := pair()
	for i := range d.Copies {
		d.Copies[i].StaleAfter = 35 * time.Second
	}
	s := watch(d, healthy()...)
	require.Equal(t, Pass, evaluate(s, 35).coverage(t, RegionFailure).Ready)
	late := evaluate(s, 36)
	require.Equal(t, Unknown, late.coverage(t, RegionFailure).Ready)
	require.Contains(t, late.check(t, "db/replica", CheckLook).Evidence, "36.0s old")
}

// In a pause of the schedule the copy is unknown all the same, and nobody is sent
// to look for a fault of drwatch in the night; when the pause is over, they are.
func TestEvaluate_PausesOfTheScheduleAreUnknownAndToldAsThat(t *testing.T) {
	d := pair()
	for i := range d.Copies {
		d.Copies[i].StaleAfter, d.Copies[i].Pause = 35*time.Second, time.Hour
	}
	s := watch(d, healthy()...)
	night := evaluate(s, 1800)
	require.Equal(t, Unknown, night.coverage(t, RegionFailure).Ready)
	look := night.check(t, "db/replica", CheckLook)
	require.Equal(t, "the last look is 30m old, and its schedule pauses for up to 1h", look.Evidence)
	require.Contains(t, look.Remedy, "let the schedule in the file look at all hours")
	require.NotContains(t, evaluate(s, 3600+36).check(t, "db/replica", CheckLook).Evidence, "pauses")
}

// While a machine is suspended its monotonic clock stands still; what was seen
// before must not look fresh when it wakes. And a clock that is set back makes
// nothing younger.
func TestElapsed_TheLongerOfTwoClocks(t *testing.T) {
	then := time.Now()
	suspended := then.Add(time.Hour)
	shiftMonotonic(&suspended, -time.Hour)
	require.Equal(t, time.Hour, Elapsed(then, suspended))
	setBack := then.Add(-time.Hour)
	shiftMonotonic(&setBack, time.Hour+time.Minute)
	require.Equal(t, time.Minute, Elapsed(then, setBack))
	require.Zero(t, Elapsed(then, then.Add(-time.Second)))
}

// shiftMonotonic moves the monotonic reading of a time and leaves its wall clock,
// as package time lays them out.
func shiftMonotonic(t *time.Time, by time.Duration) {
	type layout struct {
		wall      uint64
		monotonic int64
		_         unsafe.Pointer
	}
	(*layout)(unsafe.Pointer(t)).monotonic += int64(by)
}

// When a second replica is lost, the first is still one to recover from; when
// the sound one is lost, the other does not hide it.
func TestEvaluate_OneSoundCopyIsEnough(t *testing.T) {
	d := pair()
	second := d.Copies[1]
	second.Name = "second"
	d.Copies = append(d.Copies, second)
	other := replicaAt(100, 100)
	other.Server = "s"
	r := evaluate(watch(d, append(healthy(), looked(0, "second", other), failed(15, "second"))...), 16)
	require.Equal(t, Pass, r.coverage(t, RegionFailure).Ready)
	require.False(t, r.Ready, "the exit code still tells that something needs a person")

	broken := replicaAt(100, 100)
	broken.Server = "p" // the primary under another name
	r = evaluate(watch(d, append(healthy(), looked(1, "second", broken), failed(15, "replica"))...), 16)
	require.Equal(t, Unknown, r.coverage(t, RegionFailure).Ready)
}

func TestEvaluate_LagIsUnknownWhenALookFails(t *testing.T) {
	s := watch(pair(), looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(90, 40).committed(-2)))
	c := evaluate(s, 0).Datastores[0].Copies[1]
	require.Equal(t, Known(10.0), c.ReceivedLagBytes)
	require.Equal(t, Known(60.0), c.ReplayLagBytes)
	require.Equal(t, Known(Seconds(2)), c.ReceivedLag)

	s = watch(pair(), append(healthy(), failed(1, "primary"))...)
	c = evaluate(s, 1).Datastores[0].Copies[1]
	require.False(t, c.ReceivedLagBytes.IsKnown(), "the position of a primary that cannot be seen is not known")
	require.True(t, c.ReceivedLag.IsKnown())

	s = watch(pair(), append(healthy(), failed(1, "replica"))...)
	c = evaluate(s, 1).Datastores[0].Copies[1]
	require.False(t, c.ReceivedLag.IsKnown())
	require.False(t, c.Connected.IsKnown())
	require.True(t, c.RecoveryPoint.IsKnown())
}

func TestEvaluate_WindowOfADelayedReplica(t *testing.T) {
	d := pair()
	d.Copies[1].Delay = time.Hour
	r := evaluate(watch(d, looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 10).committed(-3600))), 0)
	start, ok := r.Datastores[0].Copies[1].WindowStart.Get()
	require.True(t, ok)
	require.Equal(t, at(-3600), start)
	require.Equal(t, Known(Seconds(0)), r.coverage(t, DataCorruption).Exposure)
}

// A copy that cannot be seen is one thing to do, not nine.
func TestReport_FindingsTellEachReasonOnce(t *testing.T) {
	findings := evaluate(watch(pair(), append(healthy(), failed(15, "replica"))...), 15).Findings()
	require.Len(t, findings, 2)
	require.Equal(t, CheckSplitBrain, findings[0].Name)
	require.Equal(t, CheckLook, findings[1].Name)
	require.Equal(t, pair().Copies[1].Checks, findings[1].Also)
	require.Empty(t, evaluate(watch(pair(), healthy()...), 1).Findings())
}

// What machines read keeps unknown apart from zero.
func TestReport_JSON(t *testing.T) {
	body, err := json.Marshal(evaluate(watch(pair()), 0))
	require.NoError(t, err)
	require.Contains(t, string(body), `"rpo_exposure_seconds":null`)
	require.Contains(t, string(body), `"status":"unknown"`)
	var back Report
	require.NoError(t, json.Unmarshal(body, &back))
	require.False(t, back.Datastores[0].Coverage[0].Exposure.IsKnown())
}

func TestSeconds_String(t *testing.T) {
	for want, s := range map[string]Seconds{
		"0s": 0, "4ms": .004, "850ms": .85, "12.3s": 12.34, "1m": 60, "4m05s": 245, "3h20m": 12000, "4h": 14400, "1h05m": 3900, "1d": 86400, "2d4h": 187200, "-1.5s": -1.5,
	} {
		require.Equal(t, want, s.String())
	}
}

// A server with an absurd clock must not bring the watcher down.
func TestSeconds_String_BeyondBounds(t *testing.T) {
	for _, s := range []Seconds{Seconds(math.Inf(1)), Seconds(math.Inf(-1)), Seconds(math.NaN()), 1e30, -1e30, math.MaxFloat64} {
		require.NotEmpty(t, s.String())
	}
	require.Equal(t, "106751d23h", Seconds(1e30).String())
}

func TestFailure_KeepsItsCause(t *testing.T) {
	cause := errors.New("cause")
	require.ErrorIs(t, error(&Failure{Class: Refused, Err: cause}), cause)
}

// In the hour for which all of this exists every replica is cut off from its
// primary. That takes nothing from what it holds.
func TestEvaluate_PrimaryLostReplicaIsStillReady(t *testing.T) {
	cutOff := replicaAt(100, 100)
	cutOff.Connected = Known(false)
	r := evaluate(watch(pair(), append(healthy(), failed(15, "primary"), looked(15, "replica", cutOff))...), 20)
	require.Equal(t, Fail, r.check(t, "db/replica", CheckConnected).Status)
	require.Equal(t, Pass, r.coverage(t, RegionFailure).Ready, r.coverage(t, RegionFailure).Because)
	require.False(t, r.Ready)

	r = evaluate(watch(pair(), append(healthy(), looked(15, "primary", primaryAt(100)), looked(15, "replica", cutOff))...), 20)
	require.Equal(t, Fail, r.check(t, "db/replica", CheckConnected).Status)
	require.Equal(t, Pass, r.coverage(t, RegionFailure).Ready, "the same replica is no worse while the primary is there")
	require.False(t, r.Ready)
}

// A primary that was never identified is not one to be compared with, and losing
// sight of it makes nothing of the replica surer.
func TestEvaluate_PrimaryThatDoesNotTellItsHistoryIsNotReady(t *testing.T) {
	nameless := primaryAt(100)
	nameless.System = ""
	replica := replicaAt(100, 100)
	replica.Points = []Point{{At: at(5), Basis: BasisHeartbeat}}
	looks := []step{looked(5, "primary", nameless), looked(6, "replica", replica)}
	require.NotEqual(t, Pass, evaluate(watch(pair(), looks...), 10).coverage(t, RegionFailure).Ready)
	require.NotEqual(t, Pass, evaluate(watch(pair(), append(looks, failed(8, "primary"))...), 10).coverage(t, RegionFailure).Ready)
}

// What nobody promises is not judged, and so not ready either.
func TestEvaluate_NothingPromisedIsNotJudged(t *testing.T) {
	for _, s := range evaluate(watch(pair()), 0).Scenarios {
		require.Equal(t, s.Scenario != ServiceFailure, s.Judged, s.Scenario)
		require.NotEqual(t, Pass, s.Status, s.Scenario)
	}
}

// Who is told how little would be lost must be told by which copy, too: the one
// with the newest recovery point need not be one to recover from.
func TestEvaluate_NamesTheCopyToRecoverFrom(t *testing.T) {
	d := pair()
	d.Copies = append(d.Copies, Copy{Name: "vault", Kind: Backup, Region: "central"})
	vault := Reading{Points: []Point{{At: at(-30), Basis: BasisSnapshot}}}
	c := evaluate(watch(d, append(healthy(), looked(1, "vault", vault))...), 2).coverage(t, RegionFailure)
	require.Equal(t, "replica", c.Copy)
	require.Equal(t, "replica", c.Sound)

	c = evaluate(watch(d, append(healthy(), looked(1, "vault", vault), failed(2, "replica"))...), 3).coverage(t, RegionFailure)
	require.Equal(t, "replica", c.Copy)
	require.Equal(t, Known(Seconds(3)), c.Exposure)
	require.Equal(t, "vault", c.Sound)
	require.Equal(t, Known(Seconds(33)), c.SoundExposure)
	require.Equal(t, Pass, c.Ready)

	r := evaluate(watch(d, append(healthy(), failed(2, "replica"))...), 3)
	require.Empty(t, r.coverage(t, RegionFailure).Sound)
}

// One cause is one line, and none is passed over.
func TestReport_FindingsTellEachCauseOnce(t *testing.T) {
	d := pair()
	d.Copies[1].Checks = []string{"rds", "capacity", "encryption", "size", "lock"}
	replica := replicaAt(100, 100)
	replica.Checks = []Check{
		{Name: "rds", Evidence: "denied: grant it"}, // and with it capacity and encryption are untold
		{Name: "size", Status: Fail, Evidence: "no dump"}, {Name: "lock", Status: Fail, Evidence: "no dump"},
	}
	r := evaluate(watch(d, looked(0, "primary", primaryAt(100)), looked(0, "replica", replica)), 1)
	var told [][]string
	for _, f := range r.Findings() {
		told = append(told, append([]string{f.Name}, f.Also...))
	}
	require.Equal(t, [][]string{{"rds", "capacity", "encryption"}, {"size", "lock"}}, told)
	require.Equal(t, 2, r.Open())
	require.False(t, r.Ready)
}
