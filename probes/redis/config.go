package redis

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
	"github.com/drwatch/drwatch/secret"
)

// Config is the part of the file that says how to look at one copy: at one
// server (url), at the current primary behind Sentinel (sentinel), or at the
// nodes of a cluster (cluster).
type Config struct {
	URL string `yaml:"url,omitempty" json:"url,omitempty" jsonschema_description:"Where the server is: redis://user@host:6379, or rediss:// for TLS. Without a password." jsonschema:"example=rediss://drwatch@sessions.example.com:6379"`

	Sentinel *Sentinel `yaml:"sentinel,omitempty" json:"sentinel,omitempty" jsonschema_description:"Look at the server that Sentinel takes for the primary. For the primary only: a replica is known by its own url."`
	Cluster  *Cluster  `yaml:"cluster,omitempty" json:"cluster,omitempty" jsonschema_description:"Look at all primaries of a Redis Cluster, or at those of its replicas that make up this copy."`

	User         string `yaml:"user,omitempty" json:"user,omitempty" jsonschema_description:"Who looks, with sentinel or cluster. A url holds the user itself."`
	PasswordFile string `yaml:"password_file,omitempty" json:"password_file,omitempty" jsonschema_description:"The file that holds the password. It is read at each look."`
	PasswordEnv  string `yaml:"password_env,omitempty" json:"password_env,omitempty" jsonschema_description:"The environment variable that holds the password."`

	TLS *TLS `yaml:"tls,omitempty" json:"tls,omitempty" jsonschema_description:"How the server is trusted. With sentinel or cluster its presence, even empty, means TLS; a url says so itself, by rediss://."`

	MaxSilence time.Duration `yaml:"max_silence,omitempty" json:"max_silence,omitempty" jsonschema_description:"How long a replica may hear nothing from its source and count as linked. More than repl-ping-replica-period of the server." jsonschema:"default=20s"`
}

// TLS says how a server is trusted, and how we are. The server is always
// verified.
type TLS struct {
	CAFile     string `yaml:"ca_file,omitempty" json:"ca_file,omitempty" jsonschema_description:"The certificates that are trusted to sign the server's, in PEM. Without it those of the machine are."`
	CertFile   string `yaml:"cert_file,omitempty" json:"cert_file,omitempty" jsonschema_description:"Our own certificate, in PEM, where the server wants one."`
	KeyFile    string `yaml:"key_file,omitempty" json:"key_file,omitempty" jsonschema_description:"The key of our own certificate, in PEM."`
	ServerName string `yaml:"server_name,omitempty" json:"server_name,omitempty" jsonschema_description:"The name in the server's certificate, where it is not the host."`
}

// Sentinel says where the Sentinels are and what they call the primary.
type Sentinel struct {
	Master       string   `yaml:"master" json:"master" jsonschema_description:"The name under which Sentinel knows the primary." jsonschema:"example=mymaster"`
	Addresses    []string `yaml:"addresses" json:"addresses" jsonschema_description:"All Sentinels, as host:port. All are asked at each look."`
	User         string   `yaml:"user,omitempty" json:"user,omitempty" jsonschema_description:"Who asks the Sentinels, where they want a user."`
	PasswordFile string   `yaml:"password_file,omitempty" json:"password_file,omitempty" jsonschema_description:"The file that holds the password for the Sentinels. It is read at each look."`
	PasswordEnv  string   `yaml:"password_env,omitempty" json:"password_env,omitempty" jsonschema_description:"The environment variable that holds the password for the Sentinels."`
}

// Cluster says where the nodes of a cluster are.
type Cluster struct {
	Addresses []string `yaml:"addresses" json:"addresses" jsonschema_description:"Some nodes of the cluster, as host:port, to learn the others from. All are asked at each look."`
	Replicas  []string `yaml:"replicas,omitempty" json:"replicas,omitempty" jsonschema_description:"For a replica: the nodes that make up this copy, as host:port as the cluster tells them. Together they must follow every slot."`
}

const defaultMaxSilence = 20 * time.Second // twice the default of repl-ping-replica-period

// Validate finds the mistakes in the configuration. It opens no connection and
// reads no file.
func (c Config) Validate(target readiness.Copy) []probes.Problem {
	p := problems{}
	switch {
	case target.Kind != readiness.Primary && target.Kind != readiness.Replica:
		p.Add("", "a redis probe looks at a primary or a replica, and this copy is a %s", target.Kind)
	case target.Logical:
		p.Add("", "Redis has no logical replication: take logical away")
	case target.Delay > 0:
		p.Add("", "Redis has no delayed replicas: take delay away")
	}
	switch ways := count(c.URL != "", c.Sentinel != nil, c.Cluster != nil); {
	case ways == 0:
		p.Add("url", "missing: say where the server is (redis://user@host:6379), or give sentinel or cluster")
	case ways > 1:
		p.Add("", "give one of url, sentinel and cluster")
	case c.URL != "":
		c.validateURL(&p)
	case c.Sentinel != nil:
		c.validateSentinel(&p, target)
	default:
		c.validateCluster(&p, target)
	}
	p.passwords("", c.PasswordFile, c.PasswordEnv)
	if t := c.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		p.Add("tls", "cert_file and key_file go together")
	}
	if c.MaxSilence < 0 {
		p.Add("max_silence", "a time cannot be negative")
	}
	return p.Problems
}

