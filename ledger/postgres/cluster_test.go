package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/ledgertest"
)

// With one of these the test binary is a process that uses the ledger that it names.
const (
	writerEnv = "LEDGER_TEST_WRITER" // appends until it is killed
	leaseEnv  = "LEDGER_TEST_LEASE"  // acts under a lease until it is fenced
)

func TestMain(m *testing.M) {
	for env, do := range map[string]func(context.Context, *Store) error{
		writerEnv: func(ctx context.Context, s *Store) error { return ledgertest.Write(ctx, s, os.Stdout) },
		leaseEnv:  act,
	} {
		if ledger := os.Getenv(env); ledger != "" {
			os.Exit(use(ledger, do))
		}
	}
	code := m.Run()
	if oneCluster != nil {
		if err := oneCluster.drop(); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// writer is such a process.
func writer(o Options, env string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env+"="+o.DSN+" schema="+o.Schema)
	return cmd
}

func use(at string, do func(context.Context, *Store) error) int {
	dsn, schema, _ := strings.Cut(at, " schema=")
	s, err := Open(context.Background(), Options{DSN: dsn, Schema: schema})
	if err == nil {
		err = do(context.Background(), s)
	}
	_, _ = fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, ledger.ErrFenced) {
		return 3
	}
	return 1
}

// act appends under a lease that it renews, as an executor does.
func act(ctx context.Context, s *Store) error {
	l, err := s.Acquire(ctx, "executor", "first", time.Second)
	for i := 0; err == nil; i++ {
		_, err = s.Append(ctx, ledger.Append{Stream: "run/1", After: ledger.Any, Under: &l, Drafts: []ledger.Draft{draft(fmt.Sprint(i))}})
		if err != nil {
			return err
		}
		_, _ = fmt.Println(i)
		l, err = s.Renew(ctx, l, time.Second)
	}
	return err
}

// cluster is a PostgreSQL server, as it is in production: it flushes to the disk.
type cluster struct {
	bin, dir string
	account  *syscall.Credential // who runs it; nil is who runs the test
	port     int
	spawn    chan func()
	reap     chan func()
	process  *exec.Cmd
	exited   chan struct{}
	schemas  int
}

// shared is the server of all tests that do no more than break it and mend it.
func shared(t testing.TB) *cluster {
	t.Helper()
	one.Do(func() { oneCluster, oneError = newCluster("") })
	if errors.Is(oneError, errNoServer) && os.Getenv("CI") != "true" {
		t.Skip(oneError)
	}
	require.NoError(t, oneError)
	require.NoError(t, oneCluster.start())
	return oneCluster
}

// It lives as long as the tests do; TestMain drops it.
var (
	one        sync.Once
	oneCluster *cluster
	oneError   error

	errNoServer = errors.New("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")
)

// newCluster makes a server out of nothing, or as the standby of the one at an address.
func newCluster(primary string) (*cluster, error) {
	initdb, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(initdb) == 0 {
		return nil, errNoServer
	}
	c := &cluster{bin: filepath.Dir(initdb[len(initdb)-1]), spawn: make(chan func()), reap: make(chan func())}
	go func() { // the kernel ends what was started when the thread ends that started it
		runtime.LockOSThread()
		for start := range c.spawn {
			start()
		}
	}()
	go func() { // not one for each start: a test that looks for goroutines would find it
		for wait := range c.reap {
			wait()
		}
	}()
	folder, err := os.MkdirTemp("", "ledger-postgres-")
	if err != nil {
		return nil, err
	}
	if c.account, err = account(folder); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.port = listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	c.dir = filepath.Join(folder, "data")
	if primary != "" {
		return c, c.run("pg_basebackup", "-D", c.dir, "-d", primary+" application_name=standby", "-R", "-X", "stream", "-c", "fast")
	}
	err = c.run("initdb", "-D", c.dir, "--username=postgres", "--auth=trust", "--data-checksums", "--encoding=UTF8", "--locale=C", "--no-instructions")
	if err != nil {
		return nil, err
	}
	hba := "host all secretive 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
	return c, os.WriteFile(filepath.Join(c.dir, "pg_hba.conf"), []byte(hba), 0o600)
}

// account is the one that runs PostgreSQL where we are root, as which it does not run.
func account(folder string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(folder, int(uid), int(gid))
}

func (c *cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, program), args...)
	cmd.Dir = filepath.Dir(c.dir)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: c.account}
	return cmd
}

