package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func report() *readiness.Report {
	d := readiness.Datastore{
		Name: "db<script>", RPO: map[readiness.Scenario]time.Duration{readiness.RegionFailure: time.Hour},
		Copies: []readiness.Copy{
			{Name: "primary", Kind: readiness.Primary, Region: "west"},
			{Name: "replica", Kind: readiness.Replica, Region: "central", Watch: readiness.Watch{Checks: []string{readiness.CheckConnected}}},
		},
	}
	system := readiness.System{
		Name: "festivals", Datastores: []readiness.Datastore{d}, PrimaryRegion: "west",
		Scenarios: []readiness.ScenarioObjective{{Scenario: readiness.RegionFailure, Objective: readiness.DefaultObjective(readiness.RegionFailure)}},
	}
	s := readiness.NewSightings(d)
	s.Observe(d.Copies[0], readiness.Observation{At: noon.Add(-time.Second), Failure: &readiness.Failure{Class: readiness.Refused, Err: errors.New("nobody listens")}})
	return readiness.Evaluate(system, func(id readiness.ID) *readiness.Seen { return s.Seen(id.Name) }, noon)
}

func serve(t *testing.T, change func(*Options)) func(method, path string, header ...string) (int, string, http.Header) {
	t.Helper()
	o := Options{Report: report, Metrics: []prometheus.Gatherer{prometheus.NewRegistry()}, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	handler, err := New(o)
	require.NoError(t, err)
	return func(method, path string, header ...string) (int, string, http.Header) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		body, err := io.ReadAll(w.Result().Body)
		require.NoError(t, err)
		return w.Code, string(body), w.Header()
	}
}

// What a person reads first is what is wrong, with what to do about it; and a
// name from outside is text, never markup.
func TestPage_TellsWhatNeedsAPerson(t *testing.T) {
	code, body, _ := serve(t, nil)(http.MethodGet, "/")
	require.Equal(t, http.StatusOK, code)
	for _, text := range []string{"not ready", "What needs a person", "nobody listens", "start what should listen", "without bound", "not looked at yet", "promised 4h, not judged"} {
		require.Contains(t, body, text)
	}
	require.NotContains(t, body, "<script>")
	require.Contains(t, body, "db&lt;script&gt;")
}

