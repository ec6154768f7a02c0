package aws_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

// network is a network without sockets, so that its time can be that of a test.
type network struct {
	mu    sync.Mutex
	hosts map[string]*pipes // by address
}

// pipes is a listener whose connections are pipes.
type pipes struct{ conns chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	conn, open := <-p.conns
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serve has an address answer, until the test ends.
func (n *network) serve(t *testing.T, address string, handler http.Handler) {
	p := &pipes{conns: make(chan net.Conn)}
	n.mu.Lock()
	n.hosts[address] = p
	n.mu.Unlock()
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(p)
	}()
	t.Cleanup(func() {
		close(p.conns)
		require.NoError(t, server.Close())
		<-ended
	})
}

// dial refuses an address that nobody serves; a host that begins with "lost" does
// not answer, and one with "none" has no address.
func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	switch {
	case strings.HasPrefix(address, "lost"):
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	case strings.HasPrefix(address, "none"):
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}}
	}
	n.mu.Lock()
	p := n.hosts[address]
	n.mu.Unlock()
	if p == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checking runs the checkers until the test ends, or until stop.
func checking(t *testing.T, r *labaws.Route53, n *network) (stop func()) {
	r.Dial(n.dial)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Check(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// expired is a certificate that nobody should accept any more, for another name.
func expired(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "elsewhere"}, NotAfter: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// after answers late.
func after(d time.Duration, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			w.WriteHeader(status)
		case <-r.Context().Done():
		}
	}
}

// trickles answers its status at once, and its body late.
func trickles(d time.Duration, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(d):
			_, _ = io.WriteString(w, body)
		case <-r.Context().Done():
		}
	}
}

