// Package peertest holds the contract of peer.Peer as tests, and what a test of
// a peer needs.
package peertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// Far is what the far side of a peer serves, by blob id. Piece numbers are 0.
type Far map[recovery.BlobID][]byte

// Factory returns a peer whose far side serves far, which does not change any
// more. Whatever it starts it ends in t.Cleanup. The peer itself is closed by
// the suite.
type Factory func(t *testing.T, far Far) peer.Peer

// Run checks that the peers of a factory keep the contract.
func Run(t *testing.T, factory Factory) {
	t.Run("RightBytes", func(t *testing.T) { testRightBytes(t, factory) })
	t.Run("Refused", func(t *testing.T) { testRefused(t, factory) })
	t.Run("GetErrors", func(t *testing.T) { testGetErrors(t, factory) })
	t.Run("Resume", func(t *testing.T) { testResume(t, factory) })
	t.Run("CancelInTheMiddle", func(t *testing.T) { testCancel(t, factory) })
	t.Run("Concurrent", func(t *testing.T) { testConcurrent(t, factory) })
}

// NewPool returns a pool of peers that is closed with the test.
func NewPool(t testing.TB, cfg peer.Config, peers ...peer.Peer) *peer.Pool {
	t.Helper()
	pool, err := peer.New(cfg, peers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return pool
}

func testRightBytes(t *testing.T, factory Factory) {
	far := Far{}
	var pieces []syncer.Piece
	for i, n := range []int{0, 1, 4096, 65536, 65537, 1<<20 + 3} {
		p, content := NewPiece(uint64(i), n)
		far[p.Blob.ID] = content
		pieces = append(pieces, p)
	}
	p := factory(t, far)
	pool := NewPool(t, peer.Config{}, p)
	for _, piece := range pieces {
		sink := NewSink(piece)
		name, err := pool.Fetch(t.Context(), piece, sink)
		if err != nil {
			t.Fatalf("%d bytes: %v", piece.Blob.Size, err)
		}
		if name != p.Name() || name == "" {
			t.Errorf("served by %q, want %q", name, p.Name())
		}
		if !bytes.Equal(sink.Accepted(), far[piece.Blob.ID]) {
			t.Errorf("%d bytes: other bytes arrived", piece.Blob.Size)
		}
		size := piece.Blob.Size
		piece.Blob.Size = recovery.SizeUnknown
		sink.Reset()
		if _, err := pool.Fetch(t.Context(), piece, sink); err != nil {
			t.Errorf("%d bytes, size not said: %v", size, err)
		}
	}
}

func testRefused(t *testing.T, factory Factory) {
	far := Far{}
	absent, _ := NewPiece(1, 5000)
	flipped, content := NewPiece(2, 5000)
	far[flipped.Blob.ID] = append([]byte{content[0] ^ 1}, content[1:]...)
	short, content := NewPiece(3, 5000)
	far[short.Blob.ID] = content[:4999]
	long, content := NewPiece(4, 5000)
	far[long.Blob.ID] = append(slices.Clone(content), make([]byte, 100_000)...)
	empty, _ := NewPiece(5, 5000)
	far[empty.Blob.ID] = nil
	pool := NewPool(t, peer.Config{}, factory(t, far))
	for _, c := range []struct {
		name  string
		piece syncer.Piece
		want  recovery.Reason
	}{
		{"absent", absent, recovery.Absent},
		{"flipped bit", flipped, recovery.WrongBytes},
		{"short", short, recovery.WrongBytes},
		{"long", long, recovery.WrongBytes},
		{"empty", empty, recovery.WrongBytes},
	} {
		sink := NewSink(c.piece)
		_, err := pool.Fetch(t.Context(), c.piece, sink)
		var failed *syncer.FetchError
		if !errors.As(err, &failed) || failed.Reason() != c.want || !failed.Definite() {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if sink.Accepted() != nil || sink.Most() > c.piece.Blob.Size+1 {
			t.Errorf("%s: the sink took %d bytes, accepted %d", c.name, sink.Most(), len(sink.Accepted()))
		}
	}
	if h := pool.Health(); h.Reachable != 1 {
		t.Errorf("health is %+v: a peer that answers is reachable", h)
	}
}

func testGetErrors(t *testing.T, factory Factory) {
	p := factory(t, nil)
	defer p.Close()
	piece, _ := NewPiece(1, 10)
	_, err := p.Get(t.Context(), piece, peer.Resume{})
	var failed *peer.Error
	if !errors.As(err, &failed) || failed.Reason != recovery.Absent || failed.Rest != 0 {
		t.Errorf("absent piece: %v", err)
	}
	if err := p.Probe(t.Context()); err != nil {
		t.Errorf("probe: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Get(ctx, piece, peer.Resume{}); err == nil {
		t.Error("get with an ended context succeeded")
	}
	if err := p.Probe(ctx); err == nil {
		t.Error("probe with an ended context succeeded")
	}
}

func testResume(t *testing.T, factory Factory) {
	piece, content := NewPiece(1, 10_000)
	p := factory(t, Far{piece.Blob.ID: content})
	defer p.Close()
	read := func(from peer.Resume) (peer.Body, []byte) {
		t.Helper()
		body, err := p.Get(t.Context(), piece, from)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, content[body.Offset:]) || body.Length >= 0 && body.Length != int64(len(got)) {
			t.Fatalf("from %d: %d bytes, announced %d, or other ones", body.Offset, len(got), body.Length)
		}
		return body, got
	}
	whole, _ := read(peer.Resume{})
	if whole.Offset != 0 {
		t.Errorf("the whole piece begins at %d", whole.Offset)
	}
	// Bytes that came from elsewhere are gone on with, or all of them are sent.
	if rest, _ := read(peer.Resume{Offset: 9_000}); rest.Offset != 9_000 && rest.Offset != 0 {
		t.Errorf("went on from %d, want 9000 or 0", rest.Offset)
	}
	if whole.Validator == "" {
		t.Skip("the peer does not resume")
	}
	if rest, _ := read(peer.Resume{Offset: 9_000, Validator: whole.Validator}); rest.Offset != 9_000 {
		t.Errorf("resumed from %d, want 9000", rest.Offset)
	}
	if other, _ := read(peer.Resume{Offset: 9_000, Validator: `"of-other-bytes"`}); other.Offset != 0 {
		t.Errorf("resumed other bytes from %d, want all of them", other.Offset)
	}
}

func testCancel(t *testing.T, factory Factory) {
	piece, content := NewPiece(1, 8<<20)
	pool := NewPool(t, peer.Config{}, factory(t, Far{piece.Blob.ID: content}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sink := NewSink(piece)
	sink.OnWrite = func(int) error { cancel(); return nil }
	_, err := pool.Fetch(ctx, piece, sink)
	var failed *syncer.FetchError
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("cancelled: %v", err)
	}
	if sink.Accepted() != nil {
		t.Error("half a piece was accepted")
	}
	s := pool.Status()[0]
	if s.InFlight != 0 || s.Failed+s.Unreachable+s.WrongBytes != 0 || s.State != peer.Reachable {
		t.Errorf("the peer is blamed: %+v", s)
	}
	sink.OnWrite = nil
	if _, err := pool.Fetch(t.Context(), piece, sink); err != nil {
		t.Errorf("again: %v", err)
	}
}

func testConcurrent(t *testing.T, factory Factory) {
	far := Far{}
	var pieces []syncer.Piece
	for i := range 64 {
		p, content := NewPiece(uint64(i), 1000*i)
		pieces = append(pieces, p)
		if i%4 != 0 {
			far[p.Blob.ID] = content
		}
	}
	pool := NewPool(t, peer.Config{}, factory(t, far))
	var wg sync.WaitGroup
	for i := range 2 * len(pieces) {
		wg.Go(func() {
			piece := pieces[i%len(pieces)]
			sink := NewSink(piece)
			_, err := pool.Fetch(t.Context(), piece, sink)
			content, there := far[piece.Blob.ID]
			if there && (err != nil || !bytes.Equal(sink.Accepted(), content)) {
				t.Errorf("piece %d: %v", i, err)
			}
			if !there && err == nil {
				t.Errorf("piece %d was served, and nobody has it", i)
			}
		})
	}
	wg.Wait()
	s := pool.Status()[0]
	if s.Fetched != 96 || s.Absent != 32 || s.InFlight != 0 {
		t.Errorf("fetched %d, absent %d, in flight %d, want 96, 32, 0", s.Fetched, s.Absent, s.InFlight)
	}
}
