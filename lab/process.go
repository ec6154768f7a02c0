package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// A spawner starts processes that die with us. The kernel sends the parent-death signal when the *thread* that forked
// ends, and the Go runtime ends threads at its own will (golang.org/issue/27505). So all processes are started from
// one goroutine that keeps one thread for itself until the lab has closed.
type spawner struct {
	requests chan func()
	done     chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		for start := range s.requests {
			start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s.requests <- func() { result <- cmd.Start() }
	return <-result
}

func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// run runs a program to its end, and kills it with its children when the context ends first. The error carries what
// the program said.
func (s *spawner) run(ctx context.Context, dir string, user *account, program string, args ...string) error {
	var output bytes.Buffer
	cmd := command(dir, user, program, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := s.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	release := context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }) // its group
	defer release()
	err := cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", program, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// command prepares a program in a process group of its own, out of reach of the terminal's Ctrl-C, so that Close can
// stop things in order; with messages in English, since we read some of them.
func command(dir string, user *account, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...) //nolint:noctx // servers outlive the call, and are ended with their children
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = processAttributes(user)
	return cmd
}

// A server is one program that listens, and may be started, stopped, killed and frozen. Its methods are called by one
// goroutine at a time.
type server struct {
	name    string // as people read it
	region  string
	program string
	args    func(ports []int) []string
	dir     string // its working folder
	logFile string
	user    *account // nil: ourselves
	ready   func(context.Context) error
	spawner *spawner

	quickStop unix.Signal // ends it without ceremony

	ports  []int // all on 127.0.0.1; the first one is the one that counts
	placed bool  // the ports are known to others and stay

	process *exec.Cmd     // nil before the first start
	exited  chan struct{} // closed once the process has been waited for
}

var errPortTaken = errors.New("a port was taken meanwhile")

// startTimeout bounds the start of one server, whatever the context says.
const startTimeout = 30 * time.Second

// start starts the server where it is not running, and returns when it answers. Another program can take a free port
// before the server does: then other ports are tried, or the same ones again where others know them already.
func (s *server) start(ctx context.Context) error {
	if s.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if !s.placed {
			if err := pickPorts(ctx, s.ports); err != nil {
				return fmt.Errorf("start %s: %w", s.name, err)
			}
		}
		err := s.launch(ctx)
		if err == nil {
			s.placed = true
			return nil
		}
		if !errors.Is(err, errPortTaken) || pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("start %s: %w", s.name, err)
		}
	}
}

// launch tries to start the server once.
func (s *server) launch(ctx context.Context) error {
	log, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process keeps its own
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := command(s.dir, s.user, s.program, s.args(s.ports)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := s.spawner.start(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how a server ended is in its log
	}()
	s.process, s.exited = cmd, exited

	ready, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan error, 1)
	go func() { answers <- poll(ready, "its first answer", s.ready) }()
	select {
	case err = <-answers:
		if err != nil {
			err = errors.Join(err, s.kill(context.WithoutCancel(ctx)))
		}
		return err
	case <-exited:
		stop()
		<-answers //nolint:errcheck // the process has ended; its log says why
		return s.whyExited(before)
	}
}

// whyExited reads what the server logged since the given offset.
func (s *server) whyExited(offset int64) error {
	content, err := os.ReadFile(s.logFile)
	if err != nil {
		return fmt.Errorf("it ended at once, and its log cannot be read: %w", err)
	}
	said := strings.TrimSpace(string(content[min(offset, int64(len(content))):]))
	if strings.Contains(said, "Address already in use") {
		return errPortTaken
	}
	lines := strings.Split(said, "\n")
	return fmt.Errorf("it ended at once (%s): %s", s.logFile, strings.Join(lines[max(0, len(lines)-5):], "; "))
}

func (s *server) running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *server) address() string { return address(s.ports[0]) }

// stop asks the server to end with a signal, and kills it when it has not ended 5 s later.
func (s *server) stop(ctx context.Context, signal unix.Signal) error {
	if !s.running() {
		return nil
	}
	if err := s.thaw(); err != nil {
		return err
	}
	if err := s.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		return s.kill(context.WithoutCancel(ctx))
	}
}

