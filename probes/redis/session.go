package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// login is who we are to a server, and how we know that it is the right one.
type login struct {
	user     string
	password secret.String
	tls      *tls.Config // nil without TLS
}

// credentials say where to find what a login is made of. All of it is read anew
// at each look, so that what was rotated is seen.
type credentials struct {
	user     string
	password secret.Source
	tls      *TLS // nil without TLS
}

func (c credentials) read(ctx context.Context) (login, error) {
	password, err := c.password.Read(ctx)
	if err != nil {
		return login{}, unread(ctx, readiness.Denied, "log in", err)
	}
	l := login{user: c.user, password: password}
	if c.tls != nil {
		if l.tls, err = c.tls.read(ctx); err != nil {
			return login{}, unread(ctx, readiness.TLS, "prepare TLS", err)
		}
	}
	return l, nil
}

// unread is a file that could not be read: not in time, or not at all.
func unread(ctx context.Context, class readiness.Class, purpose string, err error) error {
	if ctx.Err() != nil {
		class = readiness.Timeout
	}
	return probes.Fail(class, "%s: %w", purpose, err)
}

// read loads the certificates. There is no way to switch off the verification:
// who can pretend to be the server could pretend that it is ready.
func (t TLS) read(ctx context.Context) (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := secret.ReadFile(ctx, t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := t.pair(ctx)
		if err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (t TLS) pair(ctx context.Context) (tls.Certificate, error) {
	cert, err := secret.ReadFile(ctx, t.CertFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := secret.ReadFile(ctx, t.KeyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// patience is the time for half a look when nobody set a deadline.
const patience = 10 * time.Second

// session is one connection, for one look.
type session struct {
	server  server
	conn    *guard
	client  *goredis.Client
	greeted bool
}

// server is one address and how to log in there.
type server struct {
	login
	addr string
	what string // Redis or Sentinel, for people
}

func (s server) String() string { return s.what + " at " + s.addr }

// open connects. The connection does not outlive the context.
func (s server) open(ctx context.Context) (*session, error) {
	session, err := s.connect(ctx)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	return session, nil
}

func (s server) connect(ctx context.Context) (*session, error) {
	raw, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	conn := newGuard(ctx, raw)
	if s.tls != nil {
		encrypted, err := s.handshake(ctx, raw)
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		conn.Conn = encrypted
	}
	return &session{server: s, conn: conn, client: newClient(conn)}, nil
}

// newClient speaks Redis over a connection that is there already: it opens none
// of its own and repeats nothing. It begins with HELLO, by itself; who we are is
// said by us, so that we hear what the server thinks of it.
func newClient(conn net.Conn) *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Dialer:   func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocol: 2, PoolSize: 1, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
		ReadBufferSize: 8 << 10, WriteBufferSize: 1 << 10, PipelinePoolSize: -1, // INFO is 5 KB, and we ask little
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// errPlain is a server that was greeted in TLS and speaks plain Redis.
var errPlain = errors.New("it does not speak TLS")

// handshake makes the connection one of TLS. A Redis that speaks none waits for
// the end of a line in silence, so half of the time is kept to find that out.
func (s server) handshake(ctx context.Context, raw net.Conn) (net.Conn, error) {
	config := s.tls.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(s.addr)
	}
	part, cancel := context.WithTimeout(ctx, half(ctx))
	defer cancel()
	conn := tls.Client(raw, config)
	err := conn.HandshakeContext(part)
	if part.Err() != nil && ctx.Err() == nil && s.speaksPlain(ctx) {
		err = errPlain
	}
	return conn, err
}

// half is one half of the time that is left.
func half(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return patience
	}
	return time.Until(deadline) / 2
}

// speaksPlain reports whether the server answers without TLS.
func (s server) speaksPlain(ctx context.Context) bool {
	plain := server{addr: s.addr, what: s.what}
	session, err := plain.connect(ctx)
	if err != nil {
		return false
	}
	defer session.close()
	_ = session.client.Ping(ctx).Err()
	return session.conn.speaksRedis()
}

// speaksTLS reports whether a server that hung up on us would talk in TLS.
func (s server) speaksTLS(ctx context.Context) bool {
	anyone := &tls.Config{InsecureSkipVerify: true} // nothing is sent or believed: we hang up after the greeting
	session, err := server{addr: s.addr, what: s.what, login: login{tls: anyone}}.connect(ctx)
	if err == nil {
		session.close()
	}
	return err == nil || saidInTLS(err)
}

// saidInTLS reports whether an error is what the other side said in TLS.
func saidInTLS(err error) bool {
	var said *net.OpError
	return errors.As(err, &said) && said.Op == "remote error"
}

func (s *session) close() {
	_ = s.client.Close()
	_ = s.conn.Close()
}

// exchange is when a question was asked and when the answer was there.
type exchange struct{ asked, answered time.Time }

func (e exchange) roundTrip() time.Duration { return e.answered.Sub(e.asked) }
func (e exchange) middle() time.Time        { return e.asked.Add(e.roundTrip() / 2) }

// command is a question in words.
type command []any

// ask sends all commands at once and gives the answers to them. The first time
// it logs in before, in the same piece.
func (s *session) ask(ctx context.Context, commands ...command) ([]any, exchange, error) {
	greeting := s.greeting()
	all := append(greeting, commands...)
	pipeline := s.client.Pipeline()
	for _, c := range all {
		pipeline.Do(ctx, c...)
	}
	answers, _ := pipeline.Exec(ctx) // the error is that of the first command that has one
	when := exchange{asked: s.conn.asked, answered: s.conn.answered}
	values := make([]any, 0, len(all))
	for i, answer := range answers {
		value, err := answer.(*goredis.Cmd).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return nil, when, s.wrong(ctx, err, all[i], i < len(greeting))
		}
		values = append(values, value)
	}
	if len(greeting) > 0 && values[0] != "OK" {
		return nil, when, s.server.failure(ctx, notRedis("its answer to AUTH is not OK"))
	}
	return values[len(greeting):], when, nil
}

func (s *session) greeting() []command {
	l := s.server.login
	defer func() { s.greeted = true }()
	switch {
	case s.greeted || l.user == "" && l.password.IsEmpty():
		return nil
	case l.user == "":
		return []command{{"AUTH", l.password.Reveal()}}
	default:
		return []command{{"AUTH", l.user, l.password.Reveal()}}
	}
}

// wrong tells why a command has no answer: the server refused it, or there was
// none, or one that makes no sense.
func (s *session) wrong(ctx context.Context, err error, to command, greeting bool) error {
	var refused goredis.Error
	farewell, said := s.conn.farewell()
	if !said && hungUp(s.conn.failed) && len(s.conn.opening) == 0 && s.server.tls == nil {
		farewell, said = s.server.overhear(ctx)
	}
	switch {
	case said:
		return s.server.refused(farewell, to, false)
	case hungUp(s.conn.failed) && len(s.conn.opening) > 0:
		return s.server.failure(ctx, notRedis("its answer breaks off"))
	case s.conn.failed != nil: // the client tells of what followed from it
		return s.server.failure(ctx, s.conn.failed)
	case errors.As(err, &refused):
		return s.server.refused(refusal(err.Error()), to, greeting)
	case ctx.Err() != nil:
		return s.server.failure(ctx, err)
	default: // the client could not read what came
		return s.server.failure(ctx, whatElse(string(s.conn.opening)))
	}
}

// overhear connects and says nothing: what a server tells a client that it does
// not want gets lost when the client speaks at the same time.
func (s server) overhear(ctx context.Context) (refusal, bool) {
	const enough = 200 * time.Millisecond
	part, cancel := context.WithTimeout(ctx, min(enough, half(ctx)))
	defer cancel()
	raw, err := (&net.Dialer{KeepAlive: -1}).DialContext(part, "tcp", s.addr)
	if err != nil {
		return "", false
	}
	conn := newGuard(part, raw)
	defer func() { _ = conn.Close() }()
	_, _ = conn.receive(make([]byte, 64))
	return conn.farewell()
}

// texts reads answers that are texts.
func (s *session) texts(ctx context.Context, commands ...command) ([]string, exchange, error) {
	answers, when, err := s.ask(ctx, commands...)
	if err != nil {
		return nil, when, err
	}
	texts := make([]string, len(answers))
	for i, answer := range answers {
		text, ok := answer.(string)
		if !ok {
			return nil, when, s.server.failure(ctx, notRedis("its answer to "+commands[i].name()+" is no text"))
		}
		texts[i] = text
	}
	return texts, when, nil
}

// info asks a server about itself.
func (s *session) info(ctx context.Context, sections ...command) (info, exchange, error) {
	texts, when, err := s.texts(ctx, sections...)
	if err != nil {
		return info{}, when, err
	}
	i, err := parseInfo(texts...)
	if err != nil {
		return info{}, when, s.server.failure(ctx, err)
	}
	return i, when, nil
}
