// Package s3 looks at dumps that are kept in a bucket of S3: it finds the newest
// that is complete, and when that was begun.
//
// A dump holds the data as it was when it was begun, however late it was done.
// That is read from the dump itself ([archive]), by a GET of its first 64 KiB and
// one of its last; only where the dump does not tell, from the metadata that was
// stored with it, from its key, or, with a warning, from the time at which it was
// stored. A begin is never later than that time. Each dump is read once.
//
// The newest object need not be a dump, and need not be whole: what is empty, cut
// off, or something else is told by the check dump, and the newest complete one
// before it counts.
//
// A listing is at most 15 minutes old, and no older than a 48th of the interval
// at which dumps are due, however often one looks; where the keys begin with the
// year, it begins at the dumps of the last intervals. What may change of the
// newest dump (its key, its lock) is asked every hour, and of the bucket every 15
// minutes.
//
// It changes nothing, and needs these actions:
//
//	s3:ListBucket, s3:GetObject, s3:GetBucketVersioning, s3:ListBucketMultipartUploads
//	kms:Decrypt                               for dumps with a key of one's own
//	s3:GetObjectRetention, s3:GetObjectLegalHold,
//	s3:GetBucketObjectLockConfiguration       for copies that are immutable
//	s3:GetReplicationConfiguration            for buckets that are replicated
//
// What it cannot see: whether the data can be restored (restore it in a drill),
// the end of what is compressed as a whole, and a dump that was made of an old
// snapshot or of a replica that was behind. See docs/probes/s3.md.
package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at the dumps of one copy. It may be used by several goroutines.
type Probe struct {
	config       Config
	copy         readiness.Copy
	listedChecks []string
	layout       *layout
	bucket       *bucket
	surveys      *awsapi.Shared[*survey]
	first        *awsapi.Shared[time.Time] // when the oldest dump was stored

	mu    sync.Mutex
	dumps map[identity]*dump // what was looked into, among what is listed
	start string             // where the next listing begins
}

// New makes the probe of a copy. It asks nothing.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	if found := cfg.Validate(target.Copy); len(found) > 0 {
		return nil, fmt.Errorf("set up the s3 probe of %s: %s: %s", target.Copy.Name, found[0].Path, found[0].Message)
	}
	zone, err := time.LoadLocation(cmp.Or(cfg.Timezone, "UTC"))
	if err != nil {
		return nil, fmt.Errorf("set up the s3 probe of %s: %w", target.Copy.Name, err)
	}
	checks := Checks(cfg, target.Copy)
	cfg = cfg.withDefaults()
	p := &Probe{config: cfg, copy: target.Copy, listedChecks: checks, dumps: make(map[identity]*dump)}
	if p.layout, err = newLayout(cfg.Prefix, cfg.Pattern, zone); err != nil {
		return nil, fmt.Errorf("set up the s3 probe of %s: %w", target.Copy.Name, err)
	}
	p.bucket = fleet.bucket(cfg.AWS.In(target.Copy.Region), cfg.Bucket, target.Copy.Account)
	p.bucket.want(target.Copy.Immutable, cfg.Replication)
	now := p.bucket.session.Now
	p.surveys = awsapi.NewShared(p.bucket.session.Every(listEvery(cfg.Every)), now, p.look)
	p.first = awsapi.NewShared(awsapi.Freshness{Fresh: oldestEvery, Keep: 4 * oldestEvery, Retry: oldestEvery / 24}, now, p.askOldest)
	return p, nil
}

// oldestEvery is how often it is asked how far back the dumps go.
const oldestEvery = 6 * time.Hour

// listEvery says how often the bucket is listed: dumps that are due each day
// need no listing a minute.
func listEvery(due time.Duration) time.Duration {
	const seldom, often, byDefault = 15 * time.Minute, time.Minute, 5 * time.Minute
	if due == 0 {
		return byDefault
	}
	return min(seldom, max(often, due/48))
}

// Look tells what the newest complete dump is worth. The error is a
// [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	found, err := p.surveys.Get(ctx)
	if err != nil {
		return readiness.Reading{}, p.failed(err)
	}
	v := verdict{Probe: p, survey: found.Value, now: p.bucket.session.Now()}
	if v.gone == nil {
		answer, err := p.bucket.facts.Get(ctx)
		if err != nil {
			err = p.bucket.failure(err, "s3:GetBucketVersioning")
		}
		v.facts, v.factsErr = answer.Value, err
	} else {
		v.factsErr = v.gone
	}
	if v.complete != nil {
		v.begun = p.begun(v.complete)
	}
	return v.reading(found.At), nil
}

// failed classes what a survey failed with.
func (p *Probe) failed(err error) error {
	var classed *readiness.Failure
	if !errors.As(err, &classed) {
		err = p.bucket.failure(err, "s3:ListBucket")
	}
	return fmt.Errorf("look for dumps in s3://%s: %w", p.config.Bucket, err)
}

// reading is what a survey of some moment says about the copy.
func (v verdict) reading(asked time.Time) readiness.Reading {
	r := readiness.Reading{
		AsOf:     readiness.Known(asked),
		Measures: make(map[readiness.Measure]float64, 3),
		Checks:   v.checks(),
	}
	if v.config.Every > 0 {
		r.Measures[readiness.BackupIntervalSeconds] = v.config.Every.Seconds()
	}
	v.bucket.session.ReadClock(&r)
	if v.complete == nil {
		return r
	}
	r.Points = []readiness.Point{{At: v.begun.at, Basis: v.begun.basis}}
	if !v.oldest.IsZero() {
		oldest := v.oldest
		if v.begun.at.Before(oldest) { // it is the only one
			oldest = v.begun.at
		}
		r.WindowStart = readiness.Known(oldest)
	}
	r.Measures[readiness.BackupSizeBytes] = float64(v.complete.size)
	if v.usual > 0 {
		r.Measures[readiness.BackupSizeRatio] = float64(v.complete.size) / float64(v.usual)
	}
	return r
}
