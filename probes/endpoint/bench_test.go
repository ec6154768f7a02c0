package endpoint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/readiness"
)

// BenchmarkLook makes whole looks at a server in the same process, whose share is in
// the figures.
func BenchmarkLook(b *testing.B) {
	s := stage{trusted: newAuthority(b, "Festivals Root", far())}
	s.good = s.trusted.issue(b, nil)
	for _, bench := range []struct {
		name   string
		config endpoint.Config
	}{
		{"TCP", endpoint.Config{TCP: listen(b, swallow)}},
		{"HTTP", endpoint.Config{URL: "http://" + host, Address: listen(b, say(ok200)), Body: `"ok"`}},
		{"HTTPS", endpoint.Config{URL: "https://" + host, Address: listen(b, secure(s.good, say(ok200))), Body: `"ok"`, CAFile: s.trusted.file}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			probe := newProbe(b, bench.config)
			b.ReportAllocs()
			for b.Loop() {
				reading, err := probe.Look(b.Context())
				require.NoError(b, err)
				require.Equal(b, readiness.Pass, reading.Checks[0].Status, reading.Checks)
			}
		})
	}
}
