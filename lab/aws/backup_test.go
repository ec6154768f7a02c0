package aws_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
)

const database = "arn:aws:rds:eu-west-1:111122223333:db:festivals-production"

// Were it to fail, what holds against the stand-in would not hold against AWS.
func TestBackup_AsTheModelSays(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	id := labaws.VaultID{Region: region, Name: "festivals"}
	now := time.Now()
	cloud.Backup().PutVault(labaws.Vault{VaultID: id, Created: now.AddDate(-1, 0, 0), KeyARN: "arn:aws:kms:eu-west-1:111122223333:key/k",
		Locked: true, LockDate: now.AddDate(0, 0, -3), MinRetention: 7, MaxRetention: 365})
	for i := range 3 {
		began := now.Add(-time.Duration(i*24+1) * time.Hour)
		cloud.Backup().Put(id, labaws.RecoveryPoint{
			ARN: pointARN(i), Resource: database, ResourceType: "RDS", Created: began, Initiated: began.Add(-time.Minute), Completed: began.Add(10 * time.Minute),
			Size: 1 << 30, KeyARN: "arn:aws:kms:eu-west-1:111122223333:key/k", DeleteAfter: 35, SourceVault: "arn:aws:backup:eu-central-1:111122223333:backup-vault:x",
		})
	}
	cloud.Backup().Put(id, labaws.RecoveryPoint{ARN: pointARN(3), Resource: "arn:aws:rds:eu-west-1:111122223333:db:other", ResourceType: "RDS", Created: now})

	vault := validated(t, cloud.URL(), region, "backup", "DescribeBackupVault", map[string]any{"BackupVaultName": "festivals"})
	require.Equal(t, true, vault["Locked"])
	require.EqualValues(t, 4, vault["NumberOfRecoveryPoints"])

	first := validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByBackupVault", map[string]any{"BackupVaultName": "festivals", "MaxResults": 3})
	require.Equal(t, []string{"CREATING", "COMPLETED", "COMPLETED"}, all(first["RecoveryPoints"], "Status"))
	rest := validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByBackupVault", map[string]any{"BackupVaultName": "festivals", "NextToken": first["NextToken"]})
	require.Equal(t, []string{pointARN(2)}, all(rest["RecoveryPoints"], "RecoveryPointArn"))
	recent := validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByBackupVault", map[string]any{
		"BackupVaultName": "festivals", "ByCreatedAfter": now.Add(-2 * time.Hour).Format(time.RFC3339), "ByResourceArn": database})
	require.Equal(t, []string{pointARN(0)}, all(recent["RecoveryPoints"], "RecoveryPointArn"))

	of := validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByResource", map[string]any{"ResourceArn": database})
	require.Len(t, of["RecoveryPoints"], 3)
	one := validated(t, cloud.URL(), region, "backup", "DescribeRecoveryPoint", map[string]any{"BackupVaultName": "festivals", "RecoveryPointArn": pointARN(1)})
	require.Equal(t, "COMPLETED", one["Status"])

	gone := validated(t, cloud.URL(), region, "backup", "DescribeBackupVault", map[string]any{"BackupVaultName": "nowhere"})
	require.Equal(t, "AccessDeniedException", code(gone), "so says AWS of a vault that is not there")
	gone = validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByBackupVault", map[string]any{"BackupVaultName": "nowhere"})
	require.Equal(t, "ResourceNotFoundException", code(gone))
}

// Were it to fail, a copy in another account would be looked for in ours.
func TestBackup_AccountOfTheCaller(t *testing.T) {
	t.Parallel()
	cloud := start(t, labaws.Options{})
	cloud.Backup().PutVault(labaws.Vault{VaultID: labaws.VaultID{Account: "444455556666", Region: region, Name: "vault"}, Created: time.Now()})
	gone := validated(t, cloud.URL(), region, "backup", "ListRecoveryPointsByBackupVault", map[string]any{"BackupVaultName": "vault"})
	require.Equal(t, "ResourceNotFoundException", code(gone))
}

func pointARN(i int) string {
	return fmt.Sprintf("arn:aws:rds:eu-west-1:111122223333:snapshot:awsbackup:job-%d", i)
}

func all(list any, key string) (values []string) {
	for _, one := range list.([]any) {
		values = append(values, one.(map[string]any)[key].(string))
	}
	return values
}

func code(answer map[string]any) any {
	e, _ := answer["Error"].(map[string]any)
	return e["Code"]
}
