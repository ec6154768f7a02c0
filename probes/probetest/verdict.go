package probetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// Check finds the answer to a check.
func Check(t testing.TB, r readiness.Reading, name string) readiness.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no answer to %s", name)
	return readiness.Check{}
}

// RequireAnswers holds a reading of a part against the checks that are listed for it: all of them are answered, in
// order, and nothing else; each has evidence, and a remedy where it does not pass.
func RequireAnswers(t testing.TB, listed []string, r readiness.Reading) {
	t.Helper()
	var names []string
	for _, c := range r.Checks {
		names = append(names, c.Name)
		require.Equal(t, c.Status == readiness.Pass, c.Remedy == "", "remedy of %s: %q", c.Name, c.Remedy)
		require.NotEmpty(t, c.Evidence, c.Name)
	}
	require.Equal(t, listed, names, "all that is listed, in order, and nothing else")
}

// Verdict is what must be said of a fault, and that nothing is said that has no part in it.
type Verdict struct {
	Class    readiness.Class // of a look that fails
	Check    string          // or the check that tells
	Status   readiness.Status
	Evidence []string // parts of it
	Remedy   string   // part of it
	Also     []string // the other checks that do not pass, because of the same fault
}

// Require holds a look against the verdict.
func (v Verdict) Require(t testing.TB, r readiness.Reading, failure *readiness.Failure) {
	t.Helper()
	require.Equal(t, v.Class != "", failure != nil, "%v", failure)
	var evidence, remedy string
	if failure != nil {
		require.Equal(t, v.Class, failure.Class, failure.Error())
		evidence, remedy = failure.Error(), failure.Class.Remedy()
	} else {
		c := Check(t, r, v.Check)
		require.Equal(t, v.Status, c.Status, c.Evidence)
		evidence, remedy = c.Evidence, c.Remedy
		var wrong []string
		for _, other := range r.Checks {
			if other.Status != readiness.Pass && other.Name != v.Check {
				wrong = append(wrong, other.Name)
			}
		}
		require.ElementsMatch(t, v.Also, wrong, "%+v", r.Checks)
	}
	for _, part := range v.Evidence {
		require.Contains(t, evidence, part)
	}
	require.Contains(t, remedy, v.Remedy)
	require.NotContains(t, evidence, "\n")
}
