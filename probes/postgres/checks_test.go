package postgres

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// at is when the server of these tests answers, on its own clock.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rowOf reads a row as a server would send it.
func rowOf(t testing.TB, text string) row {
	t.Helper()
	r := row{Clock: at}
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	return r
}

// A user would take a dead link for a living one, or be woken for an idle one.
func TestCheckReceiver(t *testing.T) {
	for name, c := range map[string]struct {
		row       string
		status    readiness.Status
		connected readiness.Maybe[bool]
		evidence  string
	}{
		"streaming": {
			`{"receiver_timeout": 60, "receiver": {"status": "streaming", "heard": "2026-03-01T11:59:58Z", "sender_host": "db", "sender_port": 5432, "slot": "s"}}`,
			readiness.Pass, readiness.Known(true), "streaming from db:5432 by slot s, last heard from its source 2.0s ago (a living link is silent for 35.0s at most)",
		},
		"idle at its longest": {
			`{"receiver_timeout": 60, "receiver": {"status": "streaming", "heard": "2026-03-01T11:59:29Z"}}`,
			readiness.Pass, readiness.Known(true), "streaming, last heard from its source 31.0s ago (a living link is silent for 35.0s at most)",
		},
		"frozen": {
			`{"receiver_timeout": 60, "receiver": {"status": "streaming", "heard": "2026-03-01T11:59:24Z"}}`,
			readiness.Fail, readiness.Known(false), "streaming, last heard from its source 36.0s ago (a living link is silent for 35.0s at most)",
		},
		"frozen, short timeout": {
			`{"receiver_timeout": 4, "receiver": {"status": "streaming", "heard": "2026-03-01T11:59:56.5Z"}}`,
			readiness.Fail, readiness.Known(false), "streaming, last heard from its source 3.5s ago (a living link is silent for 3.0s at most)",
		},
		"heard in the future": {
			`{"receiver_timeout": 60, "receiver": {"status": "streaming", "heard": "2026-03-01T12:00:01Z"}}`,
			readiness.Pass, readiness.Known(true), "streaming, last heard from its source 0s ago (a living link is silent for 35.0s at most)",
		},
		"no timeout, lately": {
			`{"receiver_timeout": 0, "receiver": {"status": "streaming", "heard": "2026-03-01T11:59:30Z"}}`,
			readiness.Pass, readiness.Known(true), "streaming, last heard from its source 30.0s ago",
		},
		"no timeout, long ago": {
			`{"receiver_timeout": 0, "receiver": {"status": "streaming", "heard": "2026-03-01T10:37:00Z"}}`,
			readiness.Unknown, readiness.Maybe[bool]{}, "streaming, last heard from its source 1h23m ago; with wal_receiver_timeout = 0 an idle link and a dead one look the same",
		},
		"waiting": {
			`{"receiver_timeout": 60, "receiver": {"status": "waiting", "heard": "2026-03-01T12:00:00Z"}}`,
			readiness.Fail, readiness.Known(false), "the WAL receiver is waiting, not streaming",
		},
		"never heard": {
			`{"receiver_timeout": 60, "receiver": {"status": "streaming"}}`,
			readiness.Unknown, readiness.Maybe[bool]{}, "streaming, it does not tell when it last heard from its source",
		},
		"may not see": {
			`{"receiver_timeout": 60, "receiver": {"status": null}}`,
			readiness.Unknown, readiness.Maybe[bool]{}, "a WAL receiver runs, but this role may not see how it does (pg_read_all_stats is missing)",
		},
		"none": {
			`{"receiver_timeout": 60, "receiver": null}`,
			readiness.Fail, readiness.Known(false), "no WAL receiver runs: the standby is cut off from its source",
		},
	} {
		t.Run(name, func(t *testing.T) {
			check, connected := checkReceiver(rowOf(t, c.row))
			require.Equal(t, c.evidence, check.Evidence)
			require.Equal(t, c.status, check.Status)
			require.Equal(t, c.connected, connected)
			require.Equal(t, c.status == readiness.Pass, check.Remedy == "")
		})
	}
}

func TestCheckReplay(t *testing.T) {
	for row, want := range map[string]readiness.Check{
		`{"paused": false, "received": 2048, "replayed": 1024}`: {Status: readiness.Pass, Evidence: "replaying; 1.0 KiB are received and not replayed yet"},
		`{"paused": false, "received": 2, "replayed": 3}`:       {Status: readiness.Pass, Evidence: "replaying; 0 bytes are received and not replayed yet"},
		`{"paused": true}`: {Status: readiness.Fail, Evidence: "replay is paused"},
		`{}`:               {Evidence: "the server does not tell whether it replays"},
	} {
		check := checkReplay(rowOf(t, row))
		require.Equal(t, CheckReplay, check.Name)
		require.Equal(t, want, readiness.Check{Status: check.Status, Evidence: check.Evidence})
	}
}

