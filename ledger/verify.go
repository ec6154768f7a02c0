package ledger

import (
	"context"
	"fmt"
)

// Verify reads the whole ledger and proves that it is what was written: every event
// is as it was sealed, none is missing between the first and the last, and each
// stream counts on. It returns what was verified; the error is a [CorruptError]
// where something is wrong. progress may be nil.
//
// That the newest events were cut off, and that everything was made anew, no chain
// of hashes can tell by itself: hold the head against one that was noted elsewhere.
func Verify(ctx context.Context, s Store, progress func(done, total uint64)) (Extent, error) {
	extent, err := s.Extent(ctx)
	if err != nil {
		return Extent{}, err
	}
	v := verification{position: max(extent.First, 1), previous: extent.Base, sequences: make(map[string]uint64)}
	for e, err := range s.Events(ctx, Query{UpTo: extent.Last}) {
		if err != nil {
			return Extent{}, err
		}
		if err := v.take(e); err != nil {
			return Extent{}, err
		}
		if progress != nil && e.Position%1024 == 0 {
			progress(e.Position-extent.First+1, extent.Last-extent.First+1)
		}
	}
	if v.position != extent.Last+1 && extent.Last > 0 {
		return Extent{}, &CorruptError{v.position, fmt.Sprintf("it ends before event %d, of which it knows", extent.Last)}
	}
	if extent.Last > 0 && v.previous != extent.Head {
		return Extent{}, &CorruptError{extent.Last, "the hash of the newest event is not the one that was noted"}
	}
	return extent, nil
}

// verification goes along the log.
type verification struct {
	position  uint64 // of the next event
	previous  Hash
	sequences map[string]uint64 // of the newest event, by stream
}

func (v *verification) take(e Event) error {
	newest, known := v.sequences[e.Stream]
	switch {
	case e.Position != v.position:
		return &CorruptError{v.position, fmt.Sprintf("it is missing: after it comes event %d", e.Position)}
	case e.Previous != v.previous:
		return &CorruptError{e.Position, "it does not follow the event before it: one of the two was changed, or put in its place"}
	case e.hash() != e.Hash:
		return &CorruptError{e.Position, "it is not what was written: its hash is another"}
	case known && e.Sequence != newest+1, !known && e.Sequence == 0:
		return &CorruptError{e.Position, fmt.Sprintf("it is number %d of the stream %s, after number %d", e.Sequence, e.Stream, newest)}
	}
	v.position, v.previous, v.sequences[e.Stream] = e.Position+1, e.Hash, e.Sequence
	return nil
}
