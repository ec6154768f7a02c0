package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// longEnough bounds every wait for a server to do what it is known to do.
const longEnough = 20 * time.Second

// process is a real redis-server or redis-sentinel on loopback.
type process struct {
	t       testing.TB
	program string
	dir     string
	port    int
	plain   int // port without TLS; 0 when there is none
	args    []string
	cmd     *exec.Cmd
}

// startRedis starts a server of its own and stops it after the test. The data
// directory is its own; nothing is saved unless the arguments say so.
func startRedis(t testing.TB, args ...string) *process {
	return startServer(t, "redis-server", append([]string{"--save", "", "--repl-ping-replica-period", "1"}, args...)...)
}

func startServer(t testing.TB, program string, args ...string) *process {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%s is not installed: apt-get install redis-server redis-sentinel", program)
	}
	p := &process{t: t, program: program, dir: t.TempDir(), args: args}
	for range 5 { // another program may take the port meanwhile
		p.port = freePort(t)
		p.plain = p.port
		if p.start() == nil {
			t.Cleanup(p.kill)
			return p
		}
	}
	log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	t.Fatalf("%s does not start: %s", program, log)
	return nil
}

func (p *process) start() error {
	args := p.args
	if p.program == "redis-sentinel" {
		args = append([]string{filepath.Join(p.dir, "sentinel.conf")}, args...)
		if err := os.WriteFile(args[0], nil, 0o600); err != nil {
			return err
		}
	}
	args = append(args, "--port", fmt.Sprint(p.port), "--bind", "127.0.0.1", "--dir", p.dir, "--logfile", filepath.Join(p.dir, "log"))
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "{dir}", p.dir)
	}
	p.cmd = exec.Command(p.program, args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	cmd := p.cmd
	go func() { _ = cmd.Wait(); close(exited) }()
	for end := time.Now().Add(longEnough); time.Now().Before(end); {
		conn, err := net.Dial("tcp", p.addr())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return errors.New("it ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("it does not listen")
}

func (p *process) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(p.cmd.Process.Pid, s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	for end := time.Now().Add(longEnough); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if syscall.Kill(p.cmd.Process.Pid, 0) != nil {
			return
		}
	}
}

func (p *process) freeze() {
	p.signal(syscall.SIGSTOP)
	p.t.Cleanup(p.thaw)
}

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// client is another client than the one under test, with all rights.
func (p *process) client() *goredis.Client {
	c := goredis.NewClient(&goredis.Options{
		Addr: p.addr(), Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// do runs one command and gives its answer as text.
func (p *process) do(words ...any) string {
	p.t.Helper()
	c := p.client()
	defer func() { _ = c.Close() }()
	answer, err := c.Do(p.t.Context(), words...).Result()
	require.NoError(p.t, err, "%v", words)
	return fmt.Sprint(answer)
}

// field gives one line of INFO; empty while the server does not answer.
func (p *process) field(name string) string {
	c := p.client()
	defer func() { _ = c.Close() }()
	text, _ := c.Info(p.t.Context(), "everything").Result()
	for line := range strings.SplitSeq(text, "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}

func (p *process) waitFor(name, value string) {
	p.t.Helper()
	eventually(p.t, func() bool { return p.field(name) == value }, "%s to be %s", name, value)
}

func eventually(t testing.TB, condition func() bool, what string, args ...any) {
	t.Helper()
	for end := time.Now().Add(longEnough); !condition(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "waited in vain for %s", fmt.Sprintf(what, args...))
	}
}

func freePort(t testing.TB) int {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		port := l.Addr().(*net.TCPAddr).Port
		require.NoError(t, l.Close())
		if port+10000 < 65536 { // a node of a cluster takes that one too
			return port
		}
		if port > 1024+20000 { // the kernel hands out high ports: try below
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port-20000)); err == nil {
				_ = l.Close()
				return port - 20000
			}
		}
	}
}

// pair is a primary and a replica that follows it, over a wire of ours.
type pair struct {
	primary, replica *process
	wire             *wire
}

func startPair(t testing.TB, primaryArgs, replicaArgs []string) *pair {
	t.Helper()
	p := &pair{primary: startRedis(t, append([]string{"--repl-diskless-sync-delay", "0"}, primaryArgs...)...)}
	p.wire = newWire(t, p.primary.addr())
	host, port, _ := net.SplitHostPort(p.wire.addr())
	p.replica = startRedis(t, append([]string{"--replicaof", host, port}, replicaArgs...)...)
	p.replica.waitFor("master_link_status", "up")
	return p
}

// wire is a TCP proxy that can be cut, or held so that nothing passes.
type wire struct {
	upstream string
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	held  chan struct{} // closed when traffic may pass
	cut   bool
	limit int // bytes a second downstream, 0 is none
	conns map[net.Conn]struct{}
}

func newWire(t testing.TB, upstream string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{upstream: upstream, listener: l, held: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(w.held)
	w.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.done.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.release()
		w.setCut(true)
		w.done.Wait()
	})
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) carry(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", w.upstream)
	if err != nil || !w.add(near, far) {
		return
	}
	defer func() { _ = far.Close() }()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			w.copy(way[0], way[1])
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
}

func (w *wire) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		held, limit := w.held, w.limit
		w.mu.Unlock()
		<-held
		if limit > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(limit))
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *wire) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return !w.cut
}

