// Package endpoint looks at what serves clients: HTTP and HTTPS, bare TCP, and
// gRPC by its health protocol. It may be told to connect to another address than
// the name leads to, so that a standby is seen as clients will see it once the name
// has moved: Host and the name in TLS stay those that clients use.
//
// A look is one new connection and one question on it, since that is what a client
// that comes over has to get. No connection is kept, no session of TLS is taken up
// again, no redirect is followed and nothing is asked twice.
//
// What serves badly, or not at all, is a check that fails and an endpoint that is
// not up; it was seen to be so, from one region, which each check tells. A look fails
// only when we could not look: a file of ours cannot be read, our resolver does not
// answer, or no time was left.
//
// A certificate is verified here and not in the handshake, so that one that has
// expired does not hide what stands behind it. Clients would be turned away, so the
// endpoint is not up. Secret headers are not sent to such a server.
//
// What cannot be seen: that other networks reach it too, whether the answer to another
// question would be right, and whether it carries the load. See docs/probes/endpoint.md.
package endpoint

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// Probe looks at one endpoint. It keeps nothing between looks and may be used by
// several goroutines.
type Probe struct {
	config  Config
	place   place
	vantage string         // the region from which it is looked at, for people
	side    readiness.Side // to which the part belongs
	own     []string       // what the file names for that side
	other   []string       // and for the other one
	request []byte         // of HTTP, without what is secret
	matches *regexp.Regexp // nil where no pattern is given
	checks  []string
	fleet   *Fleet
	now     func() time.Time
}

// New makes the probe of a part. It opens no connection and reads no file.
func New(cfg Config, target probes.Target, fleet *Fleet) (*Probe, error) {
	found := probes.Problems(cfg.Validate(target))
	if len(found) > 0 {
		return nil, fmt.Errorf("set up the endpoint probe of %s: %s: %s", target.Part.Name, found[0].Path, found[0].Message)
	}
	cfg.Method = cmp.Or(cfg.Method, http.MethodGet)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, defaultMaxBody)
	cfg.ExpiresWithin = cmp.Or(cfg.ExpiresWithin, defaultExpiresWithin)
	p := &Probe{
		config: cfg, place: cfg.place(&found), vantage: cmp.Or(target.Part.Vantage, "here"), side: target.Part.Side,
		checks: Checks(cfg, target), fleet: fleet, now: time.Now,
	}
	p.own, p.other = target.Sides()
	var err error
	if cfg.URL != "" {
		if p.request, err = cfg.write(nil); err != nil {
			return nil, fmt.Errorf("set up the endpoint probe of %s: write the request: %w", target.Part.Name, err)
		}
	}
	if cfg.BodyMatches != "" {
		if p.matches, err = regexp.Compile(cfg.BodyMatches); err != nil {
			return nil, fmt.Errorf("set up the endpoint probe of %s: body_matches: %w", target.Part.Name, err)
		}
	}
	return p, nil
}

// Look asks the endpoint once. The error is a [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	s, err := p.see(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	return p.reading(s), nil
}

// look is a look under way: when it began, and what was read for it.
type look struct {
	*Probe
	begun   time.Time
	roots   *x509.CertPool // nil means those of the machine
	secrets map[string]secret.String
}

// sight is what one look has seen, as far as it came.
type sight struct {
	remote string                         // the address of the connection; empty without one
	chain  *chain                         // the certificates that were shown; nil without TLS
	answer *answer                        // of HTTP; nil without one
	health string                         // of gRPC, as it says; empty where it says nothing
	took   readiness.Maybe[time.Duration] // from the begin of the connection to the end of the answer
	faults []fault                        // in the order in which they were met
	held   string                         // why nothing was asked, where that was our choice
}

// step is how far a client comes.
type step string

const (
	stepName        step = "name"
	stepConnect     step = "connect"
	stepTLS         step = "TLS"
	stepCertificate step = "certificate"
	stepAnswer      step = "answer"
	stepStatus      step = "status"
	stepBody        step = "body"
	stepHealth      step = "gRPC health"
)

