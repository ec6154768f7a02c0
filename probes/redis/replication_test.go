package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a healthy pair would not be shown as ready.
func TestLook_Streaming(t *testing.T) {
	t.Parallel()
	p := startPair(t, []string{"--appendonly", "yes"}, []string{"--appendonly", "yes"})
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)

	w.catchUp()
	primary, replica := w.both()

	require.Equal(t, readiness.RolePrimary, primary.Role)
	require.Equal(t, readiness.RoleReplica, replica.Role)
	require.Equal(t, primary.System, replica.System)
	require.NotEqual(t, primary.Server, replica.Server)
	require.True(t, primary.Written.IsKnown())
	require.True(t, replica.Received.IsKnown())
	require.Equal(t, readiness.Known(true), replica.Connected)
	require.Equal(t, 1.0, primary.Measures[readiness.FullResyncs])
	offset, ok := primary.ClockOffset.Get()
	require.True(t, ok)
	require.Less(t, offset.Abs(), 5*time.Millisecond+primary.ClockError)
	heard, ok := replica.LastMessage.Get()
	require.True(t, ok)
	require.WithinDuration(t, time.Now(), heard, 5*time.Second)
	for _, c := range w.report().Copies {
		require.Equal(t, readiness.Pass, c.Status, "%s: %+v", c.Name, c.Checks)
	}
	point := w.mustRecoveryPoint()
	p.primary.kill()
	writer.stop()
	writer.requireHolds(t, p.replica.client(), point)
}

// Were it to fail, a primary that nobody writes to would look like a replica
// that falls behind: the first trap of measuring.
func TestLook_IdlePrimary(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	for range 3 {
		w.catchUp()
	}
}

// Were it to fail, data would be believed safe that a dead primary never sent.
func TestLook_PrimaryKilled(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()

	p.primary.kill()
	writer.stop()
	killed := time.Now()
	_, failure := w.look("primary")
	require.Equal(t, readiness.Refused, failure.Class)
	p.replica.waitFor("master_link_status", "down")
	replica, failure := w.look("replica")
	require.Nil(t, failure)

	require.Equal(t, readiness.Known(false), replica.Connected)
	require.Empty(t, replica.Points, "a broken link proves no moment")
	point := w.mustRecoveryPoint()
	require.True(t, point.Before(killed), "the recovery point is not that of a look after the death")
	require.Contains(t, w.check("replica", redis.CheckLink).Evidence, "is down since")
	require.Equal(t, readiness.Fail, w.check("replica", redis.CheckLink).Status)
	writer.requireHolds(t, p.replica.client(), point)
}

// Were it to fail, the loss would be told as none while the link is cut and
// writes go on: the exporters' zero.
func TestLook_LinkCut(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()
	p.wire.setCut(true)
	p.replica.waitFor("master_link_status", "down")
	cut := time.Now()
	writer.waitForMore(t)

	primary, replica := w.both()
	require.Equal(t, primary.System, replica.System, "the replica keeps the history that it had")
	point := w.mustRecoveryPoint()
	require.True(t, point.Before(cut))
	require.Equal(t, readiness.Known(false), replica.Connected)
	require.Equal(t, readiness.Warn, w.check("primary", redis.CheckLink).Status, "a primary without a replica is told")
	lag, ok := w.report().Copies[indexOf(w, "replica")].ReceivedLagBytes.Get()
	require.True(t, ok)
	require.Positive(t, lag)

	p.wire.setCut(false)
	p.replica.waitFor("master_link_status", "up")
	eventually(t, func() bool { w.both(); at, ok := w.recoveryPoint(); return ok && at.After(cut) }, "the recovery point to move on")
	writer.stop()
	writer.requireHolds(t, p.replica.client(), w.mustRecoveryPoint())
}

// Were it to fail, a network that drops packets would be shown as replication
// without lag: Redis says "up" for a minute, and the time since the last message
// is all that tells.
func TestLook_LinkStalled(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	config := at(p.replica)
	config.MaxSilence = 2 * time.Second
	w := newWatch(t, at(p.primary), config)
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()
	p.wire.hold()
	stalled := time.Now()
	writer.waitForMore(t)

	eventually(t, func() bool {
		_, replica := w.both()
		connected, _ := replica.Connected.Get()
		require.Equal(t, "up", p.replica.field("master_link_status"), "the wrong answer, which is not ours")
		return !connected
	}, "the silence to be noticed")
	require.True(t, w.mustRecoveryPoint().Before(stalled.Add(50*time.Millisecond)), "what was under way may have arrived, nothing later")
	require.Contains(t, w.check("replica", redis.CheckLink).Evidence, "said to be up, and silent for")
	writer.stop()
	p.primary.kill()
	writer.requireHolds(t, p.replica.client(), w.mustRecoveryPoint())
}

