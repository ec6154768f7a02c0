package probetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

const (
	// lookTime is the deadline of a look at a server that does not answer.
	lookTime = 400 * time.Millisecond
	// atOnce is how soon a failure must be told that needs no waiting.
	atOnce = time.Second
	// enough is the deadline of a look that need not run into it.
	enough = 5 * time.Second
	// together is how many looks are made with one probe at once.
	together = 20
	// flood is what a server sends that never ends its line.
	flood = 64 << 20
)

// cases are all situations, in the order in which they are best read.
func (h Harness) cases() []testCase {
	cases := []testCase{
		{"refused", "a server that is down would not be told from one that is slow", refused},
		{"unresolvable", "a misspelt host name would be told as something else", unresolvable},
		{"hang", "one hanging server would hold up the looking, or be told as a refusal", hang},
		{"half", "a server that dies in the middle of its answer would hold up the looking", half},
		{"drip", "a server that answers a byte at a time would hold up the looking for ever", drip},
		{"closed/both ways", "a proxy without a server behind it would be told as a fault of drwatch", closed},
		{"closed/one way", "a connection would be left open for each look at such a server", halfClosed},
		{"reset", "a firewall that resets would be told as a fault of drwatch", reset},
		{"mirror", "a secret that a server sends back would be shown on pages and in logs", mirror},
		{"cancel", "drwatch could not be stopped while a server hangs", cancelled},
		{"expired", "a look that is late already would still be made", expired},
		{"concurrent", "one hanging look would hold up the others of its probe", concurrent},
	}
	for _, name := range slices.Sorted(maps.Keys(h.garbage())) {
		text := h.garbage()[name]
		cases = append(cases, testCase{
			"garbage/" + name, "what is no answer would be believed, shown, or kept in memory",
			func(t testing.TB, h Harness) error { return garbage(t, h, "garbage/"+name, text) },
		})
	}
	cases = append(cases, testCase{"garbage/flood", "one mad server would eat the memory of drwatch", flooded})
	if h.Server != "" {
		cases = append(cases,
			testCase{"well", "connections or goroutines would pile up look by look", well},
			testCase{"cut", "an answer that broke off would be taken for a whole one, or hold up the looking", cut},
		)
	}
	return cases
}

func (h Harness) garbage() map[string][]byte {
	const page = "<!DOCTYPE html>\n<html><head><title>It works!</title></head><body><h1>It works!</h1></body></html>\n"
	random := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(random) // the same bytes in every run
	all := map[string][]byte{
		"random bytes": random,
		"html page":    []byte(page),
		"http 400": fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			len(page), page),
		"control characters": []byte("-\x1b[31mred\x07\x00\tERR\r\n\xff\xfe\r\n"),
	}
	maps.Copy(all, h.Garbage)
	return all
}

func refused(t testing.TB, h Harness) error {
	addr, release, err := closedPort()
	if err != nil {
		return err
	}
	defer release()
	return h.clean(func() error {
		return h.fails(t, attempt{name: "refused", addr: addr, within: atOnce, classes: only(readiness.Refused)})
	})
}

func unresolvable(t testing.TB, h Harness) error {
	const host = "drwatch-no-such-host.invalid"
	return h.clean(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), enough)
		defer cancel()
		classes := only(readiness.Unreachable)
		_, err := net.DefaultResolver.LookupHost(ctx, host)
		if ctx.Err() != nil { // the resolver of this machine gives no answer at all
			classes = append(classes, readiness.Timeout)
		} else if err == nil {
			return fmt.Errorf("the resolver of this machine answers for %s, so the case cannot be played", host)
		}
		return h.fails(t, attempt{name: "unresolvable", addr: host + ":7", names: host, within: enough + h.Grace, classes: classes})
	})
}

func hang(t testing.TB, h Harness) error {
	return h.against(t, swallow, attempt{name: "hang", deadline: lookTime, classes: only(readiness.Timeout)})
}

func half(t testing.TB, h Harness) error {
	answer := func(c net.Conn) {
		_, _ = c.Write(h.Opening)
		swallow(c)
	}
	return h.against(t, answer, attempt{name: "half", deadline: lookTime, classes: only(readiness.Timeout, readiness.Malformed)})
}

func drip(t testing.TB, h Harness) error {
	answer := func(c net.Conn) {
		_, err := c.Write(h.Opening)
		for err == nil {
			time.Sleep(5 * time.Millisecond) // the pace of the server, which nobody waits for
			_, err = c.Write([]byte("0"))
		}
	}
	return h.against(t, answer, attempt{name: "drip", deadline: lookTime, classes: only(readiness.Timeout, readiness.Malformed)})
}

func closed(t testing.TB, h Harness) error {
	return h.against(t, func(net.Conn) {}, attempt{name: "closed/both ways", within: atOnce, classes: only(readiness.Unreachable, readiness.Malformed)})
}

func halfClosed(t testing.TB, h Harness) error {
	return h.against(t, hangUp, attempt{name: "closed/one way", within: atOnce, classes: only(readiness.Unreachable, readiness.Malformed)})
}

func reset(t testing.TB, h Harness) error {
	answer := func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0) // closing now sends a reset
	}
	return h.against(t, answer, attempt{name: "reset", within: atOnce, classes: only(readiness.Unreachable, readiness.Malformed)})
}

