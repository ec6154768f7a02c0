package aws_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

// global is where a global service is signed for.
const global = "us-east-1"

// startDNS brings up a zone whose api fails over between two addresses, each with a
// health check.
func startDNS(t testing.TB) (*labaws.Cloud, *hands) {
	t.Helper()
	clock := newHands()
	cloud := start(t, labaws.Options{Now: clock.now})
	dns := cloud.Route53()
	dns.PutZone(labaws.Zone{ID: "Z1", Name: "festivals.app"})
	for role, address := range map[string]string{"PRIMARY": "192.0.2.1", "SECONDARY": "192.0.2.2"} {
		dns.PutHealthCheck(labaws.HealthCheck{ID: "check-" + role, Type: "HTTPS", FQDN: "api.festivals.app", IP: address, Path: "/health", Interval: 10})
		dns.PutRecord(labaws.RecordSet{Zone: "Z1", Name: "api.festivals.app", Type: "A", TTL: 60, Values: []string{address}, SetIdentifier: role, Failover: role, HealthCheck: "check-" + role})
	}
	return cloud, clock
}

func sdkRoute53(cloud *labaws.Cloud) *route53.Client {
	return route53.NewFromConfig(aws.Config{
		Region: global, BaseEndpoint: aws.String(cloud.URL()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIALAB", "lab", ""),
	})
}

func askedDNS(t *testing.T, cloud *labaws.Cloud, operation string, params map[string]any) map[string]any {
	t.Helper()
	return validated(t, cloud.URL(), global, "route53", operation, params)
}

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestRoute53_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	dns := cloud.Route53()
	dns.PutZone(labaws.Zone{ID: "Z1", Name: "festivals.app"}) // what it holds stays
	dns.PutZone(labaws.Zone{ID: "Z2", Name: "festivals.app.", Private: true, VPCRegion: region, VPCID: "vpc-1"})
	dns.PutRecord(labaws.RecordSet{Zone: "Z1", Name: "*.festivals.app", Type: "A", Alias: &labaws.AliasTarget{DNSName: "dualstack.lb.eu-west-1.elb.amazonaws.com", HostedZoneID: "Z32O12XQLNTSW2", EvaluateTargetHealth: true}})
	dns.PutHealthCheck(labaws.HealthCheck{ID: "count", Type: "CALCULATED", Children: []string{"check-PRIMARY", "check-SECONDARY"}, HealthThreshold: 0})
	dns.PutHealthCheck(labaws.HealthCheck{ID: "alarm", Type: "CLOUDWATCH_METRIC", AlarmName: "api", AlarmRegion: region, AlarmPeriod: 60, AlarmEvaluationPeriods: 2, InsufficientData: "Unhealthy"})
	dns.PutHealthCheck(labaws.HealthCheck{ID: "switch", Type: "RECOVERY_CONTROL"})

	zones := askedDNS(t, cloud, "ListHostedZones", map[string]any{})["HostedZones"]
	require.Equal(t, []string{"/hostedzone/Z1", "/hostedzone/Z2"}, all(zones, "Id"), "two of one name are possible")
	zone := askedDNS(t, cloud, "GetHostedZone", map[string]any{"Id": "/hostedzone/Z1"})
	require.Len(t, zone["DelegationSet"].(map[string]any)["NameServers"], 4)
	require.EqualValues(t, 5, zone["HostedZone"].(map[string]any)["ResourceRecordSetCount"], "NS and SOA count, too")
	zone = askedDNS(t, cloud, "GetHostedZone", map[string]any{"Id": "Z2"})
	require.Equal(t, []any{map[string]any{"VPCId": "vpc-1", "VPCRegion": region}}, zone["VPCs"])
	require.Nil(t, zone["DelegationSet"], "which only a public zone has")

	records := askedDNS(t, cloud, "ListResourceRecordSets", map[string]any{"HostedZoneId": "Z1"})["ResourceRecordSets"].([]any)
	require.Equal(t, []string{"festivals.app.", "festivals.app.", `\052.festivals.app.`, "api.festivals.app.", "api.festivals.app."}, all(records, "Name"))
	require.Equal(t, []string{"NS", "SOA", "A", "A", "A"}, all(records, "Type"))
	require.Nil(t, records[2].(map[string]any)["TTL"], "an alias has none")
	require.Equal(t, map[string]any{
		"Name": "api.festivals.app.", "Type": "A", "SetIdentifier": "PRIMARY", "Failover": "PRIMARY", "TTL": 60.0,
		"ResourceRecords": []any{map[string]any{"Value": "192.0.2.1"}}, "HealthCheckId": "check-PRIMARY",
	}, records[3])

	checks := askedDNS(t, cloud, "ListHealthChecks", map[string]any{})["HealthChecks"].([]any)
	require.Equal(t, []string{"alarm", "check-PRIMARY", "check-SECONDARY", "count", "switch"}, all(checks, "Id"))
	require.Equal(t, 0.0, checks[3].(map[string]any)["HealthCheckConfig"].(map[string]any)["HealthThreshold"], "a threshold of 0 is told")
	require.EqualValues(t, 2, checks[0].(map[string]any)["CloudWatchAlarmConfiguration"].(map[string]any)["EvaluationPeriods"])
	config := askedDNS(t, cloud, "GetHealthCheck", map[string]any{"HealthCheckId": "check-PRIMARY"})["HealthCheck"].(map[string]any)["HealthCheckConfig"].(map[string]any)
	require.Equal(t, "192.0.2.1 443 /health 10 3 true", fmt.Sprint(config["IPAddress"], " ", config["Port"], " ", config["ResourcePath"], " ", config["RequestInterval"], " ", config["FailureThreshold"], " ", config["EnableSNI"]))
}

