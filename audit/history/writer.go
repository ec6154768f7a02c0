package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/drwatch/drwatch/ledger"
)

// Appender is what a Writer needs of a [ledger.Store].
type Appender interface {
	Append(ctx context.Context, a ledger.Append) ([]ledger.Event, error)
}

// WriterOptions are what a Writer is made of.
type WriterOptions struct {
	Ledger Appender
	// Stream is empty for [Stream].
	Stream string
	// Pending is how many drafts may wait for the ledger. 0 is 1,000. After a start there
	// is one for each datastore and scenario at once.
	Pending int
	// Timeout is how long the ledger may take for an answer. 0 is 30 s.
	Timeout time.Duration
	Now     func() time.Time // default: time.Now
	Logger  *slog.Logger     // default: discards
}

const (
	// mostBatch is how many drafts are appended at once, and after mostSent bytes no
	// more are added.
	mostBatch = 256
	mostSent  = 2 << 20
	// mostBytes are in the bodies of the drafts that wait.
	mostBytes = 64 << 20
	// The ledger is asked again after the first of these, then after twice as long
	// each time, up to the last.
	firstWait, lastWait = time.Second, time.Minute
)

// State is how the writing goes.
type State struct {
	// LastWrite is when the ledger last took something; zero before.
	LastWrite time.Time
	// Written counts the drafts that the ledger has taken, Pending those that it has
	// not taken yet, and Dropped those that it never will: there were too many, or it
	// refused them as such.
	Written, Dropped uint64
	Pending          int
	// Err is why the ledger has not taken what waits for it, and Failing since when;
	// both are zero when all is well.
	Err     error
	Failing time.Time
}

// Writer writes drafts to a ledger from one goroutine, in their order. A ledger that
// is slow, full or gone holds nobody up: what it has not taken waits, and is sent
// again with the same IDs, so that nothing is written twice. Where too much waits,
// the oldest changes go first: the hours tell the sums all the same.
type Writer struct {
	options WriterOptions
	wake    chan struct{} // has one when there is something to do
	ending  chan struct{} // closed when nothing follows
	done    chan struct{} // closed when the goroutine has ended
	cancel  context.CancelFunc

	mu     sync.Mutex // protects what follows
	state  State
	batch  []ledger.Draft // being sent; it stays as it is until the ledger has taken it
	queue  []ledger.Draft
	bytes  int // of the queue
	ended  bool
	warned bool // that something was dropped, since it last went well
}

// NewWriter makes a Writer that keeps what it is given, and writes nothing until it
// is started.
func NewWriter(o WriterOptions) *Writer {
	o.Stream = cmp.Or(o.Stream, Stream)
	o.Pending = cmp.Or(max(0, o.Pending), 1000)
	o.Timeout = cmp.Or(max(0, o.Timeout), 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Writer{options: o, wake: make(chan struct{}, 1), ending: make(chan struct{})}
}

// Start begins to write. Whoever starts calls Stop. Starting twice is nothing, and so
// is starting after Stop.
func (w *Writer) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil || w.ended {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
}

// Stop writes what waits, until ctx ends, and returns when all has ended. The error
// tells what was not written. Nothing is taken any more.
func (w *Writer) Stop(ctx context.Context) error {
	w.mu.Lock()
	if !w.ended {
		w.ended = true
		close(w.ending)
	}
	done, cancel := w.done, w.cancel
	w.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
		cancel()
		<-done
	}
	if s := w.State(); s.Pending > 0 {
		return fmt.Errorf("write the RPO history to the ledger: %d events are lost: %w", s.Pending, cmp.Or(s.Err, ctx.Err(), errNotStarted))
	}
	return nil
}

var errNotStarted = errors.New("the writing was never begun")

// Put takes drafts that are to be written. It does not wait for anything.
func (w *Writer) Put(drafts ...ledger.Draft) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		w.state.Dropped += uint64(len(drafts))
		return
	}
	for _, d := range drafts {
		w.queue = append(w.queue, d)
		w.bytes += len(d.Body)
	}
	w.makeRoomLocked()
	if len(w.queue) == 0 {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// State tells how the writing goes.
func (w *Writer) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state
	s.Pending = len(w.batch) + len(w.queue)
	return s
}

