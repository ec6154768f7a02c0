package rds

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// serves reports whether a database answers in a state of a DB instance or cluster.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
func serves(status string) bool {
	switch status {
	case "available", "backing-up", "modifying", "backtracking", "renaming", "resetting-master-credentials",
		"configuring-enhanced-monitoring", "configuring-iam-database-auth", "configuring-log-exports", "configuring-associated-roles",
		"storage-optimization", "storage-initialization", "storage-config-upgrade", "delete-precheck", "promoting":
		return true
	default:
		return false
	}
}

// checkStatus tells of the state of the server.
func (s server) checkStatus() readiness.Check {
	says := s.id + " is " + presentable(s.status)
	switch {
	case s.status == "available" || s.status == "backing-up":
		return probes.Passing(CheckStatus, says)
	case serves(s.status):
		return probes.Warning(CheckStatus, says, "it serves while it is changed: wait until it is available")
	}
	switch s.status {
	case "rebooting", "maintenance", "upgrading", "starting", "failing-over", "moving-to-vpc", "converting-to-vpc":
		return probes.Failing(CheckStatus, says, "wait until it is available")
	case "creating":
		return probes.Failing(CheckStatus, says, "wait until it is made: it holds nothing yet that counts")
	case "stopped", "stopping":
		return probes.Failing(CheckStatus, says, "start it: RDS does so by itself after seven days")
	case "storage-full":
		return probes.Failing(CheckStatus, says+": it takes no writes", "give it more storage now")
	case "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable":
		return probes.Failing(CheckStatus, says+": RDS may not use its key "+s.key, "let RDS use the key again (enable it, see its policy and grants), then start the instance; not recoverable is only what was so for seven days")
	case "deleting":
		return probes.Failing(CheckStatus, says, "somebody deletes it: see CloudTrail for who, and take a snapshot if it is not too late")
	case "":
		return probes.Unknown(CheckStatus, "AWS does not tell its status", "see the instance in the console")
	}
	return probes.Failing(CheckStatus, says, "see the events of "+s.id+" and the meaning of the status in the guide of RDS")
}

func (s server) checkProtection() readiness.Check {
	if s.protected {
		return probes.Passing(CheckProtection, s.id+" is protected from being deleted")
	}
	return probes.Warning(CheckProtection, s.id+" can be deleted by one call", "switch deletion protection on")
}

func (s server) checkBackups() readiness.Check {
	if s.backupDays > 0 {
		return probes.Passing(CheckBackups, fmt.Sprintf("automated backups are kept for %d days", s.backupDays))
	}
	return probes.Failing(CheckBackups, "automated backups are off", "set a backup retention period: without it one cannot go back to a moment before a mistake")
}

func (s server) checkZones() readiness.Check {
	if s.multiAZ {
		return probes.Passing(CheckZones, s.id+" is in several zones")
	}
	return probes.Warning(CheckZones, s.id+" is in one zone", "make it Multi-AZ, or have the loss of a zone be a failover to another region")
}

// checkEncryption holds the key of something against the region that it is in: with
// a key of another region, the data is lost with that.
func checkEncryption(id, key, region string) readiness.Check {
	if key == "" {
		return probes.Warning(CheckEncryption, id+" is not encrypted", "encrypt it: copy a snapshot with a key of "+region+" and restore that")
	}
	name, err := awsarn.Parse(key)
	switch {
	case err != nil:
		return probes.Unknown(CheckEncryption, "it is encrypted; AWS does not tell with which key", "see its key in the console")
	case name.Region != region:
		return probes.Failing(CheckEncryption, fmt.Sprintf("the key is in %s: %s", name.Region, key), "copy it with a key of "+region+": this one is gone with its region")
	}
	return probes.Passing(CheckEncryption, "encrypted with "+key)
}

// checkAccount adds whether something is where the file says, for that is what makes it
// outlive a breach of the other account.
func (p *Probe) checkAccount(r *readiness.Reading, name string) {
	want := p.copy.Account
	if !accountPattern.MatchString(want) {
		return
	}
	switch is, ok := parseARN(name); {
	case !ok:
		r.Checks = append(r.Checks, probes.Unknown(CheckAccount, "AWS does not tell in whose account it is", "see it in the console"))
	case is.account == want:
		r.Checks = append(r.Checks, probes.Passing(CheckAccount, name))
	default:
		r.Checks = append(r.Checks, probes.Failing(CheckAccount, fmt.Sprintf("%s is in account %s, where the file says %s", name, is.account, want),
			"give the role of account "+want+" in aws.role_arn, or correct account: this copy does not outlive a breach of account "+is.account))
	}
}

