package aws

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"time"
)

// namespace53 is that of each document of Route 53, which is a REST of XML.
// https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
const namespace53 = "https://route53.amazonaws.com/doc/2013-04-01/"

// operation reads the method and the path, such as GET /2013-04-01/hostedzone/Z1/rrset.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_Operations_Amazon_Route_53.html
func (r *Route53) operation(request *http.Request, _ []byte) string {
	parts := segments(request)
	if parts[0] != "2013-04-01" {
		return ""
	}
	parts[0] = request.Method
	if len(parts) > 2 {
		parts[2] = "ID"
	}
	return map[string]string{
		"GET hostedzonesbyname":                "ListHostedZonesByName",
		"GET hostedzone":                       "ListHostedZones",
		"GET hostedzone ID":                    "GetHostedZone",
		"GET hostedzone ID rrset":              "ListResourceRecordSets",
		"POST hostedzone ID rrset":             "ChangeResourceRecordSets",
		"GET change ID":                        "GetChange",
		"GET healthcheck":                      "ListHealthChecks",
		"GET healthcheck ID":                   "GetHealthCheck",
		"POST healthcheck ID":                  "UpdateHealthCheck",
		"GET healthcheck ID status":            "GetHealthCheckStatus",
		"GET healthcheck ID lastfailurereason": "GetHealthCheckLastFailureReason",
	}[strings.Join(parts, " ")]
}

func (r *Route53) serve(w http.ResponseWriter, c *call) {
	_, _, account := r.cloud.sts.caller(c)
	if !r.spend(account, c.Operation) {
		r.refuse(w, c, Throttled)
		return
	}
	owner := r
	if account != Account {
		owner = newRoute53(r.cloud) // who owns nothing here
	}
	answer := map[string]func(*call) (any, error){
		"ListHostedZonesByName":           owner.listZonesByName,
		"ListHostedZones":                 owner.listZones,
		"GetHostedZone":                   owner.getZone,
		"ListResourceRecordSets":          owner.listRecords,
		"ChangeResourceRecordSets":        owner.changeRecords,
		"GetChange":                       owner.getChange,
		"ListHealthChecks":                owner.listHealthChecks,
		"GetHealthCheck":                  owner.getHealthCheck,
		"UpdateHealthCheck":               owner.updateHealthCheck,
		"GetHealthCheckStatus":            owner.getStatus,
		"GetHealthCheckLastFailureReason": owner.getLastFailure,
	}[c.Operation]
	if answer == nil {
		r.refuse(w, c, badRequest("InvalidAction", "Could not find operation at "+c.Request.Method+" "+c.Request.URL.Path))
		return
	}
	owner.mu.Lock()
	body, err := answer(c)
	owner.mu.Unlock()
	if err != nil {
		r.refuse(w, c, asError(err))
		return
	}
	write53(w, http.StatusOK, c.Operation+"Response", body)
}

// bucket holds the requests that somebody may make: so many at once, and so many
// more a second.
type bucket struct {
	tokens float64
	at     time.Time
}

// limits53 are the requests at once and a second, of an account altogether and of
// each operation for itself. That of an account is the one which AWS enforced for
// years and tools are told to keep to; now it documents 50 at once and 10 a second,
// and has fewer for GetHealthCheckStatus.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/throttling-api-requests.html
// https://repost.aws/knowledge-center/route-53-avoid-throttling-errors
func limits53(operation string) (atOnce, aSecond float64) {
	switch operation {
	case "GetHealthCheckStatus", "GetHealthCheckLastFailureReason":
		return 4, 1
	}
	return 5, 5
}

// spend takes one of the requests that an account has, of each kind; false when it
// has none left.
func (r *Route53) spend(account, operation string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.enforced {
		return true
	}
	altogether, each := r.bucket(account, ""), r.bucket(account, operation)
	if altogether.tokens < 1 || each.tokens < 1 {
		return false
	}
	altogether.tokens--
	each.tokens--
	return true
}

