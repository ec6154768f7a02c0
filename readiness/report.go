package readiness

import (
	"math"
	"strconv"
	"time"
)

// Report is the verdict on a system at one moment. Metrics, pages, commands and
// triggers all read the same one, so that they cannot disagree. It is not
// changed once it is made.
type Report struct {
	At             time.Time         `json:"at"`
	System         string            `json:"system"`
	PrimaryRegion  string            `json:"primary_region"`
	StandbyRegion  string            `json:"standby_region"`
	InstanceRegion string            `json:"instance_region"`
	MTTR           Maybe[Seconds]    `json:"mttr_objective_seconds"`
	Ready          bool              `json:"ready"`
	Scenarios      []ScenarioReport  `json:"scenarios"`
	Datastores     []DatastoreReport `json:"datastores"`
	Services       []ServiceReport   `json:"services,omitempty"`
}

// Age is how long before the report a moment was.
func (r *Report) Age(at time.Time) Seconds { return InSeconds(Elapsed(at, r.At)) }

// Checks lists every check, datastore by datastore, then service by service.
func (r *Report) Checks() []Check {
	var all []Check
	for _, d := range r.Datastores {
		all = append(all, d.Checks...)
		for _, c := range d.Copies {
			all = append(all, c.Checks...)
		}
	}
	for _, s := range r.Services {
		for _, p := range s.Parts {
			all = append(all, p.Checks...)
		}
	}
	return all
}

// Finding is a check that does not pass.
type Finding struct {
	Check
	// Also are further checks on the same subject that are in the same state, or
	// unknown, for the same reason.
	Also []string
}

// joins reports whether a check on the same subject adds nothing to a finding.
func (f Finding) joins(c Check) bool {
	return f.Subject == c.Subject && (c.Evidence == unseen || c.Evidence == untold && f.Status == Unknown || c.Evidence == f.Evidence && c.Status == f.Status)
}

// Open counts the checks that stand in the way of a report that is not ready
// although every scenario is.
func (r *Report) Open() (checks int) {
	for _, f := range r.Findings() {
		if !f.Status.Ready() {
			checks++
		}
	}
	return checks
}

// Covered reports whether every scenario that is judged is ready.
func (r *Report) Covered() bool {
	for _, s := range r.Scenarios {
		if s.Judged && s.Status != Pass {
			return false
		}
	}
	return true
}

// Findings lists the checks that do not pass, each reason once.
func (r *Report) Findings() []Finding {
	var all []Finding
	for _, c := range r.Checks() {
		if last := len(all) - 1; c.Status != Pass && last >= 0 && all[last].joins(c) {
			all[last].Also = append(all[last].Also, c.Name)
		} else if c.Status != Pass {
			all = append(all, Finding{Check: c})
		}
	}
	return all
}

// ScenarioReport tells whether the system would come through a disaster.
//
// The recovery time is promised (RTO) but not judged here: nothing that is
// looked at so far measures it.
type ScenarioReport struct {
	Scenario Scenario       `json:"scenario"`
	RTO      Maybe[Seconds] `json:"rto_objective_seconds"`
	// Judged says that some datastore promises an RPO in the scenario, or that some
	// service has to move in it. Else there is nothing to be ready for, and the
	// status is unknown.
	Judged bool `json:"judged"`
	// Status is Pass when each datastore has a copy that survives, is within its
	// RPO and is sound, and nothing is in the way of a service that has to move.
	Status Status `json:"status"`
	// Because names, when it is not ready, each datastore and service that is in the way and why.
	Because []string `json:"because,omitempty"`
}

// DatastoreReport is the verdict on one datastore.
type DatastoreReport struct {
	Name     string       `json:"datastore"`
	Coverage []Coverage   `json:"coverage"`
	Copies   []CopyReport `json:"copies"`
	// Checks are those on the datastore as a whole.
	Checks []Check `json:"checks"`
}

