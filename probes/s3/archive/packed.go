package archive

import (
	"bytes"
	"context"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	gzipMagic = "\x1f\x8b\x08"
	zstdMagic = "\x28\xb5\x2f\xfd"
	// zstdWindow is the largest window that is unpacked: that of zstd -22 is 128 MiB,
	// for which no memory is spent here.
	zstdWindow = 16 << 20
)

// packed looks at a dump inside of a compression. What is small enough to be in
// hand as a whole is unpacked as a whole, and its check sum counts; of what is
// larger only the beginning is seen.
func (d dump) packed(ctx context.Context, by string, open func([]byte) (io.Reader, func(), error)) (Finding, error) {
	r, free, err := open(d.head)
	if err != nil {
		return Finding{Why: "it begins as compressed by " + by + ", and cannot be unpacked"}, nil
	}
	defer free()
	inside, err := io.ReadAll(io.LimitReader(r, unpacked))
	if len(inside) == 0 && err != nil {
		return Finding{Why: "it begins as compressed by " + by + ", and cannot be unpacked"}, nil
	}
	within := dump{head: inside, size: 1 << 62, blind: true}
	ended := false
	if err == nil && len(inside) < unpacked {
		within.size, ended = int64(len(inside)), true
	}
	f, _ := within.examine(ctx) // what is blind reads nothing, so nothing can fail
	if f.Format == None {
		f.Why += ", inside of " + by
		return f, nil
	}
	f.Detail += ", in " + by
	switch {
	case !d.whole() || ended:
	case err != nil:
		f.Complete, f.Why = Cut, "the "+by+" around it is cut off or broken"
	}
	return f, nil
}

func gunzip(head []byte) (io.Reader, func(), error) {
	r, err := gzip.NewReader(bytes.NewReader(head))
	return r, func() {}, err
}

func unzstd(head []byte) (io.Reader, func(), error) {
	r, err := zstd.NewReader(bytes.NewReader(head), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, nil, err
	}
	return r, r.Close, nil
}
