package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// span is a stretch of a file, in bytes.
type span struct{ from, to int }

// victim is a file that is about to be corrupted.
type victim struct {
	rng *rand.Rand
	b   []byte
	// read are the spans of b that recoverd reads; more often than not it is these that
	// are hit.
	read []span
	// unit is what a disk loses as one: a page of the database, a sector of a slot.
	unit  int
	older [][]byte // what the file held before
}

// at picks where it is hit.
func (v *victim) at() int {
	if len(v.read) > 0 && v.rng.IntN(10) < 7 {
		s := v.read[v.rng.IntN(len(v.read))]
		return min(s.from+v.rng.IntN(max(1, s.to-s.from)), len(v.b)-1)
	}
	return v.rng.IntN(len(v.b))
}

// piece is the unit that lies at a place, cut where the file ends.
func (v *victim) piece(b []byte, at int) []byte {
	at -= at % v.unit
	return b[min(at, len(b)):min(at+v.unit, len(b))]
}

// spoiler is one way to corrupt a file.
type spoiler struct {
	name string
	// do changes v.b, and says where.
	do func(v *victim) string
}

var spoilers = []spoiler{
	{"bits flipped", func(v *victim) (where string) {
		for range 1 + v.rng.IntN(3)*v.rng.IntN(4) {
			at, bit := v.at(), v.rng.IntN(8)
			v.b[at] ^= 1 << bit
			where += fmt.Sprintf("%d.%d ", at, bit)
		}
		return where
	}},
	{"bytes overwritten", func(v *victim) string {
		at := v.at()
		n := min(1+v.rng.IntN(1<<(1+v.rng.IntN(12))), len(v.b)-at)
		for i := range n {
			v.b[at+i] = byte(v.rng.Uint32())
		}
		return fmt.Sprintf("%d at %d", n, at)
	}},
	{"bytes zeroed", func(v *victim) string {
		at := v.at()
		n := min(1+v.rng.IntN(3*v.unit), len(v.b)-at)
		clear(v.b[at : at+n])
		return fmt.Sprintf("%d at %d", n, at)
	}},
	{"pages zeroed", func(v *victim) (where string) {
		for range 1 + v.rng.IntN(2) {
			at := v.at()
			clear(v.piece(v.b, at))
			where += fmt.Sprintf("%d ", at/v.unit)
		}
		return where
	}},
	{"pages swapped", func(v *victim) string {
		i, j := v.at(), v.at()
		a, b := v.piece(v.b, i), v.piece(v.b, j)
		kept := bytes.Clone(a)
		copy(a, b)
		copy(b, kept)
		return fmt.Sprintf("%d and %d", i/v.unit, j/v.unit)
	}},
	{"page written elsewhere", func(v *victim) string {
		i, j := v.at(), v.at()
		to := v.piece(v.b, i)
		copy(to, v.piece(v.b, j))
		if v.rng.IntN(2) == 0 && v.unit == dbPage {
			binary.NativeEndian.PutUint64(to, uint64(i/v.unit)) // under its own number
		}
		return fmt.Sprintf("%d over %d", j/v.unit, i/v.unit)
	}},
	{"page of an older version", func(v *victim) string {
		if len(v.older) == 0 {
			return ""
		}
		n, at := v.rng.IntN(len(v.older)), v.at()
		copy(v.piece(v.b, at), v.piece(v.older[n], at))
		return fmt.Sprintf("%d of version %d", at/v.unit, n)
	}},
	{"cut", func(v *victim) string {
		n := v.rng.IntN(len(v.b))
		switch v.rng.IntN(4) {
		case 0:
			n -= n % v.unit
		case 1:
			n = v.at()
		}
		v.b = v.b[:n]
		return fmt.Sprintf("to %d bytes", n)
	}},
	{"grown", func(v *victim) string {
		n := 1 + v.rng.IntN(3*v.unit)
		more := make([]byte, n)
		for i := range more {
			more[i] = byte(v.rng.Uint32())
		}
		v.b = append(v.b, more...)
		return fmt.Sprintf("by %d bytes", n)
	}},
	{"meta page spoilt", func(v *victim) string {
		if v.unit != dbPage {
			return ""
		}
		meta := v.b[v.rng.IntN(2)*dbPage+pageHead:][:metaLen]
		field := 8 * v.rng.IntN(metaLen/8)
		binary.NativeEndian.PutUint64(meta[field:], v.rng.Uint64N(1<<(1+v.rng.IntN(40))))
		if v.rng.IntN(4) > 0 { // with a checksum that is right
			copy(meta[metaLen-8:], metaSum(meta))
		}
		return fmt.Sprintf("field at %d", field)
	}},
}

