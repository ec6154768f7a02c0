package route53

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// zone is a hosted zone.
type zone struct {
	id, name    string
	private     bool
	accelerated string // the state of accelerated recovery; empty is off
	records     int64  // how many it has
}

// record is a resource record set.
type record struct {
	name, kind string // kind is its type: A, CNAME
	set        string // the identifier that tells those of one name and type apart
	policy     policy
	role       string // PRIMARY or SECONDARY, of a failover record
	ttl        time.Duration
	values     []string
	alias      *alias // in place of values and TTL
	check      string // id of its health check
}

// alias is where an alias record leads.
type alias struct {
	name      string
	zone      string // in which the target is
	evaluates bool   // EvaluateTargetHealth
}

// policy is how Route 53 chooses among the records of one name and type.
type policy string

const (
	simple   policy = "simple"
	failover policy = "failover"
)

const (
	primaryRole   = "PRIMARY"
	secondaryRole = "SECONDARY"
)

// records are those of a zone that matter, by name.
type records map[string][]record

// of gives those of a name and type.
func (r records) of(name, kind string) []record {
	var found []record
	for _, each := range r[name] {
		if each.kind == kind {
			found = append(found, each)
		}
	}
	return found
}

// rounds is how often a listing goes on to what the records found lead to.
const rounds = 8

// chain is where a record leads, hop by hop. The last of them is the end; broken
// says that it is none, since there is no such record in the zone.
type chain struct {
	hops   []string
	broken bool
}

func (c chain) end() string { return c.hops[len(c.hops)-1] }

// visit answers a question about one of many things that lead to each other: each is
// asked once, however many ways lead there, and again is the answer where the way leads
// back to itself.
func visit[T any](seen map[string]*T, key string, again T, ask func() T) T {
	if answer, begun := seen[key]; begun {
		if answer == nil {
			return again
		}
		return *answer
	}
	seen[key] = nil
	answer := ask()
	seen[key] = &answer
	return answer
}

// key tells a record from all others.
func (r record) key() string { return r.name + " " + r.kind + " " + r.set }

// leads follows a record through aliases and CNAMEs of the same zone to its ends: to
// each of them by one way.
func (r records) leads(from record, zone string) []chain {
	return r.follow(from, zone, nil, make(map[string]bool))
}

func (r records) follow(from record, zone string, hops []string, been map[string]bool) []chain {
	targets, inside := from.values, from.kind == "CNAME"
	if from.alias != nil {
		targets, inside = []string{from.alias.name}, from.alias.zone == zone
	}
	var all []chain
	for _, target := range targets {
		path := append(slices.Clone(hops), target)
		next := r.next(target, from)
		switch {
		case slices.Contains(hops, target) && inside:
			all = append(all, chain{path, true})
		case !inside || len(next) == 0:
			all = append(all, chain{path, from.alias != nil && inside})
		}
		for _, each := range next {
			if inside && !been[each.key()] {
				been[each.key()] = true
				all = append(all, r.follow(each, zone, path, been)...)
			}
		}
	}
	return all
}

// next are the records of the zone that one leads to by a name. Resolvers go on from a
// CNAME with the type that they are after.
func (r records) next(target string, from record) []record {
	next := r.of(target, from.kind)
	if from.kind == "CNAME" && from.alias == nil {
		next = append(next, append(r.of(target, "A"), r.of(target, "AAAA")...)...)
	}
	return next
}

// beyond lists the names of the zone that a record leads to.
func (r record) beyond(z zone) []string {
	var names []string
	if r.alias != nil {
		if r.alias.zone == z.id {
			names = append(names, r.alias.name)
		}
		return names
	}
	if r.kind == "CNAME" {
		for _, value := range r.values {
			if within(value, z.name) {
				names = append(names, value)
			}
		}
	}
	return names
}

// upTo lists a name and those above it, as far as they are below the zone.
func upTo(name, zone string) (all []string) {
	for name != zone && within(name, zone) {
		all = append(all, name)
		_, name, _ = strings.Cut(name, ".")
	}
	return all
}

func within(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }

// canonical is a name as it is compared: without escapes, in lower case, without the
// dot at its end.
func canonical(name string) string {
	return strings.TrimSuffix(strings.ToLower(unescaped(name)), ".")
}

// unescaped puts characters in place of their codes, as in \052 for *.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
func unescaped(name string) string {
	if !strings.Contains(name, `\`) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if code, ok := octal(name[i:]); ok {
			b.WriteByte(code)
			i += 3
			continue
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// octal reads a code such as \052.
func octal(text string) (byte, bool) {
	if len(text) < 4 || text[0] != '\\' {
		return 0, false
	}
	code := 0
	for _, digit := range []byte(text[1:4]) {
		if digit < '0' || digit > '7' {
			return 0, false
		}
		code = 8*code + int(digit-'0')
	}
	return byte(code), code <= 0xff
}

// place is where a name stands in a listing: by its labels from the last to the
// first, and the dot at the end counts.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html
func place(name string) string {
	labels := strings.Split(name, ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

// plain reports whether there is no doubt about the place of a name.
func plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
	})
}

// side is one end of the failover, as the file tells it.
type side []string

// leadsTo reports whether a chain leads to a side, and not to the other one. The last of
// its hops that either of them names decides, since a name may have been turned round.
func (c chain) leadsTo(this, other side) bool {
	for _, hop := range slices.Backward(c.hops) {
		if ours, theirs := this.closeness(hop), other.closeness(hop); ours > 0 || theirs > 0 {
			return ours >= theirs
		}
	}
	return false
}

func (s side) names(target string) bool { return s.closeness(target) > 0 }

// closeness is how closely a side names a target: by the narrowest prefix that it is in,
// or most closely as what it is; 0 is not at all.
func (s side) closeness(target string) (closest int) {
	const itself = 1 << 10
	target = balancer(canonical(target))
	address, err := netip.ParseAddr(target)
	for _, given := range s {
		prefix, wrong := netip.ParsePrefix(given)
		single, wrongSingle := netip.ParseAddr(given)
		switch {
		case err != nil && balancer(canonical(given)) == target, err == nil && wrongSingle == nil && single.Unmap() == address.Unmap():
			return itself
		case err == nil && wrong == nil && prefix.Contains(address.Unmap()):
			closest = max(closest, 1+prefix.Bits())
		}
	}
	return closest
}

// balancer takes away what the console of Route 53 puts before the name of a load
// balancer in an alias.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-alias-common.html
func balancer(name string) string { return strings.TrimPrefix(name, "dualstack.") }

// isBalancer reports whether a name is that of a load balancer of AWS.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
func isBalancer(name string) bool {
	name = strings.TrimSuffix(name, ".cn")
	return strings.HasSuffix(name, ".amazonaws.com") && strings.Contains(name, ".elb.")
}

// alwaysThere reports whether EvaluateTargetHealth says nothing of what an alias
// leads to: services that hardly ever fail, whatever becomes of what is behind them.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
func alwaysThere(name string) bool {
	return strings.HasPrefix(name, "s3-website") || strings.Contains(name, ".execute-api.") || strings.Contains(name, ".vpce.") ||
		strings.HasSuffix(name, ".cloudfront.net")
}
