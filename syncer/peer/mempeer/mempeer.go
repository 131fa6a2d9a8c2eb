// Package mempeer is a peer in memory. It is a complete one: it has pieces or
// lacks them, resumes, can be unreachable, and serves what it was given, right
// or wrong.
package mempeer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// ErrDown: the peer was made unreachable.
var ErrDown = errors.New("mempeer: down")

var errAbsent = errors.New("mempeer: no such piece")

// Peer holds pieces by blob id and piece number, whichever shard they are for.
type Peer struct {
	name string

	mu     sync.RWMutex
	pieces map[key]content
	puts   uint64
	down   bool
}

type key struct {
	id       recovery.BlobID
	index    uint32
	manifest bool
}

type content struct {
	bytes     []byte
	validator string
}

var _ peer.Peer = (*Peer)(nil)

// New returns an empty peer that can be reached.
func New(name string) *Peer { return &Peer{name: name, pieces: make(map[key]content)} }

// Put makes the peer serve these bytes for a piece, in place of what it had. It
// keeps the slice; the caller must not change it any more.
func (p *Peer) Put(id recovery.BlobID, index uint32, bytes []byte) {
	p.put(key{id: id, index: index}, bytes)
}

// PutManifest is Put for the manifest of a striped blob.
func (p *Peer) PutManifest(id recovery.BlobID, bytes []byte) {
	p.put(key{id: id, manifest: true}, bytes)
}

func (p *Peer) put(k key, bytes []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.puts++
	p.pieces[k] = content{bytes, strconv.FormatUint(p.puts, 10)}
}

// Delete makes a piece absent.
func (p *Peer) Delete(id recovery.BlobID, index uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pieces, key{id: id, index: index})
}

// SetDown makes the peer unreachable, or reachable again. Bodies that are open
// are cut.
func (p *Peer) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *Peer) check() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.down {
		return ErrDown
	}
	return nil
}

// Name implements peer.Peer.
func (p *Peer) Name() string { return p.name }

// Get implements peer.Peer.
func (p *Peer) Get(ctx context.Context, piece syncer.Piece, from peer.Resume) (peer.Body, error) {
	if err := ctx.Err(); err != nil {
		return peer.Body{}, err
	}
	if err := p.check(); err != nil {
		return peer.Body{}, &peer.Error{Reason: recovery.Unreachable, Err: err}
	}
	p.mu.RLock()
	c, ok := p.pieces[key{piece.Blob.ID, piece.Index, piece.Manifest}]
	p.mu.RUnlock()
	if !ok {
		return peer.Body{}, &peer.Error{Reason: recovery.Absent, Err: errAbsent}
	}
	offset := from.Offset
	if from.Validator != "" && from.Validator != c.validator || offset > int64(len(c.bytes)) {
		offset = 0
	}
	rest := c.bytes[offset:]
	return peer.Body{
		ReadCloser: &body{ctx: ctx, peer: p, rest: bytes.NewReader(rest)},
		Offset:     offset, Length: int64(len(rest)), Validator: c.validator,
	}, nil
}

// Probe implements peer.Peer.
func (p *Peer) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.check()
}

// Close implements peer.Peer. There is nothing to free.
func (p *Peer) Close() error { return nil }

// body is cut when its context ends or the peer goes down.
type body struct {
	ctx  context.Context // of the Get: what a response's body has, too
	peer *Peer
	rest *bytes.Reader
}

func (b *body) Read(buf []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if err := b.peer.check(); err != nil {
		return 0, err
	}
	return b.rest.Read(buf)
}

func (b *body) Close() error { return nil }

var _ io.ReadCloser = (*body)(nil)