// bucket fills up with the time.
func (r *Route53) bucket(account, operation string) *bucket {
	atOnce, aSecond := limits53(operation)
	now := r.cloud.options.Now()
	b := r.buckets[account+" "+operation]
	if b == nil {
		b = &bucket{tokens: atOnce, at: now}
		r.buckets[account+" "+operation] = b
	}
	b.tokens = min(atOnce, b.tokens+now.Sub(b.at).Seconds()*aSecond)
	b.at = now
	return b
}

// refuse answers an error in the envelope that the query protocol has, too.
// https://docs.aws.amazon.com/Route53/latest/APIReference/requests-rest-responses.html
func (r *Route53) refuse(w http.ResponseWriter, c *call, e Error) {
	type inner struct {
		Type, Code, Message string
	}
	kind := "Sender"
	if e.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	write53(w, e.Status, "ErrorResponse", struct {
		Error inner
		ID    string `xml:"RequestId"`
	}{inner{kind, e.Code, e.Message}, c.ID})
}

func write53(w http.ResponseWriter, status int, name string, body any) {
	text, err := xml.Marshal(wrapped{XMLName: xml.Name{Space: namespace53, Local: name}, Inner: body})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, xml.Header)
	_, _ = w.Write(text)
}

// id is the third part of a path: /2013-04-01/hostedzone/Z1 is about Z1.
func id53(c *call) string {
	if parts := segments(c.Request); len(parts) > 2 {
		return parts[2]
	}
	return ""
}

func (r *Route53) zone(c *call) (*zone, error) {
	if z := r.zones[id53(c)]; z != nil {
		return z, nil
	}
	return nil, Error{http.StatusNotFound, "NoSuchHostedZone", "No hosted zone found with ID: " + id53(c)}
}

func (r *Route53) healthCheck(c *call) (*healthCheck, error) {
	if h := r.checks[id53(c)]; h != nil {
		return h, nil
	}
	return nil, missingHealthCheck(id53(c))
}

func missingHealthCheck(id string) Error {
	return Error{http.StatusNotFound, "NoSuchHealthCheck", "A health check with id " + id + " does not exist."}
}

func invalidInput(message string) Error { return badRequest("InvalidInput", message) }

// wireZone is a hosted zone as the API tells it.
type wireZone struct {
	ID              string `xml:"Id"`
	Name            string
	CallerReference string
	PrivateZone     bool `xml:"Config>PrivateZone"`
	Count           int  `xml:"ResourceRecordSetCount"`
	Features        *wireFeatures
}

type wireFeatures struct{ AcceleratedRecoveryStatus string }

func (z *zone) wire() wireZone {
	told := wireZone{ID: "/hostedzone/" + z.ID, Name: escaped(z.Name), CallerReference: "lab-" + z.ID, PrivateZone: z.Private, Count: z.told.count()}
	if z.Accelerated {
		told.Features = &wireFeatures{"ENABLED"}
	}
	return told
}

// wireRecord is a resource record set as the API tells it, and is told it.
type wireRecord struct {
	Name             string
	Type             string
	SetIdentifier    string     `xml:",omitempty"`
	Weight           *int64     `xml:",omitempty"`
	Region           string     `xml:",omitempty"`
	Failover         string     `xml:",omitempty"`
	MultiValueAnswer bool       `xml:",omitempty"`
	TTL              *int64     `xml:",omitempty"`
	Records          []value    `xml:"ResourceRecords>ResourceRecord"`
	Alias            *wireAlias `xml:"AliasTarget"`
	HealthCheckID    string     `xml:"HealthCheckId,omitempty"`
}

type value struct{ Value string }

type wireAlias struct {
	HostedZoneID         string `xml:"HostedZoneId"`
	DNSName              string
	EvaluateTargetHealth bool
}

func (s RecordSet) wire() wireRecord {
	told := wireRecord{
		Name: escaped(s.Name), Type: s.Type, SetIdentifier: s.SetIdentifier, Weight: s.Weight, Region: s.Region, Failover: s.Failover,
		MultiValueAnswer: s.MultiValue, HealthCheckID: s.HealthCheck,
	}
	if s.Alias != nil {
		told.Alias = &wireAlias{s.Alias.HostedZoneID, escaped(s.Alias.DNSName), s.Alias.EvaluateTargetHealth}
		return told
	}
	told.TTL = &s.TTL
	for _, v := range s.Values {
		told.Records = append(told.Records, value{v})
	}
	return told
}

