package readiness

import (
	"slices"
	"time"
)

// Observation is one look at one copy, or part: when, and what came of it.
type Observation struct {
	// At is the moment just before the question was asked, on the clock of this
	// process. What the answer proves, it proves for this moment.
	At time.Time
	// Took is how long the answer took to come, or not to come.
	Took time.Duration
	// Failure is why there is no reading; nil when there is one.
	Failure *Failure
	Reading Reading
}

// Reading is what a probe read of one copy, or part. What the probe could not learn it
// leaves unknown: absent, not zero.
type Reading struct {
	Role Role
	// AsOf is when what is told here was so, where that was not at the moment of
	// looking: one answer may serve several looks, and a sample may have been taken
	// by somebody else.
	AsOf Maybe[time.Time]
	// System identifies the history that the copy holds: a PostgreSQL system
	// identifier, a Redis replication id.
	System string
	// Timeline tells the branches of one history apart, where there are any.
	Timeline string
	// Server identifies the running server, to notice that two copies are one.
	Server string

	// Written is how far the history went when a primary was looked at.
	Written Maybe[Position]
	// Received is how much of the history a replica holds safely, and Replayed
	// how much of it has been applied.
	Received Maybe[Position]
	Replayed Maybe[Position]
	// Acknowledged is what the source of a replication says that its receivers
	// hold safely, by the name of the receiver.
	Acknowledged map[string]Position
	// Receiver is the name under which the source knows this copy.
	Receiver string

	// Points are moments whose data the copy is proven to hold and to have applied.
	Points []Point
	// WindowStart is the earliest moment that the copy can go back to.
	WindowStart Maybe[time.Time]

	Connected Maybe[bool]
	// LastMessage is when the copy last heard from its source, on the clock of
	// this process.
	LastMessage Maybe[time.Time]
	// ClockOffset is the clock of the server minus ours, read at the middle of
	// the round trip; it is wrong by up to ClockError.
	ClockOffset Maybe[time.Duration]
	ClockError  time.Duration

	// Measures are further numbers of this technology; absent is unknown.
	Measures map[Measure]float64
	// Checks are the statements that the probe made about the copy. It leaves
	// Subject empty.
	Checks []Check
}

// answer is what the probe says of a check.
func (r Reading) answer(name string) (Check, bool) {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return Check{}, false
	}
	return r.Checks[i], true
}

// Role is what a server says it is.
type Role string

// The roles. The zero value is unknown.
const (
	RoleUnknown Role = ""
	RolePrimary Role = "primary"
	RoleReplica Role = "replica"
)

// Position is an offset in the history of a datastore, in bytes: a PostgreSQL
// LSN, a Redis replication offset. Positions compare only within one System
// and Timeline.
type Position uint64

// Point is a moment whose data a copy is proven to hold.
type Point struct {
	At    time.Time
	Basis Basis
	// SourceClock says that At was read from the clock of the primary, and that
	// nobody has compared that with ours.
	SourceClock bool
	// clamped says that At lay in the future of the look.
	clamped bool
}

// Basis is what a recovery point rests on.
type Basis string

// The bases of a recovery point.
const (
	BasisLive      Basis = "live"      // the primary itself, seen taking writes
	BasisPosition  Basis = "position"  // holds all that the primary had written by then
	BasisHeartbeat Basis = "heartbeat" // a row written then has arrived
	BasisCommit    Basis = "commit"    // the newest transaction that has arrived
	BasisLink      Basis = "link"      // when the link broke: all before it had arrived
	BasisLag       Basis = "lag"       // a sample of the lag, at the moment of the sample

	BasisRestorable Basis = "restorable" // the platform says that it can restore to then
	BasisSnapshot   Basis = "snapshot"   // an image of the data as it was then
	BasisArchive    Basis = "archive"    // the archive says in its own header when it was begun
	BasisMetadata   Basis = "metadata"   // who wrote the backup has noted it beside it
	BasisName       Basis = "name"       // the name of the backup says so
	BasisModified   Basis = "modified"   // when the backup was put in its place: begun it was before
)

