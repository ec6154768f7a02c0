package aws

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// operation reads the name out of the path for RPC v2, out of a header for JSON, and
// out of the form for the query protocol: the SDK for Go speaks the first, that for
// JavaScript the second, the command line the third.
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func (w *CloudWatch) operation(r *http.Request, body []byte) string {
	if speaksCBOR(r) {
		return path.Base(r.URL.Path)
	}
	if speaksJSON(r) {
		return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), metricTarget)
	}
	return new(query).operation(r, body)
}

func speaksCBOR(r *http.Request) bool { return r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" }

func (w *CloudWatch) serve(out http.ResponseWriter, c *call) {
	if c.Operation != "GetMetricData" {
		w.refuse(out, c, badRequest("InvalidAction", "Could not find operation "+c.Operation))
		return
	}
	read := readMetricForm
	switch {
	case speaksCBOR(c.Request):
		read = readMetricCBOR
	case speaksJSON(c.Request):
		read = readMetricJSON
	}
	request, err := read(c.Body)
	if err != nil {
		w.refuse(out, c, asError(err))
		return
	}
	results, token, err := w.getMetricData(c.Request.Context(), c.Region, request)
	switch {
	case err != nil:
		w.refuse(out, c, asError(err))
	case speaksCBOR(c.Request):
		writeCBOR(out, http.StatusOK, metricCBOR(results, token))
	case speaksJSON(c.Request):
		writeJSON(out, http.StatusOK, metricKind, metricJSON(results, token))
	default:
		writeXML(out, http.StatusOK, metricXML(results, token, c.ID))
	}
}

// refuse tells an error. A service that spoke the query protocol before says in a
// header what the code was there.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait
func (w *CloudWatch) refuse(out http.ResponseWriter, c *call, refusal Error) {
	if !speaksCBOR(c.Request) && !speaksJSON(c.Request) {
		(&query{}).refuse(out, c, refusal)
		return
	}
	side := "Sender"
	if refusal.Status >= http.StatusInternalServerError {
		side = "Receiver"
	}
	out.Header().Set("X-Amzn-Query-Error", refusal.Code+";"+side)
	kind := "com.amazonaws.cloudwatch#" + refusal.Code
	if speaksJSON(c.Request) {
		writeJSON(out, refusal.Status, metricKind, map[string]string{"__type": kind, "message": refusal.Message})
		return
	}
	writeCBOR(out, refusal.Status, cbor.Map{"__type": cbor.String(kind), "message": cbor.String(refusal.Message)})
}

func writeCBOR(out http.ResponseWriter, status int, value cbor.Value) {
	out.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	out.Header().Set("Content-Type", "application/cbor")
	out.WriteHeader(status)
	_, _ = out.Write(cbor.Encode(value))
}

func metricCBOR(results []metricResult, token string) cbor.Value {
	list := cbor.List{}
	for _, r := range results {
		times, values := cbor.List{}, cbor.List{}
		for _, p := range r.points {
			times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(float64(p.at.Unix()))}) // epoch seconds
			values = append(values, cbor.Float64(p.value))
		}
		list = append(list, cbor.Map{
			"Id": cbor.String(r.id), "Label": cbor.String(r.label), "StatusCode": cbor.String(r.status), "Timestamps": times, "Values": values,
		})
	}
	answer := cbor.Map{"MetricDataResults": list, "Messages": cbor.List{}}
	if token != "" {
		answer["NextToken"] = cbor.String(token)
	}
	return answer
}

func metricXML(results []metricResult, token, id string) any {
	type result struct {
		Id, Label, StatusCode string
		Timestamps            []time.Time `xml:"Timestamps>member"`
		Values                []float64   `xml:"Values>member"`
	}
	type answer struct {
		NextToken string   `xml:",omitempty"`
		Results   []result `xml:"MetricDataResults>member"`
	}
	a := answer{NextToken: token}
	for _, r := range results {
		one := result{Id: r.id, Label: r.label, StatusCode: r.status}
		for _, p := range r.points {
			one.Timestamps, one.Values = append(one.Timestamps, p.at.UTC()), append(one.Values, p.value)
		}
		a.Results = append(a.Results, one)
	}
	return envelope{
		XMLName: xml.Name{Space: "http://monitoring.amazonaws.com/doc/2010-08-01/", Local: "GetMetricDataResponse"},
		Result:  wrapped{XMLName: xml.Name{Local: "GetMetricDataResult"}, Inner: a},
		ID:      id,
	}
}

