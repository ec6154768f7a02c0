package redis_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

const docs = "../../docs/probes/redis.md"

// Were it to fail, the documented rights would be too few, or more than needed.
func TestDocs_RightsAreEnoughAndNeeded(t *testing.T) {
	t.Parallel()
	rules := regexp.MustCompile(`(?m)^ACL SETUSER drwatch .*$`).FindAllString(string(mustRead(t, docs)), -1)
	require.Len(t, rules, 3, "a server, the node of a cluster, a Sentinel")
	server, node, sentinel := startRedis(t), startNode(t, "1500"), startServer(t, "redis-sentinel")
	node.do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	sentinel.do("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", server.port, "1")

	password := mustWrite(t, filepath.Join(t.TempDir(), "password"), []byte("password"))
	all := []struct {
		on     *process
		config redis.Config
	}{
		{server, redis.Config{URL: "redis://drwatch@" + server.addr(), PasswordFile: password}},
		{node, redis.Config{User: "drwatch", PasswordFile: password, Cluster: &redis.Cluster{Addresses: []string{node.addr()}}}},
		{sentinel, redis.Config{User: "drwatch", PasswordFile: password, Sentinel: &redis.Sentinel{
			Master: "mymaster", Addresses: []string{sentinel.addr()}, User: "drwatch", PasswordFile: password,
		}}},
	}
	for i, rule := range rules { // in the order of the page; the Sentinel leads to the server
		all[i].on.do(words(rule)...)
		_, failure := lookOnce(t, all[i].config)
		require.Nil(t, failure, rule)
		for _, right := range regexp.MustCompile(`\+\S+`).FindAllString(rule, -1) {
			all[i].on.do("ACL", "SETUSER", "drwatch", "-"+right[1:])
			_, failure := lookOnce(t, all[i].config)
			require.NotNil(t, failure, "%s is not needed", right)
			require.Equal(t, readiness.Denied, failure.Class)
			require.Contains(t, failure.Error(), "ACL SETUSER drwatch "+right, "the error names the right")
			all[i].on.do("ACL", "SETUSER", "drwatch", right)
		}
	}
}

func words(line string) (words []any) {
	for word := range strings.FieldsSeq(line) {
		words = append(words, word)
	}
	return words
}

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Copies []struct {
			Name   string
			Kind   readiness.CopyKind
			Region string
			Redis  redis.Config
		}
	}](t, mustRead(t, docs))
	require.Len(t, examples, 3)
	for _, example := range examples {
		require.Len(t, example.Copies, 2)
		for _, c := range example.Copies {
			require.Empty(t, c.Redis.Validate(readiness.Copy{Name: c.Name, Kind: c.Kind}))
		}
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	page := string(mustRead(t, docs))
	config := redis.Config{Sentinel: &redis.Sentinel{}, Cluster: &redis.Cluster{}}
	for _, kind := range []readiness.CopyKind{readiness.Primary, readiness.Replica} {
		for _, check := range redis.Checks(config, readiness.Copy{Kind: kind}) {
			require.Contains(t, page, "| `"+check+"`")
		}
	}
}
