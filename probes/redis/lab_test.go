package redis_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, the whole of it would not hold together: two regions, users
// with the least rights, TLS, and disasters.
func TestLab_Disasters(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t)
	e := l.Endpoints()
	primary := redis.Config{URL: e.Redis.PrimaryAcross.URL, PasswordFile: e.Redis.PasswordFiles["drwatch"]}
	replica := redis.Config{
		URL: e.Redis.Standby.TLSURL, PasswordFile: e.Redis.PasswordFiles["drwatch"],
		TLS: &redis.TLS{CAFile: e.CAFile}, MaxSilence: 3 * time.Second,
	}
	w := newWatch(t, primary, replica)
	w.catchUp()
	var truth []lab.Write // what was acknowledged, as far as it was noted
	note := func() { truth = append(truth, l.LastWrite(lab.Redis)) }

	for _, fault := range []lab.Fault{lab.RedisLinkCut, lab.RedisPrimaryFrozen, lab.RedisPrimaryKilled} {
		w.catchUp()
		note()
		broken := time.Now()
		require.NoError(t, l.Break(t.Context(), fault), fault)
		note()
		_, _ = w.look("primary")
		_, failure := w.look("replica")
		require.Nil(t, failure, fault)
		eventually(t, func() bool {
			_, _ = w.look("replica")
			return w.check("replica", redis.CheckLink).Status == readiness.Fail
		}, "%s to be told", fault)
		require.True(t, w.mustRecoveryPoint().Before(broken.Add(time.Second)), fault)
		requireKept(t, l, truth, w.mustRecoveryPoint())
		if fault != lab.RedisPrimaryKilled { // there is no way back from that
			require.NoError(t, l.Heal(t.Context(), fault), fault)
		}
	}
	requireKept(t, l, truth, w.mustRecoveryPoint())
}

// requireKept asserts that the replica has every write that was acknowledged by
// the moment given.
func requireKept(t *testing.T, l *lab.Lab, truth []lab.Write, by time.Time) {
	t.Helper()
	client := l.RedisClient(lab.Standby)
	defer func() { _ = client.Close() }()
	text, err := client.Get(t.Context(), "festivals:bookings").Result()
	require.NoError(t, err)
	has, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	for _, write := range truth {
		if !write.Acknowledged.After(by) {
			require.GreaterOrEqual(t, has, write.Number, "the recovery point %s promises what was lost", by)
		}
	}
}
