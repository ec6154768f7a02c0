package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/app"
	"github.com/drwatch/drwatch/readiness"
)

func newCheck(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Look at everything once and tell whether it is ready",
		Long: `Look at everything in the configuration once, now, and tell what would be lost
in each scenario and which checks do not pass.

Exit code 0: ready. 1: not ready, and unknown is not ready. 2: could not look.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	output := c.Flags().StringP("output", "o", "table", "table or json")
	scenarios := c.Flags().StringSlice("scenario", nil, "judge these scenarios only (default all that the file promises something in)")
	all := c.Flags().Bool("all", false, "show the checks that pass, too")
	var names []string
	for _, scenario := range readiness.Scenarios() {
		names = append(names, string(scenario))
	}
	_ = c.RegisterFlagCompletionFunc("scenario", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *output != "table" && *output != "json" {
			return fmt.Errorf("--output %q: table or json", *output)
		}
		chosen, err := parseScenarios(*scenarios)
		if err != nil {
			return err
		}
		cfg, err := load(*path, func(w string) { _, _ = fmt.Fprintln(s.err, "warning:", w) })
		if err != nil {
			return err
		}
		report, err := app.Check(c.Context(), cfg, chosen, logTo(s.err), progress(s.err))
		if err != nil {
			return err
		}
		if err := printReport(s.out, report, *output, *all); err != nil {
			return err
		}
		if !report.Ready {
			return errNotReady
		}
		return nil
	}
	return c
}

func parseScenarios(words []string) ([]readiness.Scenario, error) {
	var chosen []readiness.Scenario
	for _, word := range words {
		if !slices.Contains(readiness.Scenarios(), readiness.Scenario(word)) {
			return nil, fmt.Errorf("--scenario %q: one of %v", word, readiness.Scenarios())
		}
		chosen = append(chosen, readiness.Scenario(word))
	}
	return chosen, nil
}

// progress shows on a terminal how far the looking is; elsewhere nothing.
func progress(w io.Writer) func(done, total int) {
	if !terminal(w) {
		return nil
	}
	lines := make(chan struct{}, 1)
	return func(done, total int) {
		lines <- struct{}{}
		defer func() { <-lines }()
		_, _ = fmt.Fprintf(w, "\r\x1b[Klooked %d of %d", done, total)
		if done == total {
			_, _ = fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

func printReport(w io.Writer, r *readiness.Report, output string, all bool) error {
	if output == "json" {
		body, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the report: %w", err)
		}
		_, err = fmt.Fprintln(w, string(body))
		return err
	}
	p := printer{colour: terminal(w)}
	_, err := io.WriteString(w, p.report(r, all))
	return err
}

// printer writes a report for people.
type printer struct{ colour bool }

func (p printer) report(r *readiness.Report, all bool) string {
	var b strings.Builder
	verdict := p.paint(readiness.Pass, "READY")
	if !r.Ready {
		verdict = p.paint(readiness.Fail, "NOT READY")
	}
	fmt.Fprintf(&b, "%s: %s", r.System, verdict)
	if !r.Ready && r.Covered() {
		fmt.Fprintf(&b, " (every scenario is covered, and %d of the checks below need a person)", r.Open())
	}
	b.WriteString("\n\n")
	fmt.Fprintf(&b, "If it happened now\n%s\n\n", p.coverage(r))
	fmt.Fprintf(&b, "Copies\n%s\n", p.copies(r))
	if len(r.Services) > 0 {
		fmt.Fprintf(&b, "\nServices\n%s\n", p.services(r))
	}
	if findings := p.findings(r, all); findings != "" {
		fmt.Fprintf(&b, "\nChecks\n%s\n", findings)
	}
	return b.String()
}

func (p printer) coverage(r *readiness.Report) string {
	t := p.table("data or service", "scenario", "would be lost", "RPO", "ready", "best copy", "why not")
	for _, d := range r.Datastores {
		for _, c := range d.Coverage {
			lost := "without bound"
			if exposure, known := c.Exposure.Get(); known {
				lost = exposure.String()
			}
			t.AppendRow(table.Row{d.Name, c.Scenario, lost, c.RPO, p.status(c.Ready), best(c), c.Because})
		}
	}
	for _, s := range r.Services {
		for _, scenario := range s.Scenarios {
			t.AppendRow(table.Row{s.Name, scenario, "-", "-", p.status(s.Status), "-", s.Because})
		}
	}
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 7, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft}})
	return t.Render()
}

// best names the copy that would lose least, and the one to recover from where
// that is another.
func best(c readiness.Coverage) string {
	exposure, known := c.SoundExposure.Get()
	if !known || c.Sound == c.Copy {
		return orDash(c.Copy)
	}
	return fmt.Sprintf("%s, but sound is %s (%s)", c.Copy, c.Sound, exposure)
}

func (p printer) copies(r *readiness.Report) string {
	t := p.table("copy", "kind", "region", "state", "recovery point", "age", "proven by", "lag received", "lag replayed")
	for _, d := range r.Datastores {
		for _, c := range d.Copies {
			point, age := "unknown", "unknown"
			if at, known := c.RecoveryPoint.Get(); known {
				point = at.UTC().Format(time.RFC3339)
				age = r.Age(at).String()
			}
			t.AppendRow(table.Row{c.ID, c.Kind, c.Region, p.status(c.Status), point, age, orDash(string(c.Basis)), lag(c, c.ReceivedLag), lag(c, c.ReplayLag)})
		}
	}
	return t.Render()
}

func (p printer) services(r *readiness.Report) string {
	t := p.table("part", "kind", "region", "state", "seen")
	for _, s := range r.Services {
		for _, part := range s.Parts {
			t.AppendRow(table.Row{part.ID, part.Kind, orDash(part.Region), p.status(part.Status), orDash(part.Summary())})
		}
	}
	return t.Render()
}

// lag is told of replicas only.
func lag(c readiness.CopyReport, v readiness.Maybe[readiness.Seconds]) string {
	if c.Kind != readiness.Replica {
		return "-"
	}
	if s, known := v.Get(); known {
		return s.String()
	}
	return "unknown"
}

// findings lists the checks that do not pass, or all; empty when there are none.
func (p printer) findings(r *readiness.Report, all bool) string {
	found := r.Findings()
	if all {
		found = nil
		for _, c := range r.Checks() {
			found = append(found, readiness.Finding{Check: c})
		}
	}
	if len(found) == 0 {
		return ""
	}
	t := p.table("state", "subject", "check", "seen", "do")
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 4, WidthMax: 50, WidthMaxEnforcer: text.WrapSoft},
		{Number: 5, WidthMax: 50, WidthMaxEnforcer: text.WrapSoft},
	})
	for _, f := range found {
		evidence := f.Evidence
		if len(f.Also) > 0 {
			evidence += "; the same for: " + strings.Join(f.Also, ", ")
		}
		t.AppendRow(table.Row{p.status(f.Status), f.Subject, f.Name, evidence, f.Remedy})
	}
	return t.Render()
}

func (p printer) table(header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder = false
	style.Options.SeparateColumns = false
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.AppendHeader(header)
	t.SuppressTrailingSpaces()
	return t
}

func (p printer) status(s readiness.Status) string { return p.paint(s, s.String()) }

func (p printer) paint(s readiness.Status, word string) string {
	if !p.colour {
		return word
	}
	switch s {
	case readiness.Pass:
		return "\x1b[32m" + word + "\x1b[0m"
	case readiness.Warn:
		return "\x1b[33m" + word + "\x1b[0m"
	case readiness.Fail:
		return "\x1b[31;1m" + word + "\x1b[0m"
	default:
		return "\x1b[35m" + word + "\x1b[0m"
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
