// Package monitor decides when to look at each copy, for how long and at how
// many at once, and keeps what was seen. It alone makes Observations, so that
// none lacks its time, and it hands out Reports from memory: whoever reads never
// waits for a target.
//
// Each target has a timer that goes off at its next look, and at most one look
// under way. A look that panics, hangs or ignores its deadline touches no
// other: the panic becomes a failure of that look, and a look that only waits
// gives its place back, so that a thousand hanging servers delay nobody.
package monitor

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// Prober looks at one copy, or at one part of a service.
type Prober interface {
	Look(ctx context.Context) (readiness.Reading, error)
}

// Schedule is a series of moments.
type Schedule interface {
	// Next gives the first of them after a moment. They are the same whoever asks,
	// and when: moments that depend on the last look, as those of robfig/cron's own
	// @every do, would keep looks together that began together.
	Next(after time.Time) time.Time
}

// Recorder counts how the looking goes. It is called from many goroutines.
type Recorder interface {
	// LookStarted is told how much later than it was due a look starts.
	LookStarted(late time.Duration)
	// LookEnded is told the kind of the probe and how long its look took.
	LookEnded(kind string, took time.Duration)
}

// Target is a copy or a part of a service, and how and when to look at it.
type Target struct {
	ID       readiness.ID
	Schedule Schedule
	// Spec is the schedule as text: a target whose spec changes keeps what was
	// seen of it, and is looked at anew by the new schedule.
	Spec string
	// Timeout ends a look; it is shorter than the gap between two looks.
	Timeout time.Duration
	Prober  Prober
	// Fingerprint changes when anything that matters to the looking does. A
	// target whose fingerprint stays keeps what was seen of it across a reload, and
	// is never looked at twice at once.
	Fingerprint string
}

// Options are what a Monitor is made of.
type Options struct {
	System  readiness.System
	Targets []Target
	// Concurrency is how many looks may be in their first, busy phase at once; 0 means 64.
	Concurrency int
	Recorder    Recorder         // may be nil
	Now         func() time.Time // default: time.Now
	Logger      *slog.Logger     // default: discards
}

// Monitor watches a system.
type Monitor struct {
	slots    chan struct{}
	recorder Recorder
	now      func() time.Time
	log      *slog.Logger

	picture atomic.Pointer[picture]

	// underWay holds the place of every look that has not returned, those included
	// for which nobody waits any more.
	underWay sync.Map

	// swapping keeps what a look has found from getting lost in a picture that is
	// just being replaced.
	swapping sync.RWMutex

	mu       sync.Mutex // protects what follows
	running  bool
	watchers map[readiness.ID]*watcher
}

// picture is what there is to watch, and what has been seen of it. It is
// replaced as a whole by a reload.
type picture struct {
	system  readiness.System
	stores  map[string]*store // by name of the datastore or service
	targets []*target
}

// store is what was seen of one datastore or service.
type store struct {
	mu        sync.Mutex
	sightings *readiness.Sightings
}

func (s *store) observe(t *target, o readiness.Observation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.part != nil {
		s.sightings.ObservePart(*t.part, o)
	} else {
		s.sightings.Observe(t.copy, o)
	}
}

func (s *store) seen(name string) *readiness.Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sightings.Seen(name)
}

// target is a Target in the picture.
type target struct {
	Target
	copy  readiness.Copy
	part  *readiness.Part // in place of the copy
	store *store
	// identity is the fingerprint of the target and of the primary against which
	// it is held: what is proven of a replica is proven of one primary.
	identity string
}

// place is where no two looks are at once, whatever becomes of the schedule.
type place struct {
	id          readiness.ID
	fingerprint string
}

// kind is the kind of the probe.
func (t *target) kind() string {
	if t.part != nil {
		return t.part.Probe
	}
	return t.copy.Probe
}

func (t *target) place() place { return place{t.ID, t.Fingerprint} }

// watchedAs reports whether the looking at both is the same.
func (t *target) watchedAs(other *target) bool {
	return t.identity == other.identity && t.Spec == other.Spec
}

