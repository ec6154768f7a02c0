package readiness

import (
	"fmt"
	"slices"
	"time"
)

// Observations gives what is known of a copy; nil when it was never looked at.
type Observations func(ID) *Seen

// Evaluate judges the system at the moment now. It is a pure function: what it
// does not find in the observations it does not know.
func Evaluate(system System, seen Observations, now time.Time) *Report {
	r := &Report{
		At: now, System: system.Name,
		PrimaryRegion: system.PrimaryRegion, StandbyRegion: system.StandbyRegion, InstanceRegion: system.InstanceRegion,
		MTTR:       promised(system.MTTR),
		Datastores: make([]DatastoreReport, 0, len(system.Datastores)),
		Ready:      true,
	}
	for _, d := range system.Datastores {
		report := evaluateDatastore(system, d, seen, now)
		r.Datastores = append(r.Datastores, report)
		r.Ready = r.Ready && report.allReady()
	}
	for _, s := range system.Services {
		report := evaluateService(system, s, seen, now)
		r.Services = append(r.Services, report)
		r.Ready = r.Ready && report.allReady()
	}
	for _, objective := range system.Scenarios {
		scenario := evaluateScenario(objective, r.Datastores, r.Services)
		r.Scenarios = append(r.Scenarios, scenario)
		r.Ready = r.Ready && (scenario.Status == Pass || !scenario.Judged)
	}
	return r
}

// Elapsed is how long ago a moment was, never less than nothing. Where the two
// clocks of this machine disagree, the longer time counts: the monotonic one
// stands still while the machine is suspended, and the other can be set back.
func Elapsed(since, now time.Time) time.Duration {
	return max(0, now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

func promised(d time.Duration) Maybe[Seconds] {
	if d <= 0 {
		return Maybe[Seconds]{}
	}
	return Known(InSeconds(d))
}

// evaluateScenario asks every datastore that promises something in the scenario,
// and every service that has to move in it. Where there is none nothing is judged,
// and nothing is in the way.
func evaluateScenario(objective ScenarioObjective, datastores []DatastoreReport, services []ServiceReport) ScenarioReport {
	s := ScenarioReport{Scenario: objective.Scenario, RTO: promised(objective.RTO)}
	for _, d := range datastores {
		for _, c := range d.Coverage {
			if c.Scenario == objective.Scenario {
				s.add(c.Ready, d.Name+": "+c.Because)
			}
		}
	}
	for _, service := range services {
		if slices.Contains(service.Scenarios, s.Scenario) {
			s.add(service.Status, service.Name+": "+service.Because)
		}
	}
	return s
}

// add takes in the verdict on one of those that are asked.
func (s *ScenarioReport) add(verdict Status, because string) {
	if !s.Judged {
		s.Judged, s.Status = true, Pass
	}
	if verdict == Pass {
		return
	}
	if verdict.worse(s.Status) {
		s.Status = verdict
	}
	s.Because = append(s.Because, because)
}

func evaluateDatastore(system System, d Datastore, seen Observations, now time.Time) DatastoreReport {
	r := DatastoreReport{Name: d.Name, Copies: make([]CopyReport, len(d.Copies))}
	j := judgement{system: system, datastore: d, now: now, seen: make([]*Seen, len(d.Copies))}
	for i, c := range d.Copies {
		j.seen[i] = seen(ID{Of: d.Name, Name: c.Name})
		if j.seen[i] == nil {
			j.seen[i] = &Seen{}
		}
	}
	for i := range d.Copies {
		r.Copies[i] = j.copyReport(i)
	}
	r.Checks = j.datastoreChecks()
	for _, objective := range system.Scenarios {
		if rpo := d.RPO[objective.Scenario]; rpo > 0 {
			r.Coverage = append(r.Coverage, j.coverage(objective.Scenario, rpo, r))
		}
	}
	return r
}

// allReady reports whether no check of the datastore is in the way.
func (r DatastoreReport) allReady() bool {
	for _, c := range r.Checks {
		if !c.Status.Ready() {
			return false
		}
	}
	for _, c := range r.Copies {
		if !c.Status.Ready() {
			return false
		}
	}
	return true
}

// coverage judges one scenario: how much would be lost, and whether there is a
// copy that one could really recover from.
func (j judgement) coverage(scenario Scenario, rpo time.Duration, d DatastoreReport) Coverage {
	c := Coverage{Scenario: scenario, RPO: InSeconds(rpo), Ready: Fail}
	var newest, soundest time.Time
	survivors, within := 0, 0
	soundness, unsound := Fail, Check{} // of the best copy within the RPO
	for i, candidate := range d.Copies {
		if !j.system.Survives(j.datastore, j.datastore.Copies[i], scenario) {
			continue
		}
		survivors++
		at, ok := candidate.RecoveryPoint.Get()
		if !ok {
			continue
		}
		if c.Copy == "" || at.After(newest) {
			newest, c.Copy = at, candidate.Name
		}
		if Elapsed(at, j.now) > rpo {
			continue
		}
		status, by := j.soundness(candidate)
		if soundness.worse(status) || within == 0 {
			soundness, unsound = status, by
		}
		if status.Ready() && (c.Sound == "" || at.After(soundest)) {
			c.Sound, soundest = candidate.Name, at
		}
		within++
	}
	if c.Copy != "" {
		exposure := Elapsed(newest, j.now)
		c.Exposure = Known(InSeconds(exposure))
		c.Compliant = exposure <= rpo
	}
	if c.Sound != "" {
		c.SoundExposure = Known(InSeconds(Elapsed(soundest, j.now)))
	}
	c.Ready, c.Because = j.verdict(c, survivors, soundness, unsound, d)
	return c
}

// verdict says whether the scenario is covered, and if not, the first reason
// that a person would want to hear. That a server of the datastore cannot be
// seen, the lost primary above all, takes nothing from a copy that is known to
// be sound; that a server was last seen in a role that is not its own does.
func (j judgement) verdict(c Coverage, survivors int, soundness Status, unsound Check, d DatastoreReport) (Status, string) {
	switch {
	case survivors == 0:
		return Fail, fmt.Sprintf("no copy survives a %s", c.Scenario)
	case c.Copy == "":
		return Unknown, fmt.Sprintf("no recovery point is known of any copy that survives a %s", c.Scenario)
	case !c.Compliant:
		exposure, _ := c.Exposure.Get()
		return Fail, fmt.Sprintf("%s would be lost, the RPO is %s (best copy: %s)", exposure, c.RPO, c.Copy)
	case !soundness.Ready():
		return soundness, fmt.Sprintf("no copy within the RPO is sound (%s: %s is %s: %s)", unsound.Subject, unsound.Name, unsound.Status, unsound.Evidence)
	}
	for _, check := range d.Checks {
		if check.Status == Fail || check.Status == Unknown && !j.rolesAsDeclared() {
			return check.Status, fmt.Sprintf("%s: %s", check.Name, check.Evidence)
		}
	}
	return Pass, ""
}
