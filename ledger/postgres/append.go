package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/drwatch/drwatch/ledger"
)

// lockHead asks where the log ends, and keeps everybody else from writing.
const lockHead = "SELECT position, hash FROM {schema}.head FOR UPDATE"

// Append implements [ledger.Store]. With an error that leaves it open whether it
// was done, its text says so.
func (s *Store) Append(ctx context.Context, a ledger.Append) (events []ledger.Event, err error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	var at ledger.Standing
	err = s.change(ctx, "append to "+a.Stream,
		func(b *pgx.Batch) {
			at = ledger.Standing{}
			s.stand(b, a, &at)
		},
		func(b *pgx.Batch) (err error) {
			var added bool
			if events, added, err = a.Decide(at); added {
				s.insert(b, events)
			}
			// Events that had arrived may be on the disk of the primary alone. The lock on the
			// head has this commit wait for the standby, as theirs should have.
			return err
		})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// stand asks for all that an append depends on.
func (s *Store) stand(b *pgx.Batch, a ledger.Append, at *ledger.Standing) {
	b.Queue(s.in(lockHead)).QueryRow(func(row pgx.Row) error {
		return scanPlace(row, &at.Last, &at.Head)
	})
	b.Queue(s.in("SELECT newest FROM {schema}.streams WHERE stream = $1"), a.Stream).QueryRow(func(row pgx.Row) error {
		return orNone(row.Scan(&at.Newest))
	})
	var ids []string
	for _, d := range a.Drafts {
		if d.ID != "" {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) > 0 {
		b.Queue(s.in("SELECT "+columns+" FROM {schema}.events WHERE stream = $1 AND id = ANY($2) ORDER BY position"), a.Stream, ids).Query(func(rows pgx.Rows) (err error) {
			at.Arrived, err = pgx.CollectRows(rows, scanEvent)
			return err
		})
	}
	if l := a.Under; l != nil {
		// Whoever wants to take it waits for us: what runs out meanwhile is nobody else's yet.
		b.Queue(s.in("SELECT holder = $2 AND token = $3 AND "+now+" < until FROM {schema}.leases WHERE name = $1 FOR UPDATE"),
			l.Name, l.Holder, number(l.Token)).QueryRow(func(row pgx.Row) error {
			return orNone(row.Scan(&at.Held))
		})
	}
}

// insert queues what adds events to the log.
func (s *Store) insert(b *pgx.Batch, events []ledger.Event) {
	n := len(events)
	positions, sequences, times := make([]int64, n), make([]int64, n), make([]int64, n)
	streams, ids, kinds, actors := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	bodies, previous, hashes := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	newest := make(map[string]uint64)
	for i, e := range events {
		positions[i], sequences[i], times[i] = number(e.Position), number(e.Sequence), e.Time.UnixMicro()
		streams[i], ids[i], kinds[i], actors[i] = e.Stream, e.ID, e.Kind, e.Actor
		bodies[i], previous[i], hashes[i] = e.Body, e.Previous[:], e.Hash[:]
		newest[e.Stream] = e.Sequence
	}
	b.Queue(s.in("INSERT INTO {schema}.events ("+columns+`) SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[],
		$5::bigint[], $6::text[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[])`),
		positions, streams, sequences, ids, times, kinds, actors, bodies, previous, hashes)
	s.raiseStreams(b, newest)
	last := events[n-1]
	b.Queue(s.in("UPDATE {schema}.head SET position = $1, hash = $2"), number(last.Position), last.Hash[:])
}

// raiseStreams queues what notes the newest sequence numbers of streams.
func (s *Store) raiseStreams(b *pgx.Batch, newest map[string]uint64) {
	names, numbers := split(newest)
	b.Queue(s.in(`INSERT INTO {schema}.streams AS s (stream, newest) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (stream) DO UPDATE SET newest = greatest(s.newest, excluded.newest)`), names, numbers)
}

// Restore implements [ledger.Store].
func (s *Store) Restore(ctx context.Context, r ledger.Restored) error {
	if err := r.Check(); err != nil {
		return err
	}
	named := make(map[string]uint64)
	for _, e := range r.Events {
		named[e.Stream] = 0
	}
	streams, _ := split(named)
	var at ledger.Extent
	var newest map[string]uint64
	return s.change(ctx, "restore",
		func(b *pgx.Batch) {
			at, newest = ledger.Extent{}, make(map[string]uint64)
			b.Queue(s.in(lockHead)).QueryRow(func(row pgx.Row) error { return scanPlace(row, &at.Last, &at.Head) })
			b.Queue(s.in("SELECT stream, newest FROM {schema}.streams WHERE stream = ANY($1)"), streams).Query(func(rows pgx.Rows) error {
				return scanNumbers(rows, newest)
			})
		},
		func(b *pgx.Batch) error {
			if err := r.Follows(at, newest); err != nil {
				return err
			}
			if at.Last == 0 && r.After > 0 {
				b.Queue(s.in("SELECT {schema}.begin_after($1, $2)"), number(r.After), r.Base[:])
			}
			if len(r.Events) > 0 {
				s.insert(b, r.Events)
			}
			s.raiseStreams(b, r.Marks.Sequences)
			names, tokens := split(r.Marks.Tokens)
			b.Queue(s.in(`INSERT INTO {schema}.leases AS l (name, newest) SELECT * FROM unnest($1::text[], $2::bigint[])
				ON CONFLICT (name) DO UPDATE SET newest = greatest(l.newest, excluded.newest)`), names, tokens)
			return nil
		})
}

// mostPruned is how many events are removed in one transaction, so that writers
// wait for none of them long.
const mostPruned = 5000

// Prune implements [ledger.Store]. It moves the beginning of the log first, and
// then removes what is before it. What it could not remove, the next one does.
func (s *Store) Prune(ctx context.Context, upTo uint64) error {
	for {
		var removed int64
		err := s.set(ctx, "prune", func(b *pgx.Batch) {
			b.Queue(s.in("SELECT {schema}.prune($1, $2)"), number(upTo), mostPruned).QueryRow(func(row pgx.Row) error { return row.Scan(&removed) })
		})
		if err != nil || removed == 0 {
			return err
		}
	}
}

// split gives keys and values in the same order, always the same one.
func split(numbers map[string]uint64) (names []string, values []int64) {
	names, values = slices.Sorted(maps.Keys(numbers)), []int64{}
	for _, name := range names {
		values = append(values, number(numbers[name]))
	}
	return names, values
}

// orNone takes it for no error that there is no row.
func orNone(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}
