package dns_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	labdns "github.com/drwatch/drwatch/lab/dns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	parent = iota
	first
	second
)

// world is a zone with two name servers below a parent, and what the zone says can be changed.
type world struct {
	t      *testing.T
	server *labdns.Server
	target atomic.Value // where api.festivals.app leads
}

func newWorld(t *testing.T) *world {
	w := &world{t: t}
	w.target.Store("192.0.2.1")
	long := make([]labdns.Record, 0, 60)
	for i := range 60 {
		long = append(long, labdns.Record{Name: "long.festivals.app", Type: "TXT", TTL: 60, Value: fmt.Sprintf("%q", fmt.Sprint(i, strings.Repeat("x", 40)))})
	}
	static := labdns.Static(append(long,
		labdns.Record{Name: "alias.festivals.app", Type: "CNAME", TTL: 30, Value: "api.festivals.app."},
		labdns.Record{Name: "loop1.festivals.app", Type: "CNAME", TTL: 30, Value: "loop2.festivals.app."},
		labdns.Record{Name: "loop2.festivals.app", Type: "CNAME", TTL: 30, Value: "loop1.festivals.app."},
		labdns.Record{Name: "dangling.festivals.app", Type: "CNAME", TTL: 30, Value: "gone.festivals.app."},
		labdns.Record{Name: "away.festivals.app", Type: "CNAME", TTL: 30, Value: "lb.example.net."},
		labdns.Record{Name: "a.deep.festivals.app", Type: "A", TTL: 30, Value: "192.0.2.9"},
		labdns.Record{Name: "broken.festivals.app", Type: "A", TTL: 30, Value: "no address"},
	)...)
	servers := []labdns.NameServer{{Name: "ns1.festivals.app", Address: "127.0.53.2"}, {Name: "ns2.festivals.app", Address: "127.0.53.3"}}
	server, err := labdns.Start(t.Context(), labdns.Options{
		Addresses: []string{"127.0.53.1:0", "127.0.53.2:0", "127.0.53.3:0"},
		Zones: []labdns.Zone{
			{
				Name:        "app",
				NameServers: []labdns.NameServer{{Name: "a.nic.app", Address: "127.0.53.1"}},
				Delegations: []labdns.Delegation{{Name: "festivals.app", NameServers: servers}},
			},
			{
				Name: "festivals.app", NameServers: servers, NegativeTTL: 1,
				Answer: func(name, typ string) ([]labdns.Record, bool) {
					if name == "api.festivals.app." && typ == "A" {
						return []labdns.Record{{Name: name, Type: typ, TTL: 1, Value: w.target.Load().(string)}}, false
					}
					if name == "api.festivals.app." {
						return nil, false
					}
					return static(name, typ)
				},
			},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	w.server = server
	return w
}

func (w *world) at(i int) string { return w.server.Addresses()[i] }

func (w *world) ask(network string, i int, name string, typ uint16) *dns.Msg {
	w.t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), typ)
	m.RecursionDesired = false
	r, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, w.at(i))
	require.NoError(w.t, err)
	return r
}

func (w *world) set(i int, c labdns.Condition, lies ...labdns.Record) {
	w.t.Helper()
	require.NoError(w.t, w.server.Set(w.t.Context(), w.at(i), c, lies...))
}

// told is an answer in one line: code, AA, and the three sections.
func told(m *dns.Msg) string {
	parts := []string{dns.RcodeToString[m.Rcode]}
	if m.Authoritative {
		parts = append(parts, "aa")
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		var all []string
		for _, rr := range section {
			all = append(all, strings.Join(strings.Fields(rr.String()), " "))
		}
		parts = append(parts, "["+strings.Join(all, "; ")+"]")
	}
	return strings.Join(parts, " ")
}

