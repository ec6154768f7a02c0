package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drwatch/drwatch/lab/aws"
)

// What the stand-in for AWS holds beside the databases and the buckets.
const (
	// VaultAccount owns the vault of AWS Backup that an intruder of the main account does not reach.
	VaultAccount = "444455556666"
	// VaultRole is who may look into it, for those who know VaultExternalID.
	VaultRole       = "arn:aws:iam::" + VaultAccount + ":role/drwatch"
	VaultExternalID = "festivals"
	// Vault is its name. It is locked for good.
	Vault = "festivals-vault"
)

const (
	// backupInterval is how often everything is backed up where Options do not say it.
	backupInterval = 20 * time.Second
	// backupsKept bounds what the buckets and the vault hold.
	backupsKept = 12
)

// Cloud is the stand-in for AWS; nil where Options.AWS does not ask for one.
func (l *Lab) Cloud() *aws.Cloud { return l.cloud }

// NewestDump is the newest dump of the store that is in the buckets, the truth about it included; false while there is
// none.
func (l *Lab) NewestDump(store Store) (Dump, bool) {
	if l.backups == nil {
		return Dump{}, false
	}
	l.backups.mu.Lock()
	defer l.backups.mu.Unlock()
	kept := l.backups.kept[store]
	if len(kept) == 0 {
		return Dump{}, false
	}
	return kept[len(kept)-1], true
}

// awsEnvironment points the SDK of AWS, and whatever is built on it, at the stand-in.
func (l *Lab) awsEnvironment() map[string]string {
	if l.cloud == nil {
		return nil
	}
	return map[string]string{
		"AWS_ENDPOINT_URL": l.cloud.URL(), "AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_EC2_METADATA_DISABLED": "true",
	}
}

