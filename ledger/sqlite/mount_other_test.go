//go:build !linux

package sqlite_test

import "testing"

// canMount reports that we do not know how to mount a disk here.
func canMount(testing.TB) bool { return false }

func smallDisk(t testing.TB, _ string, _ int) { t.Fatal("we do not know how to mount a disk here") }

func readOnlyView(t *testing.T, _ string) string {
	t.Skip("we do not know how to mount a disk here")
	return ""
}
