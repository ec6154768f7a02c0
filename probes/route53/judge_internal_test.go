package route53

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// chooser makes setups out of numbers: such as are, and such as nobody thought of.
type chooser struct{ *rand.Rand }

func pick[T any](c chooser, from ...T) T { return from[c.IntN(len(from))] }

func (c chooser) record(name string) record {
	r := record{
		name: name, kind: pick(c, "A", "A", "A", "CNAME", "AAAA"), set: pick(c, "a", "b", "c"),
		policy: pick(c, failover, failover, failover, simple, policy("weighted")), role: pick(c, primaryRole, secondaryRole, ""),
		ttl: time.Duration(c.IntN(400)) * time.Second, check: pick(c, "", "h0", "h1", "h2", "h3", "gone"),
	}
	names := []string{"api.festivals.app", "n1.festivals.app", "n2.festivals.app", "none.festivals.app", "lb.eu-west-1.elb.amazonaws.com", "dr.eu-central-1.elb.amazonaws.com", "s3-website.example"}
	if c.IntN(2) == 0 {
		r.alias = &alias{name: pick(c, names...), zone: pick(c, "Z1", "ZELB"), evaluates: c.IntN(3) > 0}
	} else if r.kind == "CNAME" {
		r.values = []string{pick(c, names...)}
	} else {
		r.values = []string{pick(c, "192.0.2.1", "198.51.100.1", "what", "")}
	}
	return r
}

func (c chooser) check(id string) healthCheck {
	h := healthCheck{
		id: id, kind: pick(c, "HTTPS", "HTTP_STR_MATCH", "TCP", calculated, calculated, cloudWatch, control, "NEW"), fqdn: pick(c, "lb.eu-west-1.elb.amazonaws.com", "api.festivals.app", "x\x00\xff"),
		ip: pick(c, "", "", "192.0.2.1"), port: c.IntN(70000), path: pick(c, "", "/health"), interval: pick(c, 10, 30*time.Second, 0), threshold: c.IntN(12),
		disabled: c.IntN(6) == 0, inverted: c.IntN(6) == 0, needed: c.IntN(5) - 1,
		alarm: alarm{name: "a", period: pick(c, 0, time.Minute), periods: c.IntN(4), withoutData: pick(c, "", "Healthy", "Unhealthy")},
	}
	for range c.IntN(4) {
		h.children = append(h.children, pick(c, "h0", "h1", "h2", "h3", "gone"))
		h.regions = append(h.regions, pick(c, checkerRegions()...))
	}
	return h
}

func (c chooser) seen() seen {
	v := seen{zone: zone{id: "Z1", name: "festivals.app", records: 7}, records: make(records), checks: make(checks), reports: make(map[string]report)}
	for range c.IntN(12) {
		v.records.add(c.record(pick(c, "api.festivals.app", "api.festivals.app", "n1.festivals.app", "n2.festivals.app")))
	}
	for i := range 4 {
		id := fmt.Sprintf("h%d", i)
		if c.IntN(5) > 0 {
			v.checks[id] = c.check(id)
		}
		switch of := c.IntN(9); c.IntN(3) {
		case 0:
			v.reports[id] = report{of: of, healthy: c.IntN(of + 1), regions: of, metric: c.IntN(2) == 0, reason: "Failure: \x1b[31m", unhealthy: []string{"eu-west-1"}}
		case 1:
			v.reports[id] = report{err: errTurn}
		}
	}
	if c.IntN(8) == 0 {
		v.checksTrouble = probes.Fail(readiness.Denied, "denied")
	}
	return v
}

func judgeAny(t *testing.T, seed uint64) {
	c := chooser{rand.New(rand.NewPCG(seed, seed))}
	config := Config{
		Zone: "festivals.app", Type: pick(c, "", "", "A", "CNAME"), Setup: pick(c, Setup(""), Failover, Simple), MaxTTL: pick(c, 0, time.Minute),
		ChangedWithin: pick(c, 0, time.Minute), Detection: pick(c, 0, time.Minute),
		HealthCheck: HealthCheck{Path: pick(c, "", "/health"), MaxInterval: pick(c, 0, 10*time.Second), Inverted: c.IntN(5) == 0},
	}
	service := probes.Service{Host: "api.festivals.app", Primary: []string{"lb.eu-west-1.elb.amazonaws.com", "192.0.2.0/24"}, Standby: []string{"dr.eu-central-1.elb.amazonaws.com"}, RTO: pick(c, 0, 3*time.Minute)}
	j := judged(config, service, c.seen(), time.Unix(1e9, 0))
	_ = append(j.restsOn(j.primary), j.restsOn(j.secondary)...)
	answers := make(map[string]readiness.Check)
	for _, name := range Checks(config, probes.Target{Service: service})[1:] {
		a := j.answer(name)
		require.Equal(t, name, a.Name)
		require.NotEmpty(t, a.Evidence, name)
		require.Equal(t, a.Status == readiness.Pass, a.Remedy == "", "%s: %s: %q", name, a.Evidence, a.Remedy)
		require.NotContains(t, a.Evidence+a.Remedy, "\x1b")
		require.NotContains(t, a.Evidence, "\x00")
		answers[name] = a
	}
	total, foretold := j.measures()[readiness.DNSFailoverSeconds]
	status := answers[CheckFailoverTime].Status
	require.Equal(t, foretold, status == readiness.Pass || status == readiness.Fail, "%+v", answers[CheckFailoverTime])
	if foretold {
		require.Equal(t, service.RTO > 0 && total > service.RTO.Seconds(), status == readiness.Fail)
		require.GreaterOrEqual(t, total, j.measures()[readiness.DNSTTLSeconds], "the answer is kept so long at the least")
	}
}

