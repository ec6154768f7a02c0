package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Track is how well the RPO of a datastore in a scenario was kept.
type Track struct {
	Datastore string             `json:"datastore"`
	Scenario  readiness.Scenario `json:"scenario"`
	// RPO is the newest, and Promised says that it still is.
	RPO      readiness.Seconds `json:"rpo_seconds"`
	Promised bool              `json:"promised"`
	// Since is when the ledger first tells of it.
	Since time.Time `json:"since"`
	// Observed is how much of the window is known, and Compliant how much of that was
	// within the RPO.
	Observed  readiness.Seconds `json:"observed_seconds"`
	Compliant readiness.Seconds `json:"compliant_seconds"`
	// Transitions counts how often it changed from compliant to breach, and back.
	Transitions int `json:"transitions"`
	// Count is that of the breaches; Breaches are the longest of them, oldest first.
	Count    int      `json:"breach_count"`
	Breaches []Breach `json:"breaches"`
	// Unplaced is time in breach of which the hours tell, and no change: when it was,
	// within them, is not known. It is part of the shares all the same.
	Unplaced readiness.Seconds `json:"unplaced_breach_seconds"`
	// LastWeek and LastDay are the sums of the end of the window.
	LastWeek Sums `json:"last_week"`
	LastDay  Sums `json:"last_day"`
	// Points is one for each step since the beginning of the hour in which the window
	// begins.
	Points []Point `json:"points"`
}

// Sums are how much time was observed, and how much of that was within the RPO.
type Sums struct {
	Observed  readiness.Seconds `json:"observed_seconds"`
	Compliant readiness.Seconds `json:"compliant_seconds"`
}

// Point is what was seen in a step.
type Point struct {
	// Observed is 0 in a gap; then the rest says nothing.
	Observed  readiness.Seconds `json:"observed_seconds"`
	Compliant readiness.Seconds `json:"compliant_seconds"`
	// Worst is the largest exposure; unknown, and without bound, where it was so for
	// any moment.
	Worst readiness.Maybe[readiness.Seconds] `json:"worst_exposure_seconds"`
}

// Breach is a time without compliance.
type Breach struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Worst is the largest exposure that was known, and Unknown says that for a part
	// of it none was.
	Worst   readiness.Maybe[readiness.Seconds] `json:"worst_exposure_seconds"`
	Unknown bool                               `json:"unknown"`
	// Because is what was said when it began.
	Because string `json:"because,omitempty"`
	// InGaps is how much of it lies in gaps: it was there before and after.
	InGaps readiness.Seconds `json:"in_gaps_seconds"`
	// Earlier says that it began before the window, and Open that it had not ended at
	// To: at the end of the window, or when somebody last looked.
	Earlier bool `json:"earlier"`
	Open    bool `json:"open"`
	// BeganUnseen says that it began in a gap before From, and EndedUnseen that it ended
	// in a gap after To.
	BeganUnseen bool `json:"began_unseen"`
	EndedUnseen bool `json:"ended_unseen"`
}

// Length is from its beginning to its end.
func (b Breach) Length() time.Duration { return b.To.Sub(b.From) }

// Longest is the longest breach of the window, the earliest of several; nil where
// there is none.
func (t Track) Longest() (longest *Breach) {
	for i := range t.Breaches {
		if longest == nil || t.Breaches[i].Length() > longest.Length() {
			longest = &t.Breaches[i]
		}
	}
	return longest
}

// Share is which part of the observed time was compliant, from 0 to 1; unknown where
// none was observed.
func (t Track) Share() readiness.Maybe[float64] { return Sums{t.Observed, t.Compliant}.Share() }

// Share is which part of the observed time was compliant, from 0 to 1; unknown where
// none was observed.
func (s Sums) Share() readiness.Maybe[float64] {
	if s.Observed <= 0 {
		return readiness.Maybe[float64]{}
	}
	return readiness.Known(float64(s.Compliant / s.Observed))
}

