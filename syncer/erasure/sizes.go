package erasure

import (
	"context"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// Sizes tells the sizes of pieces by the manifests of the store that they lie in, for
// files whose names prove nothing. Its methods may be called from many goroutines.
type Sizes struct {
	// Local is the store; it is set before the first use.
	Local Local

	cache cache
}

// sizesKept bounds the manifests kept in memory, in bytes.
const sizesKept = 1 << 20

// Of returns the size of a piece in bytes, as the PieceSize of a store does: that of a
// raw blob is in the catalog. Where the store has no right manifest of a striped blob,
// nothing of it counts as stored: store.SizeNone.
func (s *Sizes) Of(p syncer.Piece) int64 {
	if p.Blob.Encoding != recovery.Striped {
		return store.RawSize(p)
	}
	k := s.cache.get(p.Blob.ID)
	if k == nil {
		encoded := (&library{cfg: Config{Local: s.Local}}).stored(context.Background(), p.Blob)
		m, err := Decode(encoded)
		if err != nil {
			return store.SizeNone
		}
		k = &known{Manifest: m, encoded: encoded}
		s.cache.keep(p.Blob.ID, k, sizesKept)
	}
	switch {
	case p.Manifest:
		return int64(len(k.encoded))
	case k.place(p) != nil:
		return store.SizeNone
	}
	return k.PieceSize()
}
