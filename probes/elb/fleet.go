package elb

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/drwatch/drwatch/probes/awsapi"
)

// The actions that a look needs.
const (
	actionBalancers = "elasticloadbalancing:DescribeLoadBalancers"
	actionGroups    = "elasticloadbalancing:DescribeTargetGroups"
	actionHealth    = "elasticloadbalancing:DescribeTargetHealth"
)

const (
	// namesPerCall is the most that one call takes.
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeLoadBalancers.html
	namesPerCall = 20
	// callsAtOnce keeps us far from the 40 calls that a region takes in a moment.
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html
	callsAtOnce = 4
)

// Fleet is what AWS tells of all load balancers that the probes of a pool look at. The
// probes are all made before the first of them looks.
type Fleet struct {
	pool *awsapi.Pool

	mu      sync.Mutex
	regions map[*awsapi.Session]*region
}

// NewFleet makes a fleet that has asked nothing yet. It starts nothing.
func NewFleet(pool *awsapi.Pool) *Fleet {
	return &Fleet{pool: pool, regions: make(map[*awsapi.Session]*region)}
}

// region is Elastic Load Balancing as one principal in one region.
type region struct {
	session   *awsapi.Session
	client    *awsapi.Shared[*elbv2.Client]
	balancers *awsapi.Shared[map[string]balancer] // by name
	groups    *awsapi.Shared[map[string][]group]  // by ARN of the load balancer
	slots     chan struct{}

	mu      sync.Mutex
	wanted  []string                            // names of load balancers
	missing map[string]bool                     // those that were not there when last asked for
	targets map[string]*awsapi.Shared[[]target] // by ARN of the target group
}

// balancer is a load balancer.
type balancer struct {
	name, arn, dns string
	state, reason  string
	scheme, kind   string
	zones          []string
}

// group is a target group.
type group struct {
	name, arn string
	kind      string // of its targets: instance, ip, lambda or alb
}

// target is what a target group sends requests to.
type target struct {
	id, zone                   string
	state, reason, description string
}

func (f *Fleet) region(a awsapi.Access) *region {
	session := f.pool.Session(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.regions[session]
	if r == nil {
		r = newRegion(session)
		f.regions[session] = r
	}
	return r
}

func newRegion(s *awsapi.Session) *region {
	r := &region{
		session: s, slots: make(chan struct{}, callsAtOnce), missing: make(map[string]bool), targets: make(map[string]*awsapi.Shared[[]target]),
		client: awsapi.NewClient(s, func(cfg aws.Config) *elbv2.Client { return elbv2.NewFromConfig(cfg, promptly) }),
	}
	r.balancers = awsapi.NewShared(s.Every(time.Minute), s.Now, r.askBalancers)
	r.groups = awsapi.NewShared(s.Every(time.Minute), s.Now, r.askGroups)
	return r
}

// promptly has a call that is turned away fail at once, where the SDK would wait: a look
// asks three questions one after the other, and what was known before serves each of
// them meanwhile. It asks again when the failure is no longer told, which is no storm.
func promptly(o *elbv2.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		turnedAway := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if awsapi.Throttled(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{turnedAway}, o.Retryables...)
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 50 * time.Millisecond, nil })
	})
}

// want joins a load balancer to those that are asked for.
func (r *region) want(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.wanted, name) {
		r.wanted = append(r.wanted, name)
	}
}

// targetsOf is the question for the targets of a group.
func (r *region) targetsOf(arn string) *awsapi.Shared[[]target] {
	r.mu.Lock()
	defer r.mu.Unlock()
	shared := r.targets[arn]
	if shared == nil {
		shared = awsapi.NewShared(r.session.Every(time.Minute), r.session.Now, func(ctx context.Context) ([]target, error) { return r.askTargets(ctx, arn) })
		r.targets[arn] = shared
	}
	return shared
}

// askBalancers asks for all that are wanted, 20 in a call. One that is not there fails
// the call for the others: after that each of them is asked for alone, and later those
// that were missing.
func (r *region) askBalancers(ctx context.Context) (map[string]balancer, error) {
	found := make(map[string]balancer)
	together, alone := r.batches()
	for names := range slices.Chunk(together, namesPerCall) {
		there, err := r.askNamed(ctx, names, found)
		if err != nil {
			return nil, err
		}
		if !there {
			alone = append(alone, names...)
		}
	}
	for _, name := range alone {
		there, err := r.askNamed(ctx, []string{name}, found)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		r.missing[name] = !there
		r.mu.Unlock()
	}
	return found, nil
}

// batches lists the names that may be asked for together, and those that were missing.
func (r *region) batches() (together, alone []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.wanted {
		if r.missing[name] {
			alone = append(alone, name)
		} else {
			together = append(together, name)
		}
	}
	return together, alone
}

// askNamed adds some load balancers to those that were found; false where one of them
// is not there.
func (r *region) askNamed(ctx context.Context, names []string, found map[string]balancer) (bool, error) {
	client, err := r.client.Get(ctx)
	if err != nil {
		return false, err
	}
	answer, err := client.Value.DescribeLoadBalancers(ctx, &elbv2.DescribeLoadBalancersInput{Names: names})
	var missing *types.LoadBalancerNotFoundException
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, lb := range answer.LoadBalancers {
		made := balancer{
			name: aws.ToString(lb.LoadBalancerName), arn: aws.ToString(lb.LoadBalancerArn), dns: aws.ToString(lb.DNSName),
			scheme: string(lb.Scheme), kind: string(lb.Type),
		}
		if lb.State != nil {
			made.state, made.reason = string(lb.State.Code), aws.ToString(lb.State.Reason)
		}
		for _, zone := range lb.AvailabilityZones {
			made.zones = append(made.zones, aws.ToString(zone.ZoneName))
		}
		found[made.name] = made
	}
	return true, nil
}

// askGroups asks for all target groups of the region: 400 in a call, where one by load
// balancer would be a call for each.
func (r *region) askGroups(ctx context.Context) (map[string][]group, error) {
	client, err := r.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	byBalancer, there := make(map[string][]group), make(map[string]bool)
	pages := elbv2.NewDescribeTargetGroupsPaginator(client.Value, &elbv2.DescribeTargetGroupsInput{PageSize: aws.Int32(400)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.TargetGroups {
			there[aws.ToString(g.TargetGroupArn)] = true
			for _, arn := range g.LoadBalancerArns {
				byBalancer[arn] = append(byBalancer[arn], group{text(aws.ToString(g.TargetGroupName)), aws.ToString(g.TargetGroupArn), string(g.TargetType)})
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.targets, func(arn string, _ *awsapi.Shared[[]target]) bool { return !there[arn] })
	return byBalancer, nil
}

// askTargets asks for the health of the targets of a group: there is no call for more
// than one group.
func (r *region) askTargets(ctx context.Context, arn string) ([]target, error) {
	client, err := r.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answer, err := client.Value.DescribeTargetHealth(ctx, &elbv2.DescribeTargetHealthInput{TargetGroupArn: aws.String(arn)})
	if err != nil {
		return nil, err
	}
	var all []target
	for _, d := range answer.TargetHealthDescriptions {
		t := target{}
		if d.Target != nil {
			t.id, t.zone = aws.ToString(d.Target.Id), aws.ToString(d.Target.AvailabilityZone)
		}
		if d.TargetHealth != nil {
			t.state, t.reason, t.description = string(d.TargetHealth.State), string(d.TargetHealth.Reason), aws.ToString(d.TargetHealth.Description)
		}
		all = append(all, t)
	}
	return all, nil
}
