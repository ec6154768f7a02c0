// Package app wires the rooms of drwatch together: configuration, probes,
// monitor, metrics and web. It alone knows every concrete type. What can fail at
// the start fails in New, before anything runs; what was made is taken down in
// reverse.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/drwatch/drwatch/collectors"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/monitor"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/web"
)

// Options say what to run.
type Options struct {
	// Load reads the configuration, at the start and at each reload.
	Load func() (*config.Config, error)
	// Listen is where to serve HTTP, host:port; port 0 takes any.
	Listen string
	// WebConfigFile switches TLS and authentication on, in the format of the
	// Prometheus exporter toolkit; empty means neither.
	WebConfigFile string
	// Lifecycle allows to reload over HTTP.
	Lifecycle bool
	// Pprof serves profiles of the process.
	Pprof  bool
	Build  collectors.Build
	Logger *slog.Logger
}

// App is drwatch as a daemon.
type App struct {
	options  Options
	log      *slog.Logger
	own      *collectors.Own
	monitor  *monitor.Monitor
	listener net.Listener
	server   *http.Server

	concurrency int            // as at the start
	ledger      *config.Ledger // the same

	probers atomic.Pointer[probers] // of the configuration in force; a reload replaces them
	keeper  *keeper

	reloading chan struct{} // holds one place: one reload at a time
	teardowns []teardown
}

// teardown ends one thing that was made, within ctx.
type teardown struct {
	name string
	run  func(ctx context.Context) error
}

// New makes everything and binds the address, and looks at nothing yet.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{options: o, log: o.Logger, own: collectors.NewOwn(o.Build), reloading: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.stop(ctx))
		}
	}()
	cfg, err := o.Load()
	if err != nil {
		return nil, err
	}
	probers := newProbers(cfg, a.own)
	a.probers.Store(probers)
	a.onStop("connections to the cloud", func(context.Context) error { a.probers.Load().close(); return nil })
	targets, err := probers.targets(cfg)
	if err != nil {
		return nil, err
	}
	if err := toolkit.Validate(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("read the web configuration %s: %w", o.WebConfigFile, err)
	}
	a.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP (choose another address with --web.listen-address): %w", err)
	}
	a.concurrency, a.ledger = cfg.Concurrency, cfg.Ledger
	a.onStop("listener", func(context.Context) error { return closed(a.listener.Close()) })
	a.monitor = monitor.New(monitor.Options{
		System: cfg.System(), Targets: targets, Concurrency: cfg.Concurrency,
		Recorder: a.own, Logger: a.log.With("component", "monitor"),
	})
	a.onStop("monitor", func(context.Context) error { a.monitor.Stop(); return nil })
	a.keeper = newKeeper(cfg, o, a.monitor.Report)
	a.onStop("ledger", a.keeper.close)
	handler, err := web.New(a.webOptions())
	if err != nil {
		return nil, err
	}
	a.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	a.onStop("web server", func(ctx context.Context) error {
		// A client that does not let go of its connection loses it.
		drain, cancel := context.WithTimeout(ctx, drainTimeout)
		defer cancel()
		if a.server.Shutdown(drain) != nil {
			return a.server.Close()
		}
		return nil
	})
	a.own.ConfigLoaded(time.Now())
	return a, nil
}

func (a *App) webOptions() web.Options {
	checklists := prometheus.NewRegistry()
	checklists.MustRegister(collectors.NewAudit(a.keeper.audit, a.keeper.state))
	o := web.Options{
		Report:  a.monitor.Report,
		Metrics: []prometheus.Gatherer{collectors.NewSystem(a.monitor.Report), checklists, a.own.Registry()},
		Audit:   a.keeper.audit,
		Pprof:   a.options.Pprof,
		Version: a.options.Build.Version,
		Logger:  a.log.With("component", "web"),
	}
	if a.options.Lifecycle {
		o.Reload = a.Reload
	}
	return o
}

// closed ignores that something was closed already: the HTTP server closes its
// listener itself.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (a *App) onStop(name string, run func(context.Context) error) {
	a.teardowns = append(a.teardowns, teardown{name, run})
}

// Addr is where HTTP is served.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Report gives the report of this moment.
func (a *App) Report() *readiness.Report { return a.monitor.Report() }

// stopTimeout bounds an orderly stop, drainTimeout that part of it in which
// requests under way are answered.
const (
	stopTimeout  = 4 * time.Second
	drainTimeout = 2 * time.Second
)

