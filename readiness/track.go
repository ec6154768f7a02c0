package readiness

import (
	"fmt"
	"sort"
	"time"
)

// trackLimit bounds how many samples a track keeps: 128 samples at one every
// 15 s are half an hour at full detail before older ones are thinned. A full
// track of 512 would be most of what ten thousand copies need.
const trackLimit = 128

// track is how far the history of a primary had gone, and when. With it, a
// replica's position tells a moment: a replica that holds everything up to the
// position at which the primary stood at T holds all that was committed before
// T. Only one clock, ours, takes part, and a primary that writes nothing does
// not look like lag.
type track struct {
	system, timeline string
	samples          []sample
}

type sample struct {
	since, at time.Time // the first and the last look at which the primary stood there
	position  Position
}

// add notes where the primary stood. A history that is another one, or that
// went backwards, voids what was known: its positions have been used twice.
func (t *track) add(at time.Time, r Reading, position Position) {
	if t.system != r.System || t.timeline != r.Timeline || t.last().position > position {
		*t = track{system: r.System, timeline: r.Timeline}
	}
	if n := len(t.samples); n > 0 && t.samples[n-1].position == position {
		t.samples[n-1].at = at // nothing was written since
		return
	}
	t.samples = append(t.samples, sample{at, at, position})
	if len(t.samples) > trackLimit {
		t.thin()
	}
}

// isOf reports whether a reading is of the history of the track.
func (t *track) isOf(r Reading) bool { return t.system == r.System && t.timeline == r.Timeline }

// departs tells how a reading of the primary breaks with the history so far;
// empty when it does not. A new timeline is a promotion, and no break.
func (t *track) departs(r Reading, position Position) string {
	switch {
	case t.system == "" || r.System == "":
		return ""
	case t.system != r.System:
		return fmt.Sprintf("the primary holds another history than before: %s, was %s", r.System, t.system)
	case t.timeline == r.Timeline && t.last().position > position:
		return fmt.Sprintf("the primary went back in its history by %d bytes", t.last().position-position)
	default:
		return ""
	}
}

func (t *track) last() sample {
	if len(t.samples) == 0 {
		return sample{}
	}
	return t.samples[len(t.samples)-1]
}

// thin drops every second sample of the older half. What is dropped makes a
// recovery point older than it need be, never newer.
func (t *track) thin() {
	half := len(t.samples) / 2
	kept := t.samples[:0]
	for i, s := range t.samples {
		if i >= half || i%2 == 0 {
			kept = append(kept, s)
		}
	}
	t.samples = kept
}

// covers gives the latest moment by which the primary had written no more than
// the position that the reading proves to be held.
func (t *track) covers(r Reading, position Position) (time.Time, bool) {
	if t.system == "" || !t.isOf(r) {
		return time.Time{}, false
	}
	n := sort.Search(len(t.samples), func(i int) bool { return t.samples[i].position > position })
	if n == 0 {
		return time.Time{}, false
	}
	return t.samples[n-1].at, true
}

// lacks gives the first moment at which the primary was seen to have written
// more than the position: whoever holds no more than that lacks data of then.
func (t *track) lacks(r Reading, position Position) (time.Time, bool) {
	if t.system == "" || !t.isOf(r) {
		return time.Time{}, false
	}
	n := sort.Search(len(t.samples), func(i int) bool { return t.samples[i].position > position })
	if n == len(t.samples) {
		return time.Time{}, false
	}
	return t.samples[n].since, true
}
