package ledgertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

func restoreCases() []testCase {
	return []testCase{
		{name: "restore/copy", loss: "a ledger that has moved would not be the one that it was, or begin to count anew", run: copied},
		{name: "restore/refused", loss: "what never happened could be brought in as evidence", run: restoreRefused},
		{name: "restore/marks", loss: "a sequence or a token would be given a second time", run: marked},
		{name: "restore/from the middle", loss: "a ledger of which the old events were let go could not be moved", run: fromTheMiddle},
	}
}

// copied moves a ledger that has a past into a new one.
func copied(t testing.TB, h Harness) {
	ctx, from := h.fresh(t)
	add(ctx, t, from, "gone", "a", "b")
	for i := range 60 {
		add(ctx, t, from, fmt.Sprintf("run/%d", i%7), numbered(fmt.Sprintf("%d-", i), 5)...)
	}
	require.NoError(t, from.Prune(ctx, 10))
	acquire(ctx, t, from, "elector", "a", time.Hour)
	released := acquire(ctx, t, from, "elector", "a", time.Hour) // anew
	require.NoError(t, from.Release(ctx, released))
	held := acquire(ctx, t, from, "executor", "a", time.Hour)
	all, whole := sound(ctx, t, from), extent(ctx, t, from)
	marks, err := from.Marks(ctx)
	require.NoError(t, err)
	require.Equal(t, ledger.Marks{
		Sequences: map[string]uint64{"gone": 2}, Tokens: map[string]uint64{"elector": released.Token, "executor": held.Token},
	}, marks)

	_, to := h.fresh(t)
	after, base := whole.First-1, whole.Base
	for len(all) > 0 {
		row := all[:min(len(all), 97)]
		require.NoError(t, to.Restore(ctx, ledger.Restored{After: after, Base: base, Events: row}))
		after, base, all = row[len(row)-1].Position, row[len(row)-1].Hash, all[len(row):]
	}
	require.NoError(t, to.Restore(ctx, ledger.Restored{After: after, Base: base, Marks: marks}))
	to = h.again(t, to)
	requireSame(t, sound(ctx, t, from), sound(ctx, t, to))
	require.Equal(t, whole, extent(ctx, t, to))
	copied, err := to.Marks(ctx)
	require.NoError(t, err)
	require.Equal(t, marks, copied)

	leases, err := to.Leases(ctx)
	require.NoError(t, err)
	require.Empty(t, leases, "a lease is not held in a ledger in which nobody took it")
	require.Greater(t, acquire(ctx, t, to, "executor", "b", time.Hour).Token, held.Token)
	require.Greater(t, acquire(ctx, t, to, "elector", "b", time.Hour).Token, released.Token)
	require.EqualValues(t, 3, add(ctx, t, to, "gone", "c")[0].Sequence)
	require.EqualValues(t, 46, add(ctx, t, to, "run/0", "c")[0].Sequence)
	duplicate := add(ctx, t, to, "run/0", "56-1")
	require.LessOrEqual(t, duplicate[0].Position, whole.Last, "what had arrived in the old ledger has arrived in the new one")
	sound(ctx, t, to)
}