// spoil corrupts a copy of a file in a way that the seed chose, and says how. It has
// other bytes, or another length, than before.
func spoil(rng *rand.Rand, b []byte, read []span, unit int, older [][]byte) (spoilt []byte, kind, where string) {
	for {
		v := victim{rng: rng, b: bytes.Clone(b), read: read, unit: unit, older: older}
		s := spoilers[rng.IntN(len(spoilers))]
		if where := s.do(&v); where != "" && !bytes.Equal(v.b, b) {
			return v.b, s.name, where
		}
	}
}

// hits reports whether a corruption changed anything that is read.
func hits(before, after []byte, read []span) bool {
	return slices.ContainsFunc(read, func(s span) bool {
		return len(after) < s.to || !bytes.Equal(before[s.from:s.to], after[s.from:s.to])
	})
}

// hitsDatabase is hits for a database. With a checksum that is right, which no accident
// makes, it does not matter what the older meta page points to.
func hitsDatabase(before, after []byte) bool {
	older := (1-newestMeta(before))*dbPage + pageHead
	if len(after) >= older+metaLen {
		was, is := before[older:older+metaLen], after[older:older+metaLen]
		if bytes.Equal(was[:16], is[:16]) && bytes.Equal(was[24:32], is[24:32]) && bytes.Equal(was[48:56], is[48:56]) && bytes.Equal(is[56:], metaSum(is)) {
			after = slices.Clone(after)
			copy(after[older:], was)
		}
	}
	return hits(before, after, readOfDatabase(before))
}

// rolledBack reports whether all that a corruption did was to put an earlier version of
// the newest meta page back, which makes an earlier database of it, whole and valid.
func rolledBack(before, after []byte, older [][]byte) bool {
	at := newestMeta(before) * dbPage
	if len(after) < at+dbPage || bytes.Equal(before[at:at+dbPage], after[at:at+dbPage]) {
		return false
	}
	mended := slices.Clone(after)
	copy(mended[at:at+dbPage], before[at:])
	return !hitsDatabase(before, mended) && slices.ContainsFunc(older, func(o []byte) bool {
		return bytes.Equal(o[at:at+pageHead+metaLen], after[at:at+pageHead+metaLen])
	})
}

// What bbolt's file is like, as far as this judges which of its bytes matter. The code
// under test has an own account of it, which is not used here.
const (
	dbPage   = 4096
	pageHead = 16 // page id u64, flags u16, count u16, overflow u32
	metaLen  = 64
)

// metaSum is the checksum that belongs into a meta page.
func metaSum(meta []byte) []byte {
	sum := fnv.New64a()
	sum.Write(meta[:metaLen-8])
	return binary.NativeEndian.AppendUint64(nil, sum.Sum64())
}

// newestMeta is the number of the meta page of the last transaction.
func newestMeta(db []byte) int {
	if u64 := binary.NativeEndian.Uint64; u64(db[dbPage+pageHead+48:]) > u64(db[pageHead+48:]) {
		return 1
	}
	return 0
}

// readOfDatabase returns the spans that a good database is read from: what is in use of
// both meta pages, of the freelist and of the pages of the two values; and the end of the
// last page that the file must have. All else is free pages and slack.
func readOfDatabase(db []byte) (read []span) {
	u16, u32, u64 := binary.NativeEndian.Uint16, binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	newest := db[newestMeta(db)*dbPage+pageHead:]
	for m := range 2 { // a meta page's header has a count and an overflow that mean nothing
		read = append(read, span{m * dbPage, m*dbPage + 10}, span{m*dbPage + pageHead, m*dbPage + pageHead + metaLen})
	}
	free := int(u64(newest[32:])) * dbPage
	read = append(read, span{free, free + pageHead + 8*int(u16(db[free+10:]))})
	var leaf func(page int)
	leaf = func(page int) {
		at, end := page*dbPage, page*dbPage+pageHead
		for i := range int(u16(db[at+10:])) {
			element := at + pageHead + 16*i
			key := element + int(u32(db[element+4:]))
			value := key + int(u32(db[element+8:]))
			end = value + int(u32(db[element+12:]))
			if below := u64(db[value:]); u32(db[element:]) == 1 && below != 0 { // a bucket of its own pages
				leaf(int(below))
			}
		}
		read = append(read, span{at, end}, span{at, end}, span{at, end}) // these are hit more often
	}
	leaf(int(u64(newest[16:])))
	last := int(u64(newest[40:])) * dbPage
	return append(read, span{last, last}) // nothing of it, but the file must reach that far
}

// readOfSlot returns what is read of a slot of the mirror: not what an older, longer
// record left behind its end.
func readOfSlot(slot []byte) []span {
	return []span{{0, 32 + int(binary.BigEndian.Uint32(slot[24:]))}}
}
