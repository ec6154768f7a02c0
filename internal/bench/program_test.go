//go:build linux

package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// buildDrwatch builds the program as "./dev build" does.
func buildDrwatch(b *testing.B) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "drwatch")
	output, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-o", path, "../../cmd/drwatch").CombinedOutput()
	require.NoError(b, err, string(output))
	return path
}

// program is a running program, whose cost is measured from outside.
type program struct {
	url  string
	proc procfs.Proc
	stop func() // may be called again
}

// launch says how a program is started. ADDRESS in its arguments becomes the
// address on which it is to listen.
type launch struct {
	path   string
	args   []string
	env    []string
	health string // a path that answers with 200 once it runs
}

// start starts the program and returns once it answers; it ends with the
// benchmark at the latest.
func (l launch) start(b *testing.B) *program {
	b.Helper()
	address := freeAddress(b)
	args := make([]string, 0, len(l.args))
	for _, a := range l.args {
		args = append(args, strings.ReplaceAll(a, "ADDRESS", address))
	}
	log, err := os.CreateTemp(b.TempDir(), "log")
	require.NoError(b, err)
	defer func() { _ = log.Close() }() // the process keeps its own
	command := exec.Command(l.path, args...)
	command.Env = append(os.Environ(), l.env...)
	command.Stdout, command.Stderr = log, log
	require.NoError(b, command.Start())
	exited := make(chan struct{})
	go func() { defer close(exited); _ = command.Wait() }()
	p := &program{url: "http://" + address}
	p.stop = sync.OnceFunc(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = command.Process.Kill()
			<-exited
		}
	})
	b.Cleanup(p.stop)
	p.proc, err = procfs.NewProc(command.Process.Pid)
	require.NoError(b, err)
	await(b, time.Minute, filepath.Base(l.path)+" answers", func() error {
		select {
		case <-exited:
			said, _ := os.ReadFile(log.Name())
			b.Fatalf("%s ended at once: %s", l.path, said)
		default:
		}
		_, err := get(p.url + l.health)
		return err
	})
	return p
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// await tries until it succeeds, and gives up after so long.
func await(b *testing.B, within time.Duration, what string, try func() error) {
	b.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("not within %s: %s: %v", within, what, err)
		}
	}
}

// cpu is the processor time that the process has taken, user and system: the sum
// of utime and stime of /proc/PID/stat, but in nanoseconds instead of 10 ms.
func (p *program) cpu(b *testing.B) time.Duration {
	b.Helper()
	const cpuclockSched = 2 // as clock_getcpuclockid(3) makes the id of a process's clock
	var t unix.Timespec
	require.NoError(b, unix.ClockGettime(int32(^p.proc.PID)<<3|cpuclockSched, &t))
	return time.Duration(t.Nano())
}

// memory is resident memory in bytes.
type memory struct {
	now, peak float64
	// own is the part of now that is not the program's file, which the kernel
	// shares and takes back as it likes.
	own float64
}

func (p *program) memory(b *testing.B) memory {
	b.Helper()
	status, err := p.proc.NewStatus()
	require.NoError(b, err)
	return memory{float64(status.VmRSS), float64(status.VmHWM), float64(status.RssAnon)}
}

// get reads a page as text.
func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %.200s", url, response.Status, text)
	}
	return string(text), err
}

// page reads the metrics of the program.
func (p *program) page(b *testing.B) string {
	b.Helper()
	text, err := get(p.url + "/metrics")
	require.NoError(b, err)
	return text
}

// sum adds the values of all series of a page that begin so.
func sum(page, prefix string) (total float64) {
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, prefix); ok && strings.ContainsAny(rest[:1], "{ ") {
			value, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
			total += value
		}
	}
	return total
}

// series counts the series of a page.
func series(page string) (n int) {
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// show prints a table as docs/benchmarks.md has it.
func show(title string, header table.Row, rows []table.Row) {
	t := table.NewWriter()
	t.AppendHeader(header)
	t.AppendRows(rows)
	fmt.Printf("\n%s\n\n%s\n\n", title, t.RenderMarkdown())
}

func mega(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
