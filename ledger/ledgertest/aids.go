package ledgertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

// noon is when all the events of the suite happen.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC) }

// draft makes one that has an ID.
func draft(id string) ledger.Draft {
	body, _ := json.Marshal(map[string]string{"what": id}) // a string can always be written
	return ledger.Draft{ID: id, Time: noon(), Kind: "tested", Actor: "ledgertest", Body: body}
}

func drafts(ids ...string) (all []ledger.Draft) {
	for _, id := range ids {
		all = append(all, draft(id))
	}
	return all
}

// numbered gives n IDs.
func numbered(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, prefix+strconv.Itoa(i+1))
	}
	return ids
}

// add appends without any condition.
func add(ctx context.Context, t testing.TB, s ledger.Store, stream string, ids ...string) []ledger.Event {
	t.Helper()
	events, err := s.Append(ctx, ledger.Append{Stream: stream, After: ledger.Any, Drafts: drafts(ids...)})
	require.NoError(t, err, "append %v to %s", ids, stream)
	require.Len(t, events, len(ids))
	return events
}

// read gives the events that a query asks for.
func read(ctx context.Context, s ledger.Store, q ledger.Query) (all []ledger.Event, err error) {
	for e, err := range s.Events(ctx, q) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func readAll(ctx context.Context, t testing.TB, s ledger.Store) []ledger.Event {
	t.Helper()
	all, err := read(ctx, s, ledger.Query{})
	require.NoError(t, err, "read the ledger")
	return all
}

func extent(ctx context.Context, t testing.TB, s ledger.Store) ledger.Extent {
	t.Helper()
	x, err := s.Extent(ctx)
	require.NoError(t, err, "ask for the extent")
	return x
}

// sound holds a whole ledger to being what was written, and gives its events.
func sound(ctx context.Context, t testing.TB, s ledger.Store) []ledger.Event {
	t.Helper()
	x, err := ledger.Verify(ctx, s, nil)
	require.NoError(t, err, "verify the ledger")
	all := readAll(ctx, t, s)
	if len(all) > 0 {
		require.Equal(t, all[0].Position, x.First, "the oldest event is where the extent says")
		require.Equal(t, all[len(all)-1].Position, x.Last, "the newest event is where the extent says")
	}
	return all
}

// same compares what two events say.
func same(a, b ledger.Event) error {
	if !a.Time.Equal(b.Time) {
		return fmt.Errorf("event %d: its time is %s, and was %s", a.Position, b.Time, a.Time)
	}
	if !bytes.Equal(a.Body, b.Body) {
		return fmt.Errorf("event %d: its body is %.80q, and was %.80q", a.Position, b.Body, a.Body)
	}
	a.Time, a.Body, b.Time, b.Body = time.Time{}, nil, time.Time{}, nil
	if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
		return fmt.Errorf("event %d: it is %+v, and was %+v", a.Position, b, a)
	}
	return nil
}

// requireSame compares rows of events.
func requireSame(t testing.TB, want, got []ledger.Event, about ...any) {
	t.Helper()
	require.Equal(t, ids(want), ids(got), about...)
	for i := range want {
		require.NoError(t, same(want[i], got[i]), about...)
	}
}

// ids names events so that a person sees which they are.
func ids(events []ledger.Event) []string {
	names := make([]string, 0, len(events))
	for _, e := range events {
		names = append(names, fmt.Sprintf("%d %s/%d %s", e.Position, e.Stream, e.Sequence, e.ID))
	}
	return names
}

// until asks again until something is so, or the context ends.
func until(ctx context.Context, t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			require.FailNow(t, "it never came true: "+what)
		case <-tick.C:
		}
	}
}
