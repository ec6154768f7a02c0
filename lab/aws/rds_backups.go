package aws

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Snapshot is an image of an instance, or of a cluster.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBSnapshot.html
type Snapshot struct {
	Region, ID string
	// Account owns it; empty is the account of the lab.
	Account string
	// SharedWith are the accounts that may copy and restore it.
	SharedWith []string
	// Instance and Cluster are what it is of: one of both.
	Instance, Cluster string
	Type              string // manual, automated or awsbackup; empty is manual
	Status            string // empty is available
	Percent           int    // how far it is; 0 is done
	Engine, Version   string
	StorageGiB        int
	KMSKey            string // empty is not encrypted
	// Database is the newest transaction in it; copies keep it. Original is when the
	// first of the copies was made; copies keep that, too. Created is when this one was.
	Database, Original, Created time.Time
	// CopyOf is the ARN of what it was copied from.
	CopyOf string
}

// PutSnapshot makes a snapshot, or makes it anew.
func (r *RDS) PutSnapshot(s Snapshot) {
	s.Account, s.Type, s.Status = cmp.Or(s.Account, Account), cmp.Or(s.Type, "manual"), cmp.Or(s.Status, "available")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshots[where{s.Account, s.Region, s.ID}] = s
}

// DeleteSnapshot deletes a snapshot of the account of the lab.
func (r *RDS) DeleteSnapshot(region, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.snapshots, where{Account, region, id})
}

// ARN is the Amazon Resource Name.
func (s Snapshot) ARN() string {
	kind := ":snapshot:"
	if s.Cluster != "" {
		kind = ":cluster-snapshot:"
	}
	return "arn:aws:rds:" + s.Region + ":" + cmp.Or(s.Account, Account) + kind + s.ID
}

// wireSnapshot is a snapshot of either kind; what the other has is empty.
type wireSnapshot struct {
	DBSnapshotIdentifier        string     `xml:",omitempty"`
	DBSnapshotArn               string     `xml:",omitempty"`
	DBInstanceIdentifier        string     `xml:",omitempty"`
	Encrypted                   *bool      `xml:",omitempty"`
	SnapshotDatabaseTime        *time.Time `xml:",omitempty"`
	OriginalSnapshotCreateTime  *time.Time `xml:",omitempty"`
	SourceRegion                string     `xml:",omitempty"`
	SourceDBSnapshotIdentifier  string     `xml:",omitempty"`
	DBClusterSnapshotIdentifier string     `xml:",omitempty"`
	DBClusterSnapshotArn        string     `xml:",omitempty"`
	DBClusterIdentifier         string     `xml:",omitempty"`
	StorageEncrypted            *bool      `xml:",omitempty"`
	SourceDBClusterSnapshotArn  string     `xml:",omitempty"`

	Engine, EngineVersion string
	AllocatedStorage      int
	SnapshotCreateTime    *time.Time `xml:",omitempty"`
	SnapshotType, Status  string
	PercentProgress       int
	KmsKeyId              string `xml:",omitempty"`
}