// checkVersion compares the version with that of the primary.
func (s server) checkVersion(other, version string) readiness.Check {
	major := func(v string) string { return strings.SplitN(v, ".", 2)[0] }
	switch {
	case s.version == "" || version == "":
		return probes.Unknown(CheckVersion, "AWS does not tell the versions", "see both in the console")
	case s.version == version:
		return probes.Passing(CheckVersion, "both run "+s.engine+" "+version)
	case major(s.version) != major(version):
		return probes.Failing(CheckVersion, fmt.Sprintf("%s runs %s, %s %s", s.id, s.version, other, version), "bring both to the same major version before you rely on it")
	}
	return probes.Warning(CheckVersion, fmt.Sprintf("%s runs %s, %s %s", s.id, s.version, other, version), "bring both to the same version: a failover would change it")
}

// checkCapacity compares what the replica has with what its primary has.
func (s server) checkCapacity(primary server) readiness.Check {
	var less []string
	own, known := power(s.class)
	other, alsoKnown := power(primary.class)
	switch {
	case s.class == primary.class:
	case !known || !alsoKnown:
		return probes.Unknown(CheckCapacity, fmt.Sprintf("%s is %s, %s is %s: they cannot be compared", s.id, s.class, primary.id, primary.class), "compare them yourself, or give both the same class")
	case own.cpus < other.cpus || own.memory < other.memory:
		less = append(less, fmt.Sprintf("its class is %s (%s), that of %s %s (%s)", s.class, own, primary.id, primary.class, other))
	}
	if s.storage < primary.storage {
		less = append(less, fmt.Sprintf("its storage is %d GiB, that of %s %d GiB", s.storage, primary.id, primary.storage))
	}
	if s.iops < primary.iops {
		less = append(less, fmt.Sprintf("its storage has %d IOPS, that of %s %d", s.iops, primary.id, primary.iops))
	}
	if s.storageType != primary.storageType {
		less = append(less, fmt.Sprintf("its storage is %s, that of %s %s", s.storageType, primary.id, primary.storageType))
	}
	if less != nil {
		return probes.Warning(CheckCapacity, strings.Join(less, "; "), "give the replica what its primary has, or plan the time to grow it into the failover")
	}
	return probes.Passing(CheckCapacity, fmt.Sprintf("%s and %s: like %s or more", s.class, gibibytes(s.storage), primary.id))
}

func gibibytes(n int32) string { return strconv.Itoa(int(n)) + " GiB" }

// strength is roughly what an instance class can do.
type strength struct{ cpus, memory float64 }

func (s strength) String() string { return fmt.Sprintf("%g vCPU, %g GiB", s.cpus, s.memory) }

// power tells the vCPUs and the memory of a DB instance class, by the rules that the
// families follow: a large has two vCPUs, and the family says how much memory goes
// with each. Classes that follow other rules (serverless, x1, z1d, Oracle's with more
// memory) are not known.
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Summary.html
func power(class string) (strength, bool) {
	parts := strings.Split(class, ".")
	if len(parts) != 3 || parts[0] != "db" || parts[1] == "" {
		return strength{}, false
	}
	size := parts[2]
	if parts[1][0] == 't' {
		s, known := map[string]strength{
			"micro": {2, 1}, "small": {2, 2}, "medium": {2, 4}, "large": {2, 8}, "xlarge": {4, 16}, "2xlarge": {8, 32},
		}[size]
		return s, known
	}
	each, known := map[string]float64{"c": 2, "m": 4, "r": 8, "x": 16}[family(parts[1])]
	if !known {
		return strength{}, false
	}
	cpus := map[string]float64{"medium": 1, "large": 2, "xlarge": 4}[size]
	if times, isMany := strings.CutSuffix(size, "xlarge"); cpus == 0 && isMany {
		n, err := strconv.Atoi(times)
		if err != nil || n < 2 || n > 64 {
			return strength{}, false
		}
		cpus = float64(4 * n)
	}
	return strength{cpus, cpus * each}, cpus > 0
}

// family is the letter of a class such as m6g or x2iedn; x1 has rules of its own.
func family(name string) string {
	if len(name) < 2 || !unicode.IsDigit(rune(name[1])) || strings.HasPrefix(name, "x1") {
		return ""
	}
	return name[:1]
}

// presentable bounds a foreign text, and takes out what does not belong on a page.
func presentable(text string) string {
	const longest = 160
	return probes.Presentable(strings.ToValidUTF8(text, "?"), longest)
}

// told is a length of time for people. Ages of daily snapshots are told in hours.
func told(d time.Duration) string {
	if d >= 24*time.Hour && d < 72*time.Hour {
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return readiness.InSeconds(d).String()
}

// days is a retention for people.
func days(d time.Duration) string {
	if whole := d.Hours() / 24; whole >= 1 && whole == math.Trunc(whole) {
		return strconv.Itoa(int(whole)) + "d"
	}
	return told(d)
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }
