package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/drwatch/drwatch/collectors"
	"github.com/drwatch/drwatch/config"
)

// logTo is the log of a command that does one thing and ends: what goes wrong.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// version is set by the linker in releases.
var version = "dev"

// The exit codes of every command.
const (
	exitOK       = 0
	exitNotReady = 1 // the answer is no
	exitFailed   = 2 // there is no answer: bad usage, bad file, nothing there
)

// errNotReady ends a command that did its work and whose answer is no.
var errNotReady = errors.New("not ready")

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNotReady):
		return exitNotReady
	default:
		_, _ = fmt.Fprintln(s.err, "drwatch:", err)
		return exitFailed
	}
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "drwatch",
		Short: "Watch whether a standby region is ready to take over",
		Long: `drwatch answers one question, again and again, and proves the answer: if the
primary region died now, how much data would be lost, and could it be recovered?

Exit codes of all commands: 0 yes, 1 no (not ready), 2 no answer (bad usage,
bad file, nothing there).`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newServe(s), newCheck(s), newConfig(s), newLab(s), newAudit(s), newAttest(s), newLedger(s), newVersion(s))
	return root
}

// configFlag adds the flag that names the configuration.
func configFlag(c *cobra.Command) *string {
	path := c.Flags().String("config.file", "drwatch.yaml", "the configuration `file`")
	_ = c.MarkFlagFilename("config.file", "yaml", "yml")
	return path
}

// load reads the configuration, and tells what in it is likely to be a mistake.
func load(path string, warn func(string)) (*config.Config, error) {
	cfg, warnings, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		warn(w.Error())
	}
	return cfg, nil
}

// logFlags adds the flags of the log; the function makes it once they are parsed.
func logFlags(c *cobra.Command, s streams, standard string) func() (*slog.Logger, error) {
	level := c.Flags().String("log.level", standard, "log this and worse: debug, info, warn, error")
	format := c.Flags().String("log.format", "logfmt", "logfmt or json")
	return func() (*slog.Logger, error) {
		var l slog.Level
		if err := l.UnmarshalText([]byte(*level)); err != nil {
			return nil, fmt.Errorf("--log.level %q: one of debug, info, warn, error", *level)
		}
		o := &slog.HandlerOptions{Level: l}
		switch *format {
		case "logfmt":
			return slog.New(slog.NewTextHandler(s.err, o)), nil
		case "json":
			return slog.New(slog.NewJSONHandler(s.err, o)), nil
		default:
			return nil, fmt.Errorf("--log.format %q: logfmt or json", *format)
		}
	}
}

// terminal reports whether w is one, and so whether colours and progress please.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// build says what is running.
func build() collectors.Build {
	b := collectors.Build{Version: version, Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Revision = setting.Value
		}
	}
	return b
}
