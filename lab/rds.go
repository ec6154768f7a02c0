package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/drwatch/drwatch/lab/aws"
)

// The DB instances that the PostgreSQL pair is in the stand-in for AWS.
const (
	RDSPrimary = "festivals-production"
	RDSReplica = "festivals-replica-eu-central-1"
)

const (
	// rdsPatience is how long a server may take to answer before it counts as down.
	rdsPatience = time.Second
	// rdsUploads is how often RDS uploads the transaction logs.
	// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html
	rdsUploads = 5 * time.Minute
	// rdsHeartbeat is how often RDS itself commits something on a primary that is
	// idle, so that the lag which it tells of a replica grows to five minutes and no
	// further.
	// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PostgreSQL.Replication.ReadReplicas.html
	rdsHeartbeat = 5 * time.Minute
)

// ServeRDS puts the PostgreSQL pair of the lab into the stand-in for AWS, as the DB
// instance in eu-west-1 and its read replica in eu-central-1, with replicated automated
// backups and a copied snapshot. Whenever the stand-in is asked, it asks the servers:
// what it tells of them is so.
func (l *Lab) ServeRDS(cloud *aws.Cloud) {
	r := &labRDS{lab: l, created: l.options.Now(), lags: make(map[time.Time]float64)}
	primary := aws.Instance{
		Region: PrimaryRegion, ID: RDSPrimary, Class: "db.m6g.large", Engine: "postgres", Version: l.programs.postgres.String(),
		StorageGiB: 100, StorageType: "gp3", IOPS: 3000, MultiAZ: true, DeletionProtection: true, KMSKey: rdsKey(PrimaryRegion),
		BackupDays: 7, Created: r.created, Observe: r.observePrimary,
	}
	replica := primary
	replica.Region, replica.ID, replica.Source, replica.KMSKey, replica.BackupDays = StandbyRegion, RDSReplica, primary.ARN(), rdsKey(StandbyRegion), 0
	replica.Observe, replica.Lag, replica.Promote = r.observeReplica, r.lag, r.promote
	rds := cloud.RDS()
	rds.Put(primary)
	rds.Put(replica)
	rds.PutBackup(aws.AutomatedBackup{
		Region: StandbyRegion, ID: "ab-" + RDSPrimary, Of: primary, KMSKey: rdsKey(StandbyRegion), Days: 7, Observe: r.observeBackup,
	})
	r.putSnapshots(rds)
}

func rdsKey(region string) string {
	return "arn:aws:kms:" + region + ":" + aws.Account + ":key/6c9d1f0e-0000-4000-8000-000000000001"
}

// labRDS asks the servers on behalf of the stand-in. It keeps the samples of the lag,
// since nobody can measure a lag of the past.
type labRDS struct {
	lab     *Lab
	created time.Time

	mu        sync.Mutex // protects what follows, and is held while a server is asked
	lags      map[time.Time]float64
	heartbeat time.Time
}

// putSnapshots puts the automated snapshot that RDS makes of a new instance, and its
// copy in the standby region. It holds all that was acknowledged before it was begun.
func (r *labRDS) putSnapshots(rds *aws.RDS) {
	database := r.lab.LastWrite(Postgres).Sent
	if database.IsZero() {
		database = r.created
	}
	s := aws.Snapshot{
		Region: PrimaryRegion, ID: "rds:" + RDSPrimary + r.created.UTC().Format("-2006-01-02-15-04"), Type: "automated", Instance: RDSPrimary,
		Engine: "postgres", Version: r.lab.programs.postgres.String(), StorageGiB: 100, KMSKey: rdsKey(PrimaryRegion),
		Database: database, Original: r.created, Created: r.created,
	}
	rds.PutSnapshot(s)
	from := s.ARN()
	s.Region, s.ID, s.Type, s.KMSKey, s.CopyOf = StandbyRegion, RDSPrimary+r.created.UTC().Format("-2006-01-02-15-04"), "manual", rdsKey(StandbyRegion), from
	rds.PutSnapshot(s)
}

