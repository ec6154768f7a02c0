package report_test

import (
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

// large is a ledger of 90 days of five objectives, among many events of runs.
func large(b *testing.B) (ledger.Store, int) {
	b.Helper()
	events := 50_000
	if said := os.Getenv("DRWATCH_BENCH_EVENTS"); said != "" {
		n, err := strconv.Atoi(said)
		require.NoError(b, err)
		events = n
	}
	s := open(b)
	history := &book{t: b, store: s}
	record(history, 90*24, func(h int) bool { return h%500 > 490 }, many(5)...)
	x, err := s.Extent(b.Context())
	require.NoError(b, err)
	for n := int(x.Last); n < events; {
		var drafts []ledger.Draft
		for len(drafts) < min(1000, events-n) {
			at := noon().Add(-time.Duration(events-n-len(drafts)) * time.Second) // before the period
			drafts = append(drafts, ledger.Draft{Time: at, Kind: "step", Actor: "drwatch-1", Body: fmt.Appendf(nil, `{"run":"%d","step":%d,"said":"done"}`, n, len(drafts))})
		}
		_, err := s.Append(b.Context(), ledger.Append{Stream: fmt.Sprintf("runs/%d", n/1000), After: ledger.Any, Drafts: drafts})
		require.NoError(b, err)
		n += len(drafts)
	}
	return s, events
}

// watch measures the largest heap until it is asked.
func watch(b *testing.B) (peak func() uint64) {
	b.Helper()
	var most atomic.Uint64
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			most.Store(max(most.Load(), sample[0].Value.Uint64()))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() uint64 {
		close(done)
		wait.Wait()
		return most.Load()
	}
}
