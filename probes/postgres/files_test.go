//go:build unix

package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Files on a mount that is dead hang, as a pipe does into which nobody writes: a
// user would look for the fault on the server.
func TestLook_FileHangs(t *testing.T) {
	pipe := probetest.DeadFile(t)
	const dsn = "postgres://drwatch@127.0.0.1:1/festivals"
	for name, config := range map[string]Config{
		"password": {DSN: dsn, PasswordFile: pipe},
		"CA":       {DSN: dsn + "?sslmode=verify-full&sslrootcert=" + pipe},
		"key":      {DSN: dsn + "?sslcert=" + pipe + "&sslkey=" + pipe},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := newProbe(t, config, primaryCopy()).Look(ctx)
			failure := probes.AsFailure(err)
			require.NotNil(t, failure)
			require.Equal(t, readiness.Timeout, failure.Class)
			require.ErrorContains(t, failure, pipe)
		})
	}
}
