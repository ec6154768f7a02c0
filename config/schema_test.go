package config_test

import (
	"bytes"
	"testing"

	santhosh "github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/config"
)

// published compiles the schema as an editor does, which also holds it against
// the schema of schemas.
func published(t *testing.T) *santhosh.Schema {
	t.Helper()
	text, err := config.Schema()
	require.NoError(t, err)
	decoded, err := santhosh.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := santhosh.NewCompiler()
	require.NoError(t, compiler.AddResource("schema.json", decoded))
	compiled, err := compiler.Compile("schema.json")
	require.NoError(t, err)
	return compiled
}

// An editor does not mark what drwatch accepts, variables included.
func TestSchema_AcceptsWhatLoads(t *testing.T) {
	schema := published(t)
	for _, file := range append(files(t, "good"), "example.yaml", festivals) {
		require.NoError(t, schema.Validate(decode(t, read(t, file))), file)
	}
	text := `{ system: "${SYSTEM}", instance: { name: "${HOST}", region: "${REGION}" }, regions: { primary: "${PRIMARY}" }, ` +
		`timeout: "${TIMEOUT:-5s}", objectives: { rpo: "${RPO}" }, datastores: [{ name: a, copies: [{ name: b, kind: primary, region: c }] }] }`
	require.NoError(t, schema.Validate(decode(t, text)))
}

// An editor marks the mistakes of form as they are typed.
func TestSchema_RefusesMistakesOfForm(t *testing.T) {
	schema := published(t)
	for _, name := range []string{
		"kind-misspelt", "key-misspelt", "key-unknown", "type-duration-without-unit", "type-duration-in-days", "objective-negative",
		"name-with-a-slash", "number-too-small", "missing-kind", "null-value", "list-empty", "survives-an-unknown-scenario", "secret-password",
	} {
		require.Error(t, schema.Validate(decode(t, read(t, "testdata/broken/"+name+".yaml"))), name)
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v))
	return v
}
