package awsbackup

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/backup/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// sight is what one look saw of the copy.
type sight struct {
	probe  *Probe
	points []point // newest first
	newest point   // that is whole
	whole  bool    // there is one
	now    time.Time
}

func passing(name, format string, args ...any) readiness.Check {
	return readiness.Check{Name: name, Status: readiness.Pass, Evidence: fmt.Sprintf(format, args...)}
}

func wanting(status readiness.Status, name, remedy, format string, args ...any) readiness.Check {
	return readiness.Check{Name: name, Status: status, Evidence: fmt.Sprintf(format, args...), Remedy: remedy}
}

// checkPoints tells of the newest recovery point, whole or not.
func (s sight) checkPoints() readiness.Check {
	if len(s.points) == 0 {
		return wanting(readiness.Fail, CheckPoints, "see whether the backup plan selects the resource and copies into this vault; correct resource if it has another ARN",
			"vault %s holds no recovery point of %s", s.probe.config.Vault, s.probe.config.Resource)
	}
	last := s.points[0]
	evidence := "the newest recovery point, " + s.told(last)
	if s.whole {
		evidence += "; the newest whole one is " + s.told(s.newest)
	}
	failing := func(remedy, format string, args ...any) readiness.Check {
		c := wanting(readiness.Fail, CheckPoints, remedy, "%s", evidence+": "+fmt.Sprintf(format, args...))
		c.Upstream = s.whole
		return c
	}
	switch {
	case last.whole():
		return passing(CheckPoints, "%d recovery points, the newest is %s%s", len(s.points), s.told(last), took(last))
	case last.status == types.RecoveryPointStatusCreating && s.whole && s.now.Sub(last.created) < s.probe.config.Every:
		return passing(CheckPoints, "%s is being made; the newest whole one is %s", s.told(last), s.told(s.newest))
	case last.status == types.RecoveryPointStatusCreating && !s.whole:
		return failing("wait until it is COMPLETED; if it stays so, see the backup jobs", "is still being made, and there is no other")
	case last.status == types.RecoveryPointStatusCreating:
		return failing("see the backup job (aws backup list-backup-jobs): it hangs, or waits for its window", "the next one is due already")
	case last.status == types.RecoveryPointStatusPartial:
		return failing("see its status message, and the nested recovery points that are missing", "is not whole: parts of it are missing%s", because(last))
	case last.status == types.RecoveryPointStatusStopped:
		return failing("see the permissions of the backup role and what the continuous backup needs of the resource; the next run of the plan begins a new one", "the continuous backup has been stopped%s", because(last))
	case last.status == types.RecoveryPointStatusExpired, last.status == types.RecoveryPointStatusDeleting:
		return failing("see the lifecycle of the plan, and who deletes recovery points", "it is about to go%s", because(last))
	default:
		return failing("see its status message in the console", "the status is none that can be restored from%s", because(last))
	}
}

// told names a recovery point, its status and its age.
func (s sight) told(p point) string {
	return fmt.Sprintf("%s (%s, %s old)", p.name(), p.status, age(s.now.Sub(p.created)))
}

func took(p point) string {
	switch {
	case p.continuous:
		return ": a continuous one, and AWS Backup does not tell up to when it can be restored"
	case p.completed.After(p.created):
		return ", whole after " + age(p.completed.Sub(p.created))
	}
	return ""
}

func because(p point) string {
	if p.message == "" {
		return ""
	}
	return " (" + probes.Presentable(p.message, longestTold) + ")"
}

// checkInterval tells whether the newest whole recovery point is as young as the
// plan makes them. A backup takes its time, and AWS Backup begins it within hours.
// What the vault holds it holds all the same: what is missing shows as exposure.
func (s sight) checkInterval() readiness.Check {
	every := s.probe.config.Every
	if !s.whole {
		return wanting(readiness.Fail, CheckInterval, "see the check recovery-points", "there is no whole recovery point, one is due every %s", age(every))
	}
	old := s.now.Sub(s.newest.holds(s.now))
	evidence := fmt.Sprintf("recovery point %s is %s old, one is due every %s", s.newest.name(), age(old), age(every))
	const remedy = "see the backup jobs and copy jobs of the plan (aws backup list-backup-jobs, list-copy-jobs): a job that failed leaves no recovery point"
	switch {
	case old >= 2*every:
		return probes.Upstream(wanting(readiness.Fail, CheckInterval, remedy, "%s", evidence))
	case old > every+max(every/4, time.Hour):
		return probes.Upstream(wanting(readiness.Warn, CheckInterval, remedy, "%s", evidence))
	}
	return passing(CheckInterval, "%s", evidence)
}

// halved is the ratio to the median of its predecessors below which a size wants
// an explanation.
const halved = 0.5

