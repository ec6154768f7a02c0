package dns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// everybody is all who were asked for the name.
func (s seen) everybody() []told { return slices.Concat(s.resolvers, s.zone.told) }

// measures are the numbers of the look. The shares are left out where an address
// could be of a side that nobody could resolve.
func (s seen) measures() map[readiness.Measure]float64 {
	m := make(map[readiness.Measure]float64)
	if ttl, ok := s.ttl(); ok {
		m[readiness.DNSTTLSeconds] = ttl.Seconds()
	}
	all := s.everybody()
	shares := map[where]float64{}
	for _, t := range all {
		for to, share := range s.sides.of(t) {
			shares[to] += share / float64(len(all))
		}
	}
	if len(all) > 0 && shares[unclear] == 0 {
		m[readiness.DNSServedPrimary], m[readiness.DNSServedStandby] = shares[primary], shares[standby]
		m[readiness.DNSServedOther], m[readiness.DNSServedNothing] = shares[other], shares[nothing]
	}
	return m
}

// checkServed tells where clients are led.
func (s seen) checkServed() readiness.Check {
	all := s.everybody()
	leads := make(map[where][]told)
	for _, t := range all {
		for to := range s.sides.of(t) {
			leads[to] = append(leads[to], t)
		}
	}
	leading := len(all) - len(leads[nothing])
	part := func(to where) string {
		return fmt.Sprintf("%d of %d who were asked %s to %s", len(leads[to]), len(all), verb(len(leads[to]), "leads", "lead"), s.described(to, leads[to]))
	}
	switch {
	case leading == 0:
		return probes.Failing(CheckServed, fmt.Sprintf("none of the %d who were asked leads anywhere", len(all)),
			"see the checks resolvers and authoritative: whoever wants to reach "+shown(s.name)+" now cannot")
	case len(leads[other]) > 0:
		return probes.Failing(CheckServed, part(other)+s.rest(leads, other),
			"find out who changed the record, or who lies (see agreement); if these addresses are right, add them to primary or standby in the file")
	case len(leads[unclear]) > 0:
		return probes.Unknown(CheckServed, part(unclear)+": "+s.whyUnclear(),
			"see the check sides: the names of both must resolve, so that it can be told which this is")
	case len(leads[primary]) == leading && len(leads[standby]) == 0:
		return probes.Passing(CheckServed, part(primary)+s.rest(leads, primary))
	case len(leads[primary]) == 0:
		return probes.Warning(CheckServed, "clients are at the standby: "+part(standby)+s.rest(leads, standby),
			"if nobody has failed over on purpose, see what the health check of the primary says; to go back, follow the failback runbook")
	}
	return probes.Warning(CheckServed, "clients are on both sides: "+part(standby)+s.rest(leads, standby),
		"if a failover is under way, wait for the TTL; otherwise see agreement: somebody leads to where the others do not")
}

// rest tells in short of where else the answers lead.
func (s seen) rest(leads map[where][]told, without where) string {
	var b strings.Builder
	for _, to := range []where{primary, standby, other, unclear, nothing} {
		if to != without && len(leads[to]) > 0 {
			fmt.Fprintf(&b, ", %d to %s", len(leads[to]), s.described(to, leads[to]))
		}
	}
	return b.String()
}

// described is where answers lead, in words and with addresses.
func (s seen) described(to where, answers []told) string {
	var addresses []string
	for _, t := range answers {
		whole := s.sides.of(t)[to] == 1
		for _, a := range t.addresses {
			if whole || s.sides.ofAddress(a) == to {
				addresses = append(addresses, a.String())
			}
		}
	}
	slices.Sort(addresses)
	list := enumerated(slices.Compact(addresses))
	switch {
	case to == nothing:
		return "nothing"
	case to == other:
		return list + ", which is neither side"
	case to == unclear:
		return cmp.Or(list, "what cannot be told")
	case list == "":
		return "the " + string(to)
	}
	return fmt.Sprintf("the %s (%s)", to, list)
}

// whyUnclear is why it cannot be told of an address whose it is.
func (s seen) whyUnclear() string {
	for _, t := range s.zone.told {
		if t.lost == unfollowed {
			return "no resolver tells what " + shown(t.end()) + " leads to"
		}
	}
	if len(s.sides.unknown) == 0 {
		return "the file does not say what primary and standby are"
	}
	return "nobody could resolve " + enumerated(shownAll(slices.Sorted(maps.Keys(s.sides.unknown))))
}

