package postgres

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

const (
	// largestMessage bounds what one message of a server may take of our memory.
	// A server with 1,000 slots answers with a quarter of it.
	largestMessage = 1 << 20
	// patience is the most that a server gets for one answer, and what it gets when
	// nobody set a deadline.
	patience = time.Hour
)

// login is who we are to a server.
type login struct {
	server   dsn
	password secret.Source
}

// session is one connection as one role.
type session struct {
	login
	secret secret.String // the password, to be kept out of errors
	conn   *pgconn.PgConn
}

// within makes one connection, talks over it, and closes it. Whatever happens,
// no connection and no goroutine is left, and every error is a failure that
// names the server.
func (l login) within(ctx context.Context, talk func(context.Context, *session) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{login: l}
	if err := s.connect(ctx); err != nil {
		return err
	}
	err := talk(ctx, s)
	if err != nil {
		err = s.failure(ctx, err)
	}
	_ = s.conn.Close(ctx) // politely; what there was to learn is learnt
	cancel()
	<-s.conn.CleanupDone()
	return err
}

func (s *session) connect(ctx context.Context) (err error) {
	if s.secret, err = s.password.Read(ctx); err != nil {
		class := readiness.Denied
		if ctx.Err() != nil {
			class = readiness.Timeout
		}
		return probes.Fail(class, "read the password for %s: %w", s.server, err)
	}
	if err := s.server.filesAnswer(ctx); err != nil {
		return err
	}
	config, err := s.server.config(s.secret)
	if err != nil {
		return probes.AsFailure(fmt.Errorf("prepare the connection to %s: %w", s.server, err))
	}
	config.MaxProtocolMessageBodyLen = largestMessage
	config.DialFunc = dialWithin(ctx)
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = s.server.share(ctx)
	}
	if s.conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// filesAnswer finds out whether certificates can be read in time: the library
// reads them as well, without an end. What else is wrong with them it tells.
func (d dsn) filesAnswer(ctx context.Context) error {
	for _, key := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if d[key] == "" {
			continue
		}
		if _, err := secret.ReadFile(ctx, d[key]); err != nil && ctx.Err() != nil {
			return probes.Fail(readiness.Timeout, "read %s for %s: %w", key, d, err)
		}
	}
	return nil
}

// share is the time that each of several hosts gets, so that one which hangs
// does not take the time of the next. Zero is all the time there is.
func (d dsn) share(ctx context.Context) time.Duration {
	hosts := strings.Count(d["host"], ",") + 1
	deadline, ok := ctx.Deadline()
	if !ok || hosts == 1 {
		return 0
	}
	return max(time.Until(deadline)/time.Duration(hosts), time.Millisecond)
}

// dialWithin makes connections that end with the context. After an error pgconn
// dials again, to ask the server to cancel the query, and waits up to 15 s for
// it; statement_timeout does that for us.
func dialWithin(life context.Context) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			context.AfterFunc(life, func() { _ = conn.Close() })
		}
		return conn, err
	}
}

// limits are settings for the transaction that has been begun: the server gives
// up a little before we do, and says why. They are set here and not when
// connecting, since poolers such as pgbouncer refuse that.
func limits(ctx context.Context) string {
	left := patience
	if deadline, ok := ctx.Deadline(); ok {
		left = min(patience, time.Until(deadline))
	}
	statement := max(left*9/10, time.Millisecond)
	return fmt.Sprintf("SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; ",
		statement.Milliseconds(), max(statement/2, time.Millisecond).Milliseconds())
}