// Were it to fail, a hanging primary would pass for one that is well.
func TestLook_PrimaryFrozen(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	config := at(p.replica)
	config.MaxSilence = time.Second
	w := newWatch(t, at(p.primary), config)
	w.catchUp()
	frozen := time.Now()
	p.primary.freeze()

	_, failure := w.look("primary")
	require.Equal(t, readiness.Timeout, failure.Class)
	require.Contains(t, failure.Error(), p.primary.addr())
	eventually(t, func() bool {
		replica, failure := w.look("replica")
		require.Nil(t, failure)
		connected, _ := replica.Connected.Get()
		return !connected
	}, "the silence of a frozen primary to be noticed")
	require.Equal(t, "up", p.replica.field("master_link_status"), "the wrong answer, which is not ours")
	require.True(t, w.mustRecoveryPoint().Before(frozen))
}

// Were it to fail, what a hanging replica held once would be taken for what it
// holds now, or forgotten.
func TestLook_ReplicaFrozen(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()
	frozen := time.Now()
	p.replica.freeze()
	writer.waitForMore(t)

	_, failure := w.look("replica")
	require.Equal(t, readiness.Timeout, failure.Class)
	_, _ = w.look("primary")
	require.True(t, w.mustRecoveryPoint().Before(frozen))
	require.Equal(t, readiness.Unknown, w.check("replica", redis.CheckLink).Status)
	p.replica.thaw()
	writer.stop()
	writer.requireHolds(t, p.replica.client(), w.mustRecoveryPoint())
}

