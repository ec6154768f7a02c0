package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// authority is who decides what a name leads to: the zone that it is in, with its
// name servers, and the zone above, which leads to them.
type authority struct {
	zone, parent string // canonical; the parent is empty where there is none
	// names and parents are the name servers of either, as resolvers tell them.
	names, parents []string
	// addresses are those of name servers, and why says why some have none.
	addresses map[string][]netip.Addr
	why       map[string]string
	found     time.Time
}

const (
	// foundAnew is after how long the authority is found anew: the TTLs of
	// delegations are days.
	foundAnew = 10 * time.Minute
	// mostParents is how many name servers of the parent are tried.
	mostParents = 3
	// mostLabels is how many names above the name are asked about.
	mostLabels = 12
)

// finder finds the authority for a name by way of resolvers.
type finder struct {
	asker
	resolvers []server
	zone      string // that the file names, canonical; empty for the lowest
	port      int
}

var errNoZone = errors.New("no resolver tells the name servers of a zone above it")

// find asks the resolvers for the name servers of the name and of each name above
// it. The lowest that has some is the zone, the next above is its parent.
func (f finder) find(ctx context.Context, name string) (authority, error) {
	cuts, unsure, err := f.cuts(ctx, cmp.Or(f.zone, name))
	if err != nil {
		return authority{}, fmt.Errorf("find the zone of %s: %w", shown(name), err)
	}
	a := authority{zone: cuts[0].zone, names: cuts[0].names, addresses: make(map[string][]netip.Addr), why: make(map[string]string)}
	above := cuts[1:]
	if f.zone != "" && a.zone != f.zone { // nobody leads to the zone that the file names
		a.zone, a.names, above = f.zone, nil, cuts
	}
	if len(above) > 0 {
		a.parent, a.parents = above[0].zone, few(above[0].names)
	}
	err = f.lookUp(ctx, &a, slices.Concat(a.names, a.parents))
	if err == nil && unsure && f.zone == "" {
		err = f.descend(ctx, &a, name)
	}
	return a, err
}

// cuts are the zones that the name is in, from the lowest up, and whether there may
// be one below, whose name servers are dead.
func (f finder) cuts(ctx context.Context, name string) (cuts []referral, unsure bool, err error) {
	names := upwards(name)
	answers, failures := make([]*dns.Msg, len(names)), make([]error, len(names))
	if err := each(len(names), func(i int) {
		answers[i], failures[i] = f.first(ctx, f.resolvers, question{names[i], dns.TypeNS})
	}); err != nil {
		return nil, false, err
	}
	for i, answer := range answers {
		if answer == nil {
			unsure = unsure || len(cuts) == 0
		} else if r, ok := readReferral(&dns.Msg{Answer: answer.Answer}, names[i]); ok && r.zone == names[i] {
			cuts = append(cuts, r)
		}
	}
	if len(cuts) == 0 {
		return nil, false, cmp.Or(failures[0], errNoZone)
	}
	return cuts, unsure, nil
}

// upwards is the name and all names above it, up to the root.
func upwards(name string) []string {
	var all []string
	for _, i := range dns.Split(name) {
		all = append(all, name[i:])
	}
	return append(all[:min(len(all), mostLabels)], ".")
}

func few(names []string) []string { return names[:min(len(names), mostParents)] }

// descend asks the name servers of the zone whether they delegate the name further.
func (f finder) descend(ctx context.Context, a *authority, name string) error {
	for _, s := range a.servers(f.port, a.names, mostParents) {
		m, err := f.ask(ctx, s, question{name, dns.TypeNS})
		if err != nil {
			continue
		}
		if r, ok := readReferral(m, name); ok && r.zone != a.zone && dns.IsSubDomain(a.zone, r.zone) {
			a.parent, a.parents = a.zone, few(a.names)
			a.zone, a.names = r.zone, r.names
			return f.lookUp(ctx, a, r.names)
		}
		return nil // it is the zone of the name, or knows nothing of it
	}
	return nil
}

