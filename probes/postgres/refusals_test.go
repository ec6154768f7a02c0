package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// A user would be sent to look for the fault in the wrong place.
func testRefusals(t *testing.T, s *server) {
	good := s.config(t, "drwatch", "festivals")
	with := func(change func(*Config)) Config {
		c := good
		change(&c)
		return c
	}
	name := "drwatch@" + s.addr + "/festivals"

	t.Run("wrong password", func(t *testing.T) {
		c := with(func(c *Config) { c.PasswordFile = secretFile(t, "not-the-password") })
		fails(t, c, primaryCopy(), readiness.Denied, name, "password authentication failed", "28P01", "see that password_file")
	})
	t.Run("password file missing", func(t *testing.T) {
		fails(t, with(func(c *Config) { c.PasswordFile = "/nowhere/password" }), primaryCopy(), readiness.Denied, name, "/nowhere/password", "no such file")
	})
	t.Run("password rotated", func(t *testing.T) {
		c := with(func(c *Config) { c.PasswordFile = secretFile(t, "old") })
		p := newProbe(t, c, primaryCopy())
		_, err := look(t, p)
		require.Error(t, err)
		require.NoError(t, os.WriteFile(c.PasswordFile, []byte(probetest.Password), 0o600))
		mustLook(t, p)
	})
	t.Run("role missing", func(t *testing.T) {
		fails(t, s.config(t, "nobody", "festivals"), primaryCopy(), readiness.Denied, "nobody@")
	})
	t.Run("role may not log in", func(t *testing.T) {
		s.exec(t, "postgres", fmt.Sprintf("CREATE ROLE resting PASSWORD '%s'", probetest.Password))
		fails(t, s.config(t, "resting", "festivals"), primaryCopy(), readiness.Denied, "28000", "may log in")
	})
	t.Run("database missing", func(t *testing.T) {
		fails(t, s.config(t, "drwatch", "carnivals"), primaryCopy(), readiness.NotFound, `database "carnivals" does not exist`, "correct dbname")
	})
	t.Run("no right to connect", func(t *testing.T) {
		s.exec(t, "postgres", "CREATE DATABASE closed; ")
		s.exec(t, "postgres", "REVOKE CONNECT ON DATABASE closed FROM public")
		fails(t, s.config(t, "drwatch", "closed"), primaryCopy(), readiness.Denied, "42501", "drwatch config sql")
	})
	t.Run("no connection left", func(t *testing.T) {
		s.exec(t, "postgres", "ALTER ROLE drwatch CONNECTION LIMIT 0")
		defer s.exec(t, "postgres", "ALTER ROLE drwatch CONNECTION LIMIT -1")
		fails(t, good, primaryCopy(), readiness.Throttled, "53300", "CONNECTION LIMIT")
	})
	t.Run("server without TLS", func(t *testing.T) {
		c := with(func(c *Config) { c.DSN = "postgres://drwatch@" + s.addr + "/festivals?sslmode=require" })
		fails(t, c, primaryCopy(), readiness.TLS, name, "server refused TLS connection")
	})
	t.Run("CA file missing", func(t *testing.T) {
		c := with(func(c *Config) {
			c.DSN = "postgres://drwatch@" + s.addr + "/festivals?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"
		})
		fails(t, c, primaryCopy(), readiness.TLS, name, "/nowhere/ca.pem")
	})
	t.Run("no host as wanted", func(t *testing.T) {
		c := with(func(c *Config) {
			c.DSN = "postgres://drwatch@" + s.addr + "/festivals?sslmode=disable&target_session_attrs=standby"
		})
		fails(t, c, primaryCopy(), readiness.NotFound, "server is not in hot standby mode")
	})
	t.Run("starting", func(t *testing.T) {
		addr := answering(t, message('E', "SFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"))
		c := with(func(c *Config) { c.DSN = "postgres://drwatch@" + addr + "/festivals?sslmode=disable" })
		fails(t, c, primaryCopy(), readiness.Refused, addr, "the database system is starting up", "see its log")
	})
	t.Run("locked out", func(t *testing.T) { testLocked(t, s, good) })
	t.Run("first host down", func(t *testing.T) {
		c := with(func(c *Config) {
			c.DSN = "postgres://drwatch@127.0.0.1:1," + s.addr + "/festivals?target_session_attrs=primary"
		})
		mustLook(t, newProbe(t, c, primaryCopy()))
	})
	t.Run("first host hangs", func(t *testing.T) {
		hung, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
		require.NoError(t, err)
		defer func() { _ = hung.Close() }()
		c := with(func(c *Config) {
			c.DSN = "postgres://drwatch@" + hung.Addr().String() + "," + s.addr + "/festivals?sslmode=disable"
		})
		mustLook(t, newProbe(t, c, primaryCopy()))
	})
}

// testLocked: something holds a lock on a catalog. The server gives up before
// we do, and so nothing of ours stays behind there.
func testLocked(t *testing.T, s *server, c Config) {
	conn, err := pgx.Connect(t.Context(), s.admin+"festivals?sslmode=disable")
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE pg_subscription_rel IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	began := time.Now()
	c.Subscription = "s"
	logical := readiness.Copy{Name: "copy", Kind: readiness.Replica, Logical: true}
	fails(t, c, logical, readiness.Timeout, "55P03", "something holds a lock")
	require.Less(t, time.Since(began), 4*time.Second, "lock_timeout is half of the time that is left")
}

// answering plays a server that gives everybody the same answer.
func answering(t *testing.T, answer string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

// strangeCA makes the certificate of an authority that signed nothing.
func strangeCA(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "somebody else"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	name := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return name
}
