package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/ledger"
)

// early is an error by which nothing has happened yet.
type early struct{ error }

func (e *early) Unwrap() error { return e.error }

// uncertain is an error after which nobody knows whether it has happened.
type uncertain struct{ error }

func (e *uncertain) Unwrap() error { return e.error }

// isCode reports whether a server has answered with one of these codes, of
// appendix A of PostgreSQL's manual.
func isCode(err error, codes ...string) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && slices.Contains(codes, refusal.Code)
}

// failure says what could not be done, on which server, and what to do.
func (s *Store) failure(ctx context.Context, what string, err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	what = fmt.Sprintf("%s: the ledger at %s", what, s.server)
	doubt := ""
	if errors.As(err, new(*uncertain)) {
		doubt = "; it is not known whether it was done: ask again, with the same IDs"
	}
	var refusal *pgconn.PgError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s gave no answer in time: %w%s", what, ctx.Err(), doubt)
	case errors.As(err, &refusal):
		advice, kind := s.classify(refusal)
		if kind == nil {
			return fmt.Errorf("%s: %w%s%s", what, refusal, advice, doubt)
		}
		return fmt.Errorf("%s: %w: %w%s%s", what, kind, refusal, advice, doubt)
	case errors.Is(err, pgconn.ErrReadOnlyConnection):
		return fmt.Errorf("%s: %w: none of the servers that answer is a primary: promote one, or correct the dsn (target_session_attrs=any reads on a standby)",
			what, ledger.ErrReadOnly)
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, new(*pgconn.ConnectError)):
		return fmt.Errorf("%s gave no answer within %s: %w%s", what, patience, context.DeadlineExceeded, doubt)
	default:
		return fmt.Errorf("%s: %w%s", what, &network{err}, doubt)
	}
}

// errDenied is that the role has not the right to something.
var errDenied = errors.New("the role lacks a right")

// isOurs reports whether an error is one that tells all already.
func isOurs(err error) bool {
	for _, own := range []error{ledger.ErrConflict, ledger.ErrFenced, ledger.ErrHeld, ledger.ErrCorrupt, ledger.ErrInvalid, ErrSchema, errPruned} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// classify tells what an answer of the server means for a ledger, and what to do.
func (s *Store) classify(e *pgconn.PgError) (advice string, kind error) {
	switch e.Code {
	case "25006": // read_only_sql_transaction
		return "; it is a standby, or default_transaction_read_only is on there", ledger.ErrReadOnly
	case "42501": // insufficient_privilege
		if e.Routine != "aclcheck_error" { // it is the server that lacks a right, to its files
			return "; see the log of the server", ledger.ErrReadOnly
		}
		return "; as the owner of the schema, run: " + strings.ReplaceAll(grants(s.schema, s.user), "\n", " "), errDenied
	case "53100": // disk_full
		return "; make room on the disk of the server", ledger.ErrFull
	case "55P03": // lock_not_available
		return "; another transaction holds it: see pg_stat_activity", ledger.ErrLocked
	case "57014": // query_canceled
		return "; the server is overloaded, or somebody has cancelled it", nil
	case "25P03": // idle_in_transaction_session_timeout
		return fmt.Sprintf("; this drwatch, or the network, stood still for %s: nothing was done", standstill), nil
	case "XX001", "XX002": // data_corrupted, index_corrupted
		return "; see the log of the server, and restore it from a backup", ledger.ErrCorrupt
	case "3F000", "42P01", "42703", "42883": // invalid_schema_name, undefined_table, undefined_column, undefined_function
		return "; " + adviceMigrate, ErrSchema
	case "28P01", "28000": // invalid_password, invalid_authorization_specification
		return "; see that the role exists, that pg_hba.conf lets it in, and that password_file holds its password", nil
	case "3D000": // invalid_catalog_name
		return "; correct dbname in the dsn, or create the database", nil
	case "53300": // too_many_connections
		return fmt.Sprintf("; a drwatch needs up to %d connections: raise max_connections or the role's CONNECTION LIMIT", connections), nil
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return "; it is starting or stopping: see its log", nil
	case "01000": // warning, of a COMMIT
		return "; its synchronous standby has not confirmed it", nil
	case "23505": // unique_violation
		return classifyTwice(e)
	}
	return "", nil
}

// classifyTwice tells what it means that something is there already.
func classifyTwice(e *pgconn.PgError) (advice string, kind error) {
	if e.ConstraintName == "events_by_id" {
		return "; its stream has an event with this id already", ledger.ErrInvalid
	}
	return "; there are events beyond the newest one that is noted: somebody else has written them, or the server was not restored as a whole", ledger.ErrCorrupt
}

// network is an error on the way to a server. Its text names each cause once,
// where that of pgx does so for each address, and says what was dialled.
type network struct{ error }

func (n *network) Unwrap() error { return n.error }

func (n *network) Error() string {
	var texts []string
	for _, cause := range leaves(n.error) {
		if text := cause.Error(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; ")
}

// leaves are the errors at which a tree of wrapped errors ends.
func leaves(err error) []error {
	switch e := err.(type) { //nolint:errorlint // the walk unwraps step by step
	case *net.OpError, *net.DNSError, *fs.PathError: // they name the address, or the file
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
