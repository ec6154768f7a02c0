// Package postgres looks at a PostgreSQL server, version 13 to 18: a primary, a
// streaming standby (a cascading or a delayed one too), or the subscriber of a
// logical replication.
//
// A look is one short connection and one round trip in it: a read-only
// transaction with one SELECT (look.sql) that gives one row. It writes nothing,
// takes no lock that anybody waits for, and needs a role with LOGIN and
// pg_read_all_stats, which [SetupSQL] makes; pg_monitor includes it.
//
// What is measured, and what it means:
//
//   - Written is how much WAL the primary has written out. A commit with
//     synchronous_commit = off is told to its client before that, by up to three
//     times wal_writer_delay (0.6 s); the heartbeat covers such commits too.
//   - Received is what a standby holds on its disk, and decides what would be
//     lost; Replayed is what it has applied, and decides how long a promotion
//     takes. After a restart the receive position begins anew at a WAL file, so
//     the larger of the two counts.
//   - The newest replayed commit is told with the time that the primary gave it.
//     It is old on an idle primary, and absent on a standby that has replayed
//     none.
//   - Connected: a receiver runs, streams, and has heard from its source lately.
//     A receiver that stands still keeps saying "streaming"; it is told after a
//     little more than half of wal_receiver_timeout (35 s when that is 60 s), for
//     so long a living link may be silent.
//   - A logical subscriber does not tell what it holds on its disk. What its
//     publisher says it confirmed does, and the heartbeat; neither counts before
//     all of its tables are copied.
//
// With heartbeat: true the probe of the primary writes one row after its look,
// with its own role over its own connection: the time of drwatch's own clock.
// The replicas' probes find it there, which proves what they hold by one clock,
// on an idle primary too. This is the only thing that drwatch writes to what it
// watches, and that it could not is a failed check, never a failed look.
//
// What cannot be seen: data that is not in the WAL (unlogged tables), what a
// logical replication leaves out (sequences, schema changes, tables outside the
// publication), whether the data is right, and whether a lost server would
// come back.
package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// Config is the part of the file that says how to look at one copy.
type Config struct {
	DSN string `yaml:"dsn" json:"dsn" jsonschema_description:"Where the server is, as a URL or as keyword=value pairs, without a password. host, dbname and user must be given; nothing is taken from the environment." jsonschema:"example=postgres://drwatch@db.example.com:5432/festivals?sslmode=verify-full&sslrootcert=/etc/drwatch/ca.pem"`

	PasswordFile string `yaml:"password_file,omitempty" json:"password_file,omitempty" jsonschema_description:"The file that holds the password. It is read at each look."`
	PasswordEnv  string `yaml:"password_env,omitempty" json:"password_env,omitempty" jsonschema_description:"The environment variable that holds the password."`

	Subscription string `yaml:"subscription,omitempty" json:"subscription,omitempty" jsonschema_description:"The name of the subscription by which a logical replica follows its publisher."`

	Heartbeat             bool   `yaml:"heartbeat,omitempty" json:"heartbeat,omitempty" jsonschema_description:"Write a row on the primary after each look, and find it on the replicas. Set it on the primary and on each replica."`
	HeartbeatUser         string `yaml:"heartbeat_user,omitempty" json:"heartbeat_user,omitempty" jsonschema_description:"The role that writes the heartbeat on the primary."`
	HeartbeatPasswordFile string `yaml:"heartbeat_password_file,omitempty" json:"heartbeat_password_file,omitempty" jsonschema_description:"The file that holds the password of heartbeat_user."`
	HeartbeatPasswordEnv  string `yaml:"heartbeat_password_env,omitempty" json:"heartbeat_password_env,omitempty" jsonschema_description:"The environment variable that holds the password of heartbeat_user."`
	HeartbeatCreate       bool   `yaml:"heartbeat_create,omitempty" json:"heartbeat_create,omitempty" jsonschema_description:"Let drwatch make the table of the heartbeat where it is missing. heartbeat_user then needs CREATE on the database; without it, run what drwatch config sql prints."`
	HeartbeatTable        string `yaml:"heartbeat_table,omitempty" json:"heartbeat_table,omitempty" jsonschema_description:"The table of the heartbeat, as schema.table." jsonschema:"default=drwatch.heartbeat"`
}

