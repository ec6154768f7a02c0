package endpoint

import (
	"context"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// SetNow gives the probe another clock to hold certificates against.
func (p *Probe) SetNow(now func() time.Time) { p.now = now }

// Strict is a probe for those who expect a look to fail at what is down: the fault
// that clients meet first becomes the failure.
type Strict struct{ *Probe }

// Look looks as the probe does.
func (s Strict) Look(ctx context.Context) (readiness.Reading, error) {
	seen, err := s.see(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	reading := s.reading(seen)
	if len(seen.faults) > 0 {
		return readiness.Reading{}, probes.Fail(seen.faults[0].class, "%s", reading.Checks[0].Evidence)
	}
	return reading, nil
}
