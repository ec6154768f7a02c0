package history

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-10-03 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// seen is a report on one datastore. A negative exposure is not known.
func seen(clock string, exposure, rpo readiness.Seconds) *readiness.Report {
	c := readiness.Coverage{Scenario: readiness.RegionFailure, RPO: rpo, Because: "no recovery point is known"}
	if exposure >= 0 {
		c.Exposure, c.Compliant, c.Because = readiness.Known(exposure), exposure <= rpo, exposure.String()+" would be lost"
	}
	return &readiness.Report{At: at(clock), System: "festivals", Datastores: []readiness.DatastoreReport{{Name: "orders", Coverage: []readiness.Coverage{c}}}}
}

// scribble lets a scribe see reports, a minute apart.
type scribble struct {
	*Scribe
	drafts []ledger.Draft
}

func newScribble() *scribble {
	return &scribble{Scribe: NewScribe(ScribeOptions{Interval: time.Minute, Instance: "one", Version: "v1"})}
}

func (s *scribble) see(r *readiness.Report) []ledger.Draft {
	drafts := s.See(r)
	s.drafts = append(s.drafts, drafts...)
	return drafts
}

// every sees the same from one moment to another.
func (s *scribble) every(d time.Duration, from, to string, exposure, rpo readiness.Seconds) {
	for t := at(from); !t.After(at(to)); t = t.Add(d) {
		r := seen(from, exposure, rpo)
		r.At = t
		s.see(r)
	}
}

func (s *scribble) stop(clock string) { s.drafts = append(s.drafts, s.Stop(at(clock))...) }

// lines tells what was drafted.
func lines(t *testing.T, drafts []ledger.Draft) (told []string) {
	t.Helper()
	ids := map[string]bool{}
	for _, d := range drafts {
		require.False(t, ids[d.ID], "two drafts with one id are one event")
		ids[d.ID] = true
		line := d.Time.Format(time.TimeOnly) + " " + d.Kind
		switch d.Kind {
		case KindChanged:
			var c Changed
			require.NoError(t, json.Unmarshal(d.Body, &c))
			line += " " + map[bool]string{true: "compliant", false: "breach"}[c.Compliant]
			if e, known := c.Exposure.Get(); known {
				line += " " + e.String()
			}
			line += " of " + c.RPO.String()
			if c.Before != nil {
				line += ", before until " + c.Before.Until.Format(time.TimeOnly)
			}
		case KindHour:
			var h Hour
			require.NoError(t, json.Unmarshal(d.Body, &h))
			line += " from " + h.From.Format(time.TimeOnly) + ": " + h.Observed.String()
			for _, e := range h.Entries {
				worst := "unknown"
				if w, known := e.Worst.Get(); known {
					worst = w.String()
				}
				line += "; " + e.Compliant.String() + "/" + e.Observed.String() + " of " + e.RPO.String() + ", worst " + worst
			}
		}
		told = append(told, line)
	}
	return told
}

