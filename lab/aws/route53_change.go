package aws

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// change53 is a batch of changes that was accepted.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeInfo.html
type change53 struct {
	id, comment   string
	submitted, at time.Time // at is when the name servers have it
	edits         []edit
}

type edit struct {
	gone bool
	set  RecordSet
}

// settle brings to the name servers what has had its time.
func (z *zone) settle(now time.Time) {
	for len(z.pending) > 0 && !now.Before(z.pending[0].at) {
		for _, e := range z.pending[0].edits {
			z.served.apply(e)
		}
		z.pending = z.pending[1:]
	}
}

func (r records) apply(e edit) {
	if e.gone {
		r.remove(e.set)
		return
	}
	r.put(e.set)
}

type wireChange struct {
	ID          string `xml:"Id"`
	Status      string
	SubmittedAt string
	Comment     string `xml:",omitempty"`
}

func (r *Route53) told(c *change53) any {
	status := "PENDING"
	if !r.cloud.options.Now().Before(c.at) {
		status = "INSYNC"
	}
	return struct{ ChangeInfo wireChange }{wireChange{"/change/" + c.id, status, c.submitted.UTC().Format("2006-01-02T15:04:05.000Z"), c.comment}}
}

// getChange tells whether all name servers have a change.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html
func (r *Route53) getChange(c *call) (any, error) {
	if change := r.changes[id53(c)]; change != nil {
		return r.told(change), nil
	}
	return nil, Error{http.StatusNotFound, "NoSuchChange", "Could not find resource with ID: " + id53(c)}
}

// changeRecords makes all of a batch or nothing of it, in the order given.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
func (r *Route53) changeRecords(c *call) (any, error) {
	z, err := r.zone(c)
	if err != nil {
		return nil, err
	}
	var request struct {
		Comment string `xml:"ChangeBatch>Comment"`
		Changes []struct {
			Action string
			Record wireRecord `xml:"ResourceRecordSet"`
		} `xml:"ChangeBatch>Changes>Change"`
	}
	if err := xml.Unmarshal(c.Body, &request); err != nil || len(request.Changes) == 0 {
		return nil, invalidInput("The change batch holds no change, or is no XML")
	}
	now := r.cloud.options.Now()
	r.generation++
	made := &change53{id: "C" + strconv.FormatInt(r.generation, 10), comment: request.Comment, submitted: now, at: now.Add(r.propagates)}
	after := maps.Clone(z.told)
	for _, change := range request.Changes {
		e := edit{gone: change.Action == "DELETE", set: change.Record.record(z.ID)}
		if err := r.refuses(z, after, change.Action, e.set); err != nil {
			return nil, err
		}
		after.apply(e)
		made.edits = append(made.edits, e)
	}
	z.told = after
	z.pending = append(z.pending, made)
	r.changes[made.id] = made
	return r.told(made), nil
}

// refuses says why a change cannot be.
func (r *Route53) refuses(z *zone, all records, action string, s RecordSet) error {
	is, exists := all.find(s)
	switch {
	case !within(s.Name, z.Name):
		return badBatch("RRSet with DNS name %s is not permitted in zone %s", s.Name, z.Name)
	case action == "DELETE" && !exists:
		return badBatch("Tried to delete resource record set %s but it was not found", s.title())
	case action == "DELETE" && !reflect.DeepEqual(is, s):
		return badBatch("Tried to delete resource record set %s but the values provided do not match the current values", s.title())
	case action == "DELETE" && s.Name == z.Name && (s.Type == "NS" || s.Type == "SOA"):
		return badBatch("A HostedZone must contain at least one NS record for the zone itself, and exactly one SOA record")
	case action == "DELETE":
		return nil
	case action == "CREATE" && exists:
		return badBatch("Tried to create resource record set %s but it already exists", s.title())
	case action != "CREATE" && action != "UPSERT":
		return invalidInput("Invalid action: " + action)
	case s.HealthCheck != "" && r.checks[s.HealthCheck] == nil:
		return missingHealthCheck(s.HealthCheck)
	}
	if err := s.invalid(); err != nil {
		return err
	}
	return s.conflict(z, all[s.Name])
}

// invalid says what is wrong with a record set by itself.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
func (s RecordSet) invalid() error {
	switch {
	case s.Alias == nil && len(s.Values) == 0:
		return invalidInput("Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none in Change with " + s.title())
	case s.Alias != nil && (len(s.Values) > 0 || s.TTL != 0):
		return invalidInput("Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found more than one in Change with " + s.title())
	case s.policy() == "simple" && s.SetIdentifier != "", s.policy() != "simple" && s.SetIdentifier == "":
		return invalidInput("Expected both a SetIdentifier and one of [Weight, Region, Failover, MultiValueAnswer] or neither in Change with " + s.title())
	case s.Failover != "" && s.Failover != "PRIMARY" && s.Failover != "SECONDARY":
		return invalidInput("Invalid failover: " + s.Failover)
	}
	return nil
}

