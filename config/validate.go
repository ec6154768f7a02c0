package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/internal/spelling"
	"github.com/drwatch/drwatch/readiness"
)

// validator checks what a schema cannot say.
type validator struct {
	*findings
	config    *Config
	schedules schedules
	regions   []string
	system    readiness.System
}

func validate(c *Config, s schedules, f *findings) {
	f.step++
	v := &validator{findings: f, config: c, schedules: s, system: c.declared()}
	v.validateRegions()
	v.validateObjectives()
	v.positive(path("timeout"), c.Timeout)
	if t, ok := v.validateSchedule(nil, c.Schedule); ok && c.someHaveNoTimingOfTheirOwn() {
		v.validateTiming(nil, t, c.Timeout)
	}
	v.validateDatastores()
	v.validateServices()
	v.validateLedger()
	v.validateAudit()
}

// path joins keys and indexes.
func path(steps ...any) []string {
	p := make([]string, 0, len(steps))
	for _, step := range steps {
		switch step := step.(type) {
		case []string:
			p = append(p, step...)
		case int:
			p = append(p, index(step))
		default:
			p = append(p, fmt.Sprint(step))
		}
	}
	return p
}

func (v *validator) validateRegions() {
	r := v.config.Regions
	v.declareRegion(path("regions", "primary"), r.Primary)
	v.declareRegion(path("regions", "standby"), r.Standby)
	for i, other := range r.Others {
		v.declareRegion(path("regions", "others", i), other)
	}
	instance := v.config.Instance.Region
	v.validateRegion(path("instance", "region"), instance)
	if instance != "" && instance == r.Primary {
		v.warnAt(path("instance", "region"), fmt.Sprintf("this drwatch runs in the primary region: when %s is lost, so is what watches it; run it in the standby region or in a third one", instance))
	}
}

func (v *validator) declareRegion(at []string, region string) {
	switch {
	case region == "":
	case slices.Contains(v.regions, region):
		v.errorAt(at, fmt.Sprintf("%q is declared already: each region has one part", region))
	default:
		v.regions = append(v.regions, region)
	}
}

func (v *validator) validateRegion(at []string, region string) {
	if region == "" || slices.Contains(v.regions, region) || v.isWrong(path("regions", "primary")) || v.isWrong(path("regions", "standby")) {
		return
	}
	message := fmt.Sprintf("%q is not declared under regions", region)
	if guess, ok := spelling.Nearest(region, v.regions); ok {
		message += fmt.Sprintf(": did you mean %q?", guess)
	} else {
		message += fmt.Sprintf(": declare it there, or write one of %s", strings.Join(v.regions, ", "))
	}
	v.errorAt(at, message)
}

func (v *validator) validateObjectives() {
	o := v.config.Objectives
	at := path("objectives")
	v.positive(path(at, "mttr"), o.MTTR)
	v.promised(path(at, "rpo"), o.RPO)
	v.promised(path(at, "rto"), o.RTO)
	for _, s := range slices.Sorted(maps.Keys(o.Scenarios)) {
		v.promised(path(at, "scenarios", s, "rpo"), o.Scenarios[s].RPO)
		v.promised(path(at, "scenarios", s, "rto"), o.Scenarios[s].RTO)
	}
}

// positive refuses a zero that was written; one that was not is a default.
func (v *validator) positive(at []string, d time.Duration) {
	if d == 0 && v.doc.has(at) {
		v.errorAt(at, "must be longer than zero")
	}
}

func (v *validator) promised(at []string, p Promise) {
	if p == 0 && v.doc.has(at) {
		v.errorAt(at, "must be longer than zero; write none where nothing is promised")
	}
}

// validateSchedule reads a schedule. The path is nil for the one of all copies.
func (v *validator) validateSchedule(at []string, spec string) (timing, bool) {
	t, err := v.schedules.get(spec)
	if err == nil {
		return t, true
	}
	reason := ": " + err.Error()
	if node, _, _ := v.doc.lookup(path(at, "schedule")); v.doc.expanded[node] != "" {
		reason = "" // it repeats what the variables hold
	}
	v.errorAt(path(at, "schedule"), fmt.Sprintf(`%q is not a schedule%s: write "@every 15s", "@hourly", or five fields such as "*/5 * * * *"`, spec, reason))
	return timing{}, false
}

