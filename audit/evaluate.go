package audit

import (
	"slices"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Options say what an audit goes by. [Config.Options] fills in what the file says;
// what people have attested, and how the files of runbooks are, is for the caller.
type Options struct {
	Items    []Item
	Runbooks []Runbook
	Contacts []Contact
	// Roles are those that somebody has to have.
	Roles []string
	// Attestations are what people have said. Its zero value is one of which nothing
	// was ever read.
	Attestations Attestations
	// Files are the files of runbooks, by [Runbook.File]; see [ReadFiles].
	Files map[string]File
	// Names are further names that a runbook may touch, beside those of the report.
	Names []string
}

// Attestable lists what people may attest: the items that ask for it, and the
// runbooks and the roles, each with its prefix.
func (o Options) Attestable() []string {
	var names []string
	for _, item := range o.Items {
		if item.Attested > 0 {
			names = append(names, item.Name)
		}
	}
	for _, r := range o.Runbooks {
		names = append(names, ofRunbook(r.Name))
	}
	for _, role := range o.roles() {
		names = append(names, ofContact(role))
	}
	return names
}

// roles are those that somebody has to have, and those that somebody has.
func (o Options) roles() []string {
	roles := slices.Clone(o.Roles)
	for _, c := range o.Contacts {
		if !slices.Contains(roles, c.Role) {
			roles = append(roles, c.Role)
		}
	}
	return roles
}

func ofRunbook(name string) string { return "runbook:" + name }
func ofContact(role string) string { return "contact:" + role }

// Evaluate holds the checklists against a report and against what people have
// attested, at the moment now. It is a pure function: what it does not find, it
// does not know. A nil report is one in which nothing was looked at.
func Evaluate(o Options, report *readiness.Report, now time.Time) Result {
	if report == nil {
		report = &readiness.Report{}
	}
	e := evaluation{Options: o, report: report, now: now, subjects: subjectsOf(report)}
	items := slices.Clone(o.Items)
	slices.SortStableFunc(items, func(a, b Item) int {
		return slices.Index(Phases(), a.Phase) - slices.Index(Phases(), b.Phase)
	})
	r := Result{At: now, System: report.System, Items: make([]ItemResult, 0, len(items))}
	var due []readiness.Status
	for _, item := range items {
		result := e.item(item)
		r.Items = append(r.Items, result)
		if item.Phase != During && item.Phase != After {
			due = append(due, result.Status)
		}
	}
	r.Status = worst(due)
	return r
}

// evaluation is one audit under way.
type evaluation struct {
	Options
	report   *readiness.Report
	now      time.Time
	subjects []subject
}

// item is as good as the worst of what it rests on.
func (e evaluation) item(i Item) ItemResult {
	r := ItemResult{Item: i.Name, Phase: i.Phase, Title: i.Title}
	if len(i.Observed) > 0 {
		r.Rests = e.observed(i.Observed)
	}
	if i.Runbooks {
		r.Rests = append(r.Rests, e.runbooks()...)
	}
	if i.Contacts {
		r.Rests = append(r.Rests, e.contacts()...)
	}
	if i.Attested > 0 {
		w := e.word(i.Name, i.Attested)
		r.Rests = append(r.Rests, w.rest("attestation", i.Remedy))
		if w.Ready() {
			r.Attestation = &w.attestation
		}
	}
	if len(r.Rests) == 0 {
		r.Rests = []Rest{{What: "nothing", Evidence: "it rests on nothing", Remedy: "say in audit.items what " + i.Name + " rests on: observed, attested, or both"}}
	}
	slices.SortStableFunc(r.Rests, func(a, b Rest) int { return b.Status.Severity() - a.Status.Severity() })
	r.Status = r.Rests[0].Status
	for _, rest := range r.Rests {
		if !rest.Lapses.IsZero() && (r.Lapses.IsZero() || rest.Lapses.Before(r.Lapses)) {
			r.Lapses = rest.Lapses
		}
	}
	return r
}

// worst is unknown where there is none.
func worst(all []readiness.Status) readiness.Status {
	if len(all) == 0 {
		return readiness.Unknown
	}
	return slices.MaxFunc(all, func(a, b readiness.Status) int { return a.Severity() - b.Severity() })
}
