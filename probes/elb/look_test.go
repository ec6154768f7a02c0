package elb_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a standby that could serve would be told as broken.
func TestLook_AllIsWell(t *testing.T) {
	s := newStage(t)
	for _, config := range []elb.Config{ofBalancer(), {LoadBalancer: arn}, {LoadBalancer: name, TargetGroups: []string{name + "-api"}}} {
		r := s.watch(config, ofPart()).good()
		for _, c := range r.Checks {
			require.Equal(t, readiness.Pass, c.Status, "%s: %s", c.Name, c.Evidence)
		}
		require.Equal(t, map[readiness.Measure]float64{readiness.HealthyTargets: 4, readiness.HealthyZones: 2}, r.Measures)
		at, known := r.AsOf.Get()
		require.True(t, known)
		require.True(t, s.clock.Now().Equal(at))
		_, known = r.ClockOffset.Get()
		require.True(t, known)
	}
	r := s.watch(ofBalancer(), ofPart()).good()
	require.Equal(t, "festivals-api-dr is active (application, internet-facing, in eu-central-1a, eu-central-1b)", probetest.Check(t, r, elb.CheckBalancer).Evidence)
	require.Equal(t, "4 of 4 targets of festivals-api-dr-api are healthy; 3 have to be", probetest.Check(t, r, elb.CheckTargets).Evidence)
}

// fault is one row of what goes wrong and what must be said.
type fault struct {
	config func(*elb.Config)
	target func(*probes.Target)
	bring  func(s *stage)
	after  time.Duration // a look at a setup that was well, so much later

	class    readiness.Class // of a look that fails
	check    string          // or the check that tells
	status   readiness.Status
	evidence []string
	remedy   string   // part of it
	also     []string // the other checks that do not pass, because of the same fault
	targets  float64  // that are healthy; -1 is that it is not known
}

