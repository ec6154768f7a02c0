package readiness

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func pair() Datastore {
	return Datastore{
		Name: "db",
		RPO:  map[Scenario]time.Duration{DatabaseFailure: time.Hour, RegionFailure: time.Hour, DataCorruption: time.Hour, SecurityBreach: time.Hour},
		Copies: []Copy{
			{Name: "primary", Kind: Primary, Region: "west", Watch: Watch{Probe: "test", Checks: []string{CheckRole, CheckClock}}},
			{Name: "replica", Kind: Replica, Region: "central", Watch: Watch{Probe: "test", Checks: []string{CheckRole, CheckConnected, CheckSameSystem, CheckDistinctServer, CheckClock}}},
		},
	}
}

func primaryAt(position Position) Reading {
	return Reading{Role: RolePrimary, System: "7", Timeline: "1", Server: "p", Written: Known(position), ClockOffset: Known(time.Duration(0))}
}

func replicaAt(received, replayed Position) Reading {
	return Reading{
		Role: RoleReplica, System: "7", Timeline: "1", Server: "r",
		Received: Known(received), Replayed: Known(replayed), Connected: Known(true), ClockOffset: Known(time.Duration(0)),
	}
}

func (r Reading) committed(second float64) Reading {
	r.Points = append(r.Points, Point{At: at(second), Basis: BasisCommit, SourceClock: true})
	return r
}

// step is a look at a copy: what it read, or nothing when it failed.
type step struct {
	second  float64
	copy    string
	reading *Reading
}

func looked(second float64, copyName string, r Reading) step { return step{second, copyName, &r} }
func failed(second float64, copyName string) step            { return step{second, copyName, nil} }

func watch(d Datastore, steps ...step) *Sightings {
	s := NewSightings(d)
	for _, step := range steps {
		o := Observation{At: at(step.second), Took: time.Millisecond}
		if step.reading == nil {
			o.Failure = &Failure{Class: Timeout, Err: errors.New("no answer")}
		} else {
			o.Reading = *step.reading
		}
		for _, c := range d.Copies {
			if c.Name == step.copy {
				s.Observe(c, o)
			}
		}
	}
	return s
}

