package archive

import (
	"bytes"
	"context"
	"strings"
)

// What pg_dump and pg_dumpall begin and end scripts with.
const (
	plainDump    = "-- PostgreSQL database dump"
	plainCluster = "-- PostgreSQL database cluster dump"
	plainEnd     = " dump complete"
	plainStarted = "-- Started on "
)

func isPlain(head []byte) bool {
	first := head[:min(len(head), 200)]
	return bytes.HasPrefix(first, []byte("--")) && (bytes.Contains(first, []byte(plainDump)) || bytes.Contains(first, []byte(plainCluster)))
}

// plain looks at a script. When it was begun is in it only where pg_dump was
// told to be verbose.
func (d dump) plain(ctx context.Context) (Finding, error) {
	f := Finding{Format: PgDump, Detail: "pg_dump, plain format"}
	comments := string(d.head[:min(len(d.head), 4096)])
	if _, after, ok := strings.Cut(comments, "\n"+plainStarted); ok {
		line, _, _ := strings.Cut(after, "\n")
		f.Begun, _ = parseStarted(line)
	}
	if strings.Contains(comments[:min(len(comments), 200)], plainCluster) {
		f.Detail = "pg_dumpall"
	} else if _, after, ok := strings.Cut(comments, "\n-- Dumped from database version "); ok {
		version, _, _ := strings.Cut(after, "\n")
		f.Detail = "pg_dump of PostgreSQL " + printable(version) + ", plain format"
	}
	tail, seen, err := d.tail(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case !seen:
		f.Why = "it is compressed as a whole, and its end cannot be told without reading all of it"
	case bytes.Contains(tail, []byte(plainEnd)):
		f.Complete, f.Why = Whole, `it ends with "dump complete"`
	default:
		f.Complete, f.Why = Cut, `it does not end with "dump complete"`
	}
	return f, nil
}
