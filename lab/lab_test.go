package lab_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/procfs"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
)

// labFolder makes this program a lab in that folder instead of a test, for the test that kills one.
const labFolder = "DRWATCH_TEST_LAB_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(labFolder); dir != "" {
		runUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func runUntilKilled(dir string) {
	ctx := context.Background()
	l, err := lab.Up(ctx, lab.Options{Dir: dir})
	if err == nil {
		err = l.Break(ctx, lab.PrimaryFrozen) // frozen processes do not notice that their parent died
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}

// Without this a user would trust a demo that shows something other than what runs.
func TestUp_EverythingRunsAndReplicates(t *testing.T) {
	begin := time.Now()
	l := labtest.Start(t, func(o *lab.Options) {
		o.SetupSQL = []string{"CREATE TABLE heartbeat (at timestamptz)", "GRANT SELECT ON heartbeat TO drwatch"}
	})
	t.Logf("up after %s", time.Since(begin))

	pg := query[string](t, l, lab.Standby, "SELECT status || ' ' || slot_name FROM pg_stat_wal_receiver")
	require.Equal(t, "streaming eu_central_1", pg)
	require.Equal(t, "streaming eu-central-1", query[string](t, l, lab.Primary, "SELECT state || ' ' || application_name FROM pg_stat_replication"))
	require.Equal(t, "on", query[string](t, l, lab.Primary, "SHOW data_checksums"))
	require.Equal(t, "logical", query[string](t, l, lab.Primary, "SHOW wal_level"))
	require.Equal(t, "1", query[string](t, l, lab.Standby, "SELECT count(*)::text FROM pg_class WHERE relname = 'heartbeat'"))
	require.Equal(t, "up", redisInfo(t, l, lab.Standby)["master_link_status"])
	requireReplicates(t, l)

	write := l.LastWrite(lab.Postgres)
	require.False(t, write.Acknowledged.Before(write.Sent))
	require.True(t, query[bool](t, l, lab.Primary, fmt.Sprintf("SELECT EXISTS (SELECT FROM bookings WHERE id = %d)", write.Number)),
		"an acknowledged write is there")
}

// Without this the watching user could change what it watches, or could not see it.
func TestEndpoints_WatcherSeesAndCannotWrite(t *testing.T) {
	l := labtest.Start(t)
	e := l.Endpoints()
	ctx := t.Context()
	for name, endpoint := range map[string]lab.Endpoint{"direct": e.Postgres.Primary, "across": e.Postgres.PrimaryAcross, "standby": e.Postgres.Standby} {
		conn := connectAs(t, e.Postgres, endpoint, "drwatch")
		var encrypted bool
		require.NoError(t, conn.QueryRow(ctx, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted), name)
		require.True(t, encrypted, name)
		_, err := conn.Exec(ctx, "SELECT * FROM bookings")
		require.ErrorContains(t, err, "permission denied", name)
	}
	conn := connectAs(t, e.Postgres, e.Postgres.Primary, "drwatch")
	var state string
	require.NoError(t, conn.QueryRow(ctx, "SELECT state FROM pg_stat_replication").Scan(&state), "pg_monitor shows the state")

	password, err := e.Redis.Password("drwatch")
	require.NoError(t, err)
	for _, endpoint := range []lab.Endpoint{e.Redis.Primary, e.Redis.PrimaryAcross, e.Redis.Standby} {
		options, err := redis.ParseURL(endpoint.URL)
		require.NoError(t, err)
		options.Password = password
		client := redis.NewClient(options)
		t.Cleanup(func() { require.NoError(t, client.Close()) })
		require.NoError(t, client.Info(ctx, "replication").Err())
		require.NoError(t, client.Do(ctx, "ROLE").Err())
		require.ErrorContains(t, client.Get(ctx, "festivals:bookings").Err(), "NOPERM")
		require.ErrorContains(t, client.ConfigGet(ctx, "masterauth").Err(), "NOPERM")
	}
}

// Without this the TLS addresses would be for show.
func TestEndpoints_CertificatesAreSignedByTheAuthority(t *testing.T) {
	l := labtest.Start(t)
	e := l.Endpoints()
	for _, endpoint := range []lab.Endpoint{e.Redis.Primary, e.Redis.Standby} {
		address := strings.TrimSuffix(strings.TrimPrefix(endpoint.TLSURL, "rediss://drwatch@"), "/0")
		conn, err := dialTLS(address, e.CAFile)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	config, err := pgx.ParseConfig(e.Postgres.Primary.URL)
	require.NoError(t, err)
	config.TLSConfig.RootCAs = x509.NewCertPool()
	_, err = pgx.ConnectConfig(t.Context(), config)
	require.ErrorContains(t, err, "certificate signed by unknown authority", "the address asks for verification")
}

// Without this the lab would claim disasters that it does not cause. Each fault is looked at on the servers
// themselves, while it lasts and after it was healed.
func TestFaults_BreakAndHeal(t *testing.T) {
	l := labtest.Start(t, func(o *lab.Options) { o.AWS, o.BackupInterval = true, time.Hour })
	seen := make(map[lab.Fault]bool)
	for _, test := range append(faultTests(), trafficTests()...) {
		seen[test.fault] = true
		t.Run(string(test.fault), func(t *testing.T) {
			start := time.Now()
			require.NoError(t, l.Break(t.Context(), test.fault))
			t.Logf("in effect after %s", time.Since(start))
			require.Equal(t, []lab.Fault{test.fault}, l.Broken())
			test.broken(t, l)

			start = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			require.NoError(t, l.Heal(ctx, test.fault))
			t.Logf("healed after %s", time.Since(start))
			require.Empty(t, l.Broken())
			requireReplicates(t, l)
			requireWrites(t, l, lab.Postgres, lab.Redis)
		})
	}
	for _, info := range lab.Faults() {
		require.True(t, seen[info.Name], "no test breaks %s", info.Name)
	}
}

type faultTest struct {
	fault  lab.Fault
	broken func(*testing.T, *lab.Lab)
}

func faultTests() []faultTest {
	return []faultTest{
		{lab.StandbyDown, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Postgres.Standby)
			require.Eventually(t, func() bool {
				return query[bool](t, l, lab.Primary, "SELECT NOT active FROM pg_replication_slots")
			}, 5*time.Second, 50*time.Millisecond, "the slot stays, inactive")
			require.Zero(t, query[int](t, l, lab.Primary, "SELECT count(*) FROM pg_stat_replication"))
		}},
		{lab.StandbyRestartedAlone, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Postgres.Primary)
			require.True(t, query[bool](t, l, lab.Standby, "SELECT now() - pg_postmaster_start_time() < '10 s'"))
			requireNoReceiver(t, l)
		}},
		{lab.ReplayPaused, func(t *testing.T, l *lab.Lab) {
			require.Equal(t, "paused", query[string](t, l, lab.Standby, "SELECT pg_get_wal_replay_pause_state()"))
			replayed := query[string](t, l, lab.Standby, "SELECT pg_last_wal_replay_lsn()::text")
			requireWrites(t, l, lab.Postgres)
			require.Eventually(t, func() bool {
				return query[bool](t, l, lab.Standby, "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()")
			}, 5*time.Second, 50*time.Millisecond, "it goes on receiving")
			require.Equal(t, replayed, query[string](t, l, lab.Standby, "SELECT pg_last_wal_replay_lsn()::text"))
		}},
		{lab.LinkCut, func(t *testing.T, l *lab.Lab) {
			requireNoReceiver(t, l)
			requireWrites(t, l, lab.Postgres, lab.Redis)
			connectAs(t, l.Endpoints().Postgres, l.Endpoints().Postgres.PrimaryAcross, "drwatch") // still in sight
		}},
		{lab.LinkSlow, func(t *testing.T, l *lab.Lab) {
			require.Eventually(t, func() bool {
				return query[bool](t, l, lab.Primary, "SELECT coalesce(flush_lag > '5 s', false) FROM pg_stat_replication")
			}, 20*time.Second, 100*time.Millisecond, "3 s there and 3 s back")
			require.Equal(t, 1, query[int](t, l, lab.Standby, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
		}},
		{lab.ReceiverFrozen, func(t *testing.T, l *lab.Lab) {
			const received = "SELECT status || pg_last_wal_receive_lsn()::text FROM pg_stat_wal_receiver"
			before := query[string](t, l, lab.Standby, received)
			require.Contains(t, before, "streaming", "it looks well")
			requireWrites(t, l, lab.Postgres)
			require.Equal(t, before, query[string](t, l, lab.Standby, received))
		}},
		{lab.PrimaryKilled, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Postgres.Primary)
			requireNoReceiver(t, l)
			requireWrites(t, l, lab.Redis)
		}},
		{lab.PrimaryFrozen, func(t *testing.T, l *lab.Lab) {
			requireSilent(t, l.Endpoints().Postgres.Primary)
			require.Equal(t, "streaming", query[string](t, l, lab.Standby, "SELECT status FROM pg_stat_wal_receiver"))
			requireWrites(t, l, lab.Redis)
		}},
		{lab.PrimaryUnseen, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Postgres.PrimaryAcross)
			connectAs(t, l.Endpoints().Postgres, l.Endpoints().Postgres.Primary, "drwatch")
			requireReplicates(t, l)
		}},
		{lab.Partition, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Postgres.PrimaryAcross)
			requireRefused(t, l.Endpoints().Redis.PrimaryAcross)
			requireNoReceiver(t, l)
			require.Equal(t, "down", redisInfo(t, l, lab.Standby)["master_link_status"])
			requireWrites(t, l, lab.Postgres, lab.Redis)
		}},
		{lab.LinkSilent, func(t *testing.T, l *lab.Lab) {
			require.Equal(t, "streaming", query[string](t, l, lab.Standby, "SELECT status FROM pg_stat_wal_receiver"), "it looks well")
			received := query[string](t, l, lab.Standby, "SELECT pg_last_wal_receive_lsn()::text")
			requireWrites(t, l, lab.Postgres)
			require.Equal(t, received, query[string](t, l, lab.Standby, "SELECT pg_last_wal_receive_lsn()::text"))
			connectAs(t, l.Endpoints().Postgres, l.Endpoints().Postgres.PrimaryAcross, "drwatch") // still in sight
		}},
		{lab.PartitionSilent, func(t *testing.T, l *lab.Lab) {
			requireSilent(t, l.Endpoints().Postgres.PrimaryAcross)
			requireSilent(t, l.Endpoints().Redis.PrimaryAcross)
			requireWrites(t, l, lab.Postgres, lab.Redis)
		}},
		{lab.RedisLinkCut, func(t *testing.T, l *lab.Lab) {
			require.Equal(t, "down", redisInfo(t, l, lab.Standby)["master_link_status"])
			require.Eventually(t, func() bool { return redisInfo(t, l, lab.Primary)["connected_slaves"] == "0" }, 5*time.Second, 50*time.Millisecond)
			requireWrites(t, l, lab.Redis)
		}},
		{lab.RedisLinkSlow, func(t *testing.T, l *lab.Lab) {
			sent := time.Now()
			number := incrementRedis(t, l)
			require.Eventually(t, func() bool { return redisReplica(t, l) >= number }, 10*time.Second, 50*time.Millisecond)
			require.Greater(t, time.Since(sent), 1900*time.Millisecond)
			require.Equal(t, "up", redisInfo(t, l, lab.Standby)["master_link_status"])
		}},
		{lab.RedisReplicaDown, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Redis.Standby)
			require.Equal(t, "0", redisInfo(t, l, lab.Primary)["connected_slaves"])
		}},
		{lab.RedisPrimaryKilled, func(t *testing.T, l *lab.Lab) {
			requireRefused(t, l.Endpoints().Redis.Primary)
			require.Equal(t, "down", redisInfo(t, l, lab.Standby)["master_link_status"])
			requireWrites(t, l, lab.Postgres)
		}},
		{lab.RedisPrimaryFrozen, func(t *testing.T, l *lab.Lab) {
			requireSilent(t, l.Endpoints().Redis.Primary)
			require.Equal(t, "up", redisInfo(t, l, lab.Standby)["master_link_status"], "silence is not noticed at once")
			require.Eventually(t, func() bool { return redisInfo(t, l, lab.Standby)["master_link_status"] == "down" },
				10*time.Second, 100*time.Millisecond, "but after repl-timeout")
			requireWrites(t, l, lab.Postgres)
		}},
		{lab.AWSThrottled, func(t *testing.T, l *lab.Lab) { requireAWS(t, l, "Rate exceeded", "rds", "describe-db-instances") }},
		{lab.AWSDenied, func(t *testing.T, l *lab.Lab) {
			requireAWS(t, l, "not authorized", "rds", "describe-db-instances")
			requireAWS(t, l, lab.BackupBucket, "s3api", "list-buckets")
		}},
		{lab.AWSProxied, func(t *testing.T, l *lab.Lab) { requireAWS(t, l, "", "backup", "list-backup-vaults") }},
		{lab.MetricsSilent, func(t *testing.T, l *lab.Lab) {
			requireAWS(t, l, "onnection", "cloudwatch", "get-metric-data", "--metric-data-queries", "[]", "--start-time", "0", "--end-time", "60")
		}},
		{lab.BackupsStopped, func(t *testing.T, l *lab.Lab) {
			_, made := l.NewestDump(lab.Postgres)
			require.True(t, made)
		}},
		{lab.DumpTruncated, func(t *testing.T, l *lab.Lab) {
			newest, _ := l.NewestDump(lab.Postgres)
			keys := l.Cloud().S3().Keys(lab.StandbyBackupBucket)
			require.Len(t, keys, 3, "one more than the good ones of both stores")
			require.Greater(t, keys[1], newest.Folder()+newest.Name(), "and it is the newest")
		}},
		{lab.DumpEmpty, func(t *testing.T, l *lab.Lab) {
			require.Greater(t, len(l.Cloud().S3().Keys(lab.StandbyBackupBucket)), 2)
		}},
		{lab.BucketGone, func(t *testing.T, l *lab.Lab) {
			requireAWS(t, l, "does not exist", "s3api", "list-objects-v2", "--bucket", lab.StandbyBackupBucket)
		}},
		{lab.Idle, func(t *testing.T, l *lab.Lab) {
			const wrote = "SELECT max(id) FROM bookings"
			before, beforeRedis := query[int64](t, l, lab.Primary, wrote), redisNumber(t, l, lab.Primary)
			require.Never(t, func() bool {
				return query[int64](t, l, lab.Primary, wrote) != before || redisNumber(t, l, lab.Primary) != beforeRedis
			}, time.Second, 100*time.Millisecond)
		}},
	}
}