// Were one of these wrong, a failover rehearsed in the lab would go as none goes in the world.
func TestServer_Answers(t *testing.T) {
	w := newWorld(t)
	soa := "festivals.app. 1 IN SOA ns1.festivals.app. hostmaster.festivals.app. 1 7200 900 1209600 1"
	tests := []struct {
		what string
		at   int
		name string
		typ  uint16
		want string
	}{
		{"an address", first, "api.festivals.app", dns.TypeA, "NOERROR aa [api.festivals.app. 1 IN A 192.0.2.1] [] []"},
		{"the name as it was asked", second, "API.Festivals.App", dns.TypeA, "NOERROR aa [API.Festivals.App. 1 IN A 192.0.2.1] [] []"},
		{"no such type", first, "api.festivals.app", dns.TypeMX, "NOERROR aa [] [" + soa + "] []"},
		{"no such name", first, "nobody.festivals.app", dns.TypeA, "NXDOMAIN aa [] [" + soa + "] []"},
		{"a name above one that is there", first, "deep.festivals.app", dns.TypeA, "NOERROR aa [] [" + soa + "] []"},
		{"an alias within the zone", first, "alias.festivals.app", dns.TypeA, "NOERROR aa [alias.festivals.app. 30 IN CNAME api.festivals.app.; api.festivals.app. 1 IN A 192.0.2.1] [] []"},
		{"the alias itself", first, "alias.festivals.app", dns.TypeCNAME, "NOERROR aa [alias.festivals.app. 30 IN CNAME api.festivals.app.] [] []"},
		{"an alias that leads away", first, "away.festivals.app", dns.TypeA, "NOERROR aa [away.festivals.app. 30 IN CNAME lb.example.net.] [] []"},
		{"an alias of nothing", first, "dangling.festivals.app", dns.TypeA, "NXDOMAIN aa [dangling.festivals.app. 30 IN CNAME gone.festivals.app.] [" + soa + "] []"},
		{"a loop", first, "loop1.festivals.app", dns.TypeA, "NOERROR aa [loop1.festivals.app. 30 IN CNAME loop2.festivals.app.; loop2.festivals.app. 30 IN CNAME loop1.festivals.app.] [] []"},
		{"the zone", second, "festivals.app", dns.TypeSOA, "NOERROR aa [" + strings.Replace(soa, " 1 IN", " 3600 IN", 1) + "] [] []"},
		{"its name servers", first, "festivals.app", dns.TypeNS, "NOERROR aa [festivals.app. 3600 IN NS ns1.festivals.app.; festivals.app. 3600 IN NS ns2.festivals.app.] [] " +
			"[ns1.festivals.app. 3600 IN A 127.0.53.2; ns2.festivals.app. 3600 IN A 127.0.53.3]"},
		{"the address of one", first, "ns2.festivals.app", dns.TypeA, "NOERROR aa [ns2.festivals.app. 3600 IN A 127.0.53.3] [] []"},
		{"the other type of one", first, "ns2.festivals.app", dns.TypeAAAA, "NOERROR aa [] [" + soa + "] []"},
		{"a delegation", parent, "api.festivals.app", dns.TypeA, "NOERROR [] [festivals.app. 3600 IN NS ns1.festivals.app.; festivals.app. 3600 IN NS ns2.festivals.app.] " +
			"[ns1.festivals.app. 3600 IN A 127.0.53.2; ns2.festivals.app. 3600 IN A 127.0.53.3]"},
		{"another zone", first, "example.net", dns.TypeA, "REFUSED [] [] []"},
		{"a record that is none", first, "broken.festivals.app", dns.TypeA, "SERVFAIL [] [] []"},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(tt.what+"/"+network, func(t *testing.T) {
				require.Equal(t, tt.want, told(w.ask(network, tt.at, tt.name, tt.typ)))
			})
		}
	}
}

