package peer

import (
	"time"

	"github.com/recoverd/recoverd/syncer"
)

// rank orders candidates; the least is asked.
type rank struct {
	trusted     int // negative: how often it was doubted, where that counts
	liar, trial bool
	holds       holds
	suspect     bool
	cost        uint64
}

func (r rank) less(o rank) bool {
	switch {
	case r.trusted != o.trusted:
		return r.trusted < o.trusted
	case r.liar != o.liar:
		return o.liar
	case r.trial != o.trial:
		return o.trial
	case r.holds != o.holds:
		return r.holds < o.holds
	case r.suspect != o.suspect:
		return o.suspect
	}
	return r.cost < o.cost
}

// rankOf ranks a peer that has so many requests in flight. The lock is held.
func (b *board) rankOf(now time.Time, m *member, p syncer.Piece, inFlight int) rank {
	c := &m.cond
	return rank{
		liar:    b.liars.knows(now, lie{m.index, p.Blob.ID}),
		trial:   c.trial && inFlight > 0,
		holds:   b.holdings.knows(now, m.index, p),
		suspect: c.score.suspect(now),
		cost:    c.score.cost(now, SizeOf(p), inFlight),
	}
}

// best is the best usable peer that is not in tried, or nil. Of the doubted the one
// doubted most often comes first: one of them lies, and is found when it is asked
// alone. The lock is held.
func (b *board) best(now time.Time, p syncer.Piece, tried, doubted peerSet) (best *member, r rank) {
	for _, m := range b.members {
		if tried&m.set() != 0 || m.cond.state != Reachable {
			continue
		}
		mine := b.rankOf(now, m, p, m.cond.inFlight)
		if doubted&m.set() != 0 {
			mine.trusted = -m.cond.doubts
		}
		if best == nil || mine.less(r) {
			best, r = m, mine
		}
	}
	return best, r
}

// pick chooses the peer to ask, and counts a request in flight for it; end, beaten or
// abandon must follow. It returns nil if there is none. If the only one left is on trial
// and has a request to answer, wait is closed when its trial may be over.
func (b *board) pick(p syncer.Piece, tried, doubted peerSet) (m *member, wait <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, _ = b.best(time.Now(), p, tried, doubted)
	switch {
	case m == nil:
		return nil, nil
	case m.cond.onTrial():
		if b.verdict == nil {
			b.verdict = make(chan struct{})
		}
		return m, b.verdict
	}
	m.cond.inFlight++
	b.hedging.request()
	return m, nil
}

// rival chooses a peer to race another one, and counts a request in flight for it, as
// pick does. It returns nil if no sound one is left, the budget is used up, or anybody
// has too much to do.
func (b *board) rival(p syncer.Piece, tried peerSet) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.hedging.calm(now) {
		return nil
	}
	for _, m := range b.members {
		c := &m.cond
		if c.state == Resting {
			return nil
		}
		if c.trial || c.doubts > 0 || c.score.suspect(now) || b.liars.knows(now, lie{m.index, p.Blob.ID}) ||
			b.holdings.knows(now, m.index, p) == holdsNot {
			tried |= m.set()
		}
	}
	m, _ := b.best(now, p, tried, 0)
	if m == nil || !b.hedging.take() {
		return nil
	}
	m.cond.inFlight++
	m.cond.count.hedges++
	return m
}

// outranked reports whether m, which has a request in flight for p, is clearly worse
// than another peer that could go on in its place.
func (b *board) outranked(m *member, p syncer.Piece, tried peerSet) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	other, r := b.best(now, p, tried|m.set(), 0)
	if other == nil {
		return false
	}
	mine := b.rankOf(now, m, p, m.cond.inFlight-1)
	r.cost *= 4
	return m.cond.state != Reachable || r.less(mine)
}
