package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/readiness"
)

// slot is one replication slot.
type slot struct {
	Name        string              `json:"name"`
	Logical     bool                `json:"logical"`
	Active      bool                `json:"active"`
	Temporary   bool                `json:"temporary"`
	WALStatus   *string             `json:"wal_status"`  // nil when the slot reserves nothing
	Headroom    *float64            `json:"headroom"`    // bytes; nil when max_slot_wal_keep_size sets no limit
	Retained    *float64            `json:"retained"`    // bytes; nil when the slot reserves nothing
	Confirmed   *readiness.Position `json:"confirmed"`   // of logical slots
	Synced      *bool               `json:"synced"`      // copied from the primary to this standby (17)
	Invalidated *string             `json:"invalidated"` // the reason (17)
}

// readSlots judges all slots, and measures the worst of them.
func (p *Probe) readSlots(r *readiness.Reading, all []slot) {
	r.Measures[readiness.SlotRetainedBytes] = 0
	for _, s := range all {
		if s.Retained != nil {
			r.Measures[readiness.SlotRetainedBytes] = max(*s.Retained, r.Measures[readiness.SlotRetainedBytes])
		}
		if s.Headroom != nil {
			least, known := r.Measures[readiness.SlotHeadroomBytes]
			if !known || *s.Headroom < least {
				r.Measures[readiness.SlotHeadroomBytes] = *s.Headroom
			}
		}
	}
	r.Checks = append(r.Checks, checkSlots(all, r.Measures[readiness.SlotRetainedBytes]))
}

// checkSlots tells of the slots that need a person, the worst first, with what
// to do about the first.
func checkSlots(all []slot, retained float64) readiness.Check {
	var bad []readiness.Check
	for _, s := range all {
		if check := s.check(); check.Status != readiness.Pass {
			bad = append(bad, check)
		}
	}
	switch {
	case len(all) == 0:
		return readiness.Check{Name: CheckSlots, Status: readiness.Pass, Evidence: "there are no replication slots"}
	case len(bad) == 0:
		return readiness.Check{
			Name: CheckSlots, Status: readiness.Pass,
			Evidence: fmt.Sprintf("%d in use, retaining %s at most", len(all), size(retained)),
		}
	}
	slices.SortStableFunc(bad, func(a, b readiness.Check) int { return cmp.Compare(b.Status, a.Status) }) // Fail before Warn
	const most = 3
	var evidence []string
	for _, check := range bad[:min(most, len(bad))] {
		evidence = append(evidence, check.Evidence)
	}
	if len(bad) > most {
		evidence = append(evidence, fmt.Sprintf("and %d more", len(bad)-most))
	}
	return readiness.Check{Name: CheckSlots, Status: bad[0].Status, Evidence: strings.Join(evidence, "; "), Remedy: bad[0].Remedy}
}

// check judges one slot. wal_status is that of pg_replication_slots: extended
// is more than max_wal_size, unreserved is due for removal, lost is removed.
func (s slot) check() readiness.Check {
	status, retained := "", ""
	if s.WALStatus != nil {
		status = *s.WALStatus
	}
	if s.Retained != nil {
		retained = size(max(0, *s.Retained))
	}
	drop := "SELECT pg_drop_replication_slot(" + literal(s.Name) + ")"
	unread := !s.Active && !s.Temporary && (s.Synced == nil || !*s.Synced)
	switch {
	case status == "lost":
		evidence := fmt.Sprintf("slot %s is lost: what its reader needs is gone", s.Name)
		if s.Invalidated != nil {
			evidence += " (" + *s.Invalidated + ")"
		}
		return readiness.Check{Status: readiness.Fail, Evidence: evidence, Remedy: "rebuild the replica that read it, then " + drop}
	case status == "unreserved":
		return readiness.Check{
			Status:   readiness.Fail,
			Evidence: fmt.Sprintf("slot %s retains %s, over the limit: it is lost at one of the next checkpoints", s.Name, retained),
			Remedy:   "bring its reader back now, or raise max_slot_wal_keep_size",
		}
	case unread && status == "extended":
		return readiness.Check{
			Status:   readiness.Fail,
			Evidence: fmt.Sprintf("nobody reads slot %s, which retains %s, more than max_wal_size%s", s.Name, retained, s.limit()),
			Remedy:   "start its reader, or if it is gone for good " + drop,
		}
	case unread && status != "":
		return readiness.Check{
			Status:   readiness.Warn,
			Evidence: fmt.Sprintf("nobody reads slot %s, which retains %s%s", s.Name, retained, s.limit()),
			Remedy:   "start its reader, or if it is gone for good " + drop,
		}
	case status == "extended":
		return readiness.Check{
			Status:   readiness.Warn,
			Evidence: fmt.Sprintf("the reader of slot %s is %s behind, more than max_wal_size%s", s.Name, retained, s.limit()),
			Remedy:   "see why its reader is slow, and how much room pg_wal has",
		}
	}
	return readiness.Check{Status: readiness.Pass}
}

// limit says how much more the slot may retain.
func (s slot) limit() string {
	if s.Headroom == nil {
		return " and has no limit but the disk (max_slot_wal_keep_size)"
	}
	return fmt.Sprintf(" and is lost after %s more", size(max(0, *s.Headroom)))
}
