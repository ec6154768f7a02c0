package elb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

const (
	central   = "eu-central-1"
	name      = "festivals-api-dr"
	arn       = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/festivals-api-dr/50dc6c495c0c9188"
	standbyLB = "festivals-api-dr-9f8e7d.eu-central-1.elb.amazonaws.com"
	primaryLB = "festivals-api-0a1b2c.eu-west-1.elb.amazonaws.com"
)

// stage is the load balancer of the standby region in the stand-in, with four targets
// in two zones.
type stage struct {
	t     testing.TB
	clock *probetest.Clock
	cloud *labaws.Cloud
	pool  *awsapi.Pool
	fleet *elb.Fleet
}

func newStage(t testing.TB) *stage {
	t.Helper()
	probetest.Credentials(t, "AKIALAB", "lab")
	s := &stage{t: t, clock: probetest.NewClock(time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC))}
	cloud, err := labaws.Start(t.Context(), labaws.Options{Now: s.clock.Now})
	require.NoError(t, err)
	s.cloud = cloud
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.clock.Now})
	s.fleet = elb.NewFleet(s.pool)
	t.Cleanup(func() {
		s.pool.Close()
		require.NoError(t, cloud.Close())
	})
	s.cloud.ELB().Put(balancer(name))
	return s
}

func balancer(name string) labaws.LoadBalancer {
	lb := labaws.LoadBalancer{Name: name, DNSName: standbyLB, Region: central, Zones: []string{"eu-central-1a", "eu-central-1b"}}
	g := labaws.TargetGroup{Name: name + "-api", Port: 8080, HealthPath: "/health"}
	for n := range 4 {
		g.Targets = append(g.Targets, labaws.BalancedTarget{ID: fmt.Sprintf("10.1.%d.10", n), Zone: lb.Zones[n%2]})
	}
	lb.TargetGroups = []labaws.TargetGroup{g}
	return lb
}

// change makes the load balancer anew.
func change(to func(*labaws.LoadBalancer)) func(*stage) {
	return func(s *stage) {
		lb := balancer(name)
		to(&lb)
		s.cloud.ELB().Put(lb)
	}
}

// targets makes its targets anew.
func targets(to func(n int, t *labaws.BalancedTarget)) func(*stage) {
	return change(func(lb *labaws.LoadBalancer) {
		for n := range lb.TargetGroups[0].Targets {
			to(n, &lb.TargetGroups[0].Targets[n])
		}
	})
}

func ofBalancer() elb.Config { return elb.Config{LoadBalancer: name, MinHealthy: 3, MinZones: 2} }

func ofPart() probes.Target {
	return probes.Target{
		Service: probes.Service{Host: "api.festivals.app", Primary: []string{primaryLB}, Standby: []string{standbyLB}},
		Part:    readiness.Part{Name: "targets", Kind: readiness.Balancer, Region: central, Side: readiness.StandbySide},
	}
}

// watch looks at one load balancer as the monitor does.
type watch struct {
	*stage
	probe  *elb.Probe
	checks []string
}

func (s *stage) watch(c elb.Config, target probes.Target) *watch {
	s.t.Helper()
	c.AWS.Endpoint = s.cloud.URL()
	probe, err := elb.New(c, target, s.fleet)
	require.NoError(s.t, err)
	return &watch{stage: s, probe: probe, checks: elb.Checks(c, target)}
}

func (w *watch) look() (readiness.Reading, *readiness.Failure) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	r, err := w.probe.Look(ctx)
	if err != nil {
		return r, probes.AsFailure(err)
	}
	probetest.RequireAnswers(w.t, w.checks, r)
	return r, nil
}

func (w *watch) good() readiness.Reading {
	w.t.Helper()
	r, failure := w.look()
	require.Nil(w.t, failure)
	return r
}

// count tells how often an operation was asked for.
func (s *stage) count(operation string) (n int) {
	for asked, times := range s.cloud.Calls() {
		if asked.Operation == operation {
			n += times
		}
	}
	return n
}