func mirror(t testing.TB, h Harness) error {
	answer := func(c net.Conn) { _, _ = io.Copy(c, c) }
	classes := slices.DeleteFunc(readiness.Classes(), func(c readiness.Class) bool { return c == readiness.Internal })
	return h.against(t, answer, attempt{name: "mirror", deadline: lookTime, classes: classes})
}

func garbage(t testing.TB, h Harness, name string, text []byte) error {
	answer := func(c net.Conn) {
		_, _ = c.Write(text)
		hangUp(c)
	}
	return h.against(t, answer, attempt{
		name: name, within: atOnce,
		classes: only(readiness.Malformed, readiness.Unreachable, readiness.TLS),
	})
}

func flooded(t testing.TB, h Harness) error {
	answer := func(c net.Conn) {
		chunk := bytes.Repeat([]byte("+"), 64<<10)
		for sent := 0; sent < flood; sent += len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
	return h.against(t, answer, attempt{
		name: "garbage/flood", deadline: enough,
		classes: only(readiness.Malformed, readiness.Unreachable, readiness.TLS, readiness.Timeout),
	})
}

func cancelled(t testing.TB, h Harness) error {
	ctx, cancel := context.WithTimeout(t.Context(), 4*lookTime)
	defer cancel()
	var stopped time.Time
	var once sync.Once
	answer := func(c net.Conn) {
		once.Do(func() { // in the middle of the look: the question was asked, or none comes first
			_ = c.SetReadDeadline(time.Now().Add(lookTime / 4))
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetReadDeadline(time.Time{})
			stopped = time.Now()
			cancel()
		})
		swallow(c)
	}
	return h.clean(func() error {
		s, err := serve(answer)
		if err != nil {
			return err
		}
		err = h.fails(t, attempt{name: "cancel", addr: s.addr, ctx: ctx, within: enough, classes: only(readiness.Timeout)})
		ended := time.Now()
		err = errors.Join(err, s.stop(h.Grace))
		if late := ended.Sub(stopped); late > h.Grace {
			err = errors.Join(err, fmt.Errorf("the look went on for %s after it was cancelled", late))
		}
		return err
	})
}

func expired(t testing.TB, h Harness) error {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	return h.against(t, swallow, attempt{name: "expired", ctx: ctx, within: h.Grace, classes: only(readiness.Timeout)})
}

func concurrent(t testing.TB, h Harness) error {
	return h.clean(func() error {
		s, err := serve(swallow)
		if err != nil {
			return err
		}
		err = h.atTheSameTime(h.New(t, s.addr), func(p Prober) error {
			return h.failsWith(t, p, attempt{name: "concurrent", addr: s.addr, deadline: lookTime, classes: only(readiness.Timeout)})
		})
		if asked := s.accepted.Load(); asked < together {
			err = errors.Join(err, fmt.Errorf("only %d of %d looks came to ask, the others waited for their turn", asked, together))
		}
		return errors.Join(err, s.stop(h.Grace))
	})
}

// atTheSameTime uses one probe from several goroutines.
func (h Harness) atTheSameTime(p Prober, look func(Prober) error) error {
	var all sync.WaitGroup
	errs := make([]error, together)
	for i := range together {
		all.Go(func() { errs[i] = look(p) })
	}
	all.Wait()
	for _, err := range errs { // one of a kind is enough to read
		if err != nil {
			return err
		}
	}
	return nil
}

func well(t testing.TB, h Harness) error {
	return h.clean(func() error {
		relay, err := relay(h.Server, unlimited)
		if err != nil {
			return err
		}
		err = h.atTheSameTime(h.New(t, relay.addr), func(p Prober) error {
			_, err := look(t, p, enough)
			return err
		})
		return errors.Join(err, relay.stop(h.Grace))
	})
}

// cut lets through so many bytes of the real server's answer and no more, with
// the connection closed after them or left to hang.
func cut(t testing.TB, h Harness) error {
	const steps = 12
	whole, length, err := h.wholeAnswer(t)
	if err != nil {
		return err
	}
	for i := range steps {
		limit := length * i / steps
		err := h.clean(func() error {
			relay, err := relay(h.Server, limit)
			if err != nil {
				return err
			}
			reading, err := look(t, h.New(t, relay.addr), enough)
			if err == nil && (reading.Role != whole.Role || reading.System != whole.System || reading.Server != whole.Server) {
				err = fmt.Errorf("gave %+v, and %+v when it was not cut", reading, whole)
			} else if err != nil {
				err = h.wellTold(err, attempt{name: "cut", names: relay.addr, classes: only(readiness.Unreachable, readiness.Malformed)})
			}
			return errors.Join(err, relay.stop(h.Grace))
		})
		if err != nil {
			return fmt.Errorf("cut after %d of %d bytes: %w", limit, length, err)
		}
	}
	return nil
}

// wholeAnswer looks once at the real server, and tells how much it answered.
func (h Harness) wholeAnswer(t testing.TB) (readiness.Reading, int, error) {
	relay, err := relay(h.Server, unlimited)
	if err != nil {
		return readiness.Reading{}, 0, err
	}
	reading, err := look(t, h.New(t, relay.addr), enough)
	err = errors.Join(err, relay.stop(h.Grace))
	return reading, int(relay.answered.Load()), err
}

func look(t testing.TB, p Prober, limit time.Duration) (readiness.Reading, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return p.Look(ctx)
}

func only(classes ...readiness.Class) []readiness.Class { return classes }

// oneLine reports whether a text can be shown as it is.
func oneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}
