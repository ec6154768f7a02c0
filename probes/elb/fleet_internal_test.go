package elb

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, each deployment that brings target groups of its own would leave
// something behind, for as long as drwatch runs.
func TestFleet_TargetGroupsThatComeAndGo(t *testing.T) {
	probetest.Credentials(t, "AKIALAB", "lab")
	clock := probetest.NewClock(time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC))
	cloud, err := labaws.Start(t.Context(), labaws.Options{Now: clock.Now})
	require.NoError(t, err)
	pool := awsapi.NewPool(awsapi.Options{Now: clock.Now})
	t.Cleanup(func() {
		pool.Close()
		require.NoError(t, cloud.Close())
	})
	fleet := NewFleet(pool)
	target := probes.Target{Part: readiness.Part{Name: "targets", Kind: readiness.Balancer, Region: "eu-central-1", Side: readiness.StandbySide}}
	probe, err := New(Config{LoadBalancer: "api", AWS: awsapi.Access{Endpoint: cloud.URL()}}, target, fleet)
	require.NoError(t, err)
	for n := range 20 {
		cloud.ELB().Put(labaws.LoadBalancer{
			Name: "api", DNSName: "api.eu-central-1.elb.amazonaws.com", Region: "eu-central-1", Zones: []string{"eu-central-1a"},
			TargetGroups: []labaws.TargetGroup{{Name: fmt.Sprintf("deployed-%d", n), Port: 80, HealthPath: "/", Targets: []labaws.BalancedTarget{{ID: "10.0.0.1", Zone: "eu-central-1a"}}}},
		})
		_, err := probe.Look(t.Context())
		require.NoError(t, err)
		clock.Pass(time.Minute)
	}
	require.Len(t, probe.region.targets, 1)
}
