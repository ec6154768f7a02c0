package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/drwatch/drwatch/ledger"
)

// now is the clock of the server, in microseconds.
const now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// Acquire implements [ledger.Store]. Where its answer is lost it may have happened:
// who asks again gets the lease with another token.
func (s *Store) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (ledger.Lease, error) {
	if err := ledger.CheckLease(name, holder, ttl); err != nil {
		return ledger.Lease{}, err
	}
	var taken, there ledger.Lease
	err := s.set(ctx, "take the lease "+name, func(b *pgx.Batch) {
		taken, there = ledger.Lease{}, ledger.Lease{}
		// A lease that has more time than it was given has it because the clock was set back.
		b.Queue(s.in("UPDATE {schema}.leases SET until = "+now+" + ttl WHERE name = $1 AND until > "+now+" + ttl"), name)
		b.Queue(s.in(`INSERT INTO {schema}.leases AS l (name, holder, token, newest, until, ttl) VALUES ($1, $2, 1, 1, `+now+` + $3, $3)
			ON CONFLICT (name) DO UPDATE SET holder = $2, token = l.newest + 1, newest = l.newest + 1, until = `+now+` + $3, ttl = $3
			WHERE l.until <= `+now+` OR l.holder = $2 RETURNING `+leaseColumns), name, holder, micro(ttl)).QueryRow(func(row pgx.Row) error {
			return orNone(scanLease(row, &taken))
		})
		b.Queue(s.in("SELECT "+leaseColumns+" FROM {schema}.leases WHERE name = $1"), name).QueryRow(func(row pgx.Row) error {
			return orNone(scanLease(row, &there))
		})
	})
	switch {
	case err != nil:
		return ledger.Lease{}, err
	case taken.Token == 0:
		return ledger.Lease{}, &ledger.HeldError{Lease: there}
	}
	return taken, nil
}

// Renew implements [ledger.Store].
func (s *Store) Renew(ctx context.Context, l ledger.Lease, ttl time.Duration) (ledger.Lease, error) {
	if err := ledger.CheckLease(l.Name, l.Holder, ttl); err != nil {
		return ledger.Lease{}, err
	}
	var renewed ledger.Lease
	err := s.set(ctx, "renew the lease "+l.Name, func(b *pgx.Batch) {
		renewed = ledger.Lease{}
		b.Queue(s.in("UPDATE {schema}.leases SET until = "+now+" + $4, ttl = $4 WHERE name = $1 AND holder = $2 AND token = $3 AND "+now+" < until RETURNING "+leaseColumns),
			l.Name, l.Holder, number(l.Token), micro(ttl)).QueryRow(func(row pgx.Row) error {
			return orNone(scanLease(row, &renewed))
		})
	})
	if err == nil && renewed.Token == 0 {
		err = fmt.Errorf("renew the lease %s, token %d: %w", l.Name, l.Token, ledger.ErrFenced)
	}
	return renewed, err
}

// Release implements [ledger.Store].
func (s *Store) Release(ctx context.Context, l ledger.Lease) error {
	return s.set(ctx, "release the lease "+l.Name, func(b *pgx.Batch) {
		b.Queue(s.in("UPDATE {schema}.leases SET holder = '', until = 0 WHERE name = $1 AND holder = $2 AND token = $3"), l.Name, l.Holder, number(l.Token))
	})
}

// Leases implements [ledger.Store].
func (s *Store) Leases(ctx context.Context) (all []ledger.Lease, err error) {
	err = s.ask(ctx, "list the leases", func(b *pgx.Batch) {
		b.Queue(s.in("SELECT " + leaseColumns + " FROM {schema}.leases WHERE " + now + " < until ORDER BY name")).Query(func(rows pgx.Rows) (err error) {
			all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l ledger.Lease, err error) { return l, scanLease(row, &l) })
			return err
		})
	})
	return all, err
}

const leaseColumns = "name, holder, token, until"

func scanLease(row pgx.Row, l *ledger.Lease) error {
	var token, until int64
	err := row.Scan(&l.Name, &l.Holder, &token, &until)
	l.Token, l.Until = uint64(token), time.UnixMicro(until).UTC() //nolint:gosec // it counts from 1
	return err
}

// micro rounds up: a lease is never shorter than it was asked to be.
func micro(d time.Duration) int64 { return (d - 1).Microseconds() + 1 }
