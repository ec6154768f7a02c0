package redis_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

func TestConformance_URL(t *testing.T) {
	server := startRedis(t)
	server.do("ACL", "SETUSER", probetest.User, "on", ">"+probetest.Password, "-@all", "+info")
	probetest.Run(t, harness(t, server.addr(), func(addr, password string) redis.Config {
		return redis.Config{URL: "redis://" + probetest.User + "@" + addr, PasswordFile: password}
	}))
}

func TestConformance_Sentinel(t *testing.T) {
	sentinel := startServer(t, "redis-sentinel")
	primary := startRedis(t)
	primary.do("ACL", "SETUSER", probetest.User, "on", ">"+probetest.Password, "-@all", "+info")
	sentinel.do("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", primary.port, "1")
	sentinel.do("ACL", "SETUSER", probetest.User, "on", ">"+probetest.Password, "-@all", "+sentinel|master")
	probetest.Run(t, harness(t, sentinel.addr(), func(addr, password string) redis.Config {
		return redis.Config{
			User: probetest.User, PasswordFile: password,
			Sentinel: &redis.Sentinel{Master: "mymaster", Addresses: []string{addr}, User: probetest.User, PasswordFile: password},
		}
	}))
}

func TestConformance_Cluster(t *testing.T) {
	node := startRedis(t, "--cluster-enabled", "yes")
	node.do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	node.waitFor("cluster_enabled", "1")
	node.do("ACL", "SETUSER", probetest.User, "on", ">"+probetest.Password, "-@all", "+info", "+cluster|info", "+cluster|nodes")
	probetest.Run(t, harness(t, node.addr(), func(addr, password string) redis.Config {
		return redis.Config{User: probetest.User, PasswordFile: password, Cluster: &redis.Cluster{Addresses: []string{addr}}}
	}))
}

func harness(t *testing.T, server string, config func(addr, password string) redis.Config) probetest.Harness {
	password := mustWrite(t, filepath.Join(t.TempDir(), "password"), []byte(probetest.Password+"\n"))
	ok := "+OK\r\n"
	return probetest.Harness{
		New: func(t testing.TB, addr string) probetest.Prober {
			probe, err := redis.New(config(addr, password), probes.Target{Copy: readiness.Copy{Name: "primary", Kind: readiness.Primary}})
			require.NoError(t, err)
			return probe
		},
		Opening: []byte(ok + "$5000\r\n# Server\r\nredis_version:7.0.15\r\n"),
		Garbage: map[string][]byte{
			"two gigabytes claimed": []byte(ok + "$2000000000\r\n"),
			"no end of items":       []byte(ok + "*1000000000\r\n"),
			"length overflows":      []byte(ok + "$9223372036854775807\r\n"),
			"negative length":       []byte(ok + "*-7\r\n"),
			"lists in lists":        []byte(ok + strings.Repeat("*1\r\n", 100_000)),
			"wide lists in lists":   []byte(ok + strings.Repeat("*60000\r\n", 1000)),
			"no role":               []byte(ok + strings.Repeat("$10\r\nsync_full:\r\n", 5)),
			"nil for every answer":  []byte(ok + strings.Repeat("$-1\r\n", 5)),
			"number for INFO":       []byte(ok + strings.Repeat(":1\r\n", 5)),
			"password in AUTH":      []byte("-ERR unknown command 'AUTH', with args beginning with: '" + probetest.User + "' '" + probetest.Password + "'\r\n"),
			"password in INFO":      []byte(ok + "-ERR \x1b[2J what is " + probetest.Password + strings.Repeat("!", 3000) + "\r\n"),
		},
		Server: server,
		Also: map[string][]readiness.Class{
			"garbage/password in AUTH": {readiness.Denied},
		},
	}
}

// Were it to fail, errors would not say which file is missing.
func TestLook_NoPasswordFile(t *testing.T) {
	_, failure := lookOnce(t, redis.Config{URL: "redis://drwatch@127.0.0.1:1", PasswordFile: "/no/such/file"})
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "/no/such/file")
	require.Contains(t, failure.Error(), "127.0.0.1:1")
}

// Were it to fail, a password that was rotated would lock drwatch out until it
// is restarted.
func TestLook_PasswordRotated(t *testing.T) {
	server := startRedis(t)
	file := mustWrite(t, filepath.Join(t.TempDir(), "password"), []byte("old"))
	server.do("ACL", "SETUSER", "drwatch", "on", ">old", "-@all", "+info")
	config := redis.Config{URL: fmt.Sprintf("redis://drwatch@%s/3", server.addr()), PasswordFile: file}
	_, failure := lookOnce(t, config)
	require.Nil(t, failure)
	server.do("ACL", "SETUSER", "drwatch", "<old", ">new")
	_, failure = lookOnce(t, config)
	require.Equal(t, readiness.Denied, failure.Class)
	require.NoError(t, os.WriteFile(file, []byte("new\n"), 0o600))
	_, failure = lookOnce(t, config)
	require.Nil(t, failure)
}

func host(addr string) string {
	h, _, _ := net.SplitHostPort(addr)
	return h
}
