package event

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed: bytes that are not an event, or an event that cannot be.
	ErrMalformed = errors.New("event: malformed")
	// ErrClosed: the source was closed.
	ErrClosed = errors.New("event: closed")
)

// ContradictionError says which event cannot be applied to the state before it.
// Nothing of it was applied, and nothing behind it may be.
type ContradictionError struct {
	Position uint64
	Kind     Kind
	Key      string // what it is about: "blob X", "blob X, object Y", "pool Z" or "epoch N"
	What     string // what is wrong
}

// Error names the event, what it is about and why it can't be.
func (e *ContradictionError) Error() string {
	return fmt.Sprintf("event: position %d, %v of %s: %s (the events or the state are of another history; nothing after position %d was applied)",
		e.Position, e.Kind, e.Key, e.What, e.Position-1)
}

// MissingError says which event is not there although later ones are, or may
// be.
type MissingError struct {
	Source string // file or URL; empty: the caller knows
	First  uint64 // the first missing number
	Found  uint64 // the number found in its place; 0: none
}

// Error names the first missing number.
func (e *MissingError) Error() string {
	where := ""
	if e.Source != "" {
		where = " in " + e.Source
	}
	if e.Found == 0 {
		return fmt.Sprintf("event: event %d is missing%s", e.First, where)
	}
	return fmt.Sprintf("event: event %d is missing%s: %d stands in its place", e.First, where, e.Found)
}

// LineError says where a source's text is wrong.
type LineError struct {
	Source string // file or URL
	Line   int64  // from 1
	Offset int64  // of the line's first byte
	Err    error
}

// Error names the place and what is wrong.
func (e *LineError) Error() string {
	return fmt.Sprintf("%s, line %d (byte %d): %v", e.Source, e.Line, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }
