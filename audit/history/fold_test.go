package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/sqlite"
	"github.com/drwatch/drwatch/readiness"
)

// read folds what a scribe drafted.
func read(t *testing.T, drafts []ledger.Draft, from, to string) (History, Track) {
	t.Helper()
	var l log
	l.add(drafts...)
	h, err := Read(t.Context(), l, at(from), at(to))
	require.NoError(t, err)
	require.Zero(t, h.Unread)
	require.Len(t, h.Tracks, 1)
	return h, h.Tracks[0]
}

// without leaves some drafts out, as a ledger that was gone for long has it.
func without(t *testing.T, drafts []ledger.Draft, lost ...string) (kept []ledger.Draft) {
	t.Helper()
	for i, line := range lines(t, drafts) {
		gone := false
		for _, l := range lost {
			gone = gone || strings.HasPrefix(line, l)
		}
		if !gone {
			kept = append(kept, drafts[i])
		}
	}
	require.Len(t, kept, len(drafts)-len(lost))
	return kept
}

// What a person is told at night must be true, and say what is not known.
func TestRead_TellsPeople(t *testing.T) {
	breach := func(s *scribble) { // from 10:30 to 11:11
		s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
		s.every(time.Minute, "10:30:00", "11:10:00", 4860, 600)
	}
	for name, c := range map[string]struct {
		do       func(*testing.T, *scribble)
		from, to string
		want     string
	}{
		"a breach, and good days": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "11:11:00", "19:59:00", 60, 600)
			s.stop("20:00:00")
		}, "10:00:00", "20:00:00", "compliant 93.16 % of the last 10 h (observed 100 %), longest breach 41 min on 2026-10-03 10:30 UTC"},
		"the window begins and ends in it": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "11:11:00", "19:59:00", 60, 600)
			s.stop("20:00:00")
		}, "10:40:00", "11:10:30", "compliant 0 % of the last 30 min (observed 100 %), longest breach at least 30 min on 2026-10-03 10:40 UTC (it began earlier, it had not ended)"},
		"it is still open, and drwatch runs": {func(_ *testing.T, s *scribble) { breach(s) },
			"10:00:00", "11:10:20", "compliant 50 % of the last 1 h 10 min (observed 100 %), longest breach at least 40 min on 2026-10-03 10:30 UTC (it had not ended)"},
		"it was open when drwatch stopped": {func(_ *testing.T, s *scribble) { breach(s); s.stop("11:11:00") },
			"10:00:00", "20:00:00", "compliant 42.25 % of the last 10 h (observed 11.8 %), longest breach at least 41 min on 2026-10-03 10:30 UTC (it had not ended)"},
		"it ended while nobody looked": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "12:00:00", "12:59:00", 60, 600)
			s.stop("13:00:00")
		}, "10:00:00", "13:00:00", "compliant 68.7 % of the last 3 h (observed 72.7 %), longest breach at least 41 min on 2026-10-03 10:30 UTC (it ended unseen after)"},
		"it began while nobody looked": {func(_ *testing.T, s *scribble) {
			s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
			s.every(time.Minute, "10:40:00", "10:49:00", 4860, 600)
			s.every(time.Minute, "10:50:00", "10:59:00", 60, 600)
			s.stop("11:00:00")
		}, "10:00:00", "11:00:00", "compliant 80 % of the last 1 h (observed 83.3 %), longest breach at least 10 min on 2026-10-03 10:40 UTC (it began unseen before)"},
		"it goes on over a gap": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "12:00:00", "12:29:00", 6000, 600)
			s.every(time.Minute, "12:30:00", "12:59:00", 60, 600)
			s.stop("13:00:00")
		}, "10:00:00", "13:00:00", "compliant 45.8 % of the last 3 h (observed 72.7 %), longest breach 2 h on 2026-10-03 10:30 UTC (49 min of it in gaps)"},
		"drwatch was killed in it, and it had ended when it came back": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.Scribe = newScribble().Scribe
			s.every(time.Minute, "12:00:00", "12:59:00", 60, 600)
			s.stop("13:00:00")
		}, "10:00:00", "13:00:00", "compliant 75 % of the last 3 h (observed 66.6 %), longest breach at least 30 min on 2026-10-03 10:30 UTC (it ended unseen after)"},
		"the change that tells so was lost": {func(t *testing.T, s *scribble) {
			breach(s)
			s.stop("11:11:00")
			s.every(time.Minute, "12:00:00", "12:59:00", 60, 600)
			s.stop("13:00:00")
			s.drafts = without(t, s.drafts, "12:00:00 changed")
		}, "10:00:00", "13:00:00", "compliant 68.7 % of the last 3 h (observed 72.7 %), longest breach at least 41 min on 2026-10-03 10:30 UTC (it ended unseen after)"},
		"drwatch is back, and has not looked yet": {func(_ *testing.T, s *scribble) {
			breach(s)
			s.stop("11:11:00")
			s.drafts = append(s.drafts, s.Start(at("12:00:00"), "festivals")...)
		}, "10:00:00", "12:00:20", "compliant 42.25 % of the last 2 h (observed 59.1 %), longest breach at least 41 min on 2026-10-03 10:30 UTC (it had not ended)"},
		"the clock was wrong, and is set right": {func(_ *testing.T, s *scribble) {
			s.every(time.Minute, "18:00:00", "18:04:00", 60, 600)
			s.every(time.Minute, "10:00:00", "10:09:00", 4860, 600)
			s.stop("10:10:00")
		}, "10:00:00", "20:00:00", "compliant 28.57 % of the last 10 h (observed 2.3 %, recorded since 2026-10-03 18:00 UTC), longest breach at least 10 min on 2026-10-03 10:00 UTC (it had not ended)"},
		"no promise any more": {func(_ *testing.T, s *scribble) {
			breach(s)
			for m := at("11:11:00"); !m.After(at("12:00:00")); m = m.Add(time.Minute) {
				s.see(&readiness.Report{At: m})
			}
			s.stop("12:00:00")
		}, "10:00:00", "12:00:00", "compliant 42.25 % of the last 2 h (observed 59.1 %), longest breach 41 min on 2026-10-03 10:30 UTC"},
		"none": {func(_ *testing.T, s *scribble) { s.every(time.Minute, "10:20:00", "13:00:00", 60, 600) },
			"10:00:00", "12:00:00", "compliant 100 % of the last 2 h (observed 83.3 %), no breach"},
		"a young one, and a short breach that is not rounded away": {func(_ *testing.T, s *scribble) {
			s.every(time.Second, "08:00:00", "09:59:58", 60, 600)
			s.see(seen("09:59:59", 900, 600))
			s.every(time.Second, "10:00:00", "19:59:59", 60, 600)
			s.stop("20:00:00")
		}, "00:00:00", "20:00:00", "compliant 99.99 % of the last 20 h (observed 60 %, recorded since 2026-10-03 08:00 UTC), longest breach 1 s on 2026-10-03 09:59 UTC"},
		"only just begun": {func(_ *testing.T, s *scribble) { s.every(time.Minute, "10:00:00", "10:20:00", 60, 600) },
			"06:00:00", "10:20:20", "nothing was observed of the last 4 h 20 min, recorded since 2026-10-03 10:00 UTC"},
		"the change that ended it was lost": {func(t *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "11:11:00", "19:59:00", 60, 600)
			s.stop("20:00:00")
			s.drafts = without(t, s.drafts, "11:11:00 changed")
		}, "10:00:00", "20:00:00", "compliant 93.16 % of the last 10 h (observed 100 %), longest breach at least 1 h 30 min on 2026-10-03 10:30 UTC (it ended unseen after)"},
		"the change that began it was lost": {func(t *testing.T, s *scribble) {
			breach(s)
			s.every(time.Minute, "11:11:00", "12:10:00", 4860, 600)
			s.every(time.Minute, "12:11:00", "19:59:00", 60, 600)
			s.stop("20:00:00")
			s.drafts = without(t, s.drafts, "10:30:00 changed")
		}, "10:00:00", "20:00:00", "compliant 83.16 % of the last 10 h (observed 100 %), longest breach at least 1 h 11 min on 2026-10-03 11:00 UTC (it began unseen before)"},
		"both were lost": {func(t *testing.T, s *scribble) {
			s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
			s.every(time.Minute, "10:30:00", "10:39:00", 4860, 600)
			s.every(time.Minute, "10:40:00", "19:59:00", 60, 600)
			s.stop("20:00:00")
			s.drafts = without(t, s.drafts, "10:30:00 changed", "10:40:00 changed")
		}, "10:00:00", "20:00:00", "compliant 98.33 % of the last 10 h (observed 100 %), when it was in breach is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScribble()
			c.do(t, s)
			h, track := read(t, s.drafts, c.from, c.to)
			require.Equal(t, c.want, h.Sentence(track, at(c.to)))
		})
	}
}

