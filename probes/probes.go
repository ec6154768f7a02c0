// Package probes holds what the probes of every technology share: how a failed
// look is classed, and how a mistake in a probe's configuration is told. Each
// technology has a folder of its own below.
//
// A probe asks and nothing else. It has a method
//
//	Look(ctx context.Context) (readiness.Reading, error)
//
// that makes one look, is done when ctx is, leaves no connection or goroutine
// behind, and may be called by several goroutines. What it cannot learn it
// leaves unknown. When to look is for others to decide.
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
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Problem is a mistake in the configuration of a probe.
type Problem struct {
	// Path leads from the probe's own part of the file to the mistake, keys
	// joined by dots.
	Path string
	// Message says what is wrong and what to write instead.
	Message string
}

// Problems are the mistakes found so far.
type Problems []Problem

// Add notes a mistake at a path.
func (p *Problems) Add(path, format string, args ...any) {
	*p = append(*p, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Target is what a probe is told of the copy, or of the part of a service, that
// it looks at.
type Target struct {
	Copy readiness.Copy
	// Service and Part are there in place of the copy.
	Service Service
	Part    readiness.Part
	// Instance is the name of this drwatch, under which it writes where it is
	// allowed to write at all.
	Instance string
}

// Sides are what the file names for the side of the part, and for the other one;
// nothing where the part is on no side.
func (t Target) Sides() (own, other []string) {
	switch t.Part.Side {
	case readiness.PrimarySide:
		return t.Service.Primary, t.Service.Standby
	case readiness.StandbySide:
		return t.Service.Standby, t.Service.Primary
	default:
		return nil, nil
	}
}

// Service is what is known of a service by all who look at its parts.
type Service struct {
	// Host is the name under which clients reach it, without a dot at the end.
	Host string
	// Primary and Standby are where the name leads, on either side: names of load
	// balancers or other hosts, IP addresses, or prefixes of them.
	Primary, Standby []string
	// RTO is the shortest time in which the service has to be back, of all scenarios
	// in which it has to move; zero where nothing is promised.
	RTO time.Duration
}

// Fail makes the error of a look that failed for a known reason.
func Fail(class readiness.Class, format string, args ...any) *readiness.Failure {
	return &readiness.Failure{Class: class, Err: fmt.Errorf(format, args...)}
}

// Recovered is to be deferred, and turns a panic into an error: one in a goroutine of a probe's
// own is not where others guard against it, and would end the process.
func Recovered(err *error) {
	if cause := recover(); cause != nil {
		*err = Fail(readiness.Internal, "the probe panicked: %v", cause)
	}
}

// AsFailure gives every error of a look its class: its own, or that of the
// network error underneath.
func AsFailure(err error) *readiness.Failure {
	if err == nil {
		return nil
	}
	var failure *readiness.Failure
	if errors.As(err, &failure) {
		return &readiness.Failure{Class: failure.Class, Err: err}
	}
	return &readiness.Failure{Class: Classify(err), Err: err}
}

// Classify tells the class of a network error. What it does not know is a fault
// of our own.
func Classify(err error) readiness.Class {
	var (
		dns       *net.DNSError
		timeout   interface{ Timeout() bool }
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		operation *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return readiness.Timeout
	case errors.As(err, &dns):
		return readiness.Unreachable
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify),
		errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		return readiness.TLS
	case errors.As(err, &operation) && operation.Op == "remote error": // crypto/tls: an alert of the other side
		return readiness.TLS
	case errors.As(err, &timeout) && timeout.Timeout():
		return readiness.Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return readiness.Refused
	case errors.As(err, &operation), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return readiness.Unreachable
	default:
		return readiness.Internal
	}
}
