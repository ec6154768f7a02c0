package s3

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes/s3/archive"
)

// A layout is how the keys of the dumps are made: the prefix and the pattern of
// the file, one after the other.
type layout struct {
	tokens []token
	match  *regexp.Regexp
	zone   *time.Location
}

// token is a piece of a layout: text as it is, a part of the time, or what may vary.
type token struct {
	text string
	part part
	wild string // what it matches, as a regular expression
}

// part is a part of the time.
type part struct {
	name   string
	format string // how Go writes it
	digits int
}

// parts are the placeholders for the time in a key.
func parts() []part {
	return []part{
		{"yyyy", "2006", 4}, {"mm", "01", 2}, {"dd", "02", 2}, {"hh", "15", 2}, {"mi", "04", 2}, {"ss", "05", 2}, {"unix", "", 10},
	}
}

func placeholders() string {
	var names []string
	for _, p := range parts() {
		names = append(names, "{"+p.name+"}")
	}
	return strings.Join(names, ", ")
}

// newLayout reads a prefix, in which only the time may vary, and the pattern of
// what follows: * is anything but a slash, ** anything, ? one character.
func newLayout(prefix, pattern string, zone *time.Location) (*layout, error) {
	ofPrefix, err := tokens(prefix, false)
	if err != nil {
		return nil, fmt.Errorf("prefix: %w", err)
	}
	ofPattern, err := tokens(pattern, true)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	l := &layout{tokens: append(ofPrefix, ofPattern...), zone: zone}
	var expression strings.Builder
	expression.WriteString(`(?s)^`)
	for _, t := range l.tokens {
		switch {
		case t.part.name != "":
			fmt.Fprintf(&expression, `(\d{%d})`, t.part.digits)
		case t.wild != "":
			expression.WriteString(t.wild)
		default:
			expression.WriteString(regexp.QuoteMeta(t.text))
		}
	}
	expression.WriteString(`$`)
	l.match, err = regexp.Compile(expression.String())
	return l, err
}

// tokens splits a layout into its pieces.
func tokens(text string, wild bool) ([]token, error) {
	var all []token
	literal := ""
	flush := func(t token) {
		if literal != "" {
			all = append(all, token{text: literal})
		}
		literal, all = "", append(all, t)
	}
	for text != "" {
		switch {
		case text[0] == '{':
			name, rest, closed := strings.Cut(text[1:], "}")
			p, known := partNamed(name)
			if !closed || !known {
				return nil, fmt.Errorf("%q is no placeholder: there are %s", text[:min(len(text), len(name)+2)], placeholders())
			}
			flush(token{part: p})
			text = rest
		case wild && strings.HasPrefix(text, "**"):
			flush(token{wild: `.*`})
			text = text[2:]
		case wild && text[0] == '*':
			flush(token{wild: `[^/]*`})
			text = text[1:]
		case wild && text[0] == '?':
			flush(token{wild: `[^/]`})
			text = text[1:]
		case text[0] == '*' || text[0] == '?':
			return nil, fmt.Errorf("%q has no place here: what varies, but for the time, belongs into pattern", text[:1])
		default:
			literal += text[:1]
			text = text[1:]
		}
	}
	if literal != "" {
		all = append(all, token{text: literal})
	}
	return all, nil
}

func partNamed(name string) (part, bool) {
	for _, p := range parts() {
		if p.name == name {
			return p, true
		}
	}
	return part{}, false
}

// fixed is what all keys begin with.
func (l *layout) fixed() string {
	if len(l.tokens) > 0 {
		return l.tokens[0].text
	}
	return ""
}

// ordered reports whether keys are listed in the order of their time: what
// varies first is the year, or the seconds since 1970.
func (l *layout) ordered() bool {
	for _, t := range l.tokens {
		if t.text == "" {
			return t.part.name == "yyyy" || t.part.name == "unix"
		}
	}
	return false
}

// has reports whether a part of the time is in the layout.
func (l *layout) has(name string) bool {
	return slices.ContainsFunc(l.tokens, func(t token) bool { return t.part.name == name })
}

// from is a text that comes before the keys of a moment and later, as far as
// their order tells; for layouts that are ordered.
func (l *layout) from(at time.Time) string {
	at = at.In(l.zone)
	key, text, order := "", "", -1
	for _, t := range l.tokens {
		if t.text != "" {
			text += t.text
			continue
		}
		next := position(t.part)
		if t.part.name == "" || next != order+1 && t.part.name != "unix" {
			break // from here on keys are no longer in the order of their time
		}
		key, text, order = key+text+t.part.write(at), "", next
	}
	return key
}

func position(p part) int {
	for i, known := range parts() {
		if known.name == p.name {
			return i
		}
	}
	return -1
}

func (p part) write(at time.Time) string {
	if p.name == "unix" {
		return fmt.Sprintf("%0*d", p.digits, at.Unix())
	}
	return at.Format(p.format)
}

// read tells whether a key is that of a dump, and which time is in it: the
// earliest that it can mean. Without at least a day there is none.
func (l *layout) read(key string) (at time.Time, ok bool) {
	found := l.match.FindStringSubmatch(key)
	if found == nil {
		return time.Time{}, false
	}
	value := make(map[string]int)
	i := 1
	for _, t := range l.tokens {
		if t.part.name == "" {
			continue
		}
		n, err := strconv.Atoi(found[i])
		if before, twice := value[t.part.name]; err != nil || twice && before != n {
			return time.Time{}, false // {dd} in the folder and another one in the name
		}
		value[t.part.name] = n
		i++
	}
	if seconds, told := value["unix"]; told {
		return time.Unix(int64(seconds), 0).UTC(), true
	}
	return l.date(value), true
}

func (l *layout) date(value map[string]int) time.Time {
	for _, needed := range []string{"yyyy", "mm", "dd"} {
		if _, told := value[needed]; !told {
			return time.Time{}
		}
	}
	wall := time.Date(value["yyyy"], time.Month(value["mm"]), value["dd"], value["hh"], value["mi"], value["ss"], 0, time.UTC)
	if wall.Day() != value["dd"] || int(wall.Month()) != value["mm"] || wall.Hour() != value["hh"] || value["mi"] > 59 {
		return time.Time{} // the 30th of February
	}
	return archive.Earliest(wall, l.zone, func(time.Time) bool { return false })
}
