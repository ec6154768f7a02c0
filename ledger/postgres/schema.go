package postgres

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/drwatch/drwatch/ledger"
)

// ErrSchema is that the tables of the ledger are missing, or of another version.
var ErrSchema = errors.New("the tables of the ledger are not those that are needed")

const adviceMigrate = "run: drwatch ledger migrate, as a role that may create in the database"

// current is the version of the tables that this drwatch makes and needs.
const current = 1

// scripts hold what makes each version out of the one before it; 0.sql goes before them all.
//
//go:embed schema/*.sql
var scripts embed.FS

// SetupOptions say what the setup script makes.
type SetupOptions struct {
	// Schema is where the tables are. Empty is drwatch.
	Schema string
	// User is the role that keeps the ledger. Empty is drwatch.
	User string
}

// SetupSQL is the script that an administrator runs with psql instead of
// [Migrate], in the database of the ledger. It makes the tables, which he owns
// then, and the role that drwatch uses, without a password, and gives it no more
// rights than it needs: it can add to the log, and can neither change nor remove
// what is in it, but for the pruning of the oldest events.
func SetupSQL(o SetupOptions) string {
	schema, user := cmp.Or(o.Schema, "drwatch"), cmp.Or(o.User, "drwatch")
	const role = `
DO $drwatch$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {'user'}) THEN
		CREATE ROLE {user} LOGIN;
	END IF;
	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), {'user'});
END $drwatch$;
`
	return "BEGIN;\n" + migration(schema) + strings.NewReplacer("{user}", identifier(user), "{'user'}", literal(user)).Replace(role) +
		grants(schema, user) + "\nCOMMIT;\n"
}

// migration is the script that makes the tables of the current version out of
// those of any older one, or out of nothing. It runs within a transaction.
func migration(schema string) string {
	var script strings.Builder
	for version := range current + 1 {
		text, err := scripts.ReadFile(fmt.Sprintf("schema/%d.sql", version))
		if err != nil {
			return "SELECT 1/0; -- a version is missing" // a test holds that none is
		}
		if version == 0 {
			script.Write(text)
			continue
		}
		fmt.Fprintf(&script, "\n-- Version %d.\nDO $drwatch$ BEGIN IF NOT EXISTS (SELECT FROM {schema}.version WHERE version = %[1]d) THEN\n\n%s\n"+
			"INSERT INTO {schema}.version (version) VALUES (%[1]d);\nEND IF; END $drwatch$;\n", version, text)
	}
	return strings.NewReplacer("{schema}", identifier(schema), "{'schema'}", literal(schema)).Replace(script.String())
}

// grants are all the rights that the role needs.
func grants(schema, user string) string {
	return strings.NewReplacer("{schema}", identifier(schema), "{user}", identifier(user)).Replace(
		`GRANT USAGE ON SCHEMA {schema} TO {user};
GRANT SELECT ON {schema}.version, {schema}.base TO {user};
GRANT SELECT, INSERT ON {schema}.events TO {user};
GRANT SELECT, UPDATE ON {schema}.head TO {user};
GRANT SELECT, INSERT, UPDATE ON {schema}.streams, {schema}.leases TO {user};
GRANT EXECUTE ON FUNCTION {schema}.prune, {schema}.begin_after TO {user};`)
}

// Migrate makes the tables of a ledger, or brings them up to date, in one
// transaction; whoever migrates at the same time waits. It tells from which version,
// 0 where there was none, and to which. The role of the DSN owns the tables then; one
// that owns nothing and keeps the ledger needs the grants of [SetupSQL].
func Migrate(ctx context.Context, o Options) (from, to int, err error) {
	o = o.withDefaults()
	config, err := o.pool()
	if err != nil {
		return 0, 0, err
	}
	server := serverName(config.ConnConfig)
	if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
		return 0, 0, fmt.Errorf("migrate the ledger at %s: %w", server, err)
	}
	s := &Store{server: server, user: config.ConnConfig.User, schema: o.Schema}
	c, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return 0, 0, s.failure(ctx, "migrate", err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		from, err = s.migrate(ctx, tx)
		return err
	})
	switch {
	case isCode(err, "42501"):
		return 0, 0, fmt.Errorf("migrate the ledger at %s: %w: use a role that may create in the database and owns the schema %s, or run the setup script as one", server, err, o.Schema)
	case err != nil:
		return 0, 0, s.failure(ctx, "migrate", err)
	}
	return from, current, nil
}

func (s *Store) migrate(ctx context.Context, tx pgx.Tx) (from int, err error) {
	var encoding string
	var there bool
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext($1), 7251)", s.schema); err != nil { // the script takes it, too
		return 0, err
	}
	err = tx.QueryRow(ctx, "SELECT current_setting('server_encoding'), to_regclass($1) IS NOT NULL", identifier(s.schema)+".version").Scan(&encoding, &there)
	switch {
	case err != nil:
		return 0, err
	case encoding != "UTF8":
		return 0, fmt.Errorf("%w: the database has the encoding %s: make one with the encoding UTF8", ErrSchema, encoding)
	case there:
		if from, err = s.version(ctx, tx); err != nil || from == current {
			return from, err
		}
	}
	if _, err = tx.Exec(ctx, migration(s.schema)); err != nil {
		return from, err
	}
	return from, nil
}

// version asks for the version of the tables, and refuses those of a newer drwatch.
func (s *Store) version(ctx context.Context, tx pgx.Tx) (version int, err error) {
	err = tx.QueryRow(ctx, s.in("SELECT coalesce(max(version), 0) FROM {schema}.version")).Scan(&version)
	if err == nil && version > current {
		err = s.tooNew(version)
	}
	return version, err
}

func (s *Store) tooNew(version int) error {
	return fmt.Errorf("%w: schema %s of %s has version %d, and this drwatch knows versions up to %d: use the drwatch that has migrated it, or a newer one",
		ErrSchema, s.schema, s.server, version, current)
}

// examineVersion refuses tables that are not those of this drwatch.
func (s *Store) examineVersion(ctx context.Context) error {
	version := 0
	err := s.ask(ctx, "open", func(b *pgx.Batch) {
		b.Queue(s.in("SELECT coalesce(max(version), 0) FROM {schema}.version")).QueryRow(func(row pgx.Row) error { return row.Scan(&version) })
	})
	switch {
	case err != nil:
		return err
	case version > current:
		return s.tooNew(version)
	case version < current:
		return fmt.Errorf("%w: schema %s of %s has version %d, and version %d is needed: %s", ErrSchema, s.schema, s.server, version, current, adviceMigrate)
	}
	return nil
}

// identifier quotes a name for SQL.
func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal quotes a text for SQL.
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

var _ ledger.Store = (*Store)(nil)
