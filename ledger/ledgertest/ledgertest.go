// Package ledgertest is what every [ledger.Store] must pass before a failover may
// be written into it: many writers at once, an append that is asked twice, a lease
// that was lost, a clock that jumps, a process that is killed, a disk that is full
// must lose no event, double none, and let nobody act who has no right to any more.
//
// A store's test calls [Run] with a [Harness] that makes a ledger, and knows how to
// hurt it. A case whose means the harness has not is skipped, and says so.
package ledgertest

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/ledger"
)

// Harness makes ledgers and hurts them. Open and Reopen are needed, the others are
// means without which some cases are skipped. A means gets a handle of the ledger
// in question; it fails the test where it does not work.
type Harness struct {
	// Open makes a new ledger in which nothing was ever written.
	Open func(t testing.TB) ledger.Store
	// Reopen gives one more handle of the ledger that s is a handle of, as another
	// process would have it. s may have been closed. The suite closes what it is given.
	Reopen func(t testing.TB, s ledger.Store) (ledger.Store, error)

	// Rewrite puts events in the place of those that are there, behind the back of
	// the store: each as it is, with the hashes that it has. What else the store
	// notes, such as how long the log is, it leaves alone.
	Rewrite func(t testing.TB, s ledger.Store, events []ledger.Event)
	// Move moves the clock by which the leases run out; back where by is negative.
	Move func(t testing.TB, s ledger.Store, by time.Duration)
	// Command gives a process, not yet started, that opens the ledger of s and hands
	// it to [Write] with its standard output.
	Command func(t testing.TB, s ledger.Store) *exec.Cmd
	// ReadOnly gives one more handle of the ledger of s, with which it cannot be written.
	ReadOnly func(t testing.TB, s ledger.Store) ledger.Store
	// Fill leaves no room for another mebibyte; room makes some again.
	Fill func(t testing.TB, s ledger.Store) (room func())
	// Damage destroys bytes where events lie. s is closed.
	Damage func(t testing.TB, s ledger.Store)
	// Restart restarts the server in which the ledger is.
	Restart func(t testing.TB, s ledger.Store)
	// Cut cuts the network between s and its server, without a word to either; mend
	// mends it.
	Cut func(t testing.TB, s ledger.Store) (mend func())
	// Deafen cuts what the server answers to s, while it still hears s; mend mends it.
	Deafen func(t testing.TB, s ledger.Store) (mend func())

	// Skip gives the reason for which a case does not apply, by its name.
	Skip map[string]string
}

// testCase is one situation.
type testCase struct {
	name string
	// loss is what a user would lose were the case to fail.
	loss string
	run  func(t testing.TB, h Harness)
	// without says which means is missing for it; empty where none is.
	without string
}

// Run makes every case a subtest. They look for goroutines of the whole process,
// so nothing else may run beside them: no t.Parallel.
func Run(t *testing.T, h Harness) {
	cases := h.cases()
	require.NoError(t, h.knowsItsCases(cases))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := h.Skip[c.name]; ok {
				t.Skip(reason)
			}
			if c.without != "" {
				t.Skip("the harness has no means to " + c.without)
			}
			defer func() {
				if t.Failed() {
					t.Log("what a user would lose: " + c.loss)
				}
			}()
			c.run(t, h)
		})
	}
}

// knowsItsCases finds exceptions for cases that do not exist: a misspelt one
// would be no exception at all.
func (h Harness) knowsItsCases(cases []testCase) error {
	for name := range h.Skip {
		if !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == name }) {
			return fmt.Errorf("the harness skips %q, which is no case", name)
		}
	}
	return nil
}

// patience is how long a case may take, on a machine that has other things to do.
const patience = 3 * time.Minute

// fresh gives a new ledger, and a context that ends where the store hangs. At the
// end of the case the ledger is closed, and must leave no goroutine.
func (h Harness) fresh(t testing.TB) (context.Context, ledger.Store) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s := h.Open(t)
	t.Cleanup(func() {
		require.NoError(t, s.Close(), "close the ledger")
		require.NoError(t, goleak.Find(before), "the ledger is closed, and has left a goroutine")
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx, s
}

// again gives one more handle of a ledger, until the end of the case.
func (h Harness) again(t testing.TB, s ledger.Store) ledger.Store {
	t.Helper()
	other, err := h.Reopen(t, s)
	require.NoError(t, err, "open the ledger once more")
	t.Cleanup(func() { require.NoError(t, other.Close(), "close the other handle") })
	return other
}

// cases are all situations, in the order in which they are best read.
func (h Harness) cases() []testCase {
	return slices.Concat(logCases(), writerCases(), restoreCases(), leaseCases(), h.clockCases(), h.tamperingCases(), h.faultCases())
}

// unless says which means is missing, where it is.
func unless(there bool, means string) string {
	if there {
		return ""
	}
	return means
}
