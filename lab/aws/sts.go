package aws

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Role is what may be assumed.
type Role struct {
	ARN string
	// ExternalID is what its trust policy asks for; empty asks for none.
	ExternalID string
	// MaxSession is the longest session that it grants; zero means an hour, as for
	// a role that nobody has set it for.
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
	MaxSession time.Duration
}

// STS is the Security Token Service: who is who, and for how long.
type STS struct {
	query
	now func() time.Time

	mu       sync.Mutex
	roles    map[string]Role
	sessions map[string]*session // by session token
}

// session is a role that somebody plays.
type session struct {
	role, name, key string
	until           time.Time
}

func newSTS(now func() time.Time) *STS {
	s := &STS{now: now, roles: make(map[string]Role), sessions: make(map[string]*session)}
	s.query = query{
		namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
		actions: map[string]func(*call, url.Values) (any, error){
			"GetCallerIdentity": s.getCallerIdentity,
			"AssumeRole":        s.assumeRole,
		},
	}
	return s
}

// STS gives the Security Token Service of this AWS.
func (c *Cloud) STS() *STS { return c.sts }

// Put makes a role, or makes it anew.
func (s *STS) Put(r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.ARN] = r
}

// Delete takes a role away: it can be assumed no more.
func (s *STS) Delete(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, arn)
}

// Expire ends every session of a role now, before its time.
func (s *STS) Expire(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.sessions {
		if session.role == arn {
			session.until = s.now()
		}
	}
}

// admit refuses who signs with a session that has ended, or that never was.
// Keys without a session token are those of a user, and always good.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func (s *STS) admit(c *call) (refusal Error, refused bool) {
	if c.Token == "" {
		return Error{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[c.Token]
	switch {
	case session == nil || session.key != c.AccessKey:
		return Error{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid"}, true
	case !s.now().Before(session.until):
		return Expired, true
	}
	return Error{}, false
}

// caller names who signed: a user, or the session of a role.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (s *STS) caller(c *call) (id, arn, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[c.Token]
	if session == nil {
		return "AIDALABLABLABLABLABLA", "arn:aws:iam::" + Account + ":user/lab", Account
	}
	return roleID(session.role) + ":" + session.name, session.arn(), accountOf(session.role)
}

// role is the ARN of the role that signed; empty for a user.
func (s *STS) role(c *call) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session := s.sessions[c.Token]; session != nil {
		return session.role
	}
	return ""
}

// arn is what a session calls itself: the path of the role is not part of it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func (s *session) arn() string {
	role := s.role[strings.LastIndex(s.role, "/")+1:]
	return fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", accountOf(s.role), role, s.name)
}

// accountOf is the fifth part of an ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// roleID is the unique id of a role, which begins with AROA.
func roleID(arn string) string {
	var sum uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(arn) {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return fmt.Sprintf("AROA%017d", sum%100000000000000000)
}

func (s *STS) getCallerIdentity(c *call, _ url.Values) (any, error) {
	type result struct {
		UserID  string `xml:"UserId"`
		Account string
		Arn     string
	}
	id, arn, account := s.caller(c)
	return result{id, account, arn}, nil
}

type assumedRole struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
}

// sessionName is the pattern that a RoleSessionName must match.
var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// assumeRole grants a session. A role that is not there, and one whose external
// id is not met, are refused alike, so that nobody learns which roles there are.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_common-scenarios_third-party.html
func (s *STS) assumeRole(c *call, form url.Values) (any, error) {
	arn, name := form.Get("RoleArn"), form.Get("RoleSessionName")
	if !sessionName.MatchString(name) {
		return nil, invalid("Value '" + name + "' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*")
	}
	lasts, err := duration(form.Get("DurationSeconds"))
	if err != nil {
		return nil, err
	}
	_, user, _ := s.caller(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	role, ok := s.roles[arn]
	if !ok || role.ExternalID != "" && role.ExternalID != form.Get("ExternalId") {
		return nil, Error{http.StatusForbidden, "AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", user, arn)}
	}
	most := role.MaxSession
	if most == 0 {
		most = time.Hour
	}
	if lasts > most {
		return nil, Error{http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."}
	}
	granted := &session{role: arn, name: name, key: "ASIA" + rand.Text()[:16], until: s.now().Add(lasts).Truncate(time.Second)}
	token := rand.Text() + rand.Text()
	s.sessions[token] = granted
	var r assumedRole
	r.Credentials.AccessKeyID, r.Credentials.SecretAccessKey = granted.key, rand.Text()
	r.Credentials.SessionToken, r.Credentials.Expiration = token, granted.until.UTC()
	r.AssumedRoleUser.AssumedRoleID, r.AssumedRoleUser.Arn = roleID(arn)+":"+name, granted.arn()
	return r, nil
}

// duration reads DurationSeconds: 15 minutes to 12 hours, an hour when not given.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return time.Hour, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 900 || seconds > 43200 {
		return 0, invalid("Value '" + text + "' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900")
	}
	return time.Duration(seconds) * time.Second, nil
}

func invalid(what string) Error {
	return Error{http.StatusBadRequest, "ValidationError", "1 validation error detected: " + what}
}
