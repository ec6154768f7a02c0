package lab

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// A link carries TCP connections to one server. It can be cut, and slowed. While it is cut, its connections are closed
// and new ones are refused. While it is slow, bytes arrive late, in both directions.
//
// It is our own because toxiproxy, measured at v2.12.0, loses goroutines whenever one end goes away while the other
// sends (10 of 20 such connections left some behind for good): ending one end is what a lab does all day.
type link struct {
	name     string
	upstream string
	address  string // where it listens, for good

	mu       sync.Mutex         // protects the fields below
	cutBy    map[Fault]bool     // the faults that hold it cut
	listener net.Listener       // nil while cut
	wires    map[*wire]struct{} // the open connections
	delay    time.Duration      // from one end to the other
	delayed  chan struct{}      // closed and replaced when the delay changes
	group    sync.WaitGroup     // all goroutines
}

// A wire is one connection through a link.
type wire struct {
	near, far net.Conn
	closed    chan struct{}
	once      sync.Once
}

func (w *wire) close() {
	w.once.Do(func() {
		close(w.closed)
		_ = w.near.Close()
		_ = w.far.Close()
	})
}

func newLink(ctx context.Context, name, upstream string) (*link, error) {
	l := &link{
		name: name, upstream: upstream, address: address(0),
		cutBy: make(map[Fault]bool), wires: make(map[*wire]struct{}), delayed: make(chan struct{}),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.listenLocked(ctx); err != nil {
		return nil, err
	}
	l.address = l.listener.Addr().String()
	return l, nil
}

func (l *link) listenLocked(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("open link %s: %w", l.name, err)
	}
	l.listener = listener
	l.group.Go(func() { l.accept(listener) }) //nolint:contextcheck // it lasts until the link is cut
	return nil
}

// cut cuts the link on behalf of a fault.
func (l *link) cut(by Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutBy[by] = true
	if l.listener == nil {
		return
	}
	_ = l.listener.Close()
	l.listener = nil
	for w := range l.wires {
		w.close()
	}
}

// mend takes back the cut of a fault. The link opens again when no other fault holds it cut. Nobody kept its port
// for it meanwhile: where an outgoing connection uses the port, mend waits for its end.
func (l *link) mend(ctx context.Context, by Fault) error {
	return poll(ctx, "the port of link "+l.name, func(ctx context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.cutBy[by] || len(l.cutBy) > 1 || l.listener != nil {
			delete(l.cutBy, by)
			return nil
		}
		if err := l.listenLocked(ctx); err != nil {
			return err
		}
		delete(l.cutBy, by)
		return nil
	})
}

// slow sets how late bytes arrive. Bytes on their way obey at once.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
	close(l.delayed)
	l.delayed = make(chan struct{})
}

// close ends the link for good and waits for its goroutines.
func (l *link) close() {
	l.cut("closed")
	l.group.Wait()
}

func (l *link) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return // it was cut
		}
		l.group.Go(func() { l.carry(listener, near) })
	}
}

// carry connects one accepted connection with the server and carries it until either end is gone.
func (l *link) carry(listener net.Listener, near net.Conn) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	far, err := dialer.DialContext(context.Background(), "tcp", l.upstream)
	if err != nil {
		_ = near.Close()
		return
	}
	w := &wire{near: near, far: far, closed: make(chan struct{})}
	defer w.close()
	if !l.attach(listener, w) {
		return
	}
	defer l.detach(w)
	var directions sync.WaitGroup
	directions.Go(func() { l.copy(w, w.far, w.near) })
	directions.Go(func() { l.copy(w, w.near, w.far) })
	directions.Wait()
}

// attach registers a wire, unless the link was cut since the listener accepted it.
func (l *link) attach(listener net.Listener, w *wire) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != listener {
		return false
	}
	l.wires[w] = struct{}{}
	return true
}

func (l *link) detach(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wires, w)
}

type chunk struct {
	data []byte
	read time.Time
}

// copy carries one direction until its source ends or the wire is closed, and then closes the wire.
func (l *link) copy(w *wire, to, from net.Conn) {
	defer w.close()
	chunks := make(chan chunk, 256) // what a slow link holds under way; beyond it the sender waits, as TCP does
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			select {
			case chunks <- chunk{buffer[:n], time.Now()}:
			case <-w.closed:
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer reader.Wait()
	defer w.close() // before waiting: it is what ends a blocked read
	for c := range chunks {
		if !l.hold(w, c.read) {
			return
		}
		if _, err := to.Write(c.data); err != nil {
			return
		}
	}
}

// hold waits until bytes read at the given moment are due. It reports false when the wire was closed meanwhile.
func (l *link) hold(w *wire, read time.Time) bool {
	for {
		l.mu.Lock()
		delay, changed := l.delay, l.delayed
		l.mu.Unlock()
		wait := time.Until(read.Add(delay))
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-w.closed:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}
