package app

import (
	"fmt"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/monitor"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/postgres"
	"github.com/drwatch/drwatch/probes/redis"
)

// targets makes the probes that the configuration asks for.
func targets(cfg *config.Config) ([]monitor.Target, error) {
	all := make([]monitor.Target, 0, len(cfg.Targets()))
	for _, t := range cfg.Targets() {
		prober, err := newProber(t, cfg.Instance.Name)
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

// newProber is the one place that knows every kind of probe.
func newProber(t config.Target, instance string) (monitor.Prober, error) {
	target := probes.Target{Copy: t.Copy, Instance: instance}
	switch p := t.Probe; {
	case p.Postgres != nil:
		return postgres.New(*p.Postgres, target)
	case p.Redis != nil:
		return redis.New(*p.Redis, target)
	default:
		return nil, fmt.Errorf("the copy has no probe")
	}
}
