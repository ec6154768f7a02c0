package history

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// log is a stream as a ledger gives it.
type log []ledger.Event

func (l *log) add(drafts ...ledger.Draft) {
	for _, d := range drafts {
		*l = append(*l, ledger.Seal(d, Stream, uint64(len(*l))+1, uint64(len(*l))+1, ledger.Hash{}))
	}
}

func (l log) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		for _, e := range l {
			if q.Stream == e.Stream && !yield(e, ctx.Err()) {
				return
			}
		}
	}
}

// life is a random life of drwatch, and what is true of it, by the plainest means: a
// list of the times for which a look vouches.
type life struct {
	interval time.Duration
	scribe   *Scribe
	log      log

	now      time.Time
	looks    []sight
	fresh    bool      // nothing was seen since the start
	begun    time.Time // of the part of the hour that would be lost
	lastSeen time.Time
	rpo      readiness.Seconds
	breach   [2]bool
}

// sight is what a look found, and how long that holds.
type sight struct {
	span
	breach [2]bool
	// next is how the look after it comes about.
	next  string // "", gap, stop or crash
	until time.Time
}

var names = [2]string{"a", "b"}

func (l *life) report() *readiness.Report {
	r := &readiness.Report{At: l.now, System: "s"}
	for i, name := range names {
		c := readiness.Coverage{Scenario: readiness.RegionFailure, RPO: l.rpo, Compliant: !l.breach[i], Exposure: readiness.Known(l.rpo / 2)}
		if l.breach[i] {
			c.Exposure = readiness.Known(l.rpo * 2)
		}
		r.Datastores = append(r.Datastores, readiness.DatastoreReport{Name: name, Coverage: []readiness.Coverage{c}})
	}
	return r
}

// look sees the system as it is now.
func (l *life) look(t *rapid.T) {
	for i := range l.breach {
		if rapid.IntRange(0, 19).Draw(t, "flips") == 0 {
			l.breach[i] = !l.breach[i]
		}
	}
	before := l.breach
	if !l.fresh {
		before = l.looks[len(l.looks)-1].breach
	}
	another := rapid.IntRange(0, 199).Draw(t, "another RPO") == 0
	if another {
		l.rpo++
		l.begun = latest(l.begun, l.now)
		l.lastSeen = l.now
	}
	if l.fresh || before != l.breach {
		l.lastSeen = l.now
	}
	l.fresh = false
	l.log.add(l.scribe.See(l.report())...)
	l.looks = append(l.looks, sight{span: span{l.now, l.now}, breach: l.breach})
}

// pass lets time go by after a look, and says how the next one comes about.
func (l *life) pass(d time.Duration, next string) {
	s := &l.looks[len(l.looks)-1]
	s.to, s.next = s.from.Add(d), next
	if d > l.interval*3/2 {
		s.to = s.from.Add(l.interval)
	}
	l.now = l.now.Add(d)
	if hour := s.to.Truncate(time.Hour); next != "crash" && hour.After(l.begun) {
		l.begun, l.lastSeen = hour, latest(l.lastSeen, hour)
	}
	switch next {
	case "gap":
		s.until, l.begun, l.lastSeen = s.to, l.now, s.to
	case "stop":
		l.log.add(l.scribe.Stop(l.now)...)
		s.until, l.lastSeen = s.to, s.to
	case "crash": // what was seen since the last event was written is lost
		for i := range l.looks {
			if !l.looks[i].from.Before(l.begun) {
				l.looks[i].to = l.looks[i].from
			} else if l.looks[i].to.After(l.begun) && l.looks[i].next == "" {
				l.looks[i].to = l.begun
			}
		}
		s.until = l.lastSeen
	}
}

func live(t *rapid.T) *life {
	l := &life{
		interval: time.Duration(rapid.SampledFrom([]int{10, 30, 60}).Draw(t, "interval")) * time.Second,
		now:      time.Date(2026, 10, 3, 22, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "offset")) * time.Second),
		rpo:      3600,
	}
	l.scribe = NewScribe(ScribeOptions{Interval: l.interval})
	l.begun, l.fresh = l.now, true
	l.log.add(l.scribe.Start(l.now, "s")...)
	for range rapid.IntRange(1, 400).Draw(t, "looks") {
		l.look(t)
		away := func() time.Duration { return time.Duration(rapid.IntRange(600, 9000).Draw(t, "away")) * time.Second }
		switch rapid.IntRange(0, 59).Draw(t, "what comes") {
		case 0:
			l.pass(away(), "gap")
		case 1:
			l.pass(time.Duration(rapid.IntRange(1, 400).Draw(t, "until the stop"))*time.Second, "stop")
			l.again(away())
		case 2:
			l.pass(time.Duration(rapid.IntRange(1, 30).Draw(t, "until the crash"))*time.Second, "crash")
			l.scribe = NewScribe(ScribeOptions{Interval: l.interval})
			l.again(away())
		default:
			l.pass(l.interval*time.Duration(rapid.IntRange(50, 150).Draw(t, "percent of an interval"))/100, "")
		}
	}
	l.look(t)
	l.pass(l.interval, "stop")
	return l
}

