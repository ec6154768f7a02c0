package aws

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// DNSRecord is one record of an answer.
type DNSRecord struct {
	Name, Type string
	TTL        uint32 // seconds
	Value      string
}

// DNSAnswer is what the name servers of a zone say.
type DNSAnswer struct {
	Records []DNSRecord
	// NameError is NXDOMAIN: there is nothing of that name, of whatever type.
	NameError bool
	// Known is false where the zone is not here, or the name not in it.
	Known bool
}

// aliasTTL is that of an alias record which leads to a load balancer, in seconds;
// one that leads to another record has the TTL of that.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
const aliasTTL = 60

// chain is how far CNAMEs and aliases are followed within a zone.
const chain = 8

// Answer is what the name servers of a zone say now to a question, by the records
// that have reached them and the health checks as they are. lookup gives the
// addresses of a load balancer or of anything else that an alias leads to outside
// the zone, by its name without the last dot; it may be nil. Delegations to other
// zones are not followed.
func (r *Route53) Answer(zoneID, name, typ string, lookup func(host string) []string) DNSAnswer {
	name, typ = canonical(name), strings.ToUpper(typ)
	r.mu.Lock()
	z := r.zones[zoneID]
	known := z != nil && within(name, z.Name)
	r.mu.Unlock()
	if !known {
		return DNSAnswer{}
	}
	a := answering{r: r, zone: zoneID, lookup: lookup}
	records, exists := a.resolve(name, typ, chain)
	return DNSAnswer{Records: records, NameError: !exists, Known: true}
}

// answering is one question being answered. It holds no lock while it asks others.
type answering struct {
	r      *Route53
	zone   string
	lookup func(host string) []string
}

// resolve answers with the records of a name, and follows a CNAME as far as the
// zone goes (RFC 1034, 4.3.2). It reports whether there is such a name.
func (a answering) resolve(name, typ string, left int) ([]DNSRecord, bool) {
	sets, exists := a.r.at(a.zone, name)
	if chosen := a.choose(ofType(sets, typ)); len(chosen) > 0 {
		var all []DNSRecord
		for _, s := range chosen {
			all = append(all, a.render(s, name, left)...)
		}
		return all, true
	}
	if chosen := a.choose(ofType(sets, "CNAME")); len(chosen) > 0 {
		all := a.render(chosen[0], name, left)
		if len(all) > 0 && left > 0 {
			target, _ := a.resolve(canonical(all[0].Value), typ, left-1)
			all = append(all, target...)
		}
		return all, true
	}
	return nil, exists
}

// at gives the record sets that the name servers have of a name, or of the
// wildcard that stands for it, and whether there is such a name: one that only has
// names below it is there, too (RFC 4592).
func (r *Route53) at(zoneID, name string) ([]RecordSet, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	z := r.zones[zoneID]
	if z == nil || !within(name, z.Name) {
		return nil, false
	}
	z.settle(r.cloud.options.Now())
	if sets := z.served[name]; sets != nil {
		return sets, true
	}
	if z.served.below(name) {
		return nil, true
	}
	for parent := above(name); within(parent, z.Name); parent = above(parent) {
		if sets := z.served["*."+parent]; sets != nil {
			return sets, true
		}
		if z.served[parent] != nil || z.served.below(parent) {
			break // only the wildcard of the nearest name that exists stands for what is below it
		}
	}
	return nil, false
}

func above(name string) string {
	_, parent, _ := strings.Cut(name, ".")
	return parent
}

func (r records) below(name string) bool {
	for other := range r {
		if other != name && within(other, name) {
			return true
		}
	}
	return false
}

func ofType(sets []RecordSet, typ string) []RecordSet {
	return slices.DeleteFunc(slices.Clone(sets), func(s RecordSet) bool { return s.Type != typ })
}

