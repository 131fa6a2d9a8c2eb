package erasure

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/recoverd/recoverd/syncer"
)

// window is how much of a piece a source holds at most, in bytes: one stripe is read
// while the next ones come.
const window = 4 * stripe

var (
	// errTainted: bytes that were read already turned out to be wrong.
	errTainted = errors.New("erasure: what was read of the piece before was wrong")
	// errDropped: the source is not wanted any more.
	errDropped = errors.New("erasure: the piece is not wanted any more")
)

// source is a piece under way from a peer (a syncer.Sink) to a rebuild (a Source): one
// goroutine writes, another reads, and the writer waits when the window is full.
//
// A piece that fits into the window is read only after it was verified. So a lie in it
// costs one more transfer, and the rebuild does not notice. A larger one is read as it
// comes: if it is begun again from elsewhere, the bytes that were taken already are
// skipped and held against the first ones by their digest. Either they are the same,
// and the rebuild does not notice; or the rebuild is tainted, and is told so.
type source struct {
	rings  *sync.Pool // of *ring
	index  int
	size   int64
	target syncer.Sink         // that is filled; told when we hold the transfer back
	ready  func()              // called once, when reading may begin
	wrong  func(string, error) // a peer's bytes failed

	mu       sync.Mutex
	room     sync.Cond // where the writer waits
	more     sync.Cond // where the reader waits
	needs    int64     // the offset up to which it waits for bytes; 0: for none
	judge    *judge
	peer     string
	ring     *ring             // bytes from read to taken; nil: none yet
	written  int64             // in this try
	taken    int64             // ever put into the ring: the most of all tries
	read     int64             // read, and given back
	lent     int64             // that the reader has at the moment, from read on
	prefix   [sha256.Size]byte // of the bytes taken, while they come once more
	failed   bool              // Verify refused this try's bytes
	isReady  bool
	verified bool
	err      error // why nothing more comes
}

var (
	_ syncer.Sink      = (*source)(nil)
	_ syncer.PeerNoter = (*source)(nil)
	_ syncer.Holder    = (*source)(nil)
)

func newSource(m *Manifest, index int, rings *sync.Pool) *source {
	s := &source{rings: rings, index: index, size: m.PieceSize(), judge: newJudge(m.PieceSize(), m.Pieces[index])}
	s.room.L, s.more.L = &s.mu, &s.mu
	return s
}

// ring holds byte n of a piece at n modulo its length.
type ring [window]byte

// whole reports whether the piece is read only once it was verified.
func (s *source) whole() bool { return s.size <= window }

// Write implements syncer.Sink.
func (s *source) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if s.err != nil {
			return n, s.err
		}
		part := p[n:]
		switch {
		case s.written > s.size || s.written == s.size && len(part) > 1:
			s.written = s.size + 1
			return n, fmt.Errorf("%w: it goes on after %d", syncer.ErrTooLong, s.size)
		case s.written == s.size:
			s.written++
			return n + 1, nil
		case s.written < s.taken:
			part = part[:min(int64(len(part)), s.taken-s.written)]
			if err := s.compare(part); err != nil {
				return n, err
			}
		default:
			if part = s.keep(part); len(part) == 0 {
				continue // dropped while it waited
			}
		}
		n += len(part)
	}
	return n, nil
}

// compare skips bytes that came before in another try.
func (s *source) compare(p []byte) error {
	s.judge.hash.Write(p)
	s.written += int64(len(p))
	if s.written == s.taken && s.judge.sum() != s.prefix {
		return s.fail(errTainted)
	}
	return nil
}

// fail ends the source. The lock is held.
func (s *source) fail(err error) error {
	s.err = err
	s.room.Signal()
	s.more.Signal()
	return err
}

