package dns

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/readiness"
)

// where is where an answer leads: to a side, or to one of these.
type where = readiness.Side

const (
	primary where = readiness.PrimarySide
	standby where = readiness.StandbySide
	other   where = "other"   // to what is neither
	nothing where = "nothing" // nowhere
	unclear where = "unclear" // to an address that could be of a side that could not be resolved
)

// ends are the two sides as the file has them.
type ends struct {
	names    map[string]where // canonical
	prefixes map[netip.Prefix]where
}

// readEnds reads names, addresses and prefixes.
func readEnds(primaries, standbys []string) ends {
	e := ends{names: make(map[string]where), prefixes: make(map[netip.Prefix]where)}
	for side, all := range map[where][]string{primary: primaries, standby: standbys} {
		for _, text := range all {
			if prefix, err := netip.ParsePrefix(text); err == nil {
				e.prefixes[prefix.Masked()] = side
			} else if address, err := netip.ParseAddr(text); err == nil {
				e.prefixes[netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen())] = side
			} else {
				e.names[plain(text)] = side
			}
		}
	}
	return e
}

// plain is a name as it is compared. Route 53 gives a load balancer under a name
// before which "dualstack." is written, which has the same addresses:
// https://docs.aws.amazon.com/cdk/api/latest/python/aws_cdk.aws_route53_targets/README.html
func plain(name string) string {
	return strings.TrimPrefix(dns.CanonicalName(name), "dualstack.")
}

// sides tell which name and which address belongs to which side.
type sides struct {
	ends
	// resolved are the names and addresses that the names of a side were just seen
	// to lead to, kept the same of the last minutes.
	resolved, kept map[string]where
	// both are those that either side leads to, with how many resolvers say so.
	both map[string]int
	// unknown are the names of a side that nobody could resolve, and dead those that
	// lead nowhere.
	unknown, dead map[string]where
}

// resolve learns from what the resolvers told of the names of the sides.
//
// Each resolver has a voice on each name and address that it was led to, and those
// decide that say the same more often. So one that answers every name with the same
// address says that it belongs to both, which decides nothing.
func (e ends) resolve(answers map[string][]told, kept map[string]where) sides {
	s := sides{ends: e, kept: kept, resolved: make(map[string]where), both: make(map[string]int), unknown: make(map[string]where), dead: make(map[string]where)}
	voices := make(map[string]map[where]int)
	for name, all := range answers {
		side := e.names[plain(name)]
		silent, leading := 0, 0
		for _, t := range all {
			seen := tokens(t)
			for _, token := range seen {
				if voices[token] == nil {
					voices[token] = make(map[where]int)
				}
				voices[token][side]++
			}
			if !t.answered() {
				silent++
			} else if t.leads() {
				leading++
			}
		}
		if silent == len(all) {
			s.unknown[name] = side
		} else if leading == 0 {
			s.dead[name] = side
		}
	}
	for token, count := range voices {
		switch {
		case count[primary] > count[standby]:
			s.resolved[token] = primary
		case count[standby] > count[primary]:
			s.resolved[token] = standby
		default:
			s.both[token] = count[primary]
		}
		if side, ok := s.resolved[token]; ok && e.contradicts(token, side) {
			delete(s.resolved, token)
			s.both[token] = count[side]
		}
	}
	return s
}

// contradicts reports whether the file has an address, that a name of one side leads to,
// on the other side.
func (e ends) contradicts(token string, side where) bool {
	address, err := netip.ParseAddr(token)
	if err != nil {
		return false
	}
	of, ok := e.ofPrefix(address)
	return ok && of != side
}

// ofPrefix is the side of the narrowest prefix of the file that an address is in.
func (e ends) ofPrefix(address netip.Addr) (side where, found bool) {
	longest := -1
	for prefix, of := range e.prefixes {
		if prefix.Contains(address) && prefix.Bits() > longest {
			longest, side, found = prefix.Bits(), of, true
		}
	}
	return side, found
}

// tokens are what a name was seen to lead to: further names, and addresses.
func tokens(t told) (all []string) {
	if !t.leads() {
		return nil
	}
	for _, name := range t.names[1:] {
		all = append(all, plain(name))
	}
	for _, address := range t.addresses {
		all = append(all, address.String())
	}
	return all
}

// of tells where an answer leads, in shares that are 1 together. An alias of a name
// of a side leads there, also where the addresses of that have changed meanwhile.
func (s sides) of(t told) map[where]float64 {
	if t.failure != nil || t.round != "" || t.rcode != dns.RcodeSuccess {
		return map[where]float64{nothing: 1}
	}
	for _, name := range slices.Backward(t.names[1:]) {
		if side, ok := s.ofName(name); ok {
			return map[where]float64{side: 1}
		}
	}
	switch {
	case len(t.addresses) == 0 && t.lost == unfollowed:
		return map[where]float64{unclear: 1}
	case len(t.addresses) == 0:
		return map[where]float64{nothing: 1}
	}
	shares := make(map[where]float64)
	for _, address := range t.addresses {
		shares[s.ofAddress(address)]++
	}
	for side := range shares {
		shares[side] /= float64(len(t.addresses))
	}
	return shares
}

func (s sides) ofName(name string) (where, bool) {
	if side, ok := s.names[plain(name)]; ok {
		return side, true
	}
	return s.seen(plain(name))
}

// ofAddress goes by what the file says of addresses, then by what was seen.
func (s sides) ofAddress(address netip.Addr) where {
	if side, ok := s.ofPrefix(address); ok {
		return side
	}
	if side, ok := s.seen(address.String()); ok {
		return side
	}
	if len(s.unknown) > 0 || len(s.names)+len(s.prefixes) == 0 {
		return unclear
	}
	return other
}

func (s sides) seen(token string) (where, bool) {
	if side, ok := s.resolved[token]; ok {
		return side, true
	}
	if s.both[token] > 0 {
		return "", false
	}
	side, ok := s.kept[token]
	return side, ok
}

// sighting is when something was last seen to belong to a side.
type sighting struct {
	side where
	at   time.Time
}

// sightings are what belonged to the sides in the last minutes: a load balancer
// with many addresses tells a few of them at a time, and resolvers give them for as
// long as their TTL says.
type sightings map[string]sighting

const (
	// remembered is how long a sighting counts.
	remembered = 10 * time.Minute
	// mostSightings bounds what is remembered.
	mostSightings = 4096
)

func (all sightings) add(resolved map[string]where, now time.Time) {
	maps.DeleteFunc(all, func(_ string, s sighting) bool { return now.Sub(s.at) > remembered })
	for token, side := range resolved {
		if _, known := all[token]; known || len(all) < mostSightings {
			all[token] = sighting{side, now}
		}
	}
}

func (all sightings) recent(now time.Time) map[string]where {
	found := make(map[string]where, len(all))
	for token, s := range all {
		if now.Sub(s.at) <= remembered {
			found[token] = s.side
		}
	}
	return found
}
