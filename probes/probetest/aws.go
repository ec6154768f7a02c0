package probetest

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Credentials let the SDK of AWS sign, without asking the machine whether it is one of AWS.
func Credentials(t testing.TB, key, secret string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// OfAWS is the harness of a probe that asks an API of AWS, whose answers are XML that begins so. The server is the
// address of one that answers it.
func OfAWS(t testing.TB, newProber func(t testing.TB, addr string) Prober, server, opening string) Harness {
	t.Helper()
	Credentials(t, User, Password)
	return Harness{
		New:     newProber,
		Opening: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n" + opening),
		Garbage: map[string][]byte{
			"a page with status 200": []byte("HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n<html>It works!</html>\r\n\r\n"),
		},
		Also: map[string][]readiness.Class{ // an HTTP client hangs up on who speaks before it was asked
			"half": {readiness.Unreachable},
			"drip": {readiness.Unreachable},
		},
		Server: server,
		Skip: map[string]string{
			"concurrent": "looks in the same account and region share one question: that is what keeps AWS from throttling us",
		},
	}
}

// Actions are those that a page of the docs lists as rights to be granted, each in a row of its own.
func Actions(page []byte) map[string]bool {
	told := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9]+:[A-Za-z]+)` \\|").FindAllSubmatch(page, -1) {
		told[string(m[1])] = true
	}
	return told
}

// Clock is the time of a test, which passes when it is told to.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock stands at a moment.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Pass lets some time pass.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
