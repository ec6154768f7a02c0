package postgres

import (
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// No variable of whoever starts drwatch may have a say in where the ledger is.
func TestOptions_TakeNothingFromTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"PGPASSWORD": "x", "PGSSLMODE": "require", "PGTARGETSESSIONATTRS": "any", "PGCONNECT_TIMEOUT": "99", "PGOPTIONS": "-c fsync=off",
		"PGAPPNAME": "x", "PGSSLROOTCERT": "/nowhere", "PGSSLCERT": "/nowhere", "PGSSLKEY": "/nowhere", "PGREQUIREAUTH": "none", "PGTZ": "x",
	} {
		t.Setenv(name, value)
	}
	for _, dsn := range []string{
		"postgres://me@a:1,b:2/ledger", "postgresql://me@a:1,b:2/ledger?", "host=a,b port=1,2 user=me dbname=ledger",
		"postgres://me@a:1,b:2/ledger?sslmode=prefer", "postgres:///ledger?host=a,b&port=1,2&user=me&connect_timeout=5",
	} {
		config, err := Options{DSN: dsn}.pool()
		require.NoError(t, err, dsn)
		c := config.ConnConfig
		require.Equal(t, "me@a:1,b:2/ledger", serverName(c), dsn)
		require.Empty(t, c.Password, dsn)
		require.Equal(t, 5*time.Second, c.ConnectTimeout, dsn)
		require.NotNil(t, c.ValidateConnect, "only a server that can be written")
		require.Equal(t, map[string]string{"application_name": "drwatch", "client_encoding": "UTF8"}, c.RuntimeParams)
		require.NotNil(t, c.TLSConfig, "sslmode is prefer")
		require.Nil(t, c.Fallbacks[0].TLSConfig, "sslmode is prefer")
	}
	for _, dsn := range []string{"postgres://me@a/ledger?ssl=true", "host=a user=me dbname=ledger sslmode=require target_session_attrs=any connect_timeout=7"} {
		config, err := Options{DSN: dsn}.pool()
		require.NoError(t, err, dsn)
		require.Empty(t, config.ConnConfig.Fallbacks, "what the dsn says counts")
	}
}

// A mistake must be told without repeating what may be a password.
func TestOptions_RefuseMistakes(t *testing.T) {
	const form = "read the dsn of the ledger: write a URL (postgres://user@host:5432/dbname) or pairs (host=... dbname=... user=...), with no other parameters than " +
		"host, port, dbname, user, target_session_attrs, connect_timeout, sslmode, sslrootcert, sslcert, sslkey, sslcertmode, sslsni, sslnegotiation, channel_binding, require_auth; " +
		"a password stands in the file that password_file names"
	for dsn, want := range map[string]string{
		"postgres://me:hunter2@a/ledger":                form,
		"host=a user=me dbname=ledger password=hunter2": form,
		"postgres://me@a/ledger?options=hunter2":        form,
		"postgres://me@a/ledger?passfile=/hunter2":      form,
		"postgres://me@a/ledger?sslmode=hunter2":        "sslmode is invalid",
		"postgres://me@a:hunter2/ledger":                form,
		"postgres://me@a":                               "read the dsn of the ledger: dbname is missing",
		"":                                              "read the dsn of the ledger: dbname is missing",
		"hunter2":                                       "read the dsn of the ledger: ",
	} {
		_, err := Open(t.Context(), Options{DSN: dsn})
		require.ErrorContains(t, err, want, dsn)
		require.NotContains(t, err.Error(), "hunter2", dsn)
		_, _, err = Migrate(t.Context(), Options{DSN: dsn})
		require.ErrorContains(t, err, want, dsn)
	}
	t.Setenv("PGHOST", "elsewhere")
	_, err := Open(t.Context(), Options{DSN: "postgres://me@a/ledger"})
	require.EqualError(t, err, "read the dsn of the ledger: unset PGHOST in the environment of drwatch: it would have a say in where the ledger is")
}

