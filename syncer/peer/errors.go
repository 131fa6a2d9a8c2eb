package peer

import (
	"errors"
	"fmt"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

var (
	// ErrTooSlow: a peer sent less than the minimum speed for a whole window.
	ErrTooSlow = errors.New("peer: too slow")
	// ErrDeadline: a try used up the time that its size allows.
	ErrDeadline = errors.New("peer: took too long")
	// ErrNotAsked: a peer was resting or unreachable, and was left alone.
	ErrNotAsked = errors.New("peer: not asked")
	// ErrConfig: a limit is outside of its range.
	ErrConfig = errors.New("peer: bad configuration")
	// ErrClosed: the pool was closed.
	ErrClosed = errors.New("peer: pool is closed")
)

// Error is how a peer failed to serve a piece.
type Error struct {
	// Reason is Absent, WrongBytes, Unreachable, PeerFailed or Deadline.
	Reason recovery.Reason
	// Rest is how long the peer asked to be left alone; 0 if it did not. The
	// pool keeps it within RestMin and RestMax (hazard 72).
	Rest time.Duration
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// overload reports whether the peer may have failed for having too much to do: it
// asked to be left alone (429, 503), or was slower than is allowed.
func (e *Error) overload() bool {
	return e.Rest > 0 || e.Reason == recovery.Deadline || errors.Is(e.Err, ErrTooSlow)
}

// Errorf returns an *Error; the format is that of fmt.Errorf.
func Errorf(reason recovery.Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// asError finds the *Error in err. A peer that breaks its contract and returns
// another error is taken to have failed.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Reason: recovery.PeerFailed, Err: err}
}

// sinkError is a failure of the sink's, which is no peer's fault.
type sinkError struct{ err error }

func (e *sinkError) Error() string { return e.err.Error() }
func (e *sinkError) Unwrap() error { return e.err }

// judgeSink tells a sink that refuses the bytes from one that is broken.
func judgeSink(err error) error {
	if errors.Is(err, syncer.ErrTooLong) || errors.Is(err, syncer.ErrWrongBytes) {
		return &Error{Reason: recovery.WrongBytes, Err: err}
	}
	return &sinkError{err}
}
