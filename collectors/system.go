package collectors

import (
	"math"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/drwatch/drwatch/readiness"
)

// System exposes the report on the system: the dr_ metrics. It is a
// [prometheus.Gatherer] of its own and not a Collector, because a report on ten
// thousand copies has half a million series, and most of what the way through a
// channel and a registry costs is avoided by building the families in place,
// where series share their labels.
type System struct {
	report func() *readiness.Report
	last   atomic.Pointer[extent]
}

// NewSystem exposes what report returns at the moment of each scrape.
func NewSystem(report func() *readiness.Report) *System {
	s := &System{report: report}
	s.last.Store(&extent{})
	return s
}

// Gather implements [prometheus.Gatherer].
func (s *System) Gather() ([]*dto.MetricFamily, error) {
	p := newPage(*s.last.Load())
	p.add(s.report())
	size := p.extent()
	s.last.Store(&size)
	return p.families(), nil
}

func (p *page) add(r *readiness.Report) {
	for _, s := range r.Scenarios {
		scenario := p.pair("scenario", string(s.Scenario))
		p.seconds(rtoObjective, s.RTO, scenario)
		if s.Judged {
			p.flag(ready, s.Status == readiness.Pass, scenario)
		}
	}
	for i := range r.Datastores {
		p.addDatastore(&r.Datastores[i])
	}
	for i := range r.Services {
		p.addService(&r.Services[i])
	}
}

func (p *page) addDatastore(d *readiness.DatastoreReport) {
	datastore := p.pair("datastore", d.Name)
	for _, c := range d.Coverage {
		scenario := p.pair("scenario", string(c.Scenario))
		exposure, known := c.Exposure.Get()
		if !known {
			exposure = readiness.Seconds(math.Inf(1)) // an absent series or NaN alerts nobody
		}
		p.value(rpoExposure, float64(exposure), datastore, scenario)
		p.value(rpoObjective, float64(c.RPO), datastore, scenario)
		p.flag(rpoCompliant, c.Compliant, datastore, scenario)
	}
	p.addChecks(d.Checks)
	for i := range d.Copies {
		p.addCopy(datastore, &d.Copies[i])
	}
}

func (p *page) addCopy(datastore *dto.LabelPair, c *readiness.CopyReport) {
	name := p.pair("copy", c.Name)
	p.moment(recoveryPoint, c.RecoveryPoint, name, p.pair("copy_region", c.Region), datastore, p.pair("kind", string(c.Kind)))
	p.moment(windowStart, c.WindowStart, name, datastore)
	p.seconds(receivedLag, c.ReceivedLag, name, datastore)
	p.seconds(replayLag, c.ReplayLag, name, datastore)
	p.maybe(receivedLagBytes, c.ReceivedLagBytes, name, datastore)
	p.maybe(replayLagBytes, c.ReplayLagBytes, name, datastore)
	if is, known := c.Connected.Get(); known {
		p.flag(connected, is, name, datastore)
	}
	p.moment(lastMessage, c.LastMessage, name, datastore)
	p.moment(sourceSample, c.AsOf, name, datastore)
	for measure, value := range c.Measures {
		if metric, ok := metricOf(measure); ok {
			p.value(metric, value, name, datastore)
		}
	}
	p.seconds(clockOffset, c.ClockOffset, p.pair("target", c.ID.String()))
	p.addProbe(c.ID, &c.Probe)
	p.addChecks(c.Checks)
}

// addService exposes the parts of a service. The record is known by the name of
// the service, which has one at the most.
func (p *page) addService(s *readiness.ServiceReport) {
	record := p.pair("record", s.Name)
	for i := range s.Parts {
		part := &s.Parts[i]
		switch part.Kind {
		case readiness.Record, readiness.Resolution:
			p.addName(record, part)
		default:
			p.addEndpoint(part)
		}
		p.addProbe(part.ID, &part.Probe)
		p.addChecks(part.Checks)
	}
}

