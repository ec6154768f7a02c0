package rds

import (
	"regexp"
	"strings"
	"time"

	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Config is the part of the file that says which copy AWS is asked about: a DB
// instance, or an Aurora cluster. The kind of the copy says what of it: the server
// itself, its restore window (pitr) or its snapshots.
type Config struct {
	Instance string `yaml:"instance,omitempty" json:"instance,omitempty" jsonschema_description:"The identifier of the DB instance, in the region of the copy. For pitr and snapshot: of the instance that the backups are of, wherever it is." jsonschema:"example=festivals-production"`
	Cluster  string `yaml:"cluster,omitempty" json:"cluster,omitempty" jsonschema_description:"The identifier of the Aurora DB cluster. Beside instance: the cluster that this Aurora reader belongs to."`

	GlobalCluster string `yaml:"global_cluster,omitempty" json:"global_cluster,omitempty" jsonschema_description:"The identifier of the Aurora global database that the cluster is part of."`

	Source string `yaml:"source,omitempty" json:"source,omitempty" jsonschema_description:"What a replica must replicate, or replicated backups must be of: the identifier or ARN of the DB instance. Without it any source is right." jsonschema:"example=arn:aws:rds:eu-west-1:111122223333:db:festivals-production"`

	Retention time.Duration `yaml:"retention,omitempty" json:"retention,omitempty" jsonschema_description:"For pitr: how far back one must be able to go." jsonschema:"example=168h"`
	Every     time.Duration `yaml:"every,omitempty" json:"every,omitempty" jsonschema_description:"For snapshot: how old the newest may become. For daily ones leave room for the time that they take." jsonschema:"example=25h"`
	Snapshots Kind          `yaml:"snapshots,omitempty" json:"snapshots,omitempty" jsonschema_description:"For snapshot: which ones count. any is manual and automated ones; a copy in another region or account is a manual one; shared ones belong to another account." jsonschema:"enum=any,enum=manual,enum=automated,enum=shared,enum=awsbackup,default=any"`

	LateAfter time.Duration `yaml:"late_after,omitempty" json:"late_after,omitempty" jsonschema_description:"How old the newest sample of the lag, or the latest restorable time, may be before a check says so. For backups that are replicated to another region 20 minutes are the default." jsonschema:"default=10m"`

	AWS awsapi.Access `yaml:"aws,omitempty" json:"aws,omitempty" jsonschema_description:"As whom AWS is asked, and where."`
}

// Kind says which snapshots count.
type Kind string

// The kinds of snapshots. The zero value is AnyKind.
const (
	AnyKind   Kind = "any" // manual and automated
	Manual    Kind = "manual"
	Automated Kind = "automated"
	Shared    Kind = "shared" // by another account
	AWSBackup Kind = "awsbackup"
)

const (
	defaultLateAfter    = 10 * time.Minute // RDS uploads logs every 5 minutes, and publishes metrics every minute
	replicatedLateAfter = 20 * time.Minute
)

var (
	// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
	namePattern = regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9])*$`)
	arnPattern  = regexp.MustCompile(`^arn:aws[a-z-]*:rds:[a-z0-9-]+:\d{12}:(db|cluster):[A-Za-z](-?[A-Za-z0-9])*$`)
)

// Validate finds the mistakes in the configuration. It asks nobody.
func (c Config) Validate(target readiness.Copy) []probes.Problem {
	p := problems{}
	switch {
	case target.Kind == readiness.Backup:
		p.Add("", "an rds probe looks at a primary, a replica, a pitr or a snapshot: for dumps in a bucket there is s3, for a backup vault awsbackup")
	case target.Logical:
		p.Add("", "RDS tells nothing of logical replication: look at the servers with postgres, or take logical away")
	case target.Immutable:
		p.Add("", "nothing that RDS keeps is immutable, a window and a snapshot least of all: take immutable away, or copy to a locked vault and look there with awsbackup")
	case target.Delay > 0:
		p.Add("", "nobody can see in RDS by how much a replica is delayed: take delay away")
	}
	p.names(c)
	p.combination(c, target.Kind)
	if c.Source != "" && !namePattern.MatchString(c.Source) && !arnPattern.MatchString(c.Source) {
		p.Add("source", "%q is neither an identifier nor the ARN of a DB instance (arn:aws:rds:<region>:<account>:db:<name>)", c.Source)
	}
	switch c.Snapshots {
	case "", AnyKind, Manual, Automated, Shared, AWSBackup:
	default:
		p.Add("snapshots", "%q is unknown: write any, manual, automated, shared or awsbackup", c.Snapshots)
	}
	for path, d := range map[string]time.Duration{"retention": c.Retention, "every": c.Every, "late_after": c.LateAfter} {
		if d < 0 {
			p.Add(path, "a time cannot be negative")
		}
	}
	return append(p.Problems, c.AWS.In(target.Region).Validate()...)
}

// problems are the mistakes found so far.
type problems struct{ probes.Problems }

func (p *problems) names(c Config) {
	if c.Instance == "" && c.Cluster == "" {
		p.Add("instance", "missing: name the DB instance, or an Aurora cluster in cluster")
	}
	for path, name := range map[string]string{"instance": c.Instance, "cluster": c.Cluster, "global_cluster": c.GlobalCluster} {
		if name != "" && !namePattern.MatchString(name) {
			p.Add(path, "%q is no identifier: letters, digits and single hyphens, beginning with a letter", name)
		}
	}
}

// combination finds keys that do not go together, or not with the kind of the copy.
func (p *problems) combination(c Config, kind readiness.CopyKind) {
	both := c.Instance != "" && c.Cluster != ""
	server := kind == readiness.Primary || kind == readiness.Replica
	switch {
	case both && kind != readiness.Replica:
		p.Add("cluster", "give instance or cluster, not both: both together name an Aurora reader, which is a replica")
	case both && c.GlobalCluster != "":
		p.Add("global_cluster", "goes with cluster alone: a reader follows the writer of its own cluster")
	case c.GlobalCluster != "" && (c.Cluster == "" || !server):
		p.Add("global_cluster", "goes with the cluster of a primary or a replica")
	case kind == readiness.Replica && c.Instance == "" && c.Cluster != "" && c.GlobalCluster == "":
		p.Add("global_cluster", "missing: a cluster is a replica as part of a global database; a reader of a cluster is named by instance and cluster")
	}
	only := func(path string, given bool, kinds ...readiness.CopyKind) {
		for _, k := range kinds {
			if k == kind {
				return
			}
		}
		if given {
			p.Add(path, "has no meaning for a %s", kind)
		}
	}
	only("source", c.Source != "", readiness.Replica, readiness.PITR)
	only("retention", c.Retention != 0, readiness.PITR)
	only("every", c.Every != 0, readiness.Snapshot)
	only("snapshots", c.Snapshots != "", readiness.Snapshot)
	only("late_after", c.LateAfter != 0, readiness.Replica, readiness.PITR)
	if c.Source != "" && c.Cluster != "" {
		p.Add("source", "goes with instance alone")
	}
}

// The checks of this probe.
const (
	CheckStatus      = "rds-status"          // the instance serves, or could
	CheckSource      = "source"              // it replicates what it should
	CheckReplication = "replication"         // RDS says that replication goes on
	CheckLag         = "lag"                 // the lag is measured, and finite
	CheckCapacity    = "capacity"            // the replica could carry the load of the primary
	CheckVersion     = "engine-version"      // both ends run the same version
	CheckEncryption  = "encryption"          // encrypted with a key of the copy's own region
	CheckProtection  = "deletion-protection" // nobody deletes it by mistake
	CheckBackups     = "automated-backups"   // automated backups are made
	CheckZones       = "multi-az"            // it survives the loss of a zone
	CheckRestorable  = "restorable"          // the latest restorable time moves on
	CheckWindow      = "window"              // one can go back as far as a corruption needs
	CheckSnapshot    = "snapshot"            // there is a finished snapshot, and none failed since
	CheckInterval    = "interval"            // the newest is not older than it may be
	CheckDated       = "dated"               // the snapshot tells how old its data is
	CheckAccount     = "account"             // it is in the account that the file names
)

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// Checks lists the checks that are made on the copy, in the order in which people
// should read them.
func Checks(c Config, target readiness.Copy) []string {
	names := checksOfKind(c, target.Kind)
	if accountPattern.MatchString(target.Account) {
		names = append(names, CheckAccount)
	}
	return append(names, readiness.CheckClock)
}

func checksOfKind(c Config, kind readiness.CopyKind) []string {
	switch kind {
	case readiness.Primary:
		return []string{readiness.CheckRole, CheckStatus, CheckBackups, CheckZones, CheckEncryption, CheckProtection, readiness.CheckDistinctServer}
	case readiness.Replica:
		names := []string{readiness.CheckRole, CheckStatus, readiness.CheckConnected, CheckReplication, CheckLag}
		if c.Cluster == "" || c.GlobalCluster != "" {
			names = append(names, CheckSource, CheckCapacity, CheckVersion)
		}
		return append(names, CheckEncryption, CheckProtection, readiness.CheckDistinctServer)
	case readiness.PITR:
		names := []string{CheckRestorable}
		if c.Retention > 0 {
			names = append(names, CheckWindow)
		}
		return append(names, CheckEncryption)
	default:
		names := []string{CheckSnapshot}
		if c.Every > 0 {
			names = append(names, CheckInterval)
		}
		return append(names, CheckDated, CheckEncryption)
	}
}

// arn is the name of something in all of AWS.
type arn struct{ region, account, id string }

// parseARN reads arn:aws:rds:<region>:<account>:<kind>:<id>; false for anything else.
func parseARN(text string) (arn, bool) {
	name, err := awsarn.Parse(text)
	_, id, _ := strings.Cut(name.Resource, ":")
	if err != nil || name.Service != "rds" || id == "" {
		return arn{}, false
	}
	return arn{name.Region, name.AccountID, id}, true
}
