package aws

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"
)

// metricTarget begins the name of an operation in the JSON protocol, which the SDK
// for JavaScript speaks.
// https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
const metricTarget = "GraniteServiceVersion20100801."

const metricKind = "application/x-amz-json-1.0"

func speaksJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("X-Amz-Target"), metricTarget)
}

func readMetricJSON(body []byte) (metricRequest, error) {
	var in struct {
		StartTime, EndTime float64 // seconds since the epoch
		ScanBy, NextToken  string
		MaxDatapoints      int
		MetricDataQueries  []struct {
			ID, Label, Expression string
			MetricStat            struct {
				Metric struct {
					Namespace, MetricName string
					Dimensions            []struct{ Name, Value string }
				}
				Period int
				Stat   string
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return metricRequest{}, badRequest("SerializationException", err.Error())
	}
	r := metricRequest{start: ofSeconds(in.StartTime), end: ofSeconds(in.EndTime), ascending: in.ScanBy == "TimestampAscending", token: in.NextToken, most: in.MaxDatapoints}
	for _, one := range in.MetricDataQueries {
		stat := one.MetricStat
		q := metricQuery{
			id: one.ID, label: one.Label, expression: one.Expression, stat: stat.Stat, period: time.Duration(stat.Period) * time.Second,
			key: gaugeKey{namespace: stat.Metric.Namespace, name: stat.Metric.MetricName}, dimensions: len(stat.Metric.Dimensions),
		}
		for _, d := range stat.Metric.Dimensions {
			q.key.dimension, q.key.of = d.Name, d.Value
		}
		r.queries = append(r.queries, q)
	}
	return r, nil
}

func ofSeconds(seconds float64) time.Time {
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

func metricJSON(results []metricResult, token string) any {
	list := []any{}
	for _, r := range results {
		times, values := []int64{}, []float64{}
		for _, p := range r.points {
			times, values = append(times, p.at.Unix()), append(values, p.value)
		}
		list = append(list, map[string]any{"Id": r.id, "Label": r.label, "StatusCode": r.status, "Timestamps": times, "Values": values})
	}
	answer := map[string]any{"MetricDataResults": list, "Messages": []any{}}
	if token != "" {
		answer["NextToken"] = token
	}
	return answer
}
