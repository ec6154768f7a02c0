package rds_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

func requireAllPass(t testing.TB, w *watch, r readiness.Reading) {
	t.Helper()
	own := readiness.OwnChecks()
	for _, name := range w.copy.Checks {
		answered := false
		for _, c := range r.Checks {
			if c.Name == name {
				answered = true
				require.Equal(t, readiness.Pass, c.Status, "%s: %s", name, c.Evidence)
			}
		}
		for _, o := range own {
			answered = answered || o == name
		}
		require.True(t, answered, "%s is not answered", name)
	}
}

// Were it to fail, a healthy replica would be told as broken, or better than it is.
func TestLook_Replica(t *testing.T) {
	s := newStage(t)
	primary := s.watch(readiness.Primary, west, rds.Config{Instance: "festivals-production"})
	w := s.watch(readiness.Replica, central, rds.Config{Instance: "festivals-replica-eu-central-1", Source: primaryARN})
	r := w.good()
	requireAllPass(t, w, r)
	require.Equal(t, readiness.RoleReplica, r.Role)
	connected, _ := r.Connected.Get()
	require.True(t, connected)
	at := s.clock.now().Truncate(time.Minute).Add(-12 * time.Second)
	require.True(t, at.Equal(w.point()), "got %s, want %s", w.point(), at)
	asOf, _ := r.AsOf.Get()
	require.True(t, s.clock.now().Truncate(time.Minute).Equal(asOf))
	require.Equal(t, "the ReplicaLag of 12:00:00Z is 12.0s", check(t, r, rds.CheckLag).Evidence)
	require.Contains(t, check(t, r, rds.CheckSource).Evidence, primaryARN)

	p := primary.good()
	requireAllPass(t, primary, p)
	require.Equal(t, readiness.RolePrimary, p.Role)
	require.NotEqual(t, p.Server, r.Server)
	require.True(t, s.clock.now().Equal(primary.point()), "live")
}

// Were it to fail, one would count on going back to a moment that is not there.
func TestLook_Window(t *testing.T) {
	s := newStage(t)
	own := s.watch(readiness.PITR, west, rds.Config{Instance: "festivals-production", Retention: 6 * 24 * time.Hour})
	replicated := s.watch(readiness.PITR, central, rds.Config{Instance: "festivals-production", Source: primaryARN, Retention: 6 * 24 * time.Hour})
	r := own.good()
	requireAllPass(t, own, r)
	require.True(t, s.clock.now().Truncate(5*time.Minute).Equal(own.point()))
	from, _ := r.WindowStart.Get()
	require.True(t, s.clock.now().AddDate(0, 0, -7).Equal(from))

	s.clock.pass(3 * time.Minute)
	r = replicated.good()
	requireAllPass(t, replicated, r)
	require.True(t, time.Date(2026, 11, 24, 11, 55, 0, 0, time.UTC).Equal(replicated.point()), "%s", replicated.point())
}

// Were it to fail, a copy would be dated by when it was copied, not by its data.
func TestLook_Snapshot(t *testing.T) {
	s := newStage(t)
	w := s.watch(readiness.Snapshot, central, rds.Config{Instance: "festivals-production", Every: 25 * time.Hour, Snapshots: rds.Manual})
	r := w.good()
	requireAllPass(t, w, r)
	require.True(t, s.clock.now().Add(-10*time.Hour).Equal(w.point()))
	require.Equal(t, "snapshot festivals-production-2026-11-24 is 10h old, one is due every 25h", check(t, r, rds.CheckInterval).Evidence)
	require.Equal(t, 90000.0, r.Measures[readiness.BackupIntervalSeconds])
}

// Were it to fail, what is left of an instance that was deleted would be taken for the
// backups of the one that has its name now.
func TestLook_WindowOfTheInstanceThatIsThere(t *testing.T) {
	s := newStage(t)
	old := s.clock.now().AddDate(0, 0, -3)
	for id, from := range map[string]string{"ab-0": "ap-south-1", "ab-z": west} { // before and after the other in the listing
		s.cloud.RDS().PutBackup(labaws.AutomatedBackup{Region: west, ID: id, Of: labaws.Instance{Region: from, ID: "festivals-production"}, Status: "retained", KMSKey: westKey, Days: 7, Latest: old})
	}
	w := s.watch(readiness.PITR, west, rds.Config{Instance: "festivals-production"})
	requireAllPass(t, w, w.good())
	require.True(t, s.clock.now().Truncate(5*time.Minute).Equal(w.point()))

	_, failure := s.watch(readiness.PITR, west, rds.Config{Instance: "festivals-production", Source: "another"}).look()
	require.Equal(t, readiness.NotFound, failure.Class)
	require.Contains(t, failure.Error(), "not of another")
}