func TestRead_TellsOfABreachWhatWasSeen(t *testing.T) {
	s := newScribble()
	s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
	s.every(time.Minute, "10:30:00", "10:39:00", 700, 600)
	s.every(time.Minute, "10:40:00", "10:49:00", 4860, 600)
	s.every(time.Minute, "10:50:00", "10:54:00", -1, 600)
	s.every(time.Minute, "10:55:00", "10:59:00", 900, 600)
	s.every(time.Minute, "11:00:00", "11:29:00", 60, 600)
	s.every(time.Minute, "11:30:00", "12:29:00", 5000, 600)
	h, track := read(t, s.drafts, "10:00:00", "12:29:00")
	require.Equal(t, at("12:00:00"), h.Until)
	require.Equal(t, 2, track.Count)
	require.Equal(t, []Breach{
		{From: at("10:30:00"), To: at("11:00:00"), Worst: readiness.Known(readiness.Seconds(4860)), Unknown: true, Because: "11m40s would be lost"},
		{From: at("11:30:00"), To: at("12:29:00"), Worst: readiness.Known(readiness.Seconds(5000)), Because: "1h23m would be lost", Open: true},
	}, track.Breaches)
	require.Equal(t, 3, track.Transitions)
	require.Equal(t, []Point{
		{3600, 1800, readiness.Maybe[readiness.Seconds]{}}, {3600, 1800, readiness.Known(readiness.Seconds(5000))}, {},
	}, track.Points)
	require.Equal(t, &track.Breaches[1], track.Longest())
	require.EqualValues(t, 600, track.RPO)
	require.True(t, track.Promised)
}

