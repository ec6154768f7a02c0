package sqlite_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// killed has a process append, kills it, and gives how many events it was told are
// there. What it wrote ahead is left as it was.
func killed(t *testing.T, path string, acknowledgements int) (known uint64) {
	t.Helper()
	command := program(t, "write", path)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	for lines := bufio.NewScanner(output); lines.Scan(); acknowledgements-- {
		known, err = strconv.ParseUint(lines.Text(), 10, 64)
		require.NoError(t, err)
		if acknowledgements == 0 {
			require.NoError(t, command.Process.Kill())
		}
	}
	require.Error(t, command.Wait(), "it was killed")
	return known
}

// What was written ahead has no copy elsewhere: SQLite would leave out silently what
// comes after a damaged frame, and with it events that were acknowledged.
func TestOpen_DamageInWhatWasWrittenAhead(t *testing.T) {
	const frame = 24 + 4096
	path := filepath.Join(t.TempDir(), "ledger.db")
	known := killed(t, path, 40)
	ahead, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	frames := (len(ahead) - 32) / frame
	require.Greater(t, frames, 100)
	put := func(ahead []byte) {
		require.NoError(t, os.WriteFile(path, file, 0o600))
		require.NoError(t, os.WriteFile(path+"-wal", ahead, 0o600))
		require.NoError(t, os.RemoveAll(path+"-shm"))
	}
	changed := func(at int) []byte {
		bad := append([]byte(nil), ahead...)
		bad[at] ^= 0x10
		return bad
	}
	for what, bad := range map[string][]byte{
		"the mark at its beginning": changed(1), "the size of pages": changed(10), "the salt": changed(17), "the sum of its beginning": changed(25),
		"the first page": changed(32 + 500), "a page in the middle": changed(32 + frames/2*frame + 100), "a number of a page": changed(32 + frames/2*frame + 3),
		"a salt of a frame": changed(32 + frames/2*frame + 9), "a sum of a frame": changed(32 + frames/2*frame + 17),
	} {
		put(bad)
		_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		require.ErrorIs(t, err, ledger.ErrCorrupt, what)
		require.ErrorContains(t, err, path+"-wal", what)
		after, err := os.ReadFile(path + "-wal")
		require.NoError(t, err)
		require.Len(t, after, len(bad), "%s: it is left as it was", what)
	}
	for what, well := range map[string][]byte{
		"as it was": ahead, "broken off within a frame": ahead[:len(ahead)-100],
		"a last frame that was not written whole": changed(len(ahead) - 100), "a beginning that was not written": ahead[:20], "nothing": nil,
	} {
		put(well)
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		require.NoError(t, err, what)
		x, err := ledger.Verify(t.Context(), s, nil)
		require.NoError(t, err, what)
		if what == "as it was" {
			require.GreaterOrEqual(t, x.Last, known)
		}
		require.NoError(t, s.Close())
	}
}

// An older row of frames lies behind the newest one when the file is used again:
// that is no damage.
func TestOpen_OlderFramesBehindTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	known := killed(t, path, 40)
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.NoError(t, err)
	_, err = raw(t, path).ExecContext(t.Context(), "PRAGMA wal_checkpoint(RESTART)")
	require.NoError(t, err)
	add(t, s, 1) // at the beginning of what was written ahead
	ahead, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	const frame = 24 + 4096
	require.NotEqual(t, binary.BigEndian.Uint64(ahead[32+8:]), binary.BigEndian.Uint64(ahead[len(ahead)/frame/2*frame+32+8:]), "there are older frames")
	other := open(t, sqlite.Options{Path: path})
	x, err := ledger.Verify(t.Context(), other, nil)
	require.NoError(t, err)
	require.Greater(t, x.Last, known)
	require.NoError(t, s.Close())
}

// One who opens a ledger while another process writes into it at full speed must
// not take what is just being written for damage, and must have his turn.
func TestOpen_WhileAnotherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	command := program(t, "write", path)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	lines := bufio.NewScanner(output)
	for range 20 {
		require.True(t, lines.Scan())
		for range 5 {
			require.True(t, lines.Scan())
		}
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, CheckTime: -1})
		require.NoError(t, err)
		add(t, s, 1)
		require.NoError(t, s.Close())
	}
	require.NoError(t, command.Process.Kill())
	_, _ = io.Copy(io.Discard, output)
	require.Error(t, command.Wait(), "it was killed")
	_, err = ledger.Verify(t.Context(), open(t, sqlite.Options{Path: path}), nil)
	require.NoError(t, err)
}