// Measure is a number that some technologies have to tell and others do not.
type Measure string

// The measures. Units are in the names, base units as in Prometheus.
const (
	TimelineNumber    Measure = "timeline"
	SlotRetainedBytes Measure = "slot_retained_bytes" // of the slot that retains the most
	SlotHeadroomBytes Measure = "slot_headroom_bytes" // of the slot nearest to being lost
	FullResyncs       Measure = "full_resyncs"        // since the server started
	SnapshotSeconds   Measure = "snapshot_timestamp_seconds"
	ApplyDelaySeconds Measure = "apply_delay_seconds" // the delay that the server itself is set to

	BackupSizeBytes       Measure = "backup_size_bytes"                // of the newest complete backup
	BackupSizeRatio       Measure = "backup_size_ratio"                // of that to the median of those before it
	BackupIntervalSeconds Measure = "backup_expected_interval_seconds" // at which backups are to be made

	// Of a name. The served ones are the share of the servers asked that lead there:
	// together they are 1.
	DNSFailoverSeconds Measure = "dns_failover_seconds" // from the failure to the last client that has moved, at the worst
	DNSTTLSeconds      Measure = "dns_ttl_seconds"      // for which resolvers keep the answer
	DNSServedPrimary   Measure = "dns_served_primary"
	DNSServedStandby   Measure = "dns_served_standby"
	DNSServedOther     Measure = "dns_served_other" // to what is neither
	DNSServedNothing   Measure = "dns_served_nothing"
	// Whether the health check is healthy in the eyes of those who decide by it: 1 or 0.
	PrimaryHealthy Measure = "dns_health_check_primary_healthy"
	StandbyHealthy Measure = "dns_health_check_standby_healthy"

	// Of an endpoint, as seen from here.
	EndpointUp               Measure = "endpoint_up"                // 1 where clients are served as they should be, else 0
	EndpointLatencySeconds   Measure = "endpoint_latency_seconds"   // from the begin of the connection to the end of the answer
	CertificateExpirySeconds Measure = "certificate_expiry_seconds" // when the first of the chain expires, since 1970
	HealthyTargets           Measure = "healthy_targets"            // of a load balancer
	HealthyZones             Measure = "healthy_zones"              // in which it has some
)

// Class is the closed set of reasons for which a look can fail.
type Class string

// The classes of failure.
const (
	Refused     Class = "refused"     // nobody listens there
	Unreachable Class = "unreachable" // no route, reset, or the name does not resolve
	TLS         Class = "tls"         // no trust: certificate, name or protocol
	Denied      Class = "denied"      // it knows us and says no: password, role, ACL
	NotFound    Class = "not_found"   // the server is there, what we ask about is not
	Timeout     Class = "timeout"     // no answer within the time allowed
	Throttled   Class = "throttled"   // asked too often
	Malformed   Class = "malformed"   // an answer that makes no sense
	Internal    Class = "internal"    // a fault of our own
)

// Classes lists every class of failure.
func Classes() []Class {
	return []Class{Refused, Unreachable, TLS, Denied, NotFound, Timeout, Throttled, Malformed, Internal}
}

// Remedy says what to do about a look that failed for the reason.
func (c Class) Remedy() string {
	switch c {
	case Refused:
		return "start what should listen there, or correct the address in the file"
	case Unreachable:
		return "check the name and the route from here to the server"
	case TLS:
		return "check the certificate of the server, its name and the CA file"
	case Denied:
		return "check who asks (user, role, password, certificate) and what it may do: the reason names what is missing"
	case NotFound:
		return "create what is asked about, or correct its name in the file"
	case Timeout:
		return "see whether the server hangs or the network drops packets; the timeout is in the file"
	case Throttled:
		return "look less often, or raise the limit"
	case Malformed:
		return "see what really listens at that address"
	default:
		return "this is a fault of drwatch: see its log"
	}
}

// Failure is a look that gave no reading.
type Failure struct {
	Class Class
	// Err says what failed, on what, and what to do.
	Err error
}

// Error gives the reason for people.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }
