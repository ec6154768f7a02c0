package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

const pgMagic = "PGDMP"

// The formats of archives that pg_dump writes (pg_backup.h, enum _archiveFormat).
// The table of contents of a directory says that it is one of a tar.
const (
	pgCustom = 1
	pgTar    = 3
)

// pgHeader is the beginning of an archive. The layout is that of ReadHead in
// PostgreSQL's src/bin/pg_dump/pg_backup_archiver.c.
type pgHeader struct {
	major, minor, revision byte
	format                 byte
	begun                  Begun
	server                 string // its version
}

func (h pgHeader) version() int { return int(h.major)*100 + int(h.minor) }

func (h pgHeader) detail(format string) string {
	return fmt.Sprintf("pg_dump of PostgreSQL %s, %s format %d.%d", printable(h.server), format, h.major, h.minor)
}

func printable(text string) string {
	if len(text) > 40 {
		text = text[:40]
	}
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, []byte(text)))
}

// errShort says that what is read goes on beyond what is in hand; errOdd that
// it cannot be right.
var (
	errShort = errors.New("it goes on beyond the part that was read")
	errOdd   = errors.New("it makes no sense")
)

// pgReader reads the numbers and texts of an archive.
type pgReader struct {
	rest    []byte
	at      int64 // how much was read
	intSize int
	offSize int
	err     error
}

// fail keeps the first error: what follows from it says nothing.
func (r *pgReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *pgReader) bytes(n int) []byte {
	switch {
	case n < 0:
		r.fail(errOdd)
	case n > len(r.rest):
		r.fail(errShort)
	}
	if r.err != nil {
		return nil
	}
	b := r.rest[:n]
	r.rest, r.at = r.rest[n:], r.at+int64(n)
	return b
}

func (r *pgReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads a sign and then the bytes, lowest first.
func (r *pgReader) number() int {
	negative := r.byte() != 0
	value := r.unsigned(r.intSize)
	if value > math.MaxInt32 {
		r.fail(errOdd)
		return 0
	}
	if negative {
		return -int(value)
	}
	return int(value)
}

func (r *pgReader) unsigned(size int) uint64 {
	var wide [8]byte
	for i, b := range r.bytes(size) {
		if i < len(wide) {
			wide[i] = b
		} else if b != 0 {
			r.fail(errOdd)
		}
	}
	return binary.LittleEndian.Uint64(wide[:])
}

// text reads a length and so many bytes; NULL is empty.
func (r *pgReader) text() string {
	return string(r.bytes(max(0, r.number())))
}

func (r *pgReader) skipText() bool {
	n := r.number()
	if n < 0 {
		return false
	}
	r.bytes(n)
	return r.err == nil
}

// offset reads where the data of an entry is; false where that is not told.
func (r *pgReader) offset() (int64, bool) {
	const set = 2 // K_OFFSET_POS_SET
	flag := r.byte()
	at := r.unsigned(r.offSize)
	if flag == 0 || flag > 3 {
		r.fail(errOdd)
	}
	return int64(min(at, math.MaxInt64)), flag == set //nolint:gosec // bounded
}

func readPgHeader(head []byte) (pgHeader, *pgReader) {
	r := &pgReader{rest: head}
	if string(r.bytes(len(pgMagic))) != pgMagic {
		r.err = errOdd
		return pgHeader{}, r
	}
	h := pgHeader{major: r.byte(), minor: r.byte(), revision: r.byte()}
	r.intSize, r.offSize = int(r.byte()), int(r.byte())
	h.format = r.byte()
	// 1.12 is PostgreSQL 9.0 to 10, 1.16 is 17 and 18; what comes after keeps this
	// beginning, or is not 1.x.
	if r.err == nil && (h.major != 1 || h.minor < 12 || r.intSize == 0 || r.intSize > 32 || r.offSize == 0 || r.offSize > 32) {
		r.err = errOdd
	}
	if h.version() >= 115 {
		r.byte() // the algorithm of the compression
	} else {
		r.number() // its level
	}
	second, minute, hour := r.number(), r.number(), r.number()
	day, month, year := r.number(), r.number(), r.number()
	summer := r.number()
	h.begun = pgTime(year, month, day, hour, minute, second, summer)
	r.skipText() // the name of the database
	h.server = r.text()
	r.skipText() // the version of pg_dump
	return h, r
}

// pgTime is a struct tm: what the clock of the dumping host showed, in a zone
// that is not told.
func pgTime(year, month, day, hour, minute, second, summer int) Begun {
	if year < 90 || year > 1000 || month < 0 || month > 11 || day < 1 || day > 31 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return Begun{}
	}
	dst := dstUntold
	switch {
	case summer == 0:
		dst = dstNo
	case summer > 0:
		dst = dstYes
	}
	return wallClock(time.Date(1900+year, time.Month(month+1), day, hour, minute, second, 0, time.UTC), dst, "")
}

