//go:build linux

package bench

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"
)

// hanging is how many of the copies hang.
const hanging = 1_000

// BenchmarkScrapeWhileTargetsHang runs "drwatch serve" twice on 10,000 copies. In
// one of the two, 1,000 of them accept and never answer. The pages of both are
// asked for by turns.
func BenchmarkScrapeWhileTargetsHang(b *testing.B) {
	l, drwatch := startLab(b), buildDrwatch(b)
	well, ill := pairs(l, manyCopies), pairs(l, manyCopies)
	silent := hang(b)
	for i := range hanging / 2 {
		ill.datastores[i*len(ill.datastores)/(hanging/2)] = datastore{silent, silent}
	}
	programs := []*program{well.serve(b, drwatch).start(b), ill.serve(b, drwatch).start(b)}
	await(b, 2*manyEvery, "the hanging looks have failed", func() error {
		page := programs[1].page(b)
		if failed := manyCopies - sum(page, "dr_probe_success"); failed != hanging {
			return fmt.Errorf("%v failed", failed)
		}
		return nil
	})
	for b.Loop() {
		var times [2][]time.Duration
		var packed, plain [2]int64
		before := [2]string{programs[0].page(b), programs[1].page(b)}
		for range either(60, 10) {
			for i, p := range programs {
				took, size := scrape(b, p, "gzip")
				times[i], packed[i] = append(times[i], took), size
			}
		}
		var rows []table.Row
		row := func(name string, show func(float64) string, values [2]float64) {
			ratio := ""
			if values[0] > 0 {
				ratio = fmt.Sprintf("%.2f", values[1]/values[0])
			}
			rows = append(rows, table.Row{name, show(values[0]), show(values[1]), ratio})
		}
		for _, q := range []float64{0.5, 0.9, 0.99} {
			values := [2]float64{quantile(times[0], q).Seconds(), quantile(times[1], q).Seconds()}
			row(fmt.Sprintf("p%.0f", 100*q), func(s float64) string { return fmt.Sprintf("%.0f ms", s*1e3) }, values)
			b.ReportMetric(values[1]/values[0], fmt.Sprintf("p%.0f-ratio", 100*q))
		}
		var late [2]float64
		for i, p := range programs {
			_, plain[i] = scrape(b, p, "identity")
			late[i] = lateShare(before[i], p.page(b), "0.1")
		}
		row("bytes of a page", mega, [2]float64{float64(plain[0]), float64(plain[1])})
		row("bytes of a page, packed", mega, [2]float64{float64(packed[0]), float64(packed[1])})
		row("looks that start more than 100 ms late", percent, late)
		show(fmt.Sprintf("BenchmarkScrapeWhileTargetsHang: %d copies, %d scrapes of each, packed as Prometheus asks for them:", manyCopies, len(times[0])),
			table.Row{"", "all answer", fmt.Sprintf("%d hang", hanging), "ratio"}, rows)
	}
}

// scrape asks for the page as it is or packed, and gives the time to its last
// byte and how many bytes were sent.
func scrape(b *testing.B, p *program, encoding string) (took time.Duration, size int64) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, p.url+"/metrics", nil)
	require.NoError(b, err)
	request.Header.Set("Accept-Encoding", encoding) // set by hand, it is not unpacked for us
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	require.NoError(b, err)
	defer func() { _ = response.Body.Close() }()
	size, err = io.Copy(io.Discard, response.Body)
	require.NoError(b, err)
	require.Equal(b, http.StatusOK, response.StatusCode)
	return time.Since(began), size
}

// quantile gives the smallest of the times below which that share of them lies.
func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
