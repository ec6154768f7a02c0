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

// seen is what Route 53 tells of one record and of what it rests on.
type seen struct {
	zone    zone
	records records
	listed  time.Time // when the records were

	checks        checks
	checksListed  time.Time
	checksTrouble error // why the health checks are not known

	reports map[string]report // by id of a health check
}

// judge holds what Route 53 tells against what the file says.
type judge struct {
	config  Config
	service probes.Service
	host    string
	seen
	now time.Time

	kind string // the type that is judged
	// A failover setup has up to two of them, a simple one has one.
	primary, secondary, single *record
	// twin judges the other type of address under the name; nil where there is none.
	twin *judge
	// because is why the record cannot be judged, and first the check that tells more.
	because, first string
	record         readiness.Check
}

// judged answers the checks beside that on the zone, and measures.
func judged(c Config, s probes.Service, v seen, now time.Time) *judge {
	j := &judge{config: c, service: s, host: c.host(s), seen: v, now: now}
	found := j.pick()
	j.twin = j.findTwin()
	j.settle(found)
	return j
}

// answer is one check.
func (j *judge) answer(name string) readiness.Check {
	switch {
	case name == CheckRecord:
		return j.record
	case j.because != "":
		return unjudged(name, j.because, j.first)
	case j.single != nil:
		return j.answerSimple(name)
	}
	switch name {
	case CheckPair:
		return j.checkPair()
	case CheckTargetPrimary:
		return j.checkTarget(name, j.primary, primaryRole, j.service.Primary, j.service.Standby, "standby")
	case CheckTargetStandby:
		return j.checkTarget(name, j.secondary, secondaryRole, j.service.Standby, j.service.Primary, "primary")
	case CheckHealthCheck:
		return j.checkHealthCheck()
	case CheckChecked:
		return j.checkChecked()
	case CheckPace:
		return j.checkPace()
	case CheckPrimaryHealth:
		return j.checkPrimaryHealth()
	case CheckStandbyHealth:
		return j.checkStandbyHealth()
	case CheckTTL:
		return j.checkTTL()
	case CheckFailoverTime:
		return j.checkFailoverTime()
	default:
		return j.checkControlPlane()
	}
}

func unjudged(name, because, first string) readiness.Check {
	return probes.Unknown(name, "not judged: "+because, "see the check "+first+" first")
}

// zoneOf picks the zone that the file means, and tells what there is to say of it.
func zoneOf(c Config, host string, all []zone) (zone, readiness.Check, bool) {
	id, byID := c.zoneID()
	name, kind := canonical(c.Zone), kindOf(c.Private)
	var found, others []zone
	for _, z := range all {
		switch {
		case byID && z.id == id, !byID && z.name == name && z.private == c.Private:
			found = append(found, z)
		case !byID && z.name == name:
			others = append(others, z)
		}
	}
	switch {
	case len(found) == 0 && len(others) > 0:
		return zone{}, probes.Failing(CheckZone, fmt.Sprintf("%s is there as a %s zone only: %s", name, kindOf(!c.Private), ids(others)),
			"correct private in the file, or make the "+kind+" zone"), false
	case len(found) == 0:
		return zone{}, probes.Failing(CheckZone, fmt.Sprintf("there is no zone %s in this account%s", text(c.Zone), nearby(host, all)),
			"correct zone in the file, ask as somebody in the account that owns it (aws.role_arn), or see in CloudTrail who deleted it"), false
	case len(found) > 1:
		return zone{}, probes.Failing(CheckZone, fmt.Sprintf("there are %d %s zones %s: %s", len(found), kind, name, ids(found)), tellApart(found, c.Private)), false
	case byID && found[0].private != c.Private:
		return found[0], probes.Failing(CheckZone, fmt.Sprintf("%s is the %s zone %s, and the file says %s", id, kindOf(found[0].private), text(found[0].name), kind), "correct private in the file, or name the other zone"), true
	}
	return found[0], checkZone(found[0], host, all), true
}

// checkZone tells of other zones that could be asked in place of this one.
func checkZone(z zone, host string, all []zone) readiness.Check {
	says := fmt.Sprintf("%s is the %s zone %s with %d records", text(z.name), kindOf(z.private), z.id, z.records)
	var same, closer, beside []zone
	for _, o := range all {
		switch {
		case o.id == z.id:
		case o.name == z.name && o.private == z.private:
			same = append(same, o)
		case o.name == z.name:
			beside = append(beside, o)
		case o.private == z.private && within(o.name, z.name) && within(host, o.name):
			closer = append(closer, o)
		}
	}
	switch {
	case len(same) > 0:
		return probes.Warning(CheckZone, fmt.Sprintf("%s; so are %s, and one of them is asked", says, ids(same)), tellApart(append([]zone{z}, same...), z.private))
	case len(closer) > 0:
		return probes.Warning(CheckZone, fmt.Sprintf("%s; %s (%s) is closer to %s", says, closer[0].name, closer[0].id, host),
			"see with dig +trace "+host+" which of them is asked: where the closer one is delegated, name that in zone")
	case len(beside) > 0:
		says += fmt.Sprintf("; the %s zone %s of the same name is another", kindOf(!z.private), ids(beside))
	}
	return probes.Passing(CheckZone, says)
}

