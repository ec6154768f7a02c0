package route53

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// The actions that a look needs.
const (
	actionZones   = "route53:ListHostedZones"
	actionRecords = "route53:ListResourceRecordSets"
	actionChecks  = "route53:ListHealthChecks"
	actionState   = "route53:GetHealthCheckStatus"
)

const (
	minute = time.Minute
	// zonesEvery is how often the zones are listed: they hardly ever change.
	zonesEvery = 10 * minute
	// aMinute is how many calls a minute the listings of records take, and as many the
	// states of health checks: what is more is asked less often.
	aMinute = 20
	// keepFor is for how long an answer serves while Route 53 turns us away.
	keepFor = 15 * minute
	// retry is for how long a failure is told again.
	retry = 15 * time.Second
	// pageSize is the most record sets that one call tells.
	// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html
	pageSize = 300
)

// Fleet is what Route 53 tells of everything that the probes of a pool look at: it is
// asked for all of them at once. They are all made before the first of them looks.
type Fleet struct {
	pool *awsapi.Pool
	pace time.Duration

	mu       sync.Mutex
	accounts map[*awsapi.Session]*account
	budgets  map[string]*budget
}

// NewFleet makes a fleet that has asked nothing yet. It starts nothing.
func NewFleet(pool *awsapi.Pool) *Fleet {
	return &Fleet{pool: pool, pace: pace, accounts: make(map[*awsapi.Session]*account), budgets: make(map[string]*budget)}
}

// account is Route 53 as one principal.
type account struct {
	session *awsapi.Session
	client  *awsapi.Shared[*route53.Client]
	budget  *budget
	zones   *awsapi.Shared[[]zone]
	checks  *awsapi.Shared[checked]

	mu      sync.Mutex
	wanted  map[want]map[string]bool // names of records, by zone
	records map[string]*awsapi.Shared[listing]
	beyond  map[string][]string // names that records lead to, by id of the zone
	states  map[string]*state
	watched int       // how many of them are wanted
	counted time.Time // when that was counted
}

// want is a zone as the file names it.
type want struct {
	zone    string
	private bool
}

// listing is what was found of a zone, and when that was begun.
type listing struct {
	records records
	begun   time.Time
}

// checked are the health checks of an account, and when listing them was begun.
type checked struct {
	checks checks
	begun  time.Time
}

// account gives the one of an access, whose region is filled in.
func (f *Fleet) account(a awsapi.Access) *account {
	session := f.pool.Session(a)
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.accounts[session]; known != nil {
		return known
	}
	owner := ownerOf(a)
	if f.budgets[owner] == nil {
		f.budgets[owner] = &budget{now: session.Now, pace: f.pace}
	}
	made := newAccount(session, f.budgets[owner])
	f.accounts[session] = made
	return made
}

// ownerOf names the account, as far as an access tells: those of one role's account
// share its budget, and those of one profile.
func ownerOf(a awsapi.Access) string {
	if role, err := awsarn.Parse(a.RoleARN); err == nil {
		return role.AccountID
	}
	return "profile " + a.Profile
}

func newAccount(s *awsapi.Session, b *budget) *account {
	a := &account{
		session: s, budget: b,
		wanted: make(map[want]map[string]bool), records: make(map[string]*awsapi.Shared[listing]),
		beyond: make(map[string][]string), states: make(map[string]*state),
	}
	a.client = awsapi.NewClient(s, func(cfg aws.Config) *route53.Client {
		return route53.NewFromConfig(cfg, func(o *route53.Options) { o.Retryer = aws.NopRetryer{} }) // each attempt takes a turn of its own
	})
	zones, all := newSweep(s.Now, a.pageOfZones), newSweep(s.Now, a.pageOfChecks)
	seldom := awsapi.Every(zonesEvery)
	seldom.Retry = retry
	a.zones = awsapi.NewShared(seldom, s.Now, func(ctx context.Context) ([]zone, error) {
		found, _, err := zones.all(ctx, nil)
		return found, err
	})
	a.checks = awsapi.NewShared(a.freshness(1), s.Now, func(ctx context.Context) (checked, error) {
		found, begun, err := all.all(ctx, nil)
		c := checked{checks: make(checks, len(found)), begun: begun}
		for _, h := range found {
			c.checks[h.id] = h
		}
		return c, err
	})
	return a
}