// Were it to fail, a caller would be told nothing where AWS tells what is wrong.
func TestRoute53_Errors(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	cloud.Route53().PutHealthCheck(labaws.HealthCheck{ID: "count", Type: "CALCULATED", Children: []string{"check-PRIMARY"}, HealthThreshold: 1})
	for _, c := range []struct {
		operation string
		params    map[string]any
		code      string
	}{
		{"GetHostedZone", map[string]any{"Id": "nowhere"}, "NoSuchHostedZone"},
		{"ListResourceRecordSets", map[string]any{"HostedZoneId": "nowhere"}, "NoSuchHostedZone"},
		{"ListResourceRecordSets", map[string]any{"HostedZoneId": "Z1", "StartRecordType": "A"}, "InvalidInput"},
		{"ListResourceRecordSets", map[string]any{"HostedZoneId": "Z1", "MaxItems": "none"}, "InvalidInput"},
		{"ListHostedZones", map[string]any{"MaxItems": "0"}, "InvalidInput"},
		{"ListHealthChecks", map[string]any{"MaxItems": "-1"}, "InvalidInput"},
		{"ListHostedZonesByName", map[string]any{"HostedZoneId": "Z1"}, "InvalidInput"},
		{"ListHostedZonesByName", map[string]any{"MaxItems": "x"}, "InvalidInput"},
		{"GetHealthCheck", map[string]any{"HealthCheckId": "none"}, "NoSuchHealthCheck"},
		{"UpdateHealthCheck", map[string]any{"HealthCheckId": "none"}, "NoSuchHealthCheck"},
		{"GetHealthCheckStatus", map[string]any{"HealthCheckId": "none"}, "NoSuchHealthCheck"},
		{"GetHealthCheckStatus", map[string]any{"HealthCheckId": "count"}, "InvalidInput"}, // only the console and CloudWatch tell
		{"GetChange", map[string]any{"Id": "none"}, "NoSuchChange"},
		{"GetHostedZoneCount", map[string]any{}, "InvalidAction"}, // of AWS, and not here
	} {
		t.Run(c.operation+" "+c.code, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.code, errorCode(askedDNS(t, cloud, c.operation, c.params)))
		})
	}
}

