package aws_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const watcher = "arn:aws:iam::111122223333:role/ops/drwatch"

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestSTS_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	cloud.STS().Put(labaws.Role{ARN: watcher, ExternalID: "festivals"})

	me := validated(t, cloud.URL(), region, "sts", "GetCallerIdentity", `{}`)
	require.Equal(t, "arn:aws:iam::111122223333:user/lab", me["Arn"])

	role := validated(t, cloud.URL(), region, "sts", "AssumeRole",
		map[string]any{"RoleArn": watcher, "RoleSessionName": "drwatch", "ExternalId": "festivals"})
	require.Equal(t, "arn:aws:sts::111122223333:assumed-role/drwatch/drwatch", role["AssumedRoleUser"].(map[string]any)["Arn"])

	for name, params := range map[string]map[string]any{
		"another external id": {"RoleArn": watcher, "RoleSessionName": "drwatch", "ExternalId": "other"},
		"no external id":      {"RoleArn": watcher, "RoleSessionName": "drwatch"},
		"no such role":        {"RoleArn": watcher + "-not", "RoleSessionName": "drwatch", "ExternalId": "festivals"},
	} {
		refusal := validated(t, cloud.URL(), region, "sts", "AssumeRole", params)
		require.Equal(t, "AccessDenied", refusal["Error"].(map[string]any)["Code"], name)
		require.EqualValues(t, 403, refusal["Status"])
	}
	long := validated(t, cloud.URL(), region, "sts", "AssumeRole",
		map[string]any{"RoleArn": watcher, "RoleSessionName": "drwatch", "ExternalId": "festivals", "DurationSeconds": 7200})
	require.Equal(t, "ValidationError", long["Error"].(map[string]any)["Code"], "the role grants an hour")
}
