package awsbackup_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	labaws "github.com/drwatch/drwatch/lab/aws"
	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
	"github.com/drwatch/drwatch/probes/awsbackup"
	"github.com/drwatch/drwatch/readiness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	database = "arn:aws:rds:eu-west-1:111122223333:db:festivals-production"
	keyARN   = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
)

// begin is a moment of whole seconds, so that the clocks agree to the second.
var begin = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// clock is that of the test, of AWS and of drwatch.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// stage is a vault in the standby region with a recovery point of each of the
// last five days, at three in the morning, and probes that look at it.
type stage struct {
	t     *testing.T
	clock *clock
	cloud *labaws.Cloud
	vault labaws.VaultID
	pool  *awsapi.Pool
	fleet *awsbackup.Fleet
	// skew is the clock of AWS minus ours.
	skew time.Duration
	// limit is that of a look.
	limit time.Duration
}

func newStage(t *testing.T, skew time.Duration) *stage {
	t.Helper()
	s := &stage{t: t, clock: &clock{now: begin}, vault: labaws.VaultID{Region: "eu-central-1", Name: "festivals"}, skew: skew, limit: 5 * time.Second}
	var err error
	s.cloud, err = labaws.Start(t.Context(), labaws.Options{Now: s.theirs})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.cloud.Close()) })
	nothing := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIALAB", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	s.pool = awsapi.NewPool(awsapi.Options{Now: s.clock.Now, AttemptTimeout: 2 * time.Second})
	t.Cleanup(s.pool.Close)
	s.fleet = awsbackup.NewFleet(s.pool)
	s.cloud.Backup().PutVault(labaws.Vault{VaultID: s.vault, Created: begin.AddDate(-1, 0, 0), KeyARN: keyARN, Locked: true, LockDate: begin.AddDate(0, -6, 0), MinRetention: 7})
	for day := range 5 {
		s.put(day, func(*labaws.RecoveryPoint) {})
	}
	return s
}

func (s *stage) theirs() time.Time { return s.clock.Now().Add(s.skew) }

// at is three in the morning of so many days ago, on the clock of AWS.
func (s *stage) at(daysAgo int) time.Time {
	return begin.Add(s.skew).AddDate(0, 0, -daysAgo).Add(-9 * time.Hour)
}

func (s *stage) put(daysAgo int, change func(*labaws.RecoveryPoint)) {
	at := s.at(daysAgo)
	p := labaws.RecoveryPoint{
		ARN: pointARN(daysAgo), Resource: database, ResourceType: "RDS", Created: at, Initiated: at, Completed: at.Add(12 * time.Minute),
		Size: 20 << 30, KeyARN: keyARN, DeleteAfter: 35, SourceVault: "arn:aws:backup:eu-west-1:111122223333:backup-vault:festivals",
	}
	change(&p)
	s.cloud.Backup().Put(s.vault, p)
}

func pointARN(daysAgo int) string {
	return fmt.Sprintf("arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-%d", daysAgo)
}

func standby() readiness.Copy {
	return readiness.Copy{Name: "vault", Kind: readiness.Backup, Region: "eu-central-1", Immutable: true}
}

func (s *stage) config() awsbackup.Config {
	return awsbackup.Config{Vault: "festivals", Resource: database, AWS: awsapi.Access{Endpoint: s.cloud.URL()}}
}

func (s *stage) probe(cfg awsbackup.Config, c readiness.Copy) *awsbackup.Probe {
	s.t.Helper()
	c.Checks = awsbackup.Checks(cfg, c)
	p, err := awsbackup.New(cfg, probes.Target{Copy: c}, s.fleet)
	require.NoError(s.t, err)
	return p
}

func (s *stage) look(p *awsbackup.Probe) (readiness.Reading, *readiness.Failure) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.limit)
	defer cancel()
	r, err := p.Look(ctx)
	return r, probes.AsFailure(err)
}

func check(t *testing.T, r readiness.Reading, name string) readiness.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %s in %+v", name, r.Checks)
	return readiness.Check{}
}

