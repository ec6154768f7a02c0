package postgres

import (
	"fmt"
	"math"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// The checks that this probe makes itself.
const (
	CheckReceiver     = "receiver"     // the WAL receiver streams, and has heard from its source lately
	CheckReplay       = "replay"       // what was received is being replayed, not held back
	CheckDelay        = "delay"        // the standby trails by the delay that the file says
	CheckSlots        = "slots"        // no replication slot is lost, close to it, or fills the disk for nobody
	CheckSubscription = "subscription" // the subscription is there, runs, and all of its tables are copied
	CheckHeartbeat    = "heartbeat"    // the heartbeat is written on the primary and arrives on the replicas
)

// adviceRights is what to do where the looking role may not see enough.
const adviceRights = "give the role its rights: run on the primary what `drwatch config sql` prints"

func unanswered(name, evidence string) readiness.Check {
	return readiness.Check{Name: name, Evidence: evidence}
}

// quiet is the longest that a living link is silent. A receiver that has heard
// nothing for half of wal_receiver_timeout asks its source for a sign of life;
// what is left is for the answer to come. ok is false when the timeout is off,
// and nobody ever asks.
func (s row) quiet() (limit time.Duration, ok bool) {
	if s.ReceiverTimeout == nil || *s.ReceiverTimeout <= 0 {
		return 0, false
	}
	timeout := seconds(*s.ReceiverTimeout)
	return timeout/2 + min(timeout/4, 5*time.Second), true
}

// hears judges a link by its newest message.
func (s row) hears(heard *time.Time) (connected readiness.Maybe[bool], evidence string) {
	if heard == nil {
		return readiness.Maybe[bool]{}, "it does not tell when it last heard from its source"
	}
	age := s.age(*heard)
	evidence = fmt.Sprintf("last heard from its source %s ago", readiness.InSeconds(age))
	limit, ok := s.quiet()
	switch {
	case ok:
		return readiness.Known(age <= limit), fmt.Sprintf("%s (a living link is silent for %s at most)", evidence, readiness.InSeconds(limit))
	case age <= time.Minute:
		return readiness.Known(true), evidence
	default:
		return readiness.Maybe[bool]{}, evidence + "; with wal_receiver_timeout = 0 an idle link and a dead one look the same"
	}
}

func checkReceiver(s row) (readiness.Check, readiness.Maybe[bool]) {
	const remedy = "see the log of the standby: the way to its source, the role and password of primary_conninfo, and whether the source still has the WAL it needs"
	check := readiness.Check{Name: CheckReceiver, Status: readiness.Fail, Remedy: remedy, Upstream: true}
	w := s.Receiver
	switch {
	case w == nil:
		check.Evidence = "no WAL receiver runs: the standby is cut off from its source"
		return check, readiness.Known(false)
	case w.Status == nil:
		check.Status, check.Remedy = readiness.Unknown, adviceRights
		check.Evidence = "a WAL receiver runs, but this role may not see how it does (pg_read_all_stats is missing)"
		return check, readiness.Maybe[bool]{}
	case *w.Status != "streaming":
		check.Evidence = fmt.Sprintf("the WAL receiver is %s, not streaming%s", *w.Status, w.source())
		return check, readiness.Known(false)
	}
	connected, evidence := s.hears(w.Heard)
	check.Evidence = fmt.Sprintf("streaming%s, %s", w.source(), evidence)
	switch alive, ok := connected.Get(); {
	case !ok:
		check.Status, check.Remedy = readiness.Unknown, "set wal_receiver_timeout on the standby"
	case alive:
		check.Status, check.Remedy = readiness.Pass, ""
	}
	return check, connected
}

// source names where the receiver receives from, as far as it tells.
func (w receiver) source() string {
	text := ""
	if w.SenderHost != nil && w.SenderPort != nil {
		text = fmt.Sprintf(" from %s:%d", *w.SenderHost, *w.SenderPort)
	}
	if w.Slot != nil {
		text += " by slot " + *w.Slot
	}
	return text
}

func checkReplay(s row) readiness.Check {
	backlog := ""
	if s.Received != nil && s.Replayed != nil {
		backlog = fmt.Sprintf("; %s are received and not replayed yet", size(float64(*s.Received-min(*s.Received, *s.Replayed))))
	}
	switch {
	case s.Paused == nil:
		return unanswered(CheckReplay, "the server does not tell whether it replays")
	case *s.Paused:
		return readiness.Check{
			Name: CheckReplay, Status: readiness.Fail,
			Evidence: "replay is paused" + backlog,
			Remedy:   "SELECT pg_wal_replay_resume() on the standby; if the server paused by itself, its log names the setting that is lower than on the primary",
		}
	}
	return readiness.Check{Name: CheckReplay, Status: readiness.Pass, Evidence: "replaying" + backlog}
}

// checkDelay holds the delay that the server is set to against the file's.
func checkDelay(actual *float64, declared time.Duration) readiness.Check {
	if actual == nil {
		return unanswered(CheckDelay, "the server does not tell its recovery_min_apply_delay")
	}
	set := seconds(*actual)
	check := readiness.Check{
		Name: CheckDelay, Status: readiness.Fail,
		Evidence: fmt.Sprintf("recovery_min_apply_delay is %s, the file says %s", readiness.InSeconds(set), readiness.InSeconds(declared)),
		Remedy:   "set recovery_min_apply_delay on the standby to what the file says, or correct delay in the file",
	}
	switch {
	case set == declared:
		check.Status, check.Remedy = readiness.Pass, ""
		if declared == 0 {
			check.Evidence = "not delayed"
		}
	case set > declared && declared > 0: // it goes back further than is promised
		check.Status = readiness.Warn
	}
	return check
}

// seconds reads a setting of the server, whose largest is 2,147,483,647 ms.
func seconds(s float64) time.Duration {
	return time.Duration(min(max(s, 0), math.MaxInt32) * float64(time.Second))
}

// size tells bytes to people.
func size(bytes float64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; bytes >= 1024 && i < len(units)-1; i++ {
		bytes /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", bytes, units[i])
	}
	return fmt.Sprintf("%.1f %s", bytes, units[i])
}
