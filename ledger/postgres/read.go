package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/drwatch/drwatch/ledger"
)

// columns are those of an event, as scanEvent reads them.
const columns = "position, stream, sequence, id, at, kind, actor, body, previous, hash"

// A page is what is fetched of the log at once: so many events, and of these no
// more than have so many bytes in their bodies, but for the first.
const (
	pageEvents = 1000
	pageBytes  = 1 << 20
)

var errPruned = errors.New("events were pruned while they were read: read anew")

// Events implements [ledger.Store]. It reads what is there when it begins, page by
// page, and holds no connection while the caller looks at a page. The error says so
// where events that it has yet to give are pruned meanwhile.
func (s *Store) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	return func(yield func(ledger.Event, error) bool) {
		extent, err := s.Extent(ctx)
		if err != nil {
			yield(ledger.Event{}, err)
			return
		}
		if q.UpTo == 0 || q.UpTo > extent.Last {
			q.UpTo = extent.Last
		}
		q.After = max(q.After, extent.First-min(extent.First, 1))
		for q.After < q.UpTo {
			page, err := s.page(ctx, q)
			if err != nil {
				yield(ledger.Event{}, err)
				return
			}
			for _, e := range page {
				if err := ctx.Err(); err != nil {
					yield(ledger.Event{}, fmt.Errorf("read the ledger: %w", err))
					return
				}
				if !yield(e, nil) {
					return
				}
				if q.Backward {
					q.UpTo = e.Position - 1
				} else {
					q.After = e.Position
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// inOrder has the server walk along an index, and stop where the page is full. By
// itself it fetches all that is left and sorts it, for each page, as long as it has
// no statistics, or for a choice that it thinks is small.
const inOrder = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('max_parallel_workers_per_gather', '0', true)`

// page gives the next events of a query.
func (s *Store) page(ctx context.Context, q ledger.Query) (page []ledger.Event, err error) {
	query, arguments := s.pageQuery(q)
	pruned := false
	err = s.ask(ctx, "read", func(b *pgx.Batch) {
		b.Queue(inOrder)
		b.Queue(query, arguments...).Query(func(rows pgx.Rows) (err error) {
			page, err = pgx.CollectRows(rows, scanEvent)
			return err
		})
		b.Queue(s.in("SELECT position > $1 FROM {schema}.base"), number(q.After)).QueryRow(func(row pgx.Row) error { return row.Scan(&pruned) })
	})
	if err == nil && pruned && !q.Backward {
		err = errPruned
	}
	return page, err
}

func (s *Store) pageQuery(q ledger.Query) (query string, arguments []any) {
	where, arguments := "", []any{number(q.After), number(q.UpTo)}
	switch {
	case q.Stream != "":
		where, arguments = "AND stream = $3", append(arguments, q.Stream)
	case q.Prefix != "": // which may end within a character
		where, arguments = "AND substr(convert_to(stream, 'UTF8'), 1, octet_length($3::bytea)) = $3", append(arguments, []byte(q.Prefix))
	}
	order := "position"
	if q.Backward {
		order = "position DESC"
	}
	return s.in(strings.NewReplacer("{where}", where, "{order}", order).Replace(fmt.Sprintf(`
		SELECT %s FROM (
			SELECT *, sum(octet_length(body)) OVER (ORDER BY {order}) - octet_length(body) AS before FROM (
				SELECT * FROM {schema}.events WHERE position > $1 AND position <= $2 {where} ORDER BY {order} LIMIT %d
			) candidates
		) page WHERE before < %d ORDER BY {order}`, columns, pageEvents, pageBytes))), arguments
}

// Extent implements [ledger.Store].
func (s *Store) Extent(ctx context.Context) (x ledger.Extent, err error) {
	err = s.ask(ctx, "ask for the extent", func(b *pgx.Batch) {
		x = ledger.Extent{}
		b.Queue(s.in(`SELECT b.position, b.hash, h.position, h.hash, (SELECT count(*) FROM {schema}.streams)
			FROM {schema}.base b, {schema}.head h`)).QueryRow(func(row pgx.Row) error {
			var before, last int64
			var base, head []byte
			err := row.Scan(&before, &base, &last, &head, &x.Streams)
			if errors.Is(err, pgx.ErrNoRows) {
				return &ledger.CorruptError{What: "the row is missing that says where it ends, or where it begins"}
			}
			x.First, x.Last = uint64(before)+1, uint64(last) //nolint:gosec // the server holds them to being positive
			copy(x.Base[:], base)
			copy(x.Head[:], head)
			return err
		})
	})
	if x.Last == 0 {
		x.First = 0
	}
	return x, err
}

// Marks implements [ledger.Store].
func (s *Store) Marks(ctx context.Context) (m ledger.Marks, err error) {
	err = s.ask(ctx, "ask for the marks", func(b *pgx.Batch) {
		m = ledger.Marks{Sequences: make(map[string]uint64), Tokens: make(map[string]uint64)}
		b.Queue(s.in(`SELECT stream, newest FROM {schema}.streams s WHERE NOT EXISTS (SELECT FROM {schema}.events e
			WHERE e.stream = s.stream AND e.position > (SELECT position FROM {schema}.base))`)).Query(func(rows pgx.Rows) error {
			return scanNumbers(rows, m.Sequences)
		})
		b.Queue(s.in("SELECT name, newest FROM {schema}.leases")).Query(func(rows pgx.Rows) error { return scanNumbers(rows, m.Tokens) })
	})
	return m, err
}

func scanEvent(row pgx.CollectableRow) (e ledger.Event, err error) {
	var position, sequence, at int64
	var previous, hash []byte
	err = row.Scan(&position, &e.Stream, &sequence, &e.ID, &at, &e.Kind, &e.Actor, &e.Body, &previous, &hash)
	e.Position, e.Sequence = uint64(position), uint64(sequence) //nolint:gosec // the server holds them to being positive
	e.Time = time.UnixMicro(at).UTC()
	copy(e.Previous[:], previous)
	copy(e.Hash[:], hash)
	return e, err
}

// scanPlace reads the row of the head.
func scanPlace(row pgx.Row, position *uint64, hash *ledger.Hash) error {
	var n int64
	var h []byte
	err := row.Scan(&n, &h)
	if errors.Is(err, pgx.ErrNoRows) {
		return &ledger.CorruptError{What: "the row is missing that says where it ends"}
	}
	*position = uint64(n) //nolint:gosec // the server holds it to being positive
	copy(hash[:], h)
	return err
}

// scanNumbers reads names with their numbers.
func scanNumbers(rows pgx.Rows, into map[string]uint64) error {
	var name string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		into[name] = uint64(n) //nolint:gosec // it counts from 1
		return nil
	})
	return err
}

// number is one that the server can take. No event and no token comes to the largest.
func number(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // it is bounded
