package s3

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/s3/archive"
	"github.com/drwatch/drwatch/readiness"
)

// verdict is what all checks are made of.
type verdict struct {
	*Probe
	*survey
	now      time.Time
	facts    facts
	factsErr error // why there are none
	begun    begun
}

// checks answers every check that Checks lists, but for that of the clock.
func (v verdict) checks() []readiness.Check {
	answers := map[string]func() readiness.Check{
		CheckDump: v.checkDump, CheckBegun: v.checkBegun, CheckSchedule: v.checkSchedule, CheckSize: v.checkSize, CheckUploads: v.checkUploads,
		CheckEncryption: v.checkEncryption, CheckVersioning: v.checkVersioning, CheckImmutable: v.checkImmutable, CheckReplication: v.checkReplication,
	}
	var all []readiness.Check
	for _, name := range v.listedChecks {
		if answer := answers[name]; answer != nil {
			all = append(all, answer())
		}
	}
	return all
}

// noDump answers what is asked of a dump where there is none.
func (v verdict) noDump(name string) readiness.Check {
	return probes.Unknown(name, "there is no complete dump to look at", "see the check "+CheckDump)
}

func (v verdict) checkBegun() readiness.Check {
	if v.complete == nil {
		return v.noDump(CheckBegun)
	}
	return v.begun.check
}

// checkDump tells whether the newest object is a dump that is all there.
func (v verdict) checkDump() readiness.Check {
	where := v.place()
	const remedy = "see the log of what makes the dumps, and make one now: until then only older data can be brought back"
	switch {
	case v.gone != nil:
		return probes.Failing(CheckDump, fmt.Sprintf("there is no bucket %s in %s: nothing is left to restore from", v.config.Bucket, v.bucket.where()),
			"correct the name in the file; if the bucket was deleted, restore it from where it was replicated to, and see who deleted it (CloudTrail, DeleteBucket)")
	case v.listed == 0:
		return probes.Failing(CheckDump, "there is no object in "+where, "see whether dumps are still made, and whether prefix and pattern are those of their keys")
	case v.complete == nil && v.more:
		return probes.Unknown(CheckDump, fmt.Sprintf("the newest %d objects are no complete dumps (%s: %s); older ones are looked at next", len(v.rejected), v.rejected[0].key, v.rejected[0].why), remedy)
	case v.complete == nil && len(v.rejected) == 0:
		return probes.Unknown(CheckDump, "the objects vanished while they were looked at", "they are looked at again soon")
	case v.complete == nil:
		return probes.Failing(CheckDump, fmt.Sprintf("none of %d objects is a complete dump; %s: %s", v.listed, v.rejected[0].key, v.rejected[0].why), remedy)
	case len(v.rejected) > 0:
		return probes.Failing(CheckDump, fmt.Sprintf("%s: %s%s; the newest complete one is %s", v.rejected[0].key, v.rejected[0].why, v.others(), v.complete.key), remedy)
	case v.complete.closed != "":
		return probes.Unknown(CheckDump, fmt.Sprintf("%s cannot be looked into: %s", v.complete.key, v.complete.closed), "see the check "+CheckEncryption+"; an archived dump also takes hours to come back")
	}
	f := v.complete.finding
	told := fmt.Sprintf("%s, %s, %s", v.complete.key, bytesTold(v.complete.size), f.Detail)
	if v.config.Format != formatAny && f.Complete == archive.Untold {
		return probes.Warning(CheckDump, told+"; "+f.Why, "use a format whose end can be seen (pg_dump -Fc, uncompressed by others), and restore one in a drill: until then only its size tells whether it is all there")
	}
	if f.Why != "" {
		told += ": " + f.Why
	}
	return probes.Passing(CheckDump, told)
}

func (v verdict) place() string {
	return fmt.Sprintf("s3://%s that matches %s%s", v.config.Bucket, v.config.Prefix, v.config.Pattern)
}

