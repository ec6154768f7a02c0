package s3

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	return zone
}

// Were it to fail, times in keys would be read as others than they are.
func TestLayout_Read(t *testing.T) {
	for _, row := range []struct{ prefix, pattern, key, want string }{
		{"pg/{yyyy}/{mm}/{dd}/", "*.dump", "pg/2026/11/24/a.dump", "2026-11-23T23:00:00Z"}, // the earliest of that day in Berlin
		{"pg/", "x-{yyyy}{mm}{dd}T{hh}{mi}{ss}Z*", "pg/x-20261124T020304Z.sql.gz", "2026-11-24T01:03:04Z"},
		{"pg/{unix}/", "*", "pg/1764000000/x", "2025-11-24T16:00:00Z"},
		{"pg/{yyyy}-{mm}/", "*", "pg/2026-11/x", ""}, // a month is no time
		{"pg/", "*", "pg/x", ""},
		{"pg/", "**", "pg/a/b/c", ""},
		{"pg/", "?.sql", "pg/a.sql", ""},
		{"pg/{yyyy}/{mm}/{dd}/", "*", "pg/2026/02/30/x", ""}, // there is no such day
		{"pg/", "*", "pg/a/b", "none"},
		{"pg/", "?.sql", "pg/ab.sql", "none"},
		{"pg.d/", "*", "pgxd/a", "none"},
		{"pg/{yyyy}/", "{yyyy}-x", "pg/2026/2025-x", "none"}, // it contradicts itself
	} {
		l, err := newLayout(row.prefix, row.pattern, berlin(t))
		require.NoError(t, err)
		at, ok := l.read(row.key)
		require.Equal(t, row.want != "none", ok, "%s%s %s", row.prefix, row.pattern, row.key)
		if row.want == "" || row.want == "none" {
			require.True(t, at.IsZero(), row.key)
			continue
		}
		require.Equal(t, row.want, at.UTC().Format(time.RFC3339), row.key)
	}
}

// Were it to fail, the listing would begin after the newest dump, or at the oldest.
func TestLayout_From(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 30, 45, 0, time.UTC)
	for _, row := range []struct {
		prefix, pattern, want string
		ordered               bool
	}{
		{"pg/{yyyy}/{mm}/{dd}/", "x-{hh}.dump", "pg/2026/11/24/x-13", true},
		{"pg/{yyyy}/{mm}/{dd}/", "*.dump", "pg/2026/11/24", true},
		{"pg/{yyyy}/{dd}/{mm}/", "*", "pg/2026", true}, // up to where the order ends
		{"pg/{unix}", "*", "pg/1795523445", true},
		{"pg/{dd}/{mm}/{yyyy}/", "*", "", false},
		{"pg/", "*-{yyyy}", "", false},
		{"pg/", "*", "", false},
	} {
		l, err := newLayout(row.prefix, row.pattern, berlin(t))
		require.NoError(t, err)
		require.Equal(t, row.ordered, l.ordered(), row.prefix)
		if row.ordered {
			require.Equal(t, row.want, l.from(at))
		}
	}
}

// Whatever the keys in a bucket are, reading them neither fails nor invents: a
// key that was written by the layout is read as its time.
func FuzzLayout(f *testing.F) {
	f.Add("pg/{yyyy}/{mm}/{dd}/", "*.dump", "pg/2026/11/24/a.dump", int64(1764000000))
	f.Add("{unix}", "**", "1764000000", int64(1))
	f.Add("a{", "?", "a", int64(0))
	f.Fuzz(func(t *testing.T, prefix, pattern, key string, seconds int64) {
		l, err := newLayout(prefix, pattern, time.UTC)
		if err != nil {
			return
		}
		_, _ = l.read(key)
		if seconds < 0 || seconds >= 1e10 || !l.ordered() {
			return
		}
		from := l.from(time.Unix(seconds, 0))
		require.True(t, strings.HasPrefix(from, l.fixed()))
	})
}
