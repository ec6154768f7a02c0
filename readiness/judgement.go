package readiness

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// clockTolerance is the skew that is not worth a word: the threshold at which
// node_exporter's mixin calls a clock not in sync.
const clockTolerance = 50 * time.Millisecond

// judgement is everything that a verdict on one datastore rests on.
type judgement struct {
	system    System
	datastore Datastore
	now       time.Time
	seen      []*Seen // by index of the copy
}

func (j judgement) copyReport(i int) CopyReport {
	c, seen := j.datastore.Copies[i], j.seen[i]
	r := CopyReport{
		ID:   ID{Of: j.datastore.Name, Name: c.Name},
		Name: c.Name, Kind: c.Kind, Region: c.Region,
		Probe: probeReport(c.Watch, seen),
	}
	for _, s := range j.system.Scenarios {
		if j.system.Survives(j.datastore, c, s.Scenario) {
			r.Survives = append(r.Survives, s.Scenario)
		}
	}
	if p, ok := seen.Received.Get(); ok {
		r.RecoveryPoint, r.Basis = Known(p.At), p.Basis
	}
	r.WindowStart = windowStart(c, seen)
	if c.look(seen, j.now).Status == Pass {
		j.fillReadings(&r, c, seen)
	}
	r.Checks = j.copyChecks(i)
	r.Status = worst(r.Checks)
	return r
}

// windowStart is how far back a corruption can be undone. A delayed replica can
// be stopped at what it has replayed so far.
func windowStart(c Copy, seen *Seen) Maybe[time.Time] {
	if c.Kind == Replica && c.Delay > 0 {
		if p, ok := seen.Replayed.Get(); ok {
			return Known(p.At)
		}
		return Maybe[time.Time]{}
	}
	return seen.Held.Reading.WindowStart
}

func probeReport(w Watch, seen *Seen) ProbeReport {
	p := ProbeReport{Kind: w.Probe, Looks: seen.Looks, Failures: seen.Failures}
	if !seen.Latest.At.IsZero() {
		p.LastLook = Known(seen.Latest.At)
		p.LastDuration = Known(InSeconds(seen.Latest.Took))
		p.Success = seen.Latest.Failure == nil
	}
	if !seen.Good.At.IsZero() {
		p.LastSuccess = Known(seen.Good.At)
	}
	if f := seen.Latest.Failure; f != nil {
		p.Class, p.Error = f.Class, f.Error()
	}
	return p
}

// fillReadings copies what the last look read; only called when it succeeded and
// is not old, so that nothing old is shown as new.
func (j judgement) fillReadings(r *CopyReport, c Copy, seen *Seen) {
	reading := seen.Good.Reading
	r.AsOf, r.Role, r.Connected, r.LastMessage, r.Measures = reading.AsOf, reading.Role, reading.Connected, reading.LastMessage, reading.Measures
	if r.AsOf.IsKnown() {
		r.AsOf = Known(seen.Good.asOf())
	}
	if offset, ok := reading.ClockOffset.Get(); ok {
		r.ClockOffset = Known(InSeconds(offset))
	}
	if c.Kind != Replica || !c.isItself(reading) {
		return
	}
	r.ReceivedLag = behind(seen.Good.At, seen.Received)
	r.ReplayLag = behind(seen.Good.At, seen.Replayed)
	source, ok := j.source()
	if !ok || source.Latest.Failure != nil || c.StaleAfter > 0 && seen.Good.At.Sub(source.Good.At).Abs() > c.StaleAfter {
		return // positions of two moments far apart do not compare
	}
	from := source.Good.Reading
	if from.System == "" || from.System != reading.System || from.Timeline != reading.Timeline {
		return
	}
	r.ReceivedLagBytes = missing(from.Written, reading.Received)
	r.ReplayLagBytes = missing(from.Written, reading.Replayed)
}

func behind(at time.Time, point Maybe[Point]) Maybe[Seconds] {
	p, ok := point.Get()
	if !ok {
		return Maybe[Seconds]{}
	}
	return Known(InSeconds(max(0, at.Sub(p.At))))
}

// missing is how much of what the source had written a replica does not hold.
// The two were looked at one after the other, so a replica may be ahead of what
// its source had then: nothing is missing.
func missing(written, held Maybe[Position]) Maybe[float64] {
	w, okw := written.Get()
	h, okh := held.Get()
	if !okw || !okh {
		return Maybe[float64]{}
	}
	if h >= w {
		return Known(0.0)
	}
	return Known(float64(w - h))
}

