package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/drwatch/drwatch/secret"
)

// settings are the parameters of a DSN with what holds where it does not give
// them, so that neither a PG* variable of the environment nor a file in the home
// directory has a say in it.
func settings() [][2]string {
	return [][2]string{
		{"target_session_attrs", "read-write"}, {"connect_timeout", "5"},
		{"sslmode", "prefer"}, {"sslrootcert", ""}, {"sslcert", ""}, {"sslkey", ""}, {"sslcertmode", "allow"},
		{"sslsni", "1"}, {"sslnegotiation", "postgres"}, {"channel_binding", "prefer"}, {"require_auth", ""},
	}
}

func (o Options) withDefaults() Options {
	o.Schema = cmp.Or(o.Schema, "drwatch")
	return o
}

// pool is the configuration of the pool.
func (o Options) pool() (*pgxpool.Config, error) {
	text, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("read the dsn of the ledger: %w", err)
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("read the dsn of the ledger: %w", withoutText(err))
	}
	if config.ConnConfig.Database == "" {
		return nil, errors.New("read the dsn of the ledger: dbname is missing")
	}
	password := secret.Source{File: o.PasswordFile, Env: o.PasswordEnv}
	config.MaxConns = connections
	config.PingTimeout = 2 * time.Second
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		plain, err := password.Read(ctx)
		if err != nil {
			return err
		}
		fresh, err := pgx.ParseConfig(text) // for the certificates, which may be others by now
		if err != nil {
			return withoutText(err)
		}
		c.TLSConfig, c.Fallbacks, c.Password = fresh.TLSConfig, fresh.Fallbacks, plain.Reveal()
		return nil
	}
	c := config.ConnConfig
	c.RuntimeParams = map[string]string{"application_name": "drwatch", "client_encoding": "UTF8"}
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // poolers keep no prepared statement
	c.OnNotice = noteWarning
	return config, nil
}

// complete gives the DSN with all settings in it.
func (o Options) complete() (string, error) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE"} {
		if os.Getenv(name) != "" {
			return "", fmt.Errorf("unset %s in the environment of drwatch: it would have a say in where the ledger is", name)
		}
	}
	allowed := []string{"host", "port", "dbname", "user"}
	for _, s := range settings() {
		allowed = append(allowed, s[0])
	}
	options := pgx.ParseConfigOptions{ParseConfigOptions: pgconn.ParseConfigOptions{ConnStringAllowedKeys: allowed}}
	_, err := pgx.ParseConfigWithOptions(o.DSN, options)
	if err != nil && errors.Unwrap(err) == nil { // with a cause it may be one of the environment
		return "", fmt.Errorf("write a URL (postgres://user@host:5432/dbname) or pairs (host=... dbname=... user=...), with no other parameters than %s; "+
			"a password stands in the file that password_file names", strings.Join(allowed, ", "))
	}
	return withSettings(o.DSN), nil
}

// withSettings adds to a DSN the settings that it does not give.
func withSettings(dsn string) string {
	all := append(settings(), [2]string{"password"}, [2]string{"passfile"}, [2]string{"sslpassword"},
		[2]string{"krbsrvname"}, [2]string{"krbspn"}, [2]string{"min_protocol_version"}, [2]string{"max_protocol_version"})
	var pairs []string
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		for _, s := range all {
			pairs = append(pairs, fmt.Sprintf("%s='%s'", s[0], s[1]))
		}
		return strings.Join(append(pairs, dsn), " ") // of two that are the same the later one counts
	}
	before, query, _ := strings.Cut(dsn, "?")
	given, _ := url.ParseQuery(query) // pgx has read it already
	if query != "" {
		pairs = append(pairs, query)
	}
	for _, s := range all {
		if !given.Has(s[0]) && (s[0] != "sslmode" || !given.Has("ssl")) { // ssl=true is how JDBC writes it
			pairs = append(pairs, s[0]+"="+s[1])
		}
	}
	return before + "?" + strings.Join(pairs, "&")
}

// withoutText is an error of pgx without the DSN, of which any part may be a
// password in the wrong place.
func withoutText(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return errors.New("it cannot be read")
}

// dialWithin makes connections that end with a context.
func dialWithin(life context.Context) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &mortal{Conn: conn, forget: context.AfterFunc(life, func() { _ = conn.Close() })}, nil
	}
}

// mortal is a connection that something else may end.
type mortal struct {
	net.Conn
	forget func() bool
}

func (m *mortal) Close() error {
	m.forget()
	return m.Conn.Close()
}
