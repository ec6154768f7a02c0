package collectors

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/drwatch/drwatch/readiness"
)

// A page is made as large as the one before. It would cost several times the
// memory if that had no effect, and be wrong if it had any other: also where the
// system has grown or shrunk by a reload.
func TestSystem_PagesAreMadeToMeasure(t *testing.T) {
	current := many(20)
	system := NewSystem(func() *readiness.Report { return current })
	for _, copies := range []int{20, 20, 40, 40, 20, 20} {
		current = many(copies)
		fresh, err := NewSystem(func() *readiness.Report { return current }).Gather()
		require.NoError(t, err)
		again, err := system.Gather()
		require.NoError(t, err)
		require.Len(t, again, len(fresh))
		for i, family := range fresh {
			require.True(t, proto.Equal(family, again[i]), family.GetName())
		}
	}
	families, err := system.Gather()
	require.NoError(t, err)
	for _, family := range families {
		require.Equal(t, len(family.Metric), cap(family.Metric), family.GetName())
	}
}
