// Package report writes down, for an auditor, how ready a system was for a disaster
// during a time: one HTML file that needs nothing else, and that can be held against
// the ledger that it was made from.
//
// [Collect] reads everything from the ledger, up to an event that it notes, so that
// the same can be collected again. [Render] makes the same page of the same [Data],
// byte for byte, and the page carries its data. So [Verify] can tell a page that says
// something else than its data, data that say something else than the ledger, and a
// ledger that is not what it was, each as what it is.
//
// The sections name the clauses that they are evidence for: SOC 2 CC7.5 and A1.3,
// ISO 22301 8.4, 8.5 and 9.1, ISO/IEC 27001 A.5.29 and A.5.30.
package report

import (
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// format is that of the data in the page.
const format = 1

// Data is all that a report says. Everything but Made is in the ledger.
type Data struct {
	Format int `json:"format"`
	// Layout identifies how the page is laid out, so that it is known whether this
	// program can make the same page again.
	Layout string `json:"layout"`
	System string `json:"system"`
	// From and To are the period, in UTC.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Made Made      `json:"made"`
	// Target is the share of the observed time in which each RPO is to be kept.
	Target float64 `json:"target"`
	Ledger Ledger  `json:"ledger"`

	// Config is the newest configuration until To; nil where none is recorded.
	Config  *Configured `json:"config"`
	Changes []Change    `json:"changes"`
	// Compliance is how the RPOs were kept.
	Compliance Compliance `json:"compliance"`
	// Audit is the newest result of the checklists until To; nil where there is none.
	Audit        *Audited      `json:"audit"`
	Audits       Audits        `json:"audits"`
	Attestations []Attestation `json:"attestations"`
	Drills       Happenings    `json:"drills"`
	Incidents    Happenings    `json:"incidents"`
	Runs         Happenings    `json:"runs"`
	// Unreadable are events that belong here, and whose bodies nobody understands.
	Unreadable []Unreadable `json:"unreadable"`
	Proof      Proof        `json:"proof"`
}

// Made is who made the report, when and with what. It is the only part that the
// ledger does not tell, unless a [Receipt] was appended to it.
type Made struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Version string    `json:"version"`
}

// Ledger is the ledger as it was when the report was made.
type Ledger struct {
	First uint64      `json:"first"`
	Last  uint64      `json:"last"`
	Head  ledger.Hash `json:"head"`
	// Oldest and Newest are the times of the first event and of the last.
	Oldest readiness.Maybe[time.Time] `json:"oldest"`
	Newest readiness.Maybe[time.Time] `json:"newest"`
}

// Configured is a configuration that was in force.
type Configured struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
	Loaded
}

// Loaded is the body of the event loaded of the stream config: what the file promises.
type Loaded struct {
	// Fingerprint is the SHA-256 of the file, in hexadecimal digits.
	Fingerprint string `json:"fingerprint"`
	// RPO is by datastore and scenario, and RTO by scenario.
	RPO map[string]map[readiness.Scenario]readiness.Seconds `json:"rpo_seconds"`
	RTO map[readiness.Scenario]readiness.Seconds            `json:"rto_seconds"`
	// Copies are how many copies there are of each kind.
	Copies   map[readiness.CopyKind]int `json:"copies"`
	Services []string                   `json:"services"`
}

// Change is a configuration that came into force in the period.
type Change struct {
	Position    uint64    `json:"position"`
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	Fingerprint string    `json:"fingerprint"`
	// First says that none was recorded before it.
	First bool `json:"first,omitempty"`
	// What differs from the one before; none where only things changed that the ledger
	// does not tell of.
	What []string `json:"what"`
}

// Compliance is how the RPOs were kept, as package history tells it.
type Compliance struct {
	// Until is how far it is told: before To where the last hour is just being recorded.
	Until time.Time `json:"until"`
	// Began is the oldest event of the recording that the ledger holds.
	Began readiness.Maybe[time.Time] `json:"began"`
	// Observed and Unobserved are of the recording as a whole; Gaps are the longest.
	Observed   readiness.Seconds `json:"observed_seconds"`
	Unobserved readiness.Seconds `json:"unobserved_seconds"`
	Gaps       []history.Gap     `json:"gaps"`
	MoreGaps   int               `json:"more_gaps,omitempty"`
	// Start is when the first point begins, and Step how long each is.
	Start time.Time         `json:"start"`
	Step  readiness.Seconds `json:"step_seconds"`
	Pairs []Pair            `json:"pairs"`
	// Breaches are the longest, longest first.
	Breaches     []Breach `json:"breaches"`
	MoreBreaches int      `json:"more_breaches,omitempty"`
}

