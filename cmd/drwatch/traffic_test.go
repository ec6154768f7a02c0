package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/readiness"
)

const api = "api.festivals.app"

// looked is one "drwatch check" of the lab.
type looked struct {
	readiness.Report
	code int
}

func (l looked) check(subject, name string) readiness.Check {
	for _, c := range l.Checks() {
		if c.Subject == subject && c.Name == name {
			return c
		}
	}
	return readiness.Check{Evidence: "there is no such check"}
}

// region tells whether the system is ready for the loss of its region.
func (l looked) region() readiness.ScenarioReport {
	i := slices.IndexFunc(l.Scenarios, func(s readiness.ScenarioReport) bool { return s.Scenario == readiness.RegionFailure })
	return l.Scenarios[i]
}

func (f *festivalsLab) look(t *testing.T) looked {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"check", "--config.file", f.file, "--scenario", "region-failure", "--output", "json"}, streams{out: &out, err: &errs})
	l := looked{code: code}
	require.NoError(t, json.Unmarshal(out.Bytes(), &l.Report), "%s%s", out.String(), errs.String())
	return l
}

// Were a row to fail, a team would learn in the disaster that its clients stay
// where they are. Each fault is told by a check of its own, with what was seen and
// what to do, and by no other check that it has nothing to do with.
func TestTraffic_EachFaultIsTold(t *testing.T) {
	f := startLab(t)
	const record, resolvers, primary, standby, targets = "record", "resolvers", "primary", "standby", "targets"
	type told map[string]string // "part check" -> states that tell the truth
	for _, row := range []struct {
		fault lab.Fault
		// checks are all that do not pass.
		checks told
		// says is in the evidence of the first of them, does in its remedy.
		first      string
		says, does string
		// ready says that clients would move all the same.
		ready bool
	}{
		{fault: "primary-api-down", checks: told{"primary up": "fail"}, first: "primary up", says: "reset", ready: true},
		{fault: "primary-api-hangs", checks: told{"primary up": "fail"}, first: "primary up", ready: true},
		{fault: "standby-api-down", checks: told{"standby up": "fail", "targets targets": "fail", "targets zones": "fail"}, first: "standby up", says: "refused"},
		{fault: "standby-api-lies", checks: told{"standby up": "fail", "standby body": "fail"}, first: "standby body"},
		{fault: "cert-expired", checks: told{"standby up": "fail", "standby certificate": "fail"}, first: "standby certificate", says: "expired"},
		{fault: "health-check-disabled", checks: told{"record health-check": "fail"}, first: "record health-check", says: "disabled"},
		{fault: "health-check-deleted", checks: told{"record health-check": "fail"}, first: "record health-check"},
		{fault: "health-check-path", checks: told{"record health-check-target": "fail warn"}, first: "record health-check-target", says: "/health"},
		{fault: "secondary-missing", checks: told{"record pair": "fail"}, first: "record pair", says: "SECONDARY"},
		{fault: "secondary-is-primary", checks: told{"record pair": "fail", "record target-standby": "fail", "record failover-time": "unknown"}, first: "record target-standby"},
		{fault: "wrong-target", checks: told{"record target-standby": "fail", "record failover-time": "unknown"}, first: "record target-standby", says: "2019"},
		{fault: "record-missing", checks: told{"record record": "fail", "resolvers agreement": "fail", "resolvers authoritative": "fail"}, first: "record record"},
		{fault: "zone-missing", checks: told{"record zone": "fail"}, first: "record zone", says: "festivals.app"},
		{fault: "ttl-day", checks: told{"record ttl": "warn fail", "record failover-time": "fail", "resolvers ttl": "fail"}, first: "record failover-time", says: "1d"},
		{fault: "nameserver-down", checks: told{"resolvers authoritative": "warn"}, first: "resolvers authoritative", says: "127.0.53.3", ready: true},
		{fault: "nameservers-disagree", checks: told{"resolvers agreement": "fail"}, first: "resolvers agreement", says: "127.0.53.3"},
		{fault: "zone-servfail", checks: told{"resolvers authoritative": "fail"}, first: "resolvers authoritative", says: "SERVFAIL"},
		{fault: "resolver-silent", checks: told{"resolvers resolvers": "warn"}, first: "resolvers resolvers", ready: true},
		{fault: "route53-throttled", checks: told{"record look": "unknown"}, first: "record look", says: "throttled"},
		{fault: "route53-denied", checks: told{"record look": "unknown"}, first: "record look", says: "route53:List"},
	} {
		t.Run(string(row.fault), func(t *testing.T) {
			require.NoError(t, f.Break(t.Context(), row.fault))
			defer func() {
				if slices.Contains(f.Broken(), row.fault) {
					_ = f.Heal(context.Background(), row.fault)
				}
			}()
			l := f.look(t)
			for key, states := range row.checks {
				part, name, _ := strings.Cut(key, " ")
				got := l.check(api+"/"+part, name)
				require.Contains(t, strings.Fields(states), got.Status.String(), "%s: %s", key, got.Evidence)
				require.NotEmpty(t, got.Remedy, key)
			}
			part, name, _ := strings.Cut(row.first, " ")
			first := l.check(api+"/"+part, name)
			require.Contains(t, first.Evidence, row.says)
			require.Contains(t, first.Remedy, row.does)
			for _, c := range l.Checks() {
				_, part, _ := strings.Cut(c.Subject, "/")
				if row.checks[part+" "+c.Name] == "" && !slices.Contains([]string{record, resolvers, primary, standby, targets}, part) {
					require.NotEqual(t, readiness.Fail, c.Status, "%s %s: %s", c.Subject, c.Name, c.Evidence)
				}
				if row.checks[part+" "+c.Name] == "" && strings.HasPrefix(c.Subject, api) {
					t.Logf("beside it: %s %s is %s: %s", c.Subject, c.Name, c.Status, c.Evidence)
				}
			}
			require.Equal(t, row.ready, l.region().Status.Ready(), "%v", l.region().Because)
			require.NoError(t, f.Heal(t.Context(), row.fault))
			f.until(t, "well again", func() error {
				l := f.look(t)
				for _, c := range l.Checks() {
					if !c.Status.Ready() {
						return fmt.Errorf("%s %s is %s: %s", c.Subject, c.Name, c.Status, c.Evidence)
					}
				}
				if l.code != exitOK {
					return fmt.Errorf("exit code %d", l.code)
				}
				return nil
			})
		})
	}
}

