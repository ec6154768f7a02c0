package redis_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would show in the night of the disaster
// instead of when the file was written.
func TestConfig_Validate(t *testing.T) {
	primary, replica := readiness.Copy{Kind: readiness.Primary}, readiness.Copy{Kind: readiness.Replica}
	const noURL = "to be written redis://user@host:6379, or rediss:// for TLS"
	tests := []struct {
		name string
		yaml string
		copy readiness.Copy
		want []probes.Problem
	}{
		{"url", "url: redis://drwatch@a.example:6379", primary, nil},
		{"url without user, port and TLS", "url: redis://a.example", replica, nil},
		{"url with a database", "url: redis://drwatch@a.example/0", replica, nil},
		{"url with TLS", "{url: 'rediss://drwatch@[2001:db8::1]:6380', password_env: P, tls: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem}}", replica, nil},
		{"sentinel", "{sentinel: {master: mymaster, addresses: ['a:26379', 'b:26379'], password_file: p}, user: drwatch, password_file: q, tls: {}}", primary, nil},
		{"cluster", "{cluster: {addresses: ['a:6379']}, user: drwatch}", primary, nil},
		{"cluster replicas", "cluster: {addresses: ['a:6379'], replicas: ['b:6379', 'c:6379']}", replica, nil},

		{"nothing", "{}", primary, []probes.Problem{{Path: "url", Message: "missing: say where the server is (redis://user@host:6379), or give sentinel or cluster"}}},
		{"two ways", "{url: redis://a, cluster: {addresses: ['a:1']}}", primary, []probes.Problem{{Path: "", Message: "give one of url, sentinel and cluster"}}},
		{"password in url", "url: redis://drwatch:hunter2@a.example", primary, []probes.Problem{{Path: "url", Message: "a password does not belong here: name the file that holds it in password_file, or the variable in password_env"}}},
		{"password as option", "url: redis://a.example?password=hunter2", primary, []probes.Problem{{Path: "url", Message: "options have no place here: what can be set has keys of its own (password_file, tls, ...)"}}},
		{"password with odd characters", "url: 'redis://drwatch:hunter2%@a.example'", primary, []probes.Problem{{Path: "url", Message: "is no URL: write redis://user@host:6379, or rediss:// for TLS; special characters in names as %XX"}}},
		{"other scheme", "url: http://a.example", primary, []probes.Problem{{Path: "url", Message: noURL}}},
		{"no scheme", "url: a.example", primary, []probes.Problem{{Path: "url", Message: noURL}}},
		{"no host", "url: redis://drwatch@:6379", primary, []probes.Problem{{Path: "url", Message: "names no host: write redis://user@host:6379"}}},
		{"no such port", "url: redis://a.example:66666", primary, []probes.Problem{{Path: "url", Message: "names a port that is none: write a number between 1 and 65535, or none for 6379"}}},
		{"a path", "url: redis://a.example/main", primary, []probes.Problem{{Path: "url", Message: "behind the host there may be a port and the number of a database, and nothing else"}}},
		{"user twice", "{url: redis://a.example, user: drwatch}", primary, []probes.Problem{{Path: "user", Message: "a url holds the user itself: write redis://drwatch@..."}}},
		{"tls beside redis://", "{url: redis://a.example, tls: {}}", primary, []probes.Problem{{Path: "tls", Message: "the url says redis://, which is without TLS: write rediss://"}}},
		{"certificate without key", "{url: rediss://a.example, tls: {cert_file: c.pem}}", primary, []probes.Problem{{Path: "tls", Message: "cert_file and key_file go together"}}},
		{"two passwords", "{url: redis://a.example, password_file: p, password_env: P}", primary, []probes.Problem{{Path: "password_env", Message: "give password_file or password_env, not both"}}},
		{"sentinel of nothing", "sentinel: {}", primary, []probes.Problem{
			{Path: "sentinel.master", Message: "missing: the name under which Sentinel knows the primary"},
			{Path: "sentinel.addresses", Message: "missing: give them as host:port"},
		}},
		{"sentinel for a replica", "sentinel: {master: m, addresses: ['a:1']}", replica, []probes.Problem{{Path: "sentinel", Message: "Sentinel leads to the primary: a replica is known by its own address, so give its url"}}},
		{"sentinel with bad addresses", "sentinel: {master: m, addresses: ['a', 'a:1', 'a:1', ':2'], password_file: p, password_env: P}", primary, []probes.Problem{
			{Path: "sentinel.addresses[0]", Message: "to be written host:port"},
			{Path: "sentinel.addresses[2]", Message: "named twice"},
			{Path: "sentinel.addresses[3]", Message: "to be written host:port"},
			{Path: "sentinel.password_env", Message: "give password_file or password_env, not both"},
		}},
		{"cluster without replicas", "cluster: {addresses: ['a:1']}", replica, []probes.Problem{{Path: "cluster.replicas", Message: "missing: give them as host:port"}}},
		{"cluster with replicas", "cluster: {addresses: ['a:1'], replicas: ['b:1']}", primary, []probes.Problem{{Path: "cluster.replicas", Message: "for replicas only: the primary copy is all primaries of the cluster"}}},
		{"negative silence", "{url: redis://a.example, max_silence: -1s}", replica, []probes.Problem{{Path: "max_silence", Message: "a time cannot be negative"}}},
		{"backup", "url: redis://a.example", readiness.Copy{Kind: readiness.Backup}, []probes.Problem{{Path: "", Message: "a redis probe looks at a primary or a replica, and this copy is a backup"}}},
		{"logical", "url: redis://a.example", readiness.Copy{Kind: readiness.Replica, Logical: true}, []probes.Problem{{Path: "", Message: "Redis has no logical replication: take logical away"}}},
		{"delayed", "url: redis://a.example", readiness.Copy{Kind: readiness.Replica, Delay: time.Hour}, []probes.Problem{{Path: "", Message: "Redis has no delayed replicas: take delay away"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var config redis.Config
			require.NoError(t, yaml.Unmarshal([]byte(tt.yaml), &config))
			got := config.Validate(tt.copy)
			require.ElementsMatch(t, tt.want, got)
			_, err := redis.New(config, probes.Target{Copy: tt.copy})
			require.Equal(t, len(tt.want) == 0, err == nil, "New takes what Validate takes")
			if err != nil {
				require.NotContains(t, err.Error(), "hunter2")
			}
		})
	}
}

// Were it to fail, a check would be missing from the report, or for ever unknown.
func TestChecks(t *testing.T) {
	primary, replica := readiness.Copy{Kind: readiness.Primary}, readiness.Copy{Kind: readiness.Replica}
	require.Equal(t, []string{"role", "link", "distinct-server", "persistence", "clock"}, redis.Checks(redis.Config{}, primary))
	require.Equal(t, []string{"role", "link", "same-system", "distinct-server", "persistence", "clock"}, redis.Checks(redis.Config{}, replica))
	require.Equal(t, []string{"role", "sentinels", "link", "distinct-server", "persistence", "clock"}, redis.Checks(redis.Config{Sentinel: &redis.Sentinel{}}, primary))
	require.Equal(t, []string{"role", "shards", "link", "same-system", "distinct-server", "persistence", "clock"}, redis.Checks(redis.Config{Cluster: &redis.Cluster{}}, replica))
}
