package history

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// ScribeOptions are what a Scribe is made of.
type ScribeOptions struct {
	// Interval is how often it is shown a report. 0 is 15 s.
	Interval time.Duration
	// Instance and Version say who records. Instance is the actor of the events;
	// empty is drwatch.
	Instance string
	Version  string
}

const (
	// leap is how far back the clock may be set and be waited for. Where it is set back
	// further the record begins anew.
	leap = time.Hour
	// patience is how long the first look at a copy is waited for.
	patience = time.Hour
	// mostParts is into how many parts gaps divide an hour.
	mostParts = 12
	// mostEntries are in an event of the ledger, that has an end to its length.
	mostEntries = 1000
	// mostBecause is how much of a reason is written, in bytes.
	mostBecause = 1000
)

// Scribe decides what to write of what it is shown. It does nothing by itself: time
// is that of the reports. It is for one goroutine.
//
// Only the clock on the wall counts, as the events do: a suspended machine and a
// clock that is set forward are a gap. When the clock is set back by an hour or less,
// nothing is counted until it is where it was, so that no time counts twice.
type Scribe struct {
	options ScribeOptions
	run     string // begins the IDs of what is written between Start and Stop
	drafts  uint64 // how many of them there are
	running bool

	looks uint64    // how many there were
	last  time.Time // of the newest look that counts; zero before the first
	hour  time.Time // that was counted last
	parts int       // of it that are told
	part  part      // of it that is not
	pairs map[pair]*tracked

	out []ledger.Draft
}

// part is the part of an hour that is being told. It is empty where from is zero.
type part struct {
	from, to time.Time
	observed time.Duration
}

// state is what is told when it changes.
type state struct {
	compliant, known bool
	rpo              readiness.Seconds
}

// tracked is what is kept of a pair.
type tracked struct {
	look     uint64    // the newest that found it promised
	promised bool      // by the newest report
	waiting  time.Time // since when its copies wait for their first look; zero where they do not
	idle     bool      // nothing is known, and nobody is to blame: the time is not observed
	seen     bool      // since it is promised; otherwise there is no state
	state    state
	until    time.Time // how long it was seen
	exposure readiness.Maybe[readiness.Seconds]
	worst    readiness.Maybe[readiness.Seconds] // since the state began

	// What follows is of the part of the hour.
	observed, compliant time.Duration
	worstInPart         readiness.Maybe[readiness.Seconds]
	unknownInPart       bool
	rpoInPart           readiness.Seconds
}

// NewScribe makes a Scribe that has seen nothing.
func NewScribe(o ScribeOptions) *Scribe {
	o.Interval = cmp.Or(max(0, o.Interval), 15*time.Second)
	o.Instance = cmp.Or(o.Instance, "drwatch")
	return &Scribe{options: o}
}

// Start begins to record. What is recorded already is stopped first.
func (s *Scribe) Start(at time.Time, system string) []ledger.Draft {
	s.stop(wall(at))
	s.start(wall(at), system)
	return s.take()
}

// Stop ends what was begun. It may be called again, and before Start; then there is
// nothing to write.
func (s *Scribe) Stop(at time.Time) []ledger.Draft {
	s.stop(wall(at))
	return s.take()
}

// See takes a report in. One that comes before Start, or after Stop, starts.
func (s *Scribe) See(r *readiness.Report) []ledger.Draft {
	if r == nil {
		return nil
	}
	at := wall(r.At)
	if s.running && at.Before(s.last.Add(-leap)) {
		s.stop(s.last)
	}
	if !s.running {
		s.start(at, r.System)
	}
	s.pass(at)
	s.look(r)
	return s.take()
}

// wall is a moment as the ledger knows it.
func wall(at time.Time) time.Time { return at.Round(0).UTC().Truncate(time.Microsecond) }

func (s *Scribe) take() []ledger.Draft {
	out := s.out
	s.out = nil
	return out
}

func (s *Scribe) start(at time.Time, system string) {
	*s = Scribe{options: s.options, out: s.out, run: rand.Text(), running: true, pairs: make(map[pair]*tracked)}
	s.write(KindStarted, at, Started{
		Instance: s.options.Instance, Version: s.options.Version, Interval: readiness.InSeconds(s.options.Interval), System: system,
	})
}

