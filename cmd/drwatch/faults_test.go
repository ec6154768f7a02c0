package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/examples/festivals"
	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/postgres"
)

const (
	interval = time.Second // the shortest that @every knows
	timeout  = 800 * time.Millisecond
	// told is how soon after a fault the page must tell of it: two intervals, the
	// timeout, and what a busy machine takes.
	told = 2*interval + timeout + 2*time.Second
	// healed is how soon after the end of a fault the page must be well again;
	// PostgreSQL and Redis need some of it to link up.
	healed = 20 * time.Second
)

// festivalsLab is the lab, watched by "drwatch serve" with the Festivals example.
type festivalsLab struct {
	*lab.Lab
	url    string
	file   string
	writes *writeLog
}

func startFestivals(t *testing.T) *festivalsLab {
	t.Helper()
	f := startLab(t)
	f.writes = watchWrites(t, f.Lab)
	f.url = startServe(t, f.file)
	f.eventually(t, healed, "everything well at the start", f.well)
	return f
}

// startLab starts the lab, points the environment at it, and watches nothing yet.
func startLab(t *testing.T) *festivalsLab {
	t.Helper()
	l := labtest.Start(t, func(o *lab.Options) {
		o.SetupSQL, o.AWS = []string{postgres.SetupSQL(postgres.SetupOptions{})}, true
		o.BackupInterval = time.Hour // a backup that is newer than a replica that stands still would cover for it
	})
	for name, value := range labEnvironment(l.Endpoints()) {
		t.Setenv(name, value)
	}
	for name, value := range l.Endpoints().AWS {
		t.Setenv(name, value)
	}
	t.Setenv("FESTIVALS_SCHEDULE", "@every 1s")
	t.Setenv("FESTIVALS_AWS_SCHEDULE", "@every 2s")
	t.Setenv("FESTIVALS_AWS_TIMEOUT", "1900ms")
	t.Setenv("FESTIVALS_AWS_MAX_AGE", "1s")
	t.Setenv("FESTIVALS_TIMEOUT", timeout.String())
	folder := t.TempDir()
	file := filepath.Join(folder, "drwatch.yaml")
	require.NoError(t, os.WriteFile(file, festivals.Config(), 0o600))
	require.NoError(t, os.CopyFS(folder, festivals.Runbooks()))
	return &festivalsLab{Lab: l, file: file}
}

