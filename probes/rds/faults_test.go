package rds_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

const (
	replicaID = "festivals-replica-eu-central-1"
	roleARN   = "arn:aws:iam::111122223333:role/drwatch"
)

func ofReplica() rds.Config { return rds.Config{Instance: replicaID, Source: primaryARN} }
func ofWindow() rds.Config  { return rds.Config{Instance: "festivals-production"} }
func ofSnapshot() rds.Config {
	return rds.Config{Instance: "festivals-production", Every: 25 * time.Hour}
}

// fault is one row of what goes wrong and what must be said.
type fault struct {
	kind   readiness.CopyKind
	region string
	config func() rds.Config
	// bring brings it about, after one good look unless it is there from the start.
	bring   func(s *stage)
	atStart bool

	class    readiness.Class // of a look that fails
	check    string          // or the check that tells
	status   readiness.Status
	evidence []string
	remedy   string // part of it
	// truth is how long before the end of the row the copy really holds data of; the
	// point may be older, never newer. none says that there is no point at all.
	truth time.Duration
	none  bool
}

func change(region, id string, to func(*labaws.Instance)) func(*stage) {
	return func(s *stage) { require.True(s.t, s.cloud.RDS().Change(region, id, to)) }
}

// skewed sets the clock of AWS, on which all copies stand still since ten minutes.
func skewed(ahead time.Duration) func(*stage) {
	return func(s *stage) {
		s.clock.ahead = ahead
		still := s.clock.aws().Add(-10 * time.Minute)
		change(central, replicaID, func(i *labaws.Instance) {
			i.Lag = func(_ context.Context, minute time.Time) (float64, bool) {
				return max(0, minute.Sub(still).Seconds()), !minute.Before(still)
			}
		})(s)
		change(west, "festivals-production", func(i *labaws.Instance) { i.LatestRestorable = still })(s)
		s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: west, ID: "skewed", Instance: "festivals-production", KMSKey: westKey, Database: still, Created: still})
	}
}

