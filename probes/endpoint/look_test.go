package endpoint_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/readiness"
)

// The standby would be asked under its own name, and a virtual host, a gateway or a
// certificate would answer otherwise than it will to clients.
func TestLook_HostAndNameStayThoseOfTheURL(t *testing.T) {
	s := newStage(t)
	asked, greeted := make(chan *http.Request, 1), make(chan string, 1)
	address := listen(t, func(c net.Conn) {
		conn := tls.Server(c, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			greeted <- hello.ServerName
			return &s.good, nil
		}})
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil {
			asked <- request
			_, _ = conn.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
		}
	})
	reading := look(t, endpoint.Config{
		URL: "https://" + host + "/health?deep=1", Address: address, CAFile: s.trusted.file, Method: http.MethodHead, Headers: map[string]string{"x-probe": "yes"}, Status: []int{204},
	})
	require.Equal(t, readiness.Pass, find(t, reading, endpoint.CheckUp).Status)
	require.Equal(t, host, <-greeted)
	request := <-asked
	require.Equal(t, host, request.Host)
	require.Equal(t, "/health?deep=1", request.RequestURI)
	require.Equal(t, http.MethodHead, request.Method)
	require.Equal(t, "yes", request.Header.Get("X-Probe"))
	require.Equal(t, "identity", request.Header.Get("Accept-Encoding"))
	require.True(t, request.Close)
}

// A number that was not seen would be charted, or one that was seen be missing.
func TestLook_Measures(t *testing.T) {
	s := newStage(t)
	config := endpoint.Config{URL: "https://" + host, Address: listen(t, secure(s.good, say(ok200))), CAFile: s.trusted.file}
	began := time.Now()
	reading := look(t, config)
	require.Equal(t, 1.0, reading.Measures[readiness.EndpointUp])
	require.Equal(t, float64(s.good.Leaf.NotAfter.Unix()), reading.Measures[readiness.CertificateExpirySeconds])
	require.Positive(t, reading.Measures[readiness.EndpointLatencySeconds])
	require.Less(t, reading.Measures[readiness.EndpointLatencySeconds], time.Since(began).Seconds())

	config.Address = dead(t, s)
	require.Equal(t, map[readiness.Measure]float64{readiness.EndpointUp: 0}, look(t, config).Measures)

	soon := s.trusted.sign(t, "Festivals CA 1", time.Now().Add(time.Hour))
	config.Address = listen(t, secure(soon.issue(t, nil, soon), say(ok200)))
	require.Equal(t, float64(soon.cert.NotAfter.Unix()), look(t, config).Measures[readiness.CertificateExpirySeconds], "the first of the chain")
}

// A certificate would be called good by the clock of whoever wrote the test, and not by ours.
func TestLook_CertificateByOurClock(t *testing.T) {
	s := newStage(t)
	probe := newProbe(t, endpoint.Config{URL: "https://" + host, Address: listen(t, secure(s.good, say(ok200))), CAFile: s.trusted.file})
	for later, want := range map[time.Duration]readiness.Status{0: readiness.Pass, 60 * 24 * time.Hour: readiness.Warn, 81 * 24 * time.Hour: readiness.Fail, -11 * 24 * time.Hour: readiness.Fail} {
		probe.SetNow(func() time.Time { return time.Now().Add(later) })
		reading, err := probe.Look(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, find(t, reading, endpoint.CheckCertificate).Status, later)
		require.Equal(t, want != readiness.Fail, reading.Measures[readiness.EndpointUp] == 1)
	}
}

