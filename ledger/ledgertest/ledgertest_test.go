package ledgertest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
)

// A suite that a sound store cannot pass would be switched off by the first who
// has to live with it.
func TestRun_SoundStore(t *testing.T) { Run(t, toyHarness("")) }

// toyHarness has all means, but for a process to be killed: memory is no place from
// which one could come back.
func toyHarness(fault string) Harness {
	set := func(s ledger.Store, change func(*toy)) {
		toy := s.(*toy)
		toy.mu.Lock()
		defer toy.mu.Unlock()
		change(toy)
	}
	during := func(which func(*toy) *bool) func(t testing.TB, s ledger.Store) func() {
		return func(_ testing.TB, s ledger.Store) func() {
			set(s, func(s *toy) { *which(s) = true })
			return func() { set(s, func(s *toy) { *which(s) = false }) }
		}
	}
	return Harness{
		Open:     func(testing.TB) ledger.Store { return newToy(fault) },
		Reopen:   func(_ testing.TB, s ledger.Store) (ledger.Store, error) { return s.(*toy).again() },
		Rewrite:  func(_ testing.TB, s ledger.Store, e []ledger.Event) { set(s, func(s *toy) { s.events = e }) },
		Move:     func(_ testing.TB, s ledger.Store, by time.Duration) { set(s, func(s *toy) { s.now = s.now.Add(by) }) },
		ReadOnly: func(_ testing.TB, s ledger.Store) ledger.Store { return &toy{shared: s.(*toy).shared, readOnly: true} },
		Fill:     during(func(s *toy) *bool { return &s.full }),
		Damage:   func(_ testing.TB, s ledger.Store) { set(s, func(s *toy) { s.broken = true }) },
		Restart: func(_ testing.TB, s ledger.Store) {
			set(s, func(s *toy) {
				if s.has("loses at restart") {
					s.extent, s.events, s.newest = ledger.Extent{}, nil, map[string]uint64{}
				}
			})
		},
		Cut:    during(func(s *toy) *bool { return &s.cut }),
		Deafen: during(func(s *toy) *bool { return &s.deaf }),
	}
}

// A suite that lets a bad store through is worth nothing: each fault must be
// found, by the case that is about it.
func TestCases_FindEachFault(t *testing.T) {
	for _, tt := range []struct {
		fault string
		cases []string
		says  string
	}{
		{"forgets its head", []string{"log/append", "tampering/cut tail"}, "Error"},
		{"reads out of order", []string{"log/append", "log/order"}, "Error"},
		{"ignores case", []string{"log/order"}, "Not equal"},
		{"leaks a goroutine", []string{"log/break", "log/append"}, "left a goroutine"},
		{"ignores the context", []string{"log/cancel", "context"}, "context canceled"},
		{"never ends", []string{"log/read and write"}, "as long as others write"},
		{"reads all at once", []string{"log/large"}, "bytes in memory"},
		{"normalises bodies", []string{"log/odd texts"}, "body"},
		{"loses time", []string{"log/times"}, "Append returns"},
		{"checks nothing", []string{"log/invalid"}, "cannot be an event"},
		{"forgets pruned streams", []string{"log/prune all"}, "not new"},
		{"forgets its base", []string{"log/prune", "log/prune all"}, "Error"},
		{"begins anew", []string{"log/prune all"}, "Not equal"},
		{"works when closed", []string{"close"}, "with what was closed"},
		{"closes once", []string{"close"}, "closing twice"},
		{"never conflicts", []string{"append/conflict", "append/concurrent"}, "Error"},
		{"tears batches", []string{"append/all or none"}, "Not equal"},
		{"doubles", []string{"append/duplicate", "append/duplicate at once", "deaf"}, "Error"},
		{"conflicts at duplicates", []string{"append/duplicate", "deaf"}, "Error"},
		{"takes any duplicate", []string{"append/duplicate", "append/all or none"}, "cannot be an event"},
		{"races", []string{"append/concurrent"}, "Error"},
		{"restores anything", []string{"restore/refused"}, "cannot be an event"},
		{"restores anywhere", []string{"restore/refused"}, "gone on meanwhile"},
		{"forgets marks", []string{"restore/copy", "restore/marks"}, "Not equal"},
		{"lends twice", []string{"lease/hold", "lease/storm", "clock/back"}, "Error"},
		{"never fences", []string{"lease/fence", "lease/release", "lease/woken", "clock/forward"}, "Error"},
		{"never grows", []string{"lease/release", "lease/taken anew", "lease/storm"}, "Error"},
		{"keeps the token", []string{"lease/taken anew"}, "its own token"},
		{"knows holders only", []string{"lease/fence", "lease/taken anew", "lease/renew"}, "not held any more"},
		{"renews anything", []string{"lease/run out"}, "not held any more"},
		{"releases anything", []string{"lease/release", "lease/taken anew"}, "Error"},
		{"forgets tokens", []string{"lease/release"}, "is not greater than"},
		{"lists what ran out", []string{"lease/run out"}, "is not held"},
		{"never runs out", []string{"clock/forward"}, "not held any more"},
		{"believes the clock", []string{"clock/back"}, "takes the lease"},
		{"calls read-only anything", []string{"read-only"}, "cannot be written"},
		{"calls full anything", []string{"full"}, "no room"},
		{"believes damage", []string{"damage"}, "Error"},
		{"recreates", []string{"damage"}, "in its place"},
		{"loses at restart", []string{"restart"}, "Error"},
		{"hangs with the network", []string{"cut"}, "goes on after its deadline"},
		{"reads beyond its head", []string{"tampering/one added"}, "the events are not"},
	} {
		h := toyHarness(tt.fault)
		for _, name := range tt.cases {
			t.Run(tt.fault+"/"+name, func(t *testing.T) {
				said := examine(t, caseNamed(t, h, name), h)
				require.NotEmpty(t, said, "the case finds nothing")
				require.Contains(t, said, tt.says)
			})
		}
	}
}

