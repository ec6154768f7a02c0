package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const (
	elsewhere  = "eu-central-1"
	production = "arn:aws:rds:eu-west-1:111122223333:db:festivals-production"
	rdsKey     = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
)

// hands is a clock that a test moves.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func newHands() *hands { return &hands{at: time.Date(2026, 11, 24, 12, 2, 0, 0, time.UTC)} }

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// startRDS brings up a primary and its cross-region replica.
func startRDS(t *testing.T) (*labaws.Cloud, *hands) {
	t.Helper()
	clock := newHands()
	cloud := start(t, labaws.Options{Now: clock.now})
	primary := labaws.Instance{
		Region: region, ID: "festivals-production", Class: "db.m6g.large", Engine: "postgres", Version: "15.8", StorageGiB: 100, StorageType: "gp3", IOPS: 3000,
		MultiAZ: true, DeletionProtection: true, KMSKey: rdsKey, BackupDays: 7, Created: clock.now().AddDate(0, 0, -30),
	}
	cloud.RDS().Put(primary)
	replica := primary
	replica.Region, replica.ID, replica.Source, replica.BackupDays = elsewhere, "festivals-replica", production, 0
	cloud.RDS().Put(replica)
	return cloud, clock
}

// asked asks RDS by a client that we did not write.
func asked(t *testing.T, cloud *labaws.Cloud, where, operation string, params map[string]any) map[string]any {
	t.Helper()
	return validated(t, cloud.URL(), where, "rds", operation, params)
}

// first gives the first of a list in an answer.
func first(t *testing.T, answer map[string]any, list string) map[string]any {
	t.Helper()
	things, _ := answer[list].([]any)
	require.NotEmpty(t, things, "%v", answer)
	return things[0].(map[string]any)
}

func named(name string, values ...string) []map[string]any {
	return []map[string]any{{"Name": name, "Values": values}}
}

func errorCode(answer map[string]any) string {
	e, _ := answer["Error"].(map[string]any)
	c, _ := e["Code"].(string)
	return c
}

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestRDS_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	i := first(t, asked(t, cloud, region, "DescribeDBInstances", map[string]any{"Filters": named("db-instance-id", "FESTIVALS-production", "no-such")}), "DBInstances")
	require.Equal(t, "2026-11-24T12:00:00Z", i["LatestRestorableTime"])
	require.Equal(t, []any{"arn:aws:rds:eu-central-1:111122223333:db:festivals-replica"}, i["ReadReplicaDBInstanceIdentifiers"], "across regions by ARN")
	require.Empty(t, i["StatusInfos"])
	i = first(t, asked(t, cloud, elsewhere, "DescribeDBInstances", map[string]any{"DBInstanceIdentifier": "festivals-replica"}), "DBInstances")
	require.Equal(t, production, i["ReadReplicaSourceDBInstanceIdentifier"])
	require.Equal(t, []any{map[string]any{"StatusType": "read replication", "Normal": true, "Status": "replicating"}}, i["StatusInfos"])

	require.Equal(t, "DBInstanceNotFound", errorCode(asked(t, cloud, elsewhere, "DescribeDBInstances", map[string]any{"DBInstanceIdentifier": "festivals-production"})))
	require.Equal(t, "InvalidParameterValue", errorCode(asked(t, cloud, region, "DescribeDBInstances", map[string]any{"MaxRecords": 5})))
	require.Equal(t, "InvalidParameterValue", errorCode(asked(t, cloud, region, "DescribeDBInstances", map[string]any{"Filters": named("colour", "red")})))

	cloud.RDS().PutSnapshot(labaws.Snapshot{Region: region, ID: "theirs", Account: "444455556666", SharedWith: []string{labaws.Account}, Instance: "festivals-production",
		Engine: "postgres", Version: "15.8", Database: clock.now(), Original: clock.now(), Created: clock.now()})
	require.Empty(t, asked(t, cloud, region, "DescribeDBSnapshots", map[string]any{})["DBSnapshots"], "shared ones only where they are asked for")
	s := first(t, asked(t, cloud, region, "DescribeDBSnapshots", map[string]any{"SnapshotType": "shared", "Filters": named("db-instance-id", "festivals-production")}), "DBSnapshots")
	require.Equal(t, "arn:aws:rds:eu-west-1:444455556666:snapshot:theirs", s["DBSnapshotIdentifier"])
	require.Equal(t, "DBSnapshotNotFound", errorCode(asked(t, cloud, region, "DescribeDBSnapshots", map[string]any{"DBSnapshotIdentifier": "no-such"})))

	cloud.RDS().PutBackup(labaws.AutomatedBackup{Region: elsewhere, ID: "ab-1", Of: labaws.Instance{Region: region, ID: "festivals-production", Engine: "postgres", Version: "15.8"}, Days: 7, KMSKey: rdsKey})
	b := first(t, asked(t, cloud, elsewhere, "DescribeDBInstanceAutomatedBackups", map[string]any{"Filters": named("db-instance-id", "festivals-production")}), "DBInstanceAutomatedBackups")
	require.Equal(t, "replicating", b["Status"])
	require.Equal(t, region, b["Region"], "where they come from")
	require.Equal(t, "arn:aws:rds:eu-central-1:111122223333:auto-backup:ab-1", b["DBInstanceAutomatedBackupsArn"])
	b = first(t, asked(t, cloud, region, "DescribeDBInstanceAutomatedBackups", map[string]any{"DBInstanceIdentifier": "festivals-production"}), "DBInstanceAutomatedBackups")
	require.Equal(t, map[string]any{"EarliestTime": "2026-11-17T12:02:00Z", "LatestTime": "2026-11-24T12:00:00Z"}, b["RestoreWindow"])
}