func TestCheckDelay_Untold(t *testing.T) {
	require.Equal(t, readiness.Unknown, checkDelay(nil, time.Hour).Status, "what is not told is not zero")
}

// A user would lose a slot, or the disk, without a word.
func TestCheckSlots(t *testing.T) {
	const (
		read       = `{"name": "read", "active": true, "wal_status": "reserved", "retained": 1024}`
		unread     = `{"name": "unread", "active": false, "wal_status": "reserved", "retained": 1048576}`
		filling    = `{"name": "filling", "active": false, "wal_status": "extended", "retained": 5368709120, "headroom": 1073741824}`
		slow       = `{"name": "slow", "active": true, "wal_status": "extended", "retained": 5368709120}`
		unreserved = `{"name": "late", "active": true, "wal_status": "unreserved", "retained": 5368709120, "headroom": -2048}`
		lost       = `{"name": "lo'st", "active": false, "wal_status": "lost", "invalidated": "wal_removed"}`
		empty      = `{"name": "empty", "active": false, "wal_status": null}`
		temporary  = `{"name": "temp", "active": false, "temporary": true, "wal_status": "reserved", "retained": 1}`
		synced     = `{"name": "synced", "active": false, "synced": true, "wal_status": "reserved", "retained": 1}`
	)
	for _, c := range []struct {
		slots            string
		status           readiness.Status
		evidence, remedy string
		retained         float64
		headroom         any
	}{
		{``, readiness.Pass, "there are no replication slots", "", 0, nil},
		{read + `,` + empty + `,` + temporary + `,` + synced, readiness.Pass, "4 in use, retaining 1.0 KiB at most", "", 1024, nil},
		{
			read + `,` + unread, readiness.Warn,
			"nobody reads slot unread, which retains 1.0 MiB and has no limit but the disk (max_slot_wal_keep_size)",
			"start its reader, or if it is gone for good SELECT pg_drop_replication_slot('unread')", 1 << 20, nil,
		},
		{
			slow, readiness.Warn, "the reader of slot slow is 5.0 GiB behind, more than max_wal_size and has no limit but the disk (max_slot_wal_keep_size)",
			"see why its reader is slow, and how much room pg_wal has", 5 << 30, nil,
		},
		{
			unread + `,` + filling, readiness.Fail,
			"nobody reads slot filling, which retains 5.0 GiB, more than max_wal_size and is lost after 1.0 GiB more; " +
				"nobody reads slot unread, which retains 1.0 MiB and has no limit but the disk (max_slot_wal_keep_size)",
			"start its reader, or if it is gone for good SELECT pg_drop_replication_slot('filling')", 5 << 30, float64(1 << 30),
		},
		{
			filling + `,` + unreserved, readiness.Fail,
			"nobody reads slot filling, which retains 5.0 GiB, more than max_wal_size and is lost after 1.0 GiB more; " +
				"slot late retains 5.0 GiB, over the limit: it is lost at one of the next checkpoints",
			"start its reader, or if it is gone for good SELECT pg_drop_replication_slot('filling')", 5 << 30, -2048.0,
		},
		{
			lost, readiness.Fail, "slot lo'st is lost: what its reader needs is gone (wal_removed)",
			"rebuild the replica that read it, then SELECT pg_drop_replication_slot('lo''st')", 0, nil,
		},
		{
			unread + `,` + unread + `,` + unread + `,` + unread + `,` + lost, readiness.Fail,
			"slot lo'st is lost: what its reader needs is gone (wal_removed); " +
				"nobody reads slot unread, which retains 1.0 MiB and has no limit but the disk (max_slot_wal_keep_size); " +
				"nobody reads slot unread, which retains 1.0 MiB and has no limit but the disk (max_slot_wal_keep_size); and 2 more",
			"rebuild the replica that read it, then SELECT pg_drop_replication_slot('lo''st')", 1 << 20, nil,
		},
	} {
		var slots []slot
		require.NoError(t, json.Unmarshal([]byte("["+c.slots+"]"), &slots))
		r := readiness.Reading{Measures: map[readiness.Measure]float64{}}
		new(Probe).readSlots(&r, slots)
		require.Equal(t, []readiness.Check{{Name: CheckSlots, Status: c.status, Evidence: c.evidence, Remedy: c.remedy}}, r.Checks)
		require.Equal(t, c.retained, r.Measures[readiness.SlotRetainedBytes])
		headroom, known := r.Measures[readiness.SlotHeadroomBytes]
		require.Equal(t, c.headroom != nil, known)
		if known {
			require.Equal(t, c.headroom, headroom)
		}
	}
}

