package dns_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	probe "github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, an answer that somebody forged could stop drwatch, be shown as it
// is, or make shares of more or less than one.
func FuzzAnswer(f *testing.F) {
	for _, records := range []string{
		"api.festivals.app. 60 IN A 192.0.2.1",
		"api.festivals.app. 60 IN A 192.0.2.1;api.festivals.app. 60 IN A 198.51.100.1;api.festivals.app. 4294967295 IN A 203.0.113.6",
		"api.festivals.app. 60 IN CNAME primary.lb.test.;primary.lb.test. 60 IN A 192.0.2.1;standby.lb.test. 60 IN A 192.0.2.1",
		"api.festivals.app. 60 IN CNAME b.app.;b.app. 60 IN CNAME api.festivals.app.",
		"api.festivals.app. 60 IN CNAME api.festivals.app.",
		"festivals.app. 60 IN NS ns1.festivals.app.;festivals.app. 60 IN NS \\027[31m.app.;ns1.festivals.app. 60 IN A 192.0.2.3",
		"api.festivals.app. 60 IN TXT \"x\"",
	} {
		m := new(dns.Msg).SetQuestion("api.festivals.app.", dns.TypeA)
		m.Response = true
		m.SetEdns0(1232, false)
		for text := range strings.SplitSeq(records, ";") {
			rr, err := dns.NewRR(text)
			require.NoError(f, err)
			m.Answer = append(m.Answer, rr)
		}
		packed, err := m.Pack()
		require.NoError(f, err)
		f.Add(packed, true)
		m.Answer, m.Ns, m.Extra, m.Rcode = nil, m.Answer, append(m.Extra, m.Answer...), dns.RcodeNameError
		packed, err = m.Pack()
		require.NoError(f, err)
		f.Add(packed, false)
	}
	target := probes.Target{Service: probes.Service{Host: host, Primary: []string{primaryName, "192.0.2.0/24"}, Standby: []string{standbyName}}}
	f.Fuzz(func(t *testing.T, packet []byte, authoritative bool) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		p, err := probe.New(probe.Config{}, target)
		require.NoError(t, err)
		reading, names := p.Judge(m, authoritative)
		require.LessOrEqual(t, len(names), 34)
		require.Len(t, reading.Checks, len(probe.Checks(probe.Config{}, target)))
		for _, c := range reading.Checks {
			require.NotEmpty(t, c.Evidence, c.Name)
			require.Less(t, len(c.Evidence)+len(c.Remedy), 3000)
			require.False(t, strings.ContainsFunc(c.Evidence+c.Remedy, unicode.IsControl), "%q", c)
		}
		sum, known := 0.0, 0
		for _, measure := range []readiness.Measure{readiness.DNSServedPrimary, readiness.DNSServedStandby, readiness.DNSServedOther, readiness.DNSServedNothing} {
			share, ok := reading.Measures[measure]
			require.GreaterOrEqual(t, share, 0.0)
			if sum += share; ok {
				known++
			}
		}
		if known > 0 {
			require.Equal(t, 4, known)
			require.InDelta(t, 1, sum, 1e-9)
		}
	})
}
