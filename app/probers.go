package app

import (
	"errors"
	"fmt"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/monitor"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/dns"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/probes/s3"
)

// probers makes the probes of one configuration: it is the one place that knows
// every kind. What probes of a kind share, they share within it.
type probers struct {
	instance  string
	aws       *awsapi.Pool
	rds       *rds.Fleet
	s3        *s3.Fleet
	backups   *awsbackup.Fleet
	route53   *route53.Fleet
	elb       *elb.Fleet
	endpoints *endpoint.Fleet
}

// newProbers makes the probers of a configuration; recorder may be nil.
func newProbers(cfg *config.Config, recorder awsapi.Recorder) *probers {
	pool := awsapi.NewPool(awsapi.Options{Recorder: recorder})
	return &probers{
		instance: cfg.Instance.Name,
		aws:      pool, rds: rds.NewFleet(pool), s3: s3.NewFleet(pool), backups: awsbackup.NewFleet(pool),
		route53: route53.NewFleet(pool), elb: elb.NewFleet(pool), endpoints: endpoint.NewFleet(),
	}
}

// targets makes the probes that the configuration asks for.
func (p *probers) targets(cfg *config.Config) ([]monitor.Target, error) {
	all := make([]monitor.Target, 0, len(cfg.Targets()))
	for _, t := range cfg.Targets() {
		of := p.prober
		if t.Part.Name != "" {
			of = p.partProber
		}
		prober, err := of(t)
		if err != nil {
			return nil, fmt.Errorf("make the probe of %s: %w", t.ID, err)
		}
		all = append(all, monitor.Target{
			ID: t.ID, Schedule: t.Schedule, Spec: t.Spec, Timeout: t.Timeout,
			Prober: prober, Fingerprint: t.Fingerprint,
		})
	}
	return all, nil
}

// close lets go of what the probes share. Those that still look may go on.
func (p *probers) close() { p.aws.Close() }

func (p *probers) prober(t config.Target) (monitor.Prober, error) {
	target := probes.Target{Copy: t.Copy, Instance: p.instance}
	switch c := t.Probe; {
	case c.Postgres != nil && c.RDS != nil:
		server, err := postgres.New(*c.Postgres, target)
		platform, errPlatform := rds.New(*c.RDS, target, p.rds)
		return &probes.Joined{Server: server, Platform: "rds", Prober: platform, Checks: rds.Checks(*c.RDS, t.Copy)}, errors.Join(err, errPlatform)
	case c.Postgres != nil:
		return postgres.New(*c.Postgres, target)
	case c.Redis != nil:
		return redis.New(*c.Redis, target)
	case c.RDS != nil:
		return rds.New(*c.RDS, target, p.rds)
	case c.S3 != nil:
		return s3.New(*c.S3, target, p.s3)
	case c.AWSBackup != nil:
		return awsbackup.New(*c.AWSBackup, target, p.backups)
	default:
		return nil, errors.New("the copy has no probe")
	}
}

func (p *probers) partProber(t config.Target) (monitor.Prober, error) {
	target := probes.Target{Service: t.Service, Part: t.Part, Instance: p.instance}
	switch c := t.PartProbe; {
	case c.Route53 != nil:
		return route53.New(*c.Route53, target, p.route53)
	case c.DNS != nil:
		return dns.New(*c.DNS, target)
	case c.Endpoint != nil:
		return endpoint.New(*c.Endpoint, target, p.endpoints)
	case c.ELB != nil:
		return elb.New(*c.ELB, target, p.elb)
	default:
		return nil, errors.New("the part has no probe")
	}
}
