// Package rds looks at what AWS says of databases that it runs: at RDS instances
// and Aurora clusters, at how far their replicas are behind, at the windows of
// their automated backups, and at their snapshots.
//
// It asks the API of RDS and the metrics of CloudWatch, never the database. All
// copies of an account and region are asked about together: a hundred DB instances
// in one call, five hundred metrics in one, once a minute; snapshots
// every five minutes.
//
// What is measured, and what it means:
//
//   - Role is by the topology that RDS tells. A primary counts as one only while its
//     status says that a database answers.
//   - A replica has a recovery point by a sample of its lag: the moment at which the
//     period of the sample began, minus the lag. What a replica holds only grows, so
//     that moment is never later than the true one. A lag of -1 proves nothing.
//   - The recovery point of a restore window is the latest restorable time.
//   - That of snapshots is the database time of the newest finished one, which copies
//     keep.
//
// All moments are those of AWS, turned into the earliest that they can be on our
// clock. What cannot be seen: whether the data is right, whether a restore works,
// logical replication, and anything more recent than the last sample. See
// docs/probes/rds.md for the rights that it needs and what it costs.
package rds

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at one copy. It may be used by several goroutines.
type Probe struct {
	config Config
	copy   readiness.Copy
	fleet  *Fleet
	region *region
	lag    lag
}

// New makes the probe of a copy, and joins the copy to what the fleet asks for. It
// asks nobody yet.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	if found := cfg.Validate(target.Copy); len(found) > 0 {
		return nil, fmt.Errorf("set up the rds probe of %s: %s: %s", target.Copy.Name, found[0].Path, found[0].Message)
	}
	p := &Probe{config: cfg, copy: target.Copy, fleet: fleet, region: fleet.region(cfg.AWS.In(target.Copy.Region))}
	p.config.Snapshots = cmp.Or(cfg.Snapshots, AnyKind)
	p.config.Instance, p.config.Cluster = strings.ToLower(cfg.Instance), strings.ToLower(cfg.Cluster) // as AWS stores them
	switch target.Copy.Kind {
	case readiness.Primary, readiness.Replica:
		p.wantServer()
	case readiness.PITR:
		if cfg.Cluster != "" {
			p.region.clusters.want(cfg.Cluster)
		} else {
			p.region.backups.want(cfg.Instance)
		}
	default:
		if cfg.Cluster != "" {
			p.region.clusterSnapshots[p.config.Snapshots].want(cfg.Cluster)
		} else {
			p.region.snapshots[p.config.Snapshots].want(cfg.Instance)
		}
	}
	return p, nil
}

func (p *Probe) wantServer() {
	if p.config.Instance != "" {
		p.region.instances.want(p.config.Instance)
	}
	if p.config.Cluster != "" {
		p.region.clusters.want(p.config.Cluster)
	}
	if p.config.GlobalCluster != "" {
		p.region.globals.want(p.config.GlobalCluster)
	}
	if p.copy.Kind == readiness.Replica {
		p.lag = lagOf(p.config, p.region.session)
	}
	if source, ok := parseARN(p.config.Source); ok {
		p.regionOf(source).instances.want(source.id)
	}
}

// regionOf is where something else is, for the same principal.
func (p *Probe) regionOf(a arn) *region {
	access := p.config.AWS
	access.Region = a.region
	return p.fleet.region(access)
}

// Look asks what AWS says of the copy. The error is a [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	look := p.lookAtSnapshots
	switch p.copy.Kind {
	case readiness.Primary:
		look = p.lookAtPrimary
	case readiness.Replica:
		look = p.lookAtReplica
	case readiness.PITR:
		look = p.lookAtWindow
	default: // readiness.Snapshot, as Validate has seen
	}
	r, err := look(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("look at %s: %w", p.subject(), err)
	}
	p.region.session.ReadClock(&r)
	return r, nil
}

// subject is what is looked at, for people.
func (p *Probe) subject() string {
	if p.config.Instance != "" {
		return p.config.Instance
	}
	return p.config.Cluster
}

func (p *Probe) missing(what string) error {
	return probes.Fail(readiness.NotFound, "there is no %s in %s: correct its name or the region, or see who deleted it", what, p.region.session.Access().Region)
}

// server is a DB instance or a cluster, as far as they are alike.
type server struct {
	what            string // DB instance or DB cluster
	id, arn         string
	resource        string
	status          string
	engine, version string
	class           string
	storage, iops   int32
	storageType     string
	key             string // ARN of the key; empty is not encrypted
	backupDays      int32
	protected       bool
	multiAZ         bool
	members         int // of a cluster
	at              time.Time
	source          string // ARN of what it replicates; empty is nothing
	infos           []types.DBInstanceStatusInfo
	inGlobal        bool
}

// instance asks for the DB instance of the copy.
func (p *Probe) instance(ctx context.Context) (server, error) {
	found, at, err := p.region.instances.get(ctx, p.config.Instance)
	if err != nil {
		return server{}, err
	}
	if len(found) == 0 {
		return server{}, p.missing("DB instance " + p.config.Instance)
	}
	return fromInstance(found[0], at), nil
}

