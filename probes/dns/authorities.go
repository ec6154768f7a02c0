package dns

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/readiness"
)

// authorities are the name servers of the zone, and what they told.
type authorities struct {
	told []told
	// unknown is why the zone or its name servers are not known.
	unknown    error
	authority  authority
	delegation delegation
}

// askAuthorities asks the name servers of the zone for the name, and them and the
// parent which they are. Those that are known from before are asked at once, those
// that show only now after them.
func (p *Probe) askAuthorities(ctx context.Context, f finder, k known) (s authorities, err error) {
	s.authority, s.unknown = k.authority, nil
	if s.authority.zone == "" || k.trouble || p.now().Sub(s.authority.found) > foundAnew {
		found, err := f.find(ctx, p.name)
		switch {
		case err == nil:
			found.found = p.now()
			s.authority = found
		case s.authority.zone == "":
			s.unknown = err
		}
	}
	f.patience = timeFor(ctx)
	a := &s.authority
	servers := p.nameServers()
	named := len(servers) > 0
	if !named {
		servers = a.servers(f.port, a.names, mostServers)
	}
	if s.told, s.delegation, err = p.askAll(ctx, f, *a, servers); err != nil || a.zone == "" {
		return s, err
	}
	if current := s.delegation.current(); len(current) > 0 {
		a.names = current
	}
	if err := f.lookUp(ctx, a, a.names); err != nil {
		return s, err
	}
	s.delegation.addresses, s.delegation.why = a.addresses, a.why
	if !named {
		err = p.askRest(ctx, f, &s)
	}
	return s, err
}

// timeFor is the time for one answer of a name server, when it is asked twice and
// others may have to be asked after it.
func timeFor(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Millisecond, min(time.Until(deadline)/5, 2*time.Second))
}

// nameServers are those that the file names.
func (p *Probe) nameServers() (all []server) {
	for _, text := range p.config.NameServers {
		address, _ := place(text, p.config.Port)
		all = append(all, server{address: address})
	}
	return all
}

// askAll asks name servers for the name and for their own names, and the parent.
func (p *Probe) askAll(ctx context.Context, f finder, a authority, servers []server) (answers []told, d delegation, err error) {
	var own []ownNames
	err = together(
		func() (err error) {
			answers, err = f.all(ctx, servers, question{p.name, p.typ})
			return err
		},
		func() (err error) {
			if a.zone != "" {
				own, err = f.askOwn(ctx, a.zone, servers)
			}
			return err
		},
		func() error {
			if a.zone != "" {
				d = f.askParent(ctx, a)
			}
			return nil
		},
	)
	d.own = own
	return answers, d, err
}

// current are the names of the name servers as the zone and its parent tell them now.
func (d delegation) current() []string {
	all := slices.Clone(d.told.names)
	for _, own := range d.own {
		all = append(all, own.names...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), mostServers)]
}

