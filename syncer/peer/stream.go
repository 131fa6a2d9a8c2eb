package peer

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// stream is what one peer sends of a piece, from wherever it was asked to begin: one
// try with that peer. It allocates nothing of the piece's size. One goroutine uses it
// at a time; any may cancel it.
type stream struct {
	member *member
	piece  syncer.Piece
	size   int64           // of the piece, bytes; negative: only the sink knows
	ctx    context.Context // of the try, as an answer's body has it too
	cancel context.CancelCauseFunc
	pace   pace
	// isRival: it was asked because another peer kept the fetch waiting.
	isRival bool
	offset  int64 // where it was asked to begin

	body     Body   // its ReadCloser is nil while none is open
	proven   bool   // a validator says that the body goes on from what this peer sent before
	ahead    []byte // of the body, read already
	aheadErr error  // that came after these
	resumes  int
	bytes    int64 // of it in the sink

	began, answered time.Time     // answered: when the first body began; zero: never
	waited          time.Duration // for what it did last
	held            time.Duration // after it had answered, by our own limit
}

// errBeaten ends a stream in whose place another one is read.
var errBeaten = errors.New("peer: another one delivered first")

// open asks the peer for the piece from an offset on, and checks what it says it will
// send. The body before it, if any, is closed. The error is an *Error, unless the try
// was ended from outside.
func (s *stream) open(from Resume) error {
	s.closeBody()
	s.pace.wait()
	body, err := s.member.peer.Get(s.ctx, s.piece, from)
	s.waited = s.pace.got(0)
	if err != nil {
		return s.why(err)
	}
	if s.answered.IsZero() {
		s.answered = time.Now()
	}
	switch n := body.Offset + body.Length; {
	case body.Offset != from.Offset && body.Offset != 0:
		err = Errorf(recovery.PeerFailed, "answers from byte %d, asked from byte %d", body.Offset, from.Offset)
	case body.Length >= 0 && s.size >= 0 && n != s.size:
		err = Errorf(recovery.WrongBytes, "%w: it says %d bytes, want %d", syncer.ErrWrongBytes, n, s.size)
	}
	if err != nil {
		_ = body.Close() // only read from: a failure to close loses nothing
		return err
	}
	s.body, s.proven = body, from.Validator != ""
	s.pace.body(true)
	return nil
}

// read reads on in the open body. A body that ends before its end is a *cutError.
func (s *stream) read(buf []byte) (int, error) {
	if len(s.ahead) > 0 || s.aheadErr != nil {
		return s.readAhead(buf)
	}
	s.pace.wait()
	n, err := s.body.Read(buf)
	s.waited = s.pace.got(n)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case s.ctx.Err() != nil:
		return n, s.why(err)
	}
	return n, &cutError{err}
}

func (s *stream) readAhead(buf []byte) (int, error) {
	n := copy(buf, s.ahead)
	if s.ahead = s.ahead[n:]; len(s.ahead) > 0 {
		return n, nil
	}
	err := s.aheadErr
	s.aheadErr = nil
	return n, err
}

// peek waits for the first bytes of the open body and keeps them in buf for read.
func (s *stream) peek(buf []byte) error {
	n, err := s.read(buf)
	if n == 0 && err != nil && err != io.EOF {
		return err
	}
	s.ahead, s.aheadErr = buf[:n], err
	return nil
}

// why is the error of what the peer did not do: our own reason to end the try, if
// there was one.
func (s *stream) why(err error) error {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, ErrDeadline):
		return &Error{Reason: recovery.Deadline, Err: cause}
	case errors.Is(cause, ErrTooSlow):
		return &Error{Reason: recovery.PeerFailed, Err: cause}
	case cause != nil:
		return cause
	}
	return err
}

// close ends the try.
func (s *stream) close() {
	s.cancel(nil)
	s.pace.stop()
	s.closeBody()
}

func (s *stream) closeBody() {
	if s.body.ReadCloser == nil {
		return
	}
	_ = s.body.Close() // only read from: a failure to close loses nothing
	s.body.ReadCloser = nil
	s.ahead, s.aheadErr = nil, nil
	s.pace.body(false)
}

// cutError says that a body ended before its end.
type cutError struct{ err error }

func (e *cutError) Error() string { return e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }
