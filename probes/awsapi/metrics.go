package awsapi

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

const (
	// metricsPerCall is the most that GetMetricData takes.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
	metricsPerCall = 500
	// metricsWindow is how far back the newest datapoint is looked for. A call
	// returns up to 100,800 datapoints: 500 metrics of a minute's period for three
	// hours would fit.
	metricsWindow = time.Hour
)

// Metric names a metric of CloudWatch with one dimension, as those of RDS have.
type Metric struct {
	Namespace, Name  string
	Dimension, Value string
	Stat             string        // such as Average or Maximum
	Period           time.Duration // whole minutes
}

// Datapoint is one value and the moment, on the clock of AWS, at which its
// period began.
type Datapoint struct {
	At    time.Time
	Value float64
}

// metrics are all metrics that probes of a session want to read.
type metrics struct {
	client *Shared[*cloudwatch.Client]
	batch  *Shared[map[Metric]Datapoint]

	mu     sync.Mutex
	wanted []Metric
	known  map[Metric]bool
}

// newMetrics reads once a minute, which is as often as RDS publishes: each
// reading of a metric has its price, and more would tell nothing new.
func newMetrics(s *Session) *metrics {
	m := &metrics{known: make(map[Metric]bool)}
	m.client = NewClient(s, func(cfg aws.Config) *cloudwatch.Client { return cloudwatch.NewFromConfig(cfg) })
	m.batch = NewShared(s.Every(time.Minute), s.Now, func(ctx context.Context) (map[Metric]Datapoint, error) { return m.read(ctx, s.Now()) })
	return m
}

// Series is one metric among those that are read together.
type Series struct {
	session *Session
	metric  Metric
}

// Metric joins a metric to those that the session reads together. Probes do so
// when they are made, so that the first reading has all of them.
func (s *Session) Metric(m Metric) *Series {
	s.metrics.mu.Lock()
	defer s.metrics.mu.Unlock()
	if !s.metrics.known[m] {
		s.metrics.known[m] = true
		s.metrics.wanted = append(s.metrics.wanted, m)
	}
	return &Series{session: s, metric: m}
}

// Latest gives the newest datapoint of the last hour; false where there is none.
// It needs the action cloudwatch:GetMetricData.
func (x *Series) Latest(ctx context.Context) (point Datapoint, ok bool, err error) {
	answer, err := x.session.metrics.batch.Get(ctx)
	if err != nil {
		return Datapoint{}, false, x.session.Failure(err, "cloudwatch:GetMetricData")
	}
	point, ok = answer.Value[x.metric]
	return point, ok, nil
}

// read reads every metric that is wanted, 500 in a call.
func (m *metrics) read(ctx context.Context, now time.Time) (map[Metric]Datapoint, error) {
	client, err := m.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	wanted := slices.Clone(m.wanted)
	m.mu.Unlock()
	found := make(map[Metric]Datapoint, len(wanted))
	for batch := range slices.Chunk(wanted, metricsPerCall) {
		if err := readBatch(ctx, client.Value, now, batch, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func readBatch(ctx context.Context, client *cloudwatch.Client, now time.Time, batch []Metric, found map[Metric]Datapoint) error {
	pages := cloudwatch.NewGetMetricDataPaginator(client, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(now.Add(-metricsWindow).Truncate(time.Minute)), EndTime: aws.Time(now.Add(time.Minute).Truncate(time.Minute)),
		ScanBy: types.ScanByTimestampDescending, MetricDataQueries: queries(batch),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, result := range page.MetricDataResults {
			i, err := strconv.Atoi(strings.TrimPrefix(aws.ToString(result.Id), "m"))
			if err != nil || i < 0 || i >= len(batch) {
				return probes.Fail(readiness.Malformed, "read metrics: AWS answers a query %q that was not asked", aws.ToString(result.Id))
			}
			for j, at := range result.Timestamps[:min(len(result.Timestamps), len(result.Values))] {
				if at.After(found[batch[i]].At) {
					found[batch[i]] = Datapoint{At: at, Value: result.Values[j]}
				}
			}
		}
	}
	return nil
}

func queries(batch []Metric) []types.MetricDataQuery {
	all := make([]types.MetricDataQuery, len(batch))
	for i, m := range batch {
		all[i] = types.MetricDataQuery{
			Id: aws.String("m" + strconv.Itoa(i)),
			MetricStat: &types.MetricStat{
				Metric: &types.Metric{
					Namespace: aws.String(m.Namespace), MetricName: aws.String(m.Name),
					Dimensions: []types.Dimension{{Name: aws.String(m.Dimension), Value: aws.String(m.Value)}},
				},
				Period: aws.Int32(int32(m.Period / time.Second)), Stat: aws.String(m.Stat), //nolint:gosec // minutes
			},
		}
	}
	return all
}