// pgCustom looks at an archive that begins with its header: the custom format,
// or the table of contents of a directory that lies there by itself.
func (d dump) pgCustom(ctx context.Context) (Finding, error) {
	h, r := readPgHeader(d.head)
	switch {
	case errors.Is(r.err, errShort) && d.whole():
		return Finding{Format: PgDump, Detail: "pg_dump", Begun: h.begun, Complete: Cut, Why: "it ends within its header"}, nil
	case r.err != nil:
		why := fmt.Sprintf("it begins as an archive of pg_dump, of a version (%d.%d) or in a way that is not known", h.major, h.minor)
		return Finding{Why: why}, nil //nolint:nilerr // it is what was found
	}
	f := Finding{Format: PgDump, Begun: h.begun}
	switch h.format {
	case pgCustom:
		f.Detail = h.detail("custom")
	case pgTar:
		f.Detail = h.detail("directory")
		f.Why = "it is the table of contents of a directory: whether the files of the directory are all there is not looked at"
		return f, nil
	default:
		return Finding{Why: fmt.Sprintf("it begins as an archive of pg_dump of a format (%d) that does not begin so", h.format)}, nil
	}
	contents := readContents(h, r)
	tail, ok, err := d.tail(ctx)
	if err != nil {
		return Finding{}, err
	}
	f.Complete, f.Why = contents.judge(d, tail, ok)
	return f, nil
}

// contents is what the table of contents says, as far as it was read.
type contents struct {
	err     error
	data    int   // entries that have data
	objects bool  // the last of them is one of large objects
	last    int64 // the offset of the data that begins last
	located bool  // an offset was told
	end     int64 // where the table ends
}

// readContents goes through the table of contents (ReadToc in
// pg_backup_archiver.c) for the entries that have data.
func readContents(h pgHeader, r *pgReader) contents {
	var c contents
	for n := r.number(); n > 0 && r.err == nil; n-- {
		r.number() // its id
		hasData := r.number() != 0
		for range 3 { // oid of its table, its oid, tag
			r.skipText()
		}
		what := r.text()
		r.number() // section
		texts := 5 // definition, drop, copy, schema, tablespace
		if h.version() >= 114 {
			texts++ // access method
		}
		for range texts {
			r.skipText()
		}
		if h.version() >= 116 {
			r.number() // kind of relation
		}
		r.skipText() // owner
		r.skipText() // with oids
		for r.skipText() {
			continue // dependencies, up to a NULL
		}
		at, ok := r.offset()
		if r.err != nil {
			break
		}
		if hasData {
			c.data++
			c.objects = what == "BLOBS"
		}
		if ok {
			c.last, c.located = max(c.last, at), true
		}
	}
	c.err, c.end = r.err, r.at
	return c
}

// judge tells whether the archive is all there. Each block of data ends with a
// zero, as a number of five bytes; where the archive could be written out of
// order, the table also tells where the blocks begin.
func (c contents) judge(d dump, tail []byte, seen bool) (Completeness, string) {
	end := make([]byte, 5)
	if c.objects {
		end = make([]byte, 10) // of the last object, and of them all
	}
	switch {
	case errors.Is(c.err, errOdd):
		return Cut, "its table of contents makes no sense"
	case c.err != nil && d.whole():
		return Cut, "it ends within its table of contents"
	case c.located && c.last >= d.size:
		return Cut, fmt.Sprintf("its table of contents tells of data at byte %d, and it ends at %d", c.last, d.size)
	case !seen:
		return Untold, "it is compressed as a whole, and its end cannot be told without reading all of it"
	case c.err == nil && c.data == 0:
		return Whole, "it holds no data, and its table of contents is all there"
	case c.err == nil && c.end >= d.size:
		return Cut, "it ends after its table of contents, without the data"
	case !bytes.HasSuffix(tail, end):
		return Cut, "it does not end as a block of data does"
	}
	return Whole, "it ends as a block of data does"
}
