package route53

import (
	"fmt"
	"strings"
	"time"
)

// healthCheck is how Route 53 finds out whether something is healthy.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
type healthCheck struct {
	id, kind           string
	fqdn, ip           string
	port               int
	path, search       string
	interval           time.Duration
	threshold          int
	regions            []string // from which it is checked; empty is all
	inverted, disabled bool

	children []string // of a calculated one
	needed   int      // how many of them have to be healthy

	alarm   alarm
	control string // the ARN of a routing control
}

// alarm is the CloudWatch alarm that a health check follows.
type alarm struct {
	name, region string
	period       time.Duration
	periods      int
	withoutData  string // Healthy, Unhealthy or LastKnownStatus
}

const (
	calculated = "CALCULATED"
	cloudWatch = "CLOUDWATCH_METRIC"
	control    = "RECOVERY_CONTROL"
)

// endpointType reports whether checkers look at an endpoint.
func endpointType(kind string) bool {
	switch kind {
	case "HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP":
		return true
	}
	return false
}

func checkerRegions() []string {
	return []string{"us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "sa-east-1"}
}

// from lists the regions that it is checked from.
func (h healthCheck) from() []string {
	if len(h.regions) == 0 {
		return checkerRegions()
	}
	return h.regions
}

// endpoint is what is connected to: the address where one is given, and then the
// name is no more than the Host of the request.
func (h healthCheck) endpoint() string {
	if h.ip != "" {
		return h.ip
	}
	return h.fqdn
}

// String is the health check for people.
func (h healthCheck) String() string {
	switch h.kind {
	case calculated:
		return fmt.Sprintf("health check %s (%d of %d others)", text(h.id), h.needed, len(h.children))
	case cloudWatch:
		return fmt.Sprintf("health check %s (alarm %s in %s)", text(h.id), text(h.alarm.name), text(h.alarm.region))
	case control:
		return fmt.Sprintf("health check %s (routing control %s)", text(h.id), text(h.control))
	}
	return fmt.Sprintf("health check %s (%s)", text(h.id), h.target())
}

// target is what is checked, for people.
func (h healthCheck) target() string {
	scheme, _, _ := strings.Cut(h.kind, "_")
	return text(fmt.Sprintf("%s://%s:%d%s", strings.ToLower(scheme), h.endpoint(), h.port, h.path))
}

// givesUp is how long one check of an endpoint that hangs takes to end: 4 s to
// connect and 2 s for the status, 2 s more for the body where it is searched; 10 s to
// connect for TCP.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
func (h healthCheck) givesUp() time.Duration {
	switch h.kind {
	case "TCP":
		return 10 * time.Second
	case "HTTP_STR_MATCH", "HTTPS_STR_MATCH":
		return 8 * time.Second
	}
	return 6 * time.Second
}

// detection is how long it takes from the failure until Route 53 knows.
type detection struct {
	// never says that it never does: because of what is in terms.
	never bool
	// byHand says that somebody has to act, and missing that a time is not known.
	byHand, missing bool
	within          time.Duration
	// terms are what within is the sum of, or why there is none.
	terms string
}

// checks are the health checks of the account, by id.
type checks map[string]healthCheck

// detects tells how long a health check takes to turn unhealthy when everything that
// it looks at has failed.
func (c checks) detects(id string) detection { return c.detectsOnce(id, make(map[string]*detection)) }

func (c checks) detectsOnce(id string, seen map[string]*detection) detection {
	again := detection{never: true, terms: "health check " + text(id) + " depends on itself"}
	return visit(seen, id, again, func() detection {
		h, known := c[id]
		switch {
		case !known:
			return detection{never: true, terms: "health check " + text(id) + " is deleted"}
		case h.disabled:
			return detection{never: true, terms: "health check " + text(id) + " is disabled"}
		}
		var d detection
		if h.kind == calculated {
			d = c.calculatedDetects(h, seen)
		} else {
			d = h.detects()
		}
		if h.inverted && !d.never {
			d.byHand, d.terms = true, fmt.Sprintf("somebody makes healthy what %s looks at, which is inverted (%s)", h, d.terms)
		}
		return d
	})
}

// detects tells how long a health check takes that rests on no other.
func (h healthCheck) detects() detection {
	switch h.kind {
	case cloudWatch:
		return h.alarmDetects()
	case control:
		return detection{byHand: true, terms: "somebody turns off the routing control " + text(h.control)}
	}
	// The interval is from the answer to one check to the next, so each of them may
	// take both: API_HealthCheckConfig, RequestInterval.
	each := h.interval + h.givesUp()
	return detection{
		within: time.Duration(h.threshold) * each,
		terms:  fmt.Sprintf("%d checks in a row, each %s apart and given up after %s: %s", h.threshold, told(h.interval), told(h.givesUp()), told(time.Duration(h.threshold)*each)),
	}
}

// alarmDetects counts the period that had begun when the failure came: its value may
// still be good.
func (h healthCheck) alarmDetects() detection {
	if h.alarm.period <= 0 || h.alarm.periods <= 0 {
		return detection{missing: true, terms: "Route 53 does not tell the periods of alarm " + text(h.alarm.name)}
	}
	within := time.Duration(h.alarm.periods+1) * h.alarm.period
	return detection{within: within, terms: fmt.Sprintf("%d periods of %s of alarm %s, and the one that had begun: %s", h.alarm.periods, told(h.alarm.period), text(h.alarm.name), told(within))}
}

// calculatedDetects is by the slowest child: nobody knows which of them it takes.
func (c checks) calculatedDetects(h healthCheck, seen map[string]*detection) detection {
	if h.needed <= 0 {
		return detection{never: true, terms: h.String() + " is always healthy"}
	}
	var slowest detection
	able := 0
	for _, child := range h.children {
		d := c.detectsOnce(child, seen)
		if d.never {
			continue
		}
		able++
		if slowest.terms == "" || slower(d, slowest) {
			slowest = d
		}
	}
	if enough := len(h.children) - h.needed + 1; able < enough {
		return detection{never: true, terms: fmt.Sprintf("%s: %d of its children can turn unhealthy, and %d would have to", h, able, enough)}
	}
	slowest.terms = "the slowest of " + fmt.Sprint(len(h.children)) + " children: " + slowest.terms
	return slowest
}

// slower reports whether a takes longer than b: what nobody knows is the longest.
func slower(a, b detection) bool {
	if a.missing != b.missing {
		return a.missing
	}
	if a.byHand != b.byHand {
		return a.byHand
	}
	return a.within > b.within
}

// leaves lists what a health check rests on in the end: itself, or its children and
// theirs.
func (c checks) leaves(id string) []healthCheck {
	return c.leavesOnce(id, make(map[string]bool))
}

func (c checks) leavesOnce(id string, been map[string]bool) []healthCheck {
	h, known := c[id]
	if !known || been[id] {
		return nil
	}
	been[id] = true
	if h.kind != calculated {
		return []healthCheck{h}
	}
	var all []healthCheck
	for _, child := range h.children {
		all = append(all, c.leavesOnce(child, been)...)
	}
	return all
}

// report is what is known of the state of a health check: what its checkers say, or
// the metric that Route 53 publishes of it.
type report struct {
	at  time.Time // when it was asked
	err error     // why it is not known
	// healthy and of count checkers; of a metric, 1 of 1.
	healthy, of int
	metric      bool
	regions     int
	unhealthy   []string // the regions of those that say so
	reason      string   // of one of them
}

// share is above which the endpoint counts as healthy, in percent of the checkers.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
const share = 18

// health is what Route 53 makes of a health check.
type health struct {
	known, healthy bool
	// unseen says that a load balancer decides, of which Route 53 tells nothing.
	unseen bool
	// partly says that checkers disagree to a degree that is worth a look.
	partly bool
	told   string
	at     time.Time // the oldest report that it rests on
}

// state tells what Route 53 makes of a health check.
func (c checks) state(id string, reports map[string]report) health {
	return c.stateOnce(id, reports, make(map[string]*health))
}

func (c checks) stateOnce(id string, reports map[string]report, seen map[string]*health) health {
	again := health{told: "health check " + text(id) + " depends on itself"}
	return visit(seen, id, again, func() health {
		h, known := c[id]
		switch {
		case !known:
			return health{told: "health check " + text(id) + " is deleted"}
		case h.disabled: // https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html (Disabled)
			return health{known: true, healthy: !h.inverted, told: fmt.Sprintf("%s is disabled, which counts as healthy%s", h, inversion(h))}
		case h.kind == calculated:
			return c.calculatedState(h, reports, seen)
		}
		r, asked := reports[id]
		if !asked {
			return health{told: "nobody has asked for the state of " + h.String() + " yet"}
		}
		return h.state(r)
	})
}

// state tells what Route 53 makes of a health check that rests on no other.
func (h healthCheck) state(r report) health {
	switch {
	case r.err != nil:
		return health{told: h.String() + ": " + r.err.Error()}
	case r.of == 0:
		return health{told: "no checker has told yet how " + h.String() + " is", at: r.at}
	case r.metric && h.inverted:
		return health{told: h.String() + " is inverted, and AWS does not document whether its metric is before or after that", at: r.at}
	}
	s := health{known: true, healthy: r.healthy*100 > share*r.of != h.inverted, at: r.at}
	s.partly = s.healthy && !h.inverted && 2*r.healthy < r.of
	s.told = h.String() + " is " + word(s.healthy) + ": " + r.told() + inversion(h)
	return s
}

func inversion(h healthCheck) string {
	if h.inverted {
		return ", and inverted"
	}
	return ""
}

func word(healthy bool) string {
	if healthy {
		return "healthy"
	}
	return "unhealthy"
}

// told counts the checkers, by region where they disagree.
func (r report) told() string {
	if r.metric {
		return "so says its metric"
	}
	says := fmt.Sprintf("%d of %d checkers in %d regions say so", r.healthy, r.of, r.regions)
	if r.healthy*100 <= share*r.of {
		says = fmt.Sprintf("%d of %d checkers in %d regions say so", r.of-r.healthy, r.of, r.regions)
	}
	if r.healthy == r.of {
		return says
	}
	if len(r.unhealthy) < r.regions {
		says += ", unhealthy from " + strings.Join(r.unhealthy, ", ")
	}
	if r.reason != "" {
		says += " (" + text(r.reason) + ")"
	}
	return says
}

// calculatedState counts the children that are healthy.
func (c checks) calculatedState(h healthCheck, reports map[string]report, seen map[string]*health) health {
	healthy, unknown := 0, 0
	s := health{}
	var all []string
	for _, child := range h.children {
		one := c.stateOnce(child, reports, seen)
		if !one.at.IsZero() && (s.at.IsZero() || one.at.Before(s.at)) {
			s.at = one.at
		}
		switch {
		case !one.known:
			unknown++
			all = append(all, one.told)
		case one.healthy:
			healthy++
		default:
			all = append(all, one.told)
		}
	}
	if s.known = healthy >= h.needed || healthy+unknown < h.needed; s.known {
		s.healthy = healthy >= h.needed != h.inverted
	}
	s.told = fmt.Sprintf("%s: %d are healthy%s", h, healthy, inversion(h))
	if unknown > 0 {
		s.told += fmt.Sprintf(", %d unknown", unknown)
	}
	if len(all) > 0 {
		s.told += "; " + all[0]
	}
	return s
}