func kindOf(private bool) string {
	if private {
		return "private"
	}
	return "public"
}

func ids(zones []zone) string {
	var all []string
	for _, z := range zones {
		all = append(all, fmt.Sprintf("%s (%d records)", z.id, z.records))
	}
	return list(all)
}

func tellApart(zones []zone, private bool) string {
	if private {
		return "see with aws route53 get-hosted-zone --id " + zones[0].id + " which VPC each belongs to, and name the right one by its id in zone"
	}
	return "compare dig +short NS " + text(zones[0].name) + " with the name servers of each (aws route53 get-hosted-zone --id " + zones[0].id + "): name the one that is delegated by its id in zone, and delete the other"
}

// nearby names the zones that the record could be in.
func nearby(host string, all []zone) string {
	var near []string
	for _, z := range all {
		if within(host, z.name) {
			near = append(near, z.name+" ("+z.id+", "+kindOf(z.private)+")")
		}
	}
	if len(near) == 0 {
		return ""
	}
	return ", which has " + list(near)
}

// pick finds the records that are judged.
func (j *judge) pick() []record {
	types := []string{"A", "CNAME", "AAAA"}
	if j.config.Type != "" {
		types = []string{j.config.Type}
	}
	for _, kind := range types {
		if found := j.records.of(j.host, kind); found != nil {
			j.kind = kind
			return found
		}
	}
	return nil
}

// findTwin finds the other type of address: a client that has both uses either.
func (j *judge) findTwin() *judge {
	kind := map[string]string{"A": "AAAA", "AAAA": "A"}[j.kind]
	found := j.records.of(j.host, kind)
	if len(found) == 0 {
		return nil
	}
	twin := &judge{config: j.config, service: j.service, host: j.host, seen: j.seen, now: j.now, kind: kind}
	twin.config.Setup = ""
	twin.settle(found)
	return twin
}

// settle answers for what is there.
func (j *judge) settle(found []record) {
	away, servers := j.delegated()
	switch {
	case away != "":
		j.cannot(probes.Failing(CheckRecord, fmt.Sprintf("%s is delegated to %s: nobody is asked what zone %s says of %s", away, list(servers), text(j.zone.name), j.host),
			"name the zone that is asked in zone, or delete the NS record"), "nobody asks for the record")
	case found == nil:
		j.missing(cmp.Or(j.config.Type, "A, CNAME or AAAA"))
	case found[0].policy == simple:
		j.findSimple(found[0])
	case found[0].policy == failover:
		j.findPair(found)
	default:
		j.cannot(probes.Unknown(CheckRecord, fmt.Sprintf("%s %s has %d %s records: not judged, only failover and simple records are", j.kind, j.host, len(found), found[0].policy),
			"see for yourself what moves it, or make it a failover pair"), string(found[0].policy)+" records are not")
	}
}

func (j *judge) cannot(c readiness.Check, because string) {
	j.record, j.because, j.first = c, because, CheckRecord
}

func (j *judge) missing(kind string) {
	says, hint := fmt.Sprintf("zone %s (%s) has no record %s of type %s", text(j.zone.name), j.zone.id, j.host, kind), ""
	for _, other := range j.records[j.host] {
		hint = ", only of type " + other.kind
	}
	j.cannot(probes.Failing(CheckRecord, says+hint, "create it, correct name or type in the file, or see in CloudTrail who deleted it"), "there is no record")
}

func (j *judge) findSimple(r record) {
	j.single = &r
	says := fmt.Sprintf("%s %s is a simple record that leads to %s", j.kind, j.host, list(j.ends(r)))
	if j.config.Setup == Failover {
		j.cannot(probes.Failing(CheckRecord, says+": nothing moves it", "make it a failover pair, PRIMARY and SECONDARY, with a health check on the primary; or write setup: simple"), "it is a simple record")
		return
	}
	j.record = probes.Passing(CheckRecord, says)
}

