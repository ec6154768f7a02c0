package ledgertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

func (h Harness) faultCases() []testCase {
	return []testCase{
		{name: "kill", loss: "an event that was acknowledged would be lost with the process, or one doubled by the next", run: killed,
			without: unless(h.Command != nil, "start a process that can be killed")},
		{name: "read-only", loss: "what was written could not be read in an emergency, or a lost event would not be told", run: readOnly,
			without: unless(h.ReadOnly != nil, "forbid the writing")},
		{name: "full", loss: "a full disk would cost events, or the ledger itself", run: full,
			without: unless(h.Fill != nil, "fill the disk")},
		{name: "damage", loss: "a damaged ledger would be believed", run: damaged,
			without: unless(h.Damage != nil, "damage it")},
		{name: "restart", loss: "an event would be lost with the server, or drwatch have to be restarted after it", run: restarted,
			without: unless(h.Restart != nil, "restart the server")},
		{name: "cut", loss: "drwatch would hang with the network, or have to be restarted after it", run: cut,
			without: unless(h.Cut != nil, "cut the network")},
		{name: "deaf", loss: "an event would be doubled whose acknowledgement was lost", run: deaf,
			without: unless(h.Deafen != nil, "cut one direction of the network")},
	}
}

// killing is the stream that [Write] writes.
const killing = "killed"

// Write appends to a ledger, in batches of one to three, until it is killed. It
// writes the sequence number of each event that was acknowledged on a line. It
// resumes after what is there.
func Write(ctx context.Context, s ledger.Store, acknowledged io.Writer) error {
	newest := uint64(0)
	for e, err := range s.Events(ctx, ledger.Query{Stream: killing, Backward: true}) {
		if err != nil {
			return err
		}
		newest = e.Sequence
		break
	}
	for {
		batch := ledger.Append{Stream: killing, After: newest}
		for i := range newest%3 + 1 {
			batch.Drafts = append(batch.Drafts, draft(strconv.FormatUint(newest+1+i, 10)))
		}
		events, err := s.Append(ctx, batch)
		if err != nil {
			return err
		}
		newest = events[len(events)-1].Sequence
		if _, err := fmt.Fprintln(acknowledged, newest); err != nil {
			return err
		}
	}
}

// killed kills a process that appends, again and again, and holds the ledger to
// what was acknowledged.
func killed(t testing.TB, h Harness) {
	const kills = 6
	ctx, s := h.fresh(t)
	known := uint64(0)
	for range kills {
		known = max(known, killOne(t, h, s, 5))
		all, err := read(ctx, s, ledger.Query{Stream: killing})
		require.NoError(t, err)
		require.GreaterOrEqual(t, uint64(len(all)), known, "events that were acknowledged are gone")
		sound(ctx, t, s)

		// The one whose acknowledgement nobody has read may be there or not.
		before := uint64(0)
		if len(all) > 0 {
			before = all[len(all)-1].Sequence
		}
		again := ledger.Append{Stream: killing, After: known}
		for n := known + 1; n <= max(before, known+1); n++ {
			again.Drafts = append(again.Drafts, draft(strconv.FormatUint(n, 10)))
		}
		got, err := s.Append(ctx, again)
		require.NoError(t, err, "append once more what was not acknowledged")
		require.Equal(t, max(before, known+1), got[len(got)-1].Sequence)
		known = max(before, known+1)
	}
	for i, e := range sound(ctx, t, h.again(t, s)) {
		require.Equal(t, strconv.Itoa(i+1), e.ID, "each event is there once, and in its order")
	}
}

// killOne starts a process that writes, kills it once so many of its appends were
// acknowledged, and gives the newest event that was.
func killOne(t testing.TB, h Harness, s ledger.Store, acknowledgements int) uint64 {
	command := h.Command(t, s)
	complaints := new(strings.Builder)
	command.Stderr = complaints
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	known := uint64(0)
	lines := bufio.NewScanner(output)
	for range acknowledgements {
		if !lines.Scan() {
			break
		}
		known, err = strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break
		}
	}
	killed := command.Process.Kill()
	for lines.Scan() { // those that it wrote before it died
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			known = n
		}
	}
	_ = command.Wait() // it was killed
	require.NoError(t, err)
	require.NoError(t, killed)
	require.NotZero(t, known, "the process wrote nothing: %s", complaints)
	return known
}

func readOnly(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a", "b")
	lease := acquire(ctx, t, s, "executor", "a", time.Hour)
	protected := h.ReadOnly(t, s)
	t.Cleanup(func() { require.NoError(t, protected.Close()) })
	_, err := protected.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: drafts("c")})
	require.ErrorIs(t, err, ledger.ErrReadOnly, "append")
	_, err = protected.Acquire(ctx, "other", "a", time.Hour)
	require.ErrorIs(t, err, ledger.ErrReadOnly, "acquire")
	_, err = protected.Renew(ctx, lease, time.Hour)
	require.ErrorIs(t, err, ledger.ErrReadOnly, "renew")
	require.ErrorIs(t, protected.Release(ctx, lease), ledger.ErrReadOnly, "release")
	require.ErrorIs(t, protected.Prune(ctx, 1), ledger.ErrReadOnly, "prune")
	requireSame(t, want, sound(ctx, t, protected), "reading works")
	leases, err := protected.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, 1)
	requireSameLease(t, lease, leases[0])
}

