//go:build unix

package endpoint_test

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// bound is a port that is taken, and what it was bound with.
func bound(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// dead is an address at which nobody listens.
func dead(t *testing.T, _ stage) string {
	_, address := bound(t)
	return address
}

// full is a port whose connections nobody takes any more: to connect hangs, as it does
// behind a firewall that drops.
func full(t *testing.T, _ stage) string {
	fd, address := bound(t)
	require.NoError(t, syscall.Listen(fd, 0))
	for range 100 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	require.Fail(t, "the port takes any number of connections")
	return ""
}

// Files on a mount that is dead hang, as a pipe does into which nobody writes: a user
// would look for the fault on the server.
func TestLook_FileHangs(t *testing.T) {
	pipe := probetest.DeadFile(t)
	for name, config := range map[string]endpoint.Config{
		"CA":     {URL: "https://127.0.0.1:1", CAFile: pipe},
		"header": {URL: "https://127.0.0.1:1", HeaderFiles: map[string]string{"Authorization": pipe}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), hung)
			defer cancel()
			_, err := newProbe(t, config).Look(ctx)
			var failure *readiness.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, readiness.Timeout, failure.Class)
			require.ErrorContains(t, failure, pipe)
		})
	}
}