// Without this two faults could undo each other and leave a lab that is neither broken nor whole.
func TestFaults_OverlapIsKeptInOrder(t *testing.T) {
	l := labtest.Start(t)
	ctx := t.Context()

	err := l.Heal(ctx, lab.LinkCut)
	require.ErrorIs(t, err, lab.ErrNotBroken)
	require.EqualError(t, err, "heal link-cut: not broken; broken now: nothing")
	require.ErrorIs(t, l.Break(ctx, "meteor"), lab.ErrUnknownFault)
	require.ErrorContains(t, l.Break(ctx, "meteor"), "there are: standby-down,")

	require.NoError(t, l.Break(ctx, lab.LinkCut))
	require.ErrorIs(t, l.Break(ctx, lab.LinkCut), lab.ErrAlreadyBroken)
	require.ErrorContains(t, l.Break(ctx, lab.ReceiverFrozen), "there is none while it is cut off")
	require.NoError(t, l.Break(ctx, lab.Partition))
	require.NoError(t, l.Break(ctx, lab.PrimaryFrozen))
	require.EqualError(t, l.Break(ctx, lab.PrimaryKilled),
		"break primary-killed: broken already: primary-frozen has a hold on the PostgreSQL primary; heal primary-frozen first")
	require.Equal(t, []lab.Fault{lab.LinkCut, lab.Partition, lab.PrimaryFrozen}, l.Broken())

	require.NoError(t, l.Heal(ctx, lab.Partition), "what cannot come back yet is not waited for")
	require.Equal(t, "up", redisInfo(t, l, lab.Standby)["master_link_status"], "but Redis is back")
	requireNoReceiver(t, l)
	require.NoError(t, l.Heal(ctx, lab.LinkCut))
	require.NoError(t, l.Heal(ctx, lab.PrimaryFrozen))
	requireReplicates(t, l)
}

