package postgres

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

var events = flag.Int("events", 20_000, "how many events the large ledger of the benchmarks has")

// BenchmarkAppend is the cost of an append, each on disk when it returns: of one
// event as a runbook writes them, and of a batch.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			s := opened(b, shared(b).empty(b))
			n := 0
			for b.Loop() {
				n = fill(b, s, n, batch, batch)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("writers=4", func(b *testing.B) {
		o := shared(b).empty(b)
		stores := []*Store{opened(b, o), opened(b, o), opened(b, o), opened(b, o)}
		next := make(chan *Store, len(stores))
		for _, s := range stores {
			next <- s
		}
		b.SetParallelism((len(stores) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			s := <-next
			for pb.Next() {
				_, err := s.Append(b.Context(), ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: []ledger.Draft{{
					Time: time.Now(), Kind: "step.done", Actor: "drwatch", Body: body(1),
				}}})
				require.NoError(b, err)
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkLarge is what a ledger of many events costs to read: to fold all of it,
// to fold one stream, to verify it, to export and to import it. Memory is what cannot
// be given back while it goes on.
func BenchmarkLarge(b *testing.B) {
	c := shared(b)
	s := opened(b, c.empty(b))
	begun := time.Now()
	fill(b, s, 0, *events, 100)
	b.Logf("%d events in batches of 100: %s", *events, time.Since(begun))
	for name, read := range map[string]func(see func()) error{
		"fold":          func(see func()) error { return fold(b, s, ledger.Query{}, see) },
		"fold a stream": func(see func()) error { return fold(b, s, ledger.Query{Stream: "run/7"}, see) },
		"fold a prefix": func(see func()) error { return fold(b, s, ledger.Query{Prefix: "run/7"}, see) },
		"verify": func(see func()) error {
			_, err := ledger.Verify(b.Context(), s, func(uint64, uint64) { see() })
			return err
		},
		"export": func(see func()) error {
			_, err := ledger.Export(b.Context(), s, io.Discard, ledger.Query{}, func(uint64, uint64) { see() })
			return err
		},
	} {
		b.Run(name, func(b *testing.B) { measure(b, !strings.HasPrefix(name, "fold a"), read) })
	}
	b.Run("import", func(b *testing.B) {
		file, err := os.CreateTemp(b.TempDir(), "export")
		require.NoError(b, err)
		defer file.Close()
		_, err = ledger.Export(b.Context(), s, file, ledger.Query{}, nil)
		require.NoError(b, err)
		measure(b, true, func(see func()) error {
			_, err := file.Seek(0, io.SeekStart)
			require.NoError(b, err)
			_, err = ledger.Import(b.Context(), file, opened(b, c.empty(b)), func(uint64, uint64) { see() })
			return err
		})
	})
	begun = time.Now()
	require.NoError(b, s.Prune(b.Context(), uint64(*events/2)))
	b.Logf("%d events pruned: %s", *events/2, time.Since(begun))
}

func measure(b *testing.B, whole bool, do func(see func()) error) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, uint64(0)
	seen := 0
	for b.Loop() {
		require.NoError(b, do(func() {
			if seen++; seen%64 == 1 { // the look itself stops the world
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}))
	}
	if whole {
		b.ReportMetric(float64(b.N**events)/b.Elapsed().Seconds(), "events/s")
	}
	b.ReportMetric(float64(max(most, before)-before)/1e6, "live-MB")
}

func fold(b *testing.B, s ledger.Store, q ledger.Query, see func()) error {
	n, size := 0, 0
	for e, err := range s.Events(b.Context(), q) {
		if err != nil {
			return err
		}
		if n++; n%1024 == 0 {
			see()
		}
		size += len(e.Body)
	}
	require.NotZero(b, n)
	return nil
}

// fill appends events to a hundred streams in turn.
func fill(b *testing.B, s ledger.Store, from, count, batch int) int {
	for upTo := from + count; from < upTo; {
		a := ledger.Append{Stream: fmt.Sprint("run/", from/batch%100), After: ledger.Any}
		for range min(batch, upTo-from) {
			a.Drafts = append(a.Drafts, ledger.Draft{ID: fmt.Sprint(from), Time: time.Now(), Kind: "step.done", Actor: "drwatch", Body: body(from)})
			from++
		}
		_, err := s.Append(b.Context(), a)
		require.NoError(b, err)
	}
	return from
}

// body is as long as that of a step that tells what it has seen.
func body(n int) []byte {
	return fmt.Appendf(nil, `{"step":"promote-the-database","attempt":%d,"evidence":"pg_is_in_recovery() is false on db-2.eu-central-1, timeline 7, at 0/3000148","seconds":12.5}`, n)
}
