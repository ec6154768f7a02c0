package endpoint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, the primary would be looked at twice and be called a standby, where
// the network of one side lies in that of the other.
func TestAddress_InTheNarrowerPrefixOfTheOtherSide(t *testing.T) {
	address := listen(t, swallow)
	for name, primary := range map[string]string{"by prefix": "127.0.0.0/30", "by address": "127.0.0.1"} {
		target := standby()
		target.Service.Primary, target.Service.Standby = []string{primary}, []string{"127.0.0.0/8"}
		probe, err := endpoint.New(endpoint.Config{TCP: address}, target, endpoint.NewFleet())
		require.NoError(t, err)
		reading, err := probe.Look(t.Context())
		require.NoError(t, err)
		require.Equal(t, readiness.Fail, find(t, reading, endpoint.CheckAddress).Status, name)
		target.Service.Primary, target.Service.Standby = target.Service.Standby, target.Service.Primary
		probe, err = endpoint.New(endpoint.Config{TCP: address}, target, endpoint.NewFleet())
		require.NoError(t, err)
		reading, err = probe.Look(t.Context())
		require.NoError(t, err)
		require.Equal(t, readiness.Pass, find(t, reading, endpoint.CheckAddress).Status, name)
	}
}

// Were it to fail, most of a secret that a server sends back would be on the page: what
// is shown of a body was cut in the middle of it.
func TestSecret_CutInTheMiddle(t *testing.T) {
	const value = "Bearer s3cr3t-s3cr3t-s3cr3t-s3cr3t"
	file := t.TempDir() + "/header"
	require.NoError(t, os.WriteFile(file, []byte(value), 0o600))
	said := "HTTP/1.1 500 Oops\r\n\r\n" + strings.Repeat(" ", 512-len(value)+4) + value
	config := endpoint.Config{URL: "http://" + host, Address: listen(t, say(said)), HeaderFiles: map[string]string{"Authorization": file}, Body: "ok"}
	for _, check := range look(t, config).Checks {
		require.NotContains(t, check.Evidence, "s3cr3t", check.Name)
	}
}

// What answers other things than HTTP, or strange HTTP, is told and never hangs.
func TestHTTP_StrangeAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		up     readiness.Status
	}{
		"gzip though none was asked for": {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", readiness.Fail},
		"chunks with trailers":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n4\r\n\"ok\"\r\n0\r\nX: y\r\n\r\n", readiness.Pass},
		"a chunk that does not end":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n\"ok\"", readiness.Fail},
		"two lengths":                    {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n\"ok\"", readiness.Fail},
		"a header without end":           {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<17), readiness.Fail},
		"no content":                     {"HTTP/1.1 204 No Content\r\n\r\n\"ok\"", readiness.Fail},
		"a body that broke off":          {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n\"ok\"", readiness.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			config := endpoint.Config{URL: "http://" + host, Address: listen(t, say(row.answer)), Body: `"ok"`}
			require.Equal(t, row.up, find(t, look(t, config), endpoint.CheckUp).Status)
		})
	}
}

// Were it to fail, a secret that a server sends back as where to go on would be on the page.
func TestSecret_InARedirect(t *testing.T) {
	file := t.TempDir() + "/header"
	require.NoError(t, os.WriteFile(file, []byte("Bearer s3cr3t-s3cr3t"), 0o600))
	said := "HTTP/1.1 302 Found\r\nLocation: https://login.example/?token=s3cr3t-s3cr3t\r\nContent-Length: 0\r\n\r\n"
	reading := look(t, endpoint.Config{URL: "http://" + host, Address: listen(t, say(said)), HeaderFiles: map[string]string{"Authorization": file}})
	require.Equal(t, "302 Found to https://login.example/?token=<redacted>", find(t, reading, endpoint.CheckStatus).Evidence)
}

// Were it to fail, an endpoint would be called well for what another has answered: the
// memory for answers is used again.
func TestHTTP_NothingIsLeftOfTheAnswerBefore(t *testing.T) {
	fleet := endpoint.NewFleet()
	up := func(address string) readiness.Status {
		probe, err := endpoint.New(endpoint.Config{URL: "http://" + host, Address: address, Body: `"ok"`}, standby(), fleet)
		require.NoError(t, err)
		reading, err := probe.Look(t.Context())
		require.NoError(t, err)
		return find(t, reading, endpoint.CheckBody).Status
	}
	well, lies := listen(t, say(ok200)), listen(t, say(liar))
	for range 20 {
		require.Equal(t, readiness.Pass, up(well))
		require.Equal(t, readiness.Fail, up(lies))
	}
}