// Were it to fail, nobody would know from when the data is that could be restored.
func TestLook_WhatTheVaultHolds(t *testing.T) {
	s := newStage(t, 0)
	s.put(0, func(p *labaws.RecoveryPoint) { p.Initiated = p.Created.Add(-4 * time.Minute) })
	probe := s.probe(s.config(), standby())
	r, failure := s.look(probe)
	require.Nil(t, failure)
	require.Equal(t, []readiness.Point{{At: s.at(0).Add(-4 * time.Minute), Basis: readiness.BasisSnapshot}}, r.Points, "when the job was initiated")
	require.Equal(t, readiness.Known(s.at(4)), r.WindowStart)
	require.Equal(t, readiness.Known(begin), r.AsOf)
	require.EqualValues(t, 20<<30, r.Measures[readiness.BackupSizeBytes])
	require.EqualValues(t, 1, r.Measures[readiness.BackupSizeRatio])
	require.EqualValues(t, 86400, r.Measures[readiness.BackupIntervalSeconds])
	require.True(t, r.ClockOffset.IsKnown())
	names := []string{}
	for _, c := range r.Checks {
		names = append(names, c.Name)
		require.Equal(t, readiness.Pass, c.Status, c.Evidence)
		require.Empty(t, c.Remedy)
	}
	require.ElementsMatch(t, awsbackup.Checks(s.config(), standby()), append(names, readiness.CheckClock), "what is listed is answered")
	require.Equal(t, "5 recovery points, the newest is snapshot:awsbackup:copyjob-0 (COMPLETED, 9h old), whole after 12m", check(t, r, awsbackup.CheckPoints).Evidence)
	require.Equal(t, "locked for good since 2026-05-24, for 7 days at the least", check(t, r, awsbackup.CheckLock).Evidence)
}

