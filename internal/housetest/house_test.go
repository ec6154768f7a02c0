// Package housetest holds what no compiler holds: which room may import which,
// that every package says what it is for, and that docs and README are true.
package housetest

import (
	"bufio"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/collectors"
	"github.com/drwatch/drwatch/config"
)

const (
	module = "github.com/drwatch/drwatch"
	root   = "../.."
)

// allowed lists, for each room, the rooms that it may import. Data flows down
// this list and never back. A name that ends in /... stands for all below it.
func allowed() map[string][]string {
	return map[string][]string{
		"readiness":          {},
		"secret":             {},
		"probes":             {"readiness"},
		"probes/probetest":   {"readiness", "probes"},
		"probes/...":         {"readiness", "secret", "probes"},
		"probes/rds":         {"readiness", "probes", "probes/awsapi"},
		"probes/s3":          {"readiness", "probes", "probes/awsapi", "probes/s3/archive"},
		"probes/s3/archive":  {}, // foreign bytes, and nothing of ours
		"probes/awsbackup":   {"readiness", "probes", "probes/awsapi"},
		"probes/route53":     {"readiness", "probes", "probes/awsapi"},
		"probes/elb":         {"readiness", "probes", "probes/awsapi"},
		"ledger":             {}, // knows nothing of what it keeps
		"ledger/ledgertest":  {"ledger"},
		"ledger/...":         {"ledger", "secret"},
		"audit":              {"readiness", "ledger", "internal/spelling"},
		"audit/history":      {"readiness", "ledger"},
		"audit/report":       {"readiness", "ledger", "audit", "audit/history"},
		"config":             {"readiness", "secret", "probes", "probes/...", "audit", "internal/spelling"},
		"monitor":            {"readiness", "probes"},
		"collectors":         {"readiness", "audit"},
		"web":                {"readiness", "audit"},
		"app":                {"readiness", "probes/...", "ledger", "ledger/...", "audit", "audit/...", "config", "monitor", "collectors", "web", "probes"},
		"lab/aws":            {}, // neither does it know what asks it
		"lab/dns":            {},
		"lab/api":            {},
		"lab":                {"lab/aws", "lab/dns", "lab/api"}, // knows nothing of what watches it
		"lab/labtest":        {"lab"},
		"examples/festivals": {},
		"cmd/drwatch":        {"app", "audit", "audit/report", "collectors", "config", "examples/festivals", "lab", "ledger", "ledger/postgres", "probes/postgres", "readiness"},
		"internal/spelling":  {},
		"internal/housetest": {},
		"internal/bench":     {},
	}
}

type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	command.Dir = root
	output, err := command.Output()
	require.NoError(t, err)
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func match(pattern, room string) bool {
	prefix, below := strings.CutSuffix(pattern, "/...")
	return room == pattern || below && strings.HasPrefix(room, prefix+"/")
}

// rule gives the most exact rule for a room.
func rule(room string) (imports []string, found bool) {
	rules := allowed()
	if imports, found = rules[room]; found {
		return imports, true
	}
	for pattern, imports := range rules {
		if match(pattern, room) {
			return imports, true
		}
	}
	return nil, false
}

func TestImports_FlowDownTheHouse(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		imports, found := rule(room)
		require.True(t, found, "%s is a new room: say in this test, and in docs/architecture.md, what it may import", room)
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			require.True(t, slices.ContainsFunc(imports, func(pattern string) bool { return match(pattern, other) }),
				"%s imports %s, which does not stand above it", room, other)
		}
	}
}

func TestPackages_SayWhatTheyAreForOnce(t *testing.T) {
	for _, p := range packages(t) {
		comments := 0
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			if file.Doc != nil {
				comments++
			}
		}
		if len(p.GoFiles) > 0 {
			require.Equal(t, 1, comments, "package comments of %s", p.ImportPath)
		}
	}
}

func TestMain_IsSmall(t *testing.T) {
	require.Less(t, strings.Count(read(t, "cmd/drwatch/main.go"), "\n"), 40)
}

// Every direct dependency earns its place: docs/architecture.md says why.
func TestArchitecture_ExplainsEveryDependency(t *testing.T) {
	text := read(t, "docs/architecture.md")
	scanner := bufio.NewScanner(strings.NewReader(read(t, "go.mod")))
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || strings.HasSuffix(line, "// indirect") {
			continue
		}
		require.Truef(t, mentions(text, fields[0]), "docs/architecture.md does not say why %s is there", fields[0])
	}
	require.NotContains(t, read(t, "go.mod"), "replace ", "who imports a module does not see its replacements")
}

func TestArchitecture_NamesEveryRoom(t *testing.T) {
	text := read(t, "docs/architecture.md")
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		require.Truef(t, mentions(text, room), "docs/architecture.md does not name %s", room)
	}
}

// mentions keeps the whole text out of the message of a test that fails.
func mentions(text, name string) bool { return strings.Contains(text, "`"+name+"`") }

var metricName = regexp.MustCompile(`\b(?:dr|drwatch)_[a-z_]+\b`)

// A metric that the docs name and that does not exist is an alert that never fires.
func TestDocs_NameOnlyMetricsThatExist(t *testing.T) {
	known := make(map[string]bool)
	for _, m := range collectors.Catalogue() {
		known[m.Name] = true
		if m.Histogram {
			known[m.Name+"_bucket"], known[m.Name+"_sum"], known[m.Name+"_count"] = true, true, true
		}
	}
	for _, path := range markdown(t) {
		for _, name := range metricName.FindAllString(read(t, path), -1) {
			if strings.HasSuffix(name, "_") || name == "drwatch_heartbeat" { // a prefix; a database role
				continue
			}
			require.True(t, known[name], "%s names %s, which is no metric", path, name)
		}
	}
}

var (
	fenced     = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	devCommand = regexp.MustCompile(`(?m)^\s*\./dev ([a-z]+)`)
	markdownTo = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

// A configuration in the docs that does not load costs a reader an evening. Only
// whole files are held to it; fragments begin with a comment line "# part of".
func TestDocs_WholeConfigurationsLoad(t *testing.T) {
	for _, path := range markdown(t) {
		for _, block := range fenced.FindAllStringSubmatch(read(t, path), -1) {
			if !strings.HasPrefix(block[1], "system:") {
				continue
			}
			_, warnings, err := config.Parse(path, []byte(block[1]), os.LookupEnv)
			require.NoError(t, err)
			require.Empty(t, warnings)
		}
	}
}

func TestReadme_CommandsExist(t *testing.T) {
	dev := read(t, "dev")
	commands := devCommand.FindAllStringSubmatch(read(t, "README.md"), -1)
	require.GreaterOrEqual(t, len(commands), 2)
	for _, c := range commands {
		require.Regexp(t, `(?m)^`+c[1]+`\)`, dev, "./dev has no command %s", c[1])
	}
	require.Equal(t, "demo", commands[0][1], "the README begins with the main job")
	require.Equal(t, "test", commands[1][1], "and then passes the tests")
}

func TestDocs_LinksLeadSomewhere(t *testing.T) {
	for _, path := range markdown(t) {
		for _, link := range markdownTo.FindAllStringSubmatch(read(t, path), -1) {
			_, err := os.Stat(filepath.Join(root, filepath.Dir(path), link[1]))
			require.NoError(t, err, "%s links to %s", path, link[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

// markdown lists all documents for people.
func markdown(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".git") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			relative, _ := filepath.Rel(root, path)
			found = append(found, relative)
		}
		return err
	})
	require.NoError(t, err)
	return found
}