func (v verdict) others() string {
	if n := len(v.rejected) - 1; n > 0 {
		return fmt.Sprintf(" (and so are %d more)", n)
	}
	return ""
}

// checkSchedule tells whether a dump is overdue. How long one takes counts as
// time that it may be late by.
func (v verdict) checkSchedule() readiness.Check {
	if v.complete == nil {
		return v.noDump(CheckSchedule)
	}
	age, every := v.now.Sub(v.begun.at), v.config.Every
	evidence := fmt.Sprintf("%s was begun %s ago, one is due every %s", v.complete.key, readiness.InSeconds(age), readiness.InSeconds(every))
	const remedy = "see whether dumps are still made: the schedule, and the log of what makes them"
	switch allowed := every + every/4 + v.config.Takes; {
	case age > allowed+every:
		return probes.Failing(CheckSchedule, evidence+": more than one is missing", remedy)
	case age > allowed:
		return probes.Warning(CheckSchedule, evidence, remedy)
	default:
		return probes.Passing(CheckSchedule, evidence)
	}
}

func (v verdict) checkSize() readiness.Check {
	switch {
	case v.complete == nil:
		return v.noDump(CheckSize)
	case v.compared == 0:
		return probes.Warning(CheckSize, fmt.Sprintf("%s has %s, and there is none before it to compare with", v.complete.key, bytesTold(v.complete.size)), "nothing, if it is the first")
	}
	ratio := float64(v.complete.size) / float64(v.usual)
	evidence := fmt.Sprintf("%s has %s, %.0f %% of the usual %s (the median of %d before it)", v.complete.key, bytesTold(v.complete.size), 100*ratio, bytesTold(v.usual), v.compared)
	if ratio < v.config.AtLeast {
		return probes.Failing(CheckSize, evidence, "see whether something was left out of the dump, or lost from the database before it")
	}
	return probes.Passing(CheckSize, evidence)
}

// checkUploads tells of uploads that were begun and never ended: a dump that
// failed while it was stored, which costs money and is seen in no listing.
func (v verdict) checkUploads() readiness.Check {
	if err := v.missing(v.facts.uploads.err); err != nil {
		return untold(CheckUploads, err)
	}
	var hanging []types.MultipartUpload
	for _, u := range v.facts.uploads.value {
		if _, ours := v.layout.read(aws.ToString(u.Key)); ours && v.now.Sub(v.bucket.session.Ours(aws.ToTime(u.Initiated))) > v.config.UploadFor {
			hanging = append(hanging, u)
		}
	}
	if len(hanging) == 0 {
		return probes.Passing(CheckUploads, fmt.Sprintf("no upload is under way for longer than %s", readiness.InSeconds(v.config.UploadFor)))
	}
	slices.SortFunc(hanging, func(a, b types.MultipartUpload) int { return aws.ToTime(b.Initiated).Compare(aws.ToTime(a.Initiated)) })
	newest := hanging[0]
	evidence := fmt.Sprintf("the upload of %s was begun %s ago and has not ended", aws.ToString(newest.Key), readiness.InSeconds(v.now.Sub(aws.ToTime(newest.Initiated))))
	const remedy = "see why the upload broke off and abort it (aws s3api abort-multipart-upload); a lifecycle rule AbortIncompleteMultipartUpload does so by itself"
	if n := len(hanging) - 1; n > 0 {
		evidence += fmt.Sprintf(", and so have %d more", n)
	}
	if v.complete == nil || aws.ToTime(newest.Initiated).After(v.complete.modified) {
		return probes.Failing(CheckUploads, evidence+"; no dump was stored since", remedy)
	}
	return probes.Warning(CheckUploads, evidence, remedy)
}

