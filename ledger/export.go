package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

const exportVersion = 1

// line is one line of an export, in JSON: the header first, then one for each
// event, then the footer. Exactly one of the three is there.
type line struct {
	Ledger *header `json:"ledger,omitempty"`
	Event  *record `json:"event,omitempty"`
	End    *footer `json:"end,omitempty"`
}

// header says of what a file is the export.
type header struct {
	Version int `json:"version"`
	// Stream and Prefix are those of a query that does not ask for all.
	Stream string `json:"stream,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// First is the position of the oldest event that the ledger had.
	First uint64 `json:"first"`
	// After and Last are the positions before the first event of the export and of the
	// last, and Base is the hash of the event at After.
	After     uint64            `json:"after"`
	Last      uint64            `json:"last"`
	Base      Hash              `json:"base"`
	Sequences map[string]uint64 `json:"sequences,omitempty"`
	Tokens    map[string]uint64 `json:"tokens,omitempty"`
}

func (h header) partial() bool { return h.Stream != "" || h.Prefix != "" }

// record is an event. Its body stands there as the JSON that it is, where that is
// the same byte for byte, and otherwise in base64: the hash is over the bytes.
type record struct {
	Position uint64          `json:"position"`
	Stream   string          `json:"stream"`
	Sequence uint64          `json:"sequence"`
	ID       string          `json:"id"`
	Time     time.Time       `json:"time"`
	Kind     string          `json:"kind"`
	Actor    string          `json:"actor"`
	Body     json.RawMessage `json:"body,omitempty"`
	Bytes    []byte          `json:"body_base64,omitempty"`
	Previous Hash            `json:"previous"`
	Hash     Hash            `json:"hash"`
}

// footer says that nothing was cut off.
type footer struct {
	Events uint64 `json:"events"`
	Head   Hash   `json:"head"`
}

func recordOf(e Event) *record {
	r := &record{
		Position: e.Position, Stream: e.Stream, Sequence: e.Sequence, ID: e.ID, Time: e.Time, Kind: e.Kind, Actor: e.Actor,
		Previous: e.Previous, Hash: e.Hash,
	}
	var compact bytes.Buffer
	if json.Compact(&compact, e.Body) == nil && bytes.Equal(compact.Bytes(), e.Body) && utf8.Valid(e.Body) {
		r.Body = e.Body
	} else {
		r.Bytes = e.Body
	}
	return r
}

func (r record) event() Event {
	e := Event{
		Position: r.Position, Stream: r.Stream, Sequence: r.Sequence, ID: r.ID, Time: r.Time.UTC().Truncate(time.Microsecond),
		Kind: r.Kind, Actor: r.Actor, Body: r.Body, Previous: r.Previous, Hash: r.Hash,
	}
	if r.Bytes != nil {
		e.Body = r.Bytes
	}
	return e
}

// Export writes the events that a query asks for, oldest first, and verifies them
// while it does. It tells from where to where it went. Events that are added
// meanwhile are not in it. progress may be nil.
//
// Only what is no choice of streams can be imported. Such an export also has what
// the ledger remembers of events that were pruned and of leases, so that the ledger
// into which it is imported counts on.
func Export(ctx context.Context, s Store, w io.Writer, q Query, progress func(done, total uint64)) (Extent, error) {
	if q.Backward {
		return Extent{}, fmt.Errorf("%w: an export goes from the oldest event to the newest", ErrInvalid)
	}
	h, err := headerOf(ctx, s, q)
	if err != nil {
		return Extent{}, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(line{Ledger: &h}); err != nil {
		return Extent{}, fmt.Errorf("write the export: %w", err)
	}
	check := newChecker(h)
	if h.After < h.Last {
		q.After, q.UpTo = h.After, h.Last
		if err := check.export(ctx, s, q, lines, progress); err != nil {
			return Extent{}, err
		}
	}
	if err := errors.Join(lines.Encode(line{End: &footer{check.events, check.previous}}), out.Flush()); err != nil {
		return Extent{}, fmt.Errorf("write the export: %w", err)
	}
	return Extent{First: h.After + 1, Last: h.Last, Base: h.Base, Head: check.previous, Streams: len(check.sequences)}, nil
}

// export writes the events, and finds out whether they are what was sealed.
func (c *checker) export(ctx context.Context, s Store, q Query, lines *json.Encoder, progress func(done, total uint64)) error {
	for e, err := range s.Events(ctx, q) {
		if err == nil {
			err = c.take(e)
		}
		if err != nil {
			return err
		}
		if err := lines.Encode(line{Event: recordOf(e)}); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		tell(progress, c.header, e)
	}
	return c.end()
}

// headerOf says what an export will have.
func headerOf(ctx context.Context, s Store, q Query) (header, error) {
	h := header{Version: exportVersion, Stream: q.Stream, Prefix: q.Prefix}
	if h.Stream != "" {
		h.Prefix = ""
	}
	marks, err := s.Marks(ctx)
	if err != nil {
		return h, err
	}
	extent, err := s.Extent(ctx)
	if err != nil {
		return h, err
	}
	if !h.partial() {
		h.Sequences, h.Tokens = marks.Sequences, marks.Tokens
	}
	h.First = max(extent.First, 1)
	h.Last = extent.Last
	if q.UpTo > 0 {
		h.Last = min(max(q.UpTo, h.First-1), extent.Last)
	}
	h.After = min(max(q.After, h.First-1), h.Last)
	switch h.After {
	case h.First - 1:
		h.Base = extent.Base
		return h, nil
	case extent.Last:
		h.Base = extent.Head
		return h, nil
	}
	for e, err := range s.Events(ctx, Query{After: h.After - 1, UpTo: h.After}) {
		h.Base = e.Hash
		return h, err
	}
	return h, &CorruptError{h.After, "it is missing"}
}

func tell(progress func(done, total uint64), h header, e Event) {
	if progress != nil && (e.Position%1024 == 0 || e.Position == h.Last) {
		progress(e.Position-h.After, h.Last-h.After)
	}
}

// checker goes along the events of an export.
type checker struct {
	header
	verification
	events uint64
}

func newChecker(h header) *checker {
	return &checker{header: h, verification: verification{position: h.After + 1, previous: h.Base, sequences: make(map[string]uint64)}}
}

func (c *checker) take(e Event) error {
	if c.partial() { // what is before it is not here
		if e.Position < c.position || e.Position > c.Last {
			return &CorruptError{e.Position, "it is not in the order of the log"}
		}
		c.position, c.previous = e.Position, e.Previous
	}
	if err := c.verification.take(e); err != nil {
		return err
	}
	c.events++
	return nil
}

// end finds out whether all were there.
func (c *checker) end() error {
	if !c.partial() && c.position != c.Last+1 {
		return &CorruptError{c.position, fmt.Sprintf("it is missing, as are all up to event %d", c.Last)}
	}
	return nil
}
