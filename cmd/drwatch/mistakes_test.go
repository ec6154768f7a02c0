package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
	"github.com/drwatch/drwatch/readiness"
)

// Each mistake in the wiring has a reason of its own and a remedy; none of them
// looks like a healthy system, and none makes a copy look better than it is.
func TestCheck_EachMistakeHasItsReason(t *testing.T) {
	f := startLab(t)
	other := labtest.Start(t) // another cluster altogether
	e := f.Endpoints()
	wrong := filepath.Join(t.TempDir(), "wrong-password")
	require.NoError(t, os.WriteFile(wrong, []byte("not it"), 0o600))

	const db, cache = "festivals-db/", "festivals-redis/"
	for name, row := range map[string]struct {
		environment map[string]string
		subject     string // whose check
		check       string
		status      readiness.Status
		class       readiness.Class // of the look; empty when it succeeds
		says        string
	}{
		"a primary where a replica is meant": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": e.Postgres.PrimaryAcross.URL},
			db + "replica", readiness.CheckRole, readiness.Fail, "", "takes writes",
		},
		"the same server at both ends": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": e.Postgres.Primary.URL},
			db + "replica", readiness.CheckDistinctServer, readiness.Fail, "", "one and the same server",
		},
		"a replica where the primary is meant": {
			map[string]string{"FESTIVALS_POSTGRES_PRIMARY": e.Postgres.Standby.URL},
			db + "primary", readiness.CheckRole, readiness.Fail, "", "is a replica",
		},
		"a replica of another cluster": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": other.Endpoints().Postgres.Standby.URL, "FESTIVALS_POSTGRES_PASSWORD_FILE": samePassword(t, f.Lab, other)},
			db + "replica", readiness.CheckSameSystem, readiness.Fail, "", "the replica is of",
		},
		"a wrong password": {
			map[string]string{"FESTIVALS_POSTGRES_PASSWORD_FILE": wrong},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.Denied, "password",
		},
		"a password file that is not there": {
			map[string]string{"FESTIVALS_POSTGRES_PASSWORD_FILE": "/nowhere/password"},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.Denied, "/nowhere/password",
		},
		"a certificate that nobody trusts": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": trusting(t, e.Postgres.Standby.URL, other.Endpoints().CAFile)},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.TLS, "certificate",
		},
		"a name that does not resolve": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": "postgres://drwatch@no-such-host.invalid:5432/festivals"},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.Unreachable, "no-such-host.invalid",
		},
		"nobody listens": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": "postgres://drwatch@127.0.0.1:1/festivals?sslmode=disable"},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.Refused, "127.0.0.1:1",
		},
		"a database that is missing": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": strings.ReplaceAll(e.Postgres.Standby.URL, "/festivals", "/carnivals")},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.NotFound, "carnivals",
		},
		"Redis where PostgreSQL is meant": {
			map[string]string{"FESTIVALS_POSTGRES_REPLICA": "postgres://drwatch@" + e.Redis.Standby.Address + "/festivals?sslmode=disable"},
			db + "replica", readiness.CheckLook, readiness.Unknown, readiness.Timeout, e.Redis.Standby.Address, // it waits for a line that never ends
		},
		"PostgreSQL where Redis is meant": {
			map[string]string{"FESTIVALS_REDIS_REPLICA": "redis://drwatch@" + e.Postgres.Standby.Address},
			cache + "replica", readiness.CheckLook, readiness.Unknown, "", e.Postgres.Standby.Address,
		},
		"a Redis primary where a replica is meant": {
			map[string]string{"FESTIVALS_REDIS_REPLICA": e.Redis.PrimaryAcross.URL},
			cache + "replica", readiness.CheckRole, readiness.Fail, "", "takes writes",
		},
		"a wrong password for Redis": {
			map[string]string{"FESTIVALS_REDIS_PASSWORD_FILE": wrong},
			cache + "primary", readiness.CheckLook, readiness.Unknown, readiness.Denied, "password",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range row.environment {
				t.Setenv(key, value)
			}
			code, out := f.check(t, "--output", "json")
			require.Equal(t, exitNotReady, code, out)
			var r readiness.Report
			require.NoError(t, json.Unmarshal([]byte(out), &r), out)
			check, copyReport := find(t, &r, row.subject, row.check)
			require.Equal(t, row.status, check.Status, check.Evidence)
			require.Contains(t, check.Evidence, row.says)
			require.NotEmpty(t, check.Remedy)
			require.NotContains(t, out, "not it", "a secret is shown")
			if row.class != "" {
				require.Equal(t, row.class, copyReport.Probe.Class, check.Evidence)
			}
			require.False(t, r.Ready, "other copies may cover for it; it needs a person all the same")
		})
	}
}

func find(t *testing.T, r *readiness.Report, subject, name string) (readiness.Check, readiness.CopyReport) {
	t.Helper()
	for _, d := range r.Datastores {
		for _, c := range d.Copies {
			for _, check := range c.Checks {
				if check.Subject == subject && check.Name == name {
					return check, c
				}
			}
		}
	}
	t.Fatalf("no check %s on %s", name, subject)
	return readiness.Check{}, readiness.CopyReport{}
}

// trusting is the URL with another authority to trust.
func trusting(t *testing.T, address, caFile string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	query := u.Query()
	query.Set("sslmode", "verify-full")
	query.Set("sslrootcert", caFile)
	u.RawQuery = query.Encode()
	return u.String()
}

// samePassword gives the looking roles of both labs one password, and the file
// that holds it.
func samePassword(t *testing.T, labs ...*lab.Lab) string {
	t.Helper()
	file := labs[0].Endpoints().Postgres.PasswordFiles["drwatch"]
	password, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, l := range labs[1:] {
		conn, err := l.ConnectPostgres(t.Context(), lab.Primary)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "ALTER ROLE drwatch PASSWORD '"+string(password)+"'")
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
	return file
}