// until waits for a condition that takes a while to look at.
func (f *festivalsLab) until(t *testing.T, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := holds()
		if err == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "%s: %v", what, err)
	}
}

// Were it to fail, the recovery time that people plan with would be too short: the
// name has led every client that honours TTLs to the standby by the time that the
// page foretold, whether the primary is gone or only says nothing any more.
func TestTraffic_ClientsMoveWithinTheTimeForetold(t *testing.T) {
	f := startFestivals(t)
	foretold := time.Duration(f.scrape(t).value("dr_dns_failover_seconds record="+api) * float64(time.Second))
	require.Greater(t, foretold, 10*time.Second)
	require.Less(t, foretold, time.Minute)
	for _, fault := range []lab.Fault{"primary-api-down", "primary-api-hangs"} {
		t.Run(string(fault), func(t *testing.T) {
			began := time.Now()
			require.NoError(t, f.Break(t.Context(), fault))
			for resolver := range 2 {
				moved := f.movedAt(t, resolver, began.Add(2*foretold))
				t.Logf("resolver %d: moved after %s, %s were foretold", resolver, moved.Sub(began).Round(100*time.Millisecond), foretold)
				require.LessOrEqual(t, moved.Sub(began), foretold, "by way of resolver %d", resolver)
			}
			f.eventually(t, time.Minute, "the page tells where clients are", func(p page) error {
				served := p.value("dr_dns_served side=standby record=" + api)
				if healthy := p.value("dr_dns_health_check_healthy side=primary record=" + api); served != 1 || healthy != 0 {
					return fmt.Errorf("served from the standby: %v, primary healthy: %v", served, healthy)
				}
				if up := p.value("dr_endpoint_up target=" + api + "/primary"); up != 0 {
					return fmt.Errorf("the primary is up: %v", up)
				}
				return nil
			})
			require.Equal(t, 1.0, f.scrape(t).value("dr_ready scenario=region-failure"), "that the primary is gone is what the move is for")
			if fault == "primary-api-hangs" {
				return // the way back is the same
			}
			require.NoError(t, f.Heal(t.Context(), fault))
			f.eventually(t, 2*time.Minute, "clients are back", func(p page) error {
				if served := p.value("dr_dns_served side=primary record=" + api); served != 1 || math.IsNaN(served) {
					return fmt.Errorf("served from the primary: %v", served)
				}
				return f.well(p)
			})
		})
	}
}

// movedAt is when a client of the resolver was first answered by the standby, and
// from when on it always was.
func (f *festivalsLab) movedAt(t *testing.T, resolver int, deadline time.Time) time.Time {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		region, err := f.AskAPI(ctx, resolver)
		cancel()
		if region == lab.StandbyRegion {
			return time.Now()
		}
		require.True(t, time.Now().Before(deadline), "not moved: %q, %v", region, err)
		time.Sleep(50 * time.Millisecond) // between two clients
	}
}
