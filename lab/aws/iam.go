package aws

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// IAM holds the policies of principals. A role that has some may do what they
// allow and nothing else, in every service here; one that has none, and a user,
// may do all.
type IAM struct {
	query

	mu       sync.Mutex
	policies map[string][]policy // by ARN of the principal
}

// policy is a policy document.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
type policy struct {
	name       string
	Statements oneOrMore[statement] `json:"Statement"`
}

type statement struct {
	Effect                string
	Action, NotAction     oneOrMore[string]
	Resource, NotResource oneOrMore[string]
	Condition             map[string]map[string]any
}

// oneOrMore is a list that may be written as the one that it holds.
type oneOrMore[T any] []T

// UnmarshalJSON reads a list, or one.
func (l *oneOrMore[T]) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]T)(l))
	}
	var one T
	err := json.Unmarshal(text, &one)
	*l = oneOrMore[T]{one}
	return err
}

func newIAM() *IAM {
	i := &IAM{policies: make(map[string][]policy)}
	i.query = query{
		namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
		actions:   map[string]func(*call, url.Values) (any, error){"SimulatePrincipalPolicy": i.simulate},
	}
	return i
}

// IAM gives the Identity and Access Management of this AWS.
func (c *Cloud) IAM() *IAM { return c.iam }

// Attach gives a principal a policy, written in JSON.
func (i *IAM) Attach(principal, name, document string) error {
	p, err := readPolicy(name, document)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.policies[principal] = append(i.policies[principal], p)
	return nil
}

// Detach takes all policies from a principal, which may then do everything.
func (i *IAM) Detach(principal string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.policies, principal)
}

func readPolicy(name, document string) (policy, error) {
	p := policy{name: name}
	if err := json.Unmarshal([]byte(document), &p); err != nil || len(p.Statements) == 0 {
		return p, fmt.Errorf("read the policy %s: it holds no statement, or is no JSON: %w", name, err)
	}
	return p, nil
}

// forbids refuses what the policies of a role do not allow.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (i *IAM) forbids(c *call, role, caller string) (Error, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	policies, limited := i.policies[role]
	action := actionOf(c.Asked)
	if !limited || action == "sts:GetCallerIdentity" || evaluate(policies, action, "").decision == allowed {
		return Error{}, false
	}
	return Error{http.StatusForbidden, "AccessDenied", fmt.Sprintf(
		"User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", caller, action, action)}, true
}

// actionOf names the action that an operation needs. In S3 it has another name.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
func actionOf(a Asked) string {
	if a.Service != "s3" {
		return cmp.Or(map[string]string{"monitoring": "cloudwatch"}[a.Service], a.Service) + ":" + a.Operation
	}
	return "s3:" + cmp.Or(map[string]string{
		"HeadObject": "GetObject", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket",
		"GetObjectLockConfiguration": "GetBucketObjectLockConfiguration", "GetBucketEncryption": "GetEncryptionConfiguration",
		"GetBucketReplication": "GetReplicationConfiguration", "ListMultipartUploads": "ListBucketMultipartUploads",
		"ListParts": "ListMultipartUploadParts", "ListObjectVersions": "ListBucketVersions", "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
	}[a.Operation], a.Operation)
}

// The decisions of a simulation.
const (
	allowed      = "allowed"
	explicitDeny = "explicitDeny"
	implicitDeny = "implicitDeny"
)

type evaluation struct {
	decision string
	matched  []string // names of policies
	missing  []string // keys of conditions that nobody gave
}

// evaluate follows the logic of one account: an explicit deny wins, and what
// nothing allows is denied. A statement with a condition does not match, since
// nobody gives the context, and its keys are told. An empty resource stands for
// whatever it is about.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func evaluate(policies []policy, action, resource string) evaluation {
	e := evaluation{decision: implicitDeny}
	for _, p := range policies {
		for _, s := range p.Statements {
			if !s.matches(action, resource) {
				continue
			}
			if len(s.Condition) > 0 {
				for _, keys := range s.Condition {
					for key := range keys {
						e.missing = append(e.missing, key)
					}
				}
				continue
			}
			e.matched = append(e.matched, p.name)
			if s.Effect == "Deny" {
				e.decision = explicitDeny
			} else if e.decision == implicitDeny {
				e.decision = allowed
			}
		}
	}
	slices.Sort(e.missing)
	e.missing = slices.Compact(e.missing)
	return e
}