// Without this a heal that failed would look like one that worked, or wait for ever.
func TestHeal_SaysWhatDidNotComeBack(t *testing.T) {
	l := labtest.Start(t)
	require.NoError(t, l.Break(t.Context(), lab.LinkCut))
	conn, err := l.ConnectPostgres(t.Context(), lab.Primary)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), "ALTER ROLE replicator NOLOGIN")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err = l.Heal(ctx, lab.LinkCut)
	require.ErrorContains(t, err, "healed, but not all came back: wait for PostgreSQL eu-central-1 to stream and catch up")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, l.Broken(), "the link itself is healed")
}

// Without this the lab would litter the machine with servers, ports and shared memory.
func TestClose_LeavesNothing(t *testing.T) {
	l := labtest.Start(t)
	for _, fault := range []lab.Fault{lab.ReceiverFrozen, lab.PrimaryFrozen, lab.RedisPrimaryFrozen, lab.RedisLinkSlow} {
		require.NoError(t, l.Break(t.Context(), fault))
	}
	e := l.Endpoints()
	memory := sharedMemory(t, l)
	require.NotEmpty(t, processesIn(t, l.Dir()))

	begin := time.Now()
	require.NoError(t, l.Close())
	t.Logf("closed after %s", time.Since(begin))
	require.NoError(t, l.Close(), "twice is fine")
	require.Empty(t, processesIn(t, l.Dir()))
	require.NoDirExists(t, l.Dir())
	for _, endpoint := range []lab.Endpoint{e.Postgres.Primary, e.Postgres.PrimaryAcross, e.Postgres.Standby, e.Redis.Primary, e.Redis.PrimaryAcross, e.Redis.Standby} {
		requireRefused(t, endpoint)
	}
	requireFreed(t, memory)
	require.ErrorIs(t, l.Break(t.Context(), lab.Idle), lab.ErrClosed)
	goleak.VerifyNone(t)
}

