package sqlite_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

func open(t testing.TB, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func add(t testing.TB, s ledger.Store, n int) []ledger.Event {
	t.Helper()
	events, err := s.Append(t.Context(), ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: steps(0, n)})
	require.NoError(t, err)
	return events
}

// What cannot be a ledger must be told with what to do, and left as it is: a new
// one in its place would say that nothing ever happened.
func TestOpen_Refused(t *testing.T) {
	database := func(statements string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			_, err := raw(t, path).ExecContext(t.Context(), statements)
			require.NoError(t, err)
		}
	}
	file := func(text string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	}
	for name, tt := range map[string]struct {
		make func(t *testing.T, path string)
		path string // within the folder; empty is ledger.db
		is   error
		says string
		read bool
	}{
		"no folder":            {path: "missing/ledger.db", says: "is not there: make it, or correct the path"},
		"a file for a folder":  {path: "file/ledger.db", make: func(t *testing.T, path string) { file("x")(t, filepath.Dir(path)) }, says: "is no folder"},
		"a folder for a file":  {make: func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) }, says: "that is no file"},
		"nothing to read":      {read: true, says: "there is no ledger: correct the path"},
		"an empty file":        {make: file(""), is: ledger.ErrCorrupt, says: "its file has 0 bytes, which is no ledger any more"},
		"a text":               {make: file(strings.Repeat("this is no ledger\n", 1000)), is: ledger.ErrCorrupt, says: "file is not a database"},
		"zeros":                {make: file(strings.Repeat("\x00", 8192)), is: ledger.ErrCorrupt, says: "file is not a database"},
		"a few bytes":          {make: file("SQLite format 3\x00"), is: ledger.ErrCorrupt, says: "its file has 16 bytes"},
		"another's database":   {make: database("PRAGMA application_id=1; CREATE TABLE festivals (name)"), says: "no ledger (its application id is 1): correct the path"},
		"an unmarked database": {make: database("CREATE TABLE events (position INTEGER PRIMARY KEY)"), says: "no ledger (its application id is 0)"},
		"one of a newer drwatch": {make: database("PRAGMA application_id=1685223244; PRAGMA user_version=99; CREATE TABLE ledger (x)"),
			says: "a newer drwatch has written it (version 99 of its tables, this one knows 1)"},
		"one without its tables": {make: database("PRAGMA application_id=1685223244; PRAGMA user_version=1; CREATE TABLE x (x)"), is: ledger.ErrCorrupt, says: "its tables are not those of a ledger"},
		"only what was written ahead": {path: "ledger.db", make: func(t *testing.T, path string) { file("xxxx")(t, path+"-wal") }, is: ledger.ErrCorrupt,
			says: "its file is gone, while"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, tt.path)
			if tt.path == "" {
				path = filepath.Join(folder, "ledger.db")
			}
			if tt.make != nil {
				tt.make(t, path)
			}
			before, _ := os.ReadFile(path) // where there is one
			_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: tt.read})
			require.ErrorContains(t, err, tt.says)
			require.ErrorContains(t, err, path, "it says which file")
			require.Equal(t, tt.is != nil, isDamage(err))
			after, _ := os.ReadFile(path)
			require.True(t, bytes.Equal(before, after), "it is left as it was")
		})
	}
}

func isDamage(err error) bool { return strings.Contains(err.Error(), ledger.ErrCorrupt.Error()) }

// A cut file has lost events that somebody has acted upon.
func TestOpen_CutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	want := filled(t, path, 300)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, keep := range []int{1, 50, 99, 100, 4095, 4096, 8192, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		require.NoError(t, os.WriteFile(path, whole[:keep], 0o600))
		_, err := told(t, path, want)
		require.ErrorIs(t, err, ledger.ErrCorrupt, "%d of %d bytes", keep, len(whole))
	}
}

// Others on the machine must not read what the runbooks do.
func TestOpen_ForTheOwnerAlone(t *testing.T) {
	folder := t.TempDir()
	s := open(t, sqlite.Options{Path: filepath.Join(folder, "ledger.db")})
	add(t, s, 3)
	require.NoError(t, s.Backup(t.Context(), filepath.Join(folder, "backup.db")))
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		info, err := file.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file.Name())
		names = append(names, file.Name())
	}
	require.Equal(t, []string{"backup.db", "ledger.db", "ledger.db-shm", "ledger.db-wal"}, names, "and nothing is left over")
}

// Processes that are started together must come to have the same ledger.
func TestOpen_ManyAtOnce(t *testing.T) {
	const many = 12
	path := filepath.Join(t.TempDir(), "odd name?#%20 é.db")
	var together errgroup.Group
	stores := make([]*sqlite.Store, many)
	for i := range many {
		together.Go(func() (err error) {
			if stores[i], err = sqlite.Open(t.Context(), sqlite.Options{Path: path}); err != nil {
				return err
			}
			_, err = stores[i].Append(t.Context(), ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: steps(i, 1)})
			return err
		})
	}
	require.NoError(t, together.Wait())
	for _, s := range stores {
		x, err := s.Extent(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, many, x.Last)
	}
	for _, s := range stores {
		require.NoError(t, s.Close())
	}
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing is left over")
}

