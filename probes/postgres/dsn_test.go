package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/secret"
)

// A user would see a probe that looks at another server than the one written.
func TestParseDSN_Understood(t *testing.T) {
	const want = "drwatch@db.example.com:5432/festivals"
	for text, named := range map[string]string{
		"postgres://drwatch@db.example.com/festivals":                                     want,
		"postgresql://drwatch@db.example.com:5432/festivals?sslmode=verify-full":          want,
		"host=db.example.com dbname=festivals user=drwatch":                               want,
		"  host = db.example.com\n database='festivals' user=drw\\atch ":                  want,
		"postgres:///festivals?host=db.example.com&user=drwatch":                          want,
		"postgres://drwatch@a:6001,b:6002/festivals?target_session_attrs=primary":         "drwatch@a:6001,b:6002/festivals",
		"postgres://drwatch@a,b:6002/festivals":                                           "drwatch@a:5432,b:6002/festivals",
		"host=a,b port=6001 dbname=festivals user=drwatch":                                "drwatch@a:6001,b:6001/festivals",
		"postgres://dr%20watch@[2001:db8::1]:6001/fest%2Fivals":                           "dr watch@[2001:db8::1]:6001/fest/ivals",
		"postgres://drwatch@%2Fvar%2Frun%2Fpostgresql/festivals":                          "drwatch@/var/run/postgresql:5432/festivals",
		"host='/var/run/post gresql' dbname='it\\'s' user=drwatch application_name=other": "drwatch@/var/run/post gresql:5432/it's",
		"postgres://drwatch@db.example.com/festivals?ssl=true&":                           want,
		"postgres://drwatch@db.example.com:/festivals?sslmode=":                           want,
	} {
		d, err := parseDSN(text)
		require.NoError(t, err, text)
		require.Equal(t, named, d.String(), text)
	}
}

// A user would have a password in the file, a probe that follows the
// environment, or a misspelt parameter that takes no effect.
func TestParseDSN_Refused(t *testing.T) {
	for _, c := range []struct{ dsn, want string }{
		{"", "host is missing"},
		{"postgres://", "host is missing"},
		{"postgres://drwatch@/festivals", "host is missing"},
		{"postgres://drwatch@a,,b/festivals", "host is missing"},
		{"postgres://drwatch@db", "dbname is missing"},
		{"postgres://db/festivals", "user is missing"},
		{"host=db dbname=festivals user=''", "user is missing"},
		{"postgres://drwatch:s3cret@db/festivals", "a password does not belong here"},
		{"postgres://drwatch:s3c?ret@db/festivals", "a password does not belong here"},
		{"postgres://drwatch:s3c/ret@db/festivals", "an @ too many"},
		{"postgres://drwatch:5432/s3cret?a=b@db/festivals", "an @ too many"},
		{"postgres://drwatch@db/festivals?password=s3cret", "a password does not belong here"},
		{"host=db password='s3cret' dbname=festivals", "a password does not belong here"},
		{"host=db sslpassword=s3cret", "a password does not belong here"},
		{"host=db passfile=/root/.pgpass", "a password does not belong here"},
		{"host=db service=s3cret", "a service file"},
		{"host=db dbname=festivals user=drwatch options='-c s3cret'", "options are not taken"},
		{"host=db dbname=festivals user=drwatch ssl_mode=require", `"ssl_mode" is no parameter; did you mean sslmode?`},
		{"postgres://drwatch@db/festivals?search_path=s3cret", `"search_path" is no parameter; there are application_name, `},
		{"host=db dbname=festivals user=drwatch sslmode=on", "sslmode is one of disable, allow, prefer,"},
		{"host=db dbname=festivals user=drwatch target_session_attrs=s3cret", "target_session_attrs is one of any, "},
		{"host=db dbname=festivals user=drwatch port=0", "port is not a number between 1 and 65535"},
		{"postgres://drwatch@db:s3cret/festivals", "port is not a number between 1 and 65535"},
		{"postgres://drwatch@a:1,b:2,c/festivals?port=1,2", "there are 3 hosts and 2 ports"},
		{"postgres://drwatch@2001:db8::1/festivals", "an IPv6 address is written in brackets"},
		{"postgres://drwatch@db/festivals?sslmode", "written name=value"},
		{"postgres://drwatch@db/festivals?sslrootcert=a=b", "written name=value"},
		{"postgres://drwatch@db/s3cret%zz", "a % must be followed by"},
		{"postgres://drwatch@db/s3cret%00", "a % must be followed by"},
		{"postgres://drwatch@db/two words", "a space in a URL is written %20"},
		{"host=db dbname=festivals user=drwatch connect_timeout=5s", "connect_timeout is a whole number of seconds"},
		{"host=db dbname=festivals user=drwatch sslcert=/s3cret", "sslcert and sslkey go together"},
		{"host=db dbname='s3cret", "a single quote is not closed"},
		{"s3cret", "write either a URL"},
		{"host = db user s3cret = a", "write either a URL"},
		{"host=db\x00", "a NUL byte has no place here"},
	} {
		_, err := parseDSN(c.dsn)
		require.ErrorContains(t, err, c.want, c.dsn)
		require.NotContains(t, err.Error(), "s3cret", "a piece of the dsn is repeated")
	}
}

