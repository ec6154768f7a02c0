package endpoint_test

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/drwatch/drwatch/lab/api"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/readiness"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hung is the time of a look that runs out of it.
const hung = 300 * time.Millisecond

const (
	ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}"
	liar  = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"status\":\"error\"}"
)

// fault is what is wrong with an endpoint, and what has to be said of it.
type fault struct {
	name   string
	serve  func(t *testing.T, s stage) (address string)
	config func(c *endpoint.Config)
	within time.Duration
	want   string // the status of each check; what is not named passes
}

// stage is who signs what.
type stage struct {
	trusted, stranger authority
	good              tls.Certificate
}

func newStage(t *testing.T) stage {
	t.Helper()
	s := stage{trusted: newAuthority(t, "Festivals Root", far()), stranger: newAuthority(t, "Somebody Else", far())}
	s.good = s.trusted.issue(t, nil)
	return s
}

func far() time.Time { return time.Now().AddDate(5, 0, 0) }

func plain(answer func(net.Conn)) func(*testing.T, stage) string {
	return func(t *testing.T, _ stage) string { return listen(t, answer) }
}

func inTLS(answer func(net.Conn)) func(*testing.T, stage) string {
	return func(t *testing.T, s stage) string { return listen(t, secure(s.good, answer)) }
}

// shows serves well, under a certificate that is made for the test.
func shows(issue func(*testing.T, stage) tls.Certificate) func(*testing.T, stage) string {
	return func(t *testing.T, s stage) string { return listen(t, secure(issue(t, s), say(ok200))) }
}

func issued(change func(*x509.Certificate)) func(*testing.T, stage) string {
	return shows(func(t *testing.T, s stage) tls.Certificate { return s.trusted.issue(t, change) })
}

// regional is the API of the lab, in a mode.
func regional(mode api.Mode) func(*testing.T, stage) string {
	return func(t *testing.T, s stage) string {
		options := api.Options{Region: "eu-central-1", Address: "127.0.0.1:0", Certificate: s.good, Bad: map[api.Mode]tls.Certificate{
			api.Expired: s.trusted.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-73 * time.Hour) }),
		}}
		server, err := api.Start(t.Context(), options)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		require.NoError(t, server.Set(mode))
		return server.Address()
	}
}

