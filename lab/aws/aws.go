// Package aws stands in for AWS at the wire, for what the real one cannot be had
// for: the real SDK, the AWS command line and any other client talk to it, each
// in the protocol of the service. What it does follows the API reference, faults
// included, and each behaviour names its source. It is no emulator for
// development: it plays the part of AWS that a disaster is about.
//
// A service knows its protocol and its own state; the frame in this file reads
// who asks what, counts the calls, and brings faults about.
package aws

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// Account owns everything that nobody else does.
const Account = "111122223333"

// Options say how the stand-in comes up. The zero value is a good one.
type Options struct {
	// Now is the clock of this AWS. Nil means time.Now.
	Now func() time.Time
	// Logger gets what happens inside. Nil means nowhere.
	Logger *slog.Logger
}

// Cloud is AWS, as far as it goes.
type Cloud struct {
	options  Options
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	services map[string]service // by the name in the scope of a signature
	sts      *STS               // which knows who may ask at all
	iam      *IAM               // and this, who may ask what

	mu     sync.Mutex
	faults []*Fault
	calls  map[Asked]int
}

// Asked is what was asked, and where.
type Asked struct{ Service, Operation, Region string }

// call is one request.
type call struct {
	Asked
	// AccessKey signs the request; Token is that of a temporary one.
	AccessKey, Token string
	// ID identifies the answer.
	ID      string
	Body    []byte
	Request *http.Request
}

// service is one AWS service.
type service interface {
	// operation names what a request asks for; empty when it is nothing known.
	operation(r *http.Request, body []byte) string
	// serve answers.
	serve(w http.ResponseWriter, c *call)
	// refuse answers with an error, in the protocol of the service.
	refuse(w http.ResponseWriter, c *call, e Error)
}

// Error is how AWS says no.
type Error struct {
	Status  int
	Code    string
	Message string
}

// Error is the message.
func (e Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Fault is a way in which AWS fails. Empty fields of Asked stand for any.
type Fault struct {
	Asked
	// Delay comes before the answer, and before the error.
	Delay time.Duration
	// Error is answered instead; the zero Error answers as usual.
	Error Error
	// Body is answered instead, as an HTML page, by something that is not AWS: with
	// the status of Error, or 502.
	Body string
	// Drop closes the connection without an answer.
	Drop bool
	// Times is how many calls it meets; 0 means all, until it is healed.
	Times int
}

// Throttled, Denied and Expired are the usual errors; the codes differ by
// service, and are listed under "Common Errors" in each API reference.
var (
	Throttled = Error{http.StatusBadRequest, "Throttling", "Rate exceeded"}
	Denied    = Error{http.StatusForbidden, "AccessDenied", "User: arn:aws:sts::111122223333:assumed-role/drwatch/drwatch is not authorized to perform this action"}
	Expired   = Error{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
)

// Start brings the stand-in up on a loopback port.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as AWS: %w", err)
	}
	c := &Cloud{options: o, listener: listener, served: make(chan struct{}), calls: make(map[Asked]int)}
	c.services = c.newServices()
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug)}
	go func() {
		defer close(c.served)
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("AWS has ended", "error", err)
		}
	}()
	return c, nil
}

// URL is the endpoint of every service: the value of AWS_ENDPOINT_URL.
func (c *Cloud) URL() string { return "http://" + c.listener.Addr().String() }

// Close ends it, and waits.
func (c *Cloud) Close() error {
	err := c.server.Close()
	<-c.served
	return err
}

// Break brings a fault about; heal ends it.
func (c *Cloud) Break(f Fault) (heal func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, other := range c.faults {
			if other == &f {
				c.faults = append(c.faults[:i:i], c.faults[i+1:]...)
				return
			}
		}
	}
}

// Calls tells how often what was asked since the start.
func (c *Cloud) Calls() map[Asked]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[Asked]int, len(c.calls))
	for asked, n := range c.calls {
		all[asked] = n
	}
	return all
}

// scope finds who signs for what in a Signature Version 4.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html
var scope = regexp.MustCompile(`Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request`)

// maxBody is more than any request here needs.
const maxBody = 64 << 20

// ServeHTTP answers one request of any service.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", c.options.Now().UTC().Format(http.TimeFormat))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // the client has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	signed := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		http.Error(w, "Missing Authentication Token", http.StatusForbidden)
		return
	}
	s := c.services[signed[3]]
	if s == nil {
		http.Error(w, "there is no service "+signed[3]+" here", http.StatusNotFound)
		return
	}
	asked := &call{
		Asked:     Asked{Service: signed[3], Operation: s.operation(r, body), Region: signed[2]},
		AccessKey: signed[1], Token: r.Header.Get("X-Amz-Security-Token"),
		ID: rand.Text(), Body: body, Request: r,
	}
	w.Header().Set("X-Amzn-RequestId", asked.ID)
	f := c.count(asked.Asked)
	c.options.Logger.Debug("asked", "service", asked.Service, "operation", asked.Operation, "region", asked.Region)
	if c.fail(w, s, asked, f) {
		return
	}
	if refusal, refused := c.admit(asked); refused {
		s.refuse(w, asked, refusal)
		return
	}
	s.serve(w, asked)
}

// admit refuses who may not ask, or not that.
func (c *Cloud) admit(asked *call) (Error, bool) {
	if refusal, refused := c.sts.admit(asked); refused {
		return refusal, true
	}
	_, caller, _ := c.sts.caller(asked)
	return c.iam.forbids(asked, c.sts.role(asked), caller)
}

// count notes a call, and gives the fault that it meets.
func (c *Cloud) count(a Asked) Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[a]++
	for i, f := range c.faults {
		if !f.meets(a) {
			continue
		}
		if f.Times == 1 {
			c.faults = append(c.faults[:i:i], c.faults[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

func (f *Fault) meets(a Asked) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	return is(f.Service, a.Service) && is(f.Operation, a.Operation) && is(f.Region, a.Region)
}

// fail brings the fault about, and reports whether that was the answer.
func (c *Cloud) fail(w http.ResponseWriter, s service, asked *call, f Fault) bool {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-asked.Request.Context().Done():
			return true
		}
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler) // which is how net/http closes a connection
	case f.Body != "":
		w.Header().Del("X-Amzn-RequestId")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(cmp.Or(f.Error.Status, http.StatusBadGateway))
		_, _ = io.WriteString(w, f.Body)
	case f.Error.Code != "":
		s.refuse(w, asked, f.Error)
	default:
		return false
	}
	return true
}
