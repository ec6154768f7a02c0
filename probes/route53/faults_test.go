package route53_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

// fault is one row of what goes wrong and what must be said.
type fault struct {
	config  func(*route53.Config)
	service func(*probes.Service)
	bring   func(s *stage)
	// after says that it comes about after a look at a setup that was well, so much later.
	after time.Duration

	class    readiness.Class // of a look that fails
	check    string          // or the check that tells
	status   readiness.Status
	evidence []string
	remedy   string // part of it
	// also are the other checks that do not pass, because of the same fault.
	also []string
	// failover is the foretold time in seconds; 0 is that there is none.
	failover float64
}

// all are the checks on a pair beside the first two.
func all(but ...string) []string {
	rest := slices.DeleteFunc(route53.Checks(ofPair(), probes.Target{Service: ofService()}), func(name string) bool {
		return name == route53.CheckZone || slices.Contains(but, name)
	})
	return rest
}

const ofPairSeconds = 3*(10+6) + 60

func changeCheck(id string, to func(*labaws.HealthCheck)) func(*stage) {
	return func(s *stage) {
		h, known := s.r53.HealthCheck(id)
		require.True(s.t, known)
		to(&h)
		s.r53.PutHealthCheck(h)
	}
}

func changeMember(role, leads, check string, to func(*labaws.RecordSet)) func(*stage) {
	return func(s *stage) {
		m := member(host, role, leads, check)
		to(&m)
		s.r53.PutRecord(m)
	}
}

// plain makes a pair of A records, with a TTL of their own.
func plain(ttl int64) func(*stage) {
	return func(s *stage) {
		for _, m := range []struct{ role, address, check string }{{"PRIMARY", "192.0.2.10", primaryHC}, {"SECONDARY", "198.51.100.10", standbyHC}} {
			r := member(host, m.role, "", m.check)
			r.Alias, r.TTL, r.Values = nil, ttl, []string{m.address}
			s.r53.PutRecord(r)
		}
	}
}

func ofAddresses(s *probes.Service) {
	s.Primary, s.Standby = append(s.Primary, "192.0.2.0/24"), append(s.Standby, "198.51.100.10")
}

// single makes the record a simple one.
func single(s *stage) {
	s.r53.RemoveRecord(zoneID, host, "A", "primary")
	s.r53.RemoveRecord(zoneID, host, "A", "secondary")
	s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: host, Type: "A", Alias: &labaws.AliasTarget{DNSName: primaryLB, HostedZoneID: zoneOfWest}})
}

func weighted(set func(*labaws.RecordSet)) func(*stage) {
	return func(s *stage) {
		s.r53.RemoveRecord(zoneID, host, "A", "primary")
		s.r53.RemoveRecord(zoneID, host, "A", "secondary")
		r := labaws.RecordSet{Zone: zoneID, Name: host, Type: "A", TTL: 60, Values: []string{"192.0.2.10"}, SetIdentifier: "one"}
		set(&r)
		s.r53.PutRecord(r)
	}
}

func anyHealthCheck(c *route53.Config) { c.HealthCheck = route53.HealthCheck{} }