// Were it to fail, a setup that nobody thought of would end a look, leave a check without
// an answer, or foretell a time that the check on it contradicts.
func TestJudged_AnySetup(t *testing.T) {
	for seed := range uint64(5000) {
		judgeAny(t, seed)
	}
}

func FuzzJudged(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(judgeAny)
}

// Were it to fail, a group of groups would take a look longer than anybody waits.
func TestJudged_WideAliases(t *testing.T) {
	v := seen{zone: zone{id: "Z1", name: "festivals.app"}, records: make(records), checks: make(checks)}
	v.records.add(record{name: "api.festivals.app", kind: "A", policy: failover, role: primaryRole, set: "p", alias: &alias{name: "n0.festivals.app", zone: "Z1", evaluates: true}})
	v.records.add(record{name: "api.festivals.app", kind: "A", policy: failover, role: secondaryRole, set: "s", values: []string{"192.0.2.1"}})
	for level := range 6 {
		for n := range 100 {
			v.records.add(record{name: fmt.Sprintf("n%d.festivals.app", level), kind: "A", set: fmt.Sprint(n), policy: "weighted", alias: &alias{name: fmt.Sprintf("n%d.festivals.app", level+1), zone: "Z1", evaluates: true}})
		}
	}
	begun := time.Now()
	j := judged(Config{Zone: "festivals.app"}, probes.Service{Host: "api.festivals.app", Primary: []string{"x.app"}}, v, time.Now())
	require.Equal(t, readiness.Fail, j.answer(CheckTargetPrimary).Status)
	require.Equal(t, readiness.Fail, j.answer(CheckHealthCheck).Status)
	_, _, _ = j.answer(CheckTTL), j.answer(CheckFailoverTime), j.answer(CheckPrimaryHealth)
	require.Less(t, time.Since(begun), time.Second)
}

// Were it to fail, a health check that was made together with its record would be taken
// for a deleted one, where the health checks were listed before.
func TestJudged_AHealthCheckYoungerThanTheListing(t *testing.T) {
	v := seen{zone: zone{id: "Z1", name: "festivals.app"}, records: make(records), listed: time.Unix(100, 0)}
	for _, role := range []string{primaryRole, secondaryRole} {
		v.records.add(record{name: "api.festivals.app", kind: "A", policy: failover, role: role, set: role, values: []string{role}, check: "new-" + role})
	}
	for listed, want := range map[int64]readiness.Status{99: readiness.Unknown, 100: readiness.Fail} {
		v.checksListed = time.Unix(listed, 0)
		j := judged(Config{Zone: "festivals.app"}, probes.Service{Host: "api.festivals.app"}, v, time.Unix(160, 0))
		require.Equal(t, want, j.answer(CheckHealthCheck).Status)
		require.Equal(t, want, j.answer(CheckStandbyHealth).Status)
		require.True(t, j.asOf().Equal(time.Unix(min(listed, 100), 0)))
	}
}

// Were it to fail, a name that the console writes in another way would be another name.
func TestCanonical(t *testing.T) {
	for name, want := range map[string]string{
		"API.Festivals.app.": "api.festivals.app", `\052.festivals.app.`: "*.festivals.app", `a\`: `a\`, `a\05`: `a\05`, `a\777b`: `a\777b`, `\101.app`: "a.app", "": "", ".": "",
	} {
		require.Equal(t, want, canonical(name), name)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, name := range []string{"api.festivals.app.", `\052.x.`, `\\\0`, "\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		made := canonical(name)
		_ = place(made)
		require.False(t, side([]string{"192.0.2.0/24", "x", ""}).names("\x00"+name))
		if plain(name) {
			require.Equal(t, made, canonical(made+"."), "the same name, however it is written")
		}
	})
}

// Were it to fail, the standby would be taken for the primary, or neither for what it is.
func TestSide(t *testing.T) {
	s := side{"Primary.eu-west-1.elb.amazonaws.com", "192.0.2.0/24", "2001:db8::1"}
	for target, want := range map[string]bool{
		"dualstack.primary.eu-west-1.elb.amazonaws.com.": true, "primary.eu-west-1.elb.amazonaws.com": true, "xprimary.eu-west-1.elb.amazonaws.com": false,
		"192.0.2.77": true, "192.0.3.1": false, "2001:db8:0::1": true, "2001:db8::2": false, "::ffff:192.0.2.1": true, "": false,
	} {
		require.Equal(t, want, s.names(target), target)
	}
}

// Were it to fail, a name would be taken for missing that is merely somewhere else in
// the listing.
func TestPlace(t *testing.T) {
	names := inOrder([]string{"www.festivals.app", "festivals.app", "a-b.festivals.app", "a.festivals.app", "x.a.festivals.app", "a.festivals.app"})
	require.Equal(t, []string{"festivals.app", "a-b.festivals.app", "a.festivals.app", "x.a.festivals.app", "www.festivals.app"}, names, "a dot is after a hyphen")
}

// Were it to fail, a primary that Route 53 takes out would be told as healthy.
func TestState_MoreThan18PercentOfTheCheckers(t *testing.T) {
	for healthy, want := range map[int]bool{0: false, 8: false, 9: false, 10: true, 50: true} {
		require.Equal(t, want, healthCheck{kind: "HTTPS"}.state(report{healthy: healthy, of: 50, regions: 8}).healthy, "%d of 50", healthy)
	}
}
