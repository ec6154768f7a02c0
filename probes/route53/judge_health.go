package route53

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// detects tells how long it takes until Route 53 takes a record for unhealthy: by what
// notices first, of those that can.
func (j *judge) detects(r record) detection {
	return j.detectsOnce(r, make(map[string]*detection))
}

func (j *judge) detectsOnce(r record, seen map[string]*detection) detection {
	again := detection{never: true, terms: text(r.name) + " is an alias of itself"}
	return visit(seen, r.key(), again, func() detection {
		first := detection{never: true, terms: cmp.Or(r.role, text(r.name)) + " carries no health check, and does not evaluate the health of its target"}
		or := func(d detection) {
			if first.never || !d.never && slower(first, d) {
				first = d
			}
		}
		switch {
		case r.check == "":
		case j.checksTrouble != nil:
			or(detection{missing: true, terms: j.checksTrouble.Error()})
		default:
			or(j.checks.detects(r.check))
		}
		if r.alias != nil && r.alias.evaluates {
			or(j.targetDetects(r, seen))
		}
		return first
	})
}

// targetDetects is by EvaluateTargetHealth. A group of records is unhealthy when all
// of them are.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
func (j *judge) targetDetects(r record, seen map[string]*detection) detection {
	name := text(balancer(r.alias.name))
	if r.alias.zone != j.zone.id {
		switch within := j.config.Detection; {
		case alwaysThere(r.alias.name):
			return detection{never: true, terms: "EvaluateTargetHealth of " + name + " hardly ever says that it is unhealthy"}
		case within > 0:
			return detection{within: within, terms: fmt.Sprintf("%s notices that its targets are gone: %s (detection in the file)", name, told(within))}
		}
		return detection{missing: true, terms: "how long " + name + " takes to notice that its targets are gone"}
	}
	slowest := detection{never: true, terms: name + " is no record of the zone"}
	for i, target := range j.records.of(r.alias.name, r.kind) {
		d := j.detectsOnce(target, seen)
		if d.never {
			return d
		}
		if i == 0 || slower(d, slowest) {
			slowest = d
		}
	}
	return slowest
}

// failoverTime is how long it takes from the failure until the last client has moved
// that asks again when it should; false where a term of it is not known. terms are
// the sum in words, or what is missing, and remedy is what then to do.
func (j *judge) failoverTime() (time.Duration, string, string, bool) {
	total, says, remedy, known := j.ownFailoverTime(CheckPair, CheckTargetStandby, CheckHealthCheck, CheckStandbyHealth)
	t := j.twin
	switch {
	case !known || t == nil:
		return total, says, remedy, known
	case t.because != "":
		return 0, fmt.Sprintf("not known of %s: %s", t.kind, t.because), "see the check " + CheckRecord + " first", false
	case t.single == nil && (t.primary == nil || t.secondary == nil):
		return 0, t.kind + " of the same name would not move: " + t.checkPair().Evidence, "make it a failover pair as " + j.kind + " is", false
	}
	switch longer, why, what, known := t.ownFailoverTime(CheckPair, CheckHealthCheck, CheckStandbyHealth); {
	case !known:
		return 0, fmt.Sprintf("of %s of the same name: %s", t.kind, why), what + " (watch it as a service of its own with type: " + t.kind + ")", false
	case longer > total:
		return longer, t.kind + " of the same name is slower: " + why, "", true
	}
	return total, says, "", true
}

