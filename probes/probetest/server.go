package probetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server plays a server on loopback and knows which connections are open.
type server struct {
	addr     string
	listener net.Listener
	done     sync.WaitGroup // the accepting and every connection
	accepted atomic.Int64   // connections so far
	answered atomic.Int64   // bytes that a relay has passed to the client

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

// patience is how long a server keeps a connection, so that a probe which
// ignores every deadline fails its case rather than hanging the suite.
const patience = 2 * enough

// serve answers each connection in the way given, and closes it afterwards.
func serve(answer func(net.Conn)) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	s := &server{addr: listener.Addr().String(), listener: listener, open: make(map[net.Conn]struct{})}
	s.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.accepted.Add(1)
			s.mu.Lock()
			s.open[conn] = struct{}{}
			s.mu.Unlock()
			s.done.Go(func() {
				defer time.AfterFunc(patience, func() { _ = conn.Close() }).Stop()
				answer(conn)
				_ = conn.Close()
				s.mu.Lock()
				delete(s.open, conn)
				s.mu.Unlock()
			})
		}
	})
	return s, nil
}

// stop waits for the probe to have closed all of its connections, and tells of
// those that it did not.
func (s *server) stop(grace time.Duration) error {
	_ = s.listener.Close()
	deadline := time.Now().Add(grace)
	for s.count() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // polls a condition
	}
	left := s.count()
	s.mu.Lock()
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	if left > 0 {
		return fmt.Errorf("left %d connections open", left)
	}
	return nil
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// swallow reads until the client hangs up, and answers nothing.
func swallow(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// hangUp says nothing more and waits for the client to hang up too.
func hangUp(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	swallow(c)
}

const unlimited = -1

// relay stands in front of a real server and lets so many bytes of each of its
// answers through, then hangs up.
func relay(to string, limit int) (*server, error) {
	var s *server
	ready := make(chan struct{})
	made, err := serve(func(client net.Conn) {
		<-ready
		upstream, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = upstream.Close() }()
		var both sync.WaitGroup
		both.Go(func() {
			var answers io.Reader = upstream
			if limit != unlimited {
				answers = io.LimitReader(upstream, int64(limit))
			}
			n, _ := io.Copy(client, answers)
			s.answered.Add(n)
			_ = client.(*net.TCPConn).CloseWrite()
		})
		_, _ = io.Copy(upstream, client) // until the client hangs up
		_ = upstream.Close()
		both.Wait()
	})
	s = made
	close(ready)
	return made, err
}

// closedPort gives an address at which nobody listens. The port stays bound, so
// that nobody else can come to listen there.
func closedPort() (addr string, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return "", nil, fmt.Errorf("make a socket: %w", err)
	}
	release = func() { _ = syscall.Close(fd) }
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		release()
		return "", nil, fmt.Errorf("bind a port: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	bound, ok := name.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		release()
		return "", nil, errors.Join(errors.New("find out which port was bound"), err)
	}
	return fmt.Sprintf("127.0.0.1:%d", bound.Port), release, nil
}
