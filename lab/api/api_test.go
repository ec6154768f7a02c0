package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/drwatch/drwatch/lab/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate signs itself, for localhost, until then.
func certificate(t *testing.T, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

type stage struct {
	*api.Server
	roots *x509.CertPool
}

func start(t *testing.T, change func(*api.Options)) stage {
	t.Helper()
	good, expired := certificate(t, time.Now().Add(time.Hour)), certificate(t, time.Now().Add(-time.Hour))
	options := api.Options{Region: "eu-west-1", Address: "127.0.0.1:0", Certificate: good, Bad: map[api.Mode]tls.Certificate{api.Expired: expired}}
	if change != nil {
		change(&options)
	}
	server, err := api.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	s := stage{Server: server, roots: x509.NewCertPool()}
	s.roots.AddCert(good.Leaf)
	s.roots.AddCert(expired.Leaf)
	return s
}

// get asks over a connection of its own, for so long.
func (s stage) get(t *testing.T, path string, within time.Duration) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+path, nil)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.roots}}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func (s stage) check(t *testing.T, within time.Duration) (grpc_health_v1.HealthCheckResponse_ServingStatus, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	client, err := grpc.NewClient(s.Address(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})))
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	answer, err := grpc_health_v1.NewHealthClient(client).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return answer.GetStatus(), err
}

const (
	serving    = grpc_health_v1.HealthCheckResponse_SERVING
	notServing = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	soon       = 5 * time.Second // is never waited for
	short      = 300 * time.Millisecond
)

// What the lab breaks would not be what it says to break.
func TestServer_Modes(t *testing.T) {
	s := start(t, func(o *api.Options) { o.Delay = time.Minute })
	answers := func(want int, health, root string, serving grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		code, text, err := s.get(t, "/health", soon)
		require.NoError(t, err)
		require.Equal(t, want, code)
		require.JSONEq(t, health, text)
		_, text, err = s.get(t, "/", soon)
		require.NoError(t, err)
		require.JSONEq(t, root, text)
		told, err := s.check(t, soon)
		if serving == grpc_health_v1.HealthCheckResponse_UNKNOWN {
			require.Equal(t, codes.Unavailable, status.Code(err))
		} else {
			require.NoError(t, err)
			require.Equal(t, serving, told)
		}
	}
	const ok, here = `{"status":"ok","region":"eu-west-1"}`, `{"region":"eu-west-1"}`
	answers(http.StatusOK, ok, here, serving)

	require.NoError(t, s.Set(api.Bad))
	const bad = `{"status":"unavailable","region":"eu-west-1"}`
	answers(http.StatusServiceUnavailable, bad, bad, grpc_health_v1.HealthCheckResponse_UNKNOWN)

	require.NoError(t, s.Set(api.Lie))
	answers(http.StatusOK, `{"status":"error","region":"eu-west-1"}`, here, notServing)

	for _, silent := range []api.Mode{api.Slow, api.Hang} {
		require.NoError(t, s.Set(silent))
		_, _, err := s.get(t, "/health", short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = s.check(t, short)
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	}

	require.NoError(t, s.Set(api.Expired))
	_, _, err := s.get(t, "/health", soon)
	require.ErrorContains(t, err, "expired")
	require.ErrorContains(t, s.Set(api.WrongName), "no certificate was handed in")
	require.Equal(t, api.Expired, s.Mode())

	address := s.Address()
	require.NoError(t, s.Set(api.Down))
	_, _, err = s.get(t, "/health", soon)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, s.Set(api.Up))
	require.Equal(t, address, s.Address())
	answers(http.StatusOK, ok, here, serving)
}

// The API of a region whose database is gone would call itself well.
func TestServer_HealthIsTruthful(t *testing.T) {
	gone := errors.New("the database is gone")
	s := start(t, func(o *api.Options) { o.Health = func(context.Context) error { return gone } })
	code, text, err := s.get(t, "/health", soon)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"failing","region":"eu-west-1","reason":"the database is gone"}`, text)
	told, err := s.check(t, soon)
	require.NoError(t, err)
	require.Equal(t, notServing, told)
}

// A lab that is taken down while somebody waits for an answer would hang, or leave something behind.
func TestServer_CloseWhileAsked(t *testing.T) {
	for _, mode := range []api.Mode{api.Slow, api.Hang} {
		s := start(t, func(o *api.Options) { o.Delay = time.Hour })
		require.NoError(t, s.Set(mode))
		asked := make(chan error, 1)
		go func() {
			_, _, err := s.get(t, "/health", time.Minute)
			asked <- err
		}()
		require.Eventually(t, func() bool { return s.Waiting() > 0 }, soon, time.Millisecond)
		require.NoError(t, s.Close())
		require.Error(t, <-asked)
		require.NoError(t, s.Close(), "a second time too")
		require.Error(t, s.Set(api.Up))
	}
}

// Connections from before a fault would be answered on, as if there were none.
func TestServer_DownEndsConnections(t *testing.T) {
	s := start(t, nil)
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: s.roots}}).DialContext(t.Context(), "tcp", s.Address())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, s.Set(api.Down))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(soon)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
}
