package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
)

// buffer may be written by a command while the test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// This is the first thing that a new user does: the lab comes up, is watched, is
// broken and healed by the commands that it prints, and goes away at Ctrl-C.
func TestLab_UpServeBreakHeal(t *testing.T) {
	if missing := lab.Missing(); len(missing) > 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("missing: %v", missing)
		}
		t.Skipf("missing: %v", missing)
	}
	dir, err := os.MkdirTemp("", "drwatch-lab-test-") //nolint:usetesting // PostgreSQL's user has to reach it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	dir = filepath.Join(dir, "lab")
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	address := freeAddress(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var out, errs buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"lab", "up", "--serve", "--dir", dir, "--web.listen-address", address}, streams{out: &out, err: &errs})
	}()
	defer interrupt()
	eventually(t, "the lab to come up", func() bool { return strings.Contains(out.String(), "The page is at http://"+address) })
	eventually(t, "everything to be looked at", func() bool { code, _ := get("http://" + address + "/-/ready"); return code == http.StatusOK })

	file := filepath.Join(dir, "drwatch.yaml")
	check := func() int {
		code, _, _ := command(t, "check", "--config.file", file, "--scenario", "region-failure")
		return code
	}
	eventually(t, "the lab to be ready", func() bool { return check() == exitOK })
	code, text, _ := command(t, "lab", "break", "link-cut", "--dir", dir)
	require.Equal(t, exitOK, code)
	require.Equal(t, "broken: link-cut\n", text)
	_, status, _ := command(t, "lab", "status", "--dir", dir)
	require.Contains(t, status, "broken: link-cut")
	for _, server := range []string{"postgres standby", "redis primary, over the link", "API standby", "resolver"} {
		require.Contains(t, status, server)
	}
	eventually(t, "the cut to be told", func() bool { return check() == exitNotReady })
	code, _, text = command(t, "lab", "up", "--dir", dir)
	require.Equal(t, exitFailed, code, "a second lab in the same folder")
	require.Contains(t, text, dir)
	code, _, _ = command(t, "lab", "heal", "link-cut", "--dir", dir)
	require.Equal(t, exitOK, code)
	eventually(t, "the lab to be ready again", func() bool { return check() == exitOK })

	interrupt()
	require.Equal(t, exitOK, <-ended, errs.String())
	require.Contains(t, out.String(), "the lab is down")
}
