package probes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/drwatch/drwatch/readiness"
)

// Prober makes looks at one copy.
type Prober interface {
	Look(ctx context.Context) (readiness.Reading, error)
}

// Joined looks at one copy in two ways at a time: at the server itself, and at
// what the platform that runs it says about it.
//
// The server decides: when it cannot be looked at, neither can the copy. What
// the platform says is added. When that cannot be had, the check Platform says
// why, and what only it would have told is unknown. That does not make unsound
// what the server says is sound, because in a disaster the API of a cloud may well
// be the first that is gone; but what was bad when it was last told stays so.
type Joined struct {
	Server Prober
	// Platform is the name of the other way, and of the check that it could be gone.
	Platform string
	Prober   Prober
	// Checks are those that the platform is asked for.
	Checks []string

	mu  sync.Mutex
	bad map[string]bool // what the platform said last does not hold
}

// Look looks in both ways, and is done when both are.
func (j *Joined) Look(ctx context.Context) (readiness.Reading, error) {
	var (
		both            sync.WaitGroup
		reading, beside readiness.Reading
		err, failed     error
	)
	both.Go(func() { beside, failed = safely(ctx, j.Prober) })
	reading, err = j.Server.Look(ctx)
	both.Wait()
	if err != nil {
		return readiness.Reading{}, err
	}
	return j.merge(reading, beside, AsFailure(failed)), nil
}

func safely(ctx context.Context, p Prober) (r readiness.Reading, err error) {
	defer Recovered(&err)
	return p.Look(ctx)
}

// merge adds to what the server says what the platform says beside it.
func (j *Joined) merge(reading, beside readiness.Reading, failure *readiness.Failure) readiness.Reading {
	if failure != nil {
		reading.Checks = slices.Clip(reading.Checks)
		for _, name := range JoinedChecks(nil, j.Platform, j.Checks) {
			if !answered(reading, name) {
				reading.Checks = append(reading.Checks, readiness.Check{
					Name: name, Evidence: fmt.Sprintf("%s: %s", failure.Class, failure), Remedy: failure.Class.Remedy(), Upstream: !j.wasBad(name),
				})
			}
		}
		return reading
	}
	j.note(beside.Checks)
	reading.Points = slices.Concat(reading.Points, beside.Points)
	reading.Checks = append(slices.Clip(reading.Checks), readiness.Check{Name: j.Platform, Status: readiness.Pass, Evidence: "answered"})
	for _, check := range beside.Checks {
		if !answered(reading, check.Name) {
			reading.Checks = append(reading.Checks, check)
		}
	}
	measures := maps.Clone(beside.Measures)
	if measures == nil {
		measures = reading.Measures
	} else {
		maps.Copy(measures, reading.Measures)
	}
	reading.Measures = measures
	if !reading.WindowStart.IsKnown() {
		reading.WindowStart = beside.WindowStart
	}
	return reading
}

// note remembers what the platform says does not hold.
func (j *Joined) note(checks []readiness.Check) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bad = make(map[string]bool)
	for _, c := range checks {
		if !c.Status.Ready() && !c.Upstream {
			j.bad[c.Name] = true
		}
	}
}

func (j *Joined) wasBad(check string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bad[check]
}

func answered(r readiness.Reading, check string) bool {
	return slices.ContainsFunc(r.Checks, func(c readiness.Check) bool { return c.Name == check })
}

// JoinedChecks lists the checks on a copy that is looked at in both ways: what
// readiness asks of the server is not asked of the platform a second time.
func JoinedChecks(server []string, platform string, beside []string) []string {
	names := append(slices.Clone(server), platform)
	for _, name := range beside {
		if !slices.Contains(names, name) && !slices.Contains(readiness.OwnChecks(), name) {
			names = append(names, name)
		}
	}
	return names
}
