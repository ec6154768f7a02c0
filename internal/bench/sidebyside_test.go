//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
)

const (
	// sideTargets is how many servers each program believes to look at.
	sideTargets = 20
	sideEvery   = time.Second
)

// counts are what has been counted so far.
type counts struct {
	looks, cpu, serverCPU, connections, held, bytes, commands, seconds float64
}

func (c counts) minus(o counts) counts {
	return counts{
		c.looks - o.looks, c.cpu - o.cpu, c.serverCPU - o.serverCPU, c.connections - o.connections, c.held - o.held,
		c.bytes - o.bytes, c.commands - o.commands, c.seconds - o.seconds,
	}
}

func (c counts) plus(o counts) counts { return c.minus(counts{}.minus(o)) }

// result is what all windows of one contender came to.
type result struct {
	counts
	peak, own float64 // memory
	series    int     // a target
}

// window lets the contender look for a while, and measures it once it is warm.
func (s *stage) window(b *testing.B, c contender, length time.Duration, into *result) {
	b.Helper()
	running, stop := c.start(b)
	defer stop()
	c.ask(b, running, c.every)
	before := s.count(b, c, running)
	looks, series := c.ask(b, running, length)
	grown := s.count(b, c, running).minus(before)
	if c.itself == "" {
		grown.looks = looks
	}
	into.counts, into.series = into.plus(grown), series
	var peak, own float64
	for _, p := range running {
		m := p.memory(b)
		peak, own = peak+m.peak, own+m.own
	}
	into.peak, into.own = max(into.peak, peak), max(into.own, own)
}

// count reads all counters as they are now.
func (s *stage) count(b *testing.B, c contender, running []*program) (now counts) {
	b.Helper()
	now.seconds = float64(time.Now().UnixNano()) / 1e9
	now.connections, now.held = s.doors.connections()
	now.bytes = float64(s.doors.bytes.Load())
	for _, p := range running {
		now.cpu += p.cpu(b).Seconds()
		if c.itself != "" {
			now.looks += sum(p.page(b), c.itself)
		}
	}
	for i, site := range []lab.Site{lab.Primary, lab.Standby} {
		if c.store == lab.Redis {
			info := redisInfo(b, s.Lab, site)
			now.commands += info("total_commands_processed")
			now.serverCPU += info("used_cpu_user") + info("used_cpu_sys")
			continue
		}
		now.serverCPU += serverCPU(b, s.conns[i])
		now.commands += s.statements(b, site)
	}
	return now
}

// serverCPU is what all processes of a PostgreSQL server have taken, those that
// have ended included.
func serverCPU(b *testing.B, conn *pgx.Conn) (seconds float64) {
	b.Helper()
	postmaster, children := serverProcesses(b, conn)
	stat, err := postmaster.Stat()
	require.NoError(b, err)
	seconds = stat.CPUTime() + float64(stat.CUTime+stat.CSTime)/100
	for _, p := range children {
		if stat, err := p.Stat(); err == nil { // else it has ended meanwhile
			seconds += stat.CPUTime()
		}
	}
	return seconds
}

// serverProcesses are those of the PostgreSQL server at the other end.
func serverProcesses(b *testing.B, conn *pgx.Conn) (postmaster procfs.Proc, children []procfs.Proc) {
	b.Helper()
	backend, err := procfs.NewProc(int(conn.PgConn().PID()))
	require.NoError(b, err)
	stat, err := backend.Stat()
	require.NoError(b, err)
	postmaster, err = procfs.NewProc(stat.PPID)
	require.NoError(b, err)
	all, err := procfs.AllProcs()
	require.NoError(b, err)
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PPID == postmaster.PID {
			children = append(children, p)
		}
	}
	return postmaster, children
}

// statement is how PostgreSQL logs one, by the simple and by the extended protocol.
var statement = regexp.MustCompile(`LOG:  (statement|execute [^:]*): `)

// statements counts those in the log. They are logged in one round only.
func (s *stage) statements(b *testing.B, site lab.Site) float64 {
	b.Helper()
	var log bytes.Buffer
	require.NoError(b, s.Logs(&log, lab.Postgres, site))
	return float64(len(statement.FindAllIndex(log.Bytes(), -1)))
}

