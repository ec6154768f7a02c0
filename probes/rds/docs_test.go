package rds_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/rds"
	"github.com/drwatch/drwatch/readiness"
)

const docs = "../../docs/probes/rds.md"

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docs)
	require.NoError(t, err)
	return string(text)
}

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Copies []struct {
			Name    string
			Kind    readiness.CopyKind
			Region  string
			Account string
			RDS     rds.Config `yaml:"rds"`
		}
	}](t, []byte(page(t)))
	require.Len(t, examples, 2)
	for _, example := range examples {
		require.NotEmpty(t, example.Copies)
		for _, c := range example.Copies {
			require.Empty(t, c.RDS.Validate(readiness.Copy{Name: c.Name, Kind: c.Kind, Region: c.Region}), c.Name)
		}
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	text := page(t)
	for _, kind := range readiness.CopyKinds() {
		for _, check := range rds.Checks(rds.Config{Retention: time.Hour, Every: time.Hour}, readiness.Copy{Kind: kind, Account: "444455556666"}) {
			require.Contains(t, text, "| `"+check+"`")
		}
	}
}

// Were it to fail, the page would name too few rights, or more than are needed: all
// that the probe calls is counted while it looks at everything that it can.
func TestDocs_TellEveryAction(t *testing.T) {
	s := newStage(t)
	aurora(s)
	s.watch(readiness.Primary, west, rds.Config{Instance: "festivals-production"}).good()
	for _, w := range []*watch{
		s.watch(readiness.Replica, central, ofReplica()), s.watch(readiness.Replica, central, ofSecondary()),
		s.watch(readiness.PITR, central, ofWindow()), s.watch(readiness.Snapshot, central, ofSnapshot()),
		s.watch(readiness.Snapshot, central, rds.Config{Cluster: "aurora-west"}),
	} {
		_, _ = w.look()
	}
	prefix := map[string]string{"rds": "rds:", "monitoring": "cloudwatch:"}
	called := map[string]bool{"sts:AssumeRole": true}
	for asked := range s.cloud.Calls() {
		called[prefix[asked.Service]+asked.Operation] = true
	}
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+:[A-Za-z]+)` \\|").FindAllStringSubmatch(page(t), -1) {
		told[m[1]] = true
	}
	require.Equal(t, called, told)
	require.NotContains(t, strings.ToLower(page(t)), "todo")
}
