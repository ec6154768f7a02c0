package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"
)

// promote makes a read replica an instance of its own. It is accepted once: what
// is being promoted is not available, and what was promoted is no replica.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_PromoteReadReplica.html
func (r *RDS) promote(c *call, form url.Values) (any, error) {
	w := where{r.account(c), c.Region, form.Get("DBInstanceIdentifier")}
	i, err := r.beginPromotion(w, form)
	if err != nil {
		return nil, err
	}
	if i.Promote != nil {
		if err := i.Promote(context.WithoutCancel(c.Request.Context())); err != nil {
			return nil, fmt.Errorf("promote %s: %w", i.ID, err)
		}
	}
	return instanceResult{i.wire(r.cloud.options.Now(), nil)}, nil
}

type instanceResult struct{ DBInstance wireInstance }

func (r *RDS) beginPromotion(w where, form url.Values) (Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, exists := r.instanceLocked(w)
	switch {
	case !exists:
		return Instance{}, rdsMissing("DBInstanceNotFound", "DBInstance "+w.id+" not found.")
	case i.Source == "":
		return Instance{}, badRequest("InvalidDBInstanceState", "DB Instance is not a read replica.")
	case i.status() != "available":
		return Instance{}, badRequest("InvalidDBInstanceState", "DB Instance "+w.id+" is not in available state: "+i.status())
	}
	days := 1 // "Default: 1"
	if text := form.Get("BackupRetentionPeriod"); text != "" {
		if _, err := fmt.Sscanf(text, "%d", &days); err != nil || days < 0 || days > 35 {
			return Instance{}, badRequest("InvalidParameterValue", "Invalid value "+text+" for BackupRetentionPeriod")
		}
	}
	r.changeLocked(w, func(i *Instance) { i.Status = "modifying" })
	at := r.cloud.options.Now().Add(r.promotes)
	r.instances[w].next = &change{at: at, apply: func(i *Instance) {
		i.Status, i.Source, i.Replication, i.Message, i.BackupDays = "", "", "", "", days
	}}
	i, _ = r.instanceLocked(w)
	return i, nil
}

// restore makes a new instance out of the automated backups of another.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceToPointInTime.html
func (r *RDS) restore(c *call, form url.Values) (any, error) {
	now := r.cloud.options.Now()
	target := where{r.account(c), c.Region, form.Get("TargetDBInstanceIdentifier")}
	from, earliest, latest, err := r.restorable(c.Request.Context(), target, form)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, exists := r.instanceLocked(target); exists {
		return nil, badRequest("DBInstanceAlreadyExists", "DB Instance already exists: "+target.id)
	}
	at, err := restoreTime(form, earliest, latest)
	if err != nil {
		return nil, err
	}
	made := from
	made.Account, made.Region, made.ID, made.Source, made.Cluster = target.account, target.region, target.id, "", ""
	made.Created, made.Status, made.RestoredTo, made.LatestRestorable = now, "creating", at, time.Time{}
	made.Class, made.ResourceID = cmp.Or(form.Get("DBInstanceClass"), from.Class), r.newResourceID("db-")
	made.Observe, made.Lag, made.Promote, made.Replication, made.Message = nil, nil, nil, "", ""
	r.instances[target] = &instance{
		versions: []version{{at: now, now: made}},
		next:     &change{at: now.Add(r.restores), apply: func(i *Instance) { i.Status = "" }},
	}
	return instanceResult{made.wire(now, nil)}, nil
}

// restorable finds what to restore from, and its window as it is now.
func (r *RDS) restorable(ctx context.Context, target where, form url.Values) (from Instance, earliest, latest time.Time, err error) {
	now := r.cloud.options.Now()
	if arn := form.Get("SourceDBInstanceAutomatedBackupsArn"); arn != "" {
		b, exists := r.backup(target.region, arn)
		if !exists {
			return from, earliest, latest, rdsMissing("DBInstanceAutomatedBackupNotFound", "Automated backup "+arn+" not found.")
		}
		if b.Observe != nil {
			b.Observe(ctx, &b)
		}
		earliest, latest = b.window(now)
		return b.instance(), earliest, latest, nil
	}
	id := form.Get("SourceDBInstanceIdentifier")
	i, exists := r.named(target, id, form.Get("SourceDbiResourceId"))
	switch {
	case !exists:
		return from, earliest, latest, rdsMissing("DBInstanceNotFound", "DBInstance "+id+" not found.")
	case i.BackupDays == 0:
		return from, earliest, latest, badRequest("PointInTimeRestoreNotEnabled", "Point In Time Restore is not enabled for "+i.ID)
	case i.Observe != nil:
		i.Observe(ctx, &i)
	}
	return i, i.earliestRestorable(now), i.latestRestorable(now), nil
}

func (r *RDS) backup(region, arn string) (AutomatedBackup, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w, b := range r.backups {
		if b.ARN() == arn && w.region == region {
			return b, true
		}
	}
	return AutomatedBackup{}, false
}

// named finds an instance beside another place, by its identifier or, without one,
// by its resource identifier.
func (r *RDS) named(beside where, id, resource string) (Instance, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for w := range r.instances {
		i, exists := r.instanceLocked(w)
		if exists && w.account == beside.account && w.region == beside.region && (id != "" && w.id == id || id == "" && i.ResourceID == resource) {
			return i, true
		}
	}
	return Instance{}, false
}

// restoreTime holds the moment that is asked for against the window: RestoreTime
// "must be before the latest restorable time for the DB instance".
func restoreTime(form url.Values, earliest, latest time.Time) (time.Time, error) {
	text, newest := form.Get("RestoreTime"), form.Get("UseLatestRestorableTime") == "true"
	switch {
	case newest == (text != ""):
		return time.Time{}, badRequest("InvalidParameterCombination", "Exactly one of RestoreTime and UseLatestRestorableTime must be specified.")
	case newest:
		return latest, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badRequest("InvalidParameterValue", "Invalid date/time format for RestoreTime: "+text)
	}
	if at.Before(earliest) || at.After(latest) {
		return time.Time{}, badRequest("InvalidParameterValue", fmt.Sprintf("The specified instance cannot be restored to %s: its window is from %s to %s.",
			text, earliest.UTC().Format(time.RFC3339), latest.UTC().Format(time.RFC3339)))
	}
	return at, nil
}
