package report_test

import (
	"bytes"
	"context"
	"iter"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

func verify(t testing.TB, page []byte, s ledger.Store) report.Verdict {
	t.Helper()
	v, err := report.Verify(t.Context(), bytes.NewReader(page), s)
	require.NoError(t, err)
	return v
}

// found gives a step.
func found(t testing.TB, v report.Verdict, name report.StepName) report.Step {
	t.Helper()
	for _, s := range v.Steps {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "there is no step", name)
	return report.Step{}
}

// states are those of the steps, in one line.
func states(v report.Verdict) string {
	var all []string
	for _, s := range v.Steps {
		all = append(all, string(s.Name)+" "+s.Status.String())
	}
	return strings.Join(all, ", ")
}

const sound = "file pass, page pass, ledger pass, chain pass, events pass, system pass, data pass, receipt warn"

// An honest report must verify, also when the ledger has gone on: nobody would trust
// the tool that cries wolf.
func TestVerify_HonestReport(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	require.Equal(t, sound, states(verify(t, page, s)))

	b := &book{t: t, store: s}
	b.add("attestations", audit.KindAttested, "late@example.org", noon().Add(3*time.Hour), audit.Attestation{Item: "late", By: "late@example.org", At: noon(), Until: noon().Add(1e6 * time.Second)})
	b.flush()
	v := verify(t, page, s)
	require.Equal(t, sound, states(v))
	require.Equal(t, readiness.Warn, v.Status)
}

// With a receipt in the ledger it is proven who made the report, and when.
func TestVerify_Receipt(t *testing.T) {
	s := small(t)
	d := collect(t, s, options())
	page := render(t, d)
	stream, draft, err := report.ReceiptOf(d, page)
	require.NoError(t, err)
	_, err = s.Append(t.Context(), ledger.Append{Stream: stream, After: ledger.Any, Drafts: []ledger.Draft{draft}})
	require.NoError(t, err)

	v := verify(t, page, s)
	require.Equal(t, readiness.Pass, v.Status, states(v))
	require.Contains(t, found(t, v, report.StepReceipt).Found, "event 61 notes this very file: made by Mara Lind")

	d.Made.By = "Somebody Else"
	v = verify(t, render(t, d), s)
	require.Equal(t, readiness.Warn, found(t, v, report.StepReceipt).Status)
}

// A page whose text was edited must be told as such, wherever it was.
func TestVerify_DoctoredPage(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	for name, edit := range map[string][2]string{
		"a share":     {"95.34 %", "99.99 %"},
		"the style":   {".fail { color", ".fail { display: none; color"},
		"a script":    {"<footer>", "<script>alert(1)</script><footer>"},
		"the end":     {"</html>", ""},
		"a status":    {`class="s unknown"`, `class="s pass"`},
		"a blank":     {"</html>", "</html> "},
		"second data": {"<footer>", `<script type="application/json">{}</script><footer>`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, string(page), edit[0])
			v := verify(t, []byte(strings.Replace(string(page), edit[0], edit[1], 1)), s)
			require.Equal(t, readiness.Fail, v.Status)
			require.Equal(t, readiness.Fail, found(t, v, report.StepPage).Status)
			require.Contains(t, found(t, v, report.StepPage).Found, "the page was changed: in line ")
			require.Equal(t, readiness.Pass, found(t, v, report.StepData).Status, "the data are as they were")
		})
	}
}

