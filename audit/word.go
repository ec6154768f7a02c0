package audit

import (
	"fmt"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Attestations are what people have said, as far as it is known.
type Attestations struct {
	// Newest is the last word about each thing, which may be that an earlier one is
	// withdrawn. It is not to be changed.
	Newest map[string]Attestation
	// AsOf is when they were read, and zero where they never were.
	AsOf time.Time
	// Unknown says why they could not be read since; nil where they could.
	Unknown error
}

// mostUnread is for how long the word of a person counts while nobody can read
// whether it was taken back.
const mostUnread = day

// Warnings come this long before something lapses, or a tenth of its whole time,
// where that is shorter.
const mostNotice = 14 * day

// lapsing is the state of what counted since a moment, and does until another.
func lapsing(since, until, now time.Time) readiness.Status {
	switch {
	case !now.Before(until):
		return readiness.Unknown
	case !now.Before(until.Add(-min(mostNotice, until.Sub(since)/10))):
		return readiness.Warn
	default:
		return readiness.Pass
	}
}

// word is what people have said about one thing, and what that is worth now.
type word struct {
	readiness.Status
	evidence    string
	attestation Attestation
	lapses      time.Time
	command     string // to say it anew
	unread      bool   // what was said cannot be read: the remedy is another
}

// word judges the last word about a thing. The longest is how long it counts,
// whatever the person said.
func (e evaluation) word(about string, longest time.Duration) word {
	a, there := e.Attestations.Newest[about]
	w := word{attestation: a, command: command(about, longest)}
	switch {
	case !there:
		w.evidence = "nobody has attested it"
	case a.Withdrawn:
		w.evidence = fmt.Sprintf("withdrawn by %s on %s%s", a.By, date(a.At), note(a))
	default:
		w.judge(e.now, longest)
	}
	if there && a.At.After(e.now.Add(clockSlack)) {
		w.Status = readiness.Unknown
		w.evidence = fmt.Sprintf("by %s on %s, which has not come yet: the clocks disagree", a.By, date(a.At))
	}
	w.read(e.Attestations, e.now)
	return w
}

// judge tells how long the word counts.
func (w *word) judge(now time.Time, longest time.Duration) {
	a := w.attestation
	w.lapses = counts(a, longest)
	w.Status = lapsing(a.At, w.lapses, now)
	left := w.lapses.Sub(now)
	said := fmt.Sprintf("by %s on %s: %s%s", a.By, date(a.At), a.Evidence, note(a))
	switch w.Status {
	case readiness.Pass:
		w.evidence = fmt.Sprintf("until %s, attested %s", date(w.lapses), said)
	case readiness.Warn:
		w.evidence = fmt.Sprintf("lapses in %s, attested %s", long(left), said)
	default:
		w.evidence = fmt.Sprintf("lapsed %s ago, attested %s", long(-left), said)
	}
}

// counts is when a word lapses.
func counts(a Attestation, longest time.Duration) time.Time {
	if at := a.At.Add(longest); at.Before(a.Until) {
		return at
	}
	return a.Until
}

// read takes into account how old it is what was read: in the meantime a word may
// have been taken back, or given.
func (w *word) read(from Attestations, now time.Time) {
	age := now.Sub(from.AsOf)
	why := "nobody has read it yet"
	if from.Unknown != nil {
		why = from.Unknown.Error()
	}
	switch {
	case from.AsOf.IsZero():
		w.Status, w.unread = readiness.Unknown, true
		w.evidence = "what was attested cannot be read: " + why
		return
	case from.Unknown == nil && age <= mostUnread:
		return
	case age > mostUnread:
		w.Status = readiness.Unknown
	case w.Status == readiness.Pass:
		w.Status = readiness.Warn
	}
	w.unread = true
	w.evidence += fmt.Sprintf(" (as of %s ago; what was attested cannot be read since", long(age))
	if from.Unknown != nil {
		w.evidence += ": " + why
	}
	w.evidence += ")"
}

// trusted reports whether it is known what was said, and what was not.
func (a Attestations) trusted(now time.Time) bool {
	return !a.AsOf.IsZero() && now.Sub(a.AsOf) <= mostUnread
}

// rest gives what an item rests on. First is what to do before it can be said.
func (w word) rest(what, first string) Rest {
	r := Rest{What: what, Status: w.Status, Evidence: w.evidence, Lapses: w.lapses}
	if w.Status != readiness.Pass {
		r.Remedy = w.remedy(first)
	}
	return r
}

func (w word) remedy(first string) string {
	switch {
	case w.unread:
		return noLedgerRemedy
	case first == "":
		return w.command
	default:
		return first + ": " + w.command
	}
}

const noLedgerRemedy = "bring the ledger back that the key ledger of the file names, or add that key"

func command(about string, longest time.Duration) string {
	return fmt.Sprintf("drwatch attest %s --by ... --evidence ... --valid-for %s", about, written(min(longest, MaxValidity)))
}

func note(a Attestation) string {
	if a.Note == "" {
		return ""
	}
	return " (" + a.Note + ")"
}