// Were it to fail, a list that is longer than a page would end after the first, or
// tell something twice.
func TestRoute53_Pages(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	dns := cloud.Route53()
	for i := range 7 {
		dns.PutZone(labaws.Zone{ID: fmt.Sprintf("ZZ%d", i), Name: fmt.Sprintf("%d.example.com", i)})
		dns.PutHealthCheck(labaws.HealthCheck{ID: fmt.Sprintf("h%d", i), Type: "TCP", IP: "192.0.2.1", Port: 22})
		dns.PutRecord(labaws.RecordSet{Zone: "Z1", Name: "many.festivals.app", Type: "A", TTL: 1, Values: []string{"192.0.2.9"}, SetIdentifier: fmt.Sprint(i), MultiValue: true})
	}
	client := sdkRoute53(cloud)
	var names []string
	records := route53.NewListResourceRecordSetsPaginator(client, &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String("Z1"), MaxItems: aws.Int32(2)})
	for records.HasMorePages() {
		page, err := records.NextPage(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.ResourceRecordSets), 2)
		for _, s := range page.ResourceRecordSets {
			names = append(names, aws.ToString(s.Name)+string(s.Type)+aws.ToString(s.SetIdentifier))
		}
	}
	require.Equal(t, []string{
		"festivals.app.NS", "festivals.app.SOA", "api.festivals.app.APRIMARY", "api.festivals.app.ASECONDARY",
		"many.festivals.app.A0", "many.festivals.app.A1", "many.festivals.app.A2", "many.festivals.app.A3", "many.festivals.app.A4", "many.festivals.app.A5", "many.festivals.app.A6",
	}, names)

	n := 0
	checks := route53.NewListHealthChecksPaginator(client, &route53.ListHealthChecksInput{MaxItems: aws.Int32(4)})
	for checks.HasMorePages() {
		page, err := checks.NextPage(t.Context())
		require.NoError(t, err)
		n += len(page.HealthChecks)
	}
	require.Equal(t, 9, n)
	require.Equal(t, 3, cloud.Calls()[labaws.Asked{Service: "route53", Operation: "ListHealthChecks", Region: global}])

	n = 0
	zones := route53.NewListHostedZonesPaginator(client, &route53.ListHostedZonesInput{MaxItems: aws.Int32(3)})
	for zones.HasMorePages() {
		page, err := zones.NextPage(t.Context())
		require.NoError(t, err)
		n += len(page.HostedZones)
	}
	require.Equal(t, 8, n)
}

// Were it to fail, the records of a name could not be asked for without those of
// the whole zone.
func TestRoute53_BeginsAtAName(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	for _, name := range []string{"app.festivals.app", "z.festivals.app", "b.z.festivals.app"} {
		cloud.Route53().PutRecord(labaws.RecordSet{Zone: "Z1", Name: name, Type: "TXT", TTL: 1, Values: []string{`"x"`}})
	}
	client := sdkRoute53(cloud)
	for _, c := range []struct {
		name  string
		typ   types.RRType
		first string
	}{
		{"api.festivals.app", "", "api.festivals.app. A"},
		{"API.festivals.app.", types.RRTypeA, "api.festivals.app. A"},
		{"api.festivals.app", types.RRTypeAaaa, "app.festivals.app. TXT"},
		{"q.festivals.app", "", "z.festivals.app. TXT"},
		{"a.z.festivals.app", "", "b.z.festivals.app. TXT"},
	} {
		page, err := client.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String("Z1"), StartRecordName: aws.String(c.name), StartRecordType: c.typ})
		require.NoError(t, err)
		first := page.ResourceRecordSets[0]
		require.Equal(t, c.first, *first.Name+" "+string(first.Type), "from %s %s", c.name, c.typ)
	}
}

