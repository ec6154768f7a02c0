package route53_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

// many makes so many pairs, and watches them all.
func (s *stage) many(records int) []*watch {
	var all []*watch
	for n := range records {
		name := fmt.Sprintf("api-%d.festivals.app", n)
		s.pair(name, fmt.Sprintf("primary-%d", n), fmt.Sprintf("standby-%d", n))
		service := ofService()
		service.Host = name
		all = append(all, s.watch(ofPair(), service))
	}
	return all
}

// lookAtAll looks at all records at a time, which the monitor does not: it spreads them.
func (s *stage) lookAtAll(all []*watch) []error {
	s.t.Helper()
	errs := make([]error, len(all))
	var looks sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, w := range all {
		looks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
			defer cancel()
			_, errs[i] = w.probe.Look(ctx)
		})
	}
	looks.Wait()
	return errs
}

// minutes lets time pass with some looks in each, and tells the calls of each minute.
func (s *stage) minutes(n, looks int, all []*watch, see func([]error)) []int {
	var calls []int
	for range n {
		before := s.total()
		for range looks {
			see(s.lookAtAll(all))
			s.clock.Pass(time.Minute / time.Duration(looks))
		}
		calls = append(calls, s.total()-before)
	}
	return calls
}

// Were it to fail, Route 53 would turn others away because we look on: it takes five
// requests a second of an account, those of a failover among them.
func TestCost_CallsAMinute(t *testing.T) {
	for _, row := range []struct {
		records, minutes, looks int
		listings                int           // calls that it takes to list the records
		turn                    time.Duration // in which each state is asked for once
	}{
		{records: 1, minutes: 20, looks: 4, listings: 1, turn: time.Minute},
		{records: 50, minutes: 20, looks: 4, listings: 1, turn: 5 * time.Minute},
		{records: 500, minutes: 30, looks: 1, listings: 4, turn: 50 * time.Minute},
	} {
		t.Run(fmt.Sprint(row.records), func(t *testing.T) {
			s := newStage(t)
			all := s.many(row.records)
			calls := s.minutes(row.minutes, row.looks, all, func(errs []error) {
				for _, err := range errs {
					require.NoError(t, err)
				}
			})
			for minute, n := range calls {
				require.Less(t, n, 60, "minute %d of %v", minute, calls)
			}
			t.Logf("calls by minute: %v; by operation: %v", calls, s.cloud.Calls())
			require.LessOrEqual(t, s.count("ListHostedZones"), row.minutes/10+2, "every ten minutes, or a little before")
			require.Equal(t, row.listings*row.minutes, s.count("ListResourceRecordSets"))
			require.LessOrEqual(t, s.count("ListHealthChecks"), 2*row.minutes, "a thousand in a call")
			turns := 1 + int(time.Duration(row.minutes)*time.Minute/(row.turn-row.turn/12))
			require.LessOrEqual(t, s.count("GetHealthCheckStatus"), 2*row.records*turns)
			require.Equal(t, s.total(), s.count("ListHostedZones")+s.count("ListResourceRecordSets")+s.count("ListHealthChecks")+s.count("GetHealthCheckStatus"), "and nothing else")
			for i, w := range all { // each had its turn
				r := w.good()
				require.Contains(t, r.Measures, readiness.PrimaryHealthy, "record %d", i)
				require.Contains(t, r.Measures, readiness.StandbyHealthy, "record %d", i)
			}
		})
	}
}

// Were it to fail, an old state would pass for a new one.
func TestCost_AgeOfAStateIsTold(t *testing.T) {
	s := newStage(t)
	all := s.many(500)
	s.minutes(10, 1, all, func([]error) {})
	old, turnless := 0, 0
	for _, w := range all {
		c := probetest.Check(t, w.good(), route53.CheckPrimaryHealth)
		switch {
		case c.Status == readiness.Unknown:
			require.Contains(t, c.Evidence, "its turn to be asked has not come yet")
			turnless++
		case strings.Contains(c.Evidence, "m ago)"):
			old++
		}
		require.NotEqual(t, readiness.Fail, c.Status, c.Evidence)
	}
	require.NotZero(t, turnless, "1,000 states take 50 minutes")
	require.NotZero(t, old)
}

// Were it to fail, a Route 53 that refuses everything would be asked ever more.
func TestCost_NoStormWhenAllFails(t *testing.T) {
	for name, f := range map[string]struct {
		fault labaws.Fault
		most  int // calls a minute
		class readiness.Class
	}{
		"throttled": {labaws.Fault{Error: labaws.Throttled}, 4, readiness.Throttled},
		"denied":    {labaws.Fault{Error: labaws.Denied}, 6, readiness.Denied},
		"fault":     {labaws.Fault{Error: labaws.Error{Status: 503, Code: "ServiceUnavailable", Message: "try later"}}, 12, readiness.Unreachable},
		"dropped":   {labaws.Fault{Drop: true}, 12, readiness.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			all := s.many(100)
			f.fault.Asked = labaws.Asked{Service: "route53"}
			s.cloud.Break(f.fault)
			calls := s.minutes(5, 4, all, func(errs []error) {
				for _, err := range errs {
					require.Equal(t, f.class, probes.AsFailure(err).Class, "%v", err)
				}
			})
			for _, n := range calls {
				require.LessOrEqual(t, n, f.most, "%v", calls)
			}
		})
	}
}

