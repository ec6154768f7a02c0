package collectors

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "rewrite golden and generated files")

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// festivals is a system in which much is known, much is not, and one look failed.
func festivals() (readiness.System, readiness.Observations) {
	rpo := map[readiness.Scenario]time.Duration{readiness.RegionFailure: time.Hour, readiness.DataCorruption: time.Hour}
	system := readiness.System{Name: "festivals", PrimaryRegion: "eu-west-1", StandbyRegion: "eu-central-1", Datastores: []readiness.Datastore{
		{Name: "db", RPO: rpo, Copies: []readiness.Copy{
			{Name: "primary", Kind: readiness.Primary, Region: "eu-west-1", Watch: readiness.Watch{Probe: "postgres", Checks: []string{readiness.CheckRole}}},
			{Name: "replica", Kind: readiness.Replica, Region: "eu-central-1", Delay: time.Hour, Watch: readiness.Watch{Probe: "postgres", Checks: []string{readiness.CheckRole, readiness.CheckConnected}}},
			{Name: "dumps", Kind: readiness.Backup, Region: "eu-central-1", Watch: readiness.Watch{Probe: "s3"}},
		}},
		{Name: "cache", RPO: rpo, Copies: []readiness.Copy{
			{Name: "primary", Kind: readiness.Primary, Region: "eu-west-1", Watch: readiness.Watch{Probe: "redis"}},
			{Name: "never looked at", Kind: readiness.Replica, Region: "eu-central-1", Watch: readiness.Watch{Probe: "redis", Checks: []string{readiness.CheckConnected}}},
		}},
	}}
	record := readiness.Part{Name: "record", Kind: readiness.Record, Vantage: "eu-central-1", Watch: readiness.Watch{Probe: "route53", Checks: []string{"pair"}}}
	resolvers := readiness.Part{Name: "resolvers", Kind: readiness.Resolution, Vantage: "eu-central-1", Watch: readiness.Watch{Probe: "dns"}}
	standby := readiness.Part{Name: "standby", Kind: readiness.Endpoint, Region: "eu-central-1", Side: readiness.StandbySide, Vantage: "eu-central-1", Watch: readiness.Watch{Probe: "endpoint"}}
	targets := readiness.Part{Name: "targets", Kind: readiness.Balancer, Region: "eu-central-1", Side: readiness.StandbySide, Vantage: "eu-central-1", Watch: readiness.Watch{Probe: "elb"}}
	dark := standby
	dark.Name = "never looked at"
	system.Services = []readiness.Service{
		{Name: "api.festivals.app", Scenarios: []readiness.Scenario{readiness.RegionFailure}, Parts: []readiness.Part{record, resolvers, standby, targets, dark}},
		{Name: "dark", Parts: []readiness.Part{record}},
	}
	for _, s := range []readiness.Scenario{readiness.RegionFailure, readiness.DataCorruption} {
		system.Scenarios = append(system.Scenarios, readiness.ScenarioObjective{Scenario: s, Objective: readiness.DefaultObjective(s)})
	}
	db, cache := readiness.NewSightings(system.Datastores[0]), readiness.NewSightings(system.Datastores[1])
	db.Observe(system.Datastores[0].Copies[0], readiness.Observation{At: noon.Add(-10 * time.Second), Took: 4 * time.Millisecond, Reading: readiness.Reading{
		Role: readiness.RolePrimary, System: "7", Timeline: "1", Written: readiness.Known(readiness.Position(1000)),
		ClockOffset: readiness.Known(-20 * time.Millisecond),
		Measures: map[readiness.Measure]float64{
			readiness.TimelineNumber: 1, readiness.SlotRetainedBytes: 4096, readiness.SlotHeadroomBytes: 1 << 30, readiness.FullResyncs: 2,
		},
	}})
	db.Observe(system.Datastores[0].Copies[1], readiness.Observation{At: noon.Add(-9 * time.Second), Took: 30 * time.Millisecond, Reading: readiness.Reading{
		Role: readiness.RoleReplica, System: "7", Timeline: "1", Received: readiness.Known(readiness.Position(1000)), Replayed: readiness.Known(readiness.Position(900)),
		Points:    []readiness.Point{{At: noon.Add(-time.Hour), Basis: readiness.BasisCommit, SourceClock: true}},
		Connected: readiness.Known(true), LastMessage: readiness.Known(noon.Add(-9500 * time.Millisecond)),
		Measures: map[readiness.Measure]float64{readiness.ApplyDelaySeconds: 3600, readiness.SnapshotSeconds: 1.7e9},
	}})
	db.Observe(system.Datastores[0].Copies[2], readiness.Observation{At: noon.Add(-8 * time.Second), Took: 90 * time.Millisecond, Reading: readiness.Reading{
		AsOf:     readiness.Known(noon.Add(-40 * time.Second)),
		Points:   []readiness.Point{{At: noon.Add(-30 * time.Minute), Basis: readiness.BasisArchive}},
		Measures: map[readiness.Measure]float64{readiness.BackupSizeBytes: 1 << 20, readiness.BackupSizeRatio: 1.02, readiness.BackupIntervalSeconds: 3600},
	}})
	cache.Observe(system.Datastores[1].Copies[0], readiness.Observation{At: noon.Add(-5 * time.Second), Took: time.Second, Failure: &readiness.Failure{
		Class: readiness.Denied, Err: errors.New("password wrong"),
	}})
	api := readiness.NewSightings(readiness.Datastore{})
	looked := func(p readiness.Part, r readiness.Reading) {
		api.ObservePart(p, readiness.Observation{At: noon.Add(-time.Second), Took: 20 * time.Millisecond, Reading: r})
	}
	looked(record, readiness.Reading{
		AsOf: readiness.Known(noon.Add(-50 * time.Second)), Checks: []readiness.Check{{Name: "pair", Status: readiness.Pass}},
		Measures: map[readiness.Measure]float64{readiness.DNSFailoverSeconds: 156, readiness.DNSTTLSeconds: 60, readiness.PrimaryHealthy: 1, readiness.StandbyHealthy: 0},
	})
	looked(resolvers, readiness.Reading{Measures: map[readiness.Measure]float64{
		readiness.DNSTTLSeconds: 60, readiness.DNSServedPrimary: 0.75, readiness.DNSServedStandby: 0.25, readiness.DNSServedOther: 0, readiness.DNSServedNothing: 0,
	}})
	looked(standby, readiness.Reading{Measures: map[readiness.Measure]float64{
		readiness.EndpointUp: 1, readiness.EndpointLatencySeconds: 0.012, readiness.CertificateExpirySeconds: 1.8e9,
	}})
	looked(targets, readiness.Reading{Measures: map[readiness.Measure]float64{readiness.HealthyTargets: 3, readiness.HealthyZones: 2}})
	all := map[string]*readiness.Sightings{"db": db, "cache": cache, "api.festivals.app": api, "dark": readiness.NewSightings(readiness.Datastore{})}
	return system, func(id readiness.ID) *readiness.Seen { return all[id.Of].Seen(id.Name) }
}

