package route53

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/awsapi"
)

// Were it to fail, there would be a minute in which Route 53 is asked more often than
// the page says, or two calls at once.
func TestBudget_AnyMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{now: time.Now, pace: pace}
		var calls []time.Time
		for range 3000 {
			if b.take(t.Context(), callsAMinute, patience) == nil {
				calls = append(calls, time.Now())
			}
			time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
		}
		require.Greater(t, len(calls), 500)
		for i := range calls {
			if i > 0 {
				require.GreaterOrEqual(t, calls[i].Sub(calls[i-1]), pace)
			}
			if i >= callsAMinute {
				require.GreaterOrEqual(t, calls[i].Sub(calls[i-callsAMinute]), time.Minute)
			}
		}
	})
}

// Were it to fail, states would use up what the listings need.
func TestBudget_StatesLeaveSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{now: time.Now}
		for range statesAMinute {
			require.NoError(t, b.take(t.Context(), statesAMinute, statePatience))
		}
		require.True(t, awsapi.Throttled(b.take(t.Context(), statesAMinute, statePatience)))
		require.NoError(t, b.take(t.Context(), callsAMinute, patience))
	})
}

// Were it to fail, drwatch would ask on while Route 53 turns everybody away; or never
// again, after its clock was set.
func TestBudget_Rests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		b := &budget{now: func() time.Time { return time.Now().Add(ahead) }}
		turnedAway := &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}
		for _, rest := range []time.Duration{shortestRest, 2 * shortestRest, 4 * shortestRest, longestRest, longestRest} {
			b.told(turnedAway)
			time.Sleep(rest - time.Second)
			err := b.take(t.Context(), callsAMinute, patience)
			require.True(t, awsapi.Throttled(err))
			require.ErrorContains(t, err, "asks again in 1s")
			time.Sleep(time.Second)
			require.NoError(t, b.take(t.Context(), callsAMinute, patience))
		}
		b.told(nil)
		b.told(turnedAway)
		b.told(errors.New("something else"))
		time.Sleep(shortestRest)
		require.NoError(t, b.take(t.Context(), callsAMinute, patience))

		b.told(turnedAway)
		ahead = -24 * time.Hour
		require.NoError(t, b.take(t.Context(), callsAMinute, patience), "the clock was set back")
	})
}

// Were it to fail, a look that is given up would wait for its turn nevertheless.
func TestBudget_GivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{now: time.Now, pace: time.Second}
		require.NoError(t, b.take(t.Context(), callsAMinute, patience))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		require.ErrorIs(t, b.take(ctx, callsAMinute, patience), context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, time.Since(begun))
	})
}