// conflict says what a record set cannot be next to.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#CNAMEFormat
func (s RecordSet) conflict(z *zone, others []RecordSet) error {
	if s.Type == "CNAME" && s.Name == z.Name {
		return badBatch("RRSet of type CNAME with DNS name %s is not permitted at apex in zone %s", s.Name, z.Name)
	}
	for _, o := range others {
		switch {
		case s.same(o):
			continue
		case (s.Type == "CNAME") != (o.Type == "CNAME"):
			return badBatch("RRSet of type %s with DNS name %s is not permitted because a conflicting RRSet of type %s with the same DNS name already exists in zone %s", s.Type, s.Name, o.Type, z.Name)
		case s.Type == o.Type && s.policy() != o.policy():
			return badBatch("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created because a %s RRSet with the same name and type exists", s.Name, s.Type, s.SetIdentifier, o.policy())
		case s.Type == o.Type && s.Failover != "" && s.Failover == o.Failover:
			return badBatch("Failover type %s is already used by another RRSet with DNS name %s, type %s", s.Failover, s.Name, s.Type)
		}
	}
	return nil
}

// policy is how an answer is chosen among record sets of one name and type.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html
func (s RecordSet) policy() string {
	switch {
	case s.Failover != "":
		return "failover"
	case s.Weight != nil:
		return "weighted"
	case s.Region != "":
		return "latency"
	case s.MultiValue:
		return "multivalue"
	}
	return "simple"
}

func (s RecordSet) title() string {
	if s.SetIdentifier != "" {
		return fmt.Sprintf("[name='%s', type='%s', set-identifier='%s']", escaped(s.Name), s.Type, s.SetIdentifier)
	}
	return fmt.Sprintf("[name='%s', type='%s']", escaped(s.Name), s.Type)
}

func badBatch(format string, args ...any) Error {
	return badRequest("InvalidChangeBatch", "["+fmt.Sprintf(format, args...)+"]")
}

// within reports whether a name is that of a zone, or below it.
func within(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }

// update is what may be changed of a health check; what is missing stays.
type update struct {
	Version                      *int64 `xml:"HealthCheckVersion"`
	IPAddress                    *string
	Port                         *int
	ResourcePath                 *string
	FullyQualifiedDomainName     *string
	SearchString                 *string
	FailureThreshold             *int
	Inverted                     *bool
	Disabled                     *bool
	HealthThreshold              *int
	Children                     []string `xml:"ChildHealthChecks>ChildHealthCheck"`
	Regions                      []string `xml:"Regions>Region"`
	AlarmIdentifier              *wireAlarmName
	InsufficientDataHealthStatus *string
	Reset                        []string `xml:"ResetElements>ResettableElementName"`
}

// updateHealthCheck changes what is given, when nobody else has changed it since.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html
func (r *Route53) updateHealthCheck(c *call) (any, error) {
	h, err := r.healthCheck(c)
	if err != nil {
		return nil, err
	}
	var u update
	if err := xml.Unmarshal(c.Body, &u); err != nil {
		return nil, invalidInput("The request is no XML")
	}
	if u.Version != nil && *u.Version != h.version {
		return nil, Error{http.StatusConflict, "HealthCheckVersionMismatch", "The value of HealthCheckVersion in the request doesn't match the value of HealthCheckVersion in the health check."}
	}
	to, err := u.apply(h.HealthCheck)
	if err != nil {
		return nil, err
	}
	for _, child := range to.Children {
		if other := r.checks[child]; other == nil {
			return nil, invalidInput("The child health check " + child + " does not exist")
		} else if other.Type == "CALCULATED" {
			return nil, invalidInput("A calculated health check cannot monitor the calculated health check " + child)
		}
	}
	r.putHealthCheck(to)
	return struct{ HealthCheck wireHealthCheck }{h.wire()}, nil
}

func (u update) apply(h HealthCheck) (HealthCheck, error) {
	switch {
	case u.IPAddress != nil && (*u.IPAddress == "") != (h.IP == ""):
		return h, invalidInput("IPAddress cannot be added to a health check, or taken from it")
	case u.FailureThreshold != nil && (*u.FailureThreshold < 1 || *u.FailureThreshold > 10):
		return h, invalidInput("FailureThreshold must be between 1 and 10")
	case len(u.Regions) > 0 && len(u.Regions) < 3:
		return h, invalidInput("At least 3 regions are needed")
	}
	set(&h.IP, u.IPAddress)
	set(&h.Port, u.Port)
	set(&h.Path, u.ResourcePath)
	set(&h.FQDN, u.FullyQualifiedDomainName)
	set(&h.Search, u.SearchString)
	set(&h.Threshold, u.FailureThreshold)
	set(&h.Inverted, u.Inverted)
	set(&h.Disabled, u.Disabled)
	set(&h.HealthThreshold, u.HealthThreshold)
	set(&h.InsufficientData, u.InsufficientDataHealthStatus)
	if len(u.Children) > 0 {
		h.Children = u.Children
	}
	if len(u.Regions) > 0 {
		h.Regions = u.Regions
	}
	if u.AlarmIdentifier != nil {
		h.AlarmRegion, h.AlarmName = u.AlarmIdentifier.Region, u.AlarmIdentifier.Name
	}
	h.reset(u.Reset)
	return h, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// reset gives back their defaults to some settings.
func (h *HealthCheck) reset(names []string) {
	if slices.Contains(names, "FullyQualifiedDomainName") {
		h.FQDN = ""
	}
	if slices.Contains(names, "Regions") {
		h.Regions = nil
	}
	if slices.Contains(names, "ResourcePath") {
		h.Path = ""
	}
	if slices.Contains(names, "ChildHealthChecks") {
		h.Children = nil
	}
}
