package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Config is the key audit of the file.
type Config struct {
	Items    []ItemConfig `yaml:"items,omitempty" jsonschema_description:"What changes the items of the checklists, by name, or adds others."`
	Roles    []string     `yaml:"roles,omitempty" jsonschema:"minItems=1,uniqueItems=true,example=incident-commander" jsonschema_description:"The roles that somebody has to have, instead of incident-commander, database-lead, infrastructure-lead, communications-lead and security-lead."`
	Runbooks []Runbook    `yaml:"runbooks,omitempty" jsonschema_description:"The procedures that people follow."`
	Contacts []Contact    `yaml:"contacts,omitempty" jsonschema_description:"Who has which role, and how to reach them."`
}

// ItemConfig changes an item that there is, or adds one. What is left out stays as
// it is.
type ItemConfig struct {
	Name  string `yaml:"name" jsonschema:"maxLength=63,example=dns-failover" jsonschema_description:"Name of the item: one that there is, or a new one, in small letters and digits with dashes between them."`
	Title string `yaml:"title,omitempty" jsonschema:"example=Payment provider told of the standby" jsonschema_description:"What it says to people. A new item needs one."`
	Phase Phase  `yaml:"phase,omitempty" jsonschema:"enum=pre-disaster,enum=during,enum=post-disaster,default=pre-disaster" jsonschema_description:"When it is due. That of a new item is pre-disaster where nothing is said."`
	// Observed, where it is not nil, takes the place of what there is.
	Observed []Selector `yaml:"observed,omitempty" jsonschema_description:"The checks that it rests on, instead of those that it rested on; an empty list is none."`
	Attested Validity   `yaml:"attested,omitempty" jsonschema:"example=2160h" jsonschema_description:"For how long it counts when a person attests it, a year at the most; never where nobody has to."`
	Remedy   string     `yaml:"remedy,omitempty" jsonschema_description:"What to do before it can be attested."`
}

// Validity is for how long an attestation counts, as the file says it: a duration,
// or never where nobody has to attest. Empty says nothing.
type Validity string

// Never is the word for what nobody has to attest.
const Never Validity = "never"

func (v Validity) duration() (time.Duration, error) {
	if v == Never {
		return 0, nil
	}
	d, err := time.ParseDuration(string(v))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither a duration, such as 2160h, nor never", string(v))
	case d <= 0:
		return 0, fmt.Errorf("must be longer than zero; write never where nobody has to attest it")
	case d > MaxValidity:
		return 0, fmt.Errorf("%s is longer than a year: what nobody looks at for so long is worth nothing", v)
	}
	return d, nil
}

// Problem is a mistake in the configuration, or in an attestation.
type Problem struct {
	// Path leads to the mistake, keys joined by dots and indexes in brackets.
	Path string
	// Message says what is wrong and what to write instead.
	Message string
}

type problems []Problem

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Exists is what a file may name. What is nil is not known, and not held against it.
type Exists struct {
	// Of are the names of datastores and services.
	Of []string
	// Checks are the names of checks that are made.
	Checks []string
}

// Options are the checklists, runbooks and contacts as the file says, with what
// holds where it says nothing.
func (c Config) Options() Options {
	o := Options{Items: Defaults(), Runbooks: slices.Clone(c.Runbooks), Contacts: slices.Clone(c.Contacts), Roles: c.Roles}
	if len(o.Roles) == 0 {
		o.Roles = Roles()
	}
	for _, changed := range c.Items {
		i := slices.IndexFunc(o.Items, func(item Item) bool { return item.Name == changed.Name })
		if i < 0 {
			o.Items = append(o.Items, changed.over(Item{Name: changed.Name, Phase: Before}))
		} else {
			o.Items[i] = changed.over(o.Items[i])
		}
	}
	for i := range o.Runbooks {
		o.Runbooks[i].Within = within(o.Runbooks[i].Within)
	}
	for i := range o.Contacts {
		o.Contacts[i].Within = within(o.Contacts[i].Within)
	}
	return o
}

// over is the item with what the file says of it.
func (c ItemConfig) over(item Item) Item {
	if c.Title != "" {
		item.Title = c.Title
	}
	if c.Phase != "" {
		item.Phase = c.Phase
	}
	if c.Observed != nil {
		item.Observed = c.Observed
	}
	if c.Attested != "" {
		item.Attested, _ = c.Attested.duration() // Validate has told
	}
	if c.Remedy != "" {
		item.Remedy = c.Remedy
	}
	return item
}

var (
	kebab = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	named = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
)

// Validate finds the mistakes. It reads no file: a runbook that is not there, or
// that touches what is gone, is for the audit to tell, and nothing that drwatch
// should refuse to start for.
func (c Config) Validate(known Exists) []Problem {
	var found problems
	c.validateItems(&found, known)
	for i, role := range c.Roles {
		validateName(&found, fmt.Sprintf("roles[%d]", i), role, slices.Contains(c.Roles[:i], role))
	}
	c.validateRunbooks(&found)
	c.validateContacts(&found)
	return found
}

func (c Config) validateItems(found *problems, known Exists) {
	items := Defaults()
	merged := c.Options().Items
	for i, item := range c.Items {
		at := fmt.Sprintf("items[%d]", i)
		taken := slices.ContainsFunc(c.Items[:i], func(other ItemConfig) bool { return other.Name == item.Name })
		validateName(found, at+".name", item.Name, taken)
		isNew := !slices.ContainsFunc(items, func(d Item) bool { return d.Name == item.Name })
		if isNew && strings.TrimSpace(item.Title) == "" {
			found.add(at+".title", "is missing: there is no item %q yet, and a new one needs a title%s", item.Name, meant(item.Name, namesOf(items)))
		}
		if item.Phase != "" && !slices.Contains(Phases(), item.Phase) {
			found.add(at+".phase", "%q is not known: write one of %s", item.Phase, alternatives(Phases()))
		}
		if item.Attested != "" {
			if _, err := item.Attested.duration(); err != nil {
				found.add(at+".attested", "%s", err)
				continue
			}
		}
		for j, s := range item.Observed {
			s.validate(found, fmt.Sprintf("%s.observed[%d]", at, j), known)
		}
		if j := slices.IndexFunc(merged, func(m Item) bool { return m.Name == item.Name }); !taken && merged[j].restsOnNothing() {
			found.add(at, "%q rests on nothing: add observed, attested, or both", item.Name)
		}
	}
}

func (i Item) restsOnNothing() bool {
	return len(i.Observed) == 0 && i.Attested == 0 && !i.Runbooks && !i.Contacts
}

func namesOf(items []Item) []string {
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = item.Name
	}
	return names
}

func (s Selector) validate(found *problems, at string, known Exists) {
	kinds := []readiness.PartKind{readiness.Record, readiness.Resolution, readiness.Endpoint, readiness.Balancer}
	sides := []readiness.Side{readiness.PrimarySide, readiness.StandbySide}
	validateWords(found, at+".copy_kinds", s.CopyKinds, readiness.CopyKinds())
	validateWords(found, at+".part_kinds", s.PartKinds, kinds)
	validateWords(found, at+".sides", s.Sides, sides)
	if known.Of != nil {
		validateWords(found, at+".of", s.Of, known.Of)
	}
	if known.Checks != nil {
		validateWords(found, at+".checks", s.Checks, known.Checks)
	}
	switch {
	case len(s.CopyKinds)+len(s.PartKinds)+len(s.Sides)+len(s.Of)+len(s.Checks) == 0:
		found.add(at, "would pick every check that there is: say copy_kinds, part_kinds, sides, of or checks")
	case len(s.CopyKinds) > 0 && len(s.PartKinds) > 0:
		found.add(at+".part_kinds", "nothing is a copy and a part: make two items of the list of it")
	case s.Each && len(s.CopyKinds)+len(s.PartKinds)+len(s.Of) == 0:
		found.add(at+".each", "say of what there has to be one: copy_kinds, part_kinds or of")
	}
}

func validateWords[T ~string](found *problems, at string, words, known []T) {
	for _, w := range words {
		if !slices.Contains(known, w) {
			found.add(at, "%q is not known%s", w, meantOrKnown(string(w), texts(known)))
		}
	}
}

func texts[T ~string](words []T) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	return all
}

// validateName checks the name of an item or of a role: a label of metrics, and
// what people write after drwatch attest.
func validateName(found *problems, at, name string, taken bool) {
	switch {
	case len(name) > 63 || !kebab.MatchString(name):
		found.add(at, "%q is not a name: up to 63 small letters and digits, with dashes between them", name)
	case taken:
		found.add(at, "%q is there already", name)
	}
}

func (c Config) validateRunbooks(found *problems) {
	for i, r := range c.Runbooks {
		at := fmt.Sprintf("runbooks[%d]", i)
		switch {
		case len(r.Name) > 63 || !named.MatchString(r.Name):
			found.add(at+".name", "%q is not a name: up to 63 letters and digits, with dots, dashes and underscores between them", r.Name)
		case slices.ContainsFunc(c.Runbooks[:i], func(other Runbook) bool { return other.Name == r.Name }):
			found.add(at+".name", "%q is there already", r.Name)
		}
		if strings.TrimSpace(r.File) == "" || strings.ContainsRune(r.File, 0) {
			found.add(at+".file", "is empty: say where the runbook is")
		}
		validateWithin(found, at, r.Within)
		for j, name := range r.Touches {
			if strings.TrimSpace(name) == "" {
				found.add(fmt.Sprintf("%s.touches[%d]", at, j), "is empty: write datastore, service, datastore/copy or service/part")
			}
		}
	}
}

func (c Config) validateContacts(found *problems) {
	roles := c.Options().Roles
	for i, contact := range c.Contacts {
		at := fmt.Sprintf("contacts[%d]", i)
		if !slices.Contains(roles, contact.Role) {
			found.add(at+".role", "%q is none of the roles%s", contact.Role, meantOrKnown(contact.Role, roles))
		}
		if name := strings.TrimSpace(contact.Name); name == "" || isPlaceholder(name) {
			found.add(at+".name", "is not filled in: say who has the role")
		}
		if len(contact.Means) == 0 {
			found.add(at+".means", "is missing: give at least one of the means %s", alternatives(MeansKinds()))
		}
		for j, text := range contact.Means {
			if _, err := ParseMeans(text); err != nil {
				found.add(fmt.Sprintf("%s.means[%d]", at, j), "%s", err)
			}
		}
		validateWithin(found, at, contact.Within)
	}
}

func validateWithin(found *problems, at string, d time.Duration) {
	if d < 0 || d > MaxValidity {
		found.add(at+".within", "%s is not between zero and a year", written(d))
	}
}
