package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// timing is a schedule, and the shortest and the longest time between two looks.
type timing struct {
	schedule          cron.Schedule
	shortest, longest time.Duration
}

// staleAfter is the age at which a look no longer counts: two looks were missed,
// and the second has had its time. A schedule that pauses gets no more: what was
// read in the evening does not tell whether one could recover in the night.
func (t timing) staleAfter(timeout time.Duration) time.Duration { return 2*t.shortest + timeout }

// pause is the longest time without a look, where a look does not count for so
// long; zero where it does.
func (t timing) pause(timeout time.Duration) time.Duration {
	if t.longest <= t.staleAfter(timeout) {
		return 0
	}
	return t.longest
}

// schedules remembers what a spec means: thousands of copies share a few.
type schedules map[string]parsed

type parsed struct {
	timing
	err error
}

func (s schedules) get(spec string) (timing, error) {
	p, known := s[spec]
	if !known {
		p.timing, p.err = parseSchedule(spec)
		s[spec] = p
	}
	return p.timing, p.err
}

// parseSchedule reads @every, a descriptor such as @hourly, or five cron fields.
// Times of day are UTC, whatever the clock of the host shows, unless the spec
// begins with CRON_TZ=.
func parseSchedule(spec string) (timing, error) {
	spec = strings.TrimSpace(spec)
	if every, ok := strings.CutPrefix(spec, "@every"); ok {
		return parseEvery(strings.TrimSpace(every))
	}
	zoned := strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=")
	if zoned && !strings.Contains(spec, " ") { // on which the library panics
		return timing{}, errors.New("there is no schedule behind the time zone")
	}
	if !zoned {
		spec = "CRON_TZ=UTC " + spec
	}
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return timing{}, err
	}
	t := timing{schedule: schedule}
	t.shortest, t.longest = gaps(schedule)
	if t.shortest == 0 {
		return timing{}, errors.New("it never comes")
	}
	return t, nil
}

// parseEvery refuses what the library would silently round.
func parseEvery(text string) (timing, error) {
	every, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return timing{}, fmt.Errorf("%q is not a duration", text)
	case every < time.Second || every%time.Second != 0:
		return timing{}, fmt.Errorf("@every takes whole seconds, and %s is not", text)
	}
	return timing{schedule: interval(every), shortest: every, longest: every}, nil
}

// interval is @every, at moments that are the same whenever drwatch was started,
// as those of cron fields are: whoever looks a little after each of them keeps
// that place. The library counts from the last look, and so looks that began
// together would stay together.
type interval time.Duration

// Next gives the first whole multiple of the interval after t.
func (i interval) Next(t time.Time) time.Time {
	return t.Truncate(time.Duration(i)).Add(time.Duration(i))
}

// How far gaps looks: a year and a day or 20,000 looks, two weeks of one a
// minute, whichever ends first.
const (
	gapHorizon = 366 * 24 * time.Hour
	gapLooks   = 20_000
)

// gaps measures the times between looks. They are zero when there are no two.
func gaps(s cron.Schedule) (shortest, longest time.Duration) {
	// Always the same year, so that the answer is the same every day, and one with
	// a short February.
	start := time.Date(2022, time.December, 31, 23, 59, 59, 0, time.UTC)
	last := s.Next(start)
	for range gapLooks {
		next := s.Next(last)
		if last.IsZero() || next.IsZero() {
			return shortest, longest
		}
		gap := next.Sub(last)
		if shortest == 0 || gap < shortest {
			shortest = gap
		}
		longest = max(longest, gap)
		if last = next; last.Sub(start) > gapHorizon {
			break
		}
	}
	return shortest, longest
}