// kill ends the server and all its children at once, as a power cut would, and returns when they are gone.
func (s *server) kill(ctx context.Context) error {
	if !s.running() {
		return nil
	}
	// A stopped parent starts no further child and learns nothing of the death of those it has.
	if err := signalAll([]int{s.process.Process.Pid}, unix.SIGSTOP); err != nil {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	tree, err := s.tree()
	if err != nil {
		return err
	}
	slices.Reverse(tree) // the parent last: no child is to say farewell to its clients because it lost its parent
	if err := killAll(ctx, tree); err != nil {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	<-s.exited
	return nil
}

// freeze stops all processes of the server where they are: its connections stay open, and nothing answers.
func (s *server) freeze(ctx context.Context) error {
	if !s.running() {
		return fmt.Errorf("freeze %s: it is not running", s.name)
	}
	if err := signalAll([]int{s.process.Process.Pid}, unix.SIGSTOP); err != nil { // so that the tree grows no further
		return fmt.Errorf("freeze %s: %w", s.name, err)
	}
	tree, err := s.tree()
	if err != nil {
		return err
	}
	if err := freezeAll(ctx, tree); err != nil {
		return fmt.Errorf("freeze %s: %w", s.name, err)
	}
	return nil
}

// thaw lets all processes of the server go on. It is no error when none was frozen, or none is there.
func (s *server) thaw() error {
	if !s.running() {
		return nil
	}
	tree, err := s.tree()
	if err != nil {
		return err
	}
	if err := signalAll(tree, unix.SIGCONT); err != nil {
		return fmt.Errorf("thaw %s: %w", s.name, err)
	}
	return nil
}

// tree lists the server's process and those that descend from it.
func (s *server) tree() ([]int, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := make(map[int][]int)
	for _, p := range all {
		if stat, err := p.Stat(); err == nil { // else it is gone meanwhile
			children[stat.PPID] = append(children[stat.PPID], p.PID)
		}
	}
	tree := []int{s.process.Process.Pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

func (s *server) copyLog(w io.Writer) error {
	log, err := os.Open(s.logFile)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", s.name, err)
	}
	defer func() { _ = log.Close() }()
	if _, err := io.Copy(w, log); err != nil {
		return fmt.Errorf("read the log of %s: %w", s.name, err)
	}
	return nil
}

// signalAll signals each process that is still there.
func signalAll(pids []int, signal unix.Signal) error {
	for _, pid := range pids {
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("send %s to process %d: %w", unix.SignalName(signal), pid, err)
		}
	}
	return nil
}

// killAll kills the processes and waits until none is left.
func killAll(ctx context.Context, pids []int) error {
	if err := signalAll(pids, unix.SIGKILL); err != nil {
		return err
	}
	return awaitStates(ctx, pids, "be gone", "", "Z", "X")
}

// freezeAll stops the processes and waits until each of those still there stands still.
func freezeAll(ctx context.Context, pids []int) error {
	if err := signalAll(pids, unix.SIGSTOP); err != nil {
		return err
	}
	return awaitStates(ctx, pids, "stand still", "T", "t", "", "Z", "X")
}

// awaitStates waits until each process is in one of the states of proc(5); the empty one means that it is not there.
func awaitStates(ctx context.Context, pids []int, what string, states ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return poll(ctx, fmt.Sprintf("%d processes to %s", len(pids), what), func(context.Context) error {
		for _, pid := range pids {
			if state := processState(pid); !slices.Contains(states, state) {
				return fmt.Errorf("process %d is in state %s", pid, state)
			}
		}
		return nil
	})
}

func processState(pid int) string {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return ""
	}
	stat, err := p.Stat()
	if err != nil {
		return ""
	}
	return stat.State
}

// pickPorts fills in ports that were free a moment ago.
func pickPorts(ctx context.Context, ports []int) error {
	listeners := make([]net.Listener, 0, len(ports))
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address(0))
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		listeners = append(listeners, l)
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// poll tries again and again, 20 ms apart, until it succeeds or the context ends; then the error carries the last
// failure. Each try has 2 s.
func poll(ctx context.Context, what string, try func(context.Context) error) error {
	var last error
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil { // an error of the ended context tells nothing
			last = err
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("wait for %s: %w (last seen: %w)", what, context.Cause(ctx), last)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
