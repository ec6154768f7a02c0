// Package elb looks at load balancers of AWS: whether one is there, leads where clients
// are led, and has enough healthy targets in enough zones. It is what tells of a
// standby whether there is something behind its name.
//
// It asks the API of Elastic Load Balancing, version 2 (Application, Network and
// Gateway Load Balancers), once a minute, and never the targets: their health is what
// the load balancer finds by health checks of its own.
//
// What cannot be seen: whether the answers of a target are right, whether it could
// carry the load, and the zones of targets that are registered by instance, which the
// API does not tell. See docs/probes/elb.md for the rights that it needs and what it
// costs.
package elb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at one load balancer. It may be used by several goroutines.
type Probe struct {
	config Config
	target probes.Target
	region *region
	checks []string
}

// New makes the probe of a load balancer, and joins it to what the fleet asks for. It
// asks nobody yet.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	if found := cfg.Validate(target); len(found) > 0 {
		return nil, fmt.Errorf("set up the elb probe of %s: %s: %s", target.Part.Name, found[0].Path, found[0].Message)
	}
	p := &Probe{config: cfg, target: target, region: fleet.region(cfg.AWS.In(target.Part.Region)), checks: Checks(cfg, target)}
	p.config.MinHealthy, p.config.MinZones = cmp.Or(cfg.MinHealthy, 1), cmp.Or(cfg.MinZones, 1)
	p.region.want(cfg.name())
	return p, nil
}

// Look asks what AWS says of the load balancer and its targets. The error is a
// [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	r, err := p.look(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("look at load balancer %s: %w", p.config.name(), err)
	}
	p.region.session.ReadClock(&r)
	return r, nil
}

func (p *Probe) look(ctx context.Context) (readiness.Reading, error) {
	answer, err := p.region.balancers.Get(ctx)
	if err != nil {
		return readiness.Reading{}, p.region.session.Failure(err, actionBalancers)
	}
	s := seen{at: answer.At}
	lb, there := answer.Value[p.config.name()]
	if _, region := fromARN(p.config.LoadBalancer); there && (region == "" || lb.arn == p.config.LoadBalancer) {
		s.balancer = &lb
		p.see(ctx, &s)
	} else if there {
		s.other = lb.arn
	}
	j := judge{p.config, p.target, p.region.session.Access().Region, s}
	r := readiness.Reading{AsOf: readiness.Known(s.at), Measures: j.measures()}
	for _, name := range p.checks {
		r.Checks = append(r.Checks, j.answer(name))
	}
	return r, nil
}

// see asks for what is behind the load balancer. What cannot be learned of that is told
// in the checks that need it.
func (p *Probe) see(ctx context.Context, s *seen) {
	answer, err := p.region.groups.Get(ctx)
	if err != nil {
		s.trouble = p.region.session.Failure(err, actionGroups)
		return
	}
	s.older(answer.At)
	for _, g := range answer.Value[s.balancer.arn] {
		if len(p.config.TargetGroups) > 0 && !slices.Contains(p.config.TargetGroups, g.name) {
			continue
		}
		behind := targets{group: g}
		health, err := p.region.targetsOf(g.arn).Get(ctx)
		var gone *types.TargetGroupNotFoundException
		switch {
		case errors.As(err, &gone):
			continue // deleted since the groups were listed
		case err != nil:
			s.trouble = p.region.session.Failure(err, actionHealth)
			return
		}
		s.older(health.At)
		behind.all = health.Value
		s.groups = append(s.groups, behind)
	}
	slices.SortFunc(s.groups, func(a, b targets) int { return strings.Compare(a.name, b.name) })
}

// seen is what AWS tells of a load balancer.
type seen struct {
	at       time.Time // of the oldest answer
	balancer *balancer // nil where it is not there
	other    string    // the ARN of another one of its name
	groups   []targets
	trouble  error // why the targets are not known
}

func (s *seen) older(at time.Time) {
	if at.Before(s.at) {
		s.at = at
	}
}

// targets are those of a group.
type targets struct {
	group
	all []target
}

func (t targets) healthy() int {
	n := 0
	for _, each := range t.all {
		if each.state == healthy {
			n++
		}
	}
	return n
}

const healthy = "healthy"

// zones lists those that have healthy targets, and tells whether that is all: targets
// that are registered by instance do not tell theirs.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (t targets) zones() (names []string, all bool) {
	all = true
	for _, each := range t.all {
		switch {
		case each.state != healthy:
		case each.zone == "" || each.zone == "all":
			all = false
		case !slices.Contains(names, each.zone):
			names = append(names, each.zone)
		}
	}
	slices.Sort(names)
	return names, all
}

// reasons tells why targets are not healthy, each reason once.
func (t targets) reasons() string {
	count, first := make(map[string]int), make(map[string]string)
	var order []string
	for _, each := range t.all {
		if each.state == healthy {
			continue
		}
		why := cmp.Or(each.state, "in no state that is told")
		if each.reason != "" {
			why += " (" + each.reason + ")"
		}
		if count[why]++; count[why] == 1 {
			order = append(order, why)
			first[why] = each.id
			if each.description != "" {
				first[why] += ": " + each.description
			}
		}
	}
	slices.Sort(order)
	const most = 3
	var all []string
	for i, why := range order {
		if i == most {
			all = append(all, fmt.Sprintf("and %d other reasons", len(order)-most))
			break
		}
		all = append(all, fmt.Sprintf("%d %s, such as %s", count[why], text(why), text(first[why])))
	}
	return strings.Join(all, "; ")
}

// text bounds a foreign text, and takes out what does not belong on a page.
func text(foreign string) string {
	const longest = 120
	return probes.Presentable(strings.ToValidUTF8(foreign, "?"), longest)
}