func faults() map[string]fault {
	unhealthy := func(n int, why, more string) func(*stage) {
		return targets(func(i int, t *labaws.BalancedTarget) {
			if i < n {
				t.State, t.Reason, t.Description = "unhealthy", why, more
			}
		})
	}
	breaks := func(operation string, f labaws.Fault) func(*stage) {
		return func(s *stage) {
			f.Asked = labaws.Asked{Service: "elasticloadbalancing", Operation: operation}
			s.cloud.Break(f)
		}
	}
	state := func(is string) func(*stage) { return change(func(lb *labaws.LoadBalancer) { lb.State = is }) }
	rest := []string{elb.CheckName, elb.CheckTargets, elb.CheckZones}
	return map[string]fault{
		"missing": {
			bring: func(s *stage) { s.cloud.ELB().Remove(arn) }, targets: -1,
			check: elb.CheckBalancer, status: readiness.Fail, evidence: []string{"no load balancer festivals-api-dr in eu-central-1"}, remedy: "CloudTrail", also: rest,
		},
		"deleted": {
			after: time.Minute, bring: func(s *stage) { s.cloud.ELB().Remove(arn) }, targets: -1,
			check: elb.CheckBalancer, status: readiness.Fail, evidence: []string{"no load balancer festivals-api-dr"}, remedy: "CloudTrail", also: rest,
		},
		"made anew": {
			config: func(c *elb.Config) { c.LoadBalancer = arn[:len(arn)-4] + "ffff" }, bring: func(*stage) {}, targets: -1,
			check: elb.CheckBalancer, status: readiness.Fail, evidence: []string{"is " + arn, "the file says"}, remedy: "correct load_balancer", also: rest,
		},
		"failed": {
			bring: state("failed"), targets: 4,
			check: elb.CheckBalancer, status: readiness.Fail, evidence: []string{"is failed"}, remedy: "made anew",
		},
		"provisioning": {
			bring: state("provisioning"), targets: 4,
			check: elb.CheckBalancer, status: readiness.Fail, evidence: []string{"is provisioning"}, remedy: "wait",
		},
		"impaired": {
			bring: state("active_impaired"), targets: 4,
			check: elb.CheckBalancer, status: readiness.Warn, evidence: []string{"cannot scale"}, remedy: "subnets",
		},
		"on the other side": {
			target: func(t *probes.Target) { t.Part.Side = readiness.PrimarySide }, bring: func(*stage) {}, targets: 4,
			check: elb.CheckName, status: readiness.Fail, evidence: []string{standbyLB, "on the other side"}, remedy: "side",
		},
		"clients are led elsewhere": {
			bring: change(func(lb *labaws.LoadBalancer) { lb.DNSName = "festivals-api-dr-777777.eu-central-1.elb.amazonaws.com" }), targets: 4,
			check: elb.CheckName, status: readiness.Fail, evidence: []string{"777777", "clients are led to " + standbyLB}, remedy: "another name",
		},
		"clients are led to an address": {
			target: func(t *probes.Target) { t.Service.Standby = []string{"198.51.100.0/24"} }, bring: func(*stage) {}, targets: 4,
			check: elb.CheckName, status: readiness.Warn, evidence: []string{"cannot be compared with 198.51.100.0/24"}, remedy: "add the name",
		},
		"too few": {
			bring: unhealthy(2, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"), targets: 2,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"2 of 4 targets", "2 unhealthy (Target.ResponseCodeMismatch), such as 10.1.0.10", "[503]", "3 have to be"}, remedy: "by the reasons",
		},
		"none": {
			bring: unhealthy(4, "Target.Timeout", "Request timed out"), targets: 0,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"0 of 4 targets", "Target.Timeout"}, remedy: "start what is missing", also: []string{elb.CheckZones},
		},
		"none is registered": {
			bring: change(func(lb *labaws.LoadBalancer) { lb.TargetGroups[0].Targets = nil }), targets: 0,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"0 of 0 targets"}, remedy: "start what is missing", also: []string{elb.CheckZones},
		},
		"one is unhealthy, and enough are left": {
			bring: unhealthy(1, "Target.Timeout", "Request timed out"), targets: 3,
			check: elb.CheckTargets, status: readiness.Pass, evidence: []string{"3 of 4 targets", "1 unhealthy (Target.Timeout)"},
		},
		"one zone": {
			bring: targets(func(_ int, t *labaws.BalancedTarget) { t.Zone = "eu-central-1a" }), targets: 4,
			check: elb.CheckZones, status: readiness.Fail, evidence: []string{"are in 1 zones (eu-central-1a); 2 have to be"}, remedy: "other zones",
		},
		"the load balancer itself is in one zone": {
			bring: change(func(lb *labaws.LoadBalancer) { lb.Zones = lb.Zones[:1] }), targets: 4,
			check: elb.CheckZones, status: readiness.Fail, evidence: []string{"itself is in 1 zones (eu-central-1a)"}, remedy: "subnets",
		},
		"zones are not told": {
			bring: targets(func(n int, t *labaws.BalancedTarget) { t.ID = fmt.Sprintf("i-0%d", n) }), targets: 4,
			check: elb.CheckZones, status: readiness.Unknown, evidence: []string{"does not tell the zones", "registered by instance"}, remedy: "by ip",
		},
		"targets outside of the VPC": {
			bring: targets(func(_ int, t *labaws.BalancedTarget) { t.Zone = "all" }), targets: 4,
			check: elb.CheckZones, status: readiness.Unknown, evidence: []string{"does not tell the zones"}, remedy: "min_zones",
		},
		"zones are not told, and one is enough": {
			config: func(c *elb.Config) { c.MinZones = 0 }, bring: targets(func(n int, t *labaws.BalancedTarget) { t.ID = fmt.Sprintf("i-0%d", n) }), targets: 4,
			check: elb.CheckZones, status: readiness.Pass, evidence: []string{"in a zone at the least"},
		},
		"no target group": {
			bring: change(func(lb *labaws.LoadBalancer) { lb.TargetGroups = nil }), targets: 0,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"sends requests nowhere"}, remedy: "listener", also: []string{elb.CheckZones},
		},
		"another target group": {
			config: func(c *elb.Config) { c.TargetGroups = []string{"festivals-web"} }, bring: func(*stage) {}, targets: 0,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"no target group festivals-web"}, remedy: "target_groups", also: []string{elb.CheckZones},
		},
		"one group of two is empty": {
			bring: change(func(lb *labaws.LoadBalancer) {
				lb.TargetGroups = append(lb.TargetGroups, labaws.TargetGroup{Name: "festivals-web", Port: 80})
			}), targets: 0,
			check: elb.CheckTargets, status: readiness.Fail, evidence: []string{"4 of 4 targets of festivals-api-dr-api", "0 of 0 targets of festivals-web"}, remedy: "behind festivals-web", also: []string{elb.CheckZones},
		},
		"balancers denied": {
			bring: breaks("DescribeLoadBalancers", labaws.Fault{Error: labaws.Denied}),
			class: readiness.Denied, evidence: []string{"elasticloadbalancing:DescribeLoadBalancers", "grant"}, remedy: "may do",
		},
		"groups denied": {
			bring: breaks("DescribeTargetGroups", labaws.Fault{Error: labaws.Denied}), targets: -1,
			check: elb.CheckTargets, status: readiness.Unknown, evidence: []string{"elasticloadbalancing:DescribeTargetGroups"}, remedy: "may do", also: []string{elb.CheckZones},
		},
		"health denied": {
			bring: breaks("DescribeTargetHealth", labaws.Fault{Error: labaws.Denied}), targets: -1,
			check: elb.CheckTargets, status: readiness.Unknown, evidence: []string{"elasticloadbalancing:DescribeTargetHealth"}, remedy: "may do", also: []string{elb.CheckZones},
		},
		"throttled": {
			bring: breaks("", labaws.Fault{Error: labaws.Throttled}),
			class: readiness.Throttled, evidence: []string{"asked too often"}, remedy: "less often",
		},
		"throttled later": {
			after: 2 * time.Minute, bring: breaks("", labaws.Fault{Error: labaws.Throttled}), targets: 4,
			check: elb.CheckTargets, status: readiness.Pass, evidence: []string{"4 of 4"},
		},
		"not AWS": {
			bring: breaks("", labaws.Fault{Body: "<html>502 Bad Gateway</html>"}),
			class: readiness.Malformed, evidence: []string{"not AWS"}, remedy: "listens",
		},
	}
}

