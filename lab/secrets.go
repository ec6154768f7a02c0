package lab

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
	dir string
}

func (c certificates) ca() string          { return filepath.Join(c.dir, "ca.crt") }
func (c certificates) certificate() string { return filepath.Join(c.dir, "server.crt") }
func (c certificates) key() string         { return filepath.Join(c.dir, "server.key") }

// makeCertificates makes an authority and one certificate for localhost and 127.0.0.1, valid for 30 days.
func makeCertificates(dir string) (certificates, error) {
	c := certificates{dir: dir}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return c, fmt.Errorf("make the folder of certificates: %w", err)
	}
	if err := c.write(); err != nil {
		return c, fmt.Errorf("make the lab's certificates: %w", err)
	}
	return c, nil
}

func (c certificates) write() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := certificateTemplate(1, "drwatch lab authority")
	ca.IsCA, ca.BasicConstraintsValid = true, true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	leaf := certificateTemplate(2, "localhost")
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}

	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(c.ca(), "CERTIFICATE", caDER, 0o644); err != nil {
		return err
	}
	if err := writePEM(c.certificate(), "CERTIFICATE", leafDER, 0o644); err != nil {
		return err
	}
	return writePEM(c.key(), "PRIVATE KEY", keyDER, 0o600)
}

// certificateTemplate begins an hour ago, so that a clock set back does not make it invalid.
func certificateTemplate(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
	}
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
