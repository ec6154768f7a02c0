package archive

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Begun is what a dump says of the moment at which it was begun: a moment, or
// only what the clock on the wall showed, in a time zone that it does not tell.
type Begun struct {
	at     time.Time // set where it is a moment
	wall   time.Time // what the clock showed, written as if in UTC
	summer isDST
	zone   string // the abbreviation of the zone, where it is told
	told   bool
}

type isDST int

const (
	dstUntold isDST = iota
	dstNo
	dstYes
)

func moment(at time.Time) Begun { return Begun{at: at, told: true} }

func wallClock(wall time.Time, summer isDST, zone string) Begun {
	return Begun{wall: wall, summer: summer, zone: zone, told: true}
}

// Told reports whether the dump says anything about it.
func (b Begun) Told() bool { return b.told }

// Local reports whether it says only what the clock on the wall showed.
func (b Begun) Local() bool { return b.told && b.at.IsZero() }

// In gives the moment, for a clock on the wall that hangs in the zone given. One
// that shows an hour twice, in autumn, is taken for the first time, where the
// dump does not tell which.
func (b Begun) In(zone *time.Location) (time.Time, error) {
	switch {
	case !b.told:
		return time.Time{}, fmt.Errorf("the dump does not tell when it was begun")
	case !b.at.IsZero():
		return b.at, nil
	}
	if offset, ok := numericZone(b.zone); ok {
		return b.wall.Add(-offset), nil
	}
	found := Earliest(b.wall, zone, func(at time.Time) bool {
		return b.summer == dstUntold || at.IsDST() == (b.summer == dstYes)
	})
	if name, _ := found.In(zone).Zone(); b.zone != "" && b.zone != name {
		return time.Time{}, fmt.Errorf("the dump was begun at %s %s, and in the time zone %s that is called %s",
			b.wall.Format(time.DateTime), b.zone, zone, name)
	}
	return found, nil
}

// numericZone reads the names of zones that name their offset.
func numericZone(name string) (time.Duration, bool) {
	switch {
	case name == "UTC" || name == "GMT" || name == "Z":
		return 0, true
	case len(name) != 3 && len(name) != 5 || name[0] != '+' && name[0] != '-':
		return 0, false
	}
	number, err := strconv.Atoi(name[1:])
	if err != nil {
		return 0, false
	}
	if len(name) == 3 {
		number *= 100
	}
	offset := time.Duration(number/100)*time.Hour + time.Duration(number%100)*time.Minute
	if name[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// Earliest gives the first moment at which a clock in the zone shows what is
// written in wall as if in UTC; among those that are liked, where there are any.
// For an hour that the zone leaves out, it is the moment before the gap.
func Earliest(wall time.Time, zone *time.Location, like func(time.Time) bool) time.Time {
	var best, liked time.Time
	var fallback time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 0, 26 * time.Hour} { // no zone is further from UTC
		_, offset := wall.Add(near).In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if fallback.IsZero() || at.Before(fallback) {
			fallback = at
		}
		_, there := at.In(zone).Zone()
		if there != offset {
			continue
		}
		if best.IsZero() || at.Before(best) {
			best = at
		}
		if like(at.In(zone)) && (liked.IsZero() || at.Before(liked)) {
			liked = at
		}
	}
	switch {
	case !liked.IsZero():
		return liked.In(time.UTC)
	case !best.IsZero():
		return best.In(time.UTC)
	default:
		return fallback.In(time.UTC)
	}
}

// parseStarted reads "2026-11-24 10:00:00 CET", as pg_dump -v writes it.
func parseStarted(text string) (Begun, bool) {
	day, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	clock, zone, _ := strings.Cut(rest, " ")
	wall, err := time.Parse(time.DateTime, day+" "+clock)
	if err != nil || len(zone) > 40 {
		return Begun{}, false
	}
	return wallClock(wall, dstUntold, zone), true
}