// audited is an audit that found one item of each kind.
func audited() audit.Result {
	return audit.Result{Items: []audit.ItemResult{
		{Item: "dns-failover", Phase: audit.Before, Status: readiness.Warn},
		{Item: "training", Phase: audit.Before, Attestation: &audit.Attestation{Until: noon.Add(time.Hour)}},
		{Item: "lessons-learned", Phase: audit.After, Status: readiness.Fail},
	}}
}

// Without a ledger there is nothing to tell of it, and the checklists are told all the same.
func TestAudit_WithoutALedger(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewAudit(audited, func() LedgerState { return LedgerState{} }))
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	require.Equal(t, []string{"dr_checklist_attestation_expiry_timestamp_seconds", "dr_checklist_item_ok"}, names)
}

func report() *readiness.Report {
	system, seen := festivals()
	return readiness.Evaluate(system, seen, noon)
}

// everything is the whole page as a scrape gets it.
func everything(t testing.TB) string {
	own := NewOwn(Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1"})
	own.LookStarted(2 * time.Millisecond)
	own.LookEnded("postgres", 4*time.Millisecond)
	own.CloudRequest("aws", "RDS", "DescribeDBInstances")
	own.CloudThrottle("aws", "RDS", "DescribeDBInstances")
	own.ConfigLoaded(noon)
	checklists := prometheus.NewRegistry()
	checklists.MustRegister(NewAudit(audited, func() LedgerState { return LedgerState{Kept: true, Up: true, LastWrite: noon, Pending: 3, Dropped: 1} }))
	registry := prometheus.NewMultiTRegistry(prometheus.ToTransactionalGatherer(NewSystem(report)), prometheus.ToTransactionalGatherer(checklists), prometheus.ToTransactionalGatherer(own.Registry()))
	w := httptest.NewRecorder()
	promhttp.HandlerForTransactional(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

// Dashboards and alerts hang on every name, label and value of this page.
func TestGolden_MetricsPage(t *testing.T) {
	var kept []string
	for line := range strings.Lines(everything(t)) {
		if !strings.Contains(line, "go_") && !strings.Contains(line, "process_") && !strings.Contains(line, "promhttp_") {
			kept = append(kept, line)
		}
	}
	page := strings.Join(kept, "")
	if *update {
		require.NoError(t, os.WriteFile("testdata/metrics.golden", []byte(page), 0o644))
	}
	golden, err := os.ReadFile("testdata/metrics.golden")
	require.NoError(t, err)
	require.Equal(t, string(golden), page, "after an intended change: ./dev generate")
}

// Nothing on the page is NaN, which alerts nobody, and what is unknown is not zero.
func TestSystem_UnknownAlerts(t *testing.T) {
	page := everything(t)
	require.NotContains(t, page, "NaN")
	require.Contains(t, page, `dr_rpo_exposure_seconds{datastore="cache",scenario="region-failure"} +Inf`)
	require.Contains(t, page, `dr_rpo_compliant{datastore="cache",scenario="region-failure"} 0`)
	require.Contains(t, page, `dr_check_state{check="connected",state="unknown",subject="cache/never looked at"} 1`)
	require.NotContains(t, page, `dr_replication_connected{copy="never looked at"`)
	require.NotContains(t, page, `dr_recovery_point_timestamp_seconds{copy="never looked at"`)
}

// Every series that is exposed is in the catalogue, with its type, help and
// labels in order; and the golden page shows every entry of the catalogue.
func TestCatalogue_IsThePage(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(everything(t)))
	require.NoError(t, err)
	entries := make(map[string]Metric)
	for _, m := range Catalogue() {
		require.NotContains(t, entries, m.Name, "listed twice")
		require.True(t, slices.IsSorted(m.Labels), "%s: labels in alphabetical order", m.Name)
		entries[m.Name] = m
		require.NotNil(t, families[m.Name], "%s is in the catalogue and not on the page", m.Name)
	}
	for name, family := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		m, ok := entries[name]
		require.True(t, ok, "%s is not in the catalogue", name)
		require.Equal(t, m.Help, family.GetHelp())
		require.Equal(t, m.TypeName(), strings.ToLower(family.GetType().String()))
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, l := range metric.GetLabel() {
				labels = append(labels, l.GetName())
			}
			require.Equal(t, m.Labels, labels, name)
		}
	}
}

