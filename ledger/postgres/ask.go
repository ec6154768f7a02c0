package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/ledger"
)

// begin is explicit, since a server can be told to isolate otherwise: after the
// lock on the head each statement must see what is there by then.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

// limit is for the transaction that has been begun. The server gives up a little
// before we do, and says why. Nothing is acknowledged before it is on disk.
const limit = `SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
	set_config('idle_in_transaction_session_timeout', $3, true),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)`

// open queues what begins a transaction that changes something.
func open(ctx context.Context, b *pgx.Batch) {
	left := patience
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	statement := max(left*9/10, time.Millisecond)
	lock := max(statement*9/10, time.Millisecond)
	milliseconds := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	b.Queue(begin)
	b.Queue(limit, milliseconds(statement), milliseconds(lock), milliseconds(standstill))
}

// ask sends questions in one round trip and reads the answers. Those that change
// nothing, or nothing more when they are asked twice, may be asked again.
func (s *Store) ask(ctx context.Context, what string, questions func(*pgx.Batch)) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.attempt(short, func(c *pgx.Conn) error {
		b := new(pgx.Batch)
		questions(b)
		if err := c.SendBatch(short, b).Close(); err != nil {
			return &early{err}
		}
		return nil
	})
	return s.failure(ctx, what, err)
}

// set is like ask, as one transaction that is on disk when it returns.
func (s *Store) set(ctx context.Context, what string, questions func(*pgx.Batch)) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.attempt(short, func(c *pgx.Conn) error {
		b := new(pgx.Batch)
		open(short, b)
		questions(b)
		if err := commit(short, c, b); err != nil {
			rollBack(short, c)
			return &early{err}
		}
		return nil
	})
	return notWritten(s.failure(ctx, what, err))
}

// change makes one transaction out of two round trips: what is asked, under the
// locks that are needed, and what is written because of the answers. decide gives
// an error where nothing is to be written.
func (s *Store) change(ctx context.Context, what string, ask func(*pgx.Batch), decide func(*pgx.Batch) error) error {
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.attempt(short, func(c *pgx.Conn) error {
		questions := new(pgx.Batch)
		open(short, questions)
		ask(questions)
		if err := c.SendBatch(short, questions).Close(); err != nil {
			rollBack(short, c)
			return &early{err}
		}
		answer := new(pgx.Batch)
		if err := decide(answer); err != nil {
			rollBack(short, c)
			return err
		}
		err := commit(short, c, answer)
		if err != nil {
			rollBack(short, c)
		}
		return err
	})
	return notWritten(s.failure(ctx, what, err))
}

// notWritten tells that a role which lacks a right to write can still read.
func notWritten(err error) error {
	if errors.Is(err, errDenied) {
		return fmt.Errorf("%w: %w", ledger.ErrReadOnly, err)
	}
	return err
}

// commit sends the last statements of a transaction.
func commit(ctx context.Context, c *pgx.Conn, b *pgx.Batch) error {
	delete(c.PgConn().CustomData(), warningKey)
	b.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return errors.New("the server has rolled it back, and does not say why")
		}
		return nil
	})
	err := c.SendBatch(ctx, b).Close()
	var refusal *pgconn.PgError
	switch warning, warned := c.PgConn().CustomData()[warningKey].(*pgconn.Notice); {
	case err == nil && !warned:
		return nil
	case err == nil:
		// Somebody has ended the wait for the standby. The commit is not undone by that.
		return &uncertain{(*pgconn.PgError)(warning)}
	case errors.As(err, &refusal) && (refusal.SeverityUnlocalized == "ERROR" || refusal.Code == "25P03"):
		return err
	default:
		return &uncertain{err}
	}
}

// warningKey is where a connection keeps the newest warning of its server.
const warningKey = "warning"

// noteWarning keeps the warnings of a server. What a COMMIT warns of is that it
// was not replicated as it should be.
func noteWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" {
		c.CustomData()[warningKey] = n
	}
}

// rollBack frees the locks, and keeps the connection. Where it fails, the pool
// closes the connection, which frees them too.
func rollBack(ctx context.Context, c *pgx.Conn) {
	if !c.IsClosed() && ctx.Err() == nil {
		_, _ = c.Exec(ctx, "ROLLBACK")
	}
}

// attempt gives a connection to do. One that broke while it lay idle, or whose
// server is no primary any more, is given up for another.
func (s *Store) attempt(ctx context.Context, do func(*pgx.Conn) error) error {
	demoted := false
	for try := 0; ; try++ {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return &early{err}
		}
		err = do(c.Conn())
		readOnly := isCode(err, "25006")
		if readOnly {
			s.pool.Reset() // its other connections lead to the same server
		}
		c.Release()
		if !isStale(err) || demoted && readOnly || try == connections || ctx.Err() != nil {
			return err
		}
		demoted = demoted || readOnly
	}
}

// isStale reports whether an error tells only that a connection is of no use any
// more, before anything was done over it.
func isStale(err error) bool {
	var refusal *pgconn.PgError
	if !errors.As(err, new(*early)) || isOurs(err) {
		return false
	}
	return !errors.As(err, &refusal) || isCode(err, "25006", "57P01", "57P02")
}
