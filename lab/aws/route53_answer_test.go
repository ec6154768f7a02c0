package aws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

// answered is an answer in one line.
func answered(a labaws.DNSAnswer) string {
	switch {
	case !a.Known:
		return "refused"
	case a.NameError:
		return "NXDOMAIN"
	}
	var all []string
	for _, r := range a.Records {
		all = append(all, fmt.Sprintf("%s %d %s %s", r.Name, r.TTL, r.Type, r.Value))
	}
	return strings.Join(all, "; ")
}

func lookup(host string) []string {
	return map[string][]string{
		"primary.elb.amazonaws.com":           {"198.51.100.1", "2001:db8::1"},
		"dualstack.primary.elb.amazonaws.com": {"198.51.100.1", "2001:db8::1"},
		"standby.elb.amazonaws.com":           {"198.51.100.2"},
	}[host]
}

// Were it to fail, the lab would fail over when Route 53 does not, or stay when it
// moves.
func TestAnswer_Failover(t *testing.T) {
	t.Parallel()
	const (
		primary = "api.festivals.app. 60 A 192.0.2.1"
		standby = "api.festivals.app. 60 A 192.0.2.2"
	)
	without := func(role string) func(*labaws.Route53) {
		return func(r *labaws.Route53) {
			r.PutRecord(labaws.RecordSet{Zone: "Z1", Name: "api.festivals.app", Type: "A", TTL: 60, SetIdentifier: role, Failover: role,
				Values: []string{map[string]string{"PRIMARY": "192.0.2.1", "SECONDARY": "192.0.2.2"}[role]}})
		}
	}
	remove := func(role string) func(*labaws.Route53) {
		return func(r *labaws.Route53) { r.RemoveRecord("Z1", "api.festivals.app", "A", role) }
	}
	disabled := func(r *labaws.Route53) {
		h, _ := r.HealthCheck("check-PRIMARY")
		h.Disabled = true
		r.PutHealthCheck(h)
	}
	nothing := func(*labaws.Route53) {}
	for name, c := range map[string]struct {
		primary, standby bool // healthy
		setup            func(*labaws.Route53)
		answer           string
	}{
		"all is well":                           {true, true, nothing, primary},
		"primary is down":                       {false, true, nothing, standby},
		"standby is down":                       {true, false, nothing, primary},
		"both are down":                         {false, false, nothing, primary},
		"primary without check is down":         {false, true, without("PRIMARY"), primary},
		"standby without check is used":         {false, false, without("SECONDARY"), standby},
		"disabled: primary is down":             {false, true, disabled, primary},
		"check is gone: nobody reports":         {false, true, func(r *labaws.Route53) { r.RemoveHealthCheck("check-PRIMARY") }, primary},
		"no secondary, primary is down":         {false, true, remove("SECONDARY"), primary},
		"no primary, and the secondary is down": {true, false, remove("PRIMARY"), standby},
		"neither":                               {true, true, func(r *labaws.Route53) { remove("PRIMARY")(r); remove("SECONDARY")(r) }, "NXDOMAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud, _ := startDNS(t)
			r := cloud.Route53()
			r.SetHealth("check-PRIMARY", c.primary, "")
			r.SetHealth("check-SECONDARY", c.standby, "")
			c.setup(r)
			require.Equal(t, c.answer, answered(r.Answer("Z1", "API.festivals.app", "a", lookup)))
		})
	}
}

