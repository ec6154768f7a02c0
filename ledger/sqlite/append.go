package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/drwatch/drwatch/ledger"
)

// statements are those of the writer, read by SQLite once.
type statements struct {
	stream, newStream, grow, insert, move *sql.Stmt
}

func (s *statements) prepare(ctx context.Context, db *sql.DB) (err error) {
	for _, each := range []struct {
		into **sql.Stmt
		text string
	}{
		{&s.stream, "SELECT number, newest FROM streams WHERE name = ?"},
		{&s.newStream, "INSERT INTO streams (name, newest) VALUES (?, ?) RETURNING number"},
		{&s.grow, "UPDATE streams SET newest = ? WHERE number = ?"},
		{&s.insert, `INSERT INTO events (position, stream, sequence, id, time, kind, actor, body, previous, hash)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&s.move, "UPDATE ledger SET last = ?, head = ?"},
	} {
		if *each.into, err = db.PrepareContext(ctx, each.text); err != nil {
			return err
		}
	}
	return nil
}

// Append adds the drafts in one step.
func (s *Store) Append(ctx context.Context, a ledger.Append) (events []ledger.Event, err error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	err = s.write(ctx, "append to "+a.Stream, func(ctx context.Context, tx *sql.Tx) (err error) {
		events, err = s.append(ctx, tx, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

func (s *Store) append(ctx context.Context, tx *sql.Tx, a ledger.Append) ([]ledger.Event, error) {
	known, err := s.stream(ctx, tx, a.Stream)
	if err != nil {
		return nil, err
	}
	at := ledger.Standing{Newest: known.newest}
	if at.Arrived, err = arrived(ctx, tx, known, a.Drafts); err != nil {
		return nil, err
	}
	e, err := endsOf(ctx, tx)
	if err != nil {
		return nil, err
	}
	at.Last, at.Head = uint64(e.last), e.head
	var fenced error
	if a.Under != nil {
		if fenced = s.mustHold(ctx, tx, *a.Under); fenced != nil && !errors.Is(fenced, ledger.ErrFenced) {
			return nil, fenced
		}
		at.Held = fenced == nil
	}
	events, added, err := a.Decide(at)
	switch {
	case errors.Is(err, ledger.ErrFenced):
		return nil, fenced // it says why
	case err != nil || !added:
		return events, err
	}
	known.newest += uint64(len(events))
	return events, s.add(ctx, tx, map[string]*stream{a.Stream: known}, events)
}

// stream is what is noted of one; its number is 0 where it is new.
type stream struct {
	number int64
	newest uint64
}

func (s *Store) stream(ctx context.Context, tx *sql.Tx, name string) (*stream, error) {
	var known stream
	err := tx.StmtContext(ctx, s.statements.stream).QueryRowContext(ctx, name).Scan(&known.number, &known.newest)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return &known, err
}

// arrived gives the events of a stream that have the IDs of drafts. The plus keeps
// SQLite from reading the whole stream in its order.
func arrived(ctx context.Context, tx *sql.Tx, in *stream, drafts []ledger.Draft) ([]ledger.Event, error) {
	var ids []string
	for _, d := range drafts {
		if d.ID != "" {
			ids = append(ids, d.ID)
		}
	}
	if in.number == 0 || len(ids) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, columns+" WHERE stream = ? AND id IN (SELECT value FROM json_each(?)) ORDER BY +position", in.number, string(list))
	return events(rows, err, math.MaxInt) // the drafts are in memory too
}

// add adds events to their streams, whose newest sequence numbers are raised
// already, and moves the end of the log.
func (s *Store) add(ctx context.Context, tx *sql.Tx, streams map[string]*stream, events []ledger.Event) error {
	for name, in := range streams {
		var err error
		if in.number != 0 {
			_, err = tx.StmtContext(ctx, s.statements.grow).ExecContext(ctx, in.newest, in.number)
		} else {
			err = tx.StmtContext(ctx, s.statements.newStream).QueryRowContext(ctx, name, in.newest).Scan(&in.number)
		}
		if err != nil {
			return err
		}
	}
	insert := tx.StmtContext(ctx, s.statements.insert)
	for _, e := range events {
		_, err := insert.ExecContext(ctx, e.Position, streams[e.Stream].number, e.Sequence, e.ID, e.Time.UnixMicro(), e.Kind, e.Actor, e.Body, e.Previous[:], e.Hash[:])
		switch codeOf(err) {
		case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
			return &ledger.CorruptError{Position: e.Position, What: "it comes after the newest that was noted" + restore}
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE:
			return fmt.Errorf("%w: event %d has the id %s, which another of %s has", ledger.ErrInvalid, e.Position, e.ID, e.Stream)
		}
		if err != nil {
			return err
		}
	}
	newest := events[len(events)-1]
	_, err := tx.StmtContext(ctx, s.statements.move).ExecContext(ctx, newest.Position, newest.Hash[:])
	return err
}

// step is how many events are pruned at once, so that others can write in between.
const step = 1000

// Prune removes the oldest events, some at a time; one that was broken off has
// removed the oldest of them.
func (s *Store) Prune(ctx context.Context, upTo uint64) error {
	for done := false; !done; {
		err := s.write(ctx, "prune", func(ctx context.Context, tx *sql.Tx) (err error) {
			done, err = prune(ctx, tx, number(upTo))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func prune(ctx context.Context, tx *sql.Tx, upTo int64) (done bool, err error) {
	e, err := endsOf(ctx, tx)
	if err != nil {
		return false, err
	}
	upTo = min(upTo, e.last)
	base := min(upTo, e.base+step)
	if base <= e.base {
		return true, nil
	}
	var last []byte
	if err := tx.QueryRowContext(ctx, "SELECT hash FROM events WHERE position = ?", base).Scan(&last); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE ledger SET base = ?, base_hash = ?", base, last); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM events WHERE position <= ?", base)
	return base == upTo, err
}