func fromInstance(i types.DBInstance, at time.Time) server {
	s := server{
		what: "DB instance", at: at,
		id: aws.ToString(i.DBInstanceIdentifier), arn: aws.ToString(i.DBInstanceArn), resource: aws.ToString(i.DbiResourceId),
		status: aws.ToString(i.DBInstanceStatus), engine: aws.ToString(i.Engine), version: aws.ToString(i.EngineVersion),
		class: aws.ToString(i.DBInstanceClass), storage: aws.ToInt32(i.AllocatedStorage), iops: aws.ToInt32(i.Iops), storageType: aws.ToString(i.StorageType),
		backupDays: aws.ToInt32(i.BackupRetentionPeriod), protected: aws.ToBool(i.DeletionProtection), multiAZ: aws.ToBool(i.MultiAZ), infos: i.StatusInfos,
	}
	if aws.ToBool(i.StorageEncrypted) {
		s.key = cmp.Or(aws.ToString(i.KmsKeyId), "a key that is not told")
	}
	s.source = cmp.Or(aws.ToString(i.ReadReplicaSourceDBInstanceIdentifier), aws.ToString(i.ReadReplicaSourceDBClusterIdentifier))
	if own, ok := parseARN(s.arn); ok && s.source != "" {
		if _, whole := parseARN(s.source); !whole { // within a region it is told by name
			s.source = s.arn[:len(s.arn)-len(own.id)] + s.source
		}
	}
	return s
}

// cluster asks for the DB cluster of the copy.
func (p *Probe) cluster(ctx context.Context) (server, types.DBCluster, error) {
	found, at, err := p.region.clusters.get(ctx, p.config.Cluster)
	if err != nil {
		return server{}, types.DBCluster{}, err
	}
	if len(found) == 0 {
		return server{}, types.DBCluster{}, p.missing("DB cluster " + p.config.Cluster)
	}
	c := found[0]
	s := server{
		what: "DB cluster", at: at,
		id: aws.ToString(c.DBClusterIdentifier), arn: aws.ToString(c.DBClusterArn), resource: aws.ToString(c.DbClusterResourceId),
		status: aws.ToString(c.Status), engine: aws.ToString(c.Engine), version: aws.ToString(c.EngineVersion),
		backupDays: aws.ToInt32(c.BackupRetentionPeriod), protected: aws.ToBool(c.DeletionProtection),
		multiAZ: len(c.DBClusterMembers) > 1, members: len(c.DBClusterMembers),
		source: aws.ToString(c.ReplicationSourceIdentifier), inGlobal: aws.ToString(c.GlobalClusterIdentifier) != "",
	}
	if aws.ToBool(c.StorageEncrypted) {
		s.key = cmp.Or(aws.ToString(c.KmsKeyId), "a key that is not told")
	}
	return s, c, nil
}

// global asks for the global database of the copy, and for the cluster's place in it.
func (p *Probe) global(ctx context.Context, cluster string) (g types.GlobalCluster, member types.GlobalClusterMember, err error) {
	found, _, err := p.region.globals.get(ctx, p.config.GlobalCluster)
	if err != nil {
		return g, member, err
	}
	if len(found) == 0 {
		return g, member, p.missing("global database " + p.config.GlobalCluster)
	}
	for _, m := range found[0].GlobalClusterMembers {
		if aws.ToString(m.DBClusterArn) == cluster {
			return found[0], m, nil
		}
	}
	return g, member, probes.Fail(readiness.NotFound, "%s is no part of the global database %s: add it, or correct global_cluster", cluster, p.config.GlobalCluster)
}

// lookAtPrimary looks at the server that takes the writes.
func (p *Probe) lookAtPrimary(ctx context.Context) (readiness.Reading, error) {
	s, role, err := p.primary(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	status := s.checkStatus()
	if role == readiness.RolePrimary && !serves(s.status) {
		role = readiness.RoleUnknown // by topology it is, but nobody writes to it now
	}
	r := readiness.Reading{
		Role: role, Server: s.resource, AsOf: readiness.Known(s.at),
		Checks: []readiness.Check{status, s.checkBackups(), s.checkZones(), checkEncryption(s.id, s.key, p.region.session.Access().Region), s.checkProtection()},
	}
	p.checkAccount(&r, s.arn)
	return r, nil
}

// primary asks for the server, and for the role that the topology gives it.
func (p *Probe) primary(ctx context.Context) (server, readiness.Role, error) {
	if p.config.Cluster == "" {
		s, err := p.instance(ctx)
		return s, s.role(), err
	}
	s, _, err := p.cluster(ctx)
	switch {
	case err != nil:
		return s, "", err
	case p.config.GlobalCluster == "" && s.inGlobal:
		return s, readiness.RoleUnknown, nil // it may be any part of the global database
	case p.config.GlobalCluster == "":
		return s, s.role(), nil
	}
	_, member, err := p.global(ctx, s.arn)
	if err == nil && !aws.ToBool(member.IsWriter) {
		return s, readiness.RoleReplica, nil
	}
	return s, readiness.RolePrimary, err
}

func (s server) role() readiness.Role {
	if s.source != "" {
		return readiness.RoleReplica
	}
	return readiness.RolePrimary
}

// lag is how a replica's lag is read.
type lag struct {
	metric string
	unit   time.Duration
	series *awsapi.Series
}

// lagOf subscribes to the metric that tells the lag. Aurora tells milliseconds,
// and the global one in the secondary regions only.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
func lagOf(c Config, s *awsapi.Session) lag {
	l, dimension, of := lag{metric: "ReplicaLag", unit: time.Second}, "DBInstanceIdentifier", c.Instance
	switch {
	case c.Instance != "" && c.Cluster != "":
		l.metric, l.unit = "AuroraReplicaLag", time.Millisecond
	case c.Cluster != "":
		l.metric, l.unit, dimension, of = "AuroraGlobalDBRPOLag", time.Millisecond, "DBClusterIdentifier", c.Cluster
	}
	l.series = s.Metric(awsapi.Metric{Namespace: "AWS/RDS", Name: l.metric, Dimension: dimension, Value: of, Stat: "Maximum", Period: time.Minute})
	return l
}