// Were it to fail, a client that reads one page would pass its tests, and miss copies
// in production.
func TestRDS_Pages(t *testing.T) {
	t.Parallel()
	cloud, _ := startRDS(t)
	for n := range 45 {
		cloud.RDS().Put(labaws.Instance{Region: region, ID: fmt.Sprintf("db-%02d", n), Engine: "postgres"})
	}
	seen, marker := 0, ""
	for pages := 1; ; pages++ {
		params := map[string]any{"MaxRecords": 20}
		if marker != "" {
			params["Marker"] = marker
		}
		answer := asked(t, cloud, region, "DescribeDBInstances", params)
		seen += len(answer["DBInstances"].([]any))
		marker, _ = answer["Marker"].(string)
		if marker == "" {
			require.Equal(t, 3, pages)
			break
		}
	}
	require.Equal(t, 46, seen)
	require.Equal(t, "InvalidParameterValue", errorCode(asked(t, cloud, region, "DescribeDBInstances", map[string]any{"Marker": "!"})))
}

// Were it to fail, a runbook that promotes twice, or believes that a promotion is done
// when it is accepted, would pass its tests.
func TestRDS_PromotesOnce(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	id := map[string]any{"DBInstanceIdentifier": "festivals-replica"}
	describe := func() map[string]any {
		return first(t, asked(t, cloud, elsewhere, "DescribeDBInstances", id), "DBInstances")
	}
	require.Equal(t, "InvalidDBInstanceState", errorCode(asked(t, cloud, region, "PromoteReadReplica", map[string]any{"DBInstanceIdentifier": "festivals-production"})))
	require.Equal(t, "DBInstanceNotFound", errorCode(asked(t, cloud, region, "PromoteReadReplica", map[string]any{"DBInstanceIdentifier": "no-such"})))

	accepted := asked(t, cloud, elsewhere, "PromoteReadReplica", id)["DBInstance"].(map[string]any)
	require.Equal(t, "modifying", accepted["DBInstanceStatus"])
	require.Equal(t, production, describe()["ReadReplicaSourceDBInstanceIdentifier"], "it takes time")
	require.Equal(t, "InvalidDBInstanceState", errorCode(asked(t, cloud, elsewhere, "PromoteReadReplica", id)))

	clock.pass(2 * time.Minute)
	promoted := describe()
	require.Equal(t, "available", promoted["DBInstanceStatus"])
	require.NotContains(t, promoted, "ReadReplicaSourceDBInstanceIdentifier")
	require.Empty(t, promoted["StatusInfos"])
	require.EqualValues(t, 1, promoted["BackupRetentionPeriod"], "the default of the API")
	require.Equal(t, "InvalidDBInstanceState", errorCode(asked(t, cloud, elsewhere, "PromoteReadReplica", id)), "it is no replica any more")
	require.Empty(t, first(t, asked(t, cloud, region, "DescribeDBInstances", map[string]any{}), "DBInstances")["ReadReplicaDBInstanceIdentifiers"])
}