func (c Config) validateURL(p *problems) {
	where, err := parseURL(c.URL)
	if err != nil {
		p.Add("url", "%s", err)
		return
	}
	if c.TLS != nil && !where.tls {
		p.Add("tls", "the url says redis://, which is without TLS: write rediss://")
	}
	if c.User != "" {
		p.Add("user", "a url holds the user itself: write redis://%s@...", url.User(c.User))
	}
}

func (c Config) validateSentinel(p *problems, target readiness.Copy) {
	if target.Kind == readiness.Replica {
		p.Add("sentinel", "Sentinel leads to the primary: a replica is known by its own address, so give its url")
	}
	if c.Sentinel.Master == "" {
		p.Add("sentinel.master", "missing: the name under which Sentinel knows the primary")
	}
	p.addresses("sentinel.addresses", c.Sentinel.Addresses)
	p.passwords("sentinel.", c.Sentinel.PasswordFile, c.Sentinel.PasswordEnv)
}

func (c Config) validateCluster(p *problems, target readiness.Copy) {
	p.addresses("cluster.addresses", c.Cluster.Addresses)
	switch replica := target.Kind == readiness.Replica; {
	case replica:
		p.addresses("cluster.replicas", c.Cluster.Replicas)
	case len(c.Cluster.Replicas) > 0:
		p.Add("cluster.replicas", "for replicas only: the primary copy is all primaries of the cluster")
	}
}

// problems are the mistakes found so far.
type problems struct{ probes.Problems }

func (p *problems) passwords(prefix, file, env string) {
	if file != "" && env != "" {
		p.Add(prefix+"password_env", "give password_file or password_env, not both")
	}
}

func (p *problems) addresses(path string, addresses []string) {
	if len(addresses) == 0 {
		p.Add(path, "missing: give them as host:port")
	}
	for i, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "to be written host:port")
		} else if slices.Contains(addresses[:i], address) {
			p.Add(fmt.Sprintf("%s[%d]", path, i), "named twice")
		}
	}
}

func count(these ...bool) (n int) {
	for _, this := range these {
		if this {
			n++
		}
	}
	return n
}

// place is what a url says.
type place struct {
	addr, user string
	tls        bool
}

// parseURL reads a url as redis-cli and the clients do; the number of a database
// changes nothing here, since replication is of all of them. Its errors repeat nothing of it: where a password was
// written in the wrong place, any part may be a piece of it.
func parseURL(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil {
		return place{}, errors.New("is no URL: write redis://user@host:6379, or rediss:// for TLS; special characters in names as %XX")
	}
	password, _ := u.User.Password()
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return place{}, errors.New("to be written redis://user@host:6379, or rediss:// for TLS")
	case password != "":
		return place{}, errors.New("a password does not belong here: name the file that holds it in password_file, or the variable in password_env")
	case u.Hostname() == "":
		return place{}, errors.New("names no host: write redis://user@host:6379")
	case u.RawQuery != "" || u.Fragment != "":
		return place{}, errors.New("options have no place here: what can be set has keys of its own (password_file, tls, ...)")
	}
	port := cmp.Or(u.Port(), "6379")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return place{}, errors.New("names a port that is none: write a number between 1 and 65535, or none for 6379")
	}
	database := strings.TrimPrefix(u.Path, "/")
	if _, err := strconv.ParseUint(database, 10, 16); database != "" && err != nil {
		return place{}, errors.New("behind the host there may be a port and the number of a database, and nothing else")
	}
	return place{addr: net.JoinHostPort(u.Hostname(), port), user: u.User.Username(), tls: u.Scheme == "rediss"}, nil
}

func (c Config) password() secret.Source {
	return secret.Source{File: c.PasswordFile, Env: c.PasswordEnv}
}

func (s Sentinel) password() secret.Source {
	return secret.Source{File: s.PasswordFile, Env: s.PasswordEnv}
}

// The checks of this probe.
const (
	CheckLink        = "link"        // replication is up and alive
	CheckPersistence = "persistence" // the data would outlive a restart, and can be written
	CheckSentinels   = "sentinels"   // the Sentinels could vote a failover, and agree
	CheckShards      = "shards"      // every slot of the cluster is served by this copy
)

// Checks lists the checks that are made on the copy, in the order in which
// people should read them.
func Checks(c Config, target readiness.Copy) []string {
	names := []string{readiness.CheckRole}
	if c.Sentinel != nil {
		names = append(names, CheckSentinels)
	}
	if c.Cluster != nil {
		names = append(names, CheckShards)
	}
	names = append(names, CheckLink)
	if target.Kind == readiness.Replica {
		names = append(names, readiness.CheckSameSystem)
	}
	return append(names, readiness.CheckDistinctServer, CheckPersistence, readiness.CheckClock)
}
