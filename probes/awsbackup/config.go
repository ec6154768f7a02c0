package awsbackup

import (
	"regexp"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Config is the part of the file that says which recovery points are a copy:
// those of one resource in one vault.
type Config struct {
	Vault    string        `yaml:"vault" json:"vault" jsonschema:"example=festivals" jsonschema_description:"The name of the backup vault."`
	Resource string        `yaml:"resource" json:"resource" jsonschema:"example=arn:aws:rds:eu-west-1:111122223333:db:festivals-production" jsonschema_description:"The ARN of what is backed up. A copy in another region or account bears the ARN of the original."`
	Every    time.Duration `yaml:"every,omitempty" json:"every,omitempty" jsonschema:"default=24h" jsonschema_description:"How often the plan makes a recovery point."`
	AWS      awsapi.Access `yaml:"aws,omitempty" json:"aws,omitempty" jsonschema_description:"As whom AWS is asked, and where: for a vault in another account, the role to assume there."`
}

const defaultEvery = 24 * time.Hour

var (
	// vaultPattern is that of the API reference.
	// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html
	vaultPattern    = regexp.MustCompile(`^[a-zA-Z0-9_-]{2,50}$`)
	resourcePattern = regexp.MustCompile(`^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12})?:\S+$`)
	accountPattern  = regexp.MustCompile(`^\d{12}$`)
)

// Validate finds the mistakes in the configuration. It asks nobody.
func (c Config) Validate(target readiness.Copy) []probes.Problem {
	p := probes.Problems{}
	switch target.Kind {
	case readiness.Snapshot, readiness.Backup:
	case readiness.PITR:
		p.Add("", "AWS Backup does not tell up to when a continuous backup can be restored: use the probe rds, or call the copy a snapshot")
	default:
		p.Add("", "an awsbackup probe looks at a snapshot or a backup, and this copy is a %s", target.Kind)
	}
	switch {
	case c.Vault == "":
		p.Add("vault", "missing: the name of the backup vault")
	case !vaultPattern.MatchString(c.Vault):
		p.Add("vault", "%q is not the name of a vault: give the name and not the ARN, 2 to 50 letters, digits, - and _", c.Vault)
	}
	switch {
	case c.Resource == "":
		p.Add("resource", "missing: the ARN of what is backed up, such as arn:aws:rds:<region>:<account>:db:<name>")
	case !resourcePattern.MatchString(c.Resource):
		p.Add("resource", "%q is not an ARN: write it such as arn:aws:rds:<region>:<account>:db:<name>", c.Resource)
	}
	if c.Every < 0 {
		p.Add("every", "a time cannot be negative")
	}
	return append(p, c.AWS.In(target.Region).Validate()...)
}

// The checks of this probe.
const (
	CheckPoints     = "recovery-points" // the newest recovery point is whole
	CheckInterval   = "interval"        // the newest whole one is not older than it may be
	CheckSize       = "size"            // it is about as large as those before it
	CheckEncryption = "encryption"      // it is encrypted, with a key of where it is
	CheckAccount    = "account"         // the vault is in the account that the file names
	CheckLock       = "vault-lock"      // nobody can delete it before its time
)

// Checks lists the checks that are made on the copy, in the order in which
// people should read them.
func Checks(_ Config, target readiness.Copy) []string {
	names := []string{CheckPoints, CheckInterval, CheckSize, CheckEncryption}
	if accountPattern.MatchString(target.Account) {
		names = append(names, CheckAccount)
	}
	if target.Immutable {
		names = append(names, CheckLock)
	}
	return append(names, readiness.CheckClock)
}
