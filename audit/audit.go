// Package audit holds the checklists of a disaster recovery procedure, and what
// each item on them rests on: checks that drwatch makes all the time, the word of a
// person that lapses when nobody repeats it, or both.
//
// A checklist is data. The defaults are those of the procedure that drwatch was
// first built for, and of what SOC 2 (CC7.5, A1.3), ISO 22301 and ISO 27001 (A.5.30)
// ask for; the file may change each item, and add others. [Evaluate] is a pure
// function of the checklists, of a report, and of what people have attested.
package audit

import (
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Phase is when an item of a checklist is due.
type Phase string

// The phases.
const (
	Before Phase = "pre-disaster"
	During Phase = "during"
	After  Phase = "post-disaster"
)

// Phases lists every phase, in their order.
func Phases() []Phase { return []Phase{Before, During, After} }

// Item is one line of a checklist.
type Item struct {
	// Name identifies the item among all: a metric label.
	Name  string
	Phase Phase
	// Title is what it says to people.
	Title string
	// Observed says which checks it rests on; empty where it rests on none.
	Observed []Selector
	// Attested says that a person has to stand for it, and for how long that counts
	// at the most; zero where nobody has to.
	Attested time.Duration
	// Runbooks and Contacts say that it rests on those that the file names.
	Runbooks, Contacts bool
	// Remedy is what to do before it can be attested.
	Remedy string
}

// Selector picks checks out of a report: those for which everything holds that it
// says. An empty list holds for all. CopyKinds pick none of a part of a service,
// PartKinds none of a copy, and either none of a datastore as a whole.
type Selector struct {
	CopyKinds []readiness.CopyKind `yaml:"copy_kinds,omitempty" jsonschema:"uniqueItems=true" jsonschema_description:"The checks of copies of these kinds."`
	PartKinds []readiness.PartKind `yaml:"part_kinds,omitempty" jsonschema:"uniqueItems=true,enum=record,enum=resolution,enum=endpoint,enum=balancer" jsonschema_description:"The checks of parts of services of these kinds: the record of the name (route53), where it leads (dns), what answers (endpoint), what spreads clients over servers (elb)."`
	// Sides are those of parts. A copy is on the side of its region.
	Sides []readiness.Side `yaml:"sides,omitempty" jsonschema:"uniqueItems=true" jsonschema_description:"The checks of what is on these sides; a copy is on the side of its region."`
	// Of are datastores and services, by name.
	Of     []string `yaml:"of,omitempty" jsonschema:"uniqueItems=true,example=festivals-db" jsonschema_description:"The checks of these datastores and services alone."`
	Checks []string `yaml:"checks,omitempty" jsonschema:"uniqueItems=true,example=look" jsonschema_description:"The checks of these names alone."`
	// Each asks it of every datastore that promises an RPO, and of every service: one
	// of which nothing is picked is unknown, whatever is picked of the others.
	Each bool `yaml:"each,omitempty" jsonschema_description:"It is asked of every datastore that promises an RPO (with copy_kinds) and of every service (with part_kinds), or of those that are named in of: where one of them has nothing of the kind, the item is unknown."`
}

// Attestation is the word of a person about an item, or about a contact or a
// runbook: that the contact was reached, that the runbook was exercised.
type Attestation struct {
	// Item is the name of an item, "contact:" and a role, or "runbook:" and a name.
	Item string `json:"item"`
	By   string `json:"by"`
	// Evidence leads to what it rests on: a link, a ticket.
	Evidence string `json:"evidence"`
	Note     string `json:"note,omitempty"`
	// At is when it was said, and Until when it lapses.
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"`
	// Withdrawn says that the word is taken back.
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// Runbook is a procedure that people follow, as the file names it.
type Runbook struct {
	Name string `yaml:"name" jsonschema:"pattern=^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$,maxLength=63,example=region-failover" jsonschema_description:"Name of the runbook, no other has it."`
	// File is where it is; its last change counts as much as an exercise does.
	File string `yaml:"file" jsonschema:"example=runbooks/region-failover.md" jsonschema_description:"Where it is: a path, beside this file unless it begins with a slash."`
	// Touches names what it acts on: datastores and services of the file, and what
	// they are made of as datastore/copy and service/part.
	Touches []string `yaml:"touches,omitempty" jsonschema:"uniqueItems=true,example=festivals-db/replica" jsonschema_description:"What it acts on: datastores and services, or datastore/copy and service/part. What is not in this file any more is a fault of the runbook."`
	// Within is how old its last change or exercise may be.
	Within time.Duration `yaml:"within,omitempty" jsonschema:"default=2160h" jsonschema_description:"How old its last change, or the last time that somebody attested an exercise of it, may be."`
}

// Contact is who has a role in the procedure.
type Contact struct {
	Role string `yaml:"role" jsonschema:"example=incident-commander" jsonschema_description:"The role in the procedure. Several may have the same."`
	Name string `yaml:"name" jsonschema:"example=Ada Lovelace" jsonschema_description:"Who has it: a person, or a team that takes turns."`
	// Means are the ways to reach them: "phone:+49 ...", "mail:...", "pager:...",
	// "chat:...".
	Means []string `yaml:"means" jsonschema:"minItems=1,uniqueItems=true,example=phone:+49 30 901820" jsonschema_description:"The ways to reach them: phone:, mail:, pager: or chat:, and then the number, the address, the service or the channel. No secrets: the key of a pager service is one."`
	// Within is how old the last confirmation may be.
	Within time.Duration `yaml:"within,omitempty" jsonschema:"default=2160h" jsonschema_description:"How old the last time may be that somebody attested that they were reached."`
}

// Result is what an audit finds.
type Result struct {
	At     time.Time    `json:"at"`
	System string       `json:"system"`
	Items  []ItemResult `json:"items"`
	// Status is the worst of the items of the phase before the disaster, by
	// readiness: unknown is not ready.
	Status readiness.Status `json:"status"`
}

// Ready reports whether nothing on the checklist of the phase before the disaster
// is in the way. Strict makes warnings be in the way, too.
func (r Result) Ready(strict bool) bool {
	if strict {
		return r.Status == readiness.Pass
	}
	return r.Status.Ready()
}

// ItemResult is the state of one item.
type ItemResult struct {
	Item   string           `json:"item"`
	Phase  Phase            `json:"phase"`
	Title  string           `json:"title"`
	Status readiness.Status `json:"status"`
	// Rests are the things that it rests on, worst first.
	Rests []Rest `json:"rests_on"`
	// Attestation is the one that counts, where one is asked for and there.
	Attestation *Attestation `json:"attestation,omitempty"`
	// Lapses is when the first of the things that it rests on lapses, or lapsed; zero
	// where none does.
	Lapses time.Time `json:"lapses,omitzero"`
}

// Rest is one thing that an item rests on.
type Rest struct {
	// What is the check and its subject, the attestation, a runbook or a contact.
	What     string           `json:"what"`
	Status   readiness.Status `json:"status"`
	Evidence string           `json:"evidence,omitempty"`
	Remedy   string           `json:"remedy,omitempty"`
	// Lapses is when it does not count any more unless somebody acts; zero where it
	// does not lapse.
	Lapses time.Time `json:"lapses,omitzero"`
}
