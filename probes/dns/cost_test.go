package dns_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	labdns "github.com/drwatch/drwatch/lab/dns"
	probe "github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/readiness"
)

// counting stands in front of a resolver and counts what it is asked.
func counting(t *testing.T, upstream string) (address string, asked *atomic.Int64) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	asked = new(atomic.Int64)
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		asked.Add(1)
		if answer, err := dns.Exchange(m, upstream); err == nil {
			_ = w.WriteMsg(answer)
		}
	})}
	var group sync.WaitGroup
	group.Go(func() { _ = server.ActivateAndServe() })
	<-started
	t.Cleanup(func() { require.NoError(t, server.Shutdown()); group.Wait() })
	return conn.LocalAddr().String(), asked
}

// Were it to fail, a look would cost others more than the page about it says.
func TestLook_Questions(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	resolver, asked := counting(t, s.config.Resolvers[0])
	s.config.Resolvers = []string{resolver}
	names := func() int { return s.server.Asked(s.at(first)) + s.server.Asked(s.at(second)) }

	s.look()
	require.EqualValues(t, 3+4+3, asked.Load(), "the name and both sides; NS of it and of all above; the addresses of three name servers")
	asked.Store(0)
	s.look() // the caches are full
	before := names()
	asked.Store(0)
	s.look()
	require.EqualValues(t, 3, asked.Load(), "the name and both sides")
	require.Equal(t, 2*2, names()-before, "the name, and their own names")
}

// Were it to fail, clients that move as they should would be told as a fault, or drwatch
// would not see that they have moved.
func TestLook_WatchesAFailover(t *testing.T) {
	const ttl = 2
	s := newStage(t)
	s.put(record(host, "A", primaryIP, ttl))
	s.resolver(labdns.ResolverOptions{})
	s.resolver(labdns.ResolverOptions{})
	checks, _ := s.look()
	require.Equal(t, readiness.Pass, checks[probe.CheckAgreement].Status)

	s.put(record(host, "A", standbyIP, ttl))
	moved := time.Now()
	var saw []readiness.Status
	for {
		checks, reading := s.look()
		if status := checks[probe.CheckAgreement].Status; len(saw) == 0 || saw[len(saw)-1] != status {
			saw = append(saw, status)
		}
		require.Equal(t, readiness.Warn, checks[probe.CheckServed].Status)
		if reading.Measures[readiness.DNSServedStandby] == 1 {
			break
		}
		require.Less(t, time.Since(moved), 10*time.Second)
	}
	require.Less(t, time.Since(moved), (ttl+2)*time.Second)
	require.Equal(t, []readiness.Status{readiness.Warn, readiness.Pass}, saw, "moving, then there")
}

// Were it to fail, drwatch would go on asking name servers that were replaced, and call
// them dead.
func TestLook_NameServersReplaced(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.look()
	one := record("festivals.app", "NS", "ns2.festivals.app.", 60)
	s.set(above, labdns.Lying, one, record("ns2.festivals.app", "A", "127.0.53.3", 60))
	s.set(second, labdns.Lying, one)
	s.set(first, labdns.Down)
	s.look() // sees the new names, and that the old one names nothing any more
	checks, reading := s.look()
	for name, c := range checks {
		require.Equal(t, readiness.Pass, c.Status, "%s: %s", name, c.Evidence)
	}
	require.Contains(t, checks[probe.CheckAuthoritative].Evidence, "ns2.festivals.app")
	require.NotContains(t, checks[probe.CheckAuthoritative].Evidence, "ns1.festivals.app")
	require.Equal(t, "1.00 0.00 0.00 0.00", shares(reading))
}

// Were it to fail, the addresses of a load balancer that changes them would be told as
// those of a stranger.
func TestLook_RemembersAddresses(t *testing.T) {
	s := newStage(t)
	s.resolver(labdns.ResolverOptions{})
	s.look()
	s.put(record(primaryName, "A", "192.0.2.200", 1)) // and the zone still says the old one
	require.Eventually(t, func() bool {
		m, err := dns.Exchange(new(dns.Msg).SetQuestion(primaryName+".", dns.TypeA), s.config.Resolvers[0])
		return err == nil && len(m.Answer) == 1 && m.Answer[0].(*dns.A).A.String() == "192.0.2.200"
	}, 10*time.Second, 20*time.Millisecond)
	checks, _ := s.look()
	require.Equal(t, readiness.Pass, checks[probe.CheckServed].Status)
	s.pass(11 * time.Minute)
	checks, _ = s.look()
	require.Equal(t, readiness.Fail, checks[probe.CheckServed].Status)
}

// The numbers are in docs/probes/dns.md. The name servers are in this process, so that
// what they need is counted too.
func BenchmarkLook(b *testing.B) {
	s := newStage(b)
	s.resolver(labdns.ResolverOptions{})
	s.resolver(labdns.ResolverOptions{})
	s.put(record(host, "A", primaryIP, 3600), record(primaryName, "A", primaryIP, 3600), record(standbyName, "A", standbyIP, 3600))
	s.look()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.tryLook(4 * time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
