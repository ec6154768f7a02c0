package postgres

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// watch looks at the two servers of a lab as the monitor would, with the rights
// that the setup script gives and no others.
type watch struct {
	lab               *lab.Lab
	datastore         readiness.Datastore
	primary, standby  *Probe
	sightings         *readiness.Sightings
	primaryC, standbC readiness.Copy
}

func startWatch(t *testing.T) *watch {
	l := labtest.Start(t, func(o *lab.Options) {
		o.WriteInterval = 50 * time.Millisecond
		o.SetupSQL = []string{
			SetupSQL(SetupOptions{User: "watcher", HeartbeatUser: "beater"}),
			fmt.Sprintf("ALTER ROLE watcher PASSWORD '%[1]s'; ALTER ROLE beater PASSWORD '%[1]s'; CREATE ROLE bare LOGIN PASSWORD '%[1]s'", probetest.Password),
		}
	})
	servers := l.Endpoints().Postgres
	c := Config{DSN: servers.Primary.As("watcher"), PasswordFile: secretFile(t, probetest.Password)}
	s := Config{DSN: servers.Standby.As("watcher"), PasswordFile: c.PasswordFile}
	w := &watch{
		lab: l, primaryC: copyOf(c, primaryCopy()), standbC: copyOf(s, replicaCopy()),
		primary: newProbe(t, c, primaryCopy()), standby: newProbe(t, s, replicaCopy()),
	}
	w.datastore = readiness.Datastore{Name: "festivals", Copies: []readiness.Copy{w.primaryC, w.standbC}}
	w.forget()
	return w
}

// forget starts the watching anew.
func (w *watch) forget() { w.sightings = readiness.NewSightings(w.datastore) }

// look looks at both servers once.
func (w *watch) look(t *testing.T) (primary, standby readiness.Observation) {
	t.Helper()
	return observe(t, w.sightings, w.primary, w.primaryC), observe(t, w.sightings, w.standby, w.standbC)
}

// point is the recovery point of the standby.
func (w *watch) point(t *testing.T) readiness.Point {
	t.Helper()
	point, ok := w.sightings.Seen("replica").Received.Get()
	require.True(t, ok, "there must be a recovery point")
	return point
}

// stands asserts that the recovery point has not moved. A commit's moment moves
// a little with what each look at the primary tells of its clock.
func (w *watch) stands(t *testing.T, last readiness.Point) {
	t.Helper()
	require.WithinDuration(t, last.At, w.point(t).At, 100*time.Millisecond)
}

// report is the verdict on the standby now.
func (w *watch) report() readiness.CopyReport {
	system := readiness.System{Datastores: []readiness.Datastore{w.datastore}}
	seen := func(id readiness.ID) *readiness.Seen { return w.sightings.Seen(id.Name) }
	return readiness.Evaluate(system, seen, time.Now()).Datastores[0].Copies[1]
}

func (w *watch) breakIt(t *testing.T, fault lab.Fault) {
	t.Helper()
	require.NoError(t, w.lab.Break(t.Context(), fault))
}

func (w *watch) heal(t *testing.T, fault lab.Fault) {
	t.Helper()
	require.NoError(t, w.lab.Heal(t.Context(), fault))
}

// writes waits for some more writes to be acknowledged, and gives the first of them.
func (w *watch) writes(t *testing.T) lab.Write {
	t.Helper()
	before, first := w.lab.LastWrite(lab.Postgres), lab.Write{}
	waitFor(t, func() bool {
		last := w.lab.LastWrite(lab.Postgres)
		if first.Number == 0 && last.Number > before.Number+1 { // one may have been under way
			first = last
		}
		return last.Number > before.Number+6
	})
	return first
}

// sql runs statements on one server as superuser, each in its own transaction.
func (w *watch) sql(t *testing.T, site lab.Site, statements ...string) {
	t.Helper()
	conn, err := w.lab.ConnectPostgres(t.Context(), site)
	require.NoError(t, err)
	for _, statement := range statements {
		_, err = conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, conn.Close(t.Context()))
}

