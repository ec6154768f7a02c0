package sqlite_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// Benchmarks on the disk of TMPDIR. How many events the large ones use is said with
// DRWATCH_BENCH_EVENTS; it is 100,000 without, and 10,000 with -short:
//
//	DRWATCH_BENCH_EVENTS=1000000 go test -run '^$' -bench . -benchtime 1x -timeout 30m ./ledger/sqlite

func benchEvents(b *testing.B) int {
	b.Helper()
	if said := os.Getenv("DRWATCH_BENCH_EVENTS"); said != "" {
		n, err := strconv.Atoi(said)
		require.NoError(b, err)
		return n
	}
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

func benchStore(b *testing.B) (*sqlite.Store, string) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ledger.db")
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	return s, path
}

// step is an event such as a step of a runbook leaves.
func step(n int) ledger.Draft {
	body, _ := json.Marshal(map[string]any{ // what is in it can be written
		"step": "scale-festivals-worker", "number": n, "outcome": "done", "took": 1.234,
		"observed": map[string]any{"replicas": 5, "ready": 5, "cluster": "dr-eu-central-1"},
		"evidence": "deployment.apps/festivals-worker scaled",
	})
	return ledger.Draft{Time: time.Unix(1_770_000_000, int64(n)*1000), Kind: "step.done", Actor: "executor/host-1", Body: body}
}

func steps(from, n int) (all []ledger.Draft) {
	for i := range n {
		all = append(all, step(from+i))
	}
	return all
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, _ := benchStore(b)
			after := uint64(0)
			for b.Loop() {
				events, err := s.Append(b.Context(), ledger.Append{Stream: "run/1", After: after, Drafts: steps(int(after), size)})
				require.NoError(b, err)
				after += uint64(len(events))
			}
			perEvent(b, b.N*size)
		})
	}
}

// BenchmarkLarge fills a ledger, and then reads it in each way there is.
func BenchmarkLarge(b *testing.B) {
	const (
		batch   = 100
		streams = 1000
	)
	events := benchEvents(b)
	s, path := benchStore(b)
	b.Run("append", func(b *testing.B) {
		fresh(b)
		for b.Loop() {
			for i := 0; i < events; i += batch {
				_, err := s.Append(b.Context(), ledger.Append{Stream: fmt.Sprintf("run/%d", i/batch%streams), After: ledger.Any, Drafts: steps(i, batch)})
				require.NoError(b, err)
			}
		}
		figures(b, events)
	})
	require.NoError(b, s.Close())
	size, err := os.Stat(path)
	require.NoError(b, err)
	count := func(q ledger.Query) int {
		n := 0
		for _, err := range s.Events(b.Context(), q) {
			require.NoError(b, err)
			n++
		}
		return n
	}
	for _, each := range []struct {
		name string
		do   func(b *testing.B) int
	}{
		{"open", func(b *testing.B) int {
			s, err = sqlite.Open(b.Context(), sqlite.Options{Path: path, CheckTime: time.Hour})
			require.NoError(b, err)
			return events
		}},
		{"fold", func(*testing.B) int { return count(ledger.Query{}) }},
		{"fold backward", func(*testing.B) int { return count(ledger.Query{Backward: true}) }},
		{"fold streams one by one", func(*testing.B) int {
			n := 0
			for i := range streams {
				n += count(ledger.Query{Stream: fmt.Sprintf("run/%d", i)})
			}
			return n
		}},
		{"fold a prefix of a tenth", func(*testing.B) int { return count(ledger.Query{Prefix: "run/1"}) }},
		{"verify", func(b *testing.B) int {
			x, err := ledger.Verify(b.Context(), s, nil)
			require.NoError(b, err)
			return int(x.Last)
		}},
		{"backup", func(b *testing.B) int {
			require.NoError(b, s.Backup(b.Context(), filepath.Join(b.TempDir(), "copy.db")))
			return events
		}},
		{"prune half", func(b *testing.B) int {
			require.NoError(b, s.Prune(b.Context(), uint64(events)/2))
			return events / 2
		}},
	} {
		b.Run(each.name, func(b *testing.B) {
			fresh(b)
			n := 0
			for b.Loop() {
				n += each.do(b)
			}
			figures(b, n)
			if each.name == "open" {
				b.ReportMetric(float64(size.Size())/float64(events), "bytes/event")
			}
		})
	}
}

func perEvent(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(n, 1)), "ns/event")
}

// fresh forgets the peak of memory so far (proc(5), clear_refs).
func fresh(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Log("the peak of memory is that of the whole process: " + err.Error())
	}
}

// figures reports the time for each event, and the most memory that the process had.
func figures(b *testing.B, n int) {
	b.Helper()
	perEvent(b, n)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return // no Linux
	}
	for line := range bytes.Lines(status) {
		var kib float64
		if _, err := fmt.Sscanf(string(line), "VmHWM: %f kB", &kib); err == nil {
			b.ReportMetric(kib/1024, "peak-MiB")
		}
	}
}
