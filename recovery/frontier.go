package recovery

import (
	"container/heap"
	"time"
)

// frontier is what a run knows: the pair, how far the scan has looked, and the
// unsettled list. The cursor is not kept but computed, so it cannot disagree.
type frontier struct {
	covered *Bound
	bound   Bound
	scan    Mark
	list    map[BlobID]*entry
	due     dueHeap // entries that wait for their time
	counts  [Parked + 1]int
	tried   int      // parked entries whose slow retry is under way
	free    []*entry // for reuse; at most maxFree
}

// entry is one unsettled blob.
type entry struct {
	Unsettled
	row     Row           // what the last look said; valid from ready on
	seq     uint64        // of the Sync under way, 0 without one
	at      time.Duration // when it is due; monotonic
	slot    int           // index in the due heap, -1 outside of it
	lost    bool          // put back, or certified anew, while its sync was under way: a success is out of date
	retried bool          // counts against the share of slots for retries
	parked  bool          // was parked when its try began; counted in tried
}

const maxFree = 4_096

func newFrontier(p Progress) *frontier {
	f := &frontier{covered: p.Covered, bound: p.Bound, scan: p.Scan, list: make(map[BlobID]*entry, len(p.Unsettled))}
	for _, u := range p.Unsettled {
		// A restart looks at every listed id at once; a stored next try is for
		// display (I3). What counted towards parking still counts.
		u.State, u.NextTry = Waiting, time.Time{}
		f.wait(f.insert(u), 0)
	}
	return f
}

// passDone reports whether the pass has looked at everything up to its bound.
func (f *frontier) passDone() bool { return f.covered != nil && *f.covered == f.bound }

// insert adds an entry outside of every queue. The id must not be listed.
func (f *frontier) insert(u Unsettled) *entry {
	var e *entry
	if n := len(f.free); n > 0 {
		e, f.free = f.free[n-1], f.free[:n-1]
	} else {
		e = new(entry)
	}
	*e = entry{Unsettled: u, slot: -1}
	f.list[u.ID] = e
	f.counts[u.State]++
	return e
}

// settle removes an entry: its blob is finished for this run.
func (f *frontier) settle(e *entry) {
	f.unqueue(e)
	f.endParkedTry(e)
	delete(f.list, e.ID)
	f.counts[e.State]--
	if len(f.free) < maxFree {
		f.free = append(f.free, e)
	}
}

func (f *frontier) setState(e *entry, s EntryState) {
	f.counts[e.State]--
	e.State = s
	f.counts[s]++
}

// wait queues an entry until at.
func (f *frontier) wait(e *entry, at time.Duration) {
	e.at = at
	if e.slot >= 0 {
		heap.Fix(&f.due, e.slot)
		return
	}
	heap.Push(&f.due, e)
}

func (f *frontier) unqueue(e *entry) {
	if e.slot >= 0 {
		heap.Remove(&f.due, e.slot)
	}
}

// nextDue returns when the first waiting entry is due.
func (f *frontier) nextDue() (at time.Duration, ok bool) {
	if len(f.due) == 0 {
		return 0, false
	}
	return f.due[0].at, true
}

// popDue takes the first waiting entry out of the queue if it is due by now.
func (f *frontier) popDue(now time.Duration) *entry {
	if len(f.due) == 0 || f.due[0].at > now {
		return nil
	}
	return heap.Pop(&f.due).(*entry)
}

// cursor returns the highest mark up to which everything is settled: the scan
// position, but always below the lowest unsettled id (I2).
func (f *frontier) cursor() Mark {
	c := f.scan
	for id := range f.list {
		if c.Covers(id) {
			c = justBelow(id)
		}
	}
	return c
}

// export copies the list. The order is that of a Go map: a saver sorts.
func (f *frontier) export() []Unsettled {
	if len(f.list) == 0 {
		return nil
	}
	out := make([]Unsettled, 0, len(f.list))
	for _, e := range f.list {
		out = append(out, e.Unsettled)
	}
	return out
}

// beginParkedTry and endParkedTry keep count of the parked entries that are
// being tried: they still take up room among the parked ones.
func (f *frontier) beginParkedTry(e *entry) {
	e.parked = true
	f.tried++
}

func (f *frontier) endParkedTry(e *entry) {
	if e.parked {
		e.parked = false
		f.tried--
	}
}

// parked is the number of entries that take up room for parked ones.
func (f *frontier) parked() int { return f.counts[Parked] + f.tried }

// active is the number of entries that are neither parked nor waiting for a
// parked one's slow retry.
func (f *frontier) active() int { return len(f.list) - f.counts[Parked] }

// dueHeap orders entries by time, then by id, so that histories replay.
type dueHeap []*entry

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].ID.Compare(h[j].ID) < 0
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}
func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.slot = len(*h)
	*h = append(*h, e)
}
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.slot = -1
	return e
}
