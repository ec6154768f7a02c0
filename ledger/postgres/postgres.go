// Package postgres keeps a ledger in a PostgreSQL server, version 13 or newer, so
// that several instances of drwatch share it.
//
// Writers take turns: who appends locks the one row that says where the log ends,
// for one round trip. The server drops a writer who stands still within it after
// 5 s, so that one who was paused, or cut off, holds up nobody for longer.
//
// What Append returns is on the disk of the server: synchronous_commit is on for
// our transactions, whatever the server says, and stays remote_apply where it is
// that. That covers the server itself. To keep every acknowledged event through
// the loss of the server, and never to give a token twice, it needs a synchronous
// standby (synchronous_standby_names): an append then returns when the standby has
// the event on its disk too, and waits where there is none. Without it a failover of
// the ledger's own server can lose the newest events, and with them leases.
//
// Leases run by clock_timestamp() of the server, so the clocks of the instances do
// not matter. When the clock of the server is set forward leases run out early, and
// their holders are fenced. When it is set back, no lease lasts longer than its time
// from then on.
//
// The role needs no right to change or to remove anything in the log: see
// [SetupSQL]. The tables are made by [Migrate] or by that script, never by [Open].
//
// A pooler between us and the server may pool transactions: nothing lasts longer.
package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/drwatch/drwatch/ledger"
)

const (
	// connections is how many an instance has at most.
	connections = 4
	// patience is how long one round of questions may take where the caller sets no
	// earlier deadline.
	patience = 30 * time.Second
	// standstill is how long the server lets a writer hold up the others without a word.
	standstill = 5 * time.Second
	// farewell is how long Close waits for what is under way.
	farewell = time.Second
)

// Options say where a ledger is, and how to reach it.
type Options struct {
	// DSN is a URL or keyword=value pairs, without a password. Of several hosts the one
	// is taken that can be written; say target_session_attrs=any to read on a standby.
	DSN string
	// PasswordFile is the file that holds the password, and PasswordEnv the variable.
	// They are read for each connection, so that a new password is seen. Both may be empty.
	PasswordFile, PasswordEnv string
	// Schema is where the tables are. Empty is drwatch.
	Schema string
	// Logger is told of settings of the server by which events could be lost. It may be nil.
	Logger *slog.Logger
}

// Store is a ledger in a server. It implements [ledger.Store].
type Store struct {
	pool   *pgxpool.Pool
	cut    func() // ends all connections at once
	server string // as people read it
	user   string
	schema string
}

// Open opens the ledger of a server. The error is [ErrSchema] where its tables are
// not those that this version of drwatch needs, and [ledger.ErrCorrupt] where its
// end is damaged.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	config, err := o.pool()
	if err != nil {
		return nil, err
	}
	life, cut := context.WithCancel(context.WithoutCancel(ctx)) // Close ends it
	config.ConnConfig.DialFunc = dialWithin(life)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		cut()
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	s := &Store{pool: pool, cut: cut, server: serverName(config.ConnConfig), user: config.ConnConfig.User, schema: o.Schema}
	if err := s.examine(ctx, o.Logger); err != nil {
		_ = s.Close() // it has no error
		return nil, err
	}
	return s, nil
}

// Close ends all connections. Calls that are under way have a second to end by
// themselves.
func (s *Store) Close() error {
	late := time.AfterFunc(farewell, s.cut)
	defer late.Stop()
	s.pool.Close()
	s.cut()
	return nil
}

// examine finds out at the start what would fail later.
func (s *Store) examine(ctx context.Context, logger *slog.Logger) error {
	if err := s.examineVersion(ctx); err != nil {
		return err
	}
	var fsync, pages string
	err := s.ask(ctx, "look at the ledger", func(b *pgx.Batch) {
		b.Queue("SELECT current_setting('fsync'), current_setting('full_page_writes')").QueryRow(func(row pgx.Row) error {
			return row.Scan(&fsync, &pages)
		})
	})
	if err != nil {
		return err
	}
	if logger != nil && (fsync != "on" || pages != "on") {
		logger.WarnContext(ctx, "the server of the ledger may lose events in a power cut: set fsync and full_page_writes on",
			"server", s.server, "fsync", fsync, "full_page_writes", pages)
	}
	return s.examineEnd(ctx)
}

// examineEnd holds the newest event against what the head of the log says. The
// whole log is a matter of [ledger.Verify].
func (s *Store) examineEnd(ctx context.Context) error {
	extent, err := s.Extent(ctx)
	if err != nil || extent.Last < extent.First || extent.Last == 0 {
		return err
	}
	var found []ledger.Event
	for e, err := range s.Events(ctx, ledger.Query{After: extent.Last - 1, UpTo: extent.Last}) {
		if err != nil {
			return err
		}
		found = append(found, e)
	}
	switch {
	case len(found) == 0:
		return &ledger.CorruptError{Position: extent.Last, What: "it is the newest, and is not there"}
	case found[0].Hash != extent.Head, ledger.Restored{After: extent.Last - 1, Base: found[0].Previous, Events: found}.Check() != nil:
		return &ledger.CorruptError{Position: extent.Last, What: "it is the newest, and not what was written"}
	}
	return nil
}

// in names the schema in a statement.
func (s *Store) in(statement string) string {
	return strings.ReplaceAll(statement, "{schema}", identifier(s.schema))
}

// serverName names the servers for people: user@host:port,host:port/dbname.
func serverName(config *pgx.ConnConfig) string {
	servers := []string{net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	for _, f := range config.Fallbacks {
		if server := net.JoinHostPort(f.Host, fmt.Sprint(f.Port)); !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return fmt.Sprintf("%s@%s/%s", config.User, strings.Join(servers, ","), config.Database)
}
