package readiness

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A service of which only the primary is watched, or only where its name leads now, would
// be said to be ready to move: nobody has looked at where it would move to.
func TestAttack_NobodyLooksAtTheMove(t *testing.T) {
	for name, parts := range map[string][]Part{
		"only the primary":              {{Name: "primary", Kind: Endpoint, Side: PrimarySide, Watch: Watch{Probe: "endpoint", Checks: []string{"up"}}}},
		"only where the name leads now": {{Name: "resolvers", Kind: Resolution, Watch: Watch{Probe: "dns", Checks: []string{"served"}}}},
		"nothing":                       nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := Service{Name: "api", Scenarios: []Scenario{RegionFailure}, Parts: parts}
			r := judge(s, seeing(s, map[string][]Check{"primary": {{Name: "up", Status: Pass}}, "resolvers": {{Name: "served", Status: Pass}}}), 0)
			require.Equal(t, Unknown, r.Services[0].Status)
			require.NotEmpty(t, r.Services[0].Because)
			require.Equal(t, Unknown, scenario(t, r, RegionFailure).Status)
			require.False(t, r.Ready)
		})
	}
}