// A load balancer would take drwatch for ready while nobody knows where clients are led.
func TestReady_WaitsForTheLookAtEveryPart(t *testing.T) {
	looks := uint64(0)
	ask := serve(t, func(o *Options) {
		o.Report = func() *readiness.Report {
			part := readiness.PartReport{Probe: readiness.ProbeReport{Looks: looks}}
			return &readiness.Report{Services: []readiness.ServiceReport{{Name: "api", Parts: []readiness.PartReport{part}}}}
		}
	})
	code, body, _ := ask(http.MethodGet, "/-/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "0 of 1 copies and parts")
	looks = 1
	code, _, _ = ask(http.MethodGet, "/-/ready")
	require.Equal(t, http.StatusOK, code)
}

// Who looks at the page before a disaster would not see what people have let lapse.
func TestPage_ShowsTheChecklist(t *testing.T) {
	audited := func(o *Options) {
		o.Audit = func() audit.Result {
			return audit.Result{Items: []audit.ItemResult{
				{Item: "training", Phase: audit.Before, Title: "Team trained", Rests: []audit.Rest{{What: "attestation", Evidence: "lapsed <3d> ago", Remedy: "drwatch attest training"}}},
				{Item: "lessons", Phase: audit.After, Title: "Lessons learned"},
			}}
		}
	}
	_, body, _ := serve(t, audited)(http.MethodGet, "/")
	for _, text := range []string{"Before a disaster", "Team trained", "lapsed &lt;3d&gt; ago", "drwatch attest training"} {
		require.Contains(t, body, text)
	}
	require.NotContains(t, body, "Lessons learned")
	code, body, _ := serve(t, audited)(http.MethodGet, "/api/v1/audit")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"item": "lessons"`)
	code, _, _ = serve(t, nil)(http.MethodGet, "/api/v1/audit")
	require.Equal(t, http.StatusNotFound, code)
}

func TestReport_IsTheSameAsThePage(t *testing.T) {
	code, body, header := serve(t, nil)(http.MethodGet, "/api/v1/report")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "no-store", header.Get("Cache-Control"))
	var r readiness.Report
	require.NoError(t, json.Unmarshal([]byte(body), &r))
	require.False(t, r.Ready)
	require.Equal(t, "festivals", r.System)
}

func TestMetrics_NegotiatesOpenMetrics(t *testing.T) {
	get := serve(t, nil)
	_, body, header := get(http.MethodGet, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
	require.Contains(t, header.Get("Content-Type"), "application/openmetrics-text")
	require.True(t, strings.HasSuffix(body, "# EOF\n"))
	_, _, header = get(http.MethodGet, "/metrics")
	require.Contains(t, header.Get("Content-Type"), "text/plain")
}

func TestReady_OnlyWhenEverythingWasLookedAt(t *testing.T) {
	code, body, _ := serve(t, nil)(http.MethodGet, "/-/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "1 of 2 copies")
	code, _, _ = serve(t, func(o *Options) { o.Report = func() *readiness.Report { return &readiness.Report{} } })(http.MethodGet, "/-/ready")
	require.Equal(t, http.StatusOK, code)
	code, _, _ = serve(t, nil)(http.MethodGet, "/-/healthy")
	require.Equal(t, http.StatusOK, code)
}

func TestReload(t *testing.T) {
	for name, row := range map[string]struct {
		method string
		reload func(context.Context) error
		code   int
		body   string
	}{
		"off":       {http.MethodPost, nil, http.StatusForbidden, "--web.enable-lifecycle"},
		"good":      {http.MethodPost, func(context.Context) error { return nil }, http.StatusOK, "reloaded"},
		"refused":   {http.MethodPost, func(context.Context) error { return errors.New("drwatch.yaml:3:1: bad") }, http.StatusInternalServerError, "drwatch.yaml:3:1: bad"},
		"by a link": {http.MethodGet, func(context.Context) error { panic("reached") }, http.StatusMethodNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, body, _ := serve(t, func(o *Options) { o.Reload = row.reload })(row.method, "/-/reload")
			require.Equal(t, row.code, code)
			require.Contains(t, body, row.body)
		})
	}
}

// Who asks for a reload that hangs, on a file of a dead mount, hears so in time;
// "refused" would be a lie, for it may still come into force.
func TestReload_ThatHangsIsToldInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		code, body, _ := serve(t, func(o *Options) {
			o.Reload = func(ctx context.Context) error {
				<-ctx.Done()
				return fmt.Errorf("read the configuration: %w", ctx.Err())
			}
		})(http.MethodPost, "/-/reload")
		require.Equal(t, reloadTimeout, time.Since(began))
		require.Equal(t, http.StatusGatewayTimeout, code)
		require.Contains(t, body, "read the configuration")
		require.Contains(t, body, "has not ended after 30s")
		require.NotContains(t, body, "refused")
	})
}

func TestReload_NotFromAPageElsewhere(t *testing.T) {
	code, _, _ := serve(t, func(o *Options) { o.Reload = func(context.Context) error { panic("reached") } })(
		http.MethodPost, "/-/reload", "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, code)
}

func TestPprof_OffByDefault(t *testing.T) {
	code, _, _ := serve(t, nil)(http.MethodGet, "/debug/pprof/")
	require.Equal(t, http.StatusNotFound, code)
	code, _, _ = serve(t, func(o *Options) { o.Pprof = true })(http.MethodGet, "/debug/pprof/")
	require.Equal(t, http.StatusOK, code)
}

func TestUnknownPath(t *testing.T) {
	code, _, _ := serve(t, nil)(http.MethodGet, "/nothing-here")
	require.Equal(t, http.StatusNotFound, code)
}
