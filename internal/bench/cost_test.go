//go:build linux

package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/probes/s3"
	"github.com/drwatch/drwatch/readiness"
)

const (
	costCopies = 1000             // of each kind
	costEvery  = 15 * time.Second // which is the default
)

// costs are those of one kind of copies.
type costs struct {
	name  string
	first int                  // calls of the first looks
	calls map[labaws.Asked]int // of those after them
	hours float64              // for which they were made
	cpu   time.Duration        // of the process, the stand-in included
	bytes float64              // that it allocated, likewise
	heap  float64              // that it held more at the end than before the first look
}

// perMinute is how often AWS was asked something, or anything where that is "".
func (c costs) perMinute(operation string) float64 {
	n := 0
	for asked, times := range c.calls {
		if operation == "" || asked.Operation == operation {
			n += times
		}
	}
	return float64(n) / c.hours / 60
}

// dollars is what AWS charges for 30 days of it, by the list prices of eu-west-1 and
// us-east-1 in US dollars, as docs/probes give them. Calls of RDS and of AWS Backup
// are free.
//
// https://aws.amazon.com/cloudwatch/pricing/ and https://aws.amazon.com/s3/pricing/
func (c costs) dollars() (total float64) {
	const metricsPerCall = 500 // each of them full
	price := map[string]float64{
		"GetMetricData": metricsPerCall * 0.01 / 1000,
		"ListObjectsV2": 0.005 / 1000, "ListMultipartUploads": 0.005 / 1000,
		"GetObject": 0.0004 / 1000, "HeadObject": 0.0004 / 1000, "GetObjectRetention": 0.0004 / 1000,
		"GetBucketVersioning": 0.0004 / 1000, "GetObjectLockConfiguration": 0.0004 / 1000, "GetBucketReplication": 0.0004 / 1000,
	}
	for asked, times := range c.calls {
		total += float64(times) / c.hours * 24 * 30 * price[asked.Operation]
	}
	return total
}

// BenchmarkCost tells what AWS is asked, and charges, for 1,000 copies of each kind,
// and what asking takes of us. The probes are the real ones, on the stand-in of the
// lab, whose clock is put on from one look to the next.
func BenchmarkCost(b *testing.B) {
	for b.Loop() {
		var all []costs
		for _, of := range []struct {
			name    string
			minutes int
			crew    func(*costStage) crew
		}{
			{"RDS replicas", 60, (*costStage).replicas},
			{"prefixes, a dump a day", 60, func(s *costStage) crew { return s.dumps(24 * time.Hour) }},
			{"prefixes, a dump an hour", 15, func(s *costStage) crew { return s.dumps(time.Hour) }},
			{"resources in AWS Backup", 60, (*costStage).recoveryPoints},
		} {
			s := newCostStage(b)
			all = append(all, s.cost(of.name, either(of.minutes, 5), of.crew(s)))
		}
		showCosts(all)
		replicas := all[0]
		ours, theirs := replicas.perMinute("GetMetricData"), exporterCalls(costCopies)
		fmt.Printf("CloudWatch for the lag of %d replicas, calls a minute: drwatch %.0f; yet-another-cloudwatch-exporter, computed: %s\n\n", costCopies, ours, theirs)
		require.Less(b, ours, theirs.cloudWatch())
		b.ReportMetric(ours, "GetMetricData/min")
		for i, unit := range []string{"replicas", "daily", "hourly", "backup"} {
			b.ReportMetric(all[i].perMinute(""), unit+"-calls/min")
			b.ReportMetric(all[i].dollars(), unit+"-$/month")
		}
	}
}

func showCosts(all []costs) {
	minutes := func(c costs) float64 { return costCopies * c.hours * 60 }
	rows, calls := []table.Row{}, []table.Row{}
	for _, c := range all {
		rows = append(rows, table.Row{
			c.name, c.first, fmt.Sprintf("%.1f", c.perMinute("")), fmt.Sprintf("%.2f", c.dollars()),
			fmt.Sprintf("%.0f µs", float64(c.cpu.Microseconds())/minutes(c)), fmt.Sprintf("%.1f kB", c.bytes/minutes(c)/1e3), fmt.Sprintf("%.1f kB", c.heap/costCopies/1e3),
		})
		for _, asked := range slices.SortedFunc(maps.Keys(c.calls), func(a, b labaws.Asked) int { return c.calls[b] - c.calls[a] }) {
			calls = append(calls, table.Row{c.name, asked.Operation, asked.Region, fmt.Sprintf("%.2f", float64(c.calls[asked])/c.hours/60)})
		}
	}
	show(fmt.Sprintf("BenchmarkCost: %d copies of each kind, one look each %s, the stand-in for AWS in the same process:", costCopies, costEvery),
		table.Row{"copies", "calls of the first looks", "then calls a minute", "US dollars in 30 days", "CPU for a copy and minute", "allocated for it", "heap for a copy"}, rows)
	show("Calls a minute:", table.Row{"copies", "operation", "region", "calls a minute"}, calls)
}

