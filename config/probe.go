package config

import (
	"slices"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

// Probe is how a copy is looked at. One of its fields is set; two where one asks
// the server itself and the other the platform that runs it. A new kind of probe
// is a field here and an entry in kinds.
type Probe struct {
	Postgres  *postgres.Config  `yaml:"postgres,omitempty" jsonschema_description:"The copy is a PostgreSQL server."`
	Redis     *redis.Config     `yaml:"redis,omitempty" jsonschema_description:"The copy is a Redis or Valkey server."`
	RDS       *rds.Config       `yaml:"rds,omitempty" jsonschema_description:"The copy is kept by RDS or Aurora: an instance, its restore window, or its snapshots. Beside postgres: what AWS says about the same server."`
	S3        *s3.Config        `yaml:"s3,omitempty" jsonschema_description:"The copy is dumps in a bucket."`
	AWSBackup *awsbackup.Config `yaml:"awsbackup,omitempty" jsonschema_description:"The copy is recovery points in a vault of AWS Backup."`
}

// probeKind is what this package needs of each kind of probe.
type probeKind struct {
	name string // its key in the file
	set  bool
	// beside names the kind that asks a server which this one's platform runs: the
	// two may look at one copy.
	beside string
	// placed says that the region and the account of the copy say where it asks,
	// and immutable what it asks.
	placed bool
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
		{
			name: "rds", set: p.RDS != nil, beside: "postgres", placed: true,
			validate: func(c readiness.Copy) []probes.Problem { return p.RDS.Validate(c) },
			checks:   func(c readiness.Copy) []string { return rds.Checks(*p.RDS, c) },
		},
		{
			name: "s3", set: p.S3 != nil, placed: true,
			validate: func(c readiness.Copy) []probes.Problem { return p.S3.Validate(c) },
			checks:   func(c readiness.Copy) []string { return s3.Checks(*p.S3, c) },
		},
		{
			name: "awsbackup", set: p.AWSBackup != nil, placed: true,
			validate: func(c readiness.Copy) []probes.Problem { return p.AWSBackup.Validate(c) },
			checks:   func(c readiness.Copy) []string { return awsbackup.Checks(*p.AWSBackup, c) },
		},
	}
}

// written lists the kinds that are set, the one that decides first.
func (p Probe) written() []probeKind {
	return slices.DeleteFunc(p.kinds(), func(k probeKind) bool { return !k.set })
}

// kind names the kind that decides; empty where none is set.
func (p Probe) kind() string {
	for _, k := range p.written() {
		return k.name
	}
	return ""
}

// checks lists the checks on a copy.
func (p Probe) checks(c readiness.Copy) []string {
	kinds := p.written()
	names := kinds[0].checks(c)
	for _, beside := range kinds[1:] {
		names = probes.JoinedChecks(names, beside.name, beside.checks(c))
	}
	return names
}
