package config

import (
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Probe is how a copy is looked at: exactly one of its fields is set. A new
// kind of probe is a field here and an entry in kinds.
type Probe struct {
	Postgres *postgres.Config `yaml:"postgres,omitempty" jsonschema_description:"The copy is a PostgreSQL server."`
	Redis    *redis.Config    `yaml:"redis,omitempty" jsonschema_description:"The copy is a Redis or Valkey server."`
}

// probeKind is what this package needs of each kind of probe.
type probeKind struct {
	name string // its key in the file
	set  bool
	// validate and checks are for the kinds that are set.
	validate func(readiness.Copy) []probes.Problem
	checks   func(readiness.Copy) []string
}

func (p Probe) kinds() []probeKind {
	return []probeKind{
		{
			name: "postgres", set: p.Postgres != nil,
			validate: func(c readiness.Copy) []probes.Problem { return p.Postgres.Validate(c) },
			checks:   func(c readiness.Copy) []string { return postgres.Checks(*p.Postgres, c) },
		},
		{
			name: "redis", set: p.Redis != nil,
			validate: func(c readiness.Copy) []probes.Problem { return p.Redis.Validate(c) },
			checks:   func(c readiness.Copy) []string { return redis.Checks(*p.Redis, c) },
		},
	}
}

// kind gives the kind that is set; the zero kind where none is.
func (p Probe) kind() probeKind {
	for _, k := range p.kinds() {
		if k.set {
			return k
		}
	}
	return probeKind{}
}