// Labels that a scrape adds or that the Prometheus operator adds would be renamed.
func TestCatalogue_NoLabelCollidesWithThoseOfATarget(t *testing.T) {
	taken := []string{"job", "instance", "region", "cluster", "namespace", "pod", "node", "container", "endpoint", "service", "environment"}
	for _, m := range Catalogue() {
		if m.Name == "drwatch_cloud_requests_total" || m.Name == "drwatch_cloud_throttles_total" {
			continue // service is the word of every cloud for it; the operator renames it to exported_service
		}
		for _, l := range m.Labels {
			require.NotContains(t, taken, l, m.Name)
		}
	}
}

// The registry of client_golang finds no fault in what is gathered beside it.
func TestSystem_PassesTheRegistrysChecks(t *testing.T) {
	_, err := prometheus.Gatherers{NewSystem(report)}.Gather()
	require.NoError(t, err)
}

func TestPromtool_FindsNothing(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing: apt-get install -y --no-install-recommends prometheus")
		}
		t.Skip("promtool is missing: apt-get install -y --no-install-recommends prometheus")
	}
	command := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	command.Stdin = strings.NewReader(everything(t))
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.Empty(t, string(output))
}

func TestGenerated_MetricsDocs(t *testing.T) {
	const path = "../docs/metrics.md"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(Markdown()), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, Markdown(), string(text), "docs/metrics.md is stale: ./dev generate")
}

