package peer

import (
	"context"
	"errors"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// fetch gets one piece from the peers of a pool. Whatever is in the sink is gone on
// with, whoever it came from, where a digest fixes the bytes.
//
// Bytes of several peers that turn out wrong together say nothing about any of them.
// Then the fetch begins again, alone: from zero, and all of it from one peer, then from
// the next. So who lies is found, and nobody else is called a liar. It also goes alone
// when nobody is left but peers that failed when they were asked for a rest.
type fetch struct {
	pool  *Pool
	piece syncer.Piece
	size  int64 // bytes; negative: only the sink knows
	sink  syncer.Sink
	buf   []byte

	alone   bool
	tried   peerSet // asked, and not to be asked again
	whole   peerSet // of those: not yet asked for the whole
	doubted peerSet // their bytes were wrong together
	wrong   bool    // what is in the sink cannot be gone on with
	answers []syncer.PeerAnswer
	parts   []stretch // the sink's bytes, in order
	race    race
}

// stretch is a part of the sink's bytes that one peer vouches for: it came in one
// answer, or in several that a validator joins.
type stretch struct {
	from      *stream
	bytes     int64
	validator string
}

// errMixed: nobody can be blamed for bytes that several parts make up.
var errMixed = errors.New("peer: wrong bytes, and not all of them from this peer")

// run asks peers until the piece is complete, and returns the one that completed it.
// The error is a *sinkError, an error of ctx, or a *syncer.FetchError; with the first
// two comes the peer that was asked, if one was.
func (f *fetch) run(ctx context.Context) (*member, error) {
	defer f.race.rivals.Wait()
	if err := f.drop(); err != nil {
		return nil, err
	}
	for {
		m, err := f.next(ctx)
		switch {
		case err != nil:
			return m, err
		case m == nil:
			return nil, &syncer.FetchError{Answers: append(f.answers, f.pool.board.leftAlone(f.tried)...)}
		}
		s, err := f.follow(ctx, f.begin(ctx, m))
		var broken *sinkError
		switch {
		case err == nil:
			f.served(s)
			return s.member, nil
		case errors.As(err, &broken), ctx.Err() != nil:
			f.abandon(s)
			return s.member, err
		case errors.Is(err, errMixed):
			f.abandon(s)
			f.mixed(s)
		default:
			f.failed(s, err)
		}
		if err := f.dropWrong(); err != nil {
			return s.member, err
		}
	}
}

// next picks the peer to ask, or returns nil if none is left. While the only one is on
// trial it waits for the verdict, so that not all are sent to one that may be broken.
// The error is that of ctx, and comes with the peer on trial.
func (f *fetch) next(ctx context.Context) (*member, error) {
	for {
		m, trial := f.pool.board.pick(f.piece, f.tried, f.doubted)
		switch {
		case trial != nil:
			select {
			case <-trial:
			case <-ctx.Done():
				return m, ended(ctx)
			}
		case m == nil && !f.alone && f.whole != 0:
			f.goAlone()
		default:
			return m, nil
		}
	}
}

func (f *fetch) goAlone() {
	f.alone = true
	f.tried &^= f.whole
}

// begin opens a try with a peer that the board has counted a request for.
func (f *fetch) begin(ctx context.Context, m *member) *stream {
	s := &stream{member: m, piece: f.piece, size: f.size, began: time.Now()}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.pace.cfg, s.pace.size, s.pace.cancel = f.pool.cfg, f.size, s.cancel
	s.pace.patience = f.pool.board.patience()
	s.pace.late = func() { f.late(ctx) }
	s.pace.start()
	return s
}

// follow reads from s, and from who wins against it, until the piece is complete and
// verified, or the last of them has failed. It returns that one.
func (f *fetch) follow(ctx context.Context, s *stream) (*stream, error) {
	from := f.reached(s)
	s.offset = from.Offset
	for {
		var err error
		s, err = f.answer(ctx, s, from)
		var cut *cutError
		switch {
		case err == nil, !errors.Is(err, syncer.ErrTooLong) && ctx.Err() == nil && f.complete():
			return s, f.verify()
		case !errors.As(err, &cut):
			return s, err
		case ctx.Err() != nil || !f.resumes(s, from.Offset):
			return s, cutOff(f.sink.Written(), cut)
		}
		from = Resume{Offset: f.sink.Written(), Validator: s.body.Validator}
	}
}

func cutOff(at int64, cut *cutError) *Error {
	return Errorf(recovery.PeerFailed, "cut off after %d bytes: %w", at, cut.err)
}

// reached is where a peer is asked to begin.
func (f *fetch) reached(s *stream) Resume {
	if f.alone || !fixed(f.piece) || f.pool.board.lied(s.member, f.piece) {
		return Resume{}
	}
	from := Resume{Offset: f.sink.Written()}
	for _, p := range f.parts {
		if from.Offset > 0 && p.from.member == s.member {
			from.Validator = p.validator
		}
	}
	return from
}

// fixed reports whether a digest fixes the bytes, so that what several peers have of
// them fits together.
func fixed(p syncer.Piece) bool {
	return p.Blob.Encoding == recovery.Raw || p.Blob.Encoding == recovery.Striped
}

// resumes reports whether s, which was asked from an offset on and was cut, is asked
// for the rest.
func (f *fetch) resumes(s *stream, offset int64) bool {
	mixes := fixed(f.piece) && !f.alone
	switch {
	case f.sink.Written() <= offset, s.resumes >= f.pool.cfg.Resumes, s.body.Validator == "" && !mixes:
		return false
	case mixes && f.pool.board.outranked(s.member, f.piece, f.tried):
		return false
	}
	s.resumes++
	return true
}

// complete reports whether the last byte has arrived: how an answer ends after it, as
// with a reset, does not matter.
func (f *fetch) complete() bool {
	if f.size < 0 {
		return len(f.parts) > 0 && f.sink.Verify() == nil
	}
	return len(f.parts) > 0 && f.sink.Written() == f.size
}

func (f *fetch) verify() error {
	err := f.sink.Verify()
	if err == nil {
		return nil
	}
	var wrong *Error
	if err = judgeSink(err); errors.As(err, &wrong) && len(f.parts) > 1 {
		return errMixed
	}
	return err
}