// One row, one check, one remedy. Were it to fail, a standby would be relied upon behind
// which there is nothing.
func TestFaults(t *testing.T) {
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) { f.play(t) })
	}
}

func (f fault) play(t *testing.T) {
	s := newStage(t)
	config, target := ofBalancer(), ofPart()
	if f.config != nil {
		f.config(&config)
	}
	if f.target != nil {
		f.target(&target)
	}
	w := s.watch(config, target)
	if f.after > 0 {
		w.good()
		s.clock.Pass(f.after)
	}
	f.bring(s)
	r, failure := w.look()
	probetest.Verdict{Class: f.class, Check: f.check, Status: f.status, Evidence: f.evidence, Remedy: f.remedy, Also: f.also}.Require(t, r, failure)
	if failure == nil {
		n, known := r.Measures[readiness.HealthyTargets]
		require.Equal(t, f.targets >= 0, known)
		require.Equal(t, max(0, f.targets), n)
	}
}

// Were it to fail, a target group that is deleted under a look would fail it.
func TestLook_AGroupDeletedMeanwhile(t *testing.T) {
	s := newStage(t)
	w := s.watch(ofBalancer(), ofPart())
	heal := s.cloud.Break(labaws.Fault{
		Asked: labaws.Asked{Service: "elasticloadbalancing", Operation: "DescribeTargetHealth"},
		Error: labaws.Error{Status: 400, Code: "TargetGroupNotFound", Message: "One or more target groups not found"},
	})
	c := probetest.Check(t, w.good(), elb.CheckTargets)
	require.Equal(t, readiness.Fail, c.Status)
	require.Contains(t, c.Evidence, "no target group")
	heal()
	s.clock.Pass(time.Minute)
	require.Equal(t, readiness.Pass, probetest.Check(t, w.good(), elb.CheckTargets).Status)
}

// Were it to fail, one load balancer that is gone would hide all others, or a large
// fleet would cost more than the page says.
func TestCost_AHundredLoadBalancers(t *testing.T) {
	const balancers, minutes = 100, 3
	s := newStage(t)
	var all []*watch
	for n := range balancers {
		lb := balancer(fmt.Sprintf("lb-%d", n))
		if n != 7 {
			s.cloud.ELB().Put(lb)
		}
		all = append(all, s.watch(elb.Config{LoadBalancer: lb.Name}, ofPart()))
	}
	var calls []int
	for range minutes {
		before := s.count("DescribeLoadBalancers")
		for range 4 { // looks every 15 s
			var looks sync.WaitGroup
			for n, w := range all {
				looks.Go(func() {
					r, err := w.probe.Look(t.Context())
					if err != nil || (r.Checks[0].Status == readiness.Pass) == (n == 7) {
						t.Errorf("load balancer %d: %v, %+v", n, err, r.Checks)
					}
				})
			}
			looks.Wait()
			s.clock.Pass(15 * time.Second)
		}
		calls = append(calls, s.count("DescribeLoadBalancers")-before)
	}
	// The SDK may break a connection off when an answer comes before it has let go of the
	// question (smithy-go, safeWriteToReadCloser), and asks again: few of these are.
	const again = 5
	for minute, want := range []int{5 + 20, 5 + 1, 5 + 1} {
		require.InDelta(t, want, calls[minute], again, "20 in a call; the one that is missing is found out once, and asked for alone: %v", calls)
	}
	require.InDelta(t, 1*minutes, s.count("DescribeTargetGroups"), again)
	require.InDelta(t, (balancers-1)*minutes, s.count("DescribeTargetHealth"), again)
}
