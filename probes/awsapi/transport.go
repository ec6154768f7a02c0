package awsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	// longestHeader and longestBody are more than AWS answers any question of ours
	// with. What is longer comes from something else, and would eat our memory.
	longestHeader = 256 << 10
	longestBody   = 16 << 20
)

// client is the connections of a session. The SDK's own client lends its
// settings (proxy, CA bundle, TLS), but its connections cannot be closed.
type client struct{ http *http.Client }

func newClient(settings aws.HTTPClient, attempt time.Duration) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if theirs, ok := settings.(*awshttp.BuildableClient); ok {
		transport = theirs.GetTransport() // a copy
	}
	transport.MaxResponseHeaderBytes = longestHeader
	return &client{&http.Client{Transport: transport, Timeout: attempt, CheckRedirect: redirect}}
}

// redirect follows only where the method stays what it was, as the SDK does.
func redirect(r *http.Request, _ []*http.Request) error {
	if r.Response != nil && (r.Response.StatusCode == http.StatusTemporaryRedirect || r.Response.StatusCode == http.StatusPermanentRedirect) {
		return nil
	}
	return http.ErrUseLastResponse
}

// Do makes one attempt.
func (c *client) Do(r *http.Request) (*http.Response, error) {
	response, err := c.http.Do(r)
	if err == nil {
		response.Body = &bounded{ReadCloser: response.Body, left: longestBody}
	}
	return response, err
}

func (c *client) closeIdle() { c.http.CloseIdleConnections() }

// bounded is a body that is read so far and no farther.
type bounded struct {
	io.ReadCloser
	left int64
}

var errTooLong = errors.New("the answer is longer than anything that AWS says")

// Read reads on, unless it was enough.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// retryer is made once for each client of a service. Throttled, it slows all
// calls of that client down rather than to repeat them (the SDK's adaptive mode).
func (s *Session) retryer() aws.Retryer {
	return &patient{retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
		o.FailOnNoAttemptTokens = true
		o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
			o.MaxAttempts, o.Backoff = s.options.Attempts, retry.BackoffDelayerFunc(backoff)
		})
	})}
}

// patient is the adaptive mode, which also tells whoever waits for an answer that
// the call is being held back.
type patient struct{ *retry.AdaptiveMode }

// heldBack is how often a call that is held back tries to go.
const heldBack = 100 * time.Millisecond

// GetAttemptToken waits until the call may go.
func (p *patient) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	for {
		release, err := p.AdaptiveMode.GetAttemptToken(ctx)
		if err == nil {
			return release, nil
		}
		turnedAway(ctx)
		timer := time.NewTimer(heldBack)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", errTurnedAway, ctx.Err())
		}
	}
}

// backoff is short, for a look does not take long: up to 0.1 s, then 0.2 s. Who
// is throttled waits a second at the least.
func backoff(attempt int, err error) (time.Duration, error) {
	most := min(50*time.Millisecond<<min(attempt, 6), 2*time.Second)
	if Throttled(err) {
		return time.Second + rand.N(most), nil //nolint:gosec // spreads the attempts, and keeps no secret
	}
	return rand.N(most), nil //nolint:gosec // as above
}
