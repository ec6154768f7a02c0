package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

// faulty is a ledger that can be gone, slow, or forget to say that it has taken
// something.
type faulty struct {
	mu      sync.Mutex
	err     error
	hangs   bool
	deaf    bool // takes it, and then the answer is lost
	asked   int
	arrived []ledger.Event
}

func (f *faulty) set(err error, hangs, deaf bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.hangs, f.deaf = err, hangs, deaf
}

func (f *faulty) Append(ctx context.Context, a ledger.Append) ([]ledger.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.hangs {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return nil, ctx.Err()
	}
	if err := cmpOr(ctx.Err(), f.err, a.Check()); err != nil {
		return nil, err
	}
	at := ledger.Standing{Last: uint64(len(f.arrived)), Newest: uint64(len(f.arrived))}
	for _, d := range a.Drafts {
		if i := slices.IndexFunc(f.arrived, func(e ledger.Event) bool { return e.ID == d.ID }); i >= 0 {
			at.Arrived = append(at.Arrived, f.arrived[i])
		}
	}
	events, added, err := a.Decide(at)
	if added {
		f.arrived = append(f.arrived, events...)
	}
	if f.deaf {
		return nil, errors.New("the connection was reset")
	}
	return events, err
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *faulty) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.arrived {
		ids = append(ids, e.Kind+e.ID)
	}
	return ids
}

func draft(kind string, n int) ledger.Draft {
	return ledger.Draft{ID: strconv.Itoa(n), Time: time.Now(), Kind: kind, Actor: "one", Body: []byte("{}")}
}

func drafts(kind string, from, to int) (all []ledger.Draft) {
	for n := from; n <= to; n++ {
		all = append(all, draft(kind, n))
	}
	return all
}

func ids(kind string, from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, kind+strconv.Itoa(n))
	}
	return all
}

// writing runs a test with a ledger and a writer that is started, on a clock of its own.
func writing(t *testing.T, test func(*testing.T, *faulty, *Writer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		w := NewWriter(WriterOptions{Ledger: f})
		w.Start()
		w.Start()
		test(t, f, w)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, w.Stop(ctx))
		require.NoError(t, w.Stop(ctx), "stopping twice is nothing")
	})
}

func TestWriter_WritesInOrder(t *testing.T) {
	writing(t, func(t *testing.T, f *faulty, w *Writer) {
		w.Put()
		w.Put(drafts(KindChanged, 1, 600)...)
		w.Put(drafts(KindHour, 601, 601)...)
		synctest.Wait()
		require.Equal(t, append(ids(KindChanged, 1, 600), ids(KindHour, 601, 601)...), f.ids())
		require.Equal(t, State{LastWrite: time.Now(), Written: 601}, w.State())
	})
}

// An outage of the ledger must cost neither an event nor the daemon's patience.
func TestWriter_WaitsForALedgerThatIsGone(t *testing.T) {
	writing(t, func(t *testing.T, f *faulty, w *Writer) {
		f.set(ledger.ErrFull, false, false)
		begin := time.Now()
		w.Put(drafts(KindChanged, 1, 3)...)
		time.Sleep(30 * time.Minute)
		w.Put(drafts(KindHour, 4, 4)...)
		synctest.Wait()
		s := w.State()
		require.ErrorIs(t, s.Err, ledger.ErrFull)
		require.Equal(t, []any{begin, 4, uint64(0)}, []any{s.Failing, s.Pending, s.Dropped})
		require.Less(t, f.asked, 40, "a ledger that is gone is asked ever less often")
		f.set(nil, false, false)
		time.Sleep(lastWait)
		synctest.Wait()
		require.Equal(t, append(ids(KindChanged, 1, 3), KindHour+"4"), f.ids())
		require.NoError(t, w.State().Err)
		require.Zero(t, w.State().Failing)
	})
}

// An answer that was lost must not make two events of one, nor may what came
// meanwhile be put among those that are sent again: the ledger would refuse them all.
func TestWriter_SendsAgainWhatMayHaveArrived(t *testing.T) {
	writing(t, func(t *testing.T, f *faulty, w *Writer) {
		f.set(nil, false, true)
		w.Put(drafts(KindChanged, 1, 3)...)
		synctest.Wait()
		w.Put(drafts(KindChanged, 4, 2000)...)
		time.Sleep(time.Hour)
		f.set(nil, false, false)
		time.Sleep(lastWait)
		synctest.Wait()
		require.Equal(t, append(ids(KindChanged, 1, 3), ids(KindChanged, 2000-996, 2000)...), f.ids())
		require.Equal(t, uint64(1000), w.State().Dropped)
	})
}

