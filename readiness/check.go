package readiness

import "fmt"

// Status is the answer to a check. Its zero value is Unknown.
type Status int

// The states of a check. Only Pass and Warn are ready.
const (
	Unknown Status = iota
	Pass
	Warn
	Fail
)

// Statuses lists every status.
func Statuses() []Status { return []Status{Pass, Warn, Fail, Unknown} }

// String gives the word that metrics, pages and commands use for the status.
func (s Status) String() string {
	switch s {
	case Pass:
		return "pass"
	case Warn:
		return "warn"
	case Fail:
		return "fail"
	default:
		return "unknown"
	}
}

// MarshalText encodes the status as its word.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText decodes the word of a status.
func (s *Status) UnmarshalText(text []byte) error {
	for _, known := range Statuses() {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("unknown check status %q", text)
}

// Ready reports whether a check in this state stands in nobody's way.
func (s Status) Ready() bool { return s == Pass || s == Warn }

// worse orders statuses by how much they need a person.
func (s Status) worse(than Status) bool { return s.Severity() > than.Severity() }

// Severity grows with how much the status needs a person: what is not known is never
// better than what holds.
func (s Status) Severity() int {
	switch s {
	case Pass:
		return 0
	case Warn:
		return 1
	case Unknown:
		return 2
	default:
		return 3
	}
}

// Check is a statement that is true or not, with what it rests on and what to
// do when it does not hold.
type Check struct {
	// Name is the statement, one of a closed set: a metric label.
	Name string `json:"check"`
	// Subject is what the statement is about: a datastore, or datastore/copy.
	Subject string `json:"subject"`
	Status  Status `json:"status"`
	// Evidence is what was seen.
	Evidence string `json:"evidence,omitempty"`
	// Remedy is what to do; empty when the check passes.
	Remedy string `json:"remedy,omitempty"`
	// Upstream says that the check is about the link to the source, or about what
	// could not be asked of others, and not about what the copy holds: what a
	// broken link loses shows as exposure.
	Upstream bool `json:"-"`
}

// The checks that readiness makes itself, out of what any probe reports.
const (
	CheckLook           = "look"            // the copy could be looked at, recently
	CheckRole           = "role"            // the server is what the file says it is
	CheckSameSystem     = "same-system"     // the replica follows this primary and no other
	CheckDistinctServer = "distinct-server" // no two copies are one server
	CheckConnected      = "connected"       // the replica is receiving
	CheckClock          = "clock"           // no recovery point lies in the future, clocks agree
	CheckSplitBrain     = "split-brain"     // at most one server of the datastore takes writes
	CheckHistory        = "history"         // the primary goes on from where it was
)

// OwnChecks lists the checks on a copy that readiness makes itself.
func OwnChecks() []string {
	return []string{CheckLook, CheckRole, CheckSameSystem, CheckDistinctServer, CheckConnected, CheckClock}
}
