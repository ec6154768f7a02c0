package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// The checklists are what an auditor holds against the procedure: whoever changes a
// word of them should see it.
func TestDefaults_AsText(t *testing.T) {
	var b strings.Builder
	for _, i := range audit.Defaults() {
		fmt.Fprintf(&b, "%-13s %-21s %s\n", i.Phase, i.Name, i.Title)
		for _, s := range i.Observed {
			fmt.Fprintf(&b, "    observed  copies %s parts %s sides %s checks %s each %t\n", s.CopyKinds, s.PartKinds, s.Sides, s.Checks, s.Each)
		}
		if i.Runbooks || i.Contacts {
			fmt.Fprintf(&b, "    named     runbooks %t contacts %t\n", i.Runbooks, i.Contacts)
		}
		if i.Attested > 0 {
			fmt.Fprintf(&b, "    attested  for %s: %s\n", readiness.InSeconds(i.Attested), i.Remedy)
		}
	}
	golden(t, "defaults.golden", b.String())
}

// Names are labels of metrics: two of one name would be one series.
func TestDefaults_AreSound(t *testing.T) {
	seen := make(map[string]bool)
	for _, i := range audit.Defaults() {
		require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, i.Name)
		require.False(t, seen[i.Name], i.Name)
		seen[i.Name] = true
		require.NotEmpty(t, i.Title)
		require.Contains(t, audit.Phases(), i.Phase)
		require.True(t, len(i.Observed) > 0 || i.Attested > 0 || i.Runbooks || i.Contacts, i.Name)
		require.LessOrEqual(t, i.Attested, audit.MaxValidity)
		require.Equal(t, i.Attested > 0, i.Remedy != "", i.Name)
	}
}

// The lists are new ones each time: were they shared, one audit could change another.
func TestDefaults_AreNotShared(t *testing.T) {
	audit.Defaults()[0].Observed[0].CopyKinds[0] = "changed"
	require.NotEqual(t, readiness.CopyKind("changed"), audit.Defaults()[0].Observed[0].CopyKinds[0])
}
