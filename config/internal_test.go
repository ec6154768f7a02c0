package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// A kind of probe that is in the file but not in kinds would load and never be
// validated.
func TestProbe_EveryFieldIsAKind(t *testing.T) {
	everyFieldIsAKind(t, func(p Probe) []probeKind { return p.kinds(readiness.Copy{Kind: readiness.Primary}) })
	everyFieldIsAKind(t, func(p PartProbe) []probeKind { return p.kinds(probes.Target{}) })
}

func everyFieldIsAKind[P any](t *testing.T, of func(P) []probeKind) {
	t.Helper()
	var fields, kinds []string
	for i := range reflect.TypeFor[P]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[P]().Field(i).Tag.Get("yaml"), ",")
		fields = append(fields, name)
		var p P
		field := reflect.ValueOf(&p).Elem().Field(i)
		field.Set(reflect.New(field.Type().Elem()))
		require.Equal(t, name, deciding(of(p)).name)
		require.NotEmpty(t, checks(of(p)), name)
		if name != "dns" { // which knows whom to ask from the machine, and for what from the service
			require.NotEmpty(t, written(of(p))[0].validate(), "an empty %s is no place to look", name)
		}
	}
	var none P
	for _, k := range of(none) {
		kinds = append(kinds, k.name)
		require.False(t, k.set)
	}
	require.Equal(t, fields, kinds)
}

// What the schema lets through must decode, or a mistake in the file would be
// told as a fault of drwatch.
func TestDurationPattern_IsADuration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(durationPattern).Filter(func(s string) bool { return s != "" }).Draw(t, "text")
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.GreaterOrEqual(t, d, time.Duration(0))
	})
	require.Contains(t, promisePattern, durationPattern)
}

// Every duration that Go prints, of a millisecond or more, can be written.
func TestDurationPattern_TakesWhatGoPrints(t *testing.T) {
	g := mustGrammar(t)
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, 99_999*3600*1000).Draw(t, "ms")) * time.Millisecond
		for _, text := range []string{d.String(), short(d)} {
			require.NoError(t, g.compiled.Validate(map[string]any{
				"system": "s", "instance": map[string]any{"region": "a"}, "regions": map[string]any{"primary": "b"},
				"timeout": text, "objectives": map[string]any{"rpo": text},
				"datastores": []any{map[string]any{"name": "d", "copies": []any{map[string]any{"name": "c", "kind": "primary", "region": "b"}}}},
			}), text)
			back, err := time.ParseDuration(text)
			require.NoError(t, err)
			require.Equal(t, d, back)
		}
	})
}

func mustGrammar(t *testing.T) *grammar {
	t.Helper()
	g, err := newGrammar()
	require.NoError(t, err)
	return g
}

// A promise is read back as it was written.
func TestPromise_Text(t *testing.T) {
	for _, p := range []Promise{None, Promise(time.Second), Promise(90 * time.Minute)} {
		text, err := p.MarshalText()
		require.NoError(t, err)
		var back Promise
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, p, back)
	}
	require.Zero(t, None.duration())
}

// Variables are replaced as the documentation says, and nothing else is.
func TestExpandText(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "1", "EMPTY": "", "DOLLAR": "${A}", "_x9": "y"}[name]
		return value, ok
	}
	for text, want := range map[string]string{
		"":                  "",
		"plain":             "plain",
		"${A}":              "1",
		"<${A}${A}>":        "<11>",
		"${_x9}":            "y",
		"${EMPTY}":          "",
		"${EMPTY:-d}":       "d",
		"${NO:-d}":          "d",
		"${NO:-}":           "",
		"${NO:-a:-b}":       "a:-b",
		"${NO:-a b:c/?@#&}": "a b:c/?@#&",
		"${A:-d}":           "1",
		"$$":                "$",
		"$${A}":             "${A}",
		"$$$$":              "$$",
		"${NO:-a$$b}":       "a$b",
		"${DOLLAR}":         "${A}", // what a variable holds is not looked into
	} {
		got, problem := expandText(text, env)
		require.Empty(t, problem, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]string{
		"${NO}":        "NO is not set",
		"${NO} ${A}":   "NO is not set",
		"$A":           "stands alone",
		"$":            "stands alone",
		"a$":           "stands alone",
		"${}":          "stands alone",
		"${1}":         "stands alone",
		"${A":          "stands alone",
		"${A-b}":       "stands alone",
		"${A:?b}":      "stands alone",
		"${A:-${A}}":   "stands alone",
		"$$$":          "stands alone",
		"${A B}":       "stands alone",
		"${A}$(id)":    "stands alone",
		"${A:+b}":      "stands alone",
		"${A}${A}${A ": "stands alone",
	} {
		_, problem := expandText(text, env)
		require.Contains(t, problem, want, text)
	}
}
