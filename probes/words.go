package probes

import (
	"strings"
	"unicode"

	"github.com/drwatch/drwatch/readiness"
)

// Passing is a check that holds, with what was seen.
func Passing(name, evidence string) readiness.Check {
	return readiness.Check{Name: name, Status: readiness.Pass, Evidence: evidence}
}

// Warning is a check that holds, and wants to be looked at.
func Warning(name, evidence, remedy string) readiness.Check {
	return readiness.Check{Name: name, Status: readiness.Warn, Evidence: evidence, Remedy: remedy}
}

// Failing is a check that does not hold.
func Failing(name, evidence, remedy string) readiness.Check {
	return readiness.Check{Name: name, Status: readiness.Fail, Evidence: evidence, Remedy: remedy}
}

// Unknown is a check that could not be made.
func Unknown(name, evidence, remedy string) readiness.Check {
	return readiness.Check{Name: name, Evidence: evidence, Remedy: remedy}
}

// Upstream marks a check that says nothing against what the copy holds; see
// [readiness.Check].
func Upstream(c readiness.Check) readiness.Check {
	c.Upstream = true
	return c
}

// Presentable makes one line of a text that others wrote, of so many letters at
// the most, without what a page or a terminal could not show.
func Presentable(text string, most int) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(clean); len(runes) > most {
		clean = string(runes[:most]) + "..."
	}
	return clean
}