func setupFaults() map[string]fault {
	weight := int64(10)
	return map[string]fault{
		"zone missing": {
			bring: func(s *stage) { s.r53.RemoveZone(zoneID) },
			check: route53.CheckZone, status: readiness.Fail, evidence: []string{"no zone festivals.app in this account"}, remedy: "role_arn", also: all(),
		},
		"zone gone since it was listed": {
			after: 2 * time.Minute, bring: func(s *stage) { s.r53.RemoveZone(zoneID) },
			check: route53.CheckZone, status: readiness.Fail, evidence: []string{zoneID, "not there any more"}, remedy: "CloudTrail", also: all(),
		},
		"zone private": {
			bring: func(s *stage) {
				s.r53.RemoveZone(zoneID)
				s.r53.PutZone(labaws.Zone{ID: "Z0PRIVATE", Name: "festivals.app.", Private: true, VPCRegion: "eu-west-1", VPCID: "vpc-1"})
			},
			check: route53.CheckZone, status: readiness.Fail, evidence: []string{"as a private zone only", "Z0PRIVATE"}, remedy: "private", also: all(),
		},
		"duplicate zones": {
			bring: func(s *stage) { s.r53.PutZone(labaws.Zone{ID: "Z0OTHER", Name: "festivals.app."}) },
			check: route53.CheckZone, status: readiness.Fail, evidence: []string{"2 public zones", zoneID + " (4 records)", "Z0OTHER (2 records)"}, remedy: "dig +short NS festivals.app", also: all(),
		},
		"duplicate zones, one named": {
			config: func(c *route53.Config) { c.Zone = zoneID }, failover: ofPairSeconds,
			bring: func(s *stage) { s.r53.PutZone(labaws.Zone{ID: "Z0OTHER", Name: "festivals.app."}) },
			check: route53.CheckZone, status: readiness.Warn, evidence: []string{zoneID, "so are Z0OTHER"}, remedy: "delete the other",
		},
		"a zone that is closer": {
			bring: func(s *stage) { s.r53.PutZone(labaws.Zone{ID: "Z0CLOSER", Name: "api.festivals.app."}) }, failover: ofPairSeconds,
			check: route53.CheckZone, status: readiness.Warn, evidence: []string{"api.festivals.app (Z0CLOSER) is closer"}, remedy: "dig +trace",
		},
		"private zone beside": {
			bring: func(s *stage) {
				s.r53.PutZone(labaws.Zone{ID: "Z0PRIVATE", Name: "festivals.app.", Private: true, VPCRegion: "eu-west-1", VPCID: "vpc-1"})
			},
			failover: ofPairSeconds,
			check:    route53.CheckZone, status: readiness.Pass, evidence: []string{"public zone " + zoneID, "private zone Z0PRIVATE"},
		},
		"record missing": {
			bring: func(s *stage) {
				s.r53.RemoveRecord(zoneID, host, "A", "primary")
				s.r53.RemoveRecord(zoneID, host, "A", "secondary")
			},
			check: route53.CheckRecord, status: readiness.Fail, evidence: []string{"no record api.festivals.app"}, remedy: "create it", also: all(route53.CheckRecord),
		},
		"record of another type": {
			config: func(c *route53.Config) { c.Type = "AAAA" }, bring: func(*stage) {},
			check: route53.CheckRecord, status: readiness.Fail, evidence: []string{"of type AAAA", "only of type A"}, remedy: "type", also: all(route53.CheckRecord),
		},
		"weighted": {
			bring: weighted(func(r *labaws.RecordSet) { r.Weight = &weight }),
			check: route53.CheckRecord, status: readiness.Unknown, evidence: []string{"weighted", "not judged"}, remedy: "failover pair", also: all(route53.CheckRecord),
		},
		"latency": {
			bring: weighted(func(r *labaws.RecordSet) { r.Region = "eu-west-1" }),
			check: route53.CheckRecord, status: readiness.Unknown, evidence: []string{"latency", "not judged"}, remedy: "failover pair", also: all(route53.CheckRecord),
		},
		"multivalue": {
			bring: weighted(func(r *labaws.RecordSet) { r.MultiValue = true }),
			check: route53.CheckRecord, status: readiness.Unknown, evidence: []string{"multivalue", "not judged"}, remedy: "failover pair", also: all(route53.CheckRecord),
		},
		"IPv6 left behind": {
			bring: func(s *stage) {
				s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: host, Type: "AAAA", TTL: 60, Values: []string{"2001:db8::1"}})
			},
			check: route53.CheckRecord, status: readiness.Fail, evidence: []string{"AAAA of the same name is not"}, remedy: "type: AAAA", also: []string{route53.CheckFailoverTime},
		},
		"secondary missing": {
			bring: func(s *stage) { s.r53.RemoveRecord(zoneID, host, "A", "secondary") },
			check: route53.CheckPair, status: readiness.Fail, evidence: []string{"no SECONDARY", "healthy or not"}, remedy: "create the SECONDARY",
			also: []string{route53.CheckTargetStandby, route53.CheckStandbyHealth, route53.CheckFailoverTime},
		},
		"primary missing": {
			bring: func(s *stage) { s.r53.RemoveRecord(zoneID, host, "A", "primary") },
			check: route53.CheckPair, status: readiness.Fail, evidence: []string{"no PRIMARY"}, remedy: "create the PRIMARY",
			also: []string{route53.CheckTargetPrimary, route53.CheckHealthCheck, route53.CheckChecked, route53.CheckPace, route53.CheckPrimaryHealth, route53.CheckFailoverTime, route53.CheckControlPlane},
		},
		"secondary points at the primary": {
			bring: changeMember("SECONDARY", primaryLB, standbyHC, func(*labaws.RecordSet) {}), check: route53.CheckTargetStandby, status: readiness.Fail, evidence: []string{primaryLB, "which is the primary"}, remedy: standbyLB, also: []string{route53.CheckPair, route53.CheckFailoverTime},
		},
		"both members the same": {
			bring: func(s *stage) {
				changeMember("PRIMARY", "other.eu-west-1.elb.amazonaws.com", primaryHC, func(*labaws.RecordSet) {})(s)
				changeMember("SECONDARY", "other.eu-west-1.elb.amazonaws.com", standbyHC, func(*labaws.RecordSet) {})(s)
			},
			check: route53.CheckPair, status: readiness.Fail, evidence: []string{"both lead to other.eu-west-1"}, remedy: "standby", also: []string{route53.CheckTargetPrimary, route53.CheckTargetStandby, route53.CheckFailoverTime},
		},
		"swapped": {
			bring: func(s *stage) {
				changeMember("PRIMARY", standbyLB, primaryHC, func(*labaws.RecordSet) {})(s)
				changeMember("SECONDARY", primaryLB, standbyHC, func(*labaws.RecordSet) {})(s)
			},
			check: route53.CheckPair, status: readiness.Fail, evidence: []string{"swapped"}, remedy: "swap them", also: []string{route53.CheckTargetPrimary, route53.CheckTargetStandby, route53.CheckFailoverTime},
		},
		"wrong target": {
			bring: changeMember("SECONDARY", "festivals-api-old.eu-central-1.elb.amazonaws.com", standbyHC, func(*labaws.RecordSet) {}), check: route53.CheckTargetStandby, status: readiness.Fail, evidence: []string{"festivals-api-old", "the file says " + standbyLB}, remedy: "correct primary and standby", also: []string{route53.CheckFailoverTime},
		},
		"alias of a record that is not there": {
			bring: changeMember("SECONDARY", "", standbyHC, func(r *labaws.RecordSet) {
				r.Alias = &labaws.AliasTarget{DNSName: "standby.festivals.app", HostedZoneID: zoneID, EvaluateTargetHealth: true}
			}),
			check: route53.CheckTargetStandby, status: readiness.Fail, evidence: []string{"standby.festivals.app, which is no record of zone"}, remedy: "create that record", also: []string{route53.CheckTTL, route53.CheckStandbyHealth, route53.CheckFailoverTime},
		},
		"TTL of five minutes": {
			service: ofAddresses, bring: plain(300), failover: 48 + 300,
			check: route53.CheckTTL, status: readiness.Warn, evidence: []string{"PRIMARY: 5m", "the limit is 60s"}, remedy: "lower the TTL of PRIMARY and SECONDARY",
		},
		"TTL of five minutes, and a limit in the file": {
			service: ofAddresses, config: func(c *route53.Config) { c.MaxTTL = 2 * time.Minute }, bring: plain(300), failover: 48 + 300,
			check: route53.CheckTTL, status: readiness.Fail, evidence: []string{"the limit is 120s"}, remedy: "lower the TTL",
		},
		"TTL of a day": {
			service: ofAddresses, bring: plain(86400), failover: 48 + 86400,
			check: route53.CheckFailoverTime, status: readiness.Fail, evidence: []string{"48s; resolvers keep the answer for 1d", "the RTO is 15m"}, remedy: "TTL", also: []string{route53.CheckTTL},
		},
		"simple": {
			config: func(c *route53.Config) { anyHealthCheck(c); c.ChangedWithin = 10 * time.Minute }, bring: single, failover: 600 + 60 + 60,
			check: route53.CheckControlPlane, status: readiness.Warn, evidence: []string{"somebody has to change the record", "us-east-1"}, remedy: "accelerated recovery",
		},
		"simple, accelerated": {
			config: func(c *route53.Config) { anyHealthCheck(c); c.ChangedWithin = 10 * time.Minute }, failover: 600 + 60 + 60,
			bring: func(s *stage) {
				single(s)
				s.r53.PutZone(labaws.Zone{ID: zoneID, Name: "festivals.app.", Accelerated: true})
			},
			check: route53.CheckControlPlane, status: readiness.Warn, evidence: []string{"accelerated recovery is on", "60 minutes"}, remedy: "failover pair",
		},
		"simple, nobody knows how long": {
			config: func(c *route53.Config) { c.Setup, c.HealthCheck = route53.Simple, route53.HealthCheck{} }, bring: single,
			check: route53.CheckFailoverTime, status: readiness.Unknown, evidence: []string{"how long it takes until somebody changes the record"}, remedy: "changed_within", also: []string{route53.CheckControlPlane},
		},
		"simple, moved": {
			config: func(c *route53.Config) {
				c.Setup, c.HealthCheck, c.ChangedWithin = route53.Simple, route53.HealthCheck{}, 10*time.Minute
			},
			bring: func(s *stage) {
				single(s)
				s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: host, Type: "A", Alias: &labaws.AliasTarget{DNSName: standbyLB, HostedZoneID: zoneOfWest}})
			},
			failover: 720,
			check:    route53.CheckTargetPrimary, status: readiness.Warn, evidence: []string{standbyLB, "it has been moved"}, remedy: "move it back", also: []string{route53.CheckControlPlane},
		},
		"simple, too slow": {
			config: func(c *route53.Config) {
				c.Setup, c.HealthCheck, c.ChangedWithin = route53.Simple, route53.HealthCheck{}, 14*time.Minute
			},
			bring: single, failover: 14*60 + 120,
			check: route53.CheckFailoverTime, status: readiness.Fail, evidence: []string{"within 14m", "16m in all", "the RTO is 15m"}, remedy: "hands", also: []string{route53.CheckControlPlane},
		},
		"simple where a pair is wanted": {
			config: func(c *route53.Config) { c.Setup = route53.Failover }, bring: single,
			check: route53.CheckRecord, status: readiness.Fail, evidence: []string{"simple record", "nothing moves it"}, remedy: "PRIMARY and SECONDARY", also: all(route53.CheckRecord),
		},
		"a pair where a simple one is meant": {
			config: func(c *route53.Config) { c.Setup, c.HealthCheck = route53.Simple, route53.HealthCheck{} }, bring: func(*stage) {},
			check: route53.CheckRecord, status: readiness.Fail, evidence: []string{"is a failover record"}, remedy: "setup",
			also: []string{route53.CheckTargetPrimary, route53.CheckTTL, route53.CheckFailoverTime, route53.CheckControlPlane},
		},
	}
}