// checkSides tells whether both sides can be told apart, and are there.
func (s seen) checkSides() readiness.Check {
	dead := func(side where) (names []string) {
		for _, name := range slices.Sorted(maps.Keys(s.sides.dead)) {
			if s.sides.dead[name] == side {
				names = append(names, shown(name))
			}
		}
		return names
	}
	asked := dns.TypeToString[s.typ]
	switch both := s.leadToBoth(); {
	case len(s.sides.names)+len(s.sides.prefixes) == 0:
		return probes.Unknown(CheckSides, "the file names neither side", "say in primary and standby of the service where its name leads")
	case len(dead(standby)) > 0:
		return probes.Failing(CheckSides, fmt.Sprintf("the standby %s has no %s record that a resolver finds", enumerated(dead(standby)), asked),
			"see whether the load balancer of the standby is there, and whether its name in the file is right: clients would be led to nothing")
	case len(both) > 0:
		return probes.Failing(CheckSides, "primary and standby both lead to "+enumerated(both),
			"correct the records or the names in the file: two sides that are one are no failover")
	case s.ofSide(primary) == "" || s.ofSide(standby) == "":
		return probes.Unknown(CheckSides, fmt.Sprintf("the file does not name the %s", map[bool]where{true: primary, false: standby}[s.ofSide(primary) == ""]), "say in primary and standby of the service where its name leads")
	case len(s.sides.unknown) > 0:
		return probes.Unknown(CheckSides, s.whyUnclear()+": "+s.whyUnknown(), "see the check resolvers")
	case len(dead(primary)) > 0:
		return probes.Warning(CheckSides, fmt.Sprintf("the primary %s has no %s record that a resolver finds", enumerated(dead(primary)), asked),
			"see whether its load balancer is there, and whether its name in the file is right")
	}
	return probes.Passing(CheckSides, fmt.Sprintf("the primary is %s; the standby is %s", s.ofSide(primary), s.ofSide(standby)))
}

// leadToBoth are the names and addresses of which most resolvers say that they belong
// to both sides. That of one among several says more about the resolver.
func (s seen) leadToBoth() (all []string) {
	answering := 0
	for _, t := range s.resolvers {
		if t.answered() {
			answering++
		}
	}
	for _, token := range slices.Sorted(maps.Keys(s.sides.both)) {
		if s.sides.both[token]*2 > answering {
			all = append(all, shown(token))
		}
	}
	return all
}

// whyUnknown is what the resolvers say to a name of a side.
func (s seen) whyUnknown() string {
	name := slices.Sorted(maps.Keys(s.sides.unknown))[0]
	return complaints(s.ends[name])
}

// ofSide is a side as the file names it; empty where it does not.
func (s seen) ofSide(side where) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.sides.names)) {
		if s.sides.names[name] == side {
			all = append(all, shown(name))
		}
	}
	for prefix, of := range s.sides.prefixes {
		if of == side && prefix.IsSingleIP() {
			all = append(all, prefix.Addr().String())
		} else if of == side {
			all = append(all, prefix.String())
		}
	}
	slices.Sort(all)
	return enumerated(all)
}

// checkResolvers tells which resolvers do not lead anywhere.
func (s seen) checkResolvers() readiness.Check {
	var bad []told
	missing := 0
	for _, t := range s.resolvers {
		if !t.leads() {
			bad = append(bad, t)
		}
		if t.absent() {
			missing++
		}
	}
	n := len(s.resolvers)
	switch {
	case len(bad) == 0:
		return probes.Passing(CheckResolvers, enumerated(names(s.resolvers))+" "+verb(n, "answers", "answer"))
	case missing == n:
		return probes.Failing(CheckResolvers, fmt.Sprintf("%s %s %s for %s", enumerated(names(s.resolvers)), verb(n, "says", "say"), bad[0].ails(), question{s.name, s.typ}),
			"create the record, or correct the name in the file: no client reaches the service under this name")
	case len(bad)*2 > n:
		return probes.Failing(CheckResolvers, fmt.Sprintf("%d of %d do not lead anywhere: %s", len(bad), n, complaints(bad)), remedyFor(bad))
	}
	return probes.Warning(CheckResolvers, fmt.Sprintf("%d of %d %s not lead anywhere: %s", len(bad), n, verb(len(bad), "does", "do"), complaints(bad)), remedyFor(bad))
}

