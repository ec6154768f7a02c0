// Package probetest is what every probe must pass before it may be trusted in
// the night of a disaster, whatever it looks at: a server that is down, hangs,
// talks nonsense or floods must cost the probe its own look and nothing else,
// and must be told as what it is.
//
// A probe's test calls [Run] with a [Harness] that knows how to make the probe.
// The suite plays the servers itself, on loopback, and counts what is left
// behind: connections, goroutines, memory. It does not judge what a probe reads
// from a server that is well; that is for the tests of the probe.
package probetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// User and Password are what the harness gives the probe to log in with. No
// error may tell the password.
const (
	User     = "drwatch"
	Password = "s3cr3t-probe-password"
)

// Prober is a probe, as seen by those who let it look.
type Prober interface {
	Look(ctx context.Context) (readiness.Reading, error)
}

// Harness makes the probe under test and says what is particular about it. Only
// New is needed.
type Harness struct {
	// New makes a probe that looks at addr (host:port) without TLS, as [User]
	// with [Password].
	New func(t testing.TB, addr string) Prober

	// Opening is how a true answer of this technology begins, so that a server
	// which stops in the middle of one can be played. Empty is one zero byte.
	Opening []byte
	// Garbage are answers which this technology, by its own rules, must not
	// believe: a length of two gigabytes, an error that repeats the password.
	// Each becomes a case of its own, garbage/<key>.
	Garbage map[string][]byte
	// Server is the address of a real server on which User and Password are
	// good. With it, looks that succeed and looks that are cut are examined too.
	Server string

	// Grace is how long a look may take to end once its time is up. Zero means
	// half a second.
	Grace time.Duration
	// Also allows further classes of failure in a case, by its name.
	Also map[string][]readiness.Class
	// Skip gives the reason for which a case does not apply, by its name.
	Skip map[string]string
}

// testCase is one situation. It returns what is wrong rather than failing a
// test, so that the suite's own test can see it fail.
type testCase struct {
	name string
	// loss is what a user would lose were the case to fail.
	loss string
	run  func(t testing.TB, h Harness) error
}

// Run makes every case a subtest. They count goroutines and memory of the whole
// process, so nothing else may run beside them: no t.Parallel.
func Run(t *testing.T, h Harness) {
	h = h.withDefaults()
	cases := h.cases()
	require.NoError(t, h.knowsItsCases(cases))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := h.Skip[c.name]; ok {
				t.Skip(reason)
			}
			require.NoError(t, c.run(t, h), c.loss)
		})
	}
}

func (h Harness) withDefaults() Harness {
	if h.Grace == 0 {
		h.Grace = 500 * time.Millisecond
	}
	if len(h.Opening) == 0 {
		h.Opening = []byte{0}
	}
	return h
}

// knowsItsCases finds exceptions for cases that do not exist: a misspelt one
// would be no exception at all.
func (h Harness) knowsItsCases(cases []testCase) error {
	known := func(name string) bool {
		return slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name })
	}
	for name := range h.Also {
		if !known(name) {
			return fmt.Errorf("the harness allows further classes in %q, which is no case", name)
		}
	}
	for name := range h.Skip {
		if !known(name) {
			return fmt.Errorf("the harness skips %q, which is no case", name)
		}
	}
	return nil
}
