package rds_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

// aurora adds a global database to the stage: its writer in the west, a secondary
// cluster 800 ms behind.
func aurora(s *stage) (writer, secondary labaws.Cluster) {
	now := s.clock.aws()
	writer = labaws.Cluster{Region: west, ID: "aurora-west", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"w1", "w2"}, KMSKey: westKey, DeletionProtection: true,
		BackupDays: 7, Earliest: now.AddDate(0, 0, -7), Latest: now.Add(-time.Minute)}
	secondary = labaws.Cluster{Region: central, ID: "aurora-central", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"c1"}, KMSKey: centralKey, DeletionProtection: true, BackupDays: 7}
	s.cloud.RDS().PutCluster(writer)
	s.cloud.RDS().PutCluster(secondary)
	s.cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "festivals-global", Engine: "aurora-postgresql", Version: "15.4", Writer: writer.ARN(), Secondaries: []string{secondary.ARN()}})
	s.cloud.CloudWatch().Publish(labaws.Gauge{
		Region: central, Namespace: "AWS/RDS", Name: "AuroraGlobalDBRPOLag", Dimension: "DBClusterIdentifier", Of: "aurora-central",
		Value: func(context.Context, time.Time) (float64, bool) { return 800, true },
	})
	return writer, secondary
}

func ofSecondary() rds.Config {
	return rds.Config{Cluster: "aurora-central", GlobalCluster: "festivals-global"}
}

// Were it to fail, milliseconds would be taken for seconds, or a primary for a secondary.
func TestLook_GlobalDatabase(t *testing.T) {
	s := newStage(t)
	writer, secondary := aurora(s)
	primary := s.watch(readiness.Primary, west, rds.Config{Cluster: "aurora-west", GlobalCluster: "festivals-global"})
	w := s.watch(readiness.Replica, central, ofSecondary())
	r := w.good()
	requireAllPass(t, w, r)
	require.Equal(t, readiness.RoleReplica, r.Role)
	require.True(t, s.clock.now().Truncate(time.Minute).Add(-800*time.Millisecond).Equal(w.point()), "%s", w.point())
	require.Contains(t, check(t, r, rds.CheckSource).Evidence, writer.ARN())
	p := primary.good()
	requireAllPass(t, primary, p)
	require.Equal(t, readiness.RolePrimary, p.Role)

	// Out of step.
	s.cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "festivals-global", Version: "15.4", Writer: writer.ARN(), Secondaries: []string{secondary.ARN()}, Pending: []string{secondary.ARN()}})
	s.clock.pass(time.Minute)
	r = w.good()
	require.Equal(t, readiness.Fail, check(t, r, rds.CheckReplication).Status)
	require.Contains(t, check(t, r, rds.CheckReplication).Evidence, "pending-resync")

	// Failed over: the roles have changed, and both copies say so.
	s.cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "festivals-global", Version: "15.4", Writer: secondary.ARN(), Secondaries: []string{writer.ARN()}})
	s.clock.pass(time.Minute)
	before := w.point()
	r = w.good()
	require.Equal(t, readiness.RolePrimary, r.Role)
	require.Equal(t, readiness.Fail, check(t, r, rds.CheckSource).Status)
	require.True(t, before.Equal(w.point()), "what is no replica proves nothing of one")
	require.Equal(t, readiness.RoleReplica, primary.good().Role)

	// Headless.
	secondary.Members = nil
	s.cloud.RDS().PutCluster(secondary)
	s.clock.pass(time.Minute)
	require.Equal(t, readiness.Warn, check(t, w.good(), rds.CheckCapacity).Status)
}

// Were it to fail, a cluster that the file knows half of would be taken for the primary.
func TestLook_GlobalDatabaseThatIsNotThere(t *testing.T) {
	s := newStage(t)
	aurora(s)
	c := ofSecondary()
	c.GlobalCluster = "no-such"
	_, failure := s.watch(readiness.Replica, central, c).look()
	require.Equal(t, readiness.NotFound, failure.Class)
	require.Contains(t, failure.Error(), "no global database no-such")
}

