package dns_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	labdns "github.com/drwatch/drwatch/lab/dns"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/readiness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	above = iota // the root, app., and the zone of the load balancers
	first
	second
)

const (
	host        = "api.festivals.app"
	primaryName = "primary.lb.test"
	standbyName = "standby.lb.test"
	primaryIP   = "192.0.2.1"
	standbyIP   = "198.51.100.1"
	strangerIP  = "203.0.113.6"
)

// stage is a service whose name is in a zone with two name servers, below a parent,
// with load balancers in a zone of their own, and real resolvers for its clients.
type stage struct {
	t         testing.TB
	server    *labdns.Server
	resolvers []*labdns.Resolver
	records   atomic.Pointer[[]labdns.Record] // of all zones
	config    dns.Config
	service   probes.Service
	clock     atomic.Int64 // how far the probe's clock is ahead
	probe     *dns.Probe
}

func record(name, typ, value string, ttl uint32) labdns.Record {
	return labdns.Record{Name: name, Type: typ, Value: value, TTL: ttl}
}

func sound() []labdns.Record {
	return []labdns.Record{
		record(host, "A", primaryIP, 1),
		record(primaryName, "A", primaryIP, 1),
		record(standbyName, "A", standbyIP, 1),
	}
}

func newStage(t testing.TB) *stage {
	s := &stage{t: t, service: probes.Service{Host: host, Primary: []string{primaryName}, Standby: []string{standbyName}}}
	s.put()
	answer := func(name, typ string) ([]labdns.Record, bool) { return labdns.Static(*s.records.Load()...)(name, typ) }
	top := []labdns.NameServer{{Name: "a.nic.app", Address: "127.0.53.1"}}
	own := []labdns.NameServer{{Name: "ns1.festivals.app", Address: "127.0.53.2"}, {Name: "ns2.festivals.app", Address: "127.0.53.3"}}
	server, err := labdns.Start(t.Context(), labdns.Options{
		Addresses: []string{"127.0.53.1:0", "127.0.53.2:0", "127.0.53.3:0"},
		Zones: []labdns.Zone{
			{Name: ".", NameServers: []labdns.NameServer{{Name: "a.root", Address: "127.0.53.1"}}, Delegations: []labdns.Delegation{{Name: "app", NameServers: top}, {Name: "lb.test", NameServers: top}}},
			{Name: "app", NameServers: top, Delegations: []labdns.Delegation{{Name: "festivals.app", NameServers: own}}},
			{Name: "lb.test", NameServers: top, Answer: answer, NegativeTTL: 1},
			{Name: "festivals.app", NameServers: own, Answer: answer, NegativeTTL: 1},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	s.server = server
	s.config.Port = server.Port()
	return s
}

// put lets the zones say what is sound, and in place of that what is given.
func (s *stage) put(instead ...labdns.Record) {
	all := instead
	for _, r := range sound() {
		replaced := false
		for _, i := range instead {
			replaced = replaced || i.Name == r.Name
		}
		if !replaced {
			all = append(all, r)
		}
	}
	s.records.Store(&all)
}

// remove takes away what the zones say of a name.
func (s *stage) remove(name string) {
	var left []labdns.Record
	for _, r := range *s.records.Load() {
		if r.Name != name {
			left = append(left, r)
		}
	}
	s.records.Store(&left)
}

func (s *stage) at(i int) string { return s.server.Addresses()[i] }

func (s *stage) set(i int, c labdns.Condition, lies ...labdns.Record) {
	s.t.Helper()
	require.NoError(s.t, s.server.Set(s.t.Context(), s.at(i), c, lies...))
}

// resolver adds a resolver to those that are asked.
func (s *stage) resolver(o labdns.ResolverOptions) *labdns.Resolver {
	s.t.Helper()
	o.Dir = s.t.TempDir()
	o.Zones = map[string][]string{
		".": {s.at(above)}, "app": {s.at(above)}, "lb.test": {s.at(above)}, "festivals.app": {s.at(first), s.at(second)},
	}
	r, err := labdns.StartResolver(s.t.Context(), o)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, r.Stop(context.Background())) })
	s.resolvers = append(s.resolvers, r)
	s.config.Resolvers = append(s.config.Resolvers, r.Address())
	return r
}

// silent adds a resolver that takes questions and says nothing.
func (s *stage) silent() string {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	s.config.Resolvers = append(s.config.Resolvers, conn.LocalAddr().String())
	return conn.LocalAddr().String()
}

// refusing adds a resolver that refuses.
func (s *stage) refusing() {
	server, err := labdns.Start(s.t.Context(), labdns.Options{Addresses: []string{"127.0.53.4:0"}})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, server.Close()) })
	s.config.Resolvers = append(s.config.Resolvers, server.Addresses()...)
}

func (s *stage) now() time.Time { return time.Now().Add(time.Duration(s.clock.Load())) }

func (s *stage) pass(d time.Duration) { s.clock.Add(int64(d)) }

func (s *stage) look() (map[string]readiness.Check, readiness.Reading) {
	s.t.Helper()
	reading, err := s.tryLook(4 * time.Second)
	require.NoError(s.t, err)
	checks := make(map[string]readiness.Check)
	var names []string
	for _, c := range reading.Checks {
		checks[c.Name] = c
		names = append(names, c.Name)
		require.NotEmpty(s.t, c.Evidence, c.Name)
		require.Equal(s.t, c.Status == readiness.Pass, c.Remedy == "", "%+v", c)
		require.NotContains(s.t, c.Evidence+c.Remedy, "\n")
		require.Less(s.t, len(c.Evidence), 600)
	}
	require.Equal(s.t, dns.Checks(s.config, s.target()), names)
	return checks, reading
}

func (s *stage) tryLook(within time.Duration) (readiness.Reading, error) {
	s.t.Helper()
	if s.probe == nil {
		probe, err := dns.New(s.config, s.target())
		require.NoError(s.t, err)
		s.probe = probe.At(s.now)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), within)
	defer cancel()
	return s.probe.Look(ctx)
}

func (s *stage) target() probes.Target {
	return probes.Target{Service: s.service, Part: readiness.Part{Name: "resolvers", Kind: readiness.Resolution}}
}

func shares(r readiness.Reading) string {
	m := r.Measures
	return fmt.Sprintf("%.2f %.2f %.2f %.2f", m[readiness.DNSServedPrimary], m[readiness.DNSServedStandby], m[readiness.DNSServedOther], m[readiness.DNSServedNothing])
}

func told(checks map[string]readiness.Check) string {
	var b strings.Builder
	for _, name := range dns.Checks(dns.Config{}, probes.Target{}) {
		fmt.Fprintf(&b, "%s %s: %s [%s]\n", checks[name].Status, name, checks[name].Evidence, checks[name].Remedy)
	}
	return b.String()
}
