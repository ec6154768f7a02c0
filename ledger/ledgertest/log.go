package ledgertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

func logCases() []testCase {
	return []testCase{
		{name: "log/empty", loss: "a new ledger would be taken for a damaged one, or for one that holds something", run: empty},
		{name: "log/append", loss: "what is read would not be what was written", run: appended},
		{name: "log/reopen", loss: "events would be gone with the process that wrote them", run: reopened},
		{name: "log/order", loss: "a run would be told in the wrong order, or with the events of another one", run: order},
		{name: "log/break", loss: "each reader who stops early would hold a connection for ever", run: broken},
		{name: "log/cancel", loss: "drwatch could not be stopped while it reads", run: cancelledReading},
		{name: "log/read and write", loss: "a slow reader would keep a failover from going on, or never come to an end", run: readAndWrite},
		{name: "log/large", loss: "an event with a long output could not be kept, or a few of them would eat the memory", run: large},
		{name: "log/odd texts", loss: "an event in another language would come back as something else", run: oddTexts},
		{name: "log/times", loss: "events would be dated wrongly, and not verify", run: times},
		{name: "log/invalid", loss: "something would be in the log that nobody can read", run: invalid},
		{name: "log/prune", loss: "old events could not be let go without losing the proof of the others", run: pruned},
		{name: "log/prune all", loss: "a ledger whose events were all let go would begin anew", run: prunedAll},
		{name: "context", loss: "what was called off would still be done", run: calledOff},
		{name: "close", loss: "drwatch would hang or crash while it ends", run: closed},
	}
}

func empty(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	require.Equal(t, ledger.Extent{}, extent(ctx, t, s))
	require.Empty(t, sound(ctx, t, s))
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Empty(t, leases)
	require.NoError(t, s.Prune(ctx, 0))
	require.NoError(t, s.Prune(ctx, 7), "nothing is there to prune")
	require.Equal(t, ledger.Extent{}, extent(ctx, t, s))
}

func appended(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	var want []ledger.Event
	var previous ledger.Hash
	sequences := map[string]uint64{}
	for i, stream := range []string{"run/1", "run/2", "run/1", "history"} {
		ids := numbered(fmt.Sprintf("%d-", i), i+1)
		for at, e := range add(ctx, t, s, stream, ids...) {
			sequences[stream]++
			sealed := ledger.Seal(draft(ids[at]), stream, uint64(len(want))+1, sequences[stream], previous)
			require.NoError(t, same(sealed, e), "what Append returns")
			want, previous = append(want, sealed), sealed.Hash
		}
	}
	requireSame(t, want, sound(ctx, t, s), "what is read")
	require.Equal(t, ledger.Extent{First: 1, Last: uint64(len(want)), Head: previous, Streams: 3}, extent(ctx, t, s))

	unnamed, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: drafts("", "")})
	require.NoError(t, err)
	require.NotEmpty(t, unnamed[0].ID, "a draft without an ID is given one")
	require.NotEqual(t, unnamed[0].ID, unnamed[1].ID)
	requireSame(t, append(want, unnamed...), sound(ctx, t, s))
}

func reopened(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a", "b")
	other := h.again(t, s)
	requireSame(t, want, sound(ctx, t, other), "another handle, while the first is open")
	want = append(want, add(ctx, t, other, "run/1", "c")...)
	requireSame(t, want, sound(ctx, t, s), "what the other handle has added")
	before := extent(ctx, t, s)
	require.NoError(t, other.Close())
	require.NoError(t, s.Close())
	last := h.again(t, s)
	requireSame(t, want, sound(ctx, t, last), "after all were closed")
	require.Equal(t, before, extent(ctx, t, last))
	require.EqualValues(t, 4, add(ctx, t, last, "run/1", "d")[0].Sequence)
}

