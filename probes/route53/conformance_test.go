package route53_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
)

func TestConformance(t *testing.T) {
	s := newStage(t)
	probetest.Run(t, probetest.OfAWS(t, newProber, strings.TrimPrefix(s.cloud.URL(), "http://"),
		"<?xml version=\"1.0\"?><ListHostedZonesResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><HostedZones>"))
}

func newProber(t testing.TB, addr string) probetest.Prober {
	pool := awsapi.NewPool(awsapi.Options{})
	c := ofPair()
	c.AWS.Endpoint = "http://" + addr
	fleet := route53.NewFleet(pool)
	fleet.SetPace(0)
	probe, err := route53.New(c, probes.Target{Service: ofService()}, fleet)
	require.NoError(t, err)
	return probetest.Then(probe, pool.Close)
}
