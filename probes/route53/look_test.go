package route53_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, a setup that is well would be told as broken, or a time foretold
// that is not kept.
func TestLook_APair(t *testing.T) {
	s := newStage(t)
	w := s.watch(ofPair(), ofService())
	r := w.good()
	for _, c := range r.Checks {
		require.Equal(t, readiness.Pass, c.Status, "%s: %s", c.Name, c.Evidence)
	}
	require.Equal(t, map[readiness.Measure]float64{
		readiness.DNSFailoverSeconds: 3*(10+6) + 60, readiness.DNSTTLSeconds: 60, readiness.PrimaryHealthy: 1, readiness.StandbyHealthy: 1,
	}, r.Measures)
	at, known := r.AsOf.Get()
	require.True(t, known)
	require.True(t, s.clock.Now().Equal(at))
	_, known = r.ClockOffset.Get()
	require.True(t, known)
}

// Were it to fail, what a look says would depend on which of two looks came first.
func TestLook_AChangeIsSeenWithinAMinute(t *testing.T) {
	s := newStage(t)
	w := s.watch(ofPair(), ofService())
	w.good()
	s.r53.SetHealth(standbyHC, false, "Connection timed out")
	changeMember("SECONDARY", "other.eu-central-1.elb.amazonaws.com", standbyHC, func(*labaws.RecordSet) {})(s)
	s.clock.Pass(30 * time.Second)
	require.Equal(t, readiness.Pass, probetest.Check(t, w.good(), route53.CheckTargetStandby).Status, "what was known half a minute ago")
	s.clock.Pass(30 * time.Second)
	r := w.good()
	require.Equal(t, readiness.Fail, probetest.Check(t, r, route53.CheckTargetStandby).Status)
	require.Equal(t, readiness.Fail, probetest.Check(t, r, route53.CheckStandbyHealth).Status)
	require.Equal(t, 0.0, r.Measures[readiness.StandbyHealthy])
	require.Equal(t, 1.0, r.Measures[readiness.PrimaryHealthy])
}

// Were it to fail, a file that wants older answers would spend no less, or one that wants
// younger ones would get old ones, or spend more than there is.
func TestLook_MaxAge(t *testing.T) {
	for _, row := range []struct {
		age      time.Duration
		records  int
		listings int // in ten minutes of looks every 15 s
	}{
		{5 * time.Minute, 1, 3}, {time.Minute, 1, 10}, {10 * time.Second, 1, 40}, {time.Second, 1, 40}, {time.Second, 100, 40},
	} {
		t.Run(fmt.Sprint(row.age, row.records), func(t *testing.T) {
			s := newStage(t)
			config := ofPair()
			config.AWS.MaxAge = row.age
			all := []*watch{s.watch(config, ofService())}
			for n := range row.records - 1 {
				service := ofService()
				service.Host = fmt.Sprintf("api-%d.festivals.app", n)
				s.pair(service.Host, fmt.Sprintf("primary-%d", n), fmt.Sprintf("standby-%d", n))
				all = append(all, s.watch(config, service))
			}
			calls := s.minutes(10, 4, all, func(errs []error) {
				for _, err := range errs {
					require.NoError(t, err)
				}
			})
			for _, n := range calls {
				require.Less(t, n, 60, "%v", calls)
			}
			require.Equal(t, row.listings, s.count("ListResourceRecordSets"))
		})
	}
}

// Were it to fail, somebody would be told of an outage who has none: private zones have
// records of their own.
func TestLook_PrivateZone(t *testing.T) {
	s := newStage(t)
	s.r53.PutZone(labaws.Zone{ID: "Z0PRIVATE", Name: "festivals.app.", Private: true, VPCRegion: "eu-west-1", VPCID: "vpc-1"})
	s.r53.PutRecord(labaws.RecordSet{Zone: "Z0PRIVATE", Name: "db.festivals.app", Type: "CNAME", TTL: 30, Values: []string{"Festivals-Production.abc.eu-west-1.rds.amazonaws.com"}})
	service := probes.Service{Host: "db.festivals.app", Primary: []string{"festivals-production.abc.eu-west-1.rds.amazonaws.com"}, Standby: []string{"festivals-replica.def.eu-central-1.rds.amazonaws.com"}, RTO: time.Hour}
	w := s.watch(route53.Config{Zone: "festivals.app", Private: true, Setup: route53.Simple, ChangedWithin: 20 * time.Minute}, service)
	r := w.good()
	require.Equal(t, readiness.Pass, probetest.Check(t, r, route53.CheckTargetPrimary).Status, probetest.Check(t, r, route53.CheckTargetPrimary).Evidence)
	require.Contains(t, probetest.Check(t, r, route53.CheckControlPlane).Evidence, "for private zones there is no accelerated recovery")
	require.Equal(t, 20*60+60+30.0, r.Measures[readiness.DNSFailoverSeconds])
}

// Were it to fail, a state that was read long before would be told as one of now.
func TestLook_AStateIsAsOldAsItIs(t *testing.T) {
	s := newStage(t)
	w := s.watch(ofPair(), ofService())
	w.good()
	at := s.clock.Now()
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "route53", Operation: "GetHealthCheckStatus"}, Error: labaws.Throttled})
	s.clock.Pass(10 * time.Minute)
	r := w.good()
	asOf, known := r.AsOf.Get()
	require.True(t, known)
	require.False(t, asOf.After(at), "the state of the standby is of %s, and the look says %s", at, asOf)
	s.clock.Pass(20 * time.Minute)
	require.Equal(t, readiness.Unknown, probetest.Check(t, w.good(), route53.CheckStandbyHealth).Status, "nobody has known it for half an hour")
}

// Were it to fail, whoever names a zone would write on the terminals of others.
func TestLook_ZonesWithStrangeNames(t *testing.T) {
	s := newStage(t)
	s.r53.PutZone(labaws.Zone{ID: "Z0STRANGE", Name: `\033[2J\342\200\256.app.`})
	c := ofPair()
	c.Zone = "Z0STRANGE"
	for _, private := range []bool{false, true} {
		c.Private = private
		for _, told := range s.watch(c, ofService()).good().Checks {
			require.Equal(t, probes.Presentable(told.Evidence+told.Remedy, 1000), told.Evidence+told.Remedy, told.Name)
		}
	}
}
