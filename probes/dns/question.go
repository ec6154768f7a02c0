package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// server is one that is asked.
type server struct {
	address string // host:port
	name    string // of a name server, canonical; empty where the address is all that is known
	// recurses says that it asks others for us.
	recurses bool
}

// String names the server for people.
func (s server) String() string {
	where := s.address
	if host, port, err := net.SplitHostPort(where); err == nil && port == "53" {
		where = host
	}
	if s.name == "" {
		return where
	}
	return shown(s.name) + " (" + where + ")"
}

// shown is a name for people, without its last dot.
func shown(name string) string {
	if name == "." {
		return "the root"
	}
	return probes.Presentable(strings.TrimSuffix(name, "."), 80)
}

// question is one that can be asked of any server.
type question struct {
	name string
	typ  uint16
}

func (q question) String() string { return shown(q.name) + " " + dns.TypeToString[q.typ] }

// asker asks questions.
type asker struct {
	network string // with which it begins: udp, or tcp
	// patience is how long it waits for an answer before it asks once more.
	patience time.Duration
}

// largest is the longest answer over UDP that we take: it needs no fragments,
// which get lost (DNS Flag Day 2020).
const largest = 1232

// ask asks a server, and once more where there is no answer. The error is a
// [readiness.Failure].
func (a asker) ask(ctx context.Context, s server, q question) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(q.name, q.typ)
	m.RecursionDesired = s.recurses
	m.SetEdns0(largest, false)
	answer, err := a.try(ctx, s, m)
	switch {
	case err == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented):
		m.Extra = nil // it may know nothing of EDNS
	case err == nil, ctx.Err() != nil, probes.Classify(err) == readiness.Refused:
		return answer, a.failed(ctx, s, q, err)
	}
	m.Id = dns.Id()
	answer, err = a.try(ctx, s, m)
	return answer, a.failed(ctx, s, q, err)
}

// resolve asks a resolver. One that says to ask others itself is none.
func (a asker) resolve(ctx context.Context, s server, q question) (*dns.Msg, error) {
	m, err := a.ask(ctx, s, q)
	if err == nil && s.recurses && !m.RecursionAvailable && m.Rcode == dns.RcodeSuccess && len(m.Answer) == 0 {
		return nil, probes.Fail(readiness.Denied, "ask %s for %s: it does not ask others for us: name a resolver, or let it be one for this machine", s, q)
	}
	return m, err
}

func (a asker) failed(ctx context.Context, s server, q question, err error) error {
	class := probes.Classify(err)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return probes.Fail(readiness.Timeout, "ask %s for %s: the look was cancelled: %w", s, q, ctx.Err())
	case ctx.Err() != nil:
		return probes.Fail(readiness.Timeout, "ask %s for %s: no answer in time: %w", s, q, ctx.Err())
	case errors.Is(err, errNoDNS):
		return probes.Fail(readiness.Malformed, "ask %s for %s: %w: see what listens there", s, q, err)
	case class == readiness.Timeout:
		return probes.Fail(class, "ask %s for %s: no answer twice within %s: %w", s, q, a.patience.Round(time.Millisecond), err)
	}
	return probes.Fail(class, "ask %s for %s: %w", s, q, err)
}

// try asks once, and again over TCP where the answer was too long.
func (a asker) try(ctx context.Context, s server, m *dns.Msg) (*dns.Msg, error) {
	answer, err := a.exchange(ctx, a.network, s, m)
	if err == nil && answer.Truncated && a.network == "udp" {
		return a.exchange(ctx, "tcp", s, m)
	}
	return answer, err
}

// exchange sends a question and waits for the answer to it.
func (a asker) exchange(ctx context.Context, network string, s server, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	raw, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, s.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	conn := &dns.Conn{Conn: raw, UDPSize: largest}
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	var nonsense error
	for { // over UDP anybody may write to us: what is no answer to the question is not heard
		answer, err := conn.ReadMsg()
		if err == nil {
			if err = accept(m, answer); err == nil {
				return answer, nil
			}
		} else if !isNonsense(err) {
			return nil, cmp.Or(nonsense, err)
		}
		nonsense = fmt.Errorf("%w: %s", errNoDNS, probes.Presentable(err.Error(), 80))
		if network != "udp" {
			return nil, nonsense
		}
	}
}

// errNoDNS is an answer to another question, or none of DNS.
var errNoDNS = errors.New("what it says is no answer")

// isNonsense tells what the library cannot read from what the network cannot carry.
func isNonsense(err error) bool {
	var unreadable *dns.Error
	return errors.As(err, &unreadable)
}

// accept holds an answer against the question.
func accept(asked, answer *dns.Msg) error {
	q := asked.Question[0]
	switch {
	case answer.Id != asked.Id:
		return errors.New("another id")
	case !answer.Response || answer.Opcode != dns.OpcodeQuery:
		return errors.New("no response")
	case len(answer.Question) == 0 && answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return nil // some refuse without repeating it
	case len(answer.Question) != 1:
		return errors.New("no question")
	}
	back := answer.Question[0]
	if !strings.EqualFold(back.Name, q.Name) || back.Qtype != q.Qtype || back.Qclass != q.Qclass {
		return errors.New("another question")
	}
	return nil
}

// all asks several servers the same at the same time, and reads the addresses in
// what they say.
func (a asker) all(ctx context.Context, servers []server, q question) ([]told, error) {
	answers := make([]told, len(servers))
	err := each(len(servers), func(i int) {
		m, err := a.resolve(ctx, servers[i], q)
		if err == nil {
			answers[i] = read(m, q.name, q.typ)
		} else {
			answers[i] = told{failure: probes.AsFailure(err), names: []string{q.name}}
		}
		answers[i].by = servers[i]
	})
	return answers, err
}

// first asks several servers the same at the same time, and takes the first
// answer that tells what there is, or that there is nothing.
func (a asker) first(ctx context.Context, servers []server, q question) (*dns.Msg, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu    sync.Mutex
		found *dns.Msg
	)
	failures := make([]error, len(servers))
	err := each(len(servers), func(i int) {
		m, err := a.resolve(ctx, servers[i], q)
		if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			err = probes.Fail(readiness.NotFound, "ask %s for %s: it says %s", servers[i], q, dns.RcodeToString[m.Rcode])
		}
		mu.Lock()
		defer mu.Unlock()
		if failures[i] = err; err == nil && found == nil {
			found = m
			cancel()
		}
	})
	if err != nil || found != nil {
		return found, err
	}
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return nil, probes.Fail(readiness.NotFound, "ask for %s: there is nobody to ask", q)
}

// each does something for each of so many at the same time, and is done when all
// are. The error is that of the first that panicked.
func each(n int, do func(i int)) error {
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		group.Go(func() {
			defer probes.Recovered(&errs[i])
			do(i)
		})
	}
	group.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