// A password that was changed must not need a restart.
func TestOpen_WithAPassword(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	c.exec(t, "DROP ROLE IF EXISTS secretive", "CREATE ROLE secretive LOGIN PASSWORD 'one' IN ROLE drwatch")
	t.Cleanup(func() { c.exec(t, "DROP ROLE secretive") })
	o.DSN = c.dsn("secretive")
	_, err := Open(t.Context(), o)
	require.Error(t, err)
	o.PasswordFile = filepath.Join(t.TempDir(), "password")
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, o.PasswordFile)
	require.NoError(t, os.WriteFile(o.PasswordFile, []byte("wrong\n"), 0o600))
	_, err = Open(t.Context(), o)
	require.ErrorContains(t, err, "SQLSTATE 28P01); see that the role exists, that pg_hba.conf lets it in, and that password_file holds its password")
	require.NotContains(t, err.Error(), "wrong")
	require.NoError(t, os.WriteFile(o.PasswordFile, []byte("one\n"), 0o600))
	s := opened(t, o)
	require.NoError(t, appendTo(t.Context(), s, "a"))
	require.NoError(t, os.WriteFile(o.PasswordFile, []byte("two\n"), 0o600))
	c.exec(t, "ALTER ROLE secretive PASSWORD 'two'", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'secretive'")
	require.NoError(t, appendTo(t.Context(), s, "b"))
}

// Who cannot reach the ledger in the night of the disaster reads this.
func TestOpen_SaysWhatIsWrong(t *testing.T) {
	c := shared(t)
	for dsn, want := range map[string]string{
		"postgres://drwatch@127.0.0.1:1/postgres?sslmode=disable": "open: the ledger at drwatch@127.0.0.1:1/postgres: dial tcp 127.0.0.1:1: connect: connection refused",
		"postgres://drwatch@127.0.0.1:1/postgres":                 "open: the ledger at drwatch@127.0.0.1:1/postgres: dial tcp 127.0.0.1:1: connect: connection refused",
		"postgres://drwatch@" + c.address() + "/none?sslmode=disable": "open: the ledger at drwatch@" + c.address() +
			`/none: FATAL: database "none" does not exist (SQLSTATE 3D000); correct dbname in the dsn, or create the database`,
	} {
		_, err := Open(t.Context(), Options{DSN: dsn})
		require.EqualError(t, err, want)
	}
}

// A server that does not flush must not be taken for one that keeps what it acknowledges.
func TestOpen_WarnsOfAServerThatDoesNotFlush(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	var log strings.Builder
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	opened(t, o)
	require.Empty(t, log.String())
	mend := func() { c.exec(t, "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()") }
	t.Cleanup(mend)
	c.exec(t, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool { return query[string](t, c, "SHOW fsync") == "off" }, 10*time.Second, 10*time.Millisecond)
	opened(t, o)
	require.Contains(t, log.String(), "may lose events in a power cut")
	require.Contains(t, log.String(), "fsync=off")
}

// A pooler that gives each transaction another connection must not confuse it.
func TestStore_BehindAPooler(t *testing.T) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("pgbouncer is not installed")
	}
	c := shared(t)
	o := c.empty(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().(*net.TCPAddr)
	require.NoError(t, listener.Close()) // its port is free now
	ini := filepath.Join(filepath.Dir(c.dir), "pgbouncer.ini")
	require.NoError(t, os.WriteFile(ini, fmt.Appendf(nil, `[databases]
postgres = host=127.0.0.1 port=%d user=drwatch
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
`, c.port, address.Port), 0o644))
	cmd := c.command("postgres", ini)
	cmd.Path, cmd.Args = program, []string{program, ini}
	require.NoError(t, c.begin(cmd))
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	o.DSN = strings.Replace(o.DSN, c.address(), address.String(), 1)
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), o.DSN)
		return err == nil && conn.Close(t.Context()) == nil
	}, 10*time.Second, 20*time.Millisecond)
	a, b := opened(t, o), opened(t, o)
	contend(t, a, b)
}
