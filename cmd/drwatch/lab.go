package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/examples/festivals"
	"github.com/drwatch/drwatch/lab"
	"github.com/drwatch/drwatch/probes/postgres"
)

func newLab(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "Run a two-region system of real servers on this machine, and break it on purpose",
	}
	dir := c.PersistentFlags().String("dir", filepath.Join(os.TempDir(), "drwatch-lab"), "the `folder` of the lab")
	c.AddCommand(newLabUp(s, dir), newLabStatus(s, dir), newLabFaults(s),
		newLabChange(s, dir, "break", "Bring a fault about", (*lab.Client).Break),
		newLabChange(s, dir, "heal", "End a fault", (*lab.Client).Heal))
	return c
}

func newLabUp(s streams, dir *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the lab, and stop it at Ctrl-C",
		Long: `Start PostgreSQL and Redis, each with a replica in another "region", on loopback
ports of this machine, with a small writing workload; an API in both regions, with
the name servers and resolvers that lead to it; and a stand-in for AWS that keeps
backups of the data and the record of the API. Everything lives in the lab's own
folder and ends with this command.

With --serve, drwatch watches the lab from the same process.`,
		Args: cobra.NoArgs,
	}
	watch := c.Flags().Bool("serve", false, "watch the lab, too")
	logger, web := logFlags(c, s, "warn"), newWebFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := logger()
		if err != nil {
			return err
		}
		l, err := lab.Up(c.Context(), lab.Options{
			Dir: *dir, Logger: log.With("component", "lab"),
			Progress: func(line string) { _, _ = fmt.Fprintln(s.out, line) },
			SetupSQL: []string{postgres.SetupSQL(postgres.SetupOptions{})}, AWS: true,
		})
		if err != nil {
			return fmt.Errorf("start the lab: %w", err)
		}
		defer func() { _, _ = fmt.Fprintln(s.out, "the lab is down") }()
		stopped := func(err error) error { return errors.Join(err, l.Close()) }
		file, err := writeLabConfig(*dir, labEnvironment(l.Endpoints()))
		if err != nil {
			return stopped(err)
		}
		environment, err := writeLabEnvironment(*dir, l.Endpoints().AWS)
		if err != nil {
			return stopped(err)
		}
		if !*watch {
			printLab(s.out, file, environment, "")
			<-c.Context().Done()
			return stopped(nil)
		}
		for name, value := range l.Endpoints().AWS { // of this process: the SDK of AWS takes it from nowhere else
			if err := os.Setenv(name, value); err != nil {
				return stopped(fmt.Errorf("lead the SDK of AWS to the lab: %w", err))
			}
		}
		loadFile := func() (*config.Config, error) {
			return load(file, func(w string) { log.Warn("configuration", "warning", w) })
		}
		return stopped(serve(c.Context(), web, log, loadFile, func(address string) { printLab(s.out, file, environment, address) }))
	}
	return c
}

// labEnvironment points the Festivals example at the lab: as from the standby
// region, so the primaries are seen over the links that can be cut.
func labEnvironment(e lab.Endpoints) map[string]string {
	environment := map[string]string{
		"FESTIVALS_LEDGER":                 filepath.Join(e.Dir, "ledger.db"),
		"FESTIVALS_SCHEDULE":               "@every 2s",
		"FESTIVALS_TIMEOUT":                "1s",
		"FESTIVALS_AWS_SCHEDULE":           "@every 2s",
		"FESTIVALS_AWS_TIMEOUT":            "1s",
		"FESTIVALS_AWS_MAX_AGE":            "1s",
		"FESTIVALS_ROUTE53_SCHEDULE":       "@every 10s",
		"FESTIVALS_ROUTE53_TIMEOUT":        "9s",
		"FESTIVALS_POSTGRES_PRIMARY":       e.Postgres.PrimaryAcross.URL,
		"FESTIVALS_POSTGRES_REPLICA":       e.Postgres.Standby.URL,
		"FESTIVALS_POSTGRES_PASSWORD_FILE": e.Postgres.PasswordFiles["drwatch"],
		"FESTIVALS_REDIS_PRIMARY":          e.Redis.PrimaryAcross.URL,
		"FESTIVALS_REDIS_REPLICA":          e.Redis.Standby.URL,
		"FESTIVALS_REDIS_PASSWORD_FILE":    e.Redis.PasswordFiles["drwatch"],
	}
	if e.API != nil {
		maps.Copy(environment, map[string]string{
			"FESTIVALS_RESOLVER_A":  e.API.Resolvers[0],
			"FESTIVALS_RESOLVER_B":  e.API.Resolvers[1],
			"FESTIVALS_DNS_PORT":    strconv.Itoa(e.API.DNSPort),
			"FESTIVALS_API_PORT":    ":" + strconv.Itoa(e.API.Port),
			"FESTIVALS_API_PRIMARY": e.API.PrimaryAcross,
			"FESTIVALS_API_STANDBY": e.API.Standby,
			"FESTIVALS_API_CA_FILE": e.CAFile,
		})
	}
	return environment
}

