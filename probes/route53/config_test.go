package route53_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
)

// Were it to fail, a mistake in the file would be found at night, or a good file refused.
func TestValidate(t *testing.T) {
	for name, row := range map[string]struct {
		yaml  string
		host  string
		paths []string // of the problems
	}{
		"a zone":             {"zone: festivals.app", host, nil},
		"a zone with a dot":  {"zone: Festivals.app.", host, nil},
		"the zone itself":    {"zone: festivals.app", "festivals.app", nil},
		"an id":              {"zone: Z0123456789ABC", host, nil},
		"an id in full":      {"zone: /hostedzone/Z0123456789ABC", host, nil},
		"another name":       {"{zone: festivals.app, name: '*.festivals.app'}", "festivals", nil},
		"all":                {"{zone: festivals.app, private: true, type: CNAME, setup: failover, max_ttl: 60s, changed_within: 15m, detection: 70s, health_check: {type: HTTPS_STR_MATCH, fqdn: x.app, port: 443, path: /health, search: ok, max_interval: 10s, max_threshold: 3, min_regions: 3, inverted: true}}", host, nil},
		"an address checked": {"{zone: festivals.app, health_check: {fqdn: 192.0.2.1}}", host, nil},
		"nothing":            {"{}", host, []string{"zone"}},
		"no zone":            {"zone: festivals app", host, []string{"zone"}},
		"one label":          {"zone: festivals", host, []string{"zone"}},
		"in another zone":    {"zone: example.com", host, []string{"name"}},
		"half a name":        {"zone: pp", "festivals.app", []string{"zone"}},
		"no host":            {"zone: festivals.app", "a service", []string{"name", "name"}},
		"no name":            {"{zone: festivals.app, name: api}", host, []string{"name", "name"}},
		"unknown type":       {"{zone: festivals.app, type: MX}", host, []string{"type"}},
		"unknown setup":      {"{zone: festivals.app, setup: weighted}", host, []string{"setup"}},
		"negative":           {"{zone: festivals.app, max_ttl: -1s}", host, []string{"max_ttl"}},
		"check of a single":  {"{zone: festivals.app, setup: simple, health_check: {path: /}}", host, []string{"health_check"}},
		"wrong check":        {"{zone: festivals.app, health_check: {type: PING, fqdn: 'a b', port: 70000, max_interval: -1s, max_threshold: -1, min_regions: 9}}", host, []string{"health_check.type", "health_check.fqdn", "health_check.port", "health_check.max_interval", "health_check.max_threshold", "health_check.min_regions"}},
		"search without":     {"{zone: festivals.app, health_check: {type: HTTPS, search: ok}}", host, []string{"health_check.search"}},
		"path of TCP":        {"{zone: festivals.app, health_check: {type: TCP, path: /}}", host, []string{"health_check.path"}},
		"access":             {"{zone: festivals.app, aws: {region: here}}", host, []string{"aws.region"}},
	} {
		t.Run(name, func(t *testing.T) {
			var c route53.Config
			require.NoError(t, yaml.Unmarshal([]byte(row.yaml), &c))
			target := probes.Target{Service: probes.Service{Host: row.host}}
			var paths []string
			for _, p := range c.Validate(target) {
				paths = append(paths, p.Path)
				require.NotEmpty(t, p.Message)
			}
			require.Equal(t, row.paths, paths)
			_, err := route53.New(c, target, route53.NewFleet(awsapi.NewPool(awsapi.Options{})))
			require.Equal(t, row.paths == nil, err == nil, "New takes what Validate takes: %v", err)
			asYAML, asJSON := probetest.Encoded(t, c)
			for key := range asYAML {
				if key != "aws" {
					require.Contains(t, asJSON, key)
				}
			}
			require.Equal(t, c.HealthCheck == route53.HealthCheck{}, asJSON["health_check"] == nil)
		})
	}
	_, err := route53.New(route53.Config{Zone: "festivals.app"}, probes.Target{}, route53.NewFleet(awsapi.NewPool(awsapi.Options{})))
	require.ErrorContains(t, err, "no host")
}

// Were it to fail, a service would be held up by checks that nobody can answer.
func TestChecks_ThoseThatApply(t *testing.T) {
	nothing := probes.Target{Service: probes.Service{Host: host}}
	require.NotContains(t, route53.Checks(ofPair(), nothing), route53.CheckTargetPrimary, "nobody says where it leads")
	require.Equal(t, []string{route53.CheckZone, route53.CheckRecord, route53.CheckTargetPrimary, route53.CheckTTL, route53.CheckFailoverTime, route53.CheckControlPlane},
		route53.Checks(route53.Config{Setup: route53.Simple}, probes.Target{Service: ofService()}))
	require.Len(t, route53.Checks(ofPair(), probes.Target{Service: ofService()}), 13)
}
