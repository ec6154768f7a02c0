package ledgertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/drwatch/drwatch/ledger"
)

func leaseCases() []testCase {
	return []testCase{
		{name: "lease/hold", loss: "two executors would act at once", run: held},
		{name: "lease/release", loss: "nobody could go on until a lease of one who has ended runs out", run: released},
		{name: "lease/renew", loss: "a long run would lose its lease, or keep one that it has lost", run: renewed},
		{name: "lease/fence", loss: "one who has lost his lease would go on acting", run: fenced},
		{name: "lease/taken anew", loss: "a process and the one that was started in its place would both act", run: takenAnew},
		{name: "lease/run out", loss: "nobody could go on when the executor has died", run: ranOut},
		{name: "lease/storm", loss: "two contenders would hold one lease at once", run: storm},
		{name: "lease/woken", loss: "one that woke from a long pause would act beside its successor", run: woken},
	}
}

func (h Harness) clockCases() []testCase {
	without := unless(h.Move != nil, "move the clock")
	return []testCase{
		{name: "clock/forward", loss: "one whose lease ran out by a jump of the clock would act beside his successor", run: jumpForward, without: without},
		{name: "clock/back", loss: "nobody could take the lease of a dead executor until the clock has come round again", run: jumpBack, without: without},
		{name: "clock/back again", loss: "a lease that ran out would be held by two when the clock is set back", run: jumpBackAgain, without: without},
	}
}

func requireSameLease(t testing.TB, want, got ledger.Lease) {
	t.Helper()
	require.True(t, want.Until.Equal(got.Until), "until %s, and not %s", want.Until, got.Until)
	want.Until, got.Until = time.Time{}, time.Time{}
	require.Equal(t, want, got)
}

func acquire(ctx context.Context, t testing.TB, s ledger.Store, name, holder string, ttl time.Duration) ledger.Lease {
	t.Helper()
	l, err := s.Acquire(ctx, name, holder, ttl)
	require.NoError(t, err, "%s takes the lease %s", holder, name)
	require.Equal(t, []string{name, holder}, []string{l.Name, l.Holder})
	return l
}

// refused holds that somebody else has a lease.
func refused(ctx context.Context, t testing.TB, s ledger.Store, holder string, has ledger.Lease) {
	t.Helper()
	_, err := s.Acquire(ctx, has.Name, holder, time.Hour)
	require.ErrorIs(t, err, ledger.ErrHeld)
	var held *ledger.HeldError
	require.ErrorAs(t, err, &held, "it says who has it")
	requireSameLease(t, has, held.Lease)
}

// act appends one event under a lease.
func act(ctx context.Context, s ledger.Store, l ledger.Lease, id string) error {
	_, err := s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Under: &l, Drafts: drafts(id)})
	return err
}

func held(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	other := h.again(t, s)
	a := acquire(ctx, t, s, "executor", "a", time.Hour)
	require.NotZero(t, a.Token)
	refused(ctx, t, s, "b", a)
	refused(ctx, t, other, "b", a)
	b := acquire(ctx, t, other, "elector", "b", time.Hour)
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, 2)
	requireSameLease(t, b, leases[0]) // in the order of their names
	requireSameLease(t, a, leases[1])
	require.NoError(t, act(ctx, s, a, "by a"))
	require.NoError(t, act(ctx, other, b, "by b"))
	require.Len(t, sound(ctx, t, s), 2)
}

func released(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	other := h.again(t, s)
	a := acquire(ctx, t, s, "executor", "a", time.Hour)
	require.NoError(t, s.Release(ctx, a))
	require.NoError(t, s.Release(ctx, a), "giving back twice is nothing")
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Empty(t, leases)
	require.ErrorIs(t, act(ctx, s, a, "late"), ledger.ErrFenced)
	b := acquire(ctx, t, other, "executor", "b", time.Hour)
	require.Greater(t, b.Token, a.Token, "the token grows with the holder")
	require.NoError(t, s.Release(ctx, a), "what a gives back is not b's")
	require.NoError(t, s.Release(ctx, ledger.Lease{Name: "nobody's", Holder: "a", Token: 1}))
	refused(ctx, t, s, "a", b)
	require.NoError(t, other.Release(ctx, b))
	require.NoError(t, s.Prune(ctx, 99))
	again := acquire(ctx, t, h.again(t, s), "executor", "a", time.Hour)
	require.Greater(t, again.Token, b.Token, "tokens never go back, whoever has closed or pruned")
}

