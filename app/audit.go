package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
)

// Audit looks at everything once and holds the checklists against it, and against
// what people have attested. Where the ledger cannot be read, what rests on it is
// unknown, and says why. progress may be nil.
func Audit(ctx context.Context, cfg *config.Config, log *slog.Logger, progress func(done, total int)) (audit.Result, error) {
	r, err := Check(ctx, cfg, nil, log, progress)
	if err != nil {
		return audit.Result{}, err
	}
	options := auditOptions(cfg)
	options.Attestations = attestations(ctx, cfg, log)
	return audit.Evaluate(options, r, r.At), nil
}

func attestations(ctx context.Context, cfg *config.Config, log *slog.Logger) audit.Attestations {
	store, err := OpenLedger(ctx, cfg, ReadLedger, log)
	if err != nil {
		return audit.Attestations{Unknown: err}
	}
	book := audit.NewBook(time.Now)
	// That it could not be read the book itself tells; of single events it does not.
	var unreadable *audit.UnreadableError
	if err := book.Refresh(ctx, store); errors.As(err, &unreadable) {
		log.Warn("read what people have attested", "error", err)
	}
	known := book.Known()
	if err := store.Close(); err != nil && known.Unknown == nil {
		known.Unknown = err
	}
	return known
}

// RecordAudit writes into the ledger what an audit has found.
func RecordAudit(ctx context.Context, store ledger.Store, result audit.Result, by string) error {
	body, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, err = store.Append(ctx, ledger.Append{
		Stream: report.StreamAudits, After: ledger.Any,
		Drafts: []ledger.Draft{{Time: result.At, Kind: report.KindAudited, Actor: by, Body: body}},
	})
	return err
}

// Attest writes the word of a person into the ledger, or takes it back.
func Attest(ctx context.Context, cfg *config.Config, a audit.Attestation, log *slog.Logger) error {
	store, err := OpenLedger(ctx, cfg, WriteLedger, log)
	if err != nil {
		return err
	}
	say := audit.Attest
	if a.Withdrawn {
		say = audit.Withdraw
	}
	return errors.Join(say(ctx, store, a, cfg.Audit.Options().Attestable(), time.Now()), store.Close())
}
