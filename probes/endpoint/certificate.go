package endpoint

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// chain is what a server has shown of itself, and what that is worth.
type chain struct {
	leaf *x509.Certificate
	// first is the certificate that expires first, of the chain that lasts longest
	// among those that lead to a trusted authority; of what was shown, where none does.
	first *x509.Certificate
	fault *fault // why clients would turn away; nil when they would not
}

// judge verifies what was shown as a client would, by our clock. It tells all that
// is wrong, not only what comes first.
func (l *look) judge(shown []*x509.Certificate) *chain {
	if len(shown) == 0 { // crypto/tls does not let that happen
		return &chain{fault: &fault{step: stepCertificate, class: readiness.TLS, what: "none was shown"}}
	}
	now := l.now()
	c := &chain{leaf: shown[0], first: earliest(shown)}
	var wrong []string
	at := now // the rest is judged as of a moment at which the certificate itself is valid
	switch {
	case now.After(c.leaf.NotAfter):
		at = c.leaf.NotAfter
		wrong = append(wrong, fmt.Sprintf("it expired %s ago, on %s", told(now.Sub(at)), date(at)))
	case now.Before(c.leaf.NotBefore):
		at = c.leaf.NotBefore
		wrong = append(wrong, fmt.Sprintf("it is not valid before %s, in %s", date(at), told(at.Sub(now))))
	}
	if c.leaf.VerifyHostname(l.place.name) != nil {
		wrong = append(wrong, fmt.Sprintf("it is for %s, not for %s", names(c.leaf), l.place.name))
	}
	options := x509.VerifyOptions{Roots: l.roots, Intermediates: x509.NewCertPool(), CurrentTime: at}
	for _, certificate := range shown[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if chains, err := c.leaf.Verify(options); err != nil {
		wrong = append(wrong, distrust(err, shown))
	} else {
		c.first = lasting(chains)
	}
	if len(wrong) > 0 {
		c.fault = &fault{
			step: stepCertificate, class: readiness.TLS, what: strings.Join(append(wrong, c.issue()), "; "),
			remedy: "renew or correct the certificate where the connection ends (load balancer, ACM, ingress): clients turn away",
		}
	}
	return c
}

// distrust tells why no chain leads to an authority that is trusted.
func distrust(err error, shown []*x509.Certificate) string {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != shown[0]:
		return fmt.Sprintf("that of its authority, %s, is valid from %s to %s only", called(invalid.Cert), date(invalid.Cert.NotBefore), date(invalid.Cert.NotAfter))
	case errors.As(err, &unknown) && len(shown) == 1 && shown[0].Subject.String() == shown[0].Issuer.String():
		return "it signed itself, and is not trusted"
	case errors.As(err, &unknown) && len(shown) == 1:
		return "no trusted authority signed it, and it came alone: an intermediate certificate may be missing on the server"
	case errors.As(err, &unknown):
		return "no trusted authority signed it"
	default:
		return probes.Presentable(err.Error(), longestTold)
	}
}

// earliest is the certificate that expires first.
func earliest(chain []*x509.Certificate) *x509.Certificate {
	first := chain[0]
	for _, certificate := range chain {
		if certificate.NotAfter.Before(first.NotAfter) {
			first = certificate
		}
	}
	return first
}

// lasting is what ends the longest of several chains: clients need one.
func lasting(chains [][]*x509.Certificate) *x509.Certificate {
	last := earliest(chains[0])
	for _, chain := range chains[1:] {
		if first := earliest(chain); first.NotAfter.After(last.NotAfter) {
			last = first
		}
	}
	return last
}

// checkCertificate tells of what was shown.
func (p *Probe) checkCertificate(s sight) readiness.Check {
	if s.chain == nil {
		return s.unseen(CheckCertificate)
	}
	if f := s.chain.fault; f != nil {
		return probes.Failing(CheckCertificate, f.what, f.remedy)
	}
	first := s.chain.first
	left, until := first.NotAfter.Sub(p.now()), "until "+date(first.NotAfter)
	if first != s.chain.leaf {
		until = fmt.Sprintf("that of %s above it %s", called(first), until)
	}
	evidence := fmt.Sprintf("%s, %s (%s)", s.chain.issue(), until, told(left))
	if left < p.config.ExpiresWithin {
		return probes.Warning(CheckCertificate, evidence, "renew it before clients turn away; if that happens by itself, see why it has not yet")
	}
	return probes.Passing(CheckCertificate, evidence)
}

// issue names the certificate and who issued it.
func (c *chain) issue() string {
	return fmt.Sprintf("%s, issued by %s", called(c.leaf), presentable(cmp.Or(c.leaf.Issuer.CommonName, strings.Join(c.leaf.Issuer.Organization, " "), "nobody named")))
}

// called is what people call a certificate.
func called(c *x509.Certificate) string {
	return presentable(cmp.Or(c.Subject.CommonName, strings.Join(c.DNSNames, ", "), strings.Join(c.Subject.Organization, " "), "a certificate without a name"))
}

// names are those that a certificate is for.
func names(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all[:len(all):len(all)], ip.String())
	}
	const most = 2
	switch n := len(all); {
	case n == 0:
		return "no host"
	case n > most:
		return fmt.Sprintf("%s and %d more", presentable(strings.Join(all[:most], ", ")), n-most)
	default:
		return presentable(strings.Join(all, " and "))
	}
}

// presentable makes a name that others chose one that fits beside others.
func presentable(name string) string { return probes.Presentable(name, 50) }

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