func (s sight) checkSize() readiness.Check {
	if !s.whole {
		return wanting(readiness.Unknown, CheckSize, "see the check recovery-points", "there is no whole recovery point")
	}
	ratio, compares := sizeRatio(s.newest, s.points)
	size := bytes(s.newest.size)
	switch {
	case compares && s.newest.size == 0:
		return wanting(readiness.Fail, CheckSize, "restore it somewhere and look: those before it were not empty", "recovery point %s is empty", s.newest.name())
	case compares && ratio < halved:
		return wanting(readiness.Warn, CheckSize, "see whether so much data has gone, or is not backed up any more; restore it somewhere and look",
			"recovery point %s has %s, %.0f %% of what those before it have", s.newest.name(), size, 100*ratio)
	case compares:
		return passing(CheckSize, "%s, %.0f %% of what those before it have", size, 100*ratio)
	case s.newest.size == 0:
		return passing(CheckSize, "AWS Backup tells no size of these recovery points")
	}
	return passing(CheckSize, "%s, and too few before it to compare with", size)
}

// checkEncryption tells whether whoever restores the copy depends on a key that
// is lost with the region or the account that the copy is to outlive.
func (s sight) checkEncryption() readiness.Check {
	p := s.newest
	key, vault := parsed(p.key), parsed(p.vault)
	switch {
	case !s.whole:
		return wanting(readiness.Unknown, CheckEncryption, "see the check recovery-points", "there is no whole recovery point")
	case !p.encrypted && p.key == "":
		return wanting(readiness.Warn, CheckEncryption, "encrypt the resource, or copy into a vault with a key of its own", "recovery point %s is not encrypted", p.name())
	case p.key == "":
		return passing(CheckEncryption, "encrypted, by a key of AWS")
	case key.Region != vault.Region:
		return wanting(readiness.Fail, CheckEncryption, "encrypt the vault with a key of its own region: this one is lost with the other region",
			"the key %s is in %s, the vault in %s", p.key, key.Region, vault.Region)
	case key.AccountID != vault.AccountID:
		return wanting(readiness.Warn, CheckEncryption, "encrypt the vault with a key of its own account: whoever breaks into the other one can take this key away",
			"the key %s is of account %s, the vault of %s", p.key, key.AccountID, vault.AccountID)
	}
	return passing(CheckEncryption, "encrypted with %s", p.key)
}

// parsed is an ARN in its parts; empty ones where AWS tells none.
func parsed(text string) arn.ARN {
	name, err := arn.Parse(text)
	if err != nil {
		return arn.ARN{}
	}
	return name
}

// checkAccount tells whether the vault is where the file says, for that is what
// makes it outlive a breach of the other account.
func (s sight) checkAccount(v description) readiness.Check {
	name := v.arn
	if name == "" && len(s.points) > 0 {
		name = s.points[0].vault
	}
	is, want := parsed(name).AccountID, s.probe.copy.Account
	switch is {
	case "":
		return wanting(readiness.Unknown, CheckAccount, "grant "+actionDescribe, "AWS does not tell in whose account the vault is")
	case want:
		return passing(CheckAccount, "%s", name)
	}
	return wanting(readiness.Fail, CheckAccount, "give the role of account "+want+" in aws.role_arn, or correct account: this vault does not outlive a breach of account "+is,
		"vault %s is in account %s, where the file says %s", s.probe.config.Vault, is, want)
}

// checkLock tells whether the vault keeps what the file calls immutable.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/vault-lock.html
func (s sight) checkLock(v description, err error) readiness.Check {
	const compliance = "set a lock date (put-backup-vault-lock-configuration --changeable-for-days): from then on nobody can remove the lock"
	retention := ""
	if v.minDays > 0 {
		retention = fmt.Sprintf(", for %d days at the least", v.minDays)
	}
	switch {
	case err != nil:
		return wanting(readiness.Unknown, CheckLock, "see the evidence: it says what AWS refused", "%s", err)
	case v.airGapped:
		return passing(CheckLock, "the vault is logically air-gapped, and so locked for good%s", retention)
	case !v.locked:
		return wanting(readiness.Fail, CheckLock, "lock the vault (aws backup put-backup-vault-lock-configuration), or take immutable away from the copy",
			"vault %s is not locked: whoever may delete recovery points can delete these", s.probe.config.Vault)
	case v.lockDate.IsZero():
		return wanting(readiness.Fail, CheckLock, compliance, "vault %s is locked in governance mode%s: who may remove the lock can delete what is in it", s.probe.config.Vault, retention)
	case v.lockDate.After(s.now):
		return wanting(readiness.Fail, CheckLock, "wait until the lock date, and watch who may change the vault until then",
			"the lock of vault %s can still be removed, until %s", s.probe.config.Vault, v.lockDate.UTC().Format(time.RFC3339))
	}
	return passing(CheckLock, "locked for good since %s%s", v.lockDate.UTC().Format(time.DateOnly), retention)
}
