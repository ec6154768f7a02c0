package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// keeping is a system with a ledger at the path, and one datastore that nobody looks at.
func keeping(t *testing.T, path string) *config.Config {
	t.Helper()
	text := fmt.Sprintf(`
system: shop
instance: { name: one, region: central }
regions: { primary: west, standby: central }
datastores: [{ name: db, copies: [{ name: primary, kind: primary, region: west, redis: { url: "redis://127.0.0.1:1" } }] }]
ledger: { sqlite: { path: %q } }
`, path)
	c, _, err := config.Parse("drwatch.yaml", []byte(text), os.LookupEnv)
	require.NoError(t, err)
	return c
}

// keep keeps the ledger of a configuration until the test ends, or close is called.
func keep(t *testing.T, cfg *config.Config) *keeper {
	t.Helper()
	k := newKeeper(cfg, Options{Logger: slog.New(slog.DiscardHandler)}, func() *readiness.Report {
		return readiness.Evaluate(cfg.System(), func(readiness.ID) *readiness.Seen { return nil }, time.Now())
	})
	k.every = 20 * time.Millisecond
	k.start()
	t.Cleanup(func() { require.NoError(t, k.close(context.Background())) })
	return k
}

func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 20*time.Second, 10*time.Millisecond, what)
}

func kinds(t *testing.T, cfg *config.Config, stream string) (all []string) {
	t.Helper()
	store, err := OpenLedger(t.Context(), cfg, ReadLedger, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for e, err := range store.Events(t.Context(), ledger.Query{Stream: stream}) {
		require.NoError(t, err)
		all = append(all, e.Kind)
	}
	return all
}

// The history of compliance would have a hole for each restart, and the report would
// know of no configuration.
func TestKeeper_WritesDownWhatTheReportShows(t *testing.T) {
	cfg := keeping(t, filepath.Join(t.TempDir(), "ledger.db"))
	k := keep(t, cfg)
	soon(t, "the ledger is up", func() bool { return k.state().Up && k.state().Pending == 0 && !k.state().LastWrite.IsZero() })
	require.NoError(t, k.close(t.Context()))
	written := kinds(t, cfg, history.Stream)
	require.Equal(t, history.KindStarted, written[0])
	require.Equal(t, history.KindStopped, written[len(written)-1])
	require.Equal(t, []string{"loaded"}, kinds(t, cfg, report.StreamConfig))

	again := keep(t, cfg)
	soon(t, "the ledger is up", func() bool { return again.state().Up })
	require.NoError(t, again.close(t.Context()))
	require.Equal(t, []string{"loaded"}, kinds(t, cfg, report.StreamConfig), "nothing has changed in the file")
}

// With the ledger gone drwatch would stop, or an attestation would be believed that
// nobody can read.
func TestKeeper_GoesOnWithoutALedger(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not there yet")
	cfg := keeping(t, filepath.Join(folder, "ledger.db"))
	k := keep(t, cfg)
	soon(t, "that it is gone is told", func() bool { return k.book.Known().Unknown != nil })
	require.True(t, k.state().Kept)
	require.False(t, k.state().Up)
	training := func() audit.ItemResult {
		for _, item := range k.audit().Items {
			if item.Item == "training" {
				return item
			}
		}
		t.Fatal("there is no such item")
		return audit.ItemResult{}
	}
	require.Equal(t, readiness.Unknown, training().Status)
	require.Contains(t, training().Rests[0].Evidence, "not there yet", "why it is not known")

	require.NoError(t, os.Mkdir(folder, 0o700))
	soon(t, "it is tried again", func() bool { return k.state().Up && k.state().Pending == 0 })
	now := time.Now()
	require.NoError(t, Attest(t.Context(), cfg, audit.Attestation{
		Item: "training", By: "jane@example.org", Evidence: "https://wiki.example.org/drill", At: now, Until: now.Add(2000 * time.Hour),
	}, slog.New(slog.DiscardHandler)))
	soon(t, "what another process attests is read", func() bool { return training().Status == readiness.Pass })
}

// A ledger that can be written and not read would be called up, while attestations grow old.
func TestKeeper_IsNotUpWhileNothingCanBeRead(t *testing.T) {
	cfg := keeping(t, filepath.Join(t.TempDir(), "ledger.db"))
	k := newKeeper(cfg, Options{Logger: slog.New(slog.DiscardHandler)}, func() *readiness.Report { return &readiness.Report{At: time.Now()} })
	k.every = time.Hour
	k.start()
	t.Cleanup(func() { require.NoError(t, k.close(context.Background())) })
	soon(t, "the ledger is up", func() bool { return k.state().Up })
	require.Error(t, k.book.Refresh(t.Context(), ledger.NewLater(func(context.Context) (ledger.Store, error) { return nil, errors.New("gone") })))
	require.False(t, k.state().Up)
}

// Two instances would count the same time twice, or each other's restarts as gaps.
func TestKeeper_OneOfTwoRecords(t *testing.T) {
	cfg := keeping(t, filepath.Join(t.TempDir(), "ledger.db"))
	first := keep(t, cfg)
	soon(t, "the first one records", func() bool { return first.state().Up && !first.state().LastWrite.IsZero() })
	other := *cfg
	other.Instance.Name = "two"
	second := keep(t, &other)
	soon(t, "the second one reads", func() bool { return second.state().Up })
	require.Zero(t, second.state().Pending, "and has nothing to write")
	require.Zero(t, second.state().LastWrite)
	require.NoError(t, first.close(t.Context()))
	soon(t, "the second one takes over", func() bool {
		started := 0
		for _, kind := range kinds(t, cfg, history.Stream) {
			if kind == history.KindStarted {
				started++
			}
		}
		return started == 2
	})
}
