package erasure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
)

// known is a manifest whose bytes have the blob's id.
type known struct {
	*Manifest
	encoded []byte
	peer    string // that sent it, or ourselves
}

// ourselves names the own store where a peer would be named.
const ourselves = "this store"

// library finds manifests, in memory, in the own store or at the peers, and proves
// each by the blob's id. Its methods may be called from many goroutines.
type library struct {
	cfg   Config
	cache cache
}

// find returns a blob's manifest. Errors wrap syncer.ErrUnverifiable where the blob
// has none that makes sense, or are those of the peers.
func (l *library) find(ctx context.Context, b recovery.Blob) (*known, error) {
	if b.Encoding != recovery.Striped || !b.ContentAddressed() {
		return nil, fmt.Errorf("%w: blob %v is not the digest of a manifest (%v)", syncer.ErrUnverifiable, b.ID, b.Encoding)
	}
	if k := l.cache.get(b.ID); k != nil {
		return k, nil
	}
	encoded, peer := l.stored(ctx, b), ourselves
	if encoded == nil {
		var err error
		if encoded, peer, err = l.ask(ctx, b); err != nil {
			return nil, fmt.Errorf("fetch the manifest: %w", err)
		}
	}
	m, err := Decode(encoded)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: its manifest has the right id: %w", syncer.ErrUnverifiable, err)
	case b.Size != recovery.SizeUnknown && m.Size != b.Size:
		return nil, fmt.Errorf("%w: its manifest says %d bytes, the catalog %d", syncer.ErrUnverifiable, m.Size, b.Size)
	}
	k := &known{m, encoded, peer}
	l.cache.keep(b.ID, k, l.cfg.Manifests)
	return k, nil
}

// stored returns the manifest in the own store; nil if it is not there, or not right:
// then the peers may have it.
func (l *library) stored(ctx context.Context, b recovery.Blob) []byte {
	if l.cfg.Local == nil {
		return nil
	}
	f, _, err := l.cfg.Local.OpenPiece(ctx, syncer.Piece{Blob: b, Manifest: true})
	if err != nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxManifest+1))
	if err = errors.Join(err, f.Close()); err != nil || IDOf(data) != b.ID {
		return nil
	}
	return data
}

func (l *library) ask(ctx context.Context, b recovery.Blob) (data []byte, peer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Deadline)
	defer cancel()
	sink := &memorySink{want: b.ID}
	peer, err = l.cfg.Peers.Fetch(ctx, syncer.Piece{Blob: b, Manifest: true}, sink)
	if err == nil {
		err = sink.Verify()
	}
	return sink.data, peer, err
}

// memorySink takes a manifest. It implements syncer.Sink.
type memorySink struct {
	data []byte
	want recovery.BlobID
}

func (s *memorySink) Write(p []byte) (int, error) {
	taken := p[:min(len(p), MaxManifest+1-len(s.data))]
	s.data = append(s.data, taken...)
	if len(taken) < len(p) {
		return len(taken), fmt.Errorf("%w: no manifest has more than %d", syncer.ErrTooLong, MaxManifest)
	}
	return len(taken), nil
}

func (s *memorySink) Reset() error   { s.data = s.data[:0]; return nil }
func (s *memorySink) Written() int64 { return int64(len(s.data)) }

func (s *memorySink) Verify() error {
	if got := IDOf(s.data); got != s.want {
		return fmt.Errorf("%w: the manifest's sha-256 begins with %x, want %x", syncer.ErrWrongBytes, got[:8], s.want[:8])
	}
	return nil
}

// cache keeps the manifests that came last. The zero value is empty.
type cache struct {
	mu    sync.Mutex
	of    map[recovery.BlobID]*known
	order []recovery.BlobID // as they came
	bytes int
}

func (c *cache) get(id recovery.BlobID) *known {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[id]
}

// keep adds a manifest, and lets go of the oldest ones while there are more bytes than
// the limit.
func (c *cache) keep(id recovery.BlobID, k *known, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[recovery.BlobID]*known{}
	}
	if c.of[id] != nil {
		return
	}
	c.of[id] = k
	c.order = append(c.order, id)
	c.bytes += len(k.encoded)
	for c.bytes > limit {
		c.bytes -= len(c.of[c.order[0]].encoded)
		delete(c.of, c.order[0])
		c.order = c.order[1:]
	}
}
