package route53_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

// stuck is a setup in which clients do not move, or not all, or not by themselves.
type stuck struct {
	config  func(*route53.Config)
	service func(*probes.Service)
	bring   func(*stage)
	check   string // that has to tell
	status  readiness.Status
	says    string
	// foretold is the time that may be foretold all the same; 0 is that there is none.
	foretold float64
}

func inverted(id, of string) labaws.HealthCheck {
	h := healthCheck(id, of)
	h.Inverted = true
	return h
}

// standbyOf puts health checks in place of that of the standby.
func standbyOf(needed int, children ...labaws.HealthCheck) func(*stage) {
	return func(s *stage) {
		of := labaws.HealthCheck{ID: standbyHC, Type: "CALCULATED", HealthThreshold: needed}
		for _, child := range children {
			of.Children = append(of.Children, child.ID)
			s.r53.PutHealthCheck(child)
			s.r53.SetHealth(child.ID, true, "HTTP Status Code 200, OK")
		}
		s.r53.RemoveHealthCheck(standbyHC)
		s.r53.PutHealthCheck(of)
	}
}

// byName makes the SECONDARY an alias of a record of the zone, which carries a health check.
func byName(own, check string) func(*stage) {
	return func(s *stage) {
		s.r53.PutRecord(labaws.RecordSet{
			Zone: zoneID, Name: "standby.festivals.app", Type: "A", HealthCheck: check,
			Alias: &labaws.AliasTarget{DNSName: standbyLB, HostedZoneID: zoneOfWest},
		})
		changeMember("SECONDARY", "", own, func(r *labaws.RecordSet) {
			r.Alias = &labaws.AliasTarget{DNSName: "standby.festivals.app", HostedZoneID: zoneID, EvaluateTargetHealth: true}
		})(s)
	}
}

func ipv6(role, check string) labaws.RecordSet {
	return labaws.RecordSet{
		Zone: zoneID, Name: host, Type: "AAAA", TTL: 60, Failover: role, SetIdentifier: "v6-" + role, HealthCheck: check,
		Values: []string{map[string]string{"PRIMARY": "2001:db8:1::1", "SECONDARY": "2001:db8:2::1"}[role]},
	}
}

func stuckSetups() map[string]stuck {
	steps := func(all ...func(*stage)) func(*stage) {
		return func(s *stage) {
			for _, step := range all {
				step(s)
			}
		}
	}
	put := func(all ...labaws.RecordSet) func(*stage) {
		return func(s *stage) {
			for _, r := range all {
				s.r53.PutRecord(r)
			}
		}
	}
	return map[string]stuck{
		"a child turns healthy when all fails": {
			bring: calculated(1, healthCheck("child-1", primaryLB), inverted("child-2", primaryLB)),
			check: route53.CheckHealthCheck, status: readiness.Fail, says: "turns healthy when the primary fails",
		},
		"inverted on purpose: somebody has to make it answer": {
			config: func(c *route53.Config) {
				c.HealthCheck = route53.HealthCheck{Inverted: true, FQDN: "switch.example.com"}
			},
			bring: steps(changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Inverted, h.FQDN = true, "switch.example.com" }), func(s *stage) { s.r53.SetHealth(primaryHC, false, "Connection timed out") }),
			check: route53.CheckFailoverTime, status: readiness.Unknown, says: "somebody",
		},
		"inverted on purpose, and how long that takes": {
			config: func(c *route53.Config) {
				c.HealthCheck, c.ChangedWithin = route53.HealthCheck{Inverted: true, FQDN: "switch.example.com"}, 5*time.Minute
			},
			bring: steps(changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Inverted, h.FQDN = true, "switch.example.com" }), func(s *stage) { s.r53.SetHealth(primaryHC, false, "Connection timed out") }),
			check: route53.CheckFailoverTime, status: readiness.Pass, says: "changed_within", foretold: 300 + ofPairSeconds,
		},
		"an alarm of the region that is lost": {
			config: anyHealthCheck,
			bring: steps(func(s *stage) {
				s.r53.RemoveHealthCheck(primaryHC)
				s.r53.PutHealthCheck(alarmCheck(primaryHC, "Healthy"))
			}, publishes(primaryHC, 1)),
			check: route53.CheckHealthCheck, status: readiness.Fail, says: "falls silent",
		},
		"an alarm of another region": {
			config: anyHealthCheck, foretold: 4*60 + 60,
			bring: steps(func(s *stage) {
				s.r53.RemoveHealthCheck(primaryHC)
				h := alarmCheck(primaryHC, "Healthy")
				h.AlarmRegion = "eu-north-1"
				s.r53.PutHealthCheck(h)
			}, publishes(primaryHC, 1)),
			check: route53.CheckHealthCheck, status: readiness.Warn, says: "falls silent",
		},
		"IPv6 that moves later": {
			bring: func(s *stage) {
				r := ipv6("PRIMARY", primaryHC)
				r.TTL = 600
				put(r, ipv6("SECONDARY", standbyHC))(s)
			},
			foretold: 48 + 600,
			check:    route53.CheckFailoverTime, status: readiness.Pass, says: "AAAA of the same name is slower",
		},
		"standby always healthy": {
			bring: steps(standbyOf(0, healthCheck("child-1", standbyLB)), changeMember("SECONDARY", standbyLB, standbyHC, func(r *labaws.RecordSet) { r.Alias.EvaluateTargetHealth = false })), foretold: ofPairSeconds,
			check: route53.CheckStandbyHealth, status: readiness.Warn, says: "whatever its state",
		},
		"standby healthy when it is not": {
			bring: steps(standbyOf(1, inverted("child-1", standbyLB)), func(s *stage) { s.r53.SetHealth("child-1", false, "Connection timed out") }),
			check: route53.CheckStandbyHealth, status: readiness.Fail, says: "inverted",
		},
		"standby by the health of the primary, through an alias": {
			bring: steps(byName("", primaryHC)),
			check: route53.CheckStandbyHealth, status: readiness.Fail, says: "at once",
		},
		"standby by an alarm that decides over the primary, too": {
			config: anyHealthCheck,
			bring: steps(calculated(1, alarmCheck("alarm", "Unhealthy")), publishes("alarm", 1), func(s *stage) {
				s.r53.RemoveHealthCheck(standbyHC)
				s.r53.PutHealthCheck(labaws.HealthCheck{ID: standbyHC, Type: "CALCULATED", HealthThreshold: 1, Children: []string{"alarm"}})
			}),
			check: route53.CheckStandbyHealth, status: readiness.Fail, says: "at once",
		},
		"standby's target unhealthy, and its own health check well": {
			bring: steps(func(s *stage) { s.check("behind", standbyLB) }, byName(standbyHC, "behind"), func(s *stage) { s.r53.SetHealth("behind", false, "HTTP Status Code 503") }),
			check: route53.CheckStandbyHealth, status: readiness.Fail, says: "503",
		},
		"standby unhealthy: nobody moves": {
			bring: func(s *stage) { s.r53.SetHealth(standbyHC, false, "HTTP Status Code 503, Service Unavailable") },
			check: route53.CheckFailoverTime, status: readiness.Unknown, says: "would not move",
		},
		"both lead to one place: nobody moves": {
			bring: changeMember("SECONDARY", primaryLB, standbyHC, func(*labaws.RecordSet) {}),
			check: route53.CheckFailoverTime, status: readiness.Unknown, says: "would not move",
		},
		"IPv6 without a SECONDARY": {
			bring: put(ipv6("PRIMARY", primaryHC)),
			check: route53.CheckFailoverTime, status: readiness.Unknown, says: "AAAA",
		},
		"IPv6 without a health check": {
			bring: put(ipv6("PRIMARY", ""), ipv6("SECONDARY", standbyHC)),
			check: route53.CheckFailoverTime, status: readiness.Unknown, says: "AAAA",
		},
		"IPv6 that moves": {
			bring: put(ipv6("PRIMARY", primaryHC), ipv6("SECONDARY", standbyHC)), foretold: ofPairSeconds,
			check: route53.CheckRecord, status: readiness.Pass, says: "is a failover record",
		},
		"IPv6 left behind, and the file names the type": {
			config: func(c *route53.Config) { c.Type = "A" },
			bring:  put(labaws.RecordSet{Zone: zoneID, Name: host, Type: "AAAA", TTL: 60, Values: []string{"2001:db8::1"}}),
			check:  route53.CheckRecord, status: readiness.Fail, says: "AAAA",
		},
		"HTTPS record with addresses of its own": {
			bring:    put(labaws.RecordSet{Zone: zoneID, Name: host, Type: "HTTPS", TTL: 60, Values: []string{`1 . alpn="h2" ipv4hint=192.0.2.10`}}),
			foretold: ofPairSeconds,
			check:    route53.CheckRecord, status: readiness.Warn, says: "HTTPS",
		},
		"the name is delegated away": {
			bring: put(labaws.RecordSet{Zone: zoneID, Name: host, Type: "NS", TTL: 172800, Values: []string{"ns-1.example.com."}}),
			check: route53.CheckRecord, status: readiness.Fail, says: "delegated",
		},
		"a name above it is delegated away": {
			config: func(c *route53.Config) { c.Name = "v1.api.festivals.app"; c.HealthCheck = route53.HealthCheck{} },
			bring: steps(func(s *stage) {
				s.pair("v1.api.festivals.app", primaryHC, standbyHC)
				s.r53.RemoveRecord(zoneID, host, "A", "primary")
				s.r53.RemoveRecord(zoneID, host, "A", "secondary")
			}, put(labaws.RecordSet{Zone: zoneID, Name: host, Type: "NS", TTL: 172800, Values: []string{"ns-1.example.com."}})),
			check: route53.CheckRecord, status: readiness.Fail, says: "delegated",
		},
		"a name on the way that has been turned round": {
			service: func(s *probes.Service) {
				s.Standby = []string{"standby.festivals.app"}
				s.Primary = append(s.Primary, "old.eu-west-1.elb.amazonaws.com")
			},
			bring: steps(byName(standbyHC, standbyHC), put(labaws.RecordSet{
				Zone: zoneID, Name: "standby.festivals.app", Type: "A", Alias: &labaws.AliasTarget{DNSName: "old.eu-west-1.elb.amazonaws.com", HostedZoneID: zoneOfWest},
			})),
			check: route53.CheckTargetStandby, status: readiness.Fail, says: "which is the primary",
		},
		"an address in the narrower prefix of the other side": {
			service: func(s *probes.Service) {
				s.Primary, s.Standby = []string{"192.0.2.0/25"}, []string{"192.0.2.0/24", "198.51.100.10"}
			},
			config: anyHealthCheck,
			bring: func(s *stage) {
				plain(60)(s)
				r := member(host, "SECONDARY", "", standbyHC)
				r.Alias, r.TTL, r.Values = nil, 60, []string{"192.0.2.11"}
				s.r53.PutRecord(r)
			},
			check: route53.CheckTargetStandby, status: readiness.Fail, says: "which is the primary",
		},
	}
}

