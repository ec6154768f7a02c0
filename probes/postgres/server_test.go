package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// server is a PostgreSQL of one test's own, without TLS.
type server struct {
	addr  string
	admin string // its superuser's connection string
}

// startServer starts the given major version. Where it is not installed the
// test is skipped.
func startServer(t *testing.T, major int) *server {
	t.Helper()
	bin := fmt.Sprintf("/usr/lib/postgresql/%d/bin", major)
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		t.Skipf("NOT TESTED on PostgreSQL %d: it is not installed (apt-get install postgresql-%d)", major, major)
	}
	dir := openDir(t)
	as := owner(t, dir)
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = dir, as
		return c
	}
	data, pw := filepath.Join(dir, "data"), filepath.Join(dir, "pw")
	require.NoError(t, os.WriteFile(pw, []byte(probetest.Password), 0o644))
	out, err := run("initdb", "-D", data, "-U", "postgres", "--pwfile="+pw, "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C").CombinedOutput()
	require.NoError(t, err, string(out))

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	require.NoError(t, free.Close())
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	process := run("postgres", "-D", data, "-c", "port="+port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "wal_level=logical", "-c", "wal_retrieve_retry_interval=200ms", "-c", "shared_buffers=16MB", "-c", "max_connections=40")
	process.Stdout, process.Stderr = log, log
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGQUIT)
		_ = process.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of PostgreSQL %d:\n%s", major, text)
		}
		_ = log.Close()
	})
	s := &server{addr, fmt.Sprintf("postgres://postgres:%s@%s/", probetest.Password, addr)}
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), s.admin+"postgres?sslmode=disable")
		return err == nil && conn.Close(t.Context()) == nil
	}, 20*time.Second, 50*time.Millisecond, "the server does not start")
	return s
}

// openDir makes a folder that the user postgres can get into.
func openDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "drwatch-postgres-*") //nolint:usetesting // t.TempDir is within a folder that is ours alone
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// owner gives the folder to the user postgres where we are root, for whom
// PostgreSQL does not run.
func owner(t *testing.T, dir string) *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres")
	require.NoError(t, err)
	uid, err := strconv.Atoi(account.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(account.Gid)
	require.NoError(t, err)
	require.NoError(t, os.Chown(dir, uid, gid))
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// exec runs a script as superuser.
func (s *server) exec(t testing.TB, database, script string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.admin+database+"?sslmode=disable")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), script)
	require.NoError(t, err, script)
	require.NoError(t, conn.Close(t.Context()))
}

// config looks as a role that probetest.Password lets in.
func (s *server) config(t testing.TB, user, database string) Config {
	return Config{
		DSN:          fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, s.addr, database),
		PasswordFile: secretFile(t, probetest.Password),
	}
}

func secretFile(t testing.TB, text string) string {
	name := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(name, []byte(text+"\n"), 0o600))
	return name
}

// copyOf is a copy as the file would declare it for the configuration.
func copyOf(c Config, of readiness.Copy) readiness.Copy {
	of.Checks = Checks(c, of)
	return of
}

func primaryCopy() readiness.Copy {
	return readiness.Copy{Name: "primary", Kind: readiness.Primary, Region: "eu-west-1"}
}

func replicaCopy() readiness.Copy {
	return readiness.Copy{Name: "replica", Kind: readiness.Replica, Region: "eu-central-1"}
}

func newProbe(t testing.TB, c Config, of readiness.Copy) *Probe {
	t.Helper()
	p, err := New(c, probes.Target{Copy: copyOf(c, of), Instance: "it's us"})
	require.NoError(t, err)
	return p
}

func look(t testing.TB, p *Probe) (readiness.Reading, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return p.Look(ctx)
}

func mustLook(t testing.TB, p *Probe) readiness.Reading {
	t.Helper()
	r, err := look(t, p)
	require.NoError(t, err)
	return r
}

// fails asserts how a look fails, and that it tells what a person needs.
func fails(t testing.TB, c Config, of readiness.Copy, class readiness.Class, told ...string) {
	t.Helper()
	_, err := look(t, newProbe(t, c, of))
	var failure *readiness.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, class, failure.Class, err.Error())
	for _, text := range told {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), probetest.Password)
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, len(err.Error()), 300)
}

// checkOf finds the answer to a check.
func checkOf(t testing.TB, r readiness.Reading, name string) readiness.Check {
	t.Helper()
	for _, check := range r.Checks {
		if check.Name == name {
			return check
		}
	}
	require.Fail(t, "the check "+name+" is not answered")
	return readiness.Check{}
}

// requireCheck asserts a check's status and what its evidence tells.
func requireCheck(t testing.TB, r readiness.Reading, name string, status readiness.Status, evidence string) {
	t.Helper()
	check := checkOf(t, r, name)
	require.Equal(t, status, check.Status, check.Evidence)
	require.Contains(t, check.Evidence, evidence)
	require.Equal(t, status == readiness.Pass, check.Remedy == "", "remedy: %q", check.Remedy)
}

