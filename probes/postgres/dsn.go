package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// dsn is where a server is and how to reach it: the parameters that were given,
// of those in [parameters]. It holds no password.
type dsn map[string]string

// value is what holds of a parameter.
func (d dsn) value(key string) string { return cmp.Or(d[key], parameters()[key]) }

// parameters are what a DSN may give, with what holds when it does not. All of
// them are handed to pgconn, so that neither a PG* variable of the environment
// nor a file in the home directory has a say in where we look.
func parameters() map[string]string {
	return map[string]string{
		"host": "", "port": "5432", "dbname": "", "user": "",
		"application_name": "drwatch", "connect_timeout": "0", "target_session_attrs": "any",
		"sslmode": "prefer", "sslrootcert": "", "sslcert": "", "sslkey": "",
		"sslcertmode": "allow", "sslsni": "1", "sslnegotiation": "postgres",
		"channel_binding": "prefer", "require_auth": "",
	}
}

// choices are the parameters of which not any text will do.
func choices() map[string][]string {
	return map[string][]string{
		"sslmode":              {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
		"sslcertmode":          {"disable", "allow", "require"},
		"sslsni":               {"0", "1"},
		"sslnegotiation":       {"postgres", "direct"},
		"target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
		"channel_binding":      {"disable", "prefer", "require"},
	}
}

// neutral takes away what else pgconn would find in the environment.
const neutral = "password='' passfile='' sslpassword='' krbsrvname='' krbspn='' min_protocol_version='' max_protocol_version=''"

// parseDSN reads a connection string of either form, as libpq does, and refuses
// what libpq would take from elsewhere. No error repeats a value: where a
// password was written in the wrong place, any of them may be a piece of it.
func parseDSN(text string) (dsn, error) {
	d := dsn{}
	read := d.readKeywords
	if _, rest, ok := strings.Cut(text, "://"); ok && (strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")) {
		text, read = rest, d.readURL
	}
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errors.New("a NUL byte has no place here")
	}
	if err := read(text); err != nil {
		return nil, err
	}
	return d, d.check()
}

// set notes one parameter. One that is not known is refused: pgconn would send
// it to the server as a setting of the session.
func (d dsn) set(key, value string) error {
	known := parameters()
	switch _, ok := known[key]; {
	case ok:
		d[key] = value
		return nil
	case key == "database":
		return d.set("dbname", value)
	case key == "password", key == "passfile", key == "sslpassword":
		return errors.New("a password does not belong here: name the file that holds it in password_file, or the variable in password_env")
	case key == "service", key == "servicefile":
		return errors.New("a service file could move this probe without a change here: write its parameters here")
	case key == "options":
		return errors.New("options are not taken: the probe sets what it needs by itself")
	}
	names := slices.Sorted(maps.Keys(known))
	nearest := slices.MinFunc(names, func(a, b string) int {
		return levenshtein.ComputeDistance(key, a) - levenshtein.ComputeDistance(key, b)
	})
	if levenshtein.ComputeDistance(key, nearest) <= 2 {
		return fmt.Errorf("%q is no parameter; did you mean %s?", key, nearest)
	}
	return fmt.Errorf("%q is no parameter; there are %s", key, strings.Join(names, ", "))
}

// readURL reads what follows the scheme:
//
//	user@host:port,host:port/dbname?parameter=value&parameter=value
func (d dsn) readURL(rest string) error {
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, password, _ := strings.Cut(rest[:i], ":")
		if password != "" {
			return d.set("password", "")
		}
		if err := d.setEscaped("user", user); err != nil {
			return err
		}
		rest = rest[i+1:]
	}
	if strings.Contains(rest, "@") {
		return errors.New("there is an @ too many: within names and values it is %40, and a password does not belong here")
	}
	rest, query, _ := strings.Cut(rest, "?")
	servers, name, _ := strings.Cut(rest, "/")
	if err := d.readServers(servers); err != nil {
		return err
	}
	if err := d.setEscaped("dbname", name); err != nil {
		return err
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Contains(value, "=") {
			return errors.New("each parameter behind the ? is written name=value, and an = within a value is %3D")
		}
		if key == "ssl" && value == "true" { // as JDBC writes it
			key, value = "sslmode", "require"
		}
		if err := d.setEscaped(key, value); err != nil {
			return err
		}
	}
	return nil
}