// A secret would be told to whoever took the place of the server, on a page, or in a log.
func TestLook_SecretHeaders(t *testing.T) {
	s := newStage(t)
	file := filepath.Join(t.TempDir(), "authorization")
	require.NoError(t, os.WriteFile(file, []byte("Bearer hunter2hunter2\n"), 0o600))
	asked := make(chan string, 2)
	answer := func(c net.Conn) {
		if request, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			asked <- request.Header.Get("Authorization")
			_, _ = c.Write([]byte("HTTP/1.1 403 Forbidden\r\n\r\nno right: hunter2hunter2"))
		}
	}
	config := endpoint.Config{URL: "https://" + host, CAFile: s.trusted.file, HeaderFiles: map[string]string{"authorization": file}}

	config.Address = listen(t, secure(s.good, answer))
	reading := look(t, config)
	require.Equal(t, "Bearer hunter2hunter2", <-asked)
	require.Equal(t, "403 Forbidden: 'no right: <redacted>'", find(t, reading, endpoint.CheckStatus).Evidence)

	config.Address = listen(t, secure(s.stranger.issue(t, nil), answer))
	reading = look(t, config)
	require.Empty(t, asked, "not sent to a stranger")
	require.Equal(t, readiness.Fail, find(t, reading, endpoint.CheckCertificate).Status)
	require.Equal(t, readiness.Unknown, find(t, reading, endpoint.CheckStatus).Status)
	require.Contains(t, find(t, reading, endpoint.CheckStatus).Evidence, "the question holds a secret")

	config.HeaderFiles["authorization"] = "/no/such/file"
	_, err := newProbe(t, config).Look(t.Context())
	require.Equal(t, readiness.Denied, probes.AsFailure(err).Class)
	require.ErrorContains(t, err, "/no/such/file")
}

// A look that we could not make would be told as an endpoint that is down.
func TestLook_FailsOnlyForOurOwnReasons(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	require.NoError(t, os.WriteFile(none, []byte("no certificate"), 0o600))
	for file, says := range map[string]string{"/no/such/ca.pem": "no such file", none: "holds no certificate in PEM"} {
		_, err := newProbe(t, endpoint.Config{URL: "https://127.0.0.1:1", CAFile: file}).Look(t.Context())
		require.Equal(t, readiness.TLS, probes.AsFailure(err).Class)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, file)
	}

	config := endpoint.Config{URL: "http://" + host, Address: listen(t, swallow)}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(hung/3, cancel)
	_, err := newProbe(t, config).Look(ctx)
	require.Equal(t, readiness.Timeout, probes.AsFailure(err).Class)
	require.ErrorContains(t, err, "cancelled")
	_, err = newProbe(t, config).Look(ctx)
	require.ErrorContains(t, err, "no time was left")
}

// A certificate of a new authority would be turned down until drwatch is restarted.
func TestLook_AuthorityRotated(t *testing.T) {
	s := newStage(t)
	config := endpoint.Config{URL: "https://" + host, Address: listen(t, secure(s.stranger.issue(t, nil), say(ok200))), CAFile: filepath.Join(t.TempDir(), "ca.pem")}
	probe, ahead := newProbe(t, config), time.Duration(0)
	probe.SetNow(func() time.Time { return time.Now().Add(ahead) })
	trust := func(a authority) {
		text, err := os.ReadFile(a.file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(config.CAFile, text, 0o600))
	}
	looks := func() readiness.Status {
		reading, err := probe.Look(t.Context())
		require.NoError(t, err)
		return find(t, reading, endpoint.CheckCertificate).Status
	}
	trust(s.trusted)
	require.Equal(t, readiness.Fail, looks())
	trust(s.stranger)
	ahead = time.Minute
	require.Equal(t, readiness.Pass, looks())
	require.NoError(t, os.Remove(config.CAFile))
	ahead = 2 * time.Minute
	_, err := probe.Look(t.Context())
	require.ErrorContains(t, err, config.CAFile)
}

// A name that is gone would be told as a fault of ours, or a dead resolver as one of the
// endpoint's.
func TestLook_Names(t *testing.T) {
	for _, way := range []endpoint.Config{{URL: "http://drwatch-no-such-host.invalid"}, {GRPC: "drwatch-no-such-host.invalid:443"}} {
		reading, err := newProbe(t, way).Look(t.Context())
		if err != nil { // the resolver of this machine answers nobody
			require.Equal(t, readiness.Unreachable, probes.AsFailure(err).Class)
			require.ErrorContains(t, err, "our resolver")
			continue
		}
		up := find(t, reading, endpoint.CheckUp)
		require.Equal(t, readiness.Fail, up.Status)
		require.Contains(t, up.Evidence, "name: no such host")
	}
}

