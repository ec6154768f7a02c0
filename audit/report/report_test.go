package report_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The page is what the auditor reads: a change of it must be seen by a person.
func TestRender_Golden(t *testing.T) {
	page := render(t, collect(t, small(t), options()))
	path := filepath.Join("testdata", "small.golden.html")
	if *update {
		require.NoError(t, os.WriteFile(path, page, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(withoutLayout(want)), string(withoutLayout(page)))
}

// withoutLayout leaves out what identifies the sources, so that a change of them that
// nobody sees is no change of the golden file.
func withoutLayout(page []byte) []byte {
	return regexp.MustCompile(`"layout":"[0-9a-f]*"`).ReplaceAll(page, nil)
}

// The same data must give the same bytes, or no report could be verified.
func TestRender_Deterministic(t *testing.T) {
	s := small(t)
	first := render(t, collect(t, s, options()))
	for range 5 {
		require.Equal(t, first, render(t, collect(t, s, options())))
	}
	var data report.Data
	text := embedded(t, first)
	require.NoError(t, json.Unmarshal([]byte(text), &data))
	require.Equal(t, first, render(t, &data))
}

func embedded(t testing.TB, page []byte) string {
	_, text, _ := strings.Cut(string(page), `id="drwatch-report">`)
	text, _, found := strings.Cut(text, "</script>")
	require.True(t, found)
	return text
}

// The file must need nothing else, and run nothing.
func TestRender_SelfContained(t *testing.T) {
	page := string(render(t, collect(t, small(t), options())))
	require.Equal(t, 1, strings.Count(page, "<script"), "the data alone")
	require.NotRegexp(t, `(?i)<(link|img|iframe|object|embed|base|form)\b|@import|\bsrc=| on[a-z]+=`, page)
	require.NotRegexp(t, `url\((?:[^#)]|#[^a-z])`, page)
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		require.Regexp(t, `^(https?://|mailto:)`, link[1])
	}
	require.Equal(t, 3, strings.Count(page, `<svg class="chart"`))
	require.Equal(t, 3, strings.Count(page, `<title id="chart-`), "each chart has a name for those who do not see it")
	require.NotContains(t, page, "ZgotmplZ")
}

// Whoever may write names, notes and evidence must not get to run anything in the
// browser of the auditor, nor to change what stands around them.
func TestRender_HostileTexts(t *testing.T) {
	hostile := []string{
		`<script>alert(1)</script>`, `</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title><svg onload=alert(1)>`, `<!--`, `]]>`,
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x", "//evil.example.org/x",
		"https://good.example.org@evil.example.org/", "ht\ttp://x", "{{.JSON}}", "\u202egnp.exe", "\u2028alert(1)", "https://x.example.org/\"onmouseover=\"alert(1)",
	}
	s := open(t)
	b := &book{t: t, store: s}
	record(b, 3, never, pair{`<script>alert("d")</script>`, readiness.Scenario(`"><script>alert("s")</script>`), 60, steady(900)})
	for i, text := range hostile {
		at := noon().Add(time.Duration(i) * time.Second)
		b.add("attestations", audit.KindAttested, "x", at, audit.Attestation{Item: text, By: text, Evidence: text, Note: text, At: at, Until: at.Add(time.Hour)})
	}
	for i, text := range hostile {
		b.add("incidents", "opened", "x", noon().Add(time.Duration(i)*time.Second), map[string]string{"incident": text, "outcome": text, "scenario": text, "evidence": text, text: text})
	}
	r := resultOf(noon(), readiness.Fail)
	for _, text := range hostile {
		r.Items = append(r.Items, audit.ItemResult{Item: text, Title: text, Phase: audit.Before, Rests: []audit.Rest{{What: text, Evidence: text, Remedy: text}}})
	}
	b.add("audits", "audited", "x", noon(), r)
	b.add("config", "loaded", "x", noon(), report.Loaded{Fingerprint: hostile[0], Services: hostile, RTO: map[readiness.Scenario]readiness.Seconds{readiness.Scenario(hostile[1]): 5},
		RPO: map[string]map[readiness.Scenario]readiness.Seconds{hostile[2]: {readiness.Scenario(hostile[0]): 5}}, Copies: map[readiness.CopyKind]int{readiness.CopyKind(hostile[1]): 1}})
	b.flush()
	o := options()
	o.By, o.Version = hostile[1], hostile[2]
	page := render(t, collect(t, s, o))
	text := string(page)

	require.Equal(t, 1, strings.Count(text, "<script"))
	require.Equal(t, 1, strings.Count(text, "</script"))
	require.NotRegexp(t, `<(img|svg onload|!--)`, text)
	require.NotRegexp(t, `<[a-z][^>]* on[a-z]+=`, text)
	require.NotContains(t, text, "\u202e")
	for _, link := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		require.Regexp(t, `^https://(x|wiki)\.example\.org/`, link[1])
	}
	require.True(t, json.Valid([]byte(embedded(t, page))))
	v := verify(t, page, s)
	require.Equal(t, sound, states(v), "what is hostile is still what the ledger says")
}