// Were it to fail, a fault would be told as something else, or a copy would look
// better than it is.
func TestLook_Faults(t *testing.T) {
	yesterday, today := 1, 0
	for _, c := range []struct {
		name   string
		broken func(*stage)
		copy   func(*readiness.Copy)
		skew   time.Duration
		// class is that of the look when it must fail.
		class readiness.Class
		// check is the one that must tell, how, and in which words.
		check   string
		status  readiness.Status
		says    string
		remedy  string
		daysAgo int // of the recovery point; -1 is unknown
	}{
		{name: "vault gone", broken: func(s *stage) { s.cloud.Backup().DeleteVault(s.vault) }, class: readiness.NotFound, says: "vault festivals"},
		{name: "vault denied in the words of one that is gone", broken: func(s *stage) {
			s.fault(labaws.Error{Status: 403, Code: "AccessDeniedException", Message: "Insufficient privileges to perform this action."}, "")
		}, class: readiness.Denied, says: "is not there, or may not be seen"},
		{name: "listing denied", broken: func(s *stage) { s.fault(labaws.Denied, "ListRecoveryPointsByBackupVault") }, class: readiness.Denied, says: "grant backup:ListRecoveryPointsByBackupVault"},
		{name: "session expired", broken: func(s *stage) { s.fault(labaws.Expired, "") }, class: readiness.Denied, says: "has ended: renew them"},
		{name: "page of a proxy", broken: func(s *stage) { s.cloud.Break(labaws.Fault{Body: "<html>hello</html>"}) }, class: readiness.Malformed, says: "not AWS"},
		{name: "fault of AWS", broken: func(s *stage) { s.fault(labaws.Error{Status: 500, Code: "ServiceUnavailableException"}, "") }, class: readiness.Unreachable, says: "fault of its own"},
		{name: "throttled from the beginning", broken: func(s *stage) { s.fault(labaws.Throttled, "") }, class: readiness.Throttled, says: "asked too often"},
		{name: "describing denied", broken: func(s *stage) { s.fault(labaws.Denied, "DescribeBackupVault") },
			check: awsbackup.CheckLock, status: readiness.Unknown, says: "backup:DescribeBackupVault", remedy: "see the evidence"},

		{name: "no recovery point at all", broken: func(s *stage) {
			for day := range 5 {
				s.cloud.Backup().Delete(s.vault, pointARN(day))
			}
		}, check: awsbackup.CheckPoints, status: readiness.Fail, says: "holds no recovery point of " + database, remedy: "selects the resource", daysAgo: -1},
		{name: "the newest is being made", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Completed = time.Time{} }) },
			check: awsbackup.CheckPoints, status: readiness.Pass, says: "is being made", daysAgo: yesterday},
		{name: "the newest is stuck", broken: func(s *stage) {
			s.cloud.Backup().Delete(s.vault, pointARN(today))
			s.put(yesterday, func(p *labaws.RecoveryPoint) { p.Completed = time.Time{} })
		}, check: awsbackup.CheckPoints, status: readiness.Fail, says: "(CREATING, 33h old)", remedy: "list-backup-jobs", daysAgo: 2},
		{name: "the newest is partial", broken: func(s *stage) {
			s.put(today, func(p *labaws.RecoveryPoint) { p.Status, p.Message = "PARTIAL", "nested \x1b[31mfailed" })
		}, check: awsbackup.CheckPoints, status: readiness.Fail, says: "parts of it are missing (nested  [31mfailed)", remedy: "status message", daysAgo: yesterday},
		{name: "the newest is expired", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Status = "EXPIRED" }) },
			check: awsbackup.CheckPoints, status: readiness.Fail, says: "about to go", remedy: "lifecycle", daysAgo: yesterday},
		{name: "the newest is being deleted", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Status = "DELETING" }) },
			check: awsbackup.CheckPoints, status: readiness.Fail, says: "about to go", remedy: "who deletes", daysAgo: yesterday},
		{name: "continuous backup stopped", broken: func(s *stage) {
			s.put(today, func(p *labaws.RecoveryPoint) { p.Status = "STOPPED" })
		}, check: awsbackup.CheckPoints, status: readiness.Fail, says: "has been stopped", remedy: "permissions", daysAgo: yesterday},
		{name: "a status that nobody knows yet", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Status = "FROZEN" }) },
			check: awsbackup.CheckPoints, status: readiness.Fail, says: "FROZEN", remedy: "console", daysAgo: yesterday},
		{name: "none since a day", broken: func(s *stage) { s.cloud.Backup().Delete(s.vault, pointARN(today)) },
			check: awsbackup.CheckInterval, status: readiness.Warn, says: "copyjob-1 is 33h old, one is due every 24h", remedy: "list-copy-jobs", daysAgo: yesterday},
		{name: "none since two days", broken: func(s *stage) {
			s.cloud.Backup().Delete(s.vault, pointARN(today))
			s.cloud.Backup().Delete(s.vault, pointARN(yesterday))
		}, check: awsbackup.CheckInterval, status: readiness.Fail, says: "copyjob-2 is 2.38 days old", remedy: "list-copy-jobs", daysAgo: 2},
		{name: "half the usual size", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Size = 8 << 30 }) },
			check: awsbackup.CheckSize, status: readiness.Warn, says: "has 8 GiB, 40 % of what", remedy: "restore it somewhere"},
		{name: "empty", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.Size = 0 }) },
			check: awsbackup.CheckSize, status: readiness.Fail, says: "is empty", remedy: "restore it somewhere"},
		{name: "not encrypted", broken: func(s *stage) { s.put(today, func(p *labaws.RecoveryPoint) { p.KeyARN = "" }) },
			check: awsbackup.CheckEncryption, status: readiness.Warn, says: "not encrypted", remedy: "key of its own"},
		{name: "key of the other region", broken: func(s *stage) {
			s.put(today, func(p *labaws.RecoveryPoint) { p.KeyARN = "arn:aws:kms:eu-west-1:111122223333:key/k" })
		}, check: awsbackup.CheckEncryption, status: readiness.Fail, says: "is in eu-west-1, the vault in eu-central-1", remedy: "its own region"},
		{name: "key of another account", broken: func(s *stage) {
			s.put(today, func(p *labaws.RecoveryPoint) { p.KeyARN = "arn:aws:kms:eu-central-1:999988887777:key/k" })
		}, check: awsbackup.CheckEncryption, status: readiness.Warn, says: "of account 999988887777", remedy: "its own account"},
		{name: "not in the account that the file names", copy: func(c *readiness.Copy) { c.Account = "444455556666" },
			check: awsbackup.CheckAccount, status: readiness.Fail, says: "is in account 111122223333, where the file says 444455556666", remedy: "aws.role_arn"},
		{name: "no lock", broken: func(s *stage) { s.lock(false, time.Time{}) },
			check: awsbackup.CheckLock, status: readiness.Fail, says: "is not locked", remedy: "put-backup-vault-lock-configuration"},
		{name: "lock of governance", broken: func(s *stage) { s.lock(true, time.Time{}) },
			check: awsbackup.CheckLock, status: readiness.Fail, says: "governance mode", remedy: "lock date"},
		{name: "lock can still be removed", broken: func(s *stage) { s.lock(true, begin.Add(48*time.Hour)) },
			check: awsbackup.CheckLock, status: readiness.Fail, says: "can still be removed, until 2026-11-26T12:00:00Z", remedy: "wait until"},
		{name: "clock of AWS ahead", skew: time.Hour, check: awsbackup.CheckInterval, status: readiness.Pass, says: "9h old"},
		{name: "clock of AWS behind", skew: -time.Hour, check: awsbackup.CheckInterval, status: readiness.Pass, says: "9h old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, c.skew)
			if c.broken != nil {
				c.broken(s)
			}
			where := standby()
			if c.copy != nil {
				c.copy(&where)
			}
			r, failure := s.look(s.probe(s.config(), where))
			if c.class != "" {
				require.NotNil(t, failure)
				require.Equal(t, c.class, failure.Class, failure.Error())
				require.Contains(t, failure.Error(), c.says)
				require.Contains(t, failure.Error(), "festivals")
				require.LessOrEqual(t, len([]rune(failure.Error())), 300)
				return
			}
			require.Nil(t, failure)
			told := check(t, r, c.check)
			require.Equal(t, c.status, told.Status, told.Evidence)
			require.Contains(t, told.Evidence, c.says)
			require.Contains(t, told.Remedy, c.remedy)
			if c.daysAgo < 0 {
				require.Empty(t, r.Points)
				require.False(t, r.WindowStart.IsKnown())
				return
			}
			truth := begin.AddDate(0, 0, -c.daysAgo).Add(-9 * time.Hour)
			require.Len(t, r.Points, 1)
			require.False(t, r.Points[0].At.After(truth), "better than is true")
			require.WithinDuration(t, truth, r.Points[0].At, 2*time.Second)
		})
	}
}

