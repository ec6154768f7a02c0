package postgres

import (
	"fmt"
	"strconv"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// reading says in the words of readiness what the server answered.
func (p *Probe) reading(a answer) readiness.Reading {
	s := a.server
	server := fmt.Sprintf("%s started %s on port %s", s.System, s.Started, s.Port)
	r := readiness.Reading{
		Role:       readiness.RolePrimary,
		System:     s.System,
		Timeline:   p.timeline(server, s),
		Server:     server,
		Written:    readiness.FromPointer(s.Written),
		Received:   readiness.FromPointer(s.Received),
		Replayed:   readiness.FromPointer(s.Replayed),
		ClockError: a.answered.Sub(a.asked) / 2,
		Measures:   map[readiness.Measure]float64{},
	}
	r.ClockOffset = readiness.Known(s.Clock.Sub(a.asked.Add(r.ClockError)))
	if *s.InRecovery {
		r.Role = readiness.RoleReplica
	}
	if n, err := strconv.ParseUint(r.Timeline, 10, 32); err == nil {
		r.Measures[readiness.TimelineNumber] = float64(n)
	}
	switch {
	case p.target.Copy.Logical:
		p.readSubscriber(&r, a)
	case p.target.Copy.Kind == readiness.Primary:
		p.readSlots(&r, s.Slots)
		r.Acknowledged = acknowledged(s.Slots)
	default:
		p.readStandby(&r, a)
		p.readSlots(&r, s.Slots)
	}
	if p.readsHeartbeat() {
		p.readHeartbeat(&r, a)
	}
	return r
}

// timeline tells the branch of the history that the server is on. A primary
// writes it into the names of its files. Of a standby it is that of its
// receiver; when that is gone, what the control file tells may be older, up to
// the next restart point. But no standby goes back to an older timeline while
// it runs, so what it was once seen to be on holds for this server.
func (p *Probe) timeline(server string, s row) string {
	newest := max(s.CheckpointTimeline, s.RecoveryTimeline)
	if s.Receiver != nil && s.Receiver.Timeline != nil {
		newest = max(newest, *s.Receiver.Timeline)
	}
	if !*s.InRecovery {
		newest = timelineOf(s.WALFile)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lineage.server == server {
		newest = max(newest, p.lineage.timeline)
	}
	p.lineage = lineage{server, newest}
	if newest == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(newest), 10)
}

// timelineOf reads the timeline in the name of a WAL file: its first eight
// hexadecimal digits. 0 is unknown.
func timelineOf(file string) uint32 {
	if len(file) != 24 {
		return 0
	}
	n, err := strconv.ParseUint(file[:8], 16, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// readStandby tells what a physical replica receives and replays.
func (p *Probe) readStandby(r *readiness.Reading, a answer) {
	s := a.server
	if !*s.InRecovery {
		const promoted = "the server is not in recovery, so there is nothing that it receives"
		r.Checks = append(r.Checks, unanswered(CheckReceiver, promoted), unanswered(CheckReplay, promoted), unanswered(CheckDelay, promoted))
		return
	}
	if s.CommitReplayed != nil {
		r.Points = append(r.Points, readiness.Point{At: *s.CommitReplayed, Basis: readiness.BasisCommit, SourceClock: true})
	}
	if s.ApplyDelay != nil {
		r.Measures[readiness.ApplyDelaySeconds] = *s.ApplyDelay
	}
	var check readiness.Check
	check, r.Connected = checkReceiver(s)
	if s.Receiver != nil {
		r.LastMessage = a.onOurClock(s.Receiver.Heard)
	}
	r.Checks = append(r.Checks, check, checkReplay(s), checkDelay(s.ApplyDelay, p.target.Copy.Delay))
}

// onOurClock brings a moment of the server's clock to ours, by its age. Where
// the round trip leaves it open, the older moment is told.
func (a answer) onOurClock(moment *time.Time) readiness.Maybe[time.Time] {
	if moment == nil {
		return readiness.Maybe[time.Time]{}
	}
	return readiness.Known(a.asked.Add(-a.server.age(*moment)))
}

// age is how old a moment of the server's own clock was when it answered.
func (s row) age(moment time.Time) time.Duration { return age(s.Clock, moment) }

// age is the time from a moment to now; what lies ahead has none, and what is
// older than anybody's database is just old.
func age(now, moment time.Time) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	return min(max(0, now.Sub(moment)), century)
}

// acknowledged is what the readers of logical slots have confirmed to hold.
func acknowledged(slots []slot) map[string]readiness.Position {
	positions := make(map[string]readiness.Position)
	for _, s := range slots {
		if s.Logical && s.Confirmed != nil {
			positions[s.Name] = *s.Confirmed
		}
	}
	return positions
}
