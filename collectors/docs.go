package collectors

import (
	"fmt"
	"strings"
)

// Markdown is the documentation of the catalogue, docs/metrics.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Generated from the catalogue in ` + "`collectors/catalogue.go`" + `; do not edit.

` + "`dr_`" + ` metrics are facts about the system, ` + "`drwatch_`" + ` metrics are facts about drwatch itself. Beside them stand
the usual ` + "`go_`" + ` and ` + "`process_`" + ` metrics.

- Moments are timestamps, never ages: ` + "`time() - dr_recovery_point_timestamp_seconds`" + ` keeps growing when nobody can look.
- Exposure is computed at the moment of the scrape. Where no recovery point is known it is ` + "`+Inf`" + `, and compliance is 0.
  Nothing is ever NaN, which would alert nobody.
- A check always has its four series, also before the first look: it is then ` + "`unknown`" + `, and unknown is not ready.
- Labels take their values from the configuration and from closed sets, never from what a server says.

`)
	for _, m := range Catalogue() {
		fmt.Fprintf(&b, "## `%s`\n\n%s\n\n- type: %s\n", m.Name, m.Help, m.TypeName())
		if len(m.Labels) > 0 {
			fmt.Fprintf(&b, "- labels: `%s`\n", strings.Join(m.Labels, "`, `"))
		}
		if m.Absent != "" {
			fmt.Fprintf(&b, "- no series when: %s\n", m.Absent)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