func (p *page) addName(record *dto.LabelPair, part *readiness.PartReport) {
	if part.Kind == readiness.Record {
		failover, known := part.Measures[readiness.DNSFailoverSeconds]
		if !known {
			failover = math.Inf(1)
		}
		p.value(dnsFailover, failover, record)
		p.moment(dnsSample, part.AsOf, record)
	}
	p.measure(dnsTTL, part, readiness.DNSTTLSeconds, record, p.pair("view", part.Probe.Kind))
	p.measure(dnsServed, part, readiness.DNSServedPrimary, record, p.pair("side", string(readiness.PrimarySide)))
	p.measure(dnsServed, part, readiness.DNSServedStandby, record, p.pair("side", string(readiness.StandbySide)))
	p.measure(dnsServed, part, readiness.DNSServedOther, record, p.pair("side", "other"))
	p.measure(dnsServed, part, readiness.DNSServedNothing, record, p.pair("side", "nothing"))
	p.measure(dnsHealthy, part, readiness.PrimaryHealthy, record, p.pair("side", string(readiness.PrimarySide)))
	p.measure(dnsHealthy, part, readiness.StandbyHealthy, record, p.pair("side", string(readiness.StandbySide)))
}

func (p *page) addEndpoint(part *readiness.PartReport) {
	labels := []*dto.LabelPair{p.pair("endpoint_region", part.Region), p.pair("target", part.ID.String()), p.pair("vantage", part.Vantage)}
	if part.Kind == readiness.Endpoint {
		p.value(endpointUp, part.Measures[readiness.EndpointUp], labels...) // what is not known is not up
	}
	p.measure(endpointLatency, part, readiness.EndpointLatencySeconds, labels...)
	p.measure(certificateExpiry, part, readiness.CertificateExpirySeconds, labels...)
	p.measure(healthyTargets, part, readiness.HealthyTargets, labels...)
	p.measure(healthyZones, part, readiness.HealthyZones, labels...)
}

// measure exposes a measure where it is known.
func (p *page) measure(m Metric, part *readiness.PartReport, measure readiness.Measure, labels ...*dto.LabelPair) {
	if value, known := part.Measures[measure]; known {
		p.value(m, value, labels...)
	}
}

// metricOf names the metric of each measure.
func metricOf(m readiness.Measure) (Metric, bool) {
	switch m {
	case readiness.TimelineNumber:
		return timeline, true
	case readiness.SlotRetainedBytes:
		return slotRetained, true
	case readiness.SlotHeadroomBytes:
		return slotHeadroom, true
	case readiness.FullResyncs:
		return fullResyncs, true
	case readiness.SnapshotSeconds:
		return lastSave, true
	case readiness.ApplyDelaySeconds:
		return applyDelay, true
	case readiness.BackupSizeBytes:
		return backupSize, true
	case readiness.BackupSizeRatio:
		return backupRatio, true
	case readiness.BackupIntervalSeconds:
		return backupInterval, true
	default:
		return Metric{}, false
	}
}

func (p *page) addProbe(id readiness.ID, r *readiness.ProbeReport) {
	probe := p.pair("probe", id.String())
	p.flag(probeSuccess, r.Success, p.pair("kind", r.Kind), probe)
	p.moment(probeLastSuccess, r.LastSuccess, probe)
	p.seconds(probeLastDuration, r.LastDuration, probe)
	p.value(probeAttempts, float64(r.Looks), probe)
	for _, class := range readiness.Classes() {
		if failures := r.Failures[class]; failures > 0 {
			p.value(probeFailures, float64(failures), p.pair("class", string(class)), probe)
		}
	}
}

func (p *page) addChecks(checks []readiness.Check) {
	if len(checks) == 0 {
		return
	}
	subject := p.pair("subject", checks[0].Subject)
	for _, c := range checks {
		name := p.pair("check", c.Name)
		for _, state := range readiness.Statuses() {
			p.flag(checkState, c.Status == state, name, p.pair("state", state.String()), subject)
		}
	}
}

func (p *page) seconds(m Metric, v readiness.Maybe[readiness.Seconds], labels ...*dto.LabelPair) {
	if s, known := v.Get(); known {
		p.value(m, float64(s), labels...)
	}
}

func (p *page) moment(m Metric, v readiness.Maybe[time.Time], labels ...*dto.LabelPair) {
	if at, known := v.Get(); known {
		p.value(m, float64(at.UnixNano())/1e9, labels...)
	}
}

func (p *page) maybe(m Metric, v readiness.Maybe[float64], labels ...*dto.LabelPair) {
	if n, known := v.Get(); known {
		p.value(m, n, labels...)
	}
}

func (p *page) flag(m Metric, on bool, labels ...*dto.LabelPair) {
	if on {
		p.value(m, 1, labels...)
	} else {
		p.value(m, 0, labels...)
	}
}