func readMetricForm(body []byte) (metricRequest, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return metricRequest{}, badRequest("MalformedQueryString", err.Error())
	}
	r := metricRequest{ascending: form.Get("ScanBy") == "TimestampAscending", token: form.Get("NextToken")}
	r.most, _ = strconv.Atoi(form.Get("MaxDatapoints"))
	if r.start, err = readTime(form.Get("StartTime")); err != nil {
		return r, err
	}
	if r.end, err = readTime(form.Get("EndTime")); err != nil {
		return r, err
	}
	for n := 1; ; n++ {
		prefix := "MetricDataQueries.member." + strconv.Itoa(n) + "."
		if !form.Has(prefix + "Id") {
			return r, nil
		}
		stat := prefix + "MetricStat."
		dimension := stat + "Metric.Dimensions.member."
		seconds, _ := strconv.Atoi(form.Get(stat + "Period"))
		q := metricQuery{
			id: form.Get(prefix + "Id"), label: form.Get(prefix + "Label"), expression: form.Get(prefix + "Expression"),
			stat: form.Get(stat + "Stat"), period: time.Duration(seconds) * time.Second,
			key: gaugeKey{
				namespace: form.Get(stat + "Metric.Namespace"), name: form.Get(stat + "Metric.MetricName"),
				dimension: form.Get(dimension + "1.Name"), of: form.Get(dimension + "1.Value"),
			},
		}
		for form.Has(dimension + strconv.Itoa(q.dimensions+1) + ".Name") {
			q.dimensions++
		}
		r.queries = append(r.queries, q)
	}
}

func readTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, badRequest("ValidationError", "not a timestamp: "+text)
	}
	return at, nil
}

// readMetricCBOR reads the same out of CBOR. What is missing, or of another type,
// is empty; validate finds what may not be.
func readMetricCBOR(body []byte) (metricRequest, error) {
	value, err := cbor.Decode(body)
	if err != nil {
		return metricRequest{}, badRequest("SerializationException", err.Error())
	}
	top := item{value}
	r := metricRequest{
		start: top.at("StartTime").time(), end: top.at("EndTime").time(),
		ascending: top.at("ScanBy").text() == "TimestampAscending", token: top.at("NextToken").text(), most: top.at("MaxDatapoints").number(),
	}
	for _, one := range top.at("MetricDataQueries").list() {
		stat := one.at("MetricStat")
		metric := stat.at("Metric")
		q := metricQuery{
			id: one.at("Id").text(), label: one.at("Label").text(), expression: one.at("Expression").text(),
			stat: stat.at("Stat").text(), period: time.Duration(stat.at("Period").number()) * time.Second,
			key: gaugeKey{namespace: metric.at("Namespace").text(), name: metric.at("MetricName").text()},
		}
		for _, d := range metric.at("Dimensions").list() {
			q.dimensions++
			q.key.dimension, q.key.of = d.at("Name").text(), d.at("Value").text()
		}
		r.queries = append(r.queries, q)
	}
	return r, nil
}

// item is a CBOR value that is read without asking whether it is there.
type item struct{ cbor.Value }

func (i item) at(key string) item {
	m, _ := i.Value.(cbor.Map)
	return item{m[key]}
}

func (i item) text() string {
	s, _ := i.Value.(cbor.String)
	return string(s)
}

func (i item) list() []item {
	l, _ := i.Value.(cbor.List)
	all := make([]item, len(l))
	for n, v := range l {
		all[n] = item{v}
	}
	return all
}

func (i item) number() int {
	n, err := cbor.AsInt32(i.Value)
	if err != nil {
		return 0
	}
	return int(n)
}

// time reads a timestamp: tag 1 around seconds since the epoch.
func (i item) time() time.Time {
	tag, _ := i.Value.(*cbor.Tag)
	if tag == nil {
		return time.Time{}
	}
	seconds := 0.0
	switch v := tag.Value.(type) {
	case cbor.Uint:
		seconds = float64(v)
	case cbor.Float64:
		seconds = float64(v)
	case cbor.Float32:
		seconds = float64(v)
	}
	return ofSeconds(seconds)
}