// Were it to fail, an alias would fail over by something else than the targets of
// its load balancer.
func TestAnswer_AliasToALoadBalancer(t *testing.T) {
	t.Parallel()
	const (
		primary = "api.festivals.app. 60 A 198.51.100.1"
		standby = "api.festivals.app. 60 A 198.51.100.2"
	)
	group := func(states ...string) labaws.TargetGroup {
		g := labaws.TargetGroup{Name: "g" + strings.Join(states, "-")}
		for i, s := range states {
			g.Targets = append(g.Targets, labaws.BalancedTarget{ID: fmt.Sprint("i-", i), State: s})
		}
		return g
	}
	for name, c := range map[string]struct {
		groups   []labaws.TargetGroup
		evaluate bool
		check    bool // a health check on the alias itself, which fails
		answer   string
	}{
		"a healthy target":              {[]labaws.TargetGroup{group("unhealthy", "healthy")}, true, false, primary},
		"no healthy target":             {[]labaws.TargetGroup{group("unhealthy", "initial")}, true, false, standby},
		"no target":                     {[]labaws.TargetGroup{group()}, true, false, standby},
		"no target group":               {[]labaws.TargetGroup{}, true, false, standby},
		"one group has none":            {[]labaws.TargetGroup{group("healthy"), group("unhealthy")}, true, false, standby},
		"not evaluated":                 {[]labaws.TargetGroup{group("unhealthy")}, false, false, primary},
		"not evaluated, but checked":    {[]labaws.TargetGroup{group("healthy")}, false, true, standby},
		"evaluated and checked":         {[]labaws.TargetGroup{group("healthy")}, true, true, standby},
		"another load balancer, at all": {nil, true, false, primary},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := start(t, labaws.Options{})
			r := cloud.Route53()
			r.PutZone(labaws.Zone{ID: "Z1", Name: "festivals.app"})
			r.PutHealthCheck(labaws.HealthCheck{ID: "failing", Type: "TCP", IP: "192.0.2.1", Port: 443})
			r.SetHealth("failing", false, "")
			for role, host := range map[string]string{"PRIMARY": "dualstack.primary.elb.amazonaws.com", "SECONDARY": "standby.elb.amazonaws.com"} {
				s := labaws.RecordSet{Zone: "Z1", Name: "api.festivals.app", Type: "A", SetIdentifier: role, Failover: role,
					Alias: &labaws.AliasTarget{DNSName: host, HostedZoneID: "Z32O12XQLNTSW2", EvaluateTargetHealth: c.evaluate}}
				if c.check && role == "PRIMARY" {
					s.HealthCheck = "failing"
				}
				r.PutRecord(s)
			}
			if c.groups != nil {
				cloud.ELB().Put(labaws.LoadBalancer{Name: "primary", DNSName: "primary.elb.amazonaws.com", Region: region, TargetGroups: c.groups})
			}
			require.Equal(t, c.answer, answered(r.Answer("Z1", "api.festivals.app", "A", lookup)))
			require.Empty(t, answered(r.Answer("Z1", "api.festivals.app", "AAAA", lookup)), "there is no such record, but such a name")
		})
	}
}

// Were it to fail, a tree of records would not fail over by what is at its ends,
// which is what an alias to another record is for.
func TestAnswer_AliasToARecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		west, central []bool // of the servers in each region
		evaluate      bool
		answer        string
	}{
		"all is well":               {[]bool{true, true}, []bool{true, true}, true, "192.0.2.11"},
		"one of the region is down": {[]bool{false, true}, []bool{true, true}, true, "192.0.2.12"},
		"the region is down":        {[]bool{false, false}, []bool{false, true}, true, "192.0.2.22"},
		"all are down":              {[]bool{false, false}, []bool{false, false}, true, "192.0.2.11"},
		"nothing evaluated":         {[]bool{false, false}, []bool{true, true}, false, "192.0.2.11"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, labaws.Options{}).Route53()
			r.PutZone(labaws.Zone{ID: "Z1", Name: "festivals.app"})
			for host, servers := range map[string][]bool{"west": c.west, "central": c.central} {
				role := map[string]string{"west": "PRIMARY", "central": "SECONDARY"}[host]
				r.PutRecord(labaws.RecordSet{Zone: "Z1", Name: "api.festivals.app", Type: "A", SetIdentifier: host, Failover: role,
					Alias: &labaws.AliasTarget{DNSName: host + ".festivals.app", HostedZoneID: "Z1", EvaluateTargetHealth: c.evaluate}})
				for i, healthy := range servers {
					id := fmt.Sprint(host, i)
					r.PutHealthCheck(labaws.HealthCheck{ID: id, Type: "TCP", IP: "192.0.2.1", Port: 443})
					r.SetHealth(id, healthy, "")
					r.PutRecord(labaws.RecordSet{Zone: "Z1", Name: host + ".festivals.app", Type: "A", TTL: 5, SetIdentifier: id, HealthCheck: id, Region: region,
						Values: []string{fmt.Sprintf("192.0.2.%d%d", map[string]int{"west": 1, "central": 2}[host], i+1)}})
				}
			}
			require.Equal(t, "api.festivals.app. 5 A "+c.answer, answered(r.Answer("Z1", "api.festivals.app", "A", nil)), "with the TTL of the record")
		})
	}
}

