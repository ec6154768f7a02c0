package aws_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const (
	standbyLB    = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/festivals-api-dr/9f8e7d"
	standbyGroup = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/festivals-api/6d0ecf831eec9f09"
)

func startELB(t *testing.T) *labaws.Cloud {
	t.Helper()
	cloud := start(t, labaws.Options{})
	cloud.ELB().Put(labaws.LoadBalancer{
		ARN: standbyLB, Name: "festivals-api-dr", DNSName: "festivals-api-dr-9f8e7d.eu-central-1.elb.amazonaws.com", HostedZoneID: "Z215JYRZR1TBD5",
		Region: elsewhere, Zones: []string{"eu-central-1a", "eu-central-1b"},
		TargetGroups: []labaws.TargetGroup{{ARN: standbyGroup, Name: "festivals-api", Port: 8080, HealthPath: "/health", Interval: 10, UnhealthyThreshold: 3, Targets: []labaws.BalancedTarget{
			{ID: "10.1.0.1", Zone: "eu-central-1a"},
			{ID: "10.1.0.2", Zone: "eu-central-1b", State: "unhealthy", Reason: "Target.ResponseCodeMismatch", Description: "Health checks failed with these codes: [503]"},
			{ID: "10.1.0.3", Port: 9090, Zone: "eu-central-1b", State: "draining", Reason: "Target.DeregistrationInProgress"},
		}}},
	})
	cloud.ELB().Put(labaws.LoadBalancer{Name: "edge", Type: "network", State: "provisioning", Region: elsewhere, TargetGroups: []labaws.TargetGroup{
		{Name: "edge-tcp", Port: 443}, {Name: "edge-http", Port: 80, HealthPath: "/"},
	}})
	return cloud
}

func askedELB(t *testing.T, cloud *labaws.Cloud, where, operation string, params map[string]any) map[string]any {
	t.Helper()
	return validated(t, cloud.URL(), where, "elbv2", operation, params)
}

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestELB_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud := startELB(t)
	require.ElementsMatch(t, []string{"edge", "festivals-api-dr"}, all(askedELB(t, cloud, elsewhere, "DescribeLoadBalancers", map[string]any{})["LoadBalancers"], "LoadBalancerName"))
	require.Empty(t, askedELB(t, cloud, region, "DescribeLoadBalancers", map[string]any{})["LoadBalancers"], "in another region")
	lb := first(t, askedELB(t, cloud, elsewhere, "DescribeLoadBalancers", map[string]any{"Names": []string{"festivals-api-dr"}}), "LoadBalancers")
	require.Equal(t, standbyLB, lb["LoadBalancerArn"])
	require.Equal(t, "application", lb["Type"])
	require.Equal(t, map[string]any{"Code": "active"}, lb["State"])
	require.Equal(t, []string{"eu-central-1a", "eu-central-1b"}, all(lb["AvailabilityZones"], "ZoneName"))
	lb = first(t, askedELB(t, cloud, elsewhere, "DescribeLoadBalancers", map[string]any{"LoadBalancerArns": []string{standbyLB}}), "LoadBalancers")
	require.Equal(t, "Z215JYRZR1TBD5", lb["CanonicalHostedZoneId"])

	g := first(t, askedELB(t, cloud, elsewhere, "DescribeTargetGroups", map[string]any{"LoadBalancerArn": standbyLB}), "TargetGroups")
	require.Equal(t, standbyGroup+" /health 10 3", fmt.Sprint(g["TargetGroupArn"], " ", g["HealthCheckPath"], " ", g["HealthCheckIntervalSeconds"], " ", g["UnhealthyThresholdCount"]))
	require.Equal(t, []any{standbyLB}, g["LoadBalancerArns"])
	require.Len(t, askedELB(t, cloud, elsewhere, "DescribeTargetGroups", map[string]any{})["TargetGroups"], 3)
	g = first(t, askedELB(t, cloud, elsewhere, "DescribeTargetGroups", map[string]any{"Names": []string{"edge-tcp"}}), "TargetGroups")
	require.Equal(t, "TCP TCP <nil>", fmt.Sprint(g["Protocol"], " ", g["HealthCheckProtocol"], " ", g["HealthCheckPath"]))
	g = first(t, askedELB(t, cloud, elsewhere, "DescribeTargetGroups", map[string]any{"Names": []string{"edge-http"}}), "TargetGroups")
	require.Equal(t, "TCP HTTP /", fmt.Sprint(g["Protocol"], " ", g["HealthCheckProtocol"], " ", g["HealthCheckPath"]))
	g = first(t, askedELB(t, cloud, elsewhere, "DescribeTargetGroups", map[string]any{"TargetGroupArns": []string{standbyGroup}}), "TargetGroups")
	require.Equal(t, "festivals-api", g["TargetGroupName"])

	health := askedELB(t, cloud, elsewhere, "DescribeTargetHealth", map[string]any{"TargetGroupArn": standbyGroup})["TargetHealthDescriptions"].([]any)
	require.Len(t, health, 3)
	require.Equal(t, map[string]any{
		"Target": map[string]any{"Id": "10.1.0.1", "Port": 8080.0, "AvailabilityZone": "eu-central-1a"}, "HealthCheckPort": "8080", "TargetHealth": map[string]any{"State": "healthy"},
	}, health[0])
	require.Equal(t, "Target.ResponseCodeMismatch", health[1].(map[string]any)["TargetHealth"].(map[string]any)["Reason"])
	health = askedELB(t, cloud, elsewhere, "DescribeTargetHealth", map[string]any{"TargetGroupArn": standbyGroup, "Targets": []map[string]any{{"Id": "10.1.0.3", "Port": 9090}, {"Id": "i-9"}}})["TargetHealthDescriptions"].([]any)
	require.Equal(t, "draining", health[0].(map[string]any)["TargetHealth"].(map[string]any)["State"])
	require.Equal(t, "Target.NotRegistered", health[1].(map[string]any)["TargetHealth"].(map[string]any)["Reason"])
}

