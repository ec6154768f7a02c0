package config_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/readiness"
)

const (
	schemaFile = "../docs/drwatch.schema.json"
	docsFile   = "../docs/configuration.md"
	docsMark   = "<!-- from the schema: go generate ./config writes what follows -->\n"
)

// Editors complete and check by the published schema: it must be the one of
// this version.
func TestSchemaFile_Current(t *testing.T) {
	text, err := config.Schema()
	require.NoError(t, err)
	golden(t, schemaFile, string(text))
}

// The table of all keys is what people look keys up in: it must have all.
func TestReference_Current(t *testing.T) {
	prose, _, found := strings.Cut(read(t, docsFile), docsMark)
	require.True(t, found, "%s has lost its mark", docsFile)
	golden(t, docsFile, prose+docsMark+reference(schema(t)))
}

// Every key is told of, whoever edits the page.
func TestReference_HasEveryKey(t *testing.T) {
	page := read(t, docsFile)
	for _, section := range sections(schema(t), "") {
		for key, value := range section.schema.Properties.FromOldest() {
			require.Contains(t, page, "`"+key+"`", section.path)
			if !isScenario(key) {
				require.NotEmpty(t, value.Description, "%s.%s has no description", section.path, key)
			}
		}
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Who copies from the page gets what loads.
func TestDocs_ExamplesLoad(t *testing.T) {
	blocks := yamlBlock.FindAllStringSubmatch(read(t, docsFile), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		_, warnings, err := config.Parse("block.yaml", []byte(block[1]), environment())
		require.NoError(t, err, block[1])
		require.Empty(t, warnings, block[1])
	}
}

// The defaults on the page are those that are judged by.
func TestDocs_TellTheDefaults(t *testing.T) {
	page := read(t, docsFile)
	for _, s := range readiness.Scenarios() {
		o := readiness.DefaultObjective(s)
		rpo := "-"
		if o.RPO > 0 {
			rpo = brief(o.RPO.String())
		}
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%s` \\| .* \\| %s \\| %s \\|$", s, rpo, brief(o.RTO.String())))
		require.Regexp(t, row, page)
	}
}

func brief(duration string) string {
	return strings.TrimSuffix(strings.TrimSuffix(duration, "0s"), "0m")
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema()
	require.NoError(t, err)
	s := &jsonschema.Schema{}
	require.NoError(t, json.Unmarshal(text, s))
	return s
}

// section is a mapping of the file.
type section struct {
	path   string
	schema *jsonschema.Schema
}

// sections lists every mapping, parents first. What is the same in each
// scenario is said once.
func sections(s *jsonschema.Schema, path string) []section {
	if s.Items != nil {
		return sections(s.Items, path+"[]")
	}
	if s.Properties == nil {
		return nil
	}
	all := []section{{path, s}}
	for key, value := range s.Properties.FromOldest() {
		if isScenario(key) {
			if key != string(readiness.ServiceFailure) {
				continue
			}
			key = "<scenario>"
		}
		all = append(all, sections(value, strings.TrimPrefix(path+"."+key, "."))...)
	}
	return all
}

// byScenario reports whether the keys are scenarios.
func (s section) byScenario() bool { return isScenario(s.schema.Properties.Oldest().Key) }

func scenarioKeys() string {
	var keys []string
	for _, s := range readiness.Scenarios() {
		keys = append(keys, "`"+string(s)+"`")
	}
	return strings.Join(keys, ", ")
}

func isScenario(key string) bool {
	return slices.Contains(readiness.Scenarios(), readiness.Scenario(key))
}

// reference is a table of keys for each section.
func reference(root *jsonschema.Schema) string {
	var b strings.Builder
	for _, s := range sections(root, "") {
		title := "The file"
		if s.path != "" {
			title = "`" + s.path + "`"
		}
		fmt.Fprintf(&b, "\n### %s\n\n", title)
		if s.schema.Description != "" {
			fmt.Fprintf(&b, "%s\n\n", s.schema.Description)
		}
		b.WriteString("| key | value | meaning |\n|---|---|---|\n")
		if s.byScenario() {
			fmt.Fprintf(&b, "| %s | %s | |\n", scenarioKeys(), valueCell(s.schema.Properties.Oldest().Value))
			continue
		}
		for key, value := range s.schema.Properties.FromOldest() {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", keyCell(key, s.schema.Required), valueCell(value), meaningCell(value))
		}
	}
	return b.String()
}

func keyCell(key string, required []string) string {
	if slices.Contains(required, key) {
		return "**`" + key + "`**"
	}
	return "`" + key + "`"
}

func valueCell(s *jsonschema.Schema) string {
	switch {
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, word := range s.Enum {
			words[i] = fmt.Sprintf("`%s`", word)
		}
		return strings.Join(words, ", ")
	case strings.Contains(s.Pattern, "none"):
		return "duration or `none`"
	case strings.Contains(s.Pattern, "ms)"):
		return "duration"
	}
	kind := s.Type
	if len(s.AnyOf) > 0 { // or a variable
		kind = s.AnyOf[0].Type
	}
	switch kind {
	case "array":
		items := s.Items.Type
		if len(s.Items.AnyOf) > 0 { // or a variable
			items = s.Items.AnyOf[0].Type
		}
		switch items {
		case "string":
			return "list of texts"
		case "integer":
			return "list of whole numbers"
		}
		return "list of mappings"
	case "object":
		return "mapping"
	case "boolean":
		return "`true` or `false`"
	case "integer":
		return "whole number"
	case "string":
		return "text"
	}
	return kind
}

// meaningCell gives description, default and examples, in what a table can hold.
func meaningCell(s *jsonschema.Schema) string {
	text := s.Description
	if s.Default != nil {
		standard := s.Default
		if number, ok := standard.(float64); ok {
			standard = strconv.FormatFloat(number, 'f', -1, 64)
		}
		text += fmt.Sprintf(" Default: `%v`.", standard)
	}
	if len(s.Examples) > 0 {
		words := make([]string, len(s.Examples))
		for i, example := range s.Examples {
			words[i] = fmt.Sprintf("`%v`", example)
		}
		text += " Such as " + strings.Join(words, ", ") + "."
	}
	return strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`)
}
