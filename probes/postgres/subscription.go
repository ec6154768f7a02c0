package postgres

import (
	"fmt"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// subscription is one of the database that was looked at.
type subscription struct {
	Name    string     `json:"name"`
	Enabled bool       `json:"enabled"`
	Slot    *string    `json:"slot"`
	Running bool       `json:"running"` // its worker is
	Heard   *time.Time `json:"heard"`   // the newest message, on the subscriber's clock
	Tables  int        `json:"tables"`  // 0 also when no worker runs
	Unready int        `json:"unready"` // those of them that are still being copied
}

// complete reports whether every table follows the publisher.
func (s subscription) complete() bool { return s.Running && s.Tables > 0 && s.Unready == 0 }

func find(all []subscription, name string) (subscription, bool) {
	for _, s := range all {
		if s.Name == name {
			return s, true
		}
	}
	return subscription{}, false
}

// readSubscriber tells how a logical replica follows its publisher. What it has
// received is not on its disk, so only what the publisher says it confirmed and
// the heartbeat prove anything; and while tables are still being copied
// neither does, since these tables lack more than the newest changes.
func (p *Probe) readSubscriber(r *readiness.Reading, a answer) {
	var check readiness.Check
	s, found := find(a.subscriptions, p.cfg.Subscription)
	if found {
		r.LastMessage = a.onOurClock(s.Heard)
		if s.complete() && s.Slot != nil {
			r.Receiver = *s.Slot
		}
	}
	check, r.Connected = checkSubscription(a, p.cfg.Subscription)
	r.Checks = append(r.Checks, check)
}

func checkSubscription(a answer, name string) (readiness.Check, readiness.Maybe[bool]) {
	check := readiness.Check{Name: CheckSubscription, Status: readiness.Fail}
	s, found := find(a.subscriptions, name)
	switch {
	case !found:
		check.Evidence = fmt.Sprintf("there is no subscription %s in this database; there are: %s", name, names(a.subscriptions))
		check.Remedy = "correct subscription or the database in the file"
		return check, readiness.Known(false)
	case !s.Enabled:
		check.Evidence, check.Remedy = "the subscription is disabled", "ALTER SUBSCRIPTION "+identifier(name)+" ENABLE"
		return check, readiness.Known(false)
	case !s.Running:
		check.Evidence = "no worker runs for the subscription"
		check.Remedy = "see the log of the subscriber: an error in applying ends its worker again and again (a conflict, a missing table or column), as does a publisher that cannot be reached"
		return check, readiness.Known(false)
	}
	connected, evidence := a.server.hears(s.Heard)
	switch alive, ok := connected.Get(); {
	case s.Unready > 0:
		evidence = fmt.Sprintf("%d of %d tables are still being copied, so the copy is not whole; %s", s.Unready, s.Tables, evidence)
		check.Remedy = "wait for the copy to end; if it does not, the log of the subscriber says why"
	case s.Tables == 0:
		evidence = "the subscription has no tables; " + evidence
		check.Remedy = "add tables to the publication, then ALTER SUBSCRIPTION " + identifier(name) + " REFRESH PUBLICATION"
	case !ok:
		check.Status, check.Remedy = readiness.Unknown, "set wal_receiver_timeout on the subscriber"
	case alive:
		check.Status = readiness.Pass
		evidence = fmt.Sprintf("all %d tables follow, %s", s.Tables, evidence)
	default:
		check.Remedy = "see the way to the publisher, and whether the worker waits for a lock (pg_stat_activity of the subscriber)"
	}
	check.Evidence = evidence
	return check, connected
}

func names(all []subscription) string {
	if len(all) == 0 {
		return "none"
	}
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = s.Name
	}
	return strings.Join(list, ", ")
}