// Were it to fail, somebody would trust in a name that does not move, or not when it is
// told to.
func TestSetups_ThatDoNotMove(t *testing.T) {
	for name, setup := range stuckSetups() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			config, service := ofPair(), ofService()
			if setup.config != nil {
				setup.config(&config)
			}
			if setup.service != nil {
				setup.service(&service)
			}
			w := s.watch(config, service)
			setup.bring(s)
			r := w.good()
			c := probetest.Check(t, r, setup.check)
			require.Equal(t, setup.status, c.Status, c.Evidence)
			require.Contains(t, c.Evidence, setup.says)
			require.Equal(t, setup.foretold, r.Measures[readiness.DNSFailoverSeconds], probetest.Check(t, r, route53.CheckFailoverTime).Evidence)
		})
	}
}

// dice makes setups of which each may or may not move.
type dice struct{ *rand.Rand }

func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// check makes a health check, or one of others, that looks at some load balancer.
func (d dice) check(s *stage, id string, depth int) {
	h := healthCheck(id, one(d, primaryLB, primaryLB, standbyLB))
	if depth > 0 && d.IntN(3) == 0 {
		h = labaws.HealthCheck{ID: id, Type: "CALCULATED", HealthThreshold: d.IntN(4)}
		for n := range 1 + d.IntN(3) {
			child := one(d, fmt.Sprintf("%s-%d", id, n), "shared")
			d.check(s, child, depth-1)
			h.Children = append(h.Children, child)
		}
	}
	h.Disabled, h.Inverted = d.IntN(12) == 0, d.IntN(8) == 0
	s.r53.PutHealthCheck(h)
}