// The exposure grows without a change: the worst of a breach that goes on is that of
// the hours, but for what another breach of the hour has left there.
func TestRead_TheWorstOfABreachThatGoesOn(t *testing.T) {
	for end, worst := range map[string]readiness.Seconds{"11:00:00": 700, "11:59:00": 700, "12:00:00": 5000} {
		s := newScribble()
		s.every(time.Minute, "10:00:00", "10:04:00", 60, 600)
		s.every(time.Minute, "10:05:00", "10:09:00", 9000, 600)
		s.every(time.Minute, "10:10:00", "10:49:00", 60, 600)
		s.every(time.Minute, "10:50:00", "10:59:00", 700, 600)
		s.every(time.Minute, "11:00:00", end, 5000, 600)
		_, track := read(t, s.drafts, "10:00:00", end)
		require.Equal(t, readiness.Known(readiness.Seconds(9000)), track.Breaches[0].Worst)
		require.Equal(t, readiness.Known(worst), track.Breaches[1].Worst, end)
	}
}

// What is not promised any more must not look as if it were, nor be forgotten.
func TestRead_WhatWasTakenOutOfTheFileWhileDrwatchWasDown(t *testing.T) {
	s := newScribble()
	s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
	s.stop("10:30:00")
	for m := at("10:40:00"); !m.After(at("11:10:00")); m = m.Add(time.Minute) {
		s.see(&readiness.Report{At: m})
	}
	h, track := read(t, s.drafts, "10:00:00", "11:10:00")
	require.False(t, track.Promised)
	require.EqualValues(t, 1800, track.Observed)
	require.EqualValues(t, 3000, h.Observed)
}

func TestTrack_Budget(t *testing.T) {
	hours := func(n float64) readiness.Seconds { return readiness.Seconds(n * 3600) }
	track := Track{
		Observed: hours(2000), Compliant: hours(1999), LastWeek: Sums{hours(168), hours(167.5)}, LastDay: Sums{hours(20), hours(20)},
	}
	b := track.Budget(0.999)
	require.InDelta(t, 2*3600, float64(b.Allowed), 1e-6)
	require.InDelta(t, 3600, float64(b.Used), 1e-6)
	require.InDelta(t, 3600, float64(b.Left), 1e-6)
	week, _ := b.LastWeek.Get()
	require.InDelta(t, 0.5/168/0.001, week, 1e-9)
	require.Equal(t, readiness.Known(0.0), b.LastDay)
	over := track.Budget(1)
	require.Equal(t, hours(-1), over.Left)
	require.False(t, over.LastWeek.IsKnown(), "there is no budget that could burn")
	require.False(t, Track{}.Budget(0.99).LastDay.IsKnown())
	_, err := json.Marshal(over)
	require.NoError(t, err)
}

