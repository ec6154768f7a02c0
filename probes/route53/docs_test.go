package route53_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/probes/route53"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/probes/route53.md")
	require.NoError(t, err)
	return string(text)
}

// Who copies from the page gets what is accepted.
func TestDocs_ExamplesAreValid(t *testing.T) {
	examples := probetest.Examples[struct {
		Services []struct {
			Name             string
			Primary, Standby []string
			Parts            []struct {
				Name    string
				Route53 route53.Config `yaml:"route53"`
			}
		}
	}](t, []byte(page(t)))
	require.Len(t, examples, 1)
	require.Len(t, examples[0].Services, 3)
	for _, s := range examples[0].Services {
		for _, p := range s.Parts {
			require.Empty(t, p.Route53.Validate(probes.Target{Service: probes.Service{Host: s.Name, Primary: s.Primary, Standby: s.Standby}}), s.Name)
		}
	}
}

// Were it to fail, a check would be made that nobody can look up.
func TestDocs_TellEveryCheck(t *testing.T) {
	for _, check := range route53.Checks(ofPair(), probes.Target{Service: ofService()}) {
		require.Contains(t, page(t), "\n| `"+check+"` |")
	}
}

// Were it to fail, the page would name too few rights, or more than are needed: all that
// the probe calls is counted while it looks at everything that it can.
func TestDocs_TellEveryAction(t *testing.T) {
	s := newStage(t)
	s.watch(ofPair(), ofService()).good()
	s.r53.RemoveHealthCheck(primaryHC)
	s.r53.PutHealthCheck(alarmCheck(primaryHC, "Unhealthy"))
	s.restart()
	s.watch(ofPair(), ofService()).good()
	prefix := map[string]string{"route53": "route53:", "monitoring": "cloudwatch:"}
	called := map[string]bool{"sts:AssumeRole": true}
	for asked := range s.cloud.Calls() {
		called[prefix[asked.Service]+asked.Operation] = true
	}
	require.Equal(t, called, probetest.Actions([]byte(page(t))))
	require.NotContains(t, strings.ToLower(page(t)), "todo")
}
