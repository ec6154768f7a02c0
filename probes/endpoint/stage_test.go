package endpoint_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/endpoint"
	"github.com/drwatch/drwatch/readiness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is the name under which clients know the service.
const host = "api.festivals.test"

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // in which it is trusted
}

func newAuthority(t testing.TB, name string, until time.Time) authority {
	t.Helper()
	return authority{}.sign(t, name, until)
}

// sign makes an authority below this one, or one at the top.
func (a authority) sign(t testing.TB, name string, until time.Time) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	below := authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte(name),
	}}
	by := a
	if a.key == nil {
		by = below
	}
	below.cert = create(t, below.cert, by, key)
	below.file = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(below.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: below.cert.Raw}), 0o600))
	return below
}

// issue makes a certificate for the service, or for whom change says. Those of the
// chain are shown with it.
func (a authority) issue(t testing.TB, change func(*x509.Certificate), chain ...authority) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().AddDate(0, 0, -10), NotAfter: time.Now().AddDate(0, 0, 80).Add(time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	leaf := create(t, template, a, key)
	shown := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, above := range chain {
		shown.Certificate = append(shown.Certificate, above.cert.Raw)
	}
	return shown
}

func create(t testing.TB, template *x509.Certificate, by authority, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// listen answers each connection in the way given, and closes it afterwards.
func listen(t testing.TB, answer func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				answer(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		end()
		all.Wait()
	})
	return listener.Addr().String()
}

// swallow reads until the client hangs up, and answers nothing.
func swallow(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// say answers a request with a text, and then hangs up or goes on.
func say(text string, then ...func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		for _, do := range then {
			do(c)
		}
	}
}

// secure answers in TLS.
func secure(certificate tls.Certificate, answer func(net.Conn), protocols ...string) func(net.Conn) {
	return func(c net.Conn) {
		conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols})
		defer func() { _ = conn.Close() }()
		if conn.Handshake() == nil {
			answer(conn)
		}
	}
}

// standby is the part that most tests look at.
func standby() probes.Target {
	return probes.Target{
		Service: probes.Service{Host: host, Primary: []string{"10.1.0.0/16"}, Standby: []string{"127.0.0.0/8"}},
		Part:    readiness.Part{Name: "standby", Kind: readiness.Endpoint, Region: "eu-central-1", Side: readiness.StandbySide, Vantage: "eu-north-1"},
	}
}

func newProbe(t testing.TB, config endpoint.Config) *endpoint.Probe {
	t.Helper()
	probe, err := endpoint.New(config, standby(), endpoint.NewFleet())
	require.NoError(t, err)
	return probe
}

// lookWithin makes one look.
func lookWithin(t testing.TB, config endpoint.Config, limit time.Duration) readiness.Reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	reading, err := newProbe(t, config).Look(ctx)
	require.NoError(t, err)
	return reading
}

const enough = 10 * time.Second // is never waited for

func look(t testing.TB, config endpoint.Config) readiness.Reading {
	t.Helper()
	return lookWithin(t, config, enough)
}

func find(t testing.TB, reading readiness.Reading, name string) readiness.Check {
	t.Helper()
	for _, check := range reading.Checks {
		if check.Name == name {
			return check
		}
	}
	require.Failf(t, "no such check", "%s in %+v", name, reading.Checks)
	return readiness.Check{}
}
