package route53

import (
	"cmp"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/awsapi"
)

// Config is the part of the file that says which record Route 53 is asked about,
// and what has to be true of it.
type Config struct {
	Zone    string `yaml:"zone" json:"zone" jsonschema:"example=festivals.app" jsonschema_description:"The hosted zone that the record is in: its name, or its id where there are several of one name."`
	Private bool   `yaml:"private,omitempty" json:"private,omitempty" jsonschema_description:"The zone is a private one, which answers inside of its VPCs only."`
	Name    string `yaml:"name,omitempty" json:"name,omitempty" jsonschema:"example=api.festivals.app" jsonschema_description:"The name of the record, where that is not the host of the service."`
	Type    string `yaml:"type,omitempty" json:"type,omitempty" jsonschema:"enum=A,enum=AAAA,enum=CNAME" jsonschema_description:"The type of the record. Without it A, or CNAME where there is no A."`
	Setup   Setup  `yaml:"setup,omitempty" json:"setup,omitempty" jsonschema:"enum=failover,enum=simple" jsonschema_description:"How the record has to be set up. Without it either is right: a pair that health checks move, and a single record that somebody changes."`

	MaxTTL        time.Duration `yaml:"max_ttl,omitempty" json:"max_ttl,omitempty" jsonschema:"default=60s" jsonschema_description:"For how long resolvers may keep the answer."`
	ChangedWithin time.Duration `yaml:"changed_within,omitempty" json:"changed_within,omitempty" jsonschema:"example=15m" jsonschema_description:"For a record that is moved by hand: how long it takes at the most until a person or a runbook has made the change. Without it nobody knows how long a failover takes."`
	Detection     time.Duration `yaml:"detection,omitempty" json:"detection,omitempty" jsonschema:"example=60s" jsonschema_description:"For a record that rests on EvaluateTargetHealth alone: how long the load balancer takes at the most to notice that its targets are gone, by its own health checks. Without it nobody knows how long a failover takes."`

	HealthCheck HealthCheck `yaml:"health_check,omitempty" json:"health_check,omitempty,omitzero" jsonschema_description:"What the health check of the primary record has to be like. What is left out is right in any case that makes sense."`

	AWS awsapi.Access `yaml:"aws,omitempty" json:"aws,omitempty" jsonschema_description:"As whom AWS is asked. Route 53 is one for all regions: leave the region out."`
}

// Setup is how a name is moved.
type Setup string

// The setups. The zero value is any of them.
const (
	Failover Setup = "failover" // a pair, between which health checks decide
	Simple   Setup = "simple"   // one record, which somebody changes
)

// HealthCheck is what is expected of the health check of the primary record.
type HealthCheck struct {
	Type   string `yaml:"type,omitempty" json:"type,omitempty" jsonschema:"enum=HTTP,enum=HTTPS,enum=HTTP_STR_MATCH,enum=HTTPS_STR_MATCH,enum=TCP" jsonschema_description:"The type of the check."`
	FQDN   string `yaml:"fqdn,omitempty" json:"fqdn,omitempty" jsonschema:"example=festivals-api-0a1b2c.eu-west-1.elb.amazonaws.com" jsonschema_description:"The name that is checked."`
	Port   int    `yaml:"port,omitempty" json:"port,omitempty" jsonschema_description:"The port that is checked."`
	Path   string `yaml:"path,omitempty" json:"path,omitempty" jsonschema:"example=/health" jsonschema_description:"The path that is asked for."`
	Search string `yaml:"search,omitempty" json:"search,omitempty" jsonschema_description:"What has to be in the body."`

	MaxInterval  time.Duration `yaml:"max_interval,omitempty" json:"max_interval,omitempty" jsonschema:"example=10s" jsonschema_description:"How far apart the checks may be. Route 53 knows 10 and 30 seconds."`
	MaxThreshold int           `yaml:"max_threshold,omitempty" json:"max_threshold,omitempty" jsonschema:"example=3" jsonschema_description:"How many checks in a row may have to fail."`
	MinRegions   int           `yaml:"min_regions,omitempty" json:"min_regions,omitempty" jsonschema:"default=3" jsonschema_description:"From how many regions it has to be checked."`
	Inverted     bool          `yaml:"inverted,omitempty" json:"inverted,omitempty" jsonschema_description:"The check is inverted on purpose."`
}

const (
	// defaultMaxTTL is what Route 53 recommends for records with a health check.
	// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-failover.html
	defaultMaxTTL = time.Minute
	// defaultMinRegions is the least that Route 53 takes.
	// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
	defaultMinRegions = 3
	// global is the region that calls of Route 53 are signed for.
	// https://docs.aws.amazon.com/general/latest/gr/r53.html
	global = "us-east-1"
)

var (
	// idPattern is that of a hosted zone: no domain of one label is like it.
	// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHostedZone.html
	idPattern   = regexp.MustCompile(`^(/hostedzone/)?Z[0-9A-Z]{1,31}$`)
	namePattern = regexp.MustCompile(`^(\*|[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+$`)
)

// zoneID gives the id that the file names; false where it gives a name.
func (c Config) zoneID() (string, bool) {
	return strings.TrimPrefix(c.Zone, "/hostedzone/"), idPattern.MatchString(c.Zone)
}

// host is the name of the record.
func (c Config) host(s probes.Service) string { return canonical(cmp.Or(c.Name, s.Host)) }

