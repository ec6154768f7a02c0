// Package api is the API of one region, as the lab has it: HTTPS with a page that
// says how it is, and the health protocol of gRPC on the same port. It can be made to
// fail in each of the ways in which an API fails, and it knows nothing of what
// watches it.
package api

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Mode is how the API behaves.
type Mode string

// The modes.
const (
	Up        Mode = "up"
	Bad       Mode = "bad"                    // answers 503 to everything
	Slow      Mode = "slow"                   // answers late
	Hang      Mode = "hang"                   // accepts connections and says nothing
	Lie       Mode = "lie"                    // answers /health with 200 and a body that says otherwise
	Expired   Mode = "certificate-expired"    // shows another certificate, which was handed in
	WrongName Mode = "certificate-wrong-name" // the same
	Down      Mode = "down"                   // nobody listens
)

// Options say what the API is like.
type Options struct {
	// Region is where it says to be.
	Region string
	// Address is where it listens, as host:port on loopback; port 0 is any.
	Address string
	// Certificate is shown to clients.
	Certificate tls.Certificate
	// Bad are the certificates that are shown in the modes that are about those.
	Bad map[Mode]tls.Certificate
	// Health, where given, makes /health truthful: an error is answered with 503.
	Health func(context.Context) error
	// Delay is how late the answers of Slow are. Zero means 3 s.
	Delay time.Duration
}

const (
	usualDelay = 3 * time.Second
	// longestHealth is what Health gets.
	longestHealth = 2 * time.Second
	// patience is how long the API waits for its own port to be free again.
	patience = 5 * time.Second
)

// Server is the API of one region.
type Server struct {
	options  Options
	address  string // where it listens, for good
	http     *http.Server
	grpc     *grpc.Server
	end      context.CancelFunc // ends the answers that are under way
	serving  sync.WaitGroup     // on each listener
	handling sync.WaitGroup     // of each connection that HTTP was given

	mu       sync.Mutex // protects the fields below
	mode     Mode
	listener net.Listener // nil while nobody listens
	conns    map[net.Conn]struct{}
	closed   bool
}

// Start makes the API listen. The context bounds the starting; the API lasts until Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Delay == 0 {
		o.Delay = usualDelay
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{options: o, address: o.Address, end: end, mode: Up, conns: make(map[net.Conn]struct{}), grpc: grpc.NewServer()}
	grpc_health_v1.RegisterHealthServer(s.grpc, health{s: s})
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		TLSConfig:   &tls.Config{GetCertificate: s.certificate, MinVersion: tls.VersionTLS12},
		BaseContext: func(net.Listener) context.Context { return life },
		ConnState:   s.follow,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listenLocked(ctx); err != nil {
		end()
		return nil, fmt.Errorf("start the API of %s: %w", o.Region, err)
	}
	s.address = s.listener.Addr().String()
	return s, nil
}

// Address is where it listens, also while it is down.
func (s *Server) Address() string { return s.address }

// URL is where its pages are, by its address.
func (s *Server) URL() string { return "https://" + s.address }

// Mode is how it behaves now.
func (s *Server) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// Set makes it behave so from the next connection or question on. Connections end
// where the mode is about connections.
func (s *Server) Set(mode Mode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, given := s.options.Bad[mode]; mode.isCertificate() && !given {
		return fmt.Errorf("set the API of %s to %s: no certificate was handed in for it", s.options.Region, mode)
	}
	if s.closed {
		return fmt.Errorf("set the API of %s to %s: it is closed", s.options.Region, mode)
	}
	before := s.mode
	s.mode = mode
	if mode == Down && s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	if before.ofConnections() || mode.ofConnections() {
		s.hangUpLocked()
	}
	if mode == Down || s.listener != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.listenLocked(ctx); err != nil {
		s.mode = Down
		return fmt.Errorf("set the API of %s to %s: %w", s.options.Region, mode, err)
	}
	return nil
}

func (m Mode) isCertificate() bool { return m == Expired || m == WrongName }

