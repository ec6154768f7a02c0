package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/ledger"
)

// owned gives a schema in which there is nothing, and a role that may create in the
// database.
func owned(t *testing.T, c *cluster) Options {
	t.Helper()
	c.exec(t, "DROP ROLE IF EXISTS owner", "CREATE ROLE owner LOGIN", "GRANT CREATE ON DATABASE postgres TO owner")
	t.Cleanup(func() { c.exec(t, "DROP OWNED BY owner CASCADE", "DROP ROLE owner") })
	return Options{DSN: c.dsn("owner"), Schema: "migrated"}
}

// Instances that are started at once after an upgrade must not undo each other's work.
func TestMigrate_SeveralAtOnce(t *testing.T) {
	o := owned(t, shared(t))
	var together errgroup.Group
	made := make([]int, 6)
	for i := range made {
		together.Go(func() error {
			from, to, err := Migrate(t.Context(), o)
			if from == 0 {
				made[i] = 1
			}
			require.Equal(t, current, to)
			return err
		})
	}
	require.NoError(t, together.Wait())
	require.Len(t, slicesOf(made, 1), 1, "one of them made the tables, and the others waited")
	s := opened(t, o)
	require.NoError(t, appendTo(t.Context(), s, "a"))
	from, to, err := Migrate(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, []int{current, current}, []int{from, to})
	require.Equal(t, []string{"a"}, idsOf(t.Context(), t, s))
}

func slicesOf(all []int, n int) (same []int) {
	for _, v := range all {
		if v == n {
			same = append(same, v)
		}
	}
	return same
}

// Open must say what to run, and never make tables by itself: a ledger that was lost
// would be a new one.
func TestOpen_TablesAreNotThoseThatAreNeeded(t *testing.T) {
	c := shared(t)
	o := owned(t, c)
	at := "owner@" + c.address() + "/postgres"
	_, err := Open(t.Context(), o)
	require.ErrorIs(t, err, ErrSchema)
	require.EqualError(t, err, "open: the ledger at "+at+": the tables of the ledger are not those that are needed: "+
		`ERROR: relation "migrated.version" does not exist (SQLSTATE 42P01); run: drwatch ledger migrate, as a role that may create in the database`)
	require.Zero(t, query[int](t, c, "SELECT count(*) FROM pg_namespace WHERE nspname = 'migrated'"))

	_, _, err = Migrate(t.Context(), o)
	require.NoError(t, err)
	c.exec(t, "DELETE FROM migrated.version")
	_, err = Open(t.Context(), o)
	require.ErrorIs(t, err, ErrSchema)
	require.EqualError(t, err, "the tables of the ledger are not those that are needed: schema migrated of "+at+" has version 0, and version 1 is needed: "+
		"run: drwatch ledger migrate, as a role that may create in the database")

	c.exec(t, "INSERT INTO migrated.version VALUES (1), (2)")
	_, err = Open(t.Context(), o)
	require.ErrorIs(t, err, ErrSchema)
	require.EqualError(t, err, "the tables of the ledger are not those that are needed: schema migrated of "+at+" has version 2, and this drwatch knows versions up to 1: "+
		"use the drwatch that has migrated it, or a newer one")
	_, _, err = Migrate(t.Context(), o)
	require.ErrorIs(t, err, ErrSchema, "an older drwatch does not touch newer tables")
}

func TestMigrate_WithoutTheRight(t *testing.T) {
	c := shared(t)
	owned(t, c)
	c.exec(t, "REVOKE CREATE ON DATABASE postgres FROM owner")
	_, _, err := Migrate(t.Context(), Options{DSN: c.dsn("owner")})
	require.EqualError(t, err, "migrate the ledger at owner@"+c.address()+"/postgres: ERROR: permission denied for database postgres (SQLSTATE 42501): "+
		"use a role that may create in the database and owns the schema drwatch, or run the setup script as one")
	c.exec(t, "DROP DATABASE IF EXISTS latin", "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0")
	t.Cleanup(func() { c.exec(t, "DROP DATABASE latin") })
	_, _, err = Migrate(t.Context(), Options{DSN: strings.Replace(c.dsn("postgres"), "/postgres?", "/latin?", 1)})
	require.ErrorIs(t, err, ErrSchema)
	require.ErrorContains(t, err, "the database has the encoding LATIN1: make one with the encoding UTF8")
}

// An administrator runs the script with psql, and again with the next version.
func TestSetupSQL_RunsTwiceWithPsql(t *testing.T) {
	c := shared(t)
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	script := SetupSQL(SetupOptions{Schema: `odd "schema's`, User: `odd "role's`})
	t.Cleanup(func() {
		c.exec(t, `DROP SCHEMA "odd ""schema's" CASCADE`, `DROP OWNED BY "odd ""role's"`, `DROP ROLE "odd ""role's"`)
	})
	for range 2 {
		cmd := exec.Command(psql, "-X", "-v", "ON_ERROR_STOP=1", "-q", c.dsn("postgres"))
		cmd.Stdin = strings.NewReader(script)
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, string(output))
	}
	s := opened(t, Options{DSN: strings.Replace(c.dsn("drwatch"), "drwatch", "odd%20%22role%27s", 1), Schema: `odd "schema's`})
	require.NoError(t, appendTo(t.Context(), s, "a"))
}