// order asks for all that can be asked, and holds it against what a filter of the
// whole log gives.
func order(t testing.TB, h Harness) {
	const events = 700 // more than a store is likely to fetch at once
	ctx, s := h.fresh(t)
	streams := []string{"a", "a/1", "a/2", "a_1", "a%", "A/1", "b", "ä", "a\U0010FFFF", "a\U0010FFFFb", "[a]*", "a'"}
	var all []ledger.Event
	for i := 0; len(all) < events; i++ {
		all = append(all, add(ctx, t, s, streams[i*i%len(streams)], numbered(fmt.Sprintf("%d-", i), 1+i%3)...)...)
	}
	last := all[len(all)-1].Position
	for _, stream := range append([]string{"", "nothing", "a/"}, streams...) {
		for _, prefix := range []string{"", "a", "a/", "a_", "a%", "A", "ä", "\xc3", "a\U0010FFFF", "[a]", "'", "zzz"} {
			if stream != "" && prefix != "" && prefix != "zzz" {
				continue // the prefix does not matter; one that would find nothing shows it
			}
			for _, ends := range [][2]uint64{{0, 0}, {0, 1}, {1, 1}, {3, 8}, {8, 3}, {last - 1, 0}, {last, 0}, {last + 5, 0}, {0, last + 5}, {100, last - 100}} {
				for _, backward := range []bool{false, true} {
					q := ledger.Query{Stream: stream, Prefix: prefix, After: ends[0], UpTo: ends[1], Backward: backward}
					got, err := read(ctx, s, q)
					require.NoError(t, err, "%+v", q)
					requireSame(t, filter(all, q), got, "%+v", q)
				}
			}
		}
	}
}

// filter does what a query says.
func filter(all []ledger.Event, q ledger.Query) (found []ledger.Event) {
	for _, e := range all {
		if (q.Stream == "" && strings.HasPrefix(e.Stream, q.Prefix) || q.Stream == e.Stream) &&
			e.Position > q.After && (q.UpTo == 0 || e.Position <= q.UpTo) {
			found = append(found, e)
		}
	}
	if q.Backward {
		slices.Reverse(found)
	}
	return found
}

func broken(t testing.TB, h Harness) {
	const readers = 100 // more than a store has connections
	ctx, s := h.fresh(t)
	add(ctx, t, s, "run/1", numbered("", 600)...)
	for range readers {
		for e, err := range s.Events(ctx, ledger.Query{}) {
			require.NoError(t, err)
			if e.Position == 3 {
				break
			}
		}
	}
	add(ctx, t, s, "run/1", "after them all")
	require.Len(t, sound(ctx, t, s), 601)
}

func cancelledReading(t testing.TB, h Harness) {
	const events = 2000
	ctx, s := h.fresh(t)
	add(ctx, t, s, "run/1", numbered("", events)...)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var got int
	var failed error
	for _, err := range s.Events(reading, ledger.Query{}) {
		require.NoError(t, failed, "it ends after the first error")
		if failed = err; err == nil {
			got++
		}
		if got == 3 {
			stop()
		}
	}
	require.ErrorIs(t, failed, context.Canceled)
	require.Less(t, got, events, "it read on to the end")
	require.Len(t, sound(ctx, t, s), events)
}

// readAndWrite appends an event, and reads the extent, for each that it reads.
func readAndWrite(t testing.TB, h Harness) {
	const events = 300
	ctx, s := h.fresh(t)
	add(ctx, t, s, "run/1", numbered("", events)...)
	read := 0
	for _, err := range s.Events(ctx, ledger.Query{}) {
		require.NoError(t, err)
		read++
		if read > 2*events {
			require.FailNow(t, "it does not end as long as others write")
		}
		if read%10 != 0 {
			continue
		}
		extent(ctx, t, s)
		for range 3 {
			add(ctx, t, s, "run/2", fmt.Sprintf("while reading %d", len(readBackward(ctx, t, s))))
		}
	}
	require.GreaterOrEqual(t, read, events, "what was there when it began")
	sound(ctx, t, s)
}

// readBackward has a second reading go on within the first.
func readBackward(ctx context.Context, t testing.TB, s ledger.Store) []ledger.Event {
	all, err := read(ctx, s, ledger.Query{Stream: "run/2", Backward: true})
	require.NoError(t, err)
	return all
}

