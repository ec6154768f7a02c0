package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Where things are in a chart, in its own units: the plot, and the strip beneath it.
const (
	plotLeft, plotRight  = 70.0, 892.0
	plotTop, plotBottom  = 12.0, 122.0
	stripTop, stripDeep  = 127.0, 9.0
	slim                 = 3.0 // the least width of what must not be overlooked
	mostTicks            = 10
	scaleOver, scaleMost = 1.25, 5 // of the RPO
)

// chart is the exposure of a pair against its RPO. Each kind of mark is one path.
type chart struct {
	Pair
	ID, Title, Description string
	// Line is the exposure, Area what is beneath it in breach, Boundless the steps with
	// an exposure without bound, Gaps those that were not observed.
	Line, Area, Boundless, Gaps string
	// StripBreach, StripGap and StripPart are the strip: what was in breach, what was
	// not observed, and what was observed in part only.
	StripBreach, StripGap, StripPart string
	RPOAt                            float64
	Top                              readiness.Seconds
	// Clipped says that some of the line is above the top.
	Clipped bool
	Ticks   []tick
}

type tick struct {
	X     string
	Label string
}

// scale says where a step and an exposure are.
type scale struct {
	width float64 // of a step
	top   readiness.Seconds
}

func (s scale) x(i int) float64 { return plotLeft + float64(i)*s.width }

func (s scale) y(e readiness.Seconds) float64 {
	return plotBottom - float64(max(0, min(e, s.top))/s.top)*(plotBottom-plotTop)
}

func chartOf(i int, p Pair, c Compliance) chart {
	worst, _ := p.Worst.Get()
	top := max(p.RPO*scaleOver, min(worst*1.1, p.RPO*scaleMost))
	s := scale{width: (plotRight - plotLeft) / float64(max(1, len(p.Points.Observed))), top: max(1, top)}
	observed := func(i int) bool { return p.Points.Observed[i] > 0 }
	breach := func(i int) bool { return observed(i) && p.Points.Breach[i] > 0 }
	boundless := func(i int) bool { return observed(i) && !p.Points.Worst[i].IsKnown() }
	full := func(i int) readiness.Seconds { return c.length(i) }
	return chart{
		Pair: p, ID: "chart-" + strconv.Itoa(i+1), Top: s.top, Clipped: worst > s.top, RPOAt: s.y(p.RPO), Ticks: ticks(c, s, len(p.Points.Observed)),
		Title:       fmt.Sprintf("Worst exposure of %s in a %s", p.Datastore, p.Scenario),
		Description: fmt.Sprintf("Steps of %s against the RPO of %s: %s.", c.Step, p.RPO, p.Sentence),
		Line:        s.line(p, func(i int) bool { return observed(i) && !boundless(i) }, false),
		Area:        s.line(p, func(i int) bool { return breach(i) && !boundless(i) }, true),
		Boundless:   s.blocks(p, boundless, plotTop, plotBottom-plotTop, slim),
		Gaps:        s.blocks(p, func(i int) bool { return !observed(i) && full(i) > 0 }, plotTop, plotBottom-plotTop, 0),
		StripBreach: s.blocks(p, breach, stripTop, stripDeep, slim),
		StripGap:    s.blocks(p, func(i int) bool { return !observed(i) && full(i) > 0 }, stripTop, stripDeep, slim),
		StripPart: s.blocks(p, func(i int) bool { return observed(i) && p.Points.Observed[i] < full(i)*0.99 },
			stripTop+stripDeep/2, stripDeep/2, slim),
	}
}

// length is how much of a step lies in the period, as far as it is told.
func (c Compliance) length(i int) readiness.Seconds {
	from := c.Start.Add(time.Duration(i) * c.Step.Duration())
	return max(0, min(c.Step, readiness.InSeconds(c.Until.Sub(from))))
}

// line draws the steps for which something holds: as a line, or down to the bottom.
func (s scale) line(p Pair, holds func(int) bool, area bool) string {
	var d strings.Builder
	down, last := false, 0.0
	for i := range p.Points.Observed {
		if !holds(i) {
			if down && area {
				fmt.Fprintf(&d, "V%sZ", coordinate(plotBottom))
			}
			down = false
			continue
		}
		worst, _ := p.Points.Worst[i].Get()
		y := s.y(worst)
		switch {
		case !down && area:
			fmt.Fprintf(&d, "M%s %sV%s", coordinate(s.x(i)), coordinate(plotBottom), coordinate(y))
		case !down:
			fmt.Fprintf(&d, "M%s %s", coordinate(s.x(i)), coordinate(y))
		case coordinate(y) != coordinate(last):
			fmt.Fprintf(&d, "H%sV%s", coordinate(s.x(i)), coordinate(y))
		}
		down, last = true, y
		if next := i + 1; next == len(p.Points.Observed) || !holds(next) {
			fmt.Fprintf(&d, "H%s", coordinate(s.x(next)))
		}
	}
	if down && area {
		fmt.Fprintf(&d, "V%sZ", coordinate(plotBottom))
	}
	return d.String()
}

// blocks draws a rectangle for each row of steps for which something holds.
func (s scale) blocks(p Pair, holds func(int) bool, top, height, least float64) string {
	var d strings.Builder
	for i := 0; i < len(p.Points.Observed); i++ {
		from := i
		for i < len(p.Points.Observed) && holds(i) {
			i++
		}
		if i > from {
			fmt.Fprintf(&d, "M%s %sh%sv%sH%sZ", coordinate(s.x(from)), coordinate(top), coordinate(max(least, s.x(i)-s.x(from))), coordinate(height), coordinate(s.x(from)))
		}
	}
	return d.String()
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// ticks are at round times, as many as can be read.
func ticks(c Compliance, s scale, points int) (all []tick) {
	const day = 24 * time.Hour
	end := c.Start.Add(time.Duration(points) * c.Step.Duration())
	apart := time.Hour
	for _, apart = range []time.Duration{time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day, 364 * day} {
		if end.Sub(c.Start)/apart <= mostTicks {
			break
		}
	}
	for at := c.Start.Truncate(apart); !at.After(end); at = at.Add(apart) {
		x := s.x(0) + at.Sub(c.Start).Seconds()/float64(c.Step)*s.width
		if x < plotLeft || x > plotRight-20 {
			continue
		}
		label := at.Format("2 Jan")
		if at.Hour() != 0 {
			label = at.Format("15:04")
		}
		all = append(all, tick{coordinate(x), label})
	}
	return all
}