// An auditor reads these events years later: each situation must be told as it was.
func TestScribe_TellsWhatItSaw(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*scribble)
		want []string
	}{
		"a breach over the full hour": {
			func(s *scribble) {
				s.every(time.Minute, "10:50:30", "10:54:30", 60, 600)
				s.every(time.Minute, "10:55:30", "11:04:30", 900, 600)
				s.every(time.Minute, "11:05:30", "11:06:30", 30, 600)
				s.stop("11:07:00")
			},
			[]string{
				"10:50:30 started", "10:50:30 changed compliant 1m of 10m",
				"10:55:30 changed breach 15m of 10m, before until 10:55:30",
				"11:00:00 hour from 10:50:30: 9m30s; 5m/9m30s of 10m, worst 15m",
				"11:05:30 changed compliant 30.0s of 10m, before until 11:05:30",
				"11:07:00 hour from 11:00:00: 7m; 1m30s/7m of 10m, worst 15m", "11:07:00 stopped",
			},
		},
		"unknown is a breach, and no number": {
			func(s *scribble) {
				s.every(time.Minute, "10:00:00", "10:04:00", 60, 600)
				s.every(time.Minute, "10:05:00", "10:09:00", -1, 600)
				s.stop("10:10:00")
			},
			[]string{
				"10:00:00 started", "10:00:00 changed compliant 1m of 10m", "10:05:00 changed breach of 10m, before until 10:05:00",
				"10:10:00 hour from 10:00:00: 10m; 5m/10m of 10m, worst unknown", "10:10:00 stopped",
			},
		},
		"missed looks, and a look that comes late": {
			func(s *scribble) {
				s.every(time.Minute, "10:00:00", "10:04:00", 60, 600)
				s.see(seen("10:05:20", 60, 600))
				s.see(seen("10:20:00", 900, 600))
				s.stop("10:30:00")
			},
			[]string{
				"10:00:00 started", "10:00:00 changed compliant 1m of 10m", "10:06:20 hour from 10:00:00: 6m20s; 6m20s/6m20s of 10m, worst 1m",
				"10:20:00 changed breach 15m of 10m, before until 10:06:20",
				"10:21:00 hour from 10:20:00: 1m; 0s/1m of 10m, worst 15m", "10:30:00 stopped",
			},
		},
		"the clock is set back by ten minutes": {
			func(s *scribble) {
				s.every(time.Minute, "10:00:00", "10:15:00", 60, 600)
				s.every(time.Minute, "10:05:30", "10:20:30", 900, 600)
				s.stop("10:21:00")
			},
			[]string{
				"10:00:00 started", "10:00:00 changed compliant 1m of 10m", "10:15:00 changed breach 15m of 10m, before until 10:15:00",
				"10:21:00 hour from 10:00:00: 21m; 15m/21m of 10m, worst 15m", "10:21:00 stopped",
			},
		},
		"the clock is set back by a day's work": {
			func(s *scribble) {
				s.every(time.Minute, "18:00:00", "18:05:00", 900, 600)
				s.every(time.Minute, "10:00:00", "10:01:00", 900, 600)
				s.stop("10:02:00")
			},
			[]string{
				"18:00:00 started", "18:00:00 changed breach 15m of 10m", "18:05:00 hour from 18:00:00: 5m; 0s/5m of 10m, worst 15m", "18:05:00 stopped",
				"10:00:00 started", "10:00:00 changed breach 15m of 10m", "10:02:00 hour from 10:00:00: 2m; 0s/2m of 10m, worst 15m", "10:02:00 stopped",
			},
		},
		"two starts in an hour": {
			func(s *scribble) {
				s.every(time.Minute, "10:00:00", "10:04:00", 60, 600)
				s.stop("10:05:00")
				s.stop("10:06:00")
				s.drafts = append(s.drafts, s.Start(at("10:10:00"), "festivals")...)
				s.every(time.Minute, "10:10:30", "10:58:30", 60, 600)
				s.see(seen("11:00:00", 60, 600))
			},
			[]string{
				"10:00:00 started", "10:00:00 changed compliant 1m of 10m", "10:05:00 hour from 10:00:00: 5m; 5m/5m of 10m, worst 1m", "10:05:00 stopped",
				"10:10:00 started", "10:10:30 changed compliant 1m of 10m", "11:00:00 hour from 10:10:30: 49m30s; 49m30s/49m30s of 10m, worst 1m",
			},
		},
		"another RPO, none, and one again": {
			func(s *scribble) {
				s.every(time.Minute, "10:00:00", "10:04:00", 900, 1200)
				s.every(time.Minute, "10:05:00", "10:09:00", 900, 600)
				s.see(&readiness.Report{At: at("10:10:00")})
				s.see(&readiness.Report{At: at("10:11:00")})
				s.every(time.Minute, "10:12:00", "10:13:00", 300, 600)
				s.stop("10:14:00")
			},
			[]string{
				"10:00:00 started", "10:00:00 changed compliant 15m of 20m", "10:05:00 hour from 10:00:00: 5m; 5m/5m of 20m, worst 15m",
				"10:05:00 changed breach 15m of 10m, before until 10:05:00", "10:10:00 changed breach of 0s, before until 10:10:00",
				"10:12:00 changed compliant 5m of 10m", "10:14:00 hour from 10:05:00: 9m; 2m/7m of 10m, worst 15m", "10:14:00 stopped",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScribble()
			c.do(s)
			require.Equal(t, c.want, lines(t, s.drafts))
		})
	}
}

