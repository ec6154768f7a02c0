package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/ledger"
)

func writerCases() []testCase {
	return []testCase{
		{name: "append/conflict", loss: "two executors would both go on with the same run", run: conflict},
		{name: "append/all or none", loss: "half of what belongs together would be in the log", run: allOrNone},
		{name: "append/duplicate", loss: "an event would be there twice after a lost acknowledgement, or its writer stopped by himself", run: duplicate},
		{name: "append/duplicate at once", loss: "an impatient retry would double an event", run: duplicateAtOnce},
		{name: "append/concurrent", loss: "events would be lost, doubled or out of order with several writers", run: concurrent},
		{name: "append/while pruning and verifying", loss: "the ledger could not be looked after while it is in use", run: lookedAfter},
	}
}

func conflict(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	other := h.again(t, s)
	tooEarly, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: 1, Drafts: drafts("x")})
	requireConflict(t, err, ledger.ConflictError{Stream: "run/1", After: 1})
	require.Empty(t, tooEarly)
	want := add(ctx, t, s, "run/1", "a", "b")
	want = append(want, add(ctx, t, s, "run/2", "a")...)
	for _, after := range []uint64{0, 1, 3, 1 << 40, ledger.Any - 1} {
		_, err = other.Append(ctx, ledger.Append{Stream: "run/1", After: after, Drafts: drafts("c")})
		requireConflict(t, err, ledger.ConflictError{Stream: "run/1", After: after, Newest: 2})
	}
	requireSame(t, want, sound(ctx, t, s))
	got, err := other.Append(ctx, ledger.Append{Stream: "run/1", After: 2, Drafts: drafts("c")})
	require.NoError(t, err)
	requireSame(t, append(want, got...), sound(ctx, t, s))
}

func requireConflict(t testing.TB, err error, want ledger.ConflictError) {
	t.Helper()
	require.ErrorIs(t, err, ledger.ErrConflict)
	var got *ledger.ConflictError
	require.ErrorAs(t, err, &got, "it says how far the stream has gone")
	require.Equal(t, want, *got)
}

func allOrNone(t testing.TB, h Harness) {
	const many = 500
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", numbered("a", many)...)
	for at, e := range want {
		require.EqualValues(t, at+1, e.Sequence, "the drafts are added in their order")
	}
	batch := drafts(numbered("b", many)...)
	batch[many-1].ID = "a1" // is there already
	_, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: many, Drafts: batch})
	require.ErrorIs(t, err, ledger.ErrInvalid)
	requireSame(t, want, sound(ctx, t, h.again(t, s)))
}

func duplicate(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	first := ledger.Append{Stream: "run/1", After: 0, Drafts: drafts("a", "b")}
	want, err := s.Append(ctx, first)
	require.NoError(t, err)
	rest := add(ctx, t, s, "run/1", "c")
	other := h.again(t, s)
	all := slices.Concat(want, rest)
	for name, a := range map[string]ledger.Append{
		"as it was":                   first,
		"under a lease since lost":    {Stream: "run/1", After: 0, Under: &ledger.Lease{Name: "executor", Holder: "a", Token: 1}, Drafts: first.Drafts},
		"at another time of the day":  {Stream: "run/1", After: 0, Drafts: later(first.Drafts)},
		"after what it does not know": {Stream: "run/1", After: 9, Drafts: first.Drafts},
		"after any":                   {Stream: "run/1", After: ledger.Any, Drafts: first.Drafts},
	} {
		got, err := other.Append(ctx, a)
		require.NoError(t, err, "%s: it had arrived", name)
		requireSame(t, want, got, "%s: the events that had arrived", name)
		requireSame(t, all, sound(ctx, t, s), name)
	}
	one, err := other.Append(ctx, ledger.Append{Stream: "run/1", After: 0, Drafts: drafts("b")})
	require.NoError(t, err)
	requireSame(t, want[1:], one)

	changed := func(change func(d *ledger.Draft)) []ledger.Draft {
		all := drafts("a", "b")
		change(&all[1])
		return all
	}
	for name, d := range map[string][]ledger.Draft{
		"another body":    changed(func(d *ledger.Draft) { d.Body = []byte(`{"what":"else"}`) }),
		"another kind":    changed(func(d *ledger.Draft) { d.Kind = "changed" }),
		"another actor":   changed(func(d *ledger.Draft) { d.Actor = "somebody" }),
		"another order":   drafts("b", "a"),
		"and one more":    drafts("a", "b", "new"),
		"and one before":  drafts("new", "a"),
		"and one unnamed": drafts("a", ""),
	} {
		_, err := other.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: d})
		require.ErrorIs(t, err, ledger.ErrInvalid, name)
		requireSame(t, all, sound(ctx, t, s), name)
	}
	elsewhere := add(ctx, t, other, "run/2", "a", "b")
	requireSame(t, slices.Concat(all, elsewhere), sound(ctx, t, s), "in another stream the same ID is another event")

	unsorted := ledger.Append{Stream: "run/4", Drafts: drafts("run-9", "run-10", "a", "B")}
	want, err = s.Append(ctx, unsorted)
	require.NoError(t, err)
	got, err := other.Append(ctx, unsorted)
	require.NoError(t, err, "the order is that in which they were appended, and not that of their IDs")
	requireSame(t, want, got)

	alike := drafts("a", "b")
	alike[1].Body = alike[0].Body
	_, err = s.Append(ctx, ledger.Append{Stream: "run/3", Drafts: alike})
	require.NoError(t, err)
	slices.Reverse(alike)
	_, err = other.Append(ctx, ledger.Append{Stream: "run/3", Drafts: alike})
	require.ErrorIs(t, err, ledger.ErrInvalid, "another order of what says the same")
}

