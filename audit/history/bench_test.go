package history

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
	"github.com/drwatch/drwatch/readiness"
)

const (
	benchDays       = 90
	benchDatastores = 20
	benchOthers     = 1_000_000
)

// quarter writes 90 days of hours of 20 datastores in 4 scenarios, a breach of some
// in each hour, and a million events of other streams between them.
func quarter(b *testing.B, store *sqlite.Store) (from, to time.Time) {
	b.Helper()
	from = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	hours := benchDays * 24
	for n := range hours {
		start := from.Add(time.Duration(n) * time.Hour)
		h := Hour{From: start, To: start.Add(time.Hour), Observed: 3600}
		for d := range benchDatastores {
			for _, scenario := range readiness.Scenarios()[1:] {
				h.Entries = append(h.Entries, Entry{
					Datastore: fmt.Sprintf("datastore-%02d", d), Scenario: scenario, RPO: 3600,
					Worst: readiness.Known(readiness.Seconds(12.345678)), Compliant: 3600, Observed: 3600,
				})
			}
		}
		e := &h.Entries[n%len(h.Entries)]
		e.Compliant, e.Worst = 3000, readiness.Known(readiness.Seconds(4200))
		begin := Changed{Datastore: e.Datastore, Scenario: e.Scenario, Known: true, RPO: 3600, Exposure: readiness.Known(readiness.Seconds(3601)), Because: "1h would be lost", Before: &Before{Until: start}}
		end := Changed{Datastore: e.Datastore, Scenario: e.Scenario, Known: true, RPO: 3600, Compliant: true, Exposure: readiness.Known(readiness.Seconds(5)), Before: &Before{Until: start.Add(10 * time.Minute)}}
		put(b, store, Stream, mine(b, KindChanged, start, begin), mine(b, KindChanged, start.Add(10*time.Minute), end), mine(b, KindHour, h.To, h))
		var others []ledger.Draft
		for range benchOthers / hours {
			others = append(others, mine(b, "step", start, map[string]string{"step": "promote", "state": "done"}))
		}
		put(b, store, fmt.Sprintf("runs/%d", n%50), others...)
	}
	return from, from.AddDate(0, 0, benchDays)
}

func mine(b *testing.B, kind string, at time.Time, body any) ledger.Draft {
	b.Helper()
	text, err := json.Marshal(body)
	require.NoError(b, err)
	return ledger.Draft{Time: at, Kind: kind, Actor: "bench", Body: text}
}

func put(b *testing.B, store *sqlite.Store, stream string, drafts ...ledger.Draft) {
	b.Helper()
	_, err := store.Append(b.Context(), ledger.Append{Stream: stream, After: ledger.Any, Drafts: drafts})
	require.NoError(b, err)
}

func BenchmarkRead_QuarterAmongAMillionOthers(b *testing.B) {
	store := open(b)
	from, to := quarter(b, store)
	b.ReportAllocs()
	for b.Loop() {
		h, err := Read(b.Context(), store, from, to)
		require.NoError(b, err)
		require.Len(b, h.Tracks, 4*benchDatastores)
		require.Equal(b, benchDays*24/len(h.Tracks), h.Tracks[0].Count)
		require.Empty(b, h.Gaps)
	}
	b.StopTimer()
	h, err := Read(b.Context(), store, from, to)
	require.NoError(b, err)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MB-held")
	runtime.KeepAlive(h)
	b.StartTimer()
}

// BenchmarkScribe_See is what each look costs, of 10,000 datastores in 4 scenarios.
func BenchmarkScribe_See(b *testing.B) {
	r := &readiness.Report{At: at("10:00:00")}
	for d := range 10_000 {
		report := readiness.DatastoreReport{Name: fmt.Sprint(d)}
		for _, scenario := range readiness.Scenarios()[1:] {
			report.Coverage = append(report.Coverage, readiness.Coverage{Scenario: scenario, RPO: 3600, Compliant: true, Exposure: readiness.Known(readiness.Seconds(5))})
		}
		r.Datastores = append(r.Datastores, report)
	}
	s := NewScribe(ScribeOptions{Interval: time.Second})
	s.See(r)
	b.ReportAllocs()
	for b.Loop() {
		r.At = r.At.Add(time.Second)
		s.See(r)
	}
}
