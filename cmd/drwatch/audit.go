package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/app"
	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

func newAudit(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Go through the checklists of the procedure, with evidence and remedies",
		Long: `Look at everything once, now, read what people have attested, and tell the state
of each item of the checklists with what it rests on.

Exit code 0: every item of the phase passes or warns. 1: not, and unknown is not.
2: could not look.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	output := c.Flags().StringP("output", "o", "table", "table, json, markdown, html or junit")
	phase := c.Flags().String("phase", string(audit.Before), "the checklist: pre-disaster, during, post-disaster or all")
	strict := c.Flags().Bool("strict", false, "warnings fail, too")
	record := c.Flags().Bool("record", false, "write the result into the ledger, for the report")
	by := c.Flags().String("by", "", "who makes the audit, with --record (default who is logged in)")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(auditOutputs(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions(phaseNames(), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains(auditOutputs(), *output) {
			return fmt.Errorf("--output %q: one of %s", *output, strings.Join(auditOutputs(), ", "))
		}
		if !slices.Contains(phaseNames(), *phase) {
			return fmt.Errorf("--phase %q: one of %s", *phase, strings.Join(phaseNames(), ", "))
		}
		cfg, err := load(*path, func(w string) { _, _ = fmt.Fprintln(s.err, "warning:", w) })
		if err != nil {
			return err
		}
		result, err := app.Audit(c.Context(), cfg, logTo(s.err), progress(s.err))
		if err != nil {
			return err
		}
		if *record {
			if err := recordAudit(c.Context(), s, *path, result, nameOf(*by)); err != nil {
				return err
			}
		}
		shown := ofPhase(result, audit.Phase(*phase))
		if err := printAudit(s.out, shown, *output); err != nil {
			return err
		}
		if !allReady(shown, *strict) {
			return errNotReady
		}
		return nil
	}
	c.AddCommand(newAuditReport(s), newAuditVerify(s))
	return c
}

func auditOutputs() []string { return []string{"table", "json", "markdown", "html", "junit"} }

func phaseNames() []string {
	names := []string{"all"}
	for _, p := range audit.Phases() {
		names = append(names, string(p))
	}
	return names
}

// nameOf is who does something, where nobody said it.
func nameOf(by string) string {
	if by != "" {
		return by
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "somebody"
}

func recordAudit(ctx context.Context, s streams, path string, result audit.Result, by string) error {
	return withLedger(ctx, s, path, app.WriteLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
		return app.RecordAudit(ctx, store, result, by)
	})
}

// ofPhase is the part of a result that is about a phase.
func ofPhase(r audit.Result, phase audit.Phase) audit.Result {
	if phase == "all" {
		return r
	}
	r.Items = slices.DeleteFunc(slices.Clone(r.Items), func(i audit.ItemResult) bool { return i.Phase != phase })
	return r
}

// allReady reports whether no item is in the way.
func allReady(r audit.Result, strict bool) bool {
	return !slices.ContainsFunc(r.Items, func(i audit.ItemResult) bool {
		return !i.Status.Ready() || strict && i.Status != readiness.Pass
	})
}

func printAudit(w io.Writer, r audit.Result, output string) error {
	switch output {
	case "json":
		body, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("encode the audit: %w", err)
		}
		_, err = fmt.Fprintln(w, string(body))
		return err
	case "junit":
		return printJUnit(w, r)
	}
	p := printer{colour: output == "table" && terminal(w)}
	t := p.table("state", "item", "rests on", "seen", "do")
	for _, item := range r.Items {
		t.AppendRow(table.Row{p.status(item.Status), item.Title})
		for _, rest := range item.Rests {
			if rest.Status != readiness.Pass || rest.What == "attested" {
				t.AppendRow(table.Row{"", "", rest.What + " (" + p.status(rest.Status) + ")", rest.Evidence, rest.Remedy})
			}
		}
	}
	var err error
	switch output {
	case "markdown":
		_, err = fmt.Fprintf(w, "# %s, %s\n\n%s\n", r.System, r.At.UTC().Format(time.RFC3339), t.RenderMarkdown())
	case "html":
		_, err = fmt.Fprintf(w, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>%s</title>\n%s\n", html.EscapeString(r.System), t.RenderHTML())
	default:
		t.SetColumnConfigs([]table.ColumnConfig{
			{Number: 3, WidthMax: 40, WidthMaxEnforcer: text.WrapSoft},
			{Number: 4, WidthMax: 50, WidthMaxEnforcer: text.WrapSoft},
			{Number: 5, WidthMax: 50, WidthMaxEnforcer: text.WrapSoft},
		})
		_, err = fmt.Fprintf(w, "%s, %s\n\n%s\n", r.System, r.At.UTC().Format(time.RFC3339), t.Render())
	}
	return err
}

// printJUnit writes what CI systems show as tests: an item is one.
func printJUnit(w io.Writer, r audit.Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *failure `xml:"failure"`
	}
	type suite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Time     string     `xml:"timestamp,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	all := suite{Name: r.System, Tests: len(r.Items), Time: r.At.UTC().Format(time.RFC3339)}
	for _, item := range r.Items {
		c := testcase{Name: item.Title, Class: string(item.Phase) + "." + item.Item}
		if !item.Status.Ready() {
			all.Failures++
			c.Failure = &failure{Message: item.Status.String()}
			for _, rest := range item.Rests {
				if !rest.Status.Ready() {
					c.Failure.Text += fmt.Sprintf("%s is %s: %s; %s\n", rest.What, rest.Status, rest.Evidence, rest.Remedy)
				}
			}
		}
		all.Cases = append(all.Cases, c)
	}
	body, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the audit: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, body)
	return err
}

