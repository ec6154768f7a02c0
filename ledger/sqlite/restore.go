package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/drwatch/drwatch/ledger"
)

// Marks tells how far that counts of which no event tells any more.
func (s *Store) Marks(ctx context.Context) (ledger.Marks, error) {
	marks := ledger.Marks{Sequences: make(map[string]uint64), Tokens: make(map[string]uint64)}
	err := s.read(ctx, "read the marks", func(tx *sql.Tx) error {
		return errors.Join(
			counts(ctx, tx, marks.Sequences, "SELECT name, newest FROM streams WHERE NOT EXISTS (SELECT 1 FROM events WHERE stream = number)"),
			counts(ctx, tx, marks.Tokens, "SELECT name, newest FROM leases"),
		)
	})
	if err != nil {
		return ledger.Marks{}, err
	}
	return marks, nil
}

func counts(ctx context.Context, tx *sql.Tx, into map[string]uint64, question string) (err error) {
	rows, err := tx.QueryContext(ctx, question)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		var newest uint64
		if err := rows.Scan(&name, &newest); err != nil {
			return err
		}
		into[name] = newest
	}
	return rows.Err()
}

// Restore adds events that were sealed elsewhere, in one step.
func (s *Store) Restore(ctx context.Context, r ledger.Restored) error {
	if err := r.Check(); err != nil {
		return err
	}
	return s.write(ctx, "restore events", func(ctx context.Context, tx *sql.Tx) error {
		streams, err := s.follow(ctx, tx, r)
		if err != nil {
			return err
		}
		if len(r.Events) > 0 {
			if err := s.add(ctx, tx, streams, r.Events); err != nil {
				return err
			}
		}
		return raise(ctx, tx, r.Marks)
	})
}

// follow holds that events follow what is there, and has an empty ledger begin where
// they do. It gives their streams, as far as they have them grow.
func (s *Store) follow(ctx context.Context, tx *sql.Tx, r ledger.Restored) (map[string]*stream, error) {
	e, err := endsOf(ctx, tx)
	if err != nil {
		return nil, err
	}
	streams, newest := make(map[string]*stream), make(map[string]uint64)
	for _, event := range r.Events {
		in := streams[event.Stream]
		if in == nil {
			if in, err = s.stream(ctx, tx, event.Stream); err != nil {
				return nil, err
			}
			streams[event.Stream] = in
			if in.number != 0 {
				newest[event.Stream] = in.newest
			}
		}
		in.newest = event.Sequence
	}
	if err := r.Follows(ledger.Extent{Last: uint64(e.last), Head: e.head}, newest); err != nil {
		return nil, err
	}
	if e.last == 0 && r.After > 0 {
		_, err = tx.ExecContext(ctx, "UPDATE ledger SET base = ?1, base_hash = ?2, last = ?1, head = ?2", number(r.After), r.Base[:])
	}
	return streams, err
}

// raise notes marks that are higher than those that are there.
func raise(ctx context.Context, tx *sql.Tx, marks ledger.Marks) error {
	for name, newest := range marks.Sequences {
		_, err := tx.ExecContext(ctx, `INSERT INTO streams (name, newest) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET newest = max(newest, excluded.newest)`, name, newest)
		if err != nil {
			return err
		}
	}
	for name, newest := range marks.Tokens {
		_, err := tx.ExecContext(ctx, `INSERT INTO leases (name, holder, token, newest, ttl, until) VALUES (?, '', 0, ?, 0, 0)
			ON CONFLICT (name) DO UPDATE SET newest = max(newest, excluded.newest)`, name, newest)
		if err != nil {
			return err
		}
	}
	return nil
}