func (s *stage) fault(e labaws.Error, operation string) {
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "backup", Operation: operation}, Error: e})
}

func (s *stage) lock(locked bool, from time.Time) {
	s.cloud.Backup().PutVault(labaws.Vault{VaultID: s.vault, Created: begin, Locked: locked, LockDate: from})
}

// Were it to fail, a continuous backup would claim moments that nobody has told of.
func TestLook_Continuous(t *testing.T) {
	s := newStage(t, 0)
	for day := range 5 {
		s.cloud.Backup().Delete(s.vault, pointARN(day))
	}
	s.put(300, func(p *labaws.RecoveryPoint) {
		p.ARN, p.Status, p.DeleteAfter = "arn:aws:backup:eu-central-1:111122223333:recovery-point:continuous:db-abc-0f51c39b", "AVAILABLE", 35
	})
	r, failure := s.look(s.probe(s.config(), standby()))
	require.Nil(t, failure)
	require.Equal(t, begin.AddDate(0, 0, -35), r.Points[0].At, "it has let go of what is older than its retention, and that is all that is known")
	require.Equal(t, r.WindowStart, readiness.Known(r.Points[0].At))
	require.Contains(t, check(t, r, awsbackup.CheckPoints).Evidence, "does not tell up to when")
	require.Equal(t, readiness.Fail, check(t, r, awsbackup.CheckInterval).Status)
}

