// Package history remembers whether the recovery point objectives were kept, so
// that "compliant 99.93 % of the last 90 days, longest breach 41 min on ..." can be
// told from the ledger alone.
//
// A [Scribe] is shown each report and says what to write of it, a [Writer] writes
// that without ever holding up whoever looks, and [Read] folds what was written into
// a [History].
//
// A look vouches for the time until the next one, and for one interval at most: what
// is longer is a gap, in which nothing is known. A gap is neither compliant nor a
// breach, and is told as a gap. While an RPO is promised, an exposure that is not
// known is a breach, and told as unknown; only until each copy was looked at for the
// first time it is no look at all.
//
// One recorder writes the stream at a time: several instances that share a ledger
// let the one do it that holds a lease. Time that two have told of all the same is
// counted once, as the first has told it.
package history

import (
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Stream is that of the ledger in which the history is.
const Stream = "rpo"

// The kinds of its events, with their bodies.
const (
	// KindStarted is when drwatch began to record: [Started].
	KindStarted = "started"
	// KindStopped is when it ended in good order: [Stopped].
	KindStopped = "stopped"
	// KindChanged is what a look found to be other than the look before: [Changed].
	KindChanged = "changed"
	// KindHour is what was seen in an hour, or in a part of one: [Hour].
	KindHour = "hour"
)

// Started says who records, and how often he looks.
type Started struct {
	Instance string            `json:"instance"`
	Version  string            `json:"version"`
	Interval readiness.Seconds `json:"interval_seconds"`
	System   string            `json:"system"`
}

// Stopped says who has stopped to record.
type Stopped struct {
	Instance string `json:"instance"`
}

// Changed is the state of a datastore in a scenario from now on. It is written for
// each at the first look after a start, and then when compliance, the RPO, or whether
// the exposure is known changes.
type Changed struct {
	Datastore string             `json:"datastore"`
	Scenario  readiness.Scenario `json:"scenario"`
	Compliant bool               `json:"compliant"`
	// Known says that the exposure is; where it is not, it is without bound.
	Known    bool                               `json:"known"`
	Exposure readiness.Maybe[readiness.Seconds] `json:"exposure_seconds"`
	// RPO is 0 where nothing is promised any more.
	RPO readiness.Seconds `json:"rpo_seconds"`
	// Because says why it is not compliant.
	Because string `json:"because,omitempty"`
	// Before tells of the state that ends; nil at the first look after a start.
	Before *Before `json:"before,omitempty"`
}

// Before tells of a state that has ended.
type Before struct {
	// Until is how long it was seen. Where that is before the event, nobody looked in
	// between, and when it ended is not known.
	Until time.Time `json:"until"`
	// Worst is the largest exposure that was seen in it; unknown where none was known.
	Worst readiness.Maybe[readiness.Seconds] `json:"worst_exposure_seconds"`
}

// Hour is what was seen in an hour of UTC, or in the part of one before or after a
// start, a stop or a gap. The parts of an hour add up.
type Hour struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Observed is less than from From to To where gaps are within, that were too many
	// to tell each of them.
	Observed readiness.Seconds `json:"observed_seconds"`
	// Entries are in the order of datastore and scenario. Of a large system they are
	// spread over several events, which have the rest in common.
	Entries []Entry `json:"entries"`
}

// Entry is what was seen of a datastore in a scenario.
type Entry struct {
	Datastore string             `json:"datastore"`
	Scenario  readiness.Scenario `json:"scenario"`
	RPO       readiness.Seconds  `json:"rpo_seconds"`
	// Worst is unknown where the exposure was for any moment of it.
	Worst     readiness.Maybe[readiness.Seconds] `json:"worst_exposure_seconds"`
	Compliant readiness.Seconds                  `json:"compliant_seconds"`
	Observed  readiness.Seconds                  `json:"observed_seconds"`
}

// pair is a datastore in a scenario.
type pair struct {
	datastore string
	scenario  readiness.Scenario
}
