package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// failure makes one line for people out of an error of pgconn, whose own text
// is long, tells each cause once for each address, and cites what a server that
// is none may have sent.
func (s *session) failure(ctx context.Context, err error) *readiness.Failure {
	var refusal *pgconn.PgError
	switch {
	case errors.As(err, new(*readiness.Failure)):
		return probes.AsFailure(err)
	case ctx.Err() != nil:
		return probes.Fail(readiness.Timeout, "%s gave no answer in time: %w", s.server, ctx.Err())
	case errors.As(err, &refusal):
		class, advice := classify(refusal)
		told := &pgconn.PgError{Severity: s.presentable(refusal.Severity, 10), Code: s.presentable(refusal.Code, 5), Message: s.presentable(refusal.Message, 130)}
		return probes.Fail(class, "%s: %w%s", s.server, told, advice)
	}
	var causes []string
	for _, cause := range leaves(err) {
		if text := s.presentable(cause.Error(), 150); !slices.Contains(causes, text) {
			causes = append(causes, text)
		}
	}
	return probes.Fail(network(err), "%s: %s", s.server, s.presentable(strings.Join(causes, "; "), 200))
}

// classify tells what an error of the server means for a look. The codes are
// those of PostgreSQL's appendix A.
func classify(e *pgconn.PgError) (class readiness.Class, advice string) {
	switch e.Code {
	case "28P01": // invalid_password
		return readiness.Denied, "; see that password_file or password_env holds the password of the role"
	case "28000": // invalid_authorization_specification
		return readiness.Denied, "; see that the role exists, may log in, and is let in by pg_hba.conf"
	case "42501": // insufficient_privilege
		return readiness.Denied, "; " + adviceRights
	case "3D000": // invalid_catalog_name
		return readiness.NotFound, "; correct dbname in the dsn, or create the database"
	case "57P03", "57P01", "57P02":
		// cannot_connect_now, admin_shutdown, crash_shutdown: the host and the way
		// to it are well, but there is no server to talk to now, as if nobody listened.
		return readiness.Refused, "; it is starting, stopping, or in recovery without hot_standby: see its log"
	case "53300": // too_many_connections
		return readiness.Throttled, "; drwatch needs one connection for a moment: raise max_connections or the role's CONNECTION LIMIT, or see who holds them"
	case "57014", "55P03": // query_canceled, lock_not_available
		return readiness.Timeout, "; the server is overloaded, or something holds a lock on its catalogs"
	case "42883", "42703", "42P01": // undefined_function, undefined_column, undefined_table
		return readiness.Malformed, "; drwatch needs PostgreSQL 13 or newer"
	}
	if e.Code == "08P01" { // protocol_violation
		return classifyPooler(e.Message)
	}
	return readiness.Malformed, ""
}

// classifyPooler tells the errors of pgbouncer apart, which has one code for all.
func classifyPooler(message string) (class readiness.Class, advice string) {
	for _, known := range []struct {
		text   string
		class  readiness.Class
		advice string
	}{
		{"no such database", readiness.NotFound, "; correct dbname in the dsn, or add the database to the pooler"},
		{"authentication failed", readiness.Denied, "; see that the pooler knows the role, and that the password is right"},
		{"no more connections", readiness.Throttled, "; raise max_client_conn of the pooler"},
		{"query_wait_timeout", readiness.Timeout, "; the pooler had no connection to its server in time: see the pooler's log"},
		{"login has been failing", readiness.Unreachable, "; the pooler cannot log in to its server: see the pooler's log"},
		{"cannot connect to server", readiness.Unreachable, "; the pooler does not reach its server: see the pooler's log"},
	} {
		if strings.Contains(message, known.text) {
			return known.class, known.advice
		}
	}
	return readiness.Malformed, ""
}

// network tells what an error on the way to the server means.
func network(err error) readiness.Class {
	for _, mismatch := range []error{pgconn.ErrReadOnlyConnection, pgconn.ErrReadWriteConnection, pgconn.ErrPrimaryConnection, pgconn.ErrStandbyConnection} {
		if errors.Is(err, mismatch) {
			return readiness.NotFound // servers enough, but none as target_session_attrs wants it
		}
	}
	switch class := probes.Classify(err); {
	case class != readiness.Internal:
		return class
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgconn has no name for it
		return readiness.TLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE):
		return readiness.Unreachable
	default:
		return readiness.Malformed
	}
}

// leaves are the errors at which a tree of wrapped errors ends.
func leaves(err error) []error {
	switch e := err.(type) { //nolint:errorlint // the walk unwraps step by step
	case *net.OpError, *net.DNSError: // they name the address
		return []error{err}
	case interface{ Unwrap() []error }:
		var all []error
		for _, inner := range e.Unwrap() {
			all = append(all, leaves(inner)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		return leaves(inner)
	}
	return []error{err}
}

// presentable takes out of a foreign text the password and whatever a page or a
// terminal could not show, and keeps no more of it than people read.
func (s *session) presentable(text string, longest int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, s.secret.Redact(text))
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return text
}