// Were it to fail, a copy in another account could not be watched, or would be
// taken for one that is not there.
func TestLook_OtherAccount(t *testing.T) {
	s := newStage(t, 0)
	const role = "arn:aws:iam::444455556666:role/drwatch"
	s.cloud.STS().Put(labaws.Role{ARN: role, ExternalID: "festivals"})
	s.vault.Account = "444455556666"
	s.cloud.Backup().PutVault(labaws.Vault{VaultID: s.vault, Created: begin, AirGapped: true, Locked: true})
	s.put(0, func(p *labaws.RecoveryPoint) { p.KeyARN = "arn:aws:kms:eu-central-1:444455556666:key/k" })
	cfg, c := s.config(), standby()
	cfg.AWS.RoleARN, cfg.AWS.ExternalID, c.Account = role, "festivals", "444455556666"
	r, failure := s.look(s.probe(cfg, c))
	require.Nil(t, failure)
	require.Equal(t, s.at(0), r.Points[0].At)
	for _, name := range []string{awsbackup.CheckAccount, awsbackup.CheckLock, awsbackup.CheckEncryption} {
		require.Equal(t, readiness.Pass, check(t, r, name).Status, name)
	}
}

// Were it to fail, a deleted backup would go on being relied upon.
func TestLook_DeletedLater(t *testing.T) {
	s := newStage(t, 0)
	probe := s.probe(s.config(), standby())
	_, failure := s.look(probe)
	require.Nil(t, failure)
	s.cloud.Backup().Delete(s.vault, pointARN(0)) // older than what is listed each minute
	for range 5 {
		s.clock.pass(time.Minute)
		_, failure = s.look(probe)
		require.Nil(t, failure)
	}
	r, _ := s.look(probe)
	require.Equal(t, s.at(1), r.Points[0].At, "the vault says that it holds fewer")
}

// Were it to fail, what comes late into the vault would never be seen: copies
// bear the date of their source.
func TestLook_ComesLate(t *testing.T) {
	s := newStage(t, 0)
	s.cloud.Backup().Delete(s.vault, pointARN(0))
	probe := s.probe(s.config(), standby())
	r, _ := s.look(probe)
	require.Equal(t, s.at(1), r.Points[0].At)
	s.put(0, func(p *labaws.RecoveryPoint) { p.Completed = begin.Add(90 * time.Minute) }) // nine hours after it was begun
	s.clock.pass(time.Hour)
	r, _ = s.look(probe)
	require.Equal(t, s.at(1), r.Points[0].At)
	require.Contains(t, check(t, r, awsbackup.CheckPoints).Evidence, "is being made")
	s.clock.pass(31 * time.Minute)
	r, _ = s.look(probe)
	require.Equal(t, s.at(0), r.Points[0].At, "followed each minute until it is whole")
}

// Were it to fail, a new backup would only be seen when everything is listed.
func TestLook_NewOneWithinAMinute(t *testing.T) {
	s := newStage(t, 0)
	probe := s.probe(s.config(), standby())
	_, failure := s.look(probe)
	require.Nil(t, failure)
	fresh := begin.Add(30 * time.Second)
	s.cloud.Backup().Hide(s.vault, 2*time.Minute) // lists are not consistent at once
	s.put(0, func(p *labaws.RecoveryPoint) {
		p.ARN, p.Created, p.Initiated, p.Completed = pointARN(9), fresh, fresh, fresh.Add(time.Second)
	})
	s.clock.pass(time.Minute)
	r, _ := s.look(probe)
	require.Equal(t, s.at(0), r.Points[0].At)
	s.clock.pass(time.Minute)
	r, _ = s.look(probe)
	require.Equal(t, fresh, r.Points[0].At)
}

