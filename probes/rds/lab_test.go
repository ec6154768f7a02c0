package rds_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

// The recovery points that the API of the lab leads to, held against the servers.
// Were it to fail, the demo would promise data that the standby does not have.
func TestLook_LabTellsTheTruth(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIALAB")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "lab")
	l := labtest.Start(t)
	cloud, err := labaws.Start(t.Context(), labaws.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	l.ServeRDS(cloud)
	pool := awsapi.NewPool(awsapi.Options{Attempts: 1})
	t.Cleanup(pool.Close)
	fleet := rds.NewFleet(pool)
	look := func(kind readiness.CopyKind, region string, c rds.Config) readiness.Reading {
		c.AWS.Endpoint = cloud.URL()
		p, err := rds.New(c, probes.Target{Copy: readiness.Copy{Name: string(kind), Kind: kind, Region: region}}, fleet)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := p.Look(ctx)
		require.NoError(t, err)
		return r
	}
	conn, err := l.ConnectPostgres(t.Context(), lab.Standby)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	require.Eventually(t, func() bool {
		var at *time.Time
		return conn.QueryRow(t.Context(), "SELECT pg_last_xact_replay_timestamp()").Scan(&at) == nil && at != nil
	}, 10*time.Second, 20*time.Millisecond)

	replica := look(readiness.Replica, lab.StandbyRegion, rds.Config{Instance: lab.RDSReplica, Source: lab.RDSPrimary})
	var held time.Time
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_last_xact_replay_timestamp()").Scan(&held))
	require.Len(t, replica.Points, 1)
	require.False(t, replica.Points[0].At.After(held), "%s is newer than %s", replica.Points[0].At, held)
	for _, c := range replica.Checks {
		if c.Name != rds.CheckCapacity && c.Name != rds.CheckVersion { // the primary is asked for from the next minute on
			require.Equal(t, readiness.Pass, c.Status, "%s: %s", c.Name, c.Evidence)
		}
	}
	for _, region := range []string{lab.PrimaryRegion, lab.StandbyRegion} {
		window := look(readiness.PITR, region, rds.Config{Instance: lab.RDSPrimary})
		require.False(t, window.Points[0].At.After(time.Now()))
		snapshot := look(readiness.Snapshot, region, rds.Config{Instance: lab.RDSPrimary})
		require.False(t, snapshot.Points[0].At.After(held))
	}
}
