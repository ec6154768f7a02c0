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
// why, and what only it would have told is unknown.
type Joined struct {
	Server Prober
	// Platform is the name of the other way, and of the check that it could be gone.
	Platform string
	Prober   Prober
}

// Look looks in both ways, and is done when both are.
func (j Joined) Look(ctx context.Context) (readiness.Reading, error) {
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
func (j Joined) merge(reading, beside readiness.Reading, failure *readiness.Failure) readiness.Reading {
	if failure != nil {
		reading.Checks = append(slices.Clip(reading.Checks), readiness.Check{
			Name: j.Platform, Evidence: fmt.Sprintf("%s: %s", failure.Class, failure), Remedy: failure.Class.Remedy(),
		})
		return reading
	}
	reading.Points = slices.Concat(reading.Points, beside.Points)
	reading.Checks = append(slices.Clip(reading.Checks), readiness.Check{Name: j.Platform, Status: readiness.Pass, Evidence: "answered"})
	for _, check := range beside.Checks {
		if !slices.ContainsFunc(reading.Checks, func(c readiness.Check) bool { return c.Name == check.Name }) {
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