// again starts drwatch after some time.
func (l *life) again(away time.Duration) {
	l.now = l.now.Add(away)
	l.begun, l.fresh = l.now, true
	l.log.add(l.scribe.Start(l.now, "s")...)
}

// truth is what is to be told of a datastore.
type truth struct {
	observed, compliant time.Duration
	transitions         int
	breaches            []string
}

func (l *life) truth(i int, window span) (is truth) {
	var open *Breach
	note := func(b Breach) {
		s := span{b.From, b.To}.within(window)
		atOnce := b.From.Equal(b.To) && (b.EndedUnseen || b.Open) && !b.From.Before(window.from) && b.From.Before(window.to)
		if s.length() == 0 && !atOnce {
			return
		}
		b.Open = b.Open || b.To.After(s.to)
		is.breaches = append(is.breaches, breachLine(s, b.From.Before(s.from), b.Open, !b.From.Before(s.from) && b.BeganUnseen, !b.Open && b.EndedUnseen))
	}
	for n, s := range l.looks {
		d := s.within(window).length()
		is.observed += d
		if !s.breach[i] {
			is.compliant += d
		}
		switch {
		case open != nil && !s.breach[i]:
			before := l.looks[n-1]
			open.To, open.EndedUnseen = s.from, before.next != ""
			if open.EndedUnseen {
				open.To = latest(before.until, open.From)
			}
			note(*open)
			open = nil
		case open == nil && s.breach[i]:
			open = &Breach{From: s.from, BeganUnseen: n > 0 && l.looks[n-1].next != ""}
		}
		if n > 0 && s.breach[i] != l.looks[n-1].breach[i] && !s.from.Before(window.from) && s.from.Before(window.to) {
			is.transitions++
		}
	}
	if open != nil {
		open.To, open.Open = l.lastSeen, true
		note(*open)
	}
	return is
}

func breachLine(s span, earlier, open, began, ended bool) string {
	return fmt.Sprint(s.from.Format(time.TimeOnly), " ", s.to.Format(time.DateTime), " ", s.length(), earlier, open, began, ended)
}

// What people are told of 90 days must be what has happened in them, whatever was
// started, stopped or killed meanwhile: an auditor will add it up.
func TestProperty_TheFoldIsWhatHappened(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := live(t)
		first := l.looks[0].from
		all := int(l.now.Sub(first) / time.Second)
		from := first.Add(time.Duration(rapid.IntRange(-3600, all-1).Draw(t, "from")) * time.Second)
		window := span{from, from.Add(time.Duration(rapid.IntRange(1, all+7200).Draw(t, "length")) * time.Second)}

		h, err := Read(t.Context(), l.log, window.from, window.to)
		require.NoError(t, err)
		require.Zero(t, h.Unread)
		var seen spans
		for _, s := range l.looks {
			seen = seen.add(s.span)
		}
		var gaps []span
		for _, g := range h.Gaps {
			require.InDelta(t, g.To.Sub(g.From).Seconds(), float64(g.Unobserved), 1e-6)
			gaps = append(gaps, span{g.From, g.To})
		}
		require.Equal(t, seen.outside(window), gaps)
		for i, name := range names {
			want, n := l.truth(i, window), slices.IndexFunc(h.Tracks, func(t Track) bool { return t.Datastore == name })
			if n < 0 {
				require.Zero(t, want)
				continue
			}
			track := h.Tracks[n]
			require.InDelta(t, want.observed.Seconds(), float64(track.Observed), 1e-3)
			require.InDelta(t, want.compliant.Seconds(), float64(track.Compliant), 1e-3)
			require.Equal(t, want.transitions, track.Transitions)
			require.Zero(t, track.Unplaced)
			var breaches []string
			var breached readiness.Seconds
			for _, b := range track.Breaches {
				breaches = append(breaches, breachLine(span{b.From, b.To}, b.Earlier, b.Open, b.BeganUnseen, b.EndedUnseen))
				breached += readiness.InSeconds(b.Length()) - b.InGaps
			}
			require.Equal(t, want.breaches, breaches)
			require.InDelta(t, float64(track.Observed-track.Compliant), float64(breached), 1e-3, "the breaches are what the shares lack")
			var points, day readiness.Seconds
			for _, p := range track.Points {
				points += p.Observed
			}
			require.InDelta(t, float64(track.Observed), float64(points), 1e-3)
			if window.length() <= 24*time.Hour {
				day = track.Observed
				require.Equal(t, day, track.LastDay.Observed)
			}
		}
	})
}
