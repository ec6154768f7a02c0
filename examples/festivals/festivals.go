// Package festivals is the example system: what a whole configuration looks
// like, and what the lab plays.
package festivals

import _ "embed"

//go:embed drwatch.yaml
var config []byte

// Config is the drwatch.yaml of the example.
func Config() []byte { return append([]byte(nil), config...) }
