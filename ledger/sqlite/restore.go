package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
		if err := follow(ctx, tx, r); err != nil {
			return err
		}
		streams, err := s.continued(ctx, tx, r.Events)
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
// they do.
func follow(ctx context.Context, tx *sql.Tx, r ledger.Restored) error {
	e, err := endsOf(ctx, tx)
	switch {
	case err != nil:
		return err
	case e.last == 0 && r.After > 0:
		_, err = tx.ExecContext(ctx, "UPDATE ledger SET base = ?1, base_hash = ?2, last = ?1, head = ?2", number(r.After), r.Base[:])
		return err
	case e.last != number(r.After) || e.head != r.Base:
		return fmt.Errorf("%w: the ledger ends with event %d (%s), and these come after event %d (%s)", ledger.ErrConflict, e.last, e.head, r.After, r.Base)
	default:
		return nil
	}
}

// continued gives the streams of events, as far as these have them grow.
func (s *Store) continued(ctx context.Context, tx *sql.Tx, events []ledger.Event) (map[string]*stream, error) {
	streams := make(map[string]*stream)
	for _, e := range events {
		in, ok := streams[e.Stream]
		if !ok {
			var err error
			if in, err = s.stream(ctx, tx, e.Stream); err != nil {
				return nil, err
			}
			streams[e.Stream] = in
		}
		if in.newest != 0 && e.Sequence != in.newest+1 {
			return nil, fmt.Errorf("%w: event %d is number %d of %s, after number %d", ledger.ErrInvalid, e.Position, e.Sequence, e.Stream, in.newest)
		}
		in.newest = e.Sequence
	}
	return streams, nil
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