// exporter is what yet-another-cloudwatch-exporter asks in each scrape for one metric
// of so many tagged resources, by a discovery job. (A static job asks for one metric
// in a call of GetMetricStatistics: as many calls as metrics.)
type exporter struct{ getMetricData, listMetrics, getResources float64 }

// exporterCalls computes it from what the exporter documents and does: a page of
// GetResources for each 100 resources, ListMetrics for each metric (AWS gives 500
// in a page), and then -metrics-per-query, 500 by default, in a GetMetricData.
//
// https://github.com/prometheus-community/yet-another-cloudwatch-exporter/blob/master/docs/configuration.md
// https://github.com/prometheus-community/yet-another-cloudwatch-exporter/blob/master/pkg/job/discovery.go
// https://github.com/prometheus-community/yet-another-cloudwatch-exporter/blob/master/pkg/clients/tagging/client.go
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html
func exporterCalls(resources int) exporter {
	pages := func(size int) float64 { return float64((resources + size - 1) / size) }
	return exporter{getMetricData: pages(500), listMetrics: pages(500), getResources: pages(100)}
}

func (e exporter) cloudWatch() float64 { return e.getMetricData + e.listMetrics }

func (e exporter) String() string {
	return fmt.Sprintf("%.0f (GetMetricData %.0f, ListMetrics %.0f), and %.0f GetResources", e.cloudWatch(), e.getMetricData, e.listMetrics, e.getResources)
}

// costStage is AWS with a clock that can be put on, and what drwatch asks it with.
type costStage struct {
	b     *testing.B
	cloud *labaws.Cloud
	pool  *awsapi.Pool
	at    atomic.Int64 // since the epoch
}

// crew is what looks, and what goes on in AWS in a minute.
type crew struct {
	looks  []probes.Prober
	minute func(int)
}

func newCostStage(b *testing.B) *costStage {
	b.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		b.Setenv(name, value)
	}
	s := &costStage{b: b}
	s.at.Store(time.Date(2026, 11, 24, 12, 0, 30, 0, time.UTC).UnixNano())
	cloud, err := labaws.Start(b.Context(), labaws.Options{Now: s.now})
	require.NoError(b, err)
	s.cloud = cloud
	cloud.S3().AllowSkew(1000 * 24 * time.Hour) // the SDK signs by the clock of the machine
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.now})
	return s
}

func (s *costStage) now() time.Time { return time.Unix(0, s.at.Load()).UTC() }

// cost looks once, and then for so many minutes, and takes AWS down.
func (s *costStage) cost(name string, minutes int, crew crew) costs {
	s.b.Helper()
	heap := heapInUse()
	s.lookAtAll(crew.looks)
	before, cpu, bytes := s.cloud.Calls(), cpuOfUs(s.b), allocated()
	for minute := range minutes {
		crew.minute(minute)
		for range time.Minute / costEvery {
			s.at.Add(int64(costEvery))
			s.lookAtAll(crew.looks)
		}
	}
	c := costs{name: name, calls: make(map[labaws.Asked]int), hours: float64(minutes) / 60, cpu: cpuOfUs(s.b) - cpu, bytes: allocated() - bytes, heap: heapInUse() - heap}
	for asked, times := range s.cloud.Calls() {
		c.first += before[asked]
		if times > before[asked] {
			c.calls[asked] = times - before[asked]
		}
	}
	runtime.KeepAlive(crew)
	s.pool.Close()
	require.NoError(s.b, s.cloud.Close())
	return c
}