// validateTiming checks that looks do not overtake each other. The path is nil
// for what holds for all copies.
func (v *validator) validateTiming(at []string, t timing, timeout time.Duration) {
	if timeout >= t.shortest {
		place := path(at, "timeout")
		if !v.doc.has(place) {
			place = path(at, "schedule")
		}
		v.errorAt(place, fmt.Sprintf("a look may take %s and the next one comes %s later: make the timeout shorter than the time between two looks", short(timeout), short(t.shortest)))
	}
	if pause := t.pause(timeout); pause > 0 {
		v.warnAt(path(at, "schedule"), fmt.Sprintf(`looks are up to %s apart, and count for %s (twice the shortest time between two of them, and the timeout): in between, the copy is unknown, which is not ready; write "@every %s" to look at all hours`,
			short(pause), short(t.staleAfter(timeout)), short(t.shortest)))
	}
}

// someHaveNoTimingOfTheirOwn reports whether the schedule and the timeout of all
// are ever used together.
func (c *Config) someHaveNoTimingOfTheirOwn() bool {
	return slices.ContainsFunc(c.Datastores, func(d Datastore) bool {
		return slices.ContainsFunc(d.Copies, func(cp Copy) bool { return !cp.isOwn() })
	}) || slices.ContainsFunc(c.Services, func(s Service) bool {
		return slices.ContainsFunc(s.Parts, func(p Part) bool { return !p.isOwn() })
	})
}

// isOwn reports whether anything of the timing is not that of all.
func (t Timing) isOwn() bool { return t.Schedule != "" || t.Timeout != 0 }

func (v *validator) validateOwnTiming(at []string, own Timing) {
	v.positive(path(at, "timeout"), own.Timeout)
	if !own.isOwn() {
		return
	}
	if t, ok := v.validateSchedule(at, v.config.scheduleOf(own)); ok {
		v.validateTiming(at, t, v.config.timeoutOf(own))
	}
}

func (v *validator) validateDatastores() {
	seen := make(map[string]int)
	for i, d := range v.config.Datastores {
		at := path("datastores", i)
		if first, taken := seen[d.Name]; taken && d.Name != "" {
			v.errorAt(path(at, "name"), fmt.Sprintf("%q is the name of datastores[%d] already", d.Name, first))
		} else {
			seen[d.Name] = i
		}
		v.promised(path(at, "objectives", "rpo"), d.Objectives.RPO)
		for _, s := range slices.Sorted(maps.Keys(d.Objectives.Scenarios)) {
			v.promised(path(at, "objectives", "scenarios", s, "rpo"), d.Objectives.Scenarios[s].RPO)
		}
		v.validateCopies(at, d)
		v.warnOfSlowLooks(at, i)
	}
}

func (v *validator) validateCopies(at []string, d Datastore) {
	seen := make(map[string]int)
	primary := -1
	for i, c := range d.Copies {
		at := path(at, "copies", i)
		if first, taken := seen[c.Name]; taken && c.Name != "" {
			v.errorAt(path(at, "name"), fmt.Sprintf("%q is the name of copies[%d] of this datastore already", c.Name, first))
		} else {
			seen[c.Name] = i
		}
		if c.Kind == readiness.Primary {
			if primary >= 0 {
				v.errorAt(path(at, "kind"), fmt.Sprintf("copies[%d] is the primary already, and a datastore has one: is this a replica?", primary))
			} else {
				primary = i
			}
		}
		v.validateCopy(at, c)
	}
}

func (v *validator) validateCopy(at []string, c Copy) {
	v.validateRegion(path(at, "region"), c.Region)
	v.positive(path(at, "delay"), c.Delay)
	v.validateOwnTiming(at, c.Timing)
	declared := c.declared()
	if c.Kind != readiness.Replica {
		declared.Delay, declared.Logical = 0, false // said already
	}
	kinds := v.validateProbe(at, c.kinds(declared))
	if v.isWrong(path(at, "kind")) {
		return // what else may be said depends on it
	}
	v.validateKind(at, c)
	v.validateOf(at, kinds)
}

