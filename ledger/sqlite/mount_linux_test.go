package sqlite_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// canMount reports whether this user may mount a disk.
func canMount(t testing.TB) bool {
	t.Helper()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m"); err != nil {
		return false
	}
	require.NoError(t, syscall.Unmount(folder, 0))
	return true
}

// smallDisk mounts a disk of so many mebibytes, until the test ends.
func smallDisk(t testing.TB, folder string, mebibytes int) {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
}

// readOnlyView gives a folder under another path, at which nothing can be written.
func readOnlyView(t *testing.T, folder string) string {
	t.Helper()
	if !canMount(t) {
		t.Skip("only root can mount a disk read-only")
	}
	view := t.TempDir()
	require.NoError(t, syscall.Mount(folder, view, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(view, syscall.MNT_DETACH)) })
	require.NoError(t, syscall.Mount("", view, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	return view
}
