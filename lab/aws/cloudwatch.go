package aws

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// CloudWatch tells metrics. Nothing is stored: each value is made when it is asked
// for, so that the clock may be that of a test.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html
type CloudWatch struct {
	cloud *Cloud

	mu      sync.Mutex
	gauges  map[gaugeKey]Gauge
	silence map[gaugeKey]silence
}

// Gauge is a metric that has one value in each minute.
type Gauge struct {
	Region, Namespace, Name string
	Dimension, Of           string // such as DBInstanceIdentifier and the identifier
	// Value is that of the minute which begins at the moment given; false where
	// nothing was published.
	Value func(ctx context.Context, minute time.Time) (value float64, published bool)
}

type gaugeKey struct{ region, namespace, name, dimension, of string }

func (g Gauge) key() gaugeKey {
	return gaugeKey{g.Region, g.Namespace, g.Name, g.Dimension, g.Of}
}

// silence is what keeps datapoints from being seen.
type silence struct {
	late        time.Duration
	from, until time.Time
}

func newCloudWatch(c *Cloud) *CloudWatch {
	return &CloudWatch{cloud: c, gauges: make(map[gaugeKey]Gauge), silence: make(map[gaugeKey]silence)}
}

// CloudWatch gives the metrics of this AWS.
func (c *Cloud) CloudWatch() *CloudWatch { return c.services["monitoring"].(*CloudWatch) }

// Publish makes a metric, or makes it anew.
func (w *CloudWatch) Publish(g Gauge) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gauges[g.key()] = g
}

// Delay makes the datapoints of a metric arrive later than they are taken.
func (w *CloudWatch) Delay(region, name, of string, by time.Duration) {
	w.mute(region, name, of, func(s *silence) { s.late = by })
}

// Silence takes the datapoints of a metric away from a moment on, up to another;
// zero is for ever.
func (w *CloudWatch) Silence(region, name, of string, from, until time.Time) {
	w.mute(region, name, of, func(s *silence) { s.from, s.until = from, until })
}

// Speak ends every delay and silence of a metric.
func (w *CloudWatch) Speak(region, name, of string) {
	w.mute(region, name, of, func(s *silence) { *s = silence{} })
}

func (w *CloudWatch) mute(region, name, of string, change func(*silence)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key := range w.gauges {
		if key.region == region && key.name == name && key.of == of {
			s := w.silence[key]
			change(&s)
			w.silence[key] = s
		}
	}
}

// metricQuery is one of the MetricDataQueries of a call.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
type metricQuery struct {
	id, label  string
	key        gaugeKey
	dimensions int
	period     time.Duration
	stat       string
	expression string
}

// metricRequest is a call of GetMetricData.
type metricRequest struct {
	queries    []metricQuery
	start, end time.Time
	ascending  bool
	most       int // of datapoints; 0 is the default
	token      string
}

// metricResult is what came of a query.
type metricResult struct {
	id, label, status string
	points            []metricPoint
}

type metricPoint struct {
	at    time.Time
	value float64
}

const (
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
	metricQueriesPerCall = 500
	metricPointsPerCall  = 100800
)

// getMetricData answers in pages: it gives as many datapoints as a call may, and a
// token for those that follow.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
func (w *CloudWatch) getMetricData(ctx context.Context, region string, r metricRequest) (results []metricResult, token string, err error) {
	if err := r.validate(); err != nil {
		return nil, "", err
	}
	skip, most := 0, cmp.Or(r.most, metricPointsPerCall)
	if r.token != "" {
		if skip, err = strconv.Atoi(r.token); err != nil || skip < 0 {
			return nil, "", badRequest("InvalidNextToken", "The next token specified is invalid.")
		}
	}
	seen := 0
	for _, q := range r.queries {
		q.key.region = region
		points := w.points(ctx, q, r)
		result := metricResult{id: q.id, label: cmp.Or(q.label, q.key.name), status: "Complete"}
		for _, p := range points {
			if seen >= skip && seen < skip+most {
				result.points = append(result.points, p)
			}
			seen++
		}
		switch {
		case seen > skip+most:
			result.status, token = "PartialData", strconv.Itoa(skip+most)
		case seen-len(points) < skip && len(result.points) == 0 && len(points) > 0:
			continue // told on an earlier page
		}
		results = append(results, result)
	}
	return results, token, nil
}

func (r metricRequest) validate() error {
	switch {
	case len(r.queries) == 0:
		return badRequest("ValidationError", "The parameter MetricDataQueries is required.")
	case len(r.queries) > metricQueriesPerCall:
		return badRequest("ValidationError", "The collection MetricDataQueries must not have a size greater than 500.")
	case !r.start.Before(r.end):
		return badRequest("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
	case r.most < 0 || r.most > metricPointsPerCall:
		return badRequest("ValidationError", "The parameter MaxDatapoints must be between 1 and 100800.")
	}
	ids := map[string]bool{}
	for _, q := range r.queries {
		switch {
		case q.id == "" || q.id[0] < 'a' || q.id[0] > 'z' || ids[q.id]:
			return badRequest("ValidationError", "The value '"+q.id+"' for parameter MetricDataQueries Id must be unique and begin with a lower case letter.")
		case q.expression != "":
			return badRequest("ValidationError", "Expressions are not known here.")
		case q.period < time.Minute || q.period%time.Minute != 0:
			return badRequest("ValidationError", "The parameter Period must be a multiple of 60.")
		case !slices.Contains([]string{"Average", "Maximum", "Minimum", "Sum", "SampleCount"}, q.stat):
			return badRequest("ValidationError", "The value '"+q.stat+"' for parameter Stat is not valid.")
		}
		ids[q.id] = true
	}
	return nil
}

// points gives the datapoints of a query: each at the beginning of its period, from
// StartTime on and before EndTime.
func (w *CloudWatch) points(ctx context.Context, q metricQuery, r metricRequest) []metricPoint {
	w.mu.Lock()
	gauge, known := w.gauges[q.key]
	quiet := w.silence[q.key]
	w.mu.Unlock()
	if !known || q.dimensions != 1 {
		return nil
	}
	now := w.cloud.options.Now()
	var points []metricPoint
	for at := r.start.Truncate(q.period); at.Before(r.end); at = at.Add(q.period) {
		if at.Before(r.start) {
			continue
		}
		var values []float64
		for minute := at; minute.Before(at.Add(q.period)); minute = minute.Add(time.Minute) {
			if minute.After(now.Add(-quiet.late)) || quiet.covers(minute) {
				continue
			}
			if v, published := gauge.Value(ctx, minute); published {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			points = append(points, metricPoint{at, statistic(q.stat, values)})
		}
	}
	if !r.ascending {
		slices.Reverse(points)
	}
	return points
}

func (s silence) covers(at time.Time) bool {
	return !s.from.IsZero() && !at.Before(s.from) && (s.until.IsZero() || at.Before(s.until))
}

func statistic(name string, values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	switch name {
	case "Maximum":
		return slices.Max(values)
	case "Minimum":
		return slices.Min(values)
	case "Sum":
		return sum
	case "SampleCount":
		return float64(len(values))
	default:
		return sum / float64(len(values))
	}
}
