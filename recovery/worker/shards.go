package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// ShardProgress is how far one owned shard is. Nothing in it is derived from the
// cursor (hazard 36).
type ShardProgress struct {
	Shard uint32 `json:"shard"`
	// Certified counts the certified blobs that have a piece on the shard, Done
	// those of them that are settled; null until they are counted. In a network that
	// moves they are as of the last count, up to ten minutes ago.
	Certified *uint64 `json:"certified"`
	Done      *uint64 `json:"done"`
	// Unsettled counts its blobs in the unsettled list, Parked those of them that
	// are parked.
	Unsettled uint64 `json:"unsettled"`
	Parked    uint64 `json:"parked"`
}

// Shards returns the owned shards by number, as of about a second ago; none while
// no run is in force. It never blocks. The slice is everybody's.
func (w *Worker) Shards() []ShardProgress {
	if list := w.shards.list.Load(); list != nil {
		return *list
	}
	return nil
}

// shardMap puts together what the machine knows of the shards and what was counted.
type shardMap struct {
	list  atomic.Pointer[[]ShardProgress]
	fresh time.Time // when the list was made; the loop's

	mu     sync.Mutex
	count  *shardCount             // the newest one that has ended
	ended  time.Time               // when; a failed one too
	failed bool                    // the last one did
	asked  chan recovery.ShardView // holds the newest count to begin
}

const (
	shardsEvery  = time.Second
	recountEvery = 10 * time.Minute // of a catalog that has moved
	recountAfter = 2 * time.Minute  // a count that failed, or that the catalog moved away from
)

func newShardMap() *shardMap { return &shardMap{asked: make(chan recovery.ShardView, 1)} }

// update makes the list anew. The loop calls it.
func (s *shardMap) update(now time.Time, v recovery.ShardView) {
	s.fresh = now
	if v.Run == 0 {
		s.list.Store(nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count != nil && !s.count.about(v) {
		s.count = nil
	}
	list := make([]ShardProgress, 0, v.Covers.Owned.Len())
	for shard := range v.Covers.Owned.All() {
		list = append(list, s.count.progress(shard, v))
	}
	s.list.Store(&list)
	if s.due(now, v) {
		select {
		case <-s.asked: // of an older view
		default:
		}
		s.asked <- v
	}
}

// due reports whether a count is to begin.
func (s *shardMap) due(now time.Time, v recovery.ShardView) bool {
	switch {
	case s.failed:
		return now.Sub(s.ended) >= recountAfter
	case s.count == nil || !s.count.usable(v):
		return true
	}
	return s.count.view.Catalog != v.Catalog && now.Sub(s.ended) >= recountEvery
}

// shardCount is how many certified blobs there were by shard, in one state of the
// catalog, and how many of them were settled before this process looked at them. The
// counts are those of recovery.ShardView.
type shardCount struct {
	view    recovery.ShardView // that was counted for
	total   []uint64
	covered []uint64 // of these, those that earlier passes covered
	below   []uint64 // others up to where this process's part of the pass began
}

// about reports whether the count is of the same shards of the same history.
func (c *shardCount) about(v recovery.ShardView) bool {
	same := c.view.Run == v.Run && c.view.Placement == v.Placement && c.view.Covers.Equal(v.Covers)
	// Everything is looked at again: the catalog may be another one.
	return same && (v.Covered != nil || c.view.Catalog == v.Catalog)
}

// whole reports whether finished passes covered the state that was counted. Later
// ones do not take anything back, so the count stays true of that state.
func (c *shardCount) whole(v recovery.ShardView) bool {
	return v.Covered != nil && c.view.Catalog.Position <= v.Covered.Position
}

// usable reports whether done blobs can be told by the count.
func (c *shardCount) usable(v recovery.ShardView) bool {
	return c.whole(v) || c.view.Catalog == v.Catalog && c.view.From == v.From && c.view.Bound == v.Bound && sameBound(c.view.Covered, v.Covered)
}

func sameBound(a, b *recovery.Bound) bool { return a == b || a != nil && b != nil && *a == *b }

// progress tells about one shard. A blob that is listed counts as not done wherever
// it was counted, so that Done is rather too low than too high.
func (c *shardCount) progress(shard uint32, v recovery.ShardView) ShardProgress {
	at := shard
	if v.Placement == shards.Striped {
		at = 0
	}
	p := ShardProgress{Shard: shard, Unsettled: v.Listed[at], Parked: v.Parked[at]}
	if c == nil || !c.usable(v) {
		return p
	}
	certified, done := c.total[at], c.total[at]
	if !c.whole(v) {
		done = min(done, c.covered[at]+c.below[at]+v.Looked[at])
	}
	done -= min(done, v.Listed[at])
	p.Certified, p.Done = &certified, &done
	return p
}
