package peer

import (
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// How long an answer about a shard is believed of all its pieces: a holder has nearly
// all of them, and one that lacked a piece may be getting them.
const (
	holdsFor = 10 * time.Minute
	lacksFor = time.Minute
)

// holds is what is known of a peer and a shard. Less is better.
type holds uint8

const (
	holdsIt holds = iota // it served a piece of it lately
	holdsUnknown
	holdsNot // it lacked one lately
)

// holdings remembers which shards of striped blobs each peer holds. In a fleet each
// holds some of them, and asking all in turn would cost more requests than pieces. The
// zero value knows nothing; its owner brings the time and the lock.
type holdings struct{ of map[held]holding }

type held struct {
	peer  int
	shard uint32 // below shards.MaxStriped, which bounds the map
}

type holding struct {
	holds holds
	until time.Time
}

// striped reports whether a piece lies in one shard of many.
func striped(p syncer.Piece) bool {
	return p.Blob.Encoding == recovery.Striped && !p.Manifest && p.Shard < shards.MaxStriped
}

// note takes a peer's answer about a piece; nil: it served it. Others tell nothing.
func (h *holdings) note(now time.Time, peer int, p syncer.Piece, failed *Error) {
	said := holding{holdsIt, now.Add(holdsFor)}
	switch {
	case !striped(p):
		return
	case failed != nil && failed.Reason == recovery.Absent:
		said = holding{holdsNot, now.Add(lacksFor)}
	case failed != nil:
		return
	}
	if h.of == nil {
		h.of = map[held]holding{}
	}
	h.of[held{peer, p.Shard}] = said
}

// knows says whether a peer holds the shard of a piece.
func (h *holdings) knows(now time.Time, peer int, p syncer.Piece) holds {
	if !striped(p) {
		return holdsUnknown
	}
	if said, ok := h.of[held{peer, p.Shard}]; ok && now.Before(said.until) {
		return said.holds
	}
	return holdsUnknown
}

// Outlook is how promising it is to ask for a piece now.
type Outlook uint8

const (
	Promising Outlook = iota // a peer lately served pieces of the same shard
	Unclear                  // some peer was not asked for any lately
	Dim                      // every peer lately lacked one, or lied about the blob
	Hopeless                 // no peer can be asked
)

// Outlook says, of pieces of striped blobs, whether one is likely to be had; of others
// it is Unclear, or Hopeless.
func (p *Pool) Outlook(piece syncer.Piece) Outlook { return p.board.outlook(piece) }

func (b *board) outlook(p syncer.Piece) Outlook {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, best := time.Now(), Hopeless
	for _, m := range b.members {
		if m.cond.state != Reachable {
			continue
		}
		its := Outlook(b.holdings.knows(now, m.index, p))
		if b.liars.knows(now, lie{m.index, p.Blob.ID}) {
			its = Dim
		}
		best = min(best, its)
	}
	return best
}