// makeRoomLocked drops the oldest changes where too much waits, and, where there are
// none, the oldest of all.
func (w *Writer) makeRoomLocked() {
	excess := min(len(w.queue), max(0, len(w.batch)+len(w.queue)-w.options.Pending))
	if excess == 0 && w.bytes <= mostBytes {
		return
	}
	var dropped uint64
	drop := func(d ledger.Draft) bool {
		if excess <= 0 && w.bytes <= mostBytes {
			return false
		}
		excess--
		dropped++
		w.bytes -= len(d.Body)
		return true
	}
	w.queue = slices.DeleteFunc(w.queue, func(d ledger.Draft) bool { return d.Kind == KindChanged && drop(d) })
	w.queue = slices.DeleteFunc(w.queue, drop)
	w.state.Dropped += dropped
	if !w.warned {
		w.warned = true
		w.options.Logger.Warn("too much waits for the ledger: the oldest changes of the RPO history are dropped", "waiting", w.options.Pending, "err", w.state.Err)
	}
}

// run writes until nothing follows and nothing waits, or ctx ends.
func (w *Writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		batch := w.next()
		if len(batch) > 0 {
			w.deliver(ctx, batch)
			continue
		}
		select {
		case <-w.wake:
		case <-w.ending:
			if w.State().Pending == 0 {
				return
			}
		case <-ctx.Done():
		}
	}
}

// next takes the oldest drafts out of the queue.
func (w *Writer) next() []ledger.Draft {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < min(mostBatch, len(w.queue)) && size < mostSent {
		size += len(w.queue[n].Body)
		n++
	}
	w.batch = slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	w.bytes -= size
	return w.batch
}

// deliver sends drafts until the ledger has taken them, or ctx ends. They are the
// same each time, as the ledger asks of those that may have arrived.
func (w *Writer) deliver(ctx context.Context, batch []ledger.Draft) {
	ending, wait := w.ending, firstWait
	for {
		err := w.send(ctx, batch)
		switch {
		case err == nil:
			w.settle(len(batch), 0)
			return
		case ctx.Err() != nil:
			w.fail(err)
			return
		case errors.Is(err, ledger.ErrInvalid):
			w.refused(ctx, batch, err)
			return
		}
		w.fail(err)
		select {
		case <-time.After(wait):
		case <-ending: // once more at once, and then as often as can be
			ending, wait = nil, firstWait
			continue
		case <-ctx.Done():
			return
		}
		if ending != nil {
			wait = min(2*wait, lastWait)
		}
	}
}

func (w *Writer) send(ctx context.Context, batch []ledger.Draft) error {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	_, err := w.options.Ledger.Append(ctx, ledger.Append{Stream: w.options.Stream, After: ledger.Any, Drafts: batch})
	return err
}

// refused sends one by one what the ledger refuses as a whole, and gives up what it
// refuses for what it is.
func (w *Writer) refused(ctx context.Context, batch []ledger.Draft, err error) {
	if len(batch) > 1 {
		for i := range batch {
			w.deliver(ctx, batch[i:i+1:i+1])
			if ctx.Err() != nil {
				return
			}
		}
		return
	}
	w.options.Logger.Error("the ledger refuses an event of the RPO history: it is given up", "kind", batch[0].Kind, "id", batch[0].ID, "err", err)
	w.settle(0, 1)
}

// settle notes what has become of the first drafts of the batch.
func (w *Writer) settle(written, dropped int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch = w.batch[min(len(w.batch), written+dropped):]
	w.state.Dropped += uint64(dropped) //nolint:gosec // a number of drafts
	if written == 0 {
		return
	}
	if w.state.Err != nil {
		w.options.Logger.Info("the ledger takes the RPO history again", "failed_since", w.state.Failing)
	}
	w.state.Written += uint64(written) //nolint:gosec // a number of drafts
	w.state.LastWrite = w.options.Now()
	w.state.Err, w.state.Failing, w.warned = nil, time.Time{}, false
}

// fail notes that the ledger has not taken the batch, and says so once.
func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Err == nil {
		w.state.Failing = w.options.Now()
		w.options.Logger.Error("the RPO history cannot be written: it waits for the ledger, and probing goes on", "err", err)
	}
	w.state.Err = err
}