// validateOf tells the mistakes in the parts of the file that are the probes' own.
func (v *validator) validateOf(at []string, kinds []probeKind) {
	for _, k := range kinds {
		for _, p := range k.validate() {
			v.errorAt(path(at, k.name, steps(p.Path)), p.Message)
		}
	}
}

// validateKind checks that the copy is not said to be what its kind cannot be.
func (v *validator) validateKind(at []string, c Copy) {
	if c.Kind != readiness.Replica && c.Delay > 0 {
		v.errorAt(path(at, "delay"), fmt.Sprintf("only a replica trails its source, and this copy is a %s: leave it out", c.Kind))
	}
	if c.Kind != readiness.Replica && c.Logical {
		v.errorAt(path(at, "logical"), fmt.Sprintf("only a replica is logical, and this copy is a %s: leave it out", c.Kind))
	}
	if c.Immutable && (c.Kind == readiness.Primary || c.Kind == readiness.Replica) {
		v.errorAt(path(at, "immutable"), fmt.Sprintf("a %s takes every change there is: only pitr, snapshot and backup can be immutable", c.Kind))
	}
}

// validateProbe checks that there is one probe, or one of the server and one of
// its platform, and gives them.
func (v *validator) validateProbe(at []string, kinds []probeKind) []probeKind {
	what, except := "copy", " (beside postgres there may be rds): make two copies of it"
	if kinds[0].part != "" {
		what, except = "part", ": make two parts of it"
	}
	var known []string
	var there []probeKind
	for _, k := range kinds {
		known = append(known, k.name)
		if place := path(at, k.name); v.doc.has(place) || v.isWrong(place) {
			there = append(there, k)
		}
	}
	switch {
	case len(there) == 0:
		v.errorAt(at, fmt.Sprintf("nothing looks at this %s, so nothing could be known of it: add a probe, one of %s", what, strings.Join(known, ", ")))
		return nil
	case len(there) == 1, len(there) == 2 && there[1].beside != "" && there[1].beside == there[0].name:
		return written(kinds)
	default:
		v.errorAt(path(at, there[len(there)-1].name), fmt.Sprintf("there is %s already, and one probe looks at a %s%s", there[0].name, what, except))
		return nil
	}
}

// steps reads the path of a probe's problem: keys joined by dots, indexes as
// keys or in brackets.
func steps(dotted string) []string {
	var p []string
	for _, step := range strings.FieldsFunc(dotted, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if strings.Trim(step, "0123456789") == "" {
			step = "[" + step + "]"
		}
		p = append(p, step)
	}
	return p
}

// warnOfSlowLooks tells of an RPO that is shorter than the time between two
// looks at the copies that should meet it: it is broken before every look.
func (v *validator) warnOfSlowLooks(at []string, i int) {
	store := v.system.Datastores[i]
	for _, s := range readiness.Scenarios() {
		rpo, fastest := store.RPO[s], time.Duration(0)
		for j, c := range store.Copies {
			t, err := v.schedules.get(v.config.scheduleOf(v.config.Datastores[i].Copies[j].Timing))
			if err == nil && v.system.Survives(store, c, s) && (fastest == 0 || t.shortest < fastest) {
				fastest = t.shortest
			}
		}
		if 0 < rpo && rpo < fastest {
			v.warnAt(v.placeOfRPO(at, s), fmt.Sprintf("the RPO of %s is %s in a %s, and the copies that survive it are looked at every %s: what was not looked at counts as lost, so look more often than that", store.Name, short(rpo), s, short(fastest)))
			return
		}
	}
}

// placeOfRPO is where the file says what the RPO is.
func (v *validator) placeOfRPO(datastore []string, s readiness.Scenario) []string {
	for _, place := range [][]string{
		path(datastore, "objectives", "scenarios", s, "rpo"),
		path(datastore, "objectives", "rpo"),
		path("objectives", "scenarios", s, "rpo"),
		path("objectives", "rpo"),
	} {
		if v.doc.has(place) {
			return place
		}
	}
	return path("schedule")
}

// short writes a duration without the zeros at its end: 5m, not 5m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