func healthFaults() map[string]fault {
	noCheck := []string{route53.CheckChecked, route53.CheckPace, route53.CheckFailoverTime}
	return map[string]fault{
		"no health check": {
			service: ofAddresses,
			bring: func(s *stage) {
				plain(60)(s)
				r := member(host, "PRIMARY", "", "")
				r.Alias, r.TTL, r.Values = nil, 60, []string{"192.0.2.10"}
				s.r53.PutRecord(r)
			},
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"PRIMARY carries no health check", "healthy whatever happens"}, remedy: "give it a health check", also: noCheck,
		},
		"EvaluateTargetHealth off": {
			bring: changeMember("PRIMARY", primaryLB, "", func(r *labaws.RecordSet) { r.Alias.EvaluateTargetHealth = false }),
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"EvaluateTargetHealth off"}, remedy: "switch EvaluateTargetHealth on", also: noCheck,
		},
		"EvaluateTargetHealth alone": {
			config: anyHealthCheck, bring: changeMember("PRIMARY", primaryLB, "", func(*labaws.RecordSet) {}),
			check: route53.CheckFailoverTime, status: readiness.Unknown, evidence: []string{primaryLB + " takes to notice"}, remedy: "write detection",
		},
		"EvaluateTargetHealth alone, and how fast": {
			config: func(c *route53.Config) { anyHealthCheck(c); c.Detection = 70 * time.Second }, failover: 70 + 60,
			bring: changeMember("PRIMARY", primaryLB, "", func(*labaws.RecordSet) {}),
			check: route53.CheckHealthCheck, status: readiness.Pass, evidence: []string{"no healthy target (EvaluateTargetHealth)"},
		},
		"EvaluateTargetHealth where the file wants a health check": {
			config: func(c *route53.Config) { c.Detection = 70 * time.Second }, failover: 70 + 60,
			bring: changeMember("PRIMARY", primaryLB, "", func(*labaws.RecordSet) {}),
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"health checks of its own"}, remedy: "give the PRIMARY a health check",
		},
		"EvaluateTargetHealth of what hardly ever fails": {
			config: anyHealthCheck, service: func(s *probes.Service) { s.Primary = []string{"s3-website-eu-west-1.amazonaws.com"} },
			bring: changeMember("PRIMARY", "", "", func(r *labaws.RecordSet) { r.Alias.DNSName = "s3-website-eu-west-1.amazonaws.com" }),
			check: route53.CheckHealthCheck, status: readiness.Warn, evidence: []string{"hardly ever"}, remedy: "health check of the application", also: []string{route53.CheckTTL, route53.CheckFailoverTime},
		},
		"health check deleted": {
			bring: func(s *stage) { s.r53.RemoveHealthCheck(primaryHC) },
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{primaryHC, "is deleted", "can't be predicted"}, remedy: "create a new health check",
			also: append([]string{route53.CheckPrimaryHealth}, noCheck...),
		},
		"health check disabled": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Disabled = true }),
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"is disabled, which counts as healthy"}, remedy: "--no-disabled", also: []string{route53.CheckFailoverTime},
		},
		"health check inverted": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Inverted = true }), check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"is inverted", "while the endpoint is healthy"}, remedy: "--no-inverted", also: []string{route53.CheckPrimaryHealth, route53.CheckFailoverTime},
		},
		"health check not inverted": {
			config: func(c *route53.Config) { c.HealthCheck.Inverted = true }, bring: func(*stage) {}, check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"is not inverted, and the file says"}, remedy: "inverted", also: []string{route53.CheckFailoverTime},
		},
		"wrong path": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Path = "/" }), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"its path is /, the file says /health"}, remedy: "correct the health check",
		},
		"wrong port": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Port = 8443 }), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"its port is 8443, the file says 443"}, remedy: "correct the health check",
		},
		"wrong type and search string": {
			config: func(c *route53.Config) { c.HealthCheck.Type, c.HealthCheck.Search = "HTTPS_STR_MATCH", `"ok"` },
			bring:  func(*stage) {}, failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"its type is HTTPS, the file says HTTPS_STR_MATCH", "search string"}, remedy: "correct the health check",
		},
		"wrong name": {
			config: func(c *route53.Config) { c.HealthCheck.FQDN = "origin.festivals.app" }, bring: func(*stage) {}, failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"its endpoint is " + primaryLB, "origin.festivals.app"}, remedy: "correct the health check",
		},
		"checks the standby": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.FQDN = standbyLB }), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"decides over the PRIMARY, and looks at the standby"}, remedy: "look at the primary",
		},
		"checks the name that moves": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.FQDN = "API.festivals.app" }), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"looks at api.festivals.app itself", "to and fro"}, remedy: "load balancer",
		},
		"checks an address, by the public name": {
			service: ofAddresses, failover: ofPairSeconds,
			bring: func(s *stage) {
				plain(60)(s)
				changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.IP, h.FQDN = "192.0.2.10", host })(s)
			},
			check: route53.CheckChecked, status: readiness.Pass, evidence: []string{"https://192.0.2.10:443/health"},
		},
		"checks something else": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.FQDN = "status.example.com" }), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Warn, evidence: []string{"status.example.com", "on neither side"}, remedy: "add what it looks at",
		},
		"slower than the file says": {
			config: func(c *route53.Config) { c.HealthCheck.MaxInterval, c.HealthCheck.MaxThreshold = 10*time.Second, 3 },
			bring:  changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Interval, h.Threshold = 30, 10 }), failover: 10*(30+6) + 60,
			check: route53.CheckPace, status: readiness.Fail, evidence: []string{"every 30s", "10 in a row", "the file says every 10s, 3 in a row"}, remedy: "change the health check",
		},
		"one region": {
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) { h.Regions = []string{"eu-west-1"} }), failover: ofPairSeconds,
			check: route53.CheckPace, status: readiness.Warn, evidence: []string{"from 1 regions", "cut off"}, remedy: "three regions",
		},
		"too slow for the RTO": {
			service: func(s *probes.Service) { s.RTO = 100 * time.Second }, bring: func(*stage) {}, failover: ofPairSeconds,
			check: route53.CheckFailoverTime, status: readiness.Fail, evidence: []string{"3 checks in a row, each 10s apart and given up after 6s: 48s", "60s: 108s in all", "the RTO is 100s"}, remedy: "shorten",
		},
		"TCP that hangs": {
			config: anyHealthCheck,
			bring: changeCheck(primaryHC, func(h *labaws.HealthCheck) {
				h.Type, h.Interval, h.Threshold, h.Path = "TCP", 30, 2, ""
			}), failover: 2*(30+10) + 60,
			check: route53.CheckFailoverTime, status: readiness.Pass, evidence: []string{"2 checks in a row, each 30s apart and given up after 10s: 80s"},
		},
		"primary unhealthy": {
			bring: func(s *stage) { s.r53.SetHealth(primaryHC, false, "Connection timed out") }, failover: ofPairSeconds,
			check: route53.CheckPrimaryHealth, status: readiness.Warn, evidence: []string{"answers with the SECONDARY", "unhealthy: 8 of 8 checkers", "Connection timed out"}, remedy: "what became of the primary",
		},
		"primary unhealthy for most": {
			bring: func(s *stage) {
				s.r53.SetHealth(primaryHC, false, "Connection timed out")
				s.r53.SetCheckerHealth(primaryHC, "eu-west-1", true, "HTTP Status Code 200, OK")
				s.r53.SetCheckerHealth(primaryHC, "us-east-1", true, "HTTP Status Code 200, OK")
			},
			failover: ofPairSeconds,
			check:    route53.CheckPrimaryHealth, status: readiness.Warn, evidence: []string{"is healthy: 2 of 8 checkers", "unhealthy from ap-northeast-1"}, remedy: "18 %",
		},
		"primary unhealthy for one": {
			bring: func(s *stage) { s.r53.SetCheckerHealth(primaryHC, "sa-east-1", false, "Connection timed out") }, failover: ofPairSeconds,
			check: route53.CheckPrimaryHealth, status: readiness.Pass, evidence: []string{"7 of 8 checkers", "unhealthy from sa-east-1"},
		},
		"secondary unhealthy": {
			bring: func(s *stage) { s.r53.SetHealth(standbyHC, false, "HTTP Status Code 503, Service Unavailable") }, check: route53.CheckStandbyHealth, status: readiness.Fail, evidence: []string{"answers with the PRIMARY, healthy or not", "503"}, remedy: "what is wrong with the standby", also: []string{route53.CheckFailoverTime},
		},
		"secondary without a health check": {
			service: ofAddresses, failover: ofPairSeconds,
			bring: func(s *stage) {
				plain(60)(s)
				r := member(host, "SECONDARY", "", "")
				r.Alias, r.TTL, r.Values = nil, 60, []string{"198.51.100.10"}
				s.r53.PutRecord(r)
			},
			check: route53.CheckStandbyHealth, status: readiness.Warn, evidence: []string{"SECONDARY carries no health check", "always used"}, remedy: "give it a health check of the standby",
		},
		"secondary's health check disabled": {
			bring: changeCheck(standbyHC, func(h *labaws.HealthCheck) { h.Disabled = true }), failover: ofPairSeconds,
			check: route53.CheckStandbyHealth, status: readiness.Warn, evidence: []string{"disabled", "always used"}, remedy: "enable",
		},
		"secondary's health check deleted": {
			bring: func(s *stage) { s.r53.RemoveHealthCheck(standbyHC) }, check: route53.CheckStandbyHealth, status: readiness.Fail, evidence: []string{standbyHC, "deleted"}, remedy: "create a new", also: []string{route53.CheckFailoverTime},
		},
		"secondary's health check inverted": {
			bring: changeCheck(standbyHC, func(h *labaws.HealthCheck) { h.Inverted = true }), check: route53.CheckStandbyHealth, status: readiness.Fail, evidence: []string{"inverted", "counts as healthy when it is not"}, remedy: "--no-inverted", also: []string{route53.CheckFailoverTime},
		},
		"one health check for both": {
			bring: changeMember("SECONDARY", standbyLB, primaryHC, func(*labaws.RecordSet) {}), check: route53.CheckStandbyHealth, status: readiness.Fail, evidence: []string{"carry the same health check " + primaryHC}, remedy: "of the standby", also: []string{route53.CheckFailoverTime},
		},
		"secondary's health check looks at the primary": {
			bring: changeCheck(standbyHC, func(h *labaws.HealthCheck) { h.FQDN = primaryLB }), check: route53.CheckStandbyHealth, status: readiness.Fail, evidence: []string{"looks at the primary", "at once"}, remedy: "look at the standby", also: []string{route53.CheckFailoverTime},
		},
	}
}