func faults() map[string]fault {
	broken := func(status, message string) func(*stage) {
		return func(s *stage) {
			change(central, replicaID, func(i *labaws.Instance) { i.Replication, i.Message = status, message })(s)
			s.clock.pass(5 * time.Minute)
		}
	}
	later := func(d time.Duration, then func(*stage)) func(*stage) {
		return func(s *stage) { then(s); s.clock.pass(d) }
	}
	breaks := func(f labaws.Fault) func(*stage) { return later(2*time.Minute, func(s *stage) { s.cloud.Break(f) }) }
	rdsFault := func(operation string, e labaws.Error) labaws.Fault {
		return labaws.Fault{Asked: labaws.Asked{Service: "rds", Operation: operation}, Error: e}
	}
	replica, pitr, snapshot := readiness.Replica, readiness.PITR, readiness.Snapshot
	return map[string]fault{
		"replica stopped": {
			kind: replica, bring: broken("stopped", ""), truth: 5 * time.Minute,
			check: rds.CheckLag, status: readiness.Fail, evidence: []string{"-1", "not active"}, remedy: "replication",
		},
		"replication error": {
			kind: replica, bring: broken("error", "Streaming replication has stopped."), truth: 5 * time.Minute,
			check: rds.CheckReplication, status: readiness.Fail, evidence: []string{"error", "Streaming replication has stopped."}, remedy: "events",
		},
		"replication terminated": {
			kind: replica, bring: broken("terminated", ""), truth: 5 * time.Minute,
			check: rds.CheckReplication, status: readiness.Fail, evidence: []string{"terminated"}, remedy: "make a new replica",
		},
		"CloudWatch silent for 11 minutes": {
			kind: replica, truth: 11 * time.Minute,
			bring: func(s *stage) {
				s.cloud.CloudWatch().Silence(central, "ReplicaLag", replicaID, s.clock.now(), time.Time{})
				s.clock.pass(11 * time.Minute)
			},
			check: rds.CheckLag, status: readiness.Unknown, evidence: []string{"silent", "11m"}, remedy: "CloudWatch",
		},
		"CloudWatch silent from the start": {
			kind: replica, atStart: true, none: true,
			bring: func(s *stage) {
				s.cloud.CloudWatch().Silence(central, "ReplicaLag", replicaID, time.Unix(1, 0), time.Time{})
			},
			check: rds.CheckLag, status: readiness.Unknown, evidence: []string{"no ReplicaLag"}, remedy: "CloudWatch",
		},
		"promoted": {
			kind: replica, truth: 10 * time.Minute,
			bring: later(10*time.Minute, func(s *stage) {
				change(central, replicaID, func(i *labaws.Instance) { i.Source = "" })(s)
			}),
			check: rds.CheckSource, status: readiness.Fail, evidence: []string{"replicates nothing"}, remedy: "promoted",
		},
		"a replica of another source": {
			kind: replica, atStart: true, none: true, // however little it lags behind that
			bring: change(central, replicaID, func(i *labaws.Instance) { i.Source = strings.Replace(primaryARN, "production", "staging", 1) }),
			check: rds.CheckSource, status: readiness.Fail, evidence: []string{"festivals-staging", "festivals-production"}, remedy: "other data",
		},
		"class too small": {
			kind: replica, atStart: true, bring: change(central, replicaID, func(i *labaws.Instance) { i.Class, i.StorageGiB = "db.t4g.medium", 100 }),
			check: rds.CheckCapacity, status: readiness.Warn, evidence: []string{"db.t4g.medium (2 vCPU, 4 GiB)", "db.m6g.large (2 vCPU, 8 GiB)"}, remedy: "plan the time",
		},
		"storage too slow": {
			kind: replica, atStart: true, bring: change(central, replicaID, func(i *labaws.Instance) { i.IOPS, i.StorageType = 0, "gp2" }),
			check: rds.CheckCapacity, status: readiness.Warn, evidence: []string{"0 IOPS", "gp2"}, remedy: "primary",
		},
		"another minor version": {
			kind: replica, atStart: true, bring: change(central, replicaID, func(i *labaws.Instance) { i.Version = "15.7" }),
			check: rds.CheckVersion, status: readiness.Warn, evidence: []string{"15.7", "15.8"}, remedy: "same version",
		},
		"key of the region that burns": {
			kind: replica, atStart: true, bring: change(central, replicaID, func(i *labaws.Instance) { i.KMSKey = westKey }),
			check: rds.CheckEncryption, status: readiness.Fail, evidence: []string{"the key is in eu-west-1"}, remedy: "eu-central-1",
		},
		"key access denied": {
			kind: replica, truth: 3 * time.Minute,
			bring: later(3*time.Minute, change(central, replicaID, func(i *labaws.Instance) { i.Status = "inaccessible-encryption-credentials-recoverable" })),
			check: rds.CheckStatus, status: readiness.Fail, evidence: []string{"inaccessible-encryption-credentials", "key"}, remedy: "policy",
		},
		"not protected": {
			kind: replica, atStart: true, bring: change(central, replicaID, func(i *labaws.Instance) { i.DeletionProtection = false }),
			check: rds.CheckProtection, status: readiness.Warn, evidence: []string{"deleted"}, remedy: "deletion protection",
		},
		"primary region burning": {
			kind: replica, bring: breaks(labaws.Fault{Asked: labaws.Asked{Region: west}, Drop: true}),
			check: rds.CheckCapacity, status: readiness.Unknown, evidence: []string{"primary cannot be seen"}, remedy: "route",
		},
		"primary region denied": {
			kind: replica, bring: breaks(labaws.Fault{Asked: labaws.Asked{Region: west}, Error: labaws.Denied}),
			check: rds.CheckVersion, status: readiness.Unknown, evidence: []string{"denied", "rds:DescribeDBInstances in eu-west-1"}, remedy: "may do",
		},
		"primary gone": {
			kind: replica, bring: later(2*time.Minute, func(s *stage) { s.cloud.RDS().Delete(west, "festivals-production") }),
			check: rds.CheckCapacity, status: readiness.Unknown, evidence: []string{"festivals-production", "any more"}, remedy: "who deleted it",
		},
		"missing instance": {
			kind: replica, bring: later(time.Minute, func(s *stage) { s.cloud.RDS().Delete(central, replicaID) }), truth: time.Minute,
			class: readiness.NotFound, evidence: []string{"no DB instance " + replicaID, central}, remedy: "correct",
		},
		"PITR stuck": {
			kind: pitr, region: west, bring: later(time.Hour, change(west, "festivals-production", func(i *labaws.Instance) { i.Status = "stopped" })), truth: time.Hour,
			check: rds.CheckRestorable, status: readiness.Fail, evidence: []string{"2026-11-24 12:00:00Z", "1h ago"}, remedy: "events",
		},
		"replicated PITR stuck": {
			kind: pitr, truth: 45 * time.Minute,
			bring: func(s *stage) {
				s.cloud.RDS().PutBackup(labaws.AutomatedBackup{
					Region: central, ID: "ab-festivals", Of: labaws.Instance{Region: west, ID: "festivals-production"}, KMSKey: centralKey, Days: 7, Latest: s.clock.now(),
				})
				s.clock.pass(45 * time.Minute)
			},
			check: rds.CheckRestorable, status: readiness.Fail, evidence: []string{"45m"}, remedy: "events",
		},
		"backups only retained": {
			kind: pitr, truth: 45 * time.Minute,
			bring: func(s *stage) {
				s.cloud.RDS().PutBackup(labaws.AutomatedBackup{
					Region: central, ID: "ab-festivals", Of: labaws.Instance{Region: west, ID: "festivals-production"}, Status: "retained", Days: 7, Latest: s.clock.now(),
				})
				s.clock.pass(45 * time.Minute)
			},
			check: rds.CheckRestorable, status: readiness.Fail, evidence: []string{"retained"}, remedy: "gone",
		},
		"window too short": {
			kind: pitr, region: west, config: func() rds.Config { return rds.Config{Instance: "festivals-production", Retention: 10 * 24 * time.Hour} },
			bring: func(*stage) {}, check: rds.CheckWindow, status: readiness.Fail, evidence: []string{"7d", "10d are wanted"}, remedy: "retention period",
		},
		"no backups at all": {
			kind: pitr, region: west, bring: later(5*time.Minute, change(west, "festivals-production", func(i *labaws.Instance) { i.BackupDays = 0 })), truth: 5 * time.Minute,
			class: readiness.NotFound, evidence: []string{"no automated backup"}, remedy: "correct",
		},
		"snapshot failed": {
			kind: snapshot, truth: 10 * time.Hour,
			bring: later(6*time.Minute, func(s *stage) {
				s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "newer", Instance: "festivals-production", Status: "failed", Created: s.clock.now(), Database: s.clock.now()})
			}),
			check: rds.CheckSnapshot, status: readiness.Warn, evidence: []string{"festivals-production-2026-11-24", "newer is failed"}, remedy: "by hand",
		},
		"snapshot creating": {
			kind: snapshot, truth: 10 * time.Hour,
			bring: later(6*time.Minute, func(s *stage) {
				s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "newer", Instance: "festivals-production", Status: "creating", Percent: 45, Created: s.clock.now(), Database: s.clock.now()})
			}),
			check: rds.CheckSnapshot, status: readiness.Pass, evidence: []string{"newer is creating (45 %)"},
		},
		"only one creating": {
			kind: snapshot, none: true,
			bring: later(6*time.Minute, func(s *stage) {
				s.cloud.RDS().DeleteSnapshot(central, "festivals-production-2026-11-24")
				s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "first", Instance: "festivals-production", Status: "creating", Percent: 45, Created: s.clock.now()})
			}),
			check: rds.CheckSnapshot, status: readiness.Fail, evidence: []string{"no manual or automated snapshot", "first is creating (45 %)"}, remedy: "wait",
		},
		"snapshot overdue": {
			kind: snapshot, bring: func(s *stage) { s.clock.pass(16 * time.Hour) }, truth: 26 * time.Hour,
			check: rds.CheckInterval, status: readiness.Fail, evidence: []string{"26h old, one is due every 25h"}, remedy: "schedule",
		},
		"copy without its dates": {
			kind: snapshot, atStart: true, none: true,
			bring: func(s *stage) {
				s.cloud.RDS().PutSnapshot(labaws.Snapshot{
					Region: central, ID: "festivals-production-2026-11-24", Instance: "festivals-production", Created: s.clock.now(), CopyOf: "arn:aws:rds:eu-west-1:111122223333:snapshot:mine",
				})
			},
			check: rds.CheckDated, status: readiness.Unknown, evidence: []string{"nobody knows how old"}, remedy: "originals",
		},
		"dated by its creation": {
			kind: snapshot, atStart: true, truth: 2 * time.Hour,
			bring: func(s *stage) {
				s.cloud.RDS().PutSnapshot(labaws.Snapshot{Region: central, ID: "mine", Instance: "festivals-production", Created: s.clock.now().Add(-2 * time.Hour), KMSKey: centralKey})
			},
			check: rds.CheckDated, status: readiness.Warn, evidence: []string{"SnapshotCreateTime"}, remedy: "drill",
		},
		"denied": {
			kind: replica, bring: breaks(rdsFault("DescribeDBInstances", labaws.Denied)), truth: 2 * time.Minute,
			class: readiness.Denied, evidence: []string{"rds:DescribeDBInstances", "grant"}, remedy: "may do",
		},
		"CloudWatch denied": {
			kind: replica, bring: breaks(labaws.Fault{Asked: labaws.Asked{Service: "monitoring"}, Error: labaws.Denied}), truth: 2 * time.Minute,
			check: rds.CheckLag, status: readiness.Unknown, evidence: []string{"cloudwatch:GetMetricData"}, remedy: "may do",
		},
		"snapshots denied": {
			kind: snapshot, bring: later(6*time.Minute, breaks(rdsFault("DescribeDBSnapshots", labaws.Denied))), truth: 10 * time.Hour,
			class: readiness.Denied, evidence: []string{"rds:DescribeDBSnapshots"}, remedy: "may do",
		},
		"role expired": {
			kind: replica, truth: 2 * time.Minute, atStart: false,
			config: func() rds.Config {
				c := ofReplica()
				c.AWS = awsapi.Access{RoleARN: roleARN}
				return c
			},
			bring: later(2*time.Minute, func(s *stage) {
				s.cloud.STS().Expire(roleARN)
				s.cloud.STS().Delete(roleARN)
			}),
			class: readiness.Denied, evidence: nil, remedy: "may do",
		},
		"HTML": {
			kind: replica, bring: breaks(labaws.Fault{Body: "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"}), truth: 2 * time.Minute,
			class: readiness.Malformed, evidence: []string{"not AWS"}, remedy: "listens",
		},
		"HTML 404": {
			kind: snapshot, bring: later(6*time.Minute, breaks(labaws.Fault{Body: "<html>no such page</html>", Error: labaws.Error{Status: http.StatusNotFound}})), truth: 10 * time.Hour,
			class: readiness.Malformed, evidence: []string{"not AWS"}, remedy: "listens",
		},
		"AWS at fault": {
			kind: pitr, bring: breaks(labaws.Fault{Asked: labaws.Asked{Service: "rds"}, Error: labaws.Error{Status: 503, Code: "ServiceUnavailable", Message: "try later"}}), truth: 2 * time.Minute,
			class: readiness.Unreachable, evidence: []string{"fault of its own"}, remedy: "route",
		},
		"replica, AWS is 5 minutes ahead": {
			kind: replica, atStart: true, bring: skewed(5*time.Minute + 300*time.Millisecond), truth: 10 * time.Minute,
			check: rds.CheckReplication, status: readiness.Pass, evidence: []string{"replicating"},
		},
		"window, AWS is 5 minutes ahead": {
			kind: pitr, region: west, atStart: true, bring: skewed(5*time.Minute + 300*time.Millisecond), truth: 10 * time.Minute,
			check: rds.CheckRestorable, status: readiness.Fail, evidence: []string{"10m ago"}, remedy: "events",
		},
		"snapshot, AWS is 5 minutes ahead": {
			kind: snapshot, region: west, atStart: true, bring: skewed(5*time.Minute + 300*time.Millisecond), truth: 10 * time.Minute,
			check: rds.CheckSnapshot, status: readiness.Pass, evidence: []string{"skewed"},
		},
		"replica, AWS is 5 minutes behind": {
			kind: replica, atStart: true, bring: skewed(-5*time.Minute - 300*time.Millisecond), truth: 10 * time.Minute,
			check: rds.CheckReplication, status: readiness.Pass, evidence: []string{"replicating"},
		},
	}
}