// source is the primary of the datastore.
func (j judgement) source() (*Seen, bool) {
	for i, c := range j.datastore.Copies {
		if c.Kind == Primary {
			return j.seen[i], true
		}
	}
	return nil, false
}

// neverSaw reports whether no primary has answered yet, so that there is nothing
// to compare a replica with.
func (j judgement) neverSaw() bool {
	source, ok := j.source()
	return ok && source.Good.At.IsZero()
}

// unseen is the evidence of everything that is unknown because the copy cannot
// be looked at; the check look says why.
const unseen = "cannot be seen"

// untold is the evidence of a check that the look did not answer.
const untold = "the look did not tell"

// copyChecks answers every check that is made on the copy, in the order in
// which the copy lists them.
func (j judgement) copyChecks(i int) []Check {
	c, seen := j.datastore.Copies[i], j.seen[i]
	checks := c.checks(ID{Of: j.datastore.Name, Name: c.Name}, c.look(seen, j.now), func(name string) Check { return j.answer(name, c, seen) })
	for k, check := range checks {
		checks[k].Upstream = check.Upstream || check.Name == CheckConnected || check.Name == CheckSameSystem && j.neverSaw()
	}
	return checks
}

// checks puts together every check that is made, in the order in which they are
// listed: look itself, and the answers to the others where it passed.
func (w Watch) checks(id ID, look Check, answer func(name string) Check) []Check {
	subject := id.String()
	checks := make([]Check, 0, len(w.Checks)+1)
	for _, name := range append([]string{CheckLook}, w.Checks...) {
		var check Check
		switch {
		case name == CheckLook:
			check = look
		case look.Status == Unknown:
			check = Check{Evidence: unseen, Remedy: "see the check look"}
		default:
			check = answer(name)
		}
		check.Name, check.Subject = name, subject
		checks = append(checks, check)
	}
	return checks
}

// soundness is the worst of the checks that say whether one can recover from
// the copy, and the check that says it. Those on the link to the source do not:
// a link that is broken loses what comes after, and the exposure tells how much.
// Were they to count while the source is seen, losing the source would make a
// copy sound that was cut off from it before.
func (j judgement) soundness(r CopyReport) (Status, Check) {
	status, by := Pass, Check{}
	for _, check := range r.Checks {
		if !check.Upstream && check.Status.worse(status) {
			status, by = check.Status, check
		}
	}
	return status, by
}

// look judges whether it can be seen at all. What cannot be seen is unknown, and
// so is everything else about it.
func (w Watch) look(seen *Seen, now time.Time) Check {
	latest := seen.Latest
	switch {
	case latest.At.IsZero():
		return Check{Evidence: "not looked at yet"}
	case latest.Failure != nil:
		return Check{
			Evidence: fmt.Sprintf("%s: %s", latest.Failure.Class, latest.Failure),
			Remedy:   latest.Failure.Class.Remedy(),
		}
	case w.StaleAfter > 0 && Elapsed(latest.At, now) > w.StaleAfter:
		return w.tooOld(Elapsed(latest.At, now))
	default:
		evidence := fmt.Sprintf("answered in %s", InSeconds(latest.Took))
		if age := Elapsed(latest.asOf(), latest.At); age >= time.Second {
			evidence += fmt.Sprintf(", with what was so %s before", InSeconds(age))
		}
		return Check{Status: Pass, Evidence: evidence}
	}
}

// tooOld tells why a look no longer counts: no other was planned since, or
// drwatch did not make it.
func (w Watch) tooOld(age time.Duration) Check {
	check := Check{
		Evidence: fmt.Sprintf("the last look is %s old", InSeconds(age)),
		Remedy:   "drwatch itself is late or was paused: look at drwatch_scheduler_late_seconds and at the load of its machine",
	}
	if w.Pause > 0 && age <= w.Pause+w.StaleAfter {
		check.Evidence += fmt.Sprintf(", and its schedule pauses for up to %s", InSeconds(w.Pause))
		check.Remedy = "while nobody looks, nothing is known: let the schedule in the file look at all hours; outside of its pauses, " + check.Remedy
	}
	return check
}