// Were it to fail, somebody who asks for a zone that is not there would not get the
// next one in the list, which is what AWS gives, and would believe it.
func TestRoute53_ZonesByName(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	dns := cloud.Route53()
	dns.PutZone(labaws.Zone{ID: "Z0", Name: "festivals.app", Private: true})
	dns.PutZone(labaws.Zone{ID: "Z3", Name: "dr.festivals.app", Accelerated: true})
	dns.PutZone(labaws.Zone{ID: "Z4", Name: "example.org"})
	client := sdkRoute53(cloud)
	list := func(name string, most int32) *route53.ListHostedZonesByNameOutput {
		page, err := client.ListHostedZonesByName(t.Context(), &route53.ListHostedZonesByNameInput{DNSName: aws.String(name), MaxItems: aws.Int32(most)})
		require.NoError(t, err)
		return page
	}
	page := list("festivals.app", 2)
	require.Equal(t, "/hostedzone/Z0", *page.HostedZones[0].Id)
	require.True(t, page.HostedZones[0].Config.PrivateZone)
	require.Equal(t, "/hostedzone/Z1", *page.HostedZones[1].Id)
	require.True(t, page.IsTruncated)
	require.Equal(t, "dr.festivals.app. Z3", *page.NextDNSName+" "+*page.NextHostedZoneId, "labels reversed: app.festivals.dr.")
	page = list("clubs.app", 1)
	require.Equal(t, "festivals.app.", *page.HostedZones[0].Name)
	page = list("dr.festivals.app", 100)
	require.Equal(t, types.AcceleratedRecoveryStatusEnabled, page.HostedZones[0].Features.AcceleratedRecoveryStatus)
	require.Equal(t, "example.org.", *page.HostedZones[1].Name)
	require.False(t, page.IsTruncated)

	cloud.Route53().RemoveZone("Z4")
	require.Len(t, list("dr.festivals.app", 100).HostedZones, 1)
}

// Were it to fail, a monitor that spends the budget of a failover would not be
// found out.
func TestRoute53_EnforcesTheRate(t *testing.T) {
	t.Parallel()
	cloud, clock := startDNS(t)
	cloud.Route53().EnforceRate(true)
	client := sdkRoute53(cloud)
	ask := func() error {
		_, err := client.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
		return err
	}
	for range 5 {
		require.NoError(t, ask())
	}
	require.ErrorContains(t, ask(), "Throttling: Rate exceeded")
	require.Equal(t, "Throttling", errorCode(askedDNS(t, cloud, "ListHealthChecks", map[string]any{})), "of the account, whatever it asks for")
	clock.pass(time.Second)
	require.NoError(t, ask())

	clock.pass(time.Minute)
	status := func() error {
		_, err := client.GetHealthCheckStatus(t.Context(), &route53.GetHealthCheckStatusInput{HealthCheckId: aws.String("check-PRIMARY")})
		return err
	}
	for range 4 {
		require.NoError(t, status())
	}
	require.ErrorContains(t, status(), "Throttling", "of which there are fewer")
	require.NoError(t, ask(), "which takes nothing from the rest")
	clock.pass(time.Second)
	require.NoError(t, status())
	require.ErrorContains(t, status(), "Throttling")
	cloud.Route53().EnforceRate(false)
	require.NoError(t, status())
}

// Were it to fail, the command line would show another zone than the SDK.
func TestRoute53_CommandLine(t *testing.T) {
	t.Parallel()
	needBotocore(t)
	if _, err := os.Stat("/usr/bin/aws"); err != nil {
		t.Skip("awscli is missing: apt-get install awscli")
	}
	cloud, _ := startDNS(t)
	command := exec.CommandContext(t.Context(), "/usr/bin/aws", "--endpoint-url", cloud.URL(), "--output", "text", "route53", "list-resource-record-sets",
		"--hosted-zone-id", "Z1", "--page-size", "1", "--query", "ResourceRecordSets[?Failover=='SECONDARY'].ResourceRecords[].Value")
	command.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIALAB", "AWS_SECRET_ACCESS_KEY=lab", "AWS_DEFAULT_REGION="+region, "AWS_EC2_METADATA_DISABLED=true")
	said, err := command.CombinedOutput()
	require.NoError(t, err, string(said))
	require.Equal(t, "192.0.2.2\n", string(said))
}

