package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/drwatch/drwatch/readiness"
)

// nearest finds the word that was likely meant: about a third of the letters may
// be wrong, and at least one.
func nearest(word string, known []string) (string, bool) {
	best, distance := "", min(len(word), max(1, (len(word)+1)/3)+1)
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	return best, best != ""
}

// meant asks for the nearest of the known words, at the end of a sentence.
func meant(word string, known []string) string {
	if guess, ok := nearest(word, known); ok {
		return fmt.Sprintf(": did you mean %q?", guess)
	}
	return ""
}

// alternatives joins words: a, b or c.
func alternatives[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch i {
		case 0:
		case len(words) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// long tells a length of time, to about two digits that matter.
func long(d time.Duration) string { return readiness.InSeconds(d).String() }

// date tells a day, in UTC.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// written is a duration as flags and the file want it, without the zeros at its end.
func written(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
