package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// ErrNoUnbound says that Unbound is not installed, and how to install it.
var ErrNoUnbound = errors.New("unbound is not installed; run: apt-get install -y --no-install-recommends unbound")

// FindUnbound is where the program is; empty where it is not installed.
func FindUnbound() string {
	const debian = "/usr/sbin/unbound" // which is not in the PATH of everybody
	if info, err := os.Stat(debian); err == nil && info.Mode()&0o111 != 0 {
		return debian
	}
	path, err := exec.LookPath("unbound")
	if err != nil {
		return ""
	}
	return path
}

// ResolverOptions say what a Resolver asks, and where it is.
type ResolverOptions struct {
	// Dir is where its configuration and its log go. It must be there.
	Dir string
	// Address is where it answers, as host:port on loopback; with port 0, or empty, on a free port.
	Address string
	// Zones are the name servers that it asks about names in a zone, as host:port. It knows no other names: what is
	// in none of them it refuses.
	Zones map[string][]string
	// Lies are what it says in place of what the name servers say.
	Lies []Record
	// MinTTL is for how many seconds it keeps an answer at least, whatever the zone says.
	MinTTL uint32
	// Start starts the process, where that is somebody else's business, who may change its attributes. Nil starts it
	// from here.
	Start func(*exec.Cmd) error
}

// Resolver is a caching resolver: a process of Unbound, which keeps answers for as long as their TTL says. It needs no
// rights.
type Resolver struct {
	address string
	process *os.Process
	exited  chan struct{} // closed once the process has been waited for
}

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
)

// StartResolver starts Unbound and returns when it answers. The context bounds the start alone. The error wraps
// [ErrNoUnbound] where it is not installed.
func StartResolver(ctx context.Context, o ResolverOptions) (*Resolver, error) {
	program := FindUnbound()
	if program == "" {
		return nil, fmt.Errorf("start a resolver: %w", ErrNoUnbound)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		r, err := launch(ctx, program, o)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || pause(ctx, 50*time.Millisecond) != nil {
			return nil, fmt.Errorf("start a resolver: %w", err)
		}
	}
}

func launch(ctx context.Context, program string, o ResolverOptions) (*Resolver, error) {
	address, err := placeFor(ctx, o.Address)
	if err != nil {
		return nil, err
	}
	file, log := filepath.Join(o.Dir, "unbound.conf"), filepath.Join(o.Dir, "unbound.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(configuration(address, log, o)), 0o600); err != nil {
		return nil, err
	}
	said := new(lastWords)
	cmd := exec.Command(program, "-d", "-c", file) //nolint:noctx // it outlives the call, and is ended by Stop
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.Dir, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is not for it
	start := o.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	r := &Resolver{address: address, process: cmd.Process, exited: make(chan struct{})}
	go func() { // it ends with the process, and Stop waits for that
		defer close(r.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := r.await(ctx); err != nil {
		return nil, errors.Join(err, r.Stop(context.WithoutCancel(ctx)), whyEnded(log, said))
	}
	return r, nil
}

// placeFor is an address with a port that was free a moment ago.
func placeFor(ctx context.Context, address string) (string, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("find a place for it: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// configuration is that of a resolver without rights, without DNSSEC, and without the names of the world.
func configuration(address, log string, o ResolverOptions) string {
	host, port, _ := net.SplitHostPort(address)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server:")
	line("  interface: %s\n  port: %s\n  access-control: 127.0.0.0/8 allow\n  do-ip6: no", host, port)
	line("  do-daemonize: no\n  chroot: \"\"\n  username: \"\"\n  directory: %q\n  pidfile: \"\"\n  use-syslog: no\n  logfile: %q", o.Dir, log)
	line("  do-not-query-localhost: no\n  module-config: \"iterator\"\n  num-threads: 1\n  outgoing-range: 256\n  num-queries-per-thread: 128")
	line("  qname-minimisation: no\n  ede: yes\n  cache-min-ttl: %d\n  infra-keep-probing: yes\n  infra-host-ttl: 5", o.MinTTL)
	line("  local-zone: \".\" refuse")
	for _, zone := range slices.Sorted(maps.Keys(o.Zones)) {
		line("  local-zone: %q transparent", dns.Fqdn(zone))
	}
	for _, lie := range o.Lies {
		line("  local-data: '%s %d IN %s %s'", dns.Fqdn(lie.Name), lie.TTL, lie.Type, lie.Value)
	}
	line("remote-control:\n  control-enable: no")
	for _, zone := range slices.Sorted(maps.Keys(o.Zones)) {
		line("stub-zone:\n  name: %q", dns.Fqdn(zone))
		for _, address := range o.Zones[zone] {
			host, port, _ := net.SplitHostPort(address)
			line("  stub-addr: %s@%s", host, port)
		}
	}
	return b.String()
}

// await waits for the first answer.
func (r *Resolver) await(ctx context.Context) error {
	question := new(dns.Msg).SetQuestion("drwatch.invalid.", dns.TypeA)
	client := dns.Client{Timeout: 200 * time.Millisecond}
	for {
		if _, _, err := client.ExchangeContext(ctx, question, r.address); err == nil {
			return nil
		}
		select {
		case <-r.exited:
			return errors.New("it ended at once")
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for its first answer: %w", context.Cause(ctx))
		}
	}
}

// whyEnded is what it said at its end.
func whyEnded(log string, said *lastWords) error {
	text := said.String()
	if content, err := os.ReadFile(log); err == nil {
		text += string(content[max(0, len(content)-mostWords):])
	}
	if strings.Contains(text, "Address already in use") {
		return syscall.EADDRINUSE
	}
	return fmt.Errorf("it said: %s", strings.Join(strings.Fields(text), " "))
}

// Address is where it answers, over UDP and TCP.
func (r *Resolver) Address() string { return r.address }

// Freeze lets it stand still: it takes questions and says nothing.
func (r *Resolver) Freeze() error { return r.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (r *Resolver) Thaw() error { return r.signal(syscall.SIGCONT) }

// Stop ends it, frozen or not, and returns when it is gone. It may be called again.
func (r *Resolver) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	err := errors.Join(r.signal(syscall.SIGCONT), r.signal(syscall.SIGTERM))
	select {
	case <-r.exited:
	case <-ctx.Done():
		err = errors.Join(err, r.signal(syscall.SIGKILL))
		<-r.exited
	}
	return err
}

func (r *Resolver) signal(s syscall.Signal) error {
	if err := r.process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to the resolver at %s: %w", s, r.address, err)
	}
	return nil
}

// lastWords keeps the beginning of what a process says before it has a log.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

const mostWords = 2000

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p[:min(len(p), mostWords-len(w.text))]...)
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}