// writeLabConfig writes the example with the lab's addresses in it, so that
// every command can be tried on it.
func writeLabConfig(dir string, environment map[string]string) (file string, err error) {
	text := os.Expand(string(festivals.Config()), func(variable string) string {
		name, standard, _ := strings.Cut(variable, ":-")
		if value, ok := environment[name]; ok {
			return value
		}
		return standard
	})
	file = filepath.Join(dir, "drwatch.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("write the lab's configuration: %w", err)
	}
	if err := os.CopyFS(dir, festivals.Runbooks()); err != nil {
		return "", fmt.Errorf("write the runbooks of the lab: %w", err)
	}
	return file, nil
}

// writeLabEnvironment writes what a shell needs so that a drwatch in it asks the
// lab's AWS and not the real one.
func writeLabEnvironment(dir string, environment map[string]string) (file string, err error) {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		_, _ = fmt.Fprintf(&text, "export %s=%s\n", name, environment[name])
	}
	file = filepath.Join(dir, "env")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("write the lab's environment: %w", err)
	}
	return file, nil
}

func printLab(w io.Writer, file, environment, address string) {
	_, _ = fmt.Fprintf(w, "\nThe lab is up; Ctrl-C stops it. In another terminal:\n\n")
	if address != "" {
		_, _ = fmt.Fprintf(w, "  curl -s http://%s/metrics | grep ^dr_rpo_exposure\n", local(address))
	}
	program := os.Args[0]
	_, _ = fmt.Fprintf(w, "  %s lab faults\n", program)
	_, _ = fmt.Fprintf(w, "  %s lab break link-cut\n", program)
	_, _ = fmt.Fprintf(w, "  . %s    # for what asks AWS\n", environment)
	_, _ = fmt.Fprintf(w, "  %s check --config.file %s\n", program, file)
	_, _ = fmt.Fprintf(w, "  %s lab heal link-cut\n\n", program)
	if address != "" {
		_, _ = fmt.Fprintf(w, "The page is at http://%s/\n", local(address))
	}
}

// local is how this machine reaches an address that may be bound to all of its own.
func local(address string) string {
	if rest, ok := strings.CutPrefix(address, "[::]"); ok {
		return "127.0.0.1" + rest
	}
	return address
}

func newLabFaults(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "faults",
		Short: "List what can be broken",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t := printer{}.table("fault", "what it does")
			for _, f := range lab.Faults() {
				t.AppendRow([]any{f.Name, f.Description})
			}
			_, err := fmt.Fprintln(s.out, t.Render())
			return err
		},
	}
}

// labWait bounds how long a fault may take to come about, or to end.
const labWait = time.Minute

func newLabChange(s streams, dir *string, verb, short string, change func(*lab.Client, context.Context, lab.Fault) error) *cobra.Command {
	c := &cobra.Command{
		Use:   verb + " FAULT",
		Short: short,
		Args:  cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, f := range lab.Faults() {
				names = append(names, fmt.Sprintf("%s\t%s", f.Name, f.Description))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), labWait)
		defer cancel()
		client, err := lab.Dial(ctx, *dir)
		if err != nil {
			return err
		}
		if err := change(client, ctx, lab.Fault(args[0])); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s: %s\n", map[string]string{"break": "broken", "heal": "healed"}[verb], args[0])
		return err
	}
	return c
}

func newLabStatus(s streams, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell where everything is and what is broken",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := lab.Dial(c.Context(), *dir)
			if err != nil {
				return err
			}
			status, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			t := printer{}.table("server", "region", "address")
			for name, cluster := range map[string]lab.Cluster{"postgres": status.Endpoints.Postgres, "redis": status.Endpoints.Redis} {
				t.AppendRow([]any{name + " primary", cluster.Primary.Region, cluster.Primary.Address})
				t.AppendRow([]any{name + " primary, over the link", cluster.PrimaryAcross.Region, cluster.PrimaryAcross.Address})
				t.AppendRow([]any{name + " standby", cluster.Standby.Region, cluster.Standby.Address})
			}
			if e := status.Endpoints.API; e != nil {
				t.AppendRow([]any{"API primary, over the link", lab.PrimaryRegion, e.PrimaryAcross})
				t.AppendRow([]any{"API standby", lab.StandbyRegion, e.Standby})
				for _, resolver := range e.Resolvers {
					t.AppendRow([]any{"resolver", "", resolver})
				}
			}
			t.SortBy([]table.SortBy{{Number: 1}})
			broken := "nothing"
			if len(status.Broken) > 0 {
				broken = strings.Trim(fmt.Sprint(status.Broken), "[]")
			}
			_, err = fmt.Fprintf(s.out, "%s\n\nbroken: %s\n", t.Render(), broken)
			return err
		},
	}
}
