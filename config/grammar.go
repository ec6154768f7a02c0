package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/internal/spelling"
)

// grammar holds documents against the schema and tells what is wrong in the
// words of who writes the file.
type grammar struct {
	tree     *invopop.Schema // to look up what is allowed where
	compiled *jsonschema.Schema
}

func newGrammar() (*grammar, error) {
	tree := reflectSchema(reflect.TypeFor[Config]())
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("encode the schema of the configuration: %w", err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("decode the schema of the configuration: %w", err)
	}
	const name = "drwatch.schema.json"
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, decoded); err != nil {
		return nil, fmt.Errorf("read the schema of the configuration: %w", err)
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("compile the schema of the configuration: %w", err)
	}
	return &grammar{tree: tree, compiled: compiled}, nil
}

// check tells every place where the document is not as the schema wants it.
func (g *grammar) check(f *findings) {
	f.step++
	mistakes := g.validate(f.doc)
	if retype(f.doc, mistakes) {
		mistakes = g.validate(f.doc)
	}
	// Unknown keys first: one that is misspelt is not missing.
	for _, m := range mistakes {
		if k, ok := m.kind.(*kind.AdditionalProperties); ok {
			for _, key := range k.Properties {
				if len(f.errors) < maxErrors {
					g.unknownKey(f, m.path, key)
				}
			}
		}
	}
	for _, m := range mistakes {
		if len(f.errors) < maxErrors {
			g.tell(f, m)
		}
	}
}

// maxErrors is how many mistakes against the schema are looked into: nobody
// corrects more than that by hand.
const maxErrors = 1000

// mistake is one thing that the schema does not allow.
type mistake struct {
	path []string
	kind jsonschema.ErrorKind
	err  error // in the words of the library
}

func (g *grammar) validate(d *document) []mistake {
	var invalid *jsonschema.ValidationError
	if err := g.compiled.Validate(values(d.root)); !errors.As(err, &invalid) {
		return nil
	}
	return leaves(d, invalid, nil)
}

// leaves collects the errors that have no further cause.
func leaves(d *document, e *jsonschema.ValidationError, found []mistake) []mistake {
	if len(e.Causes) == 0 {
		return append(found, mistake{d.pathOf(e.InstanceLocation), e.ErrorKind, e})
	}
	for _, cause := range e.Causes {
		found = leaves(d, cause, found)
	}
	return found
}

// pathOf turns a JSON pointer, in which an index looks like a key, into a path.
func (d *document) pathOf(pointer []string) []string {
	n, path := d.root, make([]string, 0, len(pointer))
	for _, step := range pointer {
		if n != nil && n.Kind == yaml.SequenceNode {
			step = "[" + step + "]"
		}
		path = append(path, step)
		if n != nil {
			_, n = descend(n, step)
		}
	}
	return path
}

// retype lets a value that came from the environment be of the type that its
// key wants: ${N} is text, and may have to be a number. It reports whether
// anything changed.
func retype(d *document, mistakes []mistake) bool {
	changed := false
	for _, m := range mistakes {
		n, _, _ := d.lookup(m.path)
		if k, ok := m.kind.(*kind.Type); ok && k.Got == "string" && d.expanded[n] != "" {
			n.Tag, n.Style, changed = "", 0, true
		}
	}
	return changed
}

// tell adds a mistake to the findings.
func (g *grammar) tell(f *findings, m mistake) {
	switch k := m.kind.(type) {
	case *kind.AdditionalProperties: // told already
	case *kind.Required:
		for _, key := range k.Missing {
			g.missingKey(f, child(m.path, key))
		}
	default:
		f.errorAt(m.path, g.message(f.doc, m))
	}
}

// unknownKey tells the likeliest reason why a key is not known where it is.
func (g *grammar) unknownKey(f *findings, parent []string, key string) {
	path := child(parent, key)
	if f.isWrong(path) {
		return
	}
	known := keysOf(g.at(parent))
	message := "is not a key that is known here"
	guess, found := spelling.Nearest(key, known)
	switch home := g.homeOf(key); {
	case namesSecret(key):
		message = secretAdvice(known)
	case home != "":
		message += ": it belongs under " + home
	case found:
		message += fmt.Sprintf(": did you mean %q?", guess)
		f.excuse(child(parent, guess))
	default:
		message += ": known are " + strings.Join(known, ", ")
	}
	_, node, _ := f.doc.lookup(path)
	f.errorOn(node, path, message)
}

func secretAdvice(known []string) string {
	if slices.Contains(known, "password_file") {
		return "a secret does not belong in this file: write password_file (the path of a file that holds it) or password_env (the name of a variable that does)"
	}
	return "a secret does not belong in this file: keep it in a file or in an environment variable, and name that in the probe of the copy"
}