// A store that gives what it was asked to keep, and not what is in its place, would
// hide every tampering.
func TestTampering_EachIsSeenToBeDone(t *testing.T) {
	for _, how := range tamperings() {
		t.Run(how.name, func(t *testing.T) {
			h := toyHarness("")
			h.Rewrite = func(testing.TB, ledger.Store, []ledger.Event) {}
			said := examine(t, caseNamed(t, h, "tampering/"+how.name), h)
			if !how.unnoticed {
				require.Contains(t, said, "is damaged")
			}
		})
	}
}

// A process whose acknowledgements are worth nothing is one that a kill must find.
func TestKill_FindsAcknowledgedEventsThatAreGone(t *testing.T) {
	h := toyHarness("")
	h.Command = func(t testing.TB, _ ledger.Store) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", "for n in 1 2 3 4 5 6; do echo $n; done; exec sleep 60")
	}
	require.Contains(t, examine(t, caseNamed(t, h, "kill"), h), "acknowledged are gone")
	h.Command = func(t testing.TB, _ ledger.Store) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", "echo no ledger >&2")
	}
	require.Contains(t, examine(t, caseNamed(t, h, "kill"), h), "wrote nothing: no ledger")
}

// Write goes on where the one before it was killed, or a kill could be examined
// only once.
func TestWrite_Resumes(t *testing.T) {
	s := newToy("")
	for range 3 {
		require.ErrorIs(t, Write(t.Context(), s, new(pipe)), os.ErrClosed)
	}
	for i, e := range sound(t.Context(), t, s) {
		require.Equal(t, strconv.Itoa(i+1), e.ID)
	}
	require.Greater(t, s.extent.Last, uint64(9))
}

// pipe is one that breaks after a few lines.
type pipe struct{ lines int }

func (p *pipe) Write(line []byte) (int, error) {
	if p.lines++; p.lines > 3 {
		return 0, os.ErrClosed
	}
	return len(line), nil
}

// An exception for a case that does not exist excuses nothing and would hide
// that the case it was meant for fails.
func TestHarness_MisspeltException(t *testing.T) {
	h := Harness{Skip: map[string]string{"lease/strom": "it never storms"}}
	require.ErrorContains(t, h.knowsItsCases(h.cases()), "lease/strom")
}

func caseNamed(t *testing.T, h Harness, name string) testCase {
	all := h.cases()
	i := slices.IndexFunc(all, func(c testCase) bool { return c.name == name })
	require.GreaterOrEqual(t, i, 0, "no case %q", name)
	return all[i]
}

// examine runs a case that may fail, and gives what it says where it does.
func examine(t *testing.T, c testCase, h Harness) string {
	r := &recorder{TB: t}
	r.do(func() { c.run(r, h) })
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.do(r.cleanups[i])
	}
	return strings.Join(r.said, "\n")
}

// recorder is a test that notes its failures.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	said     []string
	cleanups []func()
}

// do runs something that may end its goroutine.
func (r *recorder) do(f func()) {
	var done sync.WaitGroup
	done.Go(f)
	done.Wait()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) FailNow()         { runtime.Goexit() }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