// The recovery point of a replica decides what people believe they would lose.
// Each row is a situation in which common exporters tell a wrong one.
func TestSightings_RecoveryPointOfAReplica(t *testing.T) {
	unknown := -1.0
	for name, row := range map[string]struct {
		steps    []step
		received float64 // second after noon, or unknown
		replayed float64
	}{
		"nothing seen": {nil, unknown, unknown},
		"fresh standby, primary never seen, no transaction yet": {
			[]step{looked(0, "replica", replicaAt(100, 100))}, unknown, unknown,
		},
		"idle primary, all received": {
			[]step{looked(0, "primary", primaryAt(100)), looked(1, "replica", replicaAt(100, 100)), looked(70, "primary", primaryAt(100)), looked(71, "replica", replicaAt(100, 100))},
			70, 70,
		},
		"idle primary looked at after the replica: nothing was written in between": {
			[]step{looked(10, "replica", replicaAt(100, 100)), looked(11, "primary", primaryAt(100))},
			10, 10,
		},
		"busy primary: the newest commit is newer than the newest covered look": {
			[]step{looked(0, "primary", primaryAt(100)), looked(15, "primary", primaryAt(200)), looked(15, "replica", replicaAt(190, 190).committed(14.9))},
			14.9, 14.9,
		},
		"receiver frozen while the primary writes": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)), looked(15, "primary", primaryAt(900)), looked(15, "replica", replicaAt(100, 100))},
			0, 0,
		},
		"replay paused: received goes on, replayed stays": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)), looked(15, "primary", primaryAt(900)), looked(15, "replica", replicaAt(900, 100))},
			15, 0,
		},
		"primary dead: what was proven stays, and nothing more": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)), failed(15, "primary"), looked(15, "replica", replicaAt(100, 100))},
			0, 0,
		},
		"drwatch restarted after the primary died: the newest commit alone": {
			[]step{failed(15, "primary"), looked(15, "replica", replicaAt(100, 100).committed(-3))},
			-3, -3,
		},
		"replica unseen: its recovery point stays where it was although the primary is idle": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)), looked(60, "primary", primaryAt(100)), failed(60, "replica")},
			0, 0,
		},
		"replica rebuilt from an older base: what it held before is gone": {
			[]step{looked(0, "primary", primaryAt(100)), looked(10, "primary", primaryAt(200)), looked(10, "replica", replicaAt(200, 200)), looked(20, "primary", primaryAt(300)), looked(20, "replica", replicaAt(150, 150))},
			0, 0,
		},
		"replica of another system: its positions say nothing here": {
			[]step{looked(0, "primary", primaryAt(100)), looked(1, "replica", Reading{Role: RoleReplica, System: "8", Timeline: "1", Received: Known(Position(500)), Replayed: Known(Position(500))})},
			unknown, unknown,
		},
		"replica on another timeline": {
			[]step{looked(0, "primary", primaryAt(100)), looked(1, "replica", Reading{Role: RoleReplica, System: "7", Timeline: "2", Received: Known(Position(500)), Replayed: Known(Position(500))})},
			unknown, unknown,
		},
		"a server without identity proves nothing": {
			[]step{looked(0, "primary", Reading{Role: RolePrimary, Written: Known(Position(1))}), looked(1, "replica", Reading{Role: RoleReplica, Received: Known(Position(5))})},
			unknown, unknown,
		},
		"primary went backwards: its positions were used twice": {
			[]step{looked(0, "primary", primaryAt(100)), looked(10, "primary", primaryAt(50)), looked(11, "replica", replicaAt(40, 40))},
			unknown, unknown,
		},
		"promoted replica: what was proven before stays, what it says now does not count": {
			[]step{looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)), looked(15, "primary", primaryAt(100)), looked(15, "replica", Reading{Role: RolePrimary, System: "7", Timeline: "2", Written: Known(Position(999))}.committed(14))},
			0, 0,
		},
		"a commit in the future counts as the moment of looking": {
			[]step{looked(10, "replica", replicaAt(100, 100).committed(700))},
			10, 10,
		},
		"the clock of the primary is ten minutes ahead, and known to be": {
			[]step{
				looked(0, "primary", Reading{Role: RolePrimary, System: "7", Timeline: "1", ClockOffset: Known(10 * time.Minute)}),
				looked(10, "replica", replicaAt(100, 100).committed(600+5)),
			},
			5, 5,
		},
		"the clock of the primary is only known within two seconds: the earliest moment counts": {
			[]step{
				looked(0, "primary", Reading{Role: RolePrimary, System: "7", Timeline: "1", ClockOffset: Known(time.Duration(0)), ClockError: 2 * time.Second}),
				looked(10, "replica", replicaAt(100, 100).committed(9)),
			},
			7, 7,
		},
		"a moment from a clock that nobody had compared is derived anew once somebody has": {
			[]step{
				looked(10, "replica", replicaAt(100, 100).committed(600+5)),
				looked(11, "primary", Reading{Role: RolePrimary, System: "7", Timeline: "1", ClockOffset: Known(10 * time.Minute)}),
			},
			5, 5,
		},
		"a heartbeat is on our clock whatever that of the primary": {
			[]step{
				looked(0, "primary", Reading{Role: RolePrimary, System: "7", Timeline: "1", ClockOffset: Known(10 * time.Minute)}),
				looked(10, "replica", func() Reading {
					r := replicaAt(100, 100)
					r.Points = []Point{{At: at(8), Basis: BasisHeartbeat}}
					return r
				}()),
			},
			8, 8,
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen := watch(pair(), row.steps...).Seen("replica")
			if seen == nil {
				seen = &Seen{}
			}
			require.Equal(t, row.received, seconds(seen.Received), "received")
			require.Equal(t, row.replayed, seconds(seen.Replayed), "replayed")
		})
	}
}

