package awsbackup

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/backup"
	"github.com/aws/aws-sdk-go-v2/service/backup/types"
	"github.com/aws/smithy-go"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// The actions that a look needs.
const (
	actionList     = "backup:ListRecoveryPointsByBackupVault"
	actionDescribe = "backup:DescribeBackupVault"
)

// Fleet is what the probes of one configuration share: each vault is asked once
// for all of them. They are all made before the first of them looks.
type Fleet struct {
	pool *awsapi.Pool

	mu      sync.Mutex
	clients map[*awsapi.Session]*awsapi.Shared[*backup.Client]
	vaults  map[key]*vault
}

type key struct {
	session *awsapi.Session
	name    string
}

// NewFleet makes a fleet that has asked nothing yet. It starts nothing.
func NewFleet(pool *awsapi.Pool) *Fleet {
	return &Fleet{pool: pool, clients: make(map[*awsapi.Session]*awsapi.Shared[*backup.Client]), vaults: make(map[key]*vault)}
}

// vault joins a resource to those that are read of a vault.
func (f *Fleet) vault(s *awsapi.Session, name, resource string) *vault {
	f.mu.Lock()
	defer f.mu.Unlock()
	client := f.clients[s]
	if client == nil {
		client = awsapi.NewClient(s, func(cfg aws.Config) *backup.Client { return backup.NewFromConfig(cfg) })
		f.clients[s] = client
	}
	v := f.vaults[key{s, name}]
	if v == nil {
		v = newVault(s, client, name)
		f.vaults[key{s, name}] = v
	}
	v.wants(resource)
	return v
}

const (
	// late is how long after it was begun a recovery point may come into the vault
	// and still be seen within a minute: a copy comes when its source is whole, and
	// bears the date of that. Later ones are seen at the next whole listing.
	late = 6 * time.Hour
	// latest bounds how far back what is not final is followed each minute.
	latest = 3 * 24 * time.Hour
	// whole is how often everything is listed anew, so that what was deleted is
	// noticed; soonest is how soon when the vault says that it holds fewer.
	whole, soonest = time.Hour, 5 * time.Minute
	// resumable is how long the listing of a large vault may be interrupted.
	resumable = 10 * time.Minute
	// pageSize is the most that AWS gives at once, and portion how many pages of a
	// listing that is made again are read in one go.
	pageSize, portion = 1000, 10
)

// description is what is kept of DescribeBackupVault.
type description struct {
	arn, key         string
	points           int64
	locked           bool
	lockDate         time.Time // zero: the lock can be removed at any time
	minDays, maxDays int64
	airGapped        bool
}

// vault is one backup vault, as one principal sees it.
type vault struct {
	session   *awsapi.Session
	client    *awsapi.Shared[*backup.Client]
	name      string
	described *awsapi.Shared[description]
	listed    *awsapi.Shared[map[string][]point] // by resource, newest first

	mu     sync.Mutex
	wanted map[string]bool

	turn chan struct{} // holds one, for whoever may use what follows
	seen ledger
}

// ledger is what is known of the wanted recovery points of a vault.
type ledger struct {
	points map[string]point // by ARN; nil before the first whole listing
	swept  time.Time        // when the newest whole listing was begun
	count  int64            // how many the vault held when it was last asked
	fewer  bool             // that has fallen since the newest whole listing
	sweep  *sweep           // a whole listing that is under way
}

type sweep struct {
	begun, touched time.Time
	next           *string
	found          map[string]point
}

func newVault(s *awsapi.Session, client *awsapi.Shared[*backup.Client], name string) *vault {
	v := &vault{session: s, client: client, name: name, wanted: make(map[string]bool), turn: make(chan struct{}, 1)}
	v.described = awsapi.NewShared(s.Every(time.Minute), s.Now, v.describe)
	v.listed = awsapi.NewShared(s.Every(time.Minute), s.Now, v.list)
	return v
}

func (v *vault) wants(resource string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wanted[resource] = true
}

func (v *vault) describe(ctx context.Context) (description, error) {
	client, err := v.client.Get(ctx)
	if err != nil {
		return description{}, err
	}
	d, err := client.Value.DescribeBackupVault(ctx, &backup.DescribeBackupVaultInput{BackupVaultName: aws.String(v.name)})
	if err != nil {
		return description{}, err
	}
	return description{
		arn: aws.ToString(d.BackupVaultArn), key: aws.ToString(d.EncryptionKeyArn), points: d.NumberOfRecoveryPoints,
		locked: aws.ToBool(d.Locked), lockDate: aws.ToTime(d.LockDate),
		minDays: aws.ToInt64(d.MinRetentionDays), maxDays: aws.ToInt64(d.MaxRetentionDays),
		airGapped: d.VaultType == types.VaultTypeLogicallyAirGappedBackupVault,
	}, nil
}