// Were it to fail, the lab would call an endpoint healthy, or not, against what
// Route 53 does.
func TestCheck_WhatIsHealthy(t *testing.T) {
	t.Parallel()
	plain := func(handler http.Handler) func(*testing.T, *network) {
		return func(t *testing.T, n *network) { n.serve(t, "api:80", handler) }
	}
	nobody := func(*testing.T, *network) {}
	for name, c := range map[string]struct {
		check   labaws.HealthCheck
		setup   func(*testing.T, *network)
		healthy bool
		says    string
	}{
		"200":                         {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(says(200, "")), true, "Success: HTTP Status Code 200, OK"},
		"302 is not followed":         {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(http.RedirectHandler("http://lost/", http.StatusFound)), true, "Success: HTTP Status Code 302, Found"},
		"404":                         {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(says(404, "")), false, "Failure: HTTP Status Code 404, Not Found"},
		"503":                         {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(says(503, "")), false, "Failure: HTTP Status Code 503, Service Unavailable"},
		"200 in 1.9 s":                {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(after(1900*time.Millisecond, 200)), true, "Success: HTTP Status Code 200, OK"},
		"200 in 2.1 s":                {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(after(2100*time.Millisecond, 200)), false, "Failure: The endpoint did not respond within the timeout limit"},
		"hangs":                       {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(after(time.Hour, 200)), false, "Failure: The endpoint did not respond within the timeout limit"},
		"refuses":                     {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, nobody, false, "Failure: The health checker could not connect to the endpoint: dial tcp: connection refused"},
		"is lost":                     {labaws.HealthCheck{Type: "HTTP", FQDN: "lost"}, nobody, false, "Failure: The health checker could not establish a connection within the timeout limit"},
		"has no address":              {labaws.HealthCheck{Type: "HTTP", FQDN: "none"}, nobody, false, "Failure: DNS resolution failed: dial tcp: lookup none:80: no such host"},
		"lies with 200":               {labaws.HealthCheck{Type: "HTTP", FQDN: "api"}, plain(says(200, "database is down")), true, "Success: HTTP Status Code 200, OK"},
		"the string is found":         {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: `"ok"`}, plain(says(200, `{"status":"ok"}`)), true, "Success: HTTP Status Code 200, OK. The search string was found"},
		"the string is not found":     {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: `"ok"`}, plain(says(200, "database is down")), false, "Failure: HTTP Status Code 200, OK. The search string was not found in the first 5120 bytes of the response body"},
		"ends at byte 5120":           {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: "ok"}, plain(says(200, strings.Repeat("x", 5118)+"ok")), true, "Success: HTTP Status Code 200, OK. The search string was found"},
		"ends at byte 5121":           {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: "ok"}, plain(says(200, strings.Repeat("x", 5119)+"ok")), false, "Failure: HTTP Status Code 200, OK. The search string was not found in the first 5120 bytes of the response body"},
		"503 with the string":         {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: "ok"}, plain(says(503, "ok")), false, "Failure: HTTP Status Code 503, Service Unavailable"},
		"body in 1.9 s":               {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: "ok"}, plain(trickles(1900*time.Millisecond, "ok")), true, "Success: HTTP Status Code 200, OK. The search string was found"},
		"body in 2.1 s":               {labaws.HealthCheck{Type: "HTTP_STR_MATCH", FQDN: "api", Search: "ok"}, plain(trickles(2100*time.Millisecond, "ok")), false, "Failure: HTTP Status Code 200, OK. The response body was not received within the timeout limit"},
		"TCP":                         {labaws.HealthCheck{Type: "TCP", FQDN: "api", Port: 80}, plain(after(time.Hour, 200)), true, "Success: Connection established"},
		"TCP is refused":              {labaws.HealthCheck{Type: "TCP", FQDN: "api", Port: 81}, plain(says(200, "")), false, "Failure: The health checker could not connect to the endpoint: dial tcp: connection refused"},
		"TCP is lost":                 {labaws.HealthCheck{Type: "TCP", FQDN: "lost", Port: 80}, nobody, false, "Failure: The health checker could not establish a connection within the timeout limit"},
		"by IP, and not by name":      {labaws.HealthCheck{Type: "HTTP", IP: "api", FQDN: "none"}, plain(says(200, "")), true, "Success: HTTP Status Code 200, OK"},
		"disabled: nobody looks":      {labaws.HealthCheck{Type: "HTTP", FQDN: "none", Disabled: true}, nobody, true, ""},
		"an alarm: nobody looks":      {labaws.HealthCheck{Type: "CLOUDWATCH_METRIC", InsufficientData: "Healthy"}, nobody, true, ""},
		"inverted: failing is health": {labaws.HealthCheck{Type: "HTTP", FQDN: "api", Inverted: true}, plain(says(503, "")), true, "Failure: HTTP Status Code 503, Service Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := start(t, labaws.Options{})
			r := cloud.Route53()
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: make(map[string]*pipes)}
				c.check.ID, c.check.Interval, c.check.Threshold = "h", 30, 1
				r.PutHealthCheck(c.check)
				c.setup(t, n)
				stop := checking(t, r, n)
				time.Sleep(44 * time.Second) // of the bubble: each region has looked once
				stop()
			})
			require.Equal(t, c.healthy, r.Healthy("h"))
			status, err := sdkRoute53(cloud).GetHealthCheckStatus(t.Context(), &route53.GetHealthCheckStatusInput{HealthCheckId: aws.String("h")})
			require.NoError(t, err)
			for _, o := range status.HealthCheckObservations {
				require.Equal(t, c.says, *o.StatusReport.Status)
			}
			require.Equal(t, c.says != "", len(status.HealthCheckObservations) == 8)
		})
	}
}

// Were it to fail, the time to detect a failure, which the probe foretells as
// interval times threshold, would not be that of Route 53.
func TestCheck_TimeToDetect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails http.HandlerFunc
		most  time.Duration
	}{
		"bad":   {says(503, ""), 30 * time.Second},
		"hangs": {after(time.Hour, 200), 32 * time.Second}, // and the time to give up
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := start(t, labaws.Options{})
			r := cloud.Route53()
			synctest.Test(t, func(t *testing.T) {
				n := &network{hosts: make(map[string]*pipes)}
				var down atomic.Bool
				n.serve(t, "api:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if down.Load() {
						c.fails(w, r)
					}
				}))
				r.PutHealthCheck(labaws.HealthCheck{ID: "h", Type: "HTTP", FQDN: "api", Interval: 10, Threshold: 3})
				stop := checking(t, r, n)
				defer stop()
				time.Sleep(time.Minute + time.Second)
				require.True(t, r.Healthy("h"))
				down.Store(true)
				require.LessOrEqual(t, until(r, false), c.most)
				down.Store(false)
				require.LessOrEqual(t, until(r, true), 30*time.Second, "and back")
			})
		})
	}
}

