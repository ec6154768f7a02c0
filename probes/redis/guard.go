package redis

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// The bounds of an answer. INFO is 5 KB; the nodes of a cluster of 1,000 are
// 200 KB; a Sentinel tells of a master in 40 items.
const (
	largestAnswer = 1 << 20 // bytes, all answers to one look at one server
	mostItems     = 1 << 12 // in lists, all of them together
)

// notRedis is an answer that is not of this protocol, or not one that we want.
type notRedis string

func (e notRedis) Error() string { return string(e) }

// guard is the connection that the client gets. The client makes room for any
// length that a server claims before it has seen a byte of it, and whatever
// listens at a watched address could end drwatch with one line; so a claim is
// looked at before it is handed on. The guard also notes when we asked and when
// the answer came, and ends with the context: the client sets no deadlines.
type guard struct {
	net.Conn
	release  func() bool
	asked    time.Time
	answered time.Time
	opening  []byte // the first bytes of the first answer
	read     int    // bytes
	items    int
	claim    claim
	failed   error
}

// claim is a length in the making: one of the protocol's kinds at the start of
// a line, and digits. No line of INFO looks like that.
type claim struct {
	within bool // a line
	kind   byte // 0 when the line is no claim
	length int
}

func newGuard(ctx context.Context, conn net.Conn) *guard {
	past := time.Unix(1, 0)
	return &guard{Conn: conn, release: context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })}
}

func (g *guard) Write(p []byte) (int, error) {
	g.asked = time.Now()
	n, err := g.Conn.Write(p)
	if err != nil { // it may have said why before it hung up
		if _, said := g.receive(make([]byte, 64)); saidInTLS(said) {
			err = said
		}
	}
	return n, g.note(err)
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.receive(p)
	if g.read += n; g.read > largestAnswer {
		return 0, g.note(notRedis("its answer does not end"))
	}
	for _, b := range p[:n] {
		if wrong := g.weigh(b); wrong != "" {
			return 0, g.note(wrong)
		}
	}
	return n, g.note(err)
}

func (g *guard) receive(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.answered = time.Now()
	if room := 64 - len(g.opening); room > 0 {
		g.opening = append(g.opening, p[:min(room, n)]...)
	}
	return n, err
}

// note keeps the first error: it tells what happened, those after it, and after
// the client has hung up, what followed.
func (g *guard) note(err error) error {
	if g.failed == nil && !errors.Is(err, net.ErrClosed) {
		g.failed = err
	}
	return err
}

// weigh looks at one byte on its way to the client.
func (g *guard) weigh(b byte) notRedis {
	c := &g.claim
	switch {
	case b == '\n':
		*c = claim{}
	case !c.within:
		*c = claim{within: true}
		if strings.IndexByte("$*%~>|=!", b) >= 0 {
			c.kind = b
		}
	case c.kind != 0 && b >= '0' && b <= '9':
		c.length = c.length*10 + int(b-'0')
		text := strings.IndexByte("$=!", c.kind) >= 0
		if text && c.length > largestAnswer || !text && g.items+c.length > mostItems {
			return "its answer claims to be longer than any that we ask for"
		}
	case c.kind != 0 && b == '\r' && strings.IndexByte("*%~>|", c.kind) >= 0:
		g.items += c.length
		c.kind = 0
	case c.kind != 0 && b != '+':
		c.kind = 0
	}
	return ""
}

func (g *guard) Close() error {
	g.release()
	return g.Conn.Close()
}

// The context alone says how long to wait.
func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// speaksRedis reports whether the first answer began as one of the protocol.
func (g *guard) speaksRedis() bool {
	return len(g.opening) > 0 && strings.IndexByte("+-:$*%", g.opening[0]) >= 0
}

// farewell is what a server says to a client that it does not want, before it
// hangs up without having heard anything.
func (g *guard) farewell() (refusal, bool) {
	line, isError := strings.CutPrefix(string(g.opening), "-")
	line, _, _ = strings.Cut(line, "\r")
	return refusal(line), isError && (strings.HasPrefix(line, "DENIED") || strings.Contains(line, "max number of clients"))
}

// whatElse guesses who answers, for the person who wrote the address.
func whatElse(line string) notRedis {
	switch {
	case strings.HasPrefix(line, "HTTP/"):
		return "it speaks HTTP"
	case strings.HasPrefix(line, "SSH-"):
		return "it speaks SSH"
	default:
		return "its answer is not of the Redis protocol"
	}
}
