package ledger

import (
	"bytes"
	"errors"
	"fmt"
)

// Standing is what a store knows when it decides on an append, while nobody else
// can write. It is for stores.
type Standing struct {
	// Last is the position of the newest event of the log, and Head its hash.
	Last uint64
	Head Hash
	// Newest is the sequence number of the newest event of the stream.
	Newest uint64
	// Arrived are the events of the stream that have the IDs of the drafts, oldest first.
	Arrived []Event
	// Held is that the lease is held of [Append.Under].
	Held bool
}

// Decide gives the sealed events that an append adds. Where it had arrived before,
// they are the events that are there, and nothing is to be added. It is for stores.
func (a Append) Decide(at Standing) (events []Event, added bool, err error) {
	switch {
	case len(at.Arrived) > 0:
		return at.Arrived, false, a.arrived(at.Arrived)
	case a.After != Any && a.After != at.Newest:
		return nil, false, &ConflictError{Stream: a.Stream, After: a.After, Newest: at.Newest}
	case a.Under != nil && !at.Held:
		return nil, false, fmt.Errorf("append to %s under the lease %s, token %d: %w", a.Stream, a.Under.Name, a.Under.Token, ErrFenced)
	}
	events = make([]Event, 0, len(a.Drafts))
	for i, d := range a.Drafts {
		n := uint64(i) + 1 //nolint:gosec // an index is not negative
		e := Seal(d, a.Stream, at.Last+n, at.Newest+n, at.Head)
		events, at.Head = append(events, e), e.Hash
	}
	return events, true, nil
}

// arrived finds what does not fit where some of the IDs are there already.
func (a Append) arrived(there []Event) error {
	if len(there) != len(a.Drafts) {
		return fmt.Errorf("%w: %d of the %d drafts for %s are there already (the first has the id %s), and the others are not: append what was asked before, or only what is new",
			ErrInvalid, len(there), len(a.Drafts), a.Stream, there[0].ID)
	}
	for i, e := range there {
		switch d := a.Drafts[i]; {
		case d.ID != e.ID:
			return fmt.Errorf("%w: the drafts for %s are there already, and in another order", ErrInvalid, a.Stream)
		case d.Kind != e.Kind || d.Actor != e.Actor || !bytes.Equal(d.Body, e.Body):
			return fmt.Errorf("%w: event %d of %s has the id %s already, and says something else", ErrInvalid, e.Sequence, a.Stream, e.ID)
		}
	}
	return nil
}

// Check finds what no store may take: events that are not as they were sealed, or
// that do not follow each other. It is for stores.
func (r Restored) Check() error {
	if r.After == 0 && r.Base != (Hash{}) {
		return fmt.Errorf("%w: before the first event there is none that has a hash", ErrInvalid)
	}
	v := verification{position: r.After + 1, previous: r.Base, sequences: make(map[string]uint64)}
	for _, e := range r.Events {
		var wrong *CorruptError
		if errors.As(v.take(e), &wrong) {
			return fmt.Errorf("%w: event %d: %s", ErrInvalid, wrong.Position, wrong.What)
		}
	}
	return nil
}

// Follows finds out whether the events follow what a store holds. newest are the
// sequence numbers of the newest events of their streams, of those that the store
// knows. It is for stores.
func (r Restored) Follows(at Extent, newest map[string]uint64) error {
	if at != (Extent{}) && (r.After != at.Last || r.Base != at.Head) {
		return conflict("restore what follows event %d: the newest here is event %d, with the hash %s", r.After, at.Last, at.Head)
	}
	seen := make(map[string]bool)
	for _, e := range r.Events {
		if n, known := newest[e.Stream]; known && !seen[e.Stream] && e.Sequence != n+1 {
			return fmt.Errorf("%w: event %d is number %d of the stream %s, after number %d", ErrInvalid, e.Position, e.Sequence, e.Stream, n)
		}
		seen[e.Stream] = true
	}
	return nil
}

// misfit is an [ErrConflict] between two ledgers.
type misfit struct{ text string }

func (m *misfit) Error() string { return m.text }

func (m *misfit) Unwrap() error { return ErrConflict }

func conflict(format string, arguments ...any) error {
	return &misfit{fmt.Sprintf(format, arguments...)}
}
