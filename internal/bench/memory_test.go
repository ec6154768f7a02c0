//go:build linux

package bench

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/readiness"
)

// crowd is a number of targets, and how often they are looked at, for how long:
// memory depends little on that, and all have to come round.
type crowd struct {
	targets int
	every   map[lab.Store]time.Duration
	rounds  int
}

func crowds() []crowd {
	often := func(postgres, redis time.Duration) map[lab.Store]time.Duration {
		return map[lab.Store]time.Duration{lab.Postgres: postgres, lab.Redis: redis}
	}
	return either([]crowd{
		{20, often(time.Second, time.Second), 10},
		{200, often(3*time.Second, time.Second), 5},
		{1000, often(15*time.Second, 5*time.Second), 3},
	}, []crowd{
		{20, often(time.Second, time.Second), 2},
		{100, often(3*time.Second, time.Second), 2},
	})
}

// footprint is memory, in bytes: the most that was seen of it at the end of a round.
type footprint struct {
	resident, own, heap, peak float64
	server                    float64 // of the processes that PostgreSQL has for it
}

func (f footprint) plus(o footprint) footprint {
	return footprint{f.resident + o.resident, f.own + o.own, f.heap + o.heap, f.peak + o.peak, f.server + o.server}
}

func (f footprint) times(n float64) footprint {
	return footprint{f.resident * n, f.own * n, f.heap * n, f.peak * n, f.server * n}
}

func (f footprint) most(o footprint) footprint {
	return footprint{max(f.resident, o.resident), max(f.own, o.own), max(f.heap, o.heap), max(f.peak, o.peak), max(f.server, o.server)}
}

// BenchmarkMemory tells what 20 targets take, and what each further one does.
func BenchmarkMemory(b *testing.B) {
	all := crowds()
	most := all[len(all)-1].targets
	s := newStage(b, most, fmt.Sprintf("ALTER SYSTEM SET max_connections = %d", most/2+50)) // which exporters keep
	require.NoError(b, s.Break(b.Context(), lab.PrimaryKilled))                             // and so comes back with it
	require.NoError(b, s.Heal(b.Context(), lab.PrimaryKilled))
	s.connect(b)
	drwatch := buildDrwatch(b)
	for b.Loop() {
		names, measured := []string(nil), make(map[string][]footprint)
		note := func(name string, f footprint) {
			if measured[name] == nil {
				names = append(names, name)
			}
			measured[name] = append(measured[name], f)
		}
		for i, w := range all {
			pg, redis := s.first(w, lab.Postgres), s.first(w, lab.Redis)
			note("drwatch, PostgreSQL", pg.footprint(b, pg.drwatch(b, drwatch, lab.Postgres), w.rounds))
			ofPostgres := pg.footprint(b, pg.postgresExporter(b, "one process for all", "pg_static", oneForAll()...), w.rounds)
			note("postgres_exporter, one process for all", ofPostgres)
			note("drwatch, Redis", redis.footprint(b, redis.drwatch(b, drwatch, lab.Redis), w.rounds))
			ofRedis := redis.footprint(b, redis.redisExporter(b, "one process for all"), w.rounds)
			note("redis_exporter, one process for all", ofRedis)
			note("drwatch, as many of both", pg.footprint(b, pg.drwatch(b, drwatch, lab.Postgres, lab.Redis), w.rounds))
			note("both exporters, one process of each", ofPostgres.plus(ofRedis))
			if i == 0 { // there is nothing to learn from more of them
				note("postgres_exporter, a process for each target", pg.footprint(b, pg.postgresExporters(b, "a process each"), w.rounds))
				note("redis_exporter, a process for each target", redis.footprint(b, redis.redisExporters(b, "a process each"), w.rounds))
			}
		}
		showFootprints(all, names, measured)
	}
}

// first is the stage with some of its targets.
func (s *stage) first(c crowd, store lab.Store) *stage {
	some := *s
	some.postgres, some.redis, some.every = s.postgres[:c.targets], s.redis[:c.targets], c.every[store]
	return &some
}

