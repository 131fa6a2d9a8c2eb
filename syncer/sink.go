package syncer

import (
	"fmt"
	"io"
	"sync/atomic"
)

// pieceSink is the one door through which bytes reach the store. The judge sees
// exactly what the draft gets.
type pieceSink struct {
	draft   Draft
	judge   Judge
	meter   *meter
	all     *atomic.Uint64 // bytes taken by all sinks of a handler
	size    int64
	written int64
	// verdict is what Verify said of the bytes written so far; judged is false
	// when it has not been asked since they changed.
	judged  bool
	verdict error
	// broken is the store's first refusal. It sticks: after it the draft's
	// content is unknown, and a peer must not be blamed for it.
	broken error
	// deadline is that of the fetch that fills the sink, which may fill others too.
	deadline *deadline
}

var (
	_ Sink      = (*pieceSink)(nil)
	_ PeerNoter = (*pieceSink)(nil)
	_ Holder    = (*pieceSink)(nil)
)

func newSink(draft Draft, judge Judge, m *meter, all *atomic.Uint64) *pieceSink {
	return &pieceSink{draft: draft, judge: judge, meter: m, all: all, size: judge.Size(), deadline: &deadline{}}
}

// Write takes what fits. The one byte beyond the size is counted, so that
// Verify knows of it, and neither judged nor stored.
func (s *pieceSink) Write(p []byte) (int, error) {
	if s.broken != nil {
		return 0, s.broken
	}
	s.judged = false
	room := s.size + 1 - s.written
	taken := p[:min(int64(len(p)), room)]
	kept := taken[:min(int64(len(taken)), max(s.size-s.written, 0))]
	if err := s.keep(kept); err != nil {
		return 0, err
	}
	s.written += int64(len(taken))
	s.meter.bytes.Add(int64(len(taken)))
	s.all.Add(uint64(len(taken)))
	if len(taken) < len(p) {
		return len(taken), fmt.Errorf("%w: it goes on after %d", ErrTooLong, s.size)
	}
	return len(taken), nil
}

func (s *pieceSink) keep(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	switch n, err := s.draft.Write(p); {
	case err != nil:
		return s.breaks("write", err)
	case n < len(p):
		return s.breaks("write", io.ErrShortWrite)
	}
	// A judge never fails by its contract; one that does has not seen the bytes.
	if _, err := s.judge.Write(p); err != nil {
		return s.breaks("judge", err)
	}
	return nil
}

func (s *pieceSink) Reset() error {
	if s.broken != nil {
		return s.broken
	}
	if s.written == 0 {
		return nil // a draft and a judge are born empty
	}
	if err := s.draft.Reset(); err != nil {
		return s.breaks("reset", err)
	}
	s.judge.Reset()
	s.meter.bytes.Add(-s.written)
	s.written, s.judged = 0, false
	return nil
}

func (s *pieceSink) Written() int64 { return s.written }

func (s *pieceSink) Verify() error {
	if s.broken != nil {
		return s.broken
	}
	if !s.judged {
		s.verdict, s.judged = s.look(), true
	}
	return s.verdict
}

func (s *pieceSink) look() error {
	switch {
	case s.written > s.size:
		return fmt.Errorf("%w: %w: it goes on after %d", ErrWrongBytes, ErrTooLong, s.size)
	case s.written < s.size:
		return fmt.Errorf("%w: %d bytes, want %d", ErrWrongBytes, s.written, s.size)
	}
	return s.judge.Verify()
}

func (s *pieceSink) NotePeer(peer string) { s.meter.notePeer(peer) }

func (s *pieceSink) Hold()    { s.deadline.hold() }
func (s *pieceSink) Release() { s.deadline.release() }

func (s *pieceSink) breaks(doing string, err error) error {
	s.broken = storeError(doing, err)
	return s.broken
}

// storeError says what the store was asked to do when it failed.
func storeError(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrStore, doing, err)
}
