package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/readiness"
)

// subject is what checks are made on: a datastore, a copy of it, or a part of a
// service.
type subject struct {
	name, of string
	copy     readiness.CopyKind
	part     readiness.PartKind
	side     readiness.Side
	checks   []readiness.Check
}

func subjectsOf(r *readiness.Report) []subject {
	var all []subject
	for _, d := range r.Datastores {
		all = append(all, subject{name: d.Name, of: d.Name, checks: d.Checks})
		for _, c := range d.Copies {
			id := readiness.ID{Of: d.Name, Name: c.Name}
			all = append(all, subject{name: id.String(), of: d.Name, copy: c.Kind, side: sideOf(r, c.Region), checks: c.Checks})
		}
	}
	for _, s := range r.Services {
		for _, p := range s.Parts {
			id := readiness.ID{Of: s.Name, Name: p.Name}
			all = append(all, subject{name: id.String(), of: s.Name, part: p.Kind, side: p.Side, checks: p.Checks})
		}
	}
	return all
}

// sideOf is empty for a region that is neither.
func sideOf(r *readiness.Report, region string) readiness.Side {
	switch region {
	case "":
		return ""
	case r.StandbyRegion:
		return readiness.StandbySide
	case r.PrimaryRegion:
		return readiness.PrimarySide
	default:
		return ""
	}
}

// observed are the checks that the selectors pick, each once, and what is missing
// among them.
func (e evaluation) observed(selectors []Selector) []Rest {
	var rests []Rest
	seen := make(map[string]bool)
	for _, s := range selectors {
		with := make(map[string]bool) // datastores and services of which something is picked
		for _, subject := range e.subjects {
			if !s.picksOn(subject) {
				continue
			}
			for _, check := range subject.checks {
				if !holds(s.Checks, check.Name) {
					continue
				}
				with[subject.of] = true
				what := subject.name + ": " + check.Name
				if !seen[what] {
					seen[what] = true
					rests = append(rests, Rest{What: what, Status: check.Status, Evidence: check.Evidence, Remedy: check.Remedy})
				}
			}
		}
		rests = append(append(rests, e.lacking(s, with)...), e.strange(s)...)
	}
	if len(rests) == 0 {
		rests = []Rest{{What: "checks", Evidence: nothingLookedAt, Remedy: "add to the file what it can rest on: " + wanted(selectors)}}
	}
	return rests
}

const nothingLookedAt = "nothing in the file is looked at that this could rest on"

func (s Selector) picksOn(on subject) bool {
	return holds(s.CopyKinds, on.copy) && holds(s.PartKinds, on.part) && holds(s.Sides, on.side) && holds(s.Of, on.of)
}

func holds[T comparable](list []T, value T) bool {
	return len(list) == 0 || slices.Contains(list, value)
}

// lacking are the datastores and services of which each should have been picked,
// and none was.
func (e evaluation) lacking(s Selector, with map[string]bool) []Rest {
	if !s.Each {
		return nil
	}
	var rests []Rest
	lacks := func(of string) {
		if holds(s.Of, of) && !with[of] {
			rests = append(rests, Rest{What: of, Evidence: nothingLookedAt, Remedy: fmt.Sprintf("add to %s %s", of, s.wanted())})
		}
	}
	for _, d := range e.report.Datastores {
		// Where nothing is promised there is nothing to keep; but where it is named, it is meant.
		if len(s.PartKinds) == 0 && (len(d.Coverage) > 0 || len(s.Of) > 0) {
			lacks(d.Name)
		}
	}
	for _, service := range e.report.Services {
		if len(s.CopyKinds) == 0 {
			lacks(service.Name)
		}
	}
	return rests
}

// strange are the names in a selector that pick nothing because nothing has them:
// were they passed over, a slip of the pen would look like good order.
func (e evaluation) strange(s Selector) []Rest {
	if len(s.Of)+len(s.Checks) == 0 || len(e.subjects) == 0 {
		return nil // nothing is named, or there is nothing that could have the name
	}
	var of, checks []string
	for _, subject := range e.subjects {
		of = append(of, subject.of)
		for _, c := range subject.checks {
			checks = append(checks, c.Name)
		}
	}
	var rests []Rest
	for _, name := range s.Of {
		if !slices.Contains(of, name) {
			rests = append(rests, Rest{What: name, Evidence: "the file has no datastore and no service of this name", Remedy: "correct it in audit.items" + meant(name, of)})
		}
	}
	for _, name := range s.Checks {
		if !slices.Contains(checks, name) {
			rests = append(rests, Rest{What: "check " + name, Evidence: "no check of this name is made", Remedy: "correct it in audit.items, or add to the file what it is made on" + meant(name, checks)})
		}
	}
	return rests
}

// wanted says in the words of the file what the selectors would pick.
func wanted(selectors []Selector) string {
	words := make([]string, len(selectors))
	for i, s := range selectors {
		words[i] = s.wanted()
	}
	return strings.Join(words, "; ")
}

func (s Selector) wanted() string {
	words := "something that is looked at"
	switch {
	case len(s.CopyKinds) == len(readiness.CopyKinds()):
		words = "a copy"
	case len(s.CopyKinds) > 0:
		words = "a copy of kind " + alternatives(s.CopyKinds)
	case len(s.PartKinds) > 0:
		var kinds []string
		for _, kind := range s.PartKinds {
			kinds = append(kinds, partWords(kind))
		}
		words = "a part that looks at " + alternatives(kinds)
	}
	if len(s.Sides) > 0 {
		words += " on the side of the " + alternatives(s.Sides)
	}
	if len(s.Checks) > 0 {
		words += ", with the check " + alternatives(s.Checks)
	}
	return words
}

func partWords(kind readiness.PartKind) string {
	switch kind {
	case readiness.Record:
		return "the record of the name (route53)"
	case readiness.Resolution:
		return "where the name leads (dns)"
	case readiness.Endpoint:
		return "what answers there (endpoint)"
	case readiness.Balancer:
		return "the load balancer (elb)"
	default:
		return string(kind)
	}
}