// set changes a setting of the standby, and waits until it holds.
func (w *watch) set(t *testing.T, name, value string) {
	t.Helper()
	w.sql(t, lab.Standby, fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value), "SELECT pg_reload_conf()")
	waitFor(t, func() bool {
		conn, err := w.lab.ConnectPostgres(t.Context(), lab.Standby)
		require.NoError(t, err)
		defer func() { _ = conn.Close(t.Context()) }()
		var is string
		require.NoError(t, conn.QueryRow(t.Context(), "SHOW "+name).Scan(&is))
		return is == value
	})
}

// naive is the lag that exporters compute: 0 when what was received is
// replayed, else the age of the newest replayed commit.
func naive(r readiness.Reading) time.Duration {
	if r.Received == r.Replayed || len(r.Points) == 0 {
		return 0
	}
	return time.Since(r.Points[0].At)
}

// TestStandby plays the situations in which the usual ways of measuring a
// standby go wrong. The first thing asserted in each is what the probe reads,
// the next what follows for the recovery point, the last what it must not say.
func TestStandby(t *testing.T) {
	w := startWatch(t)
	for _, row := range []struct {
		name string
		test func(*testing.T, *watch)
	}{
		{"streaming", streaming},
		{"rights missing", rightsMissing},
		{"strange certificate", strangeCertificate},
		{"heartbeat", heartbeatArrives},
		{"delayed", delayed},
		{"fresh, no transaction yet", freshStandby},
		{"idle primary", idlePrimary},
		{"replay paused", replayPaused},
		{"receiver frozen", receiverFrozen},
		{"standby stopped", standbyStopped},
		{"primary killed", primaryKilled},
		{"standby restarted alone", restartedAlone},
	} {
		if !t.Run(row.name, func(t *testing.T) { row.test(t, w) }) {
			break // the next would begin from a broken lab
		}
	}
}

func streaming(t *testing.T, w *watch) {
	w.forget()
	before := time.Now()
	waitFor(t, func() bool { w.look(t); return w.point(t).At.After(before) })
	p, s := w.look(t)
	r := s.Reading
	require.Equal(t, readiness.RoleReplica, r.Role)
	require.Equal(t, p.Reading.System, r.System)
	require.Equal(t, p.Reading.Timeline, r.Timeline)
	require.NotEqual(t, p.Reading.Server, r.Server)
	require.False(t, r.Written.IsKnown())
	require.Equal(t, readiness.BasisCommit, r.Points[0].Basis)
	require.True(t, r.Points[0].SourceClock)
	heard, _ := r.LastMessage.Get()
	require.WithinRange(t, heard, s.At.Add(-2*time.Second), time.Now())
	requireCheck(t, r, CheckReceiver, readiness.Pass, "streaming from 127.0.0.1:")
	requireCheck(t, r, CheckReplay, readiness.Pass, "replaying")
	requireCheck(t, r, CheckDelay, readiness.Pass, "not delayed")
	requireCheck(t, r, CheckSlots, readiness.Pass, "no replication slots")
	requireCheck(t, p.Reading, CheckSlots, readiness.Pass, "1 in use")
	for _, check := range w.report().Checks {
		require.Equal(t, readiness.Pass, check.Status, "%s: %s", check.Name, check.Evidence)
	}
}

// A user whose role may see too little must be told so, not that the standby is cut off.
func rightsMissing(t *testing.T, w *watch) {
	c := w.standby.cfg
	c.DSN = w.lab.Endpoints().Postgres.Standby.As("bare")
	r := mustLook(t, newProbe(t, c, replicaCopy()))
	requireCheck(t, r, CheckReceiver, readiness.Unknown, "pg_read_all_stats is missing")
	require.Contains(t, checkOf(t, r, CheckReceiver).Remedy, "drwatch config sql")
	require.False(t, r.Connected.IsKnown())
	require.False(t, r.LastMessage.IsKnown())
	require.True(t, r.Received.IsKnown(), "positions are open to all")
}

