package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// transfer is one try to get one piece from one peer, resumed after cuts. It
// allocates nothing of the piece's size.
type transfer struct {
	cfg      Config
	peer     Peer
	piece    syncer.Piece
	size     int64 // bytes; negative: only the sink knows
	sink     syncer.Sink
	buf      []byte
	pace     *pace
	throttle *throttle

	began    time.Time
	answered time.Time     // when the first body began; zero: never
	held     time.Duration // by our own limit
}

// run fills the sink and has it verified. Its error is a *sinkError, an error of
// ctx, or a *Error.
func (t *transfer) run(ctx context.Context) error {
	tryCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.pace = startPace(t.cfg, t.size, cancel)
	defer t.pace.stop()

	err := t.fetch(tryCtx)
	var broken *sinkError
	switch {
	case err == nil || errors.As(err, &broken):
		return err
	case ctx.Err() != nil:
		return ended(ctx)
	}
	switch cause := context.Cause(tryCtx); {
	case errors.Is(cause, ErrDeadline):
		return &Error{Reason: recovery.Deadline, Err: cause}
	case errors.Is(cause, ErrTooSlow):
		return &Error{Reason: recovery.PeerFailed, Err: cause}
	}
	return asError(err)
}

func (t *transfer) fetch(ctx context.Context) error {
	if err := t.sink.Reset(); err != nil {
		return &sinkError{fmt.Errorf("reset: %w", err)}
	}
	var from Resume
	for resumes := 0; ; resumes++ {
		validator, err := t.part(ctx, from)
		var cut *cutError
		switch {
		case err == nil:
			return t.verify()
		case !errors.As(err, &cut):
			return err
		}
		written := t.sink.Written()
		if written == t.size { // what came after the last byte does not matter
			return t.verify()
		}
		if ctx.Err() != nil || validator == "" || written <= from.Offset || resumes >= t.cfg.Resumes {
			return Errorf(recovery.PeerFailed, "cut off after %d bytes: %w", written, cut.err)
		}
		from = Resume{Offset: written, Validator: validator}
	}
}

// part reads one answer to its end.
func (t *transfer) part(ctx context.Context, from Resume) (validator string, err error) {
	t.pace.wait()
	body, err := t.peer.Get(ctx, t.piece, from)
	t.pace.got(0)
	if err != nil {
		return "", err
	}
	defer body.Close() // only read from: a failure to close loses nothing
	if t.answered.IsZero() {
		t.answered = time.Now()
	}
	t.pace.body(true)
	defer t.pace.body(false)

	switch body.Offset {
	case from.Offset:
	case 0:
		if err := t.sink.Reset(); err != nil {
			return "", &sinkError{fmt.Errorf("reset: %w", err)}
		}
	default:
		return "", Errorf(recovery.PeerFailed, "answers from byte %d, asked from byte %d", body.Offset, from.Offset)
	}
	if n := body.Offset + body.Length; body.Length >= 0 && t.size >= 0 && n != t.size {
		return "", Errorf(recovery.WrongBytes, "%w: it says %d bytes, want %d", syncer.ErrWrongBytes, n, t.size)
	}
	return body.Validator, t.copy(ctx, body)
}

// copy moves the body into the sink. Of a body that goes on after the piece's
// last byte, one byte is read and none is kept (hazard 70).
func (t *transfer) copy(ctx context.Context, body io.Reader) error {
	for {
		buf, room := t.buf[:t.throttle.chunk(len(t.buf))], int64(-1)
		if t.size >= 0 {
			room = t.size - t.sink.Written()
			buf = buf[:min(int64(len(buf)), room+1)]
		}
		t.pace.wait()
		n, readErr := body.Read(buf)
		t.pace.got(n)
		if room >= 0 && int64(n) > room {
			return Errorf(recovery.WrongBytes, "%w: it goes on after %d bytes", syncer.ErrTooLong, t.size)
		}
		if n > 0 {
			if err := t.pay(ctx, n); err != nil {
				return err
			}
			if _, err := t.sink.Write(buf[:n]); err != nil {
				return judgeSink(err)
			}
		}
		switch {
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return &cutError{readErr}
		}
	}
}

// pay waits until the limit of bytes a second allows for what was read. The peer is
// not waited for meanwhile, so neither its speed nor a deadline is counted.
func (t *transfer) pay(ctx context.Context, n int) error {
	if t.throttle.free(n) {
		return nil
	}
	if holder, ok := t.sink.(syncer.Holder); ok {
		holder.Hold()
		defer holder.Release()
	}
	began := time.Now()
	err := t.throttle.wait(ctx, n)
	t.held += time.Since(began)
	return err
}

func (t *transfer) verify() error {
	if err := t.sink.Verify(); err != nil {
		return judgeSink(err)
	}
	return nil
}

// ended is why ctx ended, as errors.Is sees it: context.Canceled or
// context.DeadlineExceeded, and the cause if there is another one.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// overdue reports whether ctx ended because the time was up. A deadline that can be
// held is a cause.
func overdue(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// cutError says that a body ended before its end.
type cutError struct{ err error }

func (e *cutError) Error() string { return e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }
