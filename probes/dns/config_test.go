package dns_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would show as a fault of the network.
func TestConfig_Mistakes(t *testing.T) {
	target := probes.Target{Service: probes.Service{Host: host}}
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprintf("192.0.2.%d", i)
	}
	tests := []struct {
		config  dns.Config
		path    string
		message string
	}{
		{dns.Config{}, "", ""},
		{dns.Config{Name: "www.festivals.app", Type: "AAAA", Resolvers: []string{"1.1.1.1", "[2606:4700::1111]:53", "2606:4700::1111", "resolver.lan", "resolver.lan:5353"}, Zone: "festivals.app.", MaxTTL: time.Hour}, "", ""},
		{dns.Config{Name: "192.0.2.1"}, "name", "write it like api.festivals.app"},
		{dns.Config{Name: "https://api.festivals.app"}, "name", "write it like api.festivals.app"},
		{dns.Config{Name: "a..b"}, "name", "write it like api.festivals.app"},
		{dns.Config{Type: "CNAME"}, "type", "A or AAAA"},
		{dns.Config{Resolvers: []string{"1.1.1.1", "1.1.1.1"}}, "resolvers[1]", "named twice"},
		{dns.Config{Resolvers: []string{"1.1.1.1:"}}, "resolvers[0]", "with :port"},
		{dns.Config{Resolvers: []string{"1.1.1.1:0"}}, "resolvers[0]", "with :port"},
		{dns.Config{Resolvers: []string{"https://dns.google"}}, "resolvers[0]", "with :port"},
		{dns.Config{Resolvers: []string{""}}, "resolvers[0]", "with :port"},
		{dns.Config{Resolvers: many}, "resolvers", "at most 16"},
		{dns.Config{NameServers: []string{"ns1.festivals.app:dns"}}, "name_servers[0]", "with :port"},
		{dns.Config{Port: 65536}, "port", "between 1 and 65535"},
		{dns.Config{Zone: "example.net"}, "zone", "api.festivals.app is not in it"},
		{dns.Config{Zone: "."}, "zone", "write it like festivals.app"},
		{dns.Config{MaxTTL: -1}, "max_ttl", "negative"},
	}
	for _, tt := range tests {
		found := tt.config.Validate(target)
		_, err := dns.New(tt.config, target)
		if tt.path == "" {
			require.Empty(t, found)
			require.NoError(t, err)
			continue
		}
		require.Len(t, found, 1, "%+v", tt.config)
		require.Equal(t, tt.path, found[0].Path)
		require.Contains(t, found[0].Message, tt.message)
		require.ErrorContains(t, err, tt.path)
	}
	require.Empty(t, dns.Config{Zone: "festivals.app"}.Validate(probes.Target{}), "what is wrong with the service is told there")
	_, err := dns.New(dns.Config{}, probes.Target{})
	require.ErrorContains(t, err, "the name that clients resolve")
}

// Were it to fail, the file and its schema would know different keys.
func TestConfig_KeysAreTheSame(t *testing.T) {
	asYAML, asJSON := probetest.Encoded(t, dns.Config{
		Name: "a", Type: "A", Resolvers: []string{"1.1.1.1"}, NameServers: []string{"1.1.1.1"}, Port: 53, Zone: "a", MaxTTL: time.Second,
	})
	keys := func(m map[string]any) (all []string) {
		for key := range m {
			all = append(all, key)
		}
		return all
	}
	require.Len(t, asYAML, 7)
	require.ElementsMatch(t, keys(asYAML), keys(asJSON))
	asYAML, asJSON = probetest.Encoded(t, dns.Config{})
	require.Empty(t, asYAML)
	require.Empty(t, asJSON)
}

const docs = "../../docs/probes/dns.md"

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	page, err := os.ReadFile(docs)
	require.NoError(t, err)
	examples := probetest.Examples[struct {
		Services []struct {
			Name             string
			Scenarios        []readiness.Scenario
			Primary, Standby []string
			Parts            []struct {
				Name string
				DNS  dns.Config
			}
		}
	}](t, page)
	require.NotEmpty(t, examples)
	for _, example := range examples {
		for _, s := range example.Services {
			for _, part := range s.Parts {
				_, err := dns.New(part.DNS, probes.Target{Service: probes.Service{Host: s.Name, Primary: s.Primary, Standby: s.Standby}})
				require.NoError(t, err)
			}
		}
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	page, err := os.ReadFile(docs)
	require.NoError(t, err)
	for _, check := range dns.Checks(dns.Config{}, probes.Target{}) {
		require.Contains(t, string(page), "| `"+check+"`")
	}
}