// New makes a monitor that has seen nothing yet and looks at nothing until it
// is started.
func New(o Options) *Monitor {
	m := &Monitor{
		slots:    make(chan struct{}, max(1, orDefault(o.Concurrency, 64))),
		recorder: o.Recorder, now: o.Now, log: o.Logger,
		watchers: make(map[readiness.ID]*watcher),
	}
	if m.recorder == nil {
		m.recorder = nobody{}
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	m.picture.Store(newPicture(o.System, o.Targets, nil))
	return m
}

func orDefault(n, standard int) int {
	if n == 0 {
		return standard
	}
	return n
}

type nobody struct{}

func (nobody) LookStarted(time.Duration)       {}
func (nobody) LookEnded(string, time.Duration) {}

// newPicture joins the targets to their copies and parts. What the old picture had
// seen of a target goes on in the new one if the target is the same.
func newPicture(system readiness.System, targets []Target, old *picture) *picture {
	p := &picture{system: system, stores: make(map[string]*store, len(system.Datastores)+len(system.Services))}
	fingerprints := make(map[readiness.ID]string, len(targets))
	for _, t := range targets {
		fingerprints[t.ID] = t.Fingerprint
	}
	watched := make(map[readiness.ID]*target, len(targets))
	for _, d := range system.Datastores {
		s := &store{sightings: readiness.NewSightings(d)}
		p.stores[d.Name] = s
		primary := ""
		for _, c := range d.Copies {
			if c.Kind == readiness.Primary {
				primary = fingerprints[readiness.ID{Of: d.Name, Name: c.Name}]
			}
		}
		for _, c := range d.Copies {
			id := readiness.ID{Of: d.Name, Name: c.Name}
			watched[id] = &target{copy: c, store: s, identity: fingerprints[id] + "\x00" + primary}
		}
	}
	for _, service := range system.Services {
		s := &store{sightings: readiness.NewSightings(readiness.Datastore{})}
		p.stores[service.Name] = s
		for _, part := range service.Parts {
			id := readiness.ID{Of: service.Name, Name: part.Name}
			watched[id] = &target{part: &part, store: s, identity: fingerprints[id]}
		}
	}
	for _, t := range targets {
		if joined := watched[t.ID]; joined != nil {
			joined.Target = t
			p.targets = append(p.targets, joined)
		}
	}
	if old != nil {
		p.inherit(old)
	}
	return p
}

// inherit carries over what was seen of the targets that are still the same.
func (p *picture) inherit(old *picture) {
	was := make(map[readiness.ID]*target, len(old.targets))
	for _, t := range old.targets {
		was[t.ID] = t
	}
	kept := make(map[string][]string) // datastore or service -> copies or parts
	for _, t := range p.targets {
		if before := was[t.ID]; before != nil && before.identity == t.identity {
			kept[t.ID.Of] = append(kept[t.ID.Of], t.ID.Name)
		}
	}
	for owner, names := range kept {
		before, now := old.stores[owner], p.stores[owner]
		before.mu.Lock()
		now.sightings.Inherit(before.sightings, names)
		before.mu.Unlock()
	}
}

// Report judges the system as it is known at this moment. It reads memory only.
func (m *Monitor) Report() *readiness.Report {
	p := m.picture.Load()
	return readiness.Evaluate(p.system, p.seen, m.now())
}

func (p *picture) seen(id readiness.ID) *readiness.Seen {
	s := p.stores[id.Of]
	if s == nil {
		return nil
	}
	return s.seen(id.Name)
}

// Start begins to look.
func (m *Monitor) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		return
	}
	m.running = true
	for _, t := range m.picture.Load().targets {
		m.watchLocked(t)
	}
}

// Stop ends all looks and waits for them. It may be called again, and before Start.
func (m *Monitor) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = false
	for _, w := range m.watchers {
		w.stop()
	}
	for _, w := range m.watchers {
		w.wait()
	}
	clear(m.watchers)
}

// Reload replaces what is watched. Targets whose fingerprint is the same go on
// undisturbed, with all that was seen of them.
func (m *Monitor) Reload(system readiness.System, targets []Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swapping.Lock()
	old := m.picture.Load()
	next := newPicture(system, targets, old)
	stays := make(map[readiness.ID]*target, len(next.targets))
	for _, t := range next.targets {
		stays[t.ID] = t
	}
	var gone []*watcher
	for id, w := range m.watchers {
		if t := stays[id]; t == nil || !t.watchedAs(w.target.Load()) {
			w.stop()
			gone = append(gone, w)
			delete(m.watchers, id)
		}
	}
	m.picture.Store(next)
	for id, w := range m.watchers {
		w.target.Store(stays[id])
	}
	m.swapping.Unlock()
	for _, w := range gone {
		w.wait()
	}
	if !m.running {
		return
	}
	for _, t := range next.targets {
		if m.watchers[t.ID] == nil {
			m.watchLocked(t)
		}
	}
}

// LookOnce looks at everything now and returns when all looks have ended, or
// ctx has. The primaries are looked at twice, before the others and along with
// them: what a replica holds is held against where its primary stood before.
// progress, which may be nil, is told after each look how many of how many are done.
func (m *Monitor) LookOnce(ctx context.Context, progress func(done, total int)) {
	targets := m.picture.Load().targets
	primaries := slices.Clone(targets)
	primaries = slices.DeleteFunc(primaries, func(t *target) bool { return t.copy.Kind != readiness.Primary })
	total, done := len(targets)+len(primaries), atomic.Int64{}
	for _, round := range [][]*target{primaries, targets} {
		var wg sync.WaitGroup
		for _, t := range round {
			wg.Go(func() {
				m.look(ctx, func() *target { return t }, m.now())
				if progress != nil {
					progress(int(done.Add(1)), total)
				}
			})
		}
		wg.Wait()
	}
}
