package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
)

// withSchedule is a small file with this schedule.
func withSchedule(spec string) string {
	return strings.Replace(minimal, "datastores:", fmt.Sprintf("schedule: %q\ntimeout: 1s\ndatastores:", spec), 1)
}

const minimal = `system: shop
instance: { region: there }
regions: { primary: here, standby: there }
datastores:
  - name: orders
    copies:
      - name: primary
        kind: primary
        region: here
        postgres: { dsn: "postgres://drwatch@a.example/orders" }
      - name: replica
        kind: replica
        region: there
        postgres: { dsn: "postgres://drwatch@b.example/orders" }
`

// When looks come is what the file says, and no surprise of the host.
func TestSchedule_Next(t *testing.T) {
	from := time.Date(2026, time.March, 28, 23, 58, 30, 0, time.UTC) // Central Europe skips an hour at 01:00 UTC
	for spec, next := range map[string]string{
		"@every 15s":                       "2026-03-28T23:58:45Z",
		"@every 1h30m":                     "2026-03-29T00:00:00Z",
		" @every  1m ":                     "2026-03-28T23:59:00Z",
		"@hourly":                          "2026-03-29T00:00:00Z",
		"@daily":                           "2026-03-29T00:00:00Z",
		"*/5 * * * *":                      "2026-03-29T00:00:00Z",
		"0 6 * * *":                        "2026-03-29T06:00:00Z",
		"0 6 * * MON-FRI":                  "2026-03-30T06:00:00Z",
		"CRON_TZ=Europe/Berlin 0 6 * * *":  "2026-03-29T04:00:00Z",
		"TZ=Asia/Kolkata 0 6 * * *":        "2026-03-29T00:30:00Z",
		"CRON_TZ=Europe/Berlin 30 0 * * 1": "2026-03-29T22:30:00Z",
	} {
		targets := parse(t, withSchedule(spec)).Targets()
		require.Equal(t, next, targets[0].Schedule.Next(from).UTC().Format(time.RFC3339), spec)
		require.Equal(t, spec, targets[0].Spec)
	}
}

// Moments that depended on when somebody asks would be others after each start,
// and for each copy of one datastore.
func TestSchedule_EveryComesAtTheSameMoments(t *testing.T) {
	const every = 7 * time.Second
	schedule := parse(t, withSchedule("@every 7s")).Targets()[0].Schedule
	from := time.Date(2026, time.March, 28, 23, 58, 30, 0, time.UTC)
	first := schedule.Next(from)
	for i := range 100 {
		asked := from.Add(time.Duration(i) * 1300 * time.Millisecond)
		next := schedule.Next(asked)
		require.Zero(t, next.Sub(first)%every)
		require.True(t, next.After(asked))
		require.LessOrEqual(t, next.Sub(asked), every)
	}
}

// A look goes stale when two more should have been there: sooner, and a single
// late one is an alarm; later, and a dead probe looks alive.
func TestSchedule_StaleAfter(t *testing.T) {
	for spec, stale := range map[string]time.Duration{
		"@every 15s":                   31 * time.Second,
		"@hourly":                      2*time.Hour + time.Second,
		"*/7 * * * *":                  8*time.Minute + time.Second, // 56 to 00 is the shortest
		"0 8,9 * * *":                  2*time.Hour + time.Second,
		"*/5 8-18 * * 1-5":             10*time.Minute + time.Second,
		"0 0 1 * *":                    56*24*time.Hour + time.Second, // February
		"CRON_TZ=Europe/Berlin @daily": 46*time.Hour + time.Second,    // the day that loses an hour
	} {
		require.Equal(t, stale, parse(t, withSchedule(spec)).Targets()[0].Copy.StaleAfter, spec)
	}
}

// Where the schedule itself pauses, people are told so, and do not look for a
// fault of drwatch in the night.
func TestSchedule_Pause(t *testing.T) {
	for spec, pause := range map[string]time.Duration{
		"@every 15s":       0,
		"*/7 * * * *":      0,
		"0 0 1 * *":        0,
		"0 6 * * 1-5":      3 * 24 * time.Hour,
		"*/5 8-18 * * *":   13*time.Hour + 5*time.Minute,
		"*/5 8-18 * * 1-5": 61*time.Hour + 5*time.Minute,
	} {
		require.Equal(t, pause, parse(t, withSchedule(spec)).Targets()[0].Copy.Pause, spec)
	}
}

// Defaults hold where the file is silent.
func TestSchedule_Default(t *testing.T) {
	c := parse(t, minimal)
	require.Equal(t, config.DefaultSchedule, c.Targets()[0].Spec)
	require.Equal(t, config.DefaultTimeout, c.Targets()[0].Timeout)
	require.Equal(t, config.DefaultConcurrency, c.Concurrency)
	require.Equal(t, 35*time.Second, c.Targets()[0].Copy.StaleAfter)
	require.NotEmpty(t, c.Instance.Name)
}