// What was not observed must be told as such, in words and in the chart, and not as
// if nothing could have been lost.
func TestCollect_Gaps(t *testing.T) {
	d := collect(t, small(t), options())
	require.Equal(t, readiness.Seconds(5*3600), d.Compliance.Unobserved)
	require.Len(t, d.Compliance.Gaps, 1)
	p := d.Compliance.Pairs[0]
	require.Equal(t, "orders region-failure", p.Datastore+" "+string(p.Scenario))
	require.Equal(t, readiness.Seconds(5*3600), p.Unobserved)
	require.Len(t, p.Points.Observed, 48)
	for i := range 48 {
		require.Equal(t, i >= 20 && i < 25, p.Points.Observed[i] == 0, "hour %d", i)
	}
	page := string(render(t, d))
	require.Contains(t, page, "drwatch looked for 89.58 % of the time; nothing is known of the other 5h, in 1 gap.")
	require.Contains(t, page, `<path class="gap" d="M412.5 12h85.6v110H412.5Z"/>`, "hatched from hour 20 to 25 of 48")
	require.Regexp(t, `class="line" d="M70 [^M]*H412\.5M498\.1 [^M]*"`, page, "the line breaks off at the gap")
}

// A report that begins before the ledger does must say so.
func TestCollect_BeforeTheLedgerBegan(t *testing.T) {
	s := small(t)
	o := options()
	o.From = o.From.Add(-10 * 24 * time.Hour)
	page := string(render(t, collect(t, s, o)))
	require.Contains(t, page, "The RPO history in the ledger begins 2026-03-02 12:00:00 UTC: nothing is known of the time before.")

	o.To = noon().Add(-24 * time.Hour)
	d := collect(t, s, o)
	page = string(render(t, d))
	require.Contains(t, page, "nothing was observed, so nothing is known of how the objectives were kept: that is no compliance, and no breach.")
	require.Contains(t, page, "The RPO history in the ledger begins 2026-03-02 12:00:00 UTC")
	require.Contains(t, page, "No recovery point objective is recorded in this period.")
	require.NotContains(t, page, "100 %")
	require.Equal(t, sound, states(verify(t, []byte(page), s)))
}

// What is asked for must make sense, and fit the ledger.
func TestCollect_Refuses(t *testing.T) {
	s := small(t)
	for name, each := range map[string]struct {
		change func(*report.Options)
		err    string
	}{
		"no system":      {func(o *report.Options) { o.System = "" }, "no system is named"},
		"another system": {func(o *report.Options) { o.System = "payroll" }, "the ledger tells of another system: its RPO history is that of festivals"},
		"no time":        {func(o *report.Options) { o.To = o.From }, "the end must be after the beginning"},
		"a century":      {func(o *report.Options) { o.From = o.From.AddDate(-100, 0, 0) }, "that is longer than ten years"},
		"the future":     {func(o *report.Options) { o.To = o.Now.Add(time.Hour) }, "that has not come yet"},
		"no share":       {func(o *report.Options) { o.Target = 99.9 }, "it lies between 0 and 1"},
		"beyond the end": {func(o *report.Options) { o.Head = 1000 }, "it ends with event 60, and event 1000 is asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			each.change(&o)
			_, err := report.Collect(t.Context(), s, o)
			require.ErrorContains(t, err, each.err)
		})
	}
}

