package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/app"
	"github.com/drwatch/drwatch/config"
)

// webFlags are the flags of everything that serves HTTP.
type webFlags struct {
	listen, config   *string
	lifecycle, pprof *bool
}

func newWebFlags(c *cobra.Command) webFlags {
	f := c.Flags()
	return webFlags{
		listen:    f.String("web.listen-address", ":9750", "serve HTTP on this `address`"),
		config:    f.String("web.config.file", "", "TLS and authentication, a `file` in the format of the Prometheus exporter toolkit"),
		lifecycle: f.Bool("web.enable-lifecycle", false, "allow to reload the configuration by POST /-/reload"),
		pprof:     f.Bool("web.enable-pprof", false, "serve profiles of the process under /debug/pprof/"),
	}
}

func newServe(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Watch, and serve metrics and the page",
		Long: `Watch everything in the configuration, and serve what is known: /metrics for
Prometheus, / for people, /api/v1/report as JSON, /-/healthy and /-/ready.

SIGHUP loads the configuration anew; one with a mistake is refused and the old
one stays in force. SIGTERM and Ctrl-C stop within 5 s.`,
		Args: cobra.NoArgs,
	}
	path, logger, web := configFlag(c), logFlags(c, s, "info"), newWebFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := logger()
		if err != nil {
			return err
		}
		return serve(c.Context(), web, log, func() (*config.Config, error) {
			return load(*path, func(w string) { log.Warn("configuration", "warning", w) })
		}, nil)
	}
	return c
}

// serve runs the daemon until ctx ends; ready, which may be nil, is told where it listens.
func serve(ctx context.Context, web webFlags, log *slog.Logger, load func() (*config.Config, error), ready func(address string)) error {
	// Who reads our log may die. A write to stdout or stderr would then end the
	// process (os/signal, "SIGPIPE"), unless somebody is notified; to ignore the
	// signal would do as well, but processes that we start would inherit it. It
	// stays so to the end: the last lines are written when the daemon has stopped.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before anything slow: it would end the process otherwise
	defer signal.Stop(hangups)
	a, err := app.New(ctx, app.Options{
		Load: load, Listen: *web.listen, WebConfigFile: *web.config, Lifecycle: *web.lifecycle, Pprof: *web.pprof,
		Build: build(), Logger: log,
	})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if ready != nil {
		ready(a.Addr().String())
	}
	return a.Run(ctx, hangups)
}
