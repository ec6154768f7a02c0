package history

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Times that are counted twice, or lost between two others, are shares that are wrong.
func TestProperty_SpansAreSetsOfMoments(t *testing.T) {
	moment := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
	draw := func(t *rapid.T) (int, int) {
		from := rapid.IntRange(0, 40).Draw(t, "from")
		return from, from + rapid.IntRange(0, 10).Draw(t, "length")
	}
	rapid.Check(t, func(t *rapid.T) {
		var all spans
		var in [60]bool
		for range rapid.IntRange(0, 12).Draw(t, "spans") {
			from, to := draw(t)
			all = all.add(span{moment(from), moment(to)})
			for s := from; s < to; s++ {
				in[s] = true
			}
		}
		for i := 1; i < len(all); i++ {
			require.True(t, all[i-1].to.Before(all[i].from), "they neither overlap nor touch")
		}
		from, to := draw(t)
		asked := span{moment(from), moment(to)}
		inside, outside := 0, 0
		for s := from; s < to; s++ {
			if in[s] {
				inside++
			} else {
				outside++
			}
		}
		require.Equal(t, time.Duration(inside)*time.Second, all.inside(asked))
		for _, part := range all.outside(asked) {
			outside -= int(part.length() / time.Second)
			require.Positive(t, part.length())
			require.Zero(t, all.inside(part))
		}
		require.Zero(t, outside)
	})
}
