package dns

import (
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/readiness"
)

// OverTCP lets a probe begin with TCP, as it does where answers are too long, so that
// what comes over it can be played by those who play servers of TCP.
func (p *Probe) OverTCP() *Probe { p.network = "tcp"; return p }

// At lets a probe have another clock.
func (p *Probe) At(now func() time.Time) *Probe { p.now = now; return p }

// Judge is what a probe says where all answer with the same message.
func (p *Probe) Judge(m *dns.Msg, authoritative bool) (readiness.Reading, []string) {
	s := seen{at: p.now(), name: p.name, typ: p.typ}
	t := read(m, p.name, p.typ)
	t.by = server{address: "192.0.2.53:53", recurses: !authoritative}
	s.resolvers = []told{t}
	if authoritative {
		s.zone.told = []told{t}
	}
	s.ends = map[string][]told{}
	for name := range p.ends.names {
		s.ends[name] = []told{read(m, name, p.typ)}
	}
	if r, ok := readReferral(m, p.name); ok {
		s.zone.delegation = delegation{zone: r.zone, parent: ".", told: r, own: []ownNames{{t.by, r.names}}}
	}
	s.sides = p.ends.resolve(s.ends, nil)
	return p.reading(s), t.names
}
