package lab

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
)

// Endpoints say where everything is. No password is in them; the files that hold them are.
type Endpoints struct {
	Dir      string  `json:"dir"`
	CAFile   string  `json:"caFile"` // signs the certificates of all servers
	Postgres Cluster `json:"postgres"`
	Redis    Cluster `json:"redis"`
	// API is where clients are led to, and by whom; nil without AWS.
	API *Traffic `json:"api,omitempty"`
	// AWS is the environment that leads the SDK of AWS to the stand-in; empty without one.
	AWS map[string]string `json:"aws,omitempty"`
}

// Traffic is what leads clients to the API, and where that is.
type Traffic struct {
	// Port is that of the API servers, in both regions.
	Port int `json:"port"`
	// PrimaryAcross is the API of the primary region as the standby region sees it, over a link that can be cut.
	PrimaryAcross string `json:"primaryAcross"`
	Standby       string `json:"standby"`
	// Resolvers are those that clients ask; the name servers are at DNSPort.
	Resolvers []string `json:"resolvers"`
	DNSPort   int      `json:"dnsPort"`
}

// A Cluster is the two servers of one store.
type Cluster struct {
	// Primary is the primary as its own region sees it.
	Primary Endpoint `json:"primary"`
	// PrimaryAcross is the same server as the standby region sees it, over a link that can be cut.
	PrimaryAcross Endpoint `json:"primaryAcross"`
	// Standby is the standby or replica as its own region sees it.
	Standby Endpoint `json:"standby"`
	// PasswordFiles are the files with the passwords, by user.
	PasswordFiles map[string]string `json:"passwordFiles"`
}

// Password reads the password of a user.
func (c Cluster) Password(user string) (string, error) {
	content, err := os.ReadFile(c.PasswordFiles[user])
	if err != nil {
		return "", fmt.Errorf("read the password of %q: %w", user, err)
	}
	return string(content), nil
}

// An Endpoint is one way to one server.
type Endpoint struct {
	Region  string `json:"region"`           // of the server
	Address string `json:"address"`          // host:port
	URL     string `json:"url"`              // for the user drwatch, without a password
	TLSURL  string `json:"tlsURL,omitempty"` // the same of Redis over TLS; PostgreSQL has it on its one port
}

// As is the URL for another user.
func (e Endpoint) As(user string) string {
	u, err := url.Parse(e.URL)
	if err != nil { // it is one that we made
		return e.URL
	}
	u.User = url.User(user)
	return u.String()
}

// Endpoints says where everything is. It stays the same for as long as the lab runs.
func (l *Lab) Endpoints() Endpoints {
	return Endpoints{
		Dir:      l.folder.dir,
		CAFile:   l.tls.ca(),
		Postgres: l.cluster(Postgres, l.postgresURL, postgresView),
		Redis:    l.cluster(Redis, l.redisURL, redisView),
		AWS:      l.awsEnvironment(),
		API:      l.trafficEndpoints(),
	}
}

func (l *Lab) trafficEndpoints() *Traffic {
	if l.traffic == nil {
		return nil
	}
	t := &Traffic{
		Port: l.traffic.apiPort, PrimaryAcross: l.link(apiView).address, DNSPort: l.traffic.dnsPort,
		Standby: net.JoinHostPort(standbyAPI, strconv.Itoa(l.traffic.apiPort)),
	}
	for i := range l.traffic.resolvers {
		t.Resolvers = append(t.Resolvers, l.traffic.resolvers[i].Load().Address())
	}
	return t
}

func (l *Lab) cluster(store Store, urlOf func(address, user string) string, view string) Cluster {
	direct := func(site Site) Endpoint {
		s := l.server(store, site)
		e := Endpoint{Region: s.region, Address: s.address(), URL: urlOf(s.address(), "drwatch")}
		if len(s.ports) > 1 {
			e.TLSURL = "rediss://drwatch@" + address(s.ports[1]) + "/0"
		}
		return e
	}
	across := l.link(view).address
	c := Cluster{
		Primary:       direct(Primary),
		PrimaryAcross: Endpoint{Region: PrimaryRegion, Address: across, URL: urlOf(across, "drwatch")},
		Standby:       direct(Standby),
		PasswordFiles: make(map[string]string),
	}
	for _, user := range users()[store] {
		c.PasswordFiles[user] = l.secrets.file(store, user)
	}
	return c
}