// ownFailoverTime is that of the type that is judged. There is none where one of some
// checks says that the clients of a pair do not come to the standby.
func (j *judge) ownFailoverTime(unless ...string) (time.Duration, string, string, bool) {
	if c, stays := j.fails(unless); stays {
		return 0, "it would not move: " + c.Evidence, "see the check " + c.Name + " first", false
	}
	r, d := j.primary, detection{byHand: true}
	sync, synced := time.Duration(0), ""
	if j.single != nil {
		r = j.single
		d.terms = "somebody changes the record"
		sync, synced = inSync, fmt.Sprintf("; the name servers have it after %s", told(inSync))
	} else {
		d = j.detects(*r)
	}
	ttl := j.ttlOf(*r)
	switch {
	case d.never:
		return 0, "nothing that can be relied on would move it: " + d.terms, "see the check " + CheckHealthCheck + " first", false
	case d.missing && j.checksTrouble != nil:
		return 0, d.terms, "see the check " + CheckHealthCheck + " first", false
	case d.missing:
		return 0, "not known: " + d.terms, "write detection in the file: the interval of the load balancer's own health checks times the number that have to fail, and their timeout", false
	case d.byHand && j.config.ChangedWithin <= 0:
		return 0, "not known: how long it takes until " + d.terms, "write changed_within in the file, as measured in a drill", false
	case !ttl.known:
		return 0, "not known: for how long resolvers keep the answer", "see the check " + CheckTTL + " first", false
	}
	if d.byHand {
		d.within += j.config.ChangedWithin
		d.terms += fmt.Sprintf(" within %s (changed_within in the file)", told(j.config.ChangedWithin))
	}
	total := d.within + sync + ttl.ttl
	return total, fmt.Sprintf("%s%s; resolvers keep the answer for %s: %s in all", d.terms, synced, told(ttl.ttl), told(total)), "", true
}

// fails is the first of some checks on a pair that does, as far as they are made.
func (j *judge) fails(names []string) (readiness.Check, bool) {
	for _, name := range names {
		if j.single != nil || name == CheckTargetStandby && len(j.service.Standby) == 0 {
			continue
		}
		if c := j.answer(name); c.Status == readiness.Fail {
			return c, true
		}
	}
	return readiness.Check{}, false
}

// inSync is within what time a change is generally with all name servers.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
const inSync = time.Minute

func (j *judge) checkFailoverTime() readiness.Check {
	if j.single == nil && (j.primary == nil || j.secondary == nil) {
		return unjudged(CheckFailoverTime, "there is no pair", CheckPair)
	}
	total, says, remedy, known := j.failoverTime()
	rto := j.service.RTO
	switch {
	case !known:
		return probes.Unknown(CheckFailoverTime, says, remedy)
	case rto <= 0:
		return probes.Passing(CheckFailoverTime, says+"; no RTO is promised")
	case total > rto:
		return probes.Failing(CheckFailoverTime, says+"; the RTO is "+told(rto), "shorten the largest term: TTL, interval and threshold of the health check, or the hands that it takes")
	}
	return probes.Passing(CheckFailoverTime, says+"; the RTO is "+told(rto))
}

// checkHealthCheck tells whether Route 53 would take the primary out, and would not
// without need.
func (j *judge) checkHealthCheck() readiness.Check {
	if j.primary == nil {
		return unjudged(CheckHealthCheck, "there is no PRIMARY", CheckPair)
	}
	return j.examine(*j.primary, make(map[string]*readiness.Check))
}

func (j *judge) examine(r record, seen map[string]*readiness.Check) readiness.Check {
	role := cmp.Or(r.role, text(r.name))
	again := probes.Failing(CheckHealthCheck, role+" is an alias of itself", "lead it elsewhere")
	return visit(seen, r.key(), again, func() readiness.Check {
		switch {
		case r.check != "":
			return j.examineCheck(role, r.check)
		case r.alias == nil:
			return probes.Failing(CheckHealthCheck, role+" carries no health check: Route 53 takes it for healthy whatever happens", "give it a health check of the primary")
		case !r.alias.evaluates:
			return probes.Failing(CheckHealthCheck, role+" is an alias with EvaluateTargetHealth off, and carries no health check: Route 53 takes it for healthy whatever happens",
				"switch EvaluateTargetHealth on, or give it a health check of the primary")
		}
		return j.examineTarget(role, r, seen)
	})
}

