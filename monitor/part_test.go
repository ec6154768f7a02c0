package monitor

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/readiness"
)

// The parts of a service are looked at as copies are, keep what was seen of them
// through a reload that does not concern them, and are spread one by one: a
// thousand endpoints of one service would all be asked in the same instant.
func TestMonitor_PartsOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parts = 600
		var looks atomic.Int64
		service := readiness.Service{Name: "api"}
		schedule := every(t, "@every 15s")
		targets := make([]Target, 0, parts)
		for i := range parts {
			part := readiness.Part{Name: strconv.Itoa(i), Kind: readiness.Endpoint, Watch: readiness.Watch{Probe: "endpoint"}}
			service.Parts = append(service.Parts, part)
			targets = append(targets, Target{
				ID: readiness.ID{Of: "api", Name: part.Name}, Schedule: schedule, Spec: "@every 15s",
				Timeout: 5 * time.Second, Prober: good(&looks), Fingerprint: part.Name,
			})
		}
		system := readiness.System{Name: "test", Services: []readiness.Service{service}}
		m := New(Options{System: system, Targets: targets})
		m.Start()
		defer m.Stop()
		time.Sleep(firstSpread / 10)
		synctest.Wait()
		require.NotZero(t, looks.Load())
		require.Less(t, looks.Load(), int64(parts/2), "they do not all come in one instant")
		time.Sleep(firstSpread)
		synctest.Wait()
		for _, part := range m.Report().Services[0].Parts {
			require.True(t, part.Probe.Success, part.Name)
		}

		targets[0].Fingerprint = "another address"
		m.Reload(system, targets)
		report := m.Report().Services[0].Parts
		require.False(t, report[0].Probe.Success, "nothing was seen of the new address yet")
		require.True(t, report[1].Probe.Success)
	})
}
