// Package ledger keeps what must outlive the process: one append-only log of
// events, each bound to the one before it by a hash, and a table of leases with
// fencing tokens. It knows nothing of what the events are about.
//
// A [Store] keeps it: ledger/sqlite in a file of this machine, ledger/postgres in
// a server that several instances share. ledger/ledgertest is what every store
// must pass. What holds for all of them is here: how events are sealed, verified,
// exported and imported.
//
// The log has one order. Within it, each event belongs to a stream and has a
// sequence number there, so that whoever writes a stream says which event he has
// seen last, and is refused where there is a newer one.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Store keeps a ledger. Its methods may be called by several goroutines, and
// several processes may have the same ledger open.
//
// Errors that callers tell apart are [ErrConflict], [ErrFenced], [ErrHeld],
// [ErrReadOnly], [ErrFull], [ErrCorrupt] and [ErrLocked]. With any other error it
// is not known whether what was asked for has happened: ask again, with the same
// [Draft.ID].
type Store interface {
	// Append adds the drafts in one step: all of them, or none. What it returns is
	// on disk.
	Append(ctx context.Context, a Append) ([]Event, error)
	// Events gives the events that the query asks for, oldest first, without holding
	// more than a few of them in memory. It ends after the first error.
	Events(ctx context.Context, q Query) iter.Seq2[Event, error]
	// Extent tells what the ledger holds.
	Extent(ctx context.Context) (Extent, error)
	// Prune removes the events up to a position, once and for all. The ledger
	// remembers where it begins since then.
	Prune(ctx context.Context, upTo uint64) error

	// Acquire takes a lease that nobody holds, or that has run out, by the clock of
	// the store; one that the same holder has is taken anew. The error is [ErrHeld]
	// with the lease of the other where somebody else has it.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)
	// Renew lengthens a lease that is still held. The error is [ErrFenced] where it is not.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// Release gives a lease back. It is no error where it is not held any more.
	Release(ctx context.Context, l Lease) error
	// Leases lists who holds what.
	Leases(ctx context.Context) ([]Lease, error)

	// Marks tells how far that counts of which no event tells any more.
	Marks(ctx context.Context) (Marks, error)
	// Restore adds events that were sealed elsewhere, in one step, as they are. It is
	// for [Import]. The error is [ErrConflict] where they do not follow what is there,
	// and [ErrInvalid] where [Restored.Check] refuses them.
	Restore(ctx context.Context, r Restored) error

	Close() error
}

// Event is one entry of the log. It is never changed.
type Event struct {
	// Position is its place in the log: 1, 2, 3, without a gap.
	Position uint64
	// Stream is what it belongs to, and Sequence its place there: 1, 2, 3.
	Stream   string
	Sequence uint64
	// ID is what the writer calls it: no two events of a stream have the same.
	ID string
	// Time is when it happened, by the clock of the writer, to the microsecond.
	Time time.Time
	// Kind says what happened, and Actor who did it.
	Kind  string
	Actor string
	// Body is JSON.
	Body []byte
	// Previous is the hash of the event before it in the log, and Hash its own.
	Previous Hash
	Hash     Hash
}

// Draft is an event that is to be appended.
type Draft struct {
	// ID identifies the draft when it is appended again because nobody knows whether
	// it arrived: one that is there already with this ID is not added a second time.
	// Empty is a random one.
	ID    string
	Time  time.Time
	Kind  string
	Actor string
	Body  []byte
}

// Append says what to add, and under which conditions.
type Append struct {
	Stream string
	// After is the sequence number of the newest event of the stream that the writer
	// knows; 0 where he knows that there is none. [Any] where it does not matter.
	After uint64
	// Under, where it is given, is a lease that must still be held. That is asked in
	// the same step, so that one who has lost it adds nothing any more.
	Under  *Lease
	Drafts []Draft
}

// Any says that it does not matter what the newest event of a stream is.
const Any = ^uint64(0)

// Query says which events to read.
type Query struct {
	// Stream is empty for all.
	Stream string
	// Prefix is that of the names of streams, where Stream is empty.
	Prefix string
	// After is the position after which to begin, and UpTo the last one; 0 is the end.
	After, UpTo uint64
	// Backward gives the newest first.
	Backward bool
}

// Extent is what a ledger holds.
type Extent struct {
	// First and Last are the positions of the oldest event and of the newest; both are
	// 0 in a ledger in which nothing was ever written. Where everything was pruned, First is Last+1.
	First, Last uint64
	// Base is the hash of the event before the oldest, and Head that of the newest.
	Base, Head Hash
	Streams    int
}

// Lease is the right to do something alone, until it runs out.
type Lease struct {
	Name   string
	Holder string
	// Token grows with every new holder. Who acts under a lease shows it, so that
	// whoever has seen a newer one refuses him.
	Token uint64
	// Until is when it runs out, by the clock of the store.
	Until time.Time
}

// Marks are the newest numbers that were given and that no event tells any more.
// A ledger that takes them over counts on from there.
type Marks struct {
	// Sequences are those of the streams whose newest event was pruned.
	Sequences map[string]uint64
	// Tokens are those of all leases, held or not, by name.
	Tokens map[string]uint64
}

// Restored is a row of events as another ledger has sealed them.
type Restored struct {
	// After is the position of the event before the first, and Base its hash. They
	// must be the last position and the head of the ledger. One in which nothing was
	// ever written takes any, and begins there, as if what was before had been pruned.
	After uint64
	Base  Hash
	// Events may be none, where there are only marks.
	Events []Event
	// Marks raise what the ledger notes, and never lower it. A stream and a lease that
	// are not there are noted; a lease that is held stays held.
	Marks Marks
}

// The errors that callers tell apart.
var (
	ErrConflict = errors.New("the stream has gone on meanwhile")
	ErrFenced   = errors.New("the lease is not held any more")
	ErrHeld     = errors.New("the lease is held by somebody else")
	ErrReadOnly = errors.New("the ledger cannot be written")
	ErrFull     = errors.New("there is no room for more")
	ErrCorrupt  = errors.New("the ledger is damaged")
	ErrLocked   = errors.New("the ledger is in use by another process")
	ErrInvalid  = errors.New("this cannot be an event")
)

// ConflictError says how far a stream has gone; it is an [ErrConflict].
type ConflictError struct {
	Stream        string
	After, Newest uint64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("append to %s after %d: the newest event is %d: read it, and decide anew", e.Stream, e.After, e.Newest)
}

func (e *ConflictError) Unwrap() error { return ErrConflict }

// HeldError says who holds a lease; it is an [ErrHeld].
type HeldError struct{ Lease Lease }

func (e *HeldError) Error() string {
	return fmt.Sprintf("take the lease %s: %s holds it until %s", e.Lease.Name, e.Lease.Holder, e.Lease.Until.UTC().Format(time.RFC3339))
}

func (e *HeldError) Unwrap() error { return ErrHeld }

// CorruptError says where a ledger is damaged, and how; it is an [ErrCorrupt].
type CorruptError struct {
	// Position is that of the first event with which something is wrong; 0 where it
	// is none in particular.
	Position uint64
	What     string
}

func (e *CorruptError) Error() string {
	if e.Position == 0 {
		return "the ledger is damaged: " + e.What
	}
	return fmt.Sprintf("the ledger is damaged at event %d: %s", e.Position, e.What)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }
