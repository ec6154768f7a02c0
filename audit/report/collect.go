package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// Options say of what to report.
type Options struct {
	// System must be that of which the ledger tells.
	System string
	// From and To are the period; what happened at To is not in it. They are cut to
	// whole seconds.
	From, To time.Time
	// Now is when the report is made. Zero is the time of the machine.
	Now time.Time
	// By is who makes it, and Version with which drwatch.
	By, Version string
	// Target is the share of the observed time in which each RPO is to be kept, from
	// which the error budget follows. 0 is 0.999.
	Target float64
	// Head is the position of the newest event to take into account; 0 is the newest
	// that there is.
	Head uint64
}

// The streams that a report is made from, beside those of the packages audit and history, and the
// kinds of their events.
const (
	StreamAudits    = "audits" // what audits have found
	StreamConfig    = "config" // which configurations were in force
	streamDrills    = "drills"
	streamIncidents = "incidents"
	streamRuns      = "runs"

	KindAudited = "audited" // with an [audit.Result]
	KindLoaded  = "loaded"  // with a [Loaded]
)

// How much is shown of what may be a lot. What is left out is counted.
const (
	mostShown      = 200  // of the events of a section
	mostListed     = 25   // of breaches and of gaps
	mostFacts      = 8    // of an event
	mostText       = 2000 // characters
	mostShort      = 300  // characters, of a fact
	mostUnreadable = 50

	longestPeriod = 10 * 366 * 24 * time.Hour
)

// collector reads a ledger.
type collector struct {
	ledger *asOf
	data   *Data
	loaded []loaded // every configuration, oldest first
}

// loaded is what a configuration promised of recovery times.
type loaded struct {
	position uint64
	rto      map[readiness.Scenario]readiness.Seconds
}

// ErrSystem says that a ledger tells of another system.
var ErrSystem = errors.New("the ledger tells of another system")

var errOptions = errors.New("collect the report")

// Collect reads all that a report says from a ledger, up to one event.
//
// What it holds in memory depends on the period and on how many datastores there
// are, and not on how long the ledger is. The time does: it reads the streams that it
// is made from as a whole.
func Collect(ctx context.Context, store ledger.Store, o Options) (*Data, error) {
	then, err := standing(ctx, store, o.Head)
	if err != nil {
		return nil, fmt.Errorf("collect the report: %w", err)
	}
	return collect(ctx, then, o)
}

func collect(ctx context.Context, then *asOf, o Options) (*Data, error) {
	data, err := begin(o)
	if err != nil {
		return nil, err
	}
	then.concerns = func(e ledger.Event) bool {
		recent := !e.Time.Before(data.From.Add(-time.Hour)) && e.Time.Before(data.To.Add(time.Hour))
		return recent || e.Stream == StreamConfig || e.Stream == audit.Stream || e.Stream == StreamAudits
	}
	c := &collector{ledger: then, data: data}
	for _, part := range []func(context.Context) error{c.ends, c.configuration, c.compliance, c.system, c.audits, c.attestations, c.happenings, c.proof} {
		if err := part(ctx); err != nil {
			return nil, fmt.Errorf("collect the report: %w", err)
		}
	}
	return canonical(data)
}

func begin(o Options) (*Data, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	from, to := o.From.UTC().Truncate(time.Second), o.To.UTC().Truncate(time.Second)
	switch {
	case o.System == "":
		return nil, fmt.Errorf("%w: no system is named: name that of the file", errOptions)
	case !from.Before(to):
		return nil, fmt.Errorf("%w from %s to %s: that is no time: the end must be after the beginning", errOptions, from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.Sub(from) > longestPeriod:
		return nil, fmt.Errorf("%w from %s to %s: that is longer than ten years: make several reports", errOptions, from.Format(time.RFC3339), to.Format(time.RFC3339))
	case to.After(o.Now.Add(time.Second)):
		return nil, fmt.Errorf("%w up to %s: that has not come yet: now is %s", errOptions, to.Format(time.RFC3339), o.Now.UTC().Format(time.RFC3339))
	case o.Target < 0 || o.Target > 1:
		return nil, fmt.Errorf("%w: the target %v is no share: it lies between 0 and 1, as 0.999 does", errOptions, o.Target)
	}
	return &Data{
		Format: format, Layout: layout(), System: o.System, From: from, To: to, Target: cmp.Or(o.Target, 0.999),
		Made: Made{By: o.By, At: o.Now.UTC().Truncate(time.Second), Version: o.Version},
	}, nil
}

// canonical makes data what they are when they were written and read again: texts
// are valid, and nothing in them turns the order of what stands around them.
func canonical(d *Data) (*Data, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write the data of the report: %w", err)
	}
	text = bytes.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f {
			return utf8.RuneError
		}
		return r
	}, text)
	var again Data
	if err := json.Unmarshal(text, &again); err != nil {
		return nil, fmt.Errorf("read the data of the report again: %w", err)
	}
	return &again, nil
}

// ends notes where the ledger begins and ends.
func (c *collector) ends(ctx context.Context) error {
	x := c.ledger.extent
	c.data.Ledger = Ledger{First: x.First, Last: x.Last, Head: x.Head}
	if x.First == 0 || x.First > x.Last {
		return nil
	}
	oldest, newest, err := c.ledger.ends(ctx)
	if err != nil {
		return err
	}
	c.data.Ledger.Oldest, c.data.Ledger.Newest = readiness.Known(oldest.Time), readiness.Known(newest.Time)
	return nil
}

// system holds that the ledger is that of the system, as far as it tells.
func (c *collector) system(context.Context) error {
	if told := c.ledger.systems; len(told) > 0 && !slices.Contains(told, c.data.System) {
		return fmt.Errorf("%w: its RPO history is that of %s, and the report is to be of %s: name that system, or the ledger of this one", ErrSystem, strings.Join(told, ", "), c.data.System)
	}
	return nil
}

func (c *collector) proof(ctx context.Context) (err error) {
	c.data.Proof, err = c.ledger.proof(ctx)
	return err
}

// read gives the events of a stream that happened before the end of the period, and
// notes those that take does not understand.
func (c *collector) read(ctx context.Context, q ledger.Query, take func(ledger.Event) error) error {
	for e, err := range c.ledger.Events(ctx, q) {
		if err != nil {
			return fmt.Errorf("read %s: %w", cmp.Or(q.Stream, q.Prefix), err)
		}
		if !e.Time.Before(c.data.To) {
			continue
		}
		if err := take(e); err != nil && len(c.data.Unreadable) < mostUnreadable {
			c.data.Unreadable = append(c.data.Unreadable, Unreadable{e.Position, e.Stream, e.Kind, cut(err.Error(), mostShort)})
		}
	}
	return nil
}

// within reports whether something happened in the period.
func (c *collector) within(at time.Time) bool {
	return !at.Before(c.data.From) && at.Before(c.data.To)
}

// cut shortens a text, and says so.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	runes := []rune(text)
	return fmt.Sprintf("%s … (%d characters more are in the ledger)", string(runes[:most]), len(runes)-most)
}

// configuration finds what was promised, and when that changed.
func (c *collector) configuration(ctx context.Context) error {
	return c.read(ctx, ledger.Query{Stream: StreamConfig}, func(e ledger.Event) error {
		if e.Kind != KindLoaded {
			return nil
		}
		var l Loaded
		if err := json.Unmarshal(e.Body, &l); err != nil {
			return err
		}
		before := c.data.Config
		c.loaded = append(c.loaded, loaded{e.Position, l.RTO})
		c.data.Config = &Configured{At: e.Time, By: e.Actor, Loaded: l}
		if c.within(e.Time) {
			c.data.Changes = append(c.data.Changes, changeOf(before, e, l))
		}
		return nil
	})
}

// audits finds the newest result of the checklists, and how those of the period ended.
func (c *collector) audits(ctx context.Context) error {
	return c.read(ctx, ledger.Query{Stream: StreamAudits}, func(e ledger.Event) error {
		if e.Kind != KindAudited {
			return nil
		}
		var r audit.Result
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return err
		}
		if r.System != c.data.System {
			return fmt.Errorf("it is of the system %q", r.System)
		}
		c.data.Audit = &Audited{Position: e.Position, At: e.Time, By: e.Actor, Result: short(r)}
		if c.within(e.Time) {
			run := AuditRun{Position: e.Position, At: e.Time, By: e.Actor, Status: r.Status, Open: open(r)}
			c.data.Audits.Runs = slices.Insert(c.data.Audits.Runs, 0, run)
			if len(c.data.Audits.Runs) > mostListed {
				c.data.Audits.Runs, c.data.Audits.More = c.data.Audits.Runs[:mostListed], c.data.Audits.More+1
			}
		}
		return nil
	})
}

// open counts the items before the disaster that are not ready.
func open(r audit.Result) (n int) {
	for _, item := range r.Items {
		if item.Phase == audit.Before && !item.Status.Ready() {
			n++
		}
	}
	return n
}

// short cuts what is long in a result.
func short(r audit.Result) audit.Result {
	for i, item := range r.Items {
		for j, rest := range item.Rests {
			r.Items[i].Rests[j].Evidence, r.Items[i].Rests[j].Remedy = cut(rest.Evidence, mostText), cut(rest.Remedy, mostText)
		}
		if a := item.Attestation; a != nil {
			a.Evidence, a.Note = cut(a.Evidence, mostText), cut(a.Note, mostText)
		}
	}
	return r
}