// Run looks and serves until ctx ends or serving fails, reloads at each signal,
// and stops in good order.
func (a *App) Run(ctx context.Context, reload <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	a.monitor.Start()
	a.keeper.start()
	go func() {
		defer cancel() // also ends the wait for a reload
		served <- a.serve()
	}()
	for {
		select {
		case <-reload:
			if err := a.Reload(ctx); err != nil && ctx.Err() == nil {
				a.log.Error(notReloaded, "error", err)
			}
		case <-ctx.Done():
			err := a.stopInTime()
			return errors.Join(<-served, err)
		}
	}
}

func (a *App) serve() error {
	noSystemd := false
	err := toolkit.Serve(a.listener, a.server, &toolkit.FlagConfig{
		WebListenAddresses: &[]string{a.options.Listen}, WebSystemdSocket: &noSystemd, WebConfigFile: &a.options.WebConfigFile,
	}, a.log.With("component", "web"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTP: %w", err)
}

func (a *App) stopInTime() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return a.stop(ctx)
}

// stop takes down what was made, newest first.
func (a *App) stop(ctx context.Context) error {
	var errs []error
	for _, t := range slices.Backward(a.teardowns) {
		if err := t.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop the %s: %w", t.name, err))
		}
	}
	a.teardowns = nil
	return errors.Join(errs...)
}

const notReloaded = "reload the configuration: refused, the old one stays in force"

// Reload loads the configuration anew and puts it in force. When it is refused,
// nothing has changed. No context ends the reading of a file from a mount that is
// dead: when ctx ends first, Reload returns its error, the reload goes on by
// itself, and the log tells what becomes of it.
func (a *App) Reload(ctx context.Context) error {
	select {
	case a.reloading <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier reload, which still reads the configuration: %w", ctx.Err())
	}
	outcome := make(chan error)
	go func() {
		err := a.reload()
		<-a.reloading
		select {
		case outcome <- err:
		case <-ctx.Done():
			if err != nil {
				a.log.Error(notReloaded, "error", err)
			}
		}
	}()
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return fmt.Errorf("read the configuration: %w", ctx.Err())
	}
}

func (a *App) reload() error {
	cfg, err := a.options.Load()
	if err != nil {
		a.own.ConfigRefused()
		return err
	}
	next := newProbers(cfg, a.own)
	targets, err := next.targets(cfg)
	if err != nil {
		a.own.ConfigRefused()
		return err
	}
	a.monitor.Reload(cfg.System(), targets)
	a.probers.Swap(next).close()
	a.keeper.use(cfg)
	a.own.ConfigLoaded(time.Now())
	if !reflect.DeepEqual(cfg.Ledger, a.ledger) {
		a.log.Warn("the ledger is another one in the file, and counts from the next start on")
	}
	if cfg.Concurrency != a.concurrency {
		a.log.Warn("concurrency has changed in the file, and counts from the next start on", "was", a.concurrency, "is", cfg.Concurrency)
	}
	a.log.Info("configuration loaded", "datastores", len(cfg.System().Datastores), "services", len(cfg.System().Services), "targets", len(targets))
	return nil
}

// Check looks at everything once and reports on the scenarios, or on all of them
// when none is named. progress may be nil.
func Check(ctx context.Context, cfg *config.Config, scenarios []readiness.Scenario, log *slog.Logger, progress func(done, total int)) (*readiness.Report, error) {
	probers := newProbers(cfg, nil)
	defer probers.close()
	targets, err := probers.targets(cfg)
	if err != nil {
		return nil, err
	}
	system := cfg.System()
	system.Datastores = slices.Clone(system.Datastores)
	if len(scenarios) > 0 {
		system.Scenarios = slices.DeleteFunc(slices.Clone(system.Scenarios), func(o readiness.ScenarioObjective) bool {
			return !slices.Contains(scenarios, o.Scenario)
		})
	}
	system.Services = slices.Clone(system.Services)
	for i, d := range system.Datastores { // a single look does not grow old before it is told
		system.Datastores[i].Copies = slices.Clone(d.Copies)
		for j := range d.Copies {
			system.Datastores[i].Copies[j].StaleAfter = 0
		}
	}
	for i, s := range system.Services {
		system.Services[i].Parts = slices.Clone(s.Parts)
		for j := range s.Parts {
			system.Services[i].Parts[j].StaleAfter = 0
		}
	}
	m := monitor.New(monitor.Options{System: system, Targets: targets, Concurrency: cfg.Concurrency, Logger: log})
	m.LookOnce(ctx, progress)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look at everything: %w", err)
	}
	return m.Report(), nil
}
