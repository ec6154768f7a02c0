package aws

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// HealthCheck is how Route 53 finds out whether something is healthy.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
type HealthCheck struct {
	ID string
	// Type is HTTP, HTTPS, HTTP_STR_MATCH, HTTPS_STR_MATCH, TCP, CALCULATED,
	// CLOUDWATCH_METRIC or RECOVERY_CONTROL.
	Type string
	// FQDN is asked for, and resolved where there is no IP.
	FQDN, IP string
	// Port is 80 or 443 where it is 0, as the type has it.
	Port int
	// Path is asked for; Search has to be in the first 5,120 bytes of the answer.
	Path, Search string
	// Interval is in seconds; 0 is 30. Threshold is how many in a row change the
	// mind of a checker; 0 is 3.
	Interval, Threshold int
	Inverted, Disabled  bool
	// Regions are where its checkers are; empty is all of them.
	Regions []string
	// Children are what a calculated one counts, and HealthThreshold is how many of
	// them have to be healthy.
	Children        []string
	HealthThreshold int
	// AlarmName and AlarmRegion name a CloudWatch alarm, which looks at so many
	// periods of so many seconds.
	AlarmName, AlarmRegion              string
	AlarmPeriod, AlarmEvaluationPeriods int
	// InsufficientData is what an alarm without data counts as: Healthy, Unhealthy or
	// LastKnownStatus.
	InsufficientData string
}

// The states of a CloudWatch alarm.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html
const (
	alarmOK           = "OK"
	alarmRings        = "ALARM"
	alarmInsufficient = "INSUFFICIENT_DATA"
)

// healthCheck is one with what is known.
type healthCheck struct {
	HealthCheck
	version    int64 // as the API tells it
	generation int64 // when it was put or changed, among all
	reports    map[string]report
	state      string // of the alarm, or of the routing control
	lastKnown  bool   // whether the alarm was OK when it last had data
}

// report is what the checker of one region says.
type report struct {
	// judged is whether it has looked often enough to say healthy or not.
	judged, healthy bool
	last            observation // the last look
	failure         observation // the last one that failed
}

// observation is the result of one look.
type observation struct {
	status string
	at     time.Time
}

// checkerRegions are where the health checkers of Route 53 are.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Regions)
func checkerRegions() []string {
	return []string{"us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "sa-east-1"}
}

// checkerRegions are those that look at this endpoint.
func (h *HealthCheck) checkerRegions() []string {
	if len(h.Regions) == 0 {
		return checkerRegions()
	}
	return h.Regions
}

// monitorsEndpoint reports whether there are checkers at all.
func (h *HealthCheck) monitorsEndpoint() bool {
	switch h.Type {
	case "HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP":
		return true
	}
	return false
}

// PutHealthCheck makes a health check, or changes it: what its checkers have
// reported stays.
func (r *Route53) PutHealthCheck(h HealthCheck) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putHealthCheck(h)
}

func (r *Route53) putHealthCheck(h HealthCheck) {
	h.Interval, h.Threshold = cmp.Or(h.Interval, 30), cmp.Or(h.Threshold, 3)
	h.Regions, h.Children = slices.Clone(h.Regions), slices.Clone(h.Children)
	if strings.HasPrefix(h.Type, "HTTPS") {
		h.Port = cmp.Or(h.Port, 443)
	} else if strings.HasPrefix(h.Type, "HTTP") {
		h.Port = cmp.Or(h.Port, 80)
	}
	now := r.checks[h.ID]
	if now == nil {
		now = &healthCheck{reports: make(map[string]report), lastKnown: true}
		r.checks[h.ID] = now
	}
	now.HealthCheck = h
	now.version++
	regions := h.checkerRegions()
	maps.DeleteFunc(now.reports, func(region string, _ report) bool { return !slices.Contains(regions, region) })
	now.generation = r.announce()
}

// announce tells the checkers that there is something new.
func (r *Route53) announce() int64 {
	close(r.changed)
	r.changed = make(chan struct{})
	r.generation++
	return r.generation
}

// HealthCheck gives a health check as it is.
func (r *Route53) HealthCheck(id string) (HealthCheck, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.checks[id]
	if h == nil {
		return HealthCheck{}, false
	}
	return h.HealthCheck, true
}