// Were it to fail, a throttled minute would show as a gap, or turn into a storm.
func TestLook_ThrottledForAMinute(t *testing.T) {
	s := newStage(t, 0)
	var all []*awsbackup.Probe
	for range 20 {
		all = append(all, s.probe(s.config(), standby()))
	}
	looks := func() {
		for _, r := range s.lookAll(all) { // no gap
			require.Equal(t, readiness.Known(begin), r.AsOf, "and it tells how old it is")
			require.Equal(t, s.at(0), r.Points[0].At)
		}
	}
	looks()
	s.limit = time.Second
	before := s.calls()
	heal := s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "backup"}, Error: labaws.Throttled})
	for range 3 {
		s.clock.pass(time.Minute)
		looks()
	}
	require.LessOrEqual(t, s.calls()-before, 2*3*3, "60 looks: no more than the attempts of two calls a minute")
	heal()
	s.clock.pass(time.Minute)
	require.Eventually(t, func() bool {
		r, failure := s.look(all[0])
		s.clock.pass(5 * time.Second)
		at, _ := r.AsOf.Get()
		return failure == nil && at.After(begin)
	}, 20*time.Second, 100*time.Millisecond)
}

// lookAll looks with all probes at the same time. None may fail.
func (s *stage) lookAll(all []*awsbackup.Probe) []readiness.Reading {
	s.t.Helper()
	readings, failures := make([]readiness.Reading, len(all)), make([]*readiness.Failure, len(all))
	var looks sync.WaitGroup
	for i, p := range all {
		looks.Go(func() { readings[i], failures[i] = s.look(p) })
	}
	looks.Wait()
	for _, failure := range failures {
		require.Nil(s.t, failure)
	}
	return readings
}

func (s *stage) calls() (n int) {
	for _, calls := range s.cloud.Calls() {
		n += calls
	}
	return n
}

// Were it to fail, a thousand resources would cost a thousand calls a minute.
func TestCost_ThousandResourcesOfOneVault(t *testing.T) {
	s := newStage(t, 0)
	const resources, days = 1000, 5
	var all []*awsbackup.Probe
	for i := range resources {
		resource := fmt.Sprintf("arn:aws:rds:eu-west-1:111122223333:db:db-%d", i)
		for day := range days {
			s.put(day, func(p *labaws.RecoveryPoint) {
				p.ARN, p.Resource = fmt.Sprintf("arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:job-%d-%d", i, day), resource
			})
		}
		cfg := s.config()
		cfg.Resource = resource
		all = append(all, s.probe(cfg, standby()))
	}
	minute := func() int {
		before := s.calls()
		for _, r := range s.lookAll(all) {
			require.Equal(t, s.at(0), r.Points[0].At)
		}
		return s.calls() - before
	}
	require.Equal(t, 1+6, minute(), "at first all that the vault holds, a thousand in a call")
	total := 0
	for range 60 {
		s.clock.pass(time.Minute)
		total += minute()
	}
	t.Logf("%d calls in an hour, %.2f a minute, for %d resources", total, float64(total)/60, resources)
	require.LessOrEqual(t, total, 60*2+6, "two calls a minute, and everything once more")
}

// Were it to fail, a vault that takes longer to list than a look may last would
// never be seen at all.
func TestLook_VaultTooLargeForOneLook(t *testing.T) {
	s := newStage(t, 0)
	for i := range 5000 {
		s.put(i/24, func(p *labaws.RecoveryPoint) { p.ARN = fmt.Sprintf("%s-%d", pointARN(0), i) })
	}
	s.cloud.Break(labaws.Fault{Asked: labaws.Asked{Service: "backup", Operation: "ListRecoveryPointsByBackupVault"}, Delay: 300 * time.Millisecond})
	s.limit = time.Second
	probe := s.probe(s.config(), standby())
	_, failure := s.look(probe)
	require.Equal(t, readiness.Timeout, failure.Class)
	for looks := range 20 {
		var r readiness.Reading
		if r, failure = s.look(probe); failure == nil {
			require.Contains(t, check(t, r, awsbackup.CheckPoints).Evidence, "5005 recovery points")
			require.LessOrEqual(t, s.calls(), 1+6+looks+1, "no page is read again but the ones that were cut off")
			return
		}
	}
	require.Nil(t, failure, "each look goes on where the one before was cut off")
}
