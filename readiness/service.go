package readiness

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Service is what clients reach by one name, and what has to move to the standby
// region with it: the name must come to lead there, and something must answer.
type Service struct {
	Name string
	// Scenarios are the disasters in which the service has to move.
	Scenarios []Scenario
	Parts     []Part
}

// Part is one thing that a service needs in order to move, or one way to see it:
// the record of its name, what resolvers answer, an end that it can be served from.
type Part struct {
	// Name identifies the part within its service.
	Name string
	Kind PartKind
	// Region is where it is; empty for what is in no region, such as a record.
	Region string
	// Side is the end of the failover that it belongs to; empty for what is between them.
	Side Side
	// Vantage is the region from which it is looked at.
	Vantage string
	Watch
}

// PartKind says what a part is.
type PartKind string

// The kinds of parts.
const (
	Record     PartKind = "record"     // what the name is set to lead to, and when
	Resolution PartKind = "resolution" // where the name leads to now
	Endpoint   PartKind = "endpoint"   // where clients are answered
	Balancer   PartKind = "balancer"   // what spreads them over servers
)

// Side is an end of a failover.
type Side string

// The sides.
const (
	PrimarySide Side = "primary"
	StandbySide Side = "standby"
)

// ServiceReport is the verdict on one service.
type ServiceReport struct {
	Name string `json:"service"`
	// Scenarios are those in which it has to move.
	Scenarios []Scenario `json:"scenarios"`
	// Status is Pass when nothing is in the way of a move: what is on the side of
	// the primary is not asked for it. It is Unknown where no part could tell.
	Status Status `json:"status"`
	// Because says what is in the way.
	Because string       `json:"because,omitempty"`
	Parts   []PartReport `json:"parts"`
}

// PartReport is what is known of one part.
type PartReport struct {
	ID      ID       `json:"-"`
	Name    string   `json:"part"`
	Kind    PartKind `json:"kind"`
	Region  string   `json:"region,omitempty"`
	Side    Side     `json:"side,omitempty"`
	Vantage string   `json:"vantage"`

	// AsOf is when what follows was so, where that was not at the last look.
	AsOf Maybe[time.Time] `json:"as_of"`
	// Measures are as of the last look, and absent when it failed.
	Measures map[Measure]float64 `json:"measures,omitempty"`

	Probe  ProbeReport `json:"probe"`
	Checks []Check     `json:"checks"`
	// Status is the worst of the checks.
	Status Status `json:"status"`
}

// Summary tells in a few words what the numbers of the part say; empty where none
// is known.
func (p PartReport) Summary() string {
	var words []string
	tell := func(m Measure, word func(float64) string) {
		if value, known := p.Measures[m]; known {
			words = append(words, word(value))
		}
	}
	seconds := func(prefix string) func(float64) string {
		return func(v float64) string { return prefix + Seconds(v).String() }
	}
	share := func(side string) func(float64) string {
		return func(v float64) string {
			if v == 0 {
				return ""
			}
			return strconv.FormatFloat(100*v, 'f', 0, 64) + "% led to " + side
		}
	}
	tell(DNSFailoverSeconds, seconds("clients would have moved within "))
	tell(DNSServedPrimary, share("the primary"))
	tell(DNSServedStandby, share("the standby"))
	tell(DNSServedOther, share("something else"))
	tell(DNSServedNothing, func(v float64) string {
		if v == 0 {
			return ""
		}
		return strconv.FormatFloat(100*v, 'f', 0, 64) + "% told no address"
	})
	tell(DNSTTLSeconds, seconds("TTL "))
	tell(EndpointUp, func(up float64) string {
		if up == 1 {
			return "up"
		}
		return "not up"
	})
	tell(EndpointLatencySeconds, seconds("answers in "))
	tell(HealthyTargets, func(n float64) string { return strconv.Itoa(int(n)) + " healthy targets" })
	tell(HealthyZones, func(n float64) string { return "in " + strconv.Itoa(int(n)) + " zones" })
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

func evaluateService(system System, s Service, seen Observations, now time.Time) ServiceReport {
	r := ServiceReport{Name: s.Name, Status: Pass, Parts: make([]PartReport, 0, len(s.Parts))}
	for _, judged := range system.Scenarios {
		if slices.Contains(s.Scenarios, judged.Scenario) {
			r.Scenarios = append(r.Scenarios, judged.Scenario)
		}
	}
	inTheWay := 0
	for _, p := range s.Parts {
		part := evaluatePart(s, p, seen, now)
		r.Parts = append(r.Parts, part)
		if p.Side == PrimarySide {
			continue // that it is gone is what the move is for
		}
		for _, check := range part.Checks {
			if !check.Status.Ready() && check.Evidence != unseen {
				inTheWay++
			}
			if !check.Status.Ready() && check.Status.worse(r.Status) {
				r.Status = check.Status
				r.Because = fmt.Sprintf("%s of %s is %s: %s", check.Name, p.Name, check.Status, check.Evidence)
			}
		}
	}
	if inTheWay > 1 {
		r.Because += fmt.Sprintf(" (and %d more)", inTheWay-1)
	}
	if r.Status == Pass && !slices.ContainsFunc(s.Parts, Part.tellsOfMove) {
		r.Status, r.Because = Unknown, "no part looks at its record, or at what would answer on the standby"
	}
	return r
}

// tellsOfMove reports whether the part says anything about a move: neither the side that
// is lost does, nor where the name leads now.
func (p Part) tellsOfMove() bool { return p.Side != PrimarySide && p.Kind != Resolution }

func evaluatePart(s Service, p Part, all Observations, now time.Time) PartReport {
	id := ID{Of: s.Name, Name: p.Name}
	seen := all(id)
	if seen == nil {
		seen = &Seen{}
	}
	r := PartReport{
		ID: id, Name: p.Name, Kind: p.Kind, Region: p.Region, Side: p.Side, Vantage: p.Vantage,
		Probe: probeReport(p.Watch, seen),
	}
	look := p.look(seen, now)
	if look.Status == Pass {
		r.Measures = seen.Good.Reading.Measures
		if seen.Good.Reading.AsOf.IsKnown() {
			r.AsOf = Known(seen.Good.asOf())
		}
	}
	r.Checks = p.checks(id, look, func(name string) Check {
		if check, ok := seen.Good.Reading.answer(name); ok {
			return check
		}
		return Check{Evidence: untold}
	})
	r.Status = worst(r.Checks)
	return r
}

// allReady reports whether no check of the service is in the way.
func (r ServiceReport) allReady() bool {
	return !slices.ContainsFunc(r.Parts, func(p PartReport) bool { return !p.Status.Ready() })
}
