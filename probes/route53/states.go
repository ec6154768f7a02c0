package route53

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// state is what the checkers of one health check say. There is no call that tells it
// of several, so they are asked in turns.
type state struct {
	shared *awsapi.Shared[report]

	last   awsapi.Answer[report]
	known  bool
	wanted time.Time
}

const (
	// stateKept is for how long a state serves at the most that had no turn since. Where
	// its turn comes sooner, it is two of them, or as long as a listing.
	stateKept = time.Hour
	// stateRetry is for how long a state that is denied is not asked for again.
	stateRetry = time.Minute
	// stateTime is the longest that a look waits for states: they must not cost it the rest.
	stateTime = 2 * time.Second
)

// errTurn says that there are so many health checks that this one was not asked yet.
var errTurn = errors.New("its turn to be asked has not come yet")

// reports asks for the states of some health checks, as far as it is their turn.
func (a *account) reports(ctx context.Context, of []healthCheck) map[string]report {
	within := stateTime
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	all := make(map[string]report)
	for _, h := range of {
		if _, asked := all[h.id]; asked || h.disabled {
			continue
		}
		if endpointType(h.kind) {
			all[h.id] = a.report(ctx, h.id)
		} else {
			all[h.id] = a.metric(ctx, h.id)
		}
	}
	return all
}

// report gives what the checkers of an endpoint say: now when it is its turn, else
// when it was last.
func (a *account) report(ctx context.Context, id string) report {
	s, last, fresh := a.turnOf(id)
	if fresh {
		return last
	}
	answer, err := s.shared.Get(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	var held *heldBack
	switch {
	case err == nil:
		s.last, s.known = answer, true
	case errors.As(err, &held) && !s.known:
		return report{err: errTurn}
	case awsapi.Throttled(err) && s.known && readiness.Elapsed(s.last.At, a.session.Now()) < min(stateKept, max(keepFor, 2*a.freshness(a.watched).Fresh)):
	default:
		return report{err: a.session.Failure(err, actionState)}
	}
	r := s.last.Value
	r.at = s.last.At
	return r
}

// turnOf gives the state of a health check, and whether what was told last will do.
func (a *account) turnOf(id string) (*state, report, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.session.Now()
	s := a.states[id]
	if s == nil {
		f := a.freshness(1)
		f.Keep, f.Retry = keepFor, stateRetry
		s = &state{shared: awsapi.NewShared(f, a.session.Now, func(ctx context.Context) (report, error) { return a.askState(ctx, id) })}
		a.states[id] = s
		a.watched++
	}
	s.wanted = now
	if readiness.Elapsed(a.counted, now) >= minute {
		maps.DeleteFunc(a.states, func(_ string, s *state) bool { return readiness.Elapsed(s.wanted, now) >= stateKept })
		a.watched, a.counted = len(a.states), now
	}
	last := s.last.Value
	last.at = s.last.At
	return s, last, s.known && readiness.Elapsed(s.last.At, now) < a.freshness(a.watched).Fresh
}

// askState asks what the checkers of a health check say.
func (a *account) askState(ctx context.Context, id string) (report, error) {
	client, err := a.client.Get(ctx)
	if err != nil {
		return report{}, err
	}
	if err := a.budget.take(ctx, statesAMinute, statePatience); err != nil {
		return report{}, err
	}
	answer, err := client.Value.GetHealthCheckStatus(ctx, &route53.GetHealthCheckStatusInput{HealthCheckId: aws.String(id)})
	a.budget.told(err)
	if err != nil {
		return report{}, err
	}
	return fromObservations(answer.HealthCheckObservations), nil
}

// fromObservations counts the checkers by what they say: "Success: ..." or
// "Failure: ...". What is neither has not come to a conclusion.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html
func fromObservations(all []types.HealthCheckObservation) report {
	var r report
	regions := make(map[types.HealthCheckRegion]bool)
	for _, o := range all {
		says := ""
		if o.StatusReport != nil {
			says = aws.ToString(o.StatusReport.Status)
		}
		switch {
		case strings.HasPrefix(says, "Success"):
			r.healthy++
		case strings.HasPrefix(says, "Failure"):
			if region := text(string(o.Region)); !slices.Contains(r.unhealthy, region) {
				r.unhealthy = append(r.unhealthy, region)
			}
			r.reason = says
		default:
			continue
		}
		regions[o.Region] = true
		r.of++
	}
	slices.Sort(r.unhealthy)
	r.regions = len(regions)
	return r
}

// metric reads what Route 53 publishes of a health check that no checkers look at. No
// call of its API tells the state of those.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-cloudwatch.html
func (a *account) metric(ctx context.Context, id string) report {
	series := a.session.Metric(awsapi.Metric{Namespace: "AWS/Route53", Name: "HealthCheckStatus", Dimension: "HealthCheckId", Value: id, Stat: "Minimum", Period: minute})
	point, found, err := series.Latest(ctx)
	switch {
	case err != nil:
		return report{err: err}
	case !found:
		return report{err: errNoMetric}
	}
	r := report{at: point.At, of: 1, regions: 1, metric: true}
	if point.Value >= 1 {
		r.healthy = 1
	}
	return r
}

// errNoMetric says that there is no metric in place of a state.
var errNoMetric = errors.New("CloudWatch has no HealthCheckStatus of it for the last hour, or was not asked yet")