// setCut closes all connections, and keeps new ones out until it is mended.
func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for c := range w.conns {
			_ = c.Close()
		}
		clear(w.conns)
	}
}

// hold lets nothing through, with the connections open: a network that drops
// packets.
func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = make(chan struct{})
}

func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.held:
	default:
		close(w.held)
	}
}

func (w *wire) slow(bytesPerSecond int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = bytesPerSecond
}

// write is one write that the primary acknowledged, and when.
type write struct {
	key string
	at  time.Time
}

// writer writes to a primary as fast as it can, and keeps a log of what was
// acknowledged: the truth that recovery points are held against.
type writer struct {
	stop func()

	mu  sync.Mutex
	log []write
}

func startWriter(t testing.TB, client goredis.Cmdable) *writer {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{}
	done := make(chan struct{})
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(w.stop)
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("key-%d", i)
			if client.Set(ctx, key, strings.Repeat("x", 100), 0).Err() != nil {
				continue // not acknowledged, so nothing is promised
			}
			w.mu.Lock()
			w.log = append(w.log, write{key, time.Now()})
			w.mu.Unlock()
			pause(ctx, time.Millisecond)
		}
	}()
	return w
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *writer) writes() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]write(nil), w.log...)
}

func (w *writer) waitForMore(t testing.TB) {
	n := len(w.writes())
	eventually(t, func() bool { return len(w.writes()) > n+20 }, "writes to go on")
}

// requireHolds asserts that a server has every write that was acknowledged by
// the moment given, and says how much newer the newest is that it has.
func (w *writer) requireHolds(t testing.TB, client goredis.Cmdable, by time.Time) {
	t.Helper()
	var missing []write
	checked := 0
	for _, one := range w.writes() {
		if one.at.After(by) {
			continue
		}
		checked++
		if client.Exists(t.Context(), one.key).Val() != 1 {
			missing = append(missing, one)
		}
	}
	require.NotZero(t, checked, "the recovery point is older than the first write: nothing is proven")
	require.Empty(t, missing, "the recovery point %s promises %d writes that the replica does not have", by, len(missing))
}

// watch looks at a primary and a replica as the monitor does, and derives what
// readiness makes of it.
type watch struct {
	t         testing.TB
	datastore readiness.Datastore
	sightings *readiness.Sightings
	probes    map[string]*redis.Probe
	timeout   time.Duration
}

