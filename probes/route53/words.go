package route53

import (
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// text bounds a foreign text, and takes out what does not belong on a page.
func text(foreign string) string {
	const longest = 120
	return probes.Presentable(strings.ToValidUTF8(foreign, "?"), longest)
}

// told is a length of time for people. Sums are of seconds, so seconds are told as long
// as one can reckon with them.
func told(d time.Duration) string {
	if d < 5*time.Minute && d == d.Truncate(time.Second) {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return readiness.InSeconds(d).String()
}

// list joins a few foreign names; the rest is counted.
func list(names []string) string {
	const most = 4
	var all []string
	for i, name := range names {
		if i == most {
			all = append(all, fmt.Sprintf("and %d more", len(names)-most))
			break
		}
		all = append(all, text(name))
	}
	return strings.Join(all, ", ")
}
