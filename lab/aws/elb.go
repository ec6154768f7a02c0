package aws

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// ELB is Elastic Load Balancing, as of its second version: Application and Network
// Load Balancers of the account of the lab, in all regions.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html
type ELB struct {
	query
	cloud *Cloud

	mu        sync.Mutex
	balancers map[string]LoadBalancer                                             // by ARN
	observers map[string]func(BalancedTarget) (state, reason, description string) // by ARN
}

// LoadBalancer is a load balancer with its target groups.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancer.html
type LoadBalancer struct {
	// ARN is made from the rest where it is empty.
	ARN, Name string
	// DNSName and HostedZoneID are what an alias record names.
	DNSName, HostedZoneID string
	Region                string
	Type                  string // application, which is the default, or network
	State                 string // active, which is the default, active_impaired, provisioning or failed
	Zones                 []string
	TargetGroups          []TargetGroup
}

// TargetGroup is what a load balancer sends requests to.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroup.html
type TargetGroup struct {
	// ARN is made from the rest where it is empty.
	ARN, Name string
	Port      int
	// HealthPath is asked for; empty is / for an Application Load Balancer, and a
	// mere connection for a Network Load Balancer.
	HealthPath string
	// Interval is in seconds, 0 is 30; UnhealthyThreshold is in failures, 0 is 2.
	Interval, UnhealthyThreshold int
	Targets                      []BalancedTarget
}

// BalancedTarget is one of a target group.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealthDescription.html
type BalancedTarget struct {
	ID   string
	Port int
	Zone string
	// State is healthy, which is the default, unhealthy, initial, draining, unused or
	// unavailable; Reason and Description say why it is not healthy.
	State, Reason, Description string
}

func newELB(c *Cloud) *ELB {
	e := &ELB{
		cloud: c, balancers: make(map[string]LoadBalancer),
		observers: make(map[string]func(BalancedTarget) (state, reason, description string)),
	}
	e.query = query{
		namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
		actions: map[string]func(*call, url.Values) (any, error){
			"DescribeLoadBalancers": e.describeBalancers,
			"DescribeTargetGroups":  e.describeGroups,
			"DescribeTargetHealth":  e.describeHealth,
		},
	}
	return e
}

// ELB gives the Elastic Load Balancing of this AWS.
func (c *Cloud) ELB() *ELB { return c.services["elasticloadbalancing"].(*ELB) }

// Put makes a load balancer, or makes it anew, with all that is behind it.
func (e *ELB) Put(lb LoadBalancer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	lb.Type = cmp.Or(lb.Type, "application")
	lb.State = cmp.Or(lb.State, "active")
	kind := map[string]string{"network": "net"}[lb.Type]
	lb.ARN = cmp.Or(lb.ARN, elbARN(lb.Region, "loadbalancer/"+cmp.Or(kind, "app")+"/"+lb.Name, "50dc6c495c0c9188"))
	lb.Zones = slices.Clone(lb.Zones)
	lb.TargetGroups = slices.Clone(lb.TargetGroups)
	for i := range lb.TargetGroups {
		g := &lb.TargetGroups[i]
		g.ARN = cmp.Or(g.ARN, elbARN(lb.Region, "targetgroup/"+g.Name, "73e2d6bc24d8a067"))
		g.Interval, g.UnhealthyThreshold = cmp.Or(g.Interval, 30), cmp.Or(g.UnhealthyThreshold, 2)
		g.Targets = slices.Clone(g.Targets)
	}
	e.balancers[lb.ARN] = lb
}

func elbARN(region, what, id string) string {
	return "arn:aws:elasticloadbalancing:" + region + ":" + Account + ":" + what + "/" + id
}

// Remove takes a load balancer away, with its target groups.
func (e *ELB) Remove(arn string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.balancers, arn)
}

// Observe has the targets of a load balancer, or of one target group, be as
// something real is: it is asked at each call. Nil ends that.
func (e *ELB) Observe(arn string, state func(BalancedTarget) (state, reason, description string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if state == nil {
		delete(e.observers, arn)
		return
	}
	e.observers[arn] = state
}

// all gives the load balancers of a region, by ARN.
func (e *ELB) all(c *call) []LoadBalancer {
	if _, _, account := e.cloud.sts.caller(c); account != Account {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []LoadBalancer
	for _, lb := range e.balancers {
		if lb.Region == c.Region {
			found = append(found, lb)
		}
	}
	slices.SortFunc(found, func(a, b LoadBalancer) int { return cmp.Compare(a.ARN, b.ARN) })
	return found
}

// targets gives those of a group as they are now. Whoever observes them is not
// under our lock, and may ask us.
func (e *ELB) targets(lb LoadBalancer, g TargetGroup) []BalancedTarget {
	e.mu.Lock()
	observe := e.observers[g.ARN]
	if observe == nil {
		observe = e.observers[lb.ARN]
	}
	e.mu.Unlock()
	targets := slices.Clone(g.Targets)
	for i := range targets {
		t := &targets[i]
		t.Port = cmp.Or(t.Port, g.Port)
		if observe != nil {
			t.State, t.Reason, t.Description = observe(*t)
		}
		t.State = cmp.Or(t.State, "healthy")
	}
	return targets
}

// Healthy is what an alias record with EvaluateTargetHealth makes of a load
// balancer, which is named by its DNS name: each target group that has targets
// needs a healthy one, and one without any is unhealthy. Known is false for a
// name that no load balancer here has.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-alias-common.html (Evaluate target health)
func (e *ELB) Healthy(dnsName string) (healthy, known bool) {
	dnsName = strings.TrimPrefix(canonical(dnsName), "dualstack.")
	e.mu.Lock()
	var of *LoadBalancer
	for _, lb := range e.balancers {
		if canonical(lb.DNSName) == dnsName {
			of = &lb
			break
		}
	}
	e.mu.Unlock()
	if of == nil {
		return false, false
	}
	for _, g := range of.TargetGroups {
		if !slices.ContainsFunc(e.targets(*of, g), func(t BalancedTarget) bool { return t.State == "healthy" }) {
			return false, true
		}
	}
	return len(of.TargetGroups) > 0, true
}