func newWatch(t testing.TB, primary, replica redis.Config) *watch {
	w := &watch{t: t, probes: map[string]*redis.Probe{}, timeout: time.Second}
	w.datastore = readiness.Datastore{
		Name: "sessions",
		RPO:  map[readiness.Scenario]time.Duration{readiness.RegionFailure: time.Minute},
	}
	for name, config := range map[string]redis.Config{"primary": primary, "replica": replica} {
		c := readiness.Copy{Name: name, Kind: readiness.CopyKind(name), Region: name, Watch: readiness.Watch{Probe: "redis", StaleAfter: time.Minute}}
		c.Checks = redis.Checks(config, c)
		require.Empty(t, config.Validate(c))
		probe, err := redis.New(config, probes.Target{Copy: c, Instance: "test"})
		require.NoError(t, err)
		w.probes[name] = probe
		w.datastore.Copies = append(w.datastore.Copies, c)
	}
	w.sightings = readiness.NewSightings(w.datastore)
	return w
}

func (w *watch) copy(name string) readiness.Copy {
	for _, c := range w.datastore.Copies {
		if c.Name == name {
			return c
		}
	}
	w.t.Fatalf("no copy %s", name)
	return readiness.Copy{}
}

// look makes one look and gives what came of it.
func (w *watch) look(name string) (readiness.Reading, *readiness.Failure) {
	ctx, cancel := context.WithTimeout(w.t.Context(), w.timeout)
	defer cancel()
	o := readiness.Observation{At: time.Now()}
	reading, err := w.probes[name].Look(ctx)
	o.Took, o.Reading, o.Failure = time.Since(o.At), reading, probes.AsFailure(err)
	for _, check := range reading.Checks {
		require.Contains(w.t, w.copy(name).Checks, check.Name, "answered, and not listed")
	}
	w.sightings.Observe(w.copy(name), o)
	return reading, o.Failure
}

// both looks at the primary and then at the replica.
func (w *watch) both() (primary, replica readiness.Reading) {
	w.t.Helper()
	primary, failure := w.look("primary")
	require.Nil(w.t, failure)
	replica, failure = w.look("replica")
	require.Nil(w.t, failure)
	return primary, replica
}

// catchUp looks until the replica is proven to hold all that the primary had
// written when this began.
func (w *watch) catchUp() {
	w.t.Helper()
	begun := time.Now()
	w.both()
	var reading readiness.Reading
	var failure *readiness.Failure
	eventually(w.t, func() bool {
		reading, failure = w.look("replica")
		at, ok := w.recoveryPoint()
		return ok && !at.Before(begun)
	}, "the replica to catch up: %+v %v", &reading, &failure)
}

// recoveryPoint is what is proven of the replica; false when nothing is.
func (w *watch) recoveryPoint() (time.Time, bool) {
	p, ok := w.sightings.Seen("replica").Received.Get()
	return p.At, ok
}

func (w *watch) mustRecoveryPoint() time.Time {
	w.t.Helper()
	at, ok := w.recoveryPoint()
	require.True(w.t, ok, "no recovery point")
	return at
}

func (w *watch) report() readiness.DatastoreReport {
	system := readiness.System{
		PrimaryRegion: "primary", StandbyRegion: "replica",
		Scenarios:  []readiness.ScenarioObjective{{Scenario: readiness.RegionFailure, Objective: readiness.Objective{RPO: time.Minute}}},
		Datastores: []readiness.Datastore{w.datastore},
	}
	return readiness.Evaluate(system, func(id readiness.ID) *readiness.Seen { return w.sightings.Seen(id.Name) }, time.Now()).Datastores[0]
}

// check gives the answer to a check on a copy, as people would be told.
func (w *watch) check(copyName, name string) readiness.Check {
	w.t.Helper()
	for _, c := range w.report().Copies {
		for _, check := range c.Checks {
			if c.Name == copyName && check.Name == name {
				return check
			}
		}
	}
	w.t.Fatalf("no check %s on %s", name, copyName)
	return readiness.Check{}
}

func at(p interface{ addr() string }) redis.Config { return redis.Config{URL: "redis://" + p.addr()} }

func lookOnce(t testing.TB, config redis.Config) (readiness.Reading, *readiness.Failure) {
	t.Helper()
	c := readiness.Copy{Name: "primary", Kind: readiness.Primary}
	probe, err := redis.New(config, probes.Target{Copy: c})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	reading, err := probe.Look(ctx)
	return reading, probes.AsFailure(err)
}

func mustWrite(t testing.TB, path string, content []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}
