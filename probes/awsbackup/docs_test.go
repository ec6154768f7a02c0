package awsbackup_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Copies []struct {
			Name, Region, Account string
			Kind                  readiness.CopyKind
			Immutable             bool
			AWSBackup             awsbackup.Config
		}
	}](t, read(t, "../../docs/probes/awsbackup.md"))
	require.Len(t, examples, 1)
	require.Len(t, examples[0].Copies, 2)
	for _, c := range examples[0].Copies {
		require.Empty(t, c.AWSBackup.Validate(readiness.Copy{Name: c.Name, Kind: c.Kind, Region: c.Region}))
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	page := string(read(t, "../../docs/probes/awsbackup.md"))
	for _, check := range awsbackup.Checks(awsbackup.Config{}, readiness.Copy{Account: "444455556666", Immutable: true}) {
		require.Contains(t, page, "| `"+check+"`")
	}
}

// Were it to fail, the documented rights would be too few, or more than needed, or
// an error would not say which is missing.
func TestDocs_RightsAreEnoughAndNeeded(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/drwatch"
	policy := string(read(t, "../../docs/iam-policy.json"))
	s := newStage(t, 0)
	s.cloud.STS().Put(labaws.Role{ARN: role})
	cfg := s.config()
	cfg.AWS.RoleARN = role
	look := func(policy string) (string, *readiness.Failure) {
		s.cloud.IAM().Detach(role)
		require.NoError(t, s.cloud.IAM().Attach(role, "policy", policy))
		s.clock.pass(2 * time.Minute) // for the answers to be asked anew
		r, failure := s.look(s.probe(cfg, standby()))
		if failure != nil {
			return "", failure
		}
		return check(t, r, awsbackup.CheckLock).Evidence, nil
	}
	evidence, failure := look(policy)
	require.Nil(t, failure)
	require.Contains(t, evidence, "locked for good")

	evidence, failure = look(strings.ReplaceAll(policy, "backup:DescribeBackupVault", "backup:Nothing"))
	require.Nil(t, failure)
	require.Contains(t, evidence, "grant backup:DescribeBackupVault")

	_, failure = look(strings.ReplaceAll(policy, "backup:ListRecoveryPointsByBackupVault", "backup:Nothing"))
	require.Equal(t, readiness.Denied, failure.Class)
	require.Contains(t, failure.Error(), "grant backup:ListRecoveryPointsByBackupVault")
}

func TestConfig_Mistakes(t *testing.T) {
	good := awsbackup.Config{Vault: "festivals", Resource: database}
	where := readiness.Copy{Kind: readiness.Backup, Region: "eu-central-1"}
	require.Empty(t, good.Validate(where))
	for _, c := range []struct {
		change func(*awsbackup.Config, *readiness.Copy)
		path   string
	}{
		{func(c *awsbackup.Config, _ *readiness.Copy) { c.Vault = "" }, "vault"},
		{func(c *awsbackup.Config, _ *readiness.Copy) {
			c.Vault = "arn:aws:backup:eu-west-1:111122223333:backup-vault:x"
		}, "vault"},
		{func(c *awsbackup.Config, _ *readiness.Copy) { c.Resource = "" }, "resource"},
		{func(c *awsbackup.Config, _ *readiness.Copy) { c.Resource = "festivals-production" }, "resource"},
		{func(c *awsbackup.Config, _ *readiness.Copy) { c.Every = -time.Hour }, "every"},
		{func(c *awsbackup.Config, _ *readiness.Copy) { c.AWS.ExternalID = "x" }, "aws.external_id"},
		{func(_ *awsbackup.Config, c *readiness.Copy) { c.Region = "frankfurt" }, "aws.region"},
		{func(_ *awsbackup.Config, c *readiness.Copy) { c.Kind = readiness.PITR }, ""},
		{func(_ *awsbackup.Config, c *readiness.Copy) { c.Kind = readiness.Primary }, ""},
	} {
		cfg, target := good, where
		c.change(&cfg, &target)
		found := cfg.Validate(target)
		require.Len(t, found, 1, "%+v", cfg)
		require.Equal(t, c.path, found[0].Path)
	}
	for _, resource := range []string{
		"arn:aws:s3:::festivals-media", "arn:aws:ec2:eu-west-1:111122223333:volume/vol-0123", "arn:aws-us-gov:dynamodb:us-gov-west-1:111122223333:table/x",
		"arn:aws:elasticfilesystem:eu-west-1:111122223333:file-system/fs-1",
	} {
		good.Resource = resource
		require.Empty(t, good.Validate(where), resource)
	}
}

// Were it to fail, the file and its schema would call keys by different names, or
// write zeros for what was left out.
func TestConfig_KeysAgree(t *testing.T) {
	a, b := probetest.Encoded(t, awsbackup.Config{Vault: "festivals", Resource: database})
	require.Equal(t, b, a)
	require.Len(t, a, 2)
}
