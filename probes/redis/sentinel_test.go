package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// watched is a pair of servers and three real Sentinels that watch it.
type watched struct {
	*pair
	sentinels []*process
}

func startWatched(t *testing.T) *watched {
	s := &watched{pair: &pair{primary: startRedis(t, "--repl-diskless-sync-delay", "0")}}
	s.replica = startRedis(t, "--replicaof", "127.0.0.1", fmt.Sprint(s.primary.port))
	s.replica.waitFor("master_link_status", "up")
	for range 3 {
		sentinel := startServer(t, "redis-sentinel")
		sentinel.do("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", s.primary.port, "2")
		sentinel.do("SENTINEL", "SET", "mymaster", "down-after-milliseconds", "500", "failover-timeout", "5000")
		s.sentinels = append(s.sentinels, sentinel)
	}
	for _, sentinel := range s.sentinels {
		eventually(t, func() bool {
			state := sentinel.do("SENTINEL", "MASTER", "mymaster")
			return strings.Contains(state, "num-other-sentinels 2") && strings.Contains(state, "num-slaves 1")
		}, "the Sentinels to find each other")
	}
	return s
}

func (s *watched) config() redis.Config {
	c := redis.Config{Sentinel: &redis.Sentinel{Master: "mymaster"}}
	for _, sentinel := range s.sentinels {
		c.Sentinel.Addresses = append(c.Sentinel.Addresses, sentinel.addr())
	}
	return c
}

// Were it to fail, drwatch would go on looking at a primary that is dead while
// its successor takes the writes, or not tell that nobody could vote it in.
func TestSentinel_Failover(t *testing.T) {
	t.Parallel()
	s := startWatched(t)
	w := newWatch(t, s.config(), at(s.replica))
	w.catchUp()
	check := w.check("primary", redis.CheckSentinels)
	require.Equal(t, readiness.Pass, check.Status, check.Evidence)
	require.Equal(t, "3 of 3 Sentinels answer and agree on "+s.primary.addr()+" (quorum 2)", check.Evidence)
	before := w.sightings.Seen("primary").Good.Reading

	s.primary.kill()
	killed := time.Now()
	_, failure := w.look("primary")
	requireTold(t, failure, readiness.Refused, s.primary.addr())
	require.Contains(t, failure.Error(), "the primary by Sentinel")
	eventually(t, func() bool { _, failure := w.look("primary"); return failure == nil }, "the failover")

	after := w.sightings.Seen("primary").Good.Reading
	require.Equal(t, readiness.RolePrimary, after.Role)
	require.NotEqual(t, before.System, after.System, "a promotion begins a new history")
	require.NotEqual(t, before.Server, after.Server)
	require.True(t, w.mustRecoveryPoint().Before(killed))
	_, _ = w.look("replica") // its address is that of the new primary
	require.Equal(t, readiness.Fail, w.check("replica", readiness.CheckRole).Status)
	require.Equal(t, readiness.Fail, w.check("replica", readiness.CheckDistinctServer).Status)

	require.NoError(t, s.primary.start()) // the old one comes back as it was: a primary
	t.Cleanup(s.primary.kill)
	reading, failure := w.look("primary")
	require.Nil(t, failure)
	require.Equal(t, after.Server, reading.Server, "the old primary is not taken for the current one")
}

// Were it to fail, it would show only in the disaster that no failover can be
// voted.
func TestSentinel_SomeDown(t *testing.T) {
	t.Parallel()
	s := startWatched(t)
	w := newWatch(t, s.config(), at(s.replica))
	s.sentinels[2].freeze()
	w.both()
	check := w.check("primary", redis.CheckSentinels)
	require.Equal(t, readiness.Warn, check.Status)
	require.Contains(t, check.Evidence, "2 of 3 Sentinels answer and agree")
	s.sentinels[1].kill()
	w.both()
	check = w.check("primary", redis.CheckSentinels)
	require.Equal(t, readiness.Fail, check.Status)
	require.Equal(t, "1 of 3 Sentinels answer, of 3 that watch: too few to vote a failover (quorum 2)", check.Evidence)

	s.sentinels[0].kill()
	s.sentinels[2].kill()
	_, failure := w.look("primary")
	requireTold(t, failure, readiness.Refused, "none of 3 answers as it should")
}

// Were it to fail, a misspelt name would be told as a server that is down.
func TestSentinel_UnknownMaster(t *testing.T) {
	t.Parallel()
	sentinel := startServer(t, "redis-sentinel")
	_, failure := lookOnce(t, redis.Config{Sentinel: &redis.Sentinel{Master: "mymastre", Addresses: []string{"127.0.0.1:1", sentinel.addr()}}})
	requireTold(t, failure, readiness.NotFound, "it watches no such master: correct sentinel.master")
	require.Contains(t, failure.Error(), sentinel.addr())
}

// Were it to fail, the rights that the docs name for Sentinel would be too few.
func TestSentinel_NoRight(t *testing.T) {
	t.Parallel()
	sentinel, primary := startServer(t, "redis-sentinel"), startRedis(t)
	sentinel.do("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", primary.port, "1")
	sentinel.do("ACL", "SETUSER", "drwatch", "on", "nopass", "-@all")
	config := redis.Config{Sentinel: &redis.Sentinel{Master: "mymaster", Addresses: []string{sentinel.addr()}, User: "drwatch"}}
	_, failure := lookOnce(t, config)
	requireTold(t, failure, readiness.Denied, "user drwatch may not run SENTINEL MASTER: ACL SETUSER drwatch +sentinel|master")
	sentinel.do("ACL", "SETUSER", "drwatch", "+sentinel|master")
	_, failure = lookOnce(t, config)
	require.Nil(t, failure)
}
