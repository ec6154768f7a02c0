package report

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

const (
	// mostLinks is how many events are listed one by one.
	mostLinks = 3000
	// every is which of them are, where there are more.
	every = 1000
	// mostSystems are remembered; more than one is odd already.
	mostSystems = 10
)

// asOf is a ledger as it was when an event was the newest. It notes what is read, and
// holds that no event of a stream is left out.
type asOf struct {
	ledger.Store
	extent ledger.Extent
	// concerns says which events the report rests on.
	concerns func(ledger.Event) bool
	links    []Link // all, as long as they are not too many; from then on only some
	count    int
	began    readiness.Maybe[time.Time] // the oldest event of the RPO history that was read
	systems  []string                   // of which it tells, the first of them
}

// standing takes a ledger as it was when the event at a position was the newest; 0 is now.
func standing(ctx context.Context, s ledger.Store, last uint64) (*asOf, error) {
	extent, err := s.Extent(ctx)
	if err != nil {
		return nil, fmt.Errorf("look into the ledger: %w", err)
	}
	if last > extent.Last {
		return nil, fmt.Errorf("look into the ledger: it ends with event %d, and event %d is asked for: it was shortened, or is another one", extent.Last, last)
	}
	a := &asOf{Store: s, extent: extent, concerns: func(ledger.Event) bool { return true }}
	if last == 0 || last == extent.Last {
		return a, nil
	}
	newest, err := a.at(ctx, last)
	a.extent.Last, a.extent.Head = last, newest.Hash
	return a, err
}

// at gives the event at a position.
func (a *asOf) at(ctx context.Context, position uint64) (ledger.Event, error) {
	for e, err := range a.Store.Events(ctx, ledger.Query{After: position - 1, UpTo: position}) {
		return e, err
	}
	return ledger.Event{}, &ledger.CorruptError{Position: position, What: "it is missing"}
}

// Extent is that of the ledger as it was.
func (a *asOf) Extent(context.Context) (ledger.Extent, error) { return a.extent, nil }

// Events gives those that were there.
func (a *asOf) Events(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Event, error] {
	if q.UpTo == 0 || q.UpTo > a.extent.Last {
		q.UpTo = a.extent.Last
	}
	return func(yield func(ledger.Event, error) bool) {
		if q.UpTo == 0 { // nothing was ever written
			return
		}
		previous := make(map[string]uint64)
		for e, err := range a.Store.Events(ctx, q) {
			if err == nil {
				err = follows(previous, e, q.Backward)
			}
			if err == nil {
				a.note(e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// follows holds that a stream counts on, or back.
func follows(previous map[string]uint64, e ledger.Event, backward bool) error {
	before, known := previous[e.Stream]
	previous[e.Stream] = e.Sequence
	if !known || !backward && e.Sequence == before+1 || backward && e.Sequence+1 == before {
		return nil
	}
	return &ledger.CorruptError{Position: e.Position, What: fmt.Sprintf("it is number %d of the stream %s, next to number %d: events between them are missing", e.Sequence, e.Stream, before)}
}

func (a *asOf) note(e ledger.Event) {
	if e.Stream == history.Stream && !a.began.IsKnown() {
		a.began = readiness.Known(e.Time.UTC())
	}
	if e.Stream == history.Stream && e.Kind == history.KindStarted && len(a.systems) < mostSystems {
		var s history.Started
		if json.Unmarshal(e.Body, &s) == nil && s.System != "" && !slices.Contains(a.systems, s.System) {
			a.systems = append(a.systems, s.System)
		}
	}
	if !a.concerns(e) {
		return
	}
	if a.count < mostLinks || a.count%every == 0 {
		a.links = append(a.links, linkOf(e))
	}
	a.count++
}

func linkOf(e ledger.Event) Link {
	return Link{Position: e.Position, Time: e.Time, Stream: e.Stream, Kind: e.Kind, Hash: e.Hash}
}

// ends gives the oldest event and the newest.
func (a *asOf) ends(ctx context.Context) (oldest, newest ledger.Event, err error) {
	if oldest, err = a.at(ctx, a.extent.First); err != nil {
		return oldest, newest, err
	}
	newest, err = a.at(ctx, a.extent.Last)
	return oldest, newest, err
}

// proof lists what was noted, and the ends.
func (a *asOf) proof(ctx context.Context) (Proof, error) {
	p := Proof{Events: a.count, Every: 1, Links: a.links}
	if a.count > mostLinks {
		p.Every, p.Links = every, nil
		for i, l := range a.links { // the first of them are all
			if i >= mostLinks || i%every == 0 {
				p.Links = append(p.Links, l)
			}
		}
	}
	if a.extent.First > 0 && a.extent.First <= a.extent.Last {
		oldest, newest, err := a.ends(ctx)
		if err != nil {
			return p, err
		}
		p.Links = append(p.Links, linkOf(oldest), linkOf(newest))
	}
	slices.SortFunc(p.Links, func(a, b Link) int { return cmp.Compare(a.Position, b.Position) })
	p.Links = slices.CompactFunc(p.Links, func(a, b Link) bool { return a.Position == b.Position })
	return p, nil
}
