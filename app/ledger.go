package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/postgres"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// ErrNoLedger says that the file names none.
var ErrNoLedger = errors.New("the file names no ledger: add ledger, with sqlite and a path, or postgres and a dsn")

// LedgerMode says what a ledger is opened for.
type LedgerMode bool

// The modes. One that is only read must be there, and is never changed.
const (
	WriteLedger LedgerMode = false
	ReadLedger  LedgerMode = true
)

// OpenLedger opens the ledger of a configuration.
func OpenLedger(ctx context.Context, cfg *config.Config, mode LedgerMode, log *slog.Logger) (ledger.Store, error) {
	switch l := cfg.Ledger; {
	case l == nil:
		return nil, ErrNoLedger
	case l.SQLite != nil:
		return sqlite.Open(ctx, sqlite.Options{Path: l.SQLite.Path, ReadOnly: bool(mode)})
	default:
		return postgres.Open(ctx, postgresLedger(l.Postgres, log))
	}
}

func postgresLedger(c *config.PostgresLedger, log *slog.Logger) postgres.Options {
	return postgres.Options{DSN: c.DSN, PasswordFile: c.PasswordFile, PasswordEnv: c.PasswordEnv, Schema: c.Schema, Logger: log}
}

// MigrateLedger makes the tables of a ledger, or brings them up to date, and tells
// from which version to which. A file is brought up to date whenever it is opened.
func MigrateLedger(ctx context.Context, cfg *config.Config, log *slog.Logger) (from, to int, err error) {
	if cfg.Ledger == nil {
		return 0, 0, ErrNoLedger
	}
	if cfg.Ledger.Postgres != nil {
		return postgres.Migrate(ctx, postgresLedger(cfg.Ledger.Postgres, log))
	}
	store, err := OpenLedger(ctx, cfg, WriteLedger, log)
	if err != nil {
		return 0, 0, err
	}
	return 0, 0, store.Close()
}
