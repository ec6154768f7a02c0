package awsapi

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Freshness says for how long an answer is served again.
type Freshness struct {
	// Fresh is the age from which on it is asked anew.
	Fresh time.Duration
	// Keep is the age up to which the old answer still serves while AWS turns us
	// away for asking too often. Whoever gets it is told how old it is.
	Keep time.Duration
	// Retry is for how long a failure is told again before it is asked anew, so
	// that a thousand looks do not each find out that AWS has enough of us.
	Retry time.Duration
}

// Every suits answers that are wanted about once in each period: a look a period
// always asks, and through five of them a throttled answer still serves.
func Every(period time.Duration) Freshness {
	return Freshness{Fresh: period - period/12, Keep: 5 * period, Retry: 5 * time.Second}
}

// Every is the freshness of answers that are wanted about once in each period,
// or as often as the access says.
func (s *Session) Every(period time.Duration) Freshness {
	f := Every(period)
	if age := s.access.MaxAge; age > 0 {
		f.Fresh = min(f.Fresh, age)
	}
	return f
}

// Answer is what AWS said, and when it was asked.
type Answer[T any] struct {
	Value T
	// At is the moment just before it was asked.
	At time.Time
}

// Shared is one question that many looks ask: it goes to AWS once for all who
// ask while the answer is fresh, and never twice at a time.
type Shared[T any] struct {
	freshness Freshness
	now       func() time.Time
	ask       func(context.Context) (T, error)

	mu     sync.Mutex
	flight *flight[T]
	answer Answer[T]
	known  bool
	failed Answer[error]
}

type flight[T any] struct {
	done   chan struct{}
	answer Answer[T]
	err    error
	cancel context.CancelFunc
	guests int
	mark   *mark
}

// mark says that AWS has turned a call of a flight away. A flight may be part of
// what another asks.
type mark struct {
	away  atomic.Bool
	outer *mark
}

// markKey is under which the context of a flight holds its mark.
type markKey struct{}

// turnedAway marks the flights, if any, of a call that AWS has turned away.
func turnedAway(ctx context.Context) {
	innermost, _ := ctx.Value(markKey{}).(*mark)
	for m := innermost; m != nil; m = m.outer {
		m.away.Store(true)
	}
}

// NewShared makes a question that has not been asked yet.
func NewShared[T any](f Freshness, now func() time.Time, ask func(context.Context) (T, error)) *Shared[T] {
	return &Shared[T]{freshness: f, now: now, ask: ask}
}

// Get gives an answer that is fresh, or kept while AWS throttles. It waits no
// longer than ctx; the question goes on while anybody waits for it, and ends
// when nobody does any more.
func (s *Shared[T]) Get(ctx context.Context) (Answer[T], error) {
	if err := ctx.Err(); err != nil {
		return Answer[T]{}, err
	}
	s.mu.Lock()
	if s.known && s.age(s.answer.At) < s.freshness.Fresh {
		defer s.mu.Unlock()
		return s.answer, nil
	}
	if s.failed.Value != nil && s.age(s.failed.At) < s.freshness.Retry {
		err := s.failed.Value
		s.mu.Unlock()
		return s.kept(Answer[T]{}, err)
	}
	f := s.flight
	if f == nil {
		f = s.takeOff(ctx)
	}
	f.guests++
	s.mu.Unlock()

	select {
	case <-f.done:
		s.leave(f)
		return s.kept(f.answer, f.err)
	case <-ctx.Done():
		s.leave(f)
		if f.mark.away.Load() {
			return s.kept(Answer[T]{}, fmt.Errorf("%w: %w", errTurnedAway, ctx.Err()))
		}
		return Answer[T]{}, ctx.Err()
	}
}

// age is how long ago a moment was.
func (s *Shared[T]) age(at time.Time) time.Duration { return readiness.Elapsed(at, s.now()) }

// takeOff asks, on behalf of all who come while the answer is under way. The
// goroutine ends with the question, which ends with the last guest.
func (s *Shared[T]) takeOff(ctx context.Context) *flight[T] {
	outer, _ := ctx.Value(markKey{}).(*mark)
	f := &flight[T]{done: make(chan struct{}), mark: &mark{outer: outer}}
	own, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), markKey{}, f.mark))
	f.cancel = cancel
	s.flight = f
	go func() {
		defer close(f.done)
		defer cancel()
		at := s.now()
		value, err := s.safely(own)
		s.mu.Lock()
		defer s.mu.Unlock()
		f.answer, f.err = Answer[T]{value, at}, err
		switch {
		case err == nil:
			s.answer, s.known, s.failed = f.answer, true, Answer[error]{}
		case own.Err() == nil:
			s.failed = Answer[error]{err, s.now()}
		case f.mark.away.Load(): // else it was given up, which says nothing about AWS
			s.failed = Answer[error]{errTurnedAway, s.now()}
		}
		if s.flight == f {
			s.flight = nil
		}
	}()
	return f
}

func (s *Shared[T]) safely(ctx context.Context) (value T, err error) {
	defer probes.Recovered(&err)
	return s.ask(ctx)
}

// leave ends the question when the last of its guests has left, and waits for
// its end, so that no goroutine outlives those who wanted the answer.
func (s *Shared[T]) leave(f *flight[T]) {
	s.mu.Lock()
	f.guests--
	last := f.guests == 0
	if last && s.flight == f {
		s.flight = nil
	}
	s.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

// kept serves the last answer in place of a failure, where that may be.
func (s *Shared[T]) kept(answer Answer[T], err error) (Answer[T], error) {
	if err == nil || !Throttled(err) {
		return answer, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known && s.age(s.answer.At) < s.freshness.Keep {
		return s.answer, nil
	}
	return answer, err
}