// remedyFor says what to do about resolvers that do not answer well.
func remedyFor(bad []told) string {
	switch t := bad[0]; {
	case t.failure != nil && t.failure.Class == readiness.Denied, t.failure == nil && t.rcode == dns.RcodeRefused:
		return "let it answer this machine (access-control, allow-recursion), or name another resolver"
	case t.failure != nil:
		return "see whether the resolver is up, and the route to it (UDP and TCP 53): clients that ask it alone reach nothing"
	case t.rcode == dns.RcodeServerFailure:
		return "see the check authoritative; if the name servers are well, see the log of the resolver, and DNSSEC (dig +cd answers where a signature is bad)"
	case t.absent():
		return "if the record is new, wait until it has forgotten that there was none (the negative TTL of the zone); otherwise see what zone or filter of its own it has"
	}
	return "see the checks chain and authoritative, and the log of the resolver"
}

// checkAuthoritative tells which name servers do not answer for the zone.
func (s seen) checkAuthoritative() readiness.Check {
	var bad []told
	missing := 0
	for _, t := range s.zone.told {
		if !t.serves() {
			bad = append(bad, t)
		} else if t.absent() {
			missing++
		}
	}
	n := len(s.zone.told)
	switch {
	case n == 0 && s.zone.unknown != nil:
		return probes.Unknown(CheckAuthoritative, probes.Presentable(s.zone.unknown.Error(), longestTold), "see the check resolvers, or name the name servers in name_servers")
	case n == 0:
		return probes.Failing(CheckAuthoritative, "no name server of "+shown(s.zone.authority.zone)+" has an address", "see the check delegation")
	case len(bad) == n:
		return probes.Failing(CheckAuthoritative, fmt.Sprintf("none of %d answers for the zone: %s", n, complaints(bad)), s.remedyForAll(bad))
	case missing+len(bad) == n:
		return probes.Failing(CheckAuthoritative, fmt.Sprintf("the zone has no %s: %s", question{s.name, s.typ}, complaints(s.zone.told)), "create the record, or correct the name in the file")
	case len(bad) > 0:
		return probes.Warning(CheckAuthoritative, fmt.Sprintf("%d of %d %s not answer for the zone: %s", len(bad), n, verb(len(bad), "does", "do"), complaints(bad)),
			"mend it, or take it out of the NS records of the zone and of its parent: resolvers that try it first are slow, and with each further one that dies more clients reach nothing")
	}
	return probes.Passing(CheckAuthoritative, fmt.Sprintf("%s %s", enumerated(names(s.zone.told)), verb(n, "answers for the zone", "answer for the zone")))
}

func (s seen) remedyForAll(bad []told) string {
	if bad[0].failure != nil {
		if slices.ContainsFunc(s.resolvers, func(t told) bool { return t.leads() }) {
			return "see whether this machine may ask them (UDP and TCP 53 outwards): resolvers still answer, which may be out of what they keep"
		}
		return "bring the name servers back: when resolvers have forgotten what they keep, nobody reaches the service"
	}
	return "see whether the zone is still there and the servers are those that it has now (NS records at the registrar and in the parent)"
}

// checkDelegation holds what the parent says of the name servers against what they
// say themselves.
func (s seen) checkDelegation() readiness.Check {
	d := s.zone.delegation
	zone, parent := shown(d.zone), cmp.Or(shown(d.parent), "the zone above")
	if s.zone.unknown != nil || d.zone == "" {
		whyUnknown := "the zone is not known"
		if s.zone.unknown != nil {
			whyUnknown = probes.Presentable(s.zone.unknown.Error(), longestTold)
		}
		return probes.Unknown(CheckDelegation, whyUnknown, "see the check resolvers, or name the zone in zone")
	}
	switch {
	case d.failed != "":
		return probes.Unknown(CheckDelegation, probes.Presentable(fmt.Sprintf("%s does not tell the name servers of %s: %s", parent, zone, d.failed), longestTold),
			"see whether this machine may ask the name servers of "+parent+" (UDP and TCP 53 outwards)")
	case d.absent:
		return probes.Failing(CheckDelegation, fmt.Sprintf("%s has no NS records for %s, says %s", parent, zone, d.by), "set the name servers of the zone at the registrar or in the parent zone: resolvers that forget the old ones find nothing")
	case len(d.own) == 0:
		return probes.Unknown(CheckDelegation, fmt.Sprintf("the parent zone, %s, leads to %s, and none of them tells its own NS records", parent, enumerated(shownAll(d.told.names))), "see the check authoritative")
	}
	if check, found := s.checkNames(); found {
		return check
	}
	return probes.Passing(CheckDelegation, fmt.Sprintf("%s and the zone both name %s", parent, enumerated(shownAll(d.told.names))))
}