// A look at a ledger that is too large to be looked at must not keep drwatch from
// starting in a disaster.
func TestOpen_CheckTimeIsUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	want := filled(t, path, 3000)
	s := open(t, sqlite.Options{Path: path, CheckTime: time.Nanosecond})
	x, err := ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err)
	require.EqualValues(t, len(want), x.Last)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sqlite.Open(ctx, sqlite.Options{Path: path})
	require.ErrorIs(t, err, context.Canceled, "its own time is up, not that of the look")
}

// One who removes or replaces the file while drwatch runs must not have it write
// into nothing, and acknowledge that.
func TestAppend_FileIsGone(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	s := open(t, sqlite.Options{Path: path})
	add(t, s, 1)
	require.NoError(t, os.Rename(path, path+".away"))
	_, err := s.Append(t.Context(), ledger.Append{Stream: "run/1", After: 1, Drafts: steps(1, 1)})
	require.ErrorIs(t, err, ledger.ErrCorrupt)
	require.ErrorContains(t, err, "was removed or replaced while it is in use")
	filled(t, filepath.Join(folder, "other.db"), 3)
	require.NoError(t, os.Rename(filepath.Join(folder, "other.db"), path))
	_, err = s.Append(t.Context(), ledger.Append{Stream: "run/1", After: 1, Drafts: steps(1, 1)})
	require.ErrorIs(t, err, ledger.ErrCorrupt)
	require.NoError(t, os.Rename(path+".away", path))
	add(t, s, 1)
	_, err = ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err)
}

// Whoever has the file and a mistake must not change what was written by it.
func TestTables_RefuseChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	filled(t, path, 30)
	db := raw(t, path)
	for _, statement := range []string{
		"UPDATE events SET actor = 'somebody' WHERE position = 7", "DELETE FROM events", "DELETE FROM events WHERE position = 30",
		"INSERT OR REPLACE INTO events SELECT position, stream, sequence, id, time, kind, 'somebody', body, previous, hash FROM events WHERE position = 7",
		"INSERT INTO events SELECT 31, stream, sequence, id, time, kind, actor, body, previous, hash FROM events WHERE position = 7",
		"INSERT INTO ledger SELECT 2, base, base_hash, last, head FROM ledger", "UPDATE ledger SET base = 31",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.Error(t, err, statement)
	}
	_, err := ledger.Verify(t.Context(), open(t, sqlite.Options{Path: path}), nil)
	require.NoError(t, err)
}

// A reader whose events are pruned in front of him must be told: silence would look
// like an event that was removed.
func TestEvents_PrunedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	filled(t, path, 900)
	s := open(t, sqlite.Options{Path: path})
	for _, backward := range []bool{false, true} {
		x, err := s.Extent(t.Context())
		require.NoError(t, err)
		var failed error
		for _, failed = range s.Events(t.Context(), ledger.Query{Backward: backward}) {
			if failed == nil {
				require.NoError(t, s.Prune(t.Context(), x.First+300))
			}
		}
		if backward {
			require.NoError(t, failed, "it ends where the ledger begins")
		} else {
			require.ErrorContains(t, failed, "were pruned while they were read: read again")
			require.NotErrorIs(t, failed, ledger.ErrCorrupt)
		}
	}
}

// A backup must be one ledger at one moment, while others write on, and be as good
// as the ledger itself.
func TestBackup_WhileOthersWrite(t *testing.T) {
	folder := t.TempDir()
	path, to := filepath.Join(folder, "ledger.db"), filepath.Join(folder, "backup.db")
	filled(t, path, 3000)
	s := open(t, sqlite.Options{Path: path})
	lease, err := s.Acquire(t.Context(), "executor", "a", time.Hour)
	require.NoError(t, err)
	require.NoError(t, s.Prune(t.Context(), 1000))
	before, err := s.Extent(t.Context())
	require.NoError(t, err)

	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: steps(0, 2)}) // it is verified below
			}
		})
	}
	require.NoError(t, s.Backup(t.Context(), to))
	stop()
	writers.Wait()
	after, err := ledger.Verify(t.Context(), s, nil)
	require.NoError(t, err)

	restored := open(t, sqlite.Options{Path: to})
	x, err := ledger.Verify(t.Context(), restored, nil)
	require.NoError(t, err)
	require.Equal(t, before.First, x.First)
	require.GreaterOrEqual(t, x.Last, before.Last)
	require.LessOrEqual(t, x.Last, after.Last)
	leases, err := restored.Leases(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ledger.Lease{lease}, leases)
	add(t, restored, 1)

	require.ErrorContains(t, s.Backup(t.Context(), to), "that file is there already")
	require.ErrorContains(t, s.Backup(t.Context(), filepath.Join(folder, "missing", "backup.db")), "no such file or directory")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Backup(ended, to+"2"), context.Canceled)
	files, err := filepath.Glob(filepath.Join(folder, "backup*"))
	require.NoError(t, err)
	require.Len(t, files, 3, "nothing is left over: %s", files) // backup.db and what it has beside it
}

// A backup of a damaged ledger would be found out on the day it is needed.
func TestBackup_Damaged(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	want := filled(t, path, 300)
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(sound, want[100].Body)
	require.Positive(t, at)
	sound[at+10] ^= 1
	require.NoError(t, os.WriteFile(path, sound, 0o600))
	s := open(t, sqlite.Options{Path: path})
	err = s.Backup(t.Context(), filepath.Join(folder, "backup.db"))
	require.ErrorIs(t, err, ledger.ErrCorrupt)
	require.ErrorContains(t, err, "what was copied is not sound")
	require.NoFileExists(t, filepath.Join(folder, "backup.db"))
}
