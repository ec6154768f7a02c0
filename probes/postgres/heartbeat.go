package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// defaultTable is where the heartbeat is when the file does not say.
const defaultTable = "drwatch.heartbeat"

// table is the name of the heartbeat table: schema.table, in lower case.
type table string

var tableName = regexp.MustCompile(`^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$`)

func (t table) parts() (schema, name string) {
	schema, name, _ = strings.Cut(string(t), ".")
	return schema, name
}

// quoted is the name as SQL wants it, whatever words it is made of.
func (t table) quoted() string {
	schema, name := t.parts()
	return identifier(schema) + "." + identifier(name)
}

// newestSQL gives the newest rows as one JSON value. There is one for each
// drwatch that watches the datastore.
func (t table) newestSQL() string {
	return "SELECT coalesce(json_agg(row_to_json(h)), '[]') FROM (SELECT instance, at FROM " + t.quoted() + " ORDER BY at DESC LIMIT 100) h"
}

// writeHeartbeat writes this drwatch's row on the primary: the one thing that
// is written by any probe. The moment is taken before the statement is sent, so
// whoever holds the row holds all that was committed before that moment.
func (p *Probe) writeHeartbeat(ctx context.Context, role readiness.Role) readiness.Check {
	if role != readiness.RolePrimary {
		return unanswered(CheckHeartbeat, "not written: the server is in recovery and takes no writes")
	}
	at, err := p.beat(ctx)
	if p.cfg.HeartbeatCreate && tableMissing(err) {
		if err = p.createTable(ctx); err == nil {
			at, err = p.beat(ctx)
		}
	}
	if err != nil {
		return p.heartbeatFailed(err)
	}
	return readiness.Check{
		Name: CheckHeartbeat, Status: readiness.Pass,
		Evidence: fmt.Sprintf("written to %s as %s in %s", p.table, p.target.Instance, readiness.InSeconds(p.now().Sub(at))),
	}
}

// writer is who writes the heartbeat.
func (p *Probe) writer() login {
	return login{p.looker.server.as(p.cfg.HeartbeatUser), secret.Source{File: p.cfg.HeartbeatPasswordFile, Env: p.cfg.HeartbeatPasswordEnv}}
}

// beat writes the row, and gives the moment that is in it.
func (p *Probe) beat(ctx context.Context) (at time.Time, err error) {
	err = p.writer().within(ctx, func(ctx context.Context, s *session) error {
		instance, err := s.conn.EscapeString(p.target.Instance)
		if err != nil {
			return err
		}
		at = p.now().UTC().Truncate(time.Microsecond)
		// The row need not wait for synchronous standbys: it would, where one is lost.
		script := fmt.Sprintf(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; %s SET LOCAL synchronous_commit = local;
			INSERT INTO %s (instance, at) VALUES ('%s', '%s')
			ON CONFLICT (instance) DO UPDATE SET at = excluded.at; COMMIT`,
			limits(ctx), p.table.quoted(), instance, at.Format(time.RFC3339Nano))
		return s.conn.Exec(ctx, script).Close()
	})
	return at, err
}

// createTable makes the table, as the role that will write it. It is only asked
// for where the file allows it.
func (p *Probe) createTable(ctx context.Context) error {
	script := SetupOptions{User: p.looker.server["user"], HeartbeatUser: p.cfg.HeartbeatUser, HeartbeatTable: string(p.table)}.tableSQL()
	return p.writer().within(ctx, func(ctx context.Context, s *session) error {
		return s.conn.Exec(ctx, "BEGIN READ WRITE; "+limits(ctx)+script+"; COMMIT").Close()
	})
}

// tableMissing reports whether PostgreSQL found no such table, or no such schema.
func tableMissing(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && (refusal.Code == "42P01" || refusal.Code == "3F000")
}

// readHeartbeat takes the row that has arrived at a replica for proof: ours, whose
// moment is of our own clock. That of another drwatch is of a clock that nobody
// has compared with ours, and proves nothing here.
func (p *Probe) readHeartbeat(r *readiness.Reading, a answer) {
	switch {
	case a.beatsErr != nil:
		r.Checks = append(r.Checks, p.heartbeatFailed(a.beatsErr))
		return
	case len(a.beats) == 0:
		r.Checks = append(r.Checks, readiness.Check{
			Name: CheckHeartbeat, Status: readiness.Fail,
			Evidence: fmt.Sprintf("no row has arrived in %s", p.table),
			Remedy:   "see the heartbeat check of the primary, which has to write it; a logical replica gets it only when the publication holds the table",
		})
		return
	}
	ours := slices.IndexFunc(a.beats, func(b beat) bool { return b.Instance == p.target.Instance })
	if ours < 0 {
		r.Checks = append(r.Checks, readiness.Check{
			Name: CheckHeartbeat, Status: readiness.Warn,
			Evidence: fmt.Sprintf("only rows of other drwatches have arrived (%s), on clocks that nobody has compared with ours", a.beats[0].Instance),
			Remedy:   "wait for the first row of this one; if that never comes, give instance.name, so that it is the same after a restart",
		})
		return
	}
	newest := a.beats[ours]
	evidence := fmt.Sprintf("a row of this drwatch has arrived, written %s ago", readiness.InSeconds(age(a.asked, newest.At)))
	if p.target.Copy.Logical {
		if s, _ := find(a.subscriptions, p.cfg.Subscription); !s.complete() {
			evidence += "; it proves nothing while the subscription is not whole"
			r.Checks = append(r.Checks, readiness.Check{Name: CheckHeartbeat, Status: readiness.Pass, Evidence: evidence})
			return
		}
	}
	r.Points = append(r.Points, readiness.Point{At: newest.At, Basis: readiness.BasisHeartbeat})
	r.Checks = append(r.Checks, readiness.Check{Name: CheckHeartbeat, Status: readiness.Pass, Evidence: evidence})
}

// heartbeatFailed says why the heartbeat could not be written or read.
func (p *Probe) heartbeatFailed(err error) readiness.Check {
	check := readiness.Check{
		Name: CheckHeartbeat, Status: readiness.Fail, Evidence: err.Error(),
		Remedy: "see heartbeat_user and its password, and what holds up the table; it is tried again at the next look",
	}
	var refusal *pgconn.PgError
	switch {
	case tableMissing(err):
		check.Evidence = fmt.Sprintf("the table %s is not there", p.table)
		check.Remedy = "run on the primary what `drwatch config sql --heartbeat.user` prints"
	case errors.As(err, &refusal) && refusal.Code == "42501": // insufficient_privilege
		check.Remedy = adviceRights
	}
	return check
}
