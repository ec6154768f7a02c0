package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/drwatch/drwatch/ledger"
)

// A page is what is read at once: no more events than this, and of long ones as many
// as come to this many bytes.
const (
	pageEvents = 256
	pageBytes  = 1 << 20
)

// ends are where the log begins and ends.
type ends struct {
	base, last     int64
	baseHash, head ledger.Hash
}

func endsOf(ctx context.Context, tx *sql.Tx) (e ends, err error) {
	var base, head []byte
	err = tx.QueryRowContext(ctx, "SELECT base, base_hash, last, head FROM ledger").Scan(&e.base, &base, &e.last, &head)
	return e, errors.Join(err, hash(&e.baseHash, base, err), hash(&e.head, head, err))
}

// hash takes one over from a row, unless that could not be read.
func hash(into *ledger.Hash, from []byte, failed error) error {
	if failed == nil && len(from) != len(into) {
		return &ledger.CorruptError{What: fmt.Sprintf("a hash has %d bytes, not %d", len(from), len(into)) + restore}
	}
	copy(into[:], from)
	return nil
}

// Extent tells what the ledger holds. Streams are all that were ever written, also
// those whose events were pruned.
func (s *Store) Extent(ctx context.Context) (x ledger.Extent, err error) {
	err = s.read(ctx, "look into the ledger", func(tx *sql.Tx) error {
		e, err := endsOf(ctx, tx)
		if err != nil || e.last == 0 {
			return err
		}
		x = ledger.Extent{First: uint64(e.base) + 1, Last: uint64(e.last), Base: e.baseHash, Head: e.head}
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM streams").Scan(&x.Streams)
	})
	return x, err
}

// Events gives events, up to the newest that is there when it begins. It reads a
// page at a time, and holds nothing while the caller thinks. Where events that it
// would still give are pruned meanwhile, it says so.
func (s *Store) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		r := reading{query: query{stream: q.Stream, prefix: q.Prefix, after: number(q.After), upTo: number(q.UpTo), backward: q.Backward}}
		for !r.done {
			rows, err := s.next(ctx, &r)
			for _, e := range rows {
				if ctx.Err() != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if err = errors.Join(ctx.Err(), err); err != nil {
				yield(ledger.Event{}, s.failure(ctx, "read events", err))
				return
			}
		}
	}
}

// number is a position as SQLite knows it.
func number(position uint64) int64 { return int64(min(position, math.MaxInt64)) }

// reading is what is still to be read, a page at a time.
type reading struct {
	query
	begun, done bool
	// newest is the sequence number to which a stream must come that is read as a
	// whole, and low and high are those between which it was read.
	newest, low, high uint64
}

// next reads the next page.
func (s *Store) next(ctx context.Context, r *reading) (rows []ledger.Event, err error) {
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		e, err := endsOf(ctx, tx)
		switch {
		case err != nil:
			return err
		case r.begun && !r.backward && e.base > r.after:
			return fmt.Errorf("the events up to %d were pruned while they were read: read again", e.base)
		case !r.begun:
			if err := r.begin(ctx, tx, e); err != nil {
				return err
			}
		}
		rows, err = page(ctx, tx, r.query, pageEvents, pageBytes)
		r.moveOn(rows)
		return errors.Join(err, r.complete(rows, e))
	})
	return rows, err
}

// begin notes up to where to read.
func (r *reading) begin(ctx context.Context, tx *sql.Tx, e ends) error {
	whole := r.stream != "" && r.after == 0 && r.upTo == 0
	r.begun = true
	if r.upTo == 0 || r.upTo > e.last {
		r.upTo = e.last
	}
	if !whole {
		return nil
	}
	err := tx.QueryRowContext(ctx, "SELECT newest FROM streams WHERE name = ?", r.stream).Scan(&r.newest)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

func (r *reading) moveOn(rows []ledger.Event) {
	switch {
	case len(rows) == 0:
		r.done = true
	case r.backward:
		r.upTo = number(rows[len(rows)-1].Position) - 1
	default:
		r.after = number(rows[len(rows)-1].Position)
	}
	r.done = r.done || r.after >= r.upTo
}

// complete holds that no event of a stream is left out that is read as a whole: the
// index that leads to them could be damaged, and no hash would tell.
func (r *reading) complete(rows []ledger.Event, e ends) error {
	if r.newest == 0 {
		return nil
	}
	gap := false
	for _, row := range rows {
		gap = gap || r.high != 0 && row.Sequence != r.high+1 && row.Sequence != r.low-1
		r.high = max(r.high, row.Sequence)
		r.low = min(cmp.Or(r.low, row.Sequence), row.Sequence)
	}
	some := e.base == 0 || r.high != 0 // are left of it, as far as one can tell
	if gap || r.done && some && r.high != r.newest || r.done && e.base == 0 && r.low != 1 {
		return &ledger.CorruptError{What: "events of the stream " + r.stream + " are not found, though they were written" + restore}
	}
	return nil
}

// query is a question for events in the order of their positions.
type query struct {
	stream, prefix string
	after, upTo    int64
	backward       bool
}

// page reads so many events at most, and so many bytes of them.
func page(ctx context.Context, tx *sql.Tx, q query, most, bytes int) ([]ledger.Event, error) {
	text, args := q.sql(most)
	rows, err := tx.QueryContext(ctx, text, args...)
	return events(rows, err, bytes)
}

// events reads rows, until they come to so many bytes.
func events(rows *sql.Rows, failed error, bytes int) (all []ledger.Event, err error) {
	if failed != nil {
		return nil, failed
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size := 0; size < bytes && rows.Next(); {
		e, err := event(rows)
		if err != nil {
			return all, err
		}
		all = append(all, e)
		size += len(e.Body)
	}
	return all, rows.Err()
}

// columns is how each question for events begins; event reads the answer.
const columns = "SELECT position, name, sequence, id, time, kind, actor, body, previous, hash FROM events JOIN streams ON number = stream"

// sql is the question. The plus before a column keeps SQLite from an index by which
// all that matches would have to be sorted for each page.
func (q query) sql(most int) (text string, args []any) {
	text = columns + " WHERE position > ? AND position <= ?"
	args = []any{q.after, q.upTo}
	switch {
	case q.stream != "":
		text += " AND stream = (SELECT number FROM streams WHERE name = ?)"
		args = append(args, q.stream)
	case q.prefix != "":
		text += " AND +stream IN (SELECT number FROM streams WHERE name >= ? AND instr(name, ?) = 1)"
		args = append(args, q.prefix, q.prefix)
	}
	text += " ORDER BY position"
	if q.backward {
		text += " DESC"
	}
	return text + " LIMIT ?", append(args, most)
}

// event reads a row, and holds it against its hash.
func event(row *sql.Rows) (e ledger.Event, err error) {
	var at int64
	var previous, own sql.RawBytes
	err = row.Scan(&e.Position, &e.Stream, &e.Sequence, &e.ID, &at, &e.Kind, &e.Actor, &e.Body, &previous, &own)
	err = errors.Join(err, hash(&e.Previous, previous, err), hash(&e.Hash, own, err))
	if err != nil {
		return ledger.Event{}, err
	}
	e.Time = time.UnixMicro(at).UTC()
	d := ledger.Draft{ID: e.ID, Time: e.Time, Kind: e.Kind, Actor: e.Actor, Body: e.Body}
	if ledger.Seal(d, e.Stream, e.Position, e.Sequence, e.Previous).Hash != e.Hash {
		return ledger.Event{}, &ledger.CorruptError{Position: e.Position, What: "it is not what was written: its hash is another" + restore}
	}
	return e, nil
}
