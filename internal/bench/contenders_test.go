//go:build linux

package bench

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
)

// stage is the lab as all contenders see it: through doors that count.
type stage struct {
	*lab.Lab
	doors    *doors
	postgres []string // addresses; every second one is the standby
	redis    []string
	conns    []*pgx.Conn // to both PostgreSQL servers, to ask what it cost them
	every    time.Duration
}

// exporterPassword is of no use outside of the lab, which listens on loopback only.
const exporterPassword = "of-the-lab-only"

func newStage(b *testing.B, targets int, setup ...string) *stage {
	b.Helper()
	s := &stage{doors: new(doors), every: sideEvery, Lab: startLab(b, append(setup,
		"CREATE ROLE exporter LOGIN PASSWORD '"+exporterPassword+"'; GRANT pg_monitor TO exporter")...)}
	e := s.Endpoints()
	for range targets / 2 {
		s.postgres = append(s.postgres, s.doors.lead(b, e.Postgres.Primary.Address), s.doors.lead(b, e.Postgres.Standby.Address))
		s.redis = append(s.redis, s.doors.lead(b, e.Redis.Primary.Address), s.doors.lead(b, e.Redis.Standby.Address))
	}
	return s
}

// connect makes the connections that tell what it cost the servers.
func (s *stage) connect(b *testing.B) {
	b.Helper()
	for _, site := range []lab.Site{lab.Primary, lab.Standby} {
		conn, err := s.ConnectPostgres(b.Context(), site)
		require.NoError(b, err)
		b.Cleanup(func() { _ = conn.Close(context.Background()) })
		s.conns = append(s.conns, conn)
	}
}

// contender is one program in one configuration; without launches it is nobody.
type contender struct {
	name     string
	store    lab.Store
	targets  int
	every    time.Duration
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
	drwatch := buildDrwatch(b)
	return []contender{
		{name: "nobody", store: lab.Postgres, every: s.every},
		s.drwatch(b, drwatch, lab.Postgres),
		s.postgresExporters(b, "a process each"),
		s.postgresExporter(b, "one for all", "pg_static", oneForAll()...),
		s.postgresExporter(b, "one for all, lag only", "pg_replication_lag", lagOnly(b)...),
		{name: "nobody", store: lab.Redis, every: s.every},
		s.drwatch(b, drwatch, lab.Redis),
		s.redisExporter(b, "default"),
		s.redisExporter(b, "least", "-set-client-name=false", "-redis-only-metrics", "-config-command=-"),
	}
}

// drwatch looks at the servers of one or both technologies.
func (s *stage) drwatch(b *testing.B, path string, stores ...lab.Store) contender {
	b.Helper()
	e := s.Endpoints()
	c := contender{
		name: "drwatch", store: stores[0], every: s.every, pages: []string{"/metrics"},
		look: regexp.MustCompile(`(?m)^dr_probe_success{.*} 1$`), itself: "dr_probe_duration_seconds_count",
	}
	var all []watched
	for _, store := range stores {
		w := watched{store: store, cluster: e.Postgres, every: s.every, timeout: s.every / 2}
		addresses := s.postgres
		if store == lab.Redis {
			w.cluster, addresses = e.Redis, s.redis
		}
		for i := 0; i < len(addresses); i += 2 {
			w.datastores = append(w.datastores, datastore{addresses[i], addresses[i+1]})
		}
		all, c.targets = append(all, w), c.targets+len(addresses)
	}
	c.launches = []launch{all[0].serve(b, path, all[1:]...)}
	return c
}

// postgresExporter is one process that looks at all its targets at each scrape.
// Version 0.11, which Debian has, knows no /probe. It is meant to run once for each
// server; it takes a list of servers, too, but then two of its collectors make
// every scrape fail.
func (s *stage) postgresExporter(b *testing.B, name, look string, flags ...string) contender {
	b.Helper()
	return contender{
		name: "postgres_exporter, " + name, store: lab.Postgres, targets: len(s.postgres), every: s.every,
		launches: []launch{s.launchPostgresExporter(b, s.postgres, flags...)}, pages: []string{"/metrics"},
		look: regexp.MustCompile(`(?m)^` + look + `{`),
	}
}

