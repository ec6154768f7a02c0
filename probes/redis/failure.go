package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// longestTold is how much of what others wrote is shown.
const longestTold = 160

// refusal is an error that the server answered with: a code and a text.
type refusal string

func (e refusal) Error() string { return string(e) }

// code is the first word, by which Redis tells its errors apart.
func (e refusal) code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// hungUp reports whether the other side ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// failure tells why there was no answer, or none that makes sense.
func (s server) failure(ctx context.Context, err error) error {
	var nonsense notRedis
	var record tls.RecordHeaderError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return probes.Fail(readiness.Timeout, "ask %s: the look was cancelled: %w", s, ctx.Err())
	case ctx.Err() != nil:
		return probes.Fail(readiness.Timeout, "ask %s: no answer in time: %w", s, ctx.Err())
	case errors.Is(err, errSentinel):
		return probes.Fail(readiness.NotFound, "ask %s: %w: give its address in sentinel.addresses", s, err)
	case errors.As(err, &nonsense):
		return probes.Fail(readiness.Malformed, "ask %s: %s: see what listens there", s, nonsense)
	case errors.Is(err, errPlain), errors.As(err, &record):
		return probes.Fail(readiness.TLS, "ask %s: it does not speak TLS: write redis:// (or leave tls out)", s)
	case hungUp(err) && s.tls == nil && s.speaksTLS(ctx):
		return probes.Fail(readiness.TLS, "ask %s: it speaks TLS: write rediss:// (or add tls)", s)
	case saidInTLS(err):
		return probes.Fail(readiness.TLS, "ask %s: it does not accept us: %w: see cert_file and key_file", s, s.tidy(err))
	case hungUp(err):
		return probes.Fail(readiness.Unreachable, "ask %s: it hung up without an answer: %w: see its log", s, s.tidy(err))
	}
	return probes.Fail(probes.Classify(err), "ask %s: %w", s, s.tidy(err))
}

// refused tells what an error of the server means, and what to do. The texts
// are our own: what a server says of AUTH may repeat the password.
func (s server) refused(e refusal, to command, greeting bool) error {
	fail := func(class readiness.Class, does, remedy string) error {
		return probes.Fail(class, "ask %s: %s: %s", s, does, remedy)
	}
	user := presentable(cmp.Or(s.user, "default"))
	text := strings.ToLower(string(e))
	switch code := e.code(); {
	case code == "WRONGPASS", greeting && strings.Contains(text, "invalid password"):
		return fail(readiness.Denied, "user "+user+" or its password is wrong", "correct the user, or the password in password_file or password_env")
	case code == "NOAUTH":
		return fail(readiness.Denied, "it wants a password", "give password_file or password_env, and a user")
	case code == "NOPERM":
		return fail(readiness.Denied, "user "+user+" may not run "+to.name(), "ACL SETUSER "+user+" +"+to.right())
	case code == "DENIED":
		return fail(readiness.Denied, "it is in protected mode", "give its users passwords, or bind it to an address that only its clients reach")
	case strings.Contains(text, "max number of clients"):
		return fail(readiness.Throttled, "it has as many clients as it allows", "raise maxclients, or see who holds so many connections")
	case code == "LOADING", code == "BUSY", code == "MASTERDOWN", code == "TRYAGAIN":
		return fail(readiness.Timeout, "it answers nobody now ("+code+")", "wait until it has loaded its data or ended its script")
	case greeting && strings.Contains(text, "without any password"), greeting && strings.Contains(text, "no password is set"):
		return fail(readiness.Denied, "it has no password for "+user+", and one was given", "take the password away, or set one on the server")
	case greeting:
		return fail(readiness.Denied, "it refuses AUTH", "users need Redis 6; without a user, AUTH takes the password of requirepass")
	case strings.Contains(text, "no such master"):
		return fail(readiness.NotFound, "it watches no such master", "correct sentinel.master")
	case strings.Contains(text, "cluster support disabled"):
		return fail(readiness.NotFound, "it is not a node of a cluster", "give url instead of cluster")
	case strings.Contains(text, "unknown command"), strings.Contains(text, "unknown subcommand"):
		return fail(readiness.NotFound, "it does not know "+to.name(), "give the command its name back (rename-command), or see what listens there")
	}
	return probes.Fail(readiness.Malformed, "ask %s: it answers %s with an error that we do not know: %w", s, to.name(), s.tidy(e))
}

// name is the command for people, without what it must not tell: INFO, AUTH,
// CLUSTER NODES.
func (c command) name() string {
	if len(c) > 1 && (c[0] == "CLUSTER" || c[0] == "SENTINEL") {
		return fmt.Sprint(c[0], " ", c[1])
	}
	return fmt.Sprint(c[0])
}

// right is the command as access rules name it: info, cluster|slots.
func (c command) right() string {
	return strings.ToLower(strings.ReplaceAll(c.name(), " ", "|"))
}

// tidied is an error in a text that can be shown: without the password, on one
// line, and short.
type tidied struct {
	text  string
	cause error
}

func (t tidied) Error() string { return t.text }
func (t tidied) Unwrap() error { return t.cause }

func (s server) tidy(err error) error {
	return tidied{text: presentable(s.password.Redact(err.Error())), cause: err}
}

// presentable makes one short line of what somebody else wrote.
func presentable(text string) string { return probes.Presentable(text, longestTold) }
