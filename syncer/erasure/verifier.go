package erasure

import (
	"context"
	"fmt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// Verifier judges the pieces of striped blobs by manifests that are at hand. It
// implements syncer.Verifier.
type Verifier struct {
	// Find returns a blob's manifest, decoded and encoded. It may be called from many
	// goroutines.
	Find func(ctx context.Context, b recovery.Blob) (*Manifest, []byte, error)
}

// Begin implements syncer.Verifier.
func (v Verifier) Begin(ctx context.Context, p syncer.Piece) (syncer.Judge, error) {
	m, encoded, err := v.Find(ctx, p.Blob)
	if err != nil {
		return nil, err
	}
	if p.Manifest {
		return newJudge(int64(len(encoded)), p.Blob.ID), nil
	}
	if err := m.place(p); err != nil {
		return nil, err
	}
	return m.Judge(int(p.Index)), nil
}

// place reports, wrapping syncer.ErrUnverifiable, a piece that lies elsewhere by the
// manifest: it was made for another total number of shards.
func (m *Manifest) place(p syncer.Piece) error {
	n := uint32(m.N)
	if p.Shard < n && shards.Striped.PieceOf(p.Blob.ID, p.Shard, n) == p.Index {
		return nil
	}
	return fmt.Errorf("%w: its manifest is of %d pieces, and shard %d is to hold piece %d: it was striped over another number of shards",
		syncer.ErrUnverifiable, n, p.Shard, p.Index)
}

// piece names a piece of the blob by its number.
func (m *Manifest) piece(b recovery.Blob, index int) syncer.Piece {
	n := uint32(m.N)
	return syncer.Piece{Blob: b, Shard: shards.ShardOf(b.ID, uint32(index), n), Index: uint32(index)}
}