func (w wireRecord) record(zone string) RecordSet {
	s := RecordSet{
		Zone: zone, Name: w.Name, Type: w.Type, SetIdentifier: w.SetIdentifier, Weight: w.Weight, Region: w.Region, Failover: w.Failover,
		MultiValue: w.MultiValueAnswer, HealthCheck: w.HealthCheckID,
	}
	if w.Alias != nil {
		s.Alias = &AliasTarget{DNSName: w.Alias.DNSName, HostedZoneID: w.Alias.HostedZoneID, EvaluateTargetHealth: w.Alias.EvaluateTargetHealth}
	}
	if w.TTL != nil {
		s.TTL = *w.TTL
	}
	for _, v := range w.Records {
		s.Values = append(s.Values, v.Value)
	}
	return s.normal()
}

// escaped writes an asterisk as the API does.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html
func escaped(name string) string { return strings.ReplaceAll(name, "*", `\052`) }

// wireHealthCheck is a health check as the API tells it.
type wireHealthCheck struct {
	ID                 string `xml:"Id"`
	CallerReference    string
	HealthCheckConfig  wireConfig
	HealthCheckVersion int64
	Alarm              *wireAlarm `xml:"CloudWatchAlarmConfiguration"`
}

type wireConfig struct {
	IPAddress                    string `xml:",omitempty"`
	Port                         int    `xml:",omitempty"`
	Type                         string
	ResourcePath                 string `xml:",omitempty"`
	FullyQualifiedDomainName     string `xml:",omitempty"`
	SearchString                 string `xml:",omitempty"`
	RequestInterval              int    `xml:",omitempty"`
	FailureThreshold             int    `xml:",omitempty"`
	MeasureLatency               bool
	Inverted                     bool
	Disabled                     bool
	HealthThreshold              *int     `xml:",omitempty"`
	Children                     []string `xml:"ChildHealthChecks>ChildHealthCheck"`
	EnableSNI                    *bool    `xml:",omitempty"`
	Regions                      []string `xml:"Regions>Region"`
	AlarmIdentifier              *wireAlarmName
	InsufficientDataHealthStatus string `xml:",omitempty"`
}

type wireAlarmName struct{ Region, Name string }

type wireAlarm struct {
	EvaluationPeriods                int
	Threshold                        float64
	ComparisonOperator               string
	Period                           int
	MetricName, Namespace, Statistic string
}

// wire tells only what the type of a check has.
// https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
func (h *healthCheck) wire() wireHealthCheck {
	config := wireConfig{Type: h.Type, Inverted: h.Inverted, Disabled: h.Disabled}
	told := wireHealthCheck{ID: h.ID, CallerReference: "lab-" + h.ID, HealthCheckVersion: h.version}
	switch {
	case h.monitorsEndpoint():
		config.IPAddress, config.Port, config.FullyQualifiedDomainName = h.IP, h.Port, h.FQDN
		config.ResourcePath, config.SearchString = h.Path, h.Search
		config.RequestInterval, config.FailureThreshold, config.Regions = h.Interval, h.Threshold, h.Regions
		if h.Type != "TCP" {
			sni := strings.HasPrefix(h.Type, "HTTPS")
			config.EnableSNI = &sni
		}
	case h.Type == "CALCULATED":
		config.HealthThreshold, config.Children = &h.HealthThreshold, h.Children
	case h.Type == "CLOUDWATCH_METRIC":
		config.AlarmIdentifier = &wireAlarmName{h.AlarmRegion, h.AlarmName}
		config.InsufficientDataHealthStatus = h.InsufficientData
		told.Alarm = &wireAlarm{h.AlarmEvaluationPeriods, 1, "LessThanThreshold", h.AlarmPeriod, "HealthyHostCount", "AWS/ApplicationELB", "Minimum"}
	}
	told.HealthCheckConfig = config
	return told
}