func (v verdict) checkEncryption() readiness.Check {
	if v.complete == nil {
		return v.noDump(CheckEncryption)
	}
	s := v.complete.state
	switch {
	case s.keyTrouble != "":
		return probes.Failing(CheckEncryption, fmt.Sprintf("the key of %s (%s) cannot be used: %s", v.complete.key, orUntold(s.key), s.keyTrouble),
			"see the key: whether it is enabled, and whether its policy and ours allow kms:Decrypt; whoever restores the dump needs that too")
	case s.encryption == "":
		return probes.Warning(CheckEncryption, v.complete.key+" is not encrypted by S3", "copy it over itself: S3 encrypts all that is stored since January 2023")
	case s.key != "":
		return probes.Passing(CheckEncryption, fmt.Sprintf("%s with the key %s, which can be used", s.encryption, s.key))
	default:
		return probes.Passing(CheckEncryption, fmt.Sprintf("%s, with the key of S3", s.encryption))
	}
}

func orUntold(text string) string {
	if text == "" {
		return "untold"
	}
	return text
}

func (v verdict) checkVersioning() readiness.Check {
	const remedy = "enable versioning of the bucket: without it a dump that is overwritten or deleted is lost"
	switch err := v.missing(v.facts.versioning.err); {
	case err != nil:
		return untold(CheckVersioning, err)
	case v.facts.versioning.value == types.BucketVersioningStatusEnabled:
		return probes.Passing(CheckVersioning, "versioning of the bucket is enabled")
	case v.facts.versioning.value == "":
		return probes.Warning(CheckVersioning, "versioning of the bucket was never enabled", remedy)
	default:
		return probes.Warning(CheckVersioning, "versioning of the bucket is "+strings.ToLower(string(v.facts.versioning.value)), remedy)
	}
}

// checkImmutable holds the file to its word: only a lock that nobody can lift
// makes a dump immutable. The intruder of a breach may do what an administrator may.
func (v verdict) checkImmutable() readiness.Check {
	const remedy = "set a default retention of the bucket in compliance mode (object lock), and lock what is there already; or take immutable: true away, and security-breach no longer counts on this copy"
	if v.complete == nil {
		return v.noDump(CheckImmutable)
	}
	s := v.complete.state
	needed := v.complete.modified.Add(v.config.ImmutableFor)
	if v.config.ImmutableFor == 0 {
		needed = v.now.Add(v.config.Every)
	}
	enough := v.bucket.session.Ours(s.until).After(v.now) && !s.until.Before(needed.Add(-clockSlack))
	switch {
	case enough && s.lock == types.ObjectLockModeCompliance:
		return probes.Passing(CheckImmutable, fmt.Sprintf("%s is locked until %s in compliance mode", v.complete.key, clockTold(s.until)))
	case s.hold:
		return probes.Failing(CheckImmutable, v.complete.key+" is under a legal hold, which whoever has s3:PutObjectLegalHold can lift", remedy)
	case s.lockErr != nil:
		return untold(CheckImmutable, s.lockErr)
	case s.lock == "":
		return probes.Failing(CheckImmutable, fmt.Sprintf("the file says that it is immutable, and %s is not locked%s", v.complete.key, v.bucketLock()), remedy)
	case !enough:
		return probes.Failing(CheckImmutable, fmt.Sprintf("%s is locked until %s, and must be until %s", v.complete.key, clockTold(s.until), clockTold(needed)), remedy)
	}
	return probes.Failing(CheckImmutable, fmt.Sprintf("%s is locked until %s in %s mode, which whoever has s3:BypassGovernanceRetention can lift", v.complete.key, clockTold(s.until), strings.ToLower(string(s.lock))), remedy)
}

// bucketLock says for people what the bucket does about locks.
func (v verdict) bucketLock() string {
	switch lock := v.facts.lock.value; {
	case v.missing(v.facts.lock.err) != nil:
		return ""
	case lock == nil:
		return "; the bucket has no object lock"
	case lock.Rule == nil:
		return "; the bucket has object lock, and no default retention"
	}
	return "; the bucket has a default retention, which this object did not get"
}

