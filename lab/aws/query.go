package aws

import (
	"encoding/xml"
	"net/http"
	"net/url"
)

// query is the AWS query protocol: a form with an Action, answered in XML.
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
type query struct {
	namespace string
	actions   map[string]func(c *call, form url.Values) (any, error)
}

func (q *query) operation(_ *http.Request, body []byte) string {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

func (q *query) serve(w http.ResponseWriter, c *call) {
	form, _ := url.ParseQuery(string(c.Body))
	action := q.actions[c.Operation]
	if action == nil {
		q.refuse(w, c, Error{http.StatusBadRequest, "InvalidAction", "Could not find operation " + c.Operation})
		return
	}
	result, err := action(c, form)
	if err != nil {
		q.refuse(w, c, asError(err))
		return
	}
	writeXML(w, http.StatusOK, envelope{
		XMLName: xml.Name{Space: q.namespace, Local: c.Operation + "Response"},
		Result:  wrapped{XMLName: xml.Name{Local: c.Operation + "Result"}, Inner: result},
		ID:      c.ID,
	})
}

type envelope struct {
	XMLName xml.Name
	Result  wrapped
	ID      string `xml:"ResponseMetadata>RequestId"`
}

type wrapped struct {
	XMLName xml.Name
	Inner   any
}

// MarshalXML writes the fields of the result right into the element.
func (r wrapped) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	return e.EncodeElement(r.Inner, xml.StartElement{Name: r.XMLName})
}

func (q *query) refuse(w http.ResponseWriter, c *call, refusal Error) {
	type inner struct {
		Type, Code, Message string
	}
	kind := "Sender"
	if refusal.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	writeXML(w, refusal.Status, struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Error   inner
		ID      string `xml:"RequestId"`
	}{Error: inner{kind, refusal.Code, refusal.Message}, ID: c.ID})
}

func writeXML(w http.ResponseWriter, status int, body any) {
	text, err := xml.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
