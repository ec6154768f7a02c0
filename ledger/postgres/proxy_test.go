package postgres

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is the network between an instance and its server. It can be held, in one
// direction or in both: bytes are then neither delivered nor refused.
type proxy struct {
	listener net.Listener
	to       string
	hears    gate // what the server hears
	answers  gate // what it answers

	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

// gate lets pass or holds up.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while it lets pass
}

func (g *gate) pass() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) let() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, to: to}
	p.hears.hold()
	p.answers.hold()
	p.mend()
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) cut()    { p.hears.hold(); p.answers.hold() }
func (p *proxy) deafen() { p.answers.hold() }
func (p *proxy) mend()   { p.hears.let(); p.answers.let() }

// sever closes all connections, as a router that restarts.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mend()
	p.sever()
	p.all.Wait()
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(near)
		p.all.Go(func() {
			defer near.Close()
			<-p.hears.pass()
			far, err := net.Dial("tcp", p.to)
			if err != nil {
				return
			}
			p.keep(far)
			var both sync.WaitGroup
			both.Go(func() { carry(far, near, &p.hears) })
			both.Go(func() { carry(near, far, &p.answers) })
			both.Wait()
		})
	}
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func carry(to, from net.Conn, g *gate) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-g.pass()
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			_, _ = io.Copy(io.Discard, from) // until it is closed, too
			return
		}
	}
}