// startServe runs "drwatch serve" until the test ends and gives its address.
func startServe(t *testing.T, file string, flags ...string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--config.file", file, "--web.listen-address", address, "--log.level", "warn"}, flags...), streams{out: t.Output(), err: t.Output()})
	}()
	t.Cleanup(func() {
		cancel()
		require.Equal(t, exitOK, <-ended)
	})
	url := "http://" + address
	require.Eventually(t, func() bool {
		code, _ := get(url + "/-/healthy")
		return code == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	return url
}

func get(url string) (code int, body string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// page is one scrape.
type page struct {
	at       time.Time
	took     time.Duration
	families map[string]*dto.MetricFamily
}

func (f *festivalsLab) scrape(t *testing.T) page {
	t.Helper()
	at := time.Now()
	code, body := get(f.url + "/metrics")
	require.Equal(t, http.StatusOK, code, body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	return page{at, time.Since(at), families}
}

// value gives a series by "name label=value label=value"; NaN when it is absent.
func (p page) value(series string) float64 {
	words := strings.Fields(series)
	family := p.families[words[0]]
	for _, m := range family.GetMetric() {
		labels := make([]string, 0, len(m.Label))
		for _, l := range m.Label {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		if !slices.ContainsFunc(words[1:], func(w string) bool { return !slices.Contains(labels, w) }) {
			if m.Counter != nil {
				return m.Counter.GetValue()
			}
			return m.Gauge.GetValue()
		}
	}
	return math.NaN()
}

// sum adds up all series of a name.
func (p page) sum(name string) (total float64) {
	for _, m := range p.families[name].GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}

func (p page) state(subject, check string) string {
	for _, state := range []string{"pass", "warn", "fail", "unknown"} {
		if p.value(fmt.Sprintf("dr_check_state subject=%s check=%s state=%s", subject, check, state)) == 1 {
			return state
		}
	}
	return "absent"
}

func recoveryPoint(store string) string {
	return "dr_recovery_point_timestamp_seconds copy=replica datastore=" + store
}

func exposure(store string) string {
	return "dr_rpo_exposure_seconds scenario=region-failure datastore=" + store
}

func (f *festivalsLab) eventually(t *testing.T, within time.Duration, what string, holds func(p page) error) page {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		p := f.scrape(t)
		err := holds(p)
		if err == nil {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
		time.Sleep(20 * time.Millisecond) // between two scrapes of the condition
	}
}

// well holds when both datastores are covered in a region failure and no check
// is in the way.
func (f *festivalsLab) well(p page) error {
	for _, store := range []string{"festivals-db", "festivals-redis"} {
		if e := p.value(exposure(store)); !(e < told.Seconds()) {
			return fmt.Errorf("exposure of %s is %v", store, e)
		}
	}
	for _, m := range p.families["dr_check_state"].GetMetric() {
		for _, l := range m.Label {
			if bad := l.GetValue(); m.Gauge.GetValue() == 1 && l.GetName() == "state" && (bad == "fail" || bad == "unknown") {
				return fmt.Errorf("check %v", m.Label)
			}
		}
	}
	if p.value("dr_ready scenario=region-failure") != 1 {
		return fmt.Errorf("not ready for a region failure")
	}
	return nil
}

// writeLog knows when each write of the workload was acknowledged.
type writeLog struct {
	mu    sync.Mutex
	acked map[lab.Store][]lab.Write
}

func watchWrites(t *testing.T, l *lab.Lab) *writeLog {
	w := &writeLog{acked: make(map[lab.Store][]lab.Write)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.Tick(10 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick:
			}
			for _, store := range []lab.Store{lab.Postgres, lab.Redis} {
				w.note(store, l.LastWrite(store))
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func (w *writeLog) note(store lab.Store, newest lab.Write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.acked[store]
	if len(known) == 0 || known[len(known)-1].Number != newest.Number {
		w.acked[store] = append(known, newest)
	}
}

// firstLost is when the first write was acknowledged that a copy which holds
// everything up to number does not hold; zero when it holds all.
func (w *writeLog) firstLost(store lab.Store, number int64) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, write := range w.acked[store] {
		if write.Number > number {
			return write.Acknowledged
		}
	}
	return time.Time{}
}

// held asks the standby itself what the newest write is that it holds.
func (f *festivalsLab) held(t *testing.T, store lab.Store) (number int64) {
	t.Helper()
	if store == lab.Redis {
		client := f.RedisClient(lab.Standby)
		defer client.Close()
		number, err := client.Get(t.Context(), "festivals:bookings").Int64()
		require.NoError(t, err)
		return number
	}
	conn, err := f.ConnectPostgres(t.Context(), lab.Standby)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT max(id) FROM bookings").Scan(&number))
	return number
}

// requireTrue holds the page against what the standby really has: no write that
// was acknowledged before the recovery point may be missing there.
func (f *festivalsLab) requireTrue(t *testing.T, store lab.Store, datastore string) {
	t.Helper()
	claimed := f.scrape(t).value(recoveryPoint(datastore))
	lost := f.writes.firstLost(store, f.held(t, store))
	if !lost.IsZero() {
		require.LessOrEqual(t, claimed, float64(lost.UnixNano())/1e9+0.001,
			"the page claims what the standby does not hold")
	}
}

// backupStands requires that a backup is worth no more than the newest whole one
// that was made, and no newer one appears.
func (f *festivalsLab) backupStands(t *testing.T, datastore, copyName string, store lab.Store) {
	t.Helper()
	newest, made := f.NewestDump(store)
	require.True(t, made)
	point := "dr_recovery_point_timestamp_seconds copy=" + copyName + " datastore=" + datastore
	p := f.eventually(t, 10*time.Second, "the newest whole one is known", func(p page) error {
		if at := p.value(point); at < float64(newest.Begun.Unix())-3 {
			return fmt.Errorf("the recovery point is %v, of a dump begun at %v", at, newest.Begun.Unix())
		}
		return nil
	})
	p = f.eventually(t, 10*time.Second, "some time passes", idleFor(p, 4*time.Second))
	require.LessOrEqual(t, p.value(point), float64(newest.Lacks.UnixNano())/1e9, "the page claims what the dump does not hold")
}

// check runs "drwatch check" and gives its exit code and what it printed.
func (f *festivalsLab) check(t *testing.T, flags ...string) (int, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"check", "--config.file", f.file, "--scenario", "region-failure"}, flags...), streams{out: &out, err: &errs})
	return code, out.String() + errs.String()
}

// stands requires that the recovery point soon stays where it is, and that the
// exposure then grows with the clock.
func (f *festivalsLab) stands(t *testing.T, datastore string) {
	t.Helper()
	before := f.scrape(t)
	after := f.eventually(t, told+3*interval, "the recovery point stands", func(p page) error {
		// A commit's moment is known to the accuracy to which the clock of the primary is.
		if moved := p.value(recoveryPoint(datastore)) - before.value(recoveryPoint(datastore)); math.Abs(moved) > 0.05 {
			before = p
			return fmt.Errorf("it moved by %v s", moved)
		}
		return idleFor(before, 1500*time.Millisecond)(p)
	})
	unsure := (before.took + after.took).Seconds() // a page is made at some moment while one waits for it
	require.InDelta(t, after.at.Sub(before.at).Seconds(), after.value(exposure(datastore))-before.value(exposure(datastore)), 0.5+unsure, "the exposure grows with the clock")
}

// What each fault must look like on the page, within two intervals, and how it
// must be well again after it. A wrong row here is a wrong decision in the night
// of the disaster.
func TestFaults_ThePageTellsTheTruth(t *testing.T) {
	f := startFestivals(t)
	const db, cache = "festivals-db", "festivals-redis"
	t.Run("promtool finds nothing on the page", func(t *testing.T) {
		_, body := get(f.url + "/metrics")
		promtool := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		promtool.Stdin = strings.NewReader(body)
		output, err := promtool.CombinedOutput()
		require.NoError(t, err, string(output))
		require.Empty(t, string(output))
	})
	type want map[string]string // "subject check" -> states that tell the truth
	for _, row := range []struct {
		fault     lab.Fault
		store     lab.Store
		datastore string
		checks    want
		// loses says that what is written during the fault would be lost.
		loses bool
		// quiet says that nothing fails, or not for sure while it lasts: the numbers tell of it.
		quiet bool
		// unreadable says that the standby cannot be asked what it holds.
		unreadable bool
		// rests says that Route 53 is asked again only after a while: that is part of not asking it too often.
		rests bool
		// more requires what is special about the row.
		more func(t *testing.T, p page)
	}{
		{fault: "idle", quiet: true, checks: want{}, more: func(t *testing.T, _ page) {
			p := f.eventually(t, 10*time.Second, "some idle time passes", idleFor(f.scrape(t), 4*time.Second))
			for _, store := range []string{db, cache} {
				require.Less(t, p.value(exposure(store)), told.Seconds(), "an idle primary is no lag")
			}
		}},
		{fault: "standby-down", unreadable: true, store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/replica look": "unknown", db + "/replica receiver": "unknown", db + "/replica role": "unknown"},
			more: func(t *testing.T, p page) {
				require.Zero(t, p.value("dr_probe_success probe="+db+"/replica"))
				require.True(t, math.IsNaN(p.value("dr_replication_connected datastore="+db)), "what cannot be seen has no old value")
				require.True(t, math.IsNaN(p.value("dr_replication_received_lag_seconds datastore="+db)))
				require.Equal(t, "pass", p.state(cache+"/replica", "look"))
			}},
		{fault: "replay-paused", unreadable: true, store: lab.Postgres, datastore: db, checks: want{db + "/replica replay": "fail warn"},
			more: func(t *testing.T, p page) {
				require.Less(t, p.value(exposure(db)), told.Seconds(), "what is received is not lost")
				const lag = "dr_replication_replay_lag_seconds datastore=" + db
				grown := f.eventually(t, 10*time.Second, "replay lag grows", func(q page) error {
					if q.value(lag) < p.value(lag)+2 {
						return fmt.Errorf("replay lag %v", q.value(lag))
					}
					return nil
				})
				require.InDelta(t, grown.at.Sub(p.at).Seconds(), grown.value(lag)-p.value(lag), 1.6, "at the speed of the clock, to one look")
				require.Less(t, grown.value("dr_replication_received_lag_seconds datastore="+db), told.Seconds())
			}},
		{fault: "link-cut", store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/replica receiver": "fail", db + "/replica look": "pass"},
			more: func(t *testing.T, p page) {
				require.Zero(t, p.value("dr_replication_connected datastore="+db))
				f.eventually(t, told, "bytes at risk", func(p page) error {
					if bytes := p.value("dr_replication_received_lag_bytes datastore=" + db); !(bytes > 0) {
						return fmt.Errorf("%v bytes", bytes)
					}
					return nil
				})
			}},
		{fault: "receiver-frozen", quiet: true, store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/replica look": "pass"},
			more: func(t *testing.T, _ page) {
				f.eventually(t, told, "lag shows, where the usual query says 0", func(p page) error {
					bytes, seconds := p.value("dr_replication_received_lag_bytes datastore="+db), p.value("dr_replication_received_lag_seconds datastore="+db)
					if !(bytes > 0 && seconds > 0.5) {
						return fmt.Errorf("%v bytes, %v s", bytes, seconds)
					}
					return nil
				})
			}},
		{fault: "primary-killed", store: lab.Postgres, datastore: db, loses: false, checks: want{db + "/primary look": "unknown", db + "/replica look": "pass", db + "/replica receiver": "fail", db + " split-brain": "unknown"},
			more: func(t *testing.T, _ page) { f.stands(t, db) }},
		{fault: "standby-restarted-alone", store: lab.Postgres, datastore: db, loses: false, checks: want{db + "/primary look": "unknown", db + "/replica look": "pass", db + "/replica receiver": "fail"},
			more: func(t *testing.T, _ page) { f.stands(t, db) }},
		{fault: "primary-frozen", store: lab.Postgres, datastore: db, loses: false, checks: want{db + "/primary look": "unknown", db + "/replica look": "pass", cache + "/primary look": "pass"},
			more: func(t *testing.T, p page) {
				require.Greater(t, p.value("dr_probe_failures_total class=timeout probe="+db+"/primary"), 0.0)
				f.requireUnhurried(t, db+"/primary")
				f.stands(t, db)
			}},
		{fault: "primary-unseen", store: lab.Postgres, datastore: db, checks: want{db + "/primary look": "unknown", db + "/replica look": "pass", db + "/replica receiver": "pass", db + " split-brain": "unknown"},
			more: func(t *testing.T, p page) {
				require.Equal(t, 1.0, p.value("dr_ready scenario=region-failure"), "the replica is still one to recover from")
			}},
		{fault: "partition", store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/primary look": "unknown", cache + "/primary look": "unknown", db + "/pitr look": "unknown", db + "/pitr-standby look": "pass", db + "/replica receiver": "fail"}},
		{fault: "link-silent", quiet: true, store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/replica look": "pass", db + "/primary look": "pass"},
			more: func(t *testing.T, _ page) {
				f.eventually(t, told, "lag shows, although every connection is open", func(p page) error {
					if bytes := p.value("dr_replication_received_lag_bytes datastore=" + db); !(bytes > 0) {
						return fmt.Errorf("%v bytes", bytes)
					}
					return nil
				})
			}},
		{fault: "partition-silent", store: lab.Postgres, datastore: db, loses: true, checks: want{db + "/primary look": "unknown", cache + "/primary look": "unknown", db + "/pitr look": "unknown", db + "/pitr-standby look": "pass", db + "/replica look": "pass"},
			more: func(t *testing.T, p page) {
				require.Greater(t, p.value("dr_probe_failures_total class=timeout probe="+db+"/primary"), 0.0)
			}},
		{fault: "redis-link-cut", store: lab.Redis, datastore: cache, loses: true, checks: want{cache + "/replica look": "pass", cache + "/replica link": "fail"}},
		{fault: "redis-replica-down", unreadable: true, store: lab.Redis, datastore: cache, loses: true, checks: want{cache + "/replica look": "unknown"}},
		{fault: "redis-primary-killed", store: lab.Redis, datastore: cache, checks: want{cache + "/primary look": "unknown", cache + "/replica look": "pass"},
			more: func(t *testing.T, _ page) { f.stands(t, cache) }},
		{fault: "redis-primary-frozen", store: lab.Redis, datastore: cache, checks: want{cache + "/primary look": "unknown", cache + "/replica look": "pass", db + "/primary look": "pass"},
			more: func(t *testing.T, _ page) { f.requireUnhurried(t, cache+"/primary") }},
		{fault: "link-slow", quiet: true, store: lab.Postgres, datastore: db, checks: want{db + "/replica look": "pass"},
			more: func(t *testing.T, _ page) {
				f.eventually(t, 10*time.Second, "the lag of a slow link shows", func(p page) error {
					if lag := p.value("dr_replication_received_lag_seconds datastore=" + db); !(lag > 2) {
						return fmt.Errorf("received lag %v", lag)
					}
					return nil
				})
			}},
		{fault: "redis-link-slow", quiet: true, store: lab.Redis, datastore: cache, checks: want{cache + "/replica look": "pass"}},
		{fault: "aws-denied", checks: want{db + "/pitr look": "unknown", db + "/pitr-standby look": "unknown", db + "/snapshots-standby look": "unknown",
			db + "/replica look": "pass", db + "/replica rds": "unknown", db + "/dumps look": "pass"},
			more: func(t *testing.T, p page) {
				require.Equal(t, 1.0, p.value("dr_ready scenario=data-corruption"), "the dumps are still there")
				_, out := f.check(t)
				require.NotContains(t, out, "but sound is", "the replica itself says that it is in good order")
				require.Contains(t, strings.Join(strings.Fields(out), " "), "rds:DescribeDBInstance")
			}},
		{fault: "aws-proxied", rests: true, checks: want{db + "/pitr look": "unknown", db + "/dumps-standby look": "unknown", db + "/vault look": "unknown", db + "/replica look": "pass"},
			more: func(t *testing.T, p page) {
				require.Greater(t, p.value("dr_probe_failures_total class=malformed probe="+db+"/vault"), 0.0)
			}},
		{fault: "metrics-silent", quiet: true, checks: want{db + "/replica look": "pass", db + "/replica lag": "unknown"}},
		{fault: "backups-stopped", quiet: true, checks: want{}, more: func(t *testing.T, _ page) {
			f.backupStands(t, db, "dumps-standby", lab.Postgres)
			f.backupStands(t, cache, "dumps-standby", lab.Redis)
		}},
		{fault: "dump-truncated", checks: want{db + "/dumps-standby dump": "fail", cache + "/dumps-standby dump": "pass"},
			more: func(t *testing.T, _ page) { f.backupStands(t, db, "dumps-standby", lab.Postgres) }},
		{fault: "dump-empty", checks: want{db + "/dumps-standby dump": "fail"},
			more: func(t *testing.T, _ page) { f.backupStands(t, db, "dumps-standby", lab.Postgres) }},
		{fault: "bucket-gone", checks: want{db + "/dumps-standby dump": "fail unknown", cache + "/dumps-standby dump": "fail unknown", db + "/dumps dump": "pass warn"},
			more: func(t *testing.T, p page) {
				require.Equal(t, 1.0, p.value("dr_rpo_compliant datastore="+db+" scenario=security-breach"), "the vault is still there")
				require.Zero(t, p.value("dr_ready scenario=security-breach"), "of the sessions there is nothing else")
			}},
		// Turned away for coming too often: nothing is lost from the page, and nothing is stormed. It is the last row,
		// because the SDK remains slow for a while.
		{fault: "aws-throttled", quiet: true, checks: want{db + "/pitr look": "pass", db + "/dumps-standby look": "pass", db + "/vault look": "pass"},
			more: func(t *testing.T, p page) {
				before := p.sum("drwatch_cloud_requests_total")
				p = f.eventually(t, 15*time.Second, "some time of it passes", idleFor(p, 6*time.Second))
				require.Equal(t, "pass", p.state(db+"/pitr", "look"))
				require.Equal(t, 1.0, p.value("dr_ready scenario=data-corruption"))
				require.Greater(t, p.sum("drwatch_cloud_throttles_total"), 0.0)
				require.Less(t, p.sum("drwatch_cloud_requests_total")-before, 120.0, "in six seconds, of some twenty questions")
			}},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			require.NoError(t, f.Break(t.Context(), row.fault))
			defer func() { // a row that failed leaves nothing broken for the next
				if slices.Contains(f.Broken(), row.fault) {
					_ = f.Heal(context.Background(), row.fault)
				}
			}()
			p := f.eventually(t, told, "checks tell of it", func(p page) error {
				for key, states := range row.checks {
					subject, check, _ := strings.Cut(key, " ")
					if got := p.state(subject, check); !slices.Contains(strings.Fields(states), got) {
						return fmt.Errorf("%s is %s, not %s", key, got, states)
					}
				}
				return nil
			})
			if row.store != "" && !row.unreadable {
				f.requireTrue(t, row.store, row.datastore)
			}
			if row.more != nil {
				row.more(t, p)
			}
			if row.loses {
				f.stands(t, row.datastore)
			}
			if !row.quiet {
				code, out := f.check(t)
				require.Equal(t, exitNotReady, code, out)
				require.Contains(t, out, "NOT READY")
			}
			require.NoError(t, f.Heal(t.Context(), row.fault))
			within := healed
			if row.rests {
				within = 90 * time.Second
			}
			f.eventually(t, within, "well again", f.well)
			f.until(t, "well for the command, too", func() error { // whose looks all come at once, on a machine that may be busy
				if code, out := f.check(t); code != exitOK {
					return fmt.Errorf("exit code %d: %s", code, out)
				}
				return nil
			})
			if row.store != "" {
				f.requireTrue(t, row.store, row.datastore)
			}
		})
	}
}

func idleFor(since page, d time.Duration) func(page) error {
	return func(p page) error {
		if p.at.Sub(since.at) < d {
			return fmt.Errorf("not yet")
		}
		return nil
	}
}

// requireUnhurried requires that a target that hangs delays nobody: every other
// probe is looked at on time, and the page does not wait for it.
func (f *festivalsLab) requireUnhurried(t *testing.T, hanging string) {
	t.Helper()
	p := f.eventually(t, 10*time.Second, "some time passes", idleFor(f.scrape(t), 3*interval))
	require.Less(t, p.took, timeout, "the page waits for nobody")
	for _, m := range p.families["dr_probe_last_success_timestamp_seconds"].GetMetric() {
		if probe := m.Label[0].GetValue(); probe != hanging && probe != api+"/record" { // which is looked at every ten seconds
			require.Less(t, float64(p.at.UnixNano())/1e9-m.Gauge.GetValue(), told.Seconds(), "%s is late", probe)
		}
	}
}
