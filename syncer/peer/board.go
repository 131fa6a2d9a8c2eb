package peer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// member is a peer of a pool.
type member struct {
	peer  Peer
	name  string
	index int           // in the order configured
	wake  chan struct{} // holds one: its state changed
	cond  condition     // the board's lock guards it
}

// set is the set of this peer alone.
func (m *member) set() peerSet { return 1 << m.index }

// peerSet is a set of a pool's peers, by their index.
type peerSet uint64

const allPeers = ^peerSet(0)

// board holds the conditions of a pool's peers and chooses among them.
type board struct {
	mu       sync.Mutex
	members  []*member
	liars    liars
	holdings holdings
	hedging  hedging
	verdict  chan struct{} // closed when a trial may be over; nil: nobody waits for one
	version  uint64        // of the health; grows
	seen     uint64        // version that the last Changed returned for
	changed  chan struct{} // closed when version grows
}

func newBoard(cfg Config, peers []Peer) *board {
	b := &board{liars: liars{keep: cfg.LiarMemory}, version: 1, changed: make(chan struct{})}
	if len(peers) > 1 { // else there is nobody to race
		b.hedging.percent = max(cfg.HedgePercent, 0)
	}
	names := make(map[string]int)
	for i, p := range peers {
		name := p.Name()
		if names[name]++; names[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, names[name])
		}
		b.members = append(b.members, &member{
			peer: p, name: name, index: i, wake: make(chan struct{}, 1), cond: condition{state: Reachable},
		})
	}
	return b
}

// serve ends a try that completed the piece. Proven says that the peer sent all of it.
func (b *board) serve(s *stream, proven bool) {
	s.close()
	now := time.Now()
	b.update(s.member, func(c *condition) {
		c.end(now, try{began: s.began, answered: s.answered, held: s.held, bytes: s.bytes})
		b.holdings.note(now, s.member.index, s.piece, nil)
		b.hedging.waited(now, false, s.answered.Sub(s.began))
		b.hedging.waited(now, true, s.pace.longest)
		if proven {
			c.doubts = 0
		}
	})
}

// fail ends a try that failed, and returns how.
func (b *board) fail(s *stream, err error) *Error {
	s.close()
	now, failed := time.Now(), asError(err)
	b.update(s.member, func(c *condition) {
		c.end(now, try{began: s.began, answered: s.answered, err: failed})
		b.holdings.note(now, s.member.index, s.piece, failed)
		switch {
		case failed.Reason == recovery.WrongBytes:
			b.liars.remember(now, lie{s.member.index, s.piece.Blob.ID})
		case failed.Rest > 0:
			b.hedging.overloadAt = now
		}
	})
	return failed
}

// beaten ends a try that a rival was faster than.
func (b *board) beaten(s *stream) {
	now, inBody := time.Now(), s.body.ReadCloser != nil
	s.close()
	b.update(s.member, func(c *condition) {
		c.beaten(now, s.waited)
		b.hedging.waited(now, inBody, s.waited)
	})
}

// abandon ends a try that ended through no doing of the peer's.
func (b *board) abandon(s *stream) {
	s.close()
	b.update(s.member, (*condition).abandon)
}

// doubt notes that the bytes of these peers were wrong together.
func (b *board) doubt(peers peerSet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.members {
		if peers&m.set() != 0 {
			m.cond.doubts++
		}
	}
}

// strained notes that our own limit holds a transfer.
func (b *board) strained(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hedging.overloadAt = now
}

// patience is how long to wait for an answer, and for the next bytes of a body, before
// another peer is asked as well.
func (b *board) patience() (d [2]time.Duration) {
	for i := range d {
		d[i] = time.Duration(b.hedging.patience[i].Load())
	}
	return d
}

// lied reports whether a peer is known to have sent wrong bytes for a piece.
func (b *board) lied(m *member, p syncer.Piece) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.liars.knows(time.Now(), lie{m.index, p.Blob.ID})
}

// update changes a peer's condition, and tells whoever waits for the health.
func (b *board) update(m *member, change func(*condition)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, onTrial := m.cond.state, m.cond.onTrial()
	change(&m.cond)
	if onTrial && !m.cond.onTrial() && b.verdict != nil {
		close(b.verdict)
		b.verdict = nil
	}
	if m.cond.state == before {
		return
	}
	b.version++
	close(b.changed)
	b.changed = make(chan struct{})
	select {
	case m.wake <- struct{}{}:
	default: // it has not looked since the last change, and will
	}
}

// due is condition.due under the lock.
func (b *board) due(m *member) (in time.Duration, probe, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.cond.due(time.Now())
}

// leftAlone lists the peers that are not in tried because they are resting or
// unreachable.
func (b *board) leftAlone(tried peerSet) []syncer.PeerAnswer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var answers []syncer.PeerAnswer
	now := time.Now()
	for _, m := range b.members {
		if tried&m.set() != 0 || m.cond.state == Reachable {
			continue
		}
		left := max(0, m.cond.until.Sub(now)).Round(time.Millisecond)
		answers = append(answers, syncer.PeerAnswer{
			Peer: m.name, Reason: recovery.Unreachable,
			Err: fmt.Errorf("%w: %s for another %v after: %s", ErrNotAsked, m.cond.state, left, m.cond.lastErr),
		})
	}
	return answers
}

// liarsAbout names the peers that are known to have sent wrong bytes for an id.
func (b *board) liarsAbout(id recovery.BlobID) (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, m := range b.members {
		if b.liars.knows(now, lie{m.index, id}) {
			names = append(names, m.name)
		}
	}
	return names
}

func (b *board) health() recovery.PeerHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := recovery.PeerHealth{Total: len(b.members)}
	for _, m := range b.members {
		if m.cond.state == Reachable {
			h.Reachable++
		}
		h.Returns += m.cond.returns
	}
	return h
}

func (b *board) overloads() (n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.members {
		n += m.cond.count.overloads
	}
	return n
}

// waitChange returns nil when the version is not the one it last returned for.
func (b *board) waitChange(ctx context.Context, closed <-chan struct{}) error {
	for {
		b.mu.Lock()
		version, changed := b.version, b.changed
		isNew := version != b.seen
		b.seen = version
		b.mu.Unlock()
		if isNew {
			return nil
		}
		select {
		case <-changed:
		case <-closed:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