// healthy is a server of gRPC, with a health service or without.
func healthy(with bool, options ...grpc.ServerOption) func(*testing.T, stage) string {
	return func(t *testing.T, s stage) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server := grpc.NewServer(append(options, grpc.Creds(credentials.NewServerTLSFromCert(&s.good)))...)
		if with {
			states := health.NewServer()
			states.SetServingStatus("festivals.v1.Tickets", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			grpc_health_v1.RegisterHealthServer(server, states)
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
		return listener.Addr().String()
	}
}

func faults() []fault {
	http := func(c *endpoint.Config) { c.URL = "http://" + host + "/health"; c.CAFile = "" }
	grpc := func(service string) func(*endpoint.Config) {
		return func(c *endpoint.Config) {
			*c = endpoint.Config{GRPC: c.Address, Service: service, TLS: true, ServerName: host, CAFile: c.CAFile}
		}
	}
	plainly := func(change func(*endpoint.Config)) func(*endpoint.Config) {
		return func(c *endpoint.Config) { change(c); c.TLS, c.ServerName, c.CAFile = false, "", "" }
	}
	both := func(changes ...func(*endpoint.Config)) func(*endpoint.Config) {
		return func(c *endpoint.Config) {
			for _, change := range changes {
				change(c)
			}
		}
	}
	tcp := func(c *endpoint.Config) { *c = endpoint.Config{TCP: c.Address} }
	body := func(c *endpoint.Config) { c.Body = `"ok"` }
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
	const unanswered = "up=fail certificate=unknown status=unknown"
	return []fault{
		{name: "well, HTTPS", serve: inTLS(say(ok200)), config: body},
		{name: "well, HTTP", serve: plain(say(ok200)), config: http},
		{name: "well, TCP", serve: plain(swallow), config: tcp},
		{name: "well, gRPC", serve: healthy(true), config: grpc("")},
		{name: "well, the lab over HTTPS", serve: regional(api.Up), config: body},
		{name: "well, the lab over gRPC", serve: regional(api.Up), config: grpc("")},

		{name: "refused", serve: dead, want: unanswered},
		{name: "refused, TCP", serve: dead, config: tcp, want: "up=fail"},
		{name: "reset", serve: plain(say("", reset)), config: http, want: "up=fail status=unknown"},
		{name: "hangs at connect", serve: full, within: hung, want: unanswered},
		{name: "hangs at TLS", serve: plain(swallow), within: hung, want: unanswered},
		{name: "hangs at headers", serve: inTLS(say("HTTP/1.1 200 OK\r\nServer: api\r\n", swallow)), within: hung, want: "up=fail status=unknown"},
		{name: "hangs at body", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"sta", swallow)), config: body, within: hung, want: "up=fail body=unknown"},
		{name: "hangs, the lab", serve: regional(api.Hang), within: hung, want: unanswered},
		{name: "down, the lab", serve: regional(api.Down), want: unanswered},
		{name: "slow", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), config: func(c *endpoint.Config) { c.MaxLatency = time.Nanosecond }, want: "latency=warn"},
		{name: "slow beyond the deadline", serve: regional(api.Slow), config: func(c *endpoint.Config) { c.MaxLatency = time.Second }, within: hung, want: "up=fail status=unknown latency=unknown"},
		{name: "hangs up", serve: inTLS(say("")), want: "up=fail status=unknown"},
		{name: "hangs up in TLS", serve: plain(func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }), want: unanswered},
		{name: "breaks off in the head", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-")), want: "up=fail status=unknown"},
		{name: "breaks off in the body", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"")), config: body, want: "up=fail body=unknown"},

		{name: "503", serve: regional(api.Bad), config: body, want: "up=fail status=fail body=fail"},
		{name: "401", serve: inTLS(say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")), want: "up=fail status=fail"},
		{name: "404", serve: inTLS(say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), want: "up=fail status=fail"},
		{name: "redirect", serve: inTLS(say("HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")), want: "up=fail status=fail"},
		{name: "200 and a lie", serve: regional(api.Lie), config: body, want: "up=fail body=fail"},
		{name: "200 and a lie, by pattern", serve: inTLS(say(liar)), config: func(c *endpoint.Config) { c.BodyMatches = `"status":\s*"ok"` }, want: "up=fail body=fail"},
		{name: "200 and no text", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x00\x01\x02\xff")), config: body, want: "up=fail body=fail"},
		{name: "200 and nothing", serve: inTLS(say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), config: body, want: "up=fail body=fail"},
		{name: "body too large", serve: inTLS(say(ok200)), config: both(body, func(c *endpoint.Config) { c.MaxBody = 14 }), want: "up=fail body=fail"},
		{name: "body too large, and not looked at", serve: inTLS(say(ok200)), config: func(c *endpoint.Config) { c.MaxBody = 14 }},
		{name: "head too large", serve: inTLS(say("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n")), want: "up=fail status=unknown"},
		{name: "no HTTP", serve: inTLS(say("SSH-2.0-OpenSSH_9.2\r\n")), want: "up=fail status=unknown"},
		{name: "half of HTTP", serve: inTLS(say("HTTP/1.1 OK\r\n\r\n")), want: "up=fail status=unknown"},
		{name: "HTTP on the port of TLS", serve: plain(func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); swallow(c) }), want: unanswered},
		{name: "an alert of TLS on the port of HTTP", serve: plain(say("\x15\x03\x01\x00\x02\x02\x46")), config: http, want: "up=fail status=unknown"},
		{name: "HTTP/2 alone", serve: plain(say("\x00\x00\x00\x04\x00\x00\x00\x00\x00")), config: http, want: "up=fail status=unknown"},
		{name: "TLS on the port of HTTP", serve: regional(api.Up), config: http, want: "up=fail status=fail"},

		{name: "expired", serve: regional(api.Expired), config: body, want: "up=fail certificate=fail"},
		{name: "not yet valid", serve: issued(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(49*time.Hour + time.Minute) }), want: "up=fail certificate=fail"},
		{name: "wrong name", serve: issued(func(c *x509.Certificate) { c.DNSNames = []string{"www.festivals.test"} }), want: "up=fail certificate=fail"},
		{name: "wrong name of many, and expired", serve: issued(func(c *x509.Certificate) {
			c.DNSNames, c.NotAfter = []string{"a.test", "b.test", "c.test"}, time.Now().Add(-time.Hour)
		}), want: "up=fail certificate=fail"},
		{name: "unknown authority", serve: shows(func(t *testing.T, s stage) tls.Certificate { return s.stranger.issue(t, nil, s.stranger) }), want: "up=fail certificate=fail"},
		{name: "self-signed", serve: shows(func(t *testing.T, s stage) tls.Certificate {
			self := newAuthority(t, host, time.Now().AddDate(0, 0, 80))
			return tls.Certificate{Certificate: [][]byte{self.cert.Raw}, PrivateKey: self.key}
		}), want: "up=fail certificate=fail"},
		{name: "no intermediate", serve: shows(func(t *testing.T, s stage) tls.Certificate {
			return s.trusted.sign(t, "Festivals CA 1", time.Now().AddDate(1, 0, 0)).issue(t, nil)
		}), want: "up=fail certificate=fail"},
		{name: "expired intermediate", serve: shows(func(t *testing.T, s stage) tls.Certificate {
			below := s.trusted.sign(t, "Festivals CA 1", time.Now().AddDate(0, 0, -1))
			return below.issue(t, nil, below)
		}), want: "up=fail certificate=fail"},
		{name: "expires soon", serve: issued(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 20).Add(time.Minute) }), want: "certificate=warn"},
		{name: "intermediate expires soon", serve: shows(func(t *testing.T, s stage) tls.Certificate {
			below := s.trusted.sign(t, "Festivals CA 1", time.Now().AddDate(0, 0, 20).Add(time.Minute))
			return below.issue(t, nil, below)
		}), want: "certificate=warn"},
		{name: "wants a certificate of ours", serve: func(t *testing.T, s stage) string {
			return listen(t, func(c net.Conn) {
				conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.good}, ClientAuth: tls.RequireAnyClientCert})
				_ = conn.Handshake()
				swallow(c)
			})
		}, want: "up=fail status=unknown"},

		{name: "gRPC, NOT_SERVING", serve: healthy(true), config: grpc("festivals.v1.Tickets"), want: "up=fail grpc-health=fail"},
		{name: "gRPC, unknown service", serve: healthy(true), config: grpc("festivals.v1.Nobody"), want: "up=fail grpc-health=fail"},
		{name: "gRPC, unimplemented", serve: healthy(false), config: grpc(""), want: "up=fail grpc-health=fail"},
		{name: "gRPC, unavailable", serve: regional(api.Bad), config: grpc(""), want: "up=fail grpc-health=fail"},
		{name: "gRPC, expired", serve: regional(api.Expired), config: grpc(""), want: "up=fail certificate=fail"},
		{name: "gRPC, refused", serve: dead, config: grpc(""), want: "up=fail certificate=unknown grpc-health=unknown"},
		{name: "gRPC, hangs at connect", serve: full, config: grpc(""), within: hung, want: "up=fail certificate=unknown grpc-health=unknown"},
		{name: "gRPC, hangs at TLS", serve: plain(swallow), config: grpc(""), within: hung, want: "up=fail certificate=unknown grpc-health=unknown"},
		{name: "gRPC, hangs", serve: plain(swallow), config: plainly(grpc("")), within: hung, want: "up=fail grpc-health=unknown"},
		{name: "gRPC, slow", serve: regional(api.Slow), config: grpc(""), within: hung, want: "up=fail grpc-health=unknown"},
		{name: "gRPC, hangs up", serve: plain(func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }), config: plainly(grpc("")), want: "up=fail grpc-health=unknown"},
		{name: "gRPC, HTTP/1.1 in its place", serve: plain(func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); swallow(c) }), config: plainly(grpc("")), want: "up=fail grpc-health=unknown"},
		{name: "gRPC, no HTTP/2", serve: inTLS(swallow), config: grpc(""), want: "up=fail grpc-health=unknown"},
	}
}