// Validate finds the mistakes in the configuration. It opens no connection and
// reads no file.
func (c Config) Validate(of readiness.Copy) []probes.Problem {
	p := probes.Problems{}
	if of.Kind != readiness.Primary && of.Kind != readiness.Replica {
		p.Add("", "a postgres probe looks at a primary or a replica, and this copy is a %s", of.Kind)
	}
	server, err := parseDSN(c.DSN)
	if err != nil {
		p.Add("dsn", "%s", err)
	}
	if c.PasswordFile != "" && c.PasswordEnv != "" {
		p.Add("password_env", "give password_file or password_env, not both")
	}
	switch {
	case of.Logical && c.Subscription == "":
		p.Add("subscription", "missing: name the subscription by which this logical replica follows its publisher")
	case !of.Logical && c.Subscription != "":
		p.Add("subscription", "only logical replicas have one: say logical: true of this copy, or take it away")
	}
	if of.Logical && of.Delay > 0 {
		p.Add("", "a logical replica cannot be delayed: PostgreSQL has no such setting for a subscription, so take delay away")
	}
	c.validateHeartbeat(&p, of, server)
	return p
}

func (c Config) validateHeartbeat(p *probes.Problems, of readiness.Copy, server dsn) {
	if c.HeartbeatTable != "" && !tableName.MatchString(c.HeartbeatTable) {
		p.Add("heartbeat_table", "to be written schema.table, in lower case letters, digits and _")
	}
	if c.HeartbeatPasswordFile != "" && c.HeartbeatPasswordEnv != "" {
		p.Add("heartbeat_password_env", "give heartbeat_password_file or heartbeat_password_env, not both")
	}
	writer := c.HeartbeatUser != "" || c.HeartbeatCreate || c.HeartbeatPasswordFile != "" || c.HeartbeatPasswordEnv != ""
	switch primary := of.Kind == readiness.Primary; {
	case !c.Heartbeat && (writer || c.HeartbeatTable != ""):
		p.Add("heartbeat", "not on: set heartbeat: true, or take the other heartbeat keys away")
	case c.Heartbeat && primary && c.HeartbeatUser == "":
		p.Add("heartbeat_user", "missing: name the role that writes the heartbeat, which must not be the one that looks")
	case c.Heartbeat && primary && c.HeartbeatUser == server["user"]:
		p.Add("heartbeat_user", "the same as the role that looks, which must not be able to write: make another")
	case !primary && writer:
		p.Add("heartbeat_user", "the heartbeat is written on the primary only: on a replica heartbeat: true is enough")
	}
}

// Checks lists the checks that are made on the copy, in the order in which
// people should read them.
func Checks(c Config, of readiness.Copy) []string {
	names := []string{readiness.CheckRole}
	switch {
	case of.Kind == readiness.Primary:
		names = append(names, readiness.CheckDistinctServer, CheckSlots)
	case of.Logical: // it has a history of its own
		names = append(names, readiness.CheckDistinctServer, CheckSubscription)
	default:
		names = append(names, readiness.CheckSameSystem, readiness.CheckDistinctServer, CheckReceiver, CheckReplay, CheckDelay, CheckSlots)
	}
	if c.Heartbeat {
		names = append(names, CheckHeartbeat)
	}
	return append(names, readiness.CheckClock)
}

// Probe looks at one server. It may be used by several goroutines.
type Probe struct {
	cfg    Config
	target probes.Target
	looker login
	table  table
	now    func() time.Time

	mu      sync.Mutex
	lineage lineage
}

// lineage is the newest timeline that a server was seen to be on.
type lineage struct {
	server   string
	timeline uint32
}

// New makes the probe of a copy. It opens no connection and reads no file.
func New(cfg Config, target probes.Target) (*Probe, error) {
	if problems := cfg.Validate(target.Copy); len(problems) > 0 {
		return nil, fmt.Errorf("set up the postgres probe of %s: %s: %s", target.Copy.Name, problems[0].Path, problems[0].Message)
	}
	server, err := parseDSN(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("set up the postgres probe of %s: %w", target.Copy.Name, err)
	}
	p := &Probe{
		cfg: cfg, target: target, now: time.Now,
		looker: login{server, secret.Source{File: cfg.PasswordFile, Env: cfg.PasswordEnv}},
		table:  defaultTable,
	}
	if cfg.HeartbeatTable != "" {
		p.table = table(cfg.HeartbeatTable)
	}
	return p, nil
}

// Look asks the server once. The error is a [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	var a answer
	err := p.looker.within(ctx, func(ctx context.Context, s *session) (err error) {
		a, err = p.ask(ctx, s)
		return err
	})
	if err != nil {
		return readiness.Reading{}, err
	}
	r := p.reading(a)
	if p.cfg.Heartbeat && p.target.Copy.Kind == readiness.Primary {
		r.Checks = append(r.Checks, p.writeHeartbeat(ctx, r.Role))
	}
	return r, nil
}

// readsHeartbeat reports whether the copy is one on which the row is to arrive.
func (p *Probe) readsHeartbeat() bool {
	return p.cfg.Heartbeat && p.target.Copy.Kind != readiness.Primary
}
