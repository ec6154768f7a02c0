package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/s3/archive"
)

// The files in testdata were made by Debian's pg_dump 15.20 and redis-server
// 7.0.15 on 2026-11-24; newyork.dump and verbose.sql on a clock of New York and Berlin.

func content(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return text
}

// ranged serves bytes as S3 does, and counts how often it was asked.
type ranged struct {
	text  []byte
	asked int
}

func (r *ranged) read(_ context.Context, offset, length int64) ([]byte, error) {
	r.asked++
	if offset < 0 || length <= 0 || offset >= int64(len(r.text)) {
		return nil, fmt.Errorf("range %d+%d of %d", offset, length, len(r.text))
	}
	return r.text[offset:min(offset+length, int64(len(r.text)))], nil
}

func examine(t testing.TB, text []byte) archive.Finding {
	t.Helper()
	f, err := archive.Examine(t.Context(), int64(len(text)), (&ranged{text: text}).read)
	require.NoError(t, err)
	return f
}

// Were it to fail, real dumps would be taken for something else, for cut off,
// or for as new as they are not.
func TestExamine_RealDumps(t *testing.T) {
	at := func(clock string) string { return "2026-11-24 " + clock }
	for name, want := range map[string]struct {
		format archive.Format
		detail string
		begun  string // in the zone
		zone   string
	}{
		"custom.dump":     {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14", at("11:30:43"), "UTC"},
		"newyork.dump":    {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14", at("11:30:43"), "America/New_York"},
		"piped.dump":      {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14", at("11:30:43"), "UTC"},
		"schema.dump":     {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14", at("11:30:43"), "UTC"},
		"blobs.dump":      {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14", at("11:30:43"), "UTC"},
		"custom.dump.gz":  {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), custom format 1.14, in gzip", at("11:30:43"), "UTC"},
		"tar.tar.gz":      {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), tar format 1.14, in gzip", at("11:30:43"), "UTC"},
		"dir.tar.zst":     {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), tar format 1.14, in zstd", at("11:30:43"), "UTC"},
		"verbose.sql":     {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), plain format", at("11:30:43"), "Europe/Berlin"},
		"verbose.sql.zst": {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), plain format, in zstd", at("11:30:43"), "Europe/Berlin"},
		"plain.sql":       {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), plain format", "", "UTC"},
		"plain.sql.gz":    {archive.PgDump, "pg_dump of PostgreSQL 15.20 (Debian 15.20-0+deb12u1), plain format, in gzip", "", "UTC"},
		"all.sql":         {archive.PgDump, "pg_dumpall", "", "UTC"},
		"saved.rdb":       {archive.RDB, "RDB file of Redis 7.0.15", at("11:31:53"), "UTC"},
		"fetched.rdb":     {archive.RDB, "RDB file of Redis 7.0.15", at("11:31:58"), "UTC"},
		"saved.rdb.gz":    {archive.RDB, "RDB file of Redis 7.0.15, in gzip", at("11:31:53"), "UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			f := examine(t, content(t, name))
			require.Equal(t, want.format, f.Format, f.Why)
			require.Equal(t, want.detail, f.Detail)
			require.Equal(t, archive.Whole, f.Complete, f.Why)
			require.Equal(t, want.begun != "", f.Begun.Told())
			if want.begun == "" {
				return
			}
			begun, err := f.Begun.In(zone(t, want.zone))
			require.NoError(t, err)
			require.Equal(t, want.begun, begun.Format(time.DateTime))
		})
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	require.NoError(t, err)
	return location
}

// Were it to fail, a dump that was cut off would count until the night in which
// it is needed. Every length of every real dump is cut here.
func TestExamine_CutAnywhere(t *testing.T) {
	for _, name := range []string{"custom.dump", "piped.dump", "blobs.dump", "schema.dump", "plain.sql", "all.sql", "saved.rdb", "plain.sql.gz", "custom.dump.gz", "verbose.sql.zst", "tar.tar.gz", "dir.tar.zst", "saved.rdb.gz"} {
		t.Run(name, func(t *testing.T) {
			text := content(t, name)
			for n := range text {
				f := examine(t, text[:n])
				if f.Complete != archive.Whole || f.Format == archive.None {
					continue
				}
				// What is behind "dump complete" is white space and the end of a guard
				// of psql; what is behind a block of data may be the block of no large object.
				require.Truef(t, bytes.Contains(text[:n], []byte("dump complete")), "cut at %d of %d: %s", n, len(text), f.Why)
			}
		})
	}
}

// Were it to fail, anything that lies in the bucket would count as a dump.
func TestExamine_NoDump(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":    "",
		"page":       "<html><body>502 Bad Gateway</body></html>",
		"log":        "pg_dump: error: connection to server failed\n",
		"encrypted":  "age-encryption.org/v1\n-> X25519 ...",
		"other gzip": string(packed(t, []byte("hello"))),
		"half magic": "PGD",
		"new major":  "PGDMP\x02\x00\x00\x04\x08\x01" + string(make([]byte, 200)),
		"tar":        string(make([]byte, 1024)),
	} {
		t.Run(name, func(t *testing.T) {
			f := examine(t, []byte(text))
			require.Equal(t, archive.None, f.Format)
			require.NotEmpty(t, f.Why)
		})
	}
}

func packed(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// A dump that is larger than what is read of it: two reads, and the end counts.
func TestExamine_Large(t *testing.T) {
	begin, end, found := bytes.Cut(content(t, "plain.sql"), []byte("COPY"))
	require.True(t, found)
	large := bytes.Join([][]byte{begin, bytes.Repeat([]byte("-- more\n"), 100_000), end}, nil)
	source := &ranged{text: large}
	f, err := archive.Examine(t.Context(), int64(len(large)), source.read)
	require.NoError(t, err)
	require.Equal(t, archive.Whole, f.Complete)
	require.Equal(t, 2, source.asked)

	require.Equal(t, archive.Cut, examine(t, large[:len(large)-2000]).Complete)

	random := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(random)
	f = examine(t, packed(t, append(large, random...))[:70_000-1])
	require.Equal(t, archive.PgDump, f.Format)
	require.Equal(t, archive.Untold, f.Complete, "no word on what was not seen")
}

// The table of contents of a directory that was copied file by file.
func TestExamine_ContentsOfADirectory(t *testing.T) {
	f := examine(t, content(t, "toc.dat"))
	require.Equal(t, archive.PgDump, f.Format)
	require.True(t, f.Begun.Told())
	require.Equal(t, archive.Untold, f.Complete, "its other files were not looked at")
}

// The error of reading comes out as it is.
func TestExamine_CannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	_, err := archive.Examine(t.Context(), 10, func(context.Context, int64, int64) ([]byte, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}

// Were it to fail, a dump of the hour that is shown twice would look an hour newer.
func TestEarliest_AutumnAndSpring(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for wall, want := range map[string]string{
		"2026-10-25 02:30:00": "2026-10-25 00:30:00", // shown twice: the first time
		"2026-10-25 03:30:00": "2026-10-25 02:30:00",
		"2026-03-29 02:30:00": "2026-03-29 00:30:00", // never shown
		"2026-07-01 12:00:00": "2026-07-01 10:00:00",
	} {
		at, err := time.Parse(time.DateTime, wall)
		require.NoError(t, err)
		require.Equal(t, want, archive.Earliest(at, berlin, func(time.Time) bool { return false }).Format(time.DateTime), wall)
	}
	at, err := time.Parse(time.DateTime, "2026-10-25 02:30:00")
	require.NoError(t, err)
	winter := archive.Earliest(at, berlin, func(t time.Time) bool { return !t.IsDST() })
	require.Equal(t, "2026-10-25 01:30:00", winter.Format(time.DateTime), "the dump says that it is winter")
}

// The name of a zone that contradicts the file is told, not believed.
func TestBegun_AnotherZone(t *testing.T) {
	f := examine(t, content(t, "verbose.sql"))
	require.True(t, f.Begun.Local())
	_, err := f.Begun.In(zone(t, "America/New_York"))
	require.ErrorContains(t, err, "CET")
}

func FuzzExamine(f *testing.F) {
	entries, err := os.ReadDir("testdata")
	require.NoError(f, err)
	for _, entry := range entries {
		if !entry.IsDir() {
			f.Add(content(f, entry.Name()), int64(0))
			f.Add(content(f, entry.Name()), int64(1<<20))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, more int64) {
		size := int64(len(text)) + max(0, more)
		found, err := archive.Examine(t.Context(), size, func(_ context.Context, offset, length int64) ([]byte, error) {
			if offset < 0 || length <= 0 || offset+length > size {
				t.Fatalf("asks for %d bytes at %d of %d", length, offset, size)
			}
			from := min(offset, int64(len(text)))
			return text[from:min(int64(len(text)), from+length)], nil
		})
		require.NoError(t, err)
		if found.Format == archive.None {
			require.NotEmpty(t, found.Why)
			require.NotEqual(t, archive.Whole, found.Complete)
		}
		if begun, err := found.Begun.In(time.UTC); err == nil {
			require.False(t, begun.IsZero())
		}
	})
}
