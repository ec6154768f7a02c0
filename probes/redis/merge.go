package redis

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/drwatch/drwatch/readiness"
)

// merge makes one reading of the nodes of a cluster, in the order of their
// slots: of everything, what is worst. The identity of the set is made of those
// of its nodes; where one holds no whole history the set holds none.
func (p *Probe) merge(nodes []node) readiness.Reading {
	readings := make([]readiness.Reading, len(nodes))
	for i, n := range nodes {
		readings[i] = p.reading(n.info, n.when)
		for c := range readings[i].Checks {
			readings[i].Checks[c].Evidence = n.addr + ": " + readings[i].Checks[c].Evidence
		}
	}
	all := readiness.Reading{
		Role:     mergeRoles(readings),
		System:   digest(readings, func(r readiness.Reading) string { return r.System }),
		Server:   digest(readings, func(r readiness.Reading) string { return r.Server }),
		Measures: mergeMeasures(readings),
	}
	for _, r := range readings {
		if r.Role == readiness.RoleReplica && !r.Received.IsKnown() {
			all.System = ""
		}
		mergeLink(&all, r)
		mergeClock(&all, r)
		mergeChecks(&all, r)
	}
	return all
}

func digest(readings []readiness.Reading, part func(readiness.Reading) string) string {
	var text strings.Builder
	for _, r := range readings {
		text.WriteString(part(r) + "\n")
	}
	return fmt.Sprintf("cluster:%x", sha256.Sum256([]byte(text.String())))[:24]
}

// mergeRoles calls a set primary when all of it is.
func mergeRoles(readings []readiness.Reading) readiness.Role {
	for _, r := range readings {
		if r.Role != readiness.RolePrimary {
			return r.Role
		}
	}
	return readiness.RolePrimary
}

// mergeMeasures adds the resyncs up, and gives the oldest snapshot if all nodes
// have one.
func mergeMeasures(readings []readiness.Reading) map[readiness.Measure]float64 {
	all := make(map[readiness.Measure]float64, 2)
	snapshots := 0
	for _, r := range readings {
		if n, ok := r.Measures[readiness.FullResyncs]; ok {
			all[readiness.FullResyncs] += n
		}
		if at, ok := r.Measures[readiness.SnapshotSeconds]; ok {
			if oldest, known := all[readiness.SnapshotSeconds]; !known || at < oldest {
				all[readiness.SnapshotSeconds] = at
			}
			snapshots++
		}
	}
	if snapshots < len(readings) {
		delete(all, readiness.SnapshotSeconds)
	}
	return all
}

func mergeLink(all *readiness.Reading, r readiness.Reading) {
	if connected, ok := r.Connected.Get(); ok {
		before, known := all.Connected.Get()
		all.Connected = readiness.Known(connected && (before || !known))
	}
	if at, ok := r.LastMessage.Get(); ok {
		if before, known := all.LastMessage.Get(); !known || at.Before(before) {
			all.LastMessage = r.LastMessage
		}
	}
}

func mergeClock(all *readiness.Reading, r readiness.Reading) {
	offset, ok := r.ClockOffset.Get()
	before, known := all.ClockOffset.Get()
	if ok && (!known || offset.Abs() > before.Abs()) {
		all.ClockOffset, all.ClockError = r.ClockOffset, r.ClockError
	}
}

func mergeChecks(all *readiness.Reading, r readiness.Reading) {
	for _, check := range r.Checks {
		i := slices.IndexFunc(all.Checks, func(c readiness.Check) bool { return c.Name == check.Name })
		switch {
		case i < 0:
			all.Checks = append(all.Checks, check)
		case check.Status.Severity() > all.Checks[i].Status.Severity():
			all.Checks[i] = check
		}
	}
}