// Were it to fail, the zones of another account would be taken for ours.
func TestRoute53_AccountOfTheCaller(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	cloud.STS().Put(labaws.Role{ARN: "arn:aws:iam::444455556666:role/other"})
	told := validated(t, cloud.URL(), global, "sts", "AssumeRole", map[string]any{"RoleArn": "arn:aws:iam::444455556666:role/other", "RoleSessionName": "lab"})
	keys := told["Credentials"].(map[string]any)
	client := route53.NewFromConfig(aws.Config{Region: global, BaseEndpoint: aws.String(cloud.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(keys["AccessKeyId"].(string), keys["SecretAccessKey"].(string), keys["SessionToken"].(string))})
	page, err := client.ListHostedZones(t.Context(), &route53.ListHostedZonesInput{})
	require.NoError(t, err)
	require.Empty(t, page.HostedZones)
	_, err = client.GetHostedZone(t.Context(), &route53.GetHostedZoneInput{Id: aws.String("Z1")})
	require.ErrorContains(t, err, "NoSuchHostedZone")
}

// changeRecord asks for one change.
func changeRecord(ctx context.Context, client *route53.Client, action types.ChangeAction, s types.ResourceRecordSet) (*types.ChangeInfo, error) {
	answer, err := client.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: aws.String("Z1"), ChangeBatch: &types.ChangeBatch{Changes: []types.Change{{Action: action, ResourceRecordSet: &s}}},
	})
	if err != nil {
		return nil, err
	}
	return answer.ChangeInfo, nil
}

func address(name, value string) types.ResourceRecordSet {
	return types.ResourceRecordSet{Name: aws.String(name), Type: types.RRTypeA, TTL: aws.Int64(60), ResourceRecords: []types.ResourceRecord{{Value: aws.String(value)}}}
}

// Were it to fail, a runbook that UPSERTs would seem to take no time.
func TestRoute53_ChangeTakesAMinute(t *testing.T) {
	t.Parallel()
	cloud, clock := startDNS(t)
	client := sdkRoute53(cloud)
	answered := func() string {
		answer := cloud.Route53().Answer("Z1", "www.festivals.app", "A", nil)
		if len(answer.Records) == 0 {
			return ""
		}
		return answer.Records[0].Value
	}
	change, err := changeRecord(t.Context(), client, types.ChangeActionCreate, address("www.festivals.app", "192.0.2.10"))
	require.NoError(t, err)
	require.Equal(t, types.ChangeStatusPending, change.Status)
	require.Empty(t, answered(), "the name servers do not have it yet")
	listed, err := client.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: aws.String("Z1"), StartRecordName: aws.String("www.festivals.app")})
	require.NoError(t, err)
	require.Len(t, listed.ResourceRecordSets, 1, "the API has it at once")
	clock.pass(30 * time.Second)
	_, err = changeRecord(t.Context(), client, types.ChangeActionUpsert, address("www.festivals.app", "192.0.2.20"))
	require.NoError(t, err)
	clock.pass(30 * time.Second)
	require.Equal(t, "192.0.2.10", answered(), "each in its time")
	now, err := client.GetChange(t.Context(), &route53.GetChangeInput{Id: change.Id})
	require.NoError(t, err)
	require.Equal(t, types.ChangeStatusInsync, now.ChangeInfo.Status)
	clock.pass(30 * time.Second)
	require.Equal(t, "192.0.2.20", answered())

	cloud.Route53().Propagates(0)
	_, err = changeRecord(t.Context(), client, types.ChangeActionDelete, address("www.festivals.app", "192.0.2.20"))
	require.NoError(t, err)
	require.Empty(t, answered())
	told := askedDNS(t, cloud, "GetChange", map[string]any{"Id": *change.Id})
	require.Equal(t, "INSYNC", told["ChangeInfo"].(map[string]any)["Status"])
}

