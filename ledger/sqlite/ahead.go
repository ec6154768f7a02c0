package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/drwatch/drwatch/ledger"
)

// checkAhead looks for damage in what was written ahead (https://sqlite.org/fileformat2.html#walformat).
// SQLite itself takes the first frame that is not sound for the place at which the
// writing was broken off, and silently leaves out all that come after it. But a
// commit is synced before the next begins: a frame before a commit that others
// follow was on disk once, and is damaged. Damage in the very last commit cannot be
// told from one that was broken off.
func checkAhead(path string) error {
	file, err := os.Open(path) // SQLite has its locks on the other two files
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = walk(file)
	return errors.Join(err, file.Close())
}

const (
	headSize  = 32
	frameHead = 24
)

// ahead is what was written ahead: a head and frames, each a page of the file.
type ahead struct {
	file  io.ReaderAt
	head  [headSize]byte
	order binary.ByteOrder
	frame []byte
}

func walk(file io.ReaderAt) error {
	a := &ahead{file: file}
	if n, err := file.ReadAt(a.head[:], 0); n < headSize || a.head == [headSize]byte{} {
		return notEOF(err) // nothing was written ahead
	}
	a.order = binary.LittleEndian
	if a.head[3]&1 == 1 {
		a.order = binary.BigEndian
	}
	size := binary.BigEndian.Uint32(a.head[8:])
	sum := a.sum([2]uint32{}, a.head[:24])
	if !bytes.Equal(a.head[24:], stored(sum)) || size < 512 || size > 64<<10 {
		if n, err := file.ReadAt(make([]byte, frameHead), headSize); n < frameHead {
			return notEOF(err)
		}
		return damage("its beginning")
	}
	a.frame = make([]byte, frameHead+size)
	for i := int64(0); ; i++ {
		next, sound, err := a.read(i, sum)
		if err != nil || next == nil {
			return err
		}
		if !sound {
			return a.judge(i, sum)
		}
		sum = *next
	}
}

// read reads a frame, and tells whether it is sound; next is nil at the end.
func (a *ahead) read(i int64, sum [2]uint32) (next *[2]uint32, sound bool, err error) {
	n, err := a.file.ReadAt(a.frame, headSize+i*int64(len(a.frame)))
	if n < len(a.frame) {
		return nil, false, notEOF(err)
	}
	sum = a.sum(a.sum(sum, a.frame[:8]), a.frame[frameHead:])
	return &sum, a.ours() && bytes.Equal(a.frame[16:24], stored(sum)), nil
}

// ours reports whether a frame is of this row; those of an older one may follow it.
func (a *ahead) ours() bool { return bytes.Equal(a.frame[8:16], a.head[16:24]) }

// judge tells damage from a commit that was broken off, at a frame that is not sound.
func (a *ahead) judge(at int64, sum [2]uint32) error {
	committed := false
	for i := at; ; i++ {
		next, _, err := a.read(i, sum)
		if err != nil || next == nil {
			return err
		}
		if committed && a.ours() {
			break
		}
		committed = committed || a.ours() && binary.BigEndian.Uint32(a.frame[4:]) != 0
	}
	// Another process may just have written what was not there when it was read.
	var head [headSize]byte
	if _, err := a.file.ReadAt(head[:], 0); err != nil || head != a.head {
		return notEOF(err)
	}
	if _, sound, err := a.read(at, sum); err != nil || sound {
		return err
	}
	return damage(fmt.Sprintf("frame %d", at+1))
}

func damage(where string) error {
	return &ledger.CorruptError{What: "in what was written ahead (PATH-wal), " + where + " is not what was written, and events come after it" + restore +
		"; without PATH-wal the ledger opens as it was before"}
}

// sum goes on with the checksum of SQLite.
func (a *ahead) sum(s [2]uint32, of []byte) [2]uint32 {
	for ; len(of) >= 8; of = of[8:] {
		s[0] += a.order.Uint32(of) + s[1]
		s[1] += a.order.Uint32(of[4:]) + s[0]
	}
	return s
}

func stored(sum [2]uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, sum[0]), sum[1])
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