// Were it to fail, a restore to a moment that is not there would pass its tests.
func TestRDS_RestoresWithinTheWindowOnly(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	restore := func(params map[string]any) map[string]any {
		params["TargetDBInstanceIdentifier"] = "restored"
		if params["SourceDBInstanceAutomatedBackupsArn"] == nil {
			params["SourceDBInstanceIdentifier"] = "festivals-production"
		}
		return asked(t, cloud, region, "RestoreDBInstanceToPointInTime", params)
	}
	for _, outside := range []string{"2026-11-24T12:01:00Z", "2026-11-10T00:00:00Z"} {
		require.Equal(t, "InvalidParameterValue", errorCode(restore(map[string]any{"RestoreTime": outside})), outside)
	}
	require.Equal(t, "InvalidParameterCombination", errorCode(restore(map[string]any{})))

	cloud.RDS().Change(region, "festivals-production", func(i *labaws.Instance) { i.Status = "stopped" })
	clock.pass(time.Hour)
	source := map[string]any{"DBInstanceIdentifier": "festivals-production"}
	require.Equal(t, "2026-11-24T12:00:00Z", first(t, asked(t, cloud, region, "DescribeDBInstances", source), "DBInstances")["LatestRestorableTime"],
		"it stops when the instance does")

	made := restore(map[string]any{"RestoreTime": "2026-11-24T11:58:00Z"})["DBInstance"].(map[string]any)
	require.Equal(t, "creating", made["DBInstanceStatus"])
	require.Equal(t, "DBInstanceAlreadyExists", errorCode(restore(map[string]any{"UseLatestRestorableTime": true})))
	clock.pass(time.Hour)
	restored, exists := cloud.RDS().Instance(region, "restored")
	require.True(t, exists)
	require.Empty(t, restored.Status, "available")
	require.True(t, restored.RestoredTo.Equal(time.Date(2026, 11, 24, 11, 58, 0, 0, time.UTC)))

	require.Equal(t, "DBInstanceNotFound", errorCode(asked(t, cloud, elsewhere, "RestoreDBInstanceToPointInTime", map[string]any{
		"TargetDBInstanceIdentifier": "x", "SourceDBInstanceIdentifier": "festivals-production", "UseLatestRestorableTime": true})))
	require.Equal(t, "PointInTimeRestoreNotEnabled", errorCode(asked(t, cloud, elsewhere, "RestoreDBInstanceToPointInTime", map[string]any{
		"TargetDBInstanceIdentifier": "x", "SourceDBInstanceIdentifier": "festivals-replica", "UseLatestRestorableTime": true})))
	cloud.RDS().PutBackup(labaws.AutomatedBackup{Region: elsewhere, ID: "ab-1", Of: labaws.Instance{Region: region, ID: "festivals-production", Engine: "postgres"}, Days: 7})
	made = asked(t, cloud, elsewhere, "RestoreDBInstanceToPointInTime", map[string]any{
		"TargetDBInstanceIdentifier": "x", "SourceDBInstanceAutomatedBackupsArn": "arn:aws:rds:eu-central-1:111122223333:auto-backup:ab-1", "UseLatestRestorableTime": true})["DBInstance"].(map[string]any)
	require.Equal(t, "arn:aws:rds:eu-central-1:111122223333:db:x", made["DBInstanceArn"])
}

// Were it to fail, a client that trusts its own write to be seen at once would pass.
func TestRDS_ConsistentInTheEnd(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	cloud.RDS().Stale(30 * time.Second)
	clock.pass(time.Minute)
	cloud.RDS().Change(region, "festivals-production", func(i *labaws.Instance) { i.Class = "db.r6g.large" })
	class := func() any {
		return first(t, asked(t, cloud, region, "DescribeDBInstances", map[string]any{}), "DBInstances")["DBInstanceClass"]
	}
	require.Equal(t, "db.m6g.large", class())
	clock.pass(31 * time.Second)
	require.Equal(t, "db.r6g.large", class())
}

