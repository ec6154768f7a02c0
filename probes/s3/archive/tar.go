package archive

import (
	"bytes"
	"context"
	"errors"
	"path"
	"strconv"
	"strings"
)

const (
	tarBlock = 512
	// tarHops is how many files of a tar are passed over in search of the table of
	// contents. pg_dump itself puts it first; a directory may have it anywhere.
	tarHops = 32
)

// isTar reports whether a tar begins here: its header has a check sum.
func isTar(head []byte) bool {
	if len(head) < tarBlock {
		return false
	}
	want, ok := octal(head[148:156])
	if !ok || want == 0 {
		return false
	}
	sum := int64(8 * ' ') // the field itself counts as spaces
	for i, b := range head[:tarBlock] {
		if i < 148 || i >= 156 {
			sum += int64(b)
		}
	}
	return sum == want
}

// octal reads a number of a tar header; large ones are in base 256 (GNU).
func octal(field []byte) (int64, bool) {
	if len(field) > 8 && field[0]&0x80 != 0 {
		var value int64
		for _, b := range field[len(field)-8:] {
			value = value<<8 | int64(b)
		}
		return value, value >= 0
	}
	value, err := strconv.ParseInt(strings.Trim(string(field), " \x00"), 8, 64)
	return value, err == nil && value >= 0
}

// tar looks at a tar, as pg_dump writes it, or as a directory was packed.
func (d dump) tar(ctx context.Context) (Finding, error) {
	f, found, err := d.findContents(ctx)
	if err != nil || !found {
		return f, err
	}
	tail, seen, err := d.tail(ctx)
	switch {
	case err != nil:
		return Finding{}, err
	case f.Complete == Cut:
	case !seen:
		f.Why = "it is compressed as a whole, and its end cannot be told without reading all of it"
	case d.size%tarBlock == 0 && len(tail) >= 2*tarBlock && len(bytes.Trim(tail[len(tail)-2*tarBlock:], "\x00")) == 0:
		f.Complete, f.Why = Whole, "it ends as a tar does"
	default:
		f.Complete, f.Why = Cut, "it does not end as a tar does"
	}
	return f, nil
}

// findContents goes from file to file for the table of contents.
func (d dump) findContents(ctx context.Context) (Finding, bool, error) {
	data := false // files as pg_dump names them were passed
	for at, hop := int64(0), 0; hop < tarHops; hop++ {
		header, err := d.part(ctx, at, tarBlock)
		if err != nil {
			return Finding{}, false, err
		}
		if !isTar(header) {
			break
		}
		size, ok := octal(header[124:136])
		if !ok || size > d.size {
			break
		}
		name := path.Base(strings.TrimRight(string(header[:100]), "\x00"))
		if name == "toc.dat" {
			contents, err := d.part(ctx, at+tarBlock, min(size, tarBlock))
			if err != nil {
				return Finding{}, false, err
			}
			f, found := contentsOfTar(contents)
			return f, found, nil
		}
		data = data || strings.HasSuffix(name, ".dat") || strings.Contains(name, ".dat.")
		at += tarBlock + (size+tarBlock-1)/tarBlock*tarBlock
		if at < 0 || at >= d.size {
			break
		}
	}
	if data {
		return Finding{Format: PgDump, Detail: "pg_dump, a directory in a tar"}, true, nil
	}
	return Finding{Why: "it is a tar, and none of its first files is the table of contents of pg_dump (toc.dat)"}, false, nil
}

func contentsOfTar(contents []byte) (Finding, bool) {
	h, r := readPgHeader(contents)
	f := Finding{Format: PgDump, Begun: h.begun}
	switch {
	case errors.Is(r.err, errShort) && len(contents) < tarBlock:
		f.Detail, f.Complete, f.Why = "pg_dump in a tar", Cut, "it ends within its header"
	case r.err != nil && !errors.Is(r.err, errShort) || h.format != pgTar:
		return Finding{Why: "it is a tar with a toc.dat that pg_dump has not written"}, false
	}
	f.Detail = h.detail("tar")
	return f, true
}

// part gives some bytes, out of the head where they are in it.
func (d dump) part(ctx context.Context, at, length int64) ([]byte, error) {
	switch end := at + length; {
	case end <= int64(len(d.head)):
		return d.head[at:end], nil
	case d.blind || d.whole() || at >= d.size:
		return d.head[min(at, int64(len(d.head))):], nil
	}
	return d.read(ctx, at, min(length, d.size-at))
}