// Were it to fail, a reader that has become the writer would be counted as a copy.
func TestLook_AuroraReader(t *testing.T) {
	s := newStage(t)
	aurora(s)
	for _, id := range []string{"w1", "w2"} {
		s.cloud.RDS().Put(labaws.Instance{Region: west, ID: id, Cluster: "aurora-west", Engine: "aurora-postgresql", Version: "15.4", KMSKey: westKey, DeletionProtection: true})
		s.cloud.CloudWatch().Publish(labaws.Gauge{
			Region: west, Namespace: "AWS/RDS", Name: "AuroraReplicaLag", Dimension: "DBInstanceIdentifier", Of: id,
			Value: func(context.Context, time.Time) (float64, bool) { return 20, true },
		})
	}
	reader := s.watch(readiness.Replica, west, rds.Config{Instance: "w2", Cluster: "aurora-west"})
	r := reader.good()
	requireAllPass(t, reader, r)
	require.True(t, s.clock.now().Truncate(time.Minute).Add(-20*time.Millisecond).Equal(reader.point()))
	r = s.watch(readiness.Replica, west, rds.Config{Instance: "w1", Cluster: "aurora-west"}).good1m(s)
	require.Equal(t, readiness.RolePrimary, r.Role)
	require.Equal(t, readiness.Fail, check(t, r, rds.CheckReplication).Status)
}

// good1m looks after the shared answers, which are of before the copy was there.
func (w *watch) good1m(s *stage) readiness.Reading {
	s.clock.pass(time.Minute)
	return w.good()
}

// Were it to fail, the window of a cluster would not be seen, or a copied cluster
// snapshot would be dated by when it was copied.
func TestLook_ClusterBackups(t *testing.T) {
	s := newStage(t)
	aurora(s)
	window := s.watch(readiness.PITR, west, rds.Config{Cluster: "aurora-west", Retention: 7 * 24 * time.Hour})
	r := window.good()
	requireAllPass(t, window, r)
	require.True(t, s.clock.now().Add(-time.Minute).Equal(window.point()))

	s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "copied", Cluster: "aurora-west", Created: s.clock.now(), KMSKey: centralKey,
		CopyOf: "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:rds:aurora-west-2026-11-24-03-05"})
	snapshots := s.watch(readiness.Snapshot, central, rds.Config{Cluster: "aurora-west"})
	r = snapshots.good()
	require.True(t, time.Date(2026, 11, 24, 3, 5, 0, 0, time.UTC).Equal(snapshots.point()), "%s", snapshots.point())
	require.Equal(t, readiness.Warn, check(t, r, rds.CheckDated).Status)
	require.Equal(t, readiness.BasisName, r.Points[0].Basis)

	for _, name := range []string{"mine", "mine-2026-11-24-11-59", "rds:aurora-west-2026-11-25-03-05"} { // by hand, and later than the copy
		s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "copied", Cluster: "aurora-west", Created: s.clock.now(), KMSKey: centralKey,
			CopyOf: "arn:aws:rds:eu-west-1:111122223333:cluster-snapshot:" + name})
		s.clock.pass(6 * time.Minute)
		require.Equal(t, readiness.Unknown, check(t, snapshots.good(), rds.CheckDated).Status, name)
		require.Zero(t, snapshots.point(), name)
	}
}

