package report

import (
	"context"
	"fmt"
	"iter"

	"github.com/drwatch/drwatch/ledger"
)

// meeting is a ledger up to the head of a report, that compares the events that the
// report names when they come along.
type meeting struct {
	ledger.Store
	extent ledger.Extent
	noted  map[uint64]ledger.Hash
	kinds  map[uint64]string
	named  int
	same   int
	others []string
}

func newMeeting(s ledger.Store, x ledger.Extent, d *Data) *meeting {
	m := &meeting{Store: s, extent: x, noted: make(map[uint64]ledger.Hash), kinds: make(map[uint64]string)}
	for _, l := range d.Proof.Links {
		m.noted[l.Position], m.kinds[l.Position] = l.Hash, fmt.Sprintf("%s of the stream %s", l.Kind, l.Stream)
	}
	if d.Ledger.Last > 0 {
		m.noted[d.Ledger.Last] = d.Ledger.Head
	}
	m.named = len(m.noted)
	return m
}

// Extent ends where the report does.
func (m *meeting) Extent(context.Context) (ledger.Extent, error) { return m.extent, nil }

// Events gives them to whoever verifies.
func (m *meeting) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		for e, err := range m.Store.Events(ctx, q) {
			if err == nil {
				m.meet(e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (m *meeting) meet(e ledger.Event) {
	hash, noted := m.noted[e.Position]
	switch {
	case !noted:
	case hash == e.Hash:
		m.same++
	default:
		m.others = append(m.others, fmt.Sprintf("event %d (%s) has the hash %s in the ledger, and %s in the report", e.Position, m.kinds[e.Position], e.Hash, hash))
	}
}

// told lists the first of the events that are others.
func (m *meeting) told() string {
	text := fmt.Sprintf("%d of the %d events that the report names are others in the ledger, from where on one of the two was changed: ", len(m.others), m.named)
	for i, other := range m.others[:min(len(m.others), mostTold)] {
		if i > 0 {
			text += "; "
		}
		text += other
	}
	return text
}
