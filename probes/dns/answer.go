package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// told is what one server told of a name.
type told struct {
	by server
	// failure is why it told nothing at all.
	failure *readiness.Failure
	rcode   int
	why     string // what it says about its rcode
	// authoritative says that it answers out of the zone itself.
	authoritative bool
	// names are the name, and in turn what each is an alias of. The addresses, if
	// there are any, belong to the last.
	names     []string
	addresses []netip.Addr
	// round is the one of the names to which the last leads back; empty where it
	// does not.
	round string
	// ttl is how long the record of the name itself may be kept, longest the same
	// of the one on the way that may be kept longest.
	ttl, longest time.Duration
	// lost is why the last of the names leads nowhere, where others had to be asked.
	lost string
}

// mostNames is how far a chain of aliases is followed. Resolvers end sooner.
const mostNames = 32

// read reads an answer to the question for the addresses of a name. Records that
// do not belong to the name, or to what it is an alias of, are not believed.
func read(m *dns.Msg, name string, typ uint16) told {
	t := told{rcode: m.Rcode, why: explained(m), authoritative: m.Authoritative, names: []string{dns.CanonicalName(name)}}
	aliases := make(map[string]*dns.CNAME)
	for _, rr := range m.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			aliases[dns.CanonicalName(alias.Hdr.Name)] = alias
		}
	}
	for len(t.names) <= mostNames {
		alias, ok := aliases[t.end()]
		if !ok {
			break
		}
		next := dns.CanonicalName(alias.Target)
		t.kept(alias.Hdr)
		if slices.Contains(t.names, next) {
			t.round = next
			break
		}
		t.names = append(t.names, next)
	}
	for _, rr := range m.Answer {
		if h := rr.Header(); t.round == "" && h.Rrtype == typ && dns.CanonicalName(h.Name) == t.end() {
			if address, ok := addressOf(rr); ok && !slices.Contains(t.addresses, address) && len(t.addresses) < mostAddresses {
				t.addresses = append(t.addresses, address)
			}
			t.kept(*h)
		}
	}
	return t
}

// mostAddresses of one answer are looked at: no load balancer has more than a
// few, and 64 KiB would hold thousands.
const mostAddresses = 256

func (t *told) end() string { return t.names[len(t.names)-1] }

// kept takes note of the TTL of a record on the way.
func (t *told) kept(h dns.RR_Header) {
	ttl := time.Duration(h.Ttl) * time.Second
	if h.Ttl > 1<<31-1 { // RFC 2181, 8: to be taken as zero
		ttl = 0
	}
	if dns.CanonicalName(h.Name) == t.names[0] {
		t.ttl = max(t.ttl, ttl)
	}
	t.longest = max(t.longest, ttl)
}

// leads reports whether the answer leads to an address.
func (t *told) leads() bool { return t.failure == nil && len(t.addresses) > 0 }

// answered reports whether the server could tell what there is, or that there is nothing.
func (t *told) answered() bool {
	return t.failure == nil && (t.rcode == dns.RcodeSuccess || t.rcode == dns.RcodeNameError)
}

// absent reports whether the server said that there is nothing to lead to.
func (t *told) absent() bool { return t.answered() && len(t.addresses) == 0 && len(t.names) == 1 }

func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		address, ok := netip.AddrFromSlice(rr.A)
		return address.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// explained is what a server says about its error (RFC 8914).
func explained(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil || m.Rcode == dns.RcodeSuccess {
		return ""
	}
	for _, option := range opt.Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok {
			text := dns.ExtendedErrorCodeToString[e.InfoCode]
			if e.ExtraText != "" {
				text = strings.TrimPrefix(text+": "+e.ExtraText, ": ")
			}
			return probes.Presentable(text, 80)
		}
	}
	return ""
}

// referral is where a server sends those who ask about a name: to the name
// servers of a zone, its own or one below.
type referral struct {
	zone  string
	names []string // sorted
	// glue is the addresses of the names as the server tells them.
	glue map[string][]netip.Addr
}

// readReferral reads the name servers of the lowest zone that the answer tells of
// and that the name is in.
func readReferral(m *dns.Msg, name string) (r referral, ok bool) {
	name = dns.CanonicalName(name)
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		ns, isNS := rr.(*dns.NS)
		if !isNS {
			continue
		}
		zone := dns.CanonicalName(ns.Hdr.Name)
		if !dns.IsSubDomain(zone, name) || ok && dns.CountLabel(zone) < dns.CountLabel(r.zone) {
			continue
		}
		if zone != r.zone {
			r.zone, r.names = zone, nil
		}
		r.names, ok = append(r.names, dns.CanonicalName(ns.Ns)), true
	}
	slices.Sort(r.names)
	r.names = slices.Compact(r.names)
	r.names = r.names[:min(len(r.names), mostServers)]
	r.glue = make(map[string][]netip.Addr)
	for _, rr := range m.Extra {
		owner := dns.CanonicalName(rr.Header().Name)
		if address, is := addressOf(rr); is && slices.Contains(r.names, owner) && len(r.glue[owner]) < mostServers {
			r.glue[owner] = append(r.glue[owner], address)
		}
	}
	return r, ok
}
