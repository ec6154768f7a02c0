package history

import (
	"slices"
	"time"
)

// span is a time from a moment until before another.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return max(0, s.to.Sub(s.from)) }

// within is the part of it that lies in another.
func (s span) within(other span) span {
	s.from = latest(s.from, other.from)
	if other.to.Before(s.to) {
		s.to = other.to
	}
	return s
}

// spans are times in their order, that neither overlap nor touch.
type spans []span

// first is the index of the first that ends at a moment or later.
func (all spans) first(at time.Time) int {
	i, _ := slices.BinarySearchFunc(all, at, func(s span, at time.Time) int { return s.to.Compare(at) })
	return i
}

// add takes in one more.
func (all spans) add(s span) spans {
	if s.length() == 0 {
		return all
	}
	i := all.first(s.from)
	j := i
	for ; j < len(all) && !all[j].from.After(s.to); j++ {
		if all[j].from.Before(s.from) {
			s.from = all[j].from
		}
		s.to = latest(s.to, all[j].to)
	}
	return slices.Replace(all, i, j, s)
}

// outside are the parts of a time that are in none of them.
func (all spans) outside(s span) (parts []span) {
	for _, in := range all[all.first(s.from):] {
		if !in.from.Before(s.to) {
			break
		}
		if s.from.Before(in.from) {
			parts = append(parts, span{s.from, in.from})
		}
		s.from = latest(s.from, in.to)
	}
	if s.length() > 0 {
		parts = append(parts, s)
	}
	return parts
}

// inside is how much of a time is in them.
func (all spans) inside(s span) (d time.Duration) {
	for _, in := range all[all.first(s.from):] {
		if !in.from.Before(s.to) {
			break
		}
		d += in.within(s).length()
	}
	return d
}
