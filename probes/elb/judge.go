package elb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// judge holds what AWS tells against what the file says.
type judge struct {
	config Config
	target probes.Target
	region string
	seen
}

// answer is one check.
func (j judge) answer(name string) readiness.Check {
	switch {
	case name == CheckBalancer:
		return j.checkBalancer()
	case j.balancer == nil:
		return probes.Unknown(name, "not judged: there is no load balancer", "see the check "+CheckBalancer+" first")
	case name == CheckName:
		return j.checkName()
	case j.trouble != nil:
		return probes.Unknown(name, j.trouble.Error(), probes.AsFailure(j.trouble).Class.Remedy())
	case name == CheckTargets:
		return j.checkTargets()
	}
	return j.checkZones()
}

func (j judge) checkBalancer() readiness.Check {
	if j.balancer == nil {
		says := fmt.Sprintf("there is no load balancer %s in %s", j.config.name(), j.region)
		if j.other != "" {
			says = fmt.Sprintf("load balancer %s in %s is %s, and the file says %s", j.config.name(), j.region, text(j.other), j.config.LoadBalancer)
		}
		return probes.Failing(CheckBalancer, says, "correct load_balancer or the region in the file, or see in CloudTrail who deleted it")
	}
	says := fmt.Sprintf("%s is %s (%s, %s, in %s)", j.balancer.name, text(j.balancer.state), text(j.balancer.kind), text(j.balancer.scheme), text(strings.Join(j.balancer.zones, ", ")))
	if j.balancer.reason != "" {
		says += ": " + text(j.balancer.reason)
	}
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerState.html
	switch j.balancer.state {
	case "active":
		return probes.Passing(CheckBalancer, says)
	case "active_impaired":
		return probes.Warning(CheckBalancer, says+": it routes, and cannot scale", "see whether its subnets have addresses left, and the AWS Health Dashboard of the region")
	case "provisioning":
		return probes.Failing(CheckBalancer, says, "wait until it is active")
	case "":
		return probes.Unknown(CheckBalancer, "AWS does not tell the state of "+j.balancer.name, "see it in the console")
	}
	return probes.Failing(CheckBalancer, says, "see its state in the console: one that failed has to be made anew")
}

// checkName tells whether clients that are led to this side come here.
func (j judge) checkName() readiness.Check {
	own, other := j.target.Sides()
	name, side := canonical(j.balancer.dns), string(j.target.Part.Side)
	says := fmt.Sprintf("its name is %s", text(name))
	switch {
	case slices.ContainsFunc(own, func(n string) bool { return canonical(n) == name }):
		return probes.Passing(CheckName, says+", as the file has it on the "+side+" side")
	case slices.ContainsFunc(other, func(n string) bool { return canonical(n) == name }):
		return probes.Failing(CheckName, says+", which the file has on the other side", "correct side of this part, or primary and standby of the service")
	case !slices.ContainsFunc(own, isBalancer):
		return probes.Warning(CheckName, fmt.Sprintf("%s, which cannot be compared with %s, where clients are led on the %s side", says, text(strings.Join(own, ", ")), side), "add the name to "+side+" of the service, where it is behind that")
	}
	return probes.Failing(CheckName, fmt.Sprintf("%s, and clients are led to %s on the %s side", says, text(strings.Join(own, ", ")), side), "correct load_balancer, or "+side+" of the service: made anew it has another name")
}

// canonical is a name as it is compared.
func canonical(name string) string {
	return strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(name), "."), "dualstack.")
}

// isBalancer reports whether a name is that of a load balancer of AWS.
func isBalancer(name string) bool {
	name = strings.TrimSuffix(canonical(name), ".cn")
	return strings.HasSuffix(name, ".amazonaws.com") && strings.Contains(name, ".elb.")
}

// ungrouped tells of target groups that are not there.
func (j judge) ungrouped(name string) (readiness.Check, bool) {
	for _, want := range j.config.TargetGroups {
		if !slices.ContainsFunc(j.groups, func(t targets) bool { return t.name == want }) {
			return probes.Failing(name, fmt.Sprintf("%s has no target group %s", j.balancer.name, want), "correct target_groups, or let a listener of "+j.balancer.name+" use it"), true
		}
	}
	if len(j.groups) == 0 {
		return probes.Failing(name, j.balancer.name+" has no target group: it sends requests nowhere", "give its listener a target group"), true
	}
	return readiness.Check{}, false
}

func (j judge) checkTargets() readiness.Check {
	if c, missing := j.ungrouped(CheckTargets); missing {
		return c
	}
	var says, short []string
	for _, t := range j.groups {
		told := fmt.Sprintf("%d of %d targets of %s are healthy", t.healthy(), len(t.all), t.name)
		if why := t.reasons(); why != "" {
			told += " (" + why + ")"
		}
		says = append(says, told)
		if t.healthy() < j.config.MinHealthy {
			short = append(short, t.name)
		}
	}
	evidence := strings.Join(says, "; ")
	if short != nil {
		return probes.Failing(CheckTargets, fmt.Sprintf("%s; %d have to be", evidence, j.config.MinHealthy), "see why by the reasons, start what is missing behind "+strings.Join(short, " and ")+", or correct min_healthy")
	}
	return probes.Passing(CheckTargets, fmt.Sprintf("%s; %d have to be", evidence, j.config.MinHealthy))
}

func (j judge) checkZones() readiness.Check {
	if c, missing := j.ungrouped(CheckZones); missing {
		return c
	}
	if want := j.config.MinZones; len(j.balancer.zones) < want {
		return probes.Failing(CheckZones, fmt.Sprintf("%s itself is in %d zones (%s); %d have to be", j.balancer.name, len(j.balancer.zones), text(strings.Join(j.balancer.zones, ", ")), want), "enable subnets of other zones for it")
	}
	var says []string
	for _, t := range j.groups {
		zones, all := t.zones()
		switch told := fmt.Sprintf("healthy targets of %s are in %d zones (%s)", t.name, len(zones), text(strings.Join(zones, ", "))); {
		case len(zones) >= j.config.MinZones:
			says = append(says, told)
		case t.healthy() >= 1 && j.config.MinZones == 1:
			says = append(says, fmt.Sprintf("healthy targets of %s are in a zone at the least", t.name))
		case !all:
			return probes.Unknown(CheckZones, fmt.Sprintf("AWS does not tell the zones of the targets of %s, which are registered by %s", t.name, text(t.kind)), "register them by ip, or leave min_zones out")
		default:
			if len(zones) == 0 {
				told = "no zone has healthy targets of " + t.name
			}
			return probes.Failing(CheckZones, fmt.Sprintf("%s; %d have to be", told, j.config.MinZones), "start targets in other zones, or correct min_zones")
		}
	}
	return probes.Passing(CheckZones, strings.Join(says, "; "))
}

// measures are of the group that has the fewest: one without targets serves nobody.
func (j judge) measures() map[readiness.Measure]float64 {
	all := make(map[readiness.Measure]float64)
	if j.balancer == nil || j.trouble != nil {
		return all
	}
	if _, missing := j.ungrouped(CheckTargets); missing {
		all[readiness.HealthyTargets], all[readiness.HealthyZones] = 0, 0
		return all
	}
	fewest, zones, known := -1, -1, true
	for _, t := range j.groups {
		if n := t.healthy(); fewest < 0 || n < fewest {
			fewest = n
		}
		names, whole := t.zones()
		known = known && whole
		if zones < 0 || len(names) < zones {
			zones = len(names)
		}
	}
	all[readiness.HealthyTargets] = float64(fewest)
	if known {
		all[readiness.HealthyZones] = float64(zones)
	}
	return all
}
