package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/audit/history"
	"github.com/drwatch/drwatch/audit/report"
	"github.com/drwatch/drwatch/collectors"
	"github.com/drwatch/drwatch/config"
	"github.com/drwatch/drwatch/ledger"
	"github.com/drwatch/drwatch/readiness"
)

// keptEvery is how often the report is written down, and what people have attested
// is read.
const keptEvery = 15 * time.Second

// keeper writes down what the report shows, and reads what people have attested.
// Nobody waits for it: when the ledger is gone the rest goes on.
type keeper struct {
	store  *ledger.Later
	book   *audit.Book
	writer *history.Writer
	scribe *history.Scribe
	report func() *readiness.Report
	actor  string
	every  time.Duration
	log    *slog.Logger

	// Of the instances that share a ledger one records: who has the lease.
	lease   ledger.Lease
	records bool
	// barred says that the lease could not be asked for: the ledger cannot be written.
	barred atomic.Bool

	audited atomic.Pointer[audit.Options] // of the configuration in force
	loaded  chan report.Loaded            // the newest configuration that is not written down yet

	stop    context.CancelFunc
	running sync.WaitGroup
}

// newKeeper makes the keeper of a configuration; without a ledger in it there is
// nothing to keep, and what rests on attestations is unknown.
func newKeeper(cfg *config.Config, o Options, seen func() *readiness.Report) *keeper {
	k := &keeper{book: audit.NewBook(time.Now), report: seen, actor: cfg.Instance.Name, every: keptEvery, log: o.Logger.With("component", "ledger"), loaded: make(chan report.Loaded, 1)}
	if cfg.Ledger != nil {
		k.store = ledger.NewLater(func(ctx context.Context) (ledger.Store, error) { return OpenLedger(ctx, cfg, WriteLedger, k.log) })
		pairs := 0 // each of which is a draft at the start
		for _, d := range cfg.System().Datastores {
			pairs += len(d.RPO)
		}
		k.writer = history.NewWriter(history.WriterOptions{Ledger: k.store, Pending: max(1000, 2*pairs), Logger: k.log})
		k.scribe = history.NewScribe(history.ScribeOptions{Interval: k.every, Instance: k.actor, Version: o.Build.Version})
	}
	k.use(cfg)
	return k
}

// use puts the checklists of a configuration in force, and writes down what it promises.
func (k *keeper) use(cfg *config.Config) {
	options := auditOptions(cfg)
	k.audited.Store(&options)
	select { // one that was not written down yet is out of date
	case <-k.loaded:
	default:
	}
	k.loaded <- promises(cfg)
}

// auditOptions are the checklists of a configuration, with the files of its runbooks.
func auditOptions(cfg *config.Config) audit.Options {
	options := cfg.Audit.Options()
	options.Files = audit.ReadFiles(filepath.Dir(cfg.Path()), options.Runbooks)
	return options
}

// promises is what the ledger tells of a configuration.
func promises(cfg *config.Config) report.Loaded {
	system := cfg.System()
	l := report.Loaded{
		Fingerprint: cfg.Fingerprint(),
		RPO:         make(map[string]map[readiness.Scenario]readiness.Seconds), RTO: make(map[readiness.Scenario]readiness.Seconds),
		Copies: make(map[readiness.CopyKind]int),
	}
	for _, s := range system.Scenarios {
		if s.RTO > 0 {
			l.RTO[s.Scenario] = readiness.InSeconds(s.RTO)
		}
	}
	for _, d := range system.Datastores {
		l.RPO[d.Name] = make(map[readiness.Scenario]readiness.Seconds)
		for scenario, rpo := range d.RPO {
			l.RPO[d.Name][scenario] = readiness.InSeconds(rpo)
		}
		for _, c := range d.Copies {
			l.Copies[c.Kind]++
		}
	}
	for _, s := range system.Services {
		l.Services = append(l.Services, s.Name)
	}
	slices.Sort(l.Services)
	return l
}

// start begins to write and to read.
func (k *keeper) start() {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	if k.store == nil {
		return
	}
	k.writer.Start()
	k.running.Go(func() { k.run(ctx) })
}