// Were it to fail, snapshots that an intruder cannot reach would not be seen.
func TestLook_SnapshotsOfAnotherAccount(t *testing.T) {
	s := newStage(t)
	const vault, role = "444455556666", "arn:aws:iam::444455556666:role/drwatch"
	s.cloud.STS().Put(labaws.Role{ARN: role, ExternalID: "festivals"})
	s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, Account: vault, ID: "kept", Instance: "festivals-production", KMSKey: centralKey,
		Database: s.clock.now().Add(-3 * time.Hour), Created: s.clock.now()})
	s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: west, Account: vault, SharedWith: []string{labaws.Account}, ID: "shared", Instance: "festivals-production", KMSKey: westKey,
		Database: s.clock.now().Add(-4 * time.Hour), Created: s.clock.now()})
	c := rds.Config{Instance: "festivals-production"}
	c.AWS.RoleARN, c.AWS.ExternalID = role, "festivals"
	own := s.watchIn(vault, readiness.Snapshot, central, c)
	requireAllPass(t, own, own.good())
	require.True(t, s.clock.now().Add(-3*time.Hour).Equal(own.point()), "of that account alone")
	shared := s.watchIn(vault, readiness.Snapshot, west, rds.Config{Instance: "festivals-production", Snapshots: rds.Shared})
	requireAllPass(t, shared, shared.good())
	require.True(t, s.clock.now().Add(-4*time.Hour).Equal(shared.point()))
}

// Were it to fail, a copy in the account of the primary would count as one that an
// intruder there cannot reach, because the file says so.
func TestLook_NotInTheAccountOfTheFile(t *testing.T) {
	s := newStage(t)
	aurora(s)
	for what, w := range map[string]*watch{
		"snapshot":        s.watchIn("444455556666", readiness.Snapshot, central, rds.Config{Instance: "festivals-production"}),
		"window":          s.watchIn("444455556666", readiness.PITR, central, ofWindow()),
		"window, cluster": s.watchIn("444455556666", readiness.PITR, west, rds.Config{Cluster: "aurora-west"}),
		"replica":         s.watchIn("444455556666", readiness.Replica, central, ofReplica()),
		"primary":         s.watchIn("444455556666", readiness.Primary, west, rds.Config{Instance: "festivals-production"}),
	} {
		c := check(t, w.good(), rds.CheckAccount)
		require.Equal(t, readiness.Fail, c.Status, what)
		require.Contains(t, c.Evidence, "is in account 111122223333, where the file says 444455556666", what)
	}
	none := s.watchIn("444455556666", readiness.Snapshot, west, rds.Config{Instance: "festivals-production"})
	require.Equal(t, readiness.Unknown, check(t, none.good(), rds.CheckAccount).Status)
	own := s.watchIn("111122223333", readiness.PITR, central, ofWindow())
	requireAllPass(t, own, own.good())
}

// Were it to fail, a primary that is down would be shown as one that takes writes now.
func TestLook_PrimaryThatDoesNotServe(t *testing.T) {
	s := newStage(t)
	w := s.watch(readiness.Primary, west, rds.Config{Instance: "festivals-production"})
	w.good()
	before := w.point()
	for status, want := range map[string]readiness.Status{
		"stopped": readiness.Fail, "failed": readiness.Fail, "storage-full": readiness.Fail, "rebooting": readiness.Fail, "deleting": readiness.Fail, "a-new-word": readiness.Fail,
	} {
		change(west, "festivals-production", func(i *labaws.Instance) { i.Status = status })(s)
		s.clock.pass(time.Minute)
		r := w.good()
		require.Equal(t, readiness.RoleUnknown, r.Role, status)
		require.Equal(t, want, check(t, r, rds.CheckStatus).Status, status)
		require.True(t, before.Equal(w.point()), "%s: live at %s", status, w.point())
	}
	change(west, "festivals-production", func(i *labaws.Instance) { i.Status, i.BackupDays, i.MultiAZ, i.KMSKey = "modifying", 0, false, "" })(s)
	s.clock.pass(time.Minute)
	r := w.good()
	require.Equal(t, readiness.RolePrimary, r.Role, "it serves while it is modified")
	for name, want := range map[string]readiness.Status{
		rds.CheckStatus: readiness.Warn, rds.CheckBackups: readiness.Fail, rds.CheckZones: readiness.Warn, rds.CheckEncryption: readiness.Warn,
	} {
		require.Equal(t, want, check(t, r, name).Status, name)
	}
	require.Equal(t, readiness.RoleReplica, s.watch(readiness.Primary, central, rds.Config{Instance: replicaID}).good().Role, "a replica where the file says primary")
}
