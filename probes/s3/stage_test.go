package s3_test

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	region = "eu-west-1"
	name   = "festivals-backups"
	key    = "arn:aws:kms:eu-west-1:111122223333:key/dumps"
)

// stage is S3 with one bucket in it, a clock that can be moved, and a probe.
type stage struct {
	t         *testing.T
	cloud     *aws.Cloud
	ahead     atomic.Int64 // our clock, and that of AWS
	skew      atomic.Int64 // that of AWS alone
	pool      *awsapi.Pool
	fleet     *s3.Fleet
	probe     *s3.Probe
	copy      readiness.Copy
	sightings *readiness.Sightings
	begin     time.Time // of the newest dump
}

// config is that of a dump a day, made on a clock that shows UTC.
func config() s3.Config {
	return s3.Config{Bucket: name, Prefix: "postgres/{yyyy}/{mm}/{dd}/", Pattern: "*.dump", Every: 24 * time.Hour, Timezone: "UTC"}
}

// newStage makes a bucket with a week of dumps, the newest an hour old.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t}
	cloud, err := aws.Start(t.Context(), aws.Options{Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load() + s.skew.Load())) }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	s.cloud = cloud
	cloud.S3().AllowSkew(1000 * 24 * time.Hour)
	cloud.S3().CreateBucket(aws.Bucket{Name: name, Region: region, Versioning: "Enabled"})
	s.begin = s.now().Add(-time.Hour).Truncate(time.Second)
	for day := range 8 {
		s.put(s.begin.Add(-time.Duration(day)*24*time.Hour), nil)
	}
	s.newPool()
	return s
}

func (s *stage) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *stage) newPool() {
	pool := awsapi.NewPool(awsapi.Options{Now: s.now})
	s.t.Cleanup(pool.Close)
	s.pool, s.fleet = pool, s3.NewFleet(pool)
}

// dumpKey is where a dump of a moment lies.
func dumpKey(begun time.Time) string {
	return begun.UTC().Format("postgres/2006/01/02/festivals-150405.dump")
}

// put stores a dump that took ten minutes.
func (s *stage) put(begun time.Time, change func(*aws.Object)) {
	s.t.Helper()
	o := aws.Object{Bucket: name, Key: dumpKey(begun), Body: dumpOf(s.t, begun), Modified: begun.Add(10 * time.Minute)}
	if change != nil {
		change(&o)
	}
	require.NoError(s.t, s.cloud.S3().Put(o))
}

// dumpOf is a real archive of pg_dump, with the time in its header set: the
// numbers of a struct tm, each with a sign and four bytes.
func dumpOf(t testing.TB, begun time.Time) []byte {
	t.Helper()
	body, err := os.ReadFile("archive/testdata/custom.dump")
	require.NoError(t, err)
	u := begun.UTC()
	const first = 5 + 3 + 2 + 1 + 5 // magic, version, sizes, format, compression
	for i, n := range []int{u.Second(), u.Minute(), u.Hour(), u.Day(), int(u.Month()) - 1, u.Year() - 1900, 0} {
		binary.LittleEndian.PutUint32(body[first+5*i+1:], uint32(n))
	}
	return body
}

// watch makes the probe, and begins to take note of what it proves.
func (s *stage) watch(cfg s3.Config, change ...func(*readiness.Copy)) *stage {
	s.t.Helper()
	s.copy = readiness.Copy{Name: "dumps", Kind: readiness.Backup, Region: region, Watch: readiness.Watch{Probe: "s3"}}
	for _, c := range change {
		c(&s.copy)
	}
	cfg.AWS.Endpoint = s.cloud.URL()
	s.copy.Checks = s3.Checks(cfg, s.copy)
	s.sightings = readiness.NewSightings(readiness.Datastore{Name: "festivals", Copies: []readiness.Copy{s.copy}})
	probe, err := s3.New(cfg, probes.Target{Copy: s.copy}, s.fleet)
	require.NoError(s.t, err)
	s.probe = probe
	return s
}

// look looks once, as the monitor does.
func (s *stage) look() (readiness.Reading, *readiness.Failure) {
	s.t.Helper()
	at := s.now()
	reading, err := s.probe.Look(s.t.Context())
	o := readiness.Observation{At: at, Took: s.now().Sub(at), Reading: reading, Failure: probes.AsFailure(err)}
	s.sightings.Observe(s.copy, o)
	for _, c := range reading.Checks {
		require.Contains(s.t, s.copy.Checks, c.Name, "a check that nobody was told of")
		require.NotEmpty(s.t, c.Evidence, c.Name)
		require.Equal(s.t, c.Status == readiness.Pass, c.Remedy == "", "%s: %+v", c.Name, c)
	}
	return reading, o.Failure
}

func (s *stage) mustLook() readiness.Reading {
	s.t.Helper()
	reading, failure := s.look()
	require.Nil(s.t, failure, "%v", failure)
	return reading
}

// later moves all clocks.
func (s *stage) later(d time.Duration) { s.ahead.Add(int64(d)) }

// point is the recovery point as it is reported.
func (s *stage) point() (time.Time, readiness.Basis) {
	seen := s.sightings.Seen(s.copy.Name)
	require.NotNil(s.t, seen)
	p, _ := seen.Received.Get()
	return p.At, p.Basis
}

// report is what people are told of the copy.
func (s *stage) check(name string) readiness.Check {
	s.t.Helper()
	system := readiness.System{Datastores: []readiness.Datastore{{Name: "festivals", Copies: []readiness.Copy{s.copy}}}}
	report := readiness.Evaluate(system, func(id readiness.ID) *readiness.Seen { return s.sightings.Seen(id.Name) }, s.now())
	for _, c := range report.Datastores[0].Copies[0].Checks {
		if c.Name == name {
			return c
		}
	}
	require.Failf(s.t, "no such check", "%s among %v", name, s.copy.Checks)
	return readiness.Check{}
}

// calls counts what was asked of S3.
func (s *stage) calls(operation string) int {
	n := 0
	for asked, times := range s.cloud.Calls() {
		if asked.Service == "s3" && (operation == "" || asked.Operation == operation) {
			n += times
		}
	}
	return n
}
