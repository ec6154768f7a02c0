package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Target is a copy or a part of a service, and how and when it is looked at.
type Target struct {
	ID   readiness.ID
	Copy readiness.Copy
	// Service and Part are there in place of the copy.
	Service probes.Service
	Part    readiness.Part
	// Schedule says when, Spec is how the file says it.
	Schedule cron.Schedule
	Spec     string
	// Timeout is how long one look may take.
	Timeout time.Duration
	// Probe is that of a copy, PartProbe that of a part.
	Probe     Probe
	PartProbe PartProbe
	// Fingerprint is the same as long as looks go to the same place
	// and mean the same, so that what was seen before a reload still counts after
	// it. When and how long to look, and what the copy is worth in a disaster, do
	// not change what was seen, and are not part of it.
	Fingerprint string
}

// System is what is to be recovered, with every objective resolved.
func (c *Config) System() readiness.System { return c.system }

// Path is the name of the file, as it was given.
func (c *Config) Path() string { return c.path }

// Fingerprint is the SHA-256 of the file, in hexadecimal digits.
func (c *Config) Fingerprint() string { return c.fingerprint }

// Targets are the copies of all datastores and the parts of all services, in the
// order of the file.
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
	for i, service := range c.Services {
		for j, part := range service.Parts {
			t := c.partTarget(service, part, s)
			c.system.Services[i].Parts[j] = t.Part
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
	for _, s := range c.Services {
		service := readiness.Service{Name: s.Name, Scenarios: s.scenarios()}
		for _, p := range s.Parts {
			service.Parts = append(service.Parts, c.declaredPart(s, p))
		}
		system.Services = append(system.Services, service)
	}
	return system
}

// scenarios are those in which the service has to move.
func (s Service) scenarios() []readiness.Scenario {
	if len(s.Scenarios) == 0 {
		return []readiness.Scenario{readiness.RegionFailure}
	}
	return s.Scenarios
}

func (c *Config) declaredPart(s Service, p Part) readiness.Part {
	part := readiness.Part{Name: p.Name, Region: p.Region, Side: p.Side, Vantage: c.Instance.Region}
	kind := deciding(p.kinds(probes.Target{Service: c.reached(s), Part: part}))
	part.Kind, part.Watch = kind.part, readiness.Watch{Probe: kind.name}
	return part
}

// reached is what all probes of a service are told of it.
func (c *Config) reached(s Service) probes.Service {
	reached := probes.Service{Host: strings.TrimSuffix(cmp.Or(s.Host, s.Name), "."), Primary: s.Primary, Standby: s.Standby}
	for _, scenario := range s.scenarios() {
		if rto := c.Objectives.objective(scenario).RTO; rto > 0 && (reached.RTO == 0 || rto < reached.RTO) {
			reached.RTO = rto
		}
	}
	return reached
}

func (cp Copy) declared() readiness.Copy {
	return readiness.Copy{
		Name: cp.Name, Kind: cp.Kind, Region: cp.Region, Account: cp.Account,
		Immutable: cp.Immutable, Delay: cp.Delay, Logical: cp.Logical, Survives: cp.Survives,
		Watch: readiness.Watch{Probe: deciding(cp.kinds(readiness.Copy{})).name},
	}
}

func (c *Config) target(datastore string, cp Copy, s schedules) Target {
	t := Target{
		ID:    readiness.ID{Of: datastore, Name: cp.Name},
		Copy:  cp.declared(),
		Probe: cp.Probe,
	}
	c.time(&t, &t.Copy.Watch, cp.Timing, s)
	t.Copy.Checks = checks(cp.kinds(t.Copy))
	t.Fingerprint = t.fingerprint(cp.kinds(t.Copy))
	return t
}

func (c *Config) partTarget(s Service, p Part, known schedules) Target {
	t := Target{
		ID:        readiness.ID{Of: s.Name, Name: p.Name},
		Part:      c.declaredPart(s, p),
		Service:   c.reached(s),
		PartProbe: p.PartProbe,
	}
	c.time(&t, &t.Part.Watch, p.Timing, known)
	kinds := p.kinds(probes.Target{Service: t.Service, Part: t.Part})
	t.Part.Checks = checks(kinds)
	t.Fingerprint = t.fingerprint(kinds)
	return t
}

// time says when a target is looked at, and for how long a look counts.
func (c *Config) time(t *Target, w *readiness.Watch, own Timing, s schedules) {
	t.Spec, t.Timeout = c.scheduleOf(own), c.timeoutOf(own)
	timing := s[t.Spec].timing
	t.Schedule = timing.schedule
	w.StaleAfter, w.Pause = timing.staleAfter(t.Timeout), timing.pause(t.Timeout)
}

func (c *Config) scheduleOf(own Timing) string { return cmp.Or(own.Schedule, c.Schedule) }

func (c *Config) timeoutOf(own Timing) time.Duration { return cmp.Or(own.Timeout, c.Timeout) }

// fingerprint hashes what is looked at and what is expected there.
func (t Target) fingerprint(kinds []probeKind) string {
	looking := struct {
		ID        readiness.ID
		Side      readiness.Side
		Service   probes.Service
		PartProbe PartProbe
		Kind      readiness.CopyKind
		Logical   bool
		Delay     time.Duration
		Probe     Probe
		Region    string
		Account   string
		Immutable bool
	}{
		ID: t.ID, Side: t.Part.Side, Service: t.Service, PartProbe: t.PartProbe,
		Kind: t.Copy.Kind, Logical: t.Copy.Logical, Delay: t.Copy.Delay, Probe: t.Probe,
	}
	if slices.ContainsFunc(written(kinds), func(k probeKind) bool { return k.placed }) {
		looking.Region, looking.Account, looking.Immutable = cmp.Or(t.Copy.Region, t.Part.Region), t.Copy.Account, t.Copy.Immutable
	}
	text, err := yaml.Marshal(looking)
	if err != nil {
		return "" // no type in it can fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
