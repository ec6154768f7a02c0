package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// scan asks as superuser for one value.
func (s *server) scan(t testing.TB, database, query string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.admin+database+"?sslmode=disable")
	require.NoError(t, err)
	require.NoError(t, conn.QueryRow(t.Context(), query).Scan(into...), query)
	require.NoError(t, conn.Close(t.Context()))
}

// A user who relies on the heartbeat would not learn that it stands still.
func testHeartbeat(t *testing.T, s *server) {
	c := s.config(t, "drwatch", "festivals")
	c.Heartbeat, c.HeartbeatUser, c.HeartbeatPasswordFile = true, "drwatch_heartbeat", c.PasswordFile

	t.Run("written", func(t *testing.T) {
		p := newProbe(t, c, primaryCopy())
		before := time.Now().Truncate(time.Microsecond)
		r := mustLook(t, p)
		after := time.Now()
		requireCheck(t, r, CheckHeartbeat, readiness.Pass, "written to drwatch.heartbeat as it's us in ")
		requireListed(t, c, primaryCopy(), r)
		require.Empty(t, r.Points, "on the primary itself the row proves nothing")
		var at time.Time
		var rows int
		const query = "SELECT (SELECT at FROM drwatch.heartbeat WHERE instance = 'it''s us'), (SELECT count(*) FROM drwatch.heartbeat)"
		s.scan(t, "festivals", query, &at, &rows)
		require.WithinRange(t, at, before, after)
		mustLook(t, p)
		s.scan(t, "festivals", query, &before, &rows)
		require.True(t, before.After(at))
		require.Equal(t, 1, rows, "the row is written again, not added")
	})
	t.Run("a synchronous standby is lost", func(t *testing.T) {
		s.exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'lost'")
		s.exec(t, "postgres", "SELECT pg_reload_conf()")
		defer func() {
			s.exec(t, "postgres", "ALTER SYSTEM RESET synchronous_standby_names")
			s.exec(t, "postgres", "SELECT pg_reload_conf()")
		}()
		waitFor(t, func() bool {
			var names string
			s.scan(t, "postgres", "SHOW synchronous_standby_names", &names)
			return names == "lost"
		})
		requireCheck(t, mustLook(t, newProbe(t, c, primaryCopy())), CheckHeartbeat, readiness.Pass, "written")
	})
	t.Run("table made by drwatch, where it may", func(t *testing.T) {
		c := c
		c.HeartbeatTable, c.HeartbeatCreate = "pulse.beat", true
		r := mustLook(t, newProbe(t, c, primaryCopy()))
		requireCheck(t, r, CheckHeartbeat, readiness.Fail, "permission denied")
		s.exec(t, "festivals", "GRANT CREATE ON DATABASE festivals TO drwatch_heartbeat")
		defer s.exec(t, "festivals", "REVOKE CREATE ON DATABASE festivals FROM drwatch_heartbeat")
		requireCheck(t, mustLook(t, newProbe(t, c, primaryCopy())), CheckHeartbeat, readiness.Pass, "written to pulse.beat")
		var readable bool
		s.scan(t, "festivals", "SELECT has_table_privilege('drwatch', 'pulse.beat', 'SELECT') AND has_schema_privilege('drwatch', 'pulse', 'USAGE')", &readable)
		require.True(t, readable, "the role that looks finds the row on the replicas")
	})
	t.Run("table missing", func(t *testing.T) {
		c := c
		c.HeartbeatTable = "drwatch.pulse"
		r := mustLook(t, newProbe(t, c, primaryCopy()))
		requireCheck(t, r, CheckHeartbeat, readiness.Fail, "the table drwatch.pulse is not there")
		require.Contains(t, checkOf(t, r, CheckHeartbeat).Remedy, "drwatch config sql")
		require.True(t, r.Written.IsKnown(), "what was read stays read")
		r = mustLook(t, newProbe(t, Config{DSN: c.DSN, PasswordFile: c.PasswordFile, Heartbeat: true, HeartbeatTable: "nowhere.pulse"}, replicaCopy()))
		requireCheck(t, r, CheckHeartbeat, readiness.Fail, "the table nowhere.pulse is not there")
	})
	t.Run("no right to write", func(t *testing.T) {
		s.exec(t, "festivals", fmt.Sprintf("CREATE ROLE powerless LOGIN PASSWORD '%s'", probetest.Password))
		c := c
		c.HeartbeatUser = "powerless"
		r := mustLook(t, newProbe(t, c, primaryCopy()))
		requireCheck(t, r, CheckHeartbeat, readiness.Fail, "permission denied")
		require.Contains(t, checkOf(t, r, CheckHeartbeat).Remedy, "drwatch config sql")
	})
	t.Run("wrong password", func(t *testing.T) {
		c := c
		c.HeartbeatPasswordFile = secretFile(t, "not-the-password")
		r := mustLook(t, newProbe(t, c, primaryCopy()))
		requireCheck(t, r, CheckHeartbeat, readiness.Fail, "drwatch_heartbeat@"+s.addr)
		require.NotContains(t, checkOf(t, r, CheckHeartbeat).Evidence, "not-the-password")
	})
	t.Run("the looking role cannot write", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://drwatch:%s@%s/festivals?sslmode=disable", probetest.Password, s.addr))
		require.NoError(t, err)
		defer func() { _ = conn.Close(t.Context()) }()
		_, err = conn.Exec(t.Context(), "DELETE FROM drwatch.heartbeat")
		require.ErrorContains(t, err, "permission denied")
	})
}

