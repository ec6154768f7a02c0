package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// maxSize is what a file may measure in bytes: 10,000 copies take about 3 MB.
	maxSize = 16 << 20
	// maxValues is to how many values a file may unfold. It stops the aliases of
	// aliases that unfold a kilobyte to a terabyte.
	maxValues = 1_000_000
	// maxKeys is how many keys a mapping may have: the library compares each with
	// each.
	maxKeys = 1000
)

// document is a YAML file as a tree that knows where everything stands.
type document struct {
	name  string
	lines []string
	root  *yaml.Node // a mapping
	// expanded are the scalars that held a ${variable}, and how they were written.
	expanded map[*yaml.Node]string
	// shown are the lines that errors have shown, as they show them.
	shown map[int]string
}

// parseDocument reads the one mapping that the file must be.
func parseDocument(name string, data []byte) (*document, error) {
	d := &document{name: name, expanded: make(map[*yaml.Node]string), shown: make(map[int]string)}
	if len(data) > maxSize {
		return nil, d.failed(1, 1, fmt.Sprintf("is larger than %d MB", maxSize>>20))
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // the mark that some editors put first
	d.lines = yamlLineBreak.Split(strings.ToValidUTF8(string(data), "\ufffd"), -1)
	if line, column, problem := unreadable(data); problem != "" {
		return nil, d.failed(line, column, problem)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var tree yaml.Node
	switch err := decoder.Decode(&tree); {
	case errors.Is(err, io.EOF):
		return nil, d.empty()
	case err != nil:
		return nil, d.syntaxError(err)
	}
	d.root = tree.Content[0]
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, d.failed(second.Line, second.Column, "begins a second document: drwatch reads one document a file")
	case !errors.Is(err, io.EOF):
		return nil, d.syntaxError(err)
	}
	switch {
	case d.root.ShortTag() == "!!null":
		return nil, d.empty()
	case d.root.Kind != yaml.MappingNode:
		return nil, d.failed(d.root.Line, d.root.Column, "is not a mapping: the file begins with system:, instance:, regions: and so on")
	}
	return d, nil
}

// The line breaks of YAML 1.1, by which the library counts lines.
var yamlLineBreak = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// unreadable finds the first character that cannot be in a YAML file, which the
// library finds as well, but not where.
func unreadable(data []byte) (line, column int, problem string) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return line, column, "is not UTF-8 text from here on: save it as UTF-8"
		case r == '\n':
			line, column = line+1, 0
		case unicode.IsControl(r) && !strings.ContainsRune("\t\r\u0085", r), r == '\ufeff', r == '\ufffe', r == '\uffff':
			return line, column, fmt.Sprintf("the character %U stands here, which nobody can see: delete it", r)
		}
		column++
		data = data[size:]
	}
	return 0, 0, ""
}

func (d *document) failed(line, column int, message string) error {
	return Errors{d.finding(line, column, "", message)}
}

func (d *document) empty() error {
	return d.failed(1, 1, "is empty: `drwatch config example` prints one to begin with")
}

var (
	yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)
	yamlNoAnchor  = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	tabIndent     = regexp.MustCompile(`^ *\t`)
)

// syntaxError places what the YAML library says. It tells a line only, not even
// that when it is the first, and counts from zero when it has read words and
// cannot make sense of them; the line is then where their list or mapping begins.
func (d *document) syntaxError(err error) error {
	found := yamlErrorLine.FindStringSubmatch(err.Error())
	message := strings.TrimPrefix(err.Error(), found[0])
	line, _ := strconv.Atoi(found[1])
	if strings.HasPrefix(message, "did not find expected") {
		line++
	}
	line = min(max(line, 1), len(d.lines))
	if name := yamlNoAnchor.FindStringSubmatch(message); name != nil {
		for i, text := range d.lines {
			if column := strings.Index(text, "*"+name[1]); column >= 0 {
				return d.failed(i+1, utf8.RuneCountInString(text[:column])+1, fmt.Sprintf("there is no anchor &%s before this alias", name[1]))
			}
		}
	}
	for _, near := range []int{line, line + 1} {
		if near <= len(d.lines) && tabIndent.MatchString(d.lines[near-1]) {
			return d.failed(near, strings.Index(d.lines[near-1], "\t")+1, "is not YAML: a tab indents this line: use spaces")
		}
	}
	text := d.lines[line-1]
	column := len(text) - len(strings.TrimLeft(text, " ")) + 1
	return d.failed(line, column, "is not YAML, from here on: "+message)
}

// resolve replaces aliases by what they stand for, merges what is to be merged,
// and drops what cannot be in the file, telling it. It reports whether there is
// a whole tree to go on with.
func (d *document) resolve(f *findings) bool {
	r := resolver{findings: f, within: make(map[*yaml.Node]bool)}
	d.root = r.resolve(d.root, nil)
	return !r.stopped
}

