package aws

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// RDS is the Relational Database Service, of all accounts and in all regions.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/Welcome.html
type RDS struct {
	query
	cloud *Cloud

	mu         sync.Mutex // protects what follows
	instances  map[where]*instance
	clusters   map[where]Cluster
	globals    map[string]*global
	snapshots  map[where]Snapshot
	backups    map[where]AutomatedBackup
	stale      time.Duration
	promotes   time.Duration
	restores   time.Duration
	fails      time.Duration
	resourceID int
}

// where is what a name is unique in.
type where struct{ account, region, id string }

// Instance is a DB instance: what its owner has set, and how it is.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstance.html
type Instance struct {
	Region, ID string
	// Account owns it; empty is the account of the lab.
	Account         string
	Class           string // such as db.m6g.large
	Engine, Version string
	StorageGiB      int
	StorageType     string // such as gp3
	IOPS            int
	MultiAZ         bool
	// DeletionProtection refuses its deletion.
	DeletionProtection bool
	// KMSKey is the ARN of the key that its storage is encrypted with; empty is
	// not encrypted.
	KMSKey string
	// BackupDays is for how long automated backups are kept; 0 is none at all.
	BackupDays int
	// Cluster is the Aurora cluster that it belongs to.
	Cluster string
	// Source is what it is a read replica of: an identifier in the same region, an
	// ARN in another one.
	Source  string
	Created time.Time // default: when it was put
	// Status is its state; empty is available.
	Status string
	// Replication is how a read replica does; empty is replicating. Message says why.
	// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstanceStatusInfo.html
	Replication, Message string
	// LatestRestorable is the latest moment of the automated backups. Zero is what
	// RDS does: the logs are uploaded every five minutes, while the instance runs.
	// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html
	LatestRestorable time.Time
	// RestoredTo is the moment of the data that an instance was restored to.
	RestoredTo time.Time
	// ResourceID is the identifier that never changes; Put makes one.
	ResourceID string

	// Observe is asked before each answer, and amends what is told, for an instance
	// behind which something real stands. It may be nil.
	Observe func(context.Context, *Instance)
	// Lag is the lag of a read replica in seconds, as of the minute that begins at the
	// moment given; false where nothing was published. Nil is no lag at all.
	Lag func(ctx context.Context, minute time.Time) (seconds float64, published bool)
	// Promote is told of an accepted promotion. It may be nil.
	Promote func(context.Context) error
}

// instance is one with its past and its future.
type instance struct {
	versions []version // oldest first
	next     *change
}

type version struct {
	at      time.Time
	now     Instance
	deleted bool
}

// change is what will happen.
type change struct {
	at    time.Time
	apply func(*Instance)
}

// versionsKept bounds the past of an instance.
const versionsKept = 16

func newRDS(c *Cloud) *RDS {
	r := &RDS{
		cloud: c, instances: make(map[where]*instance), clusters: make(map[where]Cluster), globals: make(map[string]*global),
		snapshots: make(map[where]Snapshot), backups: make(map[where]AutomatedBackup),
		promotes: time.Minute, restores: 10 * time.Minute, fails: time.Minute,
	}
	r.query = query{
		namespace: "http://rds.amazonaws.com/doc/2014-10-31/",
		actions: map[string]func(*call, url.Values) (any, error){
			"DescribeDBInstances":                r.describeInstances,
			"DescribeDBSnapshots":                r.describeSnapshots,
			"DescribeDBInstanceAutomatedBackups": r.describeBackups,
			"DescribeDBClusters":                 r.describeClusters,
			"DescribeDBClusterSnapshots":         r.describeClusterSnapshots,
			"DescribeGlobalClusters":             r.describeGlobals,
			"PromoteReadReplica":                 r.promote,
			"RestoreDBInstanceToPointInTime":     r.restore,
			"FailoverGlobalCluster":              r.failoverGlobal,
			"SwitchoverGlobalCluster":            r.switchoverGlobal,
		},
	}
	return r
}

// RDS gives the Relational Database Service of this AWS.
func (c *Cloud) RDS() *RDS { return c.services["rds"].(*RDS) }

// Takes sets how long a promotion, a restore and the failover of a global cluster
// take. Before: a minute, ten minutes and a minute.
func (r *RDS) Takes(promotion, restore, failover time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.promotes, r.restores, r.fails = promotion, restore, failover
}

// Stale makes descriptions of DB instances tell what was so some time ago: a
// change is seen only later, as with any eventually consistent API.
func (r *RDS) Stale(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale = by
}

// Put makes an instance, or makes it anew. A read replica publishes its lag.
func (r *RDS) Put(i Instance) {
	r.mu.Lock()
	i.Account = cmp.Or(i.Account, Account)
	if i.Created.IsZero() {
		i.Created = r.cloud.options.Now()
	}
	i.ResourceID = cmp.Or(i.ResourceID, r.newResourceID("db-"))
	r.instances[i.where()] = &instance{versions: []version{{at: i.Created, now: i}}}
	r.mu.Unlock()
	if i.Source != "" {
		r.cloud.CloudWatch().Publish(Gauge{
			Region: i.Region, Namespace: "AWS/RDS", Name: "ReplicaLag", Dimension: "DBInstanceIdentifier", Of: i.ID,
			Value: func(ctx context.Context, minute time.Time) (float64, bool) {
				return r.replicaLag(ctx, i.where(), minute)
			},
		})
	}
}