// readServers reads host:port,host:port; an IPv6 address is in brackets.
func (d dsn) readServers(text string) error {
	if text == "" {
		return nil
	}
	var hosts, ports []string
	for server := range strings.SplitSeq(text, ",") {
		host, port := server, ""
		if i := strings.LastIndexByte(server, ':'); i > strings.LastIndexByte(server, ']') {
			host, port = server[:i], server[i+1:]
		}
		inner, bracketed := strings.CutPrefix(host, "[")
		switch {
		case bracketed && strings.HasSuffix(inner, "]"):
			host = strings.TrimSuffix(inner, "]")
		case strings.ContainsAny(host, "[]:"):
			return errors.New("an IPv6 address is written in brackets: [2001:db8::1]:5432")
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	if err := d.setEscaped("host", strings.Join(hosts, ",")); err != nil {
		return err
	}
	return d.setEscaped("port", strings.Join(ports, ","))
}

// setEscaped sets what a part of a URL gives.
func (d dsn) setEscaped(key, value string) error {
	plain, err := url.PathUnescape(value)
	if err != nil || strings.ContainsAny(plain, "\x00") {
		return errors.New("a % must be followed by the two hexadecimal digits of a byte; % itself is %25")
	}
	if strings.Contains(value, " ") {
		return errors.New("a space in a URL is written %20")
	}
	return d.set(key, plain)
}

// space is what separates pairs.
const space = " \t\n\r\v\f"

// readKeywords reads keyword=value pairs with libpq's quoting: a value with
// spaces stands in single quotes, a backslash takes the next byte as it is.
func (d dsn) readKeywords(text string) error {
	for text = strings.TrimLeft(text, space); text != ""; text = strings.TrimLeft(text, space) {
		key, rest, ok := strings.Cut(text, "=")
		key = strings.TrimRight(key, space)
		if !ok || key == "" || strings.ContainsAny(key, space) {
			return errors.New("write either a URL (postgres://user@host:5432/dbname) or pairs (host=... dbname=... user=...); a value with spaces stands in single quotes")
		}
		value, rest, err := readValue(strings.TrimLeft(rest, space))
		if err != nil {
			return err
		}
		if err := d.set(key, value); err != nil {
			return err
		}
		text = rest
	}
	return nil
}

func readValue(text string) (value, rest string, err error) {
	text, quoted := strings.CutPrefix(text, "'")
	ends := space
	if quoted {
		ends = "'"
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case strings.IndexByte(ends, text[i]) >= 0:
			return b.String(), text[i+1:], nil
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] != '\\':
			b.WriteByte(text[i])
		}
	}
	if quoted {
		return "", "", errors.New("a single quote is not closed")
	}
	return b.String(), "", nil
}

// check finds what is missing or cannot be.
func (d dsn) check() error {
	hosts, ports := strings.Split(d["host"], ","), strings.Split(d["port"], ",")
	for _, key := range []string{"host", "dbname", "user"} {
		if d[key] == "" || key == "host" && slices.Contains(hosts, "") {
			return fmt.Errorf("%s is missing: it is given here, nothing is taken from the environment", key)
		}
	}
	if len(ports) > 1 && len(ports) != len(hosts) {
		return fmt.Errorf("there are %d hosts and %d ports: give one port, or one for each host", len(hosts), len(ports))
	}
	for _, port := range ports {
		if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
			return errors.New("port is not a number between 1 and 65535")
		}
	}
	allowed := choices()
	for _, key := range slices.Sorted(maps.Keys(allowed)) {
		if !slices.Contains(allowed[key], d.value(key)) {
			return fmt.Errorf("%s is one of %s", key, strings.Join(allowed[key], ", "))
		}
	}
	if _, err := strconv.ParseUint(d.value("connect_timeout"), 10, 31); err != nil {
		return errors.New("connect_timeout is a whole number of seconds")
	}
	if (d["sslcert"] == "") != (d["sslkey"] == "") {
		return errors.New("sslcert and sslkey go together")
	}
	return nil
}

// as is the same server for another user.
func (d dsn) as(user string) dsn {
	other := maps.Clone(d)
	other["user"] = user
	return other
}

// String names the server for people: user@host:port,host:port/dbname.
func (d dsn) String() string {
	ports := strings.Split(d.value("port"), ",")
	var servers []string
	for i, host := range strings.Split(d["host"], ",") {
		port := ports[min(i, len(ports)-1)]
		if port == "" {
			port = parameters()["port"]
		}
		servers = append(servers, net.JoinHostPort(host, port))
	}
	return fmt.Sprintf("%s@%s/%s", d["user"], strings.Join(servers, ","), d["dbname"])
}

// config makes the configuration of one connection. It reads the certificates
// anew, so that those that were rotated are seen.
func (d dsn) config(password secret.String) (*pgconn.Config, error) {
	if os.Getenv("PGSERVICE") != "" { // the one variable that no parameter overrules
		return nil, probes.Fail(readiness.Internal, "unset PGSERVICE in the environment of drwatch: the file that it names would have a say in where to look")
	}
	var text strings.Builder
	for key, standard := range parameters() {
		value := strings.ReplaceAll(cmp.Or(d[key], standard), `\`, `\\`)
		fmt.Fprintf(&text, "%s='%s' ", key, strings.ReplaceAll(value, `'`, `\'`))
	}
	config, err := pgconn.ParseConfig(text.String() + neutral)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil { // without the connection string
			err = cause
		}
		return nil, probes.Fail(readiness.TLS, "%w", err) // what else could be wrong has been checked
	}
	config.Password = password.Reveal()
	config.RuntimeParams = map[string]string{"application_name": d.value("application_name"), "client_encoding": "UTF8"}
	return config, nil
}
