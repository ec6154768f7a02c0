package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

func lagOf(i int) awsapi.Metric {
	return awsapi.Metric{
		Namespace: "AWS/RDS", Name: "ReplicaLag", Dimension: "DBInstanceIdentifier", Value: fmt.Sprintf("replica-%d", i), Stat: "Average", Period: time.Minute,
	}
}

// Were it to fail, each replica would have calls of its own, and AWS a bill for them;
// or one replica would be told the lag of another.
func TestMetrics_ThousandInTwoCalls(t *testing.T) {
	c := cloud(t, labaws.Options{})
	r := &recorder{}
	s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{Recorder: r})
	const all = 1000
	series := make([]*awsapi.Series, all)
	for i := range series {
		c.CloudWatch().Publish(gauge(i, float64(i)))
		series[i] = s.Metric(lagOf(i))
		require.NotNil(t, s.Metric(lagOf(i)), "wanted twice, it is read once")
	}
	errs := make([]error, all)
	var looks sync.WaitGroup
	for i := range series {
		looks.Go(func() {
			point, ok, err := series[i].Latest(t.Context())
			if err != nil || !ok || point.Value != float64(i) || time.Since(point.At) > 10*time.Minute {
				errs[i] = fmt.Errorf("replica-%d: %+v, %v: %w", i, point, ok, err)
			}
		})
	}
	looks.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 2, c.Calls()[labaws.Asked{Service: "monitoring", Operation: "GetMetricData", Region: region}])
	require.Equal(t, 2, r.of(&r.requests, "CloudWatch/GetMetricData"))
}

// Were it to fail, a metric that is not published would be taken for a zero.
func TestMetrics_MissingIsUnknown(t *testing.T) {
	c := cloud(t, labaws.Options{})
	s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{})
	_, ok, err := s.Metric(lagOf(1)).Latest(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
}

// Were it to fail, nobody would learn which action is missing.
func TestMetrics_Denied(t *testing.T) {
	c := cloud(t, labaws.Options{})
	s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{})
	c.Break(labaws.Fault{Asked: labaws.Asked{Service: "monitoring"}, Error: labaws.Denied})
	_, _, err := s.Metric(lagOf(1)).Latest(t.Context())
	failure := failed(t, err)
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "grant cloudwatch:GetMetricData")
}

func gauge(i int, value float64) labaws.Gauge {
	m := lagOf(i)
	return labaws.Gauge{
		Region: region, Namespace: m.Namespace, Name: m.Name, Dimension: m.Dimension, Of: m.Value,
		Value: func(context.Context, time.Time) (float64, bool) { return value, true },
	}
}