// examineTarget looks at what an alias goes by that evaluates the health of its target.
func (j *judge) examineTarget(role string, r record, seen map[string]*readiness.Check) readiness.Check {
	name := text(balancer(r.alias.name))
	switch {
	case r.alias.zone != j.zone.id && alwaysThere(r.alias.name):
		return probes.Warning(CheckHealthCheck, fmt.Sprintf("%s rests on EvaluateTargetHealth of %s, which hardly ever says that it is unhealthy", role, name), "give it a health check of the application")
	case r.alias.zone != j.zone.id:
		return probes.Passing(CheckHealthCheck, fmt.Sprintf("%s is taken out when a target group of %s has no healthy target (EvaluateTargetHealth)", role, name))
	}
	worst := probes.Failing(CheckHealthCheck, fmt.Sprintf("%s is an alias of %s, which is no record of the zone", role, name), "create it, or lead the alias elsewhere")
	for i, target := range j.records.of(r.alias.name, r.kind) {
		if c := j.examine(target, seen); i == 0 || c.Status == readiness.Fail || worst.Status.Ready() && c.Status != readiness.Pass {
			worst = c
		}
	}
	return worst
}

func (j *judge) examineCheck(role, id string) readiness.Check {
	h, known := j.checks[id]
	switch {
	case j.checksTrouble != nil:
		return probes.Unknown(CheckHealthCheck, j.checksTrouble.Error(), "grant the action, or ask again later")
	case !known && j.checksListed.Before(j.listed):
		return probes.Unknown(CheckHealthCheck, fmt.Sprintf("%s carries health check %s, which was not there when the health checks were listed, before the record was", role, text(id)), "wait for the next listing")
	case !known:
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s carries health check %s, which is deleted: its status \"can't be predicted and may change\"", role, text(id)), "create a new health check of the primary, and give it to "+role)
	case h.disabled:
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s is disabled, which counts as %s", h, role, word(!h.inverted)), "enable it: aws route53 update-health-check --health-check-id "+text(id)+" --no-disabled")
	case h.inverted != j.config.HealthCheck.Inverted && h.inverted:
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s is inverted: %s is taken out while the endpoint is healthy, and comes back when it fails", h, role, role),
			"aws route53 update-health-check --health-check-id "+text(id)+" --no-inverted; or write inverted: true in health_check, where that is meant")
	case h.inverted != j.config.HealthCheck.Inverted:
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s is not inverted, and the file says that it is", h, role), "correct inverted in the file, or invert the check")
	case h.kind == calculated && h.needed > len(h.children):
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s is always unhealthy: it needs more than it has", h, role), "lower its health threshold, or add children")
	}
	if d := j.checks.detects(id); d.never {
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s can never turn unhealthy: %s", h, role, d.terms), "mend its children, and let its health threshold be from 1 to their number")
	}
	return j.examineChildren(role, h)
}

// examineChildren tells of what a health check rests on that is not as it should be,
// and yet does not keep it from turning unhealthy.
func (j *judge) examineChildren(role string, h healthCheck) readiness.Check {
	for _, child := range h.children {
		of, known := j.checks[child]
		switch {
		case !known:
			return probes.Warning(CheckHealthCheck, fmt.Sprintf("%s of %s counts health check %s, which is deleted", h, role, text(child)), "take it out of its children, and see the health threshold")
		case of.disabled:
			return probes.Warning(CheckHealthCheck, fmt.Sprintf("%s of %s counts %s, which is disabled and so counts as %s", h, role, of, word(!of.inverted)), "enable it")
		case of.inverted && endpointType(of.kind) && j.isPrimary(of):
			return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s of %s counts %s, which is inverted: it turns healthy when the primary fails", h, role, of), "aws route53 update-health-check --health-check-id "+text(of.id)+" --no-inverted")
		case of.inverted:
			return probes.Warning(CheckHealthCheck, fmt.Sprintf("%s of %s counts %s, which is inverted", h, role, of), "see whether that is meant")
		}
	}
	leaves := j.checks.leaves(h.id)
	if len(leaves) > 0 && !slices.ContainsFunc(leaves, func(leaf healthCheck) bool { return !j.fallsSilent(leaf) }) {
		return probes.Failing(CheckHealthCheck, fmt.Sprintf("%s decides over %s, and counts as %s when its metric falls silent, as it does when the region of the primary is lost", leaves[0], role, cmp.Or(leaves[0].alarm.withoutData, "LastKnownStatus")),
			"set its InsufficientDataHealthStatus to Unhealthy, or let the alarm be on a metric of another region")
	}
	for _, leaf := range leaves {
		switch {
		case leaf.kind == cloudWatch && leaf.alarm.withoutData != "Unhealthy":
			return probes.Warning(CheckHealthCheck, fmt.Sprintf("%s of %s counts as %s when its metric falls silent, as it does when its region is lost", leaf, role, cmp.Or(leaf.alarm.withoutData, "LastKnownStatus")),
				"set its InsufficientDataHealthStatus to Unhealthy, or let the alarm be on a metric of another region")
		case leaf.kind == control:
			return probes.Passing(CheckHealthCheck, fmt.Sprintf("%s of %s is moved by hand", leaf, role))
		}
	}
	return probes.Passing(CheckHealthCheck, fmt.Sprintf("%s decides over %s", h, role))
}

