package report

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// mostPoints are in all charts together, so that the page stays small.
const mostPoints = 32_000

// compliance takes over what package history tells.
func (c *collector) compliance(ctx context.Context) error {
	h, err := history.Read(ctx, upTo{c.ledger, c.data.To}, c.data.From, c.data.To)
	if err != nil {
		return err
	}
	h.Tracks = slices.DeleteFunc(h.Tracks, func(t history.Track) bool { return !t.Since.Before(c.data.To) })
	of := &c.data.Compliance
	*of = Compliance{
		Until: h.Until.UTC(), Observed: h.Observed, Step: h.Step, Start: c.data.From.Truncate(time.Hour), Began: c.ledger.began,
	}
	of.Unobserved = max(0, readiness.InSeconds(h.Until.Sub(h.From))-h.Observed)
	of.Gaps, of.MoreGaps = longest(h.Gaps, func(g history.Gap) readiness.Seconds { return g.Unobserved })
	steps, factor := int((h.Until.Sub(of.Start)+h.Step.Duration()-1)/h.Step.Duration()), 1
	for steps*len(h.Tracks)/factor > mostPoints {
		factor *= 2
	}
	of.Step *= readiness.Seconds(factor)
	var breaches []Breach
	for _, t := range h.Tracks {
		t.Points = append(t.Points, make([]history.Point, max(0, steps-len(t.Points)))...)[:steps]
		of.Pairs = append(of.Pairs, pairOf(h, t, c.data, coarsen(t.Points, factor)))
		for _, b := range t.Breaches {
			breaches = append(breaches, Breach{t.Datastore, t.Scenario, b})
		}
		of.MoreBreaches += t.Count - len(t.Breaches)
	}
	shown, more := longest(breaches, func(b Breach) readiness.Seconds { return readiness.InSeconds(b.Length()) })
	of.Breaches, of.MoreBreaches = shown, of.MoreBreaches+more
	if h.Unread > 0 {
		c.data.Unreadable = append(c.data.Unreadable, Unreadable{Stream: history.Stream, Why: counted(h.Unread, "event") + " of the RPO history make no sense"})
	}
	return nil
}

// upTo is a ledger in which nothing has changed since the end of the period: what was
// promised later says nothing of it. Hours are left, for the last may reach beyond it.
type upTo struct {
	history.Reader
	end time.Time
}

// Events gives those that count.
func (u upTo) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		for e, err := range u.Reader.Events(ctx, q) {
			if later := e.Kind == history.KindChanged && !e.Time.Before(u.end); (err != nil || !later) && !yield(e, err) {
				return
			}
		}
	}
}

// longest gives those that are, longest first, and how many it leaves out.
func longest[E any](all []E, length func(E) readiness.Seconds) (kept []E, more int) {
	slices.SortStableFunc(all, func(a, b E) int { return cmp.Compare(length(b), length(a)) })
	n := min(len(all), mostListed)
	return all[:n:n], len(all) - n
}

func pairOf(h history.History, t history.Track, d *Data, points []history.Point) Pair {
	p := Pair{
		Datastore: t.Datastore, Scenario: t.Scenario, RPO: t.RPO, Promised: t.Promised, Since: t.Since.UTC(), Sentence: h.Sentence(t, d.Made.At),
		Observed: t.Observed, Compliant: t.Compliant, Unobserved: max(0, readiness.InSeconds(h.Until.Sub(h.From))-t.Observed),
		Unplaced: t.Unplaced, Breaches: t.Count, Budget: t.Budget(d.Target),
	}
	for _, point := range points {
		p.Points.Worst = append(p.Points.Worst, up(point.Worst))
		p.Points.Observed = append(p.Points.Observed, tenth(point.Observed))
		p.Points.Breach = append(p.Points.Breach, tenth(max(0, point.Observed-point.Compliant)))
	}
	for i, point := range t.Points {
		if point.Observed <= 0 {
			continue
		}
		worst, known := point.Worst.Get()
		p.Unbounded = p.Unbounded || !known
		if before, told := p.Worst.Get(); known && (!told || worst > before) {
			p.Worst = readiness.Known(worst)
			p.WorstAt = readiness.Known(d.Compliance.Start.Add(time.Duration(i) * h.Step.Duration()))
		}
	}
	return p
}

// coarsen makes one point of several.
func coarsen(points []history.Point, factor int) []history.Point {
	var all []history.Point
	for several := range slices.Chunk(points, factor) {
		sum := several[0]
		for _, p := range several[1:] {
			sum = sum.And(p)
		}
		all = append(all, sum)
	}
	return all
}

func tenth(s readiness.Seconds) readiness.Seconds {
	return readiness.Seconds(math.Round(float64(s)*10) / 10)
}

// up rounds so that nothing looks better than it was.
func up(m readiness.Maybe[readiness.Seconds]) readiness.Maybe[readiness.Seconds] {
	s, known := m.Get()
	if !known {
		return m
	}
	return readiness.Known(readiness.Seconds(math.Ceil(float64(s)*10) / 10))
}