// A process that has hung itself up while it writes must be found, and must not
// keep others from reading.
func TestAppend_LockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := open(t, sqlite.Options{Path: path, BusyTimeout: 300 * time.Millisecond})
	want := add(t, s, 3)
	command := program(t, "hold", path)
	input, err := command.StdinPipe()
	require.NoError(t, err)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	require.True(t, bufio.NewScanner(output).Scan())

	begun := time.Now()
	next := ledger.Append{Stream: "run/1", After: 3, Drafts: steps(3, 1)}
	_, err = s.Append(t.Context(), next)
	require.ErrorIs(t, err, ledger.ErrLocked)
	require.GreaterOrEqual(t, time.Since(begun), 300*time.Millisecond)
	if _, noLocks := os.Stat("/proc/locks"); noLocks == nil {
		require.ErrorContains(t, err, "process "+strconv.Itoa(command.Process.Pid)+" (")
	}
	_, err = s.Acquire(t.Context(), "executor", "a", time.Hour)
	require.ErrorIs(t, err, ledger.ErrLocked)
	x, err := ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err, "reading works")
	require.EqualValues(t, len(want), x.Last)
	other := open(t, sqlite.Options{Path: path, ReadOnly: true})
	x, err = ledger.Verify(t.Context(), other, nil)
	require.NoError(t, err, "and so does opening for it")
	require.EqualValues(t, len(want), x.Last)
	hurried, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Append(hurried, next)
	require.ErrorIs(t, err, context.DeadlineExceeded, "who has less time than that is not kept")

	require.NoError(t, input.Close())
	require.Error(t, command.Wait())
	_, err = s.Append(t.Context(), next)
	require.NoError(t, err)
}

// What a disk holds that has failed to read-only is the evidence of what was done
// before it did.
func TestOpen_ReadOnlyDisk(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, path string) uint64{
		"closed": func(t *testing.T, path string) uint64 { return uint64(len(filled(t, path, 30))) },
		"killed": func(t *testing.T, path string) uint64 { return killed(t, path, 10) },
		"a backup": func(t *testing.T, path string) uint64 {
			filled(t, path+".original", 30)
			require.NoError(t, open(t, sqlite.Options{Path: path + ".original"}).Backup(t.Context(), path))
			return 30
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			known := leave(t, filepath.Join(folder, "ledger.db"))
			path := filepath.Join(readOnlyView(t, folder), "ledger.db")
			for _, o := range []sqlite.Options{{Path: path}, {Path: path, ReadOnly: true}} {
				s := open(t, o)
				x, err := ledger.Verify(t.Context(), s, nil)
				require.NoError(t, err)
				require.GreaterOrEqual(t, x.Last, known)
				_, err = s.Append(t.Context(), ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: steps(0, 1)})
				require.ErrorIs(t, err, ledger.ErrReadOnly)
				require.ErrorContains(t, err, path)
			}
			_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path + "2"})
			require.ErrorIs(t, err, ledger.ErrReadOnly, "none can be made")
		})
	}
}

// What was written ahead cannot be read without the third file, and that cannot be
// made on such a disk: to leave it out silently would hide the newest events.
func TestOpen_ReadOnlyDiskWithoutIndex(t *testing.T) {
	folder := t.TempDir()
	killed(t, filepath.Join(folder, "ledger.db"), 10)
	require.NoError(t, os.Remove(filepath.Join(folder, "ledger.db-shm")))
	path := filepath.Join(readOnlyView(t, folder), "ledger.db")
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.ErrorContains(t, err, path+"-wal beside it")
}

// A user without the right to the file must be told so, rather than of damage.
func TestOpen_NotPermitted(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root is permitted everything")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	filled(t, path, 3)
	require.NoError(t, os.Chmod(path, 0))
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.ErrorContains(t, err, "see whom its folder, the file and "+path+"-wal beside it belong to")
	require.NotErrorIs(t, err, ledger.ErrCorrupt)
}

// A disk that is full when drwatch starts must be told as that.
func TestOpen_FullDisk(t *testing.T) {
	if !canMount(t) {
		t.Skip("only root can mount a small disk")
	}
	folder := t.TempDir()
	smallDisk(t, folder, 4)
	path := filepath.Join(folder, "ledger.db")
	want := filled(t, path, 30)
	room := fill(t, folder)
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path + "2"})
	require.ErrorIs(t, err, ledger.ErrFull, "none can be made")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.ErrorIs(t, err, ledger.ErrFull)
	require.Nil(t, s)
	room()
	files, err := filepath.Glob(filepath.Join(folder, "*ledger.db2*"))
	require.NoError(t, err)
	require.Empty(t, files, "nothing is left over")
	s = open(t, sqlite.Options{Path: path})
	x, err := ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err)
	require.EqualValues(t, len(want), x.Last)
	room = fill(t, folder)
	require.ErrorIs(t, s.Backup(t.Context(), filepath.Join(folder, "backup.db")), ledger.ErrFull)
	room()
	require.NoFileExists(t, filepath.Join(folder, "backup.db"))
	require.NoError(t, s.Backup(t.Context(), filepath.Join(folder, "backup.db")))
}