// Each fault has to be told by the check that is about it, in words that a person can
// act on, and an endpoint that turns clients away must never be called up.
func TestLook_Faults(t *testing.T) {
	s := newStage(t)
	var told strings.Builder
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			config := endpoint.Config{URL: "https://" + host + "/health", Address: f.serve(t, s), CAFile: s.trusted.file}
			address := config.Address
			if f.config != nil {
				f.config(&config)
			}
			if f.within == 0 {
				f.within = enough
			}
			began := time.Now()
			reading := lookWithin(t, config, f.within)
			require.Less(t, time.Since(began), f.within+500*time.Millisecond)
			fmt.Fprintf(&told, "%s\n", f.name)
			names := endpoint.Checks(config, standby())
			require.Len(t, reading.Checks, len(names))
			for _, check := range reading.Checks {
				line := fmt.Sprintf("  %s %s: %s", check.Name, check.Status, check.Evidence)
				if check.Remedy != "" {
					line += "\n      -> " + check.Remedy
				}
				fmt.Fprintln(&told, steady(line, address))
			}
			for i, check := range reading.Checks {
				require.Equal(t, names[i], check.Name)
				require.Equal(t, wanted(f.want, check.Name), check.Status.String(), "%s: %s", check.Name, check.Evidence)
				require.LessOrEqual(t, len(check.Evidence), 300)
			}
			up := find(t, reading, endpoint.CheckUp)
			require.Equal(t, up.Status == readiness.Pass, reading.Measures[readiness.EndpointUp] == 1)
		})
	}
	const golden = "testdata/faults.golden"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(told.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), told.String())
}

func wanted(all, check string) string {
	for _, one := range strings.Fields(all) {
		if name, status, _ := strings.Cut(one, "="); name == check {
			return status
		}
	}
	return "pass"
}

var (
	moment = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`)
	length = regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b`)
)

// steady takes out of a text what differs from run to run.
func steady(text, address string) string {
	text = strings.ReplaceAll(text, address, "ADDRESS")
	return length.ReplaceAllString(moment.ReplaceAllString(text, "DATE"), "TIME")
}