// fault is where clients come no further, or are not served as they should be.
type fault struct {
	step   step
	class  readiness.Class
	what   string
	remedy string // empty is that of the class
	ours   bool   // it says nothing about the endpoint
}

func (f fault) String() string { return string(f.step) + ": " + f.what }

func (s *sight) add(f *fault) {
	if f != nil {
		s.faults = append(s.faults, *f)
	}
}

func (p *Probe) see(ctx context.Context) (sight, error) {
	if ctx.Err() != nil {
		return sight{}, probes.Fail(readiness.Timeout, "ask %s: no time was left for the look: %w", p.place.dial, ctx.Err())
	}
	l := look{Probe: p}
	if err := l.prepare(ctx); err != nil {
		return sight{}, err
	}
	l.begun = time.Now()
	var s sight
	switch {
	case p.config.GRPC != "":
		s = l.askHealth(ctx)
	default:
		s = l.visit(ctx)
	}
	if len(s.faults) == 0 {
		return s, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return sight{}, probes.Fail(readiness.Timeout, "ask %s: the look was cancelled: %w", p.place.dial, ctx.Err())
	}
	if first := s.faults[0]; first.ours {
		return sight{}, probes.Fail(first.class, "ask %s: %s", p.place.dial, first)
	}
	return s, nil
}

// prepare reads the files that the look needs.
func (l *look) prepare(ctx context.Context) error {
	fail := func(class readiness.Class, key string, err error) error {
		if ctx.Err() != nil {
			class = readiness.Timeout
		}
		return probes.Fail(class, "ask %s: read %s: %w", l.place.dial, key, err)
	}
	if l.config.CAFile != "" {
		var err error
		if l.roots, err = l.fleet.trusted.in(ctx, l.config.CAFile, l.now()); err != nil {
			return fail(readiness.TLS, "ca_file", err)
		}
	}
	for name, file := range l.config.HeaderFiles {
		value, err := secret.Source{File: file}.Read(ctx)
		if err != nil {
			return fail(readiness.Denied, "header_files", err)
		}
		if l.secrets == nil {
			l.secrets = make(map[string]secret.String)
		}
		l.secrets[name] = value
	}
	return nil
}

// visit connects, and asks where there is something to ask.
func (l *look) visit(ctx context.Context) (s sight) {
	conn, f := l.connect(ctx)
	if f != nil {
		s.add(f)
		return s
	}
	defer func() { _ = conn.Close() }()
	defer endWith(ctx, conn)()
	s.remote = conn.RemoteAddr().String()
	if l.place.tls {
		secure, shown, f := l.handshake(conn, "http/1.1")
		if f != nil {
			s.add(f)
			return s
		}
		conn, s.chain = secure, shown
		s.add(shown.fault)
	}
	switch {
	case l.config.URL == "":
		s.took = readiness.Known(time.Since(l.begun))
	case len(s.faults) > 0 && len(l.secrets) > 0:
		s.held = "not asked: the question holds a secret, and the certificate is not to be trusted"
	default:
		l.ask(conn, &s)
	}
	return s
}

// redact takes secrets, and the last word of each ("Bearer ..."), out of a text.
func (l *look) redact(text string) string {
	for _, value := range l.secrets {
		text = value.Redact(text)
		if words := strings.Fields(value.Reveal()); len(words) > 1 {
			text = secret.New(words[len(words)-1]).Redact(text)
		}
	}
	return text
}

// redactCut does the same to a text that ends where it was cut, and so may end with the
// begin of a secret.
func (l *look) redactCut(text string) string {
	const telling = 4 // letters of it
	text = l.redact(text)
	for _, value := range l.secrets {
		whole := value.Reveal()
		words := strings.Fields(whole)
		for _, hidden := range append(words[max(0, len(words)-1):], whole) {
			for n := len(hidden) - 1; n >= telling; n-- {
				if rest, found := strings.CutSuffix(text, hidden[:n]); found {
					text = rest + "<redacted>"
				}
			}
		}
	}
	return text
}