func (g *grammar) missingKey(f *findings, path []string) {
	message := "is missing"
	if s := g.at(path); s != nil && s.Description != "" {
		message += ": " + s.Description
	}
	f.errorAt(path, message)
}

// at gives the schema of what is at a path; nil where nothing is known.
func (g *grammar) at(path []string) *invopop.Schema {
	s := g.tree
	for _, step := range path {
		switch {
		case s == nil:
			return nil
		case strings.HasPrefix(step, "[") && s.Items != nil:
			s = s.Items
		case s.Properties != nil:
			s = s.Properties.Value(step)
		default:
			return nil
		}
	}
	return s
}

func keysOf(s *invopop.Schema) []string {
	var keys []string
	if s == nil || s.Properties == nil {
		return nil
	}
	for key := range s.Properties.FromOldest() {
		keys = append(keys, key)
	}
	return keys
}

// homeOf finds where in the file a key is known, for who has put it elsewhere.
func (g *grammar) homeOf(key string) string {
	var home string
	walkSchema(g.tree, nil, func(path []string, _ *invopop.Schema) {
		if home == "" && len(path) > 1 && path[len(path)-1] == key {
			home = strings.ReplaceAll(render(path[:len(path)-1]), "[]", "")
		}
	})
	return home
}

// message says what is wrong with a value, and what to write.
func (g *grammar) message(d *document, m mistake) string {
	n, _, _ := d.lookup(m.path)
	s := g.at(m.path)
	if s == nil {
		s = &invopop.Schema{}
	}
	switch k := m.kind.(type) {
	case *kind.Type:
		return typeMessage(n, k, s)
	case *kind.Enum:
		return enumMessage(n.Value, k.Want)
	case *kind.Pattern, *kind.MinLength, *kind.MaxLength:
		return formMessage(n.Value, s)
	case *kind.MinItems:
		return "is an empty list: it needs at least one item"
	case *kind.UniqueItems:
		return fmt.Sprintf("says the same twice, as items %d and %d: keep one", k.Duplicates[0]+1, k.Duplicates[1]+1)
	case *kind.Minimum:
		return fmt.Sprintf("%s is too small: %s is the least", n.Value, s.Minimum)
	case *kind.Maximum:
		return fmt.Sprintf("%s is too large: %s is the most", n.Value, s.Maximum)
	case *kind.InvalidJsonValue:
		return fmt.Sprintf("%s is not a value that can be meant here", n.Value)
	}
	return m.err.Error()
}

func typeMessage(n *yaml.Node, k *kind.Type, s *invopop.Schema) string {
	want := strings.Join(k.Want, " or ")
	switch {
	case k.Got == "null":
		return "has no value: write one, or leave out the key"
	case want == "string" && k.Got == "number" && (s.Pattern == durationPattern || s.Pattern == promisePattern):
		return fmt.Sprintf("%s has no unit: write %ss, %[1]sm or %[1]sh, as it is meant", n.Value, n.Value)
	case want == "string" && n.Kind == yaml.ScalarNode:
		return fmt.Sprintf("%s is a %s to YAML, and text is wanted: put it in quotes", n.Value, k.Got)
	}
	return fmt.Sprintf("is %s, and %s is wanted", typeWord(k.Got), typeWord(want))
}

func typeWord(jsonType string) string {
	switch jsonType {
	case "object":
		return "a mapping (key: value)"
	case "array":
		return `a list (each item begins with "- ")`
	case "string":
		return "text"
	case "boolean":
		return "true or false"
	case "integer":
		return "a whole number"
	default:
		return "a " + jsonType
	}
}

func enumMessage(got string, want []any) string {
	words := make([]string, len(want))
	for i, w := range want {
		words[i] = fmt.Sprint(w)
	}
	if guess, ok := spelling.Nearest(got, words); ok {
		return fmt.Sprintf("%q is not known: did you mean %q?", got, guess)
	}
	return fmt.Sprintf("%q is not known: write one of %s", got, strings.Join(words, ", "))
}

func formMessage(got string, s *invopop.Schema) string {
	if got == "" {
		return "is empty: write a value"
	}
	switch s.Pattern {
	case durationPattern:
		return fmt.Sprintf("%q is not a duration: write hours, minutes and seconds, such as 4h, 90m, 1h30m or 15s", got)
	case promisePattern:
		return fmt.Sprintf("%q is neither a duration, such as 4h, 90m, 1h30m or 15s, nor none (nothing is promised)", got)
	case namePattern:
		return fmt.Sprintf("%q is not a name: up to 63 letters and digits, with dots, dashes and underscores between them", got)
	}
	return fmt.Sprintf("%q does not have the form %s", got, s.Pattern)
}