// Somebody may alter the data and make a page of them that fits: only the ledger can
// tell, and must.
func TestVerify_AlteredData(t *testing.T) {
	s := small(t)
	for name, each := range map[string]struct {
		alter func(*report.Data)
		step  report.StepName
		found string
	}{
		"a share":       {func(d *report.Data) { d.Compliance.Pairs[0].Compliant++ }, report.StepData, `the data were changed: compliance.pairs[0].compliant_seconds: the report says 147601, the ledger 147600`},
		"a point":       {func(d *report.Data) { d.Compliance.Pairs[0].Points.Breach[30] = 0 }, report.StepData, "compliance.pairs[0].points.breach[30]: the report says 0"},
		"a breach less": {func(d *report.Data) { d.Compliance.Breaches = d.Compliance.Breaches[1:] }, report.StepData, "compliance.breaches: the report has 1, the ledger 2"},
		"a gap":         {func(d *report.Data) { d.Compliance.Gaps = nil }, report.StepData, "compliance.gaps: the report says nothing"},
		"a state":       {func(d *report.Data) { d.Attestations[1].State = report.Stands }, report.StepData, `attestations[1].state: the report says "stands", the ledger "lapsed"`},
		"a target":      {func(d *report.Data) { d.Target = 0.5 }, report.StepData, "compliance.pairs[0].budget"},
		"an audit":      {func(d *report.Data) { d.Audit.Result.Status = readiness.Pass }, report.StepData, `audit.result.status: the report says "pass", the ledger "unknown"`},
		"the end":       {func(d *report.Data) { d.To = d.To.Add(-24 * time.Hour) }, report.StepData, "the data were changed"},
		"a wrong time":  {func(d *report.Data) { d.To = d.From }, report.StepData, "nothing can be collected"},
		"the system":    {func(d *report.Data) { d.System = "payroll" }, report.StepSystem, "its RPO history is that of festivals, and the report is to be of payroll"},
		"a hash":        {func(d *report.Data) { d.Proof.Links[7].Hash[0]++ }, report.StepEvents, "1 of the 60 events that the report names are others in the ledger, from where on one of the two was changed: event 8 (hour of the stream rpo)"},
		"the head":      {func(d *report.Data) { d.Ledger.Head[0]++ }, report.StepEvents, "event 60 (audited of the stream audits)"},
		"a link more":   {func(d *report.Data) { d.Proof.Links[59].Position = 99 }, report.StepEvents, "1 of the 61 events that the report names are not in the ledger"},
		"a later head":  {func(d *report.Data) { d.Ledger.Last = 61 }, report.StepLedger, "the ledger ends with event 60, and the report rests on events up to 61"},
		"a proof less":  {func(d *report.Data) { d.Proof.Links = d.Proof.Links[:3] }, report.StepData, "proof.links: the report has 3, the ledger 60"},
	} {
		t.Run(name, func(t *testing.T) {
			d := collect(t, s, options())
			each.alter(d)
			v := verify(t, render(t, d), s)
			require.Equal(t, readiness.Fail, v.Status, states(v))
			require.Equal(t, readiness.Pass, found(t, v, report.StepPage).Status, "the page says what its data say")
			require.Equal(t, readiness.Fail, found(t, v, each.step).Status, states(v))
			require.Contains(t, found(t, v, each.step).Found, each.found)
		})
	}
}

// tampered is a ledger whose events somebody has got at.
type tampered struct {
	ledger.Store
	change func(ledger.Event) (ledger.Event, bool)
}

func (s tampered) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		for e, err := range s.Store.Events(ctx, q) {
			e, there := s.change(e)
			if there && !yield(e, err) {
				return
			}
		}
	}
}

// An event that was removed from the ledger, or changed in it, is what the chain is
// for.
func TestVerify_TamperedLedger(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	for name, each := range map[string]struct {
		change func(ledger.Event) (ledger.Event, bool)
		found  string
	}{
		"removed": {func(e ledger.Event) (ledger.Event, bool) { return e, e.Position != 55 }, "the ledger is damaged at event 55: it is missing: after it comes event 56"},
		"changed": {func(e ledger.Event) (ledger.Event, bool) {
			if e.Position == 57 {
				e.Body = bytes.Replace(e.Body, []byte("success"), []byte("failure"), 1)
			}
			return e, true
		}, "the ledger is damaged at event 57: it is not what was written: its hash is another"},
	} {
		t.Run(name, func(t *testing.T) {
			v := verify(t, page, tampered{s, each.change})
			require.Equal(t, readiness.Fail, v.Status)
			require.Equal(t, readiness.Fail, found(t, v, report.StepChain).Status)
			require.Contains(t, found(t, v, report.StepChain).Found, each.found)
			require.Equal(t, readiness.Pass, found(t, v, report.StepPage).Status)
		})
	}
}

// A ledger that somebody has made anew, with another past and a sound chain, shows by
// the hashes in the report, from where on it is another.
func TestVerify_LedgerMadeAnew(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	anew := open(t)
	for e, err := range s.Events(t.Context(), ledger.Query{}) {
		require.NoError(t, err)
		d := ledger.Draft{ID: e.ID, Time: e.Time, Kind: e.Kind, Actor: e.Actor, Body: e.Body}
		if e.Position == 57 {
			d.Body = bytes.Replace(d.Body, []byte("5040"), []byte("540"), 1)
		}
		_, err = anew.Append(t.Context(), ledger.Append{Stream: e.Stream, After: ledger.Any, Drafts: []ledger.Draft{d}})
		require.NoError(t, err)
	}
	v := verify(t, page, anew)
	require.Equal(t, "file pass, page pass, ledger pass, chain pass, events fail, system pass, data fail, receipt warn", states(v))
	require.Contains(t, found(t, v, report.StepEvents).Found, "4 of the 60 events that the report names are others in the ledger, from where on one of the two was changed: event 57 (finished of the stream drills)")
	require.Contains(t, found(t, v, report.StepData).Found, "the report says 5040, the ledger 540")
}

// A report that is held against the wrong ledger is not told to be forged.
func TestVerify_AnotherLedger(t *testing.T) {
	page := render(t, collect(t, small(t), options()))
	other := open(t)
	v := verify(t, page, other)
	require.Contains(t, found(t, v, report.StepLedger).Found, "the ledger ends with event 0")

	b := &book{t: t, store: other}
	record(b, 100, never, pair{"payroll", readiness.RegionFailure, 60, steady(3)})
	v = verify(t, page, other)
	require.Equal(t, "file pass, page pass, ledger fail, chain pass, events unknown, system unknown, data unknown, receipt unknown", states(v))
	require.Equal(t, "it is another ledger: none of the 60 events that the report names is in it", found(t, v, report.StepLedger).Found)
}