func strangeCertificate(t *testing.T, w *watch) {
	c := w.primary.cfg
	c.DSN = strings.Replace(c.DSN, "sslrootcert=", "sslrootcert="+strangeCA(t)+"&application_name=", 1)
	fails(t, c, primaryCopy(), readiness.TLS, w.lab.Endpoints().Postgres.Primary.Address, "unknown authority")
}

// The heartbeat proves what the standby holds without a look at the primary.
func heartbeatArrives(t *testing.T, w *watch) {
	p, s := w.primary.cfg, w.standby.cfg
	p.Heartbeat, p.HeartbeatUser, p.HeartbeatPasswordFile = true, "beater", p.PasswordFile
	s.Heartbeat = true
	before := time.Now()
	requireCheck(t, mustLook(t, newProbe(t, p, primaryCopy())), CheckHeartbeat, readiness.Pass, "written")
	standby := newProbe(t, s, replicaCopy())
	var beat readiness.Point
	waitFor(t, func() bool {
		r := mustLook(t, standby)
		requireListed(t, s, replicaCopy(), r)
		if len(r.Points) < 2 {
			return false
		}
		beat = r.Points[1]
		requireCheck(t, r, CheckHeartbeat, readiness.Pass, "a row of this drwatch has arrived")
		return beat.At.After(before)
	})
	require.Equal(t, readiness.BasisHeartbeat, beat.Basis)
	require.False(t, beat.SourceClock)

	// Somebody who locks the table takes the heartbeat, and not the look.
	conn, err := w.lab.ConnectPostgres(t.Context(), lab.Primary)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE drwatch.heartbeat")
	require.NoError(t, err)
	r := mustLook(t, newProbe(t, p, primaryCopy()))
	requireCheck(t, r, CheckHeartbeat, readiness.Fail, "lock timeout")
	require.True(t, r.Written.IsKnown())
	_, err = conn.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
}

// A user would count on going back an hour, or would lose an hour to a delay
// that nobody remembers.
func delayed(t *testing.T, w *watch) {
	w.set(t, "recovery_min_apply_delay", "1h")
	defer w.set(t, "recovery_min_apply_delay", "0")
	for declared, want := range map[time.Duration]readiness.Status{
		0: readiness.Fail, 30 * time.Minute: readiness.Warn, time.Hour: readiness.Pass, 2 * time.Hour: readiness.Fail,
	} {
		late := replicaCopy()
		late.Delay = declared
		r := mustLook(t, newProbe(t, w.standby.cfg, late))
		requireCheck(t, r, CheckDelay, want, fmt.Sprintf("recovery_min_apply_delay is %s, the file says %s", readiness.InSeconds(time.Hour), readiness.InSeconds(declared)))
		require.Equal(t, 3600.0, r.Measures[readiness.ApplyDelaySeconds])
	}
}

// Exporters answer 0 here: the time of the newest replayed transaction is NULL.
func freshStandby(t *testing.T, w *watch) {
	w.breakIt(t, lab.Idle)
	defer w.heal(t, lab.Idle)
	w.breakIt(t, lab.StandbyDown)
	w.sql(t, lab.Primary, "CHECKPOINT")
	w.heal(t, lab.StandbyDown)
	w.sql(t, lab.Standby, "CHECKPOINT") // so that it restarts from that of the primary
	w.breakIt(t, lab.StandbyDown)
	w.sql(t, lab.Primary, "SELECT pg_create_restore_point('none')") // WAL to receive, without a transaction
	w.heal(t, lab.StandbyDown)

	w.forget()
	s := observe(t, w.sightings, w.standby, w.standbC)
	require.Empty(t, s.Reading.Points, "NULL is no moment")
	require.True(t, s.Reading.Received.IsKnown())
	_, known := w.sightings.Seen("replica").Received.Get()
	require.False(t, known, "the standby alone proves no moment")
	require.False(t, w.report().ReceivedLag.IsKnown())
	require.Zero(t, naive(s.Reading), "what the exporters say")

	before := time.Now()
	w.look(t)
	require.Equal(t, readiness.BasisPosition, w.point(t).Basis)
	require.True(t, w.point(t).At.After(before), "with the primary seen, all that it had written is here")
}

