package dns

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Record is one resource record, in the words of a zone file.
type Record struct {
	Name  string
	Type  string // A, AAAA, CNAME, NS, TXT, ...
	TTL   uint32 // in seconds
	Value string
}

// Zone is a part of the tree of names with name servers of its own.
type Zone struct {
	// Name is that of its top: festivals.app.
	Name string
	// NameServers are those that the zone names, and those where it is served, as far as their addresses are among
	// those of the Server.
	NameServers []NameServer
	// Answer says what is there under a name for a type, other than the SOA and NS of the zone and the addresses of
	// its name servers, or that there is no such name. It is asked at each question, by several goroutines, with the
	// name in lower case and a dot at the end. Where the name is an alias it gives the CNAME, and may give what that
	// leads to. A zone without it has nothing else.
	Answer func(name, typ string) (records []Record, nxdomain bool)
	// Delegations are the parts of it that are zones of their own.
	Delegations []Delegation
	// TTL is that of its SOA and NS records and of the addresses of its name servers, in seconds; zero is an hour.
	TTL uint32
	// NegativeTTL is for how long resolvers may keep that there is nothing, in seconds; zero is 15 minutes, as at Route 53.
	NegativeTTL uint32
}

// NameServer is a name server as NS records name it.
type NameServer struct {
	Name    string // ns1.festivals.app
	Address string // 127.0.53.2
}

// Delegation is what a zone says of one below it. Glue is given for the name servers within the zone.
type Delegation struct {
	Name        string
	NameServers []NameServer
	TTL         uint32 // zero is an hour
}

// Static answers out of records that stay as they are.
func Static(records ...Record) func(name, typ string) ([]Record, bool) {
	return func(name, typ string) (found []Record, nxdomain bool) {
		nxdomain = true
		for _, r := range records {
			owner := dns.CanonicalName(r.Name)
			if dns.IsSubDomain(name, owner) {
				nxdomain = false // the name is there, or is on the way to one that is
			}
			if owner == name && (r.Type == typ || r.Type == "CNAME") {
				found = append(found, r)
			}
		}
		return found, nxdomain
	}
}

const (
	hour    = 3600
	quarter = 900
)

// zone is a Zone made ready.
type zone struct {
	Zone
	name        string // canonical
	said        *memory
	nameServers delegation
	delegations []delegation
}

// delegation is NS records and the addresses that belong to them.
type delegation struct {
	name  string // canonical
	names []dns.RR
	glue  []dns.RR
}

func newZones(all []Zone) ([]*zone, error) {
	zones := make([]*zone, 0, len(all))
	for _, z := range all {
		made := &zone{Zone: z, name: dns.CanonicalName(z.Name), said: newMemory()}
		made.TTL, made.NegativeTTL = cmp.Or(z.TTL, hour), cmp.Or(z.NegativeTTL, quarter)
		if len(z.NameServers) == 0 {
			return nil, fmt.Errorf("the zone %s has no name server", z.Name)
		}
		var err error
		if made.nameServers, err = made.delegation(Delegation{Name: z.Name, NameServers: z.NameServers, TTL: made.TTL}); err != nil {
			return nil, err
		}
		for _, d := range z.Delegations {
			below, err := made.delegation(d)
			if err != nil {
				return nil, err
			}
			made.delegations = append(made.delegations, below)
		}
		zones = append(zones, made)
	}
	return zones, nil
}

func (z *zone) delegation(d Delegation) (delegation, error) {
	ttl := cmp.Or(d.TTL, hour)
	made := delegation{name: dns.CanonicalName(d.Name)}
	var names, glue []Record
	for _, n := range d.NameServers {
		names = append(names, Record{d.Name, "NS", ttl, dns.Fqdn(n.Name)})
		address, err := netip.ParseAddr(n.Address)
		if err != nil {
			return delegation{}, fmt.Errorf("the name server %s of %s has no address: %w", n.Name, d.Name, err)
		}
		if dns.IsSubDomain(z.name, dns.CanonicalName(n.Name)) {
			glue = append(glue, Record{n.Name, addressType(address), ttl, address.String()})
		}
	}
	var err error
	if made.names, err = resourceRecords(names); err == nil {
		made.glue, err = resourceRecords(glue)
	}
	return made, err
}

