package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/drwatch/drwatch/ledger"
)

// A server that is killed while it is written to must have every event that it has
// acknowledged, and none twice when the others are appended again.
func TestAppend_ServerKilledInBetween(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	stores := []*Store{opened(t, o), opened(t, o)}
	var all []string
	for round := range 3 {
		var writers errgroup.Group
		var mu sync.Mutex
		acknowledged, unknown := 0, []string{}
		enough := make(chan struct{})
		for w := range 6 {
			writers.Go(func() error {
				for i := 0; ; i++ {
					id := fmt.Sprintf("%d-%d-%d", round, w, i)
					err := appendTo(t.Context(), stores[w%2], id)
					mu.Lock()
					all = append(all, id)
					if err != nil {
						unknown = append(unknown, id)
						mu.Unlock()
						return noneOfOurs(err)
					}
					if acknowledged++; acknowledged == 40 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		require.NoError(t, c.kill())
		require.NoError(t, writers.Wait())
		require.NoError(t, c.start())
		for _, id := range unknown {
			require.NoError(t, appendTo(t.Context(), stores[0], id))
		}
	}
	got := idsOf(t.Context(), t, stores[1])
	slices.Sort(got)
	slices.Sort(all)
	require.Equal(t, all, got)
}

// noneOfOurs holds that an error promises nothing.
func noneOfOurs(err error) error {
	for _, promise := range []error{ledger.ErrConflict, ledger.ErrFenced, ledger.ErrInvalid, ledger.ErrReadOnly, ledger.ErrCorrupt, ledger.ErrFull} {
		if errors.Is(err, promise) {
			return fmt.Errorf("nobody knows whether it was done, and it says: %w", err)
		}
	}
	return nil
}

// The text of an error must say whether an event may be there.
func TestAppend_AnswerLost(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	p := newProxy(t, c.address())
	direct := opened(t, o)
	o.DSN = strings.ReplaceAll(o.DSN, c.address(), p.address())
	s := opened(t, o)
	for _, fault := range []struct {
		name      string
		do        func()
		uncertain bool
	}{
		{"before the commit, all connections closed", p.sever, true},
		{"before the commit, answers held", p.deafen, true},
	} {
		events := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		a := ledger.Append{Stream: "run/1", After: ledger.Any, Drafts: []ledger.Draft{draft(fault.name)}}
		go func() { events <- s.paused(ctx, a, fault.do) }()
		err := <-events
		cancel()
		p.mend()
		require.ErrorContains(t, err, "it is not known whether it was done: ask again, with the same IDs", fault.name)
		require.NoError(t, noneOfOurs(err), fault.name)
		for range 2 {
			require.NoError(t, appendTo(t.Context(), s, fault.name))
		}
	}
	require.Equal(t, []string{"before the commit, all connections closed", "before the commit, answers held"}, idsOf(t.Context(), t, direct))
}

// paused appends, and does something when it has the locks and before it writes.
func (s *Store) paused(ctx context.Context, a ledger.Append, do func()) error {
	var at ledger.Standing
	return s.change(ctx, "append to "+a.Stream,
		func(b *pgx.Batch) { at = ledger.Standing{}; s.stand(b, a, &at) },
		func(b *pgx.Batch) error {
			events, _, err := a.Decide(at)
			if err != nil {
				return err
			}
			do()
			s.insert(b, events)
			return nil
		})
}

// An instance that is paused at the worst moment, with the locks in its hand, must
// neither hold up the others for long nor write when it wakes: its lease is another's.
func TestAppend_PausedWithTheLocks(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	slow, quick := opened(t, o), opened(t, o)
	lease, err := slow.Acquire(t.Context(), "executor", "slow", 200*time.Millisecond)
	require.NoError(t, err)
	waits, paused := make(chan struct{}), make(chan struct{})
	wake := sync.OnceFunc(func() { close(paused) })
	t.Cleanup(wake)
	a := ledger.Append{Stream: "run/1", After: 0, Under: &lease, Drafts: []ledger.Draft{draft("slow")}}
	ended := make(chan error, 1)
	go func() { ended <- slow.paused(t.Context(), a, func() { close(waits); <-paused }) }()
	<-waits

	begun := time.Now()
	next, err := quick.Acquire(t.Context(), "executor", "quick", time.Hour)
	require.NoError(t, err)
	_, err = quick.Append(t.Context(), ledger.Append{Stream: "run/1", After: 0, Under: &next, Drafts: []ledger.Draft{draft("quick")}})
	require.NoError(t, err)
	require.Less(t, time.Since(begun), standstill+2*time.Second, "others wait for one who is paused")

	wake()
	err = <-ended
	require.ErrorContains(t, err, "this drwatch, or the network, stood still for 5s: nothing was done")
	a.After = ledger.Any
	_, err = slow.Append(t.Context(), a)
	require.ErrorIs(t, err, ledger.ErrFenced)
	require.Equal(t, []string{"quick"}, idsOf(t.Context(), t, quick))
}

// A process that is stopped for longer than its lease, and goes on, must not write
// one event more, whatever it was doing.
func TestLease_ProcessStoppedForLonger(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	cmd := writer(o, leaseEnv)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = out.Read(make([]byte, 1)) // it acts
	require.NoError(t, err)

	require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
	var next ledger.Lease
	require.Eventually(t, func() bool {
		next, err = s.Acquire(t.Context(), "executor", "next", time.Hour)
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
	_, err = s.Append(t.Context(), ledger.Append{Stream: "run/1", After: ledger.Any, Under: &next, Drafts: []ledger.Draft{draft("next")}})
	require.NoError(t, err)
	before := idsOf(t.Context(), t, s)
	require.NoError(t, cmd.Process.Signal(unix.SIGCONT))
	require.Error(t, cmd.Wait(), "it goes on as if nothing had happened")
	require.Equal(t, 3, cmd.ProcessState.ExitCode(), "it is told that it is fenced")
	require.Equal(t, before, idsOf(t.Context(), t, s))
}

// A commit for which somebody has ended the wait for the standby is on one disk
// only. That must not be called acknowledged, now or when it is asked again.
func TestAppend_StandbyDoesNotConfirm(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	c.exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
	reset := func() {
		c.exec(t, "SET synchronous_commit = local", "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
	}
	t.Cleanup(reset)
	waiting := func() bool {
		return query[int](t, c, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") > 0
	}
	ended := make(chan error, 1)
	n := 0
	last := func() string { return fmt.Sprint("event ", n) }
	go func() { // until the server has seen what it is set to
		err := appendTo(t.Context(), s, last())
		for ; err == nil; err = appendTo(t.Context(), s, last()) {
			n++
		}
		ended <- err
	}()
	require.Eventually(t, waiting, 10*time.Second, 10*time.Millisecond)
	c.exec(t, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	err := <-ended
	require.ErrorContains(t, err, "its synchronous standby has not confirmed it; it is not known whether it was done: ask again, with the same IDs")

	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = appendTo(short, s, last())
	require.ErrorIs(t, err, context.DeadlineExceeded, "that it is there does not mean that the standby has it")
	reset()
	require.NoError(t, appendTo(t.Context(), s, last()))
	require.Len(t, idsOf(t.Context(), t, s), n+1)
}

// Whatever the server or the role is set to, an acknowledged event is on disk.
func TestAppend_WaitsForTheDisk(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	t.Cleanup(func() { c.exec(t, "ALTER ROLE drwatch RESET ALL") })
	for setting, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply"} {
		c.exec(t, "ALTER ROLE drwatch SET synchronous_commit = "+setting, "ALTER ROLE drwatch SET default_transaction_isolation = serializable")
		s := opened(t, o)
		var commit, isolation string
		require.NoError(t, s.set(t.Context(), "ask", func(b *pgx.Batch) {
			b.Queue("SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')").QueryRow(func(row pgx.Row) error {
				return row.Scan(&commit, &isolation)
			})
		}))
		require.Equal(t, []string{want, "read committed"}, []string{commit, isolation}, setting)
	}
}

// A server that is lost must not stop the instances: the next one of the dsn takes
// over, with all that was acknowledged, and with the leases. One that is fenced, and
// still answers, is as good as lost.
func TestStore_FailsOver(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *cluster){
		"killed": func(t *testing.T, c *cluster) { require.NoError(t, c.kill()) },
		"fenced": func(t *testing.T, c *cluster) {
			c.exec(t, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
		},
	} {
		t.Run(name, func(t *testing.T) { failOver(t, lose) })
	}
}

func failOver(t *testing.T, lose func(*testing.T, *cluster)) {
	primary, err := newCluster("")
	if errors.Is(err, errNoServer) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, primary.drop()) })
	require.NoError(t, primary.start())
	o := Options{DSN: primary.dsn("drwatch")}
	primary.exec(t, SetupSQL(SetupOptions{}))
	standby, err := newCluster(fmt.Sprintf("host=127.0.0.1 port=%d user=postgres", primary.port))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.drop()) })
	require.NoError(t, standby.start())
	primary.exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		return query[int](t, primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	}, 10*time.Second, 10*time.Millisecond)

	o.DSN = fmt.Sprintf("postgres://drwatch@%s,%s/postgres?sslmode=disable", standby.address(), primary.address())
	s := opened(t, o)
	require.NoError(t, appendTo(t.Context(), s, "a", "b"))
	lease, err := s.Acquire(t.Context(), "executor", "a", time.Hour)
	require.NoError(t, err)
	readOnStandby(t, standby)

	lose(t, primary)
	require.Eventually(t, func() bool { return appendTo(t.Context(), s, "c") != nil }, 10*time.Second, 10*time.Millisecond)
	standby.exec(t, "SELECT pg_promote()")
	require.NoError(t, appendTo(t.Context(), s, "c"), "at once")
	_, err = s.Append(t.Context(), ledger.Append{Stream: "run/1", After: 3, Under: &lease, Drafts: []ledger.Draft{draft("d")}})
	require.NoError(t, err, "the lease is still held")
	require.Equal(t, []string{"a", "b", "c", "d"}, idsOf(t.Context(), t, s))
	require.True(t, query[bool](t, standby, "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'drwatch'"))
}

// readOnStandby holds that one can be read, where that is wanted, and not written.
func readOnStandby(t *testing.T, standby *cluster) {
	_, err := Open(t.Context(), Options{DSN: standby.dsn("drwatch")})
	require.ErrorIs(t, err, ledger.ErrReadOnly)
	require.EqualError(t, err, "open: the ledger at drwatch@"+standby.address()+"/postgres: the ledger cannot be written: none of the servers that answer is a primary: "+
		"promote one, or correct the dsn (target_session_attrs=any reads on a standby)")
	reader := opened(t, Options{DSN: standby.dsn("drwatch") + "&target_session_attrs=any"})
	require.Eventually(t, func() bool { return len(idsOf(t.Context(), t, reader)) == 2 }, 10*time.Second, 10*time.Millisecond, "on its disk it has them at once")
	err = appendTo(t.Context(), reader, "c")
	require.ErrorIs(t, err, ledger.ErrReadOnly)
	require.ErrorContains(t, err, "it is a standby, or default_transaction_read_only is on there")
}

// Connections that were made to a primary are of no use when it is none any more.
func TestStore_ServerIsFenced(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	require.NoError(t, appendTo(t.Context(), s, "a"))
	c.exec(t, "ALTER ROLE drwatch SET default_transaction_read_only = on", "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	mend := func() {
		c.exec(t, "SET default_transaction_read_only = off", "ALTER ROLE drwatch RESET ALL", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
	}
	t.Cleanup(mend)
	require.Eventually(t, func() bool { return errors.Is(appendTo(t.Context(), s, "b"), ledger.ErrReadOnly) }, 10*time.Second, 10*time.Millisecond)
	mend()
	require.Eventually(t, func() bool { return appendTo(t.Context(), s, "b") == nil }, 10*time.Second, 10*time.Millisecond)
}

// Somebody who holds the lock of the log for his own reasons is named as the cause.
func TestAppend_LockedBySomebodyElse(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	conn, err := pgx.Connect(t.Context(), c.dsn("postgres"))
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "BEGIN; SELECT FROM "+identifier(o.Schema)+".head FOR UPDATE")
	require.NoError(t, err)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = appendTo(short, s, "a")
	require.ErrorIs(t, err, ledger.ErrLocked)
	require.ErrorContains(t, err, "another transaction holds it: see pg_stat_activity")
	require.NoError(t, conn.Close(t.Context()))
	require.NoError(t, appendTo(t.Context(), s, "a"))
}

// Drwatch must end while the network to the ledger hangs.
func TestClose_NetworkCut(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	p := newProxy(t, c.address())
	o.DSN = strings.ReplaceAll(o.DSN, c.address(), p.address())
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	p.cut()
	ended := make(chan error, 1)
	go func() { ended <- appendTo(context.Background(), s, "a") }()
	require.Eventually(t, func() bool { return s.pool.Stat().AcquiredConns() == 1 }, 5*time.Second, time.Millisecond)
	begun := time.Now()
	require.NoError(t, s.Close())
	require.Error(t, <-ended)
	require.Less(t, time.Since(begun), farewell+2*time.Second)
}

// An instance must leave room for others on a server that they share.
func TestStore_TakesFewConnections(t *testing.T) {
	c := shared(t)
	o := c.empty(t)
	s := opened(t, o)
	var together errgroup.Group
	for i := range 40 {
		together.Go(func() error { return appendTo(t.Context(), s, fmt.Sprint(i)) })
	}
	require.NoError(t, together.Wait())
	require.Equal(t, connections, query[int](t, c, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'drwatch' AND usename = 'drwatch'"))
}

// An event that was pruned while a reader was on his way to it is no damage.
func TestEvents_PrunedMeanwhile(t *testing.T) {
	c := shared(t)
	s := opened(t, c.empty(t))
	for i := range 3 {
		var ids []string
		for n := range pageEvents {
			ids = append(ids, fmt.Sprintf("%d-%d", i, n))
		}
		require.NoError(t, appendTo(t.Context(), s, ids...))
	}
	var last error
	for e, err := range s.Events(t.Context(), ledger.Query{}) {
		if last = err; err == nil && e.Position == 10 {
			require.NoError(t, s.Prune(t.Context(), 2*pageEvents))
		}
	}
	require.ErrorIs(t, last, errPruned)
	require.NotErrorIs(t, last, ledger.ErrCorrupt)
	require.Len(t, idsOf(t.Context(), t, s), pageEvents)
}

// contend has two instances write at once, under leases that they take from each other.
func contend(t *testing.T, stores ...*Store) {
	t.Helper()
	var together errgroup.Group
	for w := range 8 {
		s := stores[w%len(stores)]
		together.Go(func() error {
			for i := range 10 {
				l, err := s.Acquire(t.Context(), fmt.Sprint("lease ", w), "a", time.Minute)
				if err != nil {
					return err
				}
				a := ledger.Append{Stream: fmt.Sprint(w), After: uint64(i), Under: &l, Drafts: []ledger.Draft{draft(fmt.Sprint(i))}}
				if _, err := s.Append(t.Context(), a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, together.Wait())
	require.Len(t, idsOf(t.Context(), t, stores[0]), 80)
}

// A choice of a large log must be read in one pass, also while the server knows
// nothing of how large it is.
func TestEvents_ReadInOnePass(t *testing.T) {
	c := shared(t)
	s := opened(t, c.empty(t))
	c.exec(t, s.in(`INSERT INTO {schema}.events SELECT i, 'run/' || i % 100, i, i::text, 0, 'k', 'a', '1', decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
		FROM generate_series(1, 20000) i`))
	for _, analyse := range []string{"SELECT 1", s.in("ANALYZE {schema}.events")} {
		c.exec(t, analyse)
		for _, q := range []ledger.Query{{}, {Backward: true}, {Prefix: "run/7"}, {Stream: "run/7"}, {Stream: "run/7", Backward: true}} {
			q.UpTo = 20000
			question, arguments := s.pageQuery(q)
			var plan []string
			require.NoError(t, s.ask(t.Context(), "explain", func(b *pgx.Batch) {
				b.Queue(inOrder)
				b.Queue("EXPLAIN "+question, arguments...).Query(func(rows pgx.Rows) (err error) {
					plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
					return err
				})
			}))
			for _, line := range plan {
				for _, node := range []string{"Sort", "Bitmap", "Seq Scan", "Gather"} {
					require.NotContains(t, line, node, "%+v: %s", q, strings.Join(plan, "\n"))
				}
			}
		}
	}
}
