package history

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Budget is how much breach an objective leaves room for.
type Budget struct {
	// Objective is the share of the observed time that is to be compliant, from 0 to 1.
	Objective float64 `json:"objective"`
	// Allowed is how long the observed time of the window may be in breach, Used how
	// long it was, and Left what remains: less than nothing where it is overspent.
	Allowed readiness.Seconds `json:"allowed_seconds"`
	Used    readiness.Seconds `json:"used_seconds"`
	Left    readiness.Seconds `json:"left_seconds"`
	// LastDay and LastWeek are how fast it burns at the end of the window: at 1 it
	// would just be used up in a window, at 2 in half of one. Unknown where nothing was
	// observed, or nothing is allowed.
	LastDay  readiness.Maybe[float64] `json:"burn_last_day"`
	LastWeek readiness.Maybe[float64] `json:"burn_last_week"`
}

// Budget holds the track against an objective, such as 0.999. What was not observed
// neither earns budget nor uses it.
func (t Track) Budget(objective float64) Budget {
	objective = max(0, min(1, objective))
	b := Budget{Objective: objective, Allowed: readiness.Seconds(1-objective) * t.Observed, Used: t.Observed - t.Compliant}
	b.Left = b.Allowed - b.Used
	b.LastDay, b.LastWeek = burn(t.LastDay, objective), burn(t.LastWeek, objective)
	return b
}

func burn(s Sums, objective float64) readiness.Maybe[float64] {
	share, known := s.Share().Get()
	if !known || objective >= 1 {
		return readiness.Maybe[float64]{}
	}
	return readiness.Known((1 - share) / (1 - objective))
}

// ObservedShare is which part of the window was observed of a track, from 0 to 1;
// unknown where none of it is told yet.
func (h History) ObservedShare(t Track) readiness.Maybe[float64] {
	length := h.Until.Sub(h.From)
	if length <= 0 {
		return readiness.Maybe[float64]{}
	}
	return readiness.Known(min(1, float64(t.Observed/readiness.InSeconds(length))))
}

// Sentence tells people about a track: "compliant 99.93 % of the last 90 days
// (observed 98.2 %), longest breach 41 min on 2026-10-03 02:14 UTC". No share is
// rounded up. now decides whether the window is the last so many days.
func (h History) Sentence(t Track, now time.Time) string {
	window := h.window(now)
	share, known := t.Share().Get()
	if !known && len(t.Breaches) == 0 {
		return "nothing was observed of " + window + h.beginning(t)
	}
	said := "compliant for an unknown part of " + window
	if known {
		said = "compliant " + percent(share, 2) + " of " + window
	}
	if observed, told := h.ObservedShare(t).Get(); told {
		said += " (observed " + percent(observed, 1) + h.beginning(t) + ")"
	}
	if longest := t.Longest(); longest != nil {
		return said + ", longest breach " + longest.String()
	}
	if t.Compliant < t.Observed-slight {
		return said + ", when it was in breach is not known"
	}
	return said + ", no breach"
}

// beginning says that a track is younger than the window.
func (h History) beginning(t Track) string {
	if t.Since.Sub(h.From) <= time.Hour {
		return ""
	}
	return ", recorded since " + moment(t.Since)
}

// window says which one it is.
func (h History) window(now time.Time) string {
	length := h.To.Sub(h.From)
	if d := now.Sub(h.To); d < -time.Minute || d > time.Hour {
		return "the time from " + moment(h.From) + " to " + moment(h.To)
	}
	if days := length.Hours() / 24; days >= 2 && days == math.Trunc(days) {
		return "the last " + strconv.Itoa(int(days)) + " days"
	}
	return "the last " + words(length)
}

// String tells people how long it was, and when: "41 min on 2026-10-03 02:14 UTC". It
// adds what is not known of it.
func (b Breach) String() string {
	said := words(b.Length()) + " on " + moment(b.From)
	var but []string
	switch {
	case b.Earlier:
		but = append(but, "it began earlier")
	case b.BeganUnseen:
		but = append(but, "it began unseen before")
	}
	if b.InGaps > slight {
		but = append(but, words(b.InGaps.Duration())+" of it in gaps")
	}
	switch {
	case b.Open:
		but = append(but, "it had not ended")
	case b.EndedUnseen:
		but = append(but, "it ended unseen after")
	}
	if len(but) == 0 {
		return said
	}
	if b.Open || b.EndedUnseen || b.Earlier || b.BeganUnseen {
		said = "at least " + said
	}
	return said + " (" + strings.Join(but, ", ") + ")"
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

// percent gives a share with so many decimals. It is never rounded up: only what is
// whole is 100 %.
func percent(share float64, decimals int) string {
	scale := math.Pow(10, float64(decimals))
	down := math.Floor(share*100*scale+1e-6) / scale
	if share < 1 {
		down = min(down, 100-1/scale)
	}
	return strconv.FormatFloat(down, 'f', -1, 64) + " %"
}

// words gives a length of time: 42 s, 41 min, 3 h 20 min, 2 d 4 h.
func words(d time.Duration) string {
	switch d = d.Truncate(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return pairOf(d, time.Hour, "h", time.Minute, "min")
	default:
		return pairOf(d, 24*time.Hour, "d", time.Hour, "h")
	}
}

func pairOf(d, large time.Duration, largeUnit string, small time.Duration, smallUnit string) string {
	said := fmt.Sprintf("%d %s", d/large, largeUnit)
	if rest := d % large / small; rest > 0 {
		said += fmt.Sprintf(" %d %s", rest, smallUnit)
	}
	return said
}
