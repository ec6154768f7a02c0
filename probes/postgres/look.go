package postgres

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

//go:embed look.sql
var lookSQL string

//go:embed subscriptions.sql
var subscriptionsSQL string

// begin opens the transaction that we look in. It says what the default of the
// database could have otherwise: a standby refuses serializable transactions.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; "

// answer is what came back from one look.
type answer struct {
	// asked and answered are the two ends of the round trip, on our clock.
	asked, answered time.Time
	server          row
	// subscriptions are those of the database, asked of logical replicas only.
	subscriptions []subscription
	// beats are the rows of the heartbeat table, newest first; beatsErr is why
	// they could not be read.
	beats    []beat
	beatsErr error
}

// row is what look.sql gives. A pointer is nil where the server tells NULL,
// which is unknown.
type row struct {
	InRecovery *bool     `json:"in_recovery"`
	Clock      time.Time `json:"clock"`
	System     string    `json:"system"`
	Started    string    `json:"started"`
	Port       string    `json:"port"`

	WALFile            string `json:"wal_file"`
	CheckpointTimeline uint32 `json:"checkpoint_timeline"`
	RecoveryTimeline   uint32 `json:"recovery_timeline"`

	Written        *readiness.Position `json:"written"`
	Received       *readiness.Position `json:"received"`
	Replayed       *readiness.Position `json:"replayed"`
	CommitReplayed *time.Time          `json:"commit_replayed"`
	Paused         *bool               `json:"paused"`

	ApplyDelay      *float64 `json:"apply_delay"`      // seconds
	ReceiverTimeout *float64 `json:"receiver_timeout"` // seconds, 0 is none

	Receiver *receiver `json:"receiver"` // nil when no receiver runs
	Slots    []slot    `json:"slots"`
}

// receiver is the WAL receiver of a standby. All of it is NULL to a role
// without the rights to see it.
type receiver struct {
	Status     *string    `json:"status"`
	Timeline   *uint32    `json:"timeline"`
	Heard      *time.Time `json:"heard"` // the newest message, on the standby's clock
	SenderHost *string    `json:"sender_host"`
	SenderPort *int       `json:"sender_port"`
	Slot       *string    `json:"slot"`
}

// beat is a row of the heartbeat table.
type beat struct {
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// script is what is sent in one message: each query between the settings and
// the end of its transaction.
func (p *Probe) script(ctx context.Context) string {
	queries := []string{begin + limits(ctx) + oneLine(lookSQL)}
	if p.target.Copy.Logical {
		queries = append(queries, oneLine(subscriptionsSQL))
	}
	if p.readsHeartbeat() { // last: that its table cannot be read takes nothing from the rest
		queries = append(queries, p.table.newestSQL())
	}
	return strings.Join(append(queries, "COMMIT"), "; ")
}

// oneLine is a query as it is sent, without the comments for its readers.
func oneLine(sql string) string {
	var b strings.Builder
	for line := range strings.Lines(sql) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			b.WriteString(line + " ")
		}
	}
	return b.String()
}

// values gives what each query of a script answered: one value. The statements
// around the queries give none.
func (s *session) values(ctx context.Context, script string) (values [][]byte, err error) {
	const most = 3 // a server that answers more is none, and costs no memory
	results := s.conn.Exec(ctx, script)
	for results.NextResult() {
		rows := results.ResultReader()
		for rows.NextRow() {
			if row := rows.Values(); len(row) == 1 && len(values) < most {
				values = append(values, bytes.Clone(row[0]))
			}
		}
	}
	return values, results.Close()
}

// ask makes the one round trip of a look.
func (p *Probe) ask(ctx context.Context, s *session) (answer, error) {
	script := p.script(ctx)
	a := answer{asked: p.now()}
	values, failure := s.values(ctx, script)
	a.answered = p.now()
	next := func(into any) error {
		if len(values) == 0 {
			return cmp.Or(failure, errors.New("the server gave no answer to the question"))
		}
		value := values[0]
		values = values[1:]
		return json.Unmarshal(value, into)
	}
	if err := next(&a.server); err != nil {
		return answer{}, err
	}
	if a.server.InRecovery == nil || a.server.Clock.IsZero() {
		return answer{}, errors.New("the server's answer does not tell its role and time")
	}
	if p.target.Copy.Logical {
		if err := next(&a.subscriptions); err != nil {
			return answer{}, err
		}
	}
	if p.readsHeartbeat() {
		if err := next(&a.beats); err != nil {
			a.beatsErr = s.failure(ctx, err)
		}
	}
	return a, nil
}