// oneForAll leaves out what fails for more than one server.
func oneForAll() (flags []string) {
	return []string{"--no-collector.database", "--no-collector.bgwriter"}
}

// postgresExporters is a process for each target.
func (s *stage) postgresExporters(b *testing.B, name string) contender {
	b.Helper()
	c := s.postgresExporter(b, name, "pg_static")
	c.launches = nil
	for _, address := range s.postgres {
		c.launches = append(c.launches, s.launchPostgresExporter(b, []string{address}))
	}
	return c
}

func (s *stage) launchPostgresExporter(b *testing.B, targets []string, flags ...string) launch {
	b.Helper()
	u, err := url.Parse(s.Endpoints().Postgres.Primary.URL)
	require.NoError(b, err)
	sources := make([]string, 0, len(targets))
	for _, address := range targets {
		sources = append(sources, "postgres://exporter@"+address+u.Path)
	}
	return launch{
		path: installed(b, "prometheus-postgres-exporter"), health: "/",
		args: append([]string{"--web.listen-address=ADDRESS", "--log.level=error"}, flags...),
		env: []string{
			"PGPASSWORD=" + exporterPassword, "PGSSLMODE=" + u.Query().Get("sslmode"), "PGSSLROOTCERT=" + u.Query().Get("sslrootcert"),
			"DATA_SOURCE_NAME=" + strings.Join(sources, ","), // one variable holds no more than 128 kB
		},
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

// redisExporter is one process that looks at one target at each scrape.
func (s *stage) redisExporter(b *testing.B, name string, flags ...string) contender {
	b.Helper()
	c := contender{
		name: "redis_exporter, " + name, store: lab.Redis, targets: len(s.redis), every: s.every,
		launches: []launch{s.launchRedisExporter(b, "", flags...)}, look: regexp.MustCompile(`(?m)^redis_up 1$`),
	}
	for _, address := range s.redis {
		c.pages = append(c.pages, "/scrape?target=redis://"+address)
	}
	return c
}

// redisExporters is a process for each target.
func (s *stage) redisExporters(b *testing.B, name string) contender {
	b.Helper()
	c := s.redisExporter(b, name)
	c.launches, c.pages = nil, []string{"/metrics"}
	for _, address := range s.redis {
		c.launches = append(c.launches, s.launchRedisExporter(b, address))
	}
	return c
}

func (s *stage) launchRedisExporter(b *testing.B, target string, flags ...string) launch {
	b.Helper()
	password, err := s.Endpoints().Redis.Password("admin")
	require.NoError(b, err)
	return launch{
		path: installed(b, "prometheus-redis-exporter"), health: "/",
		args: append([]string{"-web.listen-address=ADDRESS", "-redis.addr=" + target, "-redis.user=admin"}, flags...),
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

// start starts all processes of the contender, and gives a way to stop them.
func (c contender) start(b *testing.B) (running []*program, stop func()) {
	b.Helper()
	for _, l := range c.launches {
		running = append(running, l.start(b))
	}
	return running, func() {
		for _, p := range running {
			p.stop()
		}
	}
}

// ask asks for all pages of all processes in each interval, spread over it. It
// gives how many looks they tell of, which must all have succeeded, and how many
// series there are for each target.
func (c contender) ask(b *testing.B, running []*program, length time.Duration) (looks float64, each int) {
	b.Helper()
	pages := len(running) * len(c.pages)
	ticks := time.NewTicker(c.every / time.Duration(max(1, pages)))
	defer ticks.Stop()
	for i := range int(length/c.every) * max(1, pages) {
		<-ticks.C
		if pages == 0 {
			continue
		}
		page, err := get(running[i%len(running)].url + c.pages[i%len(c.pages)])
		require.NoError(b, err)
		told := len(c.look.FindAllString(page, -1))
		if i >= pages { // the first ones may come before the first looks
			require.Equal(b, c.targets/pages, told, "%s: looks that succeeded", c.name)
		}
		looks, each = looks+float64(told), (series(page)-ownSeries(page))*pages/c.targets
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