// footprint lets the contender look for some rounds, after one to warm up.
func (s *stage) footprint(b *testing.B, c contender, rounds int) (f footprint) {
	b.Helper()
	idle := s.serverMemory(b)
	running, stop := c.start(b)
	defer stop()
	c.ask(b, running, c.every)
	for range rounds {
		c.ask(b, running, c.every)
		now := footprint{server: max(0, s.serverMemory(b)-idle)}
		for _, p := range running {
			m := p.memory(b)
			now = now.plus(footprint{resident: m.now, own: m.own, peak: m.peak})
		}
		f = f.most(now)
	}
	for _, p := range running {
		f.heap += sum(p.page(b), "go_memstats_heap_inuse_bytes")
	}
	return f
}

// serverMemory is what the processes of both PostgreSQL servers have to themselves.
func (s *stage) serverMemory(b *testing.B) (bytes float64) {
	b.Helper()
	for _, conn := range s.conns {
		_, children := serverProcesses(b, conn)
		for _, p := range children {
			if m, err := p.ProcSMapsRollup(); err == nil { // else it has ended meanwhile
				bytes += float64(m.PrivateClean + m.PrivateDirty)
			}
		}
	}
	return bytes
}

// showFootprints shows those of one contender in a row. Where only the fewest
// targets were tried, each of them has a process, and so would a further one.
func showFootprints(all []crowd, names []string, measured map[string][]footprint) {
	few, many := all[0].targets, all[len(all)-1].targets
	header := table.Row{""}
	for _, c := range all {
		header = append(header, fmt.Sprintf("%d targets", c.targets))
	}
	header = append(header, "a further target", fmt.Sprintf("peak with %d", many), fmt.Sprintf("the servers' for it, with %d", many))
	rows := make([]table.Row, 0, len(names))
	for _, name := range names {
		row := table.Row{name}
		for i := range all {
			if i < len(measured[name]) {
				f := measured[name][i]
				row = append(row, fmt.Sprintf("%.1f, %.1f, %.1f", f.resident/1e6, f.own/1e6, f.heap/1e6))
			} else {
				row = append(row, "–")
			}
		}
		further, peak, server := measured[name][0].times(1/float64(few)), "–", "–"
		if last := measured[name][len(measured[name])-1]; len(measured[name]) == len(all) {
			further = last.plus(measured[name][0].times(-1)).times(1 / float64(many-few))
			peak, server = mega(last.peak), mega(last.server)
		}
		rows = append(rows, append(row, fmt.Sprintf("%.1f kB, %.1f kB", further.resident/1e3, further.own/1e3), peak, server))
	}
	show("BenchmarkMemory: resident memory, the part of it that is not the program's file, and the heap in use, all in MB:", header, rows)
}

// BenchmarkHistory tells what is kept of where the primary of one datastore stood,
// when it was somewhere else at each of many looks. At one look in 15 s it takes
// half an hour until it grows no more, for which the other benchmarks have no time.
func BenchmarkHistory(b *testing.B) {
	const looks = 2_000
	primary := readiness.Copy{Name: "primary", Kind: readiness.Primary}
	at := time.Now()
	all := make([]*readiness.Sightings, 0, 1_000)
	before := heap()
	for b.Loop() {
		s := readiness.NewSightings(readiness.Datastore{Copies: []readiness.Copy{primary}})
		for i := range looks {
			s.Observe(primary, readiness.Observation{At: at.Add(time.Duration(i) * manyEvery), Reading: readiness.Reading{
				Role: readiness.RolePrimary, System: "7", Written: readiness.Known(readiness.Position(i)),
			}})
		}
		all = append(all, s)
	}
	b.ReportMetric((heap()-before)/float64(len(all))/1e3, "kB/datastore")
	runtime.KeepAlive(all)
}

// heap is what is in use of it once the garbage is gone.
func heap() (bytes float64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
