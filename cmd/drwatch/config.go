package main

import (
	"fmt"

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
		_, err = fmt.Fprintf(s.out, "%s is valid: %d datastores, %d copies\n", *path, len(cfg.System().Datastores), len(cfg.Targets()))
		return err
	}
	return c
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