// The sums of the last day and week are those of windows that are so long.
func TestRead_LastDayAndWeekAreWindows(t *testing.T) {
	s := newScribble()
	for day := range 10 {
		for m := range 1440 {
			r := seen("00:00:00", readiness.Seconds(60+900*(m/100%2)), 600)
			r.At = at("00:00:00").AddDate(0, 0, day).Add(time.Duration(m) * time.Minute)
			s.see(r)
		}
	}
	var l log
	l.add(s.drafts...)
	end := at("15:47:13").AddDate(0, 0, 9)
	sums := func(length time.Duration) Sums {
		h, err := Read(t.Context(), l, end.Add(-length), end)
		require.NoError(t, err)
		return Sums{h.Tracks[0].Observed, h.Tracks[0].Compliant}
	}
	h, err := Read(t.Context(), l, at("00:00:00"), end)
	require.NoError(t, err)
	require.Equal(t, sums(24*time.Hour), h.Tracks[0].LastDay)
	require.InDelta(t, float64(sums(7*24*time.Hour).Compliant), float64(h.Tracks[0].LastWeek.Compliant), 1e-6)
	require.Less(t, h.Tracks[0].LastDay.Compliant, h.Tracks[0].LastDay.Observed)
}

// Two that record by mistake must not make two hours of one.
func TestRead_TimeThatTwoTellOfCountsOnce(t *testing.T) {
	one, two := newScribble(), &scribble{Scribe: NewScribe(ScribeOptions{Interval: time.Minute, Instance: "two"})}
	one.every(time.Minute, "10:00:00", "12:00:00", 60, 600)
	two.every(time.Minute, "11:30:00", "12:30:00", 60, 600)
	two.stop("12:31:00")
	h, track := read(t, append(one.drafts, two.drafts...), "10:00:00", "12:31:00")
	require.EqualValues(t, 151*60, h.Observed)
	require.EqualValues(t, 151*60, track.Observed)
	require.Empty(t, h.Gaps)
}

// A chart of a long time draws several steps as one: a peak, or that the exposure was
// without bound, must not go under in it, nor a gap take anything away.
func TestPoint_And(t *testing.T) {
	seen := func(observed, compliant, worst readiness.Seconds) Point {
		return Point{Observed: observed, Compliant: compliant, Worst: readiness.Known(worst)}
	}
	boundless := Point{Observed: 60, Compliant: 0}
	for name, c := range map[string]struct{ a, b, want Point }{
		"the larger exposure": {seen(60, 50, 7), seen(30, 30, 9), seen(90, 80, 9)},
		"without bound":       {seen(60, 50, 7), boundless, Point{Observed: 120, Compliant: 50}},
		"a gap":               {seen(60, 50, 7), Point{}, seen(60, 50, 7)},
		"a gap without bound": {boundless, Point{}, boundless},
		"nothing":             {Point{}, Point{}, Point{}},
	} {
		require.Equal(t, c.want, c.a.And(c.b), name)
		require.Equal(t, c.want, c.b.And(c.a), name)
	}
}

func TestRead_RefusesAWindowThatIsNone(t *testing.T) {
	for _, to := range []string{"10:00:00", "09:00:00"} {
		_, err := Read(t.Context(), log{}, at("10:00:00"), at(to))
		require.ErrorContains(t, err, "the end must be after the beginning")
	}
	h, err := Read(t.Context(), log{}, at("10:00:00"), at("11:00:00"))
	require.NoError(t, err)
	require.Empty(t, h.Tracks)
	require.Equal(t, []Gap{{at("10:00:00"), at("11:00:00"), 3600}}, h.Gaps)
}

// Many datastores over a long time must fit into memory, at the cost of detail.
func TestRead_PointsAndBreachesAreBounded(t *testing.T) {
	var l log
	hour := Hour{From: at("10:00:00"), To: at("11:00:00"), Observed: 3600}
	for i := range 1000 {
		hour.Entries = append(hour.Entries, Entry{Datastore: fmt.Sprint(i), RPO: 60, Compliant: 1800, Observed: 3600, Worst: readiness.Known(readiness.Seconds(i))})
	}
	write := func(kind string, at time.Time, body any) {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		l.add(ledger.Draft{Kind: kind, Time: at, Body: text})
	}
	write(KindHour, hour.To, hour)
	for i := range 5000 {
		m := at("12:00:00").Add(time.Duration(i) * time.Minute)
		write(KindChanged, m, Changed{Datastore: "0", RPO: 60, Before: &Before{Until: m}})
		m = m.Add(time.Duration(1+i%37) * time.Second)
		write(KindChanged, m, Changed{Datastore: "0", RPO: 60, Compliant: true, Known: true, Before: &Before{Until: m}})
	}
	h, err := Read(t.Context(), l, at("00:00:00").AddDate(-1, 0, 0), at("23:00:00").AddDate(0, 0, 7))
	require.NoError(t, err)
	require.Len(t, h.Tracks, 1000)
	points, observed := 0, readiness.Seconds(0)
	for _, track := range h.Tracks {
		points += len(track.Points)
		for _, p := range track.Points {
			observed += p.Observed
		}
	}
	require.LessOrEqual(t, points, mostPoints)
	require.EqualValues(t, 16*3600, h.Step)
	require.InDelta(t, 1000*3600, float64(observed), 1e-6)
	require.Equal(t, 5000, h.Tracks[0].Count)
	require.Len(t, h.Tracks[0].Breaches, mostBreaches)
	require.GreaterOrEqual(t, h.Tracks[0].Breaches[0].Length(), 29*time.Second, "the longest are kept")
}