func (j *judge) findPair(found []record) {
	for _, r := range found {
		switch r.role {
		case primaryRole:
			j.primary = &r
		case secondaryRole:
			j.secondary = &r
		}
	}
	says := fmt.Sprintf("%s %s is a failover record", j.kind, j.host)
	if j.config.Setup == Simple {
		j.cannot(probes.Failing(CheckRecord, says+", and the file says that it is a simple one", "correct setup in the file"), "it is a failover record")
		return
	}
	switch t := j.twin; {
	case t != nil && t.primary == nil && t.secondary == nil:
		j.record = probes.Failing(CheckRecord, says+"; "+t.kind+" of the same name is not, and stays where it is: so do the clients that use it",
			"make it a failover pair too, and watch it as a service of its own with type: "+t.kind)
	case j.hinted():
		j.record = probes.Warning(CheckRecord, says+"; HTTPS of the same name is not, and has addresses or a name of its own, which browsers go by", "take them out of it, or make it a failover pair too")
	default:
		j.record = probes.Passing(CheckRecord, says)
	}
}

// hinted reports whether a record of type HTTPS that does not move leads clients past
// the addresses (RFC 9460).
func (j *judge) hinted() bool {
	return slices.ContainsFunc(j.records.of(j.host, "HTTPS"), func(r record) bool {
		leads := func(value string) bool {
			fields := strings.Fields(value)
			return len(fields) > 1 && fields[1] != "." || strings.Contains(value, "hint=")
		}
		return r.policy != failover && (r.alias != nil || slices.ContainsFunc(r.values, leads))
	})
}

// delegated is the name, or one between it and the zone, that other name servers
// answer for, and which.
func (j *judge) delegated() (string, []string) {
	for _, name := range upTo(j.host, j.zone.name) {
		if ns := j.records.of(name, "NS"); len(ns) > 0 {
			return name, ns[0].values
		}
	}
	return "", nil
}

// ends are where a record leads in the end.
func (j *judge) ends(r record) []string {
	var all []string
	for _, c := range j.records.leads(r, j.zone.id) {
		if end := balancer(canonical(c.end())); !slices.Contains(all, end) {
			all = append(all, end)
		}
	}
	slices.Sort(all)
	return all
}

func (j *judge) checkPair() readiness.Check {
	switch {
	case j.primary == nil:
		return probes.Failing(CheckPair, fmt.Sprintf("there is no PRIMARY of %s, only a SECONDARY", j.host), "create the PRIMARY, with a health check")
	case j.secondary == nil:
		return probes.Failing(CheckPair, fmt.Sprintf("there is no SECONDARY of %s: Route 53 answers with the PRIMARY, healthy or not", j.host), "create the SECONDARY, which leads to the standby")
	}
	first, second := j.ends(*j.primary), j.ends(*j.secondary)
	says := fmt.Sprintf("PRIMARY leads to %s, SECONDARY to %s", list(first), list(second))
	primary, standby := side(j.service.Primary), side(j.service.Standby)
	switch {
	case slices.Equal(first, second):
		return probes.Failing(CheckPair, "PRIMARY and SECONDARY both lead to "+list(first), "let the SECONDARY lead to the standby")
	case slices.ContainsFunc(first, standby.names) && slices.ContainsFunc(second, primary.names):
		return probes.Failing(CheckPair, says+": they are swapped", "swap them, or primary and standby in the file")
	}
	return probes.Passing(CheckPair, says)
}

// checkTarget holds where a record leads against what the file says.
func (j *judge) checkTarget(name string, r *record, role string, want, other side, otherSide string) readiness.Check {
	if r == nil {
		return unjudged(name, "there is no "+role, CheckPair)
	}
	chains := j.records.leads(*r, j.zone.id)
	var wrong, stray []string
	for _, c := range chains {
		switch {
		case c.broken:
			return probes.Failing(name, fmt.Sprintf("%s leads to %s, which is no record of zone %s", role, text(c.end()), text(j.zone.name)), "create that record, or lead "+role+" to "+list(want))
		case c.leadsTo(want, other):
		case c.leadsTo(other, want):
			wrong = append(wrong, c.end())
		default:
			stray = append(stray, c.end())
		}
	}
	should := list(want)
	switch {
	case len(chains) == 0:
		return probes.Failing(name, role+" leads nowhere", "lead it to "+should)
	case wrong != nil:
		return probes.Failing(name, fmt.Sprintf("%s leads to %s, which is the %s", role, list(wrong), otherSide), "lead it to "+should)
	case stray != nil:
		return probes.Failing(name, fmt.Sprintf("%s leads to %s, and the file says %s", role, list(stray), should), "lead it there, or correct primary and standby in the file")
	}
	return probes.Passing(name, fmt.Sprintf("%s leads to %s", role, list(j.ends(*r))))
}

// lifetime is for how long resolvers keep an answer; not known where nobody tells.
type lifetime struct {
	ttl   time.Duration
	of    string // whose it is, where that is not the record's own
	known bool
}

// ttlOf is for how long resolvers keep an answer with the record. An alias takes the
// TTL of its target.
func (j *judge) ttlOf(r record) lifetime { return j.ttlOnce(r, make(map[string]*lifetime)) }