// Were it to fail, the failover of a global database would be rehearsed against
// something that cannot fail over.
func TestRDS_GlobalCluster(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	west := labaws.Cluster{Region: region, ID: "aurora-west", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"w1", "w2"}, KMSKey: rdsKey,
		BackupDays: 7, Earliest: clock.now().AddDate(0, 0, -7), Latest: clock.now()}
	central := labaws.Cluster{Region: elsewhere, ID: "aurora-central", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"c1"}}
	cloud.RDS().PutCluster(west)
	cloud.RDS().PutCluster(central)
	cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "festivals-global", Engine: "aurora-postgresql", Version: "15.4", Writer: west.ARN(), Secondaries: []string{central.ARN()}})
	cloud.RDS().PutSnapshot(labaws.Snapshot{Region: region, ID: "rds:aurora-west-2026-11-24-03-05", Type: "automated", Cluster: "aurora-west", Engine: "aurora-postgresql", Created: clock.now()})

	first(t, asked(t, cloud, region, "DescribeDBClusterSnapshots", map[string]any{"Filters": named("db-cluster-id", "aurora-west")}), "DBClusterSnapshots")
	c := first(t, asked(t, cloud, elsewhere, "DescribeDBClusters", map[string]any{"Filters": named("db-cluster-id", "aurora-central")}), "DBClusters")
	require.Equal(t, false, c["DBClusterMembers"].([]any)[0].(map[string]any)["IsClusterWriter"], "a secondary cluster has no writer")
	require.Equal(t, "DBClusterNotFoundFault", errorCode(asked(t, cloud, region, "DescribeDBClusters", map[string]any{"DBClusterIdentifier": "no-such"})))

	global := func() map[string]any {
		return first(t, asked(t, cloud, elsewhere, "DescribeGlobalClusters", map[string]any{}), "GlobalClusters")
	}
	writer := func() any { return global()["GlobalClusterMembers"].([]any)[0].(map[string]any)["DBClusterArn"] }
	require.Equal(t, west.ARN(), writer())
	to := map[string]any{"GlobalClusterIdentifier": "festivals-global", "TargetDbClusterIdentifier": central.ARN()}
	asked(t, cloud, elsewhere, "FailoverGlobalCluster", to)
	require.Equal(t, central.ARN(), global()["FailoverState"].(map[string]any)["ToDbClusterArn"])
	require.Equal(t, west.ARN(), writer(), "it takes time")
	require.Equal(t, "InvalidGlobalClusterStateFault", errorCode(asked(t, cloud, elsewhere, "FailoverGlobalCluster", to)))
	clock.pass(2 * time.Minute)
	require.Equal(t, central.ARN(), writer())
	require.Empty(t, global()["FailoverState"])
	require.Equal(t, "DBClusterNotFoundFault", errorCode(asked(t, cloud, elsewhere, "FailoverGlobalCluster", to)), "it is the writer now")
}

