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

// board holds the conditions of a pool's peers and chooses among them.
type board struct {
	mu       sync.Mutex
	members  []*member
	liars    liars
	holdings holdings
	version  uint64        // of the health; grows
	seen     uint64        // version that the last Changed returned for
	changed  chan struct{} // closed when version grows
}

func newBoard(keepLies time.Duration, peers []Peer) *board {
	b := &board{liars: liars{keep: keepLies}, version: 1, changed: make(chan struct{})}
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

// rank orders candidates; the least is asked.
type rank struct {
	liar, onTrial bool
	holds         holds
	suspect       bool
	cost          uint64
}

func (r rank) less(o rank) bool {
	switch {
	case r.liar != o.liar:
		return o.liar
	case r.onTrial != o.onTrial:
		return o.onTrial
	case r.holds != o.holds:
		return r.holds < o.holds
	case r.suspect != o.suspect:
		return o.suspect
	}
	return r.cost < o.cost
}

// pick chooses the best usable peer whose bit is not in tried, and counts a
// request in flight for it; end or abandon must follow. It returns nil if there
// is none.
func (b *board) pick(p syncer.Piece, tried uint64) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, size := time.Now(), SizeOf(p)
	var best *member
	var bestRank rank
	for _, m := range b.members {
		c := &m.cond
		if tried&(1<<m.index) != 0 || c.state != Reachable {
			continue
		}
		r := rank{
			liar:    b.liars.knows(now, lie{m.index, p.Blob.ID}),
			holds:   b.holdings.knows(now, m.index, p),
			onTrial: c.trial && c.inFlight > 0,
			suspect: c.score.suspect(now),
			cost:    c.score.cost(now, size, c.inFlight),
		}
		if best == nil || r.less(bestRank) {
			best, bestRank = m, r
		}
	}
	if best != nil {
		best.cond.inFlight++
	}
	return best
}

// end counts a try of p with m.
func (b *board) end(m *member, p syncer.Piece, t try) {
	now := time.Now()
	b.update(m, func(c *condition) {
		c.end(now, t)
		b.holdings.note(now, m.index, p, t.err)
		if t.err != nil && t.err.Reason == recovery.WrongBytes {
			b.liars.remember(now, lie{m.index, p.Blob.ID})
		}
	})
}

// update changes a peer's condition, and tells whoever waits for the health.
func (b *board) update(m *member, change func(*condition)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := m.cond.state
	change(&m.cond)
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
func (b *board) leftAlone(tried uint64) []syncer.PeerAnswer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var answers []syncer.PeerAnswer
	now := time.Now()
	for _, m := range b.members {
		if tried&(1<<m.index) != 0 || m.cond.state == Reachable {
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
