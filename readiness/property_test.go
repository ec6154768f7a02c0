package readiness

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anySystem draws a datastore with a primary and some copies.
func anyDatastore(t *rapid.T) Datastore {
	d := pair()
	for i := range rapid.IntRange(0, 3).Draw(t, "more copies") {
		d.Copies = append(d.Copies, Copy{
			Name:      string(rune('a' + i)),
			Kind:      rapid.SampledFrom([]CopyKind{Replica, PITR, Snapshot, Backup}).Draw(t, "kind"),
			Region:    rapid.SampledFrom([]string{"west", "central", ""}).Draw(t, "region"),
			Immutable: rapid.Bool().Draw(t, "immutable"),
			Watch:     Watch{Checks: []string{CheckClock}},
		})
	}
	return d
}

// anyLook draws a look at a copy, as wild as servers can be.
func anyLook(t *rapid.T, d Datastore, second float64) (Copy, Observation) {
	c := rapid.SampledFrom(d.Copies).Draw(t, "copy")
	o := Observation{At: at(second)}
	if rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
		o.Failure = &Failure{Class: rapid.SampledFrom(Classes()).Draw(t, "class"), Err: errors.New("no answer")}
		return c, o
	}
	position := func(label string) Maybe[Position] {
		if rapid.IntRange(0, 5).Draw(t, label+" known") == 0 {
			return Maybe[Position]{}
		}
		return Known(Position(rapid.IntRange(0, 50).Draw(t, label)))
	}
	o.Reading = Reading{
		Role:     rapid.SampledFrom([]Role{RoleUnknown, RolePrimary, RoleReplica}).Draw(t, "role"),
		System:   rapid.SampledFrom([]string{"7", "7", "8", ""}).Draw(t, "system"),
		Timeline: rapid.SampledFrom([]string{"1", "1", "2"}).Draw(t, "timeline"),
		Server:   c.Name,
		Written:  position("written"), Received: position("received"), Replayed: position("replayed"),
	}
	if rapid.Bool().Draw(t, "point") {
		o.Reading.Points = []Point{{At: at(float64(rapid.IntRange(-5000, 5000).Draw(t, "point at"))), Basis: BasisCommit, SourceClock: rapid.Bool().Draw(t, "source clock")}}
	}
	if rapid.Bool().Draw(t, "offset known") {
		o.Reading.ClockOffset = Known(time.Duration(rapid.IntRange(-600, 600).Draw(t, "offset")) * time.Second)
	}
	return c, o
}

func anySightings(t *rapid.T) (*Sightings, float64) {
	d := anyDatastore(t)
	s := NewSightings(d)
	second := 0.0
	for range rapid.IntRange(0, 25).Draw(t, "looks") {
		second += float64(rapid.IntRange(0, 900).Draw(t, "gap"))
		c, o := anyLook(t, d, second)
		s.Observe(c, o)
	}
	return s, second
}

func exposure(c Coverage) float64 {
	if s, ok := c.Exposure.Get(); ok {
		return float64(s)
	}
	return math.Inf(1)
}

// Nothing ever looks better for being unseen: while nothing new is seen, the
// exposure grows with the clock and nothing becomes compliant or ready.
func TestProperty_ExposureNeverFallsWhileNothingIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := anySightings(t)
		wait := float64(rapid.IntRange(0, 100_000).Draw(t, "wait"))
		before, after := evaluate(s, second), evaluate(s, second+wait)
		for i, c := range after.Datastores[0].Coverage {
			was := before.Datastores[0].Coverage[i]
			if exposure(c) != exposure(was)+wait && !math.IsInf(exposure(c), 1) {
				t.Fatalf("%s: exposure %v became %v after %v", c.Scenario, exposure(was), exposure(c), wait)
			}
			if c.Compliant && !was.Compliant || c.Ready == Pass && was.Ready != Pass {
				t.Fatalf("%s became better by waiting", c.Scenario)
			}
		}
	})
}

// A look that fails teaches nothing, so it improves nothing.
func TestProperty_AFailedLookImprovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := anySightings(t)
		before := evaluate(s, second)
		c := rapid.SampledFrom(s.datastore.Copies).Draw(t, "fails")
		s.Observe(c, Observation{At: at(second), Failure: &Failure{Class: Timeout, Err: errors.New("no answer")}})
		after := evaluate(s, second)
		for i, c := range after.Datastores[0].Coverage {
			was := before.Datastores[0].Coverage[i]
			if exposure(c) != exposure(was) {
				t.Fatalf("%s: exposure %v became %v by a failed look", c.Scenario, exposure(was), exposure(c))
			}
			if c.Ready == Pass && was.Ready != Pass {
				t.Fatalf("%s became ready by a failed look", c.Scenario)
			}
		}
	})
}

// Losing a copy never improves a scenario.
func TestProperty_LosingACopyImprovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := anySightings(t)
		before := evaluate(s, second)
		lost := rapid.SampledFrom(s.datastore.Copies[1:]).Draw(t, "lost").Name
		less := system(s.datastore)
		less.Datastores[0].Copies = slices.DeleteFunc(slices.Clone(s.datastore.Copies), func(c Copy) bool { return c.Name == lost })
		after := Evaluate(less, func(id ID) *Seen { return s.Seen(id.Name) }, at(second))
		for i, c := range after.Datastores[0].Coverage {
			was := before.Datastores[0].Coverage[i]
			if exposure(c) < exposure(was) || c.Compliant && !was.Compliant {
				t.Fatalf("%s improved when %s was lost: %v, was %v", c.Scenario, lost, exposure(c), exposure(was))
			}
		}
	})
}

// Unknown is never ready, no recovery point lies after the look that proved it,
// and every check that was asked for is answered or unknown.
func TestProperty_UnknownIsNeverReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, second := anySightings(t)
		r := evaluate(s, second)
		for _, d := range r.Datastores {
			for _, c := range d.Coverage {
				if (c.Ready == Pass || c.Compliant) && !c.Exposure.IsKnown() {
					t.Fatalf("%s is called good with nothing known", c.Scenario)
				}
				if c.Ready == Pass && !c.Compliant {
					t.Fatalf("%s is ready and not compliant", c.Scenario)
				}
			}
			for i, c := range d.Copies {
				if len(c.Checks) != len(s.datastore.Copies[i].Checks)+1 {
					t.Fatalf("%s has %d checks", c.Name, len(c.Checks))
				}
				if point, ok := c.RecoveryPoint.Get(); ok && point.After(s.Seen(c.Name).Latest.At) {
					t.Fatalf("%s has a recovery point after it was last looked at", c.Name)
				}
			}
		}
		for _, c := range r.Checks() {
			if !c.Status.Ready() && r.Ready {
				t.Fatalf("ready although %s is %s", c.Name, c.Status)
			}
		}
	})
}
