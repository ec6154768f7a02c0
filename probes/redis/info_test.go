package redis

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// looked is when the captures were taken, as far as the tests care.
func looked() exchange {
	asked := time.Unix(1795511200, 0)
	return exchange{asked: asked, answered: asked.Add(2 * time.Millisecond)}
}

func capture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".info")
	require.NoError(t, err)
	return string(text)
}

func position(p readiness.Position) readiness.Maybe[readiness.Position] { return readiness.Known(p) }

// Each row is what a real Redis 7.0.15 told in that state. Were one to fail,
// a number would stand for what nobody measured, or something proven be lost.
func TestReading_Captures(t *testing.T) {
	var unknown readiness.Maybe[readiness.Position]
	tests := []struct {
		name              string
		kind              readiness.CopyKind
		role              readiness.Role
		written, received readiness.Maybe[readiness.Position]
		connected         readiness.Maybe[bool]
		heard             time.Duration // before the look; 0 is unknown
		link              readiness.Status
		linkSays          string
		persistence       readiness.Status
		persistenceSays   string
	}{
		{"primary-alone", readiness.Primary, readiness.RolePrimary, unknown, unknown, readiness.Maybe[bool]{}, 0,
			readiness.Warn, "no replica is attached", readiness.Warn, "no AOF, and no RDB file was made since it started"},
		{"primary", readiness.Primary, readiness.RolePrimary, position(56), unknown, readiness.Maybe[bool]{}, 0,
			readiness.Pass, "1 of 1 replicas follow", readiness.Pass, "AOF off, last RDB file made"},
		{"primary-sending", readiness.Primary, readiness.RolePrimary, position(3110015), unknown, readiness.Maybe[bool]{}, 0,
			readiness.Warn, "0 of 1 replicas follow, the others are getting a full copy", readiness.Pass, "AOF off, last RDB file made"},
		{"replica", readiness.Replica, readiness.RoleReplica, unknown, position(56), readiness.Known(true), time.Second,
			readiness.Pass, "up to 127.0.0.1:7111, heard from it 0s ago", readiness.Warn, "no AOF"},
		{"replica-fresh", readiness.Replica, readiness.RoleReplica, unknown, position(0), readiness.Known(true), time.Second,
			readiness.Pass, "up to 127.0.0.1:7111", readiness.Warn, "no AOF"},
		{"replica-never-linked", readiness.Replica, readiness.RoleReplica, unknown, unknown, readiness.Known(false), 0,
			readiness.Fail, "the link to 127.0.0.1:1 is down, and was never up", readiness.Warn, "no AOF"},
		{"replica-link-down", readiness.Replica, readiness.RoleReplica, unknown, position(56), readiness.Known(false), 0,
			readiness.Fail, "the link to 127.0.0.1:7111 is down since 2.0s", readiness.Warn, "no AOF"},
		{"replica-syncing", readiness.Replica, readiness.RoleReplica, unknown, unknown, readiness.Known(false), 0,
			readiness.Fail, "a full copy is on its way from 127.0.0.1:7111, and what it holds is about to go", readiness.Warn, "no AOF"},
		{"replica-loading", readiness.Replica, readiness.RoleReplica, unknown, unknown, readiness.Known(false), 0,
			readiness.Fail, "it holds nothing that counts while it loads its data (10.43 %)", readiness.Fail, "it is loading its data (10.43 %)"},
		{"promoted", readiness.Replica, readiness.RolePrimary, position(69), unknown, readiness.Maybe[bool]{}, 0,
			readiness.Fail, "it is a primary and follows nobody", readiness.Warn, "no AOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, err := parseInfo(capture(t, tt.name))
			require.NoError(t, err)
			p := &Probe{copy: readiness.Copy{Kind: tt.kind}, maxSilence: defaultMaxSilence}
			r := p.reading(i, looked())
			require.Equal(t, tt.role, r.Role)
			require.Len(t, r.System, 40)
			require.Len(t, r.Server, 40)
			require.Equal(t, tt.written, r.Written)
			require.Equal(t, tt.received, r.Received)
			require.Equal(t, tt.received, r.Replayed)
			require.Equal(t, tt.connected, r.Connected)
			require.Empty(t, r.Points)
			heard, ok := r.LastMessage.Get()
			require.Equal(t, tt.heard > 0, ok)
			if ok {
				require.Equal(t, looked().asked.Add(-tt.heard), heard)
			}
			require.Equal(t, tt.link, r.Checks[0].Status)
			require.Contains(t, r.Checks[0].Evidence, tt.linkSays)
			require.Equal(t, tt.persistence, r.Checks[1].Status)
			require.Contains(t, r.Checks[1].Evidence, tt.persistenceSays)
			for _, c := range r.Checks {
				require.Equal(t, c.Status == readiness.Pass, c.Remedy == "", "a remedy where there is something to do: %+v", c)
			}
		})
	}
}

