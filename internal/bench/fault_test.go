//go:build linux

package bench

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/examples/festivals"
	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/probes/postgres"
)

const (
	faultEvery   = time.Second
	faultTimeout = 500 * time.Millisecond
)

// serveFestivals runs "drwatch serve" with the Festivals example on the lab, as
// from the standby region.
func serveFestivals(b *testing.B, l *lab.Lab) *program {
	b.Helper()
	e := l.Endpoints()
	file := filepath.Join(b.TempDir(), "drwatch.yaml")
	require.NoError(b, os.WriteFile(file, festivals.Config(), 0o600))
	serve := launch{
		path:   buildDrwatch(b),
		args:   []string{"serve", "--config.file", file, "--web.listen-address", "ADDRESS", "--log.level", "error"},
		health: "/-/healthy",
	}
	for name, value := range e.AWS {
		serve.env = append(serve.env, name+"="+value)
	}
	for name, value := range map[string]string{
		"FESTIVALS_AWS_SCHEDULE":           "@every 2s",
		"FESTIVALS_AWS_TIMEOUT":            "1900ms",
		"FESTIVALS_AWS_MAX_AGE":            "1s",
		"FESTIVALS_SCHEDULE":               "@every " + faultEvery.String(),
		"FESTIVALS_TIMEOUT":                faultTimeout.String(),
		"FESTIVALS_POSTGRES_PRIMARY":       e.Postgres.PrimaryAcross.URL,
		"FESTIVALS_POSTGRES_REPLICA":       e.Postgres.Standby.URL,
		"FESTIVALS_POSTGRES_PASSWORD_FILE": e.Postgres.PasswordFiles["drwatch"],
		"FESTIVALS_REDIS_PRIMARY":          e.Redis.PrimaryAcross.URL,
		"FESTIVALS_REDIS_REPLICA":          e.Redis.Standby.URL,
		"FESTIVALS_REDIS_PASSWORD_FILE":    e.Redis.PasswordFiles["drwatch"],
	} {
		serve.env = append(serve.env, name+"="+value)
	}
	return serve.start(b)
}

// telling is a fault, and the series that tells of it with 1.
type telling struct {
	fault                 lab.Fault
	subject, check, state string
}

func (t telling) series() string {
	return fmt.Sprintf(`dr_check_state{check="%s",state="%s",subject="festivals-%s"}`, t.check, t.state, t.subject)
}

func (t telling) told(page string) bool { return strings.Contains(page, "\n"+t.series()+" 1\n") }

// BenchmarkFaultToGauge breaks the lab again and again, each time at a random
// moment between two looks, and takes the time from the order to break until the
// page tells of it.
func BenchmarkFaultToGauge(b *testing.B) {
	l := labtest.Start(b, func(o *lab.Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.SetupSQL, o.AWS = []string{postgres.SetupSQL(postgres.SetupOptions{})}, true // the whole of the example
	})
	p := serveFestivals(b, l)
	promise := faultEvery + faultTimeout
	for b.Loop() {
		var rows []table.Row
		for _, t := range []telling{
			{lab.LinkCut, "db/replica", "receiver", "fail"},
			{lab.StandbyDown, "db/replica", "look", "unknown"},
			{lab.PrimaryKilled, "db/primary", "look", "unknown"},
			{lab.PrimaryFrozen, "db/primary", "look", "unknown"},
			{lab.RedisLinkCut, "redis/replica", "link", "fail"},
			{lab.RedisReplicaDown, "redis/replica", "look", "unknown"},
			{lab.RedisPrimaryKilled, "redis/primary", "look", "unknown"},
			{lab.RedisPrimaryFrozen, "redis/primary", "look", "unknown"},
		} {
			var told, took []time.Duration
			for range either(6, 1) {
				after, breaking := faultToGauge(b, l, p, t)
				told, took = append(told, after), append(took, breaking)
			}
			slices.Sort(told)
			slices.Sort(took)
			within := len(told) - len(slices.DeleteFunc(slices.Clone(told), func(d time.Duration) bool { return d <= promise }))
			rows = append(rows, table.Row{
				t.fault, t.check + " " + t.state, intervals(told[0]), intervals(told[len(told)/2]), intervals(told[len(told)-1]),
				intervals(took[len(took)/2]), fmt.Sprintf("%d of %d", within, len(told)),
			})
			b.ReportMetric(told[len(told)-1].Seconds()/faultEvery.Seconds(), string(t.fault)+"-max")
		}
		show(fmt.Sprintf("BenchmarkFaultToGauge: in intervals of %s; the promise is %s:", faultEvery, intervals(promise)),
			table.Row{"fault", "the page says", "min", "median", "max", "of it until the fault was there, median", "within the promise"}, rows)
	}
}

// faultToGauge breaks and heals once. breaking is how long it took until the
// fault was there and its victims had noticed.
func faultToGauge(b *testing.B, l *lab.Lab, p *program, t telling) (told, breaking time.Duration) {
	b.Helper()
	await(b, 30*time.Second, "all is well before "+string(t.fault), func() error {
		page := p.page(b)
		if t.told(page) || sum(page, `dr_ready{scenario="region-failure"}`) != 1 || sum(page, "dr_probe_success") != 11 { // all copies of the example
			return fmt.Errorf("it is not")
		}
		return nil
	})
	time.Sleep(rand.N(faultEvery)) //nolint:gosec // any moment will do
	broken := make(chan error, 1)
	began := time.Now()
	go func() {
		err := l.Break(b.Context(), t.fault)
		breaking = time.Since(began)
		broken <- err
	}()
	await(b, 30*time.Second, "the page tells of "+string(t.fault), func() error {
		if page := p.page(b); !t.told(page) {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	told = time.Since(began)
	require.NoError(b, <-broken)
	require.NoError(b, l.Heal(b.Context(), t.fault))
	return told, breaking
}

func intervals(d time.Duration) string {
	return fmt.Sprintf("%.2f", d.Seconds()/faultEvery.Seconds())
}
