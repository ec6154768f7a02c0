package rds

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// window is from when to when one can restore.
type window struct {
	id, key, arn     string
	status           string // of automated backups; that of a cluster has none
	from             string // the region that they are replicated from; empty is their own
	earliest, latest time.Time
	at               time.Time
}

// lookAtWindow looks at the automated backups of an instance or a cluster, in the
// region of the copy.
func (p *Probe) lookAtWindow(ctx context.Context) (readiness.Reading, error) {
	ask := p.backups
	if p.config.Cluster != "" {
		ask = p.clusterWindow
	}
	w, err := ask(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	session := p.region.session
	r := readiness.Reading{AsOf: readiness.Known(w.at), Checks: []readiness.Check{checkEncryption(w.id, w.key, session.Access().Region)}}
	p.checkAccount(&r, w.arn)
	if w.latest.IsZero() {
		r.Checks = append(r.Checks, probes.Failing(CheckRestorable, "there is nothing to restore to yet: "+w.state(), "wait for the first automated backup; none comes where the backup retention period is 0"))
		if p.config.Retention > 0 {
			r.Checks = append(r.Checks, probes.Failing(CheckWindow, "there is no window yet", "see the check "+CheckRestorable))
		}
		return r, nil
	}
	r.Points = []readiness.Point{{At: session.Ours(w.latest), Basis: readiness.BasisRestorable}}
	r.Checks = append(r.Checks, p.checkRestorable(w))
	if !w.earliest.IsZero() {
		r.WindowStart = readiness.Known(session.Ours(w.earliest))
	}
	if p.config.Retention > 0 {
		r.Checks = append(r.Checks, p.checkWindow(w))
	}
	return r, nil
}

// backups chooses, of all automated backups of the name, those of the source that is
// wanted, and of them the newest: an instance that was deleted and made anew has older
// ones that are retained.
func (p *Probe) backups(ctx context.Context) (window, error) {
	found, at, err := p.region.backups.get(ctx, p.config.Instance)
	if err != nil {
		return window{}, err
	}
	var best window
	others := 0
	for _, b := range found {
		if want := p.config.Source; want != "" && !strings.EqualFold(want, aws.ToString(b.DBInstanceArn)) && !strings.EqualFold(want, aws.ToString(b.DBInstanceIdentifier)) {
			others++
			continue
		}
		w := window{id: aws.ToString(b.DBInstanceIdentifier), arn: aws.ToString(b.DBInstanceAutomatedBackupsArn), status: aws.ToString(b.Status), at: at}
		if aws.ToBool(b.Encrypted) {
			w.key = aws.ToString(b.KmsKeyId)
		}
		if r := aws.ToString(b.Region); r != p.region.session.Access().Region {
			w.from = r
		}
		if b.RestoreWindow != nil {
			w.earliest, w.latest = aws.ToTime(b.RestoreWindow.EarliestTime), aws.ToTime(b.RestoreWindow.LatestTime)
		}
		if best.id == "" || w.latest.After(best.latest) {
			best = w
		}
	}
	switch {
	case best.id != "":
		return best, nil
	case others > 0:
		return window{}, probes.Fail(readiness.NotFound, "the automated backups of %s in %s are not of %s: correct source", p.config.Instance, p.region.session.Access().Region, p.config.Source)
	}
	return window{}, p.missing("automated backup of " + p.config.Instance)
}

func (p *Probe) clusterWindow(ctx context.Context) (window, error) {
	s, c, err := p.cluster(ctx)
	return window{id: s.id, arn: s.arn, key: s.key, at: s.at, status: s.status, earliest: aws.ToTime(c.EarliestRestorableTime), latest: aws.ToTime(c.LatestRestorableTime)}, err
}

func (w window) state() string {
	if w.from != "" {
		return fmt.Sprintf("the backups of %s, from %s, are %s", w.id, w.from, presentable(w.status))
	}
	return fmt.Sprintf("%s is %s", w.id, presentable(w.status))
}

// checkRestorable tells whether the latest restorable time moves on.
func (p *Probe) checkRestorable(w window) readiness.Check {
	late := p.config.LateAfter
	switch {
	case late > 0:
	case w.from != "":
		late = replicatedLateAfter
	default:
		late = defaultLateAfter
	}
	latest := p.region.session.Ours(w.latest)
	says := fmt.Sprintf("%s can be restored to %s", w.id, moment(latest))
	switch age := p.region.session.Now().Sub(latest); {
	case w.status == "retained":
		return probes.Failing(CheckRestorable, says+", and no further: its backups are only retained", "the instance is gone, or the replication of its backups was stopped: see which, and watch what has taken its place")
	case age > late:
		return probes.Failing(CheckRestorable, fmt.Sprintf("%s, which is %s ago: it should move every 5 minutes", says, told(age)), "see whether the instance runs, and the events of "+w.id+": logs are not uploaded")
	}
	return probes.Passing(CheckRestorable, says)
}

// checkWindow tells whether one can go back as far as is needed.
func (p *Probe) checkWindow(w window) readiness.Check {
	if w.earliest.IsZero() {
		return probes.Unknown(CheckWindow, "AWS does not tell where the window begins", "see the automated backups in the console")
	}
	back := p.region.session.Now().Sub(p.region.session.Ours(w.earliest))
	says := fmt.Sprintf("one can go back to %s, which is %s", moment(w.earliest), told(back))
	if back < p.config.Retention {
		return probes.Failing(CheckWindow, fmt.Sprintf("%s; %s are wanted", says, days(p.config.Retention)), "raise the backup retention period; a window that is only just begun grows by itself")
	}
	return probes.Passing(CheckWindow, says)
}

// snapshot is one of an instance or a cluster.
type snapshot struct {
	id, arn     string
	status, key string
	percent     int32
	created     time.Time
	data        time.Time // zero where nobody tells how old its data is
	basis       readiness.Basis
	doubt       string // why data may be later than the truth
	size        int64
}

// lookAtSnapshots looks at the newest snapshot that is finished.
func (p *Probe) lookAtSnapshots(ctx context.Context) (readiness.Reading, error) {
	all, at, err := p.snapshots(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	r := readiness.Reading{AsOf: readiness.Known(at), Measures: map[readiness.Measure]float64{}}
	if p.config.Every > 0 {
		r.Measures[readiness.BackupIntervalSeconds] = p.config.Every.Seconds()
	}
	newest, oldest := finished(all)
	r.Checks = p.checkSnapshots(all, newest)
	if newest == nil {
		p.checkAccount(&r, "")
		return r, nil
	}
	p.checkAccount(&r, newest.arn)
	session := p.region.session
	r.Checks = append(r.Checks, checkEncryption(newest.id, newest.key, session.Access().Region))
	if newest.size > 0 {
		r.Measures[readiness.BackupSizeBytes] = float64(newest.size)
	}
	if !newest.data.IsZero() {
		r.Points = []readiness.Point{{At: session.Ours(newest.data), Basis: newest.basis}}
		r.WindowStart = readiness.Known(session.Ours(oldest.data))
	}
	return r, nil
}

func (p *Probe) snapshots(ctx context.Context) (all []snapshot, at time.Time, err error) {
	if p.config.Cluster != "" {
		found, at, err := p.region.clusterSnapshots[p.config.Snapshots].get(ctx, p.config.Cluster)
		for _, s := range found {
			all = append(all, fromClusterSnapshot(s))
		}
		return all, at, err
	}
	found, at, err := p.region.snapshots[p.config.Snapshots].get(ctx, p.config.Instance)
	for _, s := range found {
		all = append(all, fromSnapshot(s))
	}
	return all, at, err
}

// fromSnapshot dates a snapshot by the newest transaction in it, which copies keep;
// else by when the first of the copies was made, which for a snapshot of a replica is
// later than its data; else by when it was made itself, unless it is a copy.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBSnapshot.html
func fromSnapshot(s types.DBSnapshot) snapshot {
	o := snapshot{
		id: aws.ToString(s.DBSnapshotIdentifier), arn: aws.ToString(s.DBSnapshotArn), status: aws.ToString(s.Status), percent: aws.ToInt32(s.PercentProgress),
		created: aws.ToTime(s.SnapshotCreateTime), basis: readiness.BasisSnapshot, size: aws.ToInt64(s.FullSnapshotSizeInBytes),
	}
	if aws.ToBool(s.Encrypted) {
		o.key = aws.ToString(s.KmsKeyId)
	}
	copied := aws.ToString(s.SourceDBSnapshotIdentifier) != ""
	switch {
	case s.SnapshotDatabaseTime != nil:
		o.data = *s.SnapshotDatabaseTime
	case s.OriginalSnapshotCreateTime != nil:
		o.data, o.doubt = *s.OriginalSnapshotCreateTime, "dated by when it was first made (OriginalSnapshotCreateTime): its data may be older"
	case !copied && s.SnapshotCreateTime != nil:
		o.data, o.doubt = *s.SnapshotCreateTime, "dated by when it was made (SnapshotCreateTime): its data may be older"
	}
	return o
}

// fromClusterSnapshot dates a snapshot of a cluster, which tells only when it was
// made. A copy tells when it was copied, which proves nothing; the name of an
// automated one that was copied tells when that was made.
func fromClusterSnapshot(s types.DBClusterSnapshot) snapshot {
	o := snapshot{
		id: aws.ToString(s.DBClusterSnapshotIdentifier), arn: aws.ToString(s.DBClusterSnapshotArn), status: aws.ToString(s.Status), percent: aws.ToInt32(s.PercentProgress),
		created: aws.ToTime(s.SnapshotCreateTime), basis: readiness.BasisSnapshot,
	}
	if aws.ToBool(s.StorageEncrypted) {
		o.key = aws.ToString(s.KmsKeyId)
	}
	source := aws.ToString(s.SourceDBClusterSnapshotArn)
	switch at, named := automatedTime(source); {
	case source == "":
		o.data = o.created
	case named && !at.After(o.created):
		o.data, o.basis, o.doubt = at, readiness.BasisName, "a copy, dated by the name of its original"
	}
	return o
}

// automatedTime reads, in the ARN of an automated snapshot, the end of its name,
// rds:<cluster>-2026-11-24-03-05, in UTC. What people call theirs tells nothing.
func automatedTime(name string) (time.Time, bool) {
	const layout = "2006-01-02-15-04"
	_, id, automated := strings.Cut(name, ":cluster-snapshot:rds:")
	if !automated || len(id) < len(layout) {
		return time.Time{}, false
	}
	at, err := time.Parse(layout, id[len(id)-len(layout):])
	return at, err == nil
}

// finished gives the newest of those that can be restored, and the oldest whose age
// is known. One that nobody can date is the newest only where there is no other.
func finished(all []snapshot) (newest, oldest *snapshot) {
	for i := range all {
		s := &all[i]
		if s.status != "available" {
			continue
		}
		if newest == nil || s.data.After(newest.data) {
			newest = s
		}
		if !s.data.IsZero() && (oldest == nil || s.data.Before(oldest.data)) {
			oldest = s
		}
	}
	return newest, oldest
}

// checkSnapshots tells of the newest finished one, and of those that came to nothing
// since.
func (p *Probe) checkSnapshots(all []snapshot, newest *snapshot) []readiness.Check {
	unfinished, failed := since(all, newest)
	if newest == nil {
		none := fmt.Sprintf("no %s snapshot of %s in %s is finished", p.config.Snapshots.told(), p.subject(), p.region.session.Access().Region)
		checks := []readiness.Check{
			probes.Failing(CheckSnapshot, none+unfinished, "make one, or wait for the one under way; if there should be one, correct the name, the region or snapshots"),
			probes.Unknown(CheckDated, "there is none", "see the check "+CheckSnapshot), probes.Unknown(CheckEncryption, "there is none", "see the check "+CheckSnapshot),
		}
		if p.config.Every > 0 {
			checks = append(checks, probes.Failing(CheckInterval, "there is none, one is due every "+told(p.config.Every), "see the check "+CheckSnapshot))
		}
		return checks
	}
	found := probes.Passing(CheckSnapshot, newest.id+" is finished"+unfinished)
	if failed {
		found = probes.Warning(CheckSnapshot, newest.id+" is the newest that is finished"+unfinished, "see the events of "+p.subject()+" for why it failed, and make one by hand")
	}
	checks := []readiness.Check{found, newest.checkDated(p.region.session.Ours)}
	if p.config.Every > 0 {
		checks = append(checks, p.checkInterval(newest))
	}
	return checks
}

func (k Kind) told() string {
	if k == AnyKind {
		return "manual or automated"
	}
	return string(k)
}

// since tells of the snapshots after the newest finished one.
func since(all []snapshot, newest *snapshot) (text string, failed bool) {
	for _, s := range all {
		if s.status == "available" || newest != nil && !s.created.IsZero() && s.created.Before(newest.created) {
			continue
		}
		if s.status == "failed" || strings.HasPrefix(s.status, "incompatible") {
			failed = true
		}
		text += fmt.Sprintf("; %s is %s", s.id, presentable(s.status))
		if s.percent > 0 && s.status != "failed" {
			text += fmt.Sprintf(" (%d %%)", s.percent)
		}
	}
	return presentable(text), failed
}

func (s *snapshot) checkDated(ours func(time.Time) time.Time) readiness.Check {
	switch {
	case s.data.IsZero():
		return probes.Unknown(CheckDated, s.id+" is a copy that tells only when it was copied: nobody knows how old its data is", "copy automated snapshots, whose names tell it, or look at the originals")
	case s.doubt != "":
		return probes.Warning(CheckDated, s.id+" is "+s.doubt, "a restore drill tells how old the data is; AWS tells the database time of newer snapshots by itself")
	}
	return probes.Passing(CheckDated, s.id+" holds the data of "+moment(ours(s.data)))
}

// checkInterval tells whether the newest is older than it may be.
func (p *Probe) checkInterval(s *snapshot) readiness.Check {
	if s.data.IsZero() {
		return probes.Unknown(CheckInterval, "nobody knows how old the data of "+s.id+" is", "see the check "+CheckDated)
	}
	age := p.region.session.Now().Sub(p.region.session.Ours(s.data))
	says := fmt.Sprintf("snapshot %s is %s old, one is due every %s", s.id, told(age), told(p.config.Every))
	if age > p.config.Every {
		return probes.Failing(CheckInterval, says, "see why none was made since: the schedule, the events of "+p.subject()+", the quota of snapshots")
	}
	return probes.Passing(CheckInterval, says)
}
