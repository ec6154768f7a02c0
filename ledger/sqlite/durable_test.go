package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without these settings an event that was acknowledged would be lost with the
// power: no test can cut that, and all the others pass without them.
func TestOpen_SyncsEachCommit(t *testing.T) {
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "ledger.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for setting, want := range map[string]string{"synchronous": "2", "journal_mode": "wal", "fullfsync": "1", "checkpoint_fullfsync": "1"} { // 2 is FULL
		var got string
		require.NoError(t, s.writer.QueryRowContext(t.Context(), "PRAGMA "+setting).Scan(&got))
		require.Equal(t, want, got, setting)
	}
}