// After retention has pruned the ledger it cannot be told whether the report is
// right: that is no pass, and no fail.
func TestVerify_Pruned(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	require.NoError(t, s.Prune(t.Context(), 30))
	v := verify(t, page, s)
	require.Equal(t, readiness.Unknown, v.Status)
	require.Equal(t, "file pass, page pass, ledger unknown, chain pass, events unknown, system unknown, data unknown, receipt warn", states(v))
	require.Contains(t, found(t, v, report.StepLedger).Found, "the events before event 31 were pruned since")

	later := render(t, collect(t, s, options()))
	require.Equal(t, sound, states(verify(t, later, s)), "a report of what is left verifies")
	require.Contains(t, string(later), "of which the events before event 31 were pruned")

	require.NoError(t, s.Prune(t.Context(), 60))
	require.Equal(t, readiness.Unknown, verify(t, page, s).Status)
	b := &book{t: t, store: s}
	b.add("audits", "audited", "ci", noon().Add(49*time.Hour), resultOf(noon(), readiness.Pass))
	b.flush()
	require.Contains(t, found(t, verify(t, page, s), report.StepLedger).Found, "all events of the report were pruned")
}

// A page that another version laid out otherwise is not told to be forged; but it is
// not passed either.
func TestVerify_AnotherLayout(t *testing.T) {
	s := small(t)
	d := collect(t, s, options())
	d.Layout = "0123456789abcdef"
	page := render(t, d)
	require.Equal(t, sound, states(verify(t, page, s)), "as long as the bytes are the same")
	page = bytes.Replace(page, []byte("<h1>"), []byte(`<h1 class="big">`), 1)
	v := verify(t, page, s)
	require.Equal(t, readiness.Unknown, v.Status)
	require.Contains(t, found(t, v, report.StepPage).Found, "drwatch 1.0.0 has laid it out otherwise")

	form := regexp.MustCompile(`\{"format":1`).ReplaceAll(page, []byte(`{"format":2`))
	require.Contains(t, found(t, verify(t, form, s), report.StepFile).Found, "verify it with drwatch 1.0.0, that made it")
}

// The ledger may have been empty when the report was made.
func TestVerify_EmptyLedger(t *testing.T) {
	s := open(t)
	page := render(t, collect(t, s, options()))
	require.Contains(t, string(page), "nothing was observed")
	require.Equal(t, sound, states(verify(t, page, s)))
	b := &book{t: t, store: s}
	record(b, 10, never, pair{"orders", readiness.RegionFailure, 60, steady(3)})
	require.Equal(t, sound, states(verify(t, page, s)))
}

// What is no report is told as such, and not as a forged one.
func TestVerify_NoReport(t *testing.T) {
	s := open(t)
	for name, file := range map[string]string{
		"empty":       "",
		"a page":      "<html></html>",
		"cut off":     `<script type="application/json" id="drwatch-report">{"format":1`,
		"no JSON":     `<script type="application/json" id="drwatch-report">hello</script>`,
		"other types": `<script type="application/json" id="drwatch-report">{"format":1,"from":7}</script>`,
	} {
		t.Run(name, func(t *testing.T) {
			v := verify(t, []byte(file), s)
			require.Equal(t, readiness.Fail, v.Status)
			require.Equal(t, readiness.Fail, found(t, v, report.StepFile).Status)
			require.Equal(t, readiness.Unknown, found(t, v, report.StepData).Status)
		})
	}
}

// A ledger that cannot be read is an error, and no verdict.
func TestVerify_LedgerGone(t *testing.T) {
	s := small(t)
	page := render(t, collect(t, s, options()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := report.Verify(ctx, bytes.NewReader(page), s)
	require.ErrorIs(t, err, context.Canceled)
}

// A file from elsewhere must never bring the program down, nor pass.
func FuzzVerify(f *testing.F) {
	s := small(f)
	d := collect(f, s, options())
	page := render(f, d)
	_, text, _ := bytes.Cut(page, []byte(`id="drwatch-report">`))
	text, _, _ = bytes.Cut(text, []byte("</script>"))
	f.Add(text)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"from":"0001-01-01T00:00:00Z","to":"9999-12-31T23:59:59Z","compliance":{"step_seconds":1e9,"pairs":[{"rpo_seconds":-1e300,"points":{"worst":[null,1e300],"observed":[1,1],"breach":[1,0]}}]}}`))
	f.Add([]byte(`{"format":1,"ledger":{"last":18446744073709551615},"proof":{"every":-1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := append([]byte(`<script type="application/json" id="drwatch-report">`), text...)
		v, err := report.Verify(t.Context(), bytes.NewReader(append(file, "</script>"...)), s)
		require.NoError(t, err)
		require.NotEqual(t, readiness.Pass, v.Status)
		require.NotEqual(t, readiness.Warn, v.Status)
		require.Len(t, v.Steps, len(report.Steps()))
	})
}
