package elb

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
)

// Config is the part of the file that says which load balancer AWS is asked about, and
// what has to be behind it.
type Config struct {
	LoadBalancer string   `yaml:"load_balancer" json:"load_balancer" jsonschema:"example=festivals-api-dr" jsonschema_description:"The name or the ARN of the load balancer, in the region of the part: an Application, Network or Gateway Load Balancer."`
	TargetGroups []string `yaml:"target_groups,omitempty" json:"target_groups,omitempty" jsonschema_description:"The names of the target groups that count. Without it all of the load balancer do."`
	MinHealthy   int      `yaml:"min_healthy,omitempty" json:"min_healthy,omitempty" jsonschema:"default=1,example=3" jsonschema_description:"How many targets have to be healthy, in each of the target groups."`
	MinZones     int      `yaml:"min_zones,omitempty" json:"min_zones,omitempty" jsonschema:"default=1,example=2" jsonschema_description:"In how many zones there have to be healthy targets, in each of the target groups."`

	AWS awsapi.Access `yaml:"aws,omitempty" json:"aws,omitempty" jsonschema_description:"As whom AWS is asked, and where."`
}

// namePattern is that of load balancers and of target groups.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
var namePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?$`)

// name is that of the load balancer, which its ARN tells, too.
func (c Config) name() string {
	if name, region := fromARN(c.LoadBalancer); region != "" {
		return name
	}
	return c.LoadBalancer
}

// fromARN reads arn:aws:elasticloadbalancing:<region>:<account>:loadbalancer/app/<name>/<id>.
func fromARN(text string) (name, region string) {
	arn, err := awsarn.Parse(text)
	if err != nil || arn.Service != "elasticloadbalancing" {
		return "", ""
	}
	parts := strings.Split(arn.Resource, "/")
	if len(parts) != 4 || parts[0] != "loadbalancer" {
		return "", ""
	}
	return parts[2], arn.Region
}

// Validate finds the mistakes in the configuration. It asks nobody.
func (c Config) Validate(t probes.Target) []probes.Problem {
	p := probes.Problems{}
	access := c.AWS.In(t.Part.Region)
	_, region := fromARN(c.LoadBalancer)
	switch {
	case c.LoadBalancer == "":
		p.Add("load_balancer", "missing: the name of the load balancer, or its ARN")
	case !namePattern.MatchString(c.name()):
		p.Add("load_balancer", "%q is neither the name of a load balancer nor its ARN (arn:aws:elasticloadbalancing:<region>:<account>:loadbalancer/app/<name>/<id>); its DNS name is no name", c.LoadBalancer)
	case region != "" && access.Region != "" && region != access.Region:
		p.Add("load_balancer", "it is in %s, and the part in %s: correct one of them", region, access.Region)
	}
	for i, name := range c.TargetGroups {
		switch {
		case !namePattern.MatchString(name):
			p.Add("target_groups", "%q is not the name of a target group", name)
		case slices.Contains(c.TargetGroups[:i], name):
			p.Add("target_groups", "%s is there twice", name)
		}
	}
	if c.MinHealthy < 0 {
		p.Add("min_healthy", "a number cannot be negative")
	}
	if c.MinZones < 0 {
		p.Add("min_zones", "a number cannot be negative")
	}
	if healthy, zones := cmp.Or(c.MinHealthy, 1), cmp.Or(c.MinZones, 1); zones > healthy && c.MinZones > 0 && c.MinHealthy >= 0 {
		p.Add("min_zones", "%d healthy targets cannot be in %d zones: raise min_healthy", healthy, zones)
	}
	return append(p, access.Validate()...)
}

// The checks of this probe.
const (
	CheckBalancer = "balancer"      // the load balancer is there, and routes
	CheckName     = "balancer-name" // its name is the one that clients are led to
	CheckTargets  = "targets"       // enough of its targets are healthy
	CheckZones    = "zones"         // in enough zones
)

// Checks lists the checks that are made on the load balancer, in the order in which
// people should read them.
func Checks(_ Config, t probes.Target) []string {
	names := []string{CheckBalancer}
	if own, _ := t.Sides(); len(own) > 0 {
		names = append(names, CheckName)
	}
	return append(names, CheckTargets, CheckZones)
}
