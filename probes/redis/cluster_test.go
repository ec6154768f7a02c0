package redis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// cluster is a real one: three shards of a primary and a replica each.
type cluster struct{ primaries, replicas []*process }

func startCluster(t *testing.T, nodeTimeout string) *cluster {
	c := &cluster{}
	for range 3 {
		c.primaries = append(c.primaries, startNode(t, nodeTimeout))
		c.replicas = append(c.replicas, startNode(t, nodeTimeout))
	}
	all := slices.Concat(c.primaries, c.replicas)
	slots := []int{0, 5461, 10923, 16384}
	for i, p := range c.primaries {
		p.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		p.do("CLUSTER", "ADDSLOTSRANGE", slots[i], slots[i+1]-1)
	}
	for _, p := range all[1:] {
		p.do("CLUSTER", "MEET", "127.0.0.1", all[0].port)
	}
	for _, p := range all {
		eventually(t, func() bool { return strings.Contains(p.do("CLUSTER", "INFO"), "cluster_known_nodes:6") }, "the nodes to meet")
	}
	for i, r := range c.replicas {
		id := c.primaries[i].do("CLUSTER", "MYID")
		eventually(t, func() bool { return r.client().ClusterReplicate(t.Context(), id).Err() == nil }, "the replica to know its primary")
	}
	for _, r := range c.replicas {
		r.waitFor("master_link_status", "up")
	}
	for _, p := range all {
		eventually(t, func() bool { return strings.Contains(p.do("CLUSTER", "INFO"), "cluster_state:ok") }, "the cluster to be up")
		eventually(t, func() bool { return strings.Count(p.do("CLUSTER", "NODES"), "slave") == 3 }, "the roles to be known")
	}
	return c
}

func startNode(t *testing.T, timeout string) *process {
	return startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", timeout, "--repl-diskless-sync-delay", "0")
}

func (c *cluster) config(kind readiness.CopyKind) redis.Config {
	config := redis.Config{Cluster: &redis.Cluster{Addresses: addresses(c.primaries)}}
	if kind == readiness.Replica {
		config.Cluster.Replicas = addresses(c.replicas)
	}
	return config
}

func addresses(all []*process) (addrs []string) {
	for _, p := range all {
		addrs = append(addrs, p.addr())
	}
	return addrs
}

func (c *cluster) client(t *testing.T) *goredis.ClusterClient {
	client := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs: addresses(c.primaries), Protocol: 2, DisableIdentity: true, MaxRedirects: -1, ReadTimeout: 500 * time.Millisecond,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// held is what the replicas hold, which is all that is left when the primaries are gone.
func (c *cluster) held(t *testing.T) map[string]bool {
	held := map[string]bool{}
	for _, r := range c.replicas {
		client := r.client()
		require.NoError(t, client.Do(t.Context(), "READONLY").Err())
		keys, err := client.Keys(t.Context(), "key-*").Result()
		require.NoError(t, err)
		for _, key := range keys {
			held[key] = true
		}
	}
	return held
}

// Were it to fail, a cluster would be called ready by its best shard.
func TestCluster_WorstShardCounts(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "30000") // nobody is promoted meanwhile
	w := newWatch(t, c.config(readiness.Primary), c.config(readiness.Replica))
	w.timeout = 2 * time.Second
	writer := startWriter(t, c.client(t))
	writer.waitForMore(t)

	w.catchUp()
	primary, replica := w.both()
	require.Equal(t, readiness.RolePrimary, primary.Role)
	require.Equal(t, readiness.RoleReplica, replica.Role)
	require.Equal(t, primary.System, replica.System)
	require.NotEqual(t, primary.Server, replica.Server)
	require.Equal(t, "3 shards serve all slots", w.check("primary", redis.CheckShards).Evidence)
	require.Equal(t, readiness.Pass, w.check("replica", redis.CheckShards).Status)
	require.Equal(t, readiness.Pass, w.check("replica", readiness.CheckSameSystem).Status)
	require.Equal(t, readiness.Pass, w.check("replica", redis.CheckLink).Status)

	// One link is down: two of three shards are well, and the set is as of before.
	c.replicas[2].do("CONFIG", "SET", "masterauth", "wrong")
	c.primaries[2].do("CLIENT", "KILL", "TYPE", "REPLICA")
	c.replicas[2].waitFor("master_link_status", "down")
	down := time.Now()
	writer.waitForMore(t)
	_, replica = w.both()
	require.Empty(t, replica.Points)
	require.Equal(t, readiness.Known(false), replica.Connected)
	require.True(t, w.mustRecoveryPoint().Before(down))
	require.Contains(t, w.check("replica", redis.CheckLink).Evidence, c.replicas[2].addr()+": the link to "+c.primaries[2].addr()+" is down")
	c.replicas[2].do("CONFIG", "SET", "masterauth", "")
	c.replicas[2].waitFor("master_link_status", "up")
	w.catchUp()

	// One primary hangs: the set is as of before again.
	proven := w.mustRecoveryPoint()
	c.primaries[1].freeze()
	_, failure := w.look("primary")
	requireTold(t, failure, readiness.Timeout, c.primaries[1].addr())
	reading, failure := w.look("replica")
	require.Nil(t, failure, "the replicas are all there")
	require.Empty(t, reading.Points)
	require.WithinDuration(t, proven, w.mustRecoveryPoint(), 200*time.Millisecond)
	writer.stop()
	requireHeld(t, writer, c.held(t), w.mustRecoveryPoint())
}