func renewed(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	other := h.again(t, s)
	a := acquire(ctx, t, s, "executor", "a", time.Minute)
	longer, err := other.Renew(ctx, a, time.Hour)
	require.NoError(t, err)
	require.Equal(t, a.Token, longer.Token, "it is the same lease")
	require.WithinDuration(t, a.Until.Add(59*time.Minute), longer.Until, time.Minute)
	refused(ctx, t, s, "b", longer)
	require.NoError(t, act(ctx, s, a, "under the lease as it was"))
	require.NoError(t, act(ctx, s, longer, "under the lease as it is"))
	for what, l := range map[string]ledger.Lease{
		"another token":  {Name: a.Name, Holder: a.Holder, Token: a.Token + 1, Until: a.Until},
		"an older token": {Name: a.Name, Holder: a.Holder, Token: a.Token - 1, Until: a.Until},
		"another holder": {Name: a.Name, Holder: "b", Token: a.Token, Until: a.Until},
		"another name":   {Name: "elector", Holder: a.Holder, Token: a.Token, Until: a.Until},
	} {
		_, err := s.Renew(ctx, l, time.Hour)
		require.ErrorIs(t, err, ledger.ErrFenced, what)
	}
	require.NoError(t, s.Release(ctx, longer))
	_, err = s.Renew(ctx, longer, time.Hour)
	require.ErrorIs(t, err, ledger.ErrFenced, "what was given back cannot be lengthened")
}

func fenced(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	a := acquire(ctx, t, s, "executor", "a", time.Hour)
	require.NoError(t, act(ctx, s, a, "1"))
	want := sound(ctx, t, s)
	for what, l := range map[string]ledger.Lease{
		"another token":  {Name: a.Name, Holder: a.Holder, Token: a.Token + 1, Until: a.Until},
		"an older token": {Name: a.Name, Holder: a.Holder, Token: a.Token - 1, Until: a.Until},
		"another holder": {Name: a.Name, Holder: "b", Token: a.Token, Until: a.Until},
		"another name":   {Name: "elector", Holder: a.Holder, Token: a.Token, Until: a.Until},
		"no lease":       {},
	} {
		require.ErrorIs(t, act(ctx, s, l, "2"), ledger.ErrFenced, what)
		requireSame(t, want, readAll(ctx, t, s), what)
	}
	require.NoError(t, act(ctx, s, a, "2"))
}

// takenAnew is a process that was started again under the same name, while the
// first one is not dead, but slow.
func takenAnew(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	slow := acquire(ctx, t, s, "executor", "host-1", time.Hour)
	fresh := acquire(ctx, t, h.again(t, s), "executor", "host-1", 2*time.Hour)
	require.Greater(t, fresh.Token, slow.Token, "each taking has its own token")
	require.ErrorIs(t, act(ctx, s, slow, "1"), ledger.ErrFenced)
	_, err := s.Renew(ctx, slow, time.Hour)
	require.ErrorIs(t, err, ledger.ErrFenced)
	require.NoError(t, s.Release(ctx, slow))
	require.NoError(t, act(ctx, s, fresh, "1"))
	refused(ctx, t, s, "b", fresh)
}

func ranOut(t testing.TB, h Harness) {
	const ttl = 400 * time.Millisecond
	ctx, s := h.fresh(t)
	begun := time.Now()
	a := acquire(ctx, t, s, "executor", "a", ttl)
	if h.Move != nil {
		refused(ctx, t, s, "b", a)
		h.Move(t, s, ttl)
	}
	until(ctx, t, "the lease runs out", func() bool { return errors.Is(act(ctx, s, a, ""), ledger.ErrFenced) })
	if h.Move == nil {
		require.GreaterOrEqual(t, time.Since(begun), ttl, "it ran out too early")
	}
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Empty(t, leases, "what ran out is not held")
	_, err = s.Renew(ctx, a, time.Hour)
	require.ErrorIs(t, err, ledger.ErrFenced, "what ran out cannot be lengthened: somebody may have acted")
	b := acquire(ctx, t, h.again(t, s), "executor", "b", time.Hour)
	require.Greater(t, b.Token, a.Token)
	require.ErrorIs(t, act(ctx, s, a, "late"), ledger.ErrFenced)
	require.NoError(t, act(ctx, s, b, "in time"))
}