// One row, one reason, one remedy; and no recovery point is ever newer than what the
// copy really holds. Were it to fail, somebody would rely on data that is not there.
func TestFaults(t *testing.T) {
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.cloud.STS().Put(labaws.Role{ARN: roleARN})
			config := map[readiness.CopyKind]func() rds.Config{readiness.Replica: ofReplica, readiness.PITR: ofWindow, readiness.Snapshot: ofSnapshot}[f.kind]
			if f.config != nil {
				config = f.config
			}
			region := central
			if f.region != "" {
				region = f.region
			}
			if f.atStart {
				f.bring(s)
			}
			w := s.watch(f.kind, region, config())
			if !f.atStart {
				w.good()
				f.bring(s)
			}
			r, failure := w.look()
			require.Equal(t, f.class != "", failure != nil, "%v", failure)
			var evidence, remedy string
			if failure != nil {
				require.Equal(t, f.class, failure.Class, failure.Error())
				evidence, remedy = failure.Error(), failure.Class.Remedy()
			} else {
				c := check(t, r, f.check)
				require.Equal(t, f.status, c.Status, c.Evidence)
				evidence, remedy = c.Evidence, c.Remedy
			}
			for _, part := range f.evidence {
				require.Contains(t, evidence, part)
			}
			require.Contains(t, remedy, f.remedy)
			if f.none {
				require.Zero(t, w.point())
				return
			}
			require.NotZero(t, w.point())
			require.False(t, w.point().After(s.clock.now().Add(-f.truth)), "the point %s is newer than the truth, %s", w.point(), s.clock.now().Add(-f.truth))
		})
	}
}

