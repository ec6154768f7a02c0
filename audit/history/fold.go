package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// Reader is what [Read] needs of a [ledger.Store].
type Reader interface {
	Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error]
}

// History is what the ledger tells of a window of time.
type History struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Until is how far the sums go. It is before To where the hour that is just being
	// recorded is not told yet; shares are those of the time from From to Until.
	Until time.Time `json:"until"`
	// Observed is the time in which drwatch looked, whatever became of it.
	Observed readiness.Seconds `json:"observed_seconds"`
	Gaps     []Gap             `json:"gaps"`
	// Step is how long a point of a track is: an hour, or more where they would be too many.
	Step   readiness.Seconds `json:"step_seconds"`
	Tracks []Track           `json:"tracks"`
	// Unread counts the events that could not be understood.
	Unread int `json:"unread_events"`
}

// Gap is a time that no event tells of: drwatch did not run or did not look, the
// machine slept, or what was seen did not come to be written.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Unobserved is less than from From to To where many short gaps are told as one.
	Unobserved readiness.Seconds `json:"unobserved_seconds"`
}

const (
	// mostPoints are in all tracks together.
	mostPoints = 1 << 20
	// mostBreaches are listed of a track; they are the longest.
	mostBreaches = 1000
	// late is by how much later than the end of an hour its event may come.
	late = 5 * time.Minute
	// slight is a difference, in seconds, that comes from sums of fractions.
	slight = 1e-3
)

