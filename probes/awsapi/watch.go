package awsapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drwatch/drwatch/readiness"
)

// Provider is the name of AWS in metrics.
const Provider = "aws"

// watch sees every attempt: it stands inside of the retries, and around all that
// reads the response.
func (s *Session) watch(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("drwatch:Watch",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
			before := s.options.Now()
			out, metadata, err := next.HandleDeserialize(ctx, in)
			after := s.options.Now()
			s.options.Recorder.CloudRequest(Provider, service, operation)
			var api smithy.APIError
			switch {
			case Throttled(err):
				s.options.Recorder.CloudThrottle(Provider, service, operation)
				turnedAway(ctx)
			case errors.As(err, &api) && strings.HasPrefix(api.ErrorCode(), "ExpiredToken"):
				s.forget()
			}
			if response, ok := out.RawResponse.(*smithyhttp.Response); ok && response != nil && ofAWS(response.Header) {
				s.clock.read(response.Header, before, after)
			}
			return out, metadata, err
		}), middleware.Before)
}

// ofAWS reports whether an answer bears the id that AWS gives to each: the clock
// of a proxy says nothing about that of AWS.
func ofAWS(h http.Header) bool {
	return h.Get("X-Amzn-Requestid") != "" || h.Get("X-Amz-Request-Id") != ""
}

// errTurnedAway is in place of the end of a look that came while we held back,
// since AWS had turned us away.
var errTurnedAway = errors.New("AWS has turned us away for asking too often, and we hold back")

// Throttled reports whether AWS turned a call away because there were too many.
func Throttled(err error) bool {
	return err != nil && (errors.Is(err, errTurnedAway) || retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary)
}

// clock is how far the clock of AWS is from ours, as of the newest answer.
type clock struct {
	mu            sync.Mutex
	known         bool
	offset, error time.Duration
}

// read takes the Date of a response, which has whole seconds: the answer was
// made somewhere in that second, and somewhere in the round trip.
func (c *clock) read(h http.Header, before, after time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	trip := after.Sub(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = true
	c.offset = date.Add(time.Second / 2).Sub(before.Add(trip / 2))
	c.error = time.Second/2 + trip/2
}

// ErrNoClock says that no answer has told the time of AWS yet.
var ErrNoClock = errors.New("no answer has told the time of AWS yet")

// Clock gives the clock of AWS minus ours, and by how much that may be wrong:
// an answer tells whole seconds, and took some time to come.
func (s *Session) Clock() (offset, wrong time.Duration, err error) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	if !s.clock.known {
		return 0, 0, ErrNoClock
	}
	return s.clock.offset, s.clock.error, nil
}

// ReadClock puts the clock into a reading, where an answer has told it.
func (s *Session) ReadClock(r *readiness.Reading) {
	if offset, wrong, err := s.Clock(); err == nil {
		r.ClockOffset, r.ClockError = readiness.Known(offset), wrong
	}
}

// Ours turns a moment on the clock of AWS into the earliest that it can be on
// ours. Where the two agree as well as can be told, it stays as it is.
func (s *Session) Ours(at time.Time) time.Time {
	offset, wrong, err := s.Clock()
	if err != nil || offset.Abs() <= wrong {
		return at
	}
	return at.Add(-offset - wrong)
}
