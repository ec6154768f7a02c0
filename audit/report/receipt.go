package report

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// Receipt is the body of an event that notes a report that was made: of the kind
// [KindReported], in the stream audits. It proves who made the report, and when.
type Receipt struct {
	// SHA256 is that of the file, in hexadecimal digits.
	SHA256 string    `json:"sha256"`
	System string    `json:"system"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Made   Made      `json:"made"`
	// Head is the newest event that the report rests on.
	Head uint64 `json:"head"`
}

// KindReported is the kind of the event of a [Receipt].
const KindReported = "reported"

// ReceiptOf gives what to append, after the file was written.
func ReceiptOf(d *Data, file []byte) (stream string, draft ledger.Draft, err error) {
	body, err := json.Marshal(Receipt{SHA256: sumOf(file), System: d.System, From: d.From, To: d.To, Made: d.Made, Head: d.Ledger.Last})
	if err != nil {
		return "", ledger.Draft{}, fmt.Errorf("write the receipt of the report: %w", err)
	}
	return StreamAudits, ledger.Draft{ID: "report-" + sumOf(file), Time: d.Made.At, Kind: KindReported, Actor: d.Made.By, Body: body}, nil
}

func sumOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// receipt looks for that of the file.
func (v *verification) receipt(ctx context.Context, file []byte) error {
	if v.foreign {
		return nil
	}
	sum := sumOf(file)
	for e, err := range v.store.Events(ctx, ledger.Query{Stream: StreamAudits, After: v.data.Ledger.Last}) {
		if errors.Is(err, ledger.ErrCorrupt) {
			v.say(StepReceipt, readiness.Fail, "the receipts cannot be read: %v", err)
			return nil
		}
		if err != nil {
			return err
		}
		var r Receipt
		if e.Kind == KindReported && json.Unmarshal(e.Body, &r) == nil && r.SHA256 == sum {
			v.say(StepReceipt, readiness.Pass, "event %d notes this very file: made by %s, %s", e.Position, e.Actor, when(e.Time))
			return nil
		}
	}
	v.say(StepReceipt, readiness.Warn, "the ledger notes no receipt of this file: that %q made it, and when, is what the file says, and no more", v.data.Made.By)
	return nil
}
