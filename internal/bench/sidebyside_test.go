//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
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

// stage is the lab as all contenders see it: through doors that count.
type stage struct {
	*lab.Lab
	doors    *doors
	postgres []string // addresses; every second one is the standby
	redis    []string
	conns    []*pgx.Conn // to both PostgreSQL servers, to ask what it cost them
}

// exporterPassword is of no use outside of the lab, which listens on loopback only.
const exporterPassword = "of-the-lab-only"

func newStage(b *testing.B) *stage {
	b.Helper()
	s := &stage{doors: new(doors), Lab: startLab(b,
		"CREATE ROLE exporter LOGIN PASSWORD '"+exporterPassword+"'; GRANT pg_monitor TO exporter")}
	e := s.Endpoints()
	for range sideTargets / 2 {
		s.postgres = append(s.postgres, s.doors.lead(b, e.Postgres.Primary.Address), s.doors.lead(b, e.Postgres.Standby.Address))
		s.redis = append(s.redis, s.doors.lead(b, e.Redis.Primary.Address), s.doors.lead(b, e.Redis.Standby.Address))
	}
	for _, site := range []lab.Site{lab.Primary, lab.Standby} {
		conn, err := s.ConnectPostgres(b.Context(), site)
		require.NoError(b, err)
		b.Cleanup(func() { _ = conn.Close(context.Background()) })
		s.conns = append(s.conns, conn)
	}
	return s
}

// contender is one program in one configuration; without launches it is nobody.
type contender struct {
	name     string
	store    lab.Store
	launches []launch
	// pages of each process are asked for in each interval.
	pages []string
	// look is the line of a page that tells of a look that succeeded.
	look *regexp.Regexp
	// itself means that it looks by itself, and how often is in this series.
	itself string
}

func (s *stage) contenders(b *testing.B) []contender {
	b.Helper()
	e, drwatch := s.Endpoints(), buildDrwatch(b)
	serve := func(store lab.Store, cluster lab.Cluster, addresses []string) contender {
		w := watched{store: store, cluster: cluster, every: sideEvery, timeout: sideEvery / 2}
		for i := 0; i < len(addresses); i += 2 {
			w.datastores = append(w.datastores, datastore{addresses[i], addresses[i+1]})
		}
		return contender{
			name: "drwatch", store: store, launches: []launch{w.serve(b, drwatch)}, pages: []string{"/metrics"},
			look: regexp.MustCompile(`(?m)^dr_probe_success{.*} 1$`), itself: "dr_probe_duration_seconds_count",
		}
	}
	exporter := func(name, look string, launches ...launch) contender {
		return contender{
			name: "postgres_exporter, " + name, store: lab.Postgres, launches: launches, pages: []string{"/metrics"},
			look: regexp.MustCompile(`(?m)^` + look + `{`),
		}
	}
	scrape := func(name string, flags ...string) contender {
		c := contender{name: "redis_exporter, " + name, store: lab.Redis, launches: []launch{s.redisExporter(b, flags...)}, look: regexp.MustCompile(`(?m)^redis_up 1$`)}
		for _, address := range s.redis {
			c.pages = append(c.pages, "/scrape?target=redis://"+address)
		}
		return c
	}
	each := make([]launch, 0, sideTargets)
	for _, address := range s.postgres {
		each = append(each, s.postgresExporter(b, []string{address}))
	}
	return []contender{
		{name: "nobody", store: lab.Postgres},
		serve(lab.Postgres, e.Postgres, s.postgres),
		exporter("a process each", "pg_static", each...),
		exporter("one for all", "pg_static", s.postgresExporter(b, s.postgres, "--no-collector.database", "--no-collector.bgwriter")),
		exporter("one for all, lag only", "pg_replication_lag", s.postgresExporter(b, s.postgres, lagOnly(b)...)),
		{name: "nobody", store: lab.Redis},
		serve(lab.Redis, e.Redis, s.redis),
		scrape("default"),
		scrape("least", "-set-client-name=false", "-redis-only-metrics", "-config-command=-"),
	}
}

