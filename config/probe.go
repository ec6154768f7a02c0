package config

import (
	"slices"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/probes/route53"
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

// PartProbe is how a part of a service is looked at. One of its fields is set. A
// new kind is a field here and an entry in kinds.
type PartProbe struct {
	Route53  *route53.Config  `yaml:"route53,omitempty" jsonschema_description:"The part is the record of the name in Route 53, with its health checks."`
	DNS      *dns.Config      `yaml:"dns,omitempty" jsonschema_description:"The part is what resolvers and the authoritative servers answer."`
	Endpoint *endpoint.Config `yaml:"endpoint,omitempty" jsonschema_description:"The part is where clients are answered, over HTTP, TCP or gRPC."`
	ELB      *elb.Config      `yaml:"elb,omitempty" jsonschema_description:"The part is a load balancer of AWS, with its targets."`
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
	// part is what it looks at, where that is a part of a service.
	part readiness.PartKind
	// validate and checks are for the kinds that are set.
	validate func() []probes.Problem
	checks   func() []string
}

func (p Probe) kinds(c readiness.Copy) []probeKind {
	return []probeKind{
		{
			name: "postgres", set: p.Postgres != nil,
			validate: func() []probes.Problem { return p.Postgres.Validate(c) },
			checks:   func() []string { return postgres.Checks(*p.Postgres, c) },
		},
		{
			name: "redis", set: p.Redis != nil,
			validate: func() []probes.Problem { return p.Redis.Validate(c) },
			checks:   func() []string { return redis.Checks(*p.Redis, c) },
		},
		{
			name: "rds", set: p.RDS != nil, beside: "postgres", placed: true,
			validate: func() []probes.Problem { return p.RDS.Validate(c) },
			checks:   func() []string { return rds.Checks(*p.RDS, c) },
		},
		{
			name: "s3", set: p.S3 != nil, placed: true,
			validate: func() []probes.Problem { return p.S3.Validate(c) },
			checks:   func() []string { return s3.Checks(*p.S3, c) },
		},
		{
			name: "awsbackup", set: p.AWSBackup != nil, placed: true,
			validate: func() []probes.Problem { return p.AWSBackup.Validate(c) },
			checks:   func() []string { return awsbackup.Checks(*p.AWSBackup, c) },
		},
	}
}

func (p PartProbe) kinds(t probes.Target) []probeKind {
	return []probeKind{
		{
			name: "route53", set: p.Route53 != nil, part: readiness.Record,
			validate: func() []probes.Problem { return p.Route53.Validate(t) },
			checks:   func() []string { return route53.Checks(*p.Route53, t) },
		},
		{
			name: "dns", set: p.DNS != nil, part: readiness.Resolution,
			validate: func() []probes.Problem { return p.DNS.Validate(t) },
			checks:   func() []string { return dns.Checks(*p.DNS, t) },
		},
		{
			name: "endpoint", set: p.Endpoint != nil, part: readiness.Endpoint,
			validate: func() []probes.Problem { return p.Endpoint.Validate(t) },
			checks:   func() []string { return endpoint.Checks(*p.Endpoint, t) },
		},
		{
			name: "elb", set: p.ELB != nil, placed: true, part: readiness.Balancer,
			validate: func() []probes.Problem { return p.ELB.Validate(t) },
			checks:   func() []string { return elb.Checks(*p.ELB, t) },
		},
	}
}

// written lists the kinds that are set, the one that decides first.
func written(kinds []probeKind) []probeKind {
	return slices.DeleteFunc(kinds, func(k probeKind) bool { return !k.set })
}

// deciding is the kind that decides; the zero kind where none is set.
func deciding(kinds []probeKind) probeKind {
	for _, k := range written(kinds) {
		return k
	}
	return probeKind{}
}

// checks lists the checks on what is looked at.
func checks(kinds []probeKind) []string {
	kinds = written(kinds)
	names := kinds[0].checks()
	for _, beside := range kinds[1:] {
		names = probes.JoinedChecks(names, beside.name, beside.checks())
	}
	return names
}
