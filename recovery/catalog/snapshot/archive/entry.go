package archive

import (
	"cmp"
	"slices"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Status says what may be done with a snapshot.
type Status string

const (
	// Complete: all files are there, and what their ends say agrees with their
	// names. Only these are planned with and counted.
	Complete Status = "complete"
	// Incomplete: chunks are gone from a set that was whole once.
	Incomplete Status = "incomplete"
	// Damaged: a file contradicts the format, its name or the other chunks.
	Damaged Status = "damaged"
	// Unreadable: a file could not be read, or is of a version that this program
	// does not read. That says nothing about it (hazard 43).
	Unreadable Status = "unreadable"
)

// Entry is one snapshot of a list. A list comes from a directory or from a
// peer; what decides about it is pure.
type Entry struct {
	Name
	Chunks int   // files of the set; 0: one whole file
	Size   int64 // bytes of all files that are there
	Status Status
	Err    error // why it is not complete; nil if it is

	// What follows is known of complete ones only.

	// Bound names the state, or, for an incremental, what it makes of its base.
	Bound recovery.Bound
	// BaseDigest is the digest of an incremental's base.
	BaseDigest recovery.Digest
}

// Files names the entry's files, chunks by rising number.
func (e Entry) Files() []File {
	if e.Chunks == 0 {
		return []File{{Name: e.Name}}
	}
	files := make([]File, e.Chunks)
	for i := range files {
		files[i] = File{Name: e.Name, Chunk: i + 1, Chunks: e.Chunks}
	}
	return files
}

// compareEntries orders by position, kind, base and digest; of the same
// snapshot, the one in fewer files comes first.
func compareEntries(a, b Entry) int {
	return cmp.Or(
		cmp.Compare(a.Position, b.Position), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Base, b.Base),
		slices.Compare(a.Digest[:], b.Digest[:]), cmp.Compare(a.Chunks, b.Chunks))
}

// clash finds the slots of a list that more than one complete snapshot claims,
// with all claimants. Short digests are enough to tell two apart.
func clash(list []Entry) map[Slot][]Entry {
	slots := map[Slot][]Entry{}
	for _, e := range list {
		if e.Status == Complete {
			slots[e.Slot()] = append(slots[e.Slot()], e)
		}
	}
	for slot, all := range slots {
		if !slices.ContainsFunc(all, func(e Entry) bool { return e.Digest != all[0].Digest }) {
			delete(slots, slot) // one, or one in two shapes
		}
	}
	return slots
}

// Rivals returns the other complete snapshots of a list that claim e's slot
// with another digest.
func Rivals(list []Entry, e Entry) (rivals []Entry) {
	for _, other := range clash(list)[e.Slot()] {
		if other.Digest != e.Digest {
			rivals = append(rivals, other)
		}
	}
	return rivals
}

// Asked returns the list without the rivals of the snapshot whose digest was
// asked for: the way out of an ambiguous pair (hazard 56).
func Asked(list []Entry, digest recovery.Digest) []Entry {
	asked := map[Slot]bool{}
	for _, e := range list {
		if e.Status == Complete && e.Bound.Digest == digest {
			asked[e.Slot()] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(e Entry) bool {
		return asked[e.Slot()] && e.Status == Complete && e.Bound.Digest != digest
	})
}

// builds reports whether incremental e is relative to full. One that is not
// complete does not say which digest its base has, and gets the benefit of the
// doubt.
func (e Entry) builds(full Entry) bool {
	switch {
	case e.Kind != snapshot.Incremental || full.Kind != snapshot.Full || e.Base != full.Position:
		return false
	case e.Status != Complete:
		return true
	case full.Status != Complete:
		return ShortOf(e.BaseDigest) == full.Digest
	}
	return e.BaseDigest == full.Bound.Digest && e.Bound.Network == full.Bound.Network
}