func (s Snapshot) wire(account string) wireSnapshot {
	w := wireSnapshot{
		Engine: s.Engine, EngineVersion: s.Version, AllocatedStorage: s.StorageGiB, SnapshotCreateTime: stamp(s.Created),
		SnapshotType: s.Type, Status: s.Status, PercentProgress: s.Percent, KmsKeyId: s.KMSKey,
	}
	if s.Percent == 0 && s.Status == "available" {
		w.PercentProgress = 100
	}
	id, encrypted := s.ID, s.KMSKey != ""
	if s.Account != account { // a shared one is known by its ARN
		id, w.SnapshotType = s.ARN(), "shared"
	}
	if s.Cluster != "" {
		w.DBClusterSnapshotIdentifier, w.DBClusterSnapshotArn, w.DBClusterIdentifier = id, s.ARN(), s.Cluster
		w.StorageEncrypted, w.SourceDBClusterSnapshotArn = &encrypted, s.CopyOf
		return w
	}
	w.DBSnapshotIdentifier, w.DBSnapshotArn, w.DBInstanceIdentifier, w.Encrypted = id, s.ARN(), s.Instance, &encrypted
	w.SnapshotDatabaseTime, w.OriginalSnapshotCreateTime, w.SourceDBSnapshotIdentifier = stamp(s.Database), stamp(s.Original), s.CopyOf
	if parts := strings.SplitN(s.CopyOf, ":", 5); len(parts) == 5 && parts[3] != s.Region {
		w.SourceRegion = parts[3]
	}
	return w
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBSnapshots.html
func (r *RDS) describeSnapshots(c *call, form url.Values) (any, error) {
	type result struct {
		Marker      string         `xml:",omitempty"`
		DBSnapshots []wireSnapshot `xml:"DBSnapshots>DBSnapshot"`
	}
	filter, err := filters(form, "db-instance-id", "db-snapshot-id", "dbi-resource-id", "snapshot-type", "engine")
	if err != nil {
		return nil, err
	}
	all := r.snapshotsOf(c, form, func(s Snapshot) bool {
		return s.Instance != "" && passes(only(form.Get("DBInstanceIdentifier")), s.Instance) &&
			passes(filter["db-instance-id"], s.Instance, "arn:aws:rds:"+s.Region+":"+s.Account+":db:"+s.Instance) &&
			passes(filter["db-snapshot-id"], s.ID, s.ARN()) && passes(filter["snapshot-type"], s.Type) && passes(filter["engine"], s.Engine)
	})
	if id := form.Get("DBSnapshotIdentifier"); id != "" {
		all = slices.DeleteFunc(all, func(s Snapshot) bool { return !passes([]string{id}, s.ID, s.ARN()) })
		if len(all) == 0 {
			return nil, rdsMissing("DBSnapshotNotFound", "DBSnapshot "+id+" not found.")
		}
	}
	part, marker, err := rdsPage(form, all, Snapshot.ARN)
	if err != nil {
		return nil, err
	}
	answer := result{Marker: marker}
	for _, s := range part {
		answer.DBSnapshots = append(answer.DBSnapshots, s.wire(r.account(c)))
	}
	return answer, nil
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusterSnapshots.html
func (r *RDS) describeClusterSnapshots(c *call, form url.Values) (any, error) {
	type result struct {
		Marker             string         `xml:",omitempty"`
		DBClusterSnapshots []wireSnapshot `xml:"DBClusterSnapshots>DBClusterSnapshot"`
	}
	filter, err := filters(form, "db-cluster-id", "db-cluster-snapshot-id", "snapshot-type", "engine")
	if err != nil {
		return nil, err
	}
	all := r.snapshotsOf(c, form, func(s Snapshot) bool {
		return s.Cluster != "" && passes(only(form.Get("DBClusterIdentifier")), s.Cluster) &&
			passes(filter["db-cluster-id"], s.Cluster, "arn:aws:rds:"+s.Region+":"+s.Account+":cluster:"+s.Cluster) &&
			passes(filter["db-cluster-snapshot-id"], s.ID, s.ARN()) && passes(filter["snapshot-type"], s.Type) && passes(filter["engine"], s.Engine)
	})
	if id := form.Get("DBClusterSnapshotIdentifier"); id != "" {
		all = slices.DeleteFunc(all, func(s Snapshot) bool { return !passes([]string{id}, s.ID, s.ARN()) })
		if len(all) == 0 {
			return nil, rdsMissing("DBClusterSnapshotNotFoundFault", "DBClusterSnapshot "+id+" not found.")
		}
	}
	part, marker, err := rdsPage(form, all, Snapshot.ARN)
	if err != nil {
		return nil, err
	}
	answer := result{Marker: marker}
	for _, s := range part {
		answer.DBClusterSnapshots = append(answer.DBClusterSnapshots, s.wire(r.account(c)))
	}
	return answer, nil
}

// snapshotsOf lists those of the caller, and those shared with it where they are
// asked for. Without a type, that is manual and automated ones.
func (r *RDS) snapshotsOf(c *call, form url.Values, wanted func(Snapshot) bool) []Snapshot {
	account, kind := r.account(c), form.Get("SnapshotType")
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Snapshot
	for w, s := range r.snapshots {
		if w.region != c.Region || !wanted(s) {
			continue
		}
		own := w.account == account && (kind == s.Type || kind == "" && s.Type != "awsbackup")
		shared := slices.Contains(s.SharedWith, account) && s.Type == "manual" && (kind == "shared" || kind == "" && form.Get("IncludeShared") == "true")
		if own || shared {
			all = append(all, s)
		}
	}
	return all
}

func only(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// AutomatedBackup is the automated backups of an instance, replicated to another region or
// kept after its deletion. Those of an instance itself need not be put.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstanceAutomatedBackup.html
type AutomatedBackup struct {
	Region, ID string
	// Of is the instance; it need not exist any more.
	Of Instance
	// Status is replicating, retained or creating; empty is replicating.
	Status string
	KMSKey string
	Days   int
	// Earliest and Latest are the window. Zero is what RDS does: that of the
	// instance, an upload later.
	Earliest, Latest time.Time
	// Observe is asked before each answer, and amends what is told. It may be nil.
	Observe func(context.Context, *AutomatedBackup)
}

// PutBackup makes automated backups, or makes them anew.
func (r *RDS) PutBackup(b AutomatedBackup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Of.ResourceID = cmp.Or(b.Of.ResourceID, r.newResourceID("db-"))
	if i, exists := r.instanceLocked(where{cmp.Or(b.Of.Account, Account), b.Of.Region, b.Of.ID}); exists {
		b.Of.ResourceID = i.ResourceID
	}
	r.backups[where{cmp.Or(b.Of.Account, Account), b.Region, b.ID}] = b
}

// ARN is the Amazon Resource Name.
func (b AutomatedBackup) ARN() string {
	return "arn:aws:rds:" + b.Region + ":" + cmp.Or(b.Of.Account, Account) + ":auto-backup:" + b.ID
}

func (b AutomatedBackup) window(now time.Time) (earliest, latest time.Time) {
	earliest, latest = b.Earliest, b.Latest
	if latest.IsZero() {
		latest = now.Add(-uploads).Truncate(uploads)
	}
	if earliest.IsZero() {
		earliest = now.AddDate(0, 0, -b.Days)
	}
	return earliest, latest
}

// instance is what a restore makes.
func (b AutomatedBackup) instance() Instance {
	i := b.Of
	i.KMSKey = b.KMSKey
	return i
}

type wireBackup struct {
	DBInstanceIdentifier, DBInstanceArn, DbiResourceId, Region, Status string
	DBInstanceAutomatedBackupsArn                                      string `xml:",omitempty"`
	Engine, EngineVersion                                              string
	AllocatedStorage, BackupRetentionPeriod                            int
	Encrypted                                                          bool
	KmsKeyId                                                           string      `xml:",omitempty"`
	RestoreWindow                                                      *wireWindow `xml:",omitempty"`
}

type wireWindow struct{ EarliestTime, LatestTime time.Time }

// describeBackups tells the automated backups of the region: those of its own
// instances, and those that are replicated to it, whose Region is the one that
// they come from.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstanceAutomatedBackups.html
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/AutomatedBackups.Replicating.Describe.html
func (r *RDS) describeBackups(c *call, form url.Values) (any, error) {
	type result struct {
		Marker                     string       `xml:",omitempty"`
		DBInstanceAutomatedBackups []wireBackup `xml:"DBInstanceAutomatedBackups>DBInstanceAutomatedBackup"`
	}
	filter, err := filters(form, "status", "db-instance-id", "dbi-resource-id")
	if err != nil {
		return nil, err
	}
	id, arn := form.Get("DBInstanceIdentifier"), form.Get("DBInstanceAutomatedBackupsArn")
	all := slices.DeleteFunc(r.backupsOf(c), func(b wireBackup) bool {
		return !passes(only(id), b.DBInstanceIdentifier) || !passes(only(arn), b.DBInstanceAutomatedBackupsArn) ||
			!passes(only(form.Get("DbiResourceId")), b.DbiResourceId) || !passes(filter["status"], b.Status) ||
			!passes(filter["db-instance-id"], b.DBInstanceIdentifier, b.DBInstanceArn) || !passes(filter["dbi-resource-id"], b.DbiResourceId)
	})
	if id+arn != "" && len(all) == 0 {
		return nil, rdsMissing("DBInstanceAutomatedBackupNotFound", "DBInstanceAutomatedBackup not found for "+id+arn)
	}
	part, marker, err := rdsPage(form, all, func(b wireBackup) string { return b.DBInstanceArn + " " + b.DBInstanceAutomatedBackupsArn })
	return result{marker, part}, err
}

func (r *RDS) backupsOf(c *call) []wireBackup {
	account, now := r.account(c), r.cloud.options.Now()
	instances, _ := r.seen(c)
	var all []wireBackup
	for _, i := range instances {
		if i.BackupDays == 0 {
			continue
		}
		if i.Observe != nil {
			i.Observe(c.Request.Context(), &i)
		}
		all = append(all, wireBackup{
			DBInstanceIdentifier: i.ID, DBInstanceArn: i.ARN(), DbiResourceId: i.ResourceID, Region: i.Region, Status: "active",
			Engine: i.Engine, EngineVersion: i.Version, AllocatedStorage: i.StorageGiB, BackupRetentionPeriod: i.BackupDays,
			Encrypted: i.KMSKey != "", KmsKeyId: i.KMSKey,
			RestoreWindow: &wireWindow{i.earliestRestorable(now).UTC(), i.latestRestorable(now).UTC()},
		})
	}
	r.mu.Lock()
	kept := maps.Clone(r.backups)
	r.mu.Unlock()
	for w, b := range kept {
		if w.region != c.Region || w.account != account {
			continue
		}
		if b.Observe != nil {
			b.Observe(c.Request.Context(), &b)
		}
		wire := wireBackup{
			DBInstanceIdentifier: b.Of.ID, DBInstanceArn: b.Of.ARN(), DbiResourceId: b.Of.ResourceID, Region: b.Of.Region,
			Status: cmp.Or(b.Status, "replicating"), DBInstanceAutomatedBackupsArn: b.ARN(), Engine: b.Of.Engine, EngineVersion: b.Of.Version,
			AllocatedStorage: b.Of.StorageGiB, BackupRetentionPeriod: b.Days, Encrypted: b.KMSKey != "", KmsKeyId: b.KMSKey,
		}
		if b.Status != "creating" {
			earliest, latest := b.window(now)
			wire.RestoreWindow = &wireWindow{earliest.UTC(), latest.UTC()}
		}
		all = append(all, wire)
	}
	return all
}
