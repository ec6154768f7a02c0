package lab_test

import (
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/labtest"
)

// console looks at the lab through the API of AWS.
type console struct {
	t     *testing.T
	cloud *aws.Cloud
}

func (c console) config(region string) awssdk.Config {
	return awssdk.Config{Region: region, BaseEndpoint: awssdk.String(c.cloud.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", "")}
}

func (c console) instance(region, id string) types.DBInstance {
	c.t.Helper()
	answer, err := rds.NewFromConfig(c.config(region)).DescribeDBInstances(c.t.Context(), &rds.DescribeDBInstancesInput{DBInstanceIdentifier: &id})
	require.NoError(c.t, err)
	return answer.DBInstances[0]
}

// lags gives the samples of the lag since a moment, newest first.
func (c console) lags(since time.Time) ([]time.Time, []float64) {
	c.t.Helper()
	answer, err := cloudwatch.NewFromConfig(c.config(lab.StandbyRegion)).GetMetricData(c.t.Context(), &cloudwatch.GetMetricDataInput{
		StartTime: awssdk.Time(since.Truncate(time.Minute)), EndTime: awssdk.Time(time.Now().Add(time.Minute)),
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: awssdk.String("m0"), MetricStat: &cwtypes.MetricStat{
			Metric: &cwtypes.Metric{Namespace: awssdk.String("AWS/RDS"), MetricName: awssdk.String("ReplicaLag"),
				Dimensions: []cwtypes.Dimension{{Name: awssdk.String("DBInstanceIdentifier"), Value: awssdk.String(lab.RDSReplica)}}},
			Period: awssdk.Int32(60), Stat: awssdk.String("Maximum")}}},
	})
	require.NoError(c.t, err)
	return answer.MetricDataResults[0].Timestamps, answer.MetricDataResults[0].Values
}

// Were it to fail, what the demo shows of RDS would be made up.
func TestServeRDS_TellsOfTheRealPair(t *testing.T) {
	l := labtest.Start(t)
	cloud, err := aws.Start(t.Context(), aws.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	l.ServeRDS(cloud)
	c := console{t, cloud}

	primary, replica := c.instance(lab.PrimaryRegion, lab.RDSPrimary), c.instance(lab.StandbyRegion, lab.RDSReplica)
	require.Equal(t, "available", *primary.DBInstanceStatus)
	require.Contains(t, query[string](t, l, lab.Primary, "SHOW server_version"), *primary.EngineVersion)
	require.False(t, primary.LatestRestorableTime.After(time.Now()))
	require.Equal(t, *primary.DBInstanceArn, *replica.ReadReplicaSourceDBInstanceIdentifier)
	require.Equal(t, "replicating", *replica.StatusInfos[0].Status)

	var at []time.Time
	var lag []float64
	require.Eventually(t, func() bool { // a sample is there once something has been replayed
		at, lag = c.lags(time.Now())
		return len(lag) > 0
	}, 20*time.Second, 50*time.Millisecond)
	require.GreaterOrEqual(t, lag[0], 0.0)
	// The point that the sample proves is no newer than what the standby has.
	held := query[time.Time](t, l, lab.Standby, "SELECT pg_last_xact_replay_timestamp()")
	require.False(t, at[0].Add(-time.Duration(lag[0]*float64(time.Second))).After(held))

	require.NoError(t, l.Break(t.Context(), lab.LinkCut))
	cut := c.instance(lab.StandbyRegion, lab.RDSReplica)
	require.Equal(t, "error", *cut.StatusInfos[0].Status)
	require.False(t, *cut.StatusInfos[0].Normal)
	_, lag = c.lags(time.Now())
	require.InDelta(t, -1, lag[0], 0, "replication is not active")
	require.NoError(t, l.Heal(t.Context(), lab.LinkCut))
	_, lag = c.lags(time.Now())
	require.GreaterOrEqual(t, lag[0], 0.0, "the sample of a minute that goes on is the newest")

	require.NoError(t, l.Break(t.Context(), lab.PrimaryKilled))
	died := time.Now()
	gone := c.instance(lab.PrimaryRegion, lab.RDSPrimary)
	require.Equal(t, "failed", *gone.DBInstanceStatus)
	require.False(t, gone.LatestRestorableTime.After(died), "nothing is uploaded by what is dead")
	require.Equal(t, "error", *c.instance(lab.StandbyRegion, lab.RDSReplica).StatusInfos[0].Status)
	require.NoError(t, l.Heal(t.Context(), lab.PrimaryKilled))
}

// Were it to fail, a promotion by the API would be one on paper only.
func TestServeRDS_PromotesTheRealStandby(t *testing.T) {
	l := labtest.Start(t)
	cloud, err := aws.Start(t.Context(), aws.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	l.ServeRDS(cloud)
	cloud.RDS().Takes(time.Second, time.Second, time.Second)
	c := console{t, cloud}
	client := rds.NewFromConfig(c.config(lab.StandbyRegion))
	promote := &rds.PromoteReadReplicaInput{DBInstanceIdentifier: awssdk.String(lab.RDSReplica)}
	_, err = client.PromoteReadReplica(t.Context(), promote)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return !query[bool](t, l, lab.Standby, "SELECT pg_is_in_recovery()")
	}, 20*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		i := c.instance(lab.StandbyRegion, lab.RDSReplica)
		return *i.DBInstanceStatus == "available" && i.ReadReplicaSourceDBInstanceIdentifier == nil && len(i.StatusInfos) == 0
	}, 20*time.Second, 50*time.Millisecond)
	_, err = client.PromoteReadReplica(t.Context(), promote)
	require.ErrorContains(t, err, "InvalidDBInstanceState")
	_, lag := c.lags(time.Now().Add(time.Minute))
	require.Empty(t, lag, "it is no replica, and publishes no lag")
}
