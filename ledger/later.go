package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// Later is a store that is opened when it is first needed. Where that fails each
// method tells why, and it is tried again with the next one, but not more often
// than every few seconds: whoever can do without the ledger goes on meanwhile.
type Later struct {
	open func(context.Context) (Store, error)
	now  func() time.Time

	mu     sync.Mutex // held while it is opened; protects what follows
	store  Store
	tried  time.Time
	failed error
	closed bool
}

// between is the least time between two attempts to open.
const between = 5 * time.Second

// NewLater opens nothing yet.
func NewLater(open func(context.Context) (Store, error)) *Later {
	return &Later{open: open, now: time.Now}
}

var errClosed = errors.New("the ledger is closed")

// get gives the store, opened.
func (l *Later) get(ctx context.Context) (Store, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errClosed
	case l.store != nil:
		return l.store, nil
	case l.failed != nil && l.now().Sub(l.tried).Abs() < between:
		return nil, l.failed
	}
	store, err := l.open(ctx)
	if err != nil {
		l.tried, l.failed = l.now(), fmt.Errorf("open the ledger: %w", err)
		return nil, l.failed
	}
	l.store, l.failed = store, nil
	return store, nil
}

// Append implements [Store].
func (l *Later) Append(ctx context.Context, a Append) ([]Event, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.Append(ctx, a)
}

// Events implements [Store].
func (l *Later) Events(ctx context.Context, q Query) iter.Seq2[Event, error] {
	s, err := l.get(ctx)
	if err != nil {
		return func(yield func(Event, error) bool) { yield(Event{}, err) }
	}
	return s.Events(ctx, q)
}

// Extent implements [Store].
func (l *Later) Extent(ctx context.Context) (Extent, error) {
	s, err := l.get(ctx)
	if err != nil {
		return Extent{}, err
	}
	return s.Extent(ctx)
}

// Marks implements [Store].
func (l *Later) Marks(ctx context.Context) (Marks, error) {
	s, err := l.get(ctx)
	if err != nil {
		return Marks{}, err
	}
	return s.Marks(ctx)
}

// Prune implements [Store].
func (l *Later) Prune(ctx context.Context, upTo uint64) error {
	s, err := l.get(ctx)
	if err != nil {
		return err
	}
	return s.Prune(ctx, upTo)
}

// Restore implements [Store].
func (l *Later) Restore(ctx context.Context, r Restored) error {
	s, err := l.get(ctx)
	if err != nil {
		return err
	}
	return s.Restore(ctx, r)
}

// Acquire implements [Store].
func (l *Later) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error) {
	s, err := l.get(ctx)
	if err != nil {
		return Lease{}, err
	}
	return s.Acquire(ctx, name, holder, ttl)
}

// Renew implements [Store].
func (l *Later) Renew(ctx context.Context, lease Lease, ttl time.Duration) (Lease, error) {
	s, err := l.get(ctx)
	if err != nil {
		return Lease{}, err
	}
	return s.Renew(ctx, lease, ttl)
}

// Release implements [Store].
func (l *Later) Release(ctx context.Context, lease Lease) error {
	s, err := l.get(ctx)
	if err != nil {
		return err
	}
	return s.Release(ctx, lease)
}

// Leases implements [Store].
func (l *Later) Leases(ctx context.Context) ([]Lease, error) {
	s, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.Leases(ctx)
}

// Close implements [Store].
func (l *Later) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.store == nil {
		return nil
	}
	return l.store.Close()
}

var _ Store = (*Later)(nil)