// A user would learn of a forgotten slot when the disk of the primary is full.
func testSlots(t *testing.T, s *server) {
	p := newProbe(t, s.config(t, "drwatch", "festivals"), primaryCopy())
	s.exec(t, "postgres", "SELECT pg_create_physical_replication_slot('forgotten', true)")
	defer s.exec(t, "postgres", "SELECT pg_drop_replication_slot('forgotten')")
	s.exec(t, "festivals", "CREATE TABLE ballast AS SELECT generate_series(1, 1000)")
	r := mustLook(t, p)
	requireCheck(t, r, CheckSlots, readiness.Warn, "nobody reads slot forgotten, which retains ")
	require.Contains(t, checkOf(t, r, CheckSlots).Evidence, "no limit but the disk")
	require.Contains(t, checkOf(t, r, CheckSlots).Remedy, "pg_drop_replication_slot('forgotten')")
	require.Greater(t, r.Measures[readiness.SlotRetainedBytes], 30_000.0)
	require.NotContains(t, r.Measures, readiness.SlotHeadroomBytes, "without a limit there is no headroom to measure")

	s.exec(t, "postgres", "ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'")
	s.exec(t, "postgres", "SELECT pg_reload_conf()")
	defer func() {
		s.exec(t, "postgres", "ALTER SYSTEM RESET max_slot_wal_keep_size")
		s.exec(t, "postgres", "SELECT pg_reload_conf()")
	}()
	waitFor(t, func() bool {
		r = mustLook(t, p)
		_, known := r.Measures[readiness.SlotHeadroomBytes]
		return known
	})
	require.InDelta(t, float64(1<<30), r.Measures[readiness.SlotHeadroomBytes], 200<<20)
	require.Contains(t, checkOf(t, r, CheckSlots).Evidence, "is lost after ")
}

