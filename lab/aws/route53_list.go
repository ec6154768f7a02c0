package aws

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// most reads MaxItems: what is above the limit is cut down to it, and told as it
// was asked for.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHealthChecks.html
func most(q url.Values, usual, limit int) (n int, told string, err error) {
	text := q.Get("maxitems")
	if text == "" {
		return usual, strconv.Itoa(usual), nil
	}
	n, err = strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, "", invalidInput("Invalid value for MaxItems: " + text)
	}
	return min(n, limit), text, nil
}

// from leaves out what comes before.
func from[T any](all []T, before func(T) bool) []T {
	if i := slices.IndexFunc(all, func(t T) bool { return !before(t) }); i >= 0 {
		return all[i:]
	}
	return nil
}

// zoneList is an element that is there even when there is nothing in it, as is
// each list that the API requires.
type zoneList struct {
	Zones []wireZone `xml:"HostedZone"`
}

type zonePage struct {
	HostedZones zoneList
	Marker      string
	IsTruncated bool
	NextMarker  string `xml:",omitempty"`
	MaxItems    string
}

// listZones lists zones by ID, up to 100 from the marker on.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZones.html
func (r *Route53) listZones(c *call) (any, error) {
	q := c.Request.URL.Query()
	n, told, err := most(q, 100, 100)
	if err != nil {
		return nil, err
	}
	kind := q.Get("hostedzonetype")
	page := zonePage{Marker: q.Get("marker"), MaxItems: told}
	for _, id := range slices.Sorted(maps.Keys(r.zones)) {
		z := r.zones[id]
		if id < page.Marker || kind == "PrivateHostedZone" && !z.Private {
			continue
		}
		if len(page.HostedZones.Zones) == n {
			page.IsTruncated, page.NextMarker = true, id
			break
		}
		page.HostedZones.Zones = append(page.HostedZones.Zones, z.wire())
	}
	return page, nil
}

type namedZonePage struct {
	HostedZones      zoneList
	DNSName          string `xml:",omitempty"`
	HostedZoneID     string `xml:"HostedZoneId,omitempty"`
	IsTruncated      bool
	NextDNSName      string `xml:",omitempty"`
	NextHostedZoneID string `xml:"NextHostedZoneId,omitempty"`
	MaxItems         string
}

// listZonesByName lists zones from a name on, and not only those of the name:
// whoever asks has to compare. Of several with one name, which there may be, it
// begins with the ID given.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html
func (r *Route53) listZonesByName(c *call) (any, error) {
	q := c.Request.URL.Query()
	n, told, err := most(q, 100, 100)
	if err != nil {
		return nil, err
	}
	start := &zone{Zone: Zone{Name: canonical(q.Get("dnsname")), ID: q.Get("hostedzoneid")}}
	if start.ID != "" && start.Name == "" {
		return nil, invalidInput("HostedZoneId is given without DNSName")
	}
	page := namedZonePage{DNSName: q.Get("dnsname"), HostedZoneID: start.ID, MaxItems: told}
	all := slices.SortedFunc(maps.Values(r.zones), byName)
	if start.Name != "" {
		all = from(all, func(z *zone) bool { return byName(z, start) < 0 })
	}
	if len(all) > n {
		page.IsTruncated, page.NextDNSName, page.NextHostedZoneID = true, all[n].Name, all[n].ID
		all = all[:n]
	}
	for _, z := range all {
		page.HostedZones.Zones = append(page.HostedZones.Zones, z.wire())
	}
	return page, nil
}

type vpc struct {
	VPCRegion string
	VPCID     string `xml:"VPCId"`
}

type delegation struct {
	NameServers []string `xml:"NameServers>NameServer"`
}

// getZone tells the name servers of a public zone, and the VPC of a private one.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHostedZone.html
func (r *Route53) getZone(c *call) (any, error) {
	z, err := r.zone(c)
	if err != nil {
		return nil, err
	}
	answer := struct {
		HostedZone    wireZone
		DelegationSet *delegation
		VPCs          []vpc `xml:"VPCs>VPC"`
	}{HostedZone: z.wire()}
	if z.Private {
		answer.VPCs = []vpc{{z.VPCRegion, z.VPCID}}
	} else {
		answer.DelegationSet = &delegation{z.NameServers}
	}
	return answer, nil
}

