package route53_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

func TestConformance(t *testing.T) {
	s := newStage(t)
	t.Setenv("AWS_ACCESS_KEY_ID", probetest.User)
	t.Setenv("AWS_SECRET_ACCESS_KEY", probetest.Password)
	probetest.Run(t, probetest.Harness{
		New: newProber,
		Opening: []byte("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 5000\r\n\r\n" +
			"<?xml version=\"1.0\"?><ListHostedZonesResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><HostedZones>"),
		Garbage: map[string][]byte{
			"a page with status 200": []byte("HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n<html>It works!</html>\r\n\r\n"),
		},
		Also: map[string][]readiness.Class{ // an HTTP client hangs up on who speaks before it was asked
			"half": {readiness.Unreachable},
			"drip": {readiness.Unreachable},
		},
		Server: strings.TrimPrefix(s.cloud.URL(), "http://"),
		Skip: map[string]string{
			"concurrent": "looks in the same account share one question: that is what keeps Route 53 from throttling us",
		},
	})
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
