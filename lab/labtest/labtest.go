// Package labtest gives a test a lab of its own.
package labtest

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/drwatch/drwatch/lab"
)

// Start brings a lab up for the test and closes it after the test; the test's log shows what happens inside. Where
// the servers are not installed the test is skipped with the command that installs them, except in continuous
// integration (CI=true), where a test that does not run must not pass.
func Start(t testing.TB, options ...func(*lab.Options)) *lab.Lab {
	t.Helper()
	o := lab.Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, option := range options {
		option(&o)
	}
	l, err := lab.Up(t.Context(), o)
	var missing *lab.MissingServersError
	switch {
	case errors.As(err, &missing) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}
