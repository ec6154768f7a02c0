package readiness

import (
	"maps"
	"slices"
	"time"
)

// Sightings is what has been seen of one datastore or service, and what that
// proves. It is not safe for concurrent use; the values that Seen returns are not
// changed afterwards and may be shared.
type Sightings struct {
	datastore Datastore
	track     track
	// sourceAhead is by how much, at most, the clock of the primary is ahead of ours.
	sourceAhead Maybe[time.Duration]
	acks        map[string]Position
	seen        map[string]*Seen
}

// Seen is what is known of one copy, or part, from all looks at it so far.
type Seen struct {
	// Latest is the newest look, successful or not.
	Latest Observation
	// Good is the newest look that gave a reading; At is zero when none did.
	Good Observation
	// Held is the newest look at which the copy was what it is meant to be. What
	// is proven of the copy was proven then.
	Held Observation
	// Received is the recovery point: the newest moment whose data the copy holds.
	Received Maybe[Point]
	// Replayed is the newest moment whose data the copy has applied.
	Replayed Maybe[Point]
	// Ahead is by how much a proven moment lay in the future of the look.
	Ahead time.Duration
	// Broke tells how the history of a primary broke with what it was before, and
	// BrokeAt when that was seen; empty when it never did.
	Broke   string
	BrokeAt time.Time
	// Looks counts the looks, Failures those that gave no reading, by class.
	Looks    uint64
	Failures map[Class]uint64
}

// NewSightings starts with nothing seen.
func NewSightings(d Datastore) *Sightings {
	return &Sightings{datastore: d, seen: make(map[string]*Seen, len(d.Copies))}
}

// Seen returns what is known of a copy or a part; nil when it was never looked at.
func (s *Sightings) Seen(name string) *Seen { return s.seen[name] }

// ObservePart takes in one look at one part of the service.
func (s *Sightings) ObservePart(p Part, o Observation) { s.note(p.Name, o) }

// Observe takes in one look at one copy of the datastore.
func (s *Sightings) Observe(c Copy, o Observation) {
	next := s.note(c.Name, o)
	if o.Failure != nil || !c.isItself(o.Reading) {
		return
	}
	before := next.Held
	next.Held = o
	switch c.Kind {
	case Primary:
		if written, ok := o.Reading.Written.Get(); ok {
			if how := s.track.departs(o.Reading, written); how != "" {
				next.Broke, next.BrokeAt = how, o.At
			}
		}
		s.sawPrimary(o)
		next.Received = Known(Point{At: o.asOf(), Basis: BasisLive})
		next.Replayed = next.Received
	case Replica:
		s.prove(next, before, c)
	default:
		next.Received, next.Ahead = s.newest(o, o.Reading.Points)
		next.Replayed = next.Received
	}
}

// note makes the new picture of what was looked at. Only who called it may still
// change that, and before anybody else can see it.
func (s *Sightings) note(name string, o Observation) *Seen {
	next := &Seen{}
	if prev := s.seen[name]; prev != nil {
		*next = *prev
	}
	s.seen[name] = next
	next.Latest = o
	next.Looks++
	if o.Failure != nil {
		next.Failures = maps.Clone(next.Failures)
		if next.Failures == nil {
			next.Failures = make(map[Class]uint64, 1)
		}
		next.Failures[o.Failure.Class]++
		return next
	}
	next.Good = o
	return next
}

// asOf is the moment for which the reading speaks, never one after the look.
func (o Observation) asOf() time.Time {
	if at, ok := o.Reading.AsOf.Get(); ok && at.Before(o.At) {
		return at
	}
	return o.At
}

// isItself reports whether the server is what the file says it is; only then
// does what it says prove anything about the copy. A promoted replica has left
// the history of its primary.
func (c Copy) isItself(r Reading) bool {
	switch {
	case c.Kind == Primary:
		return r.Role == RolePrimary
	case c.Kind == Replica && !c.Logical:
		return r.Role == RoleReplica
	default:
		return true
	}
}

// sawPrimary extends the track and lets what is known of the replicas gain by it.
func (s *Sightings) sawPrimary(o Observation) {
	s.acks = o.Reading.Acknowledged
	if offset, ok := o.Reading.ClockOffset.Get(); ok {
		s.sourceAhead = Known(offset + o.Reading.ClockError)
	}
	if written, ok := o.Reading.Written.Get(); ok {
		s.track.add(o.asOf(), o.Reading, written)
	}
	for _, c := range s.datastore.Copies {
		seen := s.seen[c.Name]
		if c.Kind != Replica || seen == nil || seen.Held.At.IsZero() {
			continue
		}
		next := *seen
		s.prove(&next, next.Held, c)
		s.seen[c.Name] = &next
	}
}

// prove derives what the newest look at a replica shows that it holds. What an
// earlier look proved stays proven while the copy has not lost anything since.
func (s *Sightings) prove(seen *Seen, before Observation, c Copy) {
	r := seen.Held.Reading
	var applied Maybe[Point]
	var ahead time.Duration
	if points := s.ours(c, r); len(points) > 0 {
		applied, ahead = s.newest(seen.Held, points)
	}
	received := later(applied, s.covered(seen.Held, r.Received))
	if c.Logical {
		received = later(received, s.acknowledged(seen.Held))
	}
	replayed := later(applied, s.covered(seen.Held, r.Replayed))
	if continues(before.Reading, r) {
		received = later(received, s.dated(seen.Received))
		replayed = later(replayed, s.dated(seen.Replayed))
	}
	received, replayed = s.capped(received, r, r.Received), s.capped(replayed, r, r.Replayed)
	seen.Received, seen.Replayed, seen.Ahead = received, replayed, ahead
}

