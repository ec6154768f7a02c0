package endpoint_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would show in the night of the disaster
// instead of when the file was written.
func TestConfig_Validate(t *testing.T) {
	none := func(path, message string) []probes.Problem { return []probes.Problem{{Path: path, Message: message}} }
	const badURL = "to be written http:// or https://; for anything else give tcp or grpc"
	tests := []struct {
		name string
		yaml string
		want []probes.Problem
	}{
		{"url", "url: https://www.festivals.test/health", nil},
		{"url with everything", "{url: 'https://[2001:db8::1]:8443/a?b=c', address: 'dr.example:443', method: GET, headers: {X-A: b}, header_files: {Authorization: f}, status: [200, 401], body_matches: '^ok$', max_body: 100, max_latency: 1s, ca_file: ca.pem, server_name: a.test, expires_within: 240h}", nil},
		{"name of the service, and an address", "{url: https://api.festivals.test, address: 'dr.example:443'}", nil},
		{"tcp", "{tcp: 'dr.example:6379', max_latency: 1s}", nil},
		{"tcp with TLS", "{tcp: 'dr.example:6380', tls: true, ca_file: ca.pem, server_name: a.test}", nil},
		{"grpc", "{grpc: 'tickets.example:443', grpc_service: festivals.v1.Tickets, tls: true, address: '10.0.0.1:443'}", nil},

		{"nothing", "{}", none("url", "missing: say what clients ask for (https://api.example.com/health), or give tcp or grpc")},
		{"two ways", "{url: https://a.test, tcp: 'a:1'}", none("", "give one of url, tcp and grpc")},
		{"no URL", "url: 'https://a b'", none("url", "is no URL: write https://api.example.com/health")},
		{"other scheme", "url: ftp://a.test", none("url", badURL)},
		{"no scheme", "url: a.test", none("url", badURL)},
		{"password in url", "url: https://u:hunter2@a.test", none("url", "users and passwords do not belong here: name the file that holds the value of Authorization in header_files")},
		{"no host", "url: https:///health", none("url", "names no host: write https://api.example.com/health")},
		{"no such port", "url: https://a.test:66666", none("url", "names a port that is none: write a number between 1 and 65535, or none")},
		{"port missing", "url: 'https://a.test:'", none("url", "names a port that is none: write a number between 1 and 65535, or none")},
		{"letters", "url: https://fête.test", none("url", "names a host in letters that DNS does not have: write it as DNS does (xn--...)")},
		{"fragment", "url: https://a.test/#top", none("url", "a fragment (#...) is never sent: take it away")},
		{"address without port", "{url: https://a.test, address: dr.example}", none("address", "to be written host:port")},
		{"tcp without port", "tcp: a.test", none("tcp", "to be written host:port")},
		{"grpc without host", "grpc: ':443'", none("grpc", "to be written host:port")},
		{"standby by the name of the service", "url: https://API.festivals.test/health", none("address", "missing: api.festivals.test leads to the primary until it has moved; name what answers in the standby region")},
		{"standby by the name of the service, tcp", "tcp: 'api.festivals.test:443'", none("address", "missing: api.festivals.test leads to the primary until it has moved; name what answers in the standby region")},
		{"method", "{url: https://a.test, method: POST}", none("method", "GET or HEAD: a probe changes nothing")},
		{"body of HEAD", "{url: https://a.test, method: HEAD, body: ok}", none("method", "the answer to HEAD has no body: write GET, or take body and body_matches away")},
		{"two bodies", "{url: https://a.test, body: a, body_matches: b}", none("body_matches", "give body or body_matches, not both")},
		{"pattern", "{url: https://a.test, body_matches: '('}", none("body_matches", "error parsing regexp: missing closing ): `(`")},
		{"status", "{url: https://a.test, status: [200, 100]}", none("status", "100 is none: from 200 to 599")},
		{"max_body", "{url: https://a.test, max_body: 100000000}", none("max_body", "between 0 and 16777216 bytes")},
		{"negative times", "{url: https://a.test, max_latency: -1s, expires_within: -1h}", []probes.Problem{{Path: "expires_within", Message: "a time cannot be negative"}, {Path: "max_latency", Message: "a time cannot be negative"}}},
		{"tls with url", "{url: https://a.test, tls: true}", none("tls", "goes with tcp and grpc: a url says so itself, by https://")},
		{"CA without TLS", "{url: http://a.test, ca_file: ca.pem}", none("ca_file", "goes with TLS: write https://, or tls: true with tcp and grpc")},
		{"name without TLS", "{tcp: 'a.test:1', server_name: b.test}", none("server_name", "goes with TLS: write https://, or tls: true with tcp and grpc")},
		{"service without grpc", "{tcp: 'a.test:1', grpc_service: s}", none("grpc_service", "goes with grpc alone")},
		{"HTTP with tcp", "{tcp: 'a.test:1', method: GET, body: ok}", []probes.Problem{{Path: "body", Message: "goes with url alone"}, {Path: "method", Message: "goes with url alone"}}},
		{"Host", "{url: https://a.test, headers: {host: b.test}}", none("headers", "the Host is that of the url: give the place to connect to in address")},
		{"header that HTTP sets", "{url: https://a.test, headers: {content-length: '1'}}", none("headers", "content-length is not for the file to say")},
		{"no header", "{url: https://a.test, headers: {'a b': c}}", none("headers", `"a b" is no name of a header`)},
		{"value of two lines", "{url: https://a.test, headers: {a: \"b\\r\\nc: d\"}}", none("headers", "a: a value is one line")},
		{"secret", "{url: https://a.test, headers: {authorization: hunter2}}", none("headers", "a secret does not belong here: name the file that holds the value of authorization in header_files")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var config endpoint.Config
			require.NoError(t, yaml.Unmarshal([]byte(tt.yaml), &config))
			require.Equal(t, tt.want, config.Validate(standby()))
			probe, err := endpoint.New(config, standby(), endpoint.NewFleet())
			if tt.want == nil {
				require.NoError(t, err)
				require.NotNil(t, probe)
			} else {
				require.ErrorContains(t, err, tt.want[0].Message)
			}
			_ = config.Validate(probes.Target{})
			require.Equal(t, endpoint.CheckUp, endpoint.Checks(config, probes.Target{})[0])
		})
	}
}

// A check would be promised and never made, or made and never shown.
func TestChecks_AreThoseThatApply(t *testing.T) {
	primary := standby()
	primary.Part.Side = readiness.PrimarySide
	between := standby()
	between.Part.Side = ""
	for _, tt := range []struct {
		config endpoint.Config
		target probes.Target
		want   []string
	}{
		{endpoint.Config{URL: "https://" + host, Address: "a:1", Body: "ok", MaxLatency: time.Second}, standby(), []string{"up", "address", "certificate", "status", "body", "latency"}},
		{endpoint.Config{URL: "http://" + host, Address: "a:1"}, between, []string{"up", "status"}},
		{endpoint.Config{URL: "https://" + host}, primary, []string{"up", "certificate", "status"}},
		{endpoint.Config{TCP: "a:1"}, standby(), []string{"up", "address"}},
		{endpoint.Config{GRPC: "a:1", TLS: true}, standby(), []string{"up", "address", "certificate", "grpc-health"}},
	} {
		require.Equal(t, tt.want, endpoint.Checks(tt.config, tt.target))
	}
}

// A key of the schema would not be one of the file.
func TestConfig_KeysAreTheSame(t *testing.T) {
	asYAML, asJSON := probetest.Encoded(t, endpoint.Config{
		URL: "u", TCP: "t", GRPC: "g", Service: "s", Address: "a", Method: "m", Headers: map[string]string{"a": "b"}, HeaderFiles: map[string]string{"a": "b"},
		Status: []int{200}, Body: "b", BodyMatches: "b", MaxBody: 1, MaxLatency: 1, TLS: true, CAFile: "c", ServerName: "s", ExpiresWithin: 1,
	})
	require.Len(t, asYAML, 17)
	for key := range asYAML {
		require.Contains(t, asJSON, key)
	}
	asYAML, asJSON = probetest.Encoded(t, endpoint.Config{})
	require.Empty(t, asYAML)
	require.Empty(t, asJSON)
}

// Were it to fail, the standby would pass for the primary once the name has moved, and
// somebody would go back to a primary that is not there.
func TestValidate_APrimaryByTheNameThatMoves(t *testing.T) {
	target := standby()
	target.Part.Side, target.Service.Host = readiness.PrimarySide, host
	found := endpoint.Config{URL: "https://" + host}.Validate(target)
	require.Len(t, found, 1)
	require.Equal(t, "address", found[0].Path)
	require.Empty(t, endpoint.Config{URL: "https://" + host, Address: "192.0.2.1:443"}.Validate(target))
}