// RemoveHealthCheck takes a health check away. Records may name it still, as they
// may at Route 53.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html
func (r *Route53) RemoveHealthCheck(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.checks, id)
	r.announce()
}

// SetHealth says what all checkers of an endpoint report, and why; that the alarm
// of a check is OK or not; or that a routing control is on or off. A calculated
// check is what its children are, and nobody sets it.
func (r *Route53) SetHealth(id string, healthy bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.checks[id]
	if h == nil {
		return
	}
	if !h.monitorsEndpoint() {
		h.setAlarm(map[bool]string{true: alarmOK, false: alarmRings}[healthy])
		return
	}
	for _, region := range h.checkerRegions() {
		h.reports[region] = h.reports[region].said(healthy, reason, r.cloud.options.Now())
	}
}

// SetAlarm sets the state of the CloudWatch alarm of a health check: OK, ALARM or
// INSUFFICIENT_DATA, which it is in before.
func (r *Route53) SetAlarm(id, state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.checks[id]; h != nil {
		h.setAlarm(state)
	}
}

func (h *healthCheck) setAlarm(state string) {
	h.state = state
	if state != alarmInsufficient {
		h.lastKnown = state == alarmOK
	}
}

// SetCheckerHealth says what the checker of one region reports, and why.
func (r *Route53) SetCheckerHealth(id, region string, healthy bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.checks[id]; h != nil && slices.Contains(h.checkerRegions(), region) {
		h.reports[region] = h.reports[region].said(healthy, reason, r.cloud.options.Now())
	}
}

// said is a report after a look that settled the matter.
func (p report) said(healthy bool, reason string, at time.Time) report {
	p = p.saw(healthy, reason, at)
	p.judged, p.healthy = true, healthy
	return p
}

// saw is a report after a look.
func (p report) saw(healthy bool, reason string, at time.Time) report {
	word := map[bool]string{true: "Success: ", false: "Failure: "}[healthy]
	p.last = observation{word + strings.TrimPrefix(reason, word), at}
	if !healthy {
		p.failure = p.last
	}
	return p
}

// Healthy is what Route 53 makes of a health check. Of one that is not there its
// status "can't be predicted and may change"; here it is healthy, for nothing
// reports otherwise, and no traffic moves.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_DeleteHealthCheck.html
func (r *Route53) Healthy(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.healthy(id, true)
}

// healthy knows two things that surprise people: one that is disabled is healthy,
// whatever it would find; and inverting comes after that, so that disabled and
// inverted is unhealthy.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled, Inverted)
func (r *Route53) healthy(id string, mayCount bool) bool {
	h := r.checks[id]
	if h == nil {
		return true
	}
	if h.Disabled {
		return !h.Inverted
	}
	switch {
	case h.monitorsEndpoint():
		return h.endpoint() != h.Inverted
	case h.Type == "CALCULATED" && mayCount:
		return r.calculated(h) != h.Inverted
	case h.Type == "CALCULATED":
		return !h.Inverted
	case h.Type == "RECOVERY_CONTROL": // off until somebody turns it on
		return (h.state == alarmOK) != h.Inverted
	}
	return h.alarm() != h.Inverted
}

// endpoint is healthy when more than 18 % of the checkers say so, and while none of
// them has looked often enough.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
func (h *healthCheck) endpoint() bool {
	judged, healthy := 0, 0
	for _, p := range h.reports {
		if p.judged {
			judged++
		}
		if p.judged && p.healthy {
			healthy++
		}
	}
	return judged == 0 || healthy*100 > judged*18
}

// calculated counts the children that are healthy. A threshold of 0 is always
// healthy, one above their number never.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (HealthThreshold)
func (r *Route53) calculated(h *healthCheck) bool {
	healthy := 0
	for _, child := range h.Children {
		if r.healthy(child, false) {
			healthy++
		}
	}
	return healthy >= h.HealthThreshold
}

// alarm is OK or not; without data it is what is configured, and the last known
// status of a new one is healthy.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (InsufficientDataHealthStatus)
func (h *healthCheck) alarm() bool {
	switch h.state {
	case alarmOK:
		return true
	case alarmRings:
		return false
	}
	switch h.InsufficientData {
	case "Healthy":
		return true
	case "Unhealthy":
		return false
	}
	return h.lastKnown
}