// replicationTime is how long S3 promises to take at most, where it promises it
// (replication time control).
const replicationTime = 15 * time.Minute

func (v verdict) checkReplication() readiness.Check {
	const remedy = "see the replication rules of the bucket, their role, and the key and the bucket at the other end; then replicate what is missing (S3 Batch Replication)"
	if v.complete == nil {
		return v.noDump(CheckReplication)
	}
	status := v.complete.state.replication
	switch {
	case status == types.ReplicationStatusFailed:
		return probes.Failing(CheckReplication, "the replication of "+v.complete.key+" has failed", remedy)
	case status == types.ReplicationStatusReplica:
		return probes.Passing(CheckReplication, v.complete.key+" is itself the replica of one elsewhere")
	case len(v.pending) > 0:
		return v.lateReplication(remedy)
	case status == types.ReplicationStatusCompleted || status == types.ReplicationStatusComplete:
		return probes.Passing(CheckReplication, v.complete.key+" is replicated"+v.replicatedTo())
	case v.missing(v.facts.replication.err) != nil:
		return untold(CheckReplication, v.missing(v.facts.replication.err))
	case !v.isReplicated():
		return probes.Failing(CheckReplication, fmt.Sprintf("no enabled replication rule of %s covers %s", v.config.Bucket, v.complete.key), remedy)
	default:
		return probes.Failing(CheckReplication, v.complete.key+" was stored before there was a rule that covers it, and is not replicated", remedy)
	}
}

// lateReplication tells how far the replication is behind: as far as the oldest
// dump that is not replicated yet.
func (v verdict) lateReplication(remedy string) readiness.Check {
	oldest := v.pending[0]
	for _, d := range v.pending {
		if d.modified.Before(oldest.modified) {
			oldest = d
		}
	}
	late := v.now.Sub(v.bucket.session.Ours(oldest.modified))
	evidence := fmt.Sprintf("%d dumps wait for replication, %s for %s", len(v.pending), oldest.key, readiness.InSeconds(late))
	if len(v.pending) == 1 {
		evidence = fmt.Sprintf("%s waits for replication since %s", oldest.key, readiness.InSeconds(late))
	}
	if late > replicationTime {
		return probes.Failing(CheckReplication, evidence, remedy)
	}
	return probes.Passing(CheckReplication, evidence)
}

func (v verdict) rules() (covering []types.ReplicationRule) {
	for _, r := range v.facts.replication.value {
		//lint:ignore SA1019 rules of old have it here
		prefix := aws.ToString(r.Prefix) //nolint:staticcheck // rules of old have it here
		if r.Filter != nil {
			prefix = aws.ToString(r.Filter.Prefix)
			if r.Filter.And != nil {
				prefix = aws.ToString(r.Filter.And.Prefix)
			}
		}
		if r.Status == types.ReplicationRuleStatusEnabled && strings.HasPrefix(v.complete.key, prefix) {
			covering = append(covering, r)
		}
	}
	return covering
}

func (v verdict) isReplicated() bool { return len(v.rules()) > 0 }

func (v verdict) replicatedTo() string {
	for _, r := range v.rules() {
		if r.Destination != nil {
			return " to " + strings.TrimPrefix(aws.ToString(r.Destination.Bucket), "arn:aws:s3:::")
		}
	}
	return ""
}

// missing gives why a fact of the bucket is not known.
func (v verdict) missing(err error) error {
	if v.factsErr != nil {
		return v.factsErr
	}
	return err
}

func untold(name string, err error) readiness.Check {
	return probes.Unknown(name, err.Error(), "see what the answer says; docs/iam-policy.json has all that drwatch needs")
}

// bytesTold is a size for people.
func bytesTold(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d bytes", n)
	}
	size, unit := float64(n)/step, 0
	for size >= step && unit < 4 {
		size, unit = size/step, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTP"[unit])
}

func clockTold(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
