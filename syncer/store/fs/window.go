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

// sortIDs sorts in place: first into 256 heaps by the byte after those that all
// ids share, which a comparison sort would spend a third of its time on.
func sortIDs(ids []recovery.BlobID) {
	const small = 2048
	depth := sharedBytes(ids)
	if len(ids) < small || depth == len(recovery.BlobID{}) {
		slices.SortFunc(ids, func(a, b recovery.BlobID) int { return compareIDs(&a, &b) })
		return
	}
	var next, end [256]int
	for i := range ids {
		end[ids[i][depth]]++
	}
	sum := 0
	for b := range end {
		next[b] = sum
		sum += end[b]
		end[b] = sum
	}
	start := next
	for b := range end {
		for next[b] < end[b] {
			to := ids[next[b]][depth]
			if int(to) == b {
				next[b]++
				continue
			}
			ids[next[b]], ids[next[to]] = ids[next[to]], ids[next[b]]
			next[to]++
		}
	}
	for b := range end {
		slices.SortFunc(ids[start[b]:end[b]], func(a, b recovery.BlobID) int { return compareIDs(&a, &b) })
	}
}

// sharedBytes returns how many leading bytes all ids have in common.
func sharedBytes(ids []recovery.BlobID) int {
	if len(ids) == 0 {
		return 0
	}
	shared := len(ids[0])
	for i := range ids {
		for n := range shared {
			if ids[i][n] != ids[0][n] {
				shared = n
				break
			}
		}
		if shared == 0 {
			break
		}
	}
	return shared
}

// compareIDs is BlobID.Compare by the first eight bytes, which nearly always
// decide, and without copying.
func compareIDs(a, b *recovery.BlobID) int {
	if c := cmp.Compare(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])); c != 0 {
		return c
	}
	return a.Compare(*b)
}