// list brings the ledger up to date: at first by listing the whole vault, then by
// what is new or not yet final, and by all of it every now and then.
func (v *vault) list(ctx context.Context) (map[string][]point, error) {
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	client, err := v.client.Get(ctx)
	if err != nil {
		return nil, err
	}
	due := v.sweepIsDue(ctx)
	if v.seen.points != nil {
		if err := v.listRecent(ctx, client.Value); err != nil {
			return nil, err
		}
	}
	if due {
		if err := v.listWhole(ctx, client.Value); err != nil {
			return nil, err
		}
	}
	byResource := make(map[string][]point)
	for _, p := range v.seen.points {
		byResource[p.resource] = append(byResource[p.resource], p)
	}
	for _, points := range byResource {
		slices.SortFunc(points, byAge)
	}
	return byResource, nil
}

// sweepIsDue reports whether everything is to be listed: never before, not for an
// hour, or there are fewer than there were. The number is a hint and no more, so
// it does not matter when the vault cannot be described.
func (v *vault) sweepIsDue(ctx context.Context) bool {
	if d, err := v.described.Get(ctx); err == nil {
		v.seen.fewer = v.seen.fewer || d.Value.points < v.seen.count
		v.seen.count = d.Value.points
	}
	age := v.session.Now().Sub(v.seen.swept)
	return v.seen.points == nil || v.seen.sweep != nil || age >= whole || v.seen.fewer && age >= soonest
}

// listRecent lists what was begun lately, and all that was not final.
func (v *vault) listRecent(ctx context.Context, client *backup.Client) error {
	now := v.session.Now()
	since := now.Add(-late)
	for _, p := range v.seen.points {
		if !p.final() && p.created.Before(since) && p.created.After(now.Add(-latest)) {
			since = p.created.Add(-time.Second)
		}
	}
	found := make(map[string]point)
	var next *string
	for more := true; more; more = next != nil {
		var err error
		if next, err = v.page(ctx, client, aws.Time(since), next, found); err != nil {
			return err
		}
	}
	maps.DeleteFunc(v.seen.points, func(_ string, p point) bool { return p.created.After(since) }) // what is gone is not found
	maps.Copy(v.seen.points, found)
	return nil
}

// listWhole lists everything. A vault may be too large for one look: then the
// next one goes on where this one was cut off, or had enough.
func (v *vault) listWhole(ctx context.Context, client *backup.Client) error {
	now := v.session.Now()
	if s := v.seen.sweep; s == nil || now.Sub(s.touched) > resumable {
		v.seen.sweep = &sweep{begun: now, found: make(map[string]point)}
	}
	s := v.seen.sweep
	for pages := 0; pages == 0 || s.next != nil; pages++ {
		if pages == portion && v.seen.points != nil {
			return nil
		}
		next, err := v.page(ctx, client, nil, s.next, s.found)
		var invalid *types.InvalidParameterValueException
		if errors.As(err, &invalid) && s.next != nil {
			v.seen.sweep = nil // the token has had its day
		}
		if err != nil {
			return err
		}
		s.next, s.touched = next, v.session.Now()
	}
	for arn, p := range v.seen.points { // what came while the listing was under way
		if p.created.After(s.begun.Add(-late)) {
			s.found[arn] = p
		}
	}
	v.seen.points, v.seen.swept, v.seen.sweep, v.seen.fewer = s.found, s.begun, nil, false
	return nil
}

// page adds the wanted ones of a page to what was found.
func (v *vault) page(ctx context.Context, client *backup.Client, since *time.Time, from *string, found map[string]point) (next *string, err error) {
	page, err := client.ListRecoveryPointsByBackupVault(ctx, &backup.ListRecoveryPointsByBackupVaultInput{
		BackupVaultName: aws.String(v.name), ByCreatedAfter: since, MaxResults: aws.Int32(pageSize), NextToken: from,
	})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range page.RecoveryPoints {
		if v.wanted[aws.ToString(p.ResourceArn)] && p.RecoveryPointArn != nil {
			found[*p.RecoveryPointArn] = newPoint(p)
		}
	}
	if aws.ToString(page.NextToken) == "" {
		return nil, nil
	}
	return page.NextToken, nil
}

// refused says what is wrong with a question to the vault. AWS Backup denies a
// vault that is not there in the same words as one that may not be seen, and then
// does not name the action (https://github.com/aws/aws-sdk-js/issues/2625).
func (p *Probe) refused(err error, action string) error {
	if err == nil {
		return nil
	}
	failure := probes.AsFailure(p.session.Failure(err, action))
	var api smithy.APIError
	if failure.Class == readiness.Denied && errors.As(err, &api) && (api.ErrorMessage() == "" || api.ErrorMessage() == "Insufficient privileges to perform this action.") {
		return probes.Fail(readiness.Denied, "vault %s is not there, or may not be seen: %w", p.config.Vault, failure)
	}
	return probes.Fail(failure.Class, "vault %s: %w", p.config.Vault, failure)
}
