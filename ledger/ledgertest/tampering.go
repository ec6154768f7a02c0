package ledgertest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

// tampering is one way to change the log behind the back of the store.
type tampering struct {
	name   string
	change func(all []ledger.Event) []ledger.Event
	// unnoticed is that no chain of hashes can tell, but a head that was noted can.
	unnoticed bool
}

func tamperings() []tampering {
	at := func(i int, change func(*ledger.Event)) func([]ledger.Event) []ledger.Event {
		return func(all []ledger.Event) []ledger.Event { change(&all[i]); return all }
	}
	return []tampering{
		{name: "changed body", change: at(3, func(e *ledger.Event) { e.Body = []byte(`{"what":"else"}`) })},
		{name: "changed blank in a body", change: at(3, func(e *ledger.Event) { e.Body = append(e.Body, ' ') })},
		{name: "changed first", change: at(0, func(e *ledger.Event) { e.Actor = "somebody" })},
		{name: "changed newest", change: at(9, func(e *ledger.Event) { e.Kind = "changed" })},
		{name: "changed time", change: at(3, func(e *ledger.Event) { e.Time = e.Time.Add(time.Microsecond) })},
		{name: "changed id", change: at(3, func(e *ledger.Event) { e.ID = "other" })},
		{name: "other stream", change: at(3, func(e *ledger.Event) { e.Stream = "run/9" })},
		{name: "changed hash", change: at(3, func(e *ledger.Event) { e.Hash[0] ^= 1 })},
		{name: "changed and sealed anew", change: at(3, func(e *ledger.Event) { *e = sealed(*e, "else", e.Previous) })},
		{name: "removed", change: func(all []ledger.Event) []ledger.Event { return slices.Delete(all, 3, 4) }},
		{name: "removed and closed up", change: func(all []ledger.Event) []ledger.Event {
			all = slices.Delete(all, 3, 4)
			for i := 3; i < len(all); i++ {
				all[i].Position--
			}
			return all
		}},
		{name: "removed first", change: func(all []ledger.Event) []ledger.Event { return all[1:] }},
		{name: "swapped", change: func(all []ledger.Event) []ledger.Event {
			a, b := all[3], all[5]
			all[3], all[5] = b, a
			all[3].Position, all[5].Position = a.Position, b.Position
			return all
		}},
		{name: "swapped bodies", change: func(all []ledger.Event) []ledger.Event {
			all[3].Body, all[5].Body = all[5].Body, all[3].Body
			return all
		}},
		{name: "cut tail", change: func(all []ledger.Event) []ledger.Event { return all[:6] }, unnoticed: true},
		{name: "all cut", change: func([]ledger.Event) []ledger.Event { return nil }, unnoticed: true},
		{name: "made anew", change: madeAnew, unnoticed: true},
		{name: "one added", change: func(all []ledger.Event) []ledger.Event {
			last := all[9]
			return append(all, ledger.Seal(draft("added"), last.Stream, last.Position+1, last.Sequence+1, last.Hash))
		}, unnoticed: true},
	}
}

// madeAnew changes an event and seals all that come after it.
func madeAnew(all []ledger.Event) []ledger.Event {
	previous := all[2].Hash
	for i := 3; i < len(all); i++ {
		all[i] = sealed(all[i], "else", previous)
		previous = all[i].Hash
	}
	return all
}

func sealed(e ledger.Event, id string, previous ledger.Hash) ledger.Event {
	d := draft(id)
	d.ID = e.ID
	return ledger.Seal(d, e.Stream, e.Position, e.Sequence, previous)
}

func (h Harness) tamperingCases() (all []testCase) {
	for _, tampering := range tamperings() {
		all = append(all, testCase{
			name: "tampering/" + tampering.name, loss: "the evidence could be changed, and nobody would see it",
			without: unless(h.Rewrite != nil, "change events behind the back of the store"),
			run:     func(t testing.TB, h Harness) { tampered(t, h, tampering) },
		})
	}
	return all
}

// tampered changes the log, and holds the verification to finding it: by itself, or
// where it cannot, by a head that was noted before.
func tampered(t testing.TB, h Harness, how tampering) {
	ctx, s := h.fresh(t)
	var all []ledger.Event
	for i := range 10 {
		all = append(all, add(ctx, t, s, fmt.Sprintf("run/%d", i%3), strconv.Itoa(i))...)
	}
	want := slices.Clone(all)
	h.Rewrite(t, s, want)
	noted, err := ledger.Verify(ctx, s, nil)
	require.NoError(t, err, "the same events in the place of themselves")
	h.Rewrite(t, s, how.change(all))
	if other, err := h.Reopen(t, s); err != nil {
		require.ErrorIs(t, err, ledger.ErrCorrupt, "it may be told at the start, and as what it is")
	} else {
		require.NoError(t, other.Close())
	}
	got, err := ledger.Verify(ctx, s, nil)
	if how.unnoticed && err == nil && got.Head == noted.Head {
		requireSame(t, want, readAll(ctx, t, s), "the head is the one that was noted, and the events are not")
	}
	if how.unnoticed && err == nil {
		return
	}
	require.ErrorIs(t, err, ledger.ErrCorrupt)
	var corrupt *ledger.CorruptError
	require.ErrorAs(t, err, &corrupt, "it says where")
}
