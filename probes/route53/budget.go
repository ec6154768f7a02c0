package route53

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/drwatch/drwatch/probes/awsapi"
)

// Route 53 takes five requests a second of an account, all its users and consoles
// together: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html
// A failover must not be turned away because somebody looks on.
const (
	callsAMinute  = 50                     // in any minute, at the most
	statesAMinute = 40                     // of them for the state of health checks
	pace          = 500 * time.Millisecond // between two calls
	patience      = 3 * time.Second        // how long a call waits for its turn
	statePatience = time.Second
	shortestRest  = 30 * time.Second // after Route 53 has turned us away; twice as long each time
	longestRest   = 4 * time.Minute
)

// budget keeps the calls to an account few. Each takes its turn: some time after the
// one before it, and no more than so many in any minute.
type budget struct {
	now  func() time.Time
	pace time.Duration

	mu    sync.Mutex
	turns []time.Time // of the last minute, oldest first; the newest may lie ahead
	rest  time.Time   // until then nobody asks
	tired time.Duration
}

// heldBack says that a call did not get its turn. It has the code of a throttle, for
// that is what it is: who asks Route 53 is answered with what was known before.
type heldBack struct{ why string }

func (h *heldBack) Error() string     { return "drwatch holds back: " + h.why }
func (h *heldBack) ErrorCode() string { return "Throttling" }

// take waits for a turn, where there is one soon enough.
func (b *budget) take(ctx context.Context, most int, soon time.Duration) error {
	wait, err := b.turn(most, soon)
	if err != nil || wait <= 0 {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn notes the next turn, and tells how far ahead it is.
func (b *budget) turn(most int, soon time.Duration) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if rest := b.rest.Sub(now); rest > 0 && rest <= longestRest {
		return 0, &heldBack{fmt.Sprintf("Route 53 has turned it away, and it asks again in %s: it asks no more than %d times a minute itself, so see in CloudTrail who else of the account asks so often", rest.Round(time.Second), callsAMinute)}
	}
	b.forget(now)
	at := now
	if n := len(b.turns); n > 0 {
		at = latest(at, b.turns[n-1].Add(b.pace))
		if n >= most {
			at = latest(at, b.turns[n-most].Add(time.Minute))
		}
	}
	wait := at.Sub(now)
	if wait > soon {
		return 0, &heldBack{fmt.Sprintf("it asks no more than %d times a minute, and this waits for its turn", callsAMinute)}
	}
	b.turns = append(b.turns, at)
	return wait, nil
}

// forget drops the turns that no longer count: those of more than a minute ago, and
// all of them when the clock has been set back.
func (b *budget) forget(now time.Time) {
	if n := len(b.turns); n > 0 && b.turns[n-1].Sub(now) > time.Minute {
		b.turns = nil
	}
	for len(b.turns) > 0 && now.Sub(b.turns[0]) >= time.Minute {
		b.turns = b.turns[1:]
	}
}

// told takes note of how a call ended.
func (b *budget) told(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.tired = 0
	case awsapi.Throttled(err):
		b.tired = min(max(2*b.tired, shortestRest), longestRest)
		b.rest = b.now().Add(b.tired)
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