// freshness is that of what takes so many calls and is wanted once a minute, or as the
// access says: then as often as the number of calls allows.
func (a *account) freshness(calls int) awsapi.Freshness {
	period := cmp.Or(a.session.Access().MaxAge, minute)
	f := awsapi.Every(max(period, time.Duration(calls)*minute/aMinute))
	f.Keep, f.Retry = max(f.Keep, keepFor), retry
	return f
}

// want joins a record to those that are asked for.
func (a *account) want(c Config, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := want{c.Zone, c.Private}
	if a.wanted[w] == nil {
		a.wanted[w] = make(map[string]bool)
	}
	a.wanted[w][name] = true
}

// names lists what is wanted, by the id of the zone.
func (a *account) names(all []zone) map[string][]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	byZone := make(map[string][]string)
	for w, wanted := range a.wanted {
		c := Config{Zone: w.zone, Private: w.private}
		id, known := c.zoneID()
		if !known {
			z, _, found := zoneOf(c, "", all)
			if !found {
				continue
			}
			id = z.id
		}
		for name := range wanted {
			byZone[id] = append(byZone[id], name)
		}
	}
	return byZone
}

// inOrder sorts names as a listing does.
func inOrder(names []string) []string {
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	return slices.Compact(names)
}

// cost is how many calls it takes to list the records of all zones: one for each name,
// or one for each page of the zone where that is less.
func (a *account) cost(all []zone) int {
	names, calls := a.names(all), 0
	for _, z := range all {
		pages := int((z.records + pageSize - 1) / pageSize)
		calls += min(len(names[z.id]), max(1, pages))
	}
	return calls
}

// recordsOf asks for the wanted records of a zone.
func (a *account) recordsOf(ctx context.Context, z zone, all []zone) (listing, error) {
	a.mu.Lock()
	shared := a.records[z.id]
	a.mu.Unlock()
	if shared == nil {
		freshness := a.freshness(a.cost(all))
		a.mu.Lock()
		if shared = a.records[z.id]; shared == nil {
			shared = awsapi.NewShared(freshness, a.session.Now, a.lister(z))
			a.records[z.id] = shared
		}
		a.mu.Unlock()
	}
	answer, err := shared.Get(ctx)
	return answer.Value, err
}

// call makes one call when its turn has come, and makes it again where the way to
// Route 53 failed it.
func call[O any](ctx context.Context, a *account, action string, ask func(context.Context, *route53.Client) (O, error)) (O, error) {
	var none O
	client, err := a.client.Get(ctx)
	if err != nil {
		return none, err
	}
	for attempt := 1; ; attempt++ {
		if err := a.budget.take(ctx, callsAMinute, patience); err != nil {
			return none, err
		}
		answer, err := ask(ctx, client.Value)
		a.budget.told(err)
		if err == nil || attempt == 2 || probes.AsFailure(a.session.Failure(err, action)).Class != readiness.Unreachable {
			return answer, err
		}
	}
}

func (a *account) pageOfZones(ctx context.Context, from *string) ([]zone, *string, bool, error) {
	page, err := call(ctx, a, actionZones, func(ctx context.Context, c *route53.Client) (*route53.ListHostedZonesOutput, error) {
		return c.ListHostedZones(ctx, &route53.ListHostedZonesInput{Marker: from})
	})
	if err != nil {
		return nil, nil, false, err
	}
	if err := whole(page.MaxItems, page.IsTruncated, page.NextMarker); err != nil {
		return nil, nil, false, err
	}
	var all []zone
	for _, z := range page.HostedZones {
		all = append(all, fromZone(z))
	}
	return all, page.NextMarker, page.IsTruncated, nil
}

