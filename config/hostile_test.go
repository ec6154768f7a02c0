package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/config"
)

// A reload of a file that somebody has broken, or made to break us, ends in an
// error and in time.
func TestParse_HostileFiles(t *testing.T) {
	bomb := "a0: &a0 [x, x]\n"
	for i := 1; i < 60; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	merges := "m0: &m0 { k: 1 }\n"
	for i := 1; i < 60; i++ {
		merges += fmt.Sprintf("m%d: &m%d { <<: [*m%d, *m%d] }\n", i, i, i-1, i-1)
	}
	for name, text := range map[string]string{
		"too large":         minimal + strings.Repeat("#", 16<<20),
		"deep flow":         "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deeper flow":       "a: " + strings.Repeat("[", 200_000),
		"deep blocks":       deepBlocks(2000),
		"deep keys":         strings.Repeat("? ", 5000) + "a",
		"alias bomb":        bomb,
		"merge bomb":        merges,
		"many keys":         manyKeys(50_000),
		"many merged keys":  manyMerges(300, 900),
		"many items":        "datastores: [" + strings.Repeat("1, ", 100_000) + "1]",
		"alias to nothing":  "a: *b",
		"merge of itself":   "a: &a\n  <<: *a\n",
		"merge of a list":   "a: &a [{ b: c }]\nd:\n  <<: *a\n",
		"only an anchor":    "&a",
		"only an alias":     "*a",
		"only a tag":        "!!map",
		"tag of a number":   "system: !!int shop",
		"tag of a list":     "datastores: !!map [1]",
		"binary":            "system: !!binary aGVsbG8=",
		"date":              "system: 2026-01-01",
		"infinite":          "concurrency: .inf",
		"very large number": "concurrency: 1e999",
		"huge number":       "concurrency: " + strings.Repeat("9", 10_000),
		"dollars":           "system: " + strings.Repeat("$", 9999),
		"braces":            "system: " + strings.Repeat("${A:-", 5000),
		"null key":          "~: x",
		"null byte":         "system: \x00",
		"line separators":   "a: \u2028b\u2029: c\u0085: :",
		"cron zone":         withSchedule("CRON_TZ=../../etc/passwd * * * * *"),
		"cron range":        withSchedule("0-4294967295 * * * *"),
		"many variables":    "system: " + strings.Repeat("${A}", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, _, err := config.Parse("drwatch.yaml", []byte(text), environment())
			require.Error(t, err)
			require.Less(t, len(err.Error()), 100_000, "an error that nobody can read")
			require.Less(t, time.Since(start), 20*time.Second)
			t.Log(time.Since(start), strings.SplitN(err.Error(), "\n", 2)[0])
		})
	}
}

func deepBlocks(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key%d: x\n", i)
	}
	return b.String()
}

func manyMerges(mappings, keys int) string {
	var b strings.Builder
	b.WriteString("a:\n")
	for i := range mappings {
		fmt.Fprintf(&b, "- &m%d {", i)
		for j := range keys {
			fmt.Fprintf(&b, "k%d-%d, ", i, j)
		}
		b.WriteString("}\n")
	}
	b.WriteString("b: { <<: [")
	for i := range mappings {
		fmt.Fprintf(&b, "*m%d, ", i)
	}
	return b.String() + "] }\n"
}

// Ten thousand copies are what one drwatch is built for.
func TestParse_TenThousandCopies(t *testing.T) {
	var b strings.Builder
	b.WriteString("system: shop\ninstance: { region: there }\nregions: { primary: here, standby: there }\ndatastores:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "  - name: orders-%d\n    objectives: { rpo: 5m }\n    copies:\n", i)
		for _, name := range []string{"primary", "replica"} {
			fmt.Fprintf(&b, "      - name: %s\n        kind: %[1]s\n        region: %s\n        postgres:\n", name, map[string]string{"primary": "here", "replica": "there"}[name])
			fmt.Fprintf(&b, "          dsn: postgres://drwatch@orders-%d.%s.example.com:5432/orders?sslmode=verify-full\n", i, name)
			fmt.Fprintf(&b, "          password_file: /run/secrets/orders-%d\n", i)
		}
	}
	start := time.Now()
	c := parse(t, b.String())
	t.Logf("%d bytes in %s", b.Len(), time.Since(start))
	require.Len(t, c.Targets(), 10_000)
}

// Whatever is in the file, drwatch says so and goes on. What loads keeps the
// promises that others build on.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "../examples/*/drwatch.yaml", "example.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, files)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := config.Parse("drwatch.yaml", data, environment("HOME", "/root", "A", "1"))
		if err != nil {
			var errs config.Errors
			require.ErrorAs(t, err, &errs, "not told as a mistake in the file")
			require.NotEmpty(t, errs)
			require.NotEmpty(t, err.Error())
			return
		}
		system := c.System()
		require.NotEmpty(t, system.Name)
		require.NotEmpty(t, c.Targets())
		for _, target := range c.Targets() {
			require.NotNil(t, target.Schedule)
			require.Positive(t, target.Timeout)
			watch := target.Copy.Watch
			if target.Part.Name != "" {
				watch = target.Part.Watch
				require.NotEmpty(t, target.Part.Kind)
			}
			require.Greater(t, watch.StaleAfter, target.Timeout)
			require.NotEmpty(t, watch.Checks)
			require.NotEmpty(t, watch.Probe)
			require.Len(t, target.Fingerprint, 64)
		}
	})
}
