package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/probes/postgres"
)

func newConfig(s streams) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Work on the configuration"}
	c.AddCommand(newConfigCheck(s), newConfigSchema(s), newConfigExample(s), newConfigSQL(s))
	return c
}

func newConfigCheck(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Tell every mistake in the configuration; opens no connection",
		Args:  cobra.NoArgs,
	}
	path := configFlag(c)
	strict := c.Flags().Bool("strict", false, "take warnings for mistakes")
	c.RunE = func(*cobra.Command, []string) error {
		warnings := 0
		cfg, err := load(*path, func(w string) {
			warnings++
			_, _ = fmt.Fprintln(s.err, "warning:", w)
		})
		if err != nil {
			return err
		}
		if *strict && warnings > 0 {
			return fmt.Errorf("%d warnings in %s", warnings, *path)
		}
		system, copies, parts := cfg.System(), 0, 0
		for _, d := range system.Datastores {
			copies += len(d.Copies)
		}
		for _, service := range system.Services {
			parts += len(service.Parts)
		}
		_, err = fmt.Fprintf(s.out, "%s is valid: %s with %s, %s with %s\n", *path,
			counted(len(system.Datastores), "datastore"), counted(copies, "copy"), counted(len(system.Services), "service"), counted(parts, "part"))
		return err
	}
	return c
}

// counted tells how many there are of what word names.
func counted(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ie"
	}
	return strconv.Itoa(n) + " " + word + "s"
}

func newConfigSchema(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = s.out.Write(schema)
			return err
		},
	}
}

func newConfigExample(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "example",
		Short: "Print an annotated configuration to begin with",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := s.out.Write(config.Example())
			return err
		},
	}
}

func newConfigSQL(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "sql",
		Short: "Print the SQL that makes the PostgreSQL roles, with least privilege, and the heartbeat table",
		Long: `Print the SQL that an administrator runs once on the primary, in the database
that is watched. It makes the role that looks and, with --heartbeat.user, the
role that writes the heartbeat and its table. It contains no passwords.`,
		Args: cobra.NoArgs,
	}
	user := c.Flags().String("user", "drwatch", "the role that looks")
	writer := c.Flags().String("heartbeat.user", "", "the role that writes the heartbeat; none without it")
	table := c.Flags().String("heartbeat.table", "", "the table of the heartbeat, schema.table (default drwatch.heartbeat)")
	c.RunE = func(*cobra.Command, []string) error {
		_, err := fmt.Fprint(s.out, postgres.SetupSQL(postgres.SetupOptions{User: *user, HeartbeatUser: *writer, HeartbeatTable: *table}))
		return err
	}
	return c
}