// metricParams asks for metrics by name of the instance.
func metricParams(clock *hands, metrics ...string) map[string]any {
	var queries []map[string]any
	for n, of := range metrics {
		queries = append(queries, map[string]any{"Id": fmt.Sprintf("m%d", n), "MetricStat": map[string]any{
			"Metric": map[string]any{"Namespace": "AWS/RDS", "MetricName": "ReplicaLag", "Dimensions": []map[string]any{{"Name": "DBInstanceIdentifier", "Value": of}}},
			"Period": 60, "Stat": "Average"}})
	}
	return map[string]any{"MetricDataQueries": queries, "StartTime": clock.now().Add(-5 * time.Minute).Format(time.RFC3339), "EndTime": clock.now().Add(time.Minute).Format(time.RFC3339)}
}

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestCloudWatch_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	cloud.RDS().Change(elsewhere, "festivals-replica", func(i *labaws.Instance) {
		i.Lag = func(_ context.Context, minute time.Time) (float64, bool) { return float64(minute.Minute()), true }
	})
	values := func(params map[string]any) any {
		return first(t, validated(t, cloud.URL(), elsewhere, "cloudwatch", "GetMetricData", params), "MetricDataResults")["Values"]
	}
	asks := metricParams(clock, "festivals-replica")
	require.Equal(t, []any{2.0, 1.0, 0.0, 59.0, 58.0, 57.0}, values(asks), "newest first")
	asks["ScanBy"] = "TimestampAscending"
	require.Equal(t, []any{57.0, 58.0, 59.0, 0.0, 1.0, 2.0}, values(asks))
	asks["MaxDatapoints"] = 4
	page := validated(t, cloud.URL(), elsewhere, "cloudwatch", "GetMetricData", asks)
	require.Equal(t, "PartialData", first(t, page, "MetricDataResults")["StatusCode"])
	asks["NextToken"] = page["NextToken"]
	require.Equal(t, []any{1.0, 2.0}, values(asks))

	cloud.CloudWatch().Delay(elsewhere, "ReplicaLag", "festivals-replica", 3*time.Minute)
	require.Equal(t, []any{59.0, 58.0, 57.0}, values(metricParams(clock, "festivals-replica")), "late")
	cloud.CloudWatch().Silence(elsewhere, "ReplicaLag", "festivals-replica", clock.now().Add(-4*time.Minute), time.Time{})
	require.Equal(t, []any{57.0}, values(metricParams(clock, "festivals-replica")), "and silent")
	cloud.CloudWatch().Speak(elsewhere, "ReplicaLag", "festivals-replica")

	require.Empty(t, values(metricParams(clock, "no-such")))
	cloud.RDS().Change(elsewhere, "festivals-replica", func(i *labaws.Instance) { i.Replication = "stopped" })
	require.Equal(t, -1.0, values(metricParams(clock, "festivals-replica")).([]any)[0], "not active")
	many := make([]string, 501)
	for n := range many {
		many[n] = fmt.Sprintf("db-%d", n)
	}
	require.Equal(t, "ValidationError", errorCode(validated(t, cloud.URL(), elsewhere, "cloudwatch", "GetMetricData", metricParams(clock, many...))))
}

// Were it to fail, people could not look at the lab with the tool that they know.
func TestCommandLine_SeesTheReplica(t *testing.T) {
	t.Parallel()
	cloud, _ := startRDS(t)
	if _, err := os.Stat("/usr/bin/aws"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("awscli is missing: apt-get install awscli")
		}
		t.Skip("awscli is missing: apt-get install awscli")
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "/usr/bin/aws", "--endpoint-url", cloud.URL(), "--output", "json", "rds", "describe-db-instances", "--db-instance-identifier", "festivals-replica")
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIALAB", "AWS_SECRET_ACCESS_KEY=lab", "AWS_DEFAULT_REGION="+elsewhere, "AWS_EC2_METADATA_DISABLED=true")
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, errors.Join(command.Run()), stderr.String())
	var answer map[string]any
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &answer))
	require.Equal(t, production, first(t, answer, "DBInstances")["ReadReplicaSourceDBInstanceIdentifier"])
}

// Were it to fail, a runbook could not tell a switchover from a failover that loses data.
// The command line of Debian does not know these parameters; the SDK does.
func TestRDS_GlobalFailoverMayLoseData(t *testing.T) {
	t.Parallel()
	cloud, clock := startRDS(t)
	writer, secondary := labaws.Cluster{Region: region, ID: "w"}, labaws.Cluster{Region: elsewhere, ID: "c"}
	cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "g", Writer: writer.ARN(), Secondaries: []string{secondary.ARN()}, Pending: []string{secondary.ARN()}})
	client := rds.NewFromConfig(aws.Config{Region: elsewhere, BaseEndpoint: aws.String(cloud.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", "")})
	_, err := client.SwitchoverGlobalCluster(t.Context(), &rds.SwitchoverGlobalClusterInput{GlobalClusterIdentifier: aws.String("g"), TargetDbClusterIdentifier: aws.String(secondary.ARN())})
	require.ErrorContains(t, err, "InvalidDBClusterState", "it is not in step")
	answer, err := client.FailoverGlobalCluster(t.Context(), &rds.FailoverGlobalClusterInput{GlobalClusterIdentifier: aws.String("g"), TargetDbClusterIdentifier: aws.String(secondary.ARN()), AllowDataLoss: aws.Bool(true)})
	require.NoError(t, err)
	require.True(t, *answer.GlobalCluster.FailoverState.IsDataLossAllowed)
	clock.pass(2 * time.Minute)
	now, err := client.DescribeGlobalClusters(t.Context(), &rds.DescribeGlobalClustersInput{})
	require.NoError(t, err)
	require.Equal(t, secondary.ARN(), *now.GlobalClusters[0].GlobalClusterMembers[0].DBClusterArn)
}