// Were it to fail, the name servers of the lab would be none that a resolver can
// live with.
func TestAnswer_Names(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	r := cloud.Route53()
	put := func(name, typ string, ttl int64, values ...string) {
		r.PutRecord(labaws.RecordSet{Zone: "Z1", Name: name, Type: typ, TTL: ttl, Values: values})
	}
	alias := func(name, typ, to, zone string) {
		r.PutRecord(labaws.RecordSet{Zone: "Z1", Name: name, Type: typ, Alias: &labaws.AliasTarget{DNSName: to, HostedZoneID: zone, EvaluateTargetHealth: true}})
	}
	put("www.festivals.app", "CNAME", 300, "api.festivals.app")
	put("cdn.festivals.app", "CNAME", 300, "x.cdn.example.com.")
	put("a.b.festivals.app", "TXT", 30, `"x"`)
	put("*.wild.festivals.app", "A", 5, "192.0.2.7")
	put("there.wild.festivals.app", "TXT", 5, `"x"`)
	put("loop1.festivals.app", "CNAME", 1, "loop2.festivals.app.")
	put("loop2.festivals.app", "CNAME", 1, "loop1.festivals.app.")
	alias("festivals.app", "A", "api.festivals.app", "Z1")
	alias("lb.festivals.app", "AAAA", "primary.elb.amazonaws.com", "Z32O12XQLNTSW2")
	alias("self.festivals.app", "A", "self.festivals.app", "Z1")
	for question, answer := range map[string]string{
		"www.festivals.app A":        "www.festivals.app. 300 CNAME api.festivals.app; api.festivals.app. 60 A 192.0.2.1",
		"www.festivals.app CNAME":    "www.festivals.app. 300 CNAME api.festivals.app",
		"cdn.festivals.app A":        "cdn.festivals.app. 300 CNAME x.cdn.example.com.",
		"festivals.app A":            "festivals.app. 60 A 192.0.2.1",
		"festivals.app NS":           "festivals.app. 172800 NS ns-1.awsdns-01.org.; festivals.app. 172800 NS ns-513.awsdns-02.net.; festivals.app. 172800 NS ns-1025.awsdns-03.com.; festivals.app. 172800 NS ns-1537.awsdns-04.co.uk.",
		"festivals.app SOA":          "festivals.app. 900 SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400",
		"festivals.app MX":           "",
		"b.festivals.app A":          "", // only a name below it is there
		"none.festivals.app A":       "NXDOMAIN",
		"x.wild.festivals.app A":     "x.wild.festivals.app. 5 A 192.0.2.7",
		"x.y.wild.festivals.app A":   "x.y.wild.festivals.app. 5 A 192.0.2.7",
		"there.wild.festivals.app A": "", // no wildcard for a name that is there
		"lb.festivals.app AAAA":      "lb.festivals.app. 60 AAAA 2001:db8::1",
		"lb.festivals.app A":         "",
		"self.festivals.app A":       "",
		"notfestivals.app A":         "refused",
		"example.com A":              "refused",
	} {
		name, typ, _ := strings.Cut(question, " ")
		require.Equal(t, answer, answered(r.Answer("Z1", name, typ, lookup)), question)
	}
	require.Empty(t, answered(r.Answer("Z1", "lb.festivals.app", "AAAA", nil)))
	require.NotEmpty(t, r.Answer("Z1", "loop1.festivals.app", "A", lookup).Records, "it ends")
	require.Equal(t, "refused", answered(r.Answer("Z9", "festivals.app", "A", lookup)))
}

// Were it to fail, records that are neither simple nor for failover would all be
// answered alike.
func TestAnswer_OtherPolicies(t *testing.T) {
	t.Parallel()
	r := start(t, labaws.Options{}).Route53()
	r.PutZone(labaws.Zone{ID: "Z1", Name: "festivals.app"})
	put := func(name, id string, to func(*labaws.RecordSet)) {
		r.PutHealthCheck(labaws.HealthCheck{ID: name + id, Type: "TCP", IP: "192.0.2.1", Port: 443})
		s := labaws.RecordSet{Zone: "Z1", Name: name + ".festivals.app", Type: "A", TTL: 1, SetIdentifier: id, Values: []string{"192.0.2." + id}, HealthCheck: name + id}
		to(&s)
		r.PutRecord(s)
	}
	ask := func(name string) (values []string) {
		for _, record := range r.Answer("Z1", name+".festivals.app", "A", nil).Records {
			values = append(values, record.Value[len("192.0.2."):])
		}
		return values
	}
	times := func(n int, name string) string {
		var all []string
		for range n {
			all = append(all, ask(name)...)
		}
		return strings.Join(all, "")
	}
	weight := func(n int64) func(*labaws.RecordSet) {
		return func(s *labaws.RecordSet) { s.Weight = &n }
	}
	put("w", "1", weight(3))
	put("w", "2", weight(1))
	put("w", "3", weight(0))
	require.Equal(t, "11121112", times(8, "w"), "by weight, and none of weight 0")
	r.SetHealth("w1", false, "")
	require.Equal(t, "22", times(2, "w"))
	r.SetHealth("w2", false, "")
	require.Equal(t, "33", times(2, "w"), "the one of weight 0 when no other is healthy")
	r.SetHealth("w3", false, "")
	require.Contains(t, times(8, "w"), "1", "all are taken for healthy when none is")

	for i := range 9 {
		put("m", fmt.Sprint(i), func(s *labaws.RecordSet) { s.MultiValue = true })
	}
	require.Len(t, ask("m"), 8, "at most eight")
	r.SetHealth("m1", false, "")
	require.NotContains(t, ask("m"), "1")

	put("l", "1", func(s *labaws.RecordSet) { s.Region = region })
	put("l", "2", func(s *labaws.RecordSet) { s.Region = elsewhere })
	require.Equal(t, []string{"1"}, ask("l"))
	r.SetHealth("l1", false, "")
	require.Equal(t, []string{"2"}, ask("l"))
	r.RemoveRecord("Z1", "l.festivals.app", "A", "2")
	require.Equal(t, []string{"1"}, ask("l"))
}