// fallsSilent reports whether a health check follows an alarm in the region of the
// primary, and does not count as unhealthy when that is silent.
func (j *judge) fallsSilent(h healthCheck) bool {
	inRegion := func(name string) bool { return strings.Contains(canonical(name), "."+h.alarm.region+".") }
	return h.kind == cloudWatch && h.alarm.withoutData != "Unhealthy" && h.alarm.region != "" &&
		(slices.ContainsFunc(j.service.Primary, inRegion) || slices.ContainsFunc(j.ends(*j.primary), inRegion))
}

// restsOn lists the endpoints, alarms and controls that decide over a record.
func (j *judge) restsOn(r *record) []healthCheck {
	if r == nil {
		return nil
	}
	return j.restsOnce(*r, make(map[string]bool))
}

func (j *judge) restsOnce(r record, been map[string]bool) []healthCheck {
	if been[r.key()] {
		return nil
	}
	been[r.key()] = true
	all := j.checks.leavesOnce(r.check, been)
	if r.alias != nil && r.alias.evaluates && r.alias.zone == j.zone.id {
		for _, target := range j.records.of(r.alias.name, r.kind) {
			all = append(all, j.restsOnce(target, been)...)
		}
	}
	return all
}

// restsOnAll lists the same of all records of the name.
func (j *judge) restsOnAll() []healthCheck {
	all := append(j.restsOn(j.primary), j.restsOn(j.secondary)...)
	if j.twin != nil {
		all = append(all, j.twin.restsOnAll()...)
	}
	return all
}

// undecided answers a check on the primary's health check where there is none to look at.
func (j *judge) undecided(name string) (readiness.Check, bool) {
	switch {
	case j.primary == nil:
		return unjudged(name, "there is no PRIMARY", CheckPair), true
	case j.checksTrouble != nil && j.primary.check != "":
		return probes.Unknown(name, j.checksTrouble.Error(), "grant the action, or ask again later"), true
	case len(j.restsOn(j.primary)) > 0:
		return readiness.Check{}, false
	case j.primary.check == "" && j.primary.alias != nil && j.primary.alias.evaluates:
		return probes.Passing(name, "the load balancer "+text(balancer(j.primary.alias.name))+" looks at its targets by health checks of its own"), true
	}
	if j.primary.check != "" {
		return unjudged(name, "the health check of the PRIMARY is not among those that there are", CheckHealthCheck), true
	}
	return unjudged(name, "the PRIMARY has no health check", CheckHealthCheck), true
}

