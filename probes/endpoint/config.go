package endpoint

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Config is the part of the file that says how to ask one endpoint: by HTTP (url),
// for a connection alone (tcp), or by the health protocol of gRPC (grpc).
type Config struct {
	URL  string `yaml:"url,omitempty" json:"url,omitempty" jsonschema_description:"What clients ask for, http:// or https://. Its host is the Host that is asked for and the name that the certificate has to be for." jsonschema:"example=https://api.example.com/health"`
	TCP  string `yaml:"tcp,omitempty" json:"tcp,omitempty" jsonschema_description:"Where only a connection is to be had, as host:port." jsonschema:"example=sessions.example.com:6380"`
	GRPC string `yaml:"grpc,omitempty" json:"grpc,omitempty" jsonschema_description:"Where to ask by the health protocol of gRPC, as host:port." jsonschema:"example=tickets.example.com:443"`

	Service string `yaml:"grpc_service,omitempty" json:"grpc_service,omitempty" jsonschema_description:"The service whose health gRPC is asked for. Without it, that of the whole server." jsonschema:"example=festivals.v1.Tickets"`
	Address string `yaml:"address,omitempty" json:"address,omitempty" jsonschema_description:"Where to connect to, as host:port, instead of what the url names: the load balancer of the standby, while Host and certificate stay those of the url." jsonschema:"example=api-dr.eu-central-1.elb.amazonaws.com:443"`

	Method      string            `yaml:"method,omitempty" json:"method,omitempty" jsonschema_description:"GET or HEAD." jsonschema:"enum=GET,enum=HEAD,default=GET"`
	Headers     map[string]string `yaml:"headers,omitempty" json:"headers,omitempty" jsonschema_description:"Further headers of the request. No secrets."`
	HeaderFiles map[string]string `yaml:"header_files,omitempty" json:"header_files,omitempty" jsonschema_description:"Headers that are secret, such as Authorization: the file that holds the whole value. It is read at each look, and over https:// only sent where the certificate is trusted; over http:// it travels as it is."`
	Status      []int             `yaml:"status,omitempty" json:"status,omitempty" jsonschema_description:"The statuses that are right. Without it, 200 to 299."`
	Body        string            `yaml:"body,omitempty" json:"body,omitempty" jsonschema_description:"A text that the body has to contain." jsonschema:"example=ok"`
	BodyMatches string            `yaml:"body_matches,omitempty" json:"body_matches,omitempty" jsonschema_description:"A regular expression (RE2) that the body has to match." jsonschema:"example=status.*ok"`
	MaxBody     int64             `yaml:"max_body,omitempty" json:"max_body,omitempty" jsonschema_description:"How many bytes of a body are read. A larger one is not looked through." jsonschema:"default=1048576,minimum=0"`
	MaxLatency  time.Duration     `yaml:"max_latency,omitempty" json:"max_latency,omitempty" jsonschema_description:"How long connection and answer together may take before that is a warning." jsonschema:"example=500ms"`

	TLS           bool          `yaml:"tls,omitempty" json:"tls,omitempty" jsonschema_description:"With tcp or grpc: it speaks TLS. A url says so itself, by https://."`
	CAFile        string        `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema_description:"The certificates that are trusted to sign the server's, in PEM. Without it those of the machine are. It is read anew each minute."`
	ServerName    string        `yaml:"server_name,omitempty" json:"server_name,omitempty" jsonschema_description:"The name that is asked for in TLS and that the certificate has to be for, where it is not the host of url, tcp or grpc."`
	ExpiresWithin time.Duration `yaml:"expires_within,omitempty" json:"expires_within,omitempty" jsonschema_description:"How long before a certificate of the chain expires that is a warning." jsonschema:"default=504h"`
}

const (
	defaultMaxBody       = 1 << 20
	mostMaxBody          = 16 << 20
	defaultExpiresWithin = 21 * 24 * time.Hour
)

