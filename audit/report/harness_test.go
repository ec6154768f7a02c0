package report_test

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
	"github.com/drwatch/drwatch/readiness"
)

// noon is when the recording of the tests begins.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "ledger.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// book collects drafts of one stream, and appends many at once.
type book struct {
	t      testing.TB
	store  ledger.Store
	stream string
	drafts []ledger.Draft
}

func (b *book) add(stream, kind, actor string, at time.Time, body any) {
	b.t.Helper()
	text, raw := body.(string)
	if !raw {
		marshalled, err := json.Marshal(body)
		require.NoError(b.t, err)
		text = string(marshalled)
	}
	if stream != b.stream || len(b.drafts) == 500 {
		b.flush()
	}
	b.stream = stream
	b.drafts = append(b.drafts, ledger.Draft{Time: at, Kind: kind, Actor: actor, Body: []byte(text)})
}

func (b *book) flush() {
	b.t.Helper()
	if len(b.drafts) == 0 {
		return
	}
	for i := range b.drafts {
		b.drafts[i].ID = b.stream + "-" + b.drafts[i].Time.Format(time.RFC3339Nano) + "-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	_, err := b.store.Append(b.t.Context(), ledger.Append{Stream: b.stream, After: ledger.Any, Drafts: b.drafts})
	require.NoError(b.t, err)
	b.drafts = nil
}

// pair is a datastore in a scenario, and how exposed it is.
type pair struct {
	datastore string
	scenario  readiness.Scenario
	rpo       readiness.Seconds
	exposure  func(hour int) readiness.Maybe[readiness.Seconds]
}

func steady(s readiness.Seconds) func(int) readiness.Maybe[readiness.Seconds] {
	return func(hour int) readiness.Maybe[readiness.Seconds] {
		return readiness.Known(s * readiness.Seconds(1+0.3*math.Sin(float64(hour)/5)))
	}
}

// record writes the RPO history of so many hours. In the hours of a gap nobody looks.
func record(b *book, hours int, gap func(hour int) bool, pairs ...pair) {
	b.add("rpo", history.KindStarted, "drwatch-1", noon(), history.Started{Instance: "drwatch-1", Version: "1.0", Interval: 15, System: "festivals"})
	breached := make([]bool, len(pairs))
	for i, p := range pairs {
		b.add("rpo", history.KindChanged, "drwatch-1", noon(), history.Changed{Datastore: p.datastore, Scenario: p.scenario, Compliant: true, Known: true, Exposure: p.exposure(0), RPO: p.rpo})
		_ = i
	}
	for h := range hours {
		if gap(h) {
			continue
		}
		from := noon().Add(time.Duration(h) * time.Hour)
		hour := history.Hour{From: from, To: from.Add(time.Hour), Observed: 3600}
		for i, p := range pairs {
			e := p.exposure(h)
			worst, known := e.Get()
			in := !known || worst > p.rpo
			if in != breached[i] {
				because := ""
				if in {
					because = "replica " + p.datastore + "-standby does not receive"
				}
				b.add("rpo", history.KindChanged, "drwatch-1", from.Add(time.Minute), history.Changed{
					Datastore: p.datastore, Scenario: p.scenario, Compliant: !in, Known: known, Exposure: e, RPO: p.rpo, Because: because,
					Before: &history.Before{Until: from.Add(time.Minute), Worst: e},
				})
			}
			entry := history.Entry{Datastore: p.datastore, Scenario: p.scenario, RPO: p.rpo, Worst: e, Observed: 3600, Compliant: 3600}
			switch {
			case in && !breached[i]:
				entry.Compliant = 60
			case in:
				entry.Compliant = 0
			case breached[i]:
				entry.Compliant = 3540
			}
			breached[i] = in
			hour.Entries = append(hour.Entries, entry)
		}
		b.add("rpo", history.KindHour, "drwatch-1", hour.To, hour)
	}
	b.flush()
}

func never(int) bool { return false }

// small is a ledger of two days, with one of everything.
func small(t testing.TB) *sqlite.Store {
	s := open(t)
	b := &book{t: t, store: s}
	config := report.Loaded{
		Fingerprint: "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
		RPO: map[string]map[readiness.Scenario]readiness.Seconds{
			"orders":   {readiness.RegionFailure: 3600, readiness.DataCorruption: 7200},
			"sessions": {readiness.RegionFailure: 300},
		},
		RTO:      map[readiness.Scenario]readiness.Seconds{readiness.RegionFailure: 14400, readiness.SecurityBreach: 86400},
		Copies:   map[readiness.CopyKind]int{readiness.Primary: 2, readiness.Replica: 2, readiness.Backup: 1},
		Services: []string{"api"},
	}
	b.add("config", "loaded", "drwatch-1", noon().Add(-time.Hour), config)
	b.flush()
	record(b, 48, func(h int) bool { return h >= 20 && h < 25 },
		pair{"orders", readiness.RegionFailure, 3600, func(h int) readiness.Maybe[readiness.Seconds] {
			if h == 30 || h == 31 {
				return readiness.Known(readiness.Seconds(5400))
			}
			return steady(900)(h)
		}},
		pair{"orders", readiness.DataCorruption, 7200, steady(3000)},
		pair{"sessions", readiness.RegionFailure, 300, func(h int) readiness.Maybe[readiness.Seconds] {
			if h >= 40 {
				return readiness.Maybe[readiness.Seconds]{}
			}
			return steady(20)(h)
		}})
	config.RTO = map[readiness.Scenario]readiness.Seconds{readiness.RegionFailure: 7200, readiness.SecurityBreach: 86400}
	config.Fingerprint = "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"
	b.add("config", "loaded", "drwatch-1", noon().Add(26*time.Hour), config)
	said := noon().Add(2 * time.Hour)
	b.add("attestations", "attested", "mara@example.org", said, audit.Attestation{Item: "team-trained", By: "mara@example.org", Evidence: "https://wiki.example.org/dr/training?of=2026", Note: "all of the rota", At: said, Until: said.Add(90 * 24 * time.Hour)})
	b.add("attestations", "attested", "drwatch-cli", said, audit.Attestation{Item: "contact:database", By: "jon@example.org", Evidence: "CHG-1207", At: said, Until: said.Add(12 * time.Hour)})
	b.add("attestations", "attested", "jon@example.org", said, audit.Attestation{Item: "templates-ready", By: "jon@example.org", Evidence: "mailto:jon@example.org", At: said, Until: said.Add(90 * 24 * time.Hour)})
	b.add("attestations", "withdrawn", "mara@example.org", said.Add(20*time.Hour), audit.Attestation{Item: "templates-ready", By: "mara@example.org", Note: "the status page has moved", At: said.Add(20 * time.Hour), Withdrawn: true})
	b.flush()
	b.add("drills", "finished", "mara@example.org", noon().Add(30*time.Hour), `{"drill":"restore of orders","scenario":"region-failure","outcome":"success","rto_seconds":5040,"restored_rows":120000,"evidence":"https://ci.example.org/runs/17"}`)
	b.add("drills", "finished", "mara@example.org", noon().Add(31*time.Hour), `{"drill":"move of the API","scenario":"region-failure","outcome":"success","rto_seconds":9000}`)
	b.flush()
	b.add("audits", "audited", "ci", noon().Add(10*time.Hour), resultOf(noon().Add(10*time.Hour), readiness.Fail))
	b.add("audits", "audited", "mara@example.org", noon().Add(47*time.Hour), resultOf(noon().Add(47*time.Hour), readiness.Unknown))
	b.flush()
	return s
}

func resultOf(at time.Time, s readiness.Status) audit.Result {
	return audit.Result{At: at, System: "festivals", Status: s, Items: []audit.ItemResult{
		{Item: "backups-verified", Phase: audit.Before, Title: "Backups are running and verified", Status: readiness.Pass, Rests: []audit.Rest{{What: "look of orders/dump", Status: readiness.Pass, Evidence: "looked 12s ago"}}},
		{Item: "templates-ready", Phase: audit.Before, Title: "Communication templates are ready", Status: s, Rests: []audit.Rest{{What: "attestation", Status: s, Evidence: "withdrawn by mara@example.org", Remedy: "read them, and attest: drwatch attest templates-ready --by YOU --evidence LINK --valid-for 90d"}}},
		{Item: "team-trained", Phase: audit.Before, Title: "The team is trained on the procedures", Status: readiness.Warn, Rests: []audit.Rest{{What: "attestation", Status: readiness.Warn, Evidence: "lapses in 9d"}},
			Attestation: &audit.Attestation{Item: "team-trained", By: "mara@example.org", Evidence: "https://wiki.example.org/dr/training?of=2026", At: at, Until: at.Add(9 * 24 * time.Hour)}},
		{Item: "postmortem-written", Phase: audit.After, Title: "The postmortem is written", Status: readiness.Unknown},
	}}
}

func options() report.Options {
	return report.Options{System: "festivals", From: noon(), To: noon().Add(48 * time.Hour), Now: noon().Add(48 * time.Hour), By: "Mara Lind", Version: "1.0.0"}
}

func collect(t testing.TB, s ledger.Store, o report.Options) *report.Data {
	t.Helper()
	d, err := report.Collect(t.Context(), s, o)
	require.NoError(t, err)
	return d
}

func render(t testing.TB, d *report.Data) []byte {
	t.Helper()
	var page bytes.Buffer
	require.NoError(t, report.Render(&page, d))
	return page.Bytes()
}