// Were it to fail, clients in the lab would take the beginning of a long answer for all of it.
func TestServer_TruncatesOverUDP(t *testing.T) {
	w := newWorld(t)
	over := w.ask("udp", first, "long.festivals.app", dns.TypeTXT)
	require.True(t, over.Truncated)
	over.Compress = true // as it came
	require.LessOrEqual(t, over.Len(), 512)
	whole := w.ask("tcp", first, "long.festivals.app", dns.TypeTXT)
	require.False(t, whole.Truncated)
	require.Len(t, whole.Answer, 60)

	m := new(dns.Msg).SetQuestion("long.festivals.app.", dns.TypeTXT).SetEdns0(4096, false)
	r, _, err := new(dns.Client).Exchange(m, w.at(first))
	require.NoError(t, err)
	require.True(t, r.Truncated)
	r.Compress = true
	require.LessOrEqual(t, r.Len(), 1232)
	require.Greater(t, len(r.Answer), len(over.Answer))
	require.NotNil(t, r.IsEdns0())
}

// Each is a fault that the lab can be asked for: were it not one, what must be said about it would go untested.
func TestServer_Conditions(t *testing.T) {
	w := newWorld(t)
	api := func() string { return told(w.ask("udp", first, "api.festivals.app", dns.TypeA)) }
	well := api()
	require.Equal(t, 1, w.server.Asked(w.at(first)))
	require.Zero(t, w.server.Asked(w.at(second)))

	w.set(first, labdns.ServFail)
	require.Equal(t, "SERVFAIL [] [] []", api())
	w.set(first, labdns.Refused)
	require.Equal(t, "REFUSED [] [] []", api())
	w.set(first, labdns.Lame)
	require.Equal(t, "NOERROR [] [. 3600 IN NS a.root-servers.net.] []", api())
	w.set(first, labdns.Lying, labdns.Record{Name: "api.festivals.app", Type: "A", TTL: 5, Value: "203.0.113.6"})
	require.Equal(t, "NOERROR aa [api.festivals.app. 5 IN A 203.0.113.6] [] []", api())
	require.Equal(t, well, told(w.ask("udp", second, "api.festivals.app", dns.TypeA)), "the others stay as they are")
	w.set(first, labdns.Stale)
	w.target.Store("192.0.2.2")
	require.Equal(t, well, api())
	require.NotEqual(t, well, told(w.ask("udp", second, "api.festivals.app", dns.TypeA)))
	w.set(first, labdns.Well)
	require.NotEqual(t, well, api())

	for _, network := range []string{"udp", "tcp"} {
		m := new(dns.Msg).SetQuestion("api.festivals.app.", dns.TypeA)
		client := dns.Client{Net: network, Timeout: 100 * time.Millisecond}
		w.set(first, labdns.Down)
		_, _, err := client.Exchange(m, w.at(first))
		require.ErrorContains(t, err, "refused")
		w.set(first, labdns.Silent)
		_, _, err = client.Exchange(m, w.at(first))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
		w.set(first, labdns.Well)
		_, _, err = client.Exchange(m, w.at(first))
		require.NoError(t, err)
	}
	require.ErrorContains(t, w.server.Set(t.Context(), "127.0.53.9:53", labdns.Down), "there is none")
}

// Were it to fail, a wrong delegation could not be played.
func TestServer_LiesAboutItsDelegation(t *testing.T) {
	w := newWorld(t)
	w.set(parent, labdns.Lying,
		labdns.Record{Name: "festivals.app", Type: "NS", TTL: 60, Value: "ns9.festivals.app."},
		labdns.Record{Name: "ns9.festivals.app", Type: "A", TTL: 60, Value: "127.0.53.9"})
	require.Equal(t, "NOERROR [] [festivals.app. 60 IN NS ns9.festivals.app.] [ns9.festivals.app. 60 IN A 127.0.53.9]",
		told(w.ask("udp", parent, "festivals.app", dns.TypeNS)))
}

// Were it to fail, mistakes in a lab would show as answers that nobody understands.
func TestStart_RefusesMistakes(t *testing.T) {
	server := []labdns.NameServer{{Name: "ns1.app", Address: "127.0.53.2"}}
	for what, o := range map[string]labdns.Options{
		"no address is given":    {},
		"missing port":           {Addresses: []string{"127.0.53.1"}},
		"has no name server":     {Addresses: []string{"127.0.53.1:0"}, Zones: []labdns.Zone{{Name: "app"}}},
		"has no address":         {Addresses: []string{"127.0.53.1:0"}, Zones: []labdns.Zone{{Name: "app", NameServers: []labdns.NameServer{{Name: "ns1.app"}}}}},
		"make a record of a..b.": {Addresses: []string{"127.0.53.1:0"}, Zones: []labdns.Zone{{Name: "app", NameServers: server, Delegations: []labdns.Delegation{{Name: "a..b.", NameServers: server}}}}},
	} {
		_, err := labdns.Start(t.Context(), o)
		require.ErrorContains(t, err, what)
	}
}

