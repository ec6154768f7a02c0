package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/readiness"
)

// Target is a copy, and how and when it is looked at.
type Target struct {
	ID   readiness.CopyID
	Copy readiness.Copy
	// Schedule says when, Spec is how the file says it.
	Schedule cron.Schedule
	Spec     string
	// Timeout is how long one look may take.
	Timeout time.Duration
	Probe   Probe
	// Fingerprint is the same as long as looks at this copy go to the same place
	// and mean the same, so that what was seen before a reload still counts after
	// it. When and how long to look, and what the copy is worth in a disaster, do
	// not change what was seen, and are not part of it.
	Fingerprint string
}

// System is what is to be recovered, with every objective resolved.
func (c *Config) System() readiness.System { return c.system }

// Targets are the copies of all datastores, in the order of the file.
func (c *Config) Targets() []Target { return c.targets }

// build derives what the other packages work with from what the file says.
func (c *Config) build(s schedules) {
	c.system = c.declared()
	for i, d := range c.Datastores {
		for j, cp := range d.Copies {
			t := c.target(d.Name, cp, s)
			c.system.Datastores[i].Copies[j] = t.Copy
			c.targets = append(c.targets, t)
		}
	}
}

// declared is the system as far as it does not depend on how copies are looked at.
func (c *Config) declared() readiness.System {
	system := readiness.System{
		Name:           c.Name,
		PrimaryRegion:  c.Regions.Primary,
		StandbyRegion:  c.Regions.Standby,
		InstanceRegion: c.Instance.Region,
		MTTR:           c.Objectives.MTTR,
	}
	for _, s := range readiness.Scenarios() {
		system.Scenarios = append(system.Scenarios, readiness.ScenarioObjective{Scenario: s, Objective: c.Objectives.objective(s)})
	}
	for _, d := range c.Datastores {
		store := readiness.Datastore{Name: d.Name, RPO: make(map[readiness.Scenario]time.Duration)}
		for _, s := range readiness.Scenarios() {
			if rpo := c.rpo(d, s); rpo > 0 {
				store.RPO[s] = rpo
			}
		}
		for _, cp := range d.Copies {
			store.Copies = append(store.Copies, cp.declared())
		}
		system.Datastores = append(system.Datastores, store)
	}
	return system
}

func (cp Copy) declared() readiness.Copy {
	return readiness.Copy{
		Name: cp.Name, Kind: cp.Kind, Region: cp.Region, Account: cp.Account,
		Immutable: cp.Immutable, Delay: cp.Delay, Logical: cp.Logical, Survives: cp.Survives,
		Probe: cp.kind(),
	}
}

func (c *Config) target(datastore string, cp Copy, s schedules) Target {
	t := Target{
		ID:      readiness.CopyID{Datastore: datastore, Copy: cp.Name},
		Copy:    cp.declared(),
		Spec:    c.scheduleOf(cp),
		Timeout: c.timeoutOf(cp),
		Probe:   cp.Probe,
	}
	timing := s[t.Spec].timing
	t.Schedule = timing.schedule
	t.Copy.StaleAfter, t.Copy.Pause = timing.staleAfter(t.Timeout), timing.pause(t.Timeout)
	t.Copy.Checks = cp.checks(t.Copy)
	t.Fingerprint = t.fingerprint()
	return t
}

func (c *Config) scheduleOf(cp Copy) string { return cmp.Or(cp.Schedule, c.Schedule) }

func (c *Config) timeoutOf(cp Copy) time.Duration { return cmp.Or(cp.Timeout, c.Timeout) }

// fingerprint hashes what is looked at and what is expected there.
func (t Target) fingerprint() string {
	looking := struct {
		ID        readiness.CopyID
		Kind      readiness.CopyKind
		Logical   bool
		Delay     time.Duration
		Probe     Probe
		Region    string
		Account   string
		Immutable bool
	}{ID: t.ID, Kind: t.Copy.Kind, Logical: t.Copy.Logical, Delay: t.Copy.Delay, Probe: t.Probe}
	if slices.ContainsFunc(t.Probe.written(), func(k probeKind) bool { return k.placed }) {
		looking.Region, looking.Account, looking.Immutable = t.Copy.Region, t.Copy.Account, t.Copy.Immutable
	}
	text, err := yaml.Marshal(looking)
	if err != nil {
		return "" // no type in it can fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
