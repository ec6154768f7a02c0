package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/drwatch/drwatch/app"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/ledger/postgres"
	"github.com/drwatch/drwatch/readiness"
)

func newLedger(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Look after the ledger: what was attested, and the history of compliance",
	}
	c.AddCommand(newLedgerVerify(s), newLedgerExport(s), newLedgerImport(s), newLedgerMigrate(s), newLedgerBackup(s), newLedgerPrune(s), newLedgerSQL(s))
	return c
}

// withLedger opens the ledger that the file names, for as long as use takes. To read
// one means that it is there.
func withLedger(ctx context.Context, s streams, path string, open app.LedgerMode, use func(context.Context, *config.Config, ledger.Store) error) error {
	cfg, err := load(path, func(string) {})
	if err != nil {
		return err
	}
	store, err := app.OpenLedger(ctx, cfg, open, logTo(s.err))
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, cfg, store), store.Close())
}

func newLedgerVerify(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing in the ledger was changed or taken out",
		Long: `Read the whole ledger and hold each event against its hash, and against that of
the event before it. That the newest events were cut off no chain can tell by
itself: note the head that is printed somewhere else, and give it with --head.

Exit code 0: sound. 1: damaged. 2: could not be read.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	head := c.Flags().String("head", "", "a head that was noted earlier: its event must still be there")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withLedger(c.Context(), s, *path, app.ReadLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
			extent, err := ledger.Verify(ctx, store, steps(s.err, "verified"))
			if errors.Is(err, ledger.ErrCorrupt) {
				_, _ = fmt.Fprintln(s.out, err)
				return errNotReady
			}
			found := true
			if err == nil && *head != "" {
				found, err = holds(ctx, store, *head)
			}
			switch {
			case err != nil:
				return err
			case !found:
				_, _ = fmt.Fprintf(s.out, "no event has the hash %s: the newest ones were cut off, or it is another ledger\n", *head)
				return errNotReady
			case extent.Last == 0:
				_, err = fmt.Fprintln(s.out, "sound: nothing was ever written")
			default:
				_, err = fmt.Fprintf(s.out, "sound: events %d to %d in %d streams\nhead: %s\n", extent.First, extent.Last, extent.Streams, extent.Head)
			}
			return err
		})
	}
	return c
}

// holds reports whether some event has the hash.
func holds(ctx context.Context, store ledger.Store, hash string) (bool, error) {
	var wanted ledger.Hash
	if err := wanted.UnmarshalText([]byte(hash)); err != nil {
		return false, fmt.Errorf("--head: %w", err)
	}
	for e, err := range store.Events(ctx, ledger.Query{Backward: true}) {
		if err != nil {
			return false, err
		}
		if e.Hash == wanted {
			return true, nil
		}
	}
	return false, nil
}

// steps shows on a terminal how far something long is.
func steps(w io.Writer, what string) func(done, total uint64) {
	if !terminal(w) {
		return nil
	}
	return func(done, total uint64) {
		_, _ = fmt.Fprintf(w, "\r\x1b[K%s %d of %d", what, done, total)
		if done >= total {
			_, _ = fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

func newLedgerExport(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all events as lines of JSON, each with its hash",
		Args:  cobra.NoArgs,
	}
	path := configFlag(c)
	to := c.Flags().StringP("output", "o", "-", "the file to write; - is the standard output")
	stream := c.Flags().String("stream", "", "only this stream; such an export cannot be imported")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withLedger(c.Context(), s, *path, app.ReadLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
			return writeFile(s.out, *to, func(w io.Writer) error {
				_, err := ledger.Export(ctx, store, w, ledger.Query{Stream: *stream}, steps(s.err, "exported"))
				return err
			})
		})
	}
	return c
}

// writeFile writes a file as a whole, or not at all; - is the standard output.
func writeFile(out io.Writer, to string, write func(io.Writer) error) (err error) {
	if to == "-" {
		return write(out)
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return os.Rename(f.Name(), to)
}

func newLedgerImport(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the events of an export to a ledger that is empty, or that holds the beginning of them",
		Args:  cobra.ExactArgs(1),
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
		defer func() { _ = f.Close() }()
		return withLedger(c.Context(), s, *path, app.WriteLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
			added, err := ledger.Import(ctx, f, store, steps(s.err, "imported"))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "%d events were added\n", added)
			return err
		})
	}
	return c
}

func newLedgerMigrate(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Make the tables of the ledger, or bring them up to date",
		Args:  cobra.NoArgs,
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load(*path, func(string) {})
		if err != nil {
			return err
		}
		from, to, err := app.MigrateLedger(c.Context(), cfg, slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			return err
		case from == to:
			_, err = fmt.Fprintln(s.out, "the ledger is up to date")
		default:
			_, err = fmt.Fprintf(s.out, "the ledger was brought from version %d to %d\n", from, to)
		}
		return err
	}
	return c
}

func newLedgerBackup(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "backup TO",
		Short: "Copy a ledger that is a file to another file, also while drwatch runs",
		Args:  cobra.ExactArgs(1),
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return withLedger(c.Context(), s, *path, app.ReadLedger, func(ctx context.Context, _ *config.Config, store ledger.Store) error {
			file, ok := store.(interface {
				Backup(ctx context.Context, to string) error
			})
			if !ok {
				return errors.New("back up the ledger: it is in a server: back that up with its own means, or export it")
			}
			if err := file.Backup(ctx, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(s.out, "backed up to", args[0])
			return err
		})
	}
	return c
}

func newLedgerPrune(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove events that are older than the retention, once and for all",
		Args:  cobra.NoArgs,
	}
	path := configFlag(c)
	older := c.Flags().Duration("older-than", 0, "remove what is older than this, instead of the retention of the file")
	yes := c.Flags().Bool("yes", false, "do it; without it only what would be removed is told")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withLedger(c.Context(), s, *path, app.WriteLedger, func(ctx context.Context, cfg *config.Config, store ledger.Store) error {
			keep := *older
			if keep == 0 {
				keep = cfg.Ledger.Retention
			}
			if keep <= 0 {
				return errors.New("prune the ledger: say --older-than, or write retention in the file")
			}
			upTo, events, err := before(ctx, store, time.Now().Add(-keep))
			switch {
			case err != nil:
				return err
			case events == 0:
				_, err = fmt.Fprintf(s.out, "nothing is older than %s\n", readiness.InSeconds(keep))
				return err
			case !*yes:
				_, err = fmt.Fprintf(s.out, "%d events, up to number %d, are older than %s: export them first, then say --yes\n", events, upTo, readiness.InSeconds(keep))
				return err
			}
			if err := store.Prune(ctx, upTo); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "%d events were removed\n", events)
			return err
		})
	}
	return c
}

// before finds the last of the events with which the log begins that are all older
// than a moment.
func before(ctx context.Context, store ledger.Store, moment time.Time) (upTo, events uint64, err error) {
	for e, err := range store.Events(ctx, ledger.Query{}) {
		if err != nil {
			return 0, 0, err
		}
		if !e.Time.Before(moment) {
			break
		}
		upTo, events = e.Position, events+1
	}
	return upTo, events, nil
}

func newLedgerSQL(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "sql",
		Short: "Print the SQL that makes the role and the tables of a ledger in PostgreSQL",
		Args:  cobra.NoArgs,
	}
	user := c.Flags().String("user", "drwatch", "the role that keeps the ledger")
	schema := c.Flags().String("schema", "drwatch", "the schema of the tables")
	c.RunE = func(*cobra.Command, []string) error {
		_, err := fmt.Fprint(s.out, postgres.SetupSQL(postgres.SetupOptions{User: *user, Schema: *schema}))
		return err
	}
	return c
}