// checkNames compares the NS records, and looks whether they can be reached.
func (s seen) checkNames() (readiness.Check, bool) {
	d := s.zone.delegation
	for _, own := range d.own {
		if slices.Equal(own.names, d.told.names) {
			continue
		}
		evidence := fmt.Sprintf("%s leads to %s; %s names %s", shown(d.parent), enumerated(shownAll(d.told.names)), own.by, enumerated(shownAll(own.names)))
		remedy := "let the NS records of the zone, on all its name servers, and those at the registrar or in the parent be the same"
		if s.delegatedBadly() {
			return probes.Failing(CheckDelegation, evidence+": the parent leads to servers that do not answer for the zone", remedy), true
		}
		return probes.Warning(CheckDelegation, evidence, remedy), true
	}
	for _, name := range d.told.names {
		glue, addresses := d.told.glue[name], d.addresses[name]
		for _, address := range glue {
			if len(addresses) > 0 && addresses[0].Is4() == address.Is4() && !slices.Contains(addresses, address) {
				return probes.Failing(CheckDelegation, fmt.Sprintf("%s says that %s is at %s, and it is at %s", shown(d.parent), shown(name), address, addresses[0]),
					"correct the glue (the addresses of name servers) at the registrar or in the parent zone"), true
			}
		}
	}
	var lost []string
	for _, name := range d.told.names {
		if len(d.addresses[name]) == 0 {
			lost = append(lost, fmt.Sprintf("%s: %s", shown(name), probes.Presentable(d.why[name], longestTold)))
		}
	}
	remedy := "give the name server its address records, or take it out of the NS records"
	switch {
	case len(lost) == 0:
		return readiness.Check{}, false
	case len(lost) == len(d.told.names):
		return probes.Failing(CheckDelegation, "no name server resolves: "+enumerated(lost), remedy), true
	}
	return probes.Warning(CheckDelegation, "not every name server resolves: "+enumerated(lost), remedy), true
}

// delegatedBadly reports whether the parent names a server that does not answer for
// the zone. Where the file names the servers, nobody asked those that the parent names.
func (s seen) delegatedBadly() bool {
	if !slices.ContainsFunc(s.zone.told, func(t told) bool { return t.by.name != "" }) {
		return false
	}
	for _, name := range s.zone.delegation.told.names {
		if !slices.ContainsFunc(s.zone.told, func(t told) bool { return t.by.name == name && t.serves() }) {
			return true
		}
	}
	return false
}

// longestChain is how many aliases one after the other are still fine. Unbound gave
// up after 8 (https://github.com/NLnetLabs/unbound/issues/438), others do a little later.
const longestChain = 8

