package collectors

import "github.com/prometheus/client_golang/prometheus"

// Metric is one entry of the catalogue.
type Metric struct {
	Name string
	// Help says what the number means; generated docs show it too.
	Help string
	Type prometheus.ValueType
	// Labels are in alphabetical order, as the exposition format has them.
	Labels []string
	// Histogram overrides Type, for what is counted in buckets.
	Histogram bool
	// Absent says when there is no series; empty means that there always is one.
	Absent string
}

// The catalogue. dr_ is for facts about the system, drwatch_ for facts about
// ourselves. Labels take their values from the file and from closed sets, never
// from what a server says, and collide with none that a scrape adds.
var (
	recoveryPoint = Metric{
		Name: "dr_recovery_point_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "copy_region", "datastore", "kind"},
		Help:   "Latest moment to which the copy is proven to be able to bring the data back.",
		Absent: "no recovery point of the copy is known; dr_rpo_exposure_seconds is then computed without it",
	}
	windowStart = Metric{
		Name: "dr_recovery_window_start_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "Earliest moment to which the copy can bring the data back: how far back a corruption can be undone.",
		Absent: "the copy cannot go back, or its window is not known",
	}
	rpoExposure = Metric{
		Name: "dr_rpo_exposure_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"datastore", "scenario"},
		Help:   "How much data, in time, would be lost if the scenario happened now: now minus the newest recovery point among the copies that survive it. +Inf where none is known.",
	}
	rpoObjective = Metric{
		Name: "dr_rpo_objective_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"datastore", "scenario"},
		Help:   "Recovery point objective of the datastore in the scenario.",
	}
	rpoCompliant = Metric{
		Name: "dr_rpo_compliant", Type: prometheus.GaugeValue,
		Labels: []string{"datastore", "scenario"},
		Help:   "1 while the exposure is within the objective, 0 otherwise, also when nothing is known.",
	}
	rtoObjective = Metric{
		Name: "dr_rto_objective_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"scenario"},
		Help:   "Recovery time objective of the system in the scenario.",
		Absent: "no objective is set",
	}
	ready = Metric{
		Name: "dr_ready", Type: prometheus.GaugeValue,
		Labels: []string{"scenario"},
		Help:   "1 when, in the scenario, each datastore has a copy that survives, is within its RPO and sound, and nothing is in the way of the services that have to move; 0 otherwise. The recovery time as a whole is not judged.",
		Absent: "no datastore promises an RPO in the scenario, and no service has to move in it, as by default in a service-failure",
	}
	checkState = Metric{
		Name: "dr_check_state", Type: prometheus.GaugeValue,
		Labels: []string{"check", "state", "subject"},
		Help:   "State of each check, one series a state: 1 for the state it is in. Unknown is not ready.",
	}
	receivedLag = Metric{
		Name: "dr_replication_received_lag_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How far what the replica has received was behind the moment of the last look: what would be lost.",
		Absent: "the last look failed, or nothing proves a moment",
	}
	receivedLagBytes = Metric{
		Name: "dr_replication_received_lag_bytes", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How much of what the primary had written at its last look the replica had not received at its own.",
		Absent: "one of the two could not be looked at, or they do not share a history",
	}
	replayLag = Metric{
		Name: "dr_replication_replay_lag_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How far what the replica has applied was behind the moment of the last look: what delays a recovery.",
		Absent: "the last look failed, or nothing proves a moment",
	}
	replayLagBytes = Metric{
		Name: "dr_replication_replay_lag_bytes", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How much of what the primary had written at its last look the replica had not applied at its own.",
		Absent: "one of the two could not be looked at, or they do not share a history",
	}
	connected = Metric{
		Name: "dr_replication_connected", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "1 when the replica is receiving from its source, 0 when it is not.",
		Absent: "the last look failed, or the server does not tell",
	}
	lastMessage = Metric{
		Name: "dr_replication_last_message_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "When the replica last heard from its source.",
		Absent: "the last look failed, or the server does not tell",
	}
	slotRetained = Metric{
		Name: "dr_replication_slot_retained_bytes", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "What the replication slot that retains the most keeps on the disk of this server.",
		Absent: "the last look failed, or the server has no slots",
	}
	slotHeadroom = Metric{
		Name: "dr_replication_slot_headroom_bytes", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How much more can be written before the slot nearest to it loses what its receiver needs.",
		Absent: "the last look failed, or slots are not limited",
	}
	fullResyncs = Metric{
		Name: "dr_replication_full_resyncs_total", Type: prometheus.CounterValue,
		Labels: []string{"copy", "datastore"},
		Help:   "How often this server has sent its whole data to a replica since it started.",
		Absent: "the last look failed, or the server does not count it",
	}
	applyDelay = Metric{
		Name: "dr_replication_apply_delay_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "By how much the replica is set to trail its source on purpose.",
		Absent: "the last look failed, or the server is no replica",
	}
	timeline = Metric{
		Name: "dr_datastore_timeline", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "Timeline of the history that the server is on; each promotion makes a new one.",
		Absent: "the last look failed, or the technology has no timelines",
	}
	lastSave = Metric{
		Name: "dr_datastore_last_save_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "When an in-memory server last wrote its whole data to its disk.",
		Absent: "the last look failed, or the server does not tell",
	}
	sourceSample = Metric{
		Name: "dr_source_sample_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "When what is told of the copy was so, where that was before the last look: a sample that its platform took, or an answer that several looks share.",
		Absent: "the last look failed, or what it told was of its own moment",
	}
	backupSize = Metric{
		Name: "dr_backup_size_bytes", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "Size of the newest complete backup, as it is stored.",
		Absent: "the last look failed, or the copy is no backup with a size",
	}
	backupRatio = Metric{
		Name: "dr_backup_size_ratio", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "Size of the newest complete backup, relative to the median of those before it.",
		Absent: "the last look failed, or there are none to compare with",
	}
	backupInterval = Metric{
		Name: "dr_backup_expected_interval_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"copy", "datastore"},
		Help:   "Time between two backups that the file expects.",
		Absent: "the last look failed, or the file says nothing about it",
	}
	dnsFailover = Metric{
		Name: "dr_dns_failover_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"record"},
		Help:   "Time from the failure of the primary to the last client that is led to the standby, at the worst: until the health check is sure, and until resolvers have forgotten the old answer. +Inf where it is not known.",
		Absent: "the service has no part that looks at its record",
	}
	dnsTTL = Metric{
		Name: "dr_dns_ttl_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"record", "view"},
		Help:   "For how long resolvers keep the answer: as the record is set (view=\"route53\"), and as the authoritative servers give it (view=\"dns\").",
		Absent: "the last look failed, or nothing tells the TTL",
	}
	dnsServed = Metric{
		Name: "dr_dns_served", Type: prometheus.GaugeValue,
		Labels: []string{"record", "side"},
		Help:   "Share of the asked servers, resolvers and authoritative ones, that lead clients to the side: primary, standby, other, or nothing where there was no answer. Together they are 1.",
		Absent: "the last look failed",
	}
	dnsHealthy = Metric{
		Name: "dr_dns_health_check_healthy", Type: prometheus.GaugeValue,
		Labels: []string{"record", "side"},
		Help:   "1 when the health check of that member of the record is healthy in the eyes of the DNS service, 0 when it is not.",
		Absent: "the last look failed, or the member has no health check",
	}
	dnsSample = Metric{
		Name: "dr_dns_sample_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"record"},
		Help:   "When what is told of the record was so, where that was before the last look: one answer of the API serves several looks.",
		Absent: "the last look failed, or what it told was of its own moment",
	}
	endpointUp = Metric{
		Name: "dr_endpoint_up", Type: prometheus.GaugeValue,
		Labels: []string{"endpoint_region", "target", "vantage"},
		Help:   "1 when the endpoint serves clients as it should, as seen from the region vantage; 0 otherwise, also when nothing is known.",
	}
	endpointLatency = Metric{
		Name: "dr_endpoint_latency_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"endpoint_region", "target", "vantage"},
		Help:   "Time from the first packet to the end of the answer, at the last look.",
		Absent: "there was no answer",
	}
	certificateExpiry = Metric{
		Name: "dr_endpoint_certificate_expiry_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"endpoint_region", "target", "vantage"},
		Help:   "When the first certificate of the chain expires.",
		Absent: "there is no TLS, or no certificate was seen",
	}
	healthyTargets = Metric{
		Name: "dr_endpoint_healthy_targets", Type: prometheus.GaugeValue,
		Labels: []string{"endpoint_region", "target", "vantage"},
		Help:   "Servers that are healthy in the eyes of the load balancer.",
		Absent: "the endpoint is no load balancer, or the last look failed",
	}
	healthyZones = Metric{
		Name: "dr_endpoint_healthy_zones", Type: prometheus.GaugeValue,
		Labels: []string{"endpoint_region", "target", "vantage"},
		Help:   "Availability zones in which the load balancer has a healthy server.",
		Absent: "the endpoint is no load balancer, or the last look failed",
	}
	clockOffset = Metric{
		Name: "dr_clock_offset_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"target"},
		Help:   "Clock of the server minus ours, read at the middle of the round trip.",
		Absent: "the last look failed, or the server does not tell its time",
	}
	probeSuccess = Metric{
		Name: "dr_probe_success", Type: prometheus.GaugeValue,
		Labels: []string{"kind", "probe"},
		Help:   "1 when the last look gave a reading, 0 when it failed or there was none yet.",
	}
	probeLastSuccess = Metric{
		Name: "dr_probe_last_success_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"probe"},
		Help:   "When the last look that gave a reading began.",
		Absent: "no look has succeeded since drwatch started",
	}
	probeLastDuration = Metric{
		Name: "dr_probe_last_duration_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"probe"},
		Help:   "How long the last look took, successful or not.",
		Absent: "there was no look yet",
	}
	probeAttempts = Metric{
		Name: "dr_probe_attempts_total", Type: prometheus.CounterValue,
		Labels: []string{"probe"},
		Help:   "Looks since drwatch started, or since the target was changed in the file.",
	}
	probeFailures = Metric{
		Name: "dr_probe_failures_total", Type: prometheus.CounterValue,
		Labels: []string{"class", "probe"},
		Help:   "Looks that gave no reading, by the class of the reason.",
		Absent: "no look has failed for that reason",
	}
	probeDuration = Metric{
		Name: "dr_probe_duration_seconds", Histogram: true,
		Labels: []string{"kind"},
		Help:   "How long looks take, by kind of probe.",
		Absent: "no look of that kind has ended yet",
	}
	checklistItem = Metric{
		Name: "dr_checklist_item_ok", Type: prometheus.GaugeValue,
		Labels: []string{"item", "phase"},
		Help:   "1 when everything that the item of the checklist rests on passes or warns, 0 otherwise, also when nothing is known.",
	}
	attestationExpiry = Metric{
		Name: "dr_checklist_attestation_expiry_timestamp_seconds", Type: prometheus.GaugeValue,
		Labels: []string{"item", "phase"},
		Help:   "When the newest attestation of the item lapses, or did. Alert before it does.",
		Absent: "nobody has attested the item, or nobody has to, or the ledger could never be read",
	}
	ledgerUp = Metric{
		Name: "drwatch_ledger_up", Type: prometheus.GaugeValue,
		Help:   "1 when the ledger could be read and written at the last attempt, 0 when it could not: probing goes on without it.",
		Absent: "the file names no ledger",
	}
	ledgerPending = Metric{
		Name: "drwatch_ledger_pending_events", Type: prometheus.GaugeValue,
		Help:   "Events that wait to be written to the ledger.",
		Absent: "the file names no ledger",
	}
	ledgerDropped = Metric{
		Name: "drwatch_ledger_dropped_events_total", Type: prometheus.CounterValue,
		Help:   "Events that never will be written, because too many waited while the ledger was gone.",
		Absent: "the file names no ledger",
	}
	ledgerLastWrite = Metric{
		Name: "drwatch_ledger_last_write_timestamp_seconds", Type: prometheus.GaugeValue,
		Help:   "When an event was last written to the ledger.",
		Absent: "the file names no ledger, or nothing was written since drwatch started",
	}
	buildInfo = Metric{
		Name: "drwatch_build_info", Type: prometheus.GaugeValue,
		Labels: []string{"goversion", "revision", "version"},
		Help:   "What is running; the value is always 1.",
	}
	reloadSuccessful = Metric{
		Name: "drwatch_config_last_reload_successful", Type: prometheus.GaugeValue,
		Help: "1 when the last attempt to load the configuration succeeded, 0 when it was refused and the old one stays in force.",
	}
	reloadTime = Metric{
		Name: "drwatch_config_last_reload_success_timestamp_seconds", Type: prometheus.GaugeValue,
		Help: "When the configuration in force was loaded.",
	}
	schedulerLate = Metric{
		Name: "drwatch_scheduler_late_seconds", Histogram: true,
		Help: "How much later than it was due a look started.",
	}
	probesInFlight = Metric{
		Name: "drwatch_probes_in_flight", Type: prometheus.GaugeValue,
		Help: "Looks that are under way.",
	}
	cloudRequests = Metric{
		Name: "drwatch_cloud_requests_total", Type: prometheus.CounterValue,
		Labels: []string{"operation", "provider", "service"},
		Help:   "Requests to the API of a cloud, each attempt counted.",
		Absent: "the operation has not been called yet",
	}
	cloudThrottles = Metric{
		Name: "drwatch_cloud_throttles_total", Type: prometheus.CounterValue,
		Labels: []string{"operation", "provider", "service"},
		Help:   "Those of the requests that were turned away for coming too often.",
		Absent: "none was",
	}
)

