package awsapi_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

var errThrottled = &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}

// Were it to fail, a thousand copies would cost a thousand calls.
func TestShared_OneCallForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(ctx context.Context) (int64, error) {
			time.Sleep(time.Second)
			return asked.Add(1), nil
		})
		all := func() (answers []awsapi.Answer[int64]) {
			answers = make([]awsapi.Answer[int64], 1000)
			var looks sync.WaitGroup
			for i := range answers {
				looks.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond / 2) // spread over the call
					answers[i], _ = s.Get(t.Context())
				})
			}
			looks.Wait()
			return answers
		}
		begun := time.Now()
		for _, a := range all() {
			require.EqualValues(t, 1, a.Value)
			require.Equal(t, begun, a.At, "before it was asked")
		}
		time.Sleep(53 * time.Second)
		require.EqualValues(t, 1, all()[0].Value, "still fresh")
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 2, all()[999].Value, "a look a minute always asks")
		require.EqualValues(t, 2, asked.Load())
	})
}

// Were it to fail, one answer that nobody thought of would end drwatch.
func TestShared_Panics(t *testing.T) {
	s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) { panic("a nil member") })
	_, err := s.Get(t.Context())
	var failure *readiness.Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, readiness.Internal, failure.Class)
	require.ErrorContains(t, err, "a nil member")
}

// Were it to fail, a look that is given up would leave a call behind, or take
// that of the others with it.
func TestShared_EndsWithItsLastGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Millisecond) // what it takes to let go
			ended.Store(true)
			return 0, ctx.Err()
		})
		errs, over := make([]error, 3), make([]bool, 3)
		var looks sync.WaitGroup
		for i := range 3 {
			looks.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				_, errs[i] = s.Get(ctx)
				over[i] = ended.Load()
			})
		}
		looks.Wait()
		for _, err := range errs {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, []bool{false, false, true}, over, "the call lives as long as anybody waits")
	})
}

// Were it to fail, one look that is given up would make the next one fail.
func TestShared_GivenUpIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(ctx context.Context) (int, error) {
			if first {
				first = false
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return 7, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Get(ctx)
		require.Error(t, err)
		answer, err := s.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, answer.Value)
	})
}

// Were it to fail, each of a thousand looks would find out for itself that AWS is
// down, again and again.
func TestShared_FailureIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, asked := errors.New("down"), 0
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) {
			asked++
			return 0, down
		})
		for range 60 { // a minute of looks, each second
			_, err := s.Get(t.Context())
			require.ErrorIs(t, err, down)
			time.Sleep(time.Second)
		}
		require.Equal(t, 12, asked, "every 5 s")
	})
}

// Were it to fail, there would be gaps in the gauges whenever AWS throttles; or
// an old answer would pass for a new one, for ever.
func TestShared_KeptWhileThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) { return 1, fail })
		begun := time.Now()
		_, err := s.Get(t.Context())
		require.NoError(t, err)
		fail = errThrottled
		time.Sleep(5*time.Minute - time.Second)
		answer, err := s.Get(t.Context())
		require.NoError(t, err)
		require.Equal(t, begun, answer.At, "and it tells how old it is")
		time.Sleep(time.Second)
		_, err = s.Get(t.Context())
		require.True(t, awsapi.Throttled(err))
	})
}

// Were it to fail, an old answer would hide that AWS says something else now.
func TestShared_NotKeptOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail error
		s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) { return 1, fail })
		_, err := s.Get(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		fail = errors.New("denied")
		_, err = s.Get(t.Context())
		require.ErrorIs(t, err, fail)
	})
}

// Were it to fail, a look that is late already would still cost a call.
func TestShared_LateAlready(t *testing.T) {
	asked := 0
	s := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) { asked++; return 1, nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, asked)
}

// Were it to fail, who asks within a question of another would be told that it was
// slow when AWS turned it away.
func TestShared_TurnedAwayWithinAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(context.Context) (int, error) { return 0, errThrottled })
		outer := awsapi.NewShared(awsapi.Every(time.Minute), time.Now, func(ctx context.Context) (int, error) {
			answer, err := inner.Get(ctx)
			return answer.Value, err
		})
		_, err := outer.Get(t.Context())
		require.True(t, awsapi.Throttled(err))
	})
}
