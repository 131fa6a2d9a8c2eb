package erasure

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

func TestManifestIsProven(t *testing.T) {
	s := newStriped(t, Code{3, 5}, 1, 1_000)
	manifest := syncer.Piece{Blob: s.blob, Manifest: true}
	t.Run("a liar", func(t *testing.T) {
		f := newFleet(t, shards.Set{}, shards.Set{})
		f.put(s)
		lie := bytes.Clone(s.encoded)
		lie[20] ^= 1
		f.peers[0].PutManifest(s.blob.ID, lie)
		sink := &collector{want: s.encoded}
		peer, err := f.fetcher.Fetch(t.Context(), manifest, sink)
		if err != nil || peer != "peer1" || !slices.Equal(f.pool.Liars(s.blob.ID), []string{"peer0"}) {
			t.Errorf("it came from %q (%v), the liars are %v", peer, err, f.pool.Liars(s.blob.ID))
		}
		must(t, sink.Verify())
	})
	t.Run("endless", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		f.peers[0].PutManifest(s.blob.ID, make([]byte, 1<<20))
		var failed *syncer.FetchError
		if err := f.first(s); !errors.As(err, &failed) || failed.Reason() != recovery.WrongBytes {
			t.Errorf("got %v", err)
		}
	})
	t.Run("absent", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		var failed *syncer.FetchError
		if err := f.first(s); !errors.As(err, &failed) || failed.Reason() != recovery.Absent || !failed.Definite() {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stored", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		f.shelf.put(manifest, s.encoded)
		if err := f.first(s); err != nil || f.requests("manifest") != 0 {
			t.Errorf("with the manifest at hand: %v", err)
		}
	})
	t.Run("rotten here", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		f.put(s)
		f.shelf.put(manifest, s.encoded[1:])
		if err := f.first(s); err != nil || f.requests("manifest") != 1 {
			t.Errorf("with a rotten one at hand: %v", err)
		}
	})
	t.Run("no manifest has this id", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		junk := []byte("not a manifest")
		b := BlobOf(junk, 10)
		f.peers[0].PutManifest(b.ID, junk)
		if _, err := f.fetcher.Begin(t.Context(), syncer.Piece{Blob: b}); !errors.Is(err, syncer.ErrUnverifiable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("other size", func(t *testing.T) {
		f := newFleet(t, shards.Set{})
		f.put(s)
		b := s.blob
		b.Size++
		if _, err := f.fetcher.Begin(t.Context(), syncer.Piece{Blob: b}); !errors.Is(err, syncer.ErrUnverifiable) {
			t.Errorf("got %v", err)
		}
	})
}

// Hazard 83: the manifest was made for another number of shards.
func TestSameSetOtherTotal(t *testing.T) {
	f := newFleet(t, shards.Range(0, 13))
	s := newStriped(t, Code{10, 14}, 1, 1_000)
	f.put(s)
	wrong := 0
	for shard := range uint32(16) {
		p := syncer.Piece{Blob: s.blob, Shard: shard, Index: shards.Striped.PieceOf(s.blob.ID, shard, 16)}
		_, err := f.fetcher.Begin(t.Context(), p)
		if errors.Is(err, syncer.ErrUnverifiable) {
			wrong++
		}
		if (err == nil) != (shard < 14 && p.Index == s.at(shard).Index) {
			t.Errorf("piece %d in shard %d of 16: %v", p.Index, shard, err)
		}
	}
	if wrong == 0 {
		t.Error("no piece of another striping was found out")
	}
}

// A manifest of pieces that do not belong together is nobody's lie.
func TestManifestThatContradictsItself(t *testing.T) {
	s := newStriped(t, Code{2, 4}, 1, 1_000)
	other := newStriped(t, Code{2, 4}, 2, 1_000)
	s.Pieces[3], s.pieces[3] = other.Pieces[3], other.pieces[3]
	encoded, err := s.Encode()
	must(t, err)
	s.encoded, s.blob = encoded, BlobOf(encoded, 1_000)
	f := newFleet(t, eachAlone(4)...)
	f.put(s)
	for shard := range uint32(4) {
		if s.at(shard).Index == 3 {
			f.peers[shard].Delete(s.blob.ID, 3)
			wanted, _ := s.want(shard)
			if _, err := f.fetcher.Gather(t.Context(), wanted); !errors.Is(err, syncer.ErrUnverifiable) {
				t.Errorf("got %v", err)
			}
		}
	}
	for i := range f.peers {
		if n := f.pool.Status()[i].WrongBytes; n > 0 {
			t.Errorf("peer %d is called a liar", i)
		}
	}
}

func TestManifestsInMemoryAreBounded(t *testing.T) {
	c := cache{}
	for i := range 100 {
		k := &known{encoded: make([]byte, 100+i)}
		c.keep(recovery.BlobID{byte(i)}, k, 1_000)
		if c.get(recovery.BlobID{byte(i)}) != k || c.bytes > 1_000 || len(c.of) != len(c.order) {
			t.Fatalf("after %d manifests there are %d, of %d bytes", i+1, len(c.of), c.bytes)
		}
	}
}

// Files of others are held against the manifest that lies with them.
func TestSizesOfForeignFiles(t *testing.T) {
	shelf := &shelf{files: map[syncer.Piece][]byte{}}
	sizes := &Sizes{Local: shelf}
	s := newStriped(t, Code{3, 5}, 1, 1_000)
	manifest := syncer.Piece{Blob: s.blob, Manifest: true}
	for what, p := range map[string]syncer.Piece{"piece": s.at(2), "manifest": manifest} {
		if n := sizes.Of(p); n != store.SizeNone {
			t.Errorf("without a manifest a %s has %d bytes", what, n)
		}
	}
	shelf.put(manifest, append(bytes.Clone(s.encoded), 0))
	if n := sizes.Of(s.at(2)); n != store.SizeNone {
		t.Errorf("with a wrong manifest a piece has %d bytes", n)
	}
	shelf.put(manifest, s.encoded)
	if n := sizes.Of(s.at(2)); n != 334 {
		t.Errorf("a piece has %d bytes, want 334", n)
	}
	if n := sizes.Of(manifest); n != int64(len(s.encoded)) {
		t.Errorf("the manifest has %d bytes, want %d", n, len(s.encoded))
	}
	elsewhere := s.at(2)
	elsewhere.Index = (elsewhere.Index + 1) % 5
	if n := sizes.Of(elsewhere); n != store.SizeNone {
		t.Errorf("a piece of another striping has %d bytes", n)
	}
	if n := sizes.Of(syncer.Piece{Blob: recovery.Blob{Encoding: recovery.Raw, Size: 7}}); n != 7 {
		t.Errorf("a raw blob of 7 bytes has %d", n)
	}
}