// lookAtAll looks at all copies, some at a time, as the monitor does.
func (s *costStage) lookAtAll(all []probes.Prober) {
	s.b.Helper()
	ctx, cancel := context.WithTimeout(s.b.Context(), 2*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	next, failed := make(chan probes.Prober), make(chan error, len(all))
	for range 8 {
		group.Go(func() {
			for prober := range next {
				reading, err := prober.Look(ctx)
				if err == nil && len(reading.Points) == 0 {
					err = fmt.Errorf("no recovery point: %+v", reading)
				}
				if err != nil {
					failed <- err
				}
			}
		})
	}
	for _, prober := range all {
		next <- prober
	}
	close(next)
	group.Wait()
	close(failed)
	for err := range failed {
		require.NoError(s.b, err)
	}
}

// target is what every copy here is like.
func target(kind readiness.CopyKind) probes.Target {
	return probes.Target{Copy: readiness.Copy{Name: "copy", Kind: kind, Region: lab.StandbyRegion}}
}

// replicas is cross-region replicas of RDS, each of another primary.
func (s *costStage) replicas() crew {
	fleet := rds.NewFleet(s.pool)
	c := crew{minute: func(int) {}}
	for n := range costCopies {
		primary := labaws.Instance{Region: lab.PrimaryRegion, ID: fmt.Sprintf("production-%04d", n), Class: "db.m6g.large", Engine: "postgres", Version: "15.8", Created: s.now().AddDate(0, 0, -30)}
		replica := primary
		replica.Region, replica.ID, replica.Source = lab.StandbyRegion, fmt.Sprintf("replica-%04d", n), primary.ARN()
		replica.Lag = func(context.Context, time.Time) (float64, bool) { return 12, true }
		s.cloud.RDS().Put(primary)
		s.cloud.RDS().Put(replica)
		probe, err := rds.New(rds.Config{Instance: replica.ID, Source: replica.Source, AWS: awsapi.Access{Endpoint: s.cloud.URL()}}, target(readiness.Replica), fleet)
		require.NoError(s.b, err)
		c.looks = append(c.looks, probe)
	}
	return c
}

// dumps is prefixes in one bucket with a dump at each interval, and eight of them
// to begin with. Each prefix has its own minute of the interval.
func (s *costStage) dumps(every time.Duration) crew {
	archive, err := os.ReadFile("../../probes/s3/archive/testdata/custom.dump")
	require.NoError(s.b, err)
	s.cloud.S3().CreateBucket(labaws.Bucket{Name: "dumps", Region: lab.StandbyRegion, Versioning: "Enabled"})
	fleet, begin, interval := s3.NewFleet(s.pool), s.now(), int(every.Minutes())
	put := func(n int, begun time.Time) {
		key := fmt.Sprintf("db-%04d/", n) + begun.Format("2006/01/02/festivals-150405.dump")
		require.NoError(s.b, s.cloud.S3().Put(labaws.Object{Bucket: "dumps", Key: key, Body: begunAt(archive, begun), Modified: begun.Add(10 * time.Minute)}))
	}
	var c crew
	for n := range costCopies {
		for ago := range 8 {
			put(n, begin.Add(-10*time.Minute-time.Duration(ago)*every-time.Duration(interval-1-n%interval)*time.Minute))
		}
		probe, err := s3.New(s3.Config{
			Bucket: "dumps", Prefix: fmt.Sprintf("db-%04d/{yyyy}/{mm}/{dd}/", n), Pattern: "*.dump", Every: every, Timezone: "UTC", AWS: awsapi.Access{Endpoint: s.cloud.URL()},
		}, target(readiness.Backup), fleet)
		require.NoError(s.b, err)
		c.looks = append(c.looks, probe)
	}
	c.minute = func(minute int) {
		for n := minute % interval; n < costCopies; n += interval {
			put(n, s.now().Add(-10*time.Minute))
		}
	}
	return c
}

// begunAt is an archive of pg_dump with another time in its header: the numbers of a
// struct tm, each with a sign and four bytes.
func begunAt(archive []byte, t time.Time) []byte {
	body := slices.Clone(archive)
	const first = 5 + 3 + 2 + 1 + 5 // magic, version, sizes, format, compression
	for i, n := range []int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()) - 1, t.Year() - 1900, 0} {
		binary.LittleEndian.PutUint32(body[first+5*i+1:], uint32(n))
	}
	return body
}

// recoveryPoints is resources in one vault, with a recovery point a day, and five of
// them to begin with.
func (s *costStage) recoveryPoints() crew {
	vault := labaws.VaultID{Region: lab.StandbyRegion, Name: "festivals"}
	s.cloud.Backup().PutVault(labaws.Vault{VaultID: vault, Created: s.now().AddDate(-1, 0, 0)})
	resource := func(n int) string {
		return fmt.Sprintf("arn:aws:rds:%s:%s:db:db-%04d", lab.PrimaryRegion, labaws.Account, n)
	}
	fleet, made := awsbackup.NewFleet(s.pool), 0
	put := func(n int, at time.Time) {
		made++
		s.cloud.Backup().Put(vault, labaws.RecoveryPoint{
			ARN: fmt.Sprintf("arn:aws:rds:%s:%s:snapshot:awsbackup:job-%d", lab.StandbyRegion, labaws.Account, made), Resource: resource(n), ResourceType: "RDS",
			Created: at, Initiated: at, Completed: at.Add(12 * time.Minute), Size: 20 << 30, DeleteAfter: 35,
		})
	}
	const day = 24 * 60
	var c crew
	for n := range costCopies {
		for ago := range 5 {
			put(n, s.now().AddDate(0, 0, -ago).Add(-time.Duration(day-1-n%day)*time.Minute))
		}
		probe, err := awsbackup.New(awsbackup.Config{Vault: vault.Name, Resource: resource(n), AWS: awsapi.Access{Endpoint: s.cloud.URL()}}, target(readiness.Backup), fleet)
		require.NoError(s.b, err)
		c.looks = append(c.looks, probe)
	}
	c.minute = func(minute int) {
		for n := minute; n < costCopies; n += day {
			put(n, s.now())
		}
	}
	return c
}

func cpuOfUs(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func allocated() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.TotalAlloc)
}

// heapInUse is what is left after garbage is collected.
func heapInUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