// logStatements makes the servers log what the lookers ask, or no more.
func (s *stage) logStatements(b *testing.B, which string) {
	b.Helper()
	for _, role := range []string{"drwatch", "exporter"} {
		_, err := s.conns[0].Exec(b.Context(), "ALTER ROLE "+role+" SET log_statement = "+which)
		require.NoError(b, err)
	}
	var at string
	require.NoError(b, s.conns[0].QueryRow(b.Context(), "SELECT pg_current_wal_lsn()").Scan(&at))
	await(b, 10*time.Second, "the standby knows", func() error {
		var there bool
		err := s.conns[1].QueryRow(b.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", at).Scan(&there)
		if err == nil && !there {
			err = fmt.Errorf("not replayed yet")
		}
		return err
	})
}

// BenchmarkSideBySide lets drwatch and Debian's exporters look at the same
// servers, equally often, in alternating windows of equal length.
func BenchmarkSideBySide(b *testing.B) {
	s := newStage(b, sideTargets)
	s.connect(b)
	contenders := s.contenders(b)
	for b.Loop() {
		results, asked := make([]result, len(contenders)), make([]result, len(contenders))
		for range either(3, 1) {
			for i, c := range contenders {
				s.window(b, c, either(4*time.Second, 2*time.Second), &results[i])
			}
		}
		s.logStatements(b, "'all'")
		for i, c := range contenders {
			if c.store == lab.Postgres {
				s.window(b, c, 2*time.Second, &asked[i])
				results[i].commands = asked[i].commands / max(1, asked[i].looks) * results[i].looks
			}
		}
		s.logStatements(b, "DEFAULT")
		for _, store := range []lab.Store{lab.Postgres, lab.Redis} {
			compare(b, store, contenders, results)
		}
	}
}

// compare shows what one look of each contender took, beyond what goes on when
// nobody looks.
func compare(b *testing.B, store lab.Store, contenders []contender, results []result) {
	b.Helper()
	var idle, ours result
	var costs, ratios []table.Row
	for i, c := range contenders {
		r := results[i]
		switch {
		case c.store != store:
			continue
		case c.name == "nobody":
			idle = r
			continue
		}
		require.NotZero(b, r.looks, c.name)
		perLook := func(n float64) float64 { return n / r.looks }
		beyond := func(n, idle, idleSeconds float64) float64 { return perLook(n - idle/idleSeconds*r.seconds) }
		r.cpu = perLook(r.cpu)
		r.serverCPU = beyond(r.serverCPU, idle.serverCPU, idle.seconds)
		r.connections, r.bytes = perLook(r.connections), perLook(r.bytes)
		r.commands = beyond(r.commands, idle.commands, idle.seconds)
		r.held /= r.seconds
		costs = append(costs, table.Row{
			c.name, fmt.Sprintf("%.0f", r.looks), fmt.Sprintf("%.2f ms", r.cpu*1e3), fmt.Sprintf("%.2f ms", r.serverCPU*1e3),
			fmt.Sprintf("%.1f", r.commands), fmt.Sprintf("%.1f kB", r.bytes/1e3), fmt.Sprintf("%.2f", r.connections),
			fmt.Sprintf("%.2f", r.held), mega(r.peak), mega(r.own), r.series,
		})
		if c.name == "drwatch" {
			ours = r
			continue
		}
		ratio := func(theirs, ours float64) string { return fmt.Sprintf("%.1f", theirs/ours) }
		ratios = append(ratios, table.Row{
			c.name, ratio(r.cpu, ours.cpu), ratio(r.serverCPU, ours.serverCPU), ratio(r.commands, ours.commands),
			ratio(r.bytes, ours.bytes), ratio(r.connections, ours.connections), ratio(r.held, ours.held), ratio(r.peak, ours.peak), ratio(r.own, ours.own),
		})
		b.ReportMetric(r.cpu/ours.cpu, strings.NewReplacer(" ", "-", ",", "").Replace(c.name)+"-CPU/drwatch")
	}
	what := table.Row{"", "its CPU", "the server's CPU", "commands", "bytes", "connections opened", "connections open, on average", "memory, peak", "memory of its own"}
	show(fmt.Sprintf("BenchmarkSideBySide, %s: %d targets, each looked at every %s. One look takes:", store, sideTargets, sideEvery),
		append(slices.Insert(slices.Clone(what), 1, any("looks")), "series a target"), costs)
	show("The same in multiples of drwatch's:", what, ratios)
}