// track is a Track in the making.
type track struct {
	Track
	breached bool
	open     Breach // while it is breached
	// cut is how long it was seen before a start since which nothing is told of it;
	// zero where something is.
	cut    time.Time
	recent []span // breaches that an hour may still ask for
	sums   [periods]Sums
}

// change takes a new state in.
func (t *track) change(at time.Time, c Changed, window span) {
	until := at
	switch {
	case c.Before != nil && c.Before.Until.Before(at):
		until = wall(c.Before.Until)
	case c.Before == nil && !t.cut.IsZero() && t.cut.Before(at):
		until = t.cut
	}
	if c.Before != nil && t.breached {
		t.open.Worst = worse(t.open.Worst, c.Before.Worst)
	}
	known, breached := c.Before != nil || !t.cut.IsZero(), c.RPO > 0 && !c.Compliant
	if known && c.RPO > 0 && breached != t.breached && !at.Before(window.from) && at.Before(window.to) {
		t.Transitions++
	}
	switch {
	case t.breached && !breached:
		t.end(until, until.Before(at), window)
	case !t.breached && breached:
		t.begin(Breach{From: at, Because: c.Because, BeganUnseen: known && until.Before(at)})
	}
	if breached {
		t.open.Worst = worse(t.open.Worst, c.Exposure)
		t.open.Unknown = t.open.Unknown || !c.Known
	}
	t.cut, t.Promised = time.Time{}, c.RPO > 0
	t.RPO = cmp.Or(c.RPO, t.RPO)
}

func (t *track) begin(b Breach) { t.breached, t.open = true, b }

// end notes the breach, as far as it is in the window.
func (t *track) end(at time.Time, unseen bool, window span) {
	b := t.open
	b.To, b.EndedUnseen = latest(at, b.From), unseen
	t.breached, t.open = false, Breach{}
	t.keep(b, window)
}

func (t *track) keep(b Breach, window span) {
	t.remember(span{b.From, b.To})
	s := span{b.From, b.To}.within(window)
	atOnce := b.From.Equal(b.To) && !b.From.Before(window.from) && b.From.Before(window.to) && (b.EndedUnseen || b.Open)
	if s.length() == 0 && !atOnce { // what ended at the look that found it did not last
		return
	}
	if b.From.Before(s.from) {
		b.From, b.Earlier, b.BeganUnseen = s.from, true, false
	}
	if b.To.After(s.to) {
		b.To, b.Open, b.EndedUnseen = s.to, true, false
	}
	t.Count++
	t.Breaches = append(t.Breaches, b)
	if len(t.Breaches) >= 2*mostBreaches {
		t.keepLongest()
	}
}

// remember keeps a breach as long as an hour may ask for it.
func (t *track) remember(s span) {
	t.recent = append(slices.DeleteFunc(t.recent, func(old span) bool { return s.from.Sub(old.to) > time.Hour }), s)
}

func (t *track) keepLongest() {
	slices.SortStableFunc(t.Breaches, func(a, b Breach) int { return cmp.Compare(b.Length(), a.Length()) })
	t.Breaches = slices.Clip(t.Breaches[:min(len(t.Breaches), mostBreaches)])
	slices.SortStableFunc(t.Breaches, func(a, b Breach) int { return a.From.Compare(b.From) })
}

// take adds what an hour tells.
func (t *track) take(e Entry, told told, window span) {
	t.mend(e, told.hour, window)
	t.RPO, t.cut = e.RPO, time.Time{}
	t.worsen(e, told.hour)
	breach := e.Observed - e.Compliant
	placed := t.breachIn([]span{told.hour})
	for i, parts := range told.parts {
		share := readiness.Seconds(portion(parts, told.hour))
		observed, lost := share*e.Observed, share*breach
		if share < 1 && placed >= breach-slight {
			lost = min(t.breachIn(parts), observed, breach)
		}
		t.sums[i].Observed += observed
		t.sums[i].Compliant += observed - lost
	}
	if unplaced := breach - placed; unplaced > slight {
		t.Unplaced += unplaced * readiness.Seconds(portion(told.parts[whole], told.hour))
	}
}