// Change changes an instance of the account of the lab; false when there is none.
func (r *RDS) Change(region, id string, to func(*Instance)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changeLocked(where{Account, region, id}, to)
}

// Delete deletes an instance of the account of the lab.
func (r *RDS) Delete(region, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := r.instances[where{Account, region, id}]; i != nil {
		now := r.cloud.options.Now()
		i.settle(now)
		i.add(version{at: now, now: i.latest(), deleted: true})
	}
}

// Instance gives an instance of the account of the lab as it is.
func (r *RDS) Instance(region, id string) (Instance, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.instanceLocked(where{Account, region, id})
}

func (r *RDS) instanceLocked(w where) (Instance, bool) {
	i := r.instances[w]
	if i == nil {
		return Instance{}, false
	}
	i.settle(r.cloud.options.Now())
	return i.latest(), !i.versions[len(i.versions)-1].deleted
}

func (r *RDS) changeLocked(w where, to func(*Instance)) bool {
	now, exists := r.instanceLocked(w)
	if !exists {
		return false
	}
	before := now.runs()
	at := r.cloud.options.Now()
	latest := now.latestRestorable(at)
	to(&now)
	if before && !now.runs() && now.LatestRestorable.IsZero() {
		now.LatestRestorable = latest // nothing is uploaded any more
	}
	r.instances[w].add(version{at: at, now: now})
	return true
}

func (i *instance) latest() Instance { return i.versions[len(i.versions)-1].now }

func (i *instance) add(v version) {
	i.versions = append(i.versions, v)
	if extra := len(i.versions) - versionsKept; extra > 0 {
		i.versions = i.versions[extra:]
	}
}

// settle lets happen what was to happen by now.
func (i *instance) settle(now time.Time) {
	if i.next == nil || now.Before(i.next.at) {
		return
	}
	next, to := *i.next, i.latest()
	i.next = nil
	next.apply(&to)
	i.add(version{at: next.at, now: to})
}

// asOf gives the instance as it was at a moment.
func (i *instance) asOf(at time.Time) (Instance, bool) {
	for n := len(i.versions) - 1; n >= 0; n-- {
		if v := i.versions[n]; !v.at.After(at) {
			return v.now, !v.deleted
		}
	}
	return Instance{}, false
}

func (i Instance) where() where { return where{i.Account, i.Region, i.ID} }

// ARN is the Amazon Resource Name.
func (i Instance) ARN() string {
	return "arn:aws:rds:" + i.Region + ":" + cmp.Or(i.Account, Account) + ":db:" + i.ID
}

func (i Instance) status() string { return cmp.Or(i.Status, "available") }

// runs reports whether a database answers, and its logs are uploaded.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
func (i Instance) runs() bool {
	switch i.status() {
	case "available", "backing-up", "modifying", "storage-optimization", "storage-full":
		return true
	default:
		return false
	}
}

// uploads is how often RDS uploads the transaction logs.
const uploads = 5 * time.Minute

// latestRestorable is zero where there is nothing to restore from.
func (i Instance) latestRestorable(now time.Time) time.Time {
	switch {
	case i.BackupDays == 0 || i.Created.After(now):
		return time.Time{}
	case !i.LatestRestorable.IsZero():
		return i.LatestRestorable
	}
	return laterOf(now.Truncate(uploads), i.Created)
}

func (i Instance) earliestRestorable(now time.Time) time.Time {
	return laterOf(now.AddDate(0, 0, -i.BackupDays), i.Created)
}

func (r *RDS) newResourceID(prefix string) string {
	r.resourceID++
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	id := []byte(prefix + "AAAAAAAAAAAAAAAAAAAAAAAAAA")
	for n, at := r.resourceID, len(id)-1; n > 0; n, at = n/len(letters), at-1 {
		id[at] = letters[n%len(letters)]
	}
	return string(id)
}

// replicaLag is what RDS publishes of a read replica: -1 where replication is not
// active, and nothing once the instance is a replica no more.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.Monitoring.html
func (r *RDS) replicaLag(ctx context.Context, w where, minute time.Time) (float64, bool) {
	r.mu.Lock()
	i, exists := r.instanceLocked(w)
	r.mu.Unlock()
	switch { // not observed: how a server is now says nothing about the minutes before
	case !exists || i.Source == "" || !i.runs():
		return 0, false
	case i.Replication != "" && i.Replication != "replicating":
		return -1, true
	case i.Lag == nil:
		return 0, true
	}
	return i.Lag(ctx, minute)
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func badRequest(code, message string) Error {
	return Error{http.StatusBadRequest, code, message}
}

func rdsMissing(code, message string) Error {
	return Error{http.StatusNotFound, code, message}
}
