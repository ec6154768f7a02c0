package lab_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
)

func dialTLS(address, caFile string) (*tls.Conn, error) {
	content, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(content)
	return tls.Dial("tcp", address, &tls.Config{RootCAs: roots})
}
