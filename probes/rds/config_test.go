package rds_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would be found at night, or a good file refused.
func TestValidate(t *testing.T) {
	primary, replica := readiness.Copy{Kind: readiness.Primary, Region: west}, readiness.Copy{Kind: readiness.Replica, Region: central}
	pitr, snapshot := readiness.Copy{Kind: readiness.PITR, Region: central}, readiness.Copy{Kind: readiness.Snapshot, Region: central}
	for name, row := range map[string]struct {
		yaml  string
		copy  readiness.Copy
		paths []string // of the problems
	}{
		"instance":                 {"instance: festivals-production", primary, nil},
		"replica":                  {"{instance: r, source: " + primaryARN + ", late_after: 5m}", replica, nil},
		"replica by name":          {"{instance: r, source: festivals-production}", replica, nil},
		"secondary":                {"{cluster: c, global_cluster: g}", replica, nil},
		"reader":                   {"{cluster: c, instance: i}", replica, nil},
		"pitr":                     {"{instance: i, retention: 168h}", pitr, nil},
		"snapshot":                 {"{cluster: c, every: 25h, snapshots: automated}", snapshot, nil},
		"another account":          {"{instance: i, aws: {role_arn: 'arn:aws:iam::111122223333:role/x', external_id: y}}", snapshot, nil},
		"nothing":                  {"{}", primary, []string{"instance"}},
		"no identifier":            {"instance: a--b", primary, []string{"instance"}},
		"an ARN for a name":        {"instance: " + primaryARN, primary, []string{"instance"}},
		"both of a primary":        {"{instance: i, cluster: c}", primary, []string{"cluster"}},
		"cluster without a global": {"cluster: c", replica, []string{"global_cluster"}},
		"global without cluster":   {"{instance: i, global_cluster: g}", replica, []string{"global_cluster"}},
		"global of a reader":       {"{instance: i, cluster: c, global_cluster: g}", replica, []string{"global_cluster"}},
		"global window":            {"{cluster: c, global_cluster: g}", pitr, []string{"global_cluster"}},
		"source of a primary":      {"{instance: i, source: x}", primary, []string{"source"}},
		"source that is none":      {"{instance: i, source: 'arn:aws:s3:::x'}", replica, []string{"source"}},
		"source of a cluster":      {"{cluster: c, global_cluster: g, source: x}", replica, []string{"source"}},
		"retention of a replica":   {"{instance: i, retention: 1h}", replica, []string{"retention"}},
		"every of a window":        {"{instance: i, every: 1h}", pitr, []string{"every"}},
		"unknown snapshots":        {"{instance: i, snapshots: old}", snapshot, []string{"snapshots"}},
		"snapshots of a replica":   {"{instance: i, snapshots: manual}", replica, []string{"snapshots"}},
		"negative":                 {"{instance: i, every: -1h}", snapshot, []string{"every"}},
		"late snapshot":            {"{instance: i, late_after: 1h}", snapshot, []string{"late_after"}},
		"no region":                {"instance: i", readiness.Copy{Kind: readiness.Primary, Region: "here"}, []string{"aws.region"}},
		"region said":              {"{instance: i, aws: {region: eu-west-1}}", readiness.Copy{Kind: readiness.Primary, Region: "here"}, nil},
		"dump":                     {"instance: i", readiness.Copy{Kind: readiness.Backup, Region: west}, []string{""}},
		"logical":                  {"instance: i", readiness.Copy{Kind: readiness.Replica, Region: west, Logical: true}, []string{""}},
		"immutable":                {"instance: i", readiness.Copy{Kind: readiness.Snapshot, Region: west, Immutable: true}, []string{""}},
		"delayed":                  {"instance: i", readiness.Copy{Kind: readiness.Replica, Region: west, Delay: time.Hour}, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			var c rds.Config
			require.NoError(t, yaml.Unmarshal([]byte(row.yaml), &c))
			var paths []string
			for _, p := range c.Validate(row.copy) {
				paths = append(paths, p.Path)
				require.NotEmpty(t, p.Message)
			}
			require.Equal(t, row.paths, paths)
			pool := awsapi.NewPool(awsapi.Options{})
			_, err := rds.New(c, probes.Target{Copy: row.copy}, rds.NewFleet(pool))
			require.Equal(t, row.paths == nil, err == nil, "New takes what Validate takes")
		})
	}
}