func restoreRefused(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a", "b")
	newest := want[1].Hash
	next := ledger.Seal(draft("c"), "run/1", 3, 3, newest)
	for name, r := range map[string]ledger.Restored{
		"an older position":         {After: 1, Base: want[0].Hash, Events: []ledger.Event{ledger.Seal(draft("c"), "run/1", 2, 2, want[0].Hash)}},
		"a later position":          {After: 3, Base: next.Hash, Events: []ledger.Event{ledger.Seal(draft("d"), "run/1", 4, 4, next.Hash)}},
		"another hash":              {After: 2, Base: want[0].Hash, Events: []ledger.Event{ledger.Seal(draft("c"), "run/1", 3, 3, want[0].Hash)}},
		"from the beginning":        {Events: []ledger.Event{ledger.Seal(draft("c"), "run/2", 1, 1, ledger.Hash{})}},
		"marks for another place":   {After: 9, Base: newest, Marks: ledger.Marks{Sequences: map[string]uint64{"run/1": 7}}},
		"the beginning for marks":   {Marks: ledger.Marks{Sequences: map[string]uint64{"run/1": 7}}},
		"the same hash further off": {After: 3, Base: newest},
	} {
		require.ErrorIs(t, s.Restore(ctx, r), ledger.ErrConflict, name)
		requireSame(t, want, sound(ctx, t, s), name)
	}
	changed := next
	changed.Actor = "somebody"
	for name, events := range map[string][]ledger.Event{
		"a changed event":         {changed},
		"a gap":                   {next, ledger.Seal(draft("d"), "run/1", 5, 4, next.Hash)},
		"a gap in a stream":       {ledger.Seal(draft("c"), "run/1", 3, 4, newest)},
		"a sequence once more":    {ledger.Seal(draft("c"), "run/1", 3, 2, newest)},
		"a gap in the row":        {next, ledger.Seal(draft("d"), "run/1", 4, 5, next.Hash)},
		"an ID once more":         {ledger.Seal(draft("a"), "run/1", 3, 3, newest)},
		"an ID twice in one row":  {next, ledger.Seal(draft("c"), "run/1", 4, 4, next.Hash)},
		"no sequence":             {ledger.Seal(draft("c"), "run/2", 3, 0, newest)},
		"one that does not chain": {next, ledger.Seal(draft("d"), "run/1", 4, 4, newest)},
	} {
		require.ErrorIs(t, s.Restore(ctx, ledger.Restored{After: 2, Base: newest, Events: events}), ledger.ErrInvalid, name)
		requireSame(t, want, sound(ctx, t, s), name)
	}
	require.NoError(t, s.Restore(ctx, ledger.Restored{After: 2, Base: newest, Events: []ledger.Event{next}}))
	requireSame(t, append(want, next), sound(ctx, t, s))
	off, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.Restore(off, ledger.Restored{After: 3, Base: next.Hash}), context.Canceled)
}

func marked(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	events := add(ctx, t, s, "run/1", "a", "b")
	at := func(sequence, token uint64) ledger.Restored {
		return ledger.Restored{After: 2, Base: events[1].Hash, Marks: ledger.Marks{
			Sequences: map[string]uint64{"gone": sequence}, Tokens: map[string]uint64{"executor": token, "elector": token},
		}}
	}
	a := acquire(ctx, t, s, "executor", "a", time.Hour)
	require.NoError(t, s.Restore(ctx, at(7, a.Token+10)))
	require.NoError(t, s.Restore(ctx, at(3, 1)), "marks are never lowered")
	marks, err := s.Marks(ctx)
	require.NoError(t, err)
	require.Equal(t, at(7, a.Token+10).Marks, marks)
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	requireSameLease(t, a, leases[0])
	require.NoError(t, act(ctx, s, a, "c"), "a lease that is held stays held")
	refused(ctx, t, s, "b", a)
	require.NoError(t, s.Release(ctx, a))
	for _, name := range []string{"executor", "elector"} {
		require.Greater(t, acquire(ctx, t, s, name, "b", time.Hour).Token, a.Token+10)
	}
	_, err = s.Append(ctx, ledger.Append{Stream: "gone", After: 7, Drafts: drafts("h")})
	require.NoError(t, err)
	sound(ctx, t, s)
}

func fromTheMiddle(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	base := ledger.Hash{1, 2, 3}
	first := ledger.Seal(draft("a"), "run/1", 41, 7, base)
	require.NoError(t, s.Restore(ctx, ledger.Restored{After: 40, Base: base}))
	require.Equal(t, ledger.Extent{First: 41, Last: 40, Base: base, Head: base}, extent(ctx, t, s))
	require.ErrorIs(t, s.Restore(ctx, ledger.Restored{After: 39, Base: base}), ledger.ErrConflict, "it has begun elsewhere")
	require.NoError(t, s.Restore(ctx, ledger.Restored{After: 40, Base: base, Events: []ledger.Event{first}}))
	require.Equal(t, ledger.Extent{First: 41, Last: 41, Base: base, Head: first.Hash, Streams: 1}, extent(ctx, t, s))
	got, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: 7, Drafts: drafts("b")})
	require.NoError(t, err)
	requireSame(t, []ledger.Event{first, got[0]}, sound(ctx, t, s))
}
