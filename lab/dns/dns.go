// Package dns is the name service of a lab: authoritative name servers on loopback, over UDP and TCP, that can
// be made bad one by one, and beside them Debian's Unbound as the caching resolver of the clients.
//
// What a zone says is asked of a function at each question, so that something else can decide it: a stand-in of
// Route 53, or a test. What makes a zone of that is done here: SOA and NS, addresses of name servers, delegations with
// glue, NXDOMAIN and NODATA with the SOA, chains of CNAMEs within what the server holds, truncation over UDP. There
// is no DNSSEC, no zone transfer and no wildcard.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Options say what a Server serves, and where.
type Options struct {
	// Addresses are where the name servers are, as host:port, each over UDP and TCP: 127.0.53.2:0. The names of NS
	// records know no port, so it should be the same one for all; all that say 0 get one and the same free port.
	Addresses []string
	Zones     []Zone
}

// Server is a set of name servers.
type Server struct {
	servers []*nameServer
}

// Start starts the name servers and returns when all of them listen. The context bounds the start alone.
func Start(ctx context.Context, o Options) (*Server, error) {
	zones, err := newZones(o.Zones)
	if err == nil && len(o.Addresses) == 0 {
		err = errors.New("no address is given")
	}
	if err != nil {
		return nil, fmt.Errorf("start the name servers: %w", err)
	}
	const tries = 20 // another program can hold the port of the first address at the next one
	for range tries {
		var s *Server
		if s, err = start(ctx, o.Addresses, zones); !errors.Is(err, syscall.EADDRINUSE) {
			return s, err
		}
	}
	return nil, err
}

func start(ctx context.Context, addresses []string, zones []*zone) (*Server, error) {
	s, free := &Server{}, "0"
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err == nil {
			if port == "0" {
				port = free
			}
			n := &nameServer{address: net.JoinHostPort(host, port), zones: servedAt(zones, host)}
			if err = n.open(ctx); err == nil {
				s.servers = append(s.servers, n)
				if _, taken, _ := net.SplitHostPort(n.address); port == "0" {
					free = taken
				}
			}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start the name server at %s: %w", address, err), s.Close())
		}
	}
	return s, nil
}

// Addresses are where the name servers are, in the order of the options, with their ports.
func (s *Server) Addresses() []string {
	all := make([]string, 0, len(s.servers))
	for _, n := range s.servers {
		all = append(all, n.address)
	}
	return all
}

// Port is the port of the first name server.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.servers[0].address)
	n, _ := strconv.Atoi(port) // it is one that we listen on
	return n
}

// Asked is how many questions the name server at an address has taken, over UDP and TCP, those included to which it
// said nothing.
func (s *Server) Asked(address string) int {
	for _, n := range s.servers {
		if n.address == address {
			return int(n.asked.Load())
		}
	}
	return 0
}

// Condition is what is wrong with a name server.
type Condition string

// The conditions.
const (
	Well     Condition = ""
	Down     Condition = "down"     // nobody listens
	Silent   Condition = "silent"   // it takes questions and says nothing
	ServFail Condition = "servfail" // it has lost its zones
	Refused  Condition = "refused"  // it does not want to know us
	Lame     Condition = "lame"     // it knows nothing of its zones, and says to ask the root
	Stale    Condition = "stale"    // it says what it last said before, whatever was changed since
	Lying    Condition = "lying"    // it says something else
)

// Set brings the name server at an address into a condition, and out of the one that it is in. The lies are what a
// lying one answers to questions for their names and types; an NS record of a delegated zone, with addresses, is a
// delegation that leads elsewhere.
func (s *Server) Set(ctx context.Context, address string, c Condition, lies ...Record) error {
	i := slices.IndexFunc(s.servers, func(n *nameServer) bool { return n.address == address })
	if i < 0 {
		return fmt.Errorf("make the name server at %s %s: there is none", address, c)
	}
	if err := s.servers[i].set(ctx, c, lies); err != nil {
		return fmt.Errorf("make the name server at %s %s: %w", address, c, err)
	}
	return nil
}

// Close ends all name servers and waits for them.
func (s *Server) Close() error {
	errs := make([]error, 0, len(s.servers))
	for _, n := range s.servers {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

// nameServer is one address, over UDP and TCP.
type nameServer struct {
	address string
	zones   []*zone // that it serves
	asked   atomic.Int64

	changing  sync.Mutex // held while it opens or closes
	listening []*dns.Server
	group     sync.WaitGroup

	mu        sync.RWMutex // protects the fields below
	condition Condition
	lies      []dns.RR
	kept      *memory // what a stale one goes on saying
}

func (n *nameServer) set(ctx context.Context, c Condition, lies []Record) error {
	records, err := resourceRecords(lies)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.condition, n.lies, n.kept = c, records, nil
	if c == Stale {
		n.kept = newMemory()
		for _, z := range n.zones {
			n.kept.take(z.said)
		}
	}
	n.mu.Unlock()
	if c == Down {
		return n.close()
	}
	for { // nobody kept the port: where an outgoing connection has it now, we wait for its end
		err := n.open(ctx)
		if !errors.Is(err, syscall.EADDRINUSE) || pause(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
}

// open listens, where it does not yet.
func (n *nameServer) open(ctx context.Context) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if len(n.listening) > 0 {
		return nil
	}
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, "udp", n.address)
	if err != nil {
		return err
	}
	if here := packets.LocalAddr().String(); here != n.address { // only the first time, from port 0
		n.address = here
	}
	streams, err := config.Listen(ctx, "tcp", n.address)
	if err != nil {
		return errors.Join(err, packets.Close())
	}
	n.serve(&dns.Server{PacketConn: packets, UDPSize: dns.MaxMsgSize})
	n.serve(&dns.Server{Listener: streams})
	return nil
}

func (n *nameServer) serve(s *dns.Server) {
	started := make(chan struct{})
	s.Handler, s.NotifyStartedFunc = n, func() { close(started) }
	n.group.Go(func() { _ = s.ActivateAndServe() }) // it ends when it is shut down
	<-started
	n.listening = append(n.listening, s)
}

func (n *nameServer) close() error {
	n.changing.Lock()
	defer n.changing.Unlock()
	errs := make([]error, 0, len(n.listening))
	for _, s := range n.listening {
		errs = append(errs, s.Shutdown())
	}
	n.listening = nil
	n.group.Wait()
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
