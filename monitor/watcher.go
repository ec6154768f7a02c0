package monitor

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

const (
	// spread is the longest time over which the looks of different datastores
	// are spread, so that they do not all start in the same instant.
	spread = time.Minute
	// firstSpread is the same for the very first looks, for which people wait.
	firstSpread = 5 * time.Second
	// longestSleep bounds a sleep, so that a clock that was set is noticed.
	longestSleep = time.Minute
	// slotHold is how long a look keeps others waiting. By then it has either
	// ended or waits for the network, which costs nobody anything: a thousand
	// looks that hang every 15 s hold seven places.
	slotHold = 100 * time.Millisecond
	// grace is how long after its deadline a look may still end in good order.
	grace = time.Second
)

// watcher looks at one target again and again. Between two looks it is a timer
// and no goroutine: the stacks of ten thousand of those would be most of what
// drwatch keeps.
type watcher struct {
	target atomic.Pointer[target] // replaced by a reload that changes nothing about the looking
	cancel context.CancelFunc
	done   chan struct{}
	offset time.Duration // by how much the looks come after the ticks of the schedule
	due    time.Time     // for its turn alone

	mu    sync.Mutex // protects what follows
	timer *time.Timer
}

func (m *Monitor) watchLocked(t *target) {
	share := phase(t.company())
	start := m.now().Round(0) // the schedule goes by the wall clock: it goes on while a machine is suspended
	gap := firstGap(t.Schedule, start)
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{
		cancel: cancel, done: make(chan struct{}),
		offset: time.Duration(share * float64(min(gap, spread))),
		due:    start.Add(time.Duration(share * float64(min(gap, firstSpread)))),
	}
	w.target.Store(t)
	m.watchers[t.ID] = w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(0, func() { m.turn(ctx, w) })
}

// stop ends the watching, and a look that is under way.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel()
	if w.timer.Stop() { // there is no turn that could
		close(w.done)
	}
}

// wait returns when the watcher has ended, which it does soon after it was stopped.
func (w *watcher) wait() { <-w.done }

// turn looks when that is due, and sleeps until it is again. When the clock is
// set back, the schedule counts from where it is now.
func (m *Monitor) turn(ctx context.Context, w *watcher) {
	now := m.now().Round(0)
	if !now.Before(w.due) {
		m.look(ctx, w.target.Load, w.due)
		w.due = w.next(w.due)
		if now = m.now().Round(0); w.due.Before(now) { // looks that a long one has overrun are left out, not made up for
			w.due = w.next(now)
		}
	}
	if sooner := w.next(now); sooner.Before(w.due) {
		w.due = sooner
	}
	w.sleep(ctx, min(max(0, w.due.Sub(now)), longestSleep))
}

// next is the first moment for a look after another moment.
func (w *watcher) next(after time.Time) time.Time {
	return w.target.Load().Schedule.Next(after.Add(-w.offset)).Add(w.offset)
}

// sleep makes the next turn come, unless the watcher was stopped.
func (w *watcher) sleep(ctx context.Context, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		close(w.done)
		return
	}
	w.timer.Reset(d)
}

// company is what all have in common that are looked at together: the copies of
// one datastore, since what a replica holds is held against where its primary stands.
func (t *target) company() string {
	if t.part != nil {
		return t.ID.String()
	}
	return t.ID.Of
}

// phase gives each company its own place between two ticks, the same at every start.
func phase(company string) float64 {
	sum := sha256.Sum256([]byte(company)) // spreads names that differ in one digit, which shorter hashes do not
	return float64(binary.BigEndian.Uint32(sum[:])) / (1 << 32)
}

func firstGap(s Schedule, now time.Time) time.Duration {
	first := s.Next(now)
	return max(0, s.Next(first).Sub(first))
}

// look makes one look and takes in what came of it. A reload may put the same
// target into a new picture meanwhile, so current is asked again afterwards.
func (m *Monitor) look(ctx context.Context, current func() *target, due time.Time) {
	t := current()
	release, ok := m.enter(ctx)
	if !ok {
		return
	}
	defer release()
	// A probe may ignore its deadline. There is never a second look beside it, not
	// after a reload either: what is known of the target grows old, and is reported
	// as such.
	if _, hangs := m.underWay.LoadOrStore(t.place(), nil); hangs {
		return
	}
	m.recorder.LookStarted(max(0, m.now().Round(0).Sub(due)))
	o, abandoned := m.ask(ctx, t)
	m.recorder.LookEnded(t.kind(), o.Took)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // we were told to stop: that says nothing about the target
	}
	m.observe(current, o)
	if o.Failure != nil {
		m.log.Debug("look failed", "target", t.ID.String(), "class", string(o.Failure.Class), "error", o.Failure.Error())
	}
	if abandoned {
		m.log.Error("probe ignores its deadline: no further look before it returns", "target", t.ID.String(), "timeout", t.Timeout)
	}
}

func (m *Monitor) observe(current func() *target, o readiness.Observation) {
	m.swapping.RLock()
	defer m.swapping.RUnlock()
	t := current()
	t.store.observe(t, o)
}

// enter waits for a place among the busy looks. The place is given back by
// release, or by itself when the look has turned out to be a waiting one.
func (m *Monitor) enter(ctx context.Context) (release func(), ok bool) {
	select {
	case m.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	leave := sync.OnceFunc(func() { <-m.slots })
	timer := time.AfterFunc(slotHold, leave)
	return func() { timer.Stop(); leave() }, true
}

// ask makes an observation of the target, whose place has been taken. A probe
// that has not returned well after its deadline is abandoned.
func (m *Monitor) ask(parent context.Context, t *target) (o readiness.Observation, abandoned bool) {
	ctx, cancel := context.WithTimeout(parent, t.Timeout)
	defer cancel()
	o.At = m.now()
	type answer struct {
		reading readiness.Reading
		err     error
	}
	answers := make(chan answer, 1)
	go func() {
		reading, err := m.lookSafely(ctx, t)
		answers <- answer{reading, err}
	}()
	late := time.NewTimer(t.Timeout + grace)
	defer late.Stop()
	// Told to stop, a look gets the same grace and no more: a probe may hang in
	// what no context ends, such as a file on a dead network mount.
	hurry := context.AfterFunc(parent, func() { late.Reset(grace) })
	defer hurry()
	select {
	case a := <-answers:
		o.Reading, o.Failure = a.reading, probes.AsFailure(a.err)
		if o.Failure != nil {
			o.Reading = readiness.Reading{}
		}
	case <-late.C:
		o.Failure = probes.Fail(readiness.Timeout, "no answer from %s, not even at the deadline of %s", t.ID, t.Timeout)
		abandoned = true
	}
	o.Took = m.now().Sub(o.At)
	return o, abandoned
}

// lookSafely turns a panic of the probe into a failure of the look, and leaves
// the place of the target when the probe has really returned.
func (m *Monitor) lookSafely(ctx context.Context, t *target) (r readiness.Reading, err error) {
	defer m.underWay.Delete(t.place())
	defer func() {
		if cause := recover(); cause != nil {
			m.log.Error("probe panicked", "target", t.ID.String(), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			err = probes.Fail(readiness.Internal, "the probe of %s panicked: %v", t.ID, cause)
		}
	}()
	return t.Prober.Look(ctx)
}
