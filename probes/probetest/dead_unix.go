//go:build unix

package probetest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// DeadFile gives the path of a file that hangs whoever reads it, as one on a
// mount that is dead does, until the test ends.
func DeadFile(t testing.TB) string {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	t.Cleanup(func() { // lets the read end
		w, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	})
	return pipe
}