// answer gives the probe's own answer to a check, or judges one of ours.
func (j judgement) answer(name string, c Copy, seen *Seen) Check {
	reading := seen.Good.Reading
	if check, ok := reading.answer(name); ok {
		return check
	}
	switch name {
	case CheckRole:
		return checkRole(c, reading)
	case CheckSameSystem:
		return j.checkSameSystem(reading)
	case CheckDistinctServer:
		return j.checkDistinctServer(c, reading)
	case CheckConnected:
		return checkConnected(reading)
	case CheckClock:
		return checkClock(seen)
	}
	return Check{Evidence: untold}
}

func checkRole(c Copy, r Reading) Check {
	want := RoleReplica
	if c.Kind == Primary || c.Logical { // a logical replica is a server that takes writes
		want = RolePrimary
	}
	switch r.Role {
	case RoleUnknown:
		return Check{Evidence: "the server does not tell its role"}
	case want:
		return Check{Status: Pass, Evidence: fmt.Sprintf("the server is a %s", r.Role)}
	case RolePrimary:
		return Check{
			Status:   Fail,
			Evidence: "the server takes writes, where the file says replica",
			Remedy:   "if the address is wrong, correct it; if the replica was promoted, see whether the old primary still takes writes before anything else",
		}
	default:
		return Check{
			Status:   Fail,
			Evidence: "the server is a replica, where the file says primary",
			Remedy:   "if the address is wrong, correct it; if the roles have changed, name the new primary in the file",
		}
	}
}

func (j judgement) checkSameSystem(r Reading) Check {
	source, ok := j.source()
	if !ok {
		return Check{Evidence: "the file names no primary to compare with", Remedy: "add the primary to the datastore's copies"}
	}
	from := source.Good.Reading
	switch {
	case from.System == "":
		return Check{Evidence: "the primary has not been seen yet, so there is nothing to compare with"}
	case r.System == "":
		return Check{Evidence: "the server does not tell which history it holds"}
	case from.System != r.System:
		return Check{
			Status:   Fail,
			Evidence: fmt.Sprintf("the replica is of %s, the primary of %s", r.System, from.System),
			Remedy:   "this replica holds other data: correct its address, or rebuild it from this primary",
		}
	case from.Timeline != r.Timeline:
		return Check{
			Status:   Fail,
			Evidence: fmt.Sprintf("the replica is on timeline %s, the primary on %s", r.Timeline, from.Timeline),
			Remedy:   "the histories have parted: rewind or rebuild the one that is behind (recovery_target_timeline = 'latest' follows a promotion)",
		}
	}
	return Check{Status: Pass, Evidence: "same history as the primary: " + r.System}
}

func (j judgement) checkDistinctServer(c Copy, r Reading) Check {
	if r.Server == "" {
		return Check{Evidence: "the server does not tell who it is"}
	}
	for i, other := range j.datastore.Copies {
		if other.Name != c.Name && j.seen[i].Good.Reading.Server == r.Server {
			return Check{
				Status:   Fail,
				Evidence: fmt.Sprintf("%s and %s are one and the same server", c.Name, other.Name),
				Remedy:   "correct the address of one of them: one server is one copy",
			}
		}
	}
	return Check{Status: Pass, Evidence: "no other copy is this server"}
}

func checkConnected(r Reading) Check {
	connected, ok := r.Connected.Get()
	switch {
	case !ok:
		return Check{Evidence: "the server does not tell whether it is receiving", Remedy: "grant the looking role the right to see it (see the docs of the probe)"}
	case connected:
		return Check{Status: Pass, Evidence: "receiving from its source"}
	default:
		return Check{
			Status:   Fail,
			Evidence: "not receiving from its source",
			Remedy:   "see the log of the replica: link, credentials, and whether its source still has what it needs",
		}
	}
}