// until waits in the time of a bubble for the health to be so, and gives how long.
func until(r *labaws.Route53, healthy bool) time.Duration {
	began := time.Now()
	for r.Healthy("h") != healthy && time.Since(began) < time.Hour {
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// Were it to fail, a failure that comes and goes would move traffic.
func TestCheck_ConsecutiveOnly(t *testing.T) {
	t.Parallel()
	r := start(t, labaws.Options{}).Route53()
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: make(map[string]*pipes)}
		var asked atomic.Int64
		n.serve(t, "api:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1)%6 > 3 { // with three checkers: two of four looks of each fail, one after the other
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		r.PutHealthCheck(labaws.HealthCheck{ID: "h", Type: "HTTP", FQDN: "api", Interval: 10, Threshold: 2, Regions: []string{"us-east-1", "eu-west-1", "sa-east-1"}})
		stop := checking(t, r, n)
		defer stop()
		for range 60 {
			time.Sleep(5 * time.Second)
			require.True(t, r.Healthy("h"))
		}
		require.Greater(t, asked.Load(), int64(80))
	})
}

// Were it to fail, what somebody changes in the lab would be looked at as it was.
func TestCheck_PicksUpChanges(t *testing.T) {
	t.Parallel()
	r := start(t, labaws.Options{}).Route53()
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: make(map[string]*pipes)}
		var asked atomic.Int64
		n.serve(t, "api:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if r.URL.Path != "/health" {
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		h := labaws.HealthCheck{ID: "h", Type: "HTTP", FQDN: "api", Path: "/health", Interval: 10, Threshold: 2}
		r.PutHealthCheck(labaws.HealthCheck{ID: "other", Type: "TCP", FQDN: "api", Port: 80})
		stop := checking(t, r, n)
		time.Sleep(time.Minute)
		require.Zero(t, asked.Load(), "a TCP check sends nothing")

		r.PutHealthCheck(h)
		time.Sleep(time.Minute)
		require.True(t, r.Healthy("h"))
		h.Path = "/healthz"
		r.PutHealthCheck(h)
		require.LessOrEqual(t, until(r, false), 20*time.Second)
		h.Disabled = true
		r.PutHealthCheck(h)
		synctest.Wait()
		before := asked.Load()
		time.Sleep(time.Minute)
		require.Equal(t, before, asked.Load(), "one that is disabled is not looked at")
		require.True(t, r.Healthy("h"))
		h.Disabled = false
		r.PutHealthCheck(h)
		time.Sleep(15 * time.Second)
		require.Greater(t, asked.Load(), before)
		r.RemoveHealthCheck("h")
		synctest.Wait()
		before = asked.Load()
		time.Sleep(time.Minute)
		require.Equal(t, before, asked.Load(), "nor one that is gone")
		stop() // and everything ends, or the bubble says so
	})
}