func addressType(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

// servedAt are the zones that have a name server at the host.
func servedAt(zones []*zone, host string) (served []*zone) {
	for _, z := range zones {
		if slices.ContainsFunc(z.NameServers, func(n NameServer) bool { return net.ParseIP(n.Address).Equal(net.ParseIP(host)) }) {
			served = append(served, z)
		}
	}
	return served
}

// soa is the record that says that nothing else is there.
func (z *zone) soa(ttl uint32) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  z.nameServers.names[0].(*dns.NS).Ns, Mbox: strings.TrimPrefix("hostmaster."+z.name, "."),
		Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: z.NegativeTTL,
	}
}

// said is what a zone says to one question.
type said struct {
	records  []dns.RR
	nxdomain bool
}

// say answers a question for a canonical name that is the zone's own, and none that it delegates.
func (z *zone) say(name string, typ uint16) (said, error) {
	own := z.own(name, typ)
	if len(own) > 0 || z.Answer == nil {
		return said{records: own, nxdomain: !z.isOnTheWay(name)}, nil
	}
	records, nxdomain := z.Answer(name, dns.TypeToString[typ])
	made, err := resourceRecords(records)
	answer := said{records: made, nxdomain: nxdomain && len(made) == 0 && !z.isOnTheWay(name)}
	if err == nil {
		z.said.note(question{z.name, name, typ}, answer)
	}
	return answer, err
}

// own are the records that make a zone of it.
func (z *zone) own(name string, typ uint16) (own []dns.RR) {
	switch {
	case name == z.name && typ == dns.TypeSOA:
		return []dns.RR{z.soa(z.TTL)}
	case name == z.name && typ == dns.TypeNS:
		return z.nameServers.names
	}
	for _, r := range z.nameServers.glue {
		if dns.CanonicalName(r.Header().Name) == name && r.Header().Rrtype == typ {
			own = append(own, r)
		}
	}
	return own
}

// isOnTheWay reports whether the name is one that makes a zone of it, or one above such a name.
func (z *zone) isOnTheWay(name string) bool {
	if name == z.name {
		return true
	}
	for _, r := range z.nameServers.glue {
		if dns.IsSubDomain(name, dns.CanonicalName(r.Header().Name)) {
			return true
		}
	}
	return slices.ContainsFunc(z.delegations, func(d delegation) bool { return dns.IsSubDomain(name, d.name) })
}

func resourceRecords(all []Record) ([]dns.RR, error) {
	made := make([]dns.RR, 0, len(all))
	for _, r := range all {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(r.Name), r.TTL, r.Type, r.Value))
		if err != nil {
			return nil, fmt.Errorf("make a record of %s %s %q: %w", r.Name, r.Type, r.Value, err)
		}
		if rr == nil {
			return nil, fmt.Errorf("make a record of %s %s %q: it is empty", r.Name, r.Type, r.Value)
		}
		made = append(made, rr)
	}
	return made, nil
}

// question is what was asked of which zone.
type question struct {
	zone, name string
	typ        uint16
}

// memory is what was last said to each question.
type memory struct {
	mu  sync.Mutex
	all map[question]said
}

// mostKept bounds it: names that nobody repeats would fill it.
const mostKept = 4096

func newMemory() *memory { return &memory{all: make(map[question]said)} }

func (m *memory) note(q question, answer said) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.all[q]; known || len(m.all) < mostKept {
		m.all[q] = answer
	}
}

func (m *memory) recall(q question) (said, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	answer, ok := m.all[q]
	return answer, ok
}

// take learns all that another has.
func (m *memory) take(from *memory) {
	from.mu.Lock()
	defer from.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for q, answer := range from.all {
		m.all[q] = answer
	}
}