// Exporters that tell the age of the newest transaction let it grow here.
func idlePrimary(t *testing.T, w *watch) {
	w.writes(t)
	w.breakIt(t, lab.Idle)
	defer w.heal(t, lab.Idle)
	var r readiness.Reading
	waitFor(t, func() bool {
		_, s := w.look(t)
		r = s.Reading
		return len(r.Points) > 0 && time.Since(r.Points[0].At) > 2*time.Second
	})
	p, s := w.look(t)
	require.Equal(t, readiness.BasisPosition, w.point(t).Basis)
	require.Equal(t, p.At, w.point(t).At, "nothing is lost")
	connected, _ := s.Reading.Connected.Get()
	require.True(t, connected)
	bytes, known := w.report().ReceivedLagBytes.Get()
	require.True(t, known)
	require.Zero(t, bytes)
	require.Greater(t, time.Since(r.Points[0].At), 2*time.Second, "what the exporters say")
}

// Exporters count what is received and safe as lost here.
func replayPaused(t *testing.T, w *watch) {
	w.look(t)
	w.breakIt(t, lab.ReplayPaused)
	defer w.heal(t, lab.ReplayPaused)
	w.writes(t)
	paused := time.Now()
	var s readiness.Observation
	waitFor(t, func() bool { _, s = w.look(t); return w.point(t).At.After(paused) })
	requireCheck(t, s.Reading, CheckReplay, readiness.Fail, "replay is paused; ")
	requireCheck(t, s.Reading, CheckReceiver, readiness.Pass, "streaming")
	received, _ := s.Reading.Received.Get()
	replayed, _ := s.Reading.Replayed.Get()
	require.Greater(t, received, replayed)
	point, _ := w.sightings.Seen("replica").Replayed.Get()
	require.True(t, point.At.Before(paused), "what is replayed stands still")
	require.Less(t, time.Since(w.point(t).At), naive(s.Reading), "what the exporters say")
}

// Exporters answer 0 here: what was received is replayed, and the row of the
// receiver is there and says streaming.
func receiverFrozen(t *testing.T, w *watch) {
	w.set(t, "wal_receiver_timeout", "4s")
	w.look(t)
	w.breakIt(t, lab.ReceiverFrozen)
	missed := w.writes(t)
	var s readiness.Observation
	waitFor(t, func() bool { // until all that was received is replayed
		_, s = w.look(t)
		return s.Reading.Received == s.Reading.Replayed
	})
	require.True(t, w.point(t).At.Before(missed.Acknowledged), "a recovery point of %s claims the write %+v", w.point(t).At, missed)
	bytes, known := w.report().ReceivedLagBytes.Get()
	require.True(t, known)
	require.Positive(t, bytes)
	require.Zero(t, naive(s.Reading), "what the exporters say")
	frozen := w.point(t)

	waitFor(t, func() bool {
		_, s = w.look(t)
		connected, known := s.Reading.Connected.Get()
		return known && !connected
	})
	requireCheck(t, s.Reading, CheckReceiver, readiness.Fail, "(a living link is silent for 3.0s at most)")
	require.Contains(t, checkOf(t, s.Reading, CheckReceiver).Evidence, "streaming")
	w.stands(t, frozen)
	w.heal(t, lab.ReceiverFrozen)
	w.set(t, "wal_receiver_timeout", "1min")
}

// A user would see no replica in pg_stat_replication, as if there had never been one.
func standbyStopped(t *testing.T, w *watch) {
	w.look(t)
	w.breakIt(t, lab.StandbyDown)
	defer w.heal(t, lab.StandbyDown)
	last := w.point(t)
	missed := w.writes(t)
	p, s := w.look(t)
	require.Equal(t, readiness.Refused, s.Failure.Class)
	w.stands(t, last) // and the exposure grows by itself
	require.True(t, last.At.Before(missed.Acknowledged))
	require.False(t, w.report().ReceivedLag.IsKnown(), "nothing old is shown as new")
	requireCheck(t, p.Reading, CheckSlots, readiness.Warn, "nobody reads slot eu_central_1, which retains ")
	require.Greater(t, p.Reading.Measures[readiness.SlotRetainedBytes], 100.0)
}