func (k *keeper) run(ctx context.Context) {
	ticker := time.NewTicker(k.every)
	defer ticker.Stop()
	for {
		k.record(ctx)
		k.refresh(ctx)
		k.noteConfig(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// record writes down what the report shows, unless another instance does.
func (k *keeper) record(ctx context.Context) {
	recorded := k.records
	switch k.records = k.mayRecord(ctx); {
	case k.records && !recorded:
		k.writer.Put(k.scribe.Start(time.Now(), k.report().System)...)
	case recorded && !k.records:
		k.writer.Put(k.scribe.Stop(time.Now())...)
		k.log.Info("another instance records the history now")
	}
	if k.records {
		k.writer.Put(k.scribe.See(k.report())...)
	}
}

// recorder is the name of the lease.
const recorder = "rpo-recorder"

// mayRecord takes the lease of the recorder, or keeps it. While the ledger does not
// answer nobody else can take it, and all stays as it was.
func (k *keeper) mayRecord(ctx context.Context) bool {
	const ttl = 4 * keptEvery
	asking, cancel := context.WithTimeout(ctx, keptEvery/3)
	defer cancel()
	var lease ledger.Lease
	err := ledger.ErrFenced
	if k.lease.Name != "" {
		lease, err = k.store.Renew(asking, k.lease, ttl)
	}
	if errors.Is(err, ledger.ErrFenced) {
		lease, err = k.store.Acquire(asking, recorder, k.actor, ttl)
	}
	k.barred.Store(err != nil && !errors.Is(err, ledger.ErrHeld))
	switch {
	case err == nil:
		k.lease = lease
		return true
	case errors.Is(err, ledger.ErrHeld):
		k.lease = ledger.Lease{}
		return false
	}
	return k.records || k.lease.Name == "" && !errors.Is(err, ledger.ErrReadOnly)
}

// refresh reads what people have attested since.
func (k *keeper) refresh(ctx context.Context) {
	known := k.book.Known().Unknown
	err := k.book.Refresh(ctx, k.store)
	switch {
	case ctx.Err() != nil:
	case err != nil && known == nil:
		k.log.Error("the ledger cannot be read: what rests on attestations grows old, probing goes on", "error", err)
	case err == nil && known != nil:
		k.log.Info("the ledger can be read again")
	}
}

// noteConfig writes down what the configuration promises, where that is not what the
// ledger told last.
func (k *keeper) noteConfig(ctx context.Context) {
	select {
	case l := <-k.loaded:
		if err := k.append(ctx, l); err != nil && ctx.Err() == nil {
			select { // to be tried again, unless there is a newer one
			case k.loaded <- l:
			default:
			}
		}
	default:
	}
}

// append adds a configuration to those that were in force.
func (k *keeper) append(ctx context.Context, l report.Loaded) error {
	var newest ledger.Event
	for e, err := range k.store.Events(ctx, ledger.Query{Stream: report.StreamConfig, Backward: true}) {
		if err != nil {
			return err
		}
		newest = e
		break
	}
	var before report.Loaded
	if newest.Sequence > 0 && json.Unmarshal(newest.Body, &before) == nil && before.Fingerprint == l.Fingerprint {
		return nil
	}
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = k.store.Append(ctx, ledger.Append{
		Stream: report.StreamConfig, After: newest.Sequence, // where another instance was faster, it is asked again
		Drafts: []ledger.Draft{{Time: time.Now(), Kind: report.KindLoaded, Actor: k.actor, Body: body}},
	})
	return err
}

// close ends the writing in good order, within ctx.
func (k *keeper) close(ctx context.Context) error {
	if k.stop == nil || k.store == nil {
		return nil
	}
	k.stop()
	k.running.Wait()
	if k.records {
		k.writer.Put(k.scribe.Stop(time.Now())...)
	}
	err := k.writer.Stop(ctx)
	if k.lease.Name != "" {
		_ = k.store.Release(ctx, k.lease) // it runs out by itself
	}
	if closing := k.store.Close(); err == nil {
		err = closing
	}
	return err
}

// audit holds the checklists against the report of this moment. It reads memory only.
func (k *keeper) audit() audit.Result {
	options := *k.audited.Load()
	options.Attestations = k.book.Known()
	r := k.report()
	return audit.Evaluate(options, r, r.At)
}

// state is how the keeping goes.
func (k *keeper) state() collectors.LedgerState {
	if k.store == nil {
		return collectors.LedgerState{}
	}
	s, known := k.writer.State(), k.book.Known()
	return collectors.LedgerState{
		Kept: true, Up: s.Err == nil && known.Unknown == nil && !known.AsOf.IsZero() && !k.barred.Load(),
		LastWrite: s.LastWrite, Pending: s.Pending, Dropped: s.Dropped,
	}
}