// checkChain tells whether the aliases lead anywhere.
func (s seen) checkChain() readiness.Check {
	var longest, lost *told
	all := slices.Concat(s.zone.told, s.resolvers)
	for i := range all {
		t := &all[i]
		if !t.answered() {
			continue
		}
		switch links := len(t.names) - 1; {
		case t.round != "":
			return probes.Failing(CheckChain, fmt.Sprintf("the aliases go round: %s, says %s", t.path(), t.by), "break the circle: no client gets an address")
		case t.lost == unfollowed:
			lost = t
		case links > 0 && len(t.addresses) == 0:
			return probes.Failing(CheckChain, fmt.Sprintf("%s, and that %s, by the words of %s", t.path(), t.whyOpen(), t.by),
				"create what the alias leads to, or let it lead elsewhere; whoever comes to own that name would be reached by the clients")
		case longest == nil || links > len(longest.names)-1:
			longest = t
		}
	}
	switch {
	case longest == nil && lost != nil:
		return probes.Unknown(CheckChain, lost.path()+", and "+unfollowed, "see the check resolvers")
	case longest == nil:
		return probes.Unknown(CheckChain, "nobody tells what the name leads to", "see the checks resolvers and authoritative")
	case len(longest.names)-1 > longestChain:
		return probes.Warning(CheckChain, fmt.Sprintf("%d aliases one after the other: %s", len(longest.names)-1, longest.path()),
			"shorten it: some resolvers give up after 8, and each has a TTL of its own")
	case len(longest.names) > 1:
		return probes.Passing(CheckChain, longest.path())
	}
	return probes.Passing(CheckChain, shown(s.name)+" is no alias")
}

// path is the chain for people.
func (t *told) path() string {
	names := shownAll(t.names)
	if t.round != "" {
		names = append(names, shown(t.round))
	}
	if len(names) > 5 {
		names = slices.Concat(names[:3], []string{"..."}, names[len(names)-1:])
	}
	return strings.Join(names, " -> ")
}

func (t *told) whyOpen() string {
	switch {
	case t.lost != "":
		return t.lost
	case t.rcode == dns.RcodeNameError:
		return "does not exist"
	default:
		return "has no address"
	}
}

// ttl is how long resolvers may keep the answer, by the words of the name servers.
func (s seen) ttl() (longest time.Duration, known bool) {
	for _, t := range s.zone.told {
		if t.serves() && !t.absent() {
			longest, known = max(longest, t.longest), true
		}
	}
	return longest, known
}

// checkTTL tells for how long clients stay where they were.
func (s seen) checkTTL(most, rto time.Duration) readiness.Check {
	longest, known := s.ttl()
	var kept time.Duration // by resolvers; what they tell is what is left of it
	var raising []told
	for _, t := range s.resolvers {
		kept = max(kept, t.longest)
		if known && t.leads() && t.ttl > s.ttlOfName() {
			raising = append(raising, t)
		}
	}
	lower := "lower the TTL of the record now, well before it is needed: what is kept already stays for the old one"
	switch {
	case known && rto > 0 && longest > rto:
		return probes.Failing(CheckTTL, fmt.Sprintf("resolvers may keep the answer for %s, and the service has to be back within %s", spell(longest), spell(rto)), lower)
	case known && rto > 0 && len(raising) > 0 && longestOf(raising) > rto:
		return probes.Failing(CheckTTL, fmt.Sprintf("the zone says %s; %s keeps the answer for another %s, and the service has to be back within %s",
			spell(s.ttlOfName()), enumerated(names(raising)), spell(longestOf(raising)), spell(rto)), "flush it, or wait until it has run out; see its cache-min-ttl: its clients move late")
	case known && longest > most:
		return probes.Warning(CheckTTL, fmt.Sprintf("resolvers may keep the answer for %s, at most %s are wanted", spell(longest), spell(most)), lower)
	case len(raising) > 0:
		return probes.Warning(CheckTTL, fmt.Sprintf("the zone says %s; %s says %s: it keeps answers for longer than it may, or still has one of a longer TTL",
			spell(s.ttlOfName()), raising[0].by, spell(raising[0].ttl)), "see its cache-min-ttl, or wait if the TTL was lowered of late: its clients move late")
	case known:
		return probes.Passing(CheckTTL, fmt.Sprintf("resolvers may keep the answer for %s", spell(longest)))
	case kept > most:
		return probes.Warning(CheckTTL, fmt.Sprintf("a resolver keeps the answer for another %s, at most %s are wanted", spell(kept), spell(most)), lower)
	}
	return probes.Unknown(CheckTTL, "only the name servers of the zone tell it, and none does", "see the check authoritative")
}

func longestOf(answers []told) (longest time.Duration) {
	for _, t := range answers {
		longest = max(longest, t.ttl)
	}
	return longest
}

// ttlOfName is the TTL of the record of the name itself.
func (s seen) ttlOfName() (longest time.Duration) {
	for _, t := range s.zone.told {
		if t.serves() {
			longest = max(longest, t.ttl)
		}
	}
	return longest
}
