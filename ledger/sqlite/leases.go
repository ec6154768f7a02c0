package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/drwatch/drwatch/ledger"
)

// lease is one as it is noted. Times are in microseconds, by the clock of this machine.
type lease struct {
	name, holder  string
	token, newest uint64 // its own, and the newest that was ever given
	ttl, until    int64  // until is 0 where nobody holds it
}

const leases = "SELECT name, holder, token, newest, ttl, until FROM leases"

func (l *lease) scan(row interface{ Scan(into ...any) error }) error {
	return row.Scan(&l.name, &l.holder, &l.token, &l.newest, &l.ttl, &l.until)
}

// shorten takes away what a jump of the clock has added: a lease that runs for
// longer than its time from now was taken when the clock said more than now.
func (l *lease) shorten(now int64) { l.until = min(l.until, now+l.ttl) }

func (l *lease) held(now int64) bool { return now < l.until }

func (l *lease) is(of ledger.Lease, now int64) bool {
	return l.held(now) && l.holder == of.Holder && l.token == of.Token
}

func (l *lease) asLease() ledger.Lease {
	return ledger.Lease{Name: l.name, Holder: l.holder, Token: l.token, Until: time.UnixMicro(l.until).UTC()}
}

func (s *Store) now() int64 { return s.options.Now().UnixMicro() }

// lease finds one, and notes where a jump of the clock had to be taken away, so
// that it is not taken away once more from then on.
func (s *Store) lease(ctx context.Context, tx *sql.Tx, name string, now int64) (l lease, err error) {
	err = l.scan(tx.QueryRowContext(ctx, leases+" WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return lease{name: name}, nil
	}
	noted := l.until
	if l.shorten(now); err != nil || l.until == noted {
		return l, err
	}
	return l, l.save(ctx, tx)
}

func (l *lease) save(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO leases (name, holder, token, newest, ttl, until) VALUES (?, ?, ?, ?, ?, ?)",
		l.name, l.holder, l.token, l.newest, l.ttl, l.until)
	return err
}

// mustHold holds that a lease is still held.
func (s *Store) mustHold(ctx context.Context, tx *sql.Tx, of ledger.Lease) error {
	now := s.now()
	l, err := s.lease(ctx, tx, of.Name, now)
	if err != nil || l.is(of, now) {
		return err
	}
	return l.fenced(of, now)
}

// fenced says why a lease is not held.
func (l *lease) fenced(of ledger.Lease, now int64) error {
	switch {
	case l.held(now):
		return fmt.Errorf("%w: %s had %s (token %d), %s has it now (token %d)", ledger.ErrFenced, of.Holder, of.Name, of.Token, l.holder, l.token)
	case l.until == 0 || l.token != of.Token:
		return fmt.Errorf("%w: %s had %s (token %d), and it was given back", ledger.ErrFenced, of.Holder, of.Name, of.Token)
	default:
		return fmt.Errorf("%w: %s had %s (token %d), and it ran out at %s", ledger.ErrFenced, of.Holder, of.Name, of.Token, l.asLease().Until.Format(time.RFC3339))
	}
}

// Acquire takes a lease. Each taking has a new token, also that of the same holder:
// a process that was started again is not the one before it.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (taken ledger.Lease, err error) {
	if err := ledger.CheckLease(name, holder, ttl); err != nil {
		return ledger.Lease{}, err
	}
	var held error // no failure: what was noted of the clock must stay
	err = s.write(ctx, "take the lease "+name, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		l, err := s.lease(ctx, tx, name, now)
		if err != nil {
			return err
		}
		if l.held(now) && l.holder != holder {
			held = &ledger.HeldError{Lease: l.asLease()}
			return nil
		}
		l.newest++
		l.holder, l.token, l.ttl, l.until = holder, l.newest, ttl.Microseconds(), now+ttl.Microseconds()
		taken = l.asLease()
		return l.save(ctx, tx)
	})
	if err = errors.Join(err, held); err != nil {
		return ledger.Lease{}, err
	}
	return taken, nil
}

// Renew makes a lease run for its time from now.
func (s *Store) Renew(ctx context.Context, of ledger.Lease, ttl time.Duration) (renewed ledger.Lease, err error) {
	if err := ledger.CheckLease(of.Name, of.Holder, ttl); err != nil {
		return ledger.Lease{}, err
	}
	err = s.write(ctx, "renew the lease "+of.Name, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		l, err := s.lease(ctx, tx, of.Name, now)
		if err != nil {
			return err
		}
		if !l.is(of, now) {
			return l.fenced(of, now)
		}
		l.ttl, l.until = ttl.Microseconds(), now+ttl.Microseconds()
		renewed = l.asLease()
		return l.save(ctx, tx)
	})
	if err != nil {
		return ledger.Lease{}, err
	}
	return renewed, nil
}

// Release gives a lease back.
func (s *Store) Release(ctx context.Context, of ledger.Lease) error {
	return s.write(ctx, "give back the lease "+of.Name, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		l, err := s.lease(ctx, tx, of.Name, now)
		if err != nil || !l.is(of, now) {
			return err
		}
		l.until = 0
		return l.save(ctx, tx)
	})
}

// Leases lists those that are held, in the order of their names.
func (s *Store) Leases(ctx context.Context) (all []ledger.Lease, err error) {
	err = s.read(ctx, "list the leases", func(tx *sql.Tx) (err error) {
		rows, err := tx.QueryContext(ctx, leases+" ORDER BY name")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		now := s.now()
		for rows.Next() {
			var l lease
			if err := l.scan(rows); err != nil {
				return err
			}
			if l.shorten(now); l.held(now) {
				all = append(all, l.asLease())
			}
		}
		return rows.Err()
	})
	return all, err
}