func (j *judge) ttlOnce(r record, seen map[string]*lifetime) lifetime {
	return visit(seen, r.key(), lifetime{}, func() lifetime {
		switch {
		case r.alias == nil:
			return lifetime{ttl: r.ttl, known: true}
		case r.alias.zone != j.zone.id && isBalancer(r.alias.name):
			return lifetime{balancerTTL, " (of a load balancer)", true}
		case r.alias.zone != j.zone.id:
			return lifetime{}
		}
		targets := j.records.of(r.alias.name, r.kind)
		longest := lifetime{of: " (of " + text(r.alias.name) + ")", known: len(targets) > 0}
		for _, target := range targets {
			one := j.ttlOnce(target, seen)
			longest.ttl, longest.known = max(longest.ttl, one.ttl), longest.known && one.known
		}
		return longest
	})
}

// balancerTTL is the TTL that an alias takes from a load balancer.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html (TTL)
const balancerTTL = time.Minute

func (j *judge) checkTTL() readiness.Check {
	limit := cmp.Or(j.config.MaxTTL, defaultMaxTTL)
	var says, long []string
	for _, r := range []*record{j.primary, j.secondary, j.single} {
		if r == nil {
			continue
		}
		role := cmp.Or(r.role, "the record")
		l := j.ttlOf(*r)
		switch {
		case !l.known:
			return probes.Unknown(CheckTTL, role+" is an alias of "+text(r.alias.name)+", whose TTL Route 53 does not tell", "look with dig "+j.host+" at an authoritative server; the probe dns does so")
		case l.ttl > limit:
			long = append(long, role)
		}
		says = append(says, fmt.Sprintf("%s: %s%s", role, told(l.ttl), l.of))
	}
	evidence := "resolvers keep the answer for so long: " + strings.Join(says, ", ")
	if long == nil {
		return probes.Passing(CheckTTL, evidence)
	}
	evidence += "; the limit is " + told(limit)
	remedy := "lower the TTL of " + strings.Join(long, " and ") + " to 60 s now: it counts only once the old one has run out"
	if j.config.MaxTTL > 0 {
		return probes.Failing(CheckTTL, evidence, remedy)
	}
	return probes.Warning(CheckTTL, evidence, remedy)
}

// checkControlPlane tells who has to change what for the name to move.
func (j *judge) checkControlPlane() readiness.Check {
	if j.primary == nil {
		return unjudged(CheckControlPlane, "there is no PRIMARY", CheckPair)
	}
	if d := j.detects(*j.primary); d.byHand {
		return probes.Passing(CheckControlPlane, "moved by hand, and not through the control plane of Route 53: "+d.terms)
	}
	return probes.Passing(CheckControlPlane, "the name servers of Route 53 move it by themselves: nothing has to be changed")
}

// answerSimple is one check of a record that somebody has to change.
func (j *judge) answerSimple(name string) readiness.Check {
	switch name {
	case CheckTargetPrimary:
		return j.checkSimpleTarget()
	case CheckTTL:
		return j.checkTTL()
	case CheckFailoverTime:
		return j.checkFailoverTime()
	case CheckControlPlane:
		return j.checkUpsert()
	}
	return probes.Passing(name, "not asked of a simple record: somebody changes it, see the check "+CheckControlPlane)
}

// checkSimpleTarget tells on which side a simple record is.
func (j *judge) checkSimpleTarget() readiness.Check {
	if standby := side(j.service.Standby); len(standby) > 0 {
		moved := true
		for _, c := range j.records.leads(*j.single, j.zone.id) {
			moved = moved && c.leadsTo(standby, j.service.Primary) && !c.broken
		}
		if moved {
			return probes.Warning(CheckTargetPrimary, "the record leads to "+list(j.ends(*j.single))+", which is the standby: it has been moved", "move it back once the primary serves again")
		}
	}
	return j.checkTarget(CheckTargetPrimary, j.single, "the record", j.service.Primary, j.service.Standby, "standby")
}

// checkUpsert tells what a record that somebody changes depends on.
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/appendix-b---edge-network-global-service-guidance.html
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/accelerated-recovery.html
func (j *judge) checkUpsert() readiness.Check {
	says := "somebody has to change the record, and that needs the control plane of Route 53, which is in us-east-1"
	remedy := "make it a failover pair with a health check on the primary: the name servers move that by themselves"
	switch {
	case j.zone.accelerated == "ENABLED":
		return probes.Warning(CheckControlPlane, says+"; accelerated recovery is on, so that it can be had again within about 60 minutes when us-east-1 is impaired", remedy)
	case j.zone.private:
		return probes.Warning(CheckControlPlane, says+"; for private zones there is no accelerated recovery", remedy)
	}
	return probes.Warning(CheckControlPlane, says, remedy+"; until then switch accelerated recovery of the zone on")
}