// Read folds what the ledger tells of a window. It goes along the whole stream, event
// by event, so that it knows how matters stood when the window began; what it holds
// depends on the window and on how many datastores there are.
//
// Shares come from the hours. Where the window begins or ends within one, its time
// counts by the part that lies in the window, and its breaches by the changes that
// fall there. Breaches come from the changes, and end where the window does. Where a
// change was lost, the hours mend it as well as they can.
func Read(ctx context.Context, r Reader, from, to time.Time) (History, error) {
	from, to = wall(from), wall(to)
	if !from.Before(to) {
		return History{}, fmt.Errorf("read the RPO history from %s to %s: that is no time: the end must be after the beginning", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	f := newFold(from, to)
	for e, err := range r.Events(ctx, ledger.Query{Stream: Stream}) {
		if err != nil {
			return History{}, fmt.Errorf("read the RPO history: %w", err)
		}
		if !f.take(e) {
			f.history.Unread++
		}
	}
	return f.finish(), nil
}

// fold is a history in the making.
type fold struct {
	history History
	periods [periods]span
	tracks  map[pair]*track
	covered spans // of the window, by hours
	points  int   // of each track
	told    told

	running  bool      // by the newest start or stop
	since    time.Time // of the newest start
	lastSeen time.Time // the newest moment at which somebody looked
	lastHour time.Time // the end of the newest hour
}

// The periods of which sums are kept: the window, and its last week and day.
const (
	whole = iota
	week
	day
	periods
)

// told is the newest hour: its entries may come in several events.
type told struct {
	actor string
	hour  span
	parts [periods][]span // that no other had told of
}

func newFold(from, to time.Time) *fold {
	f := &fold{history: History{From: from, To: to, Step: readiness.InSeconds(time.Hour)}, tracks: make(map[pair]*track)}
	f.periods = [periods]span{
		whole: {from, to}, week: {latest(from, to.Add(-7*24*time.Hour)), to}, day: {latest(from, to.Add(-24*time.Hour)), to},
	}
	f.points = int(to.Sub(f.start())/time.Hour) + 1
	return f
}

// start is where the points begin.
func (f *fold) start() time.Time { return f.history.From.Truncate(time.Hour) }

// take takes an event in. It is false where that makes no sense.
func (f *fold) take(e ledger.Event) bool {
	switch e.Kind {
	case KindStarted:
		f.started(e.Time)
	case KindStopped:
		f.running = false
	case KindChanged:
		var c Changed
		if json.Unmarshal(e.Body, &c) != nil || !c.sensible() {
			return false
		}
		f.changed(e.Time, c)
	case KindHour:
		return f.hour(e)
	}
	return true // others may come to be
}

func (c Changed) sensible() bool {
	exposure, _ := c.Exposure.Get()
	return c.Datastore != "" && c.RPO >= 0 && exposure >= 0
}

func (h Hour) sensible() bool {
	length := h.To.Sub(h.From)
	return length > 0 && length <= time.Hour && h.Observed >= 0 && h.Observed <= readiness.InSeconds(length)+slight &&
		!slices.ContainsFunc(h.Entries, func(e Entry) bool {
			worst, _ := e.Worst.Get()
			return e.Datastore == "" || worst < 0 || e.Compliant < 0 || e.Compliant > e.Observed+slight || e.Observed > h.Observed+slight
		})
}

// started is when somebody begins to look who does not know what was before.
func (f *fold) started(at time.Time) {
	if at.Before(f.lastSeen) { // by a clock that was set back since
		f.lastSeen = at
	}
	for _, t := range f.tracks {
		if t.Promised && t.cut.IsZero() {
			t.cut = f.lastSeen
		}
	}
	f.running, f.since = true, at
}

func (f *fold) changed(at time.Time, c Changed) {
	f.lastSeen = latest(f.lastSeen, at)
	f.track(pair{c.Datastore, c.Scenario}, at).change(at, c, f.periods[whole])
}

func (f *fold) hour(e ledger.Event) bool {
	w := f.periods[whole]
	if !e.Time.After(w.from) || !e.Time.Add(-time.Hour).Before(w.to) {
		f.seen(e.Time)
		return true
	}
	var h Hour
	if json.Unmarshal(e.Body, &h) != nil || !h.sensible() {
		return false
	}
	hour := span{wall(h.From), wall(h.To)}
	f.seen(hour.to)
	if f.told.actor != e.Actor || f.told.hour != hour {
		f.tell(e.Actor, hour, h.Observed)
	}
	if len(f.told.parts[whole]) == 0 {
		return true
	}
	for _, entry := range h.Entries {
		t := f.track(pair{entry.Datastore, entry.Scenario}, hour.from)
		t.take(entry, f.told, w)
		t.plot(f.point(hour.from), f.points, entry, portion(f.told.parts[whole], hour))
	}
	return true
}

func (f *fold) seen(until time.Time) {
	f.lastSeen, f.lastHour = latest(f.lastSeen, until), latest(f.lastHour, until)
}

// tell takes in the time of an hour, as far as it is news.
func (f *fold) tell(actor string, hour span, observed readiness.Seconds) {
	f.told = told{actor: actor, hour: hour}
	news := f.covered.outside(hour)
	for i, period := range f.periods {
		for _, part := range news {
			if part = part.within(period); part.length() > 0 {
				f.told.parts[i] = append(f.told.parts[i], part)
			}
		}
	}
	share := readiness.Seconds(portion(f.told.parts[whole], hour))
	f.history.Observed += share * observed
	missing := share * (readiness.InSeconds(hour.length()) - observed)
	for _, part := range f.told.parts[whole] {
		f.covered = f.covered.add(part)
		if lost := missing * readiness.Seconds(portion([]span{part}, hour)) / share; lost > slight {
			f.history.Gaps = append(f.history.Gaps, Gap{From: part.from, To: part.to, Unobserved: lost})
		}
	}
}

// portion is which share of a time its parts are.
func portion(parts []span, of span) float64 {
	var d time.Duration
	for _, part := range parts {
		d += part.length()
	}
	return float64(d) / float64(of.length())
}

// track gives that of a pair.
func (f *fold) track(p pair, at time.Time) *track {
	t := f.tracks[p]
	if t == nil {
		t = &track{Track: Track{Datastore: p.datastore, Scenario: p.scenario, Since: at, Promised: true}}
		f.tracks[p] = t
		for f.points > 1 && len(f.tracks)*f.points > mostPoints {
			f.coarsen()
		}
	}
	return t
}

// point is the index of that in which a moment is.
func (f *fold) point(at time.Time) int {
	return max(0, int(at.Sub(f.start())/f.history.Step.Duration()))
}

// coarsen makes one point of two.
func (f *fold) coarsen() {
	f.history.Step *= 2
	f.points = (f.points + 1) / 2
	for _, t := range f.tracks {
		t.coarsen()
	}
}

// finish tells what has come of it all.
func (f *fold) finish() History {
	h := &f.history
	h.Until = f.until()
	for _, gap := range f.covered.outside(span{h.From, h.Until}) {
		h.Gaps = append(h.Gaps, Gap{From: gap.from, To: gap.to, Unobserved: readiness.InSeconds(gap.length())})
	}
	slices.SortFunc(h.Gaps, func(a, b Gap) int { return a.From.Compare(b.From) })
	recorded := f.covered.add(span{h.Until, h.To}) // what is just being recorded is no gap
	for _, p := range slices.SortedFunc(maps.Keys(f.tracks), pair.compare) {
		t := f.tracks[p]
		if !t.cut.IsZero() && f.lastHour.After(f.since) { // nothing was told of it since the start
			t.Promised = false
		}
		t.finish(f.lookedUntil(), f.periods[whole], recorded)
		if t.Promised || t.Observed > 0 || len(t.Breaches) > 0 {
			h.Tracks = append(h.Tracks, t.Track)
		}
	}
	return *h
}

// until is how far the window is told.
func (f *fold) until() time.Time {
	to := f.periods[whole].to
	end := latest(f.lastHour, f.since)
	if f.running && end.Before(to) && to.Sub(end) <= time.Hour+late {
		return latest(end, f.periods[whole].from)
	}
	return to
}

// lookedUntil is how long what was told last goes on.
func (f *fold) lookedUntil() time.Time {
	if to := f.periods[whole].to; f.until().Before(to) {
		return to
	}
	return f.lastSeen
}