type recordPage struct {
	ResourceRecordSets struct {
		Sets []wireRecord `xml:"ResourceRecordSet"`
	}
	IsTruncated          bool
	NextRecordName       string `xml:",omitempty"`
	NextRecordType       string `xml:",omitempty"`
	NextRecordIdentifier string `xml:",omitempty"`
	MaxItems             string
}

// listRecords lists up to 300 records from a name, a type and a set identifier on;
// those of changes that are pending are among them.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html
func (r *Route53) listRecords(c *call) (any, error) {
	z, err := r.zone(c)
	if err != nil {
		return nil, err
	}
	q := c.Request.URL.Query()
	n, told, err := most(q, 300, 300)
	if err != nil {
		return nil, err
	}
	start := RecordSet{Name: canonical(q.Get("name")), Type: q.Get("type"), SetIdentifier: q.Get("identifier")}
	if start.Name == "" && start.Type != "" || start.Type == "" && start.SetIdentifier != "" {
		return nil, invalidInput("The type is given without the name, or the identifier without the type")
	}
	all := z.told.sorted()
	if start.Name != "" {
		all = from(all, func(s RecordSet) bool { return slices.Compare(s.place(), start.place()) < 0 })
	}
	page := recordPage{MaxItems: told}
	if len(all) > n {
		next := all[n]
		page.IsTruncated, page.NextRecordName, page.NextRecordType, page.NextRecordIdentifier = true, escaped(next.Name), next.Type, next.SetIdentifier
		all = all[:n]
	}
	for _, s := range all {
		page.ResourceRecordSets.Sets = append(page.ResourceRecordSets.Sets, s.wire())
	}
	return page, nil
}

type healthCheckPage struct {
	HealthChecks struct {
		Checks []wireHealthCheck `xml:"HealthCheck"`
	}
	Marker      string
	IsTruncated bool
	NextMarker  string `xml:",omitempty"`
	MaxItems    string
}

// listHealthChecks lists health checks from the marker on: up to 1,000, and 100
// where nobody says how many, which the reference leaves open.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHealthChecks.html
func (r *Route53) listHealthChecks(c *call) (any, error) {
	q := c.Request.URL.Query()
	n, told, err := most(q, 100, 1000)
	if err != nil {
		return nil, err
	}
	page := healthCheckPage{Marker: q.Get("marker"), MaxItems: told}
	for _, id := range slices.Sorted(maps.Keys(r.checks)) {
		if id < page.Marker {
			continue
		}
		if len(page.HealthChecks.Checks) == n {
			page.IsTruncated, page.NextMarker = true, id
			break
		}
		page.HealthChecks.Checks = append(page.HealthChecks.Checks, r.checks[id].wire())
	}
	return page, nil
}

// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheck.html
func (r *Route53) getHealthCheck(c *call) (any, error) {
	h, err := r.healthCheck(c)
	if err != nil {
		return nil, err
	}
	return struct{ HealthCheck wireHealthCheck }{h.wire()}, nil
}

type wireObservation struct {
	Region, IPAddress string
	StatusReport      struct {
		Status      string
		CheckedTime string
	}
}

// getStatus tells the last look of each checker, which may differ from what it
// has made up its mind about. Of a calculated check there is none to be had.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckStatus.html
func (r *Route53) getStatus(c *call) (any, error) {
	return r.observations(c, func(p report) observation { return p.last })
}

// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHealthCheckLastFailureReason.html
func (r *Route53) getLastFailure(c *call) (any, error) {
	return r.observations(c, func(p report) observation { return p.failure })
}

func (r *Route53) observations(c *call, of func(report) observation) (any, error) {
	h, err := r.healthCheck(c)
	if err != nil {
		return nil, err
	}
	if h.Type == "CALCULATED" {
		return nil, invalidInput("The status of a calculated health check is not available: " + h.ID)
	}
	var answer struct {
		HealthCheckObservations struct {
			Seen []wireObservation `xml:"HealthCheckObservation"`
		}
	}
	for i, region := range h.checkerRegions() {
		seen := of(h.reports[region])
		if seen.status == "" {
			continue
		}
		told := wireObservation{Region: region, IPAddress: fmt.Sprintf("15.177.%d.1", 2+4*i)}
		told.StatusReport.Status = seen.status
		told.StatusReport.CheckedTime = seen.at.UTC().Format("2006-01-02T15:04:05.000Z")
		answer.HealthCheckObservations.Seen = append(answer.HealthCheckObservations.Seen, told)
	}
	return answer, nil
}
