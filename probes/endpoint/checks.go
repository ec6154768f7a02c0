package endpoint

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// longestEvidence is what a person in a hurry reads.
const longestEvidence = 280

// reading is what a sight says of the part.
func (p *Probe) reading(s sight) readiness.Reading {
	r := readiness.Reading{Measures: map[readiness.Measure]float64{readiness.EndpointUp: 1}}
	if len(s.faults) > 0 {
		r.Measures[readiness.EndpointUp] = 0
	}
	if took, ok := s.took.Get(); ok {
		r.Measures[readiness.EndpointLatencySeconds] = took.Seconds()
	}
	if s.chain != nil && s.chain.first != nil {
		r.Measures[readiness.CertificateExpirySeconds] = float64(s.chain.first.NotAfter.Unix())
	}
	for _, name := range p.checks {
		check := p.check(name, s)
		check.Evidence = probes.Presentable(check.Evidence, longestEvidence)
		r.Checks = append(r.Checks, check)
	}
	return r
}

func (p *Probe) check(name string, s sight) readiness.Check {
	switch name {
	case CheckUp:
		return p.checkUp(s)
	case CheckAddress:
		return p.checkAddress(s)
	case CheckCertificate:
		return p.checkCertificate(s)
	case CheckStatus:
		return p.checkStatus(s)
	case CheckBody:
		return p.checkBody(s)
	case CheckHealth:
		return p.checkHealth(s)
	default:
		return p.checkLatency(s)
	}
}

// checkUp tells whether a client that came from where we are would be served, and if
// not, at which step it would end.
func (p *Probe) checkUp(s sight) readiness.Check {
	if len(s.faults) > 0 {
		return s.faults[0].check(CheckUp, p.whence(s)+s.faults[0].String())
	}
	took, _ := s.took.Get()
	what := "a connection"
	switch {
	case s.answer != nil && s.answer.large:
		what = fmt.Sprintf("%s, and more than %d bytes", s.answer.line(), p.config.MaxBody)
	case s.answer != nil:
		what = s.answer.line()
	case s.health != "":
		what = s.health
	}
	return probes.Passing(CheckUp, fmt.Sprintf("%s%s in %s", p.whence(s), what, told(took)))
}

// whence says what was looked at, and from where.
func (p *Probe) whence(s sight) string {
	at := p.place.dial
	if ip, _, _ := net.SplitHostPort(s.remote); ip != "" && !strings.Contains(at, ip) {
		at += " (" + ip + ")"
	}
	return at + " seen from " + p.vantage + ": "
}

func (p *Probe) checkStatus(s sight) readiness.Check {
	switch f := s.faultAt(stepStatus); {
	case s.answer == nil:
		return s.unseen(CheckStatus)
	case f != nil:
		return f.check(CheckStatus, f.what)
	}
	return probes.Passing(CheckStatus, s.answer.line())
}

func (p *Probe) checkBody(s sight) readiness.Check {
	switch f := s.faultAt(stepBody); {
	case f != nil && s.answer != nil && (s.answer.ended || s.answer.large):
		return f.check(CheckBody, f.what)
	case s.answer == nil || !s.answer.ended:
		return s.unseen(CheckBody)
	}
	return probes.Passing(CheckBody, fmt.Sprintf("its %d bytes %s", s.answer.size, p.config.expected()))
}

func (p *Probe) checkHealth(s sight) readiness.Check {
	switch f := s.faultAt(stepHealth); {
	case f != nil:
		return f.check(CheckHealth, f.what)
	case s.health == "":
		return s.unseen(CheckHealth)
	}
	return probes.Passing(CheckHealth, strings.TrimSpace(presentable(p.config.Service)+" "+s.health))
}

func (p *Probe) checkLatency(s sight) readiness.Check {
	took, ok := s.took.Get()
	if !ok {
		return s.unseen(CheckLatency)
	}
	evidence := fmt.Sprintf("%s from %s, max_latency is %s", told(took), p.vantage, told(p.config.MaxLatency))
	if took > p.config.MaxLatency {
		return probes.Warning(CheckLatency, evidence, "see the load of the servers and of what they depend on; a standby that nobody uses may start cold")
	}
	return probes.Passing(CheckLatency, evidence)
}

// judgesAddress reports whether what is connected to is the file's own choice, and
// the file says what belongs to this side, in words that the two can be compared by: of
// an address nobody can tell whether it is that of a name.
func judgesAddress(at place, t probes.Target) bool {
	host, _, _ := net.SplitHostPort(at.dial)
	own, other := t.Sides()
	if net.ParseIP(host) != nil && !slices.ContainsFunc(slices.Concat(own, other), isIP) {
		return false
	}
	return len(own) > 0 && host != "" && !sameName(host, t.Service.Host)
}

// isIP reports whether the text is an IP address, or a prefix of some.
func isIP(text string) bool {
	_, err := netip.ParseAddr(text)
	_, errPrefix := netip.ParsePrefix(text)
	return err == nil || errPrefix == nil
}

// checkAddress tells whether the file has this side's address, so that nobody looks
// at the primary twice and calls it a standby.
func (p *Probe) checkAddress(s sight) readiness.Check {
	host, _, _ := net.SplitHostPort(p.place.dial)
	ip, _, _ := net.SplitHostPort(s.remote)
	side := string(p.side)
	evidence := host
	if ip == "" {
		ip = host // which may be an address itself
	} else if ip != host {
		evidence += " (" + ip + ")"
	}
	const remedy = "correct the address in the file: what was seen is not the "
	switch ours, theirs := holds(p.own, ip), holds(p.other, ip); {
	case theirs > ours, ours == 0 && named(p.other, host):
		return probes.Failing(CheckAddress, evidence+" is of the other side, not of the "+side, remedy+side)
	case ours > 0, named(p.own, host):
		return probes.Passing(CheckAddress, evidence+" is of the "+side)
	case s.remote == "":
		return s.unseen(CheckAddress)
	}
	return probes.Warning(CheckAddress, evidence+" is not among what the file names for the "+side,
		"add it there (names, addresses or prefixes), or correct the address")
}

// holds tells how closely addresses and prefixes hold an address: 1 and the bits of the
// narrowest, 0 where none does.
func holds(these []string, ip string) (closest int) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return 0
	}
	address = address.Unmap()
	for _, this := range these {
		prefix, err := netip.ParsePrefix(this)
		if single, errSingle := netip.ParseAddr(this); errSingle == nil {
			prefix, err = single.Unmap().Prefix(single.Unmap().BitLen())
		}
		if err == nil && prefix.Contains(address) {
			closest = max(closest, 1+prefix.Bits())
		}
	}
	return closest
}

// named reports whether a host is among names.
func named(these []string, host string) bool {
	return slices.ContainsFunc(these, func(this string) bool { return sameName(this, host) })
}

func sameName(a, b string) bool {
	return a != "" && strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// check is the failing check that a fault makes.
func (f fault) check(name, evidence string) readiness.Check {
	return probes.Failing(name, evidence, cmp.Or(f.remedy, f.class.Remedy()))
}

func (s sight) faultAt(at step) *fault {
	for i, f := range s.faults {
		if f.step == at {
			return &s.faults[i]
		}
	}
	return nil
}

// unseen is a check that was not come to.
func (s sight) unseen(name string) readiness.Check {
	const remedy = "see the check " + CheckUp
	if s.held != "" {
		return probes.Unknown(name, s.held, remedy)
	}
	if len(s.faults) == 0 {
		return probes.Unknown(name, "not seen", remedy)
	}
	return probes.Unknown(name, "not seen, because of "+s.faults[len(s.faults)-1].String(), remedy)
}
