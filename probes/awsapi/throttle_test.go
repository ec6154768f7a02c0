package awsapi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/backup"
	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a throttled minute would leave gaps, or turn into a storm: looks
// that run out of time while we hold back must still get what was known.
func TestThrottled_NoGapNoStorm(t *testing.T) {
	c := cloud(t, labaws.Options{})
	c.Backup().PutVault(labaws.Vault{VaultID: labaws.VaultID{Region: region, Name: "festivals"}, Created: time.Now()})
	r := &recorder{}
	s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{Recorder: r})
	client := awsapi.NewShared(awsapi.Every(time.Hour), s.Now, func(ctx context.Context) (*backup.Client, error) {
		cfg, err := s.Config(ctx)
		return backup.NewFromConfig(cfg), err
	})
	freshness := awsapi.Freshness{Fresh: time.Millisecond, Keep: time.Minute, Retry: 500 * time.Millisecond}
	vault := awsapi.NewShared(freshness, s.Now, func(ctx context.Context) (string, error) {
		b, err := client.Get(ctx)
		if err != nil {
			return "", err
		}
		v, err := b.Value.DescribeBackupVault(ctx, &backup.DescribeBackupVaultInput{BackupVaultName: aws.String("festivals")})
		if err != nil {
			return "", err
		}
		return aws.ToString(v.BackupVaultName), nil
	})
	_, err := vault.Get(t.Context())
	require.NoError(t, err)

	heal := c.Break(labaws.Fault{Error: labaws.Throttled})
	var looks sync.WaitGroup
	failures := make([]error, 50)
	for i := range failures {
		looks.Go(func() {
			for range 8 {
				ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
				answer, err := vault.Get(ctx)
				cancel()
				if err != nil || answer.Value != "festivals" {
					failures[i] = fmt.Errorf("%+v: %w", answer, err)
				}
				time.Sleep(100 * time.Millisecond) // the pace of those who look
			}
		})
	}
	looks.Wait()
	require.NoError(t, errors.Join(failures...), "no gap")
	asked := labaws.Asked{Service: "backup", Operation: "DescribeBackupVault", Region: region}
	require.Less(t, c.Calls()[asked], 20, "no storm: 400 looks")
	require.Equal(t, c.Calls()[asked]-1, r.of(&r.throttles, "Backup/DescribeBackupVault"))

	heal()
	require.Eventually(t, func() bool {
		answer, err := vault.Get(t.Context())
		return err == nil && time.Since(answer.At) < time.Second
	}, 15*time.Second, 100*time.Millisecond, "it comes back by itself")
}

// Were it to fail, a look that never had an answer would be told to be slow,
// rather than throttled.
func TestThrottled_FromTheBeginning(t *testing.T) {
	c := cloud(t, labaws.Options{})
	s := session(t, awsapi.Access{Endpoint: c.URL()}, awsapi.Options{})
	c.Break(labaws.Fault{Error: labaws.Throttled})
	shared := awsapi.NewShared(awsapi.Every(time.Minute), s.Now, func(ctx context.Context) (int, error) { return 0, vault(ctx, s) })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := shared.Get(ctx)
	require.Equal(t, readiness.Throttled, failed(t, s.Failure(err, "backup:DescribeBackupVault")).Class)
}