// Validate finds the mistakes in the configuration. It asks nobody.
func (c Config) Validate(t probes.Target) []probes.Problem {
	p := probes.Problems{}
	_, byID := c.zoneID()
	zone, host := canonical(c.Zone), c.host(t.Service)
	switch {
	case c.Zone == "":
		p.Add("zone", "missing: the name of the hosted zone, such as festivals.app, or its id")
	case !byID && !namePattern.MatchString(zone):
		p.Add("zone", "%q is neither the name of a zone nor an id such as Z0123456789ABC", c.Zone)
	case !byID && host != "" && host != zone && !strings.HasSuffix(host, "."+zone):
		p.Add("name", "%s is not in the zone %s: correct one of them, or give name where the record is not the host of the service", host, zone)
	}
	switch {
	case c.Name != "" && !namePattern.MatchString(canonical(c.Name)):
		p.Add("name", "%q is no name: write it in full, such as api.festivals.app", c.Name)
	case c.Name == "" && host != "" && !namePattern.MatchString(host):
		p.Add("name", "missing: the service is %q, which is the name of no record", t.Service.Host)
	}
	if c.Type != "" && !slices.Contains(recordTypes(), c.Type) {
		p.Add("type", "%q is unknown: write A, AAAA or CNAME", c.Type)
	}
	if c.Setup != "" && c.Setup != Failover && c.Setup != Simple {
		p.Add("setup", "%q is unknown: write failover or simple", c.Setup)
	}
	for path, d := range map[string]time.Duration{"max_ttl": c.MaxTTL, "changed_within": c.ChangedWithin, "detection": c.Detection} {
		if d < 0 {
			p.Add(path, "a time cannot be negative")
		}
	}
	if c.Setup == Simple && c.HealthCheck != (HealthCheck{}) {
		p.Add("health_check", "a simple record has no use for one: take it away, or write setup: failover")
	}
	p = append(p, c.HealthCheck.problems()...)
	return append(p, c.AWS.In(global).Validate()...)
}

func (h HealthCheck) problems() probes.Problems {
	p := probes.Problems{}
	if h.Type != "" && !endpointType(h.Type) {
		p.Add("health_check.type", "%q is unknown: write HTTP, HTTPS, HTTP_STR_MATCH, HTTPS_STR_MATCH or TCP", h.Type)
	}
	if _, err := netip.ParseAddr(h.FQDN); h.FQDN != "" && err != nil && !namePattern.MatchString(canonical(h.FQDN)) {
		p.Add("health_check.fqdn", "%q is neither a name nor an address", h.FQDN)
	}
	if h.Port < 0 || h.Port > 65535 {
		p.Add("health_check.port", "%d is no port", h.Port)
	}
	if h.Search != "" && h.Type != "" && !strings.HasSuffix(h.Type, "_STR_MATCH") {
		p.Add("health_check.search", "goes with the types HTTP_STR_MATCH and HTTPS_STR_MATCH")
	}
	if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
		p.Add("health_check.path", "%q does not begin with a slash: write /%s", h.Path, h.Path)
	}
	if h.Path != "" && h.Type == "TCP" {
		p.Add("health_check.path", "a check of type TCP asks for no path")
	}
	if h.MaxInterval < 0 {
		p.Add("health_check.max_interval", "a time cannot be negative")
	}
	if h.MaxThreshold < 0 {
		p.Add("health_check.max_threshold", "a number cannot be negative")
	}
	if h.MinRegions < 0 || h.MinRegions > len(checkerRegions()) {
		p.Add("health_check.min_regions", "Route 53 checks from %d regions at the most", len(checkerRegions()))
	}
	return p
}

// The checks of this probe.
const (
	CheckZone          = "zone"                // the zone is there, and there is but one
	CheckRecord        = "record"              // the record is there, in a setup that can be judged
	CheckPair          = "pair"                // there is a primary and a secondary, and they differ
	CheckTargetPrimary = "target-primary"      // the primary leads where the file says
	CheckTargetStandby = "target-standby"      // the secondary leads where the file says
	CheckHealthCheck   = "health-check"        // the primary would be taken out, and not by mistake
	CheckChecked       = "health-check-target" // what is checked is the primary, in the right way
	CheckPace          = "health-check-pace"   // often enough, and from enough places
	CheckPrimaryHealth = "primary-health"      // the primary is healthy for Route 53 now
	CheckStandbyHealth = "standby-health"      // the secondary is checked, and healthy now
	CheckTTL           = "ttl"                 // resolvers forget the answer soon enough
	CheckFailoverTime  = "failover-time"       // the last client has moved within the RTO
	CheckControlPlane  = "control-plane"       // nobody has to change the record for that
)

// Checks lists the checks that are made on the record, in the order in which people
// should read them.
func Checks(c Config, t probes.Target) []string {
	names := []string{CheckZone, CheckRecord}
	if c.Setup != Simple {
		names = append(names, CheckPair)
	}
	if len(t.Service.Primary) > 0 {
		names = append(names, CheckTargetPrimary)
	}
	if len(t.Service.Standby) > 0 && c.Setup != Simple {
		names = append(names, CheckTargetStandby)
	}
	if c.Setup != Simple {
		names = append(names, CheckHealthCheck, CheckChecked, CheckPace, CheckPrimaryHealth, CheckStandbyHealth)
	}
	return append(names, CheckTTL, CheckFailoverTime, CheckControlPlane)
}

func recordTypes() []string { return []string{"A", "AAAA", "CNAME"} }
