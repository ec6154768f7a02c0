package endpoint_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

func page(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../docs/probes/endpoint.md")
	require.NoError(t, err)
	return text
}

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Parts []struct {
			Name     string
			Region   string
			Side     readiness.Side
			Endpoint endpoint.Config
		}
	}](t, page(t))
	require.Len(t, examples, 2)
	for _, example := range examples {
		require.NotEmpty(t, example.Parts)
		for _, p := range example.Parts {
			target := probes.Target{Service: probes.Service{Host: "api.festivals.app"}, Part: readiness.Part{Name: p.Name, Kind: readiness.Endpoint, Side: p.Side}}
			require.Empty(t, p.Endpoint.Validate(target), p.Name)
		}
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	text, target := string(page(t)), standby()
	for _, config := range []endpoint.Config{
		{URL: "https://" + host, Address: "a:1", Body: "ok", MaxLatency: time.Second}, {GRPC: "a:1"},
	} {
		for _, check := range endpoint.Checks(config, target) {
			require.Contains(t, text, "| `"+check+"`")
		}
	}
}
