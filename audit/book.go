package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/drwatch/drwatch/ledger"
)

// Book keeps what people have attested, as the ledger says. It may be read by
// several goroutines while one of them, or several, refresh it. It holds the last
// word about each thing, however many there were.
type Book struct {
	now  func() time.Time
	turn chan struct{} // of who reads the ledger: what follows up to mu is theirs

	newest map[string]Attestation
	extent ledger.Extent // of the ledger, when it was read last
	last   ledger.Event  // the newest that was taken in, without its body

	mu    sync.RWMutex
	known Attestations // its map is never changed, but replaced
}

// NewBook makes a book of which nothing was read. A nil clock is [time.Now].
func NewBook(now func() time.Time) *Book {
	if now == nil {
		now = time.Now
	}
	return &Book{now: now, turn: make(chan struct{}, 1), newest: make(map[string]Attestation)}
}

// Known gives what was read. It stays as it is when the book is read on.
func (b *Book) Known() Attestations {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.known
}

// Newest gives the last word about something, which may have lapsed, or be that an
// earlier one is withdrawn.
func (b *Book) Newest(about string) (a Attestation, found bool) {
	a, found = b.Known().Newest[about]
	return a, found
}

// Refresh reads what the ledger has that is new. Where it cannot, the book keeps
// what it knows, and [Attestations] says since when, and why; a caller that has
// gone away is no such reason. An [UnreadableError] is told once for each event
// that says nothing: the others count. A nil store is [ErrNoLedger].
func (b *Book) Refresh(ctx context.Context, s ledger.Store) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return fmt.Errorf("read the attestations: %w", context.Cause(ctx))
	}
	began := b.now()
	err := b.readOn(ctx, s)
	var unreadable *UnreadableError
	failed := err != nil && !errors.As(err, &unreadable)
	if failed && errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	b.publish(began, err, failed)
	return err
}

func (b *Book) publish(began time.Time, err error, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if failed {
		b.known.Unknown = err
		return
	}
	b.known.AsOf, b.known.Unknown = began, nil
	if !maps.Equal(b.known.Newest, b.newest) {
		b.known.Newest = maps.Clone(b.newest)
	}
}

// readOn folds the events that were not read yet.
func (b *Book) readOn(ctx context.Context, s ledger.Store) error {
	if s == nil {
		return fmt.Errorf("read the attestations: %w", ErrNoLedger)
	}
	extent, err := s.Extent(ctx)
	if err != nil {
		return fmt.Errorf("read the attestations: %w", err)
	}
	if extent == b.extent {
		return nil
	}
	same, err := b.goesOn(ctx, s, extent)
	if err != nil {
		return fmt.Errorf("read the attestations: %w", err)
	}
	if !same {
		b.newest, b.last = make(map[string]Attestation), ledger.Event{}
	}
	unreadable := &UnreadableError{}
	for e, err := range s.Events(ctx, ledger.Query{Stream: Stream, After: b.last.Position, UpTo: extent.Last}) {
		if err != nil {
			return fmt.Errorf("read the attestations: %w", err)
		}
		if err := b.take(e); err != nil {
			unreadable.add(e.Position, err)
		}
		e.Body = nil
		b.last = e
	}
	b.extent = extent
	if unreadable.Events > 0 {
		return unreadable
	}
	return nil
}

// goesOn reports whether the ledger is the one that was read before: its file may
// have been replaced by another.
func (b *Book) goesOn(ctx context.Context, s ledger.Store, extent ledger.Extent) (bool, error) {
	if b.last.Position == 0 || extent.First > b.last.Position {
		return extent.Last >= b.last.Position, nil
	}
	for e, err := range s.Events(ctx, ledger.Query{Stream: Stream, After: b.last.Position - 1, UpTo: b.last.Position}) {
		return err == nil && e.Hash == b.last.Hash, err
	}
	return false, nil
}

// take folds one event. Kinds that are not known are of a later drwatch.
func (b *Book) take(e ledger.Event) error {
	if e.Kind != KindAttested && e.Kind != KindWithdrawn {
		return nil
	}
	var a Attestation
	if err := json.Unmarshal(e.Body, &a); err != nil {
		return err
	}
	if a.Item == "" {
		return errors.New("it says not what it is about")
	}
	a.Withdrawn = e.Kind == KindWithdrawn
	b.newest[a.Item] = a
	return nil
}

// UnreadableError tells of events that are no attestations although they say so.
type UnreadableError struct {
	// Events is how many there are, Position and Err are of the first.
	Events   int
	Position uint64
	Err      error
}

func (e *UnreadableError) add(position uint64, err error) {
	if e.Events == 0 {
		e.Position, e.Err = position, err
	}
	e.Events++
}

func (e *UnreadableError) Error() string {
	if e.Events == 1 {
		return fmt.Sprintf("read the attestations: event %d counts for nothing: %s", e.Position, e.Err)
	}
	return fmt.Sprintf("read the attestations: %d events count for nothing, the first is event %d: %s", e.Events, e.Position, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }
