package fs

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/recoverd/recoverd/recovery"
)

// window is a stretch of one shard's sorted listing: every id in it that is
// there as a regular file. The zero value covers nothing.
type window struct {
	from recovery.BlobID
	to   recovery.BlobID // exclusive
	open bool            // there is no end; to means nothing
	ids  []recovery.BlobID
}

// covers reports whether the window answers for id.
func (w *window) covers(id *recovery.BlobID) bool {
	return compareIDs(&w.from, id) <= 0 && (w.open || compareIDs(id, &w.to) < 0)
}

// merge calls hit for every wanted id that is in the window, and returns how
// many leading ids of want the window answers for. want rises. An error of hit
// ends it.
func (w *window) merge(want []wanted, hit func(wanted) error) (int, error) {
	if len(want) == 0 || !w.covers(&want[0].id) {
		return 0, nil
	}
	at, _ := slices.BinarySearchFunc(w.ids, want[0].id, recovery.BlobID.Compare)
	for n := range want {
		id := &want[n].id
		if !w.covers(id) {
			return n, nil
		}
		for at < len(w.ids) && compareIDs(&w.ids[at], id) < 0 {
			at++
		}
		if at == len(w.ids) || w.ids[at] != *id {
			continue
		}
		if err := hit(want[n]); err != nil {
			return n, err
		}
	}
	return len(want), nil
}

// wanted is a row that a shard is asked about.
type wanted struct {
	id  recovery.BlobID
	row int // its place among the rows
}

// collector fills a window with the lowest ids of a listing that comes in no
// particular order. It never holds more than limit ids: when it is full it sorts
// them and lets go of the upper half.
type collector struct {
	win   window
	limit int
	seen  int // ids offered
}

// newCollector begins with the bounds of the window and reuses the memory of an
// old one. limit is at least 2.
func newCollector(bounds window, limit int, old []recovery.BlobID) collector {
	bounds.ids = old[:0]
	return collector{win: bounds, limit: limit}
}

func (c *collector) add(id *recovery.BlobID) {
	c.seen++
	if !c.win.covers(id) {
		return
	}
	if len(c.win.ids) == cap(c.win.ids) {
		c.grow()
	}
	c.win.ids = append(c.win.ids, *id)
	if len(c.win.ids) < c.limit {
		return
	}
	c.sort()
	if half := c.limit / 2; len(c.win.ids) > half {
		c.win.to, c.win.open = c.win.ids[half], false
		c.win.ids = c.win.ids[:half]
	}
}

// grow doubles the room, but never beyond the limit.
func (c *collector) grow() {
	const least = 256
	ids := make([]recovery.BlobID, len(c.win.ids), min(max(2*len(c.win.ids), least), c.limit))
	copy(ids, c.win.ids)
	c.win.ids = ids
}

// window returns what was collected.
func (c *collector) window() window {
	c.sort()
	return c.win
}

// sort orders the ids and drops the doubles that a directory yields while it
// changes.
func (c *collector) sort() {
	sortIDs(c.win.ids)
	c.win.ids = slices.Compact(c.win.ids)
}

// sortIDs sorts in place. Ids are hashes, so their leading bytes tell them apart:
// long stretches are dealt into 256 heaps by one byte, which beats comparing.
func sortIDs(ids []recovery.BlobID) { sortFrom(ids, 0) }

// sortFrom sorts ids that are equal in their first depth bytes.
func sortFrom(ids []recovery.BlobID, depth int) {
	const short = 128
	if len(ids) < short || depth == len(recovery.BlobID{}) {
		slices.SortFunc(ids, func(a, b recovery.BlobID) int { return compareIDs(&a, &b) })
		return
	}
	var next, end [256]int // of each heap: the first place not dealt to, the end
	for i := range ids {
		end[ids[i][depth]]++
	}
	sum := 0
	for heap, n := range end {
		next[heap] = sum
		sum += n
		end[heap] = sum
	}
	start := 0
	for heap := range end {
		for at := next[heap]; at < end[heap]; at = next[heap] {
			to := ids[at][depth]
			ids[at], ids[next[to]] = ids[next[to]], ids[at]
			next[to]++
		}
		sortFrom(ids[start:end[heap]], depth+1)
		start = end[heap]
	}
}

// compareIDs is BlobID.Compare by the first eight bytes, which nearly always
// decide, and without copying.
func compareIDs(a, b *recovery.BlobID) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return a.Compare(*b)
}
