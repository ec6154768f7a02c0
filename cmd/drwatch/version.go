package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newVersion(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print what this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := build()
			_, err := fmt.Fprintf(s.out, "drwatch %s (revision %s, %s)\n", b.Version, b.Revision, b.GoVersion)
			return err
		},
	}
}