// Were it to fail, a minute of throttling would be a gap in every gauge.
func TestCost_NoGapWhileThrottled(t *testing.T) {
	s := newStage(t)
	all := s.many(50)
	s.minutes(2, 4, all, func([]error) {})
	heal := s.cloud.Break(labaws.Fault{Error: labaws.Throttled})
	calls := s.minutes(5, 4, all, func(errs []error) {
		for _, err := range errs {
			require.NoError(t, err)
		}
	})
	for _, n := range calls {
		require.LessOrEqual(t, n, 4, "%v", calls)
	}
	r := all[0].good()
	asOf, _ := r.AsOf.Get()
	require.GreaterOrEqual(t, s.clock.Now().Sub(asOf), 5*time.Minute, "it tells how old it is")
	heal()
	s.clock.Pass(5 * time.Minute)
	s.lookAtAll(all)
	s.clock.Pass(time.Minute)
	asOf, _ = all[0].good().AsOf.Get()
	require.Less(t, s.clock.Now().Sub(asOf), 2*time.Minute, "it comes back by itself")
}

// Were it to fail, the states would be asked on while Route 53 turns them away.
func TestCost_AStateThatIsTurnedAwayIsTheLastForAWhile(t *testing.T) {
	s := newStage(t)
	w := s.watch(ofPair(), ofService())
	w.good()
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "route53", Operation: "GetHealthCheckStatus"}, Error: labaws.Throttled})
	s.clock.Pass(time.Minute)
	before := s.count("GetHealthCheckStatus")
	w.good()
	require.Equal(t, 1, s.count("GetHealthCheckStatus")-before, "of two")
}

// Were it to fail, a name in a large zone would cost a listing of all of it.
func TestCost_ALargeZone(t *testing.T) {
	s := newStage(t)
	for n := range 3000 {
		s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: fmt.Sprintf("n%04d.festivals.app", n), Type: "A", TTL: 60, Values: []string{"192.0.2.1"}})
	}
	simple := func(name string) *watch {
		return s.watch(route53.Config{Zone: "festivals.app", Name: name, Setup: route53.Simple, ChangedWithin: time.Minute}, probes.Service{})
	}
	all := []*watch{simple("n0000.festivals.app"), simple("n1500.festivals.app"), simple("n1501.festivals.app"), simple("n2999.festivals.app"), simple("*.festivals.app"), s.watch(ofPair(), ofService())}
	s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: "*.festivals.app", Type: "A", TTL: 60, Values: []string{"192.0.2.2"}})
	for i, w := range all {
		require.Equal(t, readiness.Pass, probetest.Check(t, w.good(), route53.CheckRecord).Status, "%d", i)
	}
	require.LessOrEqual(t, s.count("ListResourceRecordSets"), 5, "two of the six are in one page")
}

// Were it to fail, a zone of many pages would never be listed whole: a look does not
// last that long.
func TestLook_ListingGoesOn(t *testing.T) {
	s := newStage(t)
	var all []*watch
	for n := range 12 {
		name := fmt.Sprintf("n%04d.festivals.app", n*300)
		for i := range 300 {
			s.r53.PutRecord(labaws.RecordSet{Zone: zoneID, Name: fmt.Sprintf("n%04d.festivals.app", n*300+i), Type: "A", TTL: 60, Values: []string{"192.0.2.1"}})
		}
		all = append(all, s.watch(route53.Config{Zone: "festivals.app", Name: name, Setup: route53.Simple, ChangedWithin: time.Minute}, probes.Service{}))
	}
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "route53"}, Delay: 50 * time.Millisecond})
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := all[0].probe.Look(ctx)
		return err == nil
	}, 10*time.Second, time.Millisecond, "12 pages of 50 ms, and no look lasts longer than 4 of them")
}

// Were it to fail, a start would spend the requests of a second that a failover needs.
func TestCost_Pace(t *testing.T) {
	s := newStage(t)
	pool := awsapi.NewPool(awsapi.Options{})
	t.Cleanup(pool.Close)
	s.fleet = route53.NewFleet(pool)
	s.r53.EnforceRate(true)
	w := s.watch(ofPair(), ofService())
	begun := time.Now()
	_, failure := w.look()
	require.Nil(t, failure)
	require.Equal(t, 5, s.total())
	require.GreaterOrEqual(t, time.Since(begun), 4*450*time.Millisecond)
	require.Less(t, time.Since(begun), 5*time.Second, "the time of a look")
}

// Were it to fail, two ways into one account would spend twice of what it has.
func TestCost_OneBudgetForAnAccount(t *testing.T) {
	s := newStage(t)
	role := "arn:aws:iam::111122223333:role/"
	s.cloud.STS().Put(labaws.Role{ARN: role + "one"})
	s.cloud.STS().Put(labaws.Role{ARN: role + "two"})
	var all []*watch
	for n := range 200 {
		name := fmt.Sprintf("api-%d.festivals.app", n)
		s.pair(name, fmt.Sprintf("primary-%d", n), fmt.Sprintf("standby-%d", n))
		service, config := ofService(), ofPair()
		service.Host, config.AWS.RoleARN = name, role+[]string{"one", "two"}[n%2]
		all = append(all, s.watch(config, service))
	}
	calls := s.minutes(5, 4, all, func([]error) {})
	for _, n := range calls {
		require.LessOrEqual(t, n, route53.CallsAMinute, "%v", calls)
	}
}

// What one look costs us while the answers are fresh.
func BenchmarkLook(b *testing.B) {
	s := newStage(b)
	w := s.watch(ofPair(), ofService())
	w.good()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.probe.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