// A user who has PG* variables or files for psql would see drwatch look at that
// server, or log in with that password.
func TestDSN_NothingFromTheEnvironment(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for name, value := range map[string]string{
		"PGHOST": "elsewhere", "PGPORT": "1", "PGDATABASE": "elsewhere", "PGUSER": "elsewhere", "PGPASSWORD": "elsewhere",
		"PGPASSFILE": home + "/none", "PGAPPNAME": "elsewhere", "PGCONNECT_TIMEOUT": "77", "PGSSLMODE": "disable",
		"PGSSLKEY": home + "/none", "PGSSLCERT": home + "/none", "PGSSLCERTMODE": "require", "PGSSLSNI": "0",
		"PGSSLROOTCERT": home + "/none", "PGSSLPASSWORD": "elsewhere", "PGSSLNEGOTIATION": "direct",
		"PGTARGETSESSIONATTRS": "standby", "PGTZ": "Mars", "PGOPTIONS": "-c elsewhere=1",
		"PGMINPROTOCOLVERSION": "3.2", "PGMAXPROTOCOLVERSION": "3.2", "PGCHANNELBINDING": "require", "PGREQUIREAUTH": "none",
	} {
		t.Setenv(name, value)
	}
	d, err := parseDSN("host=db dbname=festivals user=drwatch")
	require.NoError(t, err)
	c, err := d.config(secret.New("from the file"))
	require.NoError(t, err)
	got := fmt.Sprint(c.Host, " ", c.Port, " ", c.Database, " ", c.User, " ", c.Password, " ", c.ConnectTimeout, " ", c.SSLCertMode,
		" ", c.SSLNegotiation, " ", c.MinProtocolVersion, " ", c.MaxProtocolVersion, " ", c.ChannelBinding, " ", c.RequireAuth)
	require.Equal(t, "db 5432 festivals drwatch from the file 0s allow postgres 3.0 3.0 prefer ", got)
	require.NotNil(t, c.TLSConfig, "sslmode=prefer tries TLS first")
	require.Equal(t, "db", c.TLSConfig.ServerName)
	require.Nil(t, c.TLSConfig.Certificates)
	require.Nil(t, c.ValidateConnect)
	require.Equal(t, map[string]string{"application_name": "drwatch", "client_encoding": "UTF8"}, c.RuntimeParams)

	t.Setenv("PGSERVICE", "elsewhere")
	_, err = d.config(secret.New(""))
	require.ErrorContains(t, err, "unset PGSERVICE", "this one cannot be overruled, so it must be told")
}

// What we accept must mean to pgconn what it means to us: a user's probe would
// otherwise look elsewhere than its errors say.
func FuzzParseDSN(f *testing.F) {
	for _, seed := range []string{
		"postgres://drwatch@db.example.com:5432/festivals?sslmode=verify-full",
		"postgres://u@a:1,b:2/d?target_session_attrs=primary", "postgresql://u@[::1]:1,%2Frun/d%20x?ssl=true",
		"host=a,b port=1,2 dbname='it\\'s' user=u\\ v", "postgres://u:p@h/d", "host = h dbname=d user=u sslmode = require", "host=h dbname=d user=u\\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDSN(text)
		if err != nil {
			return
		}
		for _, key := range []string{"sslrootcert", "sslcert", "sslkey", "require_auth"} { // they name files, or are judged by pgconn alone
			if d[key] != "" {
				return
			}
		}
		want, err := pgconn.ParseConfig(text)
		if err != nil { // it takes no empty value for the default
			return
		}
		got, err := d.config(secret.New(""))
		require.NoError(t, err)
		require.Empty(t, want.Password)
		require.Equal(t, hosts(want), hosts(got))
		require.Equal(t, [2]string{want.Database, want.User}, [2]string{got.Database, got.User})
		require.Equal(t, want.ConnectTimeout, got.ConnectTimeout)
		require.Equal(t, want.ValidateConnect == nil, got.ValidateConnect == nil)
	})
}

func hosts(c *pgconn.Config) string {
	var b strings.Builder
	fmt.Fprintln(&b, c.Host, c.Port, c.TLSConfig == nil)
	for _, f := range c.Fallbacks {
		fmt.Fprintln(&b, f.Host, f.Port, f.TLSConfig == nil)
	}
	return b.String()
}