// large holds the longest events there may be, and the reading of many of them to
// a few in memory.
func large(t testing.TB, h Harness) {
	const (
		most   = 1 << 20
		batch  = 8
		events = 48
		memory = 24 << 20
	)
	ctx, s := h.fresh(t)
	body := func(size int) []byte { return []byte(`"` + strings.Repeat("x", size-2) + `"`) }
	for i := 0; i < events; i += batch {
		all := drafts(numbered(fmt.Sprintf("%d-", i), batch)...)
		for at := range all {
			all[at].Body = body(most)
		}
		next := ledger.Append{Stream: "large", After: uint64(i), Drafts: all}
		_, err := s.Append(ctx, next)
		require.NoError(t, err)
		again, err := s.Append(ctx, next)
		require.NoError(t, err, "it had arrived")
		require.EqualValues(t, i+batch, again[batch-1].Sequence)
	}
	tooLarge := draft("too large")
	tooLarge.Body = body(most + 1)
	_, err := s.Append(ctx, ledger.Append{Stream: "large", After: ledger.Any, Drafts: []ledger.Draft{tooLarge}})
	require.ErrorIs(t, err, ledger.ErrInvalid)

	before, n := inUse(), 0
	for e, err := range s.Events(ctx, ledger.Query{}) {
		require.NoError(t, err)
		require.Len(t, e.Body, most)
		if n++; n%8 == 1 {
			require.Less(t, inUse()-before, int64(memory), "bytes in memory while %d MiB are read", events)
		}
	}
	require.Equal(t, events, n)
	_, err = ledger.Verify(ctx, s, nil)
	require.NoError(t, err)
}

// inUse is the memory that cannot be given back.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func oddTexts(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	names := []string{
		"'; DROP TABLE events; --", `"quoted" \back\slash`, "%_*?[x]", " blanks around ", "résumé", "re\u0301sume\u0301",
		"日本語", "\u202Eright to left", "👩‍🚒 fire", "\u00a0", "NULL", "0", "1e5", "0x1F", "\U0010FFFF", "$1 ?1 :name @p",
		strings.Repeat("n", 255), strings.Repeat("é", 127),
	}
	bodies := []string{
		`{}`, `null`, ` { "b" : 1 ,
	"a" : [ 1, 1 ] , "b" : 2 } `, `"\u0000"`, `"\ud800"`, "\"\xff\xfe\"", `1e400`, `0.1000000000000000055511151231257827`,
		`12345678901234567890123`, `"\u003c"`, "\"\u2028\"", strings.Repeat("[", 200) + strings.Repeat("]", 200),
	}
	var want []ledger.Event
	for i, name := range names {
		for j := range 2 {
			d := ledger.Draft{ID: name + strings.Repeat("i", min(j, 255-len(name))), Time: noon(), Kind: name, Actor: name, Body: []byte(bodies[(i+j)%len(bodies)])}
			if j > 0 && d.ID == name {
				continue // it is as long as it may be
			}
			got, err := s.Append(ctx, ledger.Append{Stream: name, After: uint64(j), Drafts: []ledger.Draft{d}})
			require.NoError(t, err, "append %q", name)
			require.NoError(t, same(ledger.Seal(d, name, uint64(len(want))+1, uint64(j)+1, previousOf(want)), got[0]))
			want = append(want, got...)
		}
		lease, err := s.Acquire(ctx, name, name, time.Hour)
		require.NoError(t, err, "take the lease %q", name)
		require.Equal(t, []string{name, name}, []string{lease.Name, lease.Holder})
	}
	requireSame(t, want, sound(ctx, t, s))
	for _, name := range names {
		got, err := read(ctx, s, ledger.Query{Stream: name})
		require.NoError(t, err)
		requireSame(t, filter(want, ledger.Query{Stream: name}), got, "%q", name)
	}
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, len(names), "two different names are one")
}

