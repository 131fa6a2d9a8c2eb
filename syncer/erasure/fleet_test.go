package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
)

// striped is a blob cut into pieces.
type striped struct {
	*Manifest
	blob    recovery.Blob
	encoded []byte
	pieces  [][]byte // by index
}

func newStriped(t testing.TB, code Code, seed uint64, size int) *striped {
	t.Helper()
	m, encoded, pieces := split(t, code, blobOf(seed, size))
	return &striped{m, BlobOf(encoded, int64(size)), encoded, pieces}
}

// at returns the piece that a shard holds.
func (s *striped) at(shard uint32) syncer.Piece {
	return syncer.Piece{Blob: s.blob, Shard: shard, Index: shards.Striped.PieceOf(s.blob.ID, shard, uint32(s.N))}
}

// fleet is peers in a pool, each with some shards, and a node's own store.
type fleet struct {
	t       *testing.T
	peers   []*counted
	pool    *peer.Pool
	shelf   *shelf
	open    gauge
	fetcher *Fetcher
}

// counted counts what a peer is asked for.
type counted struct {
	*mempeer.Peer
	holds shards.Set

	open *gauge

	mu    sync.Mutex
	asked map[string]int
}

// gauge counts the bodies of pieces that are open, of all peers.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int64) {
	for now := g.now.Add(n); ; {
		most := g.most.Load()
		if now <= most || g.most.CompareAndSwap(most, now) {
			return
		}
	}
}

// gauged is a body that is counted while it is open.
type gauged struct {
	io.ReadCloser
	open *gauge
	once sync.Once
}

func (g *gauged) Close() error {
	g.once.Do(func() { g.open.add(-1) })
	return g.ReadCloser.Close()
}

func (c *counted) Get(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
	what := "piece"
	if p.Manifest {
		what = "manifest"
	}
	c.mu.Lock()
	c.asked[what]++
	c.mu.Unlock()
	body, err := c.Peer.Get(ctx, p, from)
	if err == nil && !p.Manifest { // of which each rebuild reads one before it waits for streams
		c.open.add(1)
		body.ReadCloser = &gauged{ReadCloser: body.ReadCloser, open: c.open}
	}
	return body, err
}

// newFleet has one peer for each set of shards.
func newFleet(t *testing.T, holdings ...shards.Set) *fleet {
	t.Helper()
	f := &fleet{t: t, shelf: &shelf{files: map[syncer.Piece][]byte{}}}
	var peers []peer.Peer
	for i, holds := range holdings {
		c := &counted{Peer: mempeer.New(fmt.Sprintf("peer%d", i)), holds: holds, open: &f.open, asked: map[string]int{}}
		f.peers, peers = append(f.peers, c), append(peers, c)
	}
	pool, err := peer.New(peer.Config{}, peers...)
	must(t, err)
	t.Cleanup(func() { must(t, pool.Close()) })
	f.pool = pool
	f.fetcher, err = New(Config{Peers: pool, Local: f.shelf, Outlook: func(p syncer.Piece) Outlook { return Outlook(pool.Outlook(p)) }})
	must(t, err)
	return f
}

// eachAlone is one shard a peer.
func eachAlone(n uint32) (all []shards.Set) {
	for shard := range n {
		all = append(all, shards.SetOf(shard))
	}
	return all
}

// put makes every peer serve its pieces of a blob, and the manifest.
func (f *fleet) put(s *striped) {
	for _, p := range f.peers {
		p.PutManifest(s.blob.ID, s.encoded)
		for shard := range p.holds.All() {
			index := s.at(shard).Index
			p.Put(s.blob.ID, index, s.pieces[index])
		}
	}
}

// requests counts what all peers were asked for, and begins anew.
func (f *fleet) requests(what string) (n int) {
	for _, p := range f.peers {
		p.mu.Lock()
		n += p.asked[what]
		p.asked[what] = 0
		p.mu.Unlock()
	}
	return n
}

// collector is a sink that keeps the bytes, and judges them by a piece's true ones.
type collector struct {
	bytes.Buffer
	want []byte
	fail error // of every write
}

func (c *collector) Write(p []byte) (int, error) {
	if c.fail != nil {
		return 0, c.fail
	}
	return c.Buffer.Write(p)
}

func (c *collector) Reset() error   { c.Buffer.Reset(); return nil }
func (c *collector) Written() int64 { return int64(c.Len()) }

func (c *collector) Verify() error {
	if !bytes.Equal(c.Bytes(), c.want) {
		return fmt.Errorf("%w: the collector has %d, want %d", syncer.ErrWrongBytes, c.Len(), len(c.want))
	}
	return nil
}

// want asks for the pieces of some shards.
func (s *striped) want(which ...uint32) (wanted []syncer.Wanted, sinks []*collector) {
	for _, shard := range which {
		p := s.at(shard)
		c := &collector{want: s.pieces[p.Index]}
		wanted, sinks = append(wanted, syncer.Wanted{Piece: p, Sink: c}), append(sinks, c)
	}
	return wanted, sinks
}

// gather wants pieces to arrive, byte for byte.
func (f *fleet) gather(s *striped, which ...uint32) {
	f.t.Helper()
	wanted, sinks := s.want(which...)
	if _, err := f.fetcher.Gather(f.t.Context(), wanted); err != nil {
		f.t.Fatalf("shards %v: %v", which, err)
	}
	for i, c := range sinks {
		if !bytes.Equal(c.Bytes(), c.want) {
			f.t.Errorf("shard %d has wrong bytes", which[i])
		}
	}
}

// short wants too few pieces to be found.
func (f *fleet) short(s *striped, which ...uint32) *ShortError {
	f.t.Helper()
	wanted, sinks := s.want(which...)
	_, err := f.fetcher.Gather(f.t.Context(), wanted)
	var short *ShortError
	if !errors.As(err, &short) {
		f.t.Fatalf("got %v, want a ShortError", err)
	}
	for i, c := range sinks {
		if c.Len() > 0 && c.Verify() == nil {
			f.t.Errorf("shard %d was had all the same", which[i])
		}
	}
	return short
}

// shelf is a node's own store.
type shelf struct {
	mu    sync.Mutex
	files map[syncer.Piece][]byte
}

func (s *shelf) put(p syncer.Piece, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[p] = data
}

func (s *shelf) OpenPiece(_ context.Context, p syncer.Piece) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[p]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}