// whole refuses a page that lacks what each has: the SDK reads any XML as an empty one.
func whole(items *int32, more bool, next *string) error {
	switch {
	case items == nil:
		return &smithy.DeserializationError{Err: errors.New("a page without MaxItems is none of Route 53")}
	case more && aws.ToString(next) == "":
		return &smithy.DeserializationError{Err: errors.New("there is more, and it does not say where")}
	}
	return nil
}

func fromZone(z types.HostedZone) zone {
	made := zone{id: strings.TrimPrefix(aws.ToString(z.Id), "/hostedzone/"), name: canonical(aws.ToString(z.Name)), records: aws.ToInt64(z.ResourceRecordSetCount)}
	if z.Config != nil {
		made.private = z.Config.PrivateZone
	}
	if z.Features != nil {
		made.accelerated = string(z.Features.AcceleratedRecoveryStatus)
	}
	return made
}

func (a *account) pageOfChecks(ctx context.Context, from *string) ([]healthCheck, *string, bool, error) {
	page, err := call(ctx, a, actionChecks, func(ctx context.Context, c *route53.Client) (*route53.ListHealthChecksOutput, error) {
		return c.ListHealthChecks(ctx, &route53.ListHealthChecksInput{Marker: from, MaxItems: aws.Int32(1000)})
	})
	if err != nil {
		return nil, nil, false, err
	}
	if err := whole(page.MaxItems, page.IsTruncated, page.NextMarker); err != nil {
		return nil, nil, false, err
	}
	var all []healthCheck
	for _, h := range page.HealthChecks {
		all = append(all, fromCheck(h))
	}
	return all, page.NextMarker, page.IsTruncated, nil
}

// fromCheck fills in what Route 53 does where nothing is said.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
func fromCheck(h types.HealthCheck) healthCheck {
	made := healthCheck{id: aws.ToString(h.Id)}
	c := h.HealthCheckConfig
	if c == nil {
		return made
	}
	made.kind = string(c.Type)
	made.fqdn, made.ip, made.port = aws.ToString(c.FullyQualifiedDomainName), aws.ToString(c.IPAddress), int(aws.ToInt32(c.Port))
	made.path, made.search = aws.ToString(c.ResourcePath), aws.ToString(c.SearchString)
	made.interval = time.Duration(cmp.Or(aws.ToInt32(c.RequestInterval), 30)) * time.Second
	made.threshold = int(cmp.Or(aws.ToInt32(c.FailureThreshold), 3))
	made.inverted, made.disabled = aws.ToBool(c.Inverted), aws.ToBool(c.Disabled)
	made.children, made.needed = c.ChildHealthChecks, int(aws.ToInt32(c.HealthThreshold))
	made.control = aws.ToString(c.RoutingControlArn)
	for _, region := range c.Regions {
		made.regions = append(made.regions, string(region))
	}
	if made.port == 0 && strings.HasPrefix(made.kind, "HTTP") {
		made.port = 80
		if strings.HasPrefix(made.kind, "HTTPS") {
			made.port = 443
		}
	}
	made.alarm.withoutData = string(c.InsufficientDataHealthStatus)
	if c.AlarmIdentifier != nil {
		made.alarm.name, made.alarm.region = aws.ToString(c.AlarmIdentifier.Name), string(c.AlarmIdentifier.Region)
	}
	if w := h.CloudWatchAlarmConfiguration; w != nil {
		made.alarm.period, made.alarm.periods = time.Duration(aws.ToInt32(w.Period))*time.Second, int(aws.ToInt32(w.EvaluationPeriods))
	}
	return made
}

// errGone says that the zone was deleted after it was listed.
var errGone = errors.New("the zone is gone")

func gone(z zone, err error) error {
	var missing *types.NoSuchHostedZone
	if errors.As(err, &missing) {
		return fmt.Errorf("zone %s: %w", z.id, errGone)
	}
	return err
}
