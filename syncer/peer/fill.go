package peer

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// answer reads one answer to its end.
func (f *fetch) answer(ctx context.Context, s *stream, from Resume) (*stream, error) {
	s, err := f.open(s, from)
	if err != nil {
		return s, err
	}
	for {
		buf, room := f.buf[:f.pool.throttle.chunk(len(f.buf))], int64(-1)
		if f.size >= 0 { // one byte too many is read, and none is kept (hazard 70)
			room = f.size - f.sink.Written()
			buf = buf[:min(int64(len(buf)), room+1)]
		}
		var n int
		var readErr error
		if s, n, readErr = f.read(s, buf); n > 0 {
			if room >= 0 && int64(n) > room {
				return s, Errorf(recovery.WrongBytes, "%w: it goes on after %d bytes", syncer.ErrTooLong, f.size)
			}
			if err := f.take(ctx, s, buf[:n]); err != nil {
				return s, err
			}
		}
		switch {
		case readErr == io.EOF:
			return s, nil
		case readErr != nil:
			return s, readErr
		}
	}
}

// open waits for an answer to begin: of s, or of who is asked meanwhile.
func (f *fetch) open(s *stream, from Resume) (*stream, error) {
	f.note(s)
	f.race.begin(s, from.Offset, f.noRivals(from.Offset))
	s, err := f.decide(s, s.open(from))
	if err != nil {
		return s, err
	}
	return s, f.join(s)
}

// read waits for the next bytes: of s, or of who is asked meanwhile.
func (f *fetch) read(s *stream, buf []byte) (*stream, int, error) {
	at := f.sink.Written()
	f.race.begin(s, at, f.noRivals(at))
	n, err := s.read(buf)
	now, err := f.decide(s, err)
	if now == s {
		return s, n, err
	}
	if err = f.join(now); err == nil {
		n, err = now.read(buf)
	}
	return now, n, err
}

// noRivals are the peers that a rival from this offset on is not chosen from.
func (f *fetch) noRivals(offset int64) peerSet {
	if f.alone || offset > 0 && (!fixed(f.piece) || offset == f.size) {
		return allPeers
	}
	return f.tried
}

// decide ends a wait for s, which brought err. If a rival won, it takes the place of s.
func (f *fetch) decide(s *stream, err error) (*stream, error) {
	rival, beaten := f.race.end(err != nil && err != io.EOF)
	for _, l := range f.race.takeFailures() {
		f.blame(l.stream, l.err)
	}
	if rival == nil {
		return s, err
	}
	if beaten {
		f.pool.board.beaten(s)
	} else {
		f.failed(s, err)
	}
	f.pool.board.update(rival.member, func(c *condition) { c.count.hedgeWins++ })
	f.note(rival)
	return rival, nil
}

// note names the peer whose bytes come next.
func (f *fetch) note(s *stream) {
	if status, ok := f.sink.(syncer.PeerNoter); ok {
		status.NotePeer(s.member.name)
	}
}

// join puts the open body of s behind what is in the sink, or in its place.
func (f *fetch) join(s *stream) error {
	if s.body.Offset == 0 {
		s.bytes = 0
		if err := f.drop(); err != nil {
			return err
		}
	} else if n := len(f.parts); n > 0 {
		last := f.parts[n-1].from
		if last == s && s.proven {
			return nil
		}
		if last.member != s.member && !s.isRival {
			f.pool.board.update(last.member, func(c *condition) { c.count.failovers++ })
		}
	}
	f.parts = append(f.parts, stretch{from: s, validator: s.body.Validator})
	return nil
}

// take moves bytes of s into the sink, once the limit of bytes a second allows it.
func (f *fetch) take(ctx context.Context, s *stream, b []byte) error {
	if err := f.pay(ctx, s, len(b)); err != nil {
		return err
	}
	n, err := f.sink.Write(b)
	f.parts[len(f.parts)-1].bytes += int64(n)
	s.bytes += int64(n)
	if err != nil {
		return judgeSink(err)
	}
	return nil
}

// pay waits until the limit of bytes a second allows for what was read. The peer is
// not waited for meanwhile, so neither its speed nor a deadline is counted.
func (f *fetch) pay(ctx context.Context, s *stream, n int) error {
	if f.pool.throttle.free(n) {
		return nil
	}
	if holder, ok := f.sink.(syncer.Holder); ok {
		holder.Hold()
		defer holder.Release()
	}
	began := time.Now()
	f.pool.board.strained(began)
	err := f.pool.throttle.wait(ctx, n)
	s.held += time.Since(began)
	return err
}

// dropWrong empties the sink of bytes that nobody can go on with.
func (f *fetch) dropWrong() error {
	if !f.wrong {
		return nil
	}
	return f.drop()
}

// drop empties the sink.
func (f *fetch) drop() error {
	f.parts, f.wrong = f.parts[:0], false
	if err := f.sink.Reset(); err != nil {
		return &sinkError{fmt.Errorf("reset: %w", err)}
	}
	return nil
}