// A user who loses the new primary soon after a failover would lose what is
// known of the standby as well: the control file still tells the old timeline.
func TestTimeline_StaysWhenTheReceiverGoes(t *testing.T) {
	p := newProbe(t, Config{DSN: goodDSN}, replicaCopy())
	standby := func(text string) string { return p.timeline("server", rowOf(t, text)) }
	const control = `"in_recovery": true, "checkpoint_timeline": 1, "recovery_timeline": 1`
	require.Equal(t, "1", standby(`{`+control+`}`))
	require.Equal(t, "2", standby(`{`+control+`, "receiver": {"timeline": 2}}`))
	require.Equal(t, "2", standby(`{`+control+`}`), "the receiver has gone")
	require.Equal(t, "2", standby(`{`+control+`, "receiver": {"timeline": null}}`), "the role may not see it")
	require.Equal(t, "3", standby(`{"in_recovery": true, "checkpoint_timeline": 1, "recovery_timeline": 3}`))
	require.Equal(t, "1", p.timeline("server, started anew", rowOf(t, `{`+control+`}`)), "another server may have another history")
	require.Equal(t, "26", p.timeline("primary", rowOf(t, `{"in_recovery": false, "checkpoint_timeline": 1, "wal_file": "0000001A000000000000000B"}`)))
	require.Empty(t, p.timeline("primary, odd", rowOf(t, `{"in_recovery": false, "checkpoint_timeline": 1, "wal_file": "0"}`)), "what is not told is not guessed")
}

// A server may answer anything. What it does not tell stays unknown.
func FuzzReading(f *testing.F) {
	f.Add([]byte(`{"in_recovery": true, "clock": "2026-03-01T12:00:00Z"}`), []byte(`[]`), []byte(`[]`))
	f.Add([]byte(`{"in_recovery": false, "clock": "2026-03-01T12:00:00Z", "written": 1, "slots": [{"name": "s", "logical": true, "confirmed": 18446744073709551615}]}`),
		[]byte(`[{"name": "s", "enabled": true, "running": true, "tables": 1, "slot": "s"}]`), []byte(`[{"instance": "i", "at": "2026-03-01T12:00:00Z"}]`))
	f.Add([]byte(`{"in_recovery": true, "clock": "2026-03-01T12:00:00Z", "received": 5, "replayed": 9, "commit_replayed": "0001-01-01T00:00:00Z",
		"receiver_timeout": 1e300, "apply_delay": -1e300, "receiver": {"status": "streaming", "heard": "9999-01-01T00:00:00Z"}}`), []byte(`null`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, text, subscriptions, beats []byte) {
		a := answer{asked: at, answered: at.Add(time.Millisecond)}
		if json.Unmarshal(text, &a.server) != nil || a.server.InRecovery == nil {
			return
		}
		_ = json.Unmarshal(subscriptions, &a.subscriptions)
		a.beatsErr = json.Unmarshal(beats, &a.beats)
		logical := readiness.Copy{Kind: readiness.Replica, Logical: true}
		for _, c := range []struct {
			config Config
			of     readiness.Copy
		}{
			{Config{DSN: goodDSN}, primaryCopy()},
			{Config{DSN: goodDSN, Heartbeat: true}, replicaCopy()},
			{Config{DSN: goodDSN, Heartbeat: true, Subscription: "s"}, logical},
		} {
			r := newProbe(t, c.config, c.of).reading(a)
			require.Equal(t, a.server.Received != nil, r.Received.IsKnown())
			require.Equal(t, a.server.Written != nil, r.Written.IsKnown())
			if a.server.CommitReplayed == nil && len(a.beats) == 0 {
				require.Empty(t, r.Points)
			}
			if connected, _ := r.Connected.Get(); connected && !c.of.Logical {
				require.Equal(t, "streaming", *a.server.Receiver.Status)
			}
			for _, check := range r.Checks {
				require.Contains(t, Checks(c.config, c.of), check.Name)
			}
		}
	})
}
