package awsbackup_test

import (
	"io"
	"log" //nolint:depguard // net/http writes to it, see below
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/probetest"
)

func TestConformance(t *testing.T) {
	log.SetOutput(io.Discard) // net/http repeats there what a mad server sends unasked
	defer log.SetOutput(os.Stderr)
	s := newStage(t, 0)
	t.Setenv("AWS_SECRET_ACCESS_KEY", probetest.Password)
	ok := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Amzn-RequestId: x\r\n"
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			pool := awsapi.NewPool(awsapi.Options{AttemptTimeout: 2 * time.Second})
			t.Cleanup(pool.Close)
			cfg := s.config()
			cfg.AWS.Endpoint = "http://" + addr
			probe, err := awsbackup.New(cfg, probes.Target{Copy: standby()}, awsbackup.NewFleet(pool))
			require.NoError(t, err)
			return probetest.Then(probe, pool.Close)
		},
		Opening: []byte(ok + "Content-Length: 5000\r\n\r\n{\"RecoveryPoints\":["),
		Garbage: map[string][]byte{
			"two gigabytes claimed": []byte(ok + "Content-Length: 2000000000\r\n\r\n{"),
			"no JSON":               []byte(ok + "Content-Length: 4\r\n\r\nyes\n"),
			"a list":                []byte(ok + "Content-Length: 2\r\n\r\n[]"),
			"points are text":       []byte(ok + "Content-Length: 24\r\n\r\n{\"RecoveryPoints\": \"no\"}"),
			"deep":                  []byte(ok + "Content-Length: 100000\r\n\r\n" + strings.Repeat("[", 100000)),
			"password in an error": []byte("HTTP/1.1 400 Bad Request\r\nX-Amzn-ErrorType: \x1b[2J\r\nContent-Length: 0\r\n\r\n" +
				strings.Repeat("!", 3000)),
		},
		Server: strings.TrimPrefix(s.cloud.URL(), "http://"),
		Skip: map[string]string{
			"concurrent": "looks at one vault share one call on purpose, so twenty of them make no twenty connections",
		},
	})
}