// Without this a killed primary would leave its shared memory behind for good.
func TestClose_AfterKilledPrimaryFreesItsSharedMemory(t *testing.T) {
	l := labtest.Start(t)
	memory := sharedMemory(t, l)
	require.NoError(t, l.Break(t.Context(), lab.PrimaryKilled))
	require.NoError(t, l.Close())
	requireFreed(t, memory)
}

// Without this Ctrl-C while the lab comes up would leave half of it running.
func TestUp_CancelledLeavesNothing(t *testing.T) {
	dir := filepath.Join(shortDir(t), "lab")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := lab.Up(ctx, lab.Options{Dir: dir, Progress: func(line string) {
		if strings.Contains(line, "link postgres-replication") {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, processesIn(t, dir))
	goleak.VerifyNone(t)
}

// Without this a demo would eat a folder of the user's, or a second lab the first one's data.
func TestUp_FolderOfOthersIsRefusedAndUntouched(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "thesis.txt")
	require.NoError(t, os.WriteFile(file, []byte("ten years of work"), 0o600))
	_, err := lab.Up(t.Context(), lab.Options{Dir: dir})
	require.ErrorContains(t, err, "it holds files of something else")
	require.FileExists(t, file)

	long := filepath.Join(dir, strings.Repeat("x", 100))
	_, err = lab.Up(t.Context(), lab.Options{Dir: long})
	require.ErrorContains(t, err, "choose a shorter one")

	if os.Geteuid() == 0 {
		closed := shortDir(t)
		require.NoError(t, os.Chmod(closed, 0o700))
		_, err = lab.Up(t.Context(), lab.Options{Dir: filepath.Join(closed, "lab")})
		require.ErrorContains(t, err, "user postgres, who runs PostgreSQL, may not pass through "+closed)
	}

	l := labtest.Start(t)
	_, err = lab.Up(t.Context(), lab.Options{Dir: l.Dir()})
	require.ErrorContains(t, err, "a lab is running there")
	requireReplicates(t, l)
}

// Without this a killed lab would leave its servers running, or its folder unusable.
func TestUp_AfterAKilledLabSweepsAndStartsAnew(t *testing.T) {
	dir := filepath.Join(shortDir(t), "lab")
	killed := exec.Command(os.Args[0])
	killed.Env = append(os.Environ(), labFolder+"="+dir)
	output, err := killed.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, killed.Start())
	line := make([]byte, 3)
	_, err = output.Read(line)
	require.NoError(t, err)
	require.Equal(t, "up\n", string(line))
	require.NoError(t, killed.Process.Signal(syscall.SIGKILL))
	require.Error(t, killed.Wait())

	require.Eventually(t, func() bool {
		return len(processesIn(t, filepath.Join(dir, lab.StandbyRegion))) == 0 && len(processesIn(t, filepath.Join(dir, lab.PrimaryRegion, "redis"))) == 0
	}, 5*time.Second, 50*time.Millisecond, "what is not frozen dies with the lab")
	require.NotEmpty(t, processesIn(t, dir), "what is frozen does not")
	_, err = lab.Dial(t.Context(), dir)
	require.ErrorContains(t, err, "none runs there; start one with `drwatch lab up`")

	l := labtest.Start(t, func(o *lab.Options) { o.Dir = dir })
	require.Less(t, l.LastWrite(lab.Postgres).Number, int64(5), "it begins anew")
	requireReplicates(t, l)
	require.NoError(t, l.Close())
	require.Empty(t, processesIn(t, dir))
}

// Without this `drwatch lab break` in a second terminal would not reach the lab of the first.
func TestControl_RoundTrip(t *testing.T) {
	l := labtest.Start(t)
	ctx := t.Context()
	client, err := lab.Dial(ctx, l.Dir())
	require.NoError(t, err)

	require.NoError(t, client.Break(ctx, lab.PrimaryKilled))
	require.Equal(t, []lab.Fault{lab.PrimaryKilled}, l.Broken())
	status, err := client.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, l.Endpoints(), status.Endpoints)
	require.Equal(t, []lab.Fault{lab.PrimaryKilled}, status.Broken)
	require.Equal(t, l.LastWrite(lab.Postgres).Number, status.LastWrite[lab.Postgres].Number)
	require.EqualError(t, client.Break(ctx, lab.PrimaryKilled), "break primary-killed: broken already; heal it first")
	require.ErrorContains(t, client.Break(ctx, "meteor"), "no such fault")
	require.NoError(t, client.Heal(ctx, lab.PrimaryKilled))
	requireReplicates(t, l)

	require.NoError(t, l.Close())
	_, err = client.Status(ctx)
	require.ErrorContains(t, err, "none runs there")
	_, err = lab.Dial(ctx, filepath.Join(l.Dir(), "nowhere"))
	require.ErrorContains(t, err, "none runs there")
}

