package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/ledgertest"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// This program is started once more to be killed, or to be in the way, when the
// environment says what it is to do, and with which ledger.
const (
	roleVariable   = "DRWATCH_TEST_ROLE"
	ledgerVariable = "DRWATCH_TEST_LEDGER"
)

func TestMain(m *testing.M) {
	path := os.Getenv(ledgerVariable)
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "write":
		err = write(path)
	case "hold":
		err = hold(path)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// program gives this program, to be started in a role.
func program(t testing.TB, role, path string) *exec.Cmd {
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+role, ledgerVariable+"="+path)
	return command
}

// write appends until it is killed.
func write(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	return ledgertest.Write(ctx, s, os.Stdout)
}

// hold keeps all others from writing until its standard input ends.
func hold(path string) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	if _, err = db.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// clock is one that can be moved.
type clock struct{ moved atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.moved.Load())) }

// place is where a ledger of the suite is, and by which clock it goes.
type place struct {
	path  string
	clock *clock
}

// places knows where the ledgers are.
type places struct {
	mu sync.Mutex
	of map[ledger.Store]place
}

func (p *places) open(t testing.TB, at place) (ledger.Store, error) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: at.path, Now: at.clock.now, BusyTimeout: time.Minute})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[s] = at
	return s, nil
}

func (p *places) find(s ledger.Store) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[s]
}

func TestStore(t *testing.T) {
	known := &places{of: make(map[ledger.Store]place)}
	h := ledgertest.Harness{
		Open: func(t testing.TB) ledger.Store {
			folder := t.TempDir()
			if strings.HasSuffix(t.Name(), "/full") {
				smallDisk(t, folder, 64)
			}
			s, err := known.open(t, place{filepath.Join(folder, "ledger.db"), new(clock)})
			require.NoError(t, err)
			return s
		},
		Reopen:  func(t testing.TB, s ledger.Store) (ledger.Store, error) { return known.open(t, known.find(s)) },
		Rewrite: func(t testing.TB, s ledger.Store, events []ledger.Event) { rewrite(t, known.find(s).path, events) },
		Move:    func(_ testing.TB, s ledger.Store, by time.Duration) { known.find(s).clock.moved.Add(int64(by)) },
		Command: func(t testing.TB, s ledger.Store) *exec.Cmd { return program(t, "write", known.find(s).path) },
		ReadOnly: func(t testing.TB, s ledger.Store) ledger.Store {
			protected, err := sqlite.Open(t.Context(), sqlite.Options{Path: known.find(s).path, ReadOnly: true})
			require.NoError(t, err)
			return protected
		},
		Fill:   func(t testing.TB, s ledger.Store) func() { return fill(t, filepath.Dir(known.find(s).path)) },
		Damage: func(t testing.TB, s ledger.Store) { overwrite(t, known.find(s).path, 0.6, 100) },
		Skip: map[string]string{
			"restart": "it has no server", "cut": "it has no network", "deaf": "it has no network",
		},
	}
	if !canMount(t) {
		h.Skip["full"] = "only root can mount a small disk"
	}
	ledgertest.Run(t, h)
}

// fill takes all the room there is on a disk, and gives it back.
func fill(t testing.TB, folder string) (room func()) {
	t.Helper()
	ballast := filepath.Join(folder, "ballast")
	file, err := os.Create(ballast)
	require.NoError(t, err)
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
	return func() { require.NoError(t, os.Remove(ballast)) }
}

// overwrite writes nonsense at a part of a file, such as 0.5 for the middle.
func overwrite(t testing.TB, path string, part float64, bytes int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	info, err := file.Stat()
	require.NoError(t, err)
	_, err = file.WriteAt([]byte(strings.Repeat("\xa5", bytes)), int64(part*float64(info.Size())))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// raw opens the file past the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_busy_timeout=5000")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// rewrite changes the log as one would who has the file and knows its tables.
func rewrite(t testing.TB, path string, events []ledger.Event) {
	t.Helper()
	db := raw(t, path)
	exec := func(text string, args ...any) {
		_, err := db.ExecContext(t.Context(), text, args...)
		require.NoError(t, err, text)
	}
	for _, trigger := range []string{"events_come_at_the_end", "events_are_not_changed", "events_are_not_removed"} {
		exec("DROP TRIGGER IF EXISTS " + trigger)
	}
	exec("DELETE FROM events")
	for _, e := range events {
		exec("INSERT INTO streams (name, newest) VALUES (?, 1) ON CONFLICT DO NOTHING", e.Stream)
		exec(`INSERT INTO events (position, stream, sequence, id, time, kind, actor, body, previous, hash)
			VALUES (?, (SELECT number FROM streams WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.Position, e.Stream, e.Sequence, e.ID, e.Time.UnixMicro(), e.Kind, e.Actor, e.Body, e.Previous[:], e.Hash[:])
	}
}