// The primary would be looked at twice, once as a standby.
func TestLook_Address(t *testing.T) {
	address := listen(t, swallow)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	tests := []struct {
		name             string
		dial             string
		primary, standby []string
		want             readiness.Status
		says             string
	}{
		{"by address", address, []string{"10.0.0.1"}, []string{"127.0.0.1"}, readiness.Pass, "127.0.0.1 is of the standby"},
		{"by prefix", address, []string{"10.0.0.0/8"}, []string{"127.0.0.0/8"}, readiness.Pass, "127.0.0.1 is of the standby"},
		{"by name", "localhost:" + port, []string{"10.0.0.0/8"}, []string{"LocalHost."}, readiness.Pass, "localhost (127.0.0.1) is of the standby"},
		{"of the primary by address", address, []string{"127.0.0.1"}, []string{"10.0.0.1"}, readiness.Fail, "127.0.0.1 is of the other side, not of the standby"},
		{"of the primary by name", "localhost:" + port, []string{"localhost"}, []string{"10.0.0.1"}, readiness.Fail, "is of the other side"},
		{"by name of the standby, leads to the primary", "localhost:" + port, []string{"127.0.0.0/8"}, []string{"localhost"}, readiness.Fail, "is of the other side"},
		{"of neither", address, nil, []string{"10.0.0.1"}, readiness.Warn, "127.0.0.1 is not among what the file names for the standby"},
		{"of neither by name", "localhost:" + port, []string{"10.1.0.1"}, []string{"dr.example.com"}, readiness.Warn, "localhost (127.0.0.1) is not among"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := standby()
			target.Service.Primary, target.Service.Standby = tt.primary, tt.standby
			probe, err := endpoint.New(endpoint.Config{TCP: tt.dial}, target, endpoint.NewFleet())
			require.NoError(t, err)
			reading, err := probe.Look(t.Context())
			require.NoError(t, err)
			check := find(t, reading, endpoint.CheckAddress)
			require.Equal(t, tt.want, check.Status, check.Evidence)
			require.Contains(t, check.Evidence, tt.says)
		})
	}
}

// What a server sends would be shown as it came.
func TestLook_ShowsNothingUnpresentable(t *testing.T) {
	const escape = "\x1b[2J\u202e\u2028"
	for name, answer := range map[string]string{
		"body":     "HTTP/1.1 500 Oops\r\n\r\nbad " + escape,
		"body2":    "HTTP/1.1 500 Oops\r\n\r\nbad \u202e\u2028\tline\nline",
		"location": "HTTP/1.1 301 Moved\r\nLocation: /\u202e\u2028\r\n\r\n",
		"status":   "HTTP/1.1 599 " + escape + "\r\n\r\n",
	} {
		reading := look(t, endpoint.Config{URL: "http://" + host, Address: listen(t, say(answer)), Body: "ok"})
		for _, check := range reading.Checks {
			require.Equal(t, check.Evidence, probes.Presentable(check.Evidence, 300), name)
			require.False(t, strings.ContainsAny(check.Evidence, escape[4:]+"\x1b\n\t"), name)
		}
	}
}

// An answer that the server takes back would be believed, or never come.
func TestLook_InterimAnswers(t *testing.T) {
	hints := "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
	config := endpoint.Config{URL: "http://" + host, Body: `"ok"`}
	config.Address = listen(t, say(strings.Repeat(hints, 5)+ok200))
	require.Equal(t, readiness.Pass, find(t, look(t, config), endpoint.CheckUp).Status)
	config.Address = listen(t, say(strings.Repeat(hints, 6)+ok200))
	require.Equal(t, readiness.Fail, find(t, look(t, config), endpoint.CheckUp).Status)
	config.Address = listen(t, say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"))
	require.Equal(t, readiness.Fail, find(t, look(t, config), endpoint.CheckUp).Status)
}

// A body in pieces, or one without a length, would not be read to its end.
func TestLook_BodiesOfAllKinds(t *testing.T) {
	for name, answer := range map[string]string{
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"status\"\r\n6\r\n:\"ok\"}\r\n0\r\n\r\n",
		"closed":  "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}",
		"1.0":     "HTTP/1.0 200 OK\r\n\r\n{\"status\":\"ok\"}",
		"long":    "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 900_000) + "\"ok\"",
	} {
		reading := look(t, endpoint.Config{URL: "http://" + host, Address: listen(t, say(answer)), BodyMatches: `"ok"}?$`})
		require.Equal(t, readiness.Pass, find(t, reading, endpoint.CheckBody).Status, "%s: %+v", name, reading.Checks)
	}
}
