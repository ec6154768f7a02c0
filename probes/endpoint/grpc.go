package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// largestMessage bounds an answer. That of the health protocol has two bytes.
const largestMessage = 4 << 10

// askHealth asks by the health protocol of gRPC, once, over one connection.
//
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
func (l *look) askHealth(ctx context.Context) (s sight) {
	c := &call{look: l}
	client, err := grpc.NewClient("passthrough:///"+l.place.dial, c.options()...)
	if err != nil {
		s.add(&fault{step: stepConnect, class: readiness.Internal, what: "prepare gRPC: " + presentable(err.Error()), ours: true})
		return s
	}
	answer, err := grpc_health_v1.NewHealthClient(client).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: l.config.Service})
	took := time.Since(l.begun)
	s, c.ready = c.end(), client.GetState() == connectivity.Ready
	_ = client.Close()
	f := l.unhealthy(s, c, answer, err)
	s.add(f)
	if err == nil || f != nil && f.step == stepHealth {
		s.took, s.health = readiness.Known(took), answer.GetStatus().String()
	}
	return s
}

// call is the connection under one question to gRPC, which connects in goroutines of
// its own and may do so after the question has ended.
type call struct {
	*look

	mu    sync.Mutex
	seen  sight
	dials int
	ended bool
	heard []byte // the first of what the other side sent
	gone  bool   // it hung up
	ready bool   // it speaks HTTP/2
}

func (c *call) options() []grpc.DialOption {
	creds := credentials.TransportCredentials(transport{c})
	if !c.place.tls {
		creds = insecure.NewCredentials()
	}
	authority := c.config.GRPC // as a client without an address of its own would ask
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithContextDialer(c.dial), grpc.WithAuthority(authority), grpc.WithUserAgent("drwatch"),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithNoProxy(),
		grpc.WithMaxHeaderListSize(largestHead), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestMessage)),
	}
}

// end takes what was seen; what comes after it is not told.
func (c *call) end() sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.seen
}

// note writes down what was seen, while the question is open.
func (c *call) note(see func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		see()
	}
}

// dial opens the one connection.
func (c *call) dial(ctx context.Context, _ string) (net.Conn, error) {
	first := false
	c.note(func() { first = c.dials == 0; c.dials++ })
	if !first {
		return nil, errors.New("one connection a look")
	}
	conn, f := c.connect(ctx)
	if f != nil {
		c.note(func() { c.seen.add(f) })
		return nil, errors.New(f.what)
	}
	c.note(func() { c.seen.remote = conn.RemoteAddr().String() })
	return &ear{conn, c}, nil
}

// ear hears whether there was anything at the other end.
type ear struct {
	net.Conn
	call *call
}

func (e *ear) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.call.note(func() {
		if room := longestOpening - len(e.call.heard); room > 0 {
			e.call.heard = append(e.call.heard, p[:min(n, room)]...)
		}
		e.call.gone = e.call.gone || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	})
	return n, err
}

// transport is TLS with certificates that we judge, for gRPC.
type transport struct{ call *call }

func (t transport) ClientHandshake(ctx context.Context, _ string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	defer endWith(ctx, raw)()
	conn, shown, f := t.call.handshake(raw, "h2")
	if f == nil && conn.ConnectionState().NegotiatedProtocol != "h2" {
		f = &fault{step: stepTLS, class: readiness.TLS, what: "it offers no HTTP/2 (ALPN h2), which gRPC needs", remedy: "let what ends TLS offer h2"}
	}
	t.call.note(func() {
		t.call.seen.chain = shown
		if shown != nil {
			t.call.seen.add(shown.fault)
		}
		t.call.seen.add(f)
	})
	if f != nil {
		return nil, nil, errors.New(f.what)
	}
	return conn, credentials.TLSInfo{State: conn.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func (t transport) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("we are no server")
}

func (t transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (t transport) Clone() credentials.TransportCredentials { return t }

func (t transport) OverrideServerName(string) error { return nil }

// unhealthy tells what stands between the question and SERVING, where that is not known
// already.
func (l *look) unhealthy(s sight, c *call, answer *grpc_health_v1.HealthCheckResponse, err error) *fault {
	code, text := status.Code(err), probes.Presentable(status.Convert(err).Message(), longestTold)
	fail := func(class readiness.Class, what, remedy string) *fault {
		return &fault{step: stepHealth, class: class, what: what, remedy: remedy}
	}
	switch {
	case err == nil && answer.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING:
		return nil
	case err == nil:
		return fail(readiness.NotFound, l.service()+" is "+answer.GetStatus().String(), "see the log of the server: it says itself that it does not serve")
	case code == codes.NotFound:
		return fail(readiness.NotFound, "it knows nothing of "+l.service(), "correct grpc_service, or let the server tell of that service")
	case code == codes.Unimplemented:
		return fail(readiness.NotFound, "it does not speak the health protocol", "let it serve grpc.health.v1.Health, or watch it as tcp")
	case code == codes.PermissionDenied, code == codes.Unauthenticated:
		return fail(readiness.Denied, code.String()+": "+text, "let everybody ask for grpc.health.v1.Health")
	case slices.ContainsFunc(s.faults, func(f fault) bool { return f.step != stepCertificate }):
		return nil // it did not come so far
	case code == codes.DeadlineExceeded, code == codes.Canceled:
		return l.lost(s.reached(l.place), context.DeadlineExceeded, 0)
	case c.dials > 1, c.gone && len(c.heard) == 0:
		return l.lost(stepAnswer, io.EOF, 0)
	case bytes.HasPrefix(c.heard, []byte("HTTP/")):
		return &fault{step: stepAnswer, class: readiness.Malformed, what: "it speaks HTTP/1.1, not gRPC"}
	case c.ready:
		return fail(readiness.Malformed, code.String()+": "+text, "see the log of the server, and what stands before it")
	case c.gone:
		return &fault{step: stepAnswer, class: readiness.Unreachable, what: "it broke off: " + text}
	default:
		return &fault{step: stepAnswer, class: readiness.Malformed, what: code.String() + ": " + text}
	}
}

// reached is the step at which a question to gRPC still waits.
func (s sight) reached(at place) step {
	switch {
	case s.remote == "":
		return stepConnect
	case at.tls && s.chain == nil:
		return stepTLS
	default:
		return stepAnswer
	}
}

// service is what is asked about.
func (l *look) service() string { return cmp.Or(presentable(l.config.Service), "the server") }
