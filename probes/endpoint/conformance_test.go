package endpoint_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// The suite expects a look at what is down to fail. Here it does not: it was seen
// that it is down. So the suite looks through Strict.
func strict(t testing.TB, config endpoint.Config) probetest.Prober {
	probe, err := endpoint.New(config, probes.Target{Part: readiness.Part{Name: "standby", Kind: readiness.Endpoint, Vantage: "eu-north-1"}}, endpoint.NewFleet())
	require.NoError(t, err)
	return endpoint.Strict{Probe: probe}
}

func TestConformance_HTTP(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "authorization")
	require.NoError(t, os.WriteFile(secret, []byte("Bearer "+probetest.Password+"\n"), 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+probetest.Password {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(`{"status":"ok"}`))
	}))
	defer server.Close()
	const ok = "HTTP/1.1 200 OK\r\n"
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			return strict(t, endpoint.Config{URL: "http://" + addr + "/health", Body: `"ok"`, HeaderFiles: map[string]string{"Authorization": secret}})
		},
		Opening: []byte(ok + "Content-Length: 5000\r\n\r\n{\"status\":"),
		Garbage: map[string][]byte{
			"two gigabytes claimed": []byte(ok + "Content-Length: 2000000000\r\n\r\n{"),
			"negative length":       []byte(ok + "Content-Length: -1\r\n\r\n{"),
			"two lengths":           []byte(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
			"endless headers":       []byte(ok + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 1000)),
			"endless interim":       []byte(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10_000)),
			"endless body":          []byte(ok + "\r\n" + strings.Repeat("x", 4<<20)),
			"chunk of a gigabyte":   []byte(ok + "Transfer-Encoding: chunked\r\n\r\n40000000\r\n{"),
			"chunks of nothing":     []byte(ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 4000)+"\r\nx\r\n", 1000)),
			"no status":             []byte("HTTP/1.1 000 OK\r\n\r\n"),
			"HTTP/9.9":              []byte("HTTP/9.9 200 OK\r\n\r\n{\"status\":\"ok\"}"),
			"a lie":                 []byte(ok + "Content-Length: 18\r\n\r\n{\"status\":\"error\"}"),
			"password in the body":  []byte(ok + "\r\nwho is \x1b[2J" + probetest.Password),
			"password in a 500":     []byte("HTTP/1.1 500 Oops\r\n\r\nwho is " + probetest.Password + strings.Repeat("!", 3000)),
			"password in Location":  []byte("HTTP/1.1 302 Found\r\nLocation: https://" + strings.Repeat("x", 85) + "/?" + probetest.Password + "\r\n\r\n"),
		},
		Server: strings.TrimPrefix(server.URL, "http://"),
	})
}

func TestConformance_TLS(t *testing.T) {
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			return strict(t, endpoint.Config{URL: "https://" + addr + "/health"})
		},
		Opening: []byte("\x16\x03\x03\x40\x00\x02"),
		Garbage: map[string][]byte{
			"alert":            []byte("\x15\x03\x03\x00\x02\x02\x28"),
			"no end of alerts": []byte(strings.Repeat("\x15\x03\x03\x00\x02\x01\x00", 10_000)),
		},
	})
}

func TestConformance_TCP(t *testing.T) {
	connected := "there is a connection, and no more is asked for"
	skip := map[string]string{}
	for _, name := range []string{
		"hang", "half", "drip", "closed/both ways", "closed/one way", "reset", "mirror", "cancel", "concurrent",
		"garbage/random bytes", "garbage/html page", "garbage/http 400", "garbage/control characters", "garbage/flood",
	} {
		skip[name] = connected
	}
	probetest.Run(t, probetest.Harness{
		New:  func(t testing.TB, addr string) probetest.Prober { return strict(t, endpoint.Config{TCP: addr}) },
		Skip: skip,
	})
}

func TestConformance_GRPC(t *testing.T) {
	probetest.Run(t, probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober { return strict(t, endpoint.Config{GRPC: addr}) },
		// SETTINGS, as a server of HTTP/2 begins.
		Opening: []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00"),
		Garbage: map[string][]byte{
			"settings and nothing": []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
			"16 MB claimed":        []byte("\xff\xff\xff\x04\x00\x00\x00\x00\x00"),
			"goaway":               []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b"),
		},
	})
}
