package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// connect opens the connection. The fault says how far it came.
func (l *look) connect(ctx context.Context) (net.Conn, *fault) {
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", l.place.dial)
	if err == nil {
		return conn, nil
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return nil, &fault{step: stepName, class: readiness.Unreachable, what: "no such host", remedy: "put the name back into the DNS, or correct it in the file"}
	case errors.As(err, &dns):
		return nil, &fault{step: stepName, class: readiness.Unreachable, what: "our resolver gives no answer: " + probes.Presentable(dns.Err, 80), ours: true}
	case exhausted(err):
		return nil, &fault{step: stepConnect, class: readiness.Internal, what: probes.Presentable(err.Error(), longestTold), ours: true}
	}
	return nil, l.lost(stepConnect, err, 0)
}

// exhausted reports whether it is this machine that has no connection to give.
func exhausted(err error) bool {
	for _, want := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// endWith makes what is done on a connection end when the context does.
func endWith(ctx context.Context, conn net.Conn) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// handshake makes the connection one of TLS and judges the certificates. What is
// wrong with those is in the chain; the fault is that there is no TLS.
func (l *look) handshake(conn net.Conn, protocol string) (*tls.Conn, *chain, *fault) {
	var shown *chain
	secure := tls.Client(conn, &tls.Config{
		ServerName: l.place.name, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12,
		// Without the hybrid of ML-KEM, which adds a quarter to the time of a look and half to
		// its memory: nothing that passes here has to stay secret for decades.
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		InsecureSkipVerify: true, // it is verified by us, to the same end, below
		VerifyConnection: func(state tls.ConnectionState) error {
			shown = l.judge(state.PeerCertificates)
			return nil
		},
	})
	if err := secure.Handshake(); err != nil { //nolint:noctx // the connection ends with the context already, and without a goroutine
		return nil, nil, l.noTLS(err)
	}
	return secure, shown, nil
}

func (l *look) noTLS(err error) *fault {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		f := &fault{step: stepTLS, class: readiness.TLS, what: "it does not speak TLS", remedy: "see what listens there; if it is meant to be without TLS, say so in the file"}
		if string(record.RecordHeader[:]) == "HTTP/" {
			f.what = "it speaks HTTP without TLS"
		}
		return f
	}
	return l.lost(stepTLS, err, 0)
}

// longestTold is how much of what others wrote is shown.
const longestTold = 120

// lost tells why a step got no answer, or none to the end, after so many bytes of it.
func (l *look) lost(at step, err error, bytes int64) *fault {
	f := &fault{step: at, class: probes.Classify(err)}
	var said *net.OpError
	switch {
	case f.class == readiness.Timeout:
		f.what, f.remedy = "nothing within "+told(time.Since(l.begun)), "see whether the server hangs, and what it waits for"
		if bytes > 0 {
			f.what = "it did not end within " + told(time.Since(l.begun))
		} else if at == stepConnect {
			f.remedy = "see whether it is there, and whether a firewall or a security group drops what comes from " + l.vantage
		}
	case f.class == readiness.Refused:
		f.what = "refused: nobody listens there"
	case errors.As(err, &said) && said.Op == "remote error": // of TLS; its texts are those of crypto/tls
		f.what, f.class = "it turns us away: "+said.Err.Error(), readiness.TLS
		f.remedy = "see what it wants of a client (versions, a certificate, which drwatch has none of): watch it as tcp where that cannot be had"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		f.what = "the connection was reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		f.what = "there is no route to it"
	case (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && bytes == 0:
		f.what, f.class = "it hung up without a word", readiness.Unreachable
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		f.what, f.class = "it broke off", readiness.Unreachable
	default:
		f.what = probes.Presentable(l.redact(err.Error()), longestTold)
		if f.class == readiness.Internal { // an answer that a library cannot read
			f.class = readiness.Malformed
		}
		if at == stepTLS {
			f.class = readiness.TLS
		}
	}
	if f.remedy == "" && f.class == readiness.Unreachable {
		f.remedy = "see the logs of what listens there, and what stands in between: load balancer, firewall, security group"
	}
	return f
}

// told is a length of time for people.
func told(d time.Duration) string { return readiness.InSeconds(d).String() }