// Were it to fail, a load balancer that is gone would look like one without targets.
func TestELB_Errors(t *testing.T) {
	t.Parallel()
	cloud := startELB(t)
	for _, c := range []struct {
		operation string
		params    map[string]any
		code      string
	}{
		{"DescribeLoadBalancers", map[string]any{"Names": []string{"festivals-api-dr", "none"}}, "LoadBalancerNotFound"},
		{"DescribeLoadBalancers", map[string]any{"LoadBalancerArns": []string{standbyLB + "x"}}, "LoadBalancerNotFound"},
		{"DescribeLoadBalancers", map[string]any{"Names": []string{"festivals-api-dr"}, "LoadBalancerArns": []string{standbyLB}}, "ValidationError"},
		{"DescribeLoadBalancers", map[string]any{"Names": make([]string, 21)}, "ValidationError"},
		{"DescribeLoadBalancers", map[string]any{"Marker": "?"}, "ValidationError"},
		{"DescribeTargetGroups", map[string]any{"LoadBalancerArn": standbyLB + "x"}, "LoadBalancerNotFound"},
		{"DescribeTargetGroups", map[string]any{"Names": []string{"none"}}, "TargetGroupNotFound"},
		{"DescribeTargetGroups", map[string]any{"TargetGroupArns": []string{"none"}}, "TargetGroupNotFound"},
		{"DescribeTargetHealth", map[string]any{"TargetGroupArn": "none"}, "TargetGroupNotFound"},
	} {
		t.Run(c.operation+" "+c.code, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.code, errorCode(askedELB(t, cloud, elsewhere, c.operation, c.params)))
		})
	}
	cloud.ELB().Remove(standbyLB)
	require.Equal(t, "TargetGroupNotFound", errorCode(askedELB(t, cloud, elsewhere, "DescribeTargetHealth", map[string]any{"TargetGroupArn": standbyGroup})))
}

// Were it to fail, an account with many load balancers would be seen in part.
func TestELB_Pages(t *testing.T) {
	t.Parallel()
	cloud := startELB(t)
	for i := range 7 {
		cloud.ELB().Put(labaws.LoadBalancer{Name: fmt.Sprint("lb-", i), Region: elsewhere})
	}
	client := elb.NewFromConfig(aws.Config{Region: elsewhere, BaseEndpoint: aws.String(cloud.URL()), RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", "")})
	names := map[string]int{}
	pages := elb.NewDescribeLoadBalancersPaginator(client, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(4)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.LoadBalancers), 4)
		for _, lb := range page.LoadBalancers {
			names[*lb.LoadBalancerName]++
		}
	}
	require.Len(t, names, 9)
	require.Equal(t, 3, cloud.Calls()[labaws.Asked{Service: "elasticloadbalancing", Operation: "DescribeLoadBalancers", Region: elsewhere}])
	_, err := client.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(401)})
	require.ErrorContains(t, err, "ValidationError")
	_, err = client.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String("")})
	require.ErrorContains(t, err, "ValidationError")
}

// Were it to fail, the targets of the lab would be healthy while its servers are not.
func TestELB_Observe(t *testing.T) {
	t.Parallel()
	cloud := startELB(t)
	client := elb.NewFromConfig(aws.Config{Region: elsewhere, BaseEndpoint: aws.String(cloud.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", "")})
	states := func() (all []types.TargetHealthStateEnum) {
		answer, err := client.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(standbyGroup)})
		require.NoError(t, err)
		for _, d := range answer.TargetHealthDescriptions {
			all = append(all, d.TargetHealth.State)
		}
		return all
	}
	healthy := func() bool {
		is, known := cloud.ELB().Healthy("DUALSTACK.festivals-api-dr-9f8e7d.eu-central-1.elb.amazonaws.com.")
		require.True(t, known)
		return is
	}
	require.True(t, healthy())
	cloud.ELB().Observe(standbyLB, func(labaws.BalancedTarget) (string, string, string) {
		_, _ = cloud.ELB().Healthy("another") // who observes may ask
		return "unhealthy", "Target.Timeout", "Request timed out"
	})
	require.Equal(t, []types.TargetHealthStateEnum{"unhealthy", "unhealthy", "unhealthy"}, states())
	require.False(t, healthy())
	cloud.ELB().Observe(standbyGroup, func(b labaws.BalancedTarget) (string, string, string) {
		if b.Port == 9090 {
			return "healthy", "", ""
		}
		return b.State, b.Reason, b.Description
	})
	require.Equal(t, []types.TargetHealthStateEnum{"healthy", "unhealthy", "healthy"}, states(), "of the group, which is nearer")
	cloud.ELB().Observe(standbyGroup, nil)
	cloud.ELB().Observe(standbyLB, nil)
	require.Equal(t, []types.TargetHealthStateEnum{"healthy", "unhealthy", "draining"}, states())
}