// Without this closing the lab would hang behind somebody who waits for a fault to heal.
func TestClose_EndsAHealUnderWay(t *testing.T) {
	l := labtest.Start(t)
	require.NoError(t, l.Break(t.Context(), lab.LinkCut))
	conn, err := l.ConnectPostgres(t.Context(), lab.Primary)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "ALTER ROLE replicator NOLOGIN")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))

	healed := make(chan error, 1)
	go func() { healed <- l.Heal(context.Background(), lab.LinkCut) }()
	require.Eventually(t, func() bool { return len(l.Broken()) == 0 }, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-healed, lab.ErrClosed)
}

func TestMissingServersError_NamesTheCommand(t *testing.T) {
	err := &lab.MissingServersError{Packages: []string{"postgresql", "redis-server"}}
	require.EqualError(t, err, "find the lab's servers: not installed; run: apt-get install -y --no-install-recommends postgresql redis-server")
}

// shortDir is a temporary folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "labtest-") //nolint:usetesting // t.TempDir has the long name of the test in it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func query[T any](t *testing.T, l *lab.Lab, site lab.Site, sql string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	conn, err := l.ConnectPostgres(ctx, site)
	require.NoError(t, err)
	var value T
	require.NoError(t, errors.Join(conn.QueryRow(ctx, sql).Scan(&value), conn.Close(ctx)))
	return value
}

