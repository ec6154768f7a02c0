package config

import (
	"cmp"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Objectives are what is promised for the system. For each scenario the nearest
// word counts: that of the scenario, else rpo and rto beside it, else the
// default of the scenario. A datastore may promise an RPO of its own, and its
// word, for the scenario or for all, is nearer than that of the system.
type Objectives struct {
	RPO       Promise                          `yaml:"rpo,omitempty" jsonschema:"example=1h" jsonschema_description:"The most data, in time, that may be lost: in every scenario that loses data and has no rpo of its own; none is no promise."`
	RTO       Promise                          `yaml:"rto,omitempty" jsonschema:"example=4h" jsonschema_description:"The longest that the outage may last: in every scenario that has no rto of its own; none is no promise."`
	MTTR      time.Duration                    `yaml:"mttr,omitempty" jsonschema:"example=2h" jsonschema_description:"Mean time to repair, over all incidents."`
	Scenarios map[readiness.Scenario]Objective `yaml:"scenarios,omitempty" jsonschema_description:"What is promised in one scenario, instead of the above."`
}

// Objective is what is promised in one scenario.
type Objective struct {
	RPO Promise `yaml:"rpo,omitempty" jsonschema:"example=1h" jsonschema_description:"The most data, in time, that may be lost; none is no promise."`
	RTO Promise `yaml:"rto,omitempty" jsonschema:"example=4h" jsonschema_description:"The longest that the outage may last; none is no promise."`
}

// DataObjectives are what is promised for one datastore.
type DataObjectives struct {
	RPO       Promise                              `yaml:"rpo,omitempty" jsonschema:"example=5m" jsonschema_description:"The most data of this datastore, in time, that may be lost: in every scenario that loses data and has no rpo of its own here; none is no promise, as for a cache that can be filled again."`
	Scenarios map[readiness.Scenario]DataObjective `yaml:"scenarios,omitempty" jsonschema_description:"What is promised for this datastore in one scenario, instead of the above."`
}

// DataObjective is what is promised for one datastore in one scenario.
type DataObjective struct {
	RPO Promise `yaml:"rpo,omitempty" jsonschema:"example=5m" jsonschema_description:"The most data of this datastore, in time, that may be lost; none is no promise."`
}

// Promise is a length of time that is promised. Its zero value says that the
// file is silent.
type Promise time.Duration

// None is the promise that was withdrawn: the word none.
const None Promise = -1

// UnmarshalText reads a duration or none. It has no error to give: the schema
// has seen the text before.
func (p *Promise) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*p = None
		return nil
	}
	d, _ := time.ParseDuration(string(text))
	*p = Promise(d)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (p Promise) MarshalText() ([]byte, error) {
	if p == None {
		return []byte("none"), nil
	}
	return []byte(time.Duration(p).String()), nil
}

// duration is zero where nothing is promised.
func (p Promise) duration() time.Duration { return max(0, time.Duration(p)) }

// objective is what the system promises in a scenario.
func (o Objectives) objective(s readiness.Scenario) readiness.Objective {
	own, byDefault := o.Scenarios[s], readiness.DefaultObjective(s)
	return readiness.Objective{
		RPO: cmp.Or(own.RPO, ofAll(o.RPO, s), Promise(byDefault.RPO)).duration(),
		RTO: cmp.Or(own.RTO, o.RTO, Promise(byDefault.RTO)).duration(),
	}
}

// rpo is what is promised for a datastore in a scenario; zero is nothing.
func (c *Config) rpo(d Datastore, s readiness.Scenario) time.Duration {
	own := cmp.Or(d.Objectives.Scenarios[s].RPO, ofAll(d.Objectives.RPO, s))
	if own != 0 {
		return own.duration()
	}
	return c.Objectives.objective(s).RPO
}

// ofAll is an RPO that is meant for all scenarios, in one of them. It is about
// losing data, so a scenario that loses none has no part in it.
func ofAll(rpo Promise, s readiness.Scenario) Promise {
	if readiness.DefaultObjective(s).RPO == 0 {
		return 0
	}
	return rpo
}
