package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
)

// filled makes a ledger with some events of some streams, and closes it.
func filled(t testing.TB, path string, events int) []ledger.Event {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	require.NoError(t, err)
	var all []ledger.Event
	batch := max(3, events/300)
	for i := range events / batch {
		added, err := s.Append(t.Context(), ledger.Append{Stream: fmt.Sprintf("run/%d", i%5), After: ledger.Any, Drafts: steps(i*batch, batch)})
		require.NoError(t, err)
		all = append(all, added...)
	}
	require.NoError(t, s.Close())
	return all
}

// told reads everything that is in a ledger, by each way there is, and reports
// whether it is what was written. The error is that of opening it or of reading.
func told(t testing.TB, path string, want []ledger.Event) (same bool, err error) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }() // it may be damaged
	if _, err := ledger.Verify(t.Context(), s, nil); err != nil {
		return false, err
	}
	got := map[uint64]int{}
	for _, q := range []ledger.Query{{}, {Prefix: "run/"}, {Stream: "run/0"}, {Stream: "run/1"}, {Stream: "run/2"}, {Stream: "run/3"}, {Stream: "run/4"}} {
		for e, err := range s.Events(t.Context(), q) {
			if err != nil {
				return false, err
			}
			if e.Position > uint64(len(want)) || e.Hash != want[e.Position-1].Hash {
				return false, nil
			}
			got[e.Position]++
		}
	}
	for _, e := range want {
		if got[e.Position] != 3 {
			return false, nil
		}
	}
	return true, nil
}

// Nobody may ever be given something else than what was written: a byte that has
// changed is told, or it is one that does not matter.
func TestOpen_OneByteChanged(t *testing.T) {
	const tries = 100
	folder := t.TempDir()
	path := filepath.Join(folder, "ledger.db")
	want := filled(t, path, 240)
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range tries {
		at := random.IntN(len(sound))
		bad := append([]byte(nil), sound...)
		bad[at] ^= byte(1 << random.IntN(8))
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		same, err := told(t, path, want)
		switch {
		case err != nil:
			found++
			if at >= 100 {
				require.ErrorIs(t, err, ledger.ErrCorrupt, "byte %d of page %d", at%4096, at/4096+1)
			}
		case !same:
			require.Fail(t, "something else was read", "byte %d of page %d", at%4096, at/4096+1)
		}
		require.NoError(t, os.WriteFile(path, sound, 0o600))
		_ = os.Remove(path + "-wal")
	}
	t.Logf("%d of %d changed bytes were told, the others did not matter", found, tries)
	require.Greater(t, found, tries/2)
}
