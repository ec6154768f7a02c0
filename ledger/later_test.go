package ledger_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/ledgertest"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// Whoever gets a ledger that is opened later must get all that it promises: each
// method has to reach the store, with what it was asked.
func TestLater_PassesTheSuite(t *testing.T) {
	paths := make(map[ledger.Store]string)
	open := func(path string) ledger.Store {
		s := ledger.NewLater(func(ctx context.Context) (ledger.Store, error) { return sqlite.Open(ctx, sqlite.Options{Path: path}) })
		paths[s] = path
		return s
	}
	ledgertest.Run(t, ledgertest.Harness{
		Open:   func(t testing.TB) ledger.Store { return open(filepath.Join(t.TempDir(), "ledger.db")) },
		Reopen: func(_ testing.TB, s ledger.Store) (ledger.Store, error) { return open(paths[s]), nil },
	})
}

// everything asks each method of a store, and gives what each has answered.
func everything(ctx context.Context, s ledger.Store) map[string]error {
	answers := make(map[string]error)
	_, answers["Append"] = s.Append(ctx, ledger.Append{Stream: "a", After: ledger.Any, Drafts: []ledger.Draft{{Time: time.Unix(1, 0), Kind: "k", Actor: "a", Body: []byte("1")}}})
	answers["Events"] = errors.New("no error came")
	for _, err := range s.Events(ctx, ledger.Query{}) {
		answers["Events"] = err
	}
	_, answers["Extent"] = s.Extent(ctx)
	answers["Prune"] = s.Prune(ctx, 0)
	_, answers["Acquire"] = s.Acquire(ctx, "l", "h", time.Minute)
	_, answers["Renew"] = s.Renew(ctx, ledger.Lease{Name: "l", Holder: "h", Token: 1}, time.Minute)
	answers["Release"] = s.Release(ctx, ledger.Lease{Name: "l", Holder: "h", Token: 1})
	_, answers["Leases"] = s.Leases(ctx)
	_, answers["Marks"] = s.Marks(ctx)
	answers["Restore"] = s.Restore(ctx, ledger.Restored{})
	return answers
}

// With the ledger gone each method must say why, at once, and must not knock at the
// disk or the server each time: probing goes on meanwhile, and asks again and again.
func TestLater_LedgerIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := ledger.NewLater(func(context.Context) (ledger.Store, error) {
			tries++
			return nil, ledger.ErrLocked
		})
		require.Zero(t, tries, "nothing is opened before it is needed")
		for method, err := range everything(t.Context(), s) {
			require.ErrorIs(t, err, ledger.ErrLocked, method)
			require.ErrorContains(t, err, "open the ledger: ", method)
		}
		require.Equal(t, 1, tries)
		time.Sleep(5*time.Second - time.Nanosecond)
		everything(t.Context(), s)
		require.Equal(t, 1, tries, "within five seconds it is not tried again")
		time.Sleep(time.Nanosecond)
		everything(t.Context(), s)
		require.Equal(t, 2, tries)
		require.NoError(t, s.Close(), "what was never opened is closed")
	})
}

// A ledger that is back must be used again without a restart, and is opened once,
// however many ask at the same time.
func TestLater_LedgerIsBack(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "mounted")
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		s := ledger.NewLater(func(ctx context.Context) (ledger.Store, error) {
			tries.Add(1)
			return sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(folder, "ledger.db"), CheckTime: -1})
		})
		_, err := s.Extent(t.Context())
		require.ErrorContains(t, err, "is not there: make it")
		require.NoError(t, os.Mkdir(folder, 0o700))
		time.Sleep(5 * time.Second)
		answers := make([]error, 8)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { _, answers[i] = s.Extent(t.Context()) })
		}
		all.Wait()
		require.NoError(t, errors.Join(answers...))
		require.EqualValues(t, 2, tries.Load())
		require.NoError(t, s.Close())
	})
}

// What was closed must stay closed: one that opened itself again would hold the
// file, or connections, after drwatch has ended what it does.
func TestLater_Closed(t *testing.T) {
	tries := 0
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := ledger.NewLater(func(ctx context.Context) (ledger.Store, error) {
		tries++
		return sqlite.Open(ctx, sqlite.Options{Path: path})
	})
	_, err := s.Extent(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is nothing")
	for method, err := range everything(t.Context(), s) {
		require.EqualError(t, err, "the ledger is closed", method)
	}
	require.Equal(t, 1, tries)
}
