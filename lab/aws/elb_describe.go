package aws

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

type wireBalancer struct {
	LoadBalancerArn, DNSName, CanonicalHostedZoneId string
	LoadBalancerName, Scheme, Type, IpAddressType   string
	State                                           string     `xml:"State>Code"`
	Zones                                           []wireArea `xml:"AvailabilityZones>member"`
}

type wireArea struct{ ZoneName string }

// describeBalancers tells load balancers by name, by ARN or all.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
func (e *ELB) describeBalancers(c *call, form url.Values) (any, error) {
	names, arns := members(form, "Names"), members(form, "LoadBalancerArns")
	if len(names) > 0 && len(arns) > 0 {
		return nil, invalid("Load balancer names and load balancer ARNs cannot be specified at the same time")
	}
	if len(names) > 20 || len(arns) > 20 {
		return nil, invalid("Up to 20 load balancers can be described in one call")
	}
	all := e.all(c)
	if missing := missingOf(names, all, func(lb LoadBalancer) string { return lb.Name }); len(missing) > 0 {
		return nil, badRequest("LoadBalancerNotFound", fmt.Sprintf("Load balancers '[%s]' not found", strings.Join(missing, ", ")))
	}
	if missing := missingOf(arns, all, func(lb LoadBalancer) string { return lb.ARN }); len(missing) > 0 {
		return nil, badRequest("LoadBalancerNotFound", "One or more load balancers not found")
	}
	all = slices.DeleteFunc(all, func(lb LoadBalancer) bool {
		return len(names) > 0 && !slices.Contains(names, lb.Name) || len(arns) > 0 && !slices.Contains(arns, lb.ARN)
	})
	part, marker, err := elbPage(form, all, func(lb LoadBalancer) string { return lb.ARN })
	if err != nil {
		return nil, err
	}
	answer := struct {
		LoadBalancers []wireBalancer `xml:"LoadBalancers>member"`
		NextMarker    string         `xml:",omitempty"`
	}{NextMarker: marker}
	for _, lb := range part {
		told := wireBalancer{
			LoadBalancerArn: lb.ARN, DNSName: lb.DNSName, CanonicalHostedZoneId: lb.HostedZoneID, LoadBalancerName: lb.Name,
			Scheme: "internet-facing", Type: lb.Type, IpAddressType: "ipv4", State: lb.State,
		}
		for _, zone := range lb.Zones {
			told.Zones = append(told.Zones, wireArea{zone})
		}
		answer.LoadBalancers = append(answer.LoadBalancers, told)
	}
	return answer, nil
}

// missingOf gives what is asked for and not there.
func missingOf[T any](asked []string, all []T, name func(T) string) []string {
	return slices.DeleteFunc(slices.Clone(asked), func(want string) bool {
		return slices.ContainsFunc(all, func(t T) bool { return name(t) == want })
	})
}

// elbPage cuts out what is asked for, PageSize (1 to 400) of them after the Marker.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
func elbPage[T any](form url.Values, all []T, key func(T) string) (part []T, marker string, err error) {
	size := 400
	if text := form.Get("PageSize"); text != "" {
		size, err = strconv.Atoi(text)
		if err != nil || size < 1 || size > 400 {
			return nil, "", invalid("Value '" + text + "' at 'pageSize' failed to satisfy constraint: Member must have value less than or equal to 400")
		}
	}
	if text := form.Get("Marker"); text != "" {
		after, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, "", invalid("Invalid marker")
		}
		all = from(all, func(t T) bool { return key(t) <= string(after) })
	}
	if len(all) <= size {
		return all, "", nil
	}
	return all[:size], base64.StdEncoding.EncodeToString([]byte(key(all[size-1]))), nil
}

type wireGroup struct {
	TargetGroupArn, TargetGroupName, Protocol string
	Port                                      int
	HealthCheckProtocol, HealthCheckPort      string
	HealthCheckEnabled                        bool
	HealthCheckIntervalSeconds                int
	HealthCheckTimeoutSeconds                 int
	HealthyThresholdCount                     int
	UnhealthyThresholdCount                   int
	HealthCheckPath                           string   `xml:",omitempty"`
	HTTPCode                                  string   `xml:"Matcher>HttpCode,omitempty"`
	LoadBalancerArns                          []string `xml:"LoadBalancerArns>member"`
	TargetType                                string
}

// behind is a target group with its load balancer.
type behind struct {
	LoadBalancer
	group TargetGroup
}

func (e *ELB) groups(c *call) []behind {
	var all []behind
	for _, lb := range e.all(c) {
		for _, g := range lb.TargetGroups {
			all = append(all, behind{lb, g})
		}
	}
	slices.SortFunc(all, func(a, b behind) int { return strings.Compare(a.group.ARN, b.group.ARN) })
	return all
}

