// Package archive reads what a dump says of itself, out of a few kilobytes at
// its beginning and at its end: whether it is one, when it was begun, and
// whether it was cut off.
//
// It knows what pg_dump and pg_dumpall write (custom, tar and plain formats, and
// the directory format packed in a tar), and the RDB files of Redis and Valkey;
// each of them also inside of gzip or zstd.
//
// Whether a dump is whole is told by its end: none of these formats ends by
// accident as it ends on purpose. What is compressed as a whole hides its end,
// so that is only told of one that is small enough to be read as a whole. It is
// not told whether the data can be restored: restore it in a drill.
package archive

import (
	"bytes"
	"context"
	"fmt"
)

// Format is what wrote the dump.
type Format string

// The formats. The zero value is no dump that we know.
const (
	None   Format = ""
	PgDump Format = "pg_dump"
	RDB    Format = "rdb"
)

// Completeness says whether the dump is all there.
type Completeness int

// The zero value is that nobody can tell without reading all of it.
const (
	Untold Completeness = iota
	Whole
	Cut
)

// String is the word for people.
func (c Completeness) String() string {
	switch c {
	case Whole:
		return "whole"
	case Cut:
		return "cut off"
	default:
		return "untold"
	}
}

// Finding is what a dump says of itself.
type Finding struct {
	Format Format
	// Detail says for people what it is: "pg_dump of PostgreSQL 15.18, custom format 1.14".
	Detail string
	// Begun is when it was begun; its zero value is not told.
	Begun    Begun
	Complete Completeness
	// Why says what Complete, or the lack of a format, rests on.
	Why string
}

// ReadRange gives so many bytes of the dump from an offset on: fewer where it
// ends before.
type ReadRange func(ctx context.Context, offset, length int64) ([]byte, error)

const (
	// headSize is read of the beginning of every dump. The table of contents of a
	// database of some hundred tables fits.
	headSize = 64 << 10
	// tailSize is read of the end.
	tailSize = 1 << 10
	// unpacked is how much is made of the compressed beginning.
	unpacked = 256 << 10
)

// HeadSize is how many bytes Examine asks for first, from offset 0 on: whoever
// has them in hand may hand them over.
const HeadSize = headSize

// Examine looks at a dump of so many bytes. The error is one of read.
func Examine(ctx context.Context, size int64, read ReadRange) (Finding, error) {
	if size <= 0 {
		return Finding{Why: "it is empty"}, nil
	}
	head, err := read(ctx, 0, min(size, headSize))
	if err != nil {
		return Finding{}, err
	}
	d := dump{head: head, size: size, read: read}
	switch {
	case d.has(gzipMagic):
		return d.packed(ctx, "gzip", gunzip)
	case d.has(zstdMagic):
		return d.packed(ctx, "zstd", unzstd)
	}
	return d.examine(ctx)
}

// dump is one that is being looked at.
type dump struct {
	head []byte
	size int64
	read ReadRange
	// blind says that nothing but the head can be had.
	blind bool
}

func (d dump) has(magic string) bool { return bytes.HasPrefix(d.head, []byte(magic)) }

// whole reports whether the head is all of it.
func (d dump) whole() bool { return int64(len(d.head)) >= d.size }

// tail gives the last bytes; false where they cannot be had.
func (d dump) tail(ctx context.Context) ([]byte, bool, error) {
	switch {
	case d.whole():
		return d.head[max(0, len(d.head)-tailSize):], true, nil
	case d.blind:
		return nil, false, nil
	}
	length := min(d.size, tailSize)
	text, err := d.read(ctx, d.size-length, length)
	return text, err == nil, err
}

func (d dump) examine(ctx context.Context) (Finding, error) {
	switch {
	case d.has(pgMagic):
		return d.pgCustom(ctx)
	case d.has(rdbMagic), d.has(valkeyMagic):
		return d.rdb(ctx)
	case isTar(d.head):
		return d.tar(ctx)
	case isPlain(d.head):
		return d.plain(ctx)
	}
	return Finding{Why: "it begins as no dump does: " + d.beginning()}, nil
}

// beginning names what the content is, where that is easily told.
func (d dump) beginning() string {
	for _, known := range []struct{ magic, name string }{
		{"\xfd7zXZ\x00", "compressed by xz, which is not looked into"},
		{"BZh", "compressed by bzip2, which is not looked into"},
		{"\x04\x22\x4d\x18", "compressed by lz4, which is not looked into"},
		{"age-encryption.org/", "encrypted by age"},
		{"-----BEGIN PGP MESSAGE", "encrypted by PGP"},
		{"PK\x03\x04", "a zip file"},
		{"<", "a page in HTML or XML"},
	} {
		if d.has(known.magic) {
			return known.name
		}
	}
	return fmt.Sprintf("%.16q", d.head[:min(16, len(d.head))])
}
