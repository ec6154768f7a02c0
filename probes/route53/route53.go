// Package route53 looks at what moves a name to the standby: at a record in Route 53,
// the health checks that decide over it, and how long it takes until the last client
// has moved.
//
// It asks the API of Route 53 and nobody else: neither the name servers nor the
// endpoints; probes/dns and probes/endpoint do that. The API takes five requests a
// second of an account, and a failover needs them more than we do: fewer than 60 a
// minute are made for all records together, and what is watched in larger numbers is
// asked less often. Whoever reads an answer is told how old it is.
//
// What is judged: failover records (PRIMARY and SECONDARY) and simple ones, alias or
// not. Where more than one health check is involved, in calculated ones and in aliases
// of records of the same zone, they are followed to those which look at something.
//
// What cannot be seen: whether a load balancer of EvaluateTargetHealth is healthy
// (probes/elb), clients that keep an answer longer than its TTL, and how long Route 53
// takes to act on what its checkers found. See docs/probes/route53.md for the rights
// that it needs and what it costs.
package route53

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at one record. It may be used by several goroutines.
type Probe struct {
	config  Config
	target  probes.Target
	account *account
	host    string
	checks  []string
}

// New makes the probe of a record, and joins it to what the fleet asks for. It asks
// nobody yet.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	if found := cfg.Validate(target); len(found) > 0 {
		return nil, fmt.Errorf("set up the route53 probe of %s: %s: %s", target.Part.Name, found[0].Path, found[0].Message)
	}
	host := cfg.host(target.Service)
	if host == "" {
		return nil, fmt.Errorf("set up the route53 probe of %s: name: missing: the service has no host", target.Part.Name)
	}
	p := &Probe{config: cfg, target: target, account: fleet.account(cfg.AWS.In(global)), host: host, checks: Checks(cfg, target)}
	p.account.want(cfg, host)
	return p, nil
}

// Look asks what Route 53 has to say of the record. The error is a [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	r, err := p.look(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("look at record %s in zone %s: %w", p.host, p.config.Zone, err)
	}
	p.account.session.ReadClock(&r)
	return r, nil
}

func (p *Probe) look(ctx context.Context) (readiness.Reading, error) {
	z, all, asked, err := p.zone(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	if !z.found {
		return p.withoutZone(z.check, asked), nil
	}
	l, err := p.account.recordsOf(ctx, z.zone, all)
	switch {
	case errors.Is(err, errGone):
		return p.withoutZone(probes.Failing(CheckZone, fmt.Sprintf("zone %s of %s is not there any more", z.id, text(p.config.Zone)), "see in CloudTrail who deleted it; correct zone in the file, where there is another now"), asked), nil
	case err != nil:
		return readiness.Reading{}, p.account.session.Failure(err, actionRecords)
	}
	j := p.judge(ctx, z.zone, l)
	r := readiness.Reading{AsOf: readiness.Known(j.asOf()), Measures: j.measures()}
	for _, name := range p.checks {
		if name == CheckZone {
			r.Checks = append(r.Checks, z.check)
			continue
		}
		r.Checks = append(r.Checks, j.answer(name))
	}
	return r, nil
}

// zoneSeen is the zone that the file means, and what there is to say of it.
type zoneSeen struct {
	zone
	check readiness.Check
	found bool
}

// zone finds the zone of the record. One that is named by its id can be asked even
// where the zones may not be listed.
func (p *Probe) zone(ctx context.Context) (zoneSeen, []zone, time.Time, error) {
	answer, err := p.account.zones.Get(ctx)
	if err == nil {
		z, check, found := zoneOf(p.config, p.host, answer.Value)
		return zoneSeen{z, check, found}, answer.Value, answer.At, nil
	}
	err = p.account.session.Failure(err, actionZones)
	id, known := p.config.zoneID()
	if !known || probes.AsFailure(err).Class != readiness.Denied {
		return zoneSeen{}, nil, time.Time{}, err
	}
	check := probes.Unknown(CheckZone, err.Error(), "grant "+actionZones+", to learn whether there are other zones of the name")
	return zoneSeen{zone{id: id, name: id, private: p.config.Private}, check, true}, nil, p.account.session.Now(), nil
}

// withoutZone is what is told where there is no one zone to look into.
func (p *Probe) withoutZone(check readiness.Check, asked time.Time) readiness.Reading {
	r := readiness.Reading{AsOf: readiness.Known(asked), Checks: []readiness.Check{check}}
	for _, name := range p.checks {
		if name != CheckZone {
			r.Checks = append(r.Checks, unjudged(name, "there is no one zone to look into", CheckZone))
		}
	}
	return r
}

// judge asks for what the record rests on, and holds it all against the file.
func (p *Probe) judge(ctx context.Context, z zone, l listing) *judge {
	s := p.account.session
	v := seen{zone: z, records: l.records, listed: l.begun}
	j := judged(p.config, p.target.Service, v, s.Now())
	if !j.carriesChecks() {
		return j
	}
	answer, err := p.account.checks.Get(ctx)
	if err != nil {
		v.checksTrouble = s.Failure(err, actionChecks)
	}
	v.checks, v.checksListed = answer.Value.checks, answer.Value.begun
	j = judged(p.config, p.target.Service, v, s.Now())
	v.reports = p.account.reports(ctx, j.restsOnAll())
	return judged(p.config, p.target.Service, v, s.Now())
}