// A user would take a subscriber for a copy that holds nothing, or not the newest.
func testLogical(t *testing.T, s *server) {
	s.exec(t, "postgres", "CREATE DATABASE subscriber")
	s.exec(t, "festivals", "CREATE TABLE tickets (id int PRIMARY KEY); INSERT INTO tickets VALUES (1)")
	s.exec(t, "festivals", "CREATE PUBLICATION everything FOR TABLE tickets, drwatch.heartbeat")
	// In the same cluster the subscription would wait for itself, had it to create the slot.
	s.exec(t, "festivals", "SELECT pg_create_logical_replication_slot('tickets_copy', 'pgoutput')")
	s.exec(t, "subscriber", SetupSQL(SetupOptions{HeartbeatUser: "drwatch_heartbeat"})+";CREATE TABLE tickets (id int PRIMARY KEY)")
	c := s.config(t, "drwatch", "subscriber")
	c.Subscription, c.Heartbeat = "tickets", true
	logical := readiness.Copy{Name: "copy", Kind: readiness.Replica, Logical: true}
	subscriber := newProbe(t, c, logical)

	r := mustLook(t, subscriber)
	requireCheck(t, r, CheckSubscription, readiness.Fail, "there is no subscription tickets in this database; there are: none")
	require.Empty(t, r.Receiver)
	requireListed(t, c, logical, r)

	s.exec(t, "subscriber", fmt.Sprintf(`CREATE SUBSCRIPTION tickets CONNECTION '%sfestivals?sslmode=disable' PUBLICATION everything
		WITH (create_slot = false, slot_name = 'tickets_copy', enabled = false)`, s.admin))
	requireCheck(t, mustLook(t, subscriber), CheckSubscription, readiness.Fail, "the subscription is disabled")

	// A row that is there already makes the first copy of the table fail again and again.
	s.exec(t, "subscriber", "INSERT INTO tickets VALUES (1)")
	s.exec(t, "subscriber", "ALTER SUBSCRIPTION tickets ENABLE")
	waitFor(t, func() bool {
		r = mustLook(t, subscriber)
		return strings.Contains(checkOf(t, r, CheckSubscription).Evidence, "1 of 2 tables are still being copied")
	})
	require.Equal(t, readiness.Fail, checkOf(t, r, CheckSubscription).Status)
	require.Empty(t, r.Receiver, "what the publisher confirms proves nothing of a table that is not there")
	require.Empty(t, r.Points)

	s.exec(t, "subscriber", "TRUNCATE tickets")
	waitFor(t, func() bool {
		r = mustLook(t, subscriber)
		return checkOf(t, r, CheckSubscription).Status == readiness.Pass
	})
	requireCheck(t, r, CheckSubscription, readiness.Pass, "all 2 tables follow, last heard from its source ")
	require.Equal(t, "tickets_copy", r.Receiver)
	require.False(t, r.Received.IsKnown())
	connected, _ := r.Connected.Get()
	require.True(t, connected)
	require.True(t, r.LastMessage.IsKnown())

	followsPublisher(t, s, subscriber, logical)
	namesake(t, s, c, logical)

	s.exec(t, "subscriber", "ALTER SUBSCRIPTION tickets DISABLE")
	waitFor(t, func() bool {
		r = mustLook(t, newProbe(t, s.config(t, "drwatch", "festivals"), primaryCopy()))
		return strings.Contains(checkOf(t, r, CheckSlots).Evidence, "nobody reads slot tickets_copy")
	})
	s.exec(t, "subscriber", "ALTER SUBSCRIPTION tickets SET (slot_name = NONE)")
	s.exec(t, "subscriber", "DROP SUBSCRIPTION tickets")
	s.exec(t, "festivals", "SELECT pg_drop_replication_slot('tickets_copy')")
}

// followsPublisher proves recovery points of a subscriber, by what its
// publisher says it confirmed and by the heartbeat.
func followsPublisher(t *testing.T, s *server, subscriber *Probe, logical readiness.Copy) {
	c := s.config(t, "drwatch", "festivals")
	c.Heartbeat, c.HeartbeatUser, c.HeartbeatPasswordFile = true, "drwatch_heartbeat", c.PasswordFile
	publisher := newProbe(t, c, primaryCopy())
	primary := copyOf(c, primaryCopy())

	written := time.Now()
	s.exec(t, "festivals", "INSERT INTO tickets VALUES (2)")
	for _, basis := range []readiness.Basis{readiness.BasisPosition, readiness.BasisHeartbeat} {
		waitFor(t, func() bool {
			sightings := readiness.NewSightings(readiness.Datastore{Name: "festivals", Copies: []readiness.Copy{primary, logical}})
			observe(t, sightings, publisher, primary)
			observe(t, sightings, subscriber, logical)
			if basis == readiness.BasisPosition { // the heartbeat in the WAL moves the position again
				observe(t, sightings, publisher, primary)
			}
			point, ok := sightings.Seen("copy").Received.Get()
			return ok && point.Basis == basis && point.At.After(written)
		})
	}
	var id int
	s.scan(t, "subscriber", "SELECT max(id) FROM tickets", &id)
	require.Equal(t, 2, id, "what the recovery point claims is there")
}

// namesake is a subscription of the same name in another database, whose worker
// must not be taken for that of the first.
func namesake(t *testing.T, s *server, c Config, logical readiness.Copy) {
	s.exec(t, "postgres", "CREATE DATABASE another")
	s.exec(t, "another", fmt.Sprintf(`CREATE SUBSCRIPTION tickets CONNECTION '%sfestivals?sslmode=disable' PUBLICATION everything
		WITH (connect = false, slot_name = NONE)`, s.admin))
	c.DSN, c.Heartbeat = s.config(t, "drwatch", "another").DSN, false
	r := mustLook(t, newProbe(t, c, logical))
	requireCheck(t, r, CheckSubscription, readiness.Fail, "the subscription is disabled")
	require.False(t, r.LastMessage.IsKnown())
}

// observe is one look as the monitor makes it.
func observe(t testing.TB, s *readiness.Sightings, p *Probe, of readiness.Copy) readiness.Observation {
	t.Helper()
	o := readiness.Observation{At: time.Now()}
	reading, err := look(t, p)
	o.Took = time.Since(o.At)
	if err == nil {
		o.Reading = reading
	} else {
		require.ErrorAs(t, err, &o.Failure)
	}
	s.Observe(of, o)
	return o
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !condition() {
		require.True(t, time.Now().Before(deadline), "waited in vain")
		time.Sleep(50 * time.Millisecond) // polls the condition
	}
}

// A user with a pooler in front would be refused, since poolers accept few
// parameters and give the next transaction another session.
func testPgbouncer(t *testing.T, s *server) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("NOT TESTED behind pgbouncer: it is not installed (apt-get install pgbouncer)")
	}
	dir := openDir(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	host, port, _ := net.SplitHostPort(s.addr)
	_, own, _ := net.SplitHostPort(free.Addr().String())
	require.NoError(t, free.Close())
	users, settings := filepath.Join(dir, "users"), filepath.Join(dir, "ini")
	list := fmt.Sprintf("\"drwatch\" \"%[1]s\"\n\"drwatch_heartbeat\" \"%[1]s\"\n", probetest.Password)
	require.NoError(t, os.WriteFile(users, []byte(list), 0o644))
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, `[databases]
festivals = host=%s port=%s
gone = host=127.0.0.1 port=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = transaction
server_login_retry = 0
query_wait_timeout = 1
server_connect_timeout = 1
`, host, port, own, users), 0o644))
	process := exec.Command(program, settings)
	process.SysProcAttr = owner(t, dir)
	log := &strings.Builder{}
	process.Stdout, process.Stderr = log, log
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	pooled := &server{addr: "127.0.0.1:" + own}
	c := pooled.config(t, "drwatch", "festivals")
	c.Heartbeat, c.HeartbeatUser, c.HeartbeatPasswordFile = true, "drwatch_heartbeat", c.PasswordFile
	p := newProbe(t, c, primaryCopy())
	waitFor(t, func() bool { _, err := look(t, p); return err == nil })
	direct := mustLook(t, newProbe(t, s.config(t, "drwatch", "festivals"), primaryCopy()))
	r := mustLook(t, p)
	require.Equal(t, direct.Server, r.Server)
	requireCheck(t, r, CheckHeartbeat, readiness.Pass, "written")

	fails(t, pooled.config(t, "drwatch", "nowhere"), primaryCopy(), readiness.NotFound, "nowhere")
	wrong := pooled.config(t, "drwatch", "festivals")
	wrong.PasswordFile = secretFile(t, "not-the-password")
	fails(t, wrong, primaryCopy(), readiness.Denied)
	fails(t, pooled.config(t, "drwatch", "gone"), primaryCopy(), readiness.Timeout, "see the pooler's log")
}