func startResolver(t *testing.T, o labdns.ResolverOptions) *labdns.Resolver {
	t.Helper()
	o.Dir = t.TempDir()
	r, err := labdns.StartResolver(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Stop(context.Background())) })
	return r
}

func (w *world) resolve(r *labdns.Resolver, name string) *dns.Msg {
	w.t.Helper()
	answer, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), r.Address())
	require.NoError(w.t, err)
	return answer
}

func (w *world) zones() map[string][]string {
	return map[string][]string{"app": {w.at(parent)}, "festivals.app": {w.at(first), w.at(second)}}
}

// Were it to fail, the clients of the lab would not be those whose moving is measured.
func TestResolver_KeepsAnswersForTheirTTL(t *testing.T) {
	w := newWorld(t)
	r := startResolver(t, labdns.ResolverOptions{Zones: w.zones()})
	address := func() string { return w.resolve(r, "api.festivals.app").Answer[0].(*dns.A).A.String() }
	require.Equal(t, "192.0.2.1", address())
	w.target.Store("192.0.2.2")
	changed := time.Now()
	require.Eventually(t, func() bool { return address() == "192.0.2.2" }, 10*time.Second, 20*time.Millisecond)
	require.Less(t, time.Since(changed), 4*time.Second, "the TTL is one second")

	require.Equal(t, dns.RcodeNameError, w.resolve(r, "nobody.festivals.app").Rcode)
	require.Equal(t, dns.RcodeRefused, w.resolve(r, "example.net").Rcode)
	w.set(first, labdns.Down)
	require.Eventually(t, func() bool { return w.resolve(r, "api.festivals.app").Rcode == dns.RcodeSuccess }, 10*time.Second, 20*time.Millisecond, "there is a second name server")
}

// Were it to fail, a resolver that lies, keeps answers too long, or hangs could not be played.
func TestResolver_Faults(t *testing.T) {
	w := newWorld(t)
	r := startResolver(t, labdns.ResolverOptions{
		Zones: w.zones(), MinTTL: 600,
		Lies: []labdns.Record{{Name: "alias.festivals.app", Type: "A", TTL: 60, Value: "203.0.113.6"}},
	})
	require.Contains(t, told(w.resolve(r, "alias.festivals.app")), "203.0.113.6")
	require.Greater(t, w.resolve(r, "api.festivals.app").Answer[0].Header().Ttl, uint32(500))

	require.NoError(t, r.Freeze())
	_, _, err := (&dns.Client{Timeout: 100 * time.Millisecond}).Exchange(new(dns.Msg).SetQuestion("api.festivals.app.", dns.TypeA), r.Address())
	require.ErrorContains(t, err, "timeout")
	require.NoError(t, r.Thaw())
	require.Equal(t, dns.RcodeSuccess, w.resolve(r, "api.festivals.app").Rcode)
	require.NoError(t, r.Freeze())
	require.NoError(t, r.Stop(t.Context()), "a frozen one too")
}

// Were it to fail, a lab that does not start would not say why.
func TestResolver_SaysWhyItEnded(t *testing.T) {
	_, err := labdns.StartResolver(t.Context(), labdns.ResolverOptions{Dir: t.TempDir(), Zones: map[string][]string{"app": {"nowhere:53"}}})
	require.ErrorContains(t, err, "nowhere")

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = labdns.StartResolver(ctx, labdns.ResolverOptions{Dir: t.TempDir(), Address: taken.LocalAddr().String()})
	require.ErrorContains(t, err, "in use")
}