func later(all []ledger.Draft) []ledger.Draft {
	all = slices.Clone(all)
	for i := range all {
		all[i].Time = all[i].Time.Add(time.Minute)
	}
	return all
}

func duplicateAtOnce(t testing.TB, h Harness) {
	const (
		rounds  = 10
		writers = 4
	)
	ctx, s := h.fresh(t)
	handles := []ledger.Store{s, h.again(t, s)}
	for round := range rounds {
		var together errgroup.Group
		got := make([][]ledger.Event, writers)
		for w := range writers {
			together.Go(func() (err error) {
				got[w], err = handles[w%len(handles)].Append(ctx, ledger.Append{Stream: "run/1", After: uint64(round), Drafts: drafts(fmt.Sprint(round))})
				return err
			})
		}
		require.NoError(t, together.Wait(), "each of them is told that it has arrived")
		for w := range writers {
			requireSame(t, got[0], got[w])
		}
	}
	require.Len(t, sound(ctx, t, s), rounds)
}

// concurrent has writers of three sorts at once: one that has a stream to himself,
// one that contends for a stream and decides anew at each conflict, and one that
// adds batches to a stream without looking.
func concurrent(t testing.TB, h Harness) {
	const (
		writers = 20
		each    = 12
		batch   = 3
	)
	ctx, s := h.fresh(t)
	handles := []ledger.Store{s, h.again(t, s), h.again(t, s), h.again(t, s)}
	var together errgroup.Group
	told := make([][]ledger.Event, writers)
	for w := range writers {
		s, name := handles[w%len(handles)], fmt.Sprintf("writer %d", w)
		together.Go(func() (err error) {
			for i := range each {
				ids := []string{fmt.Sprintf("%s: %d", name, i)}
				a := ledger.Append{Stream: name, After: uint64(i), Drafts: drafts(ids...)}
				switch w % 3 {
				case 1:
					told[w], err = contend(ctx, s, told[w], ids)
				case 2:
					a.Stream, a.After, a.Drafts = "together", ledger.Any, drafts(numbered(ids[0]+"/", batch)...)
					fallthrough
				default:
					var got []ledger.Event
					got, err = s.Append(ctx, a)
					told[w] = append(told[w], got...)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	want := slices.Concat(told...)
	slices.SortFunc(want, func(a, b ledger.Event) int { return int(a.Position) - int(b.Position) })
	requireSame(t, want, sound(ctx, t, h.again(t, s)), "what was acknowledged, and nothing else")
	for i, e := range want {
		require.EqualValues(t, i+1, e.Position, "positions have no gap")
	}
	for _, e := range want {
		if n := strings.Count(e.ID, "/1"); n > 0 && strings.HasSuffix(e.ID, "/1") {
			next := want[e.Position : e.Position+batch-1]
			for i, other := range next {
				require.Equal(t, fmt.Sprintf("%s/%d", strings.TrimSuffix(e.ID, "/1"), i+2), other.ID, "a batch is not torn")
			}
		}
	}
}

// contend appends after the newest event, and looks again as long as others are quicker.
func contend(ctx context.Context, s ledger.Store, told []ledger.Event, ids []string) ([]ledger.Event, error) {
	after := uint64(0)
	for {
		got, err := s.Append(ctx, ledger.Append{Stream: "contended", After: after, Drafts: drafts(ids...)})
		var conflict *ledger.ConflictError
		if err == nil && got[0].Sequence != after+1 {
			return told, fmt.Errorf("what was to come after event %d is event %d of its stream", after, got[0].Sequence)
		}
		if !errors.As(err, &conflict) {
			return append(told, got...), err
		}
		if conflict.Newest <= after && after != 0 {
			return told, fmt.Errorf("the newest event is %d, and was %d before", conflict.Newest, after)
		}
		after = conflict.Newest
	}
}

// lookedAfter verifies again and again while others write, then prunes while they do.
func lookedAfter(t testing.TB, h Harness) {
	const events = 150
	ctx, s := h.fresh(t)
	other := h.again(t, s)
	for _, look := range []func() error{
		func() error { _, err := ledger.Verify(ctx, other, nil); return err },
		func() error {
			x, err := other.Extent(ctx)
			return errors.Join(err, other.Prune(ctx, x.Last-min(x.Last, 20)))
		},
	} {
		writing, done := context.WithCancel(ctx)
		var together errgroup.Group
		together.Go(func() error {
			defer done()
			for range events {
				if _, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: drafts("")}); err != nil {
					return err
				}
			}
			return nil
		})
		for writing.Err() == nil {
			require.NoError(t, look())
		}
		require.NoError(t, together.Wait())
	}
	all := sound(ctx, t, s)
	require.EqualValues(t, 2*events, all[len(all)-1].Sequence)
}
