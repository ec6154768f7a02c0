package readiness

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// api is a service that has to move when the region is lost: its record, what
// resolvers say, and an end on either side.
func api() Service {
	return Service{Name: "api", Scenarios: []Scenario{RegionFailure}, Parts: []Part{
		{Name: "record", Kind: Record, Watch: Watch{Probe: "route53", Checks: []string{"pair", "ttl"}}},
		{Name: "primary", Kind: Endpoint, Region: "west", Side: PrimarySide, Watch: Watch{Probe: "endpoint", Checks: []string{"up"}}},
		{Name: "standby", Kind: Endpoint, Region: "central", Side: StandbySide, Watch: Watch{Probe: "endpoint", StaleAfter: time.Minute, Checks: []string{"up"}}},
	}}
}

// seeing has looked once at every part of the service, a second ago, and found it
// as told here; nil is a look that failed.
func seeing(s Service, found map[string][]Check) *Sightings {
	seen := NewSightings(Datastore{})
	for _, p := range s.Parts {
		o := Observation{At: at(0), Took: time.Millisecond, Reading: Reading{Checks: found[p.Name], Measures: map[Measure]float64{EndpointUp: 1}}}
		if found[p.Name] == nil {
			o.Reading, o.Failure = Reading{}, &Failure{Class: Denied, Err: errors.New("may not")}
		}
		seen.ObservePart(p, o)
	}
	return seen
}

func sound() map[string][]Check {
	return map[string][]Check{
		"record":  {{Name: "pair", Status: Pass}, {Name: "ttl", Status: Warn}},
		"primary": {{Name: "up", Status: Pass}},
		"standby": {{Name: "up", Status: Pass}},
	}
}

func judge(s Service, seen *Sightings, second float64) *Report {
	system := system()
	system.Services = []Service{s}
	return Evaluate(system, func(id ID) *Seen { return seen.Seen(id.Name) }, at(second))
}

func scenario(t testing.TB, r *Report, s Scenario) ScenarioReport {
	t.Helper()
	for _, report := range r.Scenarios {
		if report.Scenario == s {
			return report
		}
	}
	t.Fatalf("no report on %s", s)
	return ScenarioReport{}
}

// A team whose name never moves would be told that it is ready, because its data is.
func TestService_IsInTheWayOfTheScenariosInWhichItHasToMove(t *testing.T) {
	for name, row := range map[string]struct {
		found   func(map[string][]Check)
		second  float64
		status  Status
		because string
		ready   bool // of the whole report
	}{
		"all in order": {found: func(map[string][]Check) {}, status: Pass, ready: true},
		"a failing check": {
			found: func(f map[string][]Check) {
				f["record"][0] = Check{Name: "pair", Status: Fail, Evidence: "no SECONDARY"}
			},
			status: Fail, because: "api: pair of record is fail: no SECONDARY",
		},
		"a check that nobody answered": {
			found:  func(f map[string][]Check) { f["record"] = f["record"][:1] },
			status: Unknown, because: "api: ttl of record is unknown: " + untold,
		},
		"a look that failed": {
			found:  func(f map[string][]Check) { f["standby"] = nil },
			status: Unknown, because: "api: look of standby is unknown: denied: may not",
		},
		"the worst is told, and not the first": {
			found: func(f map[string][]Check) {
				f["record"] = f["record"][:1]
				f["standby"][0] = Check{Name: "up", Status: Fail, Evidence: "refused"}
			},
			status: Fail, because: "api: up of standby is fail: refused (and 1 more)",
		},
		"an old look": {
			found: func(map[string][]Check) {}, second: 90,
			status: Unknown, because: "api: look of standby is unknown: the last look is 1m30s old",
		},
		"the primary is down, which is what the move is for": {
			found:  func(f map[string][]Check) { f["primary"][0] = Check{Name: "up", Status: Fail, Evidence: "refused"} },
			status: Pass,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := sound()
			row.found(found)
			r := judge(api(), seeing(api(), found), row.second)
			region := scenario(t, r, RegionFailure)
			require.True(t, region.Judged)
			require.Equal(t, row.status, region.Status)
			if row.because == "" {
				require.Empty(t, region.Because)
			} else {
				require.Equal(t, []string{row.because}, region.Because)
			}
			require.Equal(t, row.ready, r.Ready)
			require.False(t, scenario(t, r, DataCorruption).Judged, "it need not move then")
		})
	}
}

// What was read before the look failed, or grew old, would be shown as new.
func TestService_MeasuresAreOfTheLastLook(t *testing.T) {
	s := api()
	seen := seeing(s, sound())
	require.Equal(t, map[Measure]float64{EndpointUp: 1}, judge(s, seen, 1).Services[0].Parts[2].Measures)
	require.Empty(t, judge(s, seen, 90).Services[0].Parts[2].Measures, "it is too old")
	seen.ObservePart(s.Parts[2], Observation{At: at(2), Failure: &Failure{Class: Timeout, Err: errors.New("no answer")}})
	part := judge(s, seen, 3).Services[0].Parts[2]
	require.Empty(t, part.Measures, "the look failed")
	require.EqualValues(t, 2, part.Probe.Looks)
	require.Equal(t, map[Class]uint64{Timeout: 1}, part.Probe.Failures)
	require.Equal(t, "api/standby", part.Checks[0].Subject)
}

func TestService_NeverLookedAtIsUnknown(t *testing.T) {
	r := judge(api(), NewSightings(Datastore{}), 0)
	require.Equal(t, Unknown, scenario(t, r, RegionFailure).Status)
	require.False(t, r.Ready)
	require.Len(t, r.Checks(), 3+4)
	for _, c := range r.Checks() {
		require.Equal(t, Unknown, c.Status, c.Name)
	}
}

// A service of which only the primary is watched, or only where its name leads now, would
// be said to be ready to move: nobody has looked at where it would move to.
func TestService_ThatNobodyLooksAtIsUnknown(t *testing.T) {
	for name, parts := range map[string][]Part{
		"only the primary":              {{Name: "primary", Kind: Endpoint, Side: PrimarySide, Watch: Watch{Probe: "endpoint", Checks: []string{"up"}}}},
		"only where the name leads now": {{Name: "resolvers", Kind: Resolution, Watch: Watch{Probe: "dns", Checks: []string{"served"}}}},
		"nothing":                       nil,
	} {
		t.Run(name, func(t *testing.T) {
			s := Service{Name: "api", Scenarios: []Scenario{RegionFailure}, Parts: parts}
			r := judge(s, seeing(s, map[string][]Check{"primary": {{Name: "up", Status: Pass}}, "resolvers": {{Name: "served", Status: Pass}}}), 0)
			require.Equal(t, Unknown, r.Services[0].Status)
			require.NotEmpty(t, r.Services[0].Because)
			require.Equal(t, Unknown, scenario(t, r, RegionFailure).Status)
			require.False(t, r.Ready)
		})
	}
}