// place is where an endpoint is, and by which name clients know it.
type place struct {
	dial string // host:port that is connected to
	host string // as clients name it
	name string // that its certificate has to be for
	tls  bool
}

// Validate finds the mistakes in the configuration. It opens no connection and
// reads no file.
func (c Config) Validate(t probes.Target) []probes.Problem {
	var found probes.Problems
	at := c.place(&found)
	if c.URL == "" {
		c.validateForeign(&found)
	} else {
		c.validateRequest(&found)
	}
	if c.GRPC == "" && c.Service != "" {
		found.Add("grpc_service", "goes with grpc alone")
	}
	if len(found) == 0 && !at.tls {
		for path, given := range map[string]bool{"ca_file": c.CAFile != "", "server_name": c.ServerName != "", "expires_within": c.ExpiresWithin != 0} {
			if given {
				found.Add(path, "goes with TLS: write https://, or tls: true with tcp and grpc")
			}
		}
	}
	for path, d := range map[string]time.Duration{"max_latency": c.MaxLatency, "expires_within": c.ExpiresWithin} {
		if d < 0 {
			found.Add(path, "a time cannot be negative")
		}
	}
	if host, _, _ := net.SplitHostPort(at.dial); len(found) == 0 && sameName(host, t.Service.Host) {
		switch t.Part.Side {
		case readiness.StandbySide:
			found.Add("address", "missing: %s leads to the primary until it has moved; name what answers in the standby region", t.Service.Host)
		case readiness.PrimarySide:
			found.Add("address", "missing: %s leads to the standby once it has moved, which would pass for the primary; name what answers in the primary region", t.Service.Host)
		}
	}
	slices.SortStableFunc(found, func(a, b probes.Problem) int { return cmp.Compare(a.Path, b.Path) })
	return found
}

// place reads where the endpoint is.
func (c Config) place(found *probes.Problems) (at place) {
	ways := 0
	for _, way := range []string{c.URL, c.TCP, c.GRPC} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways == 0:
		found.Add("url", "missing: say what clients ask for (https://api.example.com/health), or give tcp or grpc")
		return place{}
	case ways > 1:
		found.Add("", "give one of url, tcp and grpc")
		return place{}
	case c.URL != "":
		u, err := parseURL(c.URL)
		if err != nil {
			found.Add("url", "%s", err)
			return place{}
		}
		at = place{host: u.Hostname(), tls: u.Scheme == "https"}
		at.dial = net.JoinHostPort(at.host, cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	default:
		at = place{dial: cmp.Or(c.TCP, c.GRPC), tls: c.TLS}
		if !isAddress(at.dial) {
			found.Add(map[bool]string{true: "tcp", false: "grpc"}[c.TCP != ""], "to be written host:port")
		}
		at.host, _, _ = net.SplitHostPort(at.dial)
	}
	at.name = cmp.Or(c.ServerName, at.host)
	if c.Address != "" {
		if !isAddress(c.Address) {
			found.Add("address", "to be written host:port")
		}
		at.dial = c.Address
	}
	return at
}

// parseURL reads the url. Its errors repeat nothing of it: a part of it may be a secret.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("is no URL: write https://api.example.com/health")
	}
	port, err := strconv.ParseUint(cmp.Or(u.Port(), "1"), 10, 16)
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("to be written http:// or https://; for anything else give tcp or grpc")
	case u.User != nil:
		return nil, errors.New("users and passwords do not belong here: name the file that holds the value of Authorization in header_files")
	case u.Hostname() == "":
		return nil, errors.New("names no host: write https://api.example.com/health")
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("names a host in letters that DNS does not have: write it as DNS does (xn--...)")
	case err != nil || port == 0 || strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("names a port that is none: write a number between 1 and 65535, or none")
	case u.Fragment != "":
		return nil, errors.New("a fragment (#...) is never sent: take it away")
	}
	return u, nil
}

func isAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && portErr == nil && n > 0
}

