package rds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// lookAtReplica looks at a read replica, at a reader of an Aurora cluster, or at a
// secondary cluster of a global database.
func (p *Probe) lookAtReplica(ctx context.Context) (readiness.Reading, error) {
	look := p.readReplica
	switch {
	case p.config.GlobalCluster != "":
		look = p.readSecondary
	case p.config.Cluster != "":
		look = p.readReader
	}
	r, s, err := look(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	r.Server, r.AsOf = s.resource, readiness.Known(s.at)
	p.readLag(ctx, &r, s)
	r.Checks = append(r.Checks, s.checkStatus(), checkEncryption(s.id, s.key, p.region.session.Access().Region), s.checkProtection())
	p.checkAccount(&r, s.arn)
	return r, nil
}

// readReplica looks at a read replica of RDS, and at its primary to compare it with.
func (p *Probe) readReplica(ctx context.Context) (readiness.Reading, server, error) {
	s, err := p.instance(ctx)
	if err != nil {
		return readiness.Reading{}, s, err
	}
	replication, connected := s.checkReplication()
	r := readiness.Reading{Role: s.role(), Connected: connected, Checks: []readiness.Check{replication, s.checkSource(p.config.Source)}}
	source, ok := parseARN(s.source)
	if !ok {
		for _, name := range []string{CheckCapacity, CheckVersion} {
			r.Checks = append(r.Checks, probes.Unknown(name, "there is no primary to compare it with: it replicates nothing", "see the check "+CheckSource))
		}
		return r, s, nil
	}
	from := p.regionOf(source)
	from.instances.want(source.id)
	primary, err := from.peer(ctx, source.id)
	if err != nil {
		r.Checks = append(r.Checks, uncompared(CheckCapacity, source, err), uncompared(CheckVersion, source, err))
		return r, s, nil
	}
	other := fromInstance(primary, s.at)
	r.Checks = append(r.Checks, s.checkCapacity(other), s.checkVersion(other.id, other.version))
	return r, s, nil
}

// uncompared answers a check that needed the primary, whose region may be the one
// that burns. What cannot be compared then takes nothing from the replica, which is
// as large as it was.
func uncompared(name string, source arn, err error) readiness.Check {
	var failure *readiness.Failure
	switch {
	case errors.Is(err, errNotAsked):
		return probes.Unknown(name, fmt.Sprintf("%s in %s has not been asked for yet", source.id, source.region), "wait a minute, or name it in source as an ARN, so that it is asked for from the start")
	case errors.As(err, &failure):
		return probes.Upstream(probes.Unknown(name, fmt.Sprintf("the primary cannot be seen: %s: %s", failure.Class, failure), failure.Class.Remedy()))
	}
	return probes.Upstream(probes.Unknown(name, err.Error(), "see who deleted it, and whether this replica was to be promoted"))
}

// readReader looks at a reader of an Aurora cluster, which shares the storage of its
// writer.
func (p *Probe) readReader(ctx context.Context) (readiness.Reading, server, error) {
	s, err := p.instance(ctx)
	if err != nil {
		return readiness.Reading{}, s, err
	}
	_, cluster, err := p.cluster(ctx)
	if err != nil {
		return readiness.Reading{}, s, err
	}
	for _, m := range cluster.DBClusterMembers {
		if !strings.EqualFold(aws.ToString(m.DBInstanceIdentifier), s.id) {
			continue
		}
		if aws.ToBool(m.IsClusterWriter) {
			return readiness.Reading{Role: readiness.RolePrimary, Checks: []readiness.Check{
				probes.Failing(CheckReplication, s.id+" is the writer of the cluster, and follows nobody", "name another reader in instance: this one was promoted"),
			}}, s, nil
		}
		connected := readiness.Known(serves(s.status))
		return readiness.Reading{Role: readiness.RoleReplica, Connected: connected, Checks: []readiness.Check{
			probes.Passing(CheckReplication, "it reads the storage of the cluster "+p.config.Cluster),
		}}, s, nil
	}
	return readiness.Reading{Checks: []readiness.Check{
		probes.Failing(CheckReplication, s.id+" is no member of the cluster "+p.config.Cluster, "correct instance or cluster"),
	}}, s, nil
}

// readSecondary looks at a cluster of a global database.
func (p *Probe) readSecondary(ctx context.Context) (readiness.Reading, server, error) {
	s, _, err := p.cluster(ctx)
	if err != nil {
		return readiness.Reading{}, s, err
	}
	global, member, err := p.global(ctx, s.arn)
	if err != nil {
		return readiness.Reading{}, s, err
	}
	r := readiness.Reading{Role: readiness.RoleReplica}
	if aws.ToBool(member.IsWriter) {
		r.Role = readiness.RolePrimary
	}
	replication, connected := checkGlobal(p.config.GlobalCluster, global, member)
	r.Connected = connected
	capacity := probes.Passing(CheckCapacity, fmt.Sprintf("%d DB instances could serve", s.members))
	if s.members == 0 {
		capacity = probes.Warning(CheckCapacity, "the cluster has no DB instance: it holds the data and could serve nobody", "add one before it is failed over to, which takes minutes")
	}
	r.Checks = []readiness.Check{replication, sourceOf(global, member), capacity, s.checkVersion("the global database", aws.ToString(global.EngineVersion))}
	return r, s, nil
}

// sourceOf tells which cluster writes.
func sourceOf(g types.GlobalCluster, own types.GlobalClusterMember) readiness.Check {
	for _, m := range g.GlobalClusterMembers {
		switch {
		case aws.ToBool(m.IsWriter) && aws.ToString(m.DBClusterArn) == aws.ToString(own.DBClusterArn):
			return probes.Failing(CheckSource, "it is the primary cluster of the global database itself", "see the check role: the global database was failed over")
		case aws.ToBool(m.IsWriter):
			return probes.Passing(CheckSource, "it replicates "+aws.ToString(m.DBClusterArn))
		}
	}
	return probes.Failing(CheckSource, "no cluster of the global database is the writer", "see the global database: a failover may be under way")
}

// checkGlobal tells of the synchronisation with the primary cluster.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_GlobalClusterMember.html
func checkGlobal(name string, g types.GlobalCluster, m types.GlobalClusterMember) (readiness.Check, readiness.Maybe[bool]) {
	if g.FailoverState != nil && g.FailoverState.Status != "" {
		return probes.Upstream(probes.Failing(CheckReplication, fmt.Sprintf("%s is %s to %s", name, g.FailoverState.Status, aws.ToString(g.FailoverState.ToDbClusterArn)),
			"wait for its end; which cluster writes is told by the check source")), readiness.Known(false)
	}
	switch m.SynchronizationStatus {
	case types.GlobalClusterMemberSynchronizationStatusConnected:
		return probes.Passing(CheckReplication, "connected to the primary cluster of "+name), readiness.Known(true)
	case types.GlobalClusterMemberSynchronizationStatusPendingResync:
		return probes.Upstream(probes.Failing(CheckReplication, "pending-resync: it is not in step with the primary cluster of "+name, "wait; if it stays so, take it out of the global database and add it anew")), readiness.Known(false)
	}
	return probes.Upstream(probes.Unknown(CheckReplication, "RDS does not tell whether it is in step", "see the global database in the console")), readiness.Maybe[bool]{}
}

// checkReplication tells what RDS says of the replication of a read replica.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.Monitoring.html
func (s server) checkReplication() (readiness.Check, readiness.Maybe[bool]) {
	if s.source == "" {
		return probes.Failing(CheckReplication, s.id+" is no read replica", "see the check role: it was promoted, or the name is another instance's"), readiness.Known(false)
	}
	for _, info := range s.infos {
		if aws.ToString(info.StatusType) != "read replication" {
			continue
		}
		status, why := aws.ToString(info.Status), ""
		if m := aws.ToString(info.Message); m != "" {
			why = ": " + presentable(m)
		}
		switch status {
		case "replicating":
			return probes.Upstream(probes.Passing(CheckReplication, "replicating")), readiness.Known(true)
		case "replication degraded":
			return probes.Upstream(probes.Warning(CheckReplication, "replication degraded"+why, "some databases get no updates: see the events and the log of "+s.id)), readiness.Known(true)
		case "terminated":
			return probes.Upstream(probes.Failing(CheckReplication, "terminated"+why, "it was broken for 30 days and RDS has ended it: make a new replica")), readiness.Known(false)
		case "stopped":
			return probes.Upstream(probes.Failing(CheckReplication, "stopped"+why, "start replication again, or see who stopped it")), readiness.Known(false)
		default:
			return probes.Upstream(probes.Failing(CheckReplication, presentable(status)+why, "see the events and the log of "+s.id+": storage, parameters, and WAL or binary logs that the primary no longer has")), readiness.Known(false)
		}
	}
	return probes.Upstream(probes.Unknown(CheckReplication, "RDS does not tell how the replication does", "see the replica in the console, whether it is still being made")), readiness.Maybe[bool]{}
}

// replicates reports whether what is replicated is what should be, which for some is
// anything.
func (s server) replicates(want string) bool {
	source, _ := parseARN(s.source)
	return want == "" || strings.EqualFold(want, s.source) || strings.EqualFold(want, source.id)
}

// checkSource holds what is replicated against what should be.
func (s server) checkSource(want string) readiness.Check {
	switch {
	case s.source == "":
		return probes.Failing(CheckSource, s.id+" replicates nothing", "see the check role: it was promoted, or the name is another instance's")
	case s.replicates(want):
		return probes.Passing(CheckSource, "it replicates "+s.source)
	}
	return probes.Failing(CheckSource, fmt.Sprintf("it replicates %s, and should replicate %s", s.source, want), "this replica holds other data: correct instance or source, or make a replica of the right one")
}

// readLag adds what the newest sample of the lag proves.
func (p *Probe) readLag(ctx context.Context, r *readiness.Reading, s server) {
	point, known, err := p.lag.series.Latest(ctx)
	if err != nil { // the recovery point stays where it was, and what RDS itself says stands
		failure := probes.AsFailure(err)
		r.Checks = append(r.Checks, probes.Upstream(readiness.Check{Name: CheckLag, Evidence: fmt.Sprintf("%s: %s", failure.Class, failure), Remedy: failure.Class.Remedy()}))
		return
	}
	session := p.region.session
	now := session.Now()
	if !known {
		r.Checks = append(r.Checks, probes.Upstream(probes.Unknown(CheckLag, fmt.Sprintf("CloudWatch has told no %s of %s for an hour", p.lag.metric, s.id), silentRemedy)))
		return
	}
	at := session.Ours(point.At)
	r.AsOf = readiness.Known(at)
	name := fmt.Sprintf("%s of %s", p.lag.metric, at.UTC().Format(time.TimeOnly+"Z"))
	late := p.config.LateAfter
	if late == 0 {
		late = defaultLateAfter
	}
	behind := time.Duration(point.Value * float64(p.lag.unit))
	if point.Value >= 0 && s.replicates(p.config.Source) { // behind another it may hold anything
		r.Points = []readiness.Point{{At: at.Add(-behind), Basis: readiness.BasisLag}}
	}
	switch age := now.Sub(at); {
	case age > late:
		r.Checks = append(r.Checks, probes.Upstream(probes.Unknown(CheckLag, fmt.Sprintf("CloudWatch is silent: the newest %s of %s is %s old", p.lag.metric, s.id, told(age)), silentRemedy)))
	case point.Value < 0:
		r.Checks = append(r.Checks, probes.Upstream(probes.Failing(CheckLag, fmt.Sprintf("the %s is %g: replication is not active", name, point.Value), "see the check "+CheckReplication+", the events and the log of "+s.id)))
	default:
		r.Checks = append(r.Checks, probes.Upstream(probes.Passing(CheckLag, fmt.Sprintf("the %s is %s", name, told(behind)))))
	}
}

const silentRemedy = "see the replica and the status of CloudWatch in its region; until then nobody knows how far it is, and the recovery point stays where it was"