// An event that nobody understands must be told, since what it says is missing.
func TestCollect_Unreadable(t *testing.T) {
	s := open(t)
	b := &book{t: t, store: s}
	b.add("drills", "finished", "x", noon(), `[1,2]`)
	b.add("audits", "audited", "x", noon(), `{"items":7}`)
	b.add("audits", "audited", "x", noon(), `{"system":"payroll"}`)
	b.add("rpo", history.KindHour, "x", noon().Add(time.Hour), `{"from":"yesterday"}`)
	b.flush()
	d := collect(t, s, options())
	require.Len(t, d.Unreadable, 4)
	page := string(render(t, d))
	require.Contains(t, page, "Events that belong in this report and cannot be understood")
	require.Contains(t, page, "event 3, audits audited: it is of the system &#34;payroll&#34;")
	require.Equal(t, sound, states(verify(t, []byte(page), s)))
}

// Of each item only the newest word counts, and the report must say what became of
// the others.
func TestCollect_Attestations(t *testing.T) {
	s := open(t)
	b := &book{t: t, store: s}
	say := func(kind string, hour int, a audit.Attestation) {
		a.At = noon().Add(time.Duration(hour) * time.Hour)
		if kind == audit.KindAttested {
			a.Until = a.At.Add(10 * time.Hour)
		}
		a.By, a.Withdrawn = "mara", kind == audit.KindWithdrawn
		b.add("attestations", kind, "mara", a.At, a)
	}
	say(audit.KindAttested, -20, audit.Attestation{Item: "long ago"})
	say(audit.KindAttested, -9, audit.Attestation{Item: "taken back before"})
	say(audit.KindWithdrawn, -8, audit.Attestation{Item: "taken back before"})
	say(audit.KindAttested, -2, audit.Attestation{Item: "lapsed"})
	say(audit.KindAttested, 10, audit.Attestation{Item: "said again"})
	say(audit.KindAttested, 15, audit.Attestation{Item: "said again"})
	say(audit.KindAttested, 40, audit.Attestation{Item: "said again"})
	say(audit.KindAttested, 41, audit.Attestation{Item: "taken back"})
	say(audit.KindWithdrawn, 42, audit.Attestation{Item: "taken back", Note: "it was wrong"})
	say(audit.KindAttested, 50, audit.Attestation{Item: "after the period"})
	b.flush()
	o := options()
	o.Now = noon().Add(100 * time.Hour)
	var all []string
	for _, a := range collect(t, s, o).Attestations {
		all = append(all, fmt.Sprintf("%s: %s %s", a.Item, a.State, a.EndedWhy))
	}
	require.Equal(t, []string{"lapsed: lapsed ", "said again: replaced ", "said again: lapsed ", "said again: stands ", "taken back: withdrawn it was wrong"}, all)
}

// A measured recovery time is held against what was promised when it was measured.
func TestCollect_ObjectiveOfItsTime(t *testing.T) {
	s := open(t)
	b := &book{t: t, store: s}
	config := report.Loaded{RTO: map[readiness.Scenario]readiness.Seconds{readiness.RegionFailure: 7200}}
	b.add("config", "loaded", "x", noon(), config)
	b.add("drills", "finished", "x", noon().Add(time.Hour), `{"drill":"a","scenario":"region-failure","rto_seconds":5000}`)
	config.RTO = map[readiness.Scenario]readiness.Seconds{readiness.RegionFailure: 3600}
	b.add("config", "loaded", "x", noon().Add(2*time.Hour), config)
	b.add("drills", "finished", "x", noon().Add(3*time.Hour), `{"drill":"b","scenario":"region-failure","rto_seconds":5000}`)
	b.flush()
	d := collect(t, s, options())
	require.Len(t, d.Drills.Events, 2)
	require.Equal(t, "pass", d.Drills.Events[0].Kept())
	require.Equal(t, "fail", d.Drills.Events[1].Kept())
	require.Equal(t, []string{"RTO in a region-failure: 1h, was 2h"}, d.Changes[1].What)
	require.True(t, d.Changes[0].First)
}