// validateForeign finds keys of HTTP where none is spoken.
func (c Config) validateForeign(found *probes.Problems) {
	for path, given := range map[string]bool{
		"method": c.Method != "", "headers": len(c.Headers) > 0, "header_files": len(c.HeaderFiles) > 0, "status": len(c.Status) > 0,
		"body": c.Body != "", "body_matches": c.BodyMatches != "", "max_body": c.MaxBody != 0,
	} {
		if given {
			found.Add(path, "goes with url alone")
		}
	}
}

func (c Config) validateRequest(found *probes.Problems) {
	if c.TLS {
		found.Add("tls", "goes with tcp and grpc: a url says so itself, by https://")
	}
	if c.Method != "" && c.Method != http.MethodGet && c.Method != http.MethodHead {
		found.Add("method", "GET or HEAD: a probe changes nothing")
	}
	for _, status := range c.Status {
		if status < 200 || status > 599 {
			found.Add("status", "%d is none: from 200 to 599", status)
		}
	}
	switch _, err := regexp.Compile(c.BodyMatches); {
	case err != nil:
		found.Add("body_matches", "%s", err)
	case c.Body != "" && c.BodyMatches != "":
		found.Add("body_matches", "give body or body_matches, not both")
	case c.expectsBody() && c.Method == http.MethodHead:
		found.Add("method", "the answer to HEAD has no body: write GET, or take body and body_matches away")
	}
	if c.MaxBody < 0 || c.MaxBody > mostMaxBody {
		found.Add("max_body", "between 0 and %d bytes", mostMaxBody)
	}
	c.validateHeaders(found)
}

var token = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$") // RFC 9110, section 5.6.2

func (c Config) validateHeaders(found *probes.Problems) {
	for path, headers := range map[string]map[string]string{"headers": c.Headers, "header_files": c.HeaderFiles} {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			switch canonical := http.CanonicalHeaderKey(name); {
			case !token.MatchString(name):
				found.Add(path, "%q is no name of a header", name)
			case canonical == "Host":
				found.Add(path, "the Host is that of the url: give the place to connect to in address")
			case slices.Contains([]string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade", "Te", "Expect"}, canonical):
				found.Add(path, "%s is not for the file to say", name)
			case path == "headers" && slices.Contains([]string{"Authorization", "Proxy-Authorization", "Cookie"}, canonical):
				found.Add(path, "a secret does not belong here: name the file that holds the value of %s in header_files", name)
			case path == "headers" && strings.ContainsFunc(headers[name], func(r rune) bool { return r < ' ' || r == 0x7f }):
				found.Add(path, "%s: a value is one line", name)
			}
		}
	}
}

func (c Config) expectsBody() bool { return c.Body != "" || c.BodyMatches != "" }

// The checks of this probe.
const (
	CheckUp          = "up"          // clients are served as they should be
	CheckAddress     = "address"     // what is looked at belongs to this side
	CheckCertificate = "certificate" // it is trusted, of the right name, and for a while yet
	CheckStatus      = "status"      // the answer has a right status
	CheckBody        = "body"        // the answer says what it should
	CheckHealth      = "grpc-health" // the server calls its service healthy
	CheckLatency     = "latency"     // the answer came soon enough
)

// Checks lists the checks that are made on the endpoint, in the order in which
// people should read them.
func Checks(c Config, t probes.Target) []string {
	var ignored probes.Problems
	at := c.place(&ignored)
	names := []string{CheckUp}
	if judgesAddress(at, t) {
		names = append(names, CheckAddress)
	}
	if at.tls {
		names = append(names, CheckCertificate)
	}
	if c.URL != "" {
		names = append(names, CheckStatus)
	}
	if c.expectsBody() {
		names = append(names, CheckBody)
	}
	if c.GRPC != "" {
		names = append(names, CheckHealth)
	}
	if c.MaxLatency > 0 {
		names = append(names, CheckLatency)
	}
	return names
}