// Were it to fail, half of a value that was read and will be thrown away would
// count as held.
func TestLook_ValueHalfArrived(t *testing.T) {
	t.Parallel()
	p := startPair(t, []string{"--repl-backlog-size", "64mb"}, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	w.both()
	p.wire.slow(2 << 20) // 16 MiB take eight seconds
	p.primary.do("SET", "large", strings.Repeat("x", 16<<20))
	acknowledged := time.Now()

	eventually(t, func() bool {
		return offset(p.replica, "slave_read_repl_offset") > offset(p.replica, "slave_repl_offset")+1<<20
	}, "half of the value to arrive")
	_, replica := w.both()
	received, ok := replica.Received.Get()
	require.True(t, ok)
	require.Less(t, int64(received), offset(p.replica, "slave_read_repl_offset"), "the wrong answer would be what was read")
	require.True(t, w.mustRecoveryPoint().Before(acknowledged))

	p.wire.setCut(true)
	p.replica.do("REPLICAOF", "NO", "ONE")
	require.Equal(t, "0", p.replica.do("EXISTS", "large"), "what was read beyond the last command is gone with the link")
}

func offset(p *process, field string) int64 {
	n, _ := strconv.ParseInt(p.field(field), 10, 64)
	return n
}

// Were it to fail, a replica would be believed to hold data while a full copy
// replaces it: the old data is about to go, the new has not come.
func TestLook_Resyncing(t *testing.T) {
	t.Parallel()
	p := startPair(t, []string{"--repl-backlog-size", "16kb"}, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()
	writer.stop()
	w.mustRecoveryPoint()

	p.wire.setCut(true)
	p.replica.waitFor("master_link_status", "down")
	p.primary.do("EVAL", "for i=1,4000 do redis.call('SET', 'more-'..i, string.rep('y', 1000)) end return 1", "0") // more than the backlog
	p.primary.do("CONFIG", "SET", "rdb-key-save-delay", "400")                                                     // 1.6 s
	p.replica.do("CONFIG", "SET", "key-load-delay", "400", "loading-process-events-interval-bytes", "1024")
	p.wire.setCut(false)

	states := map[string]bool{}
	eventually(t, func() bool {
		_, replica := w.both()
		state := w.check("replica", redis.CheckLink)
		_, known := w.recoveryPoint()
		switch {
		case strings.Contains(state.Evidence, "full copy is on its way"), strings.Contains(state.Evidence, "while it loads"):
			states[state.Evidence[:20]] = true
			require.Equal(t, readiness.Fail, state.Status)
			require.False(t, replica.Received.IsKnown())
			require.False(t, known, "nothing is held, and what was proven before is void")
		case state.Status == readiness.Pass:
			return known
		}
		return false
	}, "the resync to end")
	require.Len(t, states, 2, "both were seen: the copy arriving, and being loaded")
	require.Equal(t, 2.0, w.sightings.Seen("primary").Good.Reading.Measures[readiness.FullResyncs])
	writer.requireHolds(t, p.replica.client(), w.mustRecoveryPoint())
}

// Were it to fail, a replica that is still reading its file after a restart
// would count as one that holds the data.
func TestLook_ReplicaLoading(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	p.primary.do("EVAL", "for i=1,3000 do redis.call('SET', 'k'..i, string.rep('y', 500)) end return 1", "0")
	w.catchUp()
	p.replica.do("SAVE")
	p.replica.kill()
	p.replica.args = append(p.replica.args, "--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024")
	require.NoError(t, p.replica.start())
	t.Cleanup(p.replica.kill)

	replica, failure := w.look("replica")
	require.Nil(t, failure, "INFO is answered while loading")
	require.False(t, replica.Received.IsKnown())
	require.Contains(t, w.check("replica", redis.CheckPersistence).Evidence, "loading its data")
	_, known := w.recoveryPoint()
	require.False(t, known)

	p.replica.waitFor("master_link_status", "up")
	eventually(t, func() bool { w.both(); _, known := w.recoveryPoint(); return known }, "the recovery point to come back")
	require.Equal(t, "1", p.primary.field("sync_full"), "the restarted replica went on where its file ended")
}

// Were it to fail, nobody would hear that the primary came back empty, and that
// its replicas emptied themselves after it.
func TestLook_PrimaryRestartedEmpty(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	p.primary.do("SET", "a", "b")
	w.catchUp()
	primary, _ := w.both()
	p.primary.kill()
	require.NoError(t, p.primary.start())
	t.Cleanup(p.primary.kill)
	eventually(t, func() bool { return p.replica.field("master_link_status") == "up" && p.replica.field("db0") == "" }, "the replica to empty itself")

	again, replica := w.both()
	require.NotEqual(t, primary.System, again.System, "the data of before is another history")
	require.Equal(t, again.System, replica.System)
	for _, name := range []string{"primary"} {
		check := w.check(name, redis.CheckPersistence)
		require.Equal(t, readiness.Warn, check.Status)
		require.Contains(t, check.Evidence, "it is empty, and started")
	}
}

// Were it to fail, writes would go uncounted: without a backlog the offset of a
// primary stands still, and a track over it would promise everything.
func TestLook_PrimaryWithoutReplica(t *testing.T) {
	t.Parallel()
	alone := startRedis(t)
	before := offset(alone, "master_repl_offset")
	alone.do("SET", "a", "b")
	require.Equal(t, before, offset(alone, "master_repl_offset"), "the wrong answer: nothing was written")
	reading, failure := lookOnce(t, at(alone))
	require.Nil(t, failure)
	require.False(t, reading.Written.IsKnown())
}

// Were it to fail, a replica that never had a link would count as one that holds
// the beginning of the history.
func TestLook_ReplicaNeverLinked(t *testing.T) {
	t.Parallel()
	p := startRedis(t, "--replicaof", "127.0.0.1", "1")
	reading, failure := lookOnce(t, at(p))
	require.Nil(t, failure)
	require.Equal(t, "1", p.field("slave_repl_offset"), "the wrong answer")
	require.Equal(t, readiness.RoleReplica, reading.Role)
	require.False(t, reading.Received.IsKnown())
	require.False(t, reading.LastMessage.IsKnown(), "-1 is not an age")
	require.Equal(t, readiness.Known(false), reading.Connected)
}

// Were it to fail, a replica would be shown as linked and well that was copied
// by the old protocol, since its user may not run PSYNC: it has no position.
func TestLook_FollowsWithoutPSYNC(t *testing.T) {
	t.Parallel()
	primary := startRedis(t, "--repl-diskless-sync-delay", "0")
	primary.do("ACL", "SETUSER", "default", "-psync")
	replica := startRedis(t, "--replicaof", "127.0.0.1", strconv.Itoa(primary.port))
	replica.waitFor("master_link_status", "up")
	w := newWatch(t, at(primary), at(replica))
	_, reading := w.both()
	require.False(t, reading.Received.IsKnown())
	require.Equal(t, readiness.Fail, w.check("replica", redis.CheckLink).Status)
	require.Contains(t, w.check("replica", redis.CheckLink).Evidence, "without PSYNC, so nobody can tell how far")
	require.Equal(t, readiness.Unknown, w.check("replica", readiness.CheckSameSystem).Status)
	_, known := w.recoveryPoint()
	require.False(t, known)
}

// Were it to fail, a promoted replica would be shown as a replica without lag.
func TestLook_ReplicaPromoted(t *testing.T) {
	t.Parallel()
	p := startPair(t, nil, nil)
	w := newWatch(t, at(p.primary), at(p.replica))
	writer := startWriter(t, p.primary.client())
	writer.waitForMore(t)
	w.catchUp()
	p.replica.do("REPLICAOF", "NO", "ONE")
	promoted := time.Now()
	writer.waitForMore(t)
	primary, replica := w.both()

	require.Equal(t, readiness.RolePrimary, replica.Role)
	require.NotEqual(t, primary.System, replica.System)
	require.True(t, w.mustRecoveryPoint().Before(promoted))
	require.Equal(t, readiness.Fail, w.check("replica", readiness.CheckRole).Status)
	require.Equal(t, readiness.Fail, w.check("replica", redis.CheckLink).Status)
	require.Equal(t, readiness.Fail, w.report().Checks[0].Status, "both take writes")
	writer.stop()
	writer.requireHolds(t, p.replica.client(), w.mustRecoveryPoint())
}

// Were it to fail, a server would be called ready that refuses writes once it is
// promoted, since its disk is full.
func TestLook_SaveFails(t *testing.T) {
	t.Parallel()
	p := startRedis(t, "--save", "3600", "1")
	p.do("SET", "a", "b")
	require.Equal(t, readiness.Warn, persistence(t, p).Status, "nothing is persisted")
	p.do("BGSAVE")
	p.waitFor("rdb_saves", "1")
	p.waitFor("rdb_bgsave_in_progress", "0")
	require.Equal(t, readiness.Pass, persistence(t, p).Status)
	reading, _ := lookOnce(t, at(p))
	require.InDelta(t, float64(time.Now().Unix()), reading.Measures[readiness.SnapshotSeconds], 5)

	p.do("CONFIG", "SET", "rdb-key-save-delay", "10000000")
	p.do("BGSAVE")
	p.waitFor("rdb_bgsave_in_progress", "1")
	killChildren(t, p.cmd.Process.Pid)
	p.waitFor("rdb_last_bgsave_status", "err")
	check := persistence(t, p)
	require.Equal(t, readiness.Fail, check.Status)
	require.Contains(t, check.Evidence, "last RDB save failed")
	require.ErrorContains(t, p.client().Set(t.Context(), "a", "c", 0).Err(), "MISCONF", "what the remedy says")
}

// Were it to fail, the start of a server would pass for the time of a snapshot.
func TestLook_NoSnapshotSinceStart(t *testing.T) {
	t.Parallel()
	p := startRedis(t)
	require.NotEmpty(t, p.field("rdb_last_save_time"), "the wrong answer: the start of the server")
	reading, failure := lookOnce(t, at(p))
	require.Nil(t, failure)
	require.NotContains(t, reading.Measures, readiness.SnapshotSeconds)
}

func persistence(t *testing.T, p *process) readiness.Check {
	t.Helper()
	reading, failure := lookOnce(t, at(p))
	require.Nil(t, failure)
	for _, c := range reading.Checks {
		if c.Name == redis.CheckPersistence {
			return c
		}
	}
	t.Fatal("no check of persistence")
	return readiness.Check{}
}

// killChildren ends what a process of ours has forked.
func killChildren(t *testing.T, parent int) {
	t.Helper()
	text := string(mustRead(t, fmt.Sprintf("/proc/%d/task/%d/children", parent, parent)))
	for _, child := range strings.Fields(text) {
		pid, err := strconv.Atoi(child)
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	require.NotEmpty(t, text)
}

func indexOf(w *watch, name string) int {
	for i, c := range w.datastore.Copies {
		if c.Name == name {
			return i
		}
	}
	return -1
}
