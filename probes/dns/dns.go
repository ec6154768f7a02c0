// Package dns looks at where the name of a service leads: by way of several
// resolvers, as clients go, and straight at the authoritative name servers of its
// zone, which decide.
//
// A look asks everybody at the same time: each resolver for the name and for the
// names of both sides, each name server of the zone for the name and for its NS
// records, and one name server of the parent for the delegation. Over UDP, and over
// TCP where an answer is too long; once more where there is none. It needs no rights.
//
// What an answer is worth: the addresses at the end of its chain of aliases are held
// against those that the names of the sides were just seen to lead to, and in the
// last ten minutes; an alias of a name of a side is that side. A resolver may be
// behind the zone for as long as the TTL says, and is not held to be lying before.
//
// What cannot be seen: what other resolvers tell other clients, whether a signature
// (DNSSEC) is right, private zones, whose name servers nobody can ask, and whether
// anything answers at the addresses. See docs/probes/dns.md.
package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at where one name leads. Between looks it keeps where the name servers
// are, what belonged to the sides of late, and since when who disagrees. It may be
// used by several goroutines.
type Probe struct {
	config Config
	name   string // canonical
	typ    uint16
	maxTTL time.Duration
	rto    time.Duration
	ends   ends

	now     func() time.Time
	network string // udp; tests of what comes over TCP begin with that

	mu     sync.Mutex // protects memory
	memory memory
}

// memory is what a look learns from those before it.
type memory struct {
	authority authority
	trouble   bool // with some name server, so that they are to be found anew
	seen      sightings
	agreement history
}

// New makes the probe of a part. It asks nobody and reads no file.
func New(cfg Config, target probes.Target) (*Probe, error) {
	name := cmp.Or(cfg.Name, target.Service.Host)
	found := cfg.Validate(target)
	if len(found) == 0 && !isName(name) {
		found = []probes.Problem{{Path: "name", Message: "missing: the name that clients resolve"}}
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("set up the dns probe of %s: %s: %s", target.Part.Name, found[0].Path, found[0].Message)
	}
	cfg.Port = cmp.Or(cfg.Port, defaultPort)
	return &Probe{
		config: cfg, name: dns.CanonicalName(name), typ: dns.StringToType[cmp.Or(cfg.Type, "A")],
		maxTTL: cmp.Or(cfg.MaxTTL, defaultMaxTTL), rto: target.Service.RTO,
		ends: readEnds(target.Service.Primary, target.Service.Standby),
		now:  time.Now, network: "udp", memory: memory{seen: make(sightings)},
	}, nil
}

// patience is how long a look may take that has no deadline.
const patience = 10 * time.Second

// Look asks everybody once. The error is a [readiness.Failure], and says that nobody
// answered.
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	resolvers, err := p.resolvers()
	if err != nil {
		return readiness.Reading{}, err
	}
	s, err := p.ask(ctx, resolvers)
	if err == nil {
		err = s.silence(ctx)
	}
	if err != nil {
		return readiness.Reading{}, err
	}
	return p.reading(s), nil
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}

const resolvConf = "/etc/resolv.conf"

func (p *Probe) resolvers() (all []server, err error) {
	texts := p.config.Resolvers
	if len(texts) == 0 {
		system, err := dns.ClientConfigFromFile(resolvConf)
		if err == nil && len(system.Servers) == 0 {
			err = errors.New(resolvConf + " names none")
		}
		if err != nil {
			return nil, probes.Fail(readiness.NotFound, "find the resolvers of this machine: %w: name some in resolvers", err)
		}
		texts = system.Servers
	}
	for _, text := range texts {
		address, _ := place(text, defaultPort)
		if !slices.ContainsFunc(all, func(s server) bool { return s.address == address }) && len(all) < mostServers {
			all = append(all, server{address: address, recurses: true})
		}
	}
	return all, nil
}

// seen is all that one look saw.
type seen struct {
	at        time.Time
	name      string
	typ       uint16
	resolvers []told
	zone      authorities
	sides     sides
	// ends is what each resolver told of each name of a side.
	ends map[string][]told
}

// ask asks everybody. A resolver gets a fifth of the time for an answer, twice,
// because it may have to ask others; the way to the authority has more steps, and
// each of them less time.
func (p *Probe) ask(ctx context.Context, resolvers []server) (s seen, err error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	patient := asker{p.network, min(left/5, 3*time.Second)}
	f := finder{asker{p.network, min(left/12, time.Second)}, resolvers, p.zone(), p.config.Port}
	s = seen{at: p.now(), name: p.name, typ: p.typ}
	k := p.recall(s.at)
	err = together(
		func() (err error) {
			s.resolvers, err = patient.all(ctx, resolvers, question{p.name, p.typ})
			return err
		},
		func() (err error) {
			s.ends, err = p.askEnds(ctx, patient, resolvers)
			return err
		},
		func() (err error) {
			s.zone, err = p.askAuthorities(ctx, f, k)
			return err
		},
	)
	if err != nil {
		return s, err
	}
	s.sides = p.ends.resolve(s.ends, k.kept)
	return s, p.follow(ctx, f, &s)
}

func (p *Probe) zone() string {
	if p.config.Zone == "" {
		return ""
	}
	return dns.CanonicalName(p.config.Zone)
}

// together does all of it at the same time.
func together(all ...func() error) error {
	errs := make([]error, len(all))
	err := each(len(all), func(i int) { errs[i] = all[i]() })
	return cmp.Or(err, errors.Join(errs...))
}

// askEnds asks where the names of the sides lead.
func (p *Probe) askEnds(ctx context.Context, a asker, resolvers []server) (map[string][]told, error) {
	names := make([]string, 0, len(p.ends.names))
	for name := range p.ends.names {
		names = append(names, name)
	}
	answers := make([][]told, len(names))
	errs := make([]error, len(names))
	err := each(len(names), func(i int) { answers[i], errs[i] = a.all(ctx, resolvers, question{names[i], p.typ}) })
	found := make(map[string][]told, len(names))
	for i, name := range names {
		found[name] = answers[i]
	}
	return found, cmp.Or(err, errors.Join(errs...))
}

// known is what a look goes on from.
type known struct {
	authority authority
	trouble   bool
	kept      map[string]where
}

func (p *Probe) recall(now time.Time) known {
	p.mu.Lock()
	defer p.mu.Unlock()
	return known{p.memory.authority.clone(), p.memory.trouble, p.memory.seen.recent(now)}
}

// silence is why the look as a whole fails: nobody answered, or it was called off.
func (s seen) silence(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return probes.Fail(readiness.Timeout, "ask %s for %s: the look was cancelled: %w", s.resolvers[0].by, question{s.name, s.typ}, ctx.Err())
	}
	for _, t := range slices.Concat(s.resolvers, s.zone.told) {
		if t.failure == nil {
			return nil
		}
	}
	return s.resolvers[0].failure
}

// reading is what the look says, and what the next one may want to know.
func (p *Probe) reading(s seen) readiness.Reading {
	p.mu.Lock()
	agreement, history := s.checkAgreement(p.memory.agreement)
	p.memory.agreement = history
	p.memory.seen.add(s.sides.resolved, s.at)
	if s.zone.unknown == nil {
		p.memory.authority = s.zone.authority
	}
	p.memory.trouble = s.zone.unknown != nil || slices.ContainsFunc(s.zone.told, func(t told) bool { return !t.serves() })
	p.mu.Unlock()
	return readiness.Reading{
		Measures: s.measures(),
		Checks: []readiness.Check{
			s.checkServed(), s.checkSides(), agreement, s.checkResolvers(), s.checkAuthoritative(),
			s.checkDelegation(), s.checkChain(), s.checkTTL(p.maxTTL, p.rto),
		},
	}
}
