package dns

import (
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// largest is the longest answer over UDP, whatever the client takes: it fits any network without fragments.
const largest = 1232

// ServeDNS answers one question, or does not. It is for the library that listens.
func (n *nameServer) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	n.asked.Add(1)
	n.mu.RLock()
	condition, lies, kept := n.condition, n.lies, n.kept
	n.mu.RUnlock()
	if condition == Silent {
		return
	}
	m := new(dns.Msg).SetReply(request)
	m.Compress = true
	size := dns.MinMsgSize
	if opt := request.IsEdns0(); opt != nil {
		m.SetEdns0(largest, false)
		size = max(size, min(largest, int(opt.UDPSize())))
		if opt.Version() != 0 {
			condition, m.Rcode = "", dns.RcodeBadVers
		}
	}
	if _, stream := w.RemoteAddr().(*net.TCPAddr); stream {
		size = dns.MaxMsgSize
	}
	asked := request.Question[0] // the library lets nothing else through
	switch {
	case m.Rcode != dns.RcodeSuccess:
	case request.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case condition == ServFail:
		m.Rcode = dns.RcodeServerFailure
	case condition == Refused || asked.Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	case condition == Lame:
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: hour}, Ns: "a.root-servers.net."}}
	default:
		(&reply{server: n, lies: lies, kept: kept, m: m}).fill(asked)
	}
	m.Truncate(size)
	_ = w.WriteMsg(m) // a client that is gone needs no answer
}

// reply is one answer that is being made.
type reply struct {
	server *nameServer
	lies   []dns.RR
	kept   *memory
	m      *dns.Msg
}

// longestChain is how many CNAMEs are followed. A loop ends with it.
const longestChain = 16

func (r *reply) fill(asked dns.Question) {
	name := dns.CanonicalName(asked.Name)
	for range longestChain {
		next := r.step(name, asked.Qtype)
		if next == "" || slices.ContainsFunc(r.m.Answer, func(rr dns.RR) bool { return dns.CanonicalName(rr.Header().Name) == next }) {
			break
		}
		name = next
	}
	for i, rr := range r.m.Answer { // with the name as it was asked
		if strings.EqualFold(rr.Header().Name, asked.Name) {
			r.m.Answer[i] = dns.Copy(rr)
			r.m.Answer[i].Header().Name = asked.Name
		}
	}
}

// step adds what there is under one name, and gives the name that it leads to.
func (r *reply) step(name string, typ uint16) (next string) {
	first := len(r.m.Answer) == 0
	if lies := lieAbout(r.lies, name, typ); len(lies) > 0 && !r.isDelegated(name) {
		r.m.Authoritative = r.m.Authoritative || first
		r.m.Answer = append(r.m.Answer, lies...)
		return alias(lies, name, typ)
	}
	z := r.server.zoneOf(name)
	if z == nil {
		if first {
			r.m.Rcode = dns.RcodeRefused
		}
		return "" // the chain leads out of what is held here
	}
	if d, ok := z.delegationOf(name); ok {
		r.refer(d)
		return ""
	}
	answer, err := r.ask(z, name, typ)
	if err != nil {
		r.m.Rcode = dns.RcodeServerFailure
		return ""
	}
	r.m.Authoritative = r.m.Authoritative || first
	r.m.Answer = append(r.m.Answer, answer.records...)
	switch {
	case len(answer.records) == 0:
		r.m.Ns = []dns.RR{z.soa(min(z.TTL, z.NegativeTTL))}
	case typ == dns.TypeNS && name == z.name:
		r.m.Extra = append(slices.Clone(z.nameServers.glue), r.m.Extra...)
	}
	if answer.nxdomain {
		r.m.Rcode = dns.RcodeNameError
	}
	return alias(answer.records, name, typ)
}

// ask asks the zone, or the memory of a stale server.
func (r *reply) ask(z *zone, name string, typ uint16) (said, error) {
	if r.kept == nil {
		return z.say(name, typ)
	}
	q := question{z.name, name, typ}
	if answer, ok := r.kept.recall(q); ok {
		return answer, nil
	}
	answer, err := z.say(name, typ)
	if err == nil {
		r.kept.note(q, answer)
	}
	return answer, err
}

// refer sends the client to the name servers of a zone below.
func (r *reply) refer(d delegation) {
	if lies := lieAbout(r.lies, d.name, dns.TypeNS); len(lies) > 0 {
		d.names, d.glue = lies, nil
		for _, rr := range lies {
			if ns, ok := rr.(*dns.NS); ok {
				target := dns.CanonicalName(ns.Ns)
				d.glue = slices.Concat(d.glue, lieAbout(r.lies, target, dns.TypeA), lieAbout(r.lies, target, dns.TypeAAAA))
			}
		}
	}
	r.m.Ns = append(r.m.Ns, d.names...)
	r.m.Extra = append(slices.Clone(d.glue), r.m.Extra...)
}

func (r *reply) isDelegated(name string) bool {
	z := r.server.zoneOf(name)
	if z == nil {
		return false
	}
	_, ok := z.delegationOf(name)
	return ok
}

// zoneOf is the lowest zone held here that the name is in.
func (n *nameServer) zoneOf(name string) (lowest *zone) {
	for _, z := range n.zones {
		if dns.IsSubDomain(z.name, name) && (lowest == nil || dns.CountLabel(z.name) > dns.CountLabel(lowest.name)) {
			lowest = z
		}
	}
	return lowest
}

func (z *zone) delegationOf(name string) (delegation, bool) {
	for _, d := range z.delegations {
		if dns.IsSubDomain(d.name, name) {
			return d, true
		}
	}
	return delegation{}, false
}

// lieAbout are the lies to a question: of the type, or an alias.
func lieAbout(lies []dns.RR, name string, typ uint16) (found []dns.RR) {
	for _, rr := range lies {
		if h := rr.Header(); dns.CanonicalName(h.Name) == name && (h.Rrtype == typ || h.Rrtype == dns.TypeCNAME) {
			found = append(found, rr)
		}
	}
	return found
}

// alias follows the CNAMEs among the records to the first name that they leave open.
func alias(records []dns.RR, name string, typ uint16) (next string) {
	if typ == dns.TypeCNAME {
		return ""
	}
	for range records {
		i := slices.IndexFunc(records, func(rr dns.RR) bool { return dns.CanonicalName(rr.Header().Name) == name })
		if i < 0 {
			break
		}
		cname, ok := records[i].(*dns.CNAME)
		if !ok {
			return "" // it ends here
		}
		name, next = dns.CanonicalName(cname.Target), dns.CanonicalName(cname.Target)
	}
	return next
}