// postgresExporter looks at all its targets at each scrape. Version 0.11, which
// Debian has, knows no /probe. It is meant to run once for each server; it takes a
// list of servers, too, but then two of its collectors make every scrape fail.
func (s *stage) postgresExporter(b *testing.B, targets []string, flags ...string) launch {
	b.Helper()
	var sources []string
	for _, address := range targets {
		u, err := url.Parse(at(b, s.Endpoints().Postgres.Primary.URL, address))
		require.NoError(b, err)
		u.User = url.UserPassword("exporter", exporterPassword)
		sources = append(sources, u.String())
	}
	return launch{
		path: installed(b, "prometheus-postgres-exporter"), health: "/",
		args: append([]string{"--web.listen-address=ADDRESS", "--log.level=error"}, flags...),
		env:  []string{"DATA_SOURCE_NAME=" + strings.Join(sources, ",")},
	}
}

// lagOnly switches off all that can be, and leaves the one query on replication
// that the exporter's example of queries.yaml has.
func lagOnly(b *testing.B) (flags []string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "queries.yaml")
	require.NoError(b, os.WriteFile(file, []byte(`pg_replication:
  query: "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 0 ELSE GREATEST (0, EXTRACT(EPOCH FROM (now() - pg_last_xact_replay_timestamp()))) END AS lag"
  metrics:
    - lag:
        usage: "GAUGE"
        description: "Replication lag behind master in seconds"
`), 0o644))
	return []string{
		"--disable-default-metrics", "--disable-settings-metrics", "--no-collector.database", "--no-collector.bgwriter",
		"--extend.query-path=" + file,
	}
}

// redisExporter looks at one target at each scrape.
func (s *stage) redisExporter(b *testing.B, flags ...string) launch {
	b.Helper()
	password, err := s.Endpoints().Redis.Password("admin")
	require.NoError(b, err)
	return launch{
		path: installed(b, "prometheus-redis-exporter"), health: "/",
		args: append([]string{"-web.listen-address=ADDRESS", "-redis.addr=", "-redis.user=admin"}, flags...),
		env:  []string{"REDIS_PASSWORD=" + password},
	}
}

func installed(b *testing.B, name string) string {
	b.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.Skipf("%s is missing: apt-get install -y --no-install-recommends %s", name, name)
	}
	return path
}

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
	running := make([]*program, 0, len(c.launches))
	for _, l := range c.launches {
		p := l.start(b)
		defer p.stop()
		running = append(running, p)
	}
	c.ask(b, running, sideEvery)
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

// ask asks for all pages of all processes in each interval, spread over it. It
// gives how many looks they tell of, which must all have succeeded, and how many
// series there are for each target.
func (c contender) ask(b *testing.B, running []*program, length time.Duration) (looks float64, each int) {
	b.Helper()
	pages := len(running) * len(c.pages)
	ticks := time.NewTicker(sideEvery / time.Duration(max(1, pages)))
	defer ticks.Stop()
	for i := range int(length/sideEvery) * max(1, pages) {
		<-ticks.C
		if pages == 0 {
			continue
		}
		page, err := get(running[i%len(running)].url + c.pages[i%len(c.pages)])
		require.NoError(b, err)
		told := len(c.look.FindAllString(page, -1))
		if i >= pages { // the first ones may come before the first looks
			require.Equal(b, sideTargets/pages, told, "%s: looks that succeeded", c.name)
		}
		looks, each = looks+float64(told), (series(page)-ownSeries(page))*pages/sideTargets
	}
	return looks, each
}

// ownSeries counts the series of the process that shows the page.
func ownSeries(page string) (n int) {
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "go_") || strings.HasPrefix(line, "process_") || strings.HasPrefix(line, "promhttp_") {
			n++
		}
	}
	return n
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
	backend, err := procfs.NewProc(int(conn.PgConn().PID()))
	require.NoError(b, err)
	stat, err := backend.Stat()
	require.NoError(b, err)
	postmaster := stat.PPID
	all, err := procfs.AllProcs()
	require.NoError(b, err)
	for _, p := range all {
		stat, err := p.Stat()
		switch {
		case err != nil: // it has ended meanwhile
		case p.PID == postmaster:
			seconds += stat.CPUTime() + float64(stat.CUTime+stat.CSTime)/100
		case stat.PPID == postmaster:
			seconds += stat.CPUTime()
		}
	}
	return seconds
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
	s := newStage(b)
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