// attestations finds those that counted at some time of the period. Of each item only
// the newest word counts.
func (c *collector) attestations(ctx context.Context) error {
	var all []Attestation
	newest := make(map[string]int) // where the word that counts is in all, by item
	err := c.read(ctx, ledger.Query{Stream: audit.Stream}, func(e ledger.Event) error {
		if e.Kind != audit.KindAttested && e.Kind != audit.KindWithdrawn {
			return nil
		}
		var a audit.Attestation
		if err := json.Unmarshal(e.Body, &a); err != nil {
			return err
		}
		last, said := newest[a.Item]
		delete(newest, a.Item)
		if said {
			all[last].end(e, a)
		}
		if e.Kind == audit.KindAttested {
			newest[a.Item] = len(all)
			all = append(all, attestationOf(e, a))
		}
		return nil
	})
	c.data.Attestations = slices.DeleteFunc(all, func(a Attestation) bool { // what counted before the period only
		ended, known := a.Ended.Get()
		return !a.Until.After(c.data.From) || known && ended.Before(c.data.From)
	})
	for i, a := range c.data.Attestations {
		if a.State == Stands && !a.Until.After(c.data.To) {
			c.data.Attestations[i].State = Lapsed
		}
	}
	return err
}

// end notes the word that takes the place of an attestation, or takes it back. One
// that had lapsed by then stays lapsed.
func (a *Attestation) end(e ledger.Event, by audit.Attestation) {
	if !a.Until.After(e.Time) {
		return
	}
	a.State, a.Ended, a.EndedBy, a.EndedWhy = Replaced, readiness.Known(e.Time), e.Actor, ""
	if e.Kind == audit.KindWithdrawn {
		a.State, a.EndedWhy = Withdrawn, cut(by.Note, mostText)
	}
}

func attestationOf(e ledger.Event, a audit.Attestation) Attestation {
	of := Attestation{
		Position: e.Position, Item: a.Item, By: a.By, Evidence: cut(a.Evidence, mostText), Note: cut(a.Note, mostText), At: a.At.UTC(), Until: a.Until.UTC(),
		State: Stands,
	}
	if e.Actor != a.By {
		of.Recorded = e.Actor
	}
	return of
}

// happenings shows the drills, the incidents and the runs of the period as they are.
func (c *collector) happenings(ctx context.Context) error {
	for _, each := range []struct {
		stream string
		into   *Happenings
	}{{streamDrills, &c.data.Drills}, {streamIncidents, &c.data.Incidents}, {streamRuns, &c.data.Runs}} {
		err := c.read(ctx, ledger.Query{Prefix: each.stream}, func(e ledger.Event) error {
			if own := e.Stream == each.stream || strings.HasPrefix(e.Stream, each.stream+"/"); !own || !c.within(e.Time) {
				return nil
			}
			h, err := happeningOf(e, strings.TrimPrefix(strings.TrimPrefix(e.Stream, each.stream), "/"))
			if err != nil {
				return err
			}
			h.Objective = c.objective(e.Position, h.Scenario)
			each.into.Events = append(each.into.Events, h)
			if len(each.into.Events) > mostShown {
				each.into.Events = slices.Delete(each.into.Events, 0, 1)
				each.into.More++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// objective is the RTO that was promised when an event came to be.
func (c *collector) objective(position uint64, s readiness.Scenario) (rto readiness.Maybe[readiness.Seconds]) {
	for _, l := range c.loaded {
		if seconds, promised := l.rto[s]; l.position < position && promised {
			rto = readiness.Known(seconds)
		} else if l.position < position {
			rto = readiness.Maybe[readiness.Seconds]{}
		}
	}
	return rto
}

// happeningOf takes from the body what has a column of its own, and lists the rest.
func happeningOf(e ledger.Event, name string) (Happening, error) {
	var known struct {
		Drill    string                             `json:"drill"`
		Incident string                             `json:"incident"`
		Run      string                             `json:"run"`
		Runbook  string                             `json:"runbook"`
		Title    string                             `json:"title"`
		Outcome  string                             `json:"outcome"`
		Scenario readiness.Scenario                 `json:"scenario"`
		RTO      readiness.Maybe[readiness.Seconds] `json:"rto_seconds"`
	}
	if err := json.Unmarshal(e.Body, &known); err != nil {
		return Happening{}, err
	}
	facts := make(map[string]json.RawMessage)
	if err := json.Unmarshal(e.Body, &facts); err != nil {
		return Happening{}, err
	}
	for _, column := range []string{"drill", "incident", "outcome", "scenario", "rto_seconds"} {
		delete(facts, column)
	}
	what := cmp.Or(known.Drill, known.Incident, known.Title, known.Runbook, known.Run, name)
	return Happening{
		Position: e.Position, At: e.Time, Kind: e.Kind, By: e.Actor, What: cut(what, mostShort), Outcome: cut(known.Outcome, mostShort),
		Scenario: known.Scenario, RTO: known.RTO, Facts: factsOf(facts),
	}, nil
}
