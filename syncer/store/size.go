package store

import (
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// SizeNone stands for the size of a piece of which nothing that may be there is known
// to be right. No file has it.
const SizeNone = -2

// RawSize is the size of what a shard holds of a raw blob: all of it. Of any other it
// is unknown.
func RawSize(p syncer.Piece) int64 {
	if p.Blob.Encoding == recovery.Raw {
		return p.Blob.Size
	}
	return recovery.SizeUnknown
}