// Were it to fail, a minute of throttling would be a gap in every gauge, or a storm of
// repeated calls that keeps it going.
func TestLook_ThrottledForAMinute(t *testing.T) {
	s := newStage(t)
	var all []*watch
	for range 50 {
		all = append(all, s.watch(readiness.Replica, central, ofReplica()))
	}
	for _, w := range all {
		w.good()
	}
	heal := s.cloud.Break(labaws.Fault{Error: labaws.Throttled})
	before := len(s.cloud.Calls())
	require.NotZero(t, before)
	total := func() int { return s.count("DescribeDBInstances", "") + s.count("GetMetricData", "") }
	calls := total()
	for range 4 { // a minute of looks, every 15 s
		s.clock.pass(15 * time.Second)
		for _, w := range all {
			r := w.good()
			require.NotEmpty(t, r.Points)
			asOf, _ := r.AsOf.Get()
			require.False(t, asOf.After(s.clock.now().Add(-15*time.Second)), "nothing old is told as new")
		}
	}
	require.LessOrEqual(t, total()-calls, 4*3, "one try of each question for all 50 looks")
	require.NotZero(t, s.calls.throttles)
	heal()
	s.clock.pass(6 * time.Minute)
	all[0].good()
}

// Were it to fail, a region that hangs while it burns would hold up the looks at the
// replicas that are to replace it.
func TestLook_PrimaryRegionHangs(t *testing.T) {
	s := newStage(t)
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: west}, Delay: time.Minute})
	w := s.watch(readiness.Replica, central, ofReplica())
	for _, most := range []time.Duration{4 * time.Second, time.Second} { // the second leaves it alone
		begun := time.Now()
		r := w.good()
		require.Less(t, time.Since(begun), most)
		require.NotEmpty(t, r.Points)
		require.Equal(t, readiness.Unknown, check(t, r, rds.CheckCapacity).Status)
		require.Contains(t, check(t, r, rds.CheckCapacity).Evidence, "timeout")
		for _, name := range []string{rds.CheckCapacity, rds.CheckVersion} {
			require.True(t, check(t, r, name).Upstream, "%s: the replica is worth what it was before", name)
		}
	}
}

// Were it to fail, a replica whose source the file does not name would be compared
// with nothing, for ever.
func TestLook_SourceLearntFromTheReplica(t *testing.T) {
	s := newStage(t)
	_, _ = s.watch(readiness.Primary, west, rds.Config{Instance: "other"}).look() // the region is asked before the name is known
	w := s.watch(readiness.Replica, central, rds.Config{Instance: replicaID})
	require.Equal(t, readiness.Unknown, check(t, w.good(), rds.CheckCapacity).Status)
	s.clock.pass(time.Minute)
	requireAllPass(t, w, w.good())
}
