//go:build linux

package bench

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// doors are loopback addresses that lead to servers, so that one server can
// stand for many. They count what comes through.
type doors struct {
	bytes atomic.Int64 // both ways

	mu     sync.Mutex // protects what follows
	opened int        // connections so far
	open   int        // and now
	held   float64    // seconds that connections were open, of all together
	since  time.Time  // until when held is counted
}

// connections tells how many were opened so far, and how many seconds all of
// them together were open.
func (d *doors) connections() (opened, held float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changeLocked(0)
	return float64(d.opened), d.held
}

func (d *doors) changeLocked(by int) {
	now := time.Now()
	d.held += float64(d.open) * now.Sub(d.since).Seconds()
	d.since = now
	d.open += by
}

func (d *doors) enter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changeLocked(1)
	d.opened++
}

func (d *doors) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changeLocked(-1)
}

// lead opens a door to the server at an address and gives the door's own. It is
// shut when the benchmark ends.
func (d *doors) lead(b *testing.B, to string) (address string) {
	b.Helper()
	return accept(b, func(ctx context.Context, client net.Conn) {
		d.enter()
		defer d.leave()
		d.pass(ctx, client, to)
	})
}

// accept serves each connection to an address of its own, and gives that. ctx
// ends, and everything is waited for, when the benchmark ends.
func accept(b *testing.B, serve func(ctx context.Context, client net.Conn)) (address string) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(func() { cancel(); _ = listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(ctx, client) })
		}
	})
	return listener.Addr().String()
}

// pass carries one connection until both sides have ended it, or ctx has.
func (d *doors) pass(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })
	defer stop()
	var ways sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(io.MultiWriter(to, counter{&d.bytes}), from)
		_ = to.(*net.TCPConn).CloseWrite()
	}
	ways.Go(func() { carry(server, client) })
	ways.Go(func() { carry(client, server) })
	ways.Wait()
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

// hang gives the address of a server that accepts and never answers, until the
// benchmark ends.
func hang(b *testing.B) (address string) {
	b.Helper()
	return accept(b, func(ctx context.Context, client net.Conn) {
		defer func() { _ = client.Close() }()
		stop := context.AfterFunc(ctx, func() { _ = client.Close() })
		defer stop()
		_, _ = io.Copy(io.Discard, client) // until it gives up
	})
}