// calculated puts a check of others in place of that of the primary.
func calculated(needed int, children ...labaws.HealthCheck) func(*stage) {
	return func(s *stage) {
		of := labaws.HealthCheck{ID: primaryHC, Type: "CALCULATED", HealthThreshold: needed}
		for _, child := range children {
			of.Children = append(of.Children, child.ID)
			s.r53.PutHealthCheck(child)
			s.r53.SetHealth(child.ID, true, "HTTP Status Code 200, OK")
		}
		s.r53.RemoveHealthCheck(primaryHC)
		s.r53.PutHealthCheck(of)
	}
}

func alarmCheck(id, withoutData string) labaws.HealthCheck {
	return labaws.HealthCheck{ID: id, Type: "CLOUDWATCH_METRIC", AlarmName: "api-5xx", AlarmRegion: "eu-west-1", AlarmPeriod: 60, AlarmEvaluationPeriods: 3, InsufficientData: withoutData}
}

// publishes makes Route 53 tell CloudWatch the state of a health check.
func publishes(id string, value float64) func(*stage) {
	return func(s *stage) {
		s.cloud.CloudWatch().Publish(labaws.Gauge{
			Region: "us-east-1", Namespace: "AWS/Route53", Name: "HealthCheckStatus", Dimension: "HealthCheckId", Of: id, Value: valued(value),
		})
	}
}