// checkChecked tells whether what is checked is the primary, in the way that the file says.
func (j *judge) checkChecked() readiness.Check {
	want := j.config.HealthCheck
	asked := want.Type != "" || want.FQDN != "" || want.Port != 0 || want.Path != "" || want.Search != ""
	if c, done := j.undecided(CheckChecked); done {
		if asked && c.Status == readiness.Pass {
			return probes.Failing(CheckChecked, c.Evidence+", where the file says what a health check of Route 53 is to look at", "give the PRIMARY a health check, or take health_check out of the file")
		}
		return c
	}
	var says, strange []string
	differs := ""
	matches := !asked
	for _, h := range j.restsOn(j.primary) {
		if !endpointType(h.kind) {
			says = append(says, h.String())
			continue
		}
		if c, wrong := j.wrongEnd(h); wrong {
			return c
		}
		if d := want.differs(h); d == "" {
			matches = true
		} else {
			differs = cmp.Or(differs, h.String()+": "+d)
		}
		if want.FQDN == "" && !j.isPrimary(h) {
			strange = append(strange, h.String())
		}
		says = append(says, h.target())
	}
	switch {
	case !matches:
		return probes.Failing(CheckChecked, cmp.Or(differs, "no endpoint is checked, only "+strings.Join(says, ", ")), "correct the health check, or health_check in the file")
	case strange != nil:
		return probes.Warning(CheckChecked, strange[0]+" looks at something that the file names on neither side", "let it look at the primary, or add what it looks at to primary, or as fqdn to health_check, in the file")
	}
	return probes.Passing(CheckChecked, "what is checked: "+strings.Join(says, ", "))
}

// wrongEnd tells of a health check of the primary that looks at something that must
// not decide over it.
func (j *judge) wrongEnd(h healthCheck) (readiness.Check, bool) {
	if h.ip == "" && canonical(h.fqdn) == j.host {
		return probes.Failing(CheckChecked, fmt.Sprintf("%s looks at %s itself, which leads to the standby after the failover: the PRIMARY would look healthy again, and the name would move to and fro", h, j.host),
			"let it look at the load balancer or the address of the primary"), true
	}
	if !j.isPrimary(h) && j.isStandby(h) {
		return probes.Failing(CheckChecked, fmt.Sprintf("%s decides over the PRIMARY, and looks at the standby", h), "let it look at the primary: its load balancer or its address"), true
	}
	return readiness.Check{}, false
}

// isPrimary reports whether a health check looks at the primary: as the file says, or
// where the record leads.
func (j *judge) isPrimary(h healthCheck) bool {
	return side(j.service.Primary).names(h.endpoint()) || !side(j.service.Standby).names(h.endpoint()) && j.leadsTo(j.primary, h.endpoint())
}

func (j *judge) isStandby(h healthCheck) bool {
	return side(j.service.Standby).names(h.endpoint()) || !side(j.service.Primary).names(h.endpoint()) && j.leadsTo(j.secondary, h.endpoint())
}

func (j *judge) leadsTo(r *record, endpoint string) bool {
	if r == nil {
		return false
	}
	return slices.ContainsFunc(j.records.leads(*r, j.zone.id), func(c chain) bool { return side(c.hops).names(endpoint) })
}

// differs tells in what a health check is not as expected.
func (want HealthCheck) differs(h healthCheck) string {
	var all []string
	differ := func(what string, given bool, is, should any) {
		if given && is != should {
			all = append(all, text(fmt.Sprintf("its %s is %v, the file says %v", what, is, should)))
		}
	}
	differ("type", want.Type != "", h.kind, want.Type)
	fqdn := canonical(want.FQDN)
	differ("endpoint", want.FQDN != "" && canonical(h.fqdn) != fqdn, h.endpoint(), fqdn)
	differ("port", want.Port != 0, h.port, want.Port)
	differ("path", want.Path != "", cmp.Or(h.path, "/"), want.Path)
	differ("search string", want.Search != "", h.search, want.Search)
	return strings.Join(all, "; ")
}

// checkPace tells how often, and from where, the primary is checked.
func (j *judge) checkPace() readiness.Check {
	if c, done := j.undecided(CheckPace); done {
		return c
	}
	want := j.config.HealthCheck
	var says, broken, few []string
	for _, h := range j.restsOn(j.primary) {
		if !endpointType(h.kind) {
			says = append(says, h.String()+" has a pace of its own")
			continue
		}
		pace := fmt.Sprintf("%s is checked every %s from %d regions, and %d in a row decide", h.target(), told(h.interval), len(h.from()), h.threshold)
		says = append(says, pace)
		switch {
		case want.MaxInterval > 0 && h.interval > want.MaxInterval, want.MaxThreshold > 0 && h.threshold > want.MaxThreshold, want.MinRegions > 0 && len(h.from()) < want.MinRegions:
			broken = append(broken, pace)
		case len(h.from()) < defaultMinRegions:
			few = append(few, pace)
		}
	}
	switch {
	case broken != nil:
		return probes.Failing(CheckPace, fmt.Sprintf("%s; the file says %s", broken[0], want.pace()), "change the health check (its interval only by a new one), or health_check in the file")
	case few != nil:
		return probes.Warning(CheckPace, few[0]+": one region that is cut off may decide", "let it be checked from three regions at the least")
	}
	return probes.Passing(CheckPace, strings.Join(says, "; "))
}

