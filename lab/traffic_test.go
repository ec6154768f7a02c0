package lab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/lab/labtest"
)

// A lab whose clients stay where they were would prove nothing about moving.
func TestTraffic_ClientsAreLedToTheStandbyAndBack(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, func(o *lab.Options) { o.AWS = true })
	served := func(by string) {
		t.Helper()
		for resolver := range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for {
				attempt, done := context.WithTimeout(ctx, time.Second)
				region, err := l.AskAPI(attempt, resolver)
				done()
				if region == by {
					break
				}
				require.NoError(t, ctx.Err(), "last seen by resolver %d: %q, %v", resolver, region, err)
			}
		}
	}
	served(lab.PrimaryRegion)
	require.NoError(t, l.Break(t.Context(), lab.PrimaryAPIDown))
	served(lab.StandbyRegion)
	require.NoError(t, l.Heal(t.Context(), lab.PrimaryAPIDown))
	served(lab.PrimaryRegion)
}
