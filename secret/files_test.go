//go:build unix

package secret

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hung makes files of which every read hangs, as on a mount that is dead: pipes
// into which nobody writes. They come back to life when the test ends.
func hung(t *testing.T, f *files, folders ...string) []string {
	t.Helper()
	paths := make([]string, len(folders))
	for i, folder := range folders {
		paths[i] = filepath.Join(folder, fmt.Sprint("hung-", i))
		require.NoError(t, syscall.Mkfifo(paths[i], 0o600))
	}
	t.Cleanup(func() {
		require.Eventually(t, func() bool {
			for _, path := range paths {
				if pipe, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					_ = pipe.Close()
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.underWay) == 0
		}, 10*time.Second, time.Millisecond, "every read ends when its mount is back")
	})
	return paths
}

// giveUp asks for all files, some times each, until it has no more time.
func giveUp(t *testing.T, times int, paths []string, read func(context.Context, string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var looks sync.WaitGroup
	errs := make([]error, times*len(paths))
	for i := range errs {
		looks.Go(func() { errs[i] = read(ctx, paths[i%len(paths)]) })
	}
	looks.Wait()
	for i, err := range errs {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, paths[i%len(paths)], "it says which file it is")
	}
}

// reads counts the reads that have a thread each, once all have got as far as
// they get.
func reads(t *testing.T, all int) (threads int) {
	t.Helper()
	stacks := make([]byte, 1<<22)
	require.Eventually(t, func() bool {
		waiting := 0
		threads = 0
		for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			switch state, _, _ := strings.Cut(stack, "\n"); {
			case strings.Contains(state, "[syscall") && strings.Contains(stack, "os.ReadFile"):
				threads++
			case strings.Contains(state, "[chan send") && strings.Contains(stack, "(*files).fetch"):
				waiting++
			}
		}
		return threads+waiting == all
	}, 10*time.Second, time.Millisecond)
	return threads
}

func fromFile(ctx context.Context, path string) error {
	_, err := Source{File: path}.Read(ctx)
	return err
}

func goodFile(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "good")
	require.NoError(t, os.WriteFile(path, []byte("hunter2"), 0o600))
	return path
}

// With the passwords of thousands of copies on one network mount, a dead mount
// must not take the process with it, nor those whose passwords are elsewhere.
func TestSource_DeadMountTakesFewThreads(t *testing.T) {
	paths := hung(t, disk, slices.Repeat([]string{t.TempDir()}, 100)...)
	giveUp(t, 3, paths, fromFile)
	require.Equal(t, perFolder, reads(t, len(paths)))
	require.NoError(t, fromFile(t.Context(), goodFile(t, t.TempDir())))
}

// One dead file, as a link to a dead mount is, harms nobody beside it, however
// often and by however many it is asked for.
func TestSource_DeadFileTakesOneThread(t *testing.T) {
	folder := t.TempDir()
	paths := hung(t, disk, folder)
	giveUp(t, 2*perFolder, paths, fromFile)
	require.Equal(t, 1, reads(t, 1))
	require.NoError(t, fromFile(t.Context(), goodFile(t, folder)))
}

// The passwords may be in thousands of folders as well.
func TestFiles_DeadFoldersTakeNoMoreThreadsThanThereAre(t *testing.T) {
	f := newFiles(3)
	folders := make([]string, 10)
	for i := range folders {
		folders[i] = t.TempDir()
	}
	paths := hung(t, f, folders...)
	giveUp(t, 1, paths, func(ctx context.Context, path string) error {
		_, err := f.read(ctx, path)
		return err
	})
	require.Equal(t, 3, reads(t, len(paths)))
}

// A password that was rotated is the new one at the next look.
func TestSource_ReadsAnew(t *testing.T) {
	path := goodFile(t, t.TempDir())
	for _, want := range []string{"hunter3", "hunter4"} {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o600))
		got, err := Source{File: path}.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got.Reveal())
	}
}