func (want HealthCheck) pace() string {
	var all []string
	if want.MaxInterval > 0 {
		all = append(all, "every "+told(want.MaxInterval))
	}
	if want.MaxThreshold > 0 {
		all = append(all, fmt.Sprintf("%d in a row", want.MaxThreshold))
	}
	if want.MinRegions > 0 {
		all = append(all, fmt.Sprintf("%d regions", want.MinRegions))
	}
	return strings.Join(all, ", ")
}

// healthOf tells what Route 53 makes of a record, by its health check, or by those of
// the records that it is an alias of.
func (j *judge) healthOf(r record) health { return j.healthOnce(r, make(map[string]*health)) }

func (j *judge) healthOnce(r record, seen map[string]*health) health {
	return visit(seen, r.key(), health{told: text(r.name) + " is an alias of itself"}, func() health {
		_, known := j.checks[r.check]
		switch {
		case r.check != "" && !known && j.checksTrouble != nil:
			return health{told: j.checksTrouble.Error()}
		case r.check != "" && (r.alias == nil || !r.alias.evaluates || r.alias.zone != j.zone.id):
			return j.checks.state(r.check, j.reports)
		case r.alias == nil || !r.alias.evaluates:
			return health{known: true, healthy: true, told: "it carries no health check, which counts as healthy"}
		case r.alias.zone != j.zone.id:
			return health{unseen: true, told: text(balancer(r.alias.name)) + " decides by the health of its targets, of which Route 53 tells nothing"}
		}
		target := j.healthOfAny(j.records.of(r.alias.name, r.kind), text(r.alias.name), seen)
		if r.check == "" {
			return target
		}
		own := j.checks.state(r.check, j.reports)
		if own.known && !own.healthy || target.known && target.healthy {
			return own
		}
		return target
	})
}

// supposing is what Route 53 would make of a record, were some of what it rests on
// unhealthy and the rest well.
func (j *judge) supposing(r record, failed func(healthCheck) bool) health {
	k := *j
	k.reports = make(map[string]report)
	for _, leaf := range j.restsOn(&r) {
		k.reports[leaf.id] = report{healthy: map[bool]int{false: 1}[failed(leaf)], of: 1, regions: 1}
	}
	return k.healthOf(r)
}

// healthOfAny is that of a group, which is healthy when one of them is.
func (j *judge) healthOfAny(group []record, name string, seen map[string]*health) health {
	if len(group) == 0 {
		return health{told: name + " is no record of the zone"}
	}
	all := health{known: true}
	for _, each := range group {
		one := j.healthOnce(each, seen)
		switch {
		case one.known && one.healthy:
			return one
		case !one.known:
			all.known, all.unseen, all.told, all.at = false, one.unseen, one.told, one.at
		case all.known:
			all.told, all.at = one.told, one.at
		}
	}
	return all
}

// since tells how old a state is, where that matters.
func (j *judge) since(h health) string {
	if age := readiness.Elapsed(h.at, j.now); !h.at.IsZero() && age >= 2*time.Minute {
		return fmt.Sprintf(" (asked %s ago)", readiness.InSeconds(age.Truncate(time.Minute)))
	}
	return ""
}