// render writes out a record set under the name that was asked for.
func (a answering) render(s RecordSet, name string, left int) []DNSRecord {
	var all []DNSRecord
	if s.Alias == nil {
		for _, v := range s.Values {
			all = append(all, DNSRecord{Name: name, Type: s.Type, TTL: uint32(s.TTL), Value: v})
		}
		return all
	}
	if a.inZone(s.Alias) {
		if left == 0 {
			return nil
		}
		all, _ = a.resolve(s.Alias.DNSName, s.Type, left-1)
		for i := range all { // an alias does not show: the answer has the name that was asked for
			all[i].Name = name
		}
		return all
	}
	if a.lookup == nil {
		return nil
	}
	for _, address := range a.lookup(strings.TrimSuffix(s.Alias.DNSName, ".")) {
		ip, err := netip.ParseAddr(address)
		if err == nil && ip.Unmap().Is4() == (s.Type == "A") {
			all = append(all, DNSRecord{Name: name, Type: s.Type, TTL: aliasTTL, Value: address})
		}
	}
	return all
}

// inZone reports whether an alias leads to a record of its own zone.
func (a answering) inZone(alias *AliasTarget) bool { return alias.HostedZoneID == a.zone }

// choose picks, among the record sets of one name and type, those that are
// answered with. None is picked where there is none; one without a health check is
// always healthy; and where none is healthy all are taken to be.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
func (a answering) choose(sets []RecordSet) []RecordSet {
	if len(sets) == 0 || sets[0].policy() == "simple" {
		return sets
	}
	slices.SortFunc(sets, func(x, y RecordSet) int { return cmp.Compare(x.SetIdentifier, y.SetIdentifier) })
	if sets[0].policy() == "failover" {
		return a.failover(sets)
	}
	healthy := slices.DeleteFunc(slices.Clone(sets), func(s RecordSet) bool { return !a.healthy(s, chain) })
	if len(healthy) == 0 {
		healthy = sets
	}
	switch sets[0].policy() {
	case "weighted":
		return a.weighted(healthy)
	case "multivalue": // up to eight of them
		return healthy[:min(8, len(healthy))]
	}
	return healthy[:1] // latency: whoever asks is nearest to the first
}

// failover answers with the primary while it is healthy; else with the secondary
// while that is; and with the primary when neither is.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html (Failover)
func (a answering) failover(sets []RecordSet) []RecordSet {
	find := func(role string) int {
		return slices.IndexFunc(sets, func(s RecordSet) bool { return s.Failover == role })
	}
	primary, secondary := find("PRIMARY"), find("SECONDARY")
	switch {
	case primary < 0:
		return sets[max(0, secondary):][:1]
	case secondary < 0 || a.healthy(sets[primary], chain) || !a.healthy(sets[secondary], chain):
		return sets[primary : primary+1]
	}
	return sets[secondary : secondary+1]
}

// weighted takes them in turn, each as often as its weight says. Those of weight 0
// are used when no other is healthy, or when all have that.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
func (a answering) weighted(healthy []RecordSet) []RecordSet {
	total := int64(0)
	for _, s := range healthy {
		total += *s.Weight
	}
	turn := a.r.nextTurn()
	if total == 0 {
		return healthy[turn%uint64(len(healthy)):][:1]
	}
	place := int64(turn % uint64(total))
	for i, s := range healthy {
		if place < *s.Weight {
			return healthy[i : i+1]
		}
		place -= *s.Weight
	}
	return nil
}

func (r *Route53) nextTurn() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	return r.turn - 1
}

// healthy reports whether a record set counts as healthy: its health check, and,
// where an alias evaluates it, its target have to be.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-complex-configs.html#dns-failover-complex-configs-hc-alias
func (a answering) healthy(s RecordSet, left int) bool {
	if s.HealthCheck != "" && !a.r.Healthy(s.HealthCheck) {
		return false
	}
	return s.Alias == nil || !s.Alias.EvaluateTargetHealth || a.target(s, left)
}

// target is the health of what an alias leads to: a load balancer, or records of
// the zone, one of which has to be healthy. Of anything else nothing is known, and
// it is healthy.
func (a answering) target(s RecordSet, left int) bool {
	if !a.inZone(s.Alias) {
		healthy, known := a.r.cloud.ELB().Healthy(s.Alias.DNSName)
		return healthy || !known
	}
	sets, _ := a.r.at(a.zone, s.Alias.DNSName)
	return left > 0 && slices.ContainsFunc(ofType(sets, s.Type), func(t RecordSet) bool { return a.healthy(t, left-1) })
}
