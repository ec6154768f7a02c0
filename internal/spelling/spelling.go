// Package spelling guesses which word was meant, for those who tell mistakes in a
// file or on a command line.
package spelling

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest finds the word that was likely meant: about a third of the letters may
// be wrong, and at least one.
func Nearest(word string, known []string) (string, bool) {
	best, distance := "", min(len(word), max(1, (len(word)+1)/3)+1)
	for _, k := range known {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	return best, best != ""
}
