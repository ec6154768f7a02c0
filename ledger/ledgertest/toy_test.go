package ledgertest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drwatch/drwatch/ledger"
)

// toy keeps a ledger in memory. Each of its faults is one that a real store has had,
// or could have.
type toy struct {
	*shared
	closed, readOnly bool
}

// shared is what the handles of a ledger have in common.
type shared struct {
	mu     sync.Mutex
	fault  string
	now    time.Time
	events []ledger.Event
	extent ledger.Extent
	newest map[string]uint64
	leases map[string]ledger.Lease
	tokens map[string]uint64
	ttls   map[string]time.Duration

	full, broken, cut, deaf bool
}

func newToy(fault string) *toy {
	return &toy{shared: &shared{
		fault: fault, now: noon(), newest: map[string]uint64{}, leases: map[string]ledger.Lease{},
		tokens: map[string]uint64{}, ttls: map[string]time.Duration{},
	}}
}

// again is one more handle.
func (s *toy) again() (ledger.Store, error) {
	switch {
	case s.broken && s.has("recreates"):
		return newToy(s.fault), nil
	case s.broken && !s.has("believes damage"):
		return nil, ledger.ErrCorrupt
	}
	return &toy{shared: s.shared}, nil
}

func (s *shared) has(fault string) bool { return s.fault == fault }

// begin is what every call begins with; it leaves the ledger locked where there is no error.
func (s *toy) begin(ctx context.Context, writes bool) error {
	if err := ctx.Err(); err != nil && !s.has("ignores the context") {
		return err
	}
	s.mu.Lock()
	cut := s.cut
	var err error
	switch {
	case s.closed && !s.has("works when closed"):
		err = fmt.Errorf("it is closed")
	case s.broken && !s.has("believes damage"):
		err = ledger.ErrCorrupt
	case writes && s.readOnly && !s.has("calls read-only anything"):
		err = ledger.ErrReadOnly
	case writes && s.readOnly:
		err = fmt.Errorf("it is not allowed")
	}
	if err != nil || cut {
		s.mu.Unlock()
	}
	if cut && err == nil {
		if s.has("hangs with the network") {
			time.Sleep(4 * time.Second)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *toy) Append(ctx context.Context, a ledger.Append) ([]ledger.Event, error) {
	if err := a.Check(); err != nil && !s.has("checks nothing") {
		return nil, err
	}
	if err := s.begin(ctx, true); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	arrived, err := s.arrived(a)
	if err != nil || arrived != nil {
		return arrived, err
	}
	newest := s.newest[a.Stream]
	if s.has("forgets pruned streams") && !slices.ContainsFunc(s.events, func(e ledger.Event) bool { return e.Stream == a.Stream }) {
		newest = 0
	}
	switch {
	case a.After != ledger.Any && a.After != newest && !s.has("never conflicts"):
		return nil, &ledger.ConflictError{Stream: a.Stream, After: a.After, Newest: newest}
	case a.Under != nil && !s.holds(*a.Under) && !s.has("never fences"):
		return nil, ledger.ErrFenced
	case s.full && len(a.Drafts[0].Body) > 1000 && s.has("calls full anything"):
		return nil, fmt.Errorf("it does not fit")
	case s.full && len(a.Drafts[0].Body) > 1000:
		return nil, ledger.ErrFull
	}
	if s.has("races") {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	var added []ledger.Event
	position, head := s.extent.Last, s.extent.Head
	for _, d := range a.Drafts {
		if s.has("tears batches") && slices.ContainsFunc(s.events, func(e ledger.Event) bool { return e.Stream == a.Stream && e.ID == d.ID }) {
			return nil, ledger.ErrInvalid
		}
		position, newest = position+1, newest+1
		e := ledger.Seal(d, a.Stream, position, newest, head)
		if s.has("loses time") {
			e.Time = e.Time.Truncate(time.Millisecond)
		}
		if s.has("normalises bodies") {
			e.Body = []byte(strings.TrimSpace(string(e.Body)))
		}
		added, head = append(added, e), e.Hash
		if s.has("tears batches") {
			s.keep(e)
		}
	}
	if !s.has("tears batches") {
		s.keep(added...)
	}
	if s.deaf {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, ctx.Err()
	}
	return added, nil
}

func (s *shared) keep(events ...ledger.Event) {
	for _, e := range events {
		if s.extent.Last == 0 {
			s.extent.First = 1
		}
		s.events = append(s.events, e)
		s.extent.Last, s.extent.Head, s.newest[e.Stream] = e.Position, e.Hash, e.Sequence
	}
	s.extent.Streams = len(s.newest)
}

// arrived gives the events of the drafts that are there already.
func (s *shared) arrived(a ledger.Append) ([]ledger.Event, error) {
	if s.has("doubles") || s.has("tears batches") {
		return nil, nil
	}
	var found []ledger.Event
	last := uint64(0)
	for _, d := range a.Drafts {
		for _, e := range s.events {
			if d.ID == "" || e.Stream != a.Stream || e.ID != d.ID {
				continue
			}
			if s.has("conflicts at duplicates") {
				return nil, &ledger.ConflictError{Stream: a.Stream, After: a.After, Newest: s.newest[a.Stream]}
			}
			same := e.Kind == d.Kind && e.Actor == d.Actor && string(e.Body) == string(d.Body) && e.Sequence > last
			if !same && !s.has("takes any duplicate") {
				return nil, ledger.ErrInvalid
			}
			found, last = append(found, e), e.Sequence
		}
	}
	if len(found) != 0 && len(found) != len(a.Drafts) && !s.has("takes any duplicate") {
		return nil, ledger.ErrInvalid
	}
	return found, nil
}

// end is the last position that a query asks for and that was appended.
func (s *shared) end(q ledger.Query) uint64 {
	if s.has("reads beyond its head") {
		return q.UpTo
	}
	if q.UpTo == 0 {
		return s.extent.Last
	}
	return min(q.UpTo, s.extent.Last)
}

func (s *toy) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		if err := s.begin(ctx, false); err != nil {
			yield(ledger.Event{}, err)
			return
		}
		all := filter(s.events, ledger.Query{Stream: q.Stream, Prefix: q.Prefix, After: q.After, UpTo: s.end(q), Backward: q.Backward})
		if s.has("ignores case") {
			all = filter(s.events, ledger.Query{After: q.After, UpTo: s.end(q), Backward: q.Backward})
			all = slices.DeleteFunc(all, func(e ledger.Event) bool {
				return q.Stream != "" && !strings.EqualFold(e.Stream, q.Stream) || !strings.HasPrefix(strings.ToLower(e.Stream), strings.ToLower(q.Prefix))
			})
		}
		s.mu.Unlock()
		if s.has("leaks a goroutine") {
			go func() { time.Sleep(20 * time.Second) }()
		}
		if s.has("locks while reading") {
			s.mu.Lock()
			defer s.mu.Unlock()
		}
		if s.has("reads all at once") {
			for i := range all {
				all[i].Body = slices.Clone(all[i].Body)
			}
		}
		for i, e := range all {
			if ctx.Err() != nil && !s.has("ignores the context") {
				yield(ledger.Event{}, ctx.Err())
				return
			}
			if s.has("reads out of order") && i > 0 && i+1 < len(all) {
				e = all[len(all)-1-i]
			}
			if !yield(e, nil) {
				return
			}
		}
		for s.has("never ends") && !q.Backward && ctx.Err() == nil && yield(all[0], nil) {
		}
	}
}

func (s *toy) Extent(ctx context.Context) (ledger.Extent, error) {
	if err := s.begin(ctx, false); err != nil {
		return ledger.Extent{}, err
	}
	defer s.mu.Unlock()
	x := s.extent
	if s.has("forgets its head") {
		x.Head = ledger.Hash{}
	}
	return x, nil
}

func (s *toy) Prune(ctx context.Context, upTo uint64) error {
	if err := s.begin(ctx, true); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for len(s.events) > 0 && s.events[0].Position <= upTo {
		if !s.has("forgets its base") {
			s.extent.Base = s.events[0].Hash
		}
		s.extent.First = s.events[0].Position + 1
		s.events = s.events[1:]
	}
	if len(s.events) == 0 && s.has("begins anew") {
		s.extent = ledger.Extent{}
	}
	return nil
}

// held gives a lease that somebody has, and shortens one that a jump of the clock
// has made too long.
func (s *shared) held(name string) (ledger.Lease, bool) {
	l, ok := s.leases[name]
	if most := s.now.Add(s.ttls[name]); ok && l.Until.After(most) && !s.has("believes the clock") {
		l.Until = most
		s.leases[name] = l
	}
	if s.has("never runs out") {
		return l, ok
	}
	return l, ok && s.now.Before(l.Until)
}

func (s *shared) holds(l ledger.Lease) bool {
	has, ok := s.held(l.Name)
	return ok && has.Holder == l.Holder && (has.Token == l.Token || s.has("knows holders only"))
}

func (s *toy) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (ledger.Lease, error) {
	if err := ledger.CheckLease(name, holder, ttl); err != nil && !s.has("checks nothing") {
		return ledger.Lease{}, err
	}
	if err := s.begin(ctx, true); err != nil {
		return ledger.Lease{}, err
	}
	defer s.mu.Unlock()
	has, taken := s.held(name)
	if taken && has.Holder != holder && !s.has("lends twice") {
		return ledger.Lease{}, &ledger.HeldError{Lease: has}
	}
	if (!taken || !s.has("keeps the token")) && !s.has("never grows") {
		s.tokens[name]++
	}
	if s.has("never grows") {
		s.tokens[name] = 1
	}
	l := ledger.Lease{Name: name, Holder: holder, Token: s.tokens[name], Until: s.now.Add(ttl)}
	s.leases[name], s.ttls[name] = l, ttl
	return l, nil
}

func (s *toy) Renew(ctx context.Context, l ledger.Lease, ttl time.Duration) (ledger.Lease, error) {
	if err := s.begin(ctx, true); err != nil {
		return ledger.Lease{}, err
	}
	defer s.mu.Unlock()
	if !s.holds(l) && (!s.has("renews anything") || s.leases[l.Name].Token != l.Token) {
		return ledger.Lease{}, ledger.ErrFenced
	}
	l.Until = s.now.Add(ttl)
	s.leases[l.Name], s.ttls[l.Name] = l, ttl
	return l, nil
}

func (s *toy) Release(ctx context.Context, l ledger.Lease) error {
	if err := s.begin(ctx, true); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.holds(l) || s.has("releases anything") {
		delete(s.leases, l.Name)
	}
	if s.has("forgets tokens") {
		delete(s.tokens, l.Name)
	}
	return nil
}

func (s *toy) Leases(ctx context.Context) (all []ledger.Lease, err error) {
	if err := s.begin(ctx, false); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.leases)) {
		if l, ok := s.held(name); ok || s.has("lists what ran out") {
			all = append(all, l)
		}
	}
	return all, nil
}

