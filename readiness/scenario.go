package readiness

import "time"

// Scenario is a kind of disaster.
type Scenario string

// The scenarios that drwatch judges.
const (
	ServiceFailure  Scenario = "service-failure"  // the service is down, its data is intact
	DatabaseFailure Scenario = "database-failure" // the primary database is lost
	RegionFailure   Scenario = "region-failure"   // everything in the primary region is lost
	DataCorruption  Scenario = "data-corruption"  // the data is wrong, and replicated so
	SecurityBreach  Scenario = "security-breach"  // an intruder may rewrite what the account owns
)

// Scenarios lists every scenario, mildest first.
func Scenarios() []Scenario {
	return []Scenario{ServiceFailure, DatabaseFailure, RegionFailure, DataCorruption, SecurityBreach}
}

// DefaultObjective is what is promised in a scenario when nobody says otherwise.
func DefaultObjective(s Scenario) Objective {
	switch s {
	case ServiceFailure:
		return Objective{RTO: 15 * time.Minute}
	case DatabaseFailure:
		return Objective{RPO: time.Hour, RTO: time.Hour}
	case SecurityBreach:
		return Objective{RPO: time.Hour, RTO: 24 * time.Hour}
	default:
		return Objective{RPO: time.Hour, RTO: 4 * time.Hour}
	}
}

// Survives reports whether the copy c of datastore d is still there, and still
// good, after the scenario. What the file says about it wins over what is
// derived.
func (s System) Survives(d Datastore, c Copy, scenario Scenario) bool {
	if said, ok := c.Survives[scenario]; ok {
		return said
	}
	switch scenario {
	case ServiceFailure:
		return true
	case DatabaseFailure:
		return c.Kind != Primary
	case RegionFailure:
		return c.Kind != Primary && c.Region != "" && c.Region != s.PrimaryRegion
	case DataCorruption:
		return c.canGoBack()
	case SecurityBreach:
		// A live replica obeys whoever writes to its primary, in whatever account it is.
		return c.canGoBack() && (c.Immutable || d.otherAccount(c))
	default:
		return false
	}
}

// canGoBack reports whether the copy can bring back a moment before the newest
// one that it holds.
func (c Copy) canGoBack() bool {
	switch c.Kind {
	case PITR, Snapshot, Backup:
		return true
	case Replica:
		return c.Delay > 0
	default:
		return false
	}
}

func (d Datastore) otherAccount(c Copy) bool {
	if c.Account == "" {
		return false
	}
	for _, other := range d.Copies {
		if other.Kind == Primary {
			return other.Account != c.Account
		}
	}
	return true
}
