package probetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// toy is a probe of a toy protocol: LOGIN user password, answered by +OK name.
// Each of its faults is one that a real probe has had.
type toy struct {
	addr string

	ignoresContext    bool // knows only a timeout of its own
	ignoresCancel     bool // obeys the deadline and nothing else
	serial            bool // one look at a time
	leaksGoroutine    bool
	leaksConnection   bool
	tellsPassword     bool
	tellsAll          bool // shows whatever it was sent
	namesNothing      bool
	readsAll          bool // reads a line of any length
	believesAnything  bool // takes any line for an answer
	believesSilence   bool // a zero reading and no error when nothing comes
	shrugs            bool // errors without a class
	callsAllRefused   bool
	waitsBeforeRefuse bool

	mu   sync.Mutex
	kept []net.Conn // so that the garbage collector does not mend the leak
}

func (p *toy) Look(ctx context.Context) (readiness.Reading, error) {
	if p.serial {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	if p.leaksGoroutine {
		go func() { time.Sleep(20 * time.Second) }()
	}
	line, err := p.ask(ctx)
	switch {
	case err != nil && p.believesSilence:
		return readiness.Reading{}, nil
	case err != nil:
		return readiness.Reading{}, p.failure(err, line)
	case p.believesAnything || strings.HasPrefix(line, "+OK ") && strings.HasSuffix(line, "\n"):
		return readiness.Reading{Role: readiness.RolePrimary, Server: strings.TrimPrefix(line, "+OK ")}, nil
	case p.tellsAll:
		return readiness.Reading{}, probes.Fail(readiness.Malformed, "ask %s: it answered %s", p.addr, line)
	default:
		return readiness.Reading{}, probes.Fail(readiness.Malformed, "ask %s: no answer of this protocol", p.addr)
	}
}

func (p *toy) ask(ctx context.Context) (string, error) {
	if p.ignoresContext {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 1200*time.Millisecond)
		defer cancel()
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		if p.waitsBeforeRefuse {
			time.Sleep(atOnce + 100*time.Millisecond)
		}
		return "", err
	}
	if p.leaksConnection {
		p.mu.Lock()
		p.kept = append(p.kept, conn)
		p.mu.Unlock()
	} else {
		defer func() { _ = conn.Close() }()
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if !p.ignoresCancel {
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	}
	if _, err := fmt.Fprintf(conn, "LOGIN %s %s\n", User, Password); err != nil {
		return "", err
	}
	var answer io.Reader = conn
	if !p.readsAll {
		answer = io.LimitReader(conn, 1024)
	}
	return bufio.NewReader(answer).ReadString('\n')
}

func (p *toy) failure(err error, line string) error {
	switch {
	case p.shrugs:
		return errors.New("it did not work: " + p.addr)
	case p.tellsPassword:
		return fmt.Errorf("ask %s as %s:%s: %w", p.addr, User, Password, err)
	case p.callsAllRefused:
		return probes.Fail(readiness.Refused, "ask %s: %w", p.addr, err)
	case p.namesNothing:
		return probes.Fail(probes.Classify(err), "ask: timed out")
	case errors.Is(err, io.EOF) && len(line) > 0:
		return probes.Fail(readiness.Malformed, "ask %s: the answer is not a line", p.addr)
	case errors.Is(err, io.EOF):
		return probes.Fail(readiness.Unreachable, "ask %s: it hung up", p.addr)
	default:
		return fmt.Errorf("ask %s: %w", p.addr, err)
	}
}

// toyServer answers as the protocol says.
func toyServer(t testing.TB) string {
	s, err := serve(func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		if line == "LOGIN "+User+" "+Password+"\n" {
			_, _ = c.Write([]byte("+OK toy\n"))
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.stop(time.Second) })
	return s.addr
}

func toyHarness(server string, makeIt func() *toy) Harness {
	return Harness{
		New: func(_ testing.TB, addr string) Prober {
			p := makeIt()
			p.addr = addr
			return p
		},
		Opening: []byte("+O"),
		Garbage: map[string][]byte{"password": []byte("-ERR unknown command LOGIN " + User + " " + Password + "\n")},
		Server:  server,
	}
}

// A suite that a sound probe cannot pass would be switched off by the first who
// has to live with it.
func TestRun_SoundProbe(t *testing.T) {
	Run(t, toyHarness(toyServer(t), func() *toy { return new(toy) }))
}

// A suite that lets a bad probe through is worth nothing: each fault must be
// found, by the case that is about it.
func TestCases_FindEachFault(t *testing.T) {
	tests := []struct {
		fault string
		make  func() *toy
		cases []string
		says  string
	}{
		{"ignores its context", func() *toy { return &toy{ignoresContext: true} }, []string{"hang", "half", "drip", "concurrent", "expired"}, "are allowed"},
		{"ignores its context", func() *toy { return &toy{ignoresContext: true} }, []string{"cancel"}, "after it was cancelled"},
		{"ignores a cancel", func() *toy { return &toy{ignoresCancel: true} }, []string{"cancel"}, "after it was cancelled"},
		{"one look at a time", func() *toy { return &toy{serial: true} }, []string{"concurrent"}, "waited for their turn"},
		{"leaks a goroutine", func() *toy { return &toy{leaksGoroutine: true} }, []string{"hang", "refused", "well"}, "left a goroutine"},
		{"leaks a connection", func() *toy { return &toy{leaksConnection: true} }, []string{"hang", "closed/one way", "garbage/html page", "well"}, "connections open"},
		{"tells the password", func() *toy { return &toy{tellsPassword: true} }, []string{"refused", "hang", "reset"}, "tells the password"},
		{"shows what it was sent", func() *toy { return &toy{tellsAll: true} }, []string{"garbage/password", "mirror"}, "tells the password"},
		{"shows control characters", func() *toy { return &toy{tellsAll: true} }, []string{"garbage/control characters", "garbage/random bytes"}, "not one line"},
		{"names no address", func() *toy { return &toy{namesNothing: true} }, []string{"refused", "hang", "unresolvable"}, "does not name"},
		{"reads without end", func() *toy { return &toy{readsAll: true} }, []string{"garbage/flood"}, "MiB"},
		{"believes anything", func() *toy { return &toy{believesAnything: true} }, []string{"garbage/html page", "garbage/http 400", "mirror"}, "gave a reading"},
		{"believes silence", func() *toy { return &toy{believesSilence: true} }, []string{"hang", "refused", "closed/both ways", "reset", "cut"}, "gave"},
		{"gives no class", func() *toy { return &toy{shrugs: true} }, []string{"refused", "closed/both ways", "unresolvable", "cut"}, "fault of our own"},
		{"gives the wrong class", func() *toy { return &toy{callsAllRefused: true} }, []string{"hang", "unresolvable", "cancel", "reset"}, `class "refused"`},
		{"does not refuse at once", func() *toy { return &toy{waitsBeforeRefuse: true} }, []string{"refused"}, "are allowed"},
	}
	server := toyServer(t)
	for _, tt := range tests {
		h := toyHarness(server, tt.make).withDefaults()
		for _, name := range tt.cases {
			t.Run(tt.fault+"/"+name, func(t *testing.T) {
				err := caseNamed(t, h, name).run(t, h)
				require.ErrorContains(t, err, tt.says)
			})
		}
	}
}

func caseNamed(t *testing.T, h Harness, name string) testCase {
	for _, c := range h.cases() {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case %q", name)
	return testCase{}
}

// An exception for a case that does not exist excuses nothing and would hide
// that the case it was meant for fails.
func TestHarness_MisspeltException(t *testing.T) {
	h := Harness{Skip: map[string]string{"hagn": "it never hangs"}}.withDefaults()
	require.ErrorContains(t, h.knowsItsCases(h.cases()), "hagn")
	h = Harness{Also: map[string][]readiness.Class{"hagn": nil}}.withDefaults()
	require.ErrorContains(t, h.knowsItsCases(h.cases()), "hagn")
}