// seenBy has one checker look at a server, at whatever address the health check
// has, and gives the status that it reports.
func seenBy(t *testing.T, h labaws.HealthCheck, server *httptest.Server) (status, address string) {
	t.Helper()
	cloud := start(t, labaws.Options{})
	r := cloud.Route53()
	dialed := make(chan string, 1)
	r.Dial(func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case dialed <- address:
		default:
		}
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	})
	h.ID, h.Regions = "h", []string{"us-east-1"}
	r.PutHealthCheck(h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Check(ctx)
	}()
	require.Eventually(t, func() bool {
		told, err := sdkRoute53(cloud).GetHealthCheckStatus(t.Context(), &route53.GetHealthCheckStatusInput{HealthCheckId: aws.String("h")})
		if err != nil || len(told.HealthCheckObservations) == 0 {
			return false
		}
		status = *told.HealthCheckObservations[0].StatusReport.Status
		return true
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	<-ended
	return status, <-dialed
}

// Were it to fail, a certificate that has expired would fail over in the lab, which
// it does not at Route 53.
func TestCheck_OverTLS(t *testing.T) {
	t.Parallel()
	bad := expired(t)
	modern := bad.Clone()
	modern.MinVersion = tls.VersionTLS13
	for name, c := range map[string]struct {
		check  labaws.HealthCheck
		server *tls.Config
		says   string
	}{
		"certificate long expired, and for another name": {labaws.HealthCheck{Type: "HTTPS", FQDN: "api"}, bad, "Success: HTTP Status Code 200, OK"},
		"the string is found":                            {labaws.HealthCheck{Type: "HTTPS_STR_MATCH", FQDN: "api", Search: "ok"}, bad, "Success: HTTP Status Code 200, OK. The search string was found"},
		"TLS 1.3 and nothing else":                       {labaws.HealthCheck{Type: "HTTPS", FQDN: "api"}, modern, "Failure: SSL alert: tls: protocol version not supported"},
		"asked without TLS":                              {labaws.HealthCheck{Type: "HTTP", FQDN: "api", Port: 443}, bad, "Failure: HTTP Status Code 400, Bad Request"},
		"a server without it":                            {labaws.HealthCheck{Type: "HTTPS", FQDN: "api", Port: 80}, nil, "Failure: The endpoint did not respond with HTTP: tls: first record does not look like a TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(says(200, "ok"))
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
			defer server.Close()
			if server.TLS = c.server; c.server != nil {
				server.StartTLS()
			} else {
				server.Start()
			}
			status, _ := seenBy(t, c.check, server)
			require.Equal(t, c.says, status)
		})
	}
}

// Were it to fail, the endpoint would not see what Route 53 sends: the name in the
// Host header and in SNI, and who asks.
func TestCheck_WhatIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		check              labaws.HealthCheck
		address, host, sni string
	}{
		"HTTP":            {labaws.HealthCheck{Type: "HTTP", FQDN: "api.festivals.app", Path: "health?deep=1"}, "api.festivals.app:80", "api.festivals.app", ""},
		"HTTP, 8080":      {labaws.HealthCheck{Type: "HTTP", FQDN: "api.festivals.app", Path: "/health?deep=1", Port: 8080}, "api.festivals.app:8080", "api.festivals.app:8080", ""},
		"HTTPS":           {labaws.HealthCheck{Type: "HTTPS", FQDN: "api.festivals.app", Path: "/health?deep=1"}, "api.festivals.app:443", "api.festivals.app", "api.festivals.app"},
		"by IP":           {labaws.HealthCheck{Type: "HTTPS", FQDN: "api.festivals.app", IP: "192.0.2.1", Path: "/health?deep=1"}, "192.0.2.1:443", "api.festivals.app", "api.festivals.app"},
		"nothing but IPs": {labaws.HealthCheck{Type: "HTTP", IP: "2001:db8::1", Path: "/health?deep=1"}, "[2001:db8::1]:80", "[2001:db8::1]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan *http.Request, 100)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
			defer server.Close()
			if strings.HasPrefix(c.check.Type, "HTTPS") {
				server.StartTLS()
			} else {
				server.Start()
			}
			_, address := seenBy(t, c.check, server)
			require.Equal(t, c.address, address)
			got := <-seen
			require.Equal(t, "GET /health?deep=1 "+c.host, got.Method+" "+got.RequestURI+" "+got.Host)
			require.Contains(t, got.UserAgent(), "Amazon-Route53-Health-Check-Service")
			if got.TLS != nil {
				require.Equal(t, c.sni, got.TLS.ServerName)
			}
		})
	}
}

// Were it to fail, all of the above would hold in memory, and not on sockets.
func TestCheck_OnSockets(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	cloud, _ := startDNS(t)
	r := cloud.Route53()
	for _, id := range []string{"check-PRIMARY", "check-SECONDARY"} {
		r.PutHealthCheck(labaws.HealthCheck{ID: id, Type: "HTTPS", IP: host, Port: port, Interval: 1, Threshold: 1, Disabled: id == "check-SECONDARY"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Check(ctx)
	}()
	answer := func() string { return answered(r.Answer("Z1", "api.festivals.app", "A", nil)) }
	require.Equal(t, "api.festivals.app. 60 A 192.0.2.1", answer())
	down.Store(true)
	require.Eventually(t, func() bool { return answer() == "api.festivals.app. 60 A 192.0.2.2" }, 20*time.Second, 20*time.Millisecond)
	cancel()
	<-ended
}
