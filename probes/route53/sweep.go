package route53

import (
	"context"
	"errors"
	"time"

	"github.com/aws/smithy-go"

	"github.com/drwatch/drwatch/probes/awsapi"
)

// sweep is a question that takes several calls. They take their time, and a look may
// end before: then the next one goes on where that left off.
type sweep[C, T any] struct {
	now  func() time.Time
	page func(ctx context.Context, at C) (items []T, next C, more bool, err error)

	turn chan struct{} // holds one, for whoever may use what follows
	open *open[C, T]
}

type open[C, T any] struct {
	begun, touched time.Time
	at             C
	items          []T
}

// resumable is for how long a sweep may be interrupted.
const resumable = 2 * time.Minute

func newSweep[C, T any](now func() time.Time, page func(context.Context, C) ([]T, C, bool, error)) *sweep[C, T] {
	return &sweep[C, T]{now: now, page: page, turn: make(chan struct{}, 1)}
}

// all asks from a beginning to the end, and tells when that was begun.
func (s *sweep[C, T]) all(ctx context.Context, from C) ([]T, time.Time, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, time.Time{}, ctx.Err()
	}
	now := s.now()
	if s.open == nil || now.Sub(s.open.touched).Abs() > resumable {
		s.open = &open[C, T]{begun: now, touched: now, at: from}
	}
	for more := true; more; {
		items, next, goesOn, err := s.page(ctx, s.open.at)
		if err != nil {
			s.refused(err)
			return nil, time.Time{}, err
		}
		s.open.items, s.open.at, s.open.touched = append(s.open.items, items...), next, s.now()
		more = goesOn
	}
	done := s.open
	s.open = nil
	return done.items, done.begun, nil
}

// refused begins anew where a page can no longer be had, as when what it begins at was
// deleted meanwhile.
func (s *sweep[C, T]) refused(err error) {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorFault() == smithy.FaultClient && !awsapi.Throttled(err) {
		s.open = nil
	}
}