func (s statement) matches(action, resource string) bool {
	act := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(action)) }
	on := func(pattern string) bool { return resource == "" || like(pattern, resource) }
	if len(s.Action) > 0 && !slices.ContainsFunc(s.Action, act) || slices.ContainsFunc(s.NotAction, act) {
		return false
	}
	if len(s.NotResource) > 0 {
		return !slices.ContainsFunc(s.NotResource, func(pattern string) bool { return like(pattern, resource) })
	}
	return slices.ContainsFunc(s.Resource, on)
}

// like matches with * for any text and ? for any letter.
func like(pattern, text string) bool {
	expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	ok, err := regexp.MatchString("^(?s:"+expression+")$", text)
	return err == nil && ok
}

type simulation struct {
	IsTruncated bool
	Marker      string   `xml:",omitempty"`
	Results     []result `xml:"EvaluationResults>member"`
}

type result struct {
	EvalActionName    string
	EvalResourceName  string
	EvalDecision      string
	MatchedStatements []matched `xml:"MatchedStatements>member"`
	Missing           []string  `xml:"MissingContextValues>member"`
}

type matched struct {
	SourcePolicyID   string `xml:"SourcePolicyId"`
	SourcePolicyType string
}

// simulate tells what a principal may do.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (i *IAM) simulate(_ *call, form url.Values) (any, error) {
	principal := form.Get("PolicySourceArn")
	i.mu.Lock()
	policies := slices.Clone(i.policies[principal])
	i.mu.Unlock()
	if policies == nil {
		return nil, Error{http.StatusNotFound, "NoSuchEntity", "The principal " + principal + " cannot be found."}
	}
	for n, document := range members(form, "PolicyInputList") {
		p, err := readPolicy("PolicyInputList."+strconv.Itoa(n+1), document)
		if err != nil {
			return nil, Error{http.StatusBadRequest, "InvalidInput", err.Error()}
		}
		policies = append(policies, p)
	}
	actions, resources := members(form, "ActionNames"), members(form, "ResourceArns")
	if len(actions) == 0 {
		return nil, invalid("Value null at 'actionNames' failed to satisfy constraint: Member must not be null")
	}
	if len(resources) == 0 {
		resources = []string{"*"} // which stands for all resources
	}
	var all []result
	for _, action := range actions {
		for _, resource := range resources {
			e := evaluate(policies, action, resource)
			r := result{EvalActionName: action, EvalResourceName: resource, EvalDecision: e.decision, Missing: e.missing}
			for _, name := range e.matched {
				r.MatchedStatements = append(r.MatchedStatements, matched{name, "role"})
			}
			all = append(all, r)
		}
	}
	return part(all, form)
}

// part pages by MaxItems of up to 1,000; the default is 100.
func part(all []result, form url.Values) (any, error) {
	most, err := strconv.Atoi(cmp.Or(form.Get("MaxItems"), "100"))
	from, wrong := strconv.Atoi(cmp.Or(form.Get("Marker"), "0"))
	if err != nil || wrong != nil || most < 1 || most > 1000 || from < 0 || from > len(all) {
		return nil, invalid("Value at 'maxItems' or 'marker' failed to satisfy constraint")
	}
	rest := all[from:]
	if len(rest) <= most {
		return simulation{Results: rest}, nil
	}
	return simulation{IsTruncated: true, Marker: strconv.Itoa(from + most), Results: rest[:most]}, nil
}

// members reads a list of the query protocol.
func members(form url.Values, name string) (all []string) {
	for n := 1; form.Has(name + ".member." + strconv.Itoa(n)); n++ {
		all = append(all, form.Get(name+".member."+strconv.Itoa(n)))
	}
	return all
}