// Were it to fail, the lab would hold records that AWS refuses.
func TestRoute53_RefusesAChange(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	client := sdkRoute53(cloud)
	failover := func(role types.ResourceRecordSetFailover, id string) types.ResourceRecordSet {
		s := address("api.festivals.app", "192.0.2.3")
		s.Failover, s.SetIdentifier = role, aws.String(id)
		return s
	}
	alias := address("www.festivals.app", "192.0.2.3")
	alias.AliasTarget = &types.AliasTarget{DNSName: aws.String("x.elb.amazonaws.com"), HostedZoneId: aws.String("Z9")}
	unchecked := failover(types.ResourceRecordSetFailoverSecondary, "SECONDARY")
	unchecked.HealthCheckId = aws.String("none")
	unnamed := failover(types.ResourceRecordSetFailoverPrimary, "")
	unnamed.SetIdentifier = nil
	cname := func(name string) types.ResourceRecordSet {
		s := address(name, "x.example.com")
		s.Type = types.RRTypeCname
		return s
	}
	for _, c := range []struct {
		name   string
		action types.ChangeAction
		set    types.ResourceRecordSet
		says   string
	}{
		{"elsewhere", "UPSERT", address("www.example.com", "192.0.2.3"), "InvalidChangeBatch: [RRSet with DNS name www.example.com. is not permitted in zone festivals.app.]"},
		{"exists", "CREATE", failover("PRIMARY", "PRIMARY"), "InvalidChangeBatch: [Tried to create resource record set [name='api.festivals.app.', type='A', set-identifier='PRIMARY'] but it already exists]"},
		{"gone", "DELETE", address("www.festivals.app", "192.0.2.3"), "InvalidChangeBatch: [Tried to delete resource record set [name='www.festivals.app.', type='A'] but it was not found]"},
		{"other value", "DELETE", failover("PRIMARY", "PRIMARY"), "values provided do not match"},
		{"two primaries", "CREATE", failover("PRIMARY", "another"), "InvalidChangeBatch"},
		{"simple beside failover", "CREATE", address("api.festivals.app", "192.0.2.3"), "InvalidChangeBatch"},
		{"CNAME at the apex", "CREATE", cname("festivals.app"), "not permitted at apex"},
		{"CNAME beside A", "CREATE", cname("api.festivals.app"), "conflicting RRSet"},
		{"no such health check", "UPSERT", unchecked, "NoSuchHealthCheck"},
		{"failover without identifier", "UPSERT", unnamed, "InvalidInput"},
		{"alias with values", "UPSERT", alias, "InvalidInput"},
		{"neither", "UPSERT", types.ResourceRecordSet{Name: aws.String("www.festivals.app"), Type: types.RRTypeA}, "InvalidInput"},
		{"no such action", "REPLACE", address("www.festivals.app", "192.0.2.3"), "InvalidInput"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := changeRecord(t.Context(), client, c.action, c.set)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// Were it to fail, half of a batch would be made.
func TestRoute53_AllOfABatchOrNothing(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	client := sdkRoute53(cloud)
	good, bad := address("good.festivals.app", "192.0.2.3"), address("bad.example.com", "192.0.2.3")
	_, err := client.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: aws.String("Z1"), ChangeBatch: &types.ChangeBatch{
		Changes: []types.Change{{Action: "CREATE", ResourceRecordSet: &good}, {Action: "CREATE", ResourceRecordSet: &bad}}}})
	require.ErrorContains(t, err, "InvalidChangeBatch")
	zone, err := client.GetHostedZone(t.Context(), &route53.GetHostedZoneInput{Id: aws.String("Z1")})
	require.NoError(t, err)
	require.EqualValues(t, 4, *zone.HostedZone.ResourceRecordSetCount)

	// from a simple record to an alias, which has to be in one batch
	cname := address("www.festivals.app", "x.example.com")
	cname.Type = types.RRTypeCname
	_, err = changeRecord(t.Context(), client, "CREATE", cname)
	require.NoError(t, err)
	alias := types.ResourceRecordSet{Name: aws.String("www.festivals.app"), Type: types.RRTypeA,
		AliasTarget: &types.AliasTarget{DNSName: aws.String("api.festivals.app"), HostedZoneId: aws.String("Z1"), EvaluateTargetHealth: true}}
	_, err = client.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: aws.String("Z1"), ChangeBatch: &types.ChangeBatch{
		Changes: []types.Change{{Action: "DELETE", ResourceRecordSet: &cname}, {Action: "CREATE", ResourceRecordSet: &alias}}}})
	require.NoError(t, err)
}

