package aws_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

// Were it to fail, the lab would move traffic where Route 53 does not, or leave it
// where Route 53 moves it: each row is a rule of its documentation, and several are
// not what people expect.
func TestRoute53_Healthy(t *testing.T) {
	t.Parallel()
	endpoint := func(h labaws.HealthCheck) labaws.HealthCheck {
		h.ID, h.Type, h.IP = "h", "HTTP", "192.0.2.1"
		return h
	}
	alarm := func(insufficient string) labaws.HealthCheck {
		return labaws.HealthCheck{ID: "h", Type: "CLOUDWATCH_METRIC", InsufficientData: insufficient}
	}
	calculated := func(threshold int, inverted bool, children ...string) labaws.HealthCheck {
		return labaws.HealthCheck{ID: "h", Type: "CALCULATED", HealthThreshold: threshold, Children: children, Inverted: inverted}
	}
	bad := func(r *labaws.Route53) { r.SetHealth("h", false, "timeout") }
	regions := func(healthy ...string) func(*labaws.Route53) {
		return func(r *labaws.Route53) {
			bad(r)
			for _, region := range healthy {
				r.SetCheckerHealth("h", region, true, "HTTP Status Code 200, OK")
			}
		}
	}
	nothing := func(*labaws.Route53) {}
	state := func(states ...string) func(*labaws.Route53) {
		return func(r *labaws.Route53) {
			for _, s := range states {
				r.SetAlarm("h", s)
			}
		}
	}
	for name, c := range map[string]struct {
		check   labaws.HealthCheck
		then    func(*labaws.Route53)
		healthy bool
	}{
		"new, nothing reported":              {endpoint(labaws.HealthCheck{}), nothing, true},
		"new and inverted":                   {endpoint(labaws.HealthCheck{Inverted: true}), nothing, false},
		"all checkers fail":                  {endpoint(labaws.HealthCheck{}), bad, false},
		"1 of 8 is 12.5 %":                   {endpoint(labaws.HealthCheck{}), regions("us-east-1"), false},
		"2 of 8 are 25 %":                    {endpoint(labaws.HealthCheck{}), regions("us-east-1", "sa-east-1"), true},
		"1 of 3 is 33 %":                     {endpoint(labaws.HealthCheck{Regions: []string{"us-east-1", "eu-west-1", "us-west-2"}}), regions("eu-west-1"), true},
		"a region that does not look":        {endpoint(labaws.HealthCheck{Regions: []string{"us-east-1", "eu-west-1", "us-west-2"}}), regions("sa-east-1"), false},
		"inverted, all fail":                 {endpoint(labaws.HealthCheck{Inverted: true}), bad, true},
		"disabled, all fail":                 {endpoint(labaws.HealthCheck{Disabled: true}), bad, true},
		"disabled and inverted":              {endpoint(labaws.HealthCheck{Disabled: true, Inverted: true}), bad, false},
		"alarm without data, Healthy":        {alarm("Healthy"), nothing, true},
		"alarm without data, Unhealthy":      {alarm("Unhealthy"), nothing, false},
		"new alarm, LastKnownStatus":         {alarm("LastKnownStatus"), nothing, true},
		"alarm is OK":                        {alarm("Unhealthy"), state("OK"), true},
		"alarm rings":                        {alarm("Healthy"), state("ALARM"), false},
		"alarm rang, and has no data now":    {alarm("LastKnownStatus"), state("ALARM", "INSUFFICIENT_DATA"), false},
		"alarm was OK, and has no data now":  {alarm("LastKnownStatus"), state("ALARM", "OK", "INSUFFICIENT_DATA"), true},
		"routing control, never turned on":   {labaws.HealthCheck{ID: "h", Type: "RECOVERY_CONTROL"}, nothing, false},
		"routing control on":                 {labaws.HealthCheck{ID: "h", Type: "RECOVERY_CONTROL"}, func(r *labaws.Route53) { r.SetHealth("h", true, "") }, true},
		"1 of good and bad":                  {calculated(1, false, "good", "bad"), nothing, true},
		"2 of good and bad":                  {calculated(2, false, "good", "bad"), nothing, false},
		"2 of good and disabled":             {calculated(2, false, "good", "disabled"), nothing, true},
		"2 of good and inverted":             {calculated(2, false, "good", "inverted"), nothing, true},
		"0 of bad":                           {calculated(0, false, "bad"), nothing, true},
		"2 of one":                           {calculated(2, false, "good"), nothing, false},
		"inverted 1 of bad":                  {calculated(1, true, "bad"), nothing, true},
		"calculated is not set":              {calculated(1, false, "good"), bad, true},
		"of itself, which Route 53 prevents": {calculated(1, false, "h"), nothing, true},
		"gone":                               {labaws.HealthCheck{ID: "other", Type: "HTTP"}, nothing, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, labaws.Options{}).Route53()
			for _, id := range []string{"good", "bad", "disabled", "inverted"} {
				r.PutHealthCheck(labaws.HealthCheck{ID: id, Type: "HTTP", IP: "192.0.2.1", Disabled: id == "disabled", Inverted: id == "inverted"})
				r.SetHealth(id, id == "good", "as it is called")
			}
			r.PutHealthCheck(c.check)
			c.then(r)
			require.Equal(t, c.healthy, r.Healthy("h"))
		})
	}
}

// Were it to fail, the status that the API tells would not be that of the checkers.
func TestRoute53_StatusByRegion(t *testing.T) {
	t.Parallel()
	cloud, _ := startDNS(t)
	r := cloud.Route53()
	ask := func(operation string) []any {
		return askedDNS(t, cloud, operation, map[string]any{"HealthCheckId": "check-PRIMARY"})["HealthCheckObservations"].([]any)
	}
	require.Empty(t, ask("GetHealthCheckStatus"), "nobody has looked")
	r.SetHealth("check-PRIMARY", false, "HTTP Status Code 503, Service Unavailable")
	r.SetCheckerHealth("check-PRIMARY", "eu-west-1", true, "HTTP Status Code 200, OK")
	statuses := map[any]any{}
	for _, o := range ask("GetHealthCheckStatus") {
		o := o.(map[string]any)
		statuses[o["Region"]] = o["StatusReport"].(map[string]any)["Status"]
		require.Equal(t, "2026-11-24T12:02:00Z", o["StatusReport"].(map[string]any)["CheckedTime"])
	}
	require.Len(t, statuses, 8)
	require.Equal(t, "Success: HTTP Status Code 200, OK", statuses["eu-west-1"])
	require.Equal(t, "Failure: HTTP Status Code 503, Service Unavailable", statuses["sa-east-1"])
	require.Len(t, ask("GetHealthCheckLastFailureReason"), 8, "of each its last failure, healthy now or not")

	r.RemoveHealthCheck("check-PRIMARY")
	require.Equal(t, "NoSuchHealthCheck", errorCode(askedDNS(t, cloud, "GetHealthCheckStatus", map[string]any{"HealthCheckId": "check-PRIMARY"})))
	_, exists := r.HealthCheck("check-PRIMARY")
	require.False(t, exists)
}