func (c *cluster) begin(cmd *exec.Cmd) error {
	result := make(chan error)
	c.spawn <- func() { result <- cmd.Start() }
	return <-result
}

func (c *cluster) run(program string, args ...string) error {
	var output bytes.Buffer
	cmd := c.command(program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := c.begin(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, output.String())
	}
	return nil
}

func (c *cluster) running() bool {
	if c.process == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// start starts the server where it does not run, and waits until it answers. What
// is left of one that was killed may keep it from starting for a moment.
func (c *cluster) start() error {
	for deadline := time.Now().Add(time.Minute); ; {
		if !c.running() {
			cmd := c.command("postgres", "-D", c.dir, "-c", "port="+strconv.Itoa(c.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
			log, err := os.OpenFile(filepath.Join(filepath.Dir(c.dir), "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return err
			}
			cmd.Stdout, cmd.Stderr = log, log
			err = c.begin(cmd)
			_ = log.Close()
			if err != nil {
				return err
			}
			exited := make(chan struct{})
			c.reap <- func() { defer close(exited); _ = cmd.Wait() }
			c.process, c.exited = cmd, exited
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, c.dsn("postgres"))
		if err == nil {
			err = errors.Join(conn.Ping(ctx), conn.Close(ctx))
		}
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// kill ends all processes of the server at once, as a power cut would.
func (c *cluster) kill() error {
	pid := c.process.Process.Pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		return err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return err
	}
	for child := range strings.FieldsSeq(string(children)) {
		n, _ := strconv.Atoi(child)
		_ = unix.Kill(n, unix.SIGKILL) // it may be gone
	}
	err = unix.Kill(pid, unix.SIGKILL)
	<-c.exited
	return err
}

// stop ends the server in order; with a checkpoint, so that all is in its files.
func (c *cluster) stop() error {
	err := c.process.Process.Signal(unix.SIGINT)
	<-c.exited
	return err
}

// drop ends a server for good.
func (c *cluster) drop() error {
	if c.running() {
		if err := c.kill(); err != nil {
			return err
		}
	}
	close(c.spawn)
	close(c.reap)
	return os.RemoveAll(filepath.Dir(c.dir))
}

func (c *cluster) address() string { return fmt.Sprintf("127.0.0.1:%d", c.port) }

func (c *cluster) dsn(user string) string {
	return fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", user, c.address())
}

// exec runs statements as a superuser.
func (c *cluster) exec(t testing.TB, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), c.dsn("postgres"))
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, statement := range statements {
		_, err := conn.Exec(context.Background(), statement)
		require.NoError(t, err, statement)
	}
}

// query asks for one value as a superuser.
func query[T any](t testing.TB, c *cluster, question string, args ...any) (answer T) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), c.dsn("postgres"))
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.NoError(t, conn.QueryRow(context.Background(), question, args...).Scan(&answer), question)
	return answer
}

// empty makes the tables of a new ledger, for a role that owns none of them.
func (c *cluster) empty(t testing.TB) Options {
	t.Helper()
	c.schemas++
	schema := fmt.Sprintf("Ledger %d", c.schemas)
	c.exec(t, SetupSQL(SetupOptions{Schema: schema}))
	t.Cleanup(func() {
		if c.running() {
			c.exec(t, "DROP SCHEMA "+identifier(schema)+" CASCADE")
		}
	})
	return Options{DSN: c.dsn("drwatch"), Schema: schema}
}

func opened(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// draft makes one with an ID.
func draft(id string) ledger.Draft {
	return ledger.Draft{ID: id, Time: time.Unix(1772366400, 0), Kind: "tested", Actor: "test", Body: []byte(`{"id":"` + id + `"}`)}
}

// appendTo appends without a condition.
func appendTo(ctx context.Context, s ledger.Store, ids ...string) error {
	a := ledger.Append{Stream: "run/1", After: ledger.Any}
	for _, id := range ids {
		a.Drafts = append(a.Drafts, draft(id))
	}
	_, err := s.Append(ctx, a)
	return err
}

// idsOf are the IDs of all events, from a ledger that verifies.
func idsOf(ctx context.Context, t testing.TB, s ledger.Store) (ids []string) {
	t.Helper()
	_, err := ledger.Verify(ctx, s, nil)
	require.NoError(t, err)
	for e, err := range s.Events(ctx, ledger.Query{}) {
		require.NoError(t, err)
		ids = append(ids, e.ID)
	}
	return ids
}
