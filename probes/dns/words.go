package dns

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// longestTold is how much of one reason is shown.
const longestTold = 240

// mostListed is how many of a list are named.
const mostListed = 4

// enumerated is a list for people: a, b and c.
func enumerated(all []string) string {
	if len(all) > mostListed {
		all = append(slices.Clone(all[:mostListed-1]), fmt.Sprintf("%d more", len(all)-mostListed+1))
	}
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

func shownAll(names []string) []string {
	all := make([]string, 0, len(names))
	for _, name := range names {
		all = append(all, shown(name))
	}
	return all
}

func names(answers []told) []string {
	all := make([]string, 0, len(answers))
	for _, t := range answers {
		all = append(all, t.by.String())
	}
	return all
}

func complaints(bad []told) string {
	all := make([]string, 0, len(bad))
	for _, t := range bad {
		all = append(all, fmt.Sprintf("%s: %s", t.by, t.ails()))
	}
	if len(all) > mostListed {
		all = append(all[:mostListed-1], fmt.Sprintf("%d more", len(all)-mostListed+1))
	}
	return strings.Join(all, "; ")
}

// spell is a length of time for people.
func spell(d time.Duration) string { return readiness.InSeconds(d).String() }

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