func compoundFaults() map[string]fault {
	one, two := healthCheck("child-1", primaryLB), healthCheck("child-2", primaryLB)
	slow := two
	slow.Interval = 30
	disabled := two
	disabled.Disabled = true
	both := func(steps ...func(*stage)) func(*stage) {
		return func(s *stage) {
			for _, step := range steps {
				step(s)
			}
		}
	}
	alarmed := func(withoutData string) func(*stage) {
		return both(func(s *stage) {
			s.r53.RemoveHealthCheck(primaryHC)
			s.r53.PutHealthCheck(alarmCheck(primaryHC, withoutData))
		}, publishes(primaryHC, 1))
	}
	return map[string]fault{
		"calculated": {
			bring: calculated(1, one, slow), failover: 3*(30+6) + 60,
			check: route53.CheckFailoverTime, status: readiness.Pass, evidence: []string{"the slowest of 2 children: 3 checks in a row, each 30s apart"},
		},
		"calculated, always healthy": {
			bring: calculated(0, one, two),
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"never turn unhealthy", "always healthy"}, remedy: "health threshold", also: []string{route53.CheckFailoverTime},
		},
		"calculated, always unhealthy": {
			bring: calculated(3, one, two), check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"always unhealthy"}, remedy: "health threshold", also: []string{route53.CheckPrimaryHealth, route53.CheckFailoverTime},
		},
		"calculated, a child that cannot": {
			bring: calculated(1, one, disabled),
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"1 of its children can turn unhealthy, and 2 would have to"}, remedy: "children", also: []string{route53.CheckFailoverTime},
		},
		"calculated, a child disabled": {
			bring: calculated(2, one, disabled), failover: ofPairSeconds,
			check: route53.CheckHealthCheck, status: readiness.Warn, evidence: []string{"child-2", "disabled and so counts as healthy"}, remedy: "enable",
		},
		"calculated, a child deleted": {
			bring: both(calculated(2, one, two), func(s *stage) { s.r53.RemoveHealthCheck("child-2") }), failover: ofPairSeconds,
			check: route53.CheckHealthCheck, status: readiness.Warn, evidence: []string{"child-2, which is deleted"}, remedy: "take it out", also: []string{route53.CheckPrimaryHealth},
		},
		"calculated, a child unhealthy": {
			bring: both(calculated(2, one, two), func(s *stage) { s.r53.SetHealth("child-2", false, "Connection timed out") }), failover: ofPairSeconds,
			check: route53.CheckPrimaryHealth, status: readiness.Warn, evidence: []string{"2 of 2 others", "1 are healthy", "Connection timed out"}, remedy: "what became of the primary",
		},
		"calculated, on itself": {
			bring: func(s *stage) {
				s.r53.RemoveHealthCheck(primaryHC)
				s.r53.PutHealthCheck(labaws.HealthCheck{ID: primaryHC, Type: "CALCULATED", HealthThreshold: 1, Children: []string{"loop"}})
				s.r53.PutHealthCheck(labaws.HealthCheck{ID: "loop", Type: "CALCULATED", HealthThreshold: 1, Children: []string{primaryHC}})
			},
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"never turn unhealthy"}, remedy: "children",
			also: []string{route53.CheckChecked, route53.CheckPace, route53.CheckPrimaryHealth, route53.CheckFailoverTime},
		},
		"calculated, a child on the standby": {
			bring: calculated(1, one, healthCheck("child-2", standbyLB)), failover: ofPairSeconds,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"child-2", "looks at the standby"}, remedy: "primary",
		},
		"alarm that falls silent": {
			config: anyHealthCheck, bring: alarmed("LastKnownStatus"), check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"alarm api-5xx in eu-west-1", "LastKnownStatus", "falls silent"}, remedy: "Unhealthy", also: []string{route53.CheckFailoverTime},
		},
		"alarm": {
			config: anyHealthCheck, bring: alarmed("Unhealthy"), failover: 4*60 + 60,
			check: route53.CheckFailoverTime, status: readiness.Pass, evidence: []string{"3 periods of 60s of alarm api-5xx, and the one that had begun: 240s"},
		},
		"alarm rings": {
			config: anyHealthCheck, bring: both(alarmed("Unhealthy"), publishes(primaryHC, 0)), failover: 4*60 + 60,
			check: route53.CheckPrimaryHealth, status: readiness.Warn, evidence: []string{"unhealthy", "metric"}, remedy: "what became",
		},
		"alarm where an endpoint is wanted": {
			bring: alarmed("Unhealthy"), failover: 4*60 + 60,
			check: route53.CheckChecked, status: readiness.Fail, evidence: []string{"no endpoint is checked", "api-5xx"}, remedy: "health_check",
		},
		"routing control": {
			config: func(c *route53.Config) { anyHealthCheck(c); c.ChangedWithin = 5 * time.Minute }, failover: 300 + 60,
			bring: both(func(s *stage) {
				s.r53.RemoveHealthCheck(primaryHC)
				s.r53.PutHealthCheck(labaws.HealthCheck{ID: primaryHC, Type: "RECOVERY_CONTROL"})
			}, publishes(primaryHC, 1)),
			check: route53.CheckControlPlane, status: readiness.Pass, evidence: []string{"moved by hand", "routing control"},
		},
		"routing control, nobody knows how long": {
			config: anyHealthCheck,
			bring: both(func(s *stage) {
				s.r53.RemoveHealthCheck(primaryHC)
				s.r53.PutHealthCheck(labaws.HealthCheck{ID: primaryHC, Type: "RECOVERY_CONTROL"})
			}, publishes(primaryHC, 1)),
			check: route53.CheckFailoverTime, status: readiness.Unknown, evidence: []string{"turns off the routing control"}, remedy: "changed_within",
		},
		"aliases within the zone": {
			bring: func(s *stage) {
				for _, of := range []struct{ role, name, leads, check string }{
					{"PRIMARY", "primary.festivals.app", primaryLB, primaryHC}, {"SECONDARY", "standby.festivals.app", standbyLB, standbyHC},
				} {
					changeMember(of.role, "", "", func(r *labaws.RecordSet) {
						r.Alias = &labaws.AliasTarget{DNSName: of.name, HostedZoneID: zoneID, EvaluateTargetHealth: true}
					})(s)
					s.r53.PutRecord(labaws.RecordSet{
						Zone: zoneID, Name: of.name, Type: "A", HealthCheck: of.check,
						Alias: &labaws.AliasTarget{DNSName: of.leads, HostedZoneID: zoneOfWest},
					})
				}
			},
			failover: ofPairSeconds,
			check:    route53.CheckTargetPrimary, status: readiness.Pass, evidence: []string{primaryLB},
		},
		"alias within the zone without a health check": {
			bring: func(s *stage) {
				changeMember("PRIMARY", "", "", func(r *labaws.RecordSet) {
					r.Alias = &labaws.AliasTarget{DNSName: "primary.festivals.app", HostedZoneID: zoneID, EvaluateTargetHealth: true}
				})(s)
				s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: "primary.festivals.app", Type: "A", Alias: &labaws.AliasTarget{DNSName: primaryLB, HostedZoneID: zoneOfWest}})
			},
			check: route53.CheckHealthCheck, status: readiness.Fail, evidence: []string{"primary.festivals.app is an alias with EvaluateTargetHealth off"}, remedy: "health check",
			also: []string{route53.CheckChecked, route53.CheckFailoverTime},
		},
	}
}