// A large system over a quarter must still fit in a mail.
func TestRender_NinetyDaysStaySmall(t *testing.T) {
	for _, n := range []int{3, 40} {
		t.Run(fmt.Sprint(n, " objectives"), func(t *testing.T) {
			s := open(t)
			b := &book{t: t, store: s}
			record(b, 90*24, func(h int) bool { return h%500 > 490 }, many(n)...)
			o := options()
			o.To = noon().Add(90 * 24 * time.Hour)
			o.Now = o.To
			d := collect(t, s, o)
			page := render(t, d)
			t.Logf("%d bytes, %d links, every %d, steps of %s", len(page), len(d.Proof.Links), d.Proof.Every, d.Compliance.Step)
			require.Less(t, len(page), 2<<20)
			require.Len(t, d.Compliance.Pairs, n)
			for _, p := range d.Compliance.Pairs {
				steps := p.Points
				require.InDelta(t, float64(p.Observed), float64(total(steps.Observed)), float64(len(steps.Observed))/20, "no observed time is lost in the chart of %s", p.Datastore)
				require.InDelta(t, float64(p.InBreach()), float64(total(steps.Breach)), float64(len(steps.Breach))/20, "no breach is lost in the chart of %s", p.Datastore)
				require.Contains(t, steps.Worst, readiness.Known(readiness.Seconds(20_000)), "the peaks are in the chart of %s", p.Datastore)
				boundless := false
				for at, worst := range steps.Worst {
					boundless = boundless || steps.Observed[at] > 0 && !worst.IsKnown()
				}
				require.Equal(t, p.Unbounded, boundless, "the chart of %s", p.Datastore)
			}
			require.Equal(t, sound, states(verify(t, page, s)))
			if path := os.Getenv("DRWATCH_TEST_REPORT"); path != "" && n == 3 {
				require.NoError(t, os.WriteFile(path, page, 0o600))
			}
		})
	}
}

func total(of []readiness.Seconds) (sum readiness.Seconds) {
	for _, s := range of {
		sum += s
	}
	return sum
}

// many are objectives that are broken now and then.
func many(n int) (all []pair) {
	for i := range n {
		all = append(all, pair{fmt.Sprintf("store-%d", i), readiness.RegionFailure, 3600, func(h int) readiness.Maybe[readiness.Seconds] {
			switch {
			case (h+i*37)%701 == 5:
				return readiness.Known(readiness.Seconds(20_000))
			case i == 2 && h > 1000 && h < 1030:
				return readiness.Maybe[readiness.Seconds]{}
			}
			return readiness.Known(readiness.Seconds((h*7919+i*104729)%1000) + 900.123)
		}})
	}
	return all
}

// BenchmarkReport makes a report over 90 days out of a large ledger. Set
// DRWATCH_BENCH_EVENTS to say how large it is.
func BenchmarkReport(b *testing.B) {
	s, events := large(b)
	o := options()
	o.To = noon().Add(90 * 24 * time.Hour)
	o.Now = o.To
	var page []byte
	b.Run(fmt.Sprintf("collect+render/events=%d", events), func(b *testing.B) {
		b.ReportAllocs()
		peak := watch(b)
		for b.Loop() {
			page = render(b, collect(b, s, o))
		}
		b.ReportMetric(float64(peak())/(1<<20), "peak-heap-MB")
		b.ReportMetric(float64(len(page))/1024, "page-KB")
	})
	b.Run(fmt.Sprintf("verify/events=%d", events), func(b *testing.B) {
		peak := watch(b)
		for b.Loop() {
			require.Equal(b, sound, states(verify(b, page, s)))
		}
		b.ReportMetric(float64(peak())/(1<<20), "peak-heap-MB")
	})
}

var _ ledger.Store = tampered{}
