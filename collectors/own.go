package collectors

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says what is running.
type Build struct {
	Version   string
	Revision  string
	GoVersion string
}

// Own counts how drwatch itself does: the drwatch_ metrics and the durations of
// looks. Its methods may be called from many goroutines.
type Own struct {
	registry   *prometheus.Registry
	late       prometheus.Histogram
	took       *prometheus.HistogramVec
	inFlight   prometheus.Gauge
	reloaded   prometheus.Gauge
	reloadTime prometheus.Gauge
	requests   *prometheus.CounterVec
	throttles  *prometheus.CounterVec
}

// NewOwn makes the metrics of one process.
func NewOwn(b Build) *Own {
	o := &Own{
		registry: prometheus.NewRegistry(),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: schedulerLate.Name, Help: schedulerLate.Help,
			Buckets: []float64{.001, .01, .1, 1, 5, 15, 60},
		}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: probeDuration.Name, Help: probeDuration.Help,
			Buckets: []float64{.001, .005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, probeDuration.Labels),
		inFlight:   gauge(probesInFlight),
		reloaded:   gauge(reloadSuccessful),
		reloadTime: gauge(reloadTime),
		requests:   counters(cloudRequests),
		throttles:  counters(cloudThrottles),
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.Labels)
	info.WithLabelValues(b.GoVersion, b.Revision, b.Version).Set(1)
	o.registry.MustRegister(o.late, o.took, o.inFlight, o.reloaded, o.reloadTime, info, o.requests, o.throttles,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return o
}

func gauge(m Metric) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: m.Name, Help: m.Help})
}

func counters(m Metric) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

// Registry holds the metrics, and takes in those of the web server.
func (o *Own) Registry() *prometheus.Registry { return o.registry }

// LookStarted counts a look that begins, late by so much.
func (o *Own) LookStarted(late time.Duration) {
	o.inFlight.Inc()
	o.late.Observe(late.Seconds())
}

// LookEnded counts a look that is over.
func (o *Own) LookEnded(kind string, took time.Duration) {
	o.inFlight.Dec()
	o.took.WithLabelValues(kind).Observe(took.Seconds())
}

// ConfigLoaded notes that a configuration came into force at that moment.
func (o *Own) ConfigLoaded(at time.Time) {
	o.reloaded.Set(1)
	o.reloadTime.Set(float64(at.UnixNano()) / 1e9)
}

// ConfigRefused notes that a configuration was refused; the old one stays.
func (o *Own) ConfigRefused() { o.reloaded.Set(0) }

// CloudRequest counts a request to the API of a cloud.
func (o *Own) CloudRequest(provider, service, operation string) {
	o.requests.WithLabelValues(operation, provider, service).Inc()
}

// CloudThrottle counts one that was turned away for coming too often.
func (o *Own) CloudThrottle(provider, service, operation string) {
	o.throttles.WithLabelValues(operation, provider, service).Inc()
}