func callFaults() map[string]fault {
	breaks := func(operation string, f labaws.Fault) func(*stage) {
		return func(s *stage) {
			f.Asked = labaws.Asked{Service: "route53", Operation: operation}
			s.cloud.Break(f)
		}
	}
	states := []string{route53.CheckPrimaryHealth}
	return map[string]fault{
		"records denied": {
			bring: breaks("ListResourceRecordSets", labaws.Fault{Error: labaws.Denied}),
			class: readiness.Denied, evidence: []string{"route53:ListResourceRecordSets", "grant"}, remedy: "may do",
		},
		"zones denied": {
			bring: breaks("ListHostedZones", labaws.Fault{Error: labaws.Denied}),
			class: readiness.Denied, evidence: []string{"route53:ListHostedZones"}, remedy: "may do",
		},
		"zones denied, and the zone named": {
			config: func(c *route53.Config) { c.Zone = zoneID }, failover: ofPairSeconds,
			bring: breaks("ListHostedZones", labaws.Fault{Error: labaws.Denied}),
			check: route53.CheckZone, status: readiness.Unknown, evidence: []string{"route53:ListHostedZones"}, remedy: "grant",
		},
		"health checks denied": {
			bring: breaks("ListHealthChecks", labaws.Fault{Error: labaws.Denied}),
			check: route53.CheckHealthCheck, status: readiness.Unknown, evidence: []string{"route53:ListHealthChecks"}, remedy: "grant",
			also: []string{route53.CheckChecked, route53.CheckPace, route53.CheckPrimaryHealth, route53.CheckStandbyHealth, route53.CheckFailoverTime},
		},
		"states denied": {
			bring: breaks("GetHealthCheckStatus", labaws.Fault{Error: labaws.Denied}), failover: ofPairSeconds,
			check: route53.CheckStandbyHealth, status: readiness.Unknown, evidence: []string{"route53:GetHealthCheckStatus", "grant"}, remedy: "grant route53:GetHealthCheckStatus", also: states,
		},
		"throttled from the start": {
			bring: breaks("", labaws.Fault{Error: labaws.Throttled}),
			class: readiness.Throttled, evidence: []string{"asked too often"}, remedy: "less often",
		},
		"throttled later": {
			after: 2 * time.Minute, bring: breaks("", labaws.Fault{Error: labaws.Throttled}), failover: ofPairSeconds,
			check: route53.CheckRecord, status: readiness.Pass, evidence: []string{"is a failover record"},
		},
		"throttled for too long": {
			after: 16 * time.Minute, bring: breaks("", labaws.Fault{Error: labaws.Throttled}),
			class: readiness.Throttled, evidence: []string{"route53:ListResourceRecordSets"}, remedy: "less often",
		},
		"not AWS": {
			bring: breaks("", labaws.Fault{Body: "<html>502 Bad Gateway</html>"}),
			class: readiness.Malformed, evidence: []string{"not AWS"}, remedy: "listens",
		},
		"AWS hangs": {
			bring: breaks("GetHealthCheckStatus", labaws.Fault{Delay: time.Minute}), failover: ofPairSeconds,
			check: route53.CheckStandbyHealth, status: readiness.Unknown, evidence: []string{"no answer in time"}, remedy: "wait", also: states,
		},
		"one call lost on the way": {
			bring: breaks("ListHostedZones", labaws.Fault{Drop: true, Times: 1}), failover: ofPairSeconds,
			check: route53.CheckZone, status: readiness.Pass, evidence: []string{zoneID},
		},
	}
}

// One row, one check, one remedy, and no other check fails that has no part in it. Were
// it to fail, somebody would trust in a failover that does not come, or look for the
// reason in the wrong place.
func TestFaults(t *testing.T) {
	for _, rows := range []map[string]fault{setupFaults(), healthFaults(), compoundFaults(), callFaults()} {
		for name, f := range rows {
			t.Run(name, func(t *testing.T) { f.play(t) })
		}
	}
}

func (f fault) play(t *testing.T) {
	s := newStage(t)
	config, service := ofPair(), ofService()
	if f.config != nil {
		f.config(&config)
	}
	if f.service != nil {
		f.service(&service)
		if f.check != route53.CheckChecked { // what is checked follows where the records lead
			config.HealthCheck.FQDN = ""
		}
	}
	w := s.watch(config, service)
	if f.after > 0 {
		w.good()
		s.clock.Pass(f.after)
	}
	f.bring(s)
	r, failure := w.look()
	probetest.Verdict{Class: f.class, Check: f.check, Status: f.status, Evidence: f.evidence, Remedy: f.remedy, Also: f.also}.Require(t, r, failure)
	if failure == nil {
		require.Equal(t, f.failover, r.Measures[readiness.DNSFailoverSeconds])
	}
}
