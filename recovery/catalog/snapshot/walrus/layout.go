package walrus

import (
	"errors"
	"fmt"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var (
	// ErrNotWalrus: the file does not begin as a Walrus snapshot does.
	ErrNotWalrus = errors.New("walrus: not a blob-info snapshot")
	// ErrUnsupported: a snapshot, but of a version that this program does not
	// read, or a part of one where a whole one is needed.
	ErrUnsupported = errors.New("walrus: unsupported")
)

// Magic begins a file of either layout; the version, 1, follows it.
const Magic = "\xb1\x0b\x1f\x05"

// version is the only one there is.
const version = 1

// Layout is one of the two published layouts.
type Layout uint8

const (
	// A delimits itself and ends with a sum over the file.
	A Layout = iota + 1
	// B counts ahead and has no sum.
	B
)

// String returns a or b.
func (l Layout) String() string {
	switch l {
	case A:
		return "a"
	case B:
		return "b"
	}
	return fmt.Sprintf("layout(%d)", uint8(l))
}

// Section is one of the three lists of entries in a file.
type Section uint8

const (
	// Objects: registrations of their own, by object id.
	Objects Section = iota
	// PooledObjects: registrations that live with a pool, by object id.
	PooledObjects
	// Pools, by pool id.
	Pools
)

// sectionCount is the number of sections in a file.
const sectionCount = 3

func (s Section) String() string {
	switch s {
	case Objects:
		return "objects"
	case PooledObjects:
		return "pooled objects"
	case Pools:
		return "pools"
	}
	return fmt.Sprintf("section(%d)", uint8(s))
}

// order returns the sections in file order. The n-th one has the tag n+1.
func (l Layout) order() [sectionCount]Section {
	if l == B {
		return [...]Section{Objects, Pools, PooledObjects}
	}
	return [...]Section{Objects, PooledObjects, Pools}
}

// Counts are the entries of each section.
type Counts [sectionCount]uint64

// damaged says where a file contradicts its layout.
func damaged(path string, offset int64, format string, args ...any) error {
	return &snapshot.CorruptError{Path: path, Offset: offset, What: fmt.Sprintf(format, args...)}
}