func (s *toy) Marks(ctx context.Context) (ledger.Marks, error) {
	if err := s.begin(ctx, false); err != nil {
		return ledger.Marks{}, err
	}
	defer s.mu.Unlock()
	marks := ledger.Marks{Sequences: maps.Clone(s.newest), Tokens: maps.Clone(s.tokens)}
	for _, e := range s.events {
		delete(marks.Sequences, e.Stream)
	}
	return marks, nil
}

func (s *toy) Restore(ctx context.Context, r ledger.Restored) error {
	if err := r.Check(); err != nil && !s.has("restores anything") {
		return err
	}
	if err := s.begin(ctx, true); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if (s.extent.Last != r.After || s.extent.Head != r.Base) && s.extent.Last != 0 && !s.has("restores anywhere") {
		return ledger.ErrConflict
	}
	newest := maps.Clone(s.newest)
	for i, e := range r.Events {
		n, known := newest[e.Stream]
		twice := func(other ledger.Event) bool { return other.Stream == e.Stream && other.ID == e.ID }
		if known && e.Sequence != n+1 || slices.ContainsFunc(s.events, twice) || slices.ContainsFunc(r.Events[:i], twice) {
			return ledger.ErrInvalid
		}
		newest[e.Stream] = e.Sequence
	}
	if s.extent.Last == 0 && r.After > 0 {
		s.extent = ledger.Extent{First: r.After + 1, Last: r.After, Base: r.Base, Head: r.Base}
	}
	for name, n := range r.Marks.Sequences {
		s.newest[name] = max(n, s.newest[name])
	}
	for name, n := range r.Marks.Tokens {
		if s.has("forgets marks") {
			n = 1
		}
		s.tokens[name] = max(n, s.tokens[name])
	}
	s.keep(r.Events...)
	return nil
}

func (s *toy) Close() error {
	if s.closed && s.has("closes once") {
		return fmt.Errorf("it is closed already")
	}
	s.closed = true
	return nil
}
