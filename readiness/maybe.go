package readiness

import "encoding/json"

// Maybe is a value that may not be known. Its zero value is unknown, so that
// what was never measured cannot be mistaken for a zero.
type Maybe[T any] struct {
	value T
	known bool
}

// Known wraps a value that was measured.
func Known[T any](v T) Maybe[T] { return Maybe[T]{value: v, known: true} }

// FromPointer is unknown for nil: the shape in which a database tells NULL.
func FromPointer[T any](p *T) Maybe[T] {
	if p == nil {
		return Maybe[T]{}
	}
	return Known(*p)
}

// Get returns the value and whether it is known.
func (m Maybe[T]) Get() (T, bool) { return m.value, m.known }

// IsKnown reports whether there is a value.
func (m Maybe[T]) IsKnown() bool { return m.known }

// MarshalJSON encodes an unknown value as null.
func (m Maybe[T]) MarshalJSON() ([]byte, error) {
	if !m.known {
		return []byte("null"), nil
	}
	return json.Marshal(m.value)
}

// UnmarshalJSON decodes null as unknown.
func (m *Maybe[T]) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*m = Maybe[T]{}
		return nil
	}
	m.known = true
	return json.Unmarshal(data, &m.value)
}