func (j *judge) checkPrimaryHealth() readiness.Check {
	if j.primary == nil {
		return unjudged(CheckPrimaryHealth, "there is no PRIMARY", CheckPair)
	}
	h := j.healthOf(*j.primary)
	says := h.told + j.since(h)
	switch {
	case h.unseen:
		return probes.Passing(CheckPrimaryHealth, says+": a part of kind elb looks at them")
	case !h.known && j.primary.check != "" && j.checksTrouble == nil && !j.lists(j.primary.check):
		return probes.Unknown(CheckPrimaryHealth, says, "see the check "+CheckHealthCheck+" first")
	case !h.known:
		return probes.Unknown(CheckPrimaryHealth, says, "grant route53:GetHealthCheckStatus where that is denied; otherwise wait for its turn, or see the check "+CheckHealthCheck)
	case !h.healthy:
		remedy := "see what became of the primary: the failover is under way"
		if j.checks[j.primary.check].inverted {
			remedy += ", unless it is the inverted check that brings it about"
		}
		return probes.Warning(CheckPrimaryHealth, "Route 53 answers with the SECONDARY, where that is healthy: "+says, remedy)
	case h.partly:
		return probes.Warning(CheckPrimaryHealth, says, "see why the other checkers do not reach it: above 18 % healthy the name stays where it is")
	}
	return probes.Passing(CheckPrimaryHealth, says)
}

// lists reports whether there is a health check of that id.
func (j *judge) lists(id string) bool {
	_, listed := j.checks[id]
	return listed
}

// checkStandbyHealth tells whether Route 53 would answer with the secondary, and
// whether it would notice that it should not.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html (Failover)
func (j *judge) checkStandbyHealth() readiness.Check {
	if j.secondary == nil {
		return unjudged(CheckStandbyHealth, "there is no SECONDARY", CheckPair)
	}
	r := *j.secondary
	if r.check == "" && (r.alias == nil || !r.alias.evaluates) {
		return probes.Warning(CheckStandbyHealth, "SECONDARY carries no health check: once the PRIMARY is unhealthy it is always used, whatever its state",
			"give it a health check of the standby, and watch the standby itself with a part of kind endpoint")
	}
	if c, wrong := j.wrongStandby(r); wrong {
		return c
	}
	h := j.healthOf(r)
	says := h.told + j.since(h)
	switch {
	case h.unseen:
		return probes.Passing(CheckStandbyHealth, says+": a part of kind elb looks at them")
	case !h.known:
		return probes.Unknown(CheckStandbyHealth, says, "grant route53:GetHealthCheckStatus where that is denied; otherwise wait for its turn")
	case !h.healthy:
		return probes.Failing(CheckStandbyHealth, "Route 53 answers with the PRIMARY, healthy or not: "+says, "see what is wrong with the standby, or with what the check looks at")
	case h.partly:
		return probes.Warning(CheckStandbyHealth, says, "see why the other checkers do not reach it")
	case j.checks[r.check].disabled:
		return probes.Warning(CheckStandbyHealth, says+": SECONDARY is always used, whatever its state", "enable the health check")
	case j.supposing(r, func(healthCheck) bool { return true }).healthy:
		return probes.Warning(CheckStandbyHealth, says+": so it is when all that it rests on has failed, and SECONDARY is used whatever its state", "see the health threshold and the children of its health check")
	}
	return probes.Passing(CheckStandbyHealth, says)
}

// wrongStandby tells of a health check of the secondary that does not say how the
// standby is.
func (j *judge) wrongStandby(r record) (readiness.Check, bool) {
	h, known := j.checks[r.check]
	switch {
	case j.checksTrouble != nil:
		return readiness.Check{}, false
	case r.check == "":
		return j.wrongLeaf(r)
	case !known && j.checksListed.Before(j.listed):
		return probes.Unknown(CheckStandbyHealth, fmt.Sprintf("SECONDARY carries health check %s, which was not there when the health checks were listed, before the record was", text(r.check)), "wait for the next listing"), true
	case !known:
		return probes.Failing(CheckStandbyHealth, fmt.Sprintf("SECONDARY carries health check %s, which is deleted: its status \"can't be predicted and may change\"", text(r.check)), "create a new health check of the standby, and give it to SECONDARY"), true
	case j.primary != nil && j.primary.check == r.check:
		return probes.Failing(CheckStandbyHealth, fmt.Sprintf("PRIMARY and SECONDARY carry the same %s: when it is unhealthy Route 53 answers with the PRIMARY", h), "give the SECONDARY a health check of the standby"), true
	case h.inverted && !h.disabled:
		return probes.Failing(CheckStandbyHealth, fmt.Sprintf("%s of SECONDARY is inverted: the standby counts as healthy when it is not", h), "aws route53 update-health-check --health-check-id "+text(h.id)+" --no-inverted"), true
	}
	return j.wrongLeaf(r)
}

