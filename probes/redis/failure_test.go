package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/redis"
	"github.com/drwatch/drwatch/readiness"
)

// Were it to fail, who sets drwatch up would not be told what to do.
func TestLook_Denied(t *testing.T) {
	server := startRedis(t)
	locked := startRedis(t, "--requirepass", "hunter2")
	server.do("ACL", "SETUSER", "drwatch", "on", ">s3cr3t", "-@all", "+info")
	server.do("ACL", "SETUSER", "noright", "on", "nopass", "-@all", "+ping")
	t.Setenv("RIGHT", "s3cr3t")
	t.Setenv("WRONG", "wr0ng-w0rd")
	tests := []struct {
		name   string
		config redis.Config
		class  readiness.Class
		says   string
	}{
		{"right", redis.Config{URL: "redis://drwatch@" + server.addr(), PasswordEnv: "RIGHT"}, "", ""},
		{"wrong password", redis.Config{URL: "redis://drwatch@" + server.addr(), PasswordEnv: "WRONG"}, readiness.Denied, "user drwatch or its password is wrong: correct"},
		{"no such user", redis.Config{URL: "redis://nobody@" + server.addr(), PasswordEnv: "RIGHT"}, readiness.Denied, "user nobody or its password is wrong"},
		{"no password", redis.Config{URL: "redis://" + locked.addr()}, readiness.Denied, "it wants a password: give password_file"},
		{"no right", redis.Config{URL: "redis://noright@" + server.addr()}, readiness.Denied, "user noright may not run INFO: ACL SETUSER noright +info"},
		{"password not wanted", redis.Config{URL: "redis://" + server.addr(), PasswordEnv: "RIGHT"}, readiness.Denied, "it has no password for default, and one was given"},
		{"variable not set", redis.Config{URL: "redis://" + server.addr(), PasswordEnv: "NO_SUCH"}, readiness.Denied, "environment variable NO_SUCH is not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, failure := lookOnce(t, tt.config)
			if tt.class == "" {
				require.Nil(t, failure)
				return
			}
			requireTold(t, failure, tt.class, tt.says)
		})
	}
}

func requireTold(t *testing.T, failure *readiness.Failure, class readiness.Class, says string) {
	t.Helper()
	require.NotNil(t, failure)
	require.Equal(t, class, failure.Class, failure.Error())
	require.Contains(t, failure.Error(), says)
	require.Less(t, len(failure.Error()), 300)
	require.NotContains(t, failure.Error(), "\n")
	for _, secret := range []string{"s3cr3t", "wr0ng-w0rd", "hunter2"} {
		require.NotContains(t, failure.Error(), secret)
	}
}

// Were it to fail, a server that is full would be told as one that is broken.
func TestLook_TooManyClients(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--maxclients", "3")
	for range 3 {
		conn, err := net.Dial("tcp", server.addr())
		require.NoError(t, err)
		defer conn.Close()
	}
	eventually(t, func() bool {
		_, failure := lookOnce(t, at(server))
		return failure != nil && failure.Class == readiness.Throttled && strings.Contains(failure.Error(), "raise maxclients")
	}, "the refusal of a client too many")
}

// Were it to fail, a command that was renamed would be told as a wrong password.
func TestLook_InfoRenamed(t *testing.T) {
	t.Parallel()
	server := startRedis(t, "--rename-command", "INFO", "SECRETINFO")
	_, failure := lookOnce(t, at(server))
	requireTold(t, failure, readiness.NotFound, "it does not know INFO: give the command its name back")
}

// Were it to fail, the address of a Sentinel would be told as a mystery.
func TestLook_SentinelForServer(t *testing.T) {
	t.Parallel()
	sentinel := startServer(t, "redis-sentinel")
	_, failure := lookOnce(t, at(sentinel))
	requireTold(t, failure, readiness.NotFound, "a Sentinel, which holds no data, listens there: give its address in sentinel.addresses")
}

// Were it to fail, drwatch would trust a server that it cannot know, or leave
// who sets it up without a word of what is wrong.
func TestLook_TLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := makeCA(t, dir, "ca"), makeCA(t, dir, "other")
	server := ca.issue(t, dir, "server", "127.0.0.1", "redis.example")
	client := ca.issue(t, dir, "client", "127.0.0.1")
	args := []string{"--tls-port", "{port}", "--tls-cert-file", server.cert, "--tls-key-file", server.key, "--tls-ca-cert-file", ca.cert}
	open := startTLS(t, append(args, "--tls-auth-clients", "no")...)
	strict := startTLS(t, append(args, "--tls-auth-clients", "yes")...)
	plain := startRedis(t)
	tests := []struct {
		name   string
		config redis.Config
		class  readiness.Class
		says   string
	}{
		{"good", redis.Config{URL: "rediss://" + open, TLS: &redis.TLS{CAFile: ca.cert}}, "", ""},
		{"other name", redis.Config{URL: "rediss://" + open, TLS: &redis.TLS{CAFile: ca.cert, ServerName: "redis.example"}}, "", ""},
		{"client certificate", redis.Config{URL: "rediss://" + strict, TLS: &redis.TLS{CAFile: ca.cert, CertFile: client.cert, KeyFile: client.key}}, "", ""},
		{"no client certificate", redis.Config{URL: "rediss://" + strict, TLS: &redis.TLS{CAFile: ca.cert}}, readiness.TLS, "see cert_file and key_file"},
		{"unknown CA", redis.Config{URL: "rediss://" + open, TLS: &redis.TLS{CAFile: other.cert}}, readiness.TLS, "signed by unknown authority"},
		{"CA of the machine", redis.Config{URL: "rediss://" + open}, readiness.TLS, "signed by unknown authority"},
		{"wrong name", redis.Config{URL: "rediss://" + open, TLS: &redis.TLS{CAFile: ca.cert, ServerName: "wrong.example"}}, readiness.TLS, "wrong.example"},
		{"CA file missing", redis.Config{URL: "rediss://" + open, TLS: &redis.TLS{CAFile: "/no/such/ca"}}, readiness.TLS, "read ca_file: open /no/such/ca"},
		{"plain to TLS", redis.Config{URL: "redis://" + open}, readiness.TLS, "it speaks TLS: write rediss://"},
		{"plain to TLS with client certificates", redis.Config{URL: "redis://" + strict}, readiness.TLS, "it speaks TLS: write rediss://"},
		{"TLS to plain", redis.Config{URL: "rediss://" + plain.addr()}, readiness.TLS, "it does not speak TLS: write redis://"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reading, failure := lookOnce(t, tt.config)
			if tt.class == "" {
				require.Nil(t, failure)
				require.Equal(t, readiness.RolePrimary, reading.Role)
				return
			}
			requireTold(t, failure, tt.class, tt.says)
		})
	}
}

// startTLS starts a server that speaks nothing but TLS, and gives its address.
func startTLS(t *testing.T, args ...string) string {
	port := freePort(t)
	all := make([]string, len(args))
	for i, arg := range args {
		all[i] = strings.ReplaceAll(arg, "{port}", big.NewInt(int64(port)).String())
	}
	p := startRedis(t, all...) // listens without TLS too, which nobody uses
	return net.JoinHostPort(host(p.addr()), big.NewInt(int64(port)).String())
}

// authority signs certificates; leaf is one that it signed.
type authority struct {
	cert   string // file
	parsed *x509.Certificate
	key    *ecdsa.PrivateKey
}

type leaf struct{ cert, key string }

func makeCA(t *testing.T, dir, name string) authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{writePEM(t, dir, name+".crt", "CERTIFICATE", der), parsed, key}
}

func (a authority) issue(t *testing.T, dir, name, ip string, names ...string) leaf {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.ParseIP(ip)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.parsed, &key.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return leaf{writePEM(t, dir, name+".crt", "CERTIFICATE", der), writePEM(t, dir, name+".key", "EC PRIVATE KEY", private)}
}

func writePEM(t *testing.T, dir, name, kind string, der []byte) string {
	return mustWrite(t, filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