func seconds(p Maybe[Point]) float64 {
	point, ok := p.Get()
	if !ok {
		return -1
	}
	return point.At.Sub(noon).Seconds()
}

// A logical replica has positions of its own; only what its source says that it
// has confirmed tells what it holds.
func TestSightings_LogicalReplicaByAcknowledgement(t *testing.T) {
	d := pair()
	d.Copies[1].Logical = true
	primary := primaryAt(100)
	primary.Acknowledged = map[string]Position{"sub": 100, "other": 900}
	subscriber := Reading{Role: RolePrimary, System: "9", Receiver: "sub"}
	s := watch(d, looked(0, "primary", primary), looked(1, "replica", subscriber))
	require.Equal(t, 0.0, seconds(s.Seen("replica").Received))

	behind := primaryAt(500)
	behind.Acknowledged = map[string]Position{"sub": 100}
	s = watch(d, looked(0, "primary", primary), looked(1, "replica", subscriber), looked(15, "primary", behind), looked(16, "replica", subscriber))
	require.Equal(t, 0.0, seconds(s.Seen("replica").Received), "unconfirmed writes must not count as held")
}

// A track is bounded, and what it forgets may only make a replica look older.
func TestTrack_BoundedAndNeverOptimistic(t *testing.T) {
	var tr track
	r := Reading{System: "7", Timeline: "1"}
	const looks = 20_000
	for i := range looks {
		tr.add(at(float64(i)), r, Position(i*10))
	}
	require.LessOrEqual(t, len(tr.samples), trackLimit)
	for _, i := range []int{0, 1, 5_000, looks - 600, looks - 1} {
		covered, ok := tr.covers(r, Position(i*10+5))
		require.True(t, ok)
		require.False(t, covered.After(at(float64(i))), "covered at look %d", i)
	}
	newest, _ := tr.covers(r, Position(looks*10))
	require.Equal(t, at(looks-1), newest)
	covered, _ := tr.covers(r, Position((looks-100)*10))
	require.Equal(t, at(looks-100), covered, "recent looks are kept whole")
}

func TestSightings_InheritDropsWhatChanged(t *testing.T) {
	old := watch(pair(), looked(0, "primary", primaryAt(100)), looked(0, "replica", replicaAt(100, 100)))
	s := NewSightings(pair())
	s.Inherit(old, []string{"primary"})
	require.NotNil(t, s.Seen("primary"))
	require.Nil(t, s.Seen("replica"))
	s.Observe(pair().Copies[1], Observation{At: at(5), Reading: replicaAt(100, 100)})
	require.Equal(t, 0.0, seconds(s.Seen("replica").Received), "the track of a primary that stayed goes on")
	require.Equal(t, 0.0, seconds(old.Seen("replica").Received))
}

// A clock that was wrong and is put right must not leave a recovery point that
// the positions refute: the replica lacks what the primary has written since.
func TestSightings_PositionsRefuteAWrongClock(t *testing.T) {
	frozen := replicaAt(100, 100).committed(1800) // stamped by a clock half an hour ahead, which nobody had compared
	steps := []step{looked(0, "replica", frozen), looked(1, "primary", primaryAt(100))}
	for second := 60.0; second <= 7200; second += 60 {
		steps = append(steps, looked(second, "primary", primaryAt(Position(100+second))), looked(second+1, "replica", frozen))
	}
	s := watch(pair(), steps...)
	require.LessOrEqual(t, seconds(s.Seen("replica").Received), 60.0, "nothing that was written after the first minute is held")
	require.GreaterOrEqual(t, seconds(s.Seen("replica").Received), 0.0)
}