// wrongLeaf tells of what decides over the secondary in the end, and fails together with
// the primary or is healthy when the standby is not.
func (j *judge) wrongLeaf(r record) (readiness.Check, bool) {
	of := make(map[string]bool)
	for _, leaf := range j.restsOn(j.primary) {
		of[leaf.id] = true
	}
	for _, leaf := range j.restsOn(&r) {
		here := endpointType(leaf.kind) && j.isStandby(leaf)
		switch {
		case endpointType(leaf.kind) && j.isPrimary(leaf) && !here:
			return probes.Failing(CheckStandbyHealth, fmt.Sprintf("%s decides over the SECONDARY, and looks at the primary: both are unhealthy at once, and Route 53 answers with the PRIMARY", leaf), "let it look at the standby"), true
		case here && leaf.inverted && !leaf.disabled:
			return probes.Failing(CheckStandbyHealth, fmt.Sprintf("%s of SECONDARY is inverted: the standby counts as healthy when it is not", leaf), "aws route53 update-health-check --health-check-id "+text(leaf.id)+" --no-inverted"), true
		case of[leaf.id]:
			if h := j.supposing(r, func(h healthCheck) bool { return of[h.id] }); h.known && !h.healthy {
				return probes.Failing(CheckStandbyHealth, fmt.Sprintf("%s decides over PRIMARY and SECONDARY: both are unhealthy at once, and Route 53 answers with the PRIMARY", leaf), "give the SECONDARY a health check of the standby"), true
			}
		}
	}
	return readiness.Check{}, false
}

// measures are the numbers that are known.
func (j *judge) measures() map[readiness.Measure]float64 {
	all := make(map[readiness.Measure]float64)
	if j.because != "" {
		return all
	}
	flag := map[bool]float64{true: 1}
	for measure, r := range map[readiness.Measure]*record{readiness.PrimaryHealthy: j.primary, readiness.StandbyHealthy: j.secondary} {
		if r == nil || r.check == "" && (r.alias == nil || !r.alias.evaluates) {
			continue
		}
		if h := j.healthOf(*r); h.known {
			all[measure] = flag[h.healthy]
		}
	}
	r := j.single
	if r == nil {
		r = j.primary
	}
	if r == nil {
		return all
	}
	if l := j.ttlOf(*r); l.known {
		all[readiness.DNSTTLSeconds] = l.ttl.Seconds()
	}
	if j.single != nil || j.secondary != nil {
		if total, _, _, known := j.failoverTime(); known {
			all[readiness.DNSFailoverSeconds] = total.Seconds()
		}
	}
	return all
}

// carriesChecks reports whether any health check of Route 53 decides over the name.
func (j *judge) carriesChecks() bool {
	been := make(map[string]bool)
	return j.carries(j.primary, been) || j.carries(j.secondary, been) || j.twin != nil && j.twin.carriesChecks()
}

func (j *judge) carries(r *record, been map[string]bool) bool {
	switch {
	case r == nil || been[r.key()]:
		return false
	case r.check != "":
		return true
	case r.alias == nil || r.alias.zone != j.zone.id:
		return false
	}
	been[r.key()] = true
	return slices.ContainsFunc(j.records.of(r.alias.name, r.kind), func(target record) bool { return j.carries(&target, been) })
}

// asOf is when what is told was so: that of the oldest listing or state.
func (j *judge) asOf() time.Time {
	at := j.listed
	if !j.checksListed.IsZero() && j.checksListed.Before(at) {
		at = j.checksListed
	}
	for _, r := range j.reports {
		if r.err == nil && !r.at.IsZero() && r.at.Before(at) {
			at = r.at
		}
	}
	return at
}