// describeGroups tells target groups: those of a load balancer, by name, by ARN or all.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetGroups.html
func (e *ELB) describeGroups(c *call, form url.Values) (any, error) {
	balancer, names, arns := form.Get("LoadBalancerArn"), members(form, "Names"), members(form, "TargetGroupArns")
	if balancer != "" && len(missingOf([]string{balancer}, e.all(c), func(lb LoadBalancer) string { return lb.ARN })) > 0 {
		return nil, badRequest("LoadBalancerNotFound", "Load balancer '"+balancer+"' not found")
	}
	all := e.groups(c)
	if len(missingOf(names, all, func(b behind) string { return b.group.Name })) > 0 ||
		len(missingOf(arns, all, func(b behind) string { return b.group.ARN })) > 0 {
		return nil, badRequest("TargetGroupNotFound", "One or more target groups not found")
	}
	all = slices.DeleteFunc(all, func(b behind) bool {
		return balancer != "" && b.ARN != balancer || len(names) > 0 && !slices.Contains(names, b.group.Name) ||
			len(arns) > 0 && !slices.Contains(arns, b.group.ARN)
	})
	part, marker, err := elbPage(form, all, func(b behind) string { return b.group.ARN })
	if err != nil {
		return nil, err
	}
	answer := struct {
		TargetGroups []wireGroup `xml:"TargetGroups>member"`
		NextMarker   string      `xml:",omitempty"`
	}{NextMarker: marker}
	for _, b := range part {
		answer.TargetGroups = append(answer.TargetGroups, b.wire())
	}
	return answer, nil
}

// wire tells a target group with the defaults of the kind of its load balancer.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
func (b behind) wire() wireGroup {
	g := b.group
	told := wireGroup{
		TargetGroupArn: g.ARN, TargetGroupName: g.Name, Protocol: "HTTP", Port: g.Port,
		HealthCheckProtocol: "HTTP", HealthCheckPort: "traffic-port", HealthCheckEnabled: true, HealthCheckIntervalSeconds: g.Interval,
		HealthCheckTimeoutSeconds: 5, HealthyThresholdCount: 5, UnhealthyThresholdCount: g.UnhealthyThreshold,
		HealthCheckPath: g.HealthPath, HTTPCode: "200", LoadBalancerArns: []string{b.ARN}, TargetType: g.targetType(),
	}
	switch {
	case b.Type == "network" && g.HealthPath == "":
		told.Protocol, told.HealthCheckProtocol, told.HTTPCode, told.HealthCheckTimeoutSeconds = "TCP", "TCP", "", 10
	case b.Type == "network":
		told.Protocol, told.HTTPCode, told.HealthCheckTimeoutSeconds = "TCP", "200-399", 6
	case g.HealthPath == "":
		told.HealthCheckPath = "/"
	}
	return told
}

// targetType is how its targets are named. Of instances no zone is told.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (g TargetGroup) targetType() string {
	if len(g.Targets) > 0 && net.ParseIP(g.Targets[0].ID) != nil {
		return "ip"
	}
	return "instance"
}

type wireTarget struct {
	ID   string `xml:"Id"`
	Port int    `xml:",omitempty"`
	Zone string `xml:"AvailabilityZone,omitempty"`
}

type wireHealth struct {
	Target          wireTarget
	HealthCheckPort string `xml:",omitempty"`
	State           string `xml:"TargetHealth>State"`
	Reason          string `xml:"TargetHealth>Reason,omitempty"`
	Description     string `xml:"TargetHealth>Description,omitempty"`
}

// describeHealth tells the health of all targets of a group, or of some; one that
// is not registered is unused.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html
func (e *ELB) describeHealth(c *call, form url.Values) (any, error) {
	arn := form.Get("TargetGroupArn")
	if arn == "" {
		return nil, invalid("Value null at 'targetGroupArn' failed to satisfy constraint: Member must not be null")
	}
	all := e.groups(c)
	i := slices.IndexFunc(all, func(b behind) bool { return b.group.ARN == arn })
	if i < 0 {
		return nil, badRequest("TargetGroupNotFound", "Target group '"+arn+"' not found")
	}
	targets, err := wanted(form, e.targets(all[i].LoadBalancer, all[i].group))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Health []wireHealth `xml:"TargetHealthDescriptions>member"`
	}
	for _, t := range targets {
		if all[i].group.targetType() == "instance" {
			t.Zone = ""
		}
		told := wireHealth{Target: wireTarget{t.ID, t.Port, t.Zone}, HealthCheckPort: strconv.Itoa(t.Port), State: t.State, Reason: t.Reason, Description: t.Description}
		answer.Health = append(answer.Health, told)
	}
	return answer, nil
}

// wanted reads Targets.member.N.Id and Port.
func wanted(form url.Values, all []BalancedTarget) ([]BalancedTarget, error) {
	var some []BalancedTarget
	for n := 1; form.Has("Targets.member." + strconv.Itoa(n) + ".Id"); n++ {
		prefix := "Targets.member." + strconv.Itoa(n) + "."
		id, port := form.Get(prefix+"Id"), 0
		if text := form.Get(prefix + "Port"); text != "" {
			var err error
			if port, err = strconv.Atoi(text); err != nil {
				return nil, invalid("Value '" + text + "' at 'targets' failed to satisfy constraint")
			}
		}
		i := slices.IndexFunc(all, func(t BalancedTarget) bool { return t.ID == id && (port == 0 || t.Port == port) })
		if i < 0 {
			some = append(some, BalancedTarget{ID: id, Port: port, State: "unused", Reason: "Target.NotRegistered", Description: "Target is not registered to the target group"})
			continue
		}
		some = append(some, all[i])
	}
	if some == nil {
		return all, nil
	}
	return some, nil
}