// keep puts the first bytes into the window, after waiting for room. The lock is held,
// but not while bytes are moved and hashed: nobody else writes, and nobody reads what
// is not taken yet.
func (s *source) keep(p []byte) []byte {
	for s.taken-s.read == window && s.err == nil {
		s.room.Wait()
	}
	if s.err != nil {
		return nil
	}
	if s.ring == nil {
		s.ring = s.rings.Get().(*ring)
	}
	at := s.taken % window
	p = p[:min(int64(len(p)), window-(s.taken-s.read), window-at, s.size-s.written)]
	s.mu.Unlock()
	copy(s.ring[at:], p)
	s.judge.hash.Write(p)
	s.mu.Lock()
	s.written += int64(len(p))
	s.taken = s.written
	if !s.whole() && s.taken-s.read == window {
		s.begin()
	}
	if s.needs > 0 && s.taken >= s.needs {
		s.more.Signal()
	}
	return p
}

// begin says that reading may begin. The lock is held.
func (s *source) begin() {
	if !s.isReady {
		s.isReady = true
		s.ready()
	}
}

// Reset implements syncer.Sink.
func (s *source) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case s.read+s.lent == 0: // nobody has seen anything
		s.taken = 0
	case s.failed:
		return s.fail(errTainted)
	case s.written >= s.taken:
		s.prefix = s.judge.sum()
	}
	s.written, s.failed = 0, false
	s.judge.Reset()
	return nil
}

// Written implements syncer.Sink.
func (s *source) Written() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// Verify implements syncer.Sink.
func (s *source) Verify() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.verify()
	if err != nil && errors.Is(err, syncer.ErrWrongBytes) && !s.failed {
		s.failed = true
		s.wrong(s.peer, err)
	}
	return err
}

func (s *source) verify() error {
	switch {
	case s.err != nil:
		return s.err
	case s.written > s.size:
		return fmt.Errorf("%w: %w: it goes on after %d", syncer.ErrWrongBytes, syncer.ErrTooLong, s.size)
	case s.written < s.size:
		return fmt.Errorf("%w: %d bytes, want %d", syncer.ErrWrongBytes, s.written, s.size)
	}
	return s.judge.Verify()
}

// NotePeer implements syncer.PeerNoter.
func (s *source) NotePeer(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer = peer
}

// from names who sends the piece.
func (s *source) from() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer
}

// Hold implements syncer.Holder.
func (s *source) Hold() {
	if h, ok := s.target.(syncer.Holder); ok {
		h.Hold()
	}
}

// Release implements syncer.Holder.
func (s *source) Release() {
	if h, ok := s.target.(syncer.Holder); ok {
		h.Release()
	}
}

// end says that nothing more comes: nil after the piece was verified. Early says that
// reading had not begun before.
func (s *source) end(err error) (early bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	early = !s.isReady
	switch {
	case err == nil:
		s.verified = true
		s.begin()
		s.more.Signal()
	case s.err == nil && !s.verified:
		_ = s.fail(err) // which its reader is told
	}
	return early
}

// next hands out the next n bytes, in place: they are the reader's until it calls
// again. n is a whole stripe, or what is left of the piece.
func (s *source) next(n int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack()
	for s.err == nil && (s.taken-s.read < int64(n) || s.whole() && !s.verified) {
		s.needs = s.read + int64(n)
		s.more.Wait()
	}
	s.needs = 0
	if s.err != nil {
		return nil, s.err
	}
	s.lent = int64(n)
	at := s.read % window
	return s.ring[at : at+int64(n)], nil
}

// giveBack makes room where the reader has been. The lock is held.
func (s *source) giveBack() {
	if s.lent > 0 {
		s.read += s.lent
		s.lent = 0
		s.room.Signal()
	}
}

// Read is for the end: it returns io.EOF after all bytes were handed out and the piece
// was verified.
func (s *source) Read([]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack()
	for !s.verified && s.err == nil {
		s.more.Wait()
	}
	switch {
	case s.err != nil:
		return 0, s.err
	case s.read < s.size:
		return 0, io.ErrNoProgress
	}
	return 0, io.EOF
}

// free gives the memory back. Nobody may read or write any more.
func (s *source) free() {
	if s.ring != nil {
		s.rings.Put(s.ring)
		s.ring = nil
	}
}
