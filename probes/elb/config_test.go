package elb_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a mistake in the file would be found at night, or a good file refused.
func TestValidate(t *testing.T) {
	for name, row := range map[string]struct {
		yaml   string
		region string
		paths  []string // of the problems
	}{
		"a name":             {"load_balancer: festivals-api-dr", central, nil},
		"an ARN":             {"load_balancer: " + arn, central, nil},
		"all":                {"{load_balancer: a, target_groups: [b, c], min_healthy: 3, min_zones: 2}", central, nil},
		"a region of AWS":    {"{load_balancer: a, aws: {region: eu-central-1}}", "frankfurt", nil},
		"nothing":            {"{}", central, []string{"load_balancer"}},
		"its DNS name":       {"load_balancer: " + standbyLB, central, []string{"load_balancer"}},
		"the ARN of a group": {"load_balancer: arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/a/1", central, []string{"load_balancer"}},
		"another region":     {"load_balancer: " + arn, "eu-west-1", []string{"load_balancer"}},
		"groups":             {"{load_balancer: a, target_groups: [b, b, 'c d']}", central, []string{"target_groups", "target_groups"}},
		"negative":           {"{load_balancer: a, min_healthy: -1}", central, []string{"min_healthy"}},
		"negative zones":     {"{load_balancer: a, min_zones: -1}", central, []string{"min_zones"}},
		"more zones":         {"{load_balancer: a, min_healthy: 2, min_zones: 3}", central, []string{"min_zones"}},
		"more zones than 1":  {"{load_balancer: a, min_zones: 2}", central, []string{"min_zones"}},
		"no region":          {"load_balancer: a", "frankfurt", []string{"aws.region"}},
	} {
		t.Run(name, func(t *testing.T) {
			var c elb.Config
			require.NoError(t, yaml.Unmarshal([]byte(row.yaml), &c))
			target := probes.Target{Part: readiness.Part{Region: row.region}}
			var paths []string
			for _, p := range c.Validate(target) {
				paths = append(paths, p.Path)
				require.NotEmpty(t, p.Message)
			}
			require.Equal(t, row.paths, paths)
			_, err := elb.New(c, target, elb.NewFleet(awsapi.NewPool(awsapi.Options{})))
			require.Equal(t, row.paths == nil, err == nil, "New takes what Validate takes: %v", err)
			asYAML, asJSON := probetest.Encoded(t, c)
			for key := range asYAML {
				if key != "aws" {
					require.Contains(t, asJSON, key)
				}
			}
		})
	}
}

// Were it to fail, a service would be held up by a check that nobody can answer.
func TestChecks_ThoseThatApply(t *testing.T) {
	require.NotContains(t, elb.Checks(elb.Config{}, probes.Target{Part: readiness.Part{Side: readiness.StandbySide}}), elb.CheckName, "nobody says where clients are led")
	between := ofPart()
	between.Part.Side = ""
	require.NotContains(t, elb.Checks(elb.Config{}, between), elb.CheckName)
	require.Len(t, elb.Checks(elb.Config{}, ofPart()), 4)
}
