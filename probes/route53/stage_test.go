package route53_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

const (
	zoneID     = "Z0FESTIVALS"
	host       = "api.festivals.app"
	primaryLB  = "festivals-api-0a1b2c.eu-west-1.elb.amazonaws.com"
	standbyLB  = "festivals-api-dr-9f8e7d.eu-central-1.elb.amazonaws.com"
	primaryHC  = "11111111-aaaa-bbbb-cccc-000000000001"
	standbyHC  = "22222222-aaaa-bbbb-cccc-000000000002"
	zoneOfWest = "Z32O12XQLNTSW2" // of the load balancers of eu-west-1
)

// stage is the service of the example in the stand-in: a pair of alias records, each
// with a health check of its load balancer.
type stage struct {
	t     testing.TB
	clock *probetest.Clock
	cloud *labaws.Cloud
	r53   *labaws.Route53
	pool  *awsapi.Pool
	fleet *route53.Fleet
}

func newStage(t testing.TB) *stage {
	t.Helper()
	probetest.Credentials(t, "AKIALAB", "lab")
	s := &stage{t: t, clock: probetest.NewClock(time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC))}
	cloud, err := labaws.Start(t.Context(), labaws.Options{Now: s.clock.Now})
	require.NoError(t, err)
	s.cloud, s.r53 = cloud, cloud.Route53()
	s.restart()
	t.Cleanup(func() {
		s.pool.Close()
		require.NoError(t, cloud.Close())
	})
	s.populate()
	return s
}

// restart is what a new configuration does: a new pool and a new fleet.
func (s *stage) restart() {
	if s.pool != nil {
		s.pool.Close()
	}
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.clock.Now})
	s.fleet = route53.NewFleet(s.pool)
	s.fleet.SetPace(0)
}

func (s *stage) populate() {
	s.r53.PutZone(labaws.Zone{ID: zoneID, Name: "festivals.app."})
	s.pair(host, primaryHC, standbyHC)
}

// pair makes a name that health checks move.
func (s *stage) pair(name, primary, standby string) {
	s.r53.PutRecord(member(name, "PRIMARY", primaryLB, primary))
	s.r53.PutRecord(member(name, "SECONDARY", standbyLB, standby))
	s.check(primary, primaryLB)
	s.check(standby, standbyLB)
}

// check makes a health check that is well.
func (s *stage) check(id, of string) {
	s.r53.PutHealthCheck(healthCheck(id, of))
	s.r53.SetHealth(id, true, "HTTP Status Code 200, OK")
}

func member(name, role, leads, check string) labaws.RecordSet {
	return labaws.RecordSet{
		Zone: zoneID, Name: name, Type: "A", SetIdentifier: strings.ToLower(role), Failover: role, HealthCheck: check,
		Alias: &labaws.AliasTarget{DNSName: "dualstack." + leads + ".", HostedZoneID: zoneOfWest, EvaluateTargetHealth: true},
	}
}

func healthCheck(id, of string) labaws.HealthCheck {
	return labaws.HealthCheck{ID: id, Type: "HTTPS", FQDN: of, Port: 443, Path: "/health", Interval: 10, Threshold: 3}
}

func ofService() probes.Service {
	return probes.Service{Host: host, Primary: []string{primaryLB}, Standby: []string{standbyLB}, RTO: 15 * time.Minute}
}

func ofPair() route53.Config {
	return route53.Config{Zone: "festivals.app", HealthCheck: route53.HealthCheck{Path: "/health", Port: 443}}
}

// watch looks at one record as the monitor does.
type watch struct {
	*stage
	probe  *route53.Probe
	checks []string
}

func (s *stage) watch(c route53.Config, service probes.Service) *watch {
	s.t.Helper()
	c.AWS.Endpoint = s.cloud.URL()
	target := probes.Target{Service: service, Part: readiness.Part{Name: "record", Kind: readiness.Record}}
	probe, err := route53.New(c, target, s.fleet)
	require.NoError(s.t, err)
	return &watch{stage: s, probe: probe, checks: route53.Checks(c, target)}
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

// total is how many calls of Route 53 were made.
func (s *stage) total() (n int) {
	for asked, times := range s.cloud.Calls() {
		if asked.Service == "route53" {
			n += times
		}
	}
	return n
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

// valued is a metric that always has one value.
func valued(v float64) func(context.Context, time.Time) (float64, bool) {
	return func(context.Context, time.Time) (float64, bool) { return v, true }
}
