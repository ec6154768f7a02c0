package readiness

import "time"

// System is what is to be recovered, as the configuration declares it.
type System struct {
	Name string
	// PrimaryRegion is the region whose loss region-failure is about.
	PrimaryRegion string
	StandbyRegion string
	// InstanceRegion is where this drwatch runs.
	InstanceRegion string
	// MTTR is the objective for the mean time to repair; zero means none.
	MTTR       time.Duration
	Scenarios  []ScenarioObjective
	Datastores []Datastore
	Services   []Service
}

// ScenarioObjective is what the system as a whole promises in a scenario.
type ScenarioObjective struct {
	Scenario Scenario
	Objective
}

// Objective is a promise about a disaster. A zero duration means that nothing
// is promised.
type Objective struct {
	// RPO is the recovery point objective: the most data, in time, that may be lost.
	RPO time.Duration `json:"rpo"`
	// RTO is the recovery time objective: the longest the outage may last.
	RTO time.Duration `json:"rto"`
}

// Datastore is a database, a cache or a bucket: data with one history.
type Datastore struct {
	Name string
	// RPO is the recovery point objective by scenario; a scenario that is
	// absent, or zero, is not judged.
	RPO    map[Scenario]time.Duration
	Copies []Copy
}

// Copy is one place from which a datastore could be recovered.
type Copy struct {
	// Name identifies the copy within its datastore. It is a name and not an
	// address, so that it outlives a failover.
	Name   string
	Kind   CopyKind
	Region string
	// Account is who owns the copy; empty means the account of the primary.
	Account string
	// Immutable says that nobody can rewrite or delete the copy before its time.
	Immutable bool
	// Delay is by how much a replica trails its source on purpose.
	Delay time.Duration
	// Logical says that the replica applies changes to a system of its own, so
	// that it is itself writable and has another identity than its source.
	Logical bool
	// Survives overrides, scenario by scenario, what is derived from the kind,
	// the region, the account and the immutability.
	Survives map[Scenario]bool
	Watch
}

// Watch is how something is looked at, and what is asked of it.
type Watch struct {
	// Probe is the kind of probe that looks at it.
	Probe string
	// StaleAfter is the age at which a look no longer counts. Zero means that looks
	// do not age.
	StaleAfter time.Duration
	// Pause is the longest time for which no look is planned, where that is longer
	// than StaleAfter: in between, it is unknown by plan. Zero is no pause.
	Pause time.Duration
	// Checks are the names of the checks that are made. Each of them is in every
	// report, unknown until it is answered.
	Checks []string
}

// CopyKind says what a copy is, which decides what it survives.
type CopyKind string

// The kinds of copies.
const (
	Primary  CopyKind = "primary"  // takes the writes
	Replica  CopyKind = "replica"  // follows the primary, mistakes included
	PITR     CopyKind = "pitr"     // any moment of a window: WAL archive, continuous backup
	Snapshot CopyKind = "snapshot" // an image kept by the platform
	Backup   CopyKind = "backup"   // a dump or an archive
)

// CopyKinds lists every kind, in the order in which people are told of them.
func CopyKinds() []CopyKind { return []CopyKind{Primary, Replica, PITR, Snapshot, Backup} }

// ID names what is looked at, in the whole system.
type ID struct {
	// Of is the datastore, or the service. No two of them share a name.
	Of string
	// Name is that of the copy, or of the part.
	Name string
}

// String gives the subject under which checks on it are reported.
func (id ID) String() string { return id.Of + "/" + id.Name }