// Were it to fail, somebody who disables or inverts a health check would do so
// without a trace.
func TestRoute53_UpdateHealthCheck(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	dns := cloud.Route53()
	dns.PutHealthCheck(labaws.HealthCheck{ID: "count", Type: "CALCULATED", Children: []string{"check-PRIMARY"}, HealthThreshold: 1})
	dns.SetHealth("check-PRIMARY", false, "HTTP Status Code 503, Service Unavailable")
	require.False(t, dns.Healthy("check-PRIMARY"))
	told := askedDNS(t, cloud, "UpdateHealthCheck", map[string]any{"HealthCheckId": "check-PRIMARY", "Disabled": true, "HealthCheckVersion": 1, "Regions": []string{"us-east-1", "eu-west-1", "sa-east-1"}})
	require.EqualValues(t, 2, told["HealthCheck"].(map[string]any)["HealthCheckVersion"])
	require.True(t, dns.Healthy("check-PRIMARY"), "disabled is healthy")
	h, exists := dns.HealthCheck("check-PRIMARY")
	require.True(t, exists)
	require.Equal(t, "/health", h.Path, "what is not given stays")
	require.Equal(t, []string{"us-east-1", "eu-west-1", "sa-east-1"}, h.Regions)

	for code, params := range map[string]map[string]any{
		"HealthCheckVersionMismatch": {"HealthCheckId": "check-PRIMARY", "HealthCheckVersion": 1},
		"InvalidInput":               {"HealthCheckId": "count", "ChildHealthChecks": []string{"count"}},
	} {
		require.Equal(t, code, errorCode(askedDNS(t, cloud, "UpdateHealthCheck", params)))
	}
	for _, input := range []*route53.UpdateHealthCheckInput{
		{HealthCheckId: aws.String("count"), ChildHealthChecks: []string{"none"}},
		{HealthCheckId: aws.String("check-PRIMARY"), Regions: []types.HealthCheckRegion{"us-east-1"}},
		{HealthCheckId: aws.String("check-PRIMARY"), FailureThreshold: aws.Int32(11)},
		{HealthCheckId: aws.String("check-PRIMARY"), IPAddress: aws.String("")},
	} {
		_, err := sdkRoute53(cloud).UpdateHealthCheck(t.Context(), input)
		require.ErrorContains(t, err, "InvalidInput")
	}
	askedDNS(t, cloud, "UpdateHealthCheck", map[string]any{"HealthCheckId": "check-PRIMARY", "Disabled": false, "Inverted": true, "ResetElements": []string{"ResourcePath", "Regions"}})
	h, _ = dns.HealthCheck("check-PRIMARY")
	require.Empty(t, h.Path)
	require.Empty(t, h.Regions)
	require.True(t, h.Inverted)
	require.True(t, dns.Healthy("check-PRIMARY"), "inverted")
}