// What an administrator is asked to run, he reads first.
func TestSetupSQL_LooksAsItDid(t *testing.T) {
	golden := filepath.Join("testdata", "setup.golden.sql")
	got := SetupSQL(SetupOptions{})
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// Evidence that its writer, or the owner of the tables, could change is none.
func TestSchema_IsAppendOnly(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	require.NoError(t, appendTo(t.Context(), s, "a", "b", "c"))
	require.NoError(t, s.Prune(t.Context(), 1))
	events := identifier(o.Schema) + ".events"
	for user, want := range map[string]string{"drwatch": "42501", "postgres": "2F003"} {
		conn, err := pgx.Connect(t.Context(), c.dsn(user))
		require.NoError(t, err)
		for _, statement := range []string{
			"UPDATE " + events + " SET body = '1'", "DELETE FROM " + events, "DELETE FROM " + events + " WHERE position = 3", "TRUNCATE " + events,
		} {
			_, err = conn.Exec(t.Context(), statement)
			require.True(t, isCode(err, want), "%s: %s: %v", user, statement, err)
		}
		require.NoError(t, conn.Close(t.Context()))
	}
	conn, err := pgx.Connect(t.Context(), c.dsn("drwatch"))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, statement := range []string{
		"UPDATE {schema}.base SET position = 3", "DELETE FROM {schema}.head", "DELETE FROM {schema}.streams", "DELETE FROM {schema}.leases",
		"INSERT INTO {schema}.version VALUES (9)", "DROP TABLE {schema}.events", "ALTER TABLE {schema}.events DISABLE TRIGGER USER", "SELECT {schema}.begin_after(0, '')",
	} {
		_, err = conn.Exec(t.Context(), s.in(statement))
		require.True(t, isCode(err, "42501", "2F003"), "%s: %v", statement, err)
	}
	require.Equal(t, []string{"b", "c"}, idsOf(t.Context(), t, s))
}

// A person to whom a right is refused must be able to copy what gives it.
func TestAppend_WithoutTheRight(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	c.exec(t, "DROP ROLE IF EXISTS poor", "CREATE ROLE poor LOGIN")
	t.Cleanup(func() { c.exec(t, "DROP OWNED BY poor", "DROP ROLE poor") })
	o.DSN = c.dsn("poor")
	_, err := Open(t.Context(), o)
	require.ErrorContains(t, err, "the role lacks a right: ERROR: permission denied for schema")
	c.exec(t, advice(t, err))
	s := opened(t, o)
	for table, do := range map[string]func() error{
		"events": func() error { return appendTo(t.Context(), s, "a") },
		"leases": func() error { _, err := s.Acquire(t.Context(), "executor", "a", 1e9); return err },
	} {
		c.exec(t, "REVOKE INSERT ON "+identifier(o.Schema)+"."+table+" FROM poor")
		err = do()
		require.ErrorIs(t, err, ledger.ErrReadOnly, table)
		require.ErrorContains(t, err, "permission denied for table "+table)
		c.exec(t, advice(t, err))
		require.NoError(t, do(), table)
	}
	c.exec(t, "REVOKE EXECUTE ON FUNCTION "+identifier(o.Schema)+".prune FROM poor")
	require.ErrorIs(t, s.Prune(t.Context(), 1), ledger.ErrReadOnly)
}

// advice is what an error says to run.
func advice(t *testing.T, err error) string {
	t.Helper()
	found := regexp.MustCompile("run: (GRANT .*;)$").FindStringSubmatch(err.Error())
	require.Len(t, found, 2, err)
	return found[1]
}

// A ledger whose end was damaged, cut off or put in its place must be told at the
// start: drwatch would go on behind it, and nobody looks before the next audit.
func TestOpen_EndIsNotWhatWasWritten(t *testing.T) {
	c := shared(t)
	for change, what := range map[string]string{
		"DELETE FROM {schema}.events WHERE position = 3":           "it is the newest, and is not there",
		"UPDATE {schema}.events SET body = '1' WHERE position = 3": "it is the newest, and not what was written",
		"UPDATE {schema}.head SET hash = sha256('another')":        "it is the newest, and not what was written",
	} {
		o := c.empty(t)
		s := opened(t, o)
		require.NoError(t, appendTo(t.Context(), s, "a", "b", "c"))
		again, err := Open(t.Context(), o)
		require.NoError(t, err)
		require.NoError(t, again.Close())
		c.exec(t, s.in("ALTER TABLE {schema}.events DISABLE TRIGGER USER"), s.in(change))
		_, err = Open(t.Context(), o)
		require.ErrorIs(t, err, ledger.ErrCorrupt, change)
		require.EqualError(t, err, "the ledger is damaged at event 3: "+what, change)
	}
}