// lookUp finds the addresses of those names that have none yet.
func (f finder) lookUp(ctx context.Context, a *authority, names []string) error {
	names = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(n string) bool { return len(a.addresses[n]) > 0 })
	found, why := make([][]netip.Addr, len(names)), make([]string, len(names))
	err := each(len(names), func(i int) {
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} { // the second only where there is none of the first
			m, err := f.first(ctx, f.resolvers, question{names[i], typ})
			if err != nil {
				why[i] = err.Error()
				return
			}
			if t := read(m, names[i], typ); t.leads() {
				found[i] = t.addresses
				return
			}
			why[i] = "it has no address"
			if m.Rcode == dns.RcodeNameError {
				why[i] = "it does not exist"
			}
		}
	})
	for i, name := range names {
		if delete(a.why, name); len(found[i]) > 0 {
			a.addresses[name] = found[i]
		} else {
			a.why[name] = why[i]
		}
	}
	return err
}

// servers are those with one of the names, one for each address.
func (a *authority) servers(port int, names []string, most int) (all []server) {
	for _, name := range names {
		for _, address := range a.addresses[name] {
			where := net.JoinHostPort(address.String(), strconv.Itoa(port))
			if !slices.ContainsFunc(all, func(s server) bool { return s.address == where }) && len(all) < most {
				all = append(all, server{address: where, name: name})
			}
		}
	}
	return all
}

// clone is a copy that a look can go on with.
func (a *authority) clone() authority {
	c := *a
	c.names, c.addresses, c.why = slices.Clone(a.names), maps.Clone(a.addresses), maps.Clone(a.why)
	return c
}

// delegation is what a zone and its parent say of the name servers of the zone.
type delegation struct {
	zone, parent string
	// failed says why the parent could not be asked.
	failed string
	by     server // of the parent
	absent bool   // the parent knows no such zone
	told   referral
	own    []ownNames
	// addresses and why are those of the authority.
	addresses map[string][]netip.Addr
	why       map[string]string
}

// ownNames are the name servers that one of them names.
type ownNames struct {
	by    server
	names []string // sorted
}

// askParent asks the name servers of the parent, one after the other, until one
// tells where the zone is.
func (f finder) askParent(ctx context.Context, a authority) delegation {
	d := delegation{zone: a.zone, parent: a.parent}
	if a.parent == "" {
		d.failed = "no resolver tells which zone is above it"
		return d
	}
	d.failed = "the addresses of its name servers are not known"
	for _, parent := range a.servers(f.port, a.parents, mostParents) {
		m, err := f.ask(ctx, parent, question{a.zone, dns.TypeNS})
		if err != nil {
			d.failed = err.Error()
			continue
		}
		r, ok := readReferral(m, a.zone)
		switch {
		case ok && r.zone == a.zone:
			d.failed, d.by, d.told = "", parent, r
			return d
		case m.Authoritative && (m.Rcode == dns.RcodeNameError || m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0):
			d.failed, d.by, d.absent = "", parent, true
			return d
		}
		d.failed = fmt.Sprintf("%s says %s and nothing of %s", parent, dns.RcodeToString[m.Rcode], shown(a.zone))
	}
	return d
}

// askOwn asks the name servers of a zone which they are.
func (f finder) askOwn(ctx context.Context, zone string, servers []server) (own []ownNames, err error) {
	all := make([]ownNames, len(servers))
	err = each(len(servers), func(i int) {
		m, err := f.ask(ctx, servers[i], question{zone, dns.TypeNS})
		if err != nil || !m.Authoritative {
			return // what it says of the name tells why
		}
		if r, ok := readReferral(&dns.Msg{Answer: m.Answer}, zone); ok && r.zone == zone {
			all[i] = ownNames{servers[i], r.names}
		}
	})
	return slices.DeleteFunc(all, func(o ownNames) bool { return o.names == nil }), err
}
