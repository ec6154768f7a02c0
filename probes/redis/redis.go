// Package redis looks at Redis 6 and later, and at Valkey: at one server, at
// the primary that Sentinel names, or at the nodes of a cluster.
//
// A look at a server is one short connection and two round trips in it: HELLO,
// then AUTH, where there is a user or a password, with INFO of five sections. It
// changes nothing, and its user needs one right:
//
//	ACL SETUSER drwatch on >... resetkeys resetchannels -@all +info
//
// For a cluster +cluster|info +cluster|nodes besides; for a Sentinel with users
// of its own, +sentinel|master there.
//
// What is measured, and what it means:
//
//   - System is the replication id. A replica has that of its primary once it
//     holds a copy of its data; a promotion begins a new one.
//   - Written is the replication offset of a primary: every write that it had
//     acknowledged when it was asked is below. Without a replica ever attached a
//     primary does not count its writes, so then it is unknown.
//   - Received and Replayed are the offset up to which a replica has *applied*
//     the history of its primary. What it has read beyond that (a transaction
//     without its EXEC, half of a large value) it throws away when the link
//     breaks, so that is not held.
//   - A replica that holds no whole copy, since one is just arriving or being
//     loaded, holds nothing: then its position is unknown.
//   - Connected: the link is up and was not silent for longer than max_silence.
//     A frozen primary leaves the link "up" for a minute (repl-timeout).
//
// A link that went down proves no moment. Replication is asynchronous: what was
// written before the break may not have been sent, and a link that fell silent
// is called down only after repl-timeout. The position does prove one: the
// primary had written no more than that when it was last seen. The offset of an
// idle primary moves too, by its pings, and its replicas follow it.
//
// What cannot be seen: writes that scripts or modules keep out of replication,
// what local writes a writable replica took (replica-read-only no), whether the
// data is right, and, on a cluster, the lag in bytes. See docs/probes/redis.md.
package redis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

// Probe looks at one copy. It keeps nothing between looks and may be used by
// several goroutines.
type Probe struct {
	config     Config
	copy       readiness.Copy
	place      place
	maxSilence time.Duration
}

// New makes the probe of a copy. It opens no connection and reads no file.
func New(cfg Config, target probes.Target) (*Probe, error) {
	if found := cfg.Validate(target.Copy); len(found) > 0 {
		return nil, fmt.Errorf("set up the redis probe of %s: %s: %s", target.Copy.Name, found[0].Path, found[0].Message)
	}
	p := &Probe{config: cfg, copy: target.Copy, maxSilence: cfg.MaxSilence}
	if p.maxSilence == 0 {
		p.maxSilence = defaultMaxSilence
	}
	if cfg.URL != "" {
		var err error
		if p.place, err = parseURL(cfg.URL); err != nil {
			return nil, fmt.Errorf("set up the redis probe of %s: url: %w", target.Copy.Name, err)
		}
	}
	return p, nil
}

// Look asks the servers of the copy once. The error is a [readiness.Failure].
func (p *Probe) Look(ctx context.Context) (readiness.Reading, error) {
	switch {
	case p.config.Sentinel != nil:
		return p.lookBehindSentinel(ctx)
	case p.config.Cluster != nil:
		return p.lookAtCluster(ctx)
	}
	login, err := p.credentials().read(ctx)
	if err != nil {
		return readiness.Reading{}, fmt.Errorf("ask Redis at %s: %w", p.place.addr, err)
	}
	return p.lookAt(ctx, server{login: login, addr: p.place.addr, what: "Redis"})
}

func (p *Probe) credentials() credentials {
	c := credentials{user: p.config.User, password: p.config.password(), tls: p.config.TLS}
	if p.config.URL != "" {
		c.user = p.place.user
		if p.place.tls && c.tls == nil {
			c.tls = &TLS{}
		}
	}
	return c
}

func (p *Probe) lookAt(ctx context.Context, s server) (readiness.Reading, error) {
	session, err := s.open(ctx)
	if err != nil {
		return readiness.Reading{}, err
	}
	defer session.close()
	i, when, err := session.info(ctx, sections()...)
	if err != nil {
		return readiness.Reading{}, err
	}
	return p.reading(i, when), nil
}

// reading is what one server's INFO says about the copy.
func (p *Probe) reading(i info, when exchange) readiness.Reading {
	r := readiness.Reading{
		Role: i.readinessRole(),
		// Copies, since a part of a text keeps all of it: ten thousand INFOs are 13 MB.
		System: strings.Clone(i.history), Server: strings.Clone(i.run),
		Measures: make(map[readiness.Measure]float64, 2),
		Checks:   []readiness.Check{i.checkLink(p.copy.Kind, p.maxSilence), i.checkPersistence()},
	}
	if r.Role == readiness.RolePrimary {
		r.Written = i.written()
		if n, ok := i.fullSyncs.Get(); ok {
			r.Measures[readiness.FullResyncs] = float64(n)
		}
	} else {
		r.Received = i.held()
		r.Replayed = r.Received
		r.Connected = readiness.Known(i.connected(p.maxSilence))
		if ago, ok := i.lastHeard.Get(); ok { // whole seconds: the next one may be nearly over
			r.LastMessage = readiness.Known(when.asked.Add(-ago - time.Second))
		}
	}
	if theirs, ok := i.time.Get(); ok {
		offset := theirs.Sub(when.middle())
		r.ClockOffset, r.ClockError = readiness.Known(offset), when.roundTrip()/2
		if saved, ok := i.snapshot(); ok {
			r.Measures[readiness.SnapshotSeconds] = float64(saved.Add(-offset).UnixMicro()) / 1e6
		}
	} else {
		r.Checks = append(r.Checks, clockUntold())
	}
	return r
}

func (i info) readinessRole() readiness.Role {
	if i.role == "master" {
		return readiness.RolePrimary
	}
	return readiness.RoleReplica
}

// written is how far the history of a primary goes. It counts only while there
// is a backlog: without one, writes pass the offset by, or count as one byte.
func (i info) written() readiness.Maybe[readiness.Position] {
	offset, ok := i.offset.Get()
	if !ok || !i.backlog || i.loading {
		return readiness.Maybe[readiness.Position]{}
	}
	return readiness.Known(readiness.Position(offset))
}

// held is how far a replica holds the history that it names. While a full copy
// arrives, the old data is still there and about to go, at a moment that nobody
// tells; while it is loaded, no whole copy is there. A replica that has no
// position, since it never had a link or its last copy broke off, tells 1.
func (i info) held() readiness.Maybe[readiness.Position] {
	offset, ok := i.applied.Get()
	if !ok || i.history == "" || i.loading || i.syncing || !i.linkUp && offset <= 1 {
		return readiness.Maybe[readiness.Position]{}
	}
	return readiness.Known(readiness.Position(offset))
}

// connected reports whether the replica receives now, rather than says so.
func (i info) connected(maxSilence time.Duration) bool {
	ago, ok := i.lastHeard.Get()
	return i.linkUp && ok && ago <= maxSilence
}

// snapshot is when the last RDB file was made, on the server's clock. A server
// that has just started tells its start instead.
func (i info) snapshot() (time.Time, bool) {
	saved, ok := i.lastSave.Get()
	if !ok {
		return time.Time{}, false
	}
	if saves, ok := i.saves.Get(); ok {
		return saved, saves > 0
	}
	now, okNow := i.time.Get()
	uptime, okUp := i.uptime.Get()
	return saved, okNow && okUp && saved.After(now.Add(-uptime+2*time.Second))
}