// Were it a breach that nobody has looked yet, each restart would cost budget; were
// it never one, a copy that nobody ever looks at would be no fault.
func TestScribe_TheFirstLookIsWaitedForButNotForever(t *testing.T) {
	s := newScribble()
	wait := func(from, to string, looks uint64) {
		for m := at(from); !m.After(at(to)); m = m.Add(time.Minute) {
			r := seen(from, -1, 600)
			r.At = m
			r.Datastores[0].Copies = []readiness.CopyReport{{Survives: []readiness.Scenario{readiness.RegionFailure}, Probe: readiness.ProbeReport{Looks: looks}}}
			s.see(r)
		}
	}
	wait("10:10:00", "11:09:00", 0)
	require.Equal(t, []string{"10:10:00 started", "11:00:00 hour from 10:10:00: 50m"}, lines(t, s.drafts))
	wait("11:10:00", "11:10:00", 0)
	require.Equal(t, "11:10:00 changed breach of 10m", lines(t, s.drafts)[2])
	s.every(time.Minute, "11:11:00", "11:19:00", 30, 600)
	wait("11:20:00", "11:29:00", 0) // the file has changed
	s.every(time.Minute, "11:30:00", "11:39:00", 30, 600)
	wait("11:40:00", "11:40:00", 1) // it was looked at, in vain
	s.stop("11:41:00")
	require.Equal(t, []string{
		"11:11:00 changed compliant 30.0s of 10m, before until 11:11:00", "11:40:00 changed breach of 10m, before until 11:40:00",
		"11:41:00 hour from 11:00:00: 41m; 19m/21m of 10m, worst unknown", "11:41:00 stopped",
	}, lines(t, s.drafts)[3:])
}

// A machine that limps must not fill the ledger.
func TestScribe_ManyGapsInAnHourAreFewEvents(t *testing.T) {
	s := newScribble()
	s.every(2*time.Minute, "10:00:00", "12:00:00", 60, 600)
	s.stop("12:00:00")
	hours := 0
	var observed readiness.Seconds
	for _, d := range s.drafts {
		if d.Kind == KindHour {
			var h Hour
			require.NoError(t, json.Unmarshal(d.Body, &h))
			require.True(t, h.sensible())
			hours, observed = hours+1, observed+h.Observed
		}
	}
	require.Equal(t, 2*mostParts, hours)
	require.EqualValues(t, 3600, observed)
	l := log{}
	l.add(s.drafts...)
	h, err := Read(t.Context(), l, at("10:00:00"), at("12:00:00"))
	require.NoError(t, err)
	require.EqualValues(t, 3600, h.Observed)
	var lost readiness.Seconds
	for _, g := range h.Gaps {
		lost += g.Unobserved
	}
	require.InDelta(t, 3600, float64(lost), 1e-6)
}

// The ledger refuses an event that is too long, and what is no number is no JSON: of
// a system of thousands, or of a strange one, the history would be empty.
func TestScribe_LargeAndStrangeReportsCanBeWritten(t *testing.T) {
	r := seen("10:00:00", 60, 600)
	for _, strange := range []float64{math.NaN(), math.Inf(1)} {
		d := seen("10:00:00", readiness.Seconds(60), 600).Datastores[0]
		d.Name = "strange" + readiness.Seconds(strange).String()
		d.Coverage[0].Exposure = readiness.Known(readiness.Seconds(strange))
		d.Coverage[0].Because = strings.Repeat("ü", 10_000)
		r.Datastores = append(r.Datastores, d)
	}
	for i := range 2500 {
		d := r.Datastores[0]
		d.Name = strings.Repeat("x", 150) + readiness.Seconds(i).String()
		r.Datastores = append(r.Datastores, d)
	}
	s := newScribble()
	s.see(r)
	s.stop("10:01:00")
	require.NoError(t, ledger.Append{Stream: Stream, Drafts: s.drafts}.Check())
	l := log{}
	l.add(s.drafts...)
	h, err := Read(t.Context(), l, at("10:00:00"), at("10:01:00"))
	require.NoError(t, err)
	require.Zero(t, h.Unread)
	require.EqualValues(t, 60, h.Observed)
	require.Len(t, h.Tracks, 2503)
	for _, track := range h.Tracks {
		require.EqualValues(t, 60, track.Observed)
		require.Equal(t, !strings.HasPrefix(track.Datastore, "strange"), track.Compliant == 60)
	}
}

func TestScribe_NothingIsNothing(t *testing.T) {
	s := NewScribe(ScribeOptions{})
	require.Empty(t, s.Stop(at("10:00:00")))
	require.Empty(t, s.See(nil))
	require.Len(t, s.Start(at("10:00:00"), "s"), 1)
	require.Equal(t, []string{"10:00:10 stopped", "10:00:10 started"}, lines(t, s.Start(at("10:00:10"), "s")), "what runs is stopped first")
}
