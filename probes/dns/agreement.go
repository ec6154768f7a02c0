package dns

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// history is since when who disagrees, so that what is moving can be told from what
// does not move.
type history struct {
	// united says that the name servers agreed when they were last asked, and split
	// since when they have not.
	united bool
	split  time.Time
	// behind is since when a resolver, by its address, leads to the other side than
	// the name servers.
	behind map[string]time.Time
}

// spreading is how long a change may take to be at all name servers. At Route 53 it
// is there within a minute as a rule:
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-editing.html
const spreading = time.Minute

// slack is what a resolver may be late beyond the TTL: it counts in whole seconds, and
// a look takes time itself.
const slack = 2 * time.Second

// view is where an answer leads, for comparison: primary, or primary and standby.
func (s sides) view(t told) string {
	var all []string
	for to := range s.of(t) {
		all = append(all, string(to))
	}
	slices.Sort(all)
	return strings.Join(all, " and ")
}

// isSide reports whether a view is one side or the other, and nothing else.
func isSide(view string) bool { return view == string(primary) || view == string(standby) }

// checkAgreement holds what was told against what the name servers say, or against
// each other. What differs as it must while clients move is told as that: a resolver
// may be behind for a TTL, the name servers for as long as a change needs to spread.
func (s seen) checkAgreement(before history) (readiness.Check, history) {
	zone := s.views(s.zone.told, (*told).serves)
	clients := s.views(s.resolvers, (*told).leads)
	after := history{united: before.united, behind: make(map[string]time.Time)}
	switch {
	case len(zone)+len(clients) == 0, len(zone) == 1 && len(zone[0].by) == 1 && len(clients) == 0, len(zone) == 0 && len(clients) == 1 && len(clients[0].by) == 1:
		return probes.Unknown(CheckAgreement, "there are no two answers to compare", "see the checks resolvers and authoritative"), before
	case slices.ContainsFunc(slices.Concat(zone, clients), func(v view) bool { return strings.Contains(v.to, string(unclear)) }):
		return probes.Unknown(CheckAgreement, s.whyUnclear(), "see the check sides: what leads where cannot be told"), before
	case len(zone) > 1:
		return s.checkSplit(zone, before, after)
	case len(zone) == 0 && len(clients) > 1:
		return probes.Failing(CheckAgreement, "the resolvers disagree: "+s.listed(clients), "see the check authoritative: no name server tells which of them is right"), before
	case len(zone) == 0:
		return probes.Passing(CheckAgreement, "the resolvers all lead to "+s.destination(clients[0])), before
	}
	after.united = true
	return s.checkClients(zone[0], clients, before, after)
}

// view is where some lead.
type view struct {
	to string
	by []told
}

// views groups those answers that count by where they lead.
func (s seen) views(answers []told, counts func(*told) bool) (all []view) {
	groups := make(map[string][]told)
	for i := range answers {
		if counts(&answers[i]) {
			to := s.sides.view(answers[i])
			groups[to] = append(groups[to], answers[i])
		}
	}
	for _, to := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, view{to, groups[to]})
	}
	return all
}

func (s seen) destination(v view) string {
	parts := strings.Split(v.to, " and ")
	for i, to := range parts {
		parts[i] = s.described(where(to), v.by)
	}
	return strings.Join(parts, " and ")
}

// listed tells who leads where.
func (s seen) listed(views []view) string {
	all := make([]string, 0, len(views))
	for _, v := range views {
		all = append(all, fmt.Sprintf("%s %s to %s", enumerated(names(v.by)), verb(len(v.by), "leads", "lead"), s.destination(v)))
	}
	return strings.Join(all, "; ")
}

// checkSplit is about name servers that disagree.
func (s seen) checkSplit(zone []view, before, after history) (readiness.Check, history) {
	if after.split = before.split; after.split.IsZero() && before.united {
		after.split = s.at
	}
	after.united, after.behind = false, before.behind
	moving := !after.split.IsZero() && s.at.Sub(after.split) <= spreading && !slices.ContainsFunc(zone, func(v view) bool { return !isSide(v.to) })
	if moving {
		return probes.Warning(CheckAgreement, fmt.Sprintf("moving: %s; they have disagreed for %s", s.listed(zone), spell(s.at.Sub(after.split))),
			"wait a minute until the change is at all name servers"), after
	}
	return probes.Failing(CheckAgreement, "the name servers of the zone disagree: "+s.listed(zone),
		"which is right depends on luck: see whether one still serves an old zone (transfers, SOA serial), or the delegation leads to a zone of the same name elsewhere"), after
}

// checkClients holds the resolvers against name servers that agree.
func (s seen) checkClients(zone view, clients []view, before, after history) (readiness.Check, history) {
	ttl, _ := s.ttl()
	var lying, stuck, moving []view
	for _, v := range clients {
		switch {
		case v.to == zone.to:
			continue
		case !isSide(v.to) || !isSide(zone.to):
			lying = append(lying, v)
			continue
		}
		late, soon := view{to: v.to}, view{to: v.to}
		for _, t := range v.by {
			since, known := before.behind[t.by.address]
			if !known {
				since = s.at
			}
			if after.behind[t.by.address] = since; s.at.Sub(since) > ttl+slack {
				late.by = append(late.by, t)
			} else {
				soon.by = append(soon.by, t)
			}
		}
		if len(late.by) > 0 {
			stuck = append(stuck, late)
		}
		if len(soon.by) > 0 {
			moving = append(moving, soon)
		}
	}
	leads := "the zone leads to " + s.destination(zone)
	switch {
	case len(lying) > 0:
		return probes.Failing(CheckAgreement, leads+"; "+s.listed(lying),
			"see who answers there, and what it filters or redirects; if the record was changed of late, wait for the TTL: clients of this resolver are led elsewhere"), after
	case len(stuck) > 0:
		return probes.Failing(CheckAgreement, fmt.Sprintf("%s; %s, for longer than the TTL of %s", leads, s.listed(stuck), spell(ttl)),
			"flush the cache of the resolver, and see its cache-min-ttl and serve-expired: its clients do not move"), after
	case len(moving) > 0:
		return probes.Warning(CheckAgreement, fmt.Sprintf("moving: %s; %s, which may last for the TTL of %s", leads, s.listed(moving), spell(ttl)),
			"wait for the TTL"), after
	}
	return probes.Passing(CheckAgreement, fmt.Sprintf("all %d who answer lead to %s", len(zone.by)+len(clientsOf(clients)), s.destination(zone))), after
}

func clientsOf(views []view) (all []told) {
	for _, v := range views {
		all = append(all, v.by...)
	}
	return all
}