// Pair is how the RPO of a datastore was kept in a scenario.
type Pair struct {
	Datastore string             `json:"datastore"`
	Scenario  readiness.Scenario `json:"scenario"`
	// RPO is the newest, and Promised says that it still is.
	RPO       readiness.Seconds `json:"rpo_seconds"`
	Promised  bool              `json:"promised"`
	Since     time.Time         `json:"since"`
	Sentence  string            `json:"sentence"`
	Observed  readiness.Seconds `json:"observed_seconds"`
	Compliant readiness.Seconds `json:"compliant_seconds"`
	// Unobserved is the rest of the time.
	Unobserved readiness.Seconds `json:"unobserved_seconds"`
	// Unplaced is time in breach of which only the hour is known.
	Unplaced readiness.Seconds `json:"unplaced_breach_seconds"`
	Breaches int               `json:"breaches"`
	Budget   history.Budget    `json:"budget"`
	// Worst is the largest exposure that was known, and WorstAt the step of it.
	Worst   readiness.Maybe[readiness.Seconds] `json:"worst_exposure_seconds"`
	WorstAt readiness.Maybe[time.Time]         `json:"worst_at"`
	// Unbounded says that the exposure was unknown for some of the observed time.
	Unbounded bool   `json:"unbounded"`
	Points    Points `json:"points"`
}

// InBreach is how long the RPO was not kept.
func (p Pair) InBreach() readiness.Seconds { return max(0, p.Observed-p.Compliant) }

// Points are the steps of a chart. A step that lies in a gap is observed for 0
// seconds, and then the rest says nothing.
type Points struct {
	// Worst is the largest exposure, to a tenth of a second, rounded up; null is without
	// bound.
	Worst    []readiness.Maybe[readiness.Seconds] `json:"worst"`
	Observed []readiness.Seconds                  `json:"observed"`
	Breach   []readiness.Seconds                  `json:"breach"`
}

// Breach is a time in which an RPO was not kept.
type Breach struct {
	Datastore string             `json:"datastore"`
	Scenario  readiness.Scenario `json:"scenario"`
	history.Breach
}

// Audited is a result of the checklists, and who recorded it.
type Audited struct {
	Position uint64       `json:"position"`
	At       time.Time    `json:"at"`
	By       string       `json:"by"`
	Result   audit.Result `json:"result"`
}

// Audits are the results that were recorded in the period.
type Audits struct {
	// Runs are the newest, newest first.
	Runs []AuditRun `json:"runs"`
	More int        `json:"more,omitempty"`
}

// AuditRun is one of them.
type AuditRun struct {
	Position uint64           `json:"position"`
	At       time.Time        `json:"at"`
	By       string           `json:"by"`
	Status   readiness.Status `json:"status"`
	// Open are the items before the disaster that were not ready.
	Open int `json:"open"`
}

// State is what an attestation counts at the end of the period.
type State string

// The states of an attestation.
const (
	Stands    State = "stands"
	Lapsed    State = "lapsed"
	Withdrawn State = "withdrawn"
	// Replaced is one of which there is a newer word.
	Replaced State = "replaced"
)

// Attestation is one that counted at some time of the period.
type Attestation struct {
	Position uint64 `json:"position"`
	// Recorded is who is noted as the actor, where that is not who attests.
	Recorded string    `json:"recorded_by,omitempty"`
	Item     string    `json:"item"`
	By       string    `json:"by"`
	Evidence string    `json:"evidence"`
	Note     string    `json:"note,omitempty"`
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"`
	State    State     `json:"state"`
	// Ended is when it was withdrawn or replaced before it lapsed, by whom and why.
	Ended    readiness.Maybe[time.Time] `json:"ended"`
	EndedBy  string                     `json:"ended_by,omitempty"`
	EndedWhy string                     `json:"ended_why,omitempty"`
}

// Happenings are events of a kind of thing that the report shows as they are.
type Happenings struct {
	// Events are the newest, oldest first.
	Events []Happening `json:"events"`
	// More are older ones of the period.
	More int `json:"more,omitempty"`
}

// Happening is one of them.
type Happening struct {
	Position uint64    `json:"position"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	By       string    `json:"by"`
	// What is the name of the drill, the incident or the run.
	What    string `json:"what"`
	Outcome string `json:"outcome,omitempty"`
	// Scenario is that of the RTO with which the measured one is compared.
	Scenario  readiness.Scenario                 `json:"scenario,omitempty"`
	RTO       readiness.Maybe[readiness.Seconds] `json:"rto_seconds"`
	Objective readiness.Maybe[readiness.Seconds] `json:"rto_objective_seconds"`
	// Facts are what else it says, in the order of their names.
	Facts []Fact `json:"facts,omitempty"`
}

// Fact is a name and what is said under it.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Unreadable is an event that nobody understands.
type Unreadable struct {
	Position uint64 `json:"position"`
	Stream   string `json:"stream"`
	Kind     string `json:"kind"`
	Why      string `json:"why"`
}

// Proof is what the report rests on.
type Proof struct {
	// Events are how many events of the ledger it rests on.
	Events int `json:"events"`
	// Every is 1 where Links are all of them, and N where they are every N-th.
	Every int `json:"every"`
	// Links are in the order of their positions; the oldest event of the ledger and the
	// newest are always among them.
	Links []Link `json:"links"`
}

// Link is one event of the chain.
type Link struct {
	Position uint64      `json:"position"`
	Time     time.Time   `json:"time"`
	Stream   string      `json:"stream"`
	Kind     string      `json:"kind"`
	Hash     ledger.Hash `json:"hash"`
}
