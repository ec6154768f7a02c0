package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// secrets are the passwords by store and user, each also in a file of its own.
type secrets struct {
	dir       string
	passwords map[Store]map[string]string
}

// users lists who may log in, besides Redis's default user, who may not.
func users() map[Store][]string {
	return map[Store][]string{
		Postgres: {"postgres", "replicator", "festivals", "drwatch", "drwatch_heartbeat"},
		Redis:    {"admin", "replica", "festivals", "drwatch"},
	}
}

// makeSecrets draws new passwords and writes them, readable by us alone, without a newline at the end.
func makeSecrets(dir string) (secrets, error) {
	s := secrets{dir: dir, passwords: make(map[Store]map[string]string)}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return secrets{}, fmt.Errorf("make the folder of passwords: %w", err)
	}
	for store, names := range users() {
		s.passwords[store] = make(map[string]string)
		for _, user := range names {
			password := rand.Text() // letters and digits: no quoting needed anywhere
			s.passwords[store][user] = password
			if err := os.WriteFile(s.file(store, user), []byte(password), 0o600); err != nil {
				return secrets{}, fmt.Errorf("write the password of %s: %w", user, err)
			}
		}
	}
	return s, nil
}

func (s secrets) file(store Store, user string) string {
	return filepath.Join(s.dir, string(store)+"-"+user)
}

// certificates are what the servers show, signed by an authority whose key was thrown away.
type certificates struct {
	dir       string
	authority *x509.Certificate
	// api is shown by the API servers, expired when they are broken.
	api, expired tls.Certificate
}

func (c certificates) ca() string          { return filepath.Join(c.dir, "ca.crt") }
func (c certificates) certificate() string { return filepath.Join(c.dir, "server.crt") }
func (c certificates) key() string         { return filepath.Join(c.dir, "server.key") }

// makeCertificates makes an authority, one certificate for localhost and 127.0.0.1, and those of the API servers, valid
// for 30 days or until an hour ago.
func makeCertificates(dir string) (certificates, error) {
	c := certificates{dir: dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return c, fmt.Errorf("make the folder of certificates: %w", err)
	}
	if err := c.make(); err != nil {
		return c, fmt.Errorf("make the lab's certificates: %w", err)
	}
	return c, nil
}

func (c *certificates) make() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	c.authority = ca.certificate
	if err := writePEM(c.ca(), "CERTIFICATE", ca.certificate.Raw, 0o644); err != nil {
		return err
	}
	local := certificateTemplate("localhost")
	local.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	server, err := ca.sign(local)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return err
	}
	if err := errors.Join(writePEM(c.certificate(), "CERTIFICATE", server.Certificate[0], 0o644), writePEM(c.key(), "PRIVATE KEY", key, 0o600)); err != nil {
		return err
	}
	if c.api, err = ca.sign(certificateTemplate(APIHost)); err != nil {
		return err
	}
	expired := certificateTemplate(APIHost)
	expired.NotBefore, expired.NotAfter = time.Now().Add(-90*24*time.Hour), time.Now().Add(-time.Hour)
	c.expired, err = ca.sign(expired)
	return err
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	signed      int64
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificateTemplate("drwatch lab authority")
	template.DNSNames, template.ExtKeyUsage = nil, nil
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-365 * 24 * time.Hour) // older than what it signed and has expired
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate: certificate, key: key, signed: 1}, err
}

func (a *authority) sign(template *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	a.signed++
	template.SerialNumber = big.NewInt(a.signed)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// certificateTemplate is of a server; it begins an hour ago, so that a clock set back does not make it invalid.
func certificateTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(30 * 24 * time.Hour),
	}
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
