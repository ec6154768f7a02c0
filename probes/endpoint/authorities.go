package endpoint

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"github.com/drwatch/drwatch/secret"
)

// keptFor is how long a ca_file that was read is good for.
const keptFor = time.Minute

// Fleet is what all probes of a configuration share: the authorities that they
// trust, and the memory in which answers are read. To read the bundle of a machine, of
// some 140 certificates, takes longer than a look, and a bundle for each of thousands of
// probes would be most of what drwatch keeps.
type Fleet struct {
	trusted authorities
	readers readers
}

// NewFleet has read nothing yet.
func NewFleet() *Fleet { return &Fleet{trusted: authorities{byFile: make(map[string]bundle)}} }

// authorities are those in the files that were read, by the path.
type authorities struct {
	mu     sync.Mutex
	byFile map[string]bundle
}

type bundle struct {
	pool *x509.CertPool
	sum  [sha256.Size]byte // of the text
	read time.Time
}

// in gives the authorities in a file, as of a minute ago at the most.
func (a *authorities) in(ctx context.Context, file string, now time.Time) (*x509.CertPool, error) {
	a.mu.Lock()
	kept, found := a.byFile[file]
	a.mu.Unlock()
	if age := now.Sub(kept.read); found && age >= 0 && age < keptFor {
		return kept.pool, nil
	}
	text, err := secret.ReadFile(ctx, file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, found = a.byFile[file]
	if !found || kept.sum != sum {
		kept = bundle{pool: x509.NewCertPool(), sum: sum}
		if !kept.pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", file)
		}
	}
	kept.read = now
	a.byFile[file] = kept
	return kept.pool, nil
}