// A server may not bring labels of its own onto the page: what it says appears
// in checks' evidence only.
func TestSystem_FailureTextIsNoLabel(t *testing.T) {
	require.NotContains(t, everything(t), "password wrong")
}

// many is a report on n copies, a primary and a replica in each datastore.
func many(n int) *readiness.Report {
	system, _ := festivals()
	one := system.Datastores[0]
	system.Datastores, system.Services = nil, nil
	all := make(map[string]*readiness.Sightings)
	checks := []string{"role", "same-system", "distinct-server", "receiver", "replay", "delay", "slots", "clock"}
	for i := range n / 2 {
		d := one
		d.Name = fmt.Sprintf("db-%d", i)
		d.Copies = slices.Clone(one.Copies[:2])
		d.Copies[0].Checks, d.Copies[1].Checks = checks[:4], checks
		system.Datastores = append(system.Datastores, d)
		s := readiness.NewSightings(d)
		for j, c := range d.Copies {
			s.Observe(c, readiness.Observation{At: noon, Took: time.Millisecond, Reading: readiness.Reading{
				Role: []readiness.Role{readiness.RolePrimary, readiness.RoleReplica}[j], System: d.Name,
				Written: readiness.Known(readiness.Position(1000)), Received: readiness.Known(readiness.Position(1000)), Replayed: readiness.Known(readiness.Position(1000)),
				Connected: readiness.Known(true), LastMessage: readiness.Known(noon), ClockOffset: readiness.Known(time.Millisecond),
			}})
		}
		all[d.Name] = s
	}
	return readiness.Evaluate(system, func(id readiness.ID) *readiness.Seen { return all[id.Of].Seen(id.Name) }, noon)
}

func count(families []*dto.MetricFamily) (series int) {
	for _, f := range families {
		series += len(f.GetMetric())
	}
	return series
}

// BenchmarkScrape answers /metrics for 10,000 copies: gathered, and encoded.
func BenchmarkScrape(b *testing.B) {
	r := many(10_000)
	system := NewSystem(func() *readiness.Report { return r })
	families, err := system.Gather()
	require.NoError(b, err)
	series := count(families)
	handler := promhttp.HandlerForTransactional(prometheus.ToTransactionalGatherer(system), promhttp.HandlerOpts{DisableCompression: true})
	b.Run("gather", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := system.Gather(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
		b.ReportMetric(float64(series), "series")
	})
	b.Run("http", func(b *testing.B) {
		b.ReportAllocs()
		var body bytes.Buffer
		for b.Loop() {
			body.Reset()
			handler.ServeHTTP(&discard{header: make(http.Header), body: &body}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
		b.ReportMetric(float64(body.Len()), "bytes/page")
	})
}

// BenchmarkScrapeByRegistry is the same through a Collector and a registry, as
// exporters do it: what the way around them saves.
func BenchmarkScrapeByRegistry(b *testing.B) {
	r := many(10_000)
	families, err := NewSystem(func() *readiness.Report { return r }).Gather()
	require.NoError(b, err)
	registry := prometheus.NewRegistry()
	registry.MustRegister(constant{families})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count(families)), "ns/series")
}

// constant is a Collector of const metrics, made anew at each scrape.
type constant struct{ families []*dto.MetricFamily }

func (constant) Describe(chan<- *prometheus.Desc) {}

func (c constant) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.families {
		var names []string
		for _, l := range f.Metric[0].Label {
			names = append(names, l.GetName())
		}
		desc := prometheus.NewDesc(f.GetName(), f.GetHelp(), names, nil)
		for _, m := range f.Metric {
			values := make([]string, len(m.Label))
			for i, l := range m.Label {
				values[i] = l.GetValue()
			}
			if m.Counter != nil {
				ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, m.Counter.GetValue(), values...)
			} else {
				ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, m.Gauge.GetValue(), values...)
			}
		}
	}
}

// discard is a response that keeps its body in a buffer that is used again.
type discard struct {
	header http.Header
	body   *bytes.Buffer
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return d.body.Write(p) }
func (d *discard) WriteHeader(int)             {}
