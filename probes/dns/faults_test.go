package dns_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labdns "github.com/drwatch/drwatch/lab/dns"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/readiness"
)

// fault is one row of what goes wrong with a name, and what must be said.
type fault struct {
	// bring brings it about before the first look.
	bring func(*stage)
	// later brings it about after a look at which all was well.
	later func(*stage)

	check    string
	status   readiness.Status
	evidence []string
	remedy   string // part of it
	// also are the other checks that do not pass; all others must.
	also []string
	// shares are those of primary, standby, other and nothing.
	shares string
}

func faults() map[string]fault {
	lie := func(ttl uint32) []labdns.Record { return []labdns.Record{record(host, "A", strangerIP, ttl)} }
	two := func(o labdns.ResolverOptions) func(*stage) {
		return func(s *stage) {
			s.resolver(labdns.ResolverOptions{})
			s.resolver(o)
		}
	}
	well := two(labdns.ResolverOptions{})
	with := func(then ...func(*stage)) func(*stage) {
		return func(s *stage) {
			well(s)
			for _, f := range then {
				f(s)
			}
		}
	}
	says := func(records ...labdns.Record) func(*stage) { return func(s *stage) { s.put(records...) } }
	is := func(i int, c labdns.Condition, lies ...labdns.Record) func(*stage) {
		return func(s *stage) { s.set(i, c, lies...) }
	}
	warn, fail := readiness.Warn, readiness.Fail
	return map[string]fault{
		"a resolver lies": {
			bring: two(labdns.ResolverOptions{Lies: lie(1)}),
			check: dns.CheckAgreement, status: fail, evidence: []string{"leads to " + strangerIP + ", which is neither side", "the zone leads to the primary"}, remedy: "filters or redirects",
			also: []string{dns.CheckServed}, shares: "0.75 0.00 0.25 0.00",
		},
		"a resolver lies about everything": {
			bring: two(labdns.ResolverOptions{Lies: []labdns.Record{
				record(host, "A", strangerIP, 1), record(primaryName, "A", strangerIP, 1), record(standbyName, "A", strangerIP, 1),
			}}),
			check: dns.CheckAgreement, status: fail, evidence: []string{strangerIP + ", which is neither side"}, remedy: "filters or redirects",
			also: []string{dns.CheckServed}, shares: "0.75 0.00 0.25 0.00",
		},
		"a resolver times out": {
			bring: func(s *stage) { s.resolver(labdns.ResolverOptions{}); s.silent() },
			check: dns.CheckResolvers, status: warn, evidence: []string{"1 of 2 does not lead anywhere", "no answer"}, remedy: "whether the resolver is up",
			shares: "0.75 0.00 0.00 0.25",
		},
		"most resolvers time out": {
			bring: func(s *stage) { s.resolver(labdns.ResolverOptions{}); s.silent(); s.silent() },
			check: dns.CheckResolvers, status: fail, evidence: []string{"2 of 3 do not lead anywhere"}, remedy: "whether the resolver is up",
			shares: "0.60 0.00 0.00 0.40",
		},
		"all resolvers time out": {
			bring: func(s *stage) {
				s.silent()
				s.config.NameServers = []string{s.at(first), s.at(second)}
				s.service.Primary, s.service.Standby = []string{primaryIP}, []string{"198.51.100.0/24"}
			},
			check: dns.CheckResolvers, status: fail, evidence: []string{"1 of 1 do not lead anywhere"}, remedy: "whether the resolver is up",
			also: []string{dns.CheckDelegation}, shares: "0.67 0.00 0.00 0.33",
		},
		"all resolvers freeze": {
			bring: well, later: func(s *stage) {
				for _, r := range s.resolvers {
					require.NoError(s.t, r.Freeze())
				}
			},
			check: dns.CheckResolvers, status: fail, evidence: []string{"2 of 2 do not lead anywhere"}, remedy: "whether the resolver is up",
			also: []string{dns.CheckSides}, shares: "0.50 0.00 0.00 0.50",
		},
		"all resolvers freeze, and only they know where an alias leads": {
			bring: with(says(record(host, "CNAME", "edge.lb.test.", 1), record("edge.lb.test", "A", primaryIP, 1))), later: func(s *stage) {
				for _, r := range s.resolvers {
					require.NoError(s.t, r.Freeze())
				}
			},
			check: dns.CheckServed, status: readiness.Unknown, evidence: []string{"no resolver tells what edge.lb.test leads to"}, remedy: "sides",
			also: []string{dns.CheckSides, dns.CheckAgreement, dns.CheckResolvers, dns.CheckChain},
		},
		"a resolver is gone": {
			bring: func(s *stage) {
				s.resolver(labdns.ResolverOptions{})
				s.config.Resolvers = append(s.config.Resolvers, "127.0.53.9:"+fmt.Sprint(s.server.Port()))
			},
			check: dns.CheckResolvers, status: warn, evidence: []string{"nobody listens"}, remedy: "whether the resolver is up",
			shares: "0.75 0.00 0.00 0.25",
		},
		"a resolver refuses": {
			bring: func(s *stage) {
				s.resolver(labdns.ResolverOptions{})
				s.refusing()
			},
			check: dns.CheckResolvers, status: warn, evidence: []string{"1 of 2 does not lead anywhere", "REFUSED"}, remedy: "allow-recursion",
			shares: "0.75 0.00 0.00 0.25",
		},
		"a resolver is none": {
			bring: func(s *stage) {
				s.config.Resolvers = append(s.config.Resolvers, s.at(above)) // and it answers sooner than the other
				s.resolver(labdns.ResolverOptions{})
			},
			check: dns.CheckResolvers, status: warn, evidence: []string{"it does not ask others for us"}, remedy: "another resolver",
			shares: "0.75 0.00 0.00 0.25",
		},
		"a resolver says that the name does not exist": {
			bring: two(labdns.ResolverOptions{Lies: []labdns.Record{record("api.festivals.app", "TXT", `"filtered"`, 1)}}),
			check: dns.CheckResolvers, status: warn, evidence: []string{"no address"}, remedy: "filter of its own",
			shares: "0.75 0.00 0.00 0.25",
		},
		"a resolver raises the TTL": {
			bring: two(labdns.ResolverOptions{MinTTL: 50}),
			check: dns.CheckTTL, status: warn, evidence: []string{"the zone says 1.0s", "says 50"}, remedy: "cache-min-ttl",
			shares: "1.00 0.00 0.00 0.00",
		},
		"name servers disagree": {
			bring: with(is(second, labdns.Lying, record(host, "A", standbyIP, 1))),
			check: dns.CheckAgreement, status: fail, evidence: []string{"name servers of the zone disagree", "ns2.festivals.app", "to the standby"}, remedy: "depends on luck",
			also: []string{dns.CheckServed},
		},
		"a name server lies": {
			bring: with(is(second, labdns.Lying, lie(1)...)),
			check: dns.CheckAgreement, status: fail, evidence: []string{"name servers of the zone disagree", strangerIP}, remedy: "depends on luck",
			also: []string{dns.CheckServed},
		},
		"a name server has lost the record": {
			bring: with(is(second, labdns.Stale), func(s *stage) {
				s.remove(host)
				_, err := s.tryLook(time.Second) // it is asked now, and stays with that
				require.NoError(s.t, err)
				s.put()
				s.probe = nil
			}),
			check: dns.CheckAgreement, status: fail, evidence: []string{"disagree", "leads to nothing"}, remedy: "depends on luck",
			also: []string{dns.CheckResolvers}, shares: "0.25 0.00 0.00 0.75",
		},
		"SERVFAIL of one name server": {
			bring: with(is(first, labdns.ServFail)),
			check: dns.CheckAuthoritative, status: warn, evidence: []string{"1 of 2 does not answer for the zone", "ns1.festivals.app", "SERVFAIL"}, remedy: "mend it",
			shares: "0.75 0.00 0.00 0.25",
		},
		"SERVFAIL of all": {
			bring: with(is(first, labdns.ServFail), is(second, labdns.ServFail)),
			check: dns.CheckAuthoritative, status: fail, evidence: []string{"none of 2 answers for the zone", "SERVFAIL"}, remedy: "whether the zone is still there",
			also: []string{dns.CheckServed, dns.CheckAgreement, dns.CheckResolvers, dns.CheckDelegation, dns.CheckChain, dns.CheckTTL}, shares: "0.00 0.00 0.00 1.00",
		},
		"zone missing": {
			bring: with(is(first, labdns.Refused), is(second, labdns.Refused)),
			check: dns.CheckAuthoritative, status: fail, evidence: []string{"none of 2 answers for the zone", "REFUSED"}, remedy: "whether the zone is still there",
			also: []string{dns.CheckServed, dns.CheckAgreement, dns.CheckResolvers, dns.CheckDelegation, dns.CheckChain, dns.CheckTTL}, shares: "0.00 0.00 0.00 1.00",
		},
		"a lame name server": {
			bring: with(is(first, labdns.Lame)),
			check: dns.CheckAuthoritative, status: warn, evidence: []string{"does not answer for the zone"}, remedy: "take it out",
			shares: "0.75 0.00 0.00 0.25",
		},
		"name server down": {
			bring: well, later: is(first, labdns.Down),
			check: dns.CheckAuthoritative, status: warn, evidence: []string{"ns1.festivals.app", "nobody listens"}, remedy: "mend it",
			shares: "0.75 0.00 0.00 0.25",
		},
		"name server silent": {
			bring: with(is(first, labdns.Silent)),
			check: dns.CheckAuthoritative, status: warn, evidence: []string{"ns1.festivals.app", "no answer"}, remedy: "mend it",
			shares: "0.75 0.00 0.00 0.25",
		},
		"all name servers down": {
			bring: well, later: func(s *stage) { s.set(first, labdns.Down); s.set(second, labdns.Down) },
			check: dns.CheckAuthoritative, status: fail, evidence: []string{"none of 2", "nobody listens"}, remedy: "out of what they keep",
			also: []string{dns.CheckDelegation, dns.CheckTTL}, shares: "0.50 0.00 0.00 0.50",
		},
		"NXDOMAIN": {
			bring: with(func(s *stage) { s.remove(host) }),
			check: dns.CheckResolvers, status: fail, evidence: []string{"NXDOMAIN", host}, remedy: "create the record",
			also: []string{dns.CheckServed, dns.CheckAuthoritative, dns.CheckTTL}, shares: "0.00 0.00 0.00 1.00",
		},
		"no address": {
			bring: with(says(record(host, "TXT", `"nothing"`, 1))),
			check: dns.CheckAuthoritative, status: fail, evidence: []string{"no address", host + " A"}, remedy: "create the record",
			also: []string{dns.CheckServed, dns.CheckResolvers, dns.CheckTTL}, shares: "0.00 0.00 0.00 1.00",
		},
		"TTL of a day": {
			bring: with(says(record(host, "A", primaryIP, 86400))),
			check: dns.CheckTTL, status: warn, evidence: []string{"1d", "at most 1m"}, remedy: "lower the TTL",
			shares: "1.00 0.00 0.00 0.00",
		},
		"TTL of a day, and an hour is promised": {
			bring: with(says(record(host, "A", primaryIP, 86400)), func(s *stage) { s.service.RTO = time.Hour }),
			check: dns.CheckTTL, status: fail, evidence: []string{"1d", "back within 1h"}, remedy: "lower the TTL",
			shares: "1.00 0.00 0.00 0.00",
		},
		"wrong target": {
			bring: with(says(record(host, "A", strangerIP, 1))),
			check: dns.CheckServed, status: fail, evidence: []string{"4 of 4", strangerIP, "neither side"}, remedy: "who changed the record",
			shares: "0.00 0.00 1.00 0.00",
		},
		"failed over": {
			bring: with(says(record(host, "A", standbyIP, 1))),
			check: dns.CheckServed, status: warn, evidence: []string{"clients are at the standby", standbyIP}, remedy: "failback",
			shares: "0.00 1.00 0.00 0.00",
		},
		"an answer of both sides": {
			bring: with(says(record(host, "A", primaryIP, 1), record(host, "A", standbyIP, 1))),
			check: dns.CheckServed, status: warn, evidence: []string{"both sides", "4 of 4", "the primary"}, remedy: "failover is under way",
			shares: "0.50 0.50 0.00 0.00",
		},
		"moving": {
			bring: with(says(record(host, "A", primaryIP, 60))), later: says(record(host, "A", standbyIP, 60)),
			check: dns.CheckAgreement, status: warn, evidence: []string{"moving", "the zone leads to the standby", "lead to the primary", "TTL of 1m"}, remedy: "wait for the TTL",
			also: []string{dns.CheckServed}, shares: "0.50 0.50 0.00 0.00",
		},
		"stuck": {
			bring: with(says(record(host, "A", primaryIP, 60))), later: func(s *stage) {
				s.put(record(host, "A", standbyIP, 60))
				s.look()
				s.pass(63 * time.Second)
			},
			check: dns.CheckAgreement, status: fail, evidence: []string{"for longer than the TTL of 1m", "lead to the primary"}, remedy: "flush the cache",
			also: []string{dns.CheckServed},
		},
		"spreading": {
			bring: well, later: func(s *stage) {
				s.set(second, labdns.Stale)
				s.put(record(host, "A", standbyIP, 1))
			},
			check: dns.CheckAgreement, status: warn, evidence: []string{"moving", "ns2.festivals.app"}, remedy: "wait a minute",
			also: []string{dns.CheckServed},
		},
		"a name server stays behind": {
			bring: well, later: func(s *stage) {
				s.set(second, labdns.Stale)
				s.put(record(host, "A", standbyIP, 1))
				s.look()
				s.pass(2 * time.Minute)
			},
			check: dns.CheckAgreement, status: fail, evidence: []string{"disagree", "ns2.festivals.app"}, remedy: "old zone",
			also: []string{dns.CheckServed},
		},
		"the parent leads elsewhere": {
			bring: with(is(above, labdns.Lying, record("festivals.app", "NS", "ns8.festivals.app.", 60), record("ns8.festivals.app", "A", "127.0.53.8", 60))),
			check: dns.CheckDelegation, status: fail, evidence: []string{"app leads to ns8.festivals.app", "names ns1.festivals.app and ns2.festivals.app", "do not answer"}, remedy: "be the same",
			also: []string{dns.CheckAuthoritative},
		},
		"the parent has forgotten one": {
			bring: with(is(above, labdns.Lying, record("festivals.app", "NS", "ns1.festivals.app.", 60), record("ns1.festivals.app", "A", "127.0.53.2", 60))),
			check: dns.CheckDelegation, status: warn, evidence: []string{"app leads to ns1.festivals.app;"}, remedy: "be the same",
			shares: "1.00 0.00 0.00 0.00",
		},
		"the parent has forgotten one, and the file names them": {
			bring: with(is(above, labdns.Lying, record("festivals.app", "NS", "ns1.festivals.app.", 60), record("ns1.festivals.app", "A", "127.0.53.2", 60)),
				func(s *stage) { s.config.NameServers = []string{s.at(first), s.at(second)} }),
			check: dns.CheckDelegation, status: warn, evidence: []string{"app leads to ns1.festivals.app;"}, remedy: "be the same",
			shares: "1.00 0.00 0.00 0.00",
		},
		"a name server names others": {
			bring: with(is(second, labdns.Lying, record("festivals.app", "NS", "ns1.festivals.app.", 60))),
			check: dns.CheckDelegation, status: warn, evidence: []string{"ns2.festivals.app", "names ns1.festivals.app"}, remedy: "be the same",
			shares: "1.00 0.00 0.00 0.00",
		},
		"glue wrong": {
			bring: with(is(above, labdns.Lying,
				record("festivals.app", "NS", "ns1.festivals.app.", 60), record("festivals.app", "NS", "ns2.festivals.app.", 60),
				record("ns1.festivals.app", "A", "127.0.53.2", 60), record("ns2.festivals.app", "A", "127.0.53.7", 60))),
			check: dns.CheckDelegation, status: fail, evidence: []string{"ns2.festivals.app is at 127.0.53.7, and it is at 127.0.53.3"}, remedy: "glue",
			shares: "1.00 0.00 0.00 0.00",
		},
		"a name server without an address": {
			bring: with(is(above, labdns.Lying,
				record("festivals.app", "NS", "ns1.festivals.app.", 60), record("festivals.app", "NS", "gone.lb.test.", 60),
				record("ns1.festivals.app", "A", "127.0.53.2", 60)),
				is(first, labdns.Lying, record("festivals.app", "NS", "ns1.festivals.app.", 60), record("festivals.app", "NS", "gone.lb.test.", 60)),
				is(second, labdns.Lying, record("festivals.app", "NS", "ns1.festivals.app.", 60), record("festivals.app", "NS", "gone.lb.test.", 60))),
			check: dns.CheckDelegation, status: warn, evidence: []string{"gone.lb.test: it does not exist"}, remedy: "address records",
			shares: "1.00 0.00 0.00 0.00",
		},
		"the zone is not delegated": {
			bring: with(func(s *stage) {
				s.config.Zone = "private.festivals.app"
				s.config.Name = "api.private.festivals.app"
			}),
			check: dns.CheckDelegation, status: fail, evidence: []string{"festivals.app has no NS records for private.festivals.app, says ns1.festivals.app"}, remedy: "at the registrar",
			also: []string{dns.CheckServed, dns.CheckAgreement, dns.CheckResolvers, dns.CheckAuthoritative, dns.CheckTTL},
		},
		"the parent is silent": {
			bring: well, later: is(above, labdns.Silent),
			check: dns.CheckDelegation, status: readiness.Unknown, evidence: []string{"app does not tell the name servers of festivals.app", "no answer"}, remedy: "UDP and TCP 53",
		},
		"aliases that go round": {
			bring: with(says(record(host, "CNAME", "b.festivals.app.", 1), record("b.festivals.app", "CNAME", host+".", 1))),
			check: dns.CheckChain, status: fail, evidence: []string{"api.festivals.app -> b.festivals.app -> api.festivals.app"}, remedy: "break the circle",
			also: []string{dns.CheckServed, dns.CheckResolvers},
		},
		"aliases that go round through another zone": {
			bring: with(says(record(host, "CNAME", "b.lb.test.", 1), record("b.lb.test", "CNAME", host+".", 1))),
			check: dns.CheckChain, status: fail, evidence: []string{"api.festivals.app -> b.lb.test -> api.festivals.app"}, remedy: "break the circle",
			also: []string{dns.CheckServed, dns.CheckResolvers},
		},
		"an alias of nothing": {
			bring: with(says(record(host, "CNAME", "gone.lb.test.", 1))),
			check: dns.CheckChain, status: fail, evidence: []string{"api.festivals.app -> gone.lb.test, and that does not exist"}, remedy: "own that name",
			also: []string{dns.CheckServed, dns.CheckResolvers},
		},
		"a long chain": {
			bring: with(func(s *stage) {
				chain := []labdns.Record{record(host, "CNAME", "c1.festivals.app.", 1), record("c9.festivals.app", "CNAME", primaryName+".", 1)}
				for i := 1; i < 9; i++ {
					chain = append(chain, record(fmt.Sprintf("c%d.festivals.app", i), "CNAME", fmt.Sprintf("c%d.festivals.app.", i+1), 1))
				}
				s.put(chain...)
			}),
			check: dns.CheckChain, status: warn, evidence: []string{"10 aliases one after the other"}, remedy: "shorten it",
			shares: "1.00 0.00 0.00 0.00",
		},
		"the standby does not exist": {
			bring: with(func(s *stage) { s.remove(standbyName) }),
			check: dns.CheckSides, status: fail, evidence: []string{"the standby standby.lb.test has no A record"}, remedy: "load balancer of the standby",
			shares: "1.00 0.00 0.00 0.00",
		},
		"the primary does not exist": {
			bring: with(func(s *stage) { s.remove(primaryName); s.put(record(host, "A", standbyIP, 1)); s.remove(primaryName) }),
			check: dns.CheckSides, status: warn, evidence: []string{"the primary primary.lb.test has no A record"}, remedy: "load balancer",
			also: []string{dns.CheckServed}, shares: "0.00 1.00 0.00 0.00",
		},
		"both sides are one": {
			bring: with(says(record(standbyName, "CNAME", primaryName+".", 1))),
			check: dns.CheckSides, status: fail, evidence: []string{"both lead to", primaryIP}, remedy: "no failover",
			also: []string{dns.CheckServed},
		},
		"an answer too long for UDP": {
			bring: with(func(s *stage) {
				var many []labdns.Record
				for i := range 99 {
					many = append(many, record(host, "A", fmt.Sprintf("192.0.2.%d", i+1), 1), record(primaryName, "A", fmt.Sprintf("192.0.2.%d", i+1), 1))
				}
				s.put(append(many, record(host, "A", standbyIP, 1))...)
			}),
			check: dns.CheckServed, status: warn, evidence: []string{"both sides"}, remedy: "failover is under way",
			shares: "0.99 0.01 0.00 0.00", // the last of a hundred is not lost
		},
		"addresses and prefixes in the file": {
			bring: with(func(s *stage) {
				s.put(record(host, "A", "198.51.100.77", 1))
				s.service.Primary, s.service.Standby = []string{primaryIP}, []string{"198.51.100.0/24"}
			}),
			check: dns.CheckServed, status: warn, evidence: []string{"the standby (198.51.100.77)"}, remedy: "failback",
			shares: "0.00 1.00 0.00 0.00",
		},
		"an alias of the standby, whose addresses have changed": {
			bring: with(says(record(host, "CNAME", "dualstack."+standbyName+".", 1), record("dualstack."+standbyName, "A", "198.51.100.9", 1))),
			check: dns.CheckServed, status: warn, evidence: []string{"the standby (198.51.100.9)"}, remedy: "failback",
			shares: "0.00 1.00 0.00 0.00",
		},
		"IPv6": {
			bring: with(func(s *stage) {
				s.config.Type = "AAAA"
				s.put(record(host, "AAAA", "2001:db8::2", 1), record(primaryName, "AAAA", "2001:db8::1", 1), record(standbyName, "AAAA", "2001:db8::2", 1))
			}),
			check: dns.CheckServed, status: warn, evidence: []string{"the standby (2001:db8::2)"}, remedy: "failback",
			shares: "0.00 1.00 0.00 0.00",
		},
		"the sides are not in the file": {
			bring: with(func(s *stage) { s.service.Primary, s.service.Standby = nil, nil }),
			check: dns.CheckServed, status: readiness.Unknown, evidence: []string{"the file does not say"}, remedy: "sides",
			also: []string{dns.CheckSides, dns.CheckAgreement},
		},
	}
}

// Each row is a way in which clients would not move, or would not be seen to: were it
// not told, or told as something else, somebody would find out in the disaster.
func TestLook_Faults(t *testing.T) {
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			f.bring(s)
			if f.later != nil {
				before, _ := s.look()
				require.Equal(t, readiness.Pass, before[f.check].Status, before[f.check].Evidence)
				f.later(s)
			}
			checks, reading := s.look()
			t.Log(told(checks))
			c := checks[f.check]
			require.Equal(t, f.status, c.Status)
			for _, part := range f.evidence {
				require.Contains(t, c.Evidence, part)
			}
			require.Contains(t, c.Remedy, f.remedy)
			var bad []string
			for _, name := range dns.Checks(s.config, s.target()) {
				if name != f.check && checks[name].Status != readiness.Pass {
					bad = append(bad, name)
				}
			}
			require.ElementsMatch(t, f.also, bad)
			if f.shares != "" {
				require.Equal(t, f.shares, shares(reading))
			}
			if f.check == dns.CheckServed && f.status == readiness.Unknown { // nobody is said to be led to the other side, or to neither
				require.NotContains(t, reading.Measures, readiness.DNSServedPrimary)
			}
		})
	}
}
