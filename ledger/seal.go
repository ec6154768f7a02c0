package ledger

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Hash is the SHA-256 of an event. The zero Hash is before the first one.
type Hash [sha256.Size]byte

// String gives it in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText gives it in hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("%q is no hash: it has %d digits, not %d", text, len(text), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// The longest that an event may be, in bytes.
const (
	mostName = 255
	mostBody = 1 << 20
)

// Seal makes the event of a draft: the next of the log, after the one with the
// hash previous. It is for stores.
func Seal(d Draft, stream string, position, sequence uint64, previous Hash) Event {
	e := Event{
		Position: position, Stream: stream, Sequence: sequence,
		ID: d.ID, Time: d.Time.UTC().Truncate(time.Microsecond), Kind: d.Kind, Actor: d.Actor, Body: d.Body,
		Previous: previous,
	}
	if e.ID == "" {
		e.ID = rand.Text()
	}
	e.Hash = e.hash()
	return e
}

// hash is that of all that the event says, the hash of the event before it
// included. Each text is preceded by its length, so that no two events are the
// same row of bytes.
func (e Event) hash() (h Hash) {
	sum := sha256.New()
	text(sum, []byte("drwatch ledger 1"))
	number(sum, e.Position)
	text(sum, []byte(e.Stream))
	number(sum, e.Sequence)
	text(sum, []byte(e.ID))
	number(sum, uint64(e.Time.UnixMicro()))
	text(sum, []byte(e.Kind))
	text(sum, []byte(e.Actor))
	text(sum, e.Body)
	_, _ = sum.Write(e.Previous[:])
	sum.Sum(h[:0])
	return h
}

func number(sum hash.Hash, n uint64) { _, _ = sum.Write(binary.BigEndian.AppendUint64(nil, n)) }

func text(sum hash.Hash, t []byte) {
	number(sum, uint64(len(t)))
	_, _ = sum.Write(t)
}

// Check finds what no store may take. It is for stores.
func (a Append) Check() error {
	if err := name("stream", a.Stream); err != nil {
		return err
	}
	if len(a.Drafts) == 0 {
		return fmt.Errorf("%w: nothing is to be appended to %s", ErrInvalid, a.Stream)
	}
	ids := make(map[string]bool, len(a.Drafts))
	for _, d := range a.Drafts {
		switch {
		case d.Time.IsZero():
			return fmt.Errorf("%w: %s in %s has no time", ErrInvalid, d.Kind, a.Stream)
		case len(d.Body) > mostBody:
			return fmt.Errorf("%w: %s in %s has %d bytes, %d is the most", ErrInvalid, d.Kind, a.Stream, len(d.Body), mostBody)
		case !json.Valid(d.Body):
			return fmt.Errorf("%w: the body of %s in %s is not JSON", ErrInvalid, d.Kind, a.Stream)
		case d.ID != "" && ids[d.ID]:
			return fmt.Errorf("%w: two drafts for %s have the id %s", ErrInvalid, a.Stream, d.ID)
		}
		if d.ID != "" {
			if err := name("id", d.ID); err != nil {
				return err
			}
			ids[d.ID] = true
		}
		if err := name("kind", d.Kind); err != nil {
			return err
		}
		if err := name("actor", d.Actor); err != nil {
			return err
		}
	}
	return nil
}

// CheckLease finds what no store may lend. It is for stores.
func CheckLease(lease, holder string, ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("%w: the lease %s is for %s, which is no time", ErrInvalid, lease, ttl)
	}
	return errors.Join(name("name of a lease", lease), name("holder of a lease", holder))
}

func name(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: the %s is empty", ErrInvalid, what)
	case len(text) > mostName:
		return fmt.Errorf("%w: the %s is longer than %d bytes", ErrInvalid, what, mostName)
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return fmt.Errorf("%w: the %s %q has a character in it that cannot be shown", ErrInvalid, what, text)
		}
	}
	return nil
}