func TestWriter_DropsTheOldestChangesAndKeepsTheHours(t *testing.T) {
	writing(t, func(t *testing.T, f *faulty, w *Writer) {
		f.set(ledger.ErrReadOnly, false, false)
		w.Put(drafts(KindChanged, 1, 1)...)
		synctest.Wait()
		w.Put(drafts(KindHour, 2, 101)...)
		for n := 102; n <= 1500; n++ {
			w.Put(draft(KindChanged, n))
		}
		require.Equal(t, State{Pending: 1000, Dropped: 500, Err: ledger.ErrReadOnly, Failing: w.State().Failing}, w.State())
		f.set(nil, false, false)
		time.Sleep(lastWait)
		synctest.Wait()
		require.Equal(t, slices.Concat(ids(KindChanged, 1, 1), ids(KindHour, 2, 101), ids(KindChanged, 602, 1500)), f.ids())
	})
}

// Hours of a large system over weeks must not take the memory either.
func TestWriter_IsBoundedInBytes(t *testing.T) {
	w := NewWriter(WriterOptions{Pending: 1 << 20})
	for n := range 200 {
		d := draft(KindHour, n)
		d.Body = make([]byte, 1<<20)
		w.Put(d)
	}
	require.Equal(t, 64, w.State().Pending)
	require.EqualValues(t, 136, w.State().Dropped)
	err := w.Stop(t.Context())
	require.ErrorContains(t, err, "64 events are lost")
	w.Start()
	require.Equal(t, 64, w.State().Pending, "nothing is begun after the end")
}

// One event that no ledger can take must not keep all others from it.
func TestWriter_GivesUpWhatIsRefused(t *testing.T) {
	writing(t, func(t *testing.T, f *faulty, w *Writer) {
		w.Put(draft(KindHour, 1), ledger.Draft{ID: "2", Kind: KindHour}, draft(KindHour, 3))
		synctest.Wait()
		require.Equal(t, []string{"hour1", "hour3"}, f.ids())
		require.Equal(t, State{LastWrite: time.Now(), Written: 2, Dropped: 1}, w.State())
	})
}

// The daemon must end when it is told to, with all written that can be.
func TestWriter_StopWritesWhatWaitsAndEndsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		hangs bool
		since time.Duration // how long it is so before the stop
		after time.Duration // until the ledger is back
		takes time.Duration
		lost  int
	}{
		"well":              {},
		"back at once":      {err: ledger.ErrFull, takes: 0},
		"back in time":      {err: ledger.ErrFull, after: 8 * time.Second, takes: 9 * time.Second},
		"after a long time": {err: ledger.ErrFull, since: time.Hour, after: 3 * time.Second, takes: 4 * time.Second},
		"it stays gone":     {err: ledger.ErrFull, after: time.Hour, takes: 20 * time.Second, lost: 300},
		"it hangs":          {hangs: true, after: time.Hour, takes: 20 * time.Second, lost: 300},
		"it hung before":    {hangs: true, after: 0, takes: 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faulty{err: c.err, hangs: c.hangs}
				w := NewWriter(WriterOptions{Ledger: f, Timeout: 10 * time.Second})
				w.Put(drafts(KindChanged, 1, 300)...)
				w.Start()
				time.Sleep(c.since)
				synctest.Wait()
				back := time.AfterFunc(c.after, func() { f.set(nil, false, false) })
				defer back.Stop()
				synctest.Wait()
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := w.Stop(ctx)
				require.LessOrEqual(t, time.Since(begin), c.takes)
				require.Len(t, f.ids(), 300-c.lost)
				if c.lost > 0 {
					require.ErrorContains(t, err, fmt.Sprintf("%d events are lost", c.lost))
				} else {
					require.NoError(t, err)
				}
				w.Put(draft(KindHour, 301))
				require.EqualValues(t, 1, w.State().Dropped, "what comes after the end is not taken")
			})
		})
	}
}
