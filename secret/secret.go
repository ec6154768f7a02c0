// Package secret holds values that must never be shown: they print as
// "<redacted>" in logs, JSON, YAML and errors, and are only had by asking for
// them by name.
package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const redacted = "<redacted>"

// String is a secret text. Its zero value is the empty secret.
type String struct{ value string }

// New wraps a secret.
func New(value string) String { return String{value} }

// Reveal gives the text itself: for the wire, never for people.
func (s String) Reveal() string { return s.value }

// IsEmpty reports whether there is no secret.
func (s String) IsEmpty() bool { return s.value == "" }

// String implements [fmt.Stringer] without telling the secret.
func (s String) String() string { return redacted }

// GoString implements [fmt.GoStringer] without telling the secret.
func (s String) GoString() string { return redacted }

// Format implements [fmt.Formatter], so that no verb tells the secret.
func (s String) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements [slog.LogValuer].
func (s String) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], for JSON and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML implements the YAML library's Marshaler.
func (s String) MarshalYAML() (any, error) { return redacted, nil }

// Source says where a secret is kept: in a file or in the environment, never in
// the configuration. Its zero value is no secret.
type Source struct {
	File string
	Env  string
}

// Read fetches the secret anew, so that one that was rotated is seen. A
// file loses its last line break. When ctx ends before the file could be read,
// the error is that of ctx, and names the file.
func (s Source) Read(ctx context.Context) (String, error) {
	switch {
	case s.File != "" && s.Env != "":
		return String{}, errors.New("a secret comes from a file or from the environment, not both")
	case s.File != "":
		text, err := ReadFile(ctx, s.File)
		if err != nil {
			return String{}, fmt.Errorf("read the secret: %w", err)
		}
		return String{strings.TrimRight(string(text), "\r\n")}, nil
	case s.Env != "":
		text, ok := os.LookupEnv(s.Env)
		if !ok {
			return String{}, fmt.Errorf("read the secret: environment variable %s is not set", s.Env)
		}
		return String{text}, nil
	default:
		return String{}, nil
	}
}

// Redact takes the secret out of a text that something else has written, such
// as the error of a library.
func (s String) Redact(text string) string {
	if s.value == "" {
		return text
	}
	return strings.ReplaceAll(text, s.value, redacted)
}
