package config_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
)

// The caret stands below the character that is meant, also behind tabs and in a
// line that is too long to show.
func TestError_Caret(t *testing.T) {
	for name, test := range map[string]struct {
		line   string
		column int
		text   string
		mark   string
	}{
		"first column":  {"timeout: 5", 1, "timeout: 5", "^"},
		"later column":  {"timeout: 5", 10, "timeout: 5", "         ^"},
		"behind a tab":  {"a:\tb", 4, "a:\tb", "  \t^"},
		"not latin":     {"größe: 5", 8, "größe: 5", "       ^"},
		"past the end":  {"a", 9, "a", " ^"},
		"escape":        {"a\x1b[31m", 1, "a [31m", "^"},
		"trailing room": {"a:   ", 3, "a:", "  ^"},
	} {
		t.Run(name, func(t *testing.T) {
			e := config.Error{File: "f", Line: 1, Column: test.column, Message: "m", Source: test.line}
			require.Equal(t, "f:1:"+strconv.Itoa(test.column)+": m\n    "+test.text+"\n    "+test.mark, e.Error())
		})
	}
}

func TestError_LongLine(t *testing.T) {
	source := strings.Repeat("x", 5000) + "Y" + strings.Repeat("z", 5000)
	e := config.Error{File: "f", Line: 1, Column: 5001, Message: "m", Source: source}
	lines := strings.Split(e.Error(), "\n")
	require.Len(t, lines, 3)
	require.Less(t, len(lines[1]), 200)
	require.Equal(t, byte('Y'), lines[1][strings.Index(lines[2], "^")])
}

// Where there is no line to show there is none, rather than an empty one.
func TestError_NoSource(t *testing.T) {
	require.Equal(t, "f:1:1: a.b: m", config.Error{File: "f", Line: 1, Column: 1, Path: "a.b", Message: "m"}.Error())
}

// A file that is wrong in every line does not bury the first mistakes.
func TestErrors_Many(t *testing.T) {
	errs := make(config.Errors, 150)
	require.Contains(t, errs.Error(), "and 50 more")
}

// Secrets that should not be in the file do not spread from it into logs.
func TestParse_ErrorsKeepSecrets(t *testing.T) {
	for _, line := range []string{
		`password: hunter2`,
		`PASSWORD: hunter2`,
		`"password": "hunter2"`,
		`{ password_file: /x, password: hunter2 }`,
		`db_passwd: hunter2`,
		`aws_secret_access_key: hunter2`,
		`token: hunter2`,
		`apikey: hunter2`,
		`x: postgres://me:hunter2@example/db`,
		`x: redis://:hunter2@example/0`,
		`x: postgres://me:hunt@er/hunter2@example/db`,
		`x: "host=example password=hunter2"`,
		`x: "host=example password = 'hun hunter2'"`,
		`x: postgres://example/db?password=hunter2&user=me`,
		`password: hunter2: more`, // not even YAML
		`x: [postgres://me:hunter2@example/db`,
	} {
		for _, text := range []string{line, "system: shop\n" + line + "\n", "datastores:\n  - copies:\n    - " + line + "\n"} {
			_, _, err := config.Parse("drwatch.yaml", []byte(text), environment())
			require.Error(t, err, line)
			require.NotContains(t, err.Error(), "hunter2", line)
		}
	}
}

// Where a secret is kept is not a secret, and worth seeing in an error.
func TestParse_ErrorsShowWhereSecretsAre(t *testing.T) {
	for _, line := range []string{"password_file: /run/secrets/db", "token_env: TOKEN"} {
		_, _, err := config.Parse("drwatch.yaml", []byte(line), environment())
		require.ErrorContains(t, err, "    "+line)
	}
}