// observePrimary tells whether the primary answers, and to when it could be restored.
func (r *labRDS) observePrimary(ctx context.Context, i *aws.Instance) {
	var version string
	if err := r.ask(ctx, Primary, "SHOW server_version", &version); err != nil {
		i.Status, i.LatestRestorable = "failed", r.uploaded(r.lastWrote())
		return
	}
	i.Version, i.LatestRestorable = firstWord(version), r.uploaded(r.lab.options.Now())
}

// observeReplica tells whether the standby answers, and whether it replicates. One that
// was promoted, by whomever, is no replica.
func (r *labRDS) observeReplica(ctx context.Context, i *aws.Instance) {
	var version string
	var inRecovery, streams bool
	const query = `SELECT current_setting('server_version'), pg_is_in_recovery(), EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')`
	if err := r.ask(ctx, Standby, query, &version, &inRecovery, &streams); err != nil {
		i.Status, i.Replication, i.Message = "failed", "error", "The read replica is not available."
		return
	}
	i.Version = firstWord(version)
	switch {
	case !inRecovery && i.Status == "":
		i.Source, i.Replication, i.Message = "", "", ""
	case inRecovery && !streams:
		i.Replication, i.Message = "error", "Streaming replication has stopped."
	}
}

// observeBackup tells the window of the replicated backups: an upload behind the primary.
func (r *labRDS) observeBackup(ctx context.Context, b *aws.AutomatedBackup) {
	var primary aws.Instance
	r.observePrimary(ctx, &primary)
	b.Earliest, b.Latest = r.created, primary.LatestRestorable.Add(-rdsUploads)
	if b.Latest.Before(r.created) {
		b.Latest = r.created
	}
}

// lag is the ReplicaLag of RDS for PostgreSQL, "extract(epoch from now() -
// pg_last_xact_replay_timestamp())", one sample a minute: of the minute that has not ended
// yet, the newest. What it was in a minute in which nobody asked, nobody knows.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PostgreSQL.Replication.ReadReplicas.Monitor.html
func (r *labRDS) lag(ctx context.Context, minute time.Time) (seconds float64, published bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !minute.Equal(r.lab.options.Now().Truncate(time.Minute)) {
		seconds, published = r.lags[minute]
		return seconds, published
	}
	r.beatLocked(ctx)
	const query = `SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8, EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
		WHERE pg_is_in_recovery()`
	var measured *float64
	var streams bool
	if err := r.ask(ctx, Standby, query, &measured, &streams); err != nil || streams && measured == nil {
		return 0, false // it is down, no standby any more, or has replayed nothing yet
	}
	seconds = -1 // replication is not active
	if streams {
		seconds = max(0, *measured)
	}
	r.lags[minute] = seconds
	for at := range r.lags {
		if minute.Sub(at) > time.Hour {
			delete(r.lags, at)
		}
	}
	return seconds, true
}

// beatLocked commits something on the primary, where that is due.
func (r *labRDS) beatLocked(ctx context.Context) {
	if r.lab.options.Now().Sub(r.heartbeat) < rdsHeartbeat {
		return
	}
	var position string
	if err := r.ask(ctx, Primary, "SELECT pg_logical_emit_message(true, 'rds', 'heartbeat')::text", &position); err == nil {
		r.heartbeat = r.lab.options.Now()
	}
}

// promote begins the promotion of the standby. Nothing in the lab undoes it.
func (r *labRDS) promote(ctx context.Context) error {
	var begun bool
	if err := r.ask(ctx, Standby, "SELECT pg_promote(wait => false)", &begun); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	return nil
}

func (r *labRDS) ask(ctx context.Context, site Site, query string, row ...any) error {
	ctx, cancel := context.WithTimeout(ctx, rdsPatience)
	defer cancel()
	return r.lab.queryPostgres(ctx, site, query, nil, row...)
}

// uploaded is the last upload of the logs up to a moment at which the primary ran.
func (r *labRDS) uploaded(ran time.Time) time.Time {
	if at := ran.Truncate(rdsUploads); at.After(r.created) {
		return at
	}
	return r.created
}

// lastWrote is when the primary last wrote to its log: known when it is gone, too.
func (r *labRDS) lastWrote() time.Time {
	last := r.created
	entries, err := os.ReadDir(filepath.Join(r.lab.postgres[Primary].dir, "pg_wal"))
	if err != nil {
		return last
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && !info.IsDir() && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// firstWord is the version without the distribution.
func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}
