package aws

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Route53 is Amazon Route 53: hosted zones and their records, the health checks
// that decide between them, and what its name servers answer.
// https://docs.aws.amazon.com/Route53/latest/APIReference/Welcome.html
type Route53 struct {
	cloud *Cloud

	mu         sync.Mutex // protects what follows
	zones      map[string]*zone
	checks     map[string]*healthCheck
	changes    map[string]*change53
	changed    chan struct{} // closed when a health check is put, changed or removed
	generation int64         // counts those changes, and names the changes of records
	propagates time.Duration
	turn       uint64 // whose turn it is among weighted records
	dial       func(ctx context.Context, network, address string) (net.Conn, error)
	enforced   bool
	buckets    map[string]*bucket // by account and operation
}

// Zone is a hosted zone.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HostedZone.html
type Zone struct {
	// ID is unique, and comes without /hostedzone/ before it.
	ID string
	// Name is that of the domain, such as "festivals.app.".
	Name string
	// Private answers only inside the VPC.
	Private bool
	// NameServers are its delegation set; empty are four that nobody else has.
	NameServers []string
	// Accelerated is accelerated recovery: changes of records are possible within an
	// hour when us-east-1 is not to be had.
	// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/accelerated-recovery.html
	Accelerated bool
	// VPCRegion and VPCID are what a private zone belongs to.
	VPCRegion, VPCID string
}

// zone is a hosted zone with what it holds. What the API tells and what the name
// servers say are not always the same: a change takes some time to reach them.
type zone struct {
	Zone
	told    records
	served  records
	pending []*change53 // accepted, and not with the name servers yet; oldest first
}

// records are record sets by name; a list is replaced, and never changed.
type records map[string][]RecordSet

// RecordSet is a resource record set.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
type RecordSet struct {
	Zone       string // its ID
	Name, Type string
	TTL        int64 // seconds; none for an alias
	Values     []string
	// Alias is what it stands for instead of Values.
	Alias *AliasTarget
	// SetIdentifier tells those of one name and type apart.
	SetIdentifier string
	Failover      string // PRIMARY or SECONDARY
	Weight        *int64
	Region        string // of latency routing
	MultiValue    bool
	HealthCheck   string // its ID
}

// AliasTarget is what an alias record leads to.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
type AliasTarget struct {
	DNSName              string
	HostedZoneID         string // of the service, or of the zone that the target is in
	EvaluateTargetHealth bool
}

func newRoute53(c *Cloud) *Route53 {
	return &Route53{
		cloud: c, zones: make(map[string]*zone), checks: make(map[string]*healthCheck), changes: make(map[string]*change53),
		changed: make(chan struct{}), propagates: time.Minute, dial: new(net.Dialer).DialContext, buckets: make(map[string]*bucket),
	}
}

// Route53 gives the Route 53 of this AWS.
func (c *Cloud) Route53() *Route53 { return c.services["route53"].(*Route53) }

// PutZone makes a zone, with the NS and the SOA record that each has, or changes
// it: its records stay.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html
func (r *Route53) PutZone(z Zone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	z.Name = canonical(z.Name)
	if len(z.NameServers) == 0 {
		z.NameServers = []string{"ns-1.awsdns-01.org", "ns-513.awsdns-02.net", "ns-1025.awsdns-03.com", "ns-1537.awsdns-04.co.uk"}
	}
	if before := r.zones[z.ID]; before != nil {
		before.Zone = z
		return
	}
	made := &zone{Zone: z, told: make(records), served: make(records)}
	made.put(RecordSet{Zone: z.ID, Name: z.Name, Type: "NS", TTL: 172800, Values: dotted(z.NameServers)})
	made.put(RecordSet{Zone: z.ID, Name: z.Name, Type: "SOA", TTL: 900, Values: []string{
		canonical(z.NameServers[0]) + " awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}})
	r.zones[z.ID] = made
}

// RemoveZone takes a zone away, with all its records.
func (r *Route53) RemoveZone(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.zones, id)
}

// PutRecord makes a record set in a zone that is there, or makes it anew: the API
// and the name servers know it at once.
func (r *Route53) PutRecord(s RecordSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if z := r.zones[s.Zone]; z != nil {
		z.settle(r.cloud.options.Now())
		z.put(s)
	}
}

// RemoveRecord takes a record set away, from the API and the name servers at once.
func (r *Route53) RemoveRecord(zone, name, typ, setIdentifier string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if z := r.zones[zone]; z != nil {
		z.settle(r.cloud.options.Now())
		gone := RecordSet{Name: canonical(name), Type: typ, SetIdentifier: setIdentifier}
		z.told.remove(gone)
		z.served.remove(gone)
	}
}

// Dial sets how the health checkers reach an address. Before: as anybody does.
func (r *Route53) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dial = dial
}

// Propagates sets how long a change that the API has accepted takes to reach the
// name servers. Before: a minute, within which it does so generally.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
func (r *Route53) Propagates(in time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.propagates = in
}

// EnforceRate refuses what is above five requests a second of an account, and more
// than one a second for the status of a health check, after four at once.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html
func (r *Route53) EnforceRate(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enforced = on
	clear(r.buckets)
}

func (z *zone) put(s RecordSet) {
	s = s.normal()
	z.told.put(s)
	z.served.put(s)
}

func (s RecordSet) normal() RecordSet {
	s.Name = canonical(s.Name)
	if s.Alias != nil {
		alias := *s.Alias
		alias.DNSName = canonical(alias.DNSName)
		s.Alias = &alias
	}
	s.Values = slices.Clone(s.Values)
	return s
}

// same reports whether two have one place: what is put replaces what is there.
func (s RecordSet) same(o RecordSet) bool {
	return s.Name == o.Name && s.Type == o.Type && s.SetIdentifier == o.SetIdentifier
}

func (r records) find(s RecordSet) (RecordSet, bool) {
	if i := slices.IndexFunc(r[s.Name], s.same); i >= 0 {
		return r[s.Name][i], true
	}
	return RecordSet{}, false
}

func (r records) put(s RecordSet) {
	r.remove(s)
	r[s.Name] = append(slices.Clone(r[s.Name]), s)
}

func (r records) remove(s RecordSet) {
	rest := slices.DeleteFunc(slices.Clone(r[s.Name]), s.same)
	if len(rest) == 0 {
		delete(r, s.Name)
		return
	}
	r[s.Name] = rest
}

// sorted gives all in the order of the API: by name with its labels reversed,
// then by type, then by set identifier.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html
func (r records) sorted() []RecordSet {
	var all []RecordSet
	for _, sets := range r {
		all = append(all, sets...)
	}
	slices.SortFunc(all, func(a, b RecordSet) int { return slices.Compare(a.place(), b.place()) })
	return all
}

func (s RecordSet) place() []string {
	return []string{reversed(s.Name), s.Type, s.SetIdentifier}
}

func (r records) count() int {
	n := 0
	for _, sets := range r {
		n += len(sets)
	}
	return n
}

// canonical is a name as Route 53 keeps it: in lower case and fully qualified.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
func canonical(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, `\052`, "*"))
	if name == "" || strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}

// reversed turns www.festivals.app. into app.festivals.www.
func reversed(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

func dotted(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = canonical(name)
	}
	return all
}

// byName sorts zones as the API does: by name with its labels reversed, then by ID.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html
func byName(a, b *zone) int {
	return cmp.Or(cmp.Compare(reversed(a.Name), reversed(b.Name)), cmp.Compare(a.ID, b.ID))
}