// upAWS starts the stand-in for AWS, puts the servers of the lab into it, and waits for the first backups.
func (l *Lab) upAWS(ctx context.Context) error {
	cloud, err := aws.Start(ctx, aws.Options{Now: l.options.Now, Logger: l.options.Logger.With("component", "aws")})
	if err != nil {
		return err
	}
	l.cloud = cloud
	l.onClose("the stand-in for AWS", func(context.Context) error { return cloud.Close() })
	l.ServeRDS(cloud)
	CreateBackupBuckets(cloud.S3())
	cloud.STS().Put(aws.Role{ARN: VaultRole, ExternalID: VaultExternalID})
	cloud.Backup().PutVault(aws.Vault{
		VaultID: vault(), KeyARN: "arn:aws:kms:" + StandbyRegion + ":" + VaultAccount + ":key/7e1a2b3c-0000-4000-8000-0000festival",
		Created: l.options.Now(), Locked: true, LockDate: l.options.Now().Add(-time.Hour), MinRetention: 7, MaxRetention: 35,
	})
	l.backups = &backups{lab: l, kept: make(map[Store][]Dump)}
	if err := l.backups.make(ctx); err != nil {
		return fmt.Errorf("make the first backups: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.backups.group.Go(func() { l.backups.run(running, l.options.BackupInterval) })
	l.onClose("the backups", func(context.Context) error { cancel(); l.backups.group.Wait(); return nil })
	l.say("AWS at %s: RDS, CloudWatch, S3, Backup; dumps and recovery points are made every %s", cloud.URL(), l.options.BackupInterval)
	return nil
}

func vault() aws.VaultID {
	return aws.VaultID{Account: VaultAccount, Region: StandbyRegion, Name: Vault}
}

// backups makes dumps and snapshots of the databases, on and on.
type backups struct {
	lab   *Lab
	group sync.WaitGroup

	gate   sync.Mutex // held while backups are made; protects paused
	paused bool

	mu   sync.Mutex // protects kept
	kept map[Store][]Dump
}

func (b *backups) run(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// A primary that cannot be dumped now can be later: the backups grow old until then.
		if err := b.make(ctx); err != nil && ctx.Err() == nil {
			b.lab.options.Logger.Info("backups: none was made", "error", err)
		}
	}
}

// pause returns when no backup is under way, and none begins until it is called with false.
func (b *backups) pause(paused bool) {
	b.gate.Lock()
	defer b.gate.Unlock()
	b.paused = paused
}

// make backs both stores up, once.
func (b *backups) make(ctx context.Context) error {
	b.gate.Lock()
	defer b.gate.Unlock()
	if b.paused {
		return nil
	}
	var errs []error
	for _, format := range []DumpFormat{DumpCustom, DumpRDB} {
		dump, err := b.lab.Dump(ctx, format)
		if err == nil {
			err = b.keep(dump)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// keep puts a dump where dumps are kept, and notes the truth about it. AWS Backup, which works beneath the database,
// made a recovery point at the same time.
func (b *backups) keep(d Dump) error {
	cloud := b.lab.cloud
	if err := d.Keep(cloud.S3()); err != nil {
		return err
	}
	if d.Store == Postgres {
		cloud.Backup().Put(vault(), recoveryPoint(d))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept[d.Store] = append(b.kept[d.Store], d)
	for len(b.kept[d.Store]) > backupsKept {
		b.forget(b.kept[d.Store][0])
		b.kept[d.Store] = slices.Delete(b.kept[d.Store], 0, 1)
	}
	return nil
}

func (b *backups) forget(d Dump) {
	for _, bucket := range []string{BackupBucket, StandbyBackupBucket} {
		b.lab.cloud.S3().Delete(bucket, d.Folder()+d.Name())
	}
	b.lab.cloud.Backup().Delete(vault(), recoveryPoint(d).ARN)
}

func recoveryPoint(d Dump) aws.RecoveryPoint {
	return aws.RecoveryPoint{
		ARN:      fmt.Sprintf("arn:aws:backup:%s:%s:recovery-point:%012x", StandbyRegion, VaultAccount, d.Begun.UnixNano()),
		Resource: "arn:aws:rds:" + PrimaryRegion + ":" + aws.Account + ":db:" + RDSPrimary, ResourceType: "RDS",
		Created: d.Begun, Completed: d.Done, Size: int64(len(d.Body)), DeleteAfter: 35,
		KeyARN:      "arn:aws:kms:" + StandbyRegion + ":" + VaultAccount + ":key/7e1a2b3c-0000-4000-8000-0000festival",
		SourceVault: "arn:aws:backup:" + PrimaryRegion + ":" + aws.Account + ":backup-vault:festivals",
	}
}

// awsFaults are the rows of what can be broken in AWS.
func (l *Lab) awsFaults() []fault {
	s3 := func() *aws.S3 { return l.cloud.S3() }
	return []fault{
		l.inAWS(AWSThrottled, "AWS turns every call away for coming too often", aws.Fault{Error: aws.Throttled}),
		l.inAWS(AWSDenied, "the credentials may not ask RDS anything any more", aws.Fault{Asked: aws.Asked{Service: "rds"}, Error: aws.Denied}),
		l.inAWS(AWSProxied, "a proxy answers in place of AWS, with a page of its own", aws.Fault{Body: "<html><body>502 Bad Gateway</body></html>"}),
		l.inAWS(MetricsSilent, "CloudWatch does not answer: nothing new is known of the replica's lag from AWS", aws.Fault{Asked: aws.Asked{Service: "monitoring"}, Drop: true}),
		{
			FaultInfo: FaultInfo{BackupsStopped, "no dump and no recovery point is made any more: they grow old"},
			takes:     []string{theBackups}, needsAWS: true,
			strike: func(context.Context) error { l.backups.pause(true); return nil },
			undo:   func(context.Context) error { l.backups.pause(false); return nil },
		},
		l.dumpFault(DumpTruncated, "the newest dump was cut off on its way into the bucket", func(d *Dump) { d.Body = d.Body[:len(d.Body)*2/3] }),
		l.dumpFault(DumpEmpty, "the newest dump has no content", func(d *Dump) { d.Body = nil }),
		{
			FaultInfo: FaultInfo{BucketGone, "the bucket with the dumps in the standby region is gone"},
			takes:     []string{theBackups}, needsAWS: true,
			strike: func(context.Context) error {
				l.backups.pause(true)
				s3().DropBucket(StandbyBackupBucket)
				return nil
			},
			undo: func(ctx context.Context) error {
				CreateBackupBuckets(s3())
				l.backups.pause(false)
				return l.backups.make(ctx)
			},
		},
	}
}

// theBackups is what a fault of them has a hold on.
const theBackups = "the backups"

// withAPI lets a fault between the regions meet the API of AWS in the primary region, too, where there is one.
func (l *Lab) withAPI(f fault, api aws.Fault) fault {
	api.Region = PrimaryRegion
	strike, undo, heal := f.strike, f.undo, func() {}
	f.strike = func(ctx context.Context) error {
		if l.cloud != nil {
			heal = l.cloud.Break(api)
		}
		return strike(ctx)
	}
	f.undo = func(ctx context.Context) error {
		heal()
		return undo(ctx)
	}
	return f
}

// inAWS is a fault of the API.
func (l *Lab) inAWS(name Fault, description string, f aws.Fault) fault {
	heal := func() {}
	return fault{
		FaultInfo: FaultInfo{name, description},
		needsAWS:  true,
		strike:    func(context.Context) error { heal = l.cloud.Break(f); return nil },
		undo:      func(context.Context) error { heal(); return nil },
	}
}

// dumpFault puts a spoilt dump of PostgreSQL on top of the good ones, and lets no other be made until it is healed.
func (l *Lab) dumpFault(name Fault, description string, spoil func(*Dump)) fault {
	var spoilt Dump
	return fault{
		FaultInfo: FaultInfo{name, description},
		takes:     []string{theBackups}, needsAWS: true,
		strike: func(ctx context.Context) error {
			l.backups.pause(true)
			dump, err := l.Dump(ctx, DumpCustom)
			if err != nil {
				return err
			}
			spoil(&dump)
			spoilt = dump
			return spoilt.Keep(l.cloud.S3())
		},
		undo: func(ctx context.Context) error {
			if spoilt.Begun.IsZero() {
				l.backups.pause(false)
				return nil
			}
			l.backups.forget(spoilt)
			spoilt = Dump{}
			l.backups.pause(false)
			return l.backups.make(ctx)
		},
	}
}