// storm has contenders take a lease, see that they are alone, and give it back.
func storm(t testing.TB, h Harness) {
	const (
		contenders = 12
		rounds     = 5
	)
	ctx, s := h.fresh(t)
	handles := []ledger.Store{s, h.again(t, s), h.again(t, s)}
	var inside atomic.Int32
	var newest atomic.Uint64
	together, ctx := errgroup.WithContext(ctx) // one that fails may hold the lease
	for c := range contenders {
		s, name := handles[c%len(handles)], fmt.Sprintf("contender %d", c)
		together.Go(func() error {
			for round := range rounds {
				l, err := patiently(ctx, s, name, time.Hour)
				if err != nil {
					return err
				}
				if n := inside.Add(1); n != 1 {
					return fmt.Errorf("%d hold the lease at once", n)
				}
				if before := newest.Swap(l.Token); before >= l.Token {
					return fmt.Errorf("token %d comes after %d", l.Token, before)
				}
				err = errors.Join(pause(ctx, 2*time.Millisecond), act(ctx, s, l, fmt.Sprintf("%s: %d", name, round)))
				inside.Add(-1)
				if err := errors.Join(err, s.Release(ctx, l)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	require.Len(t, sound(t.Context(), t, s), contenders*rounds)
}

// patiently asks for a lease until nobody else has it.
func patiently(ctx context.Context, s ledger.Store, holder string, ttl time.Duration) (ledger.Lease, error) {
	for {
		l, err := s.Acquire(ctx, "executor", holder, ttl)
		if !errors.Is(err, ledger.ErrHeld) {
			return l, err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return l, err
		}
	}
}

// pause waits for a random time, as somebody does who has other things to do.
func pause(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// woken has contenders whose leases run out while they pause, and who do not know.
// The log is the judge: once a newer token is in it, no older one comes after.
func woken(t testing.TB, h Harness) {
	const (
		contenders = 6
		rounds     = 6
		ttl        = 15 * time.Millisecond
	)
	ctx, s := h.fresh(t)
	handles := []ledger.Store{s, h.again(t, s)}
	together, ctx := errgroup.WithContext(ctx) // one that fails may hold the lease
	for c := range contenders {
		s, name := handles[c%len(handles)], fmt.Sprintf("contender %d", c)
		together.Go(func() error {
			for range rounds {
				l, err := patiently(ctx, s, name, ttl)
				if err != nil {
					return err
				}
				if err := pause(ctx, 2*ttl); err != nil { // the pause that the case is about
					return err
				}
				d := draft("")
				d.Body, _ = json.Marshal(l.Token)
				_, err = s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Under: &l, Drafts: []ledger.Draft{d}})
				if err != nil && !errors.Is(err, ledger.ErrFenced) {
					return err
				}
			}
			return nil
		})
	}
	if h.Move != nil { // by a clock that stands still nothing would run out
		together.Go(func() error {
			for range contenders * rounds * 4 {
				time.Sleep(ttl / 2) // the pace of the clock
				h.Move(t, s, ttl/2)
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	newest := uint64(0)
	for _, e := range sound(t.Context(), t, s) {
		var token uint64
		require.NoError(t, json.Unmarshal(e.Body, &token))
		require.GreaterOrEqual(t, token, newest, "an older holder has acted after a newer one")
		newest = token
	}
}

func jumpForward(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	a := acquire(ctx, t, s, "executor", "a", time.Minute)
	require.NoError(t, act(ctx, s, a, "before"))
	h.Move(t, s, 2*time.Minute)
	require.ErrorIs(t, act(ctx, s, a, "by a"), ledger.ErrFenced)
	b := acquire(ctx, t, s, "executor", "b", time.Minute)
	require.Greater(t, b.Token, a.Token)
	require.ErrorIs(t, act(ctx, s, a, "by a"), ledger.ErrFenced)
	require.NoError(t, act(ctx, s, b, "by b"))
	sound(ctx, t, s)
}

// jumpBack sets the clock back by an hour: a lease of a minute must not be one of
// an hour and a minute by that.
func jumpBack(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	a := acquire(ctx, t, s, "executor", "a", time.Minute)
	h.Move(t, s, -time.Hour)
	_, err := s.Acquire(ctx, "executor", "b", time.Minute)
	require.ErrorIs(t, err, ledger.ErrHeld, "a jump gives nobody's lease away before its time")
	require.NoError(t, act(ctx, s, a, "still a's"))
	h.Move(t, s, 30*time.Second)
	_, err = s.Acquire(ctx, "executor", "b", time.Minute)
	require.ErrorIs(t, err, ledger.ErrHeld)
	h.Move(t, s, 31*time.Second)
	b := acquire(ctx, t, h.again(t, s), "executor", "b", time.Minute)
	require.Greater(t, b.Token, a.Token)
	require.ErrorIs(t, act(ctx, s, a, "a's no more"), ledger.ErrFenced)
	require.NoError(t, act(ctx, s, b, "b's"))
}

// jumpBackAgain sets the clock forward, has somebody else take the lease, and sets
// it back to a time at which the first had it.
func jumpBackAgain(t testing.TB, h Harness) {
	ctx, s := h.fresh(t)
	a := acquire(ctx, t, s, "executor", "a", time.Minute)
	h.Move(t, s, time.Hour)
	b := acquire(ctx, t, s, "executor", "b", time.Minute)
	h.Move(t, s, -time.Hour)
	require.ErrorIs(t, act(ctx, s, a, "by a"), ledger.ErrFenced)
	_, err := s.Renew(ctx, a, time.Hour)
	require.ErrorIs(t, err, ledger.ErrFenced)
	_, err = s.Acquire(ctx, "executor", "a", time.Minute)
	require.ErrorIs(t, err, ledger.ErrHeld)
	require.NoError(t, act(ctx, s, b, "by b"))
	h.Move(t, s, 61*time.Second)
	acquire(ctx, t, s, "executor", "a", time.Minute)
}