func connectAs(t *testing.T, c lab.Cluster, endpoint lab.Endpoint, user string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(endpoint.As(user))
	require.NoError(t, err)
	config.Password, err = c.Password(user)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func redisInfo(t *testing.T, l *lab.Lab, site lab.Site) map[string]string {
	t.Helper()
	client := l.RedisClient(site)
	defer func() { _ = client.Close() }()
	info, err := client.InfoMap(context.WithoutCancel(t.Context()), "replication").Result()
	require.NoError(t, err)
	return info["Replication"]
}

func redisNumber(t *testing.T, l *lab.Lab, site lab.Site) int64 {
	t.Helper()
	client := l.RedisClient(site)
	defer func() { _ = client.Close() }()
	n, err := client.Get(context.WithoutCancel(t.Context()), "festivals:bookings").Int64()
	require.NoError(t, err)
	return n
}

func redisReplica(t *testing.T, l *lab.Lab) int64 { return redisNumber(t, l, lab.Standby) }

func incrementRedis(t *testing.T, l *lab.Lab) int64 {
	t.Helper()
	client := l.RedisClient(lab.Primary)
	defer func() { _ = client.Close() }()
	n, err := client.Incr(t.Context(), "festivals:bookings").Result()
	require.NoError(t, err)
	return n
}

// requireReplicates holds that what was acknowledged by now arrives at both standbys.
func requireReplicates(t *testing.T, l *lab.Lab) {
	t.Helper()
	row, key := l.LastWrite(lab.Postgres).Number, l.LastWrite(lab.Redis).Number
	require.Eventually(t, func() bool {
		return query[bool](t, l, lab.Standby, fmt.Sprintf("SELECT EXISTS (SELECT FROM bookings WHERE id = %d)", row))
	}, 5*time.Second, 20*time.Millisecond, "row %d arrives", row)
	require.Eventually(t, func() bool { return redisReplica(t, l) >= key }, 5*time.Second, 20*time.Millisecond, "key %d arrives", key)
}

// requireWrites holds that the workload goes on writing to the stores.
func requireWrites(t *testing.T, l *lab.Lab, stores ...lab.Store) {
	t.Helper()
	for _, store := range stores {
		before := l.LastWrite(store).Number
		require.Eventually(t, func() bool { return l.LastWrite(store).Number >= before+2 }, 5*time.Second, 20*time.Millisecond, "%s is written to", store)
	}
}

func requireNoReceiver(t *testing.T, l *lab.Lab) {
	t.Helper()
	require.Zero(t, query[int](t, l, lab.Standby, "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"))
}

func requireRefused(t *testing.T, e lab.Endpoint) {
	t.Helper()
	_, err := net.DialTimeout("tcp", e.Address, time.Second)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// requireSilent holds that the server takes connections, as the kernel does for it, and says nothing.
func requireSilent(t *testing.T, e lab.Endpoint) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", e.Address, time.Second)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("PING\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// processesIn lists the commands of the living processes that work inside a folder.
func processesIn(t *testing.T, dir string) []string {
	t.Helper()
	all, err := procfs.AllProcs()
	require.NoError(t, err)
	var found []string
	for _, p := range all {
		cwd, err := p.Cwd()
		if err == nil && strings.HasPrefix(cwd+"/", dir+"/") {
			command, _ := p.CmdLine()
			found = append(found, fmt.Sprint(p.PID, command))
		}
	}
	return found
}

// sharedMemory lists the System V segments that the two PostgreSQL servers hold.
func sharedMemory(t *testing.T, l *lab.Lab) []string {
	t.Helper()
	var ids []string
	for _, region := range []string{lab.PrimaryRegion, lab.StandbyRegion} {
		content, err := os.ReadFile(filepath.Join(l.Dir(), region, "postgres", "postmaster.pid"))
		require.NoError(t, err)
		ids = append(ids, strings.Fields(strings.Split(string(content), "\n")[6])[1]) // key and id
	}
	return ids
}

func requireFreed(t *testing.T, ids []string) {
	t.Helper()
	content, err := os.ReadFile("/proc/sysvipc/shm")
	require.NoError(t, err)
	for line := range strings.Lines(string(content)) {
		require.NotContains(t, ids, strings.Fields(line)[1])
	}
}

// requireAWS asks the lab's AWS by a client that is not ours, and requires what it says.
func requireAWS(t *testing.T, l *lab.Lab, says string, args ...string) {
	t.Helper()
	const client = "/usr/bin/aws"
	if _, err := os.Stat(client); err != nil && os.Getenv("CI") != "true" {
		t.Skip(client + " is missing: apt-get install -y --no-install-recommends awscli")
	}
	command := exec.CommandContext(t.Context(), client, append([]string{"--endpoint-url", l.Cloud().URL(), "--region", lab.StandbyRegion}, args...)...)
	command.Env = []string{"HOME=" + t.TempDir(), "PATH=/usr/bin:/bin", "AWS_MAX_ATTEMPTS=1"}
	for name, value := range l.Endpoints().AWS {
		command.Env = append(command.Env, name+"="+value)
	}
	out, err := command.CombinedOutput()
	require.Contains(t, string(out), says)
	if says != lab.BackupBucket {
		require.Error(t, err)
	}
}