// Catalogue lists every metric that drwatch exposes, in the order of the docs.
func Catalogue() []Metric {
	return []Metric{
		recoveryPoint, windowStart, rpoExposure, rpoObjective, rpoCompliant, rtoObjective, ready, checkState,
		receivedLag, receivedLagBytes, replayLag, replayLagBytes, connected, lastMessage,
		slotRetained, slotHeadroom, fullResyncs, applyDelay, timeline, lastSave, sourceSample,
		backupSize, backupRatio, backupInterval,
		dnsFailover, dnsTTL, dnsServed, dnsHealthy, dnsSample,
		endpointUp, endpointLatency, certificateExpiry, healthyTargets, healthyZones, clockOffset,
		checklistItem, attestationExpiry,
		probeSuccess, probeLastSuccess, probeLastDuration, probeAttempts, probeFailures, probeDuration,
		buildInfo, reloadSuccessful, reloadTime, schedulerLate, probesInFlight, cloudRequests, cloudThrottles,
		ledgerUp, ledgerPending, ledgerDropped, ledgerLastWrite,
	}
}

// TypeName is the word of the exposition format for the type.
func (m Metric) TypeName() string {
	switch {
	case m.Histogram:
		return "histogram"
	case m.Type == prometheus.CounterValue:
		return "counter"
	default:
		return "gauge"
	}
}
