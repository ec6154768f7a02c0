// Package web serves what drwatch knows over HTTP: /metrics for Prometheus, the
// report as JSON and as a page for people, and the life-cycle endpoints of the
// Prometheus family. It shows the report and computes nothing that it does not
// hold.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// Options are what the handler is made of.
type Options struct {
	// Report gives the report of this moment, from memory.
	Report func() *readiness.Report
	// Audit holds the checklists against the same. Nil shows none.
	Audit func() audit.Result
	// Metrics are gathered for /metrics, each in turn.
	Metrics []prometheus.Gatherer
	// Reload loads the configuration anew. When its context ends first, it returns
	// the error of that, and goes on by itself. Nil switches /-/reload off.
	Reload func(context.Context) error
	// Pprof serves the profiles of the process under /debug/pprof/.
	Pprof   bool
	Version string
	Logger  *slog.Logger
}

// New makes the handler for all paths.
func New(o Options) (http.Handler, error) {
	template, err := parsePage()
	if err != nil {
		return nil, err
	}
	s := &server{Options: o, template: template}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics())
	mux.Handle("GET /api/v1/report", s.handle(s.report))
	mux.Handle("GET /api/v1/audit", s.handle(s.audit))
	mux.Handle("GET /{$}", s.handle(s.page))
	mux.Handle("GET /-/healthy", s.handle(healthy))
	mux.Handle("GET /-/ready", s.handle(s.ready))
	mux.Handle("POST /-/reload", s.handle(s.reload))
	if o.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	// A page elsewhere must not make a person's browser reload us.
	return http.NewCrossOriginProtection().Handler(mux), nil
}

type server struct {
	Options
	template *template.Template
}

// statusError is an error that may be told to whoever asks.
type statusError struct {
	code int
	err  error
}

func (e statusError) Error() string { return e.err.Error() }
func (e statusError) Unwrap() error { return e.err }

// handle answers and logs the errors of a handler, in one place.
func (s *server) handle(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		var told statusError
		if errors.As(err, &told) {
			http.Error(w, told.Error(), told.code)
			return
		}
		s.Logger.Error("answer request", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error, see the log", http.StatusInternalServerError)
	})
}

func (s *server) metrics() http.Handler {
	parts := make([]prometheus.TransactionalGatherer, len(s.Metrics))
	for i, g := range s.Metrics {
		parts[i] = prometheus.ToTransactionalGatherer(g)
	}
	return promhttp.HandlerForTransactional(prometheus.NewMultiTRegistry(parts...), promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// Each holds a page in memory until its client has read it.
		MaxRequestsInFlight: 8,
		ErrorLog:            slog.NewLogLogger(s.Logger.Handler(), slog.LevelError),
	})
}

func (s *server) report(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, s.Report())
}

func (s *server) audit(w http.ResponseWriter, _ *http.Request) error {
	if s.Audit == nil {
		return statusError{http.StatusNotFound, errors.New("there are no checklists here")}
	}
	return writeJSON(w, s.Audit())
}

func writeJSON(w http.ResponseWriter, value any) error {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
	return nil
}

func (s *server) page(w http.ResponseWriter, _ *http.Request) error {
	var body bytes.Buffer
	shown := view{Report: s.Report(), Version: s.Version}
	if s.Audit != nil {
		shown.Checklist = before(s.Audit())
	}
	if err := s.template.Execute(&body, shown); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body.Bytes())
	return nil
}

func healthy(w http.ResponseWriter, _ *http.Request) error {
	_, err := fmt.Fprintln(w, "drwatch is healthy.")
	return err
}

// ready tells whether everything has been looked at, so that what is unknown is
// unknown for a reason.
func (s *server) ready(w http.ResponseWriter, _ *http.Request) error {
	looked, total := 0, 0
	count := func(p readiness.ProbeReport) {
		total++
		if p.Looks > 0 {
			looked++
		}
	}
	r := s.Report()
	for _, d := range r.Datastores {
		for _, c := range d.Copies {
			count(c.Probe)
		}
	}
	for _, service := range r.Services {
		for _, p := range service.Parts {
			count(p.Probe)
		}
	}
	if looked < total {
		return statusError{http.StatusServiceUnavailable, fmt.Errorf("not ready: %d of %d copies and parts have been looked at", looked, total)}
	}
	_, err := fmt.Fprintln(w, "drwatch is ready.")
	return err
}

// reloadTimeout bounds how long whoever asks for a reload waits for it.
const reloadTimeout = 30 * time.Second

func (s *server) reload(w http.ResponseWriter, r *http.Request) error {
	if s.Reload == nil {
		return statusError{http.StatusForbidden, errors.New("reloading over HTTP is off: start drwatch with --web.enable-lifecycle, or send SIGHUP")}
	}
	ctx, cancel := context.WithTimeout(r.Context(), reloadTimeout)
	defer cancel()
	err := s.Reload(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return statusError{http.StatusGatewayTimeout, fmt.Errorf("the reload has not ended after %s and goes on, the old configuration is in force until it has: see whether the file can be read, then the log:\n%w", reloadTimeout, err)}
	case err != nil:
		return statusError{http.StatusInternalServerError, fmt.Errorf("the configuration was refused, the old one stays in force:\n%w", err)}
	}
	_, err = fmt.Fprintln(w, "reloaded.")
	return err
}
