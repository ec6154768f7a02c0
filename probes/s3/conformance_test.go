package s3_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, what answers in place of S3 could hold up the looking, or be believed.
func TestConformance(t *testing.T) {
	s := newStage(t)
	t.Setenv("AWS_ACCESS_KEY_ID", probetest.User)
	t.Setenv("AWS_SECRET_ACCESS_KEY", probetest.Password)
	answer := func(status, body string) []byte {
		return []byte("HTTP/1.1 " + status + "\r\nContent-Type: application/xml\r\nX-Amz-Request-Id: 1\r\nConnection: close\r\n\r\n" + body)
	}
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			pool := awsapi.NewPool(awsapi.Options{Attempts: 1, AttemptTimeout: 10 * time.Second})
			cfg := config()
			cfg.AWS.Endpoint = "http://" + addr
			probe, err := s3.New(cfg, probes.Target{Copy: readiness.Copy{Name: "dumps", Kind: readiness.Backup, Region: region}}, s3.NewFleet(pool))
			require.NoError(t, err)
			return probetest.Then(probe, pool.Close)
		},
		Opening: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n<?xml version=\"1.0\"?><ListBucketResult><Name>" + name + "</Name>"),
		Garbage: map[string][]byte{
			"page with status 200":   answer("200 OK", "<html>It works!</html>"),
			"another bucket":         answer("200 OK", "<ListBucketResult><Name>other</Name></ListBucketResult>"),
			"nothing":                answer("200 OK", ""),
			"no end of elements":     answer("200 OK", strings.Repeat("<a>", 100_000)),
			"no number":              answer("200 OK", "<ListBucketResult><Name>"+name+"</Name><Contents><Size>many</Size></Contents></ListBucketResult>"),
			"password in an error":   answer("400 Bad Request", "<Error><Code>X</Code><Message>\x1b[2J"+strings.Repeat("!", 3000)+"</Message></Error>"),
			"two gigabytes promised": []byte("HTTP/1.1 200 OK\r\nX-Amz-Request-Id: 1\r\nContent-Length: 2000000000\r\nConnection: close\r\n\r\n<ListBucketResult>"),
		},
		Also: map[string][]readiness.Class{ // an HTTP client hangs up on who speaks before it was asked
			"half": {readiness.Unreachable},
			"drip": {readiness.Unreachable},
		},
		Skip: map[string]string{
			"concurrent": "looks at one copy share one listing on purpose, so twenty of them make no twenty connections",
		},
		Server: strings.TrimPrefix(s.cloud.URL(), "http://"),
	})
}