// member makes one of the pair: by addresses, or as an alias of a load balancer or of a
// record of the zone.
func (d dice) member(s *stage, role, leads string) {
	r := member(host, role, leads, one(d, "", "p", "s", "shared"))
	r.Alias.EvaluateTargetHealth = d.IntN(2) == 0
	if d.IntN(3) == 0 {
		behind := member(strings.ToLower(role)+".festivals.app", "", leads, one(d, "", "p", "s", "shared"))
		behind.SetIdentifier, behind.Alias.EvaluateTargetHealth = "", d.IntN(2) == 0
		s.r53.PutRecord(behind)
		r.Alias.DNSName, r.Alias.HostedZoneID = behind.Name, zoneID
	}
	s.r53.PutRecord(r)
}

// balancer makes a load balancer that has a target or none.
func balancer(s *stage, dns string, up bool) {
	lb := labaws.LoadBalancer{Name: strings.SplitN(dns, ".", 2)[0], DNSName: dns, Region: strings.Split(dns, ".")[1], TargetGroups: []labaws.TargetGroup{{Name: "api", Port: 80}}}
	if up {
		lb.TargetGroups[0].Targets = []labaws.BalancedTarget{{ID: "10.0.0.1"}}
	}
	s.cloud.ELB().Put(lb)
}

// Were it to fail, a time would be foretold to somebody whose clients stay where they are:
// each setup that is foretold one is put to the test.
func TestSetups_WhatIsForetoldComesTrue(t *testing.T) {
	foretold := 0
	for seed := range uint64(250) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if comesTrue(t, seed) {
				foretold++
			}
		})
	}
	require.Greater(t, foretold, 20, "or nothing was put to the test")
	t.Logf("%d setups were foretold a time", foretold)
}

// comesTrue puts one setup to the test, and tells whether it was foretold a time.
func comesTrue(t *testing.T, seed uint64) bool {
	d := dice{rand.New(rand.NewPCG(seed, 4))}
	s := newStage(t)
	for _, id := range []string{"p", "s"} {
		d.check(s, id, 1)
	}
	d.check(s, "shared", 0) // Route 53 takes no calculated one as a child
	d.member(s, "PRIMARY", primaryLB)
	d.member(s, "SECONDARY", standbyLB)
	is := func(primaryUp bool) {
		balancer(s, primaryLB, primaryUp)
		balancer(s, standbyLB, true)
		for _, id := range []string{"p", "s", "shared", "p-0", "p-1", "p-2", "s-0", "s-1", "s-2"} {
			if h, known := s.r53.HealthCheck(id); known && h.FQDN != "" {
				s.r53.SetHealth(id, h.FQDN == standbyLB || primaryUp, "")
			}
		}
	}
	is(true)
	c := ofPair()
	c.HealthCheck, c.Detection = route53.HealthCheck{}, time.Minute
	r := s.watch(c, ofService()).good()
	if _, known := r.Measures[readiness.DNSFailoverSeconds]; !known || slices.ContainsFunc(r.Checks, func(c readiness.Check) bool { return !c.Status.Ready() }) {
		return false
	}
	is(false)
	answer := s.r53.Answer(zoneID, host, "A", func(of string) []string {
		return []string{map[bool]string{true: "192.0.2.1", false: "198.51.100.1"}[strings.Contains(of, primaryLB)]}
	})
	require.Len(t, answer.Records, 1)
	require.Equal(t, "198.51.100.1", answer.Records[0].Value, "the primary is lost, and the name still leads there, after this was said: %+v", r.Checks)
	return true
}