func newAttest(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "attest ITEM",
		Short: "Stand for an item of a checklist, a contact or a runbook, for a time",
		Long: `Write into the ledger that somebody stands for an item of a checklist, for
"contact:ROLE" or for "runbook:NAME", with what that rests on. It lapses when
nobody repeats it in time.`,
		Example: `  drwatch attest training --by jane@example.com --evidence https://wiki.example.com/drill-2026-11 --valid-for 4320h`,
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(c)
	by := c.Flags().String("by", "", "who stands for it")
	evidence := c.Flags().String("evidence", "", "a link or a ticket that it rests on")
	note := c.Flags().String("note", "", "what else there is to say")
	validFor := c.Flags().Duration("valid-for", 0, "for how long it counts")
	withdraw := c.Flags().Bool("withdraw", false, "take the word back")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := load(*path, func(string) {})
		if err != nil {
			return err
		}
		now := time.Now()
		a := audit.Attestation{Item: args[0], By: *by, Evidence: *evidence, Note: *note, At: now, Until: now.Add(*validFor), Withdrawn: *withdraw}
		if err := app.Attest(c.Context(), cfg, a, logTo(s.err)); err != nil {
			return err
		}
		if *withdraw {
			_, err = fmt.Fprintf(s.out, "withdrawn: %s\n", a.Item)
		} else {
			_, err = fmt.Fprintf(s.out, "attested: %s by %s, until %s\n", a.Item, a.By, a.Until.UTC().Format(time.RFC3339))
		}
		return err
	}
	return c
}

func newAuditReport(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "report",
		Short: "Write the evidence of a period for an auditor, as one HTML file",
		Long: `Write one self-contained page with the objectives, how they were kept, the newest
audit that was recorded ("drwatch audit --record"), attestations, drills,
incidents, changes, and the hashes of the events in the ledger that it rests on.
That it was made, by whom, is noted in the ledger.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	from := c.Flags().String("from", "", "the first day, as 2026-01-31 (default 90 days before --to)")
	to := c.Flags().String("to", "", "the last day (default now)")
	output := c.Flags().StringP("output", "o", "report.html", "the file to write; - is the standard output")
	by := c.Flags().String("by", "", "who makes the report (default who is logged in)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		begin, end, err := period(*from, *to, time.Now())
		if err != nil {
			return err
		}
		return withLedger(c.Context(), s, *path, app.WriteLedger, func(ctx context.Context, cfg *config.Config, store ledger.Store) error {
			data, err := report.Collect(ctx, store, report.Options{
				System: cfg.System().Name, From: begin, To: end, Now: time.Now(), By: nameOf(*by), Version: version,
			})
			if err != nil {
				return err
			}
			var page bytes.Buffer
			if err := report.Render(&page, data); err != nil {
				return err
			}
			if err := writeFile(s.out, *output, func(w io.Writer) error { _, err := w.Write(page.Bytes()); return err }); err != nil {
				return err
			}
			stream, receipt, err := report.ReceiptOf(data, page.Bytes())
			if err != nil {
				return err
			}
			_, err = store.Append(ctx, ledger.Append{Stream: stream, After: ledger.Any, Drafts: []ledger.Draft{receipt}})
			return err
		})
	}
	return c
}

// period reads the days of a report, which are in UTC, both included.
func period(from, to string, now time.Time) (begin, end time.Time, err error) {
	end = now
	if to != "" {
		if end, err = time.Parse(time.DateOnly, to); err != nil {
			return begin, end, fmt.Errorf("--to %q: write a day as 2026-01-31", to)
		}
		if end = end.AddDate(0, 0, 1); end.After(now) {
			end = now
		}
	}
	begin = end.AddDate(0, 0, -90)
	if from != "" {
		if begin, err = time.Parse(time.DateOnly, from); err != nil {
			return begin, end, fmt.Errorf("--from %q: write a day as 2026-01-31", from)
		}
	}
	if !begin.Before(end) {
		return begin, end, fmt.Errorf("--from %s is not before --to %s", begin.Format(time.DateOnly), end.Format(time.DateOnly))
	}
	return begin, end, nil
}

func newAuditVerify(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify REPORT",
		Short: "Hold a report against the ledger: is it what was made, and is all of it still there?",
		Long: `Exit code 0: the page says what its data says, and its data is what the ledger
holds. 1: it is not, and what differs is told. 2: could not be held against it.`,
		Args: cobra.ExactArgs(1),
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("read the report: %w", err)
		}
		defer func() { _ = f.Close() }()
		return withLedger(c.Context(), s, *path, app.ReadLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
			verdict, err := report.Verify(ctx, f, store)
			if err != nil {
				return err
			}
			p := printer{colour: terminal(s.out)}
			t := p.table("state", "step", "found")
			t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, WidthMax: 90, WidthMaxEnforcer: text.WrapSoft}})
			for _, step := range verdict.Steps {
				t.AppendRow(table.Row{p.status(step.Status), step.Name, step.Found})
			}
			if _, err := fmt.Fprintln(s.out, t.Render()); err != nil {
				return err
			}
			switch verdict.Status {
			case readiness.Fail:
				return errNotReady
			case readiness.Unknown:
				return errors.New("hold the report against the ledger: it cannot be told whether it is what was made, see above")
			}
			return nil
		})
	}
	return c
}