// mend puts right what was believed of the time of an hour, where that cannot be: a
// change was lost, or came before a start.
func (t *track) mend(e Entry, hour, window span) {
	full := e.Observed >= readiness.InSeconds(hour.length())-slight
	switch breach := e.Observed - e.Compliant; {
	case t.breached && breach <= slight && !t.cut.IsZero():
		t.end(t.cut, true, window)
	case t.breached && breach <= slight && full && !t.open.From.After(hour.from):
		t.end(hour.from, true, window)
	case !t.breached && e.Compliant <= slight && full && t.breachIn([]span{hour}) == 0:
		t.begin(Breach{From: hour.from, BeganUnseen: true})
	}
}

// worsen takes the worst exposure of an hour for that of the breach that goes on,
// unless it may be that of another one.
func (t *track) worsen(e Entry, hour span) {
	another := t.open.From.After(hour.from) && len(t.recent) > 0 && t.recent[len(t.recent)-1].to.After(hour.from)
	if t.breached && !another {
		t.open.Worst = worse(t.open.Worst, e.Worst)
		t.open.Unknown = t.open.Unknown || !e.Worst.IsKnown()
	}
}

// breachIn is how much of some times is in breach, by the changes.
func (t *track) breachIn(parts []span) readiness.Seconds {
	var d time.Duration
	for _, part := range parts {
		for _, s := range t.recent {
			d += s.within(part).length()
		}
		if t.breached {
			d += span{t.open.From, part.to}.within(part).length()
		}
	}
	return readiness.InSeconds(d)
}

// plot adds what an hour tells to a point.
func (t *track) plot(i, points int, e Entry, share float64) {
	if len(t.Points) < points {
		t.Points = append(make([]Point, 0, points), t.Points...)[:points]
	}
	if i >= points {
		return
	}
	part := readiness.Seconds(share)
	t.Points[i] = t.Points[i].And(Point{Observed: part * e.Observed, Compliant: part * e.Compliant, Worst: e.Worst})
}

// And is what was seen in two steps together.
func (p Point) And(other Point) Point {
	switch {
	case p.Observed <= 0:
		return other
	case other.Observed <= 0:
		return p
	}
	sum := Point{Observed: p.Observed + other.Observed, Compliant: p.Compliant + other.Compliant}
	if p.Worst.IsKnown() && other.Worst.IsKnown() {
		sum.Worst = worse(p.Worst, other.Worst)
	}
	return sum
}

func (t *track) coarsen() {
	for i := range t.Points {
		if i%2 == 0 {
			t.Points[i/2] = t.Points[i]
		} else {
			t.Points[i/2] = t.Points[i/2].And(t.Points[i])
		}
	}
	t.Points = slices.Clone(t.Points[:(len(t.Points)+1)/2])
}

// finish tells what has come of it. until is how long what was told last goes on, and
// recorded is the time that is no gap.
func (t *track) finish(until time.Time, window span, recorded spans) {
	if t.breached {
		b := t.open
		b.To, b.Open = latest(b.From, until), true
		if !t.cut.IsZero() {
			b.To = latest(b.From, t.cut)
		}
		t.keep(b, window)
	}
	t.keepLongest()
	for i, b := range t.Breaches {
		t.Breaches[i].InGaps = readiness.InSeconds(b.Length() - recorded.inside(span{b.From, b.To}))
	}
	for i, s := range t.sums {
		if s.Observed-s.Compliant <= slight {
			t.sums[i].Compliant = s.Observed // but for the rounding
		}
	}
	t.Observed, t.Compliant = t.sums[whole].Observed, t.sums[whole].Compliant
	t.LastWeek, t.LastDay = t.sums[week], t.sums[day]
}
