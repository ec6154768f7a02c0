package config

import (
	"time"

	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/readiness"
)

// Ledger is where what must outlive the process is kept: attestations, the history
// of compliance, and more.
type Ledger struct {
	SQLite    *SQLiteLedger   `yaml:"sqlite,omitempty" jsonschema_description:"A file of this machine, for one instance."`
	Postgres  *PostgresLedger `yaml:"postgres,omitempty" jsonschema_description:"A PostgreSQL server, in the standby region, that several instances share."`
	Retention time.Duration   `yaml:"retention,omitempty" jsonschema:"example=17520h" jsonschema_description:"For how long events are kept; for ever where nothing is said. drwatch ledger prune removes what is older."`
}

// SQLiteLedger is a file.
type SQLiteLedger struct {
	Path string `yaml:"path" jsonschema:"example=/var/lib/drwatch/ledger.db" jsonschema_description:"The file. Its folder must be there, on a disk of this machine."`
}

// PostgresLedger is a server.
type PostgresLedger struct {
	DSN          string `yaml:"dsn" jsonschema:"example=postgres://drwatch@ledger.eu-central-1.example.com:5432/drwatch?sslmode=verify-full" jsonschema_description:"Where the server is, as a URL or keyword=value pairs, without a password."`
	PasswordFile string `yaml:"password_file,omitempty" jsonschema_description:"The file that holds the password."`
	PasswordEnv  string `yaml:"password_env,omitempty" jsonschema_description:"The environment variable that holds the password."`
	Schema       string `yaml:"schema,omitempty" jsonschema:"default=drwatch" jsonschema_description:"The schema of the tables."`
}

func (v *validator) validateLedger() {
	l, at := v.config.Ledger, path("ledger")
	if l == nil {
		return
	}
	v.positive(path(at, "retention"), l.Retention)
	switch {
	case l.SQLite == nil && l.Postgres == nil && !v.isWrong(path(at, "sqlite")) && !v.isWrong(path(at, "postgres")):
		v.errorAt(at, "says not where: add sqlite, with a path, or postgres, with a dsn")
	case l.SQLite != nil && l.Postgres != nil:
		v.errorAt(path(at, "postgres"), "there is sqlite already, and there is one ledger: leave one of them out")
	case l.Postgres != nil:
		// A server is named as it is for the probe, and no password is among that.
		server := postgres.Config{DSN: l.Postgres.DSN, PasswordFile: l.Postgres.PasswordFile, PasswordEnv: l.Postgres.PasswordEnv}
		for _, p := range server.Validate(readiness.Copy{Kind: readiness.Primary}) {
			v.errorAt(path(at, "postgres", steps(p.Path)), p.Message)
		}
	}
}