// Were it to fail, a history would be mixed up with another one, or the clock of
// the server taken for ours.
func TestReading_IdentityAndClock(t *testing.T) {
	i, err := parseInfo(capture(t, "primary"))
	require.NoError(t, err)
	p := &Probe{copy: readiness.Copy{Kind: readiness.Primary}, maxSilence: defaultMaxSilence}
	when := exchange{asked: i.mustTime(t).Add(-3*time.Second - 10*time.Millisecond)}
	when.answered = when.asked.Add(20 * time.Millisecond)
	r := p.reading(i, when)
	require.Equal(t, "edcb7281a1509edbef5bdccb6e70afa45efb86cb", r.System)
	require.Equal(t, readiness.Known(3*time.Second), r.ClockOffset, "its clock is ahead by three seconds")
	require.Equal(t, 10*time.Millisecond, r.ClockError)
	saved, _ := i.lastSave.Get()
	require.InDelta(t, float64(saved.Unix())-3, r.Measures[readiness.SnapshotSeconds], 0.001, "on our clock")
	require.Equal(t, 1.0, r.Measures[readiness.FullResyncs])
}

func (i info) mustTime(t *testing.T) time.Time {
	at, ok := i.time.Get()
	require.True(t, ok)
	return at
}

// edit changes lines of a capture; an empty value takes the line away.
func edit(text string, changes ...string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\r\n") {
		key, _, _ := strings.Cut(line, ":")
		for i := 0; i < len(changes); i += 2 {
			if key == changes[i] {
				line = key + ":" + changes[i+1]
				if changes[i+1] == "" {
					line = ""
				}
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\r\n")
}

// Were it to fail, older servers would be called unready for what they cannot
// tell, or be believed in what they do not say.
func TestReading_Redis6(t *testing.T) {
	old := edit(capture(t, "primary"), "server_time_usec", "", "rdb_saves", "", "async_loading", "")
	i, err := parseInfo(old)
	require.NoError(t, err)
	p := &Probe{copy: readiness.Copy{Kind: readiness.Primary}, maxSilence: defaultMaxSilence}
	r := p.reading(i, looked())
	require.False(t, r.ClockOffset.IsKnown())
	require.NotContains(t, r.Measures, readiness.SnapshotSeconds, "its clock is not known, so neither is the moment on ours")
	require.Equal(t, readiness.CheckClock, r.Checks[2].Name)
	require.Equal(t, readiness.Warn, r.Checks[2].Status)

	i, err = parseInfo(edit(capture(t, "primary"), "rdb_saves", "")) // 6.2
	require.NoError(t, err)
	require.Contains(t, p.reading(i, looked()).Measures, readiness.SnapshotSeconds)
	i, err = parseInfo(edit(capture(t, "primary-alone"), "rdb_saves", ""))
	require.NoError(t, err)
	require.NotContains(t, p.reading(i, looked()).Measures, readiness.SnapshotSeconds, "the start of the server is no save")

	i, err = parseInfo(edit(capture(t, "replica"), "slave_read_repl_offset", ""))
	require.NoError(t, err)
	require.Equal(t, position(56), i.held())
}

// Were it to fail, one of the bad states would look like a good one.
func TestReading_BadStates(t *testing.T) {
	tests := []struct {
		name    string
		base    string
		changes []string
		check   string
		status  readiness.Status
		says    string
	}{
		{"AOF cannot be written", "primary", []string{"aof_enabled", "1", "aof_last_write_status", "err"}, CheckPersistence, readiness.Fail, "last write to the AOF failed"},
		{"AOF cannot be rewritten", "primary", []string{"aof_enabled", "1", "aof_last_bgrewrite_status", "err"}, CheckPersistence, readiness.Warn, "last rewrite of the AOF failed"},
		{"RDB cannot be saved", "replica", []string{"rdb_last_bgsave_status", "err"}, CheckPersistence, readiness.Fail, "last RDB save failed"},
		{"persistence not told", "primary", []string{"rdb_last_bgsave_status", ""}, CheckPersistence, readiness.Unknown, "does not tell"},
		{"empty after a start", "primary", []string{"db0", ""}, CheckPersistence, readiness.Warn, "it is empty, and started"},
		{"empty for long", "primary", []string{"db0", "", "uptime_in_seconds", "4000"}, CheckPersistence, readiness.Pass, "AOF off"},
		{"AOF", "primary", []string{"aof_enabled", "1"}, CheckPersistence, readiness.Pass, "AOF on, last RDB file made"},
		{"silent link", "replica", []string{"master_last_io_seconds_ago", "21"}, CheckLink, readiness.Fail, "said to be up, and silent for 21.0s"},
		{"link up, never heard", "replica", []string{"master_last_io_seconds_ago", "-1"}, CheckLink, readiness.Fail, "silent for an unknown time"},
		{"copy half way", "replica-syncing", []string{"master_sync_left_bytes", "1234"}, CheckLink, readiness.Fail, "(1234 bytes left)"},
		{"swapping data", "replica", []string{"async_loading", "1"}, CheckLink, readiness.Fail, "holds nothing that counts while it loads"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, err := parseInfo(edit(capture(t, tt.base), tt.changes...))
			require.NoError(t, err)
			p := &Probe{copy: readiness.Copy{Kind: readiness.Replica}, maxSilence: defaultMaxSilence}
			if i.role == "master" {
				p.copy.Kind = readiness.Primary
			}
			for _, c := range p.reading(i, looked()).Checks {
				if c.Name == tt.check {
					require.Equal(t, tt.status, c.Status)
					require.Contains(t, c.Evidence, tt.says)
				}
			}
		})
	}
}

// A reading is kept until the next look. Whoever watches ten thousand copies would
// keep 13 MB of INFO with it.
func TestReading_KeepsNothingOfTheText(t *testing.T) {
	for _, kind := range []readiness.CopyKind{readiness.Primary, readiness.Replica} {
		p := &Probe{copy: readiness.Copy{Kind: kind}, maxSilence: defaultMaxSilence}
		read := func() (readiness.Reading, weak.Pointer[byte]) {
			text := []byte(capture(t, string(kind)))
			i, err := parseInfo(unsafe.String(&text[0], len(text)))
			require.NoError(t, err)
			return p.reading(i, looked()), weak.Make(&text[0])
		}
		r, text := read()
		runtime.GC()
		require.Nil(t, text.Value(), "the text is still there")
		require.NotEmpty(t, r.System)
	}
}

// Were it to fail, a server that answers nonsense would be believed.
func TestParseInfo_Nonsense(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"no role":        edit(capture(t, "replica"), "role", ""),
		"odd role":       edit(capture(t, "replica"), "role", "king"),
		"no run":         edit(capture(t, "replica"), "run_id", ""),
		"odd offset":     edit(capture(t, "replica"), "slave_repl_offset", "many"),
		"offset too big": edit(capture(t, "replica"), "slave_repl_offset", "99999999999999999999"),
	} {
		_, err := parseInfo(text)
		require.ErrorAs(t, err, new(notRedis), name)
	}
}

// Whatever a server sends, nothing panics, and no bad state gives a position.
func FuzzParseInfo(f *testing.F) {
	for _, name := range []string{"primary", "primary-alone", "replica", "replica-loading", "replica-syncing", "replica-link-down", "promoted"} {
		f.Add(capture(f, name))
	}
	f.Add("role:slave\r\nmaster_replid:a\r\nrun_id:b\r\nslave_repl_offset:-9223372036854775808\r\nmaster_link_status:up")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := parseInfo(text)
		if err != nil {
			return
		}
		for _, kind := range []readiness.CopyKind{readiness.Primary, readiness.Replica} {
			p := &Probe{copy: readiness.Copy{Kind: kind}, maxSilence: defaultMaxSilence}
			r := p.reading(i, looked())
			require.False(t, r.Received.IsKnown() && (i.loading || i.syncing), "held while a copy arrives")
			require.False(t, r.Written.IsKnown() && (i.loading || !i.backlog), "written without a count")
			require.False(t, r.Received.IsKnown() && r.Written.IsKnown())
			for _, c := range r.Checks {
				require.Less(t, len(c.Evidence), 1500)
				require.NotContains(t, c.Evidence, "\n")
			}
		}
	})
}
