package probetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/drwatch/drwatch/probes"
	"github.com/drwatch/drwatch/readiness"
)

const (
	// longestError is what fits a page, and a person in a hurry.
	longestError = 300
	// mostMemory is what one look may allocate, whatever it is sent.
	mostMemory = 32 << 20
)

// attempt is one look that must fail, and how.
type attempt struct {
	name string
	addr string
	// names is what the error must name; empty is addr.
	names string
	// ctx is that of the look; nil is one that ends at the deadline.
	ctx context.Context
	// deadline is that of the look; zero is long enough.
	deadline time.Duration
	// within is how long the look may take; zero is its deadline and the grace.
	within  time.Duration
	classes []readiness.Class
}

// against makes the attempt at a server that answers each connection in the way given.
func (h Harness) against(t testing.TB, answer func(net.Conn), a attempt) error {
	return h.clean(func() error {
		s, err := serve(answer)
		if err != nil {
			return err
		}
		a.addr = s.addr
		return errors.Join(h.fails(t, a), s.stop(h.Grace))
	})
}

// clean runs something and holds it to leaving no goroutine.
func (h Harness) clean(run func() error) error {
	before := goleak.IgnoreCurrent()
	err := run()
	if leak := goleak.Find(before); leak != nil {
		err = errors.Join(err, fmt.Errorf("left a goroutine: %w", leak))
	}
	return err
}

func (h Harness) fails(t testing.TB, a attempt) error {
	p := h.New(t, a.addr)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := h.failsWith(t, p, a)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > mostMemory {
		err = errors.Join(err, fmt.Errorf("the look allocated %d MiB, %d are allowed", used>>20, mostMemory>>20))
	}
	return err
}

func (h Harness) failsWith(t testing.TB, p Prober, a attempt) error {
	if a.deadline == 0 {
		a.deadline = enough
	}
	if a.within == 0 {
		a.within = a.deadline + h.Grace
	}
	if a.names == "" {
		a.names = a.addr
	}
	ctx := a.ctx
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(t.Context(), a.deadline)
		defer cancel()
	}
	begun := time.Now()
	reading, err := p.Look(ctx)
	took := time.Since(begun)
	if err == nil {
		return fmt.Errorf("gave a reading of what is no server: %+v", reading)
	}
	told := h.wellTold(err, a)
	if took > a.within {
		told = errors.Join(told, fmt.Errorf("the look took %s, %s are allowed", took, a.within))
	}
	return told
}

// wellTold judges an error as the person who has to act on it would.
func (h Harness) wellTold(err error, a attempt) error {
	text, class := err.Error(), probes.AsFailure(err).Class
	allowed := append(slices.Clone(a.classes), h.Also[a.name]...)
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if !slices.Contains(readiness.Classes(), class) {
		complain("class %q is none of %q", class, readiness.Classes())
	}
	if class == readiness.Internal {
		complain("told as a fault of our own")
	}
	if !slices.Contains(allowed, class) {
		complain("class %q, allowed are %q", class, allowed)
	}
	if !strings.Contains(text, a.names) {
		complain("the error does not name %s", a.names)
	}
	if strings.Contains(text, Password) {
		complain("the error tells the password")
	}
	if !oneLine(text) {
		complain("the error is not one line of text")
	}
	if n := utf8.RuneCountInString(text); n > longestError {
		complain("the error is %d characters long, %d are allowed", n, longestError)
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("%w\nthe error was: %.600q", errors.Join(wrong...), text)
}
