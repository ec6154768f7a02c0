package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// summary is the report in three sentences.
func summary(d *Data) []string {
	return []string{d.observed(), d.kept(), d.checked()}
}

// observed says how much of the period is known.
func (d *Data) observed() string {
	c := d.Compliance
	whole := c.Observed + c.Unobserved
	period := fmt.Sprintf("From %s to %s", when(d.From), when(d.To))
	switch {
	case c.Observed <= 0:
		return period + " nothing was observed, so nothing is known of how the objectives were kept: that is no compliance, and no breach."
	case c.Unobserved < 1:
		return period + " drwatch looked all the time" + d.pending() + "."
	}
	return fmt.Sprintf("%s drwatch looked for %s of the time%s; nothing is known of the other %s, in %s.",
		period, share(c.Observed, whole), d.pending(), c.Unobserved, counted(len(c.Gaps)+c.MoreGaps, "gap"))
}

// pending says that the end of the period is not told yet.
func (d *Data) pending() string {
	if left := d.To.Sub(d.Compliance.Until); left > 0 && left < 2*time.Hour {
		return fmt.Sprintf(" (up to %s: the last hour is still being recorded)", when(d.Compliance.Until))
	}
	return ""
}

// kept says how the RPOs were kept.
func (d *Data) kept() string {
	pairs := d.Compliance.Pairs
	observed, kept, least := 0, 0, -1
	for i, p := range pairs {
		if p.Observed > 0 {
			observed++
		}
		switch {
		case p.Observed <= 0:
		case p.InBreach() <= 0 && p.Breaches == 0:
			kept++
		case least < 0 || p.Compliant/p.Observed < pairs[least].Compliant/pairs[least].Observed:
			least = i
		}
	}
	switch {
	case len(pairs) == 0:
		return "No recovery point objective is recorded in this period."
	case observed == 0:
		return fmt.Sprintf("Nothing was observed of the %s that are recorded.", counted(len(pairs), "recovery point objective"))
	case least >= 0:
		p := pairs[least]
		return fmt.Sprintf("%d of %s were kept at every moment that was observed; the least kept is that of %s in a %s: %s.",
			kept, counted(len(pairs), "recovery point objective"), p.Datastore, p.Scenario, p.Sentence)
	case kept == len(pairs):
		return "Every recovery point objective was kept at every moment that was observed."
	}
	return fmt.Sprintf("%d of %s were kept at every moment that was observed, and of the others nothing was observed.", kept, counted(len(pairs), "recovery point objective"))
}

// checked says what else there is.
func (d *Data) checked() string {
	happened := fmt.Sprintf("the period has %s and %s", events(d.Drills, "drills"), events(d.Incidents, "incidents"))
	if d.Audit == nil {
		return "No result of the checklists is recorded; " + happened + "."
	}
	items := inPhase(d.Audit.Result, audit.Before)
	ready := 0
	for _, item := range items {
		if item.Status.Ready() {
			ready++
		}
	}
	return fmt.Sprintf("The checklist before a disaster ended as %s on %s, with %d of %s in order; %s.",
		d.Audit.Result.Status, when(d.Audit.At), ready, counted(len(items), "item"), happened)
}

// events says how many are recorded.
func events(h Happenings, of string) string {
	n := len(h.Events) + h.More
	if n == 0 {
		return "no record of " + of
	}
	return counted(n, "record") + " of " + of
}

// coverage is what is promised in a scenario, and how it was kept.
type coverage struct {
	Scenario readiness.Scenario
	RTO      readiness.Maybe[readiness.Seconds]
	Pairs    []Pair
	// Uncovered are datastores for which nothing is promised in the scenario, though
	// something is in another.
	Uncovered string
}

func coverages(d *Data) (all []coverage) {
	of := make(map[readiness.Scenario]*coverage)
	get := func(s readiness.Scenario) *coverage {
		if of[s] == nil {
			of[s] = &coverage{Scenario: s}
		}
		return of[s]
	}
	for _, p := range d.Compliance.Pairs {
		c := get(p.Scenario)
		c.Pairs = append(c.Pairs, p)
	}
	if d.Config != nil {
		for s, rto := range d.Config.RTO {
			get(s).RTO = readiness.Known(rto)
		}
	}
	for _, s := range scenarios(of) {
		of[s].Uncovered = strings.Join(uncovered(d, s), ", ")
		all = append(all, *of[s])
	}
	return all
}

// uncovered lists datastores in the order of their names: that of the pairs.
func uncovered(d *Data, s readiness.Scenario) (names []string) {
	covered, last := make(map[string]bool), ""
	for _, p := range d.Compliance.Pairs {
		covered[p.Datastore] = covered[p.Datastore] || p.Scenario == s
	}
	for _, p := range d.Compliance.Pairs {
		if p.Datastore != last && !covered[p.Datastore] {
			names = append(names, p.Datastore)
		}
		last = p.Datastore
	}
	return names
}

// Whole is how long a pair could have been observed.
func (view) Whole(p Pair) readiness.Seconds { return p.Observed + p.Unobserved }

// Lasted is how long a breach was.
func (view) Lasted(b Breach) readiness.Seconds { return readiness.InSeconds(b.Length()) }

// BeganLate says that the ledger tells of a part of the period only.
func (v view) BeganLate() bool {
	began, known := v.Compliance.Began.Get()
	return known && began.After(v.From)
}

// Over is how far the error budget is overspent.
func (p Pair) Over() readiness.Seconds { return max(0, -p.Budget.Left) }

// Kept says whether a measured recovery time is within its objective.
func (h Happening) Kept() string {
	measured, _ := h.RTO.Get()
	objective, promised := h.Objective.Get()
	if promised && measured <= objective {
		return readiness.Pass.String()
	}
	return readiness.Fail.String()
}

// Step is how many events are between two of those that are listed.
func (p Proof) Step() uint64 { return uint64(max(0, p.Every)) }