// askRest asks those name servers that were not asked yet, and forgets those that
// are none any more. Where only the parent tells the address of one, it is asked there.
func (p *Probe) askRest(ctx context.Context, f finder, s *authorities) error {
	reach := s.authority.clone()
	for name, glue := range s.delegation.told.glue {
		if len(reach.addresses[name]) == 0 {
			reach.addresses[name] = glue
		}
	}
	var rest []server
	asked, all := s.told, reach.servers(f.port, reach.names, mostServers)
	s.told = nil
	for _, server := range all {
		if i := slices.IndexFunc(asked, func(t told) bool { return t.by.address == server.address }); i >= 0 {
			asked[i].by = server
			s.told = append(s.told, asked[i])
		} else {
			rest = append(rest, server)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	f.patience = timeFor(ctx)
	var more []told
	var own []ownNames
	err := together(
		func() (err error) {
			more, err = f.all(ctx, rest, question{p.name, p.typ})
			return err
		},
		func() (err error) {
			own, err = f.askOwn(ctx, s.authority.zone, rest)
			return err
		},
	)
	s.told, s.delegation.own = append(s.told, more...), append(s.delegation.own, own...)
	return err
}

// follow goes on where the name servers of the zone leave off, because the name is
// an alias of one that is not theirs.
func (p *Probe) follow(ctx context.Context, f finder, s *seen) error {
	known := make(map[string][]told)
	for i := range s.zone.told {
		t := &s.zone.told[i]
		if !t.isOpen() {
			continue
		}
		end := t.end()
		answers, ok := known[end]
		if !ok {
			var err error
			f.patience = timeFor(ctx)
			if answers, ok = s.ends[end]; !ok {
				if answers, err = f.all(ctx, f.resolvers, question{end, p.typ}); err != nil {
					return err
				}
			}
			known[end] = answers
		}
		if best, ok := s.sides.most(answers); ok {
			t.goOn(best)
			continue
		}
		t.lost = whyLost(answers)
		if slices.ContainsFunc(answers, func(a told) bool { return a.failure == nil && a.rcode == dns.RcodeServerFailure }) {
			f.trace(ctx, t) // that is what resolvers say of a chain that goes round
		}
	}
	return nil
}

// isOpen reports whether the answer ends with a name of which it does not tell
// whether it leads anywhere.
func (t *told) isOpen() bool {
	return t.failure == nil && t.rcode == dns.RcodeSuccess && len(t.names) > 1 && len(t.addresses) == 0 && t.round == ""
}

// goOn adds what the last of the names leads to.
func (t *told) goOn(rest told) {
	for _, name := range rest.names[1:] {
		if slices.Contains(t.names, name) {
			t.round = name
			return
		}
		t.names = append(t.names, name)
	}
	t.addresses = rest.addresses
}

// most is an answer of those that lead to where the most of them lead.
func (s sides) most(answers []told) (best told, ok bool) {
	count := make(map[string]int)
	for _, t := range answers {
		if t.leads() {
			count[s.view(t)]++
		}
	}
	for _, t := range answers {
		if t.leads() && (!ok || count[s.view(t)] > count[s.view(best)]) {
			best, ok = t, true
		}
	}
	return best, ok
}

// unfollowed is why a name is not known to lead anywhere, nor not to.
const unfollowed = "no resolver tells what that leads to"

// whyLost is why a name leads nowhere, out of the mouths of all resolvers.
func whyLost(answers []told) string {
	var why string
	for _, t := range answers {
		switch {
		case t.failure != nil:
			why = cmp.Or(why, unfollowed)
		case t.rcode == dns.RcodeNameError:
			return "does not exist"
		case t.rcode == dns.RcodeSuccess:
			return "has no address"
		default:
			why = cmp.Or(why, "cannot be resolved ("+t.ails()+")")
		}
	}
	return why
}

// trace follows a chain link by link, where resolvers give it up as a whole.
func (f finder) trace(ctx context.Context, t *told) {
	for len(t.names) <= mostNames {
		m, err := f.first(ctx, f.resolvers, question{t.end(), dns.TypeCNAME})
		if err != nil {
			return
		}
		next := read(m, t.end(), dns.TypeCNAME)
		if t.goOn(next); t.round != "" || len(next.names) == 1 {
			return
		}
	}
}

// serves reports whether a name server answers for the zone, be it that there is
// nothing.
func (t *told) serves() bool { return t.answered() && t.authoritative }

// ails is what is wrong with an answer, in a word or two; empty where it tells where
// the name leads.
func (t *told) ails() string {
	switch {
	case t.failure != nil:
		return silenceOf(t.failure)
	case t.rcode != dns.RcodeSuccess:
		text := cmp.Or(dns.RcodeToString[t.rcode], "an unknown error")
		if t.why != "" {
			text += ", " + t.why
		}
		return text
	case !t.by.recurses && !t.authoritative:
		return "it does not answer for the zone"
	case t.round != "":
		return "aliases that go round"
	case t.isOpen():
		return "an alias that leads nowhere"
	case len(t.addresses) == 0:
		return "no address"
	}
	return ""
}

func silenceOf(f *readiness.Failure) string {
	switch f.Class {
	case readiness.Timeout:
		return "no answer"
	case readiness.Refused:
		return "nobody listens"
	case readiness.Malformed:
		return "what it says is no DNS"
	case readiness.Denied:
		return "it does not ask others for us"
	default:
		return "not reachable"
	}
}
