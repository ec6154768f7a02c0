package elb_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/probes/elb"
	"github.com/drwatch/drwatch/probes/probetest"
	"github.com/drwatch/drwatch/readiness"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/probes/elb.md")
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
				Name, Region string
				Side         readiness.Side
				ELB          elb.Config `yaml:"elb"`
			}
		}
	}](t, []byte(page(t)))
	require.Len(t, examples, 1)
	for _, s := range examples[0].Services {
		require.Len(t, s.Parts, 2)
		for _, p := range s.Parts {
			target := probes.Target{Service: probes.Service{Primary: s.Primary, Standby: s.Standby}, Part: readiness.Part{Region: p.Region, Side: p.Side}}
			require.Empty(t, p.ELB.Validate(target), p.Name)
		}
	}
}

// Were it to fail, a check would be made that nobody can look up, or the page would name
// too few rights.
func TestDocs_TellEveryCheckAndAction(t *testing.T) {
	for _, check := range elb.Checks(ofBalancer(), ofPart()) {
		require.Contains(t, page(t), "\n| `"+check+"` |")
	}
	s := newStage(t)
	s.watch(ofBalancer(), ofPart()).good()
	called := map[string]bool{"sts:AssumeRole": true}
	for asked := range s.cloud.Calls() {
		called[asked.Service+":"+asked.Operation] = true
	}
	require.Equal(t, called, probetest.Actions([]byte(page(t))))
}