func checkClock(seen *Seen) Check {
	offset, ok := seen.Good.Reading.ClockOffset.Get()
	switch {
	case seen.Ahead > clockTolerance:
		return Check{
			Status:   Fail,
			Evidence: fmt.Sprintf("a recovery point lay %s in the future, and was taken for the moment of looking", InSeconds(seen.Ahead)),
			Remedy:   "bring the clocks of the primary and of this machine together (NTP); until then recovery points may look better than they are",
		}
	case undated(seen.Received):
		return Check{
			Evidence: "the recovery point was read from the clock of a primary that has not been seen since drwatch started: nobody knows how far that clock was off",
			Remedy:   "compare the clock of the primary with ours before you rely on the recovery point; a heartbeat would be on our own",
		}
	case !ok:
		return Check{Evidence: "the server does not tell its time"}
	case offset.Abs() > clockTolerance+seen.Good.Reading.ClockError:
		return Check{
			Status:   Warn,
			Evidence: fmt.Sprintf("its clock is off by %s from ours", InSeconds(offset)),
			Remedy:   "see NTP on both machines",
		}
	default:
		return Check{Status: Pass, Evidence: fmt.Sprintf("its clock agrees with ours within %s", InSeconds(offset.Abs()+seen.Good.Reading.ClockError))}
	}
}

func undated(p Maybe[Point]) bool {
	point, ok := p.Get()
	return ok && point.SourceClock
}

// datastoreChecks are those on the datastore as a whole.
func (j judgement) datastoreChecks() []Check {
	if !slices.ContainsFunc(j.datastore.Copies, func(c Copy) bool { return c.Kind == Primary }) {
		return nil
	}
	split, history := j.checkSplitBrain(), j.checkHistory()
	split.Name, split.Subject = CheckSplitBrain, j.datastore.Name
	history.Name, history.Subject = CheckHistory, j.datastore.Name
	return []Check{split, history}
}

// breakTold is for how long a break in the history is told.
const breakTold = 24 * time.Hour

// checkHistory tells of a primary that does not go on from where it was. Its
// replicas follow it all the same, and then everything looks in good order.
func (j judgement) checkHistory() Check {
	source, _ := j.source()
	switch {
	case source.Held.At.IsZero():
		return Check{Evidence: "the primary has not been seen yet"}
	case source.Broke != "" && Elapsed(source.BrokeAt, j.now) < breakTold:
		return Check{
			Status:   Warn,
			Evidence: fmt.Sprintf("%s, seen %s ago", source.Broke, InSeconds(Elapsed(source.BrokeAt, j.now))),
			Remedy:   "see whether the data is all there: a primary that was restored, replaced, or restarted without its data looks like this, and its replicas follow it into that",
		}
	default:
		return Check{Status: Pass, Evidence: "the primary goes on from where it was"}
	}
}

// checkSplitBrain counts who takes writes. A server that cannot be seen might,
// so a second one that does is only known to be alone when all are seen.
func (j judgement) checkSplitBrain() Check {
	var writable, unseen []string
	for i, c := range j.datastore.Copies {
		if c.Kind != Primary && c.Kind != Replica || c.Logical {
			continue
		}
		switch {
		case c.look(j.seen[i], j.now).Status != Pass || j.seen[i].Good.Reading.Role == RoleUnknown:
			unseen = append(unseen, c.Name)
		case j.seen[i].Good.Reading.Role == RolePrimary:
			writable = append(writable, c.Name)
		}
	}
	switch {
	case len(writable) > 1:
		return Check{
			Status:   Fail,
			Evidence: strings.Join(writable, " and ") + " both take writes",
			Remedy:   "fence all but one now (stop it, or cut its clients off), then rebuild the others from the one that stays",
		}
	case len(writable) == 1 && len(unseen) == 0:
		return Check{Status: Pass, Evidence: writable[0] + " alone takes writes"}
	case len(writable)+len(unseen) > 1 || len(writable) == 0 && len(unseen) == 1:
		return Check{
			Evidence: fmt.Sprintf("takes writes: %s; cannot be seen: %s", orNone(writable), orNone(unseen)),
			Remedy:   "see the check look of what cannot be seen",
		}
	}
	return Check{Status: Fail, Evidence: "no server takes writes", Remedy: "promote one, or correct the addresses in the file"}
}

// rolesAsDeclared reports whether every server was in its own role when it was
// last seen, however long ago.
func (j judgement) rolesAsDeclared() bool {
	for i, c := range j.datastore.Copies {
		role := j.seen[i].Good.Reading.Role
		if c.Kind == Primary && role == RoleReplica || c.Kind == Replica && !c.Logical && role == RolePrimary {
			return false
		}
	}
	return true
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func worst(checks []Check) Status {
	if len(checks) == 0 {
		return Unknown
	}
	status := Pass
	for _, c := range checks {
		if c.Status.worse(status) {
			status = c.Status
		}
	}
	return status
}
