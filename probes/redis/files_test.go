//go:build unix

package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Files on a mount that is dead hang, as a pipe does into which nobody writes: a
// user would look for the fault on the server.
func TestLook_FileHangs(t *testing.T) {
	pipe := probetest.DeadFile(t)
	for name, config := range map[string]redis.Config{
		"password": {URL: "redis://drwatch@127.0.0.1:1", PasswordFile: pipe},
		"CA":       {URL: "rediss://127.0.0.1:1", TLS: &redis.TLS{CAFile: pipe}},
		"key":      {URL: "rediss://127.0.0.1:1", TLS: &redis.TLS{CertFile: pipe, KeyFile: pipe}},
	} {
		t.Run(name, func(t *testing.T) {
			_, failure := lookOnce(t, config)
			require.NotNil(t, failure)
			require.Equal(t, readiness.Timeout, failure.Class)
			require.ErrorContains(t, failure, pipe)
		})
	}
}
