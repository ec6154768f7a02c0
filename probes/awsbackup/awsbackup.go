// Package awsbackup looks at what AWS Backup keeps: the recovery points of one
// resource in one vault. The vault may be in another region or another account;
// what is copied there bears the ARN of the original.
//
// Two questions are asked, each of them once a minute for all copies of a vault:
// ListRecoveryPointsByBackupVault and DescribeBackupVault, both of them read-only
// and free of charge.
//
//   - The recovery point is when the newest whole recovery point was begun: what
//     it holds is not older. The API reference calls that the initiation of the
//     backup job, and the creation of the recovery point; the earlier one counts.
//     A copy tells the creation of its source, not its own.
//   - Whole is COMPLETED, or AVAILABLE. What is CREATING, PARTIAL, EXPIRED,
//     DELETING or STOPPED does not count.
//   - A continuous recovery point can be restored to moments that AWS Backup does
//     not tell. It counts as of when it was begun, or of the beginning of its
//     retention, whichever is later; the probe rds tells more.
//   - How far back one can go is the oldest whole recovery point.
//
// What cannot be seen: a backup job that failed leaves no recovery point, so it
// shows as one that is late; and whether one can be restored, only a drill tells.
package awsbackup

import (
	"context"
	"fmt"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at one copy. It may be used by several goroutines.
type Probe struct {
	config  Config
	copy    readiness.Copy
	session *awsapi.Session
	vault   *vault
}

// New makes the probe of a copy, as one of a fleet. It asks nobody.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	if found := cfg.Validate(target.Copy); len(found) > 0 {
		return nil, fmt.Errorf("set up the awsbackup probe of %s: %s: %s", target.Copy.Name, found[0].Path, found[0].Message)
	}
	if cfg.Every == 0 {
		cfg.Every = defaultEvery
	}
	session := fleet.pool.Session(cfg.AWS.In(target.Copy.Region))
	return &Probe{config: cfg, copy: target.Copy, session: session, vault: fleet.vault(session, cfg.Vault, cfg.Resource)}, nil
}

// Look tells what the vault holds of the resource. The error is a
// [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	listed, err := p.vault.listed.Get(ctx)
	if err != nil {
		return readiness.Reading{}, p.refused(err, actionList)
	}
	described, err := p.vault.described.Get(ctx)
	return p.reading(listed, described.Value, p.refused(err, actionDescribe)), nil
}

// reading is what the recovery points, newest first, say about the copy. Where
// the vault itself could not be described, only its lock is unknown.
func (p *Probe) reading(listed awsapi.Answer[map[string][]point], v description, undescribed error) readiness.Reading {
	points := listed.Value[p.config.Resource]
	now := p.now(listed.At)
	r := readiness.Reading{
		AsOf: readiness.Known(listed.At),
		Measures: map[readiness.Measure]float64{
			readiness.BackupIntervalSeconds: p.config.Every.Seconds(),
		},
	}
	p.session.ReadClock(&r)
	newest, ok := newestWhole(points, now)
	if ok {
		r.Points = []readiness.Point{{At: p.session.Ours(newest.holds(now)), Basis: readiness.BasisSnapshot}}
		r.WindowStart = readiness.Known(p.session.Ours(windowStart(points, now)))
		if newest.size > 0 {
			r.Measures[readiness.BackupSizeBytes] = float64(newest.size)
		}
		if ratio, ok := sizeRatio(newest, points); ok {
			r.Measures[readiness.BackupSizeRatio] = ratio
		}
	}
	s := sight{probe: p, points: points, newest: newest, whole: ok, now: now}
	r.Checks = []readiness.Check{s.checkPoints(), s.checkInterval(), s.checkSize(), s.checkEncryption()}
	if accountPattern.MatchString(p.copy.Account) {
		r.Checks = append(r.Checks, s.checkAccount(v))
	}
	if p.copy.Immutable {
		r.Checks = append(r.Checks, s.checkLock(v, undescribed))
	}
	return r
}

// now is a moment of ours on the clock of AWS.
func (p *Probe) now(at time.Time) time.Time {
	if offset, wrong, err := p.session.Clock(); err == nil && offset.Abs() > wrong {
		return at.Add(offset)
	}
	return at
}
