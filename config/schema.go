package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/drwatch/drwatch/readiness"
)

//go:generate go test -run TestSchemaFile|TestReference -update .

// The patterns of texts that have a form. The numbers of a duration are bounded
// so that whatever fits the pattern is a Go duration.
const (
	durationPattern = `^([0-9]{1,5}(\.[0-9]{1,3})?h)?([0-9]{1,6}(\.[0-9]{1,3})?m)?([0-9]{1,8}(\.[0-9]{1,9})?s)?([0-9]{1,8}ms)?$`
	promisePattern  = `^none$|` + durationPattern
	// namePattern is that of names which become labels of metrics. The tags
	// repeat it.
	namePattern = `^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`
)

// Schema is the JSON Schema of drwatch.yaml, for editors. It is the one against
// which files are checked, but that a ${VARIABLE} may stand where a text of some
// form, a number or a truth value is wanted: files are checked when variables have been replaced.
func Schema() ([]byte, error) {
	schema := reflectSchema(reflect.TypeFor[Config]())
	schema.Title = "drwatch.yaml"
	schema.Description = "What drwatch watches, and what is promised about it."
	walkSchema(schema, nil, func(_ []string, s *jsonschema.Schema) {
		if s.Type == "integer" || s.Type == "boolean" {
			s.AnyOf = []*jsonschema.Schema{
				{Type: s.Type, Minimum: s.Minimum, Maximum: s.Maximum},
				{Type: "string", Pattern: someVariable},
			}
			s.Type, s.Minimum, s.Maximum = "", "", ""
		}
		if s.Pattern != "" && !strings.HasSuffix(s.Pattern, orVariable) {
			s.Pattern += orVariable
			s.MaxLength = nil
		}
	})
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema of the configuration: %w", err)
	}
	return append(text, '\n'), nil
}

const (
	someVariable = `\$\{`
	// orVariable lets a pattern match what has a variable in it.
	orVariable = `|` + someVariable
)

// walkSchema visits all that is known, parents first: keys as they are, the
// items of a list as the step [].
func walkSchema(s *jsonschema.Schema, path []string, visit func([]string, *jsonschema.Schema)) {
	if s.Items != nil {
		visit(child(path, "[]"), s.Items)
		walkSchema(s.Items, child(path, "[]"), visit)
	}
	if s.Properties == nil {
		return
	}
	for key, value := range s.Properties.FromOldest() {
		visit(child(path, key), value)
		walkSchema(value, child(path, key), visit)
	}
}

// reflectSchema derives the schema from the tags that also guide the decoding.
func reflectSchema(t reflect.Type) *jsonschema.Schema {
	r := &jsonschema.Reflector{
		FieldNameTag:   "yaml",
		Anonymous:      true, // it has no address on the web
		DoNotReference: true,
		Mapper:         mapType,
	}
	return r.ReflectFromType(t)
}

// mapType gives the schema of the types that are more than their Go kind.
func mapType(t reflect.Type) *jsonschema.Schema {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return form(durationPattern)
	case t == reflect.TypeFor[Promise]():
		return form(promisePattern)
	case t == reflect.TypeFor[readiness.CopyKind]():
		return enumOf(readiness.CopyKinds())
	case t == reflect.TypeFor[readiness.Side]():
		return enumOf([]readiness.Side{readiness.PrimarySide, readiness.StandbySide})
	case t == reflect.TypeFor[readiness.Scenario]():
		return enumOf(readiness.Scenarios())
	case t.Kind() == reflect.Map && t.Key() == reflect.TypeFor[readiness.Scenario]():
		return byScenario(t.Elem())
	}
	return nil
}

// form is a text that is not empty and fits the pattern.
func form(pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: pattern, MinLength: new(uint64(1))}
}

func enumOf[T ~string](words []T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, word := range words {
		s.Enum = append(s.Enum, string(word))
	}
	return s
}

// byScenario is a mapping whose keys are scenarios and nothing else.
func byScenario(value reflect.Type) *jsonschema.Schema {
	each := reflectSchema(value)
	each.Version = ""
	s := &jsonschema.Schema{
		Type:                 "object",
		Properties:           jsonschema.NewProperties(),
		AdditionalProperties: jsonschema.FalseSchema,
	}
	for _, scenario := range readiness.Scenarios() {
		s.Properties.Set(string(scenario), each)
	}
	return s
}
