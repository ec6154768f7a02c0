package dns

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/drwatch/drwatch/probes"
)

// Config is the part of the file that says how the name of a service is
// resolved. All of it may be left out.
type Config struct {
	Name string `yaml:"name,omitempty" json:"name,omitempty" jsonschema_description:"The name that is resolved. Without it that of the service is." jsonschema:"example=api.festivals.app"`
	Type string `yaml:"type,omitempty" json:"type,omitempty" jsonschema_description:"The addresses that are asked for: A or AAAA." jsonschema:"default=A,enum=A,enum=AAAA"`

	Resolvers   []string `yaml:"resolvers,omitempty" json:"resolvers,omitempty" jsonschema_description:"The resolvers that are asked, as address or address:port: those of the clients, as far as they can be reached from here. Without them those of /etc/resolv.conf are."`
	NameServers []string `yaml:"name_servers,omitempty" json:"name_servers,omitempty" jsonschema_description:"The authoritative name servers that are asked, as host or host:port. Without them those are that the zone and its parent name."`
	Port        int      `yaml:"port,omitempty" json:"port,omitempty" jsonschema_description:"The port of the name servers." jsonschema:"default=53"`
	Zone        string   `yaml:"zone,omitempty" json:"zone,omitempty" jsonschema_description:"The zone that the name is in. Without it the lowest that is delegated is." jsonschema:"example=festivals.app"`

	MaxTTL time.Duration `yaml:"max_ttl,omitempty" json:"max_ttl,omitempty" jsonschema_description:"How long resolvers may keep the answer at most: for so long clients stay where they were." jsonschema:"default=1m"`
}

const (
	defaultMaxTTL = time.Minute
	defaultPort   = 53
)

// Validate finds the mistakes in the configuration. It asks nobody and reads no
// file.
func (c Config) Validate(t probes.Target) []probes.Problem {
	var p probes.Problems
	if c.Name != "" && !isName(c.Name) {
		p.Add("name", "is no name of a host: write it like api.festivals.app")
	}
	if c.Type != "" && c.Type != "A" && c.Type != "AAAA" {
		p.Add("type", "write A or AAAA")
	}
	places(&p, "resolvers", c.Resolvers)
	places(&p, "name_servers", c.NameServers)
	if c.Port < 0 || c.Port > 65535 {
		p.Add("port", "is no port: write a number between 1 and 65535, or nothing for 53")
	}
	switch host := cmp.Or(c.Name, t.Service.Host); {
	case c.Zone == "":
	case !isName(c.Zone):
		p.Add("zone", "is no name of a zone: write it like festivals.app")
	case isName(host) && !dns.IsSubDomain(dns.CanonicalName(c.Zone), dns.CanonicalName(host)):
		p.Add("zone", "%s is not in it: write the zone that it is in, or leave it out", host)
	}
	if c.MaxTTL < 0 {
		p.Add("max_ttl", "a time cannot be negative")
	}
	return p
}

// mostServers is how many servers of a kind are asked.
const mostServers = 16

func places(p *probes.Problems, path string, all []string) {
	if len(all) > mostServers {
		p.Add(path, "are too many: name at most %d", mostServers)
	}
	for i, text := range all {
		if _, ok := place(text, defaultPort); !ok {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "to be written as an address, with :port where that is not 53")
		} else if slices.Contains(all[:i], text) {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "named twice")
		}
	}
}

// place is host:port, out of that or of a host alone.
func place(text string, port int) (string, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return net.JoinHostPort(addr.String(), strconv.Itoa(port)), true
	}
	host, written, err := net.SplitHostPort(text)
	if err != nil {
		return net.JoinHostPort(text, strconv.Itoa(port)), isName(text)
	}
	n, err := strconv.ParseUint(written, 10, 16)
	if _, notAddress := netip.ParseAddr(host); err != nil || n == 0 || notAddress != nil && !isName(host) {
		return "", false
	}
	return net.JoinHostPort(host, written), true
}

// isName reports whether the text is the name of a host: letters, digits, hyphens
// and underscores between dots, and no address.
func isName(text string) bool {
	if _, ok := dns.IsDomainName(text); !ok || text == "." {
		return false
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("-._", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// The checks of this probe.
const (
	CheckServed        = "served"        // the name leads to the primary
	CheckSides         = "sides"         // both sides resolve, to different addresses
	CheckAgreement     = "agreement"     // all who answer lead to the same side
	CheckResolvers     = "resolvers"     // the resolvers answer
	CheckAuthoritative = "authoritative" // every name server of the zone answers, as such
	CheckDelegation    = "delegation"    // the parent names the name servers that the zone names
	CheckChain         = "chain"         // the aliases lead to an address, and soon
	CheckTTL           = "ttl"           // no answer is kept for longer than it may be
)

// Checks lists the checks that are made on the part, in the order in which people
// should read them.
func Checks(Config, probes.Target) []string {
	return []string{CheckServed, CheckSides, CheckAgreement, CheckResolvers, CheckAuthoritative, CheckDelegation, CheckChain, CheckTTL}
}
