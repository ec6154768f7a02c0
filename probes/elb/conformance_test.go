package elb_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/probetest"
)

func TestConformance(t *testing.T) {
	s := newStage(t)
	probetest.Run(t, probetest.OfAWS(t, newProber, strings.TrimPrefix(s.cloud.URL(), "http://"),
		"<DescribeLoadBalancersResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><DescribeLoadBalancersResult>"))
}

func newProber(t testing.TB, addr string) probetest.Prober {
	pool := awsapi.NewPool(awsapi.Options{Attempts: 1})
	c := ofBalancer()
	c.AWS.Endpoint = "http://" + addr
	probe, err := elb.New(c, ofPart(), elb.NewFleet(pool))
	require.NoError(t, err)
	return probetest.Then(probe, pool.Close)
}
