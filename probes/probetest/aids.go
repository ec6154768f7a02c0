package probetest

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/drwatch/drwatch/readiness"
)

// Then does something after each look of a probe, such as letting go of the
// connections that it keeps for the next one: the suite counts what is left.
func Then(p Prober, after func()) Prober { return then{p, after} }

type then struct {
	Prober
	after func()
}

func (p then) Look(ctx context.Context) (readiness.Reading, error) {
	defer p.after()
	return p.Prober.Look(ctx)
}

// Examples decodes every YAML block of a page of the docs, and fails at keys
// that nobody knows.
func Examples[T any](t testing.TB, page []byte) (all []T) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		var example T
		decoder := yaml.NewDecoder(bytes.NewReader(block[1]))
		decoder.KnownFields(true)
		require.NoError(t, decoder.Decode(&example))
		all = append(all, example)
	}
	return all
}

// Encoded is the configuration of a probe as the file has it and as its schema
// does, without the access to AWS, which encoding/json writes even when it is empty.
func Encoded(t testing.TB, config any) (asYAML, asJSON map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &asYAML))
	text, err = json.Marshal(config)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &asJSON))
	delete(asJSON, "aws")
	return asYAML, asJSON
}
