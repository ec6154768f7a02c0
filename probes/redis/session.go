package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

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

func (c credentials) read() (login, error) {
	password, err := c.password.Read()
	if err != nil {
		return login{}, probes.Fail(readiness.Denied, "log in: %w", err)
	}
	l := login{user: c.user, password: password}
	if c.tls != nil {
		if l.tls, err = c.tls.read(); err != nil {
			return login{}, probes.Fail(readiness.TLS, "prepare TLS: %w", err)
		}
	}
	return l, nil
}

// read loads the certificates. There is no way to switch off the verification:
// who can pretend to be the server could pretend that it is ready.
func (t TLS) read() (*tls.Config, error) {
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read ca_file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read cert_file and key_file: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// patience is the time for half a look when nobody set a deadline.
const patience = 10 * time.Second

// session is one connection, for one look.
type session struct {
	server  server
	conn    net.Conn
	decoder *decoder
	greeted bool
	release func() bool
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
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	past := time.Unix(1, 0)
	raw := conn
	release := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(past) })
	if s.tls != nil {
		if conn, err = s.handshake(ctx, raw); err != nil {
			release()
			_ = raw.Close()
			return nil, s.failure(ctx, err)
		}
	}
	return &session{server: s, conn: conn, decoder: newDecoder(conn), release: release}, nil
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
	session, err := plain.open(ctx)
	if err != nil {
		return false
	}
	defer session.close()
	_, err = session.conn.Write(encode([]command{{"PING"}}))
	if err == nil {
		_, err = session.decoder.next()
	}
	return err == nil || errors.As(err, new(refusal))
}

// speaksTLS reports whether a server that hung up on us would talk in TLS.
func (s server) speaksTLS(ctx context.Context) bool {
	anyone := &tls.Config{InsecureSkipVerify: true} // nothing is sent or believed: we hang up after the greeting
	session, err := server{addr: s.addr, what: s.what, login: login{tls: anyone}}.open(ctx)
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
	s.release()
	_ = s.conn.Close()
}

// exchange is when a question was asked and when the answer was there.
type exchange struct{ asked, answered time.Time }

func (e exchange) roundTrip() time.Duration { return e.answered.Sub(e.asked) }
func (e exchange) middle() time.Time        { return e.asked.Add(e.roundTrip() / 2) }

// ask sends all commands at once and gives the replies to them. The first time
// it logs in before, in the same piece.
func (s *session) ask(ctx context.Context, commands ...command) ([]reply, exchange, error) {
	greeting := s.greeting()
	all := append(greeting, commands...)
	when := exchange{asked: time.Now()}
	_, sendErr := s.conn.Write(encode(all))
	replies := make([]reply, 0, len(all))
	for i, c := range all {
		r, err := s.decoder.next()
		var no refusal
		switch {
		case errors.As(err, &no):
			return nil, when, s.server.refused(no, c, i < len(greeting))
		case err != nil && sendErr != nil && !errors.As(err, new(notRedis)) && !saidInTLS(err):
			return nil, when, s.server.failure(ctx, sendErr)
		case err != nil:
			return nil, when, s.server.failure(ctx, err)
		}
		replies = append(replies, r)
	}
	when.answered = time.Now()
	if len(greeting) > 0 && replies[0].text != "OK" {
		return nil, when, s.server.failure(ctx, notRedis("its answer to AUTH is not OK"))
	}
	return replies[len(greeting):], when, nil
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

// info asks a server about itself.
func (s *session) info(ctx context.Context, sections ...command) (info, exchange, error) {
	replies, when, err := s.ask(ctx, sections...)
	if err != nil {
		return info{}, when, err
	}
	texts := make([]string, len(replies))
	for i, r := range replies {
		if r.kind != '$' {
			return info{}, when, s.server.failure(ctx, notRedis("its answer to INFO is no text"))
		}
		texts[i] = r.text
	}
	i, err := parseInfo(texts...)
	if err != nil {
		return info{}, when, s.server.failure(ctx, err)
	}
	return i, when, nil
}
