package s3_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}

// noise cannot be compressed, and is the same in every run.
func noise(n int) []byte {
	text := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(text)
	return text
}

// prefixes are how many are watched at once.
const prefixes = 1000

// Were it to fail, watching would cost more than the docs say. A thousand dumps
// a day in one bucket, looked at every minute.
func TestCost_ThousandPrefixes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	body := dumpOf(t, s.begin)
	for n := range prefixes {
		require.NoError(t, s.cloud.S3().Put(aws.Object{
			Bucket: name, Key: fmt.Sprintf("db-%04d/%s", n, dumpKey(s.begin)), Body: body, Modified: s.begin.Add(time.Minute),
		}))
	}
	all := make([]*s3.Probe, prefixes)
	for n := range all {
		cfg := config()
		cfg.Prefix, cfg.AWS.Endpoint = fmt.Sprintf("db-%04d/%s", n, cfg.Prefix), s.cloud.URL()
		probe, err := s3.New(cfg, probes.Target{Copy: readiness.Copy{Name: "dumps", Kind: readiness.Backup, Region: region}}, s.fleet)
		require.NoError(t, err)
		all[n] = probe
	}
	lookAtAll(t, all)
	require.Equal(t, prefixes, s.calls("GetObject"))
	require.Equal(t, 2*prefixes, s.calls("ListObjectsV2"))
	require.Equal(t, 1, s.calls("ListMultipartUploads"), "one for all that lie in the bucket")
	first := s.calls("")
	const minutes = 60
	for range minutes {
		s.later(time.Minute)
		lookAtAll(t, all)
	}
	lists := s.calls("ListObjectsV2") - 2*prefixes
	t.Logf("%d prefixes: %d calls at the start, then %.1f LIST and %.1f calls in all a minute", prefixes, first, float64(lists)/minutes, float64(s.calls("")-first)/minutes)
	require.LessOrEqual(t, lists, prefixes*minutes/14+prefixes)
}

func lookAtAll(t *testing.T, all []*s3.Probe) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	next := make(chan *s3.Probe)
	failed := make(chan error, len(all))
	for range 8 {
		group.Go(func() {
			for probe := range next {
				reading, err := probe.Look(ctx)
				if err == nil && len(reading.Points) == 0 {
					err = fmt.Errorf("no recovery point: %+v", reading)
				}
				if err != nil {
					failed <- err
				}
			}
		})
	}
	for _, probe := range all {
		next <- probe
	}
	close(next)
	group.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
}

// Were it to fail, a bucket with much else in it would be listed as a whole.
func TestCost_MuchElse(t *testing.T) {
	s := newStage(t)
	for n := range 3000 { // before the dumps, and after them
		for _, where := range []string{"postgres/2020/wal/%05d", "postgres/wal/%05d"} {
			require.NoError(t, s.cloud.S3().Put(aws.Object{Bucket: name, Key: fmt.Sprintf(where, n), Body: []byte("wal")}))
		}
	}
	s.watch(config()).mustLook()
	at, _ := s.point()
	require.True(t, at.Equal(s.begin), "%s", at)
	require.LessOrEqual(t, s.calls("ListObjectsV2"), 2)
}

// Were it to fail, keys in no order would be listed without an end, or the
// newest among them be guessed.
func TestCost_NoOrderAndTooMany(t *testing.T) {
	s := newStage(t)
	for n := range 10_100 {
		require.NoError(t, s.cloud.S3().Put(aws.Object{Bucket: name, Key: fmt.Sprintf("heap/%05d.dump", n), Body: []byte("x")}))
	}
	cfg := config()
	cfg.Prefix = "heap/"
	_, failure := s.watch(cfg).look()
	require.NotNil(t, failure)
	require.Equal(t, readiness.NotFound, failure.Class)
	require.Contains(t, failure.Error(), "put the date into prefix")
	require.Equal(t, 10, s.calls("ListObjectsV2"))
}