// Exporters answer 0 here: nothing is missing of what was received.
func primaryKilled(t *testing.T, w *watch) {
	w.look(t)
	w.breakIt(t, lab.PrimaryKilled)
	defer w.heal(t, lab.PrimaryKilled)
	newest := w.lab.LastWrite(lab.Postgres)
	var p, s readiness.Observation
	waitFor(t, func() bool {
		p, s = w.look(t)
		return s.Reading.Received == s.Reading.Replayed
	})
	require.Equal(t, readiness.Refused, p.Failure.Class)
	requireCheck(t, s.Reading, CheckReceiver, readiness.Fail, "no WAL receiver runs")
	connected, known := s.Reading.Connected.Get()
	require.True(t, known)
	require.False(t, connected)
	require.False(t, s.Reading.LastMessage.IsKnown())
	require.Equal(t, "1", s.Reading.Timeline, "without a receiver too")
	last := w.point(t)
	require.False(t, last.At.After(newest.Acknowledged.Add(time.Second)))
	require.Zero(t, naive(s.Reading), "what the exporters say")
	waitFor(t, func() bool { w.look(t); return time.Since(last.At) > time.Second })
	w.stands(t, last)
	lag, _ := w.report().ReceivedLag.Get()
	require.Greater(t, lag.Duration(), 900*time.Millisecond)
}

// The receive position begins anew at a WAL file, behind what is replayed.
func restartedAlone(t *testing.T, w *watch) {
	w.look(t)
	w.breakIt(t, lab.StandbyRestartedAlone)
	newest := w.lab.LastWrite(lab.Postgres)
	_, s := w.look(t)
	requireCheck(t, s.Reading, CheckReceiver, readiness.Fail, "no WAL receiver runs")
	require.Equal(t, "1", s.Reading.Timeline)
	conn, err := w.lab.ConnectPostgres(t.Context(), lab.Standby)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	requireReceiveBehindReplay(t, conn)
	received, _ := s.Reading.Received.Get()
	replayed, _ := s.Reading.Replayed.Get()
	require.GreaterOrEqual(t, received, replayed)
	require.False(t, w.point(t).At.After(newest.Acknowledged.Add(time.Second)))
	require.Less(t, time.Since(w.point(t).At), 10*time.Second, "what was proven is proven still")
}

func requireReceiveBehindReplay(t *testing.T, conn *pgx.Conn) {
	var behind *bool
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_last_wal_receive_lsn() < pg_last_wal_replay_lsn()").Scan(&behind))
	require.True(t, behind == nil || *behind, "the situation is not the one that the test is about")
}

// A promoted standby has left its history: nothing that it says proves
// anything about the replica that the file declares.
func TestStandby_Promoted(t *testing.T) {
	w := startWatch(t)
	w.look(t)
	last := w.point(t)
	w.sql(t, lab.Standby, "SELECT pg_promote()")
	p, s := w.look(t)
	require.Equal(t, readiness.RolePrimary, s.Reading.Role)
	require.Equal(t, p.Reading.System, s.Reading.System)
	require.Equal(t, "1", p.Reading.Timeline)
	require.Equal(t, "2", s.Reading.Timeline)
	require.Equal(t, 2.0, s.Reading.Measures[readiness.TimelineNumber])
	require.True(t, s.Reading.Written.IsKnown())
	require.False(t, s.Reading.Received.IsKnown())
	require.False(t, s.Reading.Connected.IsKnown())
	require.Equal(t, readiness.Unknown, checkOf(t, s.Reading, CheckReceiver).Status)
	w.stands(t, last)
	require.Equal(t, readiness.Fail, w.report().Status)
}