// A primary that comes back empty takes its replicas with it, and then everything
// looks in good order: it has to be told.
func TestSightings_BreakInTheHistoryIsTold(t *testing.T) {
	empty := primaryAt(5)
	empty.System = "9"
	for name, row := range map[string]struct {
		then  Reading
		says  string
		after float64
		want  Status
	}{
		"goes on":           {primaryAt(200), "goes on from where it was", 0, Pass},
		"another history":   {empty, "another history than before: 9, was 7", 0, Warn},
		"went back":         {primaryAt(50), "went back in its history by 50 bytes", 0, Warn},
		"a promotion":       {func() Reading { r := primaryAt(50); r.Timeline = "2"; return r }(), "goes on", 0, Pass},
		"told for a day":    {empty, "goes on", 25 * 3600, Pass},
		"and all that time": {empty, "another history", 23 * 3600, Warn},
	} {
		t.Run(name, func(t *testing.T) {
			s := watch(pair(), looked(0, "primary", primaryAt(100)), looked(15, "primary", row.then))
			check := evaluate(s, 15+row.after).check(t, "db", CheckHistory)
			require.Equal(t, row.want, check.Status)
			require.Contains(t, check.Evidence, row.says)
		})
	}
}

// A standby of another database may be as fresh as it likes.
func TestSightings_CommitsOfAnotherSystemProveNothing(t *testing.T) {
	foreign := replicaAt(100, 100).committed(9)
	foreign.System = "8"
	s := watch(pair(), looked(0, "primary", primaryAt(100)), looked(10, "replica", foreign))
	require.False(t, s.Seen("replica").Received.IsKnown())
}

// A logical replica that is copied anew has lost what it held.
func TestSightings_LogicalReplicaMadeAnew(t *testing.T) {
	d := pair()
	d.Copies[1].Logical = true
	primary := primaryAt(100)
	primary.Acknowledged = map[string]Position{"sub": 100}
	s := watch(d, looked(0, "primary", primary), looked(1, "replica", Reading{Role: RolePrimary, System: "9", Receiver: "sub"}), looked(20, "replica", Reading{Role: RolePrimary, System: "9"}))
	require.False(t, s.Seen("replica").Received.IsKnown())
}

// A replica whose platform alone is asked has its recovery point beside a primary
// that is looked at itself; of a server that does not tell its history, the
// commits of some history are no proof.
func TestSightings_LagToldByThePlatform(t *testing.T) {
	platform := Reading{Role: RoleReplica, Server: "r", Points: []Point{{At: at(3), Basis: BasisLag}}}
	s := watch(pair(), looked(5, "primary", primaryAt(100)), looked(6, "replica", platform))
	point, ok := s.Seen("replica").Received.Get()
	require.True(t, ok)
	require.Equal(t, BasisLag, point.Basis)

	platform.Points[0].Basis = BasisCommit
	s = watch(pair(), looked(5, "primary", primaryAt(100)), looked(6, "replica", platform))
	require.False(t, s.Seen("replica").Received.IsKnown())
}

// An answer that several looks share speaks for the moment at which it was given:
// taken for the moment of looking, an old answer would be shown as new.
func TestSightings_AnOlderAnswerProvesNothingNewer(t *testing.T) {
	shared := primaryAt(100)
	shared.AsOf = Known(at(60))
	s := watch(pair(), looked(100, "primary", shared), looked(101, "replica", replicaAt(100, 100)))
	for name, want := range map[string]time.Time{"primary": at(60), "replica": at(60)} {
		point, ok := s.Seen(name).Received.Get()
		require.True(t, ok, name)
		require.Equal(t, want, point.At, name)
	}
	c := evaluate(s, 101).Datastores[0].Copies[0]
	require.Equal(t, Known(at(60)), c.AsOf)
	require.Contains(t, c.Checks[0].Evidence, "with what was so 40.0s before")

	shared.AsOf = Known(at(200)) // nobody can tell of what has not come
	s = watch(pair(), looked(100, "primary", shared))
	point, _ := s.Seen("primary").Received.Get()
	require.Equal(t, at(100), point.At)
}