// Were it to fail, a shard without a replica would not be told.
func TestCluster_ReplicaDown(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "1500")
	w := newWatch(t, c.config(readiness.Primary), c.config(readiness.Replica))
	w.timeout = 2 * time.Second
	w.catchUp()
	id := c.replicas[2].do("CLUSTER", "MYID")
	c.replicas[2].kill()
	_, failure := w.look("replica")
	requireTold(t, failure, readiness.Refused, c.replicas[2].addr())
	for _, p := range slices.Concat(c.primaries, c.replicas[:2]) {
		p.do("CLUSTER", "FORGET", id) // it is given up
	}
	_, failure = w.look("replica")
	require.Nil(t, failure)
	check := w.check("replica", redis.CheckShards)
	require.Equal(t, readiness.Fail, check.Status)
	require.Contains(t, check.Evidence, "no node of this copy holds slots 10923-16383")
	require.Empty(t, w.sightings.Seen("replica").Good.Reading.Points)
}

// Were it to fail, a shard whose primary is in the other region now would be
// called lost, or the whole copy ready.
func TestCluster_Failover(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "1500")
	w := newWatch(t, c.config(readiness.Primary), c.config(readiness.Replica))
	w.timeout = 2 * time.Second
	w.catchUp()
	c.primaries[0].kill()
	eventually(t, func() bool { _, failure := w.look("primary"); return failure == nil }, "the failover")
	w.catchUp()
	check := w.check("replica", redis.CheckShards)
	require.Equal(t, readiness.Warn, check.Status)
	require.Equal(t, c.replicas[0].addr()+" of this copy is the primary of its shard now", check.Evidence)
	require.Equal(t, readiness.RoleReplica, w.sightings.Seen("replica").Good.Reading.Role)
}

// Were it to fail, the documented rights would be too few for a cluster.
func TestCluster_NoRight(t *testing.T) {
	t.Parallel()
	node := startNode(t, "1500")
	node.do("ACL", "SETUSER", "drwatch", "on", "nopass", "-@all", "+info")
	config := redis.Config{User: "drwatch", Cluster: &redis.Cluster{Addresses: []string{node.addr()}}}
	_, failure := lookOnce(t, config)
	requireTold(t, failure, readiness.Denied, "user drwatch may not run CLUSTER INFO: ACL SETUSER drwatch +cluster|info")
	node.do("ACL", "SETUSER", "drwatch", "+cluster|info", "+cluster|nodes")
	_, failure = lookOnce(t, config)
	requireTold(t, failure, readiness.NotFound, "it knows of no slots that are served")
	alone := startRedis(t)
	_, failure = lookOnce(t, redis.Config{Cluster: &redis.Cluster{Addresses: []string{alone.addr()}}})
	requireTold(t, failure, readiness.NotFound, "it is not a node of a cluster: give url instead of cluster")
}

// Were it to fail, a wrong address would look like a copy without data.
func TestCluster_ReplicasOfAnother(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "1500")
	config := c.config(readiness.Replica)
	config.Cluster.Replicas = []string{"127.0.0.1:1"}
	w := newWatch(t, c.config(readiness.Primary), config)
	_, failure := w.look("replica")
	requireTold(t, failure, readiness.NotFound, "none of 127.0.0.1:1 is among its nodes")
}

func requireHeld(t *testing.T, w *writer, held map[string]bool, by time.Time) {
	t.Helper()
	checked := 0
	for _, one := range w.writes() {
		if !one.at.After(by) {
			checked++
			require.True(t, held[one.key], "the recovery point promises %s, which no replica has", one.key)
		}
	}
	require.NotZero(t, checked)
}