func (s *Scribe) stop(at time.Time) {
	if !s.running {
		return
	}
	s.pass(at)
	s.close()
	s.write(KindStopped, latest(at, s.last), Stopped{Instance: s.options.Instance})
	s.running = false
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pass gives the time since the last look to the states that it found.
func (s *Scribe) pass(at time.Time) {
	since, vouched := at.Sub(s.last), at
	switch {
	case s.last.IsZero():
		s.last = at
		return
	case since <= 0: // the clock was set back: wait until it is where it was
		return
	case since > s.options.Interval*3/2:
		vouched = s.last.Add(s.options.Interval)
	}
	for s.last.Before(vouched) {
		end := s.last.Truncate(time.Hour).Add(time.Hour)
		if end.After(vouched) {
			end = vouched
		}
		s.count(s.last, end)
		s.last = end
	}
	gap := vouched.Before(at) && s.parts < mostParts-1 // each is told, unless there are too many
	if gap || !at.Truncate(time.Hour).Equal(s.hour) {
		s.close()
	}
	s.last = at
}

// count takes in a time of one hour that was observed.
func (s *Scribe) count(from, to time.Time) {
	if hour := from.Truncate(time.Hour); !hour.Equal(s.hour) {
		s.close()
		s.hour, s.parts = hour, 0
	}
	if s.part.from.IsZero() {
		s.part.from = from
	}
	s.part.to, s.part.observed = to, s.part.observed+to.Sub(from)
	for _, t := range s.pairs {
		t.count(from, to)
	}
}

func (t *tracked) count(from, to time.Time) {
	if !t.seen || t.idle {
		return
	}
	t.until = to
	t.observed += to.Sub(from)
	t.rpoInPart = t.state.rpo
	if t.state.compliant {
		t.compliant += to.Sub(from)
	}
	t.worstInPart = worse(t.worstInPart, t.exposure)
	t.unknownInPart = t.unknownInPart || !t.exposure.IsKnown()
}

// worse is the larger of those that are known.
func worse(a, b readiness.Maybe[readiness.Seconds]) readiness.Maybe[readiness.Seconds] {
	x, known := a.Get()
	y, other := b.Get()
	if other && (!known || y > x) {
		return b
	}
	return a
}

// close tells the part of the hour, if there is one.
func (s *Scribe) close() {
	if s.part.from.IsZero() {
		return
	}
	hour := Hour{From: s.part.from, To: s.part.to, Observed: readiness.InSeconds(s.part.observed)}
	entries := s.entries()
	for first := true; first || len(entries) > 0; first = false {
		n := min(mostEntries, len(entries))
		hour.Entries, entries = entries[:n:n], entries[n:]
		s.write(KindHour, hour.To, hour)
	}
	s.part = part{}
	s.parts++
}

// entries gives what was seen in the part of the hour, and begins the next.
func (s *Scribe) entries() []Entry {
	entries := make([]Entry, 0, len(s.pairs))
	for _, p := range s.sorted() {
		t := s.pairs[p]
		if t.observed > 0 {
			e := Entry{
				Datastore: p.datastore, Scenario: p.scenario, RPO: t.rpoInPart, Worst: t.worstInPart,
				Compliant: readiness.InSeconds(t.compliant), Observed: readiness.InSeconds(t.observed),
			}
			if t.unknownInPart {
				e.Worst = readiness.Maybe[readiness.Seconds]{}
			}
			entries = append(entries, e)
		}
		t.observed, t.compliant, t.unknownInPart = 0, 0, false
		t.worstInPart = readiness.Maybe[readiness.Seconds]{}
		if !t.promised {
			delete(s.pairs, p)
		}
	}
	return entries
}

func (s *Scribe) sorted() []pair {
	return slices.SortedFunc(maps.Keys(s.pairs), pair.compare)
}

func (p pair) compare(other pair) int {
	return cmp.Or(strings.Compare(p.datastore, other.datastore), bySeverity(p.scenario, other.scenario))
}

// bySeverity has the mildest scenario first.
func bySeverity(a, b readiness.Scenario) int {
	all := readiness.Scenarios()
	return cmp.Or(slices.Index(all, a)-slices.Index(all, b), strings.Compare(string(a), string(b)))
}

// look takes the states from a report, and tells what has changed.
func (s *Scribe) look(r *readiness.Report) {
	s.promises(r)
	for _, d := range r.Datastores {
		for _, c := range d.Coverage {
			p := pair{d.Name, c.Scenario}
			c.Exposure = finite(c.Exposure)
			if t := s.pairs[p]; !t.waits(d, c, s.last) {
				s.see(p, t, c)
			}
		}
	}
}

// finite takes what is no number for unknown.
func finite(exposure readiness.Maybe[readiness.Seconds]) readiness.Maybe[readiness.Seconds] {
	if e, _ := exposure.Get(); math.IsNaN(float64(e)) || math.IsInf(float64(e), 0) {
		return readiness.Maybe[readiness.Seconds]{}
	}
	return exposure
}

// waits reports whether nothing can be known yet, since a copy that survives the
// scenario was never looked at: after a start, or when the file has changed.
func (t *tracked) waits(d readiness.DatastoreReport, c readiness.Coverage, now time.Time) bool {
	t.idle = !c.Exposure.IsKnown() && slices.ContainsFunc(d.Copies, func(copied readiness.CopyReport) bool {
		return copied.Probe.Looks == 0 && slices.Contains(copied.Survives, c.Scenario)
	})
	switch {
	case !t.idle:
		t.waiting = time.Time{}
	case t.waiting.IsZero():
		t.waiting = now
	default:
		t.idle = now.Sub(t.waiting) < patience
	}
	return t.idle
}

// promises finds which pairs are new, which are gone, and which have another RPO. An
// event tells of one RPO only, so another one begins a new part of the hour.
func (s *Scribe) promises(r *readiness.Report) {
	s.looks++
	another := false
	for _, d := range r.Datastores {
		for _, c := range d.Coverage {
			p := pair{d.Name, c.Scenario}
			t := s.pairs[p]
			if t == nil {
				t = &tracked{}
				s.pairs[p] = t
			}
			t.promised, t.look = true, s.looks
			another = another || t.observed > 0 && t.rpoInPart != c.RPO
		}
	}
	s.forget()
	if another {
		s.close()
	}
}

// forget ends the states of which nothing is promised any more. What was counted is
// still to be told.
func (s *Scribe) forget() {
	var gone []pair
	for p, t := range s.pairs {
		if t.promised && t.look != s.looks {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, pair.compare)
	for _, p := range gone {
		t := s.pairs[p]
		if t.seen {
			s.change(p, t, state{}, Changed{Because: "no RPO is promised any more"})
		}
		t.promised, t.seen, t.waiting = false, false, time.Time{}
	}
}

// see takes the state of a pair in.
func (s *Scribe) see(p pair, t *tracked, c readiness.Coverage) {
	is := state{compliant: c.Compliant && c.Exposure.IsKnown(), known: c.Exposure.IsKnown(), rpo: c.RPO}
	if !t.seen || t.state != is {
		told := Changed{Exposure: c.Exposure}
		if !is.compliant {
			told.Because = cut(c.Because)
		}
		s.change(p, t, is, told)
		t.worst = readiness.Maybe[readiness.Seconds]{}
	}
	t.seen, t.state, t.until, t.exposure = true, is, s.last, c.Exposure
	t.worst = worse(t.worst, c.Exposure)
}

func (s *Scribe) change(p pair, t *tracked, is state, told Changed) {
	told.Datastore, told.Scenario = p.datastore, p.scenario
	told.Compliant, told.Known, told.RPO = is.compliant, is.known, is.rpo
	if t.seen {
		told.Before = &Before{Until: t.until, Worst: t.worst}
	}
	s.write(KindChanged, s.last, told)
}

// cut shortens a reason.
func cut(because string) string {
	if len(because) <= mostBecause {
		return because
	}
	end := mostBecause
	for end > 0 && !utf8.RuneStart(because[end]) {
		end--
	}
	return because[:end] + "..."
}

// write adds a draft. Its ID is the same however often it is sent.
func (s *Scribe) write(kind string, at time.Time, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		return // it cannot be: no number in it is infinite
	}
	s.drafts++
	s.out = append(s.out, ledger.Draft{
		ID: s.run + "-" + strconv.FormatUint(s.drafts, 10), Time: at, Kind: kind, Actor: s.options.Instance, Body: text,
	})
}
