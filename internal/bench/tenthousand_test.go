//go:build linux

package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
)

const (
	manyCopies = 10_000
	manyEvery  = 15 * time.Second // what Prometheus is often set to
)

// pairs is n copies, all of them the lab's two Redis servers.
func pairs(l *lab.Lab, n int) watched {
	redis := l.Endpoints().Redis
	return watched{
		store: lab.Redis, cluster: redis, every: manyEvery, timeout: 5 * time.Second,
		datastores: slices.Repeat([]datastore{{redis.Primary.Address, redis.Standby.Address}}, n/2),
	}
}

// BenchmarkTenThousand runs "drwatch serve" with 10,000 copies and a scrape as
// often as a look, and tells how late looks start and what it costs.
func BenchmarkTenThousand(b *testing.B) {
	l := startLab(b)
	serve := pairs(l, manyCopies).serve(b, buildDrwatch(b))
	began := time.Now()
	p := serve.start(b)
	up := time.Since(began)
	time.Sleep(manyEvery + manyEvery/3) // warm up: the first looks come sooner than the others

	for b.Loop() {
		before, cpu, at := p.page(b), p.cpu(b), time.Now()
		after, busiest := before, 0.0
		for range either(4, 1) {
			busiest = max(busiest, busiestSecond(b, l, manyEvery)) // the time that is measured
			after = p.page(b)
		}
		took, used := time.Since(at).Seconds(), p.cpu(b)-cpu
		const started = "drwatch_scheduler_late_seconds_count"
		looks := sum(after, started) - sum(before, started)
		late := func(le string) float64 { return lateShare(before, after, le) }
		require.Equal(b, float64(manyCopies), sum(after, "dr_probe_success"), "all looks succeed")
		memory := p.memory(b)
		show(fmt.Sprintf("BenchmarkTenThousand: %d copies, one look each %s, %.0f s:", manyCopies, manyEvery, took), table.Row{"what", "measured"}, []table.Row{
			{"looks a second, and in the busiest second", fmt.Sprintf("%.0f, %.0f", looks/took, 2*busiest)},
			{"looks that start more than 10 ms late", percent(late("0.01"))},
			{"looks that start more than 100 ms late", percent(late("0.1"))},
			{"looks that start more than 1 s late", percent(late("1"))},
			{"CPU, of one core", percent(used.Seconds() / took)},
			{"CPU for one look, its share of the scrapes included", millis(used / time.Duration(looks))},
			{"resident memory, and its peak", mega(memory.now) + ", " + mega(memory.peak)},
			{"heap in use just after a scrape", mega(sum(after, "go_memstats_heap_inuse_bytes"))},
			{"goroutines", fmt.Sprintf("%.0f", sum(after, "go_goroutines"))},
			{"file descriptors", fmt.Sprintf("%.0f", sum(after, "process_open_fds"))},
			{"series on the page", series(after)},
			{"from start to the first answer", fmt.Sprintf("%.1f s", up.Seconds())},
		})
		b.ReportMetric(looks/took, "looks/s")
		b.ReportMetric(late("0.1"), "late>100ms")
		b.ReportMetric(late("1"), "late>1s")
		b.ReportMetric(used.Seconds()/took, "cores")
		b.ReportMetric(memory.peak/1e6, "MB-peak")
	}
}

// lateShare is the share of the looks between two pages that started more than
// so many seconds late.
func lateShare(before, after, seconds string) float64 {
	grown := func(series string) float64 { return sum(after, series) - sum(before, series) }
	onTime := grown(`drwatch_scheduler_late_seconds_bucket{le="` + seconds + `"}`)
	return 1 - onTime/grown("drwatch_scheduler_late_seconds_count")
}

// busiestSecond waits for so long, and gives the most connections that the
// primary got in a second of it.
func busiestSecond(b *testing.B, l *lab.Lab, wait time.Duration) (most float64) {
	b.Helper()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	before := redisInfo(b, l, lab.Primary)("total_connections_received")
	for range int(wait.Seconds()) {
		<-ticks.C
		now := redisInfo(b, l, lab.Primary)("total_connections_received")
		most, before = max(most, now-before), now
	}
	return most
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }
