package fs

import (
	"encoding/binary"
	"math"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/store"
)

// What decides between listing directories and asking about each piece. The
// figures are ratios of DESIGN 11.
const (
	// fewRows is the number of rows below which nothing is listed for them.
	fewRows = 64
	// lookupCost is what asking about one piece costs, in entries listed.
	lookupCost = 4
	// openCost is what opening and closing a directory costs, in the same.
	openCost = 16
)

// worthListing decides how a call is answered. Single questions are cheaper
//
//   - for fewer than 64 rows: retries, or the tail of a scan;
//   - for rows so scattered that many more entries would be listed than asked
//     about: the questions for each part of the id space, times 4, are held
//     against the entries that have to be read for it;
//   - for a call that goes back behind the last one: look-ups of retries between
//     the pages of a scan, which must not cost the scan its windows. The third
//     such call in a row is taken for a new scan.
func (inv *Inventory) worthListing(rows []recovery.Row, lookups int) bool {
	if len(rows) < fewRows || lookups == 0 || inv.limit < minWindow {
		return false
	}
	first, last := rows[0].ID, rows[len(rows)-1].ID
	span := fraction(last) - fraction(first)
	if float64(lookups)*lookupCost < span*inv.readingCost(first, last) {
		return false
	}
	switch inv.walk.step(first, last) {
	case stray:
		return false
	case begins:
		for i := range inv.shards {
			inv.shards[i].win = window{ids: inv.shards[i].win.ids[:0]}
		}
	}
	return true
}

// readingCost estimates what listing the whole id space at the present rate
// would cost, in entries, from the shards listed so far: one window reads all of
// its directory and answers for what memory keeps of it. Shards whose windows
// reach from first to last cost nothing.
func (inv *Inventory) readingCost(first, last recovery.BlobID) float64 {
	known, entries, behind := 0, 0, 0
	for i := range inv.shards {
		s := &inv.shards[i]
		if s.entries > 0 {
			known++
			entries += s.entries
		}
		if !s.win.covers(&first) || !s.win.covers(&last) {
			behind++
		}
	}
	if known == 0 || behind == 0 {
		return 0
	}
	shard := float64(entries) / float64(known) // pieces in one, on average
	read, answers := shard, 1-fraction(first)  // of one window: entries, part of the id space
	if inv.layout == store.Fanout {
		read, answers = shard/256, 1.0/256
	}
	if limit := float64(inv.limit); shard*answers > limit {
		answers = limit / 2 / shard
	}
	return float64(behind) * (read + openCost) / max(answers, 1e-9)
}

// fraction places an id in the id space, from 0 to 1.
func fraction(id recovery.BlobID) float64 {
	return float64(binary.BigEndian.Uint64(id[:8])) / math.MaxUint64
}

// sequence follows calls that go through the id space in rising order.
type sequence struct {
	begun  bool
	last   recovery.BlobID // the end of the last call in order
	strays int             // calls in a row that went back behind it
	stray  recovery.BlobID // the end of the last of those
}

// maxStrays is how many calls in a row may go back before they are taken for a
// new sequence.
const maxStrays = 2

type stepKind uint8

const (
	begins stepKind = iota // of a new sequence: windows are worthless
	goesOn
	stray
)

// step says what a call from first to last is.
func (q *sequence) step(first, last recovery.BlobID) stepKind {
	switch {
	case q.begun && q.last.Compare(first) < 0:
		q.last, q.strays = last, 0
		return goesOn
	case q.begun && q.strays > 0 && q.stray.Compare(first) >= 0:
		q.strays, q.stray = 1, last
		return stray
	case q.begun && q.strays < maxStrays:
		q.strays, q.stray = q.strays+1, last
		return stray
	}
	*q = sequence{begun: true, last: last}
	return begins
}