func previousOf(events []ledger.Event) ledger.Hash {
	if len(events) == 0 {
		return ledger.Hash{}
	}
	return events[len(events)-1].Hash
}

func times(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	berlin := time.FixedZone("CET", 3600)
	for i, at := range []time.Time{
		time.Now(), // with the reading of the monotonic clock
		time.Date(2026, 3, 1, 12, 0, 0, 123456789, berlin), noon().Add(-time.Hour),
		time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Unix(0, 0),
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
	} {
		d := draft("")
		d.Time = at
		got, err := s.Append(ctx, ledger.Append{Stream: "times", After: uint64(i), Drafts: []ledger.Draft{d}})
		require.NoError(t, err, at)
		want := at.Truncate(time.Microsecond)
		require.True(t, want.Equal(got[0].Time), "Append returns %s for %s", got[0].Time, want)
		all := readAll(ctx, t, s)
		require.True(t, want.Equal(all[i].Time), "%s is read, and was %s", all[i].Time, want)
		require.Equal(t, want.UTC().Format(time.RFC3339Nano), all[i].Time.Format(time.RFC3339Nano), "times are told in UTC")
	}
	sound(ctx, t, s)
}

func invalid(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	with := func(change func(*ledger.Draft)) ledger.Append {
		d := draft("b")
		change(&d)
		return ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: []ledger.Draft{draft("before"), d, draft("after")}}
	}
	for name, a := range map[string]ledger.Append{
		"no stream":           {After: ledger.Any, Drafts: drafts("b")},
		"a stream with NUL":   {Stream: "a\x00b", After: ledger.Any, Drafts: drafts("b")},
		"a stream not UTF-8":  {Stream: "a\xffb", After: ledger.Any, Drafts: drafts("b")},
		"a long stream":       {Stream: strings.Repeat("s", 256), After: ledger.Any, Drafts: drafts("b")},
		"no drafts":           {Stream: "run/1", After: ledger.Any},
		"no time":             with(func(d *ledger.Draft) { d.Time = time.Time{} }),
		"no kind":             with(func(d *ledger.Draft) { d.Kind = "" }),
		"a kind of two lines": with(func(d *ledger.Draft) { d.Kind = "a\nb" }),
		"no actor":            with(func(d *ledger.Draft) { d.Actor = "" }),
		"an actor not UTF-8":  with(func(d *ledger.Draft) { d.Actor = "\xc3" }),
		"no body":             with(func(d *ledger.Draft) { d.Body = nil }),
		"no JSON":             with(func(d *ledger.Draft) { d.Body = []byte("{") }),
		"two JSON texts":      with(func(d *ledger.Draft) { d.Body = []byte("{}{}") }),
		"a long ID":           with(func(d *ledger.Draft) { d.ID = strings.Repeat("i", 256) }),
		"an ID with NUL":      with(func(d *ledger.Draft) { d.ID = "b\x00" }),
		"an ID not UTF-8":     with(func(d *ledger.Draft) { d.ID = "b\xff" }),
		"an ID twice":         with(func(d *ledger.Draft) { d.ID = "before" }),
	} {
		_, err := s.Append(ctx, a)
		require.ErrorIs(t, err, ledger.ErrInvalid, name)
		requireSame(t, want, readAll(ctx, t, s), "%s: nothing is added", name)
	}
	for name, ask := range map[string]struct {
		name, holder string
		ttl          time.Duration
	}{
		"no name": {"", "x", time.Hour}, "no holder": {"x", "", time.Hour}, "no time": {"x", "x", 0}, "less than no time": {"x", "x", -time.Hour},
		"a name with NUL": {"a\x00", "x", time.Hour}, "a holder not UTF-8": {"x", "\xff", time.Hour},
	} {
		_, err := s.Acquire(ctx, ask.name, ask.holder, ask.ttl)
		require.ErrorIs(t, err, ledger.ErrInvalid, "a lease with %s", name)
	}
	add(ctx, t, s, "run/1", "b")
	sound(ctx, t, s)
}

