package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/config"
)

// file is a configuration whose only copy does not exist: port 1 refuses.
func file(system string) (*config.Config, error) {
	c, _, err := config.Parse("drwatch.yaml", fmt.Appendf(nil, `
system: %s
instance: { name: test, region: central }
regions: { primary: west, standby: central }
datastores:
  - name: cache
    copies:
      - { name: primary, kind: primary, region: west, redis: { url: "redis://127.0.0.1:1" } }
`, system), os.LookupEnv)
	return c, err
}

// mount is where the configuration is: a read of it begins, and gives what is
// sent, at once or never.
type mount struct {
	begun   chan struct{}
	content chan string
	started atomic.Bool
}

func (m *mount) load() (*config.Config, error) {
	if !m.started.Swap(true) {
		return file("at-the-start")
	}
	m.begun <- struct{}{}
	system := <-m.content
	if system == "" {
		return nil, errors.New("the file is broken")
	}
	return file(system)
}

// start makes an app whose reloads hang until the mount gives something.
func start(t *testing.T, log io.Writer) (*App, *mount) {
	t.Helper()
	m := &mount{begun: make(chan struct{}), content: make(chan string)}
	a, err := New(t.Context(), Options{
		Load: m.load, Listen: "127.0.0.1:0", Lifecycle: true, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.stop(context.Background())) })
	return a, m
}

// lines is a log that tells what is written into it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// Who asks for a reload over HTTP, of a file on a mount that is dead, hears so
// and does not wait for ever; when the mount comes back, the new file counts.
func TestReload_EndsWithItsContextAndGoesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	log := make(lines, 10)
	a, mount := start(t, log)
	reload := a.webOptions().Reload
	hangs := func(want string) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- reload(ctx) }()
		if want == "" {
			<-mount.begun
		}
		cancel()
		err := <-ended
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, want)
	}
	hangs("")
	hangs("earlier reload") // none is begun beside it
	require.Equal(t, "at-the-start", a.Report().System)

	mount.content <- "back"
	require.Contains(t, <-log, "configuration loaded")
	require.Equal(t, "back", a.Report().System)

	hangs("")
	mount.content <- ""
	require.Contains(t, <-log, "the file is broken", "nobody else tells that it was refused")
	require.Equal(t, "back", a.Report().System)

	go func() { <-mount.begun; mount.content <- "again" }()
	require.NoError(t, reload(t.Context()))
	require.Equal(t, "again", a.Report().System)
}

// A reload that hangs must not keep the process from stopping at SIGTERM:
// what does not stop is killed, with whatever it was doing.
func TestRun_StopsWhileAReloadHangs(t *testing.T) {
	defer goleak.VerifyNone(t)
	a, mount := start(t, io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	hangups, ended := make(chan os.Signal, 1), make(chan error, 1)
	go func() { ended <- a.Run(ctx, hangups) }()
	hangups <- syscall.SIGHUP
	<-mount.begun
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(stopTimeout):
		require.Fail(t, "it does not stop")
	}
	mount.content <- "" // the reload ends as well
}
