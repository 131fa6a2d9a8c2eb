package fs

import (
	"sync"
	"sync/atomic"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// pieceKey names a piece of a store.
type pieceKey struct {
	place uint32 // its shard, or store.Manifests
	id    recovery.BlobID
}

func keyOf(p syncer.Piece) pieceKey { return pieceKey{store.PlaceOf(p), p.Blob.ID} }

// pending holds the pieces whose final name can be seen and is not durable yet.
// A listing made for a new run shows what a cancelled one published; taken for
// stored, it could be settled and then lost in a power cut.
type pending struct {
	count atomic.Int64 // len(names), to be read without the lock
	mu    sync.Mutex
	names map[pieceKey]*draft
}

// add must be called before the name can be seen.
func (p *pending) add(d *draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil {
		p.names = map[pieceKey]*draft{}
	}
	p.names[d.key] = d
	p.count.Store(int64(len(p.names)))
}

// done removes a draft's name, unless a later draft took it over.
func (p *pending) done(d *draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names[d.key] == d {
		delete(p.names, d.key)
		p.count.Store(int64(len(p.names)))
	}
}

// has must be called after the name was seen.
func (p *pending) has(key pieceKey) bool {
	if p == nil || p.count.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names[key] != nil
}
