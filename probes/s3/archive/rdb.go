package archive

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math/bits"
	"strconv"
	"time"
)

// What an RDB file begins with: four digits follow, three in Valkey's own.
// https://rdb.fnordig.de/file_format.html
const (
	rdbMagic    = "REDIS"
	valkeyMagic = "VALKEY"
)

const (
	rdbAux = 0xFA // a name and a value
	rdbEnd = 0xFF // and eight bytes of check sum
	// rdbMargin is by how much the child that writes the file may be late in noting
	// the time: the image is of the moment of the fork, the note is in whole seconds.
	rdbMargin = time.Second
)

// rdb looks at an RDB file. The time in it is a moment; the data is as it was
// no more than a second before.
func (d dump) rdb(ctx context.Context) (Finding, error) {
	const magic = len("REDIS0000")
	r, version := &rdbReader{}, "?"
	if len(d.head) >= magic {
		r.rest, version = d.head[magic:], printable(string(d.head[len(rdbMagic):magic]))
	}
	aux := r.aux()
	f := Finding{Format: RDB, Detail: "RDB file version " + version}
	if server := aux["redis-ver"] + aux["valkey-ver"]; server != "" {
		f.Detail = fmt.Sprintf("RDB file of Redis %s", printable(server))
	}
	if seconds, err := strconv.ParseInt(aux["ctime"], 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
		f.Begun = moment(time.Unix(seconds, 0).UTC().Add(-rdbMargin))
	}
	tail, seen, err := d.tail(ctx)
	if err != nil {
		return Finding{}, err
	}
	f.Complete, f.Why = judgeRDB(d, tail, seen)
	return f, nil
}

func judgeRDB(d dump, tail []byte, seen bool) (Completeness, string) {
	const sum = 8
	switch {
	case !seen:
		return Untold, "it is compressed as a whole, and its end cannot be told without reading all of it"
	case len(tail) < sum+1 || tail[len(tail)-sum-1] != rdbEnd:
		return Cut, "it does not end as an RDB file does"
	case !d.whole():
		return Whole, "it ends as an RDB file does"
	}
	want := binary.LittleEndian.Uint64(tail[len(tail)-sum:])
	if want != 0 && want != crcJones(d.head[:len(d.head)-sum]) { // zero: rdbchecksum is off
		return Cut, "its check sum is wrong"
	}
	return Whole, "it ends as an RDB file does, and its check sum is right"
}

// crcJones is the check sum of Redis (crc64.c): the polynomial of Jones,
// reflected, with nothing inverted before or after.
func crcJones(data []byte) uint64 {
	table := crc64.MakeTable(bits.Reverse64(0xad93d23594c935a9))
	return ^crc64.Update(^uint64(0), table, data)
}

// rdbReader reads the beginning of an RDB file.
type rdbReader struct {
	rest []byte
	odd  bool
}

// auxLimit is more names than any server writes.
const auxLimit = 64

// aux reads the names and values that stand before the data.
func (r *rdbReader) aux() map[string]string {
	found := make(map[string]string)
	for len(found) < auxLimit && len(r.rest) > 0 && r.rest[0] == rdbAux {
		r.rest = r.rest[1:]
		name, value := r.text(), r.text()
		if r.odd {
			break
		}
		found[name] = value
	}
	return found
}

func (r *rdbReader) bytes(n uint64) []byte {
	if r.odd || n > uint64(len(r.rest)) {
		r.odd = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// text reads a string, which may be written as a number. One that is compressed
// is none that we look for.
func (r *rdbReader) text() string {
	first := r.bytes(1)
	if first == nil {
		return ""
	}
	switch low := uint64(first[0] & 0x3F); first[0] >> 6 {
	case 0:
		return string(r.bytes(low))
	case 1:
		if next := r.bytes(1); next != nil {
			return string(r.bytes(low<<8 | uint64(next[0])))
		}
	case 2:
		if first[0] == 0x80 {
			if n := r.bytes(4); n != nil {
				return string(r.bytes(uint64(binary.BigEndian.Uint32(n))))
			}
		}
	default:
		if low <= 2 {
			return r.integer(1 << low)
		}
	}
	r.odd = true
	return ""
}

func (r *rdbReader) integer(size uint64) string {
	b := r.bytes(size)
	switch len(b) {
	case 1:
		return strconv.Itoa(int(int8(b[0])))
	case 2:
		return strconv.Itoa(int(int16(binary.LittleEndian.Uint16(b))))
	case 4:
		return strconv.Itoa(int(int32(binary.LittleEndian.Uint32(b))))
	}
	return ""
}
