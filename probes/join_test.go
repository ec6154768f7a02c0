package probes_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

type lookFunc func(context.Context) (readiness.Reading, error)

func (f lookFunc) Look(ctx context.Context) (readiness.Reading, error) { return f(ctx) }

func reads(r readiness.Reading) probes.Prober {
	return lookFunc(func(context.Context) (readiness.Reading, error) { return r, nil })
}

func server() readiness.Reading {
	return readiness.Reading{
		Role: readiness.RoleReplica, System: "7",
		Points:   []readiness.Point{{At: time.Unix(10, 0), Basis: readiness.BasisCommit}},
		Checks:   []readiness.Check{{Name: "receiver", Status: readiness.Pass}},
		Measures: map[readiness.Measure]float64{readiness.TimelineNumber: 1},
	}
}

// What the platform adds must neither replace nor lose what the server said.
func TestJoined_BothAnswer(t *testing.T) {
	platform := readiness.Reading{
		Role: readiness.RolePrimary, System: "arn", AsOf: readiness.Known(time.Unix(5, 0)),
		Points:      []readiness.Point{{At: time.Unix(20, 0), Basis: readiness.BasisLag}},
		Checks:      []readiness.Check{{Name: "receiver", Status: readiness.Fail}, {Name: "instance-class", Status: readiness.Warn}},
		Measures:    map[readiness.Measure]float64{readiness.TimelineNumber: 9, readiness.BackupSizeBytes: 3},
		WindowStart: readiness.Known(time.Unix(1, 0)),
	}
	r, err := (&probes.Joined{Server: reads(server()), Platform: "rds", Prober: reads(platform)}).Look(t.Context())
	require.NoError(t, err)
	require.Equal(t, readiness.RoleReplica, r.Role)
	require.Equal(t, "7", r.System)
	require.False(t, r.AsOf.IsKnown(), "the server was looked at now")
	require.Len(t, r.Points, 2)
	require.Equal(t, map[readiness.Measure]float64{readiness.TimelineNumber: 1, readiness.BackupSizeBytes: 3}, r.Measures)
	states := make(map[string]readiness.Status)
	for _, c := range r.Checks {
		states[c.Name] = c.Status
	}
	require.Equal(t, map[string]readiness.Status{"receiver": readiness.Pass, "rds": readiness.Pass, "instance-class": readiness.Warn}, states)
	require.True(t, r.WindowStart.IsKnown())
}

// A platform that is silent, or a probe of it that is broken, hides nothing that
// the server says, and is not passed over.
func TestJoined_PlatformFails(t *testing.T) {
	for name, failing := range map[string]lookFunc{
		"denied": func(context.Context) (readiness.Reading, error) {
			return readiness.Reading{}, probes.Fail(readiness.Denied, "grant rds:DescribeDBInstances")
		},
		"panics": func(context.Context) (readiness.Reading, error) { panic("grant rds:DescribeDBInstances") },
	} {
		t.Run(name, func(t *testing.T) {
			joined := &probes.Joined{Server: reads(server()), Platform: "rds", Prober: failing, Checks: []string{"role", "receiver", "instance-class"}}
			r, err := joined.Look(t.Context())
			require.NoError(t, err)
			require.Len(t, r.Points, 1)
			require.Equal(t, server().Checks, r.Checks[:1])
			for i, name := range []string{"rds", "instance-class"} {
				check := r.Checks[i+1]
				require.Equal(t, name, check.Name)
				require.Equal(t, readiness.Unknown, check.Status)
				require.Contains(t, check.Evidence, "grant rds:DescribeDBInstances")
				require.NotEmpty(t, check.Remedy)
				require.True(t, check.Upstream, "a server that is sound stays so")
			}
			require.Len(t, r.Checks, 3)
		})
	}
}

// A server that cannot be seen is not seen through what its platform believes.
func TestJoined_ServerFails(t *testing.T) {
	refused := lookFunc(func(context.Context) (readiness.Reading, error) {
		return readiness.Reading{}, probes.Fail(readiness.Refused, "nobody listens")
	})
	_, err := (&probes.Joined{Server: refused, Platform: "rds", Prober: reads(server())}).Look(t.Context())
	require.Equal(t, readiness.Refused, probes.AsFailure(err).Class)
}

func TestJoinedChecks_EachOnce(t *testing.T) {
	require.Equal(t, []string{"role", "receiver", "clock", "rds", "instance-class"},
		probes.JoinedChecks([]string{"role", "receiver", "clock"}, "rds", []string{"role", "connected", "instance-class", "clock"}))
}

// A replica that is too small does not grow by nobody being able to ask.
func TestJoined_WhatWasBadStaysBad(t *testing.T) {
	small := readiness.Reading{Checks: []readiness.Check{{Name: "capacity", Status: readiness.Fail}, {Name: "encryption", Status: readiness.Pass}}}
	silent := false
	platform := lookFunc(func(context.Context) (readiness.Reading, error) {
		if silent {
			return readiness.Reading{}, probes.Fail(readiness.Timeout, "no answer")
		}
		return small, nil
	})
	joined := &probes.Joined{Server: reads(server()), Platform: "rds", Prober: platform, Checks: []string{"capacity", "encryption"}}
	_, err := joined.Look(t.Context())
	require.NoError(t, err)
	silent = true
	r, err := joined.Look(t.Context())
	require.NoError(t, err)
	counts := make(map[string]bool)
	for _, c := range r.Checks {
		counts[c.Name] = !c.Upstream
	}
	require.Equal(t, map[string]bool{"receiver": true, "rds": false, "capacity": true, "encryption": false}, counts)
}