func pruned(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	var all []ledger.Event
	for i := range 40 {
		all = append(all, add(ctx, t, s, fmt.Sprintf("run/%d", i%4), numbered(fmt.Sprintf("%d-", i), 30)...)...)
	}
	lease, err := s.Acquire(ctx, "executor", "a", time.Hour)
	require.NoError(t, err)
	before := extent(ctx, t, s)
	for _, upTo := range []uint64{1, 1, 0, 700, 300} { // twice, and backward, is nothing
		require.NoError(t, s.Prune(ctx, upTo))
		upTo = max(upTo, extent(ctx, t, s).First-1)
		want := all[upTo:]
		require.Equal(t, ledger.Extent{
			First: upTo + 1, Last: before.Last, Base: all[upTo-1].Hash, Head: before.Head, Streams: 4,
		}, extent(ctx, t, s))
		requireSame(t, want, sound(ctx, t, s))
	}
	other := h.again(t, s)
	requireSame(t, all[700:], sound(ctx, t, other), "another handle knows as well")
	_, err = other.Append(ctx, ledger.Append{Stream: "run/0", After: 300, Under: &lease, Drafts: drafts("goes on")})
	require.NoError(t, err, "streams count on, and leases are still held")
	sound(ctx, t, other)
}

func prunedAll(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	all := add(ctx, t, s, "run/1", "a", "b", "c")
	require.NoError(t, s.Prune(ctx, 99), "more than there is")
	want := ledger.Extent{First: 4, Last: 3, Base: all[2].Hash, Head: all[2].Hash, Streams: 1}
	require.Equal(t, want, extent(ctx, t, s))
	require.Empty(t, sound(ctx, t, s))
	s = h.again(t, s)
	require.Equal(t, want, extent(ctx, t, s))
	_, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: 0, Drafts: drafts("d")})
	var conflict *ledger.ConflictError
	require.ErrorAs(t, err, &conflict, "the stream is not new")
	require.EqualValues(t, 3, conflict.Newest)
	got, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: 3, Drafts: drafts("d")})
	require.NoError(t, err)
	require.NoError(t, same(ledger.Seal(draft("d"), "run/1", 4, 4, all[2].Hash), got[0]))
	requireSame(t, got, sound(ctx, t, s))
}

func calledOff(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a", "b")
	lease, err := s.Acquire(ctx, "executor", "a", time.Hour)
	require.NoError(t, err)
	off, cancel := context.WithCancel(ctx)
	cancel()
	for what, do := range map[string]func() error{
		"append": func() error {
			_, err := s.Append(off, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: drafts("c")})
			return err
		},
		"read":    func() error { _, err := read(off, s, ledger.Query{}); return err },
		"extent":  func() error { _, err := s.Extent(off); return err },
		"prune":   func() error { return s.Prune(off, 1) },
		"acquire": func() error { _, err := s.Acquire(off, "other", "a", time.Hour); return err },
		"renew":   func() error { _, err := s.Renew(off, lease, 2*time.Hour); return err },
		"release": func() error { return s.Release(off, lease) },
		"leases":  func() error { _, err := s.Leases(off); return err },
	} {
		require.ErrorIs(t, do(), context.Canceled, what)
	}
	requireSame(t, want, sound(ctx, t, s))
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	requireSameLease(t, lease, leases[0])
}

func closed(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	other := h.again(t, s)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is nothing")
	for what, do := range map[string]func() error{
		"append": func() error {
			_, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: drafts("b")})
			return err
		},
		"read":    func() error { _, err := read(ctx, s, ledger.Query{}); return err },
		"extent":  func() error { _, err := s.Extent(ctx); return err },
		"prune":   func() error { return s.Prune(ctx, 1) },
		"acquire": func() error { _, err := s.Acquire(ctx, "executor", "a", time.Hour); return err },
		"leases":  func() error { _, err := s.Leases(ctx); return err },
	} {
		require.Error(t, do(), "%s with what was closed", what)
	}
	requireSame(t, want, sound(ctx, t, other), "the other handle is well")
}
