package audit

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Means is a way to reach somebody.
type Means struct {
	// Kind is phone, mail, pager or chat.
	Kind string
	// To is the number, the address, the service or the channel.
	To string
}

// MeansKinds lists the kinds of means.
func MeansKinds() []string { return []string{"phone", "mail", "pager", "chat"} }

// String writes what [ParseMeans] reads.
func (m Means) String() string { return m.Kind + ":" + m.To }

// ParseMeans reads a way to reach somebody, such as "phone:+49 30 901820". Its
// errors do not repeat it: they end up where a number of a person does not belong.
func ParseMeans(text string) (Means, error) {
	kind, to, found := strings.Cut(text, ":")
	m := Means{Kind: kind, To: strings.TrimSpace(to)}
	switch {
	case !found || !slices.Contains(MeansKinds(), kind):
		return Means{}, fmt.Errorf("begins with none of %s", alternatives([]string{"phone:", "mail:", "pager:", "chat:"}))
	case m.To == "":
		return Means{}, fmt.Errorf("%s: is empty", kind)
	case len(m.To) > 255 || strings.ContainsFunc(m.To, cannotBeShown):
		return Means{}, fmt.Errorf("%s: is to be one line, of 255 bytes at the most", kind)
	case isPlaceholder(m.To):
		return Means{}, fmt.Errorf("%s: is not filled in", kind)
	}
	var err error
	switch kind {
	case "phone":
		m.To, err = parsePhone(m.To)
	case "mail":
		err = checkMail(m.To)
	}
	if err != nil {
		return Means{}, fmt.Errorf("%s: %w", kind, err)
	}
	return m, nil
}

// placeholder is what stands where something is still to be written.
var placeholder = regexp.MustCompile(`(?i)^(todo|tbd|tba|fixme|changeme|change-me|none|n/a|unknown|nobody|\?+|x+|-+|\.+)$|\.\.\.|…|^<.*>$|^\$\{`)

func isPlaceholder(text string) bool { return placeholder.MatchString(text) }

var (
	separators = strings.NewReplacer(" ", "", "-", "", ".", "", "/", "", "(", "", ")", "")
	e164       = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`) // ITU-T E.164: 15 digits at the most
)

// parsePhone wants the country in the number: whoever has to call may be abroad.
func parsePhone(text string) (string, error) {
	number := separators.Replace(text)
	switch {
	case !strings.HasPrefix(number, "+"):
		return "", errors.New("begins with + and the country, so that it can be called from anywhere")
	case !e164.MatchString(number):
		return "", errors.New("is no number: + and 7 to 15 digits, with spaces between them as you like")
	}
	return number, nil
}

func checkMail(text string) error {
	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text {
		return errors.New("is no address: write ada@festivals.app")
	}
	_, domain, _ := strings.Cut(text, "@")
	if labels := strings.Split(strings.ToLower(domain), "."); reserved(labels) {
		return errors.New("is in a domain that is for examples and that nobody reads (RFC 2606)")
	}
	return nil
}

func reserved(labels []string) bool {
	top := labels[len(labels)-1]
	if slices.Contains([]string{"example", "invalid", "test", "localhost"}, top) {
		return true
	}
	return len(labels) > 1 && labels[len(labels)-2] == "example" && slices.Contains([]string{"com", "net", "org"}, top)
}

// contacts are, for each role, that somebody has it, can be reached, and was.
func (e evaluation) contacts() []Rest {
	if len(e.Contacts) == 0 {
		return []Rest{{What: "contacts", Evidence: "the file names nobody", Remedy: "name in audit.contacts who has each role, and how to reach them: " + strings.Join(e.Roles, ", ")}}
	}
	var rests []Rest
	for _, role := range e.roles() {
		within, somebody := time.Duration(0), false
		for _, c := range e.Contacts {
			if c.Role != role {
				continue
			}
			rests = append(rests, c.reachable())
			if own := withinOf(c); !somebody || own < within {
				within = own
			}
			somebody = true
		}
		if !somebody {
			rests = append(rests, Rest{What: "contact " + role, Status: readiness.Fail, Evidence: "nobody has this role", Remedy: "name in audit.contacts who has it, and how to reach them"})
			continue
		}
		w := e.word(ofContact(role), within)
		rests = append(rests, w.rest("contact "+role+": confirmed", "reach them by what the file says, and attest that they answered"))
	}
	return rests
}

func withinOf(c Contact) time.Duration { return within(c.Within) }

// reachable tells the kinds of the means, and nothing else of them.
func (c Contact) reachable() Rest {
	rest := Rest{What: "contact " + c.Role + ": reachable", Status: readiness.Pass}
	var ways, wrong []string
	for _, text := range c.Means {
		if m, err := ParseMeans(text); err != nil {
			wrong = append(wrong, err.Error())
		} else if !slices.Contains(ways, m.Kind) {
			ways = append(ways, m.Kind)
		}
	}
	name := strings.TrimSpace(c.Name)
	switch {
	case name == "" || isPlaceholder(name):
		rest.Status, rest.Evidence, rest.Remedy = readiness.Fail, "it is not said who it is", "give the name in audit.contacts"
	case len(ways) == 0 && len(wrong) == 0:
		rest.Status, rest.Evidence, rest.Remedy = readiness.Fail, name+" cannot be reached: no means are given", "give at least one of the means "+alternatives(MeansKinds())+" in audit.contacts"
	case len(ways) == 0:
		rest.Status, rest.Evidence, rest.Remedy = readiness.Fail, name+" cannot be reached: "+strings.Join(wrong, "; "), "correct the means in audit.contacts"
	case len(wrong) > 0:
		rest.Status, rest.Evidence, rest.Remedy = readiness.Warn, fmt.Sprintf("%s by %s; but %s", name, strings.Join(ways, ", "), strings.Join(wrong, "; ")), "correct the means in audit.contacts"
	default:
		rest.Evidence = name + " by " + strings.Join(ways, ", ")
	}
	return rest
}