type resolver struct {
	*findings
	values  int
	within  map[*yaml.Node]bool // the anchors that are being unfolded
	stopped bool
}

func (r *resolver) resolve(n *yaml.Node, path []string) *yaml.Node {
	if r.values++; r.values > maxValues && !r.stopped {
		r.stopped = true
		r.errorOn(n, path, fmt.Sprintf("the file unfolds to more than %d values: it has too many aliases of aliases", maxValues))
	}
	if r.stopped {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	if n.Kind == yaml.AliasNode {
		return r.alias(n, path)
	}
	if n.Anchor != "" {
		r.within[n] = true
		defer delete(r.within, n)
	}
	out := *n
	out.Content, out.Anchor = nil, ""
	if n.Style&yaml.TaggedStyle != 0 && !slices.Contains(knownTags, n.ShortTag()) {
		r.errorOn(n, path, fmt.Sprintf("the tag %s is not known: leave it out", n.Tag))
		out.Tag, out.Style = "", out.Style&^yaml.TaggedStyle
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.Content = r.mapping(n, path)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			out.Content = append(out.Content, r.resolve(item, child(path, index(i))))
		}
	}
	return &out
}

// The tags that a person may write out; all but str are what YAML finds by itself.
var knownTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"}

func (r *resolver) alias(n *yaml.Node, path []string) *yaml.Node {
	if r.within[n.Alias] {
		r.stopped = true
		r.errorOn(n, path, fmt.Sprintf("the anchor &%s contains itself", n.Value))
		return n.Alias
	}
	return r.resolve(n.Alias, path)
}

// mapping gives keys and values in turn: its own first, then those that are
// merged into it and that it does not have.
func (r *resolver) mapping(n *yaml.Node, path []string) []*yaml.Node {
	var content, merges []*yaml.Node
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			merges = append(merges, value)
		case key.Kind != yaml.ScalarNode:
			r.errorOn(key, path, "a key is text, not a list or a mapping")
		case key.ShortTag() != "!!str":
			r.errorOn(key, path, fmt.Sprintf("a key is text: put %s in quotes", cmp.Or(key.Value, "nothing")))
		case first[key.Value] != nil:
			r.errorOn(key, child(path, key.Value), fmt.Sprintf("this key is there already, in line %d: keep one of the two", first[key.Value].Line))
		default:
			first[key.Value] = key
			content = append(content, key, r.resolve(value, child(path, key.Value)))
		}
	}
	for _, merge := range merges {
		content = r.merge(merge, path, content, first)
	}
	if len(first) > maxKeys && !r.stopped {
		r.stopped = true
		r.errorOn(n, path, fmt.Sprintf("has %d keys, and nothing here has more than a few", len(first)))
	}
	return content
}

func (r *resolver) merge(n *yaml.Node, path []string, content []*yaml.Node, has map[string]*yaml.Node) []*yaml.Node {
	from := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		from = n.Content
	}
	for _, one := range from {
		merged := r.resolve(one, path)
		if merged.Kind != yaml.MappingNode {
			if !r.stopped {
				r.errorOn(one, path, "<<: takes a mapping, or a list of mappings, such as an *alias of one")
			}
			continue
		}
		for i := 0; i+1 < len(merged.Content); i += 2 {
			if key := merged.Content[i]; has[key.Value] == nil {
				has[key.Value] = key
				content = append(content, key, merged.Content[i+1])
			}
		}
	}
	return content
}

// child is the path one step further; it never shares memory with its siblings.
func child(path []string, step string) []string {
	return append(path[:len(path):len(path)], step)
}

// index is the step of a path into a list.
func index(i int) string { return "[" + strconv.Itoa(i) + "]" }

// render writes a path as people do: datastores[0].copies[1].region.
func render(path []string) string {
	return strings.ReplaceAll(strings.Join(path, "."), ".[", "[")
}

// lookup finds what a path leads to: the value and its key, or as much of the
// way as there is. A list item has no key.
func (d *document) lookup(path []string) (value, key *yaml.Node, steps int) {
	value = d.root
	for _, step := range path {
		nextKey, next := descend(value, step)
		if next == nil {
			break
		}
		key, value = nextKey, next
		steps++
	}
	return value, key, steps
}

func descend(n *yaml.Node, step string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		i, err := strconv.Atoi(strings.Trim(step, "[]"))
		if err == nil && i >= 0 && i < len(n.Content) {
			return nil, n.Content[i]
		}
	}
	return nil, nil
}

// has reports whether the file says anything at the path.
func (d *document) has(path []string) bool {
	_, _, steps := d.lookup(path)
	return steps == len(path)
}

// values gives the tree in the shape of decoded JSON, for the schema.
func values(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = values(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = values(item)
		}
		return list
	}
	return scalar(n)
}

func scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool", "!!null":
		var v any
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}
