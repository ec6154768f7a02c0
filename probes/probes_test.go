package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// The class decides what a person is told to do.
func TestClassify(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for want, errs := range map[readiness.Class][]error{
		readiness.Timeout:     {context.DeadlineExceeded, os.ErrDeadlineExceeded, dial(os.ErrDeadlineExceeded), context.Canceled},
		readiness.Refused:     {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))},
		readiness.Unreachable: {&net.DNSError{Name: "x", IsNotFound: true}, dial(&net.DNSError{Name: "x"}), dial(syscall.EHOSTUNREACH), io.EOF, io.ErrUnexpectedEOF},
		readiness.TLS: {
			x509.UnknownAuthorityError{}, x509.HostnameError{Certificate: &x509.Certificate{}}, tls.RecordHeaderError{}, tls.AlertError(42),
			&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")},
		},
		readiness.Internal: {errors.New("nobody knows")},
	} {
		for _, err := range errs {
			require.Equal(t, want, Classify(fmt.Errorf("look: %w", err)), "%v", err)
		}
	}
}

func TestAsFailure_KeepsTheClassAndTheWholeText(t *testing.T) {
	require.Nil(t, AsFailure(nil))
	failure := AsFailure(fmt.Errorf("look at x: %w", Fail(readiness.Throttled, "too often")))
	require.Equal(t, readiness.Throttled, failure.Class)
	require.Equal(t, "look at x: too often", failure.Error())
}