// full appends mebibytes until there is no room, and goes on once there is.
func full(t testing.TB, h Harness) {
	const most = 4096 // mebibytes: a disk that takes more than this was not filled
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	room := h.Fill(t, s)
	one := func(id string) ledger.Append {
		d := draft(id)
		d.Body = []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`)
		return ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: []ledger.Draft{d}}
	}
	var err error
	for i := 0; err == nil && i < most; i++ {
		var got []ledger.Event
		got, err = s.Append(ctx, one(fmt.Sprint("large ", i)))
		want = append(want, got...)
	}
	require.ErrorIs(t, err, ledger.ErrFull)
	requireSame(t, want, sound(ctx, t, s), "all that was acknowledged can be read while the disk is full")
	_, err = s.Append(ctx, one("another"))
	require.ErrorIs(t, err, ledger.ErrFull, "and it is told again")
	room()
	got, err := s.Append(ctx, one("there is room"))
	require.NoError(t, err)
	want = append(want, got...)
	want = append(want, add(ctx, t, h.again(t, s), "run/1", "b")...)
	requireSame(t, want, sound(ctx, t, s))
}

func damaged(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	for i := range 100 {
		add(ctx, t, s, "run/1", numbered(fmt.Sprintf("%d-", i), 20)...)
	}
	before := extent(ctx, t, s)
	require.NoError(t, s.Close())
	h.Damage(t, s)
	other, err := h.Reopen(t, s)
	if err == nil {
		t.Cleanup(func() { _ = other.Close() }) // it is damaged
		require.NotEqual(t, ledger.Extent{}, extentOf(ctx, other), "a new one was made in its place")
		_, err = ledger.Verify(ctx, other, nil)
	}
	require.ErrorIs(t, err, ledger.ErrCorrupt)
	if other != nil {
		require.NotEqual(t, before.Last+1, extentOf(ctx, other).First, "its events were let go")
	}
}

func extentOf(ctx context.Context, s ledger.Store) ledger.Extent {
	x, err := s.Extent(ctx)
	if err != nil {
		return ledger.Extent{First: 1, Last: 1} // told, and so not silent
	}
	return x
}

func restarted(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	lease := acquire(ctx, t, s, "executor", "a", time.Hour)
	for range 3 {
		h.Restart(t, s)
		want = append(want, insist(ctx, t, s, ledger.Append{Stream: "run/1", After: uint64(len(want)), Under: &lease, Drafts: drafts(fmt.Sprint(len(want)))})...)
	}
	requireSame(t, want, sound(ctx, t, s))
}

// insist appends as one who has been told to ask again.
func insist(ctx context.Context, t testing.TB, s ledger.Store, a ledger.Append) (events []ledger.Event) {
	t.Helper()
	until(ctx, t, "what is asked again is appended", func() bool {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		var err error
		events, err = s.Append(try, a)
		for _, told := range []error{
			ledger.ErrConflict, ledger.ErrFenced, ledger.ErrReadOnly, ledger.ErrFull, ledger.ErrCorrupt, ledger.ErrInvalid,
		} {
			require.NotErrorIs(t, err, told, "it was not done, or it was: nobody knows")
		}
		return err == nil
	})
	return events
}

// prompt makes a call that cannot come through, and holds it to its deadline.
func prompt(ctx context.Context, t testing.TB, what string, call func(context.Context) error) {
	t.Helper()
	const (
		deadline = 500 * time.Millisecond
		grace    = 2 * time.Second
	)
	try, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	begun := time.Now()
	err := call(try)
	require.Error(t, err, "%s without a network", what)
	require.NotErrorIs(t, err, ledger.ErrCorrupt, what)
	require.Less(t, time.Since(begun), deadline+grace, "%s goes on after its deadline", what)
}

func cut(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	next := ledger.Append{Stream: "run/1", After: 1, Drafts: drafts("b")}
	mend := h.Cut(t, s)
	prompt(ctx, t, "append", func(ctx context.Context) error { _, err := s.Append(ctx, next); return err })
	prompt(ctx, t, "read", func(ctx context.Context) error { _, err := read(ctx, s, ledger.Query{}); return err })
	prompt(ctx, t, "acquire", func(ctx context.Context) error {
		_, err := s.Acquire(ctx, "executor", "a", time.Hour)
		return err
	})
	mend()
	want = append(want, insist(ctx, t, s, next)...)
	requireSame(t, want, sound(ctx, t, s))
}

// deaf loses acknowledgements: what was asked has happened, and nobody knows.
func deaf(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	want := add(ctx, t, s, "run/1", "a")
	for i := range 3 {
		next := ledger.Append{Stream: "run/1", After: uint64(len(want)), Drafts: drafts(numbered(fmt.Sprintf("%d-", i), 2)...)}
		mend := h.Deafen(t, s)
		prompt(ctx, t, "append", func(ctx context.Context) error { _, err := s.Append(ctx, next); return err })
		mend()
		want = append(want, insist(ctx, t, s, next)...)
		requireSame(t, want, sound(ctx, t, s))
	}
}
