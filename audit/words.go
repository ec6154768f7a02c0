package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/internal/spelling"
	"github.com/drwatch/drwatch/readiness"
)

// meant asks for the nearest of the known words, at the end of a sentence.
func meant(word string, known []string) string {
	if guess, ok := spelling.Nearest(word, known); ok {
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