// Events of another hand, or another version, must not bring the report down.
func FuzzRead(f *testing.F) {
	s := newScribble()
	s.every(time.Minute, "10:00:00", "10:09:00", 60, 600)
	s.every(time.Minute, "10:30:00", "11:09:00", 900, 600)
	s.stop("11:10:00")
	for _, d := range s.drafts {
		f.Add(d.Kind, d.Time.Unix(), d.Body)
	}
	f.Add(KindHour, at("10:00:00").Unix(), []byte(`{"from":"0001-01-01T00:00:00Z","to":"9999-12-31T23:59:59Z","observed_seconds":1e300}`))
	f.Add(KindChanged, at("10:00:00").Unix(), []byte(`{"datastore":"orders","scenario":"region-failure","rpo_seconds":1,"before":{"until":"9999-12-31T23:59:59Z"}}`))
	f.Fuzz(func(t *testing.T, kind string, second int64, body []byte) {
		var l log
		l.add(s.drafts[:len(s.drafts)/2]...)
		l.add(ledger.Draft{Kind: kind, Time: time.Unix(second%(1<<34), 0), Body: body})
		l.add(s.drafts[len(s.drafts)/2:]...)
		h, err := Read(t.Context(), l, at("10:00:00"), at("12:00:00"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, h.Observed, readiness.Seconds(0))
		require.LessOrEqual(t, h.Observed, readiness.Seconds(7200+slight))
		for _, track := range h.Tracks {
			require.LessOrEqual(t, track.Compliant, track.Observed+slight)
			require.GreaterOrEqual(t, track.Compliant, readiness.Seconds(-slight))
			for _, b := range track.Breaches {
				require.GreaterOrEqual(t, b.Length(), time.Duration(0))
				require.False(t, b.From.Before(h.From) || b.To.After(h.To))
				_ = b.String()
			}
			_ = h.Sentence(track, h.To)
		}
		_, err = json.Marshal(h)
		require.NoError(t, err)
	})
}

func open(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "ledger.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// flaky is a ledger whose answers are lost now and then, after it has written.
type flaky struct {
	ledger.Store
	asked int
}

func (f *flaky) Append(ctx context.Context, a ledger.Append) ([]ledger.Event, error) {
	events, err := f.Store.Append(ctx, a)
	if f.asked++; f.asked%2 == 1 && err == nil {
		return nil, errors.New("the answer was lost")
	}
	return events, err
}

// The whole way, with a real ledger: what was seen is what is told.
func TestHistory_ThroughALedger(t *testing.T) {
	store := open(t)
	w := NewWriter(WriterOptions{Ledger: &flaky{Store: store}})
	w.Start()
	s := newScribble()
	s.every(time.Minute, "10:00:00", "10:29:00", 60, 600)
	s.every(time.Minute, "10:30:00", "11:10:00", 4860, 600)
	s.every(time.Minute, "11:11:00", "11:59:00", 60, 600)
	s.stop("12:00:00")
	w.Put(s.drafts...)
	require.NoError(t, w.Stop(t.Context()))
	h, err := Read(t.Context(), store, at("10:00:00"), at("12:00:00"))
	require.NoError(t, err)
	require.Equal(t, "compliant 65.83 % of the last 2 h (observed 100 %), longest breach 41 min on 2026-10-03 10:30 UTC", h.Sentence(h.Tracks[0], h.To))
	_, err = ledger.Verify(t.Context(), store, nil)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Read(ctx, store, at("10:00:00"), at("12:00:00"))
	require.ErrorIs(t, err, context.Canceled)
}