// Coverage is how well a datastore is covered in a scenario that has an RPO.
type Coverage struct {
	Scenario Scenario `json:"scenario"`
	RPO      Seconds  `json:"rpo_objective_seconds"`
	// Exposure is how much data, in time, would be lost now; unknown is without bound.
	Exposure  Maybe[Seconds] `json:"rpo_exposure_seconds"`
	Compliant bool           `json:"rpo_compliant"`
	// Copy is the one with the newest recovery point among those that survive.
	Copy string `json:"copy,omitempty"`
	// Sound is the one to recover from: the newest that is within the RPO and whose
	// own checks are in good order; empty where there is none. SoundExposure is how
	// much would be lost by that.
	Sound         string         `json:"sound_copy,omitempty"`
	SoundExposure Maybe[Seconds] `json:"sound_exposure_seconds"`
	// Ready is Pass when a copy that survives is within the RPO and sound.
	Ready Status `json:"ready"`
	// Because says why it is not.
	Because string `json:"because,omitempty"`
}

// CopyReport is what is known of one copy.
type CopyReport struct {
	ID       ID         `json:"-"`
	Name     string     `json:"copy"`
	Kind     CopyKind   `json:"kind"`
	Region   string     `json:"copy_region"`
	Survives []Scenario `json:"survives"`

	RecoveryPoint Maybe[time.Time] `json:"recovery_point"`
	Basis         Basis            `json:"basis,omitempty"`
	WindowStart   Maybe[time.Time] `json:"recovery_window_start"`

	// The lags are as of the last look, and unknown when it failed.
	ReceivedLag      Maybe[Seconds] `json:"received_lag_seconds"`
	ReplayLag        Maybe[Seconds] `json:"replay_lag_seconds"`
	ReceivedLagBytes Maybe[float64] `json:"received_lag_bytes"`
	ReplayLagBytes   Maybe[float64] `json:"replay_lag_bytes"`

	// AsOf is when what follows was so, where that was not at the last look.
	AsOf        Maybe[time.Time]    `json:"as_of"`
	Role        Role                `json:"role,omitempty"`
	Connected   Maybe[bool]         `json:"connected"`
	LastMessage Maybe[time.Time]    `json:"last_message"`
	ClockOffset Maybe[Seconds]      `json:"clock_offset_seconds"`
	Measures    map[Measure]float64 `json:"measures,omitempty"`

	Probe  ProbeReport `json:"probe"`
	Checks []Check     `json:"checks"`
	// Status is the worst of the checks.
	Status Status `json:"status"`
}

// ProbeReport is how the looking itself went.
type ProbeReport struct {
	Kind         string           `json:"kind"`
	Success      bool             `json:"success"`
	LastLook     Maybe[time.Time] `json:"last_look"`
	LastSuccess  Maybe[time.Time] `json:"last_success"`
	LastDuration Maybe[Seconds]   `json:"last_duration_seconds"`
	Looks        uint64           `json:"looks"`
	Failures     map[Class]uint64 `json:"failures,omitempty"`
	// Class and Error are of the last look, when it failed.
	Class Class  `json:"class,omitempty"`
	Error string `json:"error,omitempty"`
}

// Seconds is a length of time, in the base unit of metrics.
type Seconds float64

// InSeconds converts a duration.
func InSeconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Duration converts back; what is longer than a Duration can be is as long as it can.
func (s Seconds) Duration() time.Duration {
	const longest = Seconds(math.MaxInt64 / 1_000_000_000)
	return time.Duration(float64(max(-longest, min(longest, s))) * float64(time.Second))
}

// String gives the length for people, to about two digits that matter: 850ms, 12.3s, 4m05s, 3h20m, 2d4h.
func (s Seconds) String() string {
	d := s.Duration()
	switch {
	case math.IsNaN(float64(s)):
		return "unknown"
	case d < 0:
		return "-" + (-s).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return strconv.FormatFloat(float64(s), 'f', 1, 64) + "s"
	case d < time.Hour:
		return two(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "m")
	default:
		return two(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

func two(d, big time.Duration, bigUnit string, small time.Duration, smallUnit string) string {
	whole, rest := strconv.Itoa(int(d/big))+bigUnit, int(d%big/small)
	switch {
	case rest == 0:
		return whole
	case rest < 10 && smallUnit != "h":
		return whole + "0" + strconv.Itoa(rest) + smallUnit
	default:
		return whole + strconv.Itoa(rest) + smallUnit
	}
}
