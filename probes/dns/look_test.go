package dns_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	labdns "github.com/drwatch/drwatch/lab/dns"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a sound service would be told as unready, and nobody would believe
// the next alarm.
func TestLook_Sound(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.resolver(labdns.ResolverOptions{})
	for range 2 { // the second out of what it remembers
		checks, reading := s.look()
		t.Log(told(checks))
		for name, c := range checks {
			require.Equal(t, readiness.Pass, c.Status, "%s: %s", name, c.Evidence)
		}
		require.Equal(t, 1.0, reading.Measures[readiness.DNSTTLSeconds])
		require.Equal(t, "1.00 0.00 0.00 0.00", shares(reading))
	}
}