func (m Mode) ofConnections() bool { return m.isCertificate() || m == Hang || m == Down }

// Close ends it, and waits for all that it has begun.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		_ = s.listener.Close()
		s.listener = nil
	}
	s.hangUpLocked()
	s.mu.Unlock()
	s.end()
	err := s.http.Close()
	if errors.Is(err, net.ErrClosed) { // by us, just now
		err = nil
	}
	s.serving.Wait()
	s.handling.Wait()
	s.grpc.Stop()
	return err
}

func (s *Server) hangUpLocked() {
	for conn := range s.conns {
		_ = conn.Close()
	}
	clear(s.conns)
}

// listenLocked opens the port. Nobody kept it while it was closed: where a connection of
// somebody else has it, that is waited for.
func (s *Server) listenLocked(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	for errors.Is(err, syscall.EADDRINUSE) && s.address != s.options.Address {
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	}
	if err != nil {
		return err
	}
	s.listener = listener
	s.serving.Go(func() { _ = s.http.ServeTLS(door{listener, s}, "", "") })
	return nil
}

// door lets connections in, and keeps those waiting that are not to be answered.
type door struct {
	net.Listener
	server *Server
}

func (d door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.server.admit(d.Listener, conn) {
			return visitor{conn, d.server}, nil
		}
	}
}

func (s *Server) admit(by net.Listener, conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != by {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return s.mode != Hang
}

// visitor is a connection that is answered.
type visitor struct {
	net.Conn
	server *Server
}

func (v visitor) Close() error {
	v.server.mu.Lock()
	delete(v.server.conns, v.Conn)
	v.server.mu.Unlock()
	return v.Conn.Close()
}

// follow counts the connections that HTTP has.
func (s *Server) follow(_ net.Conn, state http.ConnState) {
	switch state { //nolint:exhaustive // a begin and an end are enough
	case http.StateNew:
		s.handling.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.handling.Done()
	}
}

func (s *Server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if other, ok := s.options.Bad[s.Mode()]; ok {
		return &other, nil
	}
	return &s.options.Certificate, nil
}

func (s *Server) routes() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /health", s.health)
	pages.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { s.say(w, http.StatusOK, message{}) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mode := s.Mode(); {
		case r.ProtoMajor == 2 && r.Header.Get("Content-Type") == "application/grpc":
			s.grpc.ServeHTTP(w, r)
		case mode == Bad:
			s.say(w, http.StatusServiceUnavailable, message{Status: "unavailable"})
		case mode != Slow || s.dawdle(r.Context()):
			pages.ServeHTTP(w, r)
		}
	})
}

// message is what a page says.
type message struct {
	Status string `json:"status,omitempty"`
	Region string `json:"region"`
	Reason string `json:"reason,omitempty"`
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if s.Mode() == Lie {
		s.say(w, http.StatusOK, message{Status: "error"})
	} else if err := s.well(r.Context()); err != nil {
		s.say(w, http.StatusServiceUnavailable, message{Status: "failing", Reason: err.Error()})
	} else {
		s.say(w, http.StatusOK, message{Status: "ok"})
	}
}

func (s *Server) say(w http.ResponseWriter, status int, m message) {
	m.Region = s.options.Region
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(m)
}

// well asks what the API depends on.
func (s *Server) well(ctx context.Context) error {
	if s.options.Health == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestHealth)
	defer cancel()
	return s.options.Health(ctx)
}

// dawdle waits as long as Slow does, and reports whether somebody still waits for the answer.
func (s *Server) dawdle(ctx context.Context) bool {
	timer := time.NewTimer(s.options.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// health answers the health protocol of gRPC as the pages do. Whom it is asked for
// makes no difference.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	s *Server
}

func (h health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	mode := h.s.Mode()
	if mode == Slow && !h.s.dawdle(ctx) {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if mode == Bad {
		return nil, status.Error(codes.Unavailable, "unavailable")
	}
	answer := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	if mode == Lie || h.s.well(ctx) != nil {
		answer.Status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return answer, nil
}
