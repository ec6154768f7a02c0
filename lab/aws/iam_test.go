package aws_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const looking = `{"Version": "2012-10-17", "Statement": [
	{"Effect": "Allow", "Action": ["rds:Describe*", "s3:GetObject"], "Resource": "*"},
	{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::festivals-*"},
	{"Effect": "Allow", "Action": "rds:PromoteReadReplica", "Resource": "*", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
	{"Effect": "Deny", "Action": "rds:DescribeDBLogFiles", "Resource": "*"}]}`

// Were it to fail, a runbook would learn of a missing right in the middle of itself.
func TestIAM_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	require.NoError(t, cloud.IAM().Attach(watcher, "looking", looking))
	answer := validated(t, cloud.URL(), "us-east-1", "iam", "SimulatePrincipalPolicy", map[string]any{
		"PolicySourceArn": watcher, "ResourceArns": []string{"arn:aws:s3:::festivals-dumps"},
		"ActionNames": []string{"rds:describedbinstances", "rds:DescribeDBLogFiles", "rds:DeleteDBInstance", "s3:ListBucket", "rds:PromoteReadReplica"}})
	require.Equal(t, []string{"allowed", "explicitDeny", "implicitDeny", "allowed", "implicitDeny"}, all(answer["EvaluationResults"], "EvalDecision"))
	require.Equal(t, []any{"aws:MultiFactorAuthPresent"}, answer["EvaluationResults"].([]any)[4].(map[string]any)["MissingContextValues"])

	elsewhere := validated(t, cloud.URL(), "us-east-1", "iam", "SimulatePrincipalPolicy", map[string]any{
		"PolicySourceArn": watcher, "ActionNames": []string{"s3:ListBucket", "s3:GetObject"}, "ResourceArns": []string{"arn:aws:s3:::other"}, "MaxItems": 1})
	require.Equal(t, []string{"implicitDeny"}, all(elsewhere["EvaluationResults"], "EvalDecision"))
	rest := validated(t, cloud.URL(), "us-east-1", "iam", "SimulatePrincipalPolicy", map[string]any{
		"PolicySourceArn": watcher, "ActionNames": []string{"s3:ListBucket", "s3:GetObject"}, "ResourceArns": []string{"arn:aws:s3:::other"}, "Marker": elsewhere["Marker"]})
	require.Equal(t, []string{"allowed"}, all(rest["EvaluationResults"], "EvalDecision"))

	nobody := validated(t, cloud.URL(), "us-east-1", "iam", "SimulatePrincipalPolicy", map[string]any{
		"PolicySourceArn": watcher + "-not", "ActionNames": []string{"s3:ListBucket"}})
	require.Equal(t, "NoSuchEntity", code(nobody))
}

// Were it to fail, a restore would stop at a quota that could have been raised before.
func TestQuotas_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	cloud.Quotas().Put(labaws.Quota{Service: "rds", ServiceName: "RDS", Code: "L-7B6409FD", Name: "DB instances", Value: 100, Adjustable: true})
	one := validated(t, cloud.URL(), region, "service-quotas", "GetServiceQuota", map[string]any{"ServiceCode": "rds", "QuotaCode": "L-7B6409FD"})
	require.EqualValues(t, 100, one["Quota"].(map[string]any)["Value"])
	first := validated(t, cloud.URL(), region, "service-quotas", "ListServiceQuotas", map[string]any{"ServiceCode": "rds", "MaxResults": 4})
	rest := validated(t, cloud.URL(), region, "service-quotas", "ListServiceQuotas", map[string]any{"ServiceCode": "rds", "NextToken": first["NextToken"]})
	require.Len(t, append(all(first["Quotas"], "QuotaCode"), all(rest["Quotas"], "QuotaCode")...), 5)
	for operation, params := range map[string]map[string]any{
		"GetServiceQuota":   {"ServiceCode": "rds", "QuotaCode": "L-NONE"},
		"ListServiceQuotas": {"ServiceCode": "nothing"},
	} {
		require.Equal(t, "NoSuchResourceException", code(validated(t, cloud.URL(), region, "service-quotas", operation, params)))
	}
}
