// Package festivals is the example system: what a whole configuration looks
// like, and what the lab plays.
package festivals

import (
	"embed"
	"io/fs"
)

//go:embed drwatch.yaml
var config []byte

// Config is the drwatch.yaml of the example.
func Config() []byte { return append([]byte(nil), config...) }

//go:embed runbooks
var runbooks embed.FS

// Runbooks are the procedures that the example names, as files below runbooks.
func Runbooks() fs.FS { return runbooks }
