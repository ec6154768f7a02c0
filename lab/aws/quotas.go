package aws

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Quota is how much of something an account may have in a region.
type Quota struct {
	Service, ServiceName string // such as rds
	Code, Name           string // such as L-7B6409FD
	Value                float64
	Unit                 string // empty is None
	Adjustable, Global   bool
}

// Quotas is Service Quotas. It has those of a new account for what a restore
// needs; others can be put.
type Quotas struct {
	mu     sync.Mutex
	quotas []Quota
}

// newQuotas has the defaults of
// https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
func newQuotas() *Quotas {
	const service = "Amazon Relational Database Service (Amazon RDS)"
	return &Quotas{quotas: []Quota{
		{"rds", service, "L-7B6409FD", "DB instances", 40, "", true, false},
		{"rds", service, "L-952B80B8", "DB clusters", 40, "", true, false},
		{"rds", service, "L-272F1212", "Manual DB instance snapshots", 100, "", true, false},
		{"rds", service, "L-9B510759", "Manual DB cluster snapshots", 100, "", true, false},
		{"rds", service, "L-7ADDB58A", "Total storage for all DB instances", 100000, "Gigabytes", true, false},
	}}
}

// Quotas gives the Service Quotas of this AWS.
func (c *Cloud) Quotas() *Quotas { return c.services["servicequotas"].(*Quotas) }

// Put sets a quota, in every region.
func (q *Quotas) Put(quota Quota) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.quotas = slices.DeleteFunc(q.quotas, func(old Quota) bool { return old.Service == quota.Service && old.Code == quota.Code })
	q.quotas = append(q.quotas, quota)
}

// jsonKind is the protocol: JSON 1.1, with the operation in a header.
// https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
const jsonKind = "application/x-amz-json-1.1"

func (q *Quotas) operation(r *http.Request, _ []byte) string {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "ServiceQuotasV20190624.")
	return operation
}

func (q *Quotas) serve(w http.ResponseWriter, c *call) {
	var asked struct {
		ServiceCode, QuotaCode, NextToken string
		MaxResults                        int
	}
	if err := json.Unmarshal(c.Body, &asked); err != nil {
		q.refuse(w, c, Error{http.StatusBadRequest, "SerializationException", "could not read the request"})
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	of := slices.DeleteFunc(slices.Clone(q.quotas), func(quota Quota) bool { return quota.Service != asked.ServiceCode })
	slices.SortFunc(of, func(a, b Quota) int { return strings.Compare(a.Code, b.Code) })
	switch c.Operation {
	case "GetServiceQuota":
		q.get(w, c, of, asked.QuotaCode)
	case "ListServiceQuotas":
		q.list(w, c, of, asked.NextToken, cmp.Or(asked.MaxResults, 100))
	default:
		q.refuse(w, c, Error{http.StatusBadRequest, "UnknownOperationException", "There is no such operation"})
	}
}

func (q *Quotas) refuse(w http.ResponseWriter, _ *call, e Error) { refuseJSON(w, jsonKind, e) }

var noQuota = Error{http.StatusBadRequest, "NoSuchResourceException", "The request failed because the specified service or quota does not exist."}

// get gives one. https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
func (q *Quotas) get(w http.ResponseWriter, c *call, of []Quota, code string) {
	for _, quota := range of {
		if quota.Code == code {
			writeJSON(w, http.StatusOK, jsonKind, map[string]any{"Quota": quota.told(c)})
			return
		}
	}
	q.refuse(w, c, noQuota)
}

// list gives those of a service, up to 100 at once. The token says after which of
// them the next page begins.
// https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html
func (q *Quotas) list(w http.ResponseWriter, c *call, of []Quota, token string, most int) {
	if len(of) == 0 {
		q.refuse(w, c, noQuota)
		return
	}
	if most < 1 || most > 100 {
		q.refuse(w, c, Error{http.StatusBadRequest, "IllegalArgumentException", "MaxResults is out of range"})
		return
	}
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		q.refuse(w, c, Error{http.StatusBadRequest, "InvalidPaginationTokenException", "Invalid input was provided."})
		return
	}
	of = slices.DeleteFunc(of, func(quota Quota) bool { return quota.Code <= string(last) })
	answer := map[string]any{}
	if len(of) > most {
		of = of[:most]
		answer["NextToken"] = base64.RawURLEncoding.EncodeToString([]byte(of[most-1].Code))
	}
	all := make([]any, len(of))
	for i, quota := range of {
		all[i] = quota.told(c)
	}
	answer["Quotas"] = all
	writeJSON(w, http.StatusOK, jsonKind, answer)
}

func (q Quota) told(c *call) map[string]any {
	return map[string]any{
		"ServiceCode": q.Service, "ServiceName": q.ServiceName, "QuotaCode": q.Code, "QuotaName": q.Name, "Value": q.Value,
		"QuotaArn": "arn:aws:servicequotas:" + c.Region + ":" + Account + ":" + q.Service + "/" + q.Code,
		"Unit":     cmp.Or(q.Unit, "None"), "Adjustable": q.Adjustable, "GlobalQuota": q.Global,
	}
}
