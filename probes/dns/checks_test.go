package dns_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labdns "github.com/drwatch/drwatch/lab/dns"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, somebody would move clients to a standby that is the primary.
func TestSides_AStandbyThatIsThePrimary(t *testing.T) {
	for name, primary := range map[string][]string{
		"by address": {primaryIP}, "by prefix": {"192.0.2.0/24"}, "by prefix, and by name": {primaryName, "192.0.2.0/24"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.resolver(labdns.ResolverOptions{})
			s.service.Primary = primary
			s.put(record(standbyName, "A", primaryIP, 1))
			checks, _ := s.look()
			require.Equal(t, readiness.Fail, checks[dns.CheckSides].Status, told(checks))
			require.Contains(t, checks[dns.CheckSides].Evidence, primaryIP)
		})
	}
}

// Were it to fail, a standby that nobody has named would be told to be there.
func TestSides_OneThatTheFileDoesNotName(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.service.Standby = nil
	checks, _ := s.look()
	require.Equal(t, readiness.Unknown, checks[dns.CheckSides].Status, told(checks))
}

// Were it to fail, a resolver that keeps an answer beyond the RTO would be in nobody's way.
func TestTTL_AResolverThatKeepsAnAnswerBeyondTheRTO(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.resolver(labdns.ResolverOptions{MinTTL: 3000})
	s.service.RTO = 10 * time.Minute
	checks, _ := s.look()
	require.Equal(t, readiness.Fail, checks[dns.CheckTTL].Status, told(checks))
	require.Contains(t, checks[dns.CheckTTL].Evidence, "10m")
}