// TestServer runs on each major version that is installed.
func TestServer(t *testing.T) {
	for major := 13; major <= 18; major++ {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			s := startServer(t, major)
			s.exec(t, "postgres", "CREATE DATABASE festivals")
			s.exec(t, "festivals", SetupSQL(SetupOptions{HeartbeatUser: "drwatch_heartbeat"}))
			s.exec(t, "festivals", SetupSQL(SetupOptions{HeartbeatUser: "drwatch_heartbeat"})) // again is no error
			for _, role := range []string{"drwatch", "drwatch_heartbeat"} {
				s.exec(t, "festivals", fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, probetest.Password))
			}
			t.Run("primary", func(t *testing.T) { testPrimary(t, s) })
			t.Run("conformance", func(t *testing.T) { testConformance(t, s) })
			t.Run("refusals", func(t *testing.T) { testRefusals(t, s) })
			t.Run("heartbeat", func(t *testing.T) { testHeartbeat(t, s) })
			t.Run("slots", func(t *testing.T) { testSlots(t, s) })
			t.Run("logical", func(t *testing.T) { testLogical(t, s) })
			t.Run("pgbouncer", func(t *testing.T) { testPgbouncer(t, s) })
		})
	}
}

// A user's RPO rests on this reading.
func testPrimary(t *testing.T, s *server) {
	c := s.config(t, "drwatch", "festivals")
	p := newProbe(t, c, primaryCopy())
	before := time.Now()
	r := mustLook(t, p)
	require.Equal(t, readiness.RolePrimary, r.Role)
	require.Equal(t, "1", r.Timeline)
	require.Regexp(t, `^\d+$`, r.System)
	require.Contains(t, r.Server, r.System)
	require.True(t, r.Written.IsKnown())
	require.False(t, r.Received.IsKnown())
	require.False(t, r.Connected.IsKnown())
	require.Empty(t, r.Points)
	offset, ok := r.ClockOffset.Get()
	require.True(t, ok)
	require.LessOrEqual(t, offset.Abs(), r.ClockError+5*time.Millisecond, "both clocks are that of this machine")
	require.Less(t, r.ClockError, time.Since(before))
	require.Equal(t, 1.0, r.Measures[readiness.TimelineNumber])
	requireCheck(t, r, CheckSlots, readiness.Pass, "there are no replication slots")
	requireListed(t, c, primaryCopy(), r)

	s.exec(t, "festivals", "CREATE TABLE bookings (id int PRIMARY KEY)")
	again := mustLook(t, p)
	require.Equal(t, r.Server, again.Server)
	was, _ := r.Written.Get()
	is, _ := again.Written.Get()
	require.Greater(t, is, was)

	replica := mustLook(t, newProbe(t, c, replicaCopy()))
	require.Equal(t, readiness.RolePrimary, replica.Role, "a copy that is not what the file says")
	require.Equal(t, readiness.Unknown, checkOf(t, replica, CheckReceiver).Status)
	require.False(t, replica.Connected.IsKnown())
}

// requireListed asserts that the probe answers no check that it does not list:
// nobody would see the answer.
func requireListed(t *testing.T, c Config, of readiness.Copy, r readiness.Reading) {
	t.Helper()
	for _, check := range r.Checks {
		require.Contains(t, Checks(c, of), check.Name)
	}
}

// message frames one message of the protocol.
func message(kind byte, body string) string {
	n := len(body) + 4
	return string([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
}

func testConformance(t *testing.T, s *server) {
	welcome := message('R', "\x00\x00\x00\x00") + message('Z', "I")
	row := func(text string) string {
		n := len(text)
		return message('T', "\x00\x01x\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x72\xff\xff\xff\xff\xff\xff\x00\x00") +
			message('D', "\x00\x01"+string([]byte{0, 0, byte(n >> 8), byte(n)})+text) + message('C', "SELECT 1\x00") + message('Z', "I")
	}
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			c := Config{DSN: "postgres://" + probetest.User + "@" + addr + "/festivals?sslmode=disable", PasswordFile: secretFile(t, probetest.Password)}
			return newProbe(t, c, primaryCopy())
		},
		Opening: []byte(welcome + row(`{"in_recovery": false}`)[:40]), // in the middle of the row
		Server:  s.addr,
		Garbage: map[string][]byte{
			"two gigabytes":       []byte("R\x7f\xff\xff\xff"),
			"negative length":     []byte("R\xff\xff\xff\xff\x00\x00\x00\x00"),
			"password repeated":   []byte(message('E', "SFATAL\x00CXX000\x00Mno way in with "+probetest.Password+"\x00\x00")),
			"endless error":       []byte(message('E', "S"+strings.Repeat("x", 900)+"\x00C"+strings.Repeat("y", 900)+"\x00M"+strings.Repeat("z\n\x1b", 9000)+"\x00\x00")),
			"no row":              []byte(welcome + message('C', "SELECT 0\x00") + message('Z', "I")),
			"row that is no json": []byte(welcome + row("hello")),
			"row of another kind": []byte(welcome + row(`{"in_recovery": "perhaps"}`)),
			"empty row":           []byte(welcome + row(`{}`)),
			"null row":            []byte(welcome + row(`null`)),
			"row of no column":    []byte(welcome + message('T', "\x00\x00") + message('D', "\x00\x00") + message('C', "SELECT 1\x00") + message('Z', "I")),
		},
	})
}
