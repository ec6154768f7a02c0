package postgres

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

// page is the documentation of this probe.
func page(t *testing.T) string {
	text, err := os.ReadFile("../../docs/probes/postgres.md")
	require.NoError(t, err)
	return string(text)
}

// A user who copies the example would have a file that is refused.
func TestDocs_ExampleIsValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Copies []struct {
			Name, Region string
			Kind         readiness.CopyKind
			Logical      bool
			Delay        string
			Postgres     Config
		}
	}](t, []byte(page(t)))
	require.NotEmpty(t, examples)
	require.Len(t, examples[0].Copies, 4)
	for _, c := range examples[0].Copies {
		require.Empty(t, c.Postgres.Validate(readiness.Copy{Kind: c.Kind, Logical: c.Logical}), c.Name)
	}
}

// A user would look up a check, a parameter or a class and not find it.
func TestDocs_AreComplete(t *testing.T) {
	text := page(t)
	rows := func(title string) (names []string) {
		_, section, found := strings.Cut(text, "## "+title+"\n")
		require.True(t, found, title)
		section, _, _ = strings.Cut(section, "\n## ")
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(section, -1) {
			names = append(names, row[1])
		}
		return names
	}
	logical := readiness.Copy{Kind: readiness.Replica, Logical: true}
	var checks []string
	for _, of := range []readiness.Copy{primaryCopy(), replicaCopy(), logical} {
		checks = append(checks, Checks(Config{Heartbeat: true}, of)...)
	}
	require.Subset(t, rows("Checks"), checks)
	require.Subset(t, checks, rows("Checks"))
	for _, class := range rows("When a look fails") {
		require.Contains(t, readiness.Classes(), readiness.Class(class))
	}
	require.Len(t, rows("When a look fails"), len(readiness.Classes())-1, "all but internal")
	for name := range parameters() {
		require.Contains(t, text, "`"+name+"`")
	}
}