// ours are the moments of a reading that are of the history of the primary. Those
// of another history prove nothing here. A platform that measures the lag of a
// replica behind its source knows which source that is.
func (s *Sightings) ours(c Copy, r Reading) []Point {
	if c.Logical || s.track.system == "" || s.track.isOf(r) {
		return r.Points
	}
	if r.System != "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.Points), func(p Point) bool { return p.Basis != BasisLag })
}

// dated drops what must not be kept: a moment that lay in the future, and one
// that was read from a clock nobody had compared with ours then, once somebody
// has. Both are derived anew.
func (s *Sightings) dated(p Maybe[Point]) Maybe[Point] {
	if point, ok := p.Get(); ok && (point.clamped || point.SourceClock && s.sourceAhead.IsKnown()) {
		return Maybe[Point]{}
	}
	return p
}

// newest gives the latest of moments that a look proves, on our clock, and
// by how much it lay after the end of the look. Nobody can hold data of a moment
// that has not come, so such a moment counts as that of the look; so does one
// that came while the look was under way, which is in good order. A moment on
// the clock of the primary is taken for the earliest that it can be on ours.
func (s *Sightings) newest(o Observation, points []Point) (best Maybe[Point], ahead time.Duration) {
	for _, p := range points {
		if offset, ok := s.sourceAhead.Get(); ok && p.SourceClock {
			p.At, p.SourceClock = p.At.Add(-offset), false
		}
		p.At = o.At.Add(p.At.Sub(o.At)) // so that it has a monotonic reading, too
		if beyond := p.At.Sub(o.At); beyond > 0 {
			ahead = max(ahead, beyond-o.Took)
			p.At, p.clamped = o.At, beyond > o.Took
		}
		best = later(best, Known(p))
	}
	return best, ahead
}

// covered gives the moment that a position proves, by the track.
func (s *Sightings) covered(o Observation, position Maybe[Position]) Maybe[Point] {
	return s.provenBy(o.Reading, position, o.At)
}

// acknowledged is what the source says that a logical replica has confirmed. It
// is in the track's own history, whatever the identity of the replica.
func (s *Sightings) acknowledged(o Observation) Maybe[Point] {
	position, ok := s.acks[o.Reading.Receiver]
	if !ok || o.Reading.Receiver == "" {
		return Maybe[Point]{}
	}
	return s.provenBy(Reading{System: s.track.system, Timeline: s.track.timeline}, Known(position), o.At)
}

// provenBy gives the moment that a position in the history of a reading proves,
// and never one after the look at the copy.
func (s *Sightings) provenBy(r Reading, position Maybe[Position], looked time.Time) Maybe[Point] {
	p, ok := position.Get()
	if !ok {
		return Maybe[Point]{}
	}
	at, ok := s.track.covers(r, p)
	if !ok {
		return Maybe[Point]{}
	}
	if at.After(looked) { // the primary wrote nothing between the two looks
		at = looked
	}
	return Known(Point{At: at, Basis: BasisPosition})
}

// continues reports whether the copy still holds all that it held before. One
// that is fed by another name, or by none, is being made anew.
func continues(before, now Reading) bool {
	if before.System != now.System || before.Timeline != now.Timeline || before.Receiver != now.Receiver {
		return false
	}
	was, wasKnown := before.Received.Get()
	is, isKnown := now.Received.Get()
	if wasKnown && isKnown {
		return is >= was
	}
	return !wasKnown && before.Server == now.Server
}

func later(a, b Maybe[Point]) Maybe[Point] {
	pa, oka := a.Get()
	pb, okb := b.Get()
	if !oka || (okb && pb.At.After(pa.At)) {
		return b
	}
	return a
}

// Inherit takes over what an earlier record of the same datastore holds on the
// named copies, and how far the primary had gone if it is one of them.
func (s *Sightings) Inherit(from *Sightings, copies []string) {
	for _, name := range copies {
		if seen := from.seen[name]; seen != nil {
			s.seen[name] = seen
		}
	}
	for _, c := range s.datastore.Copies {
		if c.Kind == Primary && s.seen[c.Name] != nil {
			s.track, s.sourceAhead, s.acks = from.track, from.sourceAhead, from.acks
			s.track.samples = slices.Clone(from.track.samples)
		}
	}
}

// capped bounds what is claimed by what the track refutes: a copy that holds no
// more than a position lacks the data of the moment at which the primary was
// first seen beyond it, whatever some clock says.
func (s *Sightings) capped(p Maybe[Point], r Reading, held Maybe[Position]) Maybe[Point] {
	point, ok := p.Get()
	position, okh := held.Get()
	if !ok || !okh {
		return p
	}
	if at, ok := s.track.lacks(r, position); ok && point.At.After(at) {
		point.At = at
		return Known(point)
	}
	return p
}
