package erasure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
)

// sizes are below and above what fits into a source's window.
func sizes() map[string]int { return map[string]int{"small": 40_003, "large": 3_000_001, "empty": 0} }

func TestFetchedWholeFromAHolder(t *testing.T) {
	for name, size := range sizes() {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, shards.Range(0, 6), shards.Range(7, 13))
			s := newStriped(t, Code{10, 14}, 1, size)
			f.put(s)
			f.gather(s, 3, 9)
			f.requests("piece")
			s = newStriped(t, Code{10, 14}, 2, size)
			f.put(s)
			f.gather(s, 3, 9)
			if n := f.requests("piece"); n != 2 {
				t.Errorf("%d requests for two pieces that have a holder", n)
			}
		})
	}
}

// All missing pieces of a blob come out of one gathering of k pieces.
func TestRebuiltFromOneGathering(t *testing.T) {
	for name, size := range sizes() {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, eachAlone(14)[3:]...) // nobody holds shards 0 to 2
			for seed := range uint64(4) {
				s := newStriped(t, Code{10, 14}, seed, size)
				f.put(s)
				f.requests("piece")
				f.gather(s, 0, 1, 2)
				// Once it is known who holds what, no request is in vain.
				if n := f.requests("piece"); seed == 3 && n != 10 {
					t.Errorf("%d requests for a rebuild from 10 pieces", n)
				}
				if n := f.requests("manifest"); n != 1 && size > 0 { // all empty blobs are one
					t.Errorf("%d requests for one manifest", n)
				}
			}
		})
	}
}

func TestRebuiltWithDeadHolders(t *testing.T) {
	for name, size := range sizes() {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, eachAlone(14)...)
			s := newStriped(t, Code{10, 14}, 1, size)
			f.put(s)
			for _, dead := range []int{2, 5, 6, 13} {
				f.peers[dead].SetDown(true)
			}
			for shard := range uint32(14) {
				f.gather(s, shard)
			}
			f.gather(s, 2, 5, 6, 13)
		})
	}
}

// Hazard 68. With exactly k pieces in reach but for a second holder of one of them, a
// lie rebuilds wrong bytes and the code says "fine": it is found all the same, laid to
// the peer that told it, and the piece is taken from the other.
func TestALyingPieceInARebuildFromExactlyK(t *testing.T) {
	for name, size := range sizes() {
		if size == 0 {
			continue // nothing to lie about
		}
		t.Run(name, func(t *testing.T) {
			holders := append(eachAlone(14)[4:], shards.SetOf(7)) // 0 to 3 are lost, 7 has two holders
			f := newFleet(t, holders...)
			s := newStriped(t, Code{10, 14}, 1, size)
			f.put(s)
			liar := f.peers[3] // of shard 7, and asked first, since it has served it before
			earlier := newStriped(t, Code{10, 14}, 2, size)
			f.put(earlier)
			f.peers[10].Delete(earlier.blob.ID, earlier.at(7).Index)
			f.gather(earlier, 7)
			f.gather(earlier, 0)
			index := s.at(7).Index
			lie := bytes.Clone(s.pieces[index])
			lie[len(lie)-1] ^= 1
			liar.Put(s.blob.ID, index, lie)
			f.gather(s, 0, 3)
			if liars := f.pool.Liars(s.blob.ID); !slices.Equal(liars, []string{"peer3"}) {
				t.Errorf("the liars are %v, want peer3", liars)
			}
			if got := f.pool.Status()[3].WrongBytes; got != 1 {
				t.Errorf("%d lies are counted, want 1", got)
			}
		})
	}
}

// With nobody else to ask, a lie is one piece too few, and the error names who told it.
func TestALyingPieceThatNobodyElseHas(t *testing.T) {
	for name, size := range sizes() {
		if size == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, eachAlone(14)[4:]...)
			s := newStriped(t, Code{10, 14}, 1, size)
			f.put(s)
			index := s.at(7).Index
			lie := bytes.Clone(s.pieces[index])
			lie[0] ^= 1
			f.peers[3].Put(s.blob.ID, index, lie)
			short := f.short(s, 0)
			if short.Have != 9 || short.Need != 10 || short.Answers.Reason() != recovery.WrongBytes || !short.Answers.Definite() {
				t.Errorf("%+v: %v", short, short)
			}
			if want := fmt.Sprintf("peer3 wrong bytes: %d", index); !strings.Contains(short.Error(), want) {
				t.Errorf("%q does not say %q", short, want)
			}
		})
	}
}

// I11: only what a reachable peer said of the blob counts towards parking.
func TestTooFewPieces(t *testing.T) {
	f := newFleet(t, eachAlone(14)[4:]...)
	s := newStriped(t, Code{10, 14}, 1, 100_000)
	f.put(s)
	must(t, f.first(s))
	f.peers[0].Delete(s.blob.ID, s.at(4).Index)
	short := f.short(s, 0)
	if short.Have != 9 || short.Answers.Reason() != recovery.Absent || !short.Answers.Definite() {
		t.Errorf("a piece is absent: %+v, %v", short, short)
	}
	if !strings.HasPrefix(short.Error(), "9 of 10 pieces could be had: ") {
		t.Errorf("it says %q", short)
	}
	for _, p := range f.peers {
		p.SetDown(true)
	}
	short = f.short(s, 0)
	if short.Have != 0 || short.Answers.Reason() != recovery.Unreachable || short.Answers.Definite() {
		t.Errorf("every peer is down: %+v, %v", short, short)
	}
}

// first makes the manifest known.
func (f *fleet) first(s *striped) error {
	_, err := f.fetcher.Begin(f.t.Context(), syncer.Piece{Blob: s.blob, Manifest: true})
	return err
}

// What the node has itself is not fetched, and believed no more than a peer's.
func TestOwnPiecesComeFirst(t *testing.T) {
	for name, size := range sizes() {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, eachAlone(14)[4:]...)
			s := newStriped(t, Code{10, 14}, 1, size)
			f.put(s)
			for shard := range uint32(3) {
				f.shelf.put(s.at(shard+1), s.pieces[s.at(shard+1).Index])
			}
			must(t, f.first(s))
			f.gather(s, 0)
			f.requests("piece")
			if f.gather(s, 0); f.requests("piece") != 7 {
				t.Error("a rebuild with three pieces at hand takes other than 7 from peers")
			}
			if size == 0 {
				return
			}
			rotten := bytes.Clone(s.pieces[s.at(2).Index])
			rotten[len(rotten)/2] ^= 1
			f.shelf.put(s.at(2), rotten)
			f.gather(s, 0)
			f.shelf.put(s.at(3), rotten[1:]) // and one was cut short
			f.gather(s, 0)
			if liars := f.pool.Liars(s.blob.ID); len(liars) > 0 {
				t.Errorf("bit rot in the own store is laid to %v", liars)
			}
		})
	}
}

// Hazard 92: a repair asks for everything again; what is right here is kept, what is
// not is rebuilt, with the right ones among the sources.
func TestRepairBelowTheCursorOfAStripedBlob(t *testing.T) {
	f := newFleet(t, eachAlone(14)[6:]...) // eight peers: two of ours are needed
	s := newStriped(t, Code{10, 14}, 1, 100_000)
	f.put(s)
	for shard := range uint32(6) {
		f.shelf.put(s.at(shard), s.pieces[s.at(shard).Index])
	}
	rotten := bytes.Clone(s.pieces[s.at(4).Index])
	rotten[7] ^= 1
	f.shelf.put(s.at(4), rotten)
	f.shelf.put(syncer.Piece{Blob: s.blob, Manifest: true}, rotten)
	f.gather(s, 0, 1, 2, 3, 4, 5)
}

// A broken disk of ours ends everything at once and is held against nobody.
func TestSinkThatFails(t *testing.T) {
	f := newFleet(t, eachAlone(14)[1:]...)
	s := newStriped(t, Code{10, 14}, 1, 3_000_000)
	f.put(s)
	wanted, sinks := s.want(0)
	sinks[0].fail = fmt.Errorf("%w: %w", syncer.ErrStore, syscall.ENOSPC)
	_, err := f.fetcher.Gather(t.Context(), wanted)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

func TestGatheringEndsWithItsContext(t *testing.T) {
	f := newFleet(t, eachAlone(14)[1:]...)
	s := newStriped(t, Code{10, 14}, 1, 3_000_000)
	f.put(s)
	must(t, f.first(s))
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	wanted, _ := s.want(0)
	wanted[0].Sink = &cancelling{collector: wanted[0].Sink.(*collector), cancel: func() { cancel(enough) }}
	if _, err := f.fetcher.Gather(ctx, wanted); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// cancelling cancels at its first byte.
type cancelling struct {
	*collector
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return c.collector.Write(p)
}

// Rebuilds that need more streams than there are go one after the other, and none waits
// for another for ever. Hazard 90: a blob of more pieces than there are streams goes
// alone.
func TestStreamsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, eachAlone(14)[1:]...)
		fetcher, err := New(Config{Peers: f.pool, Streams: 7})
		must(t, err)
		done := make(chan error, 8)
		var blobs []*striped
		for seed := range uint64(8) {
			s := newStriped(t, Code{10, 14}, seed, 3_000_000)
			f.put(s)
			blobs = append(blobs, s)
		}
		for _, s := range blobs {
			go func() {
				wanted, _ := s.want(0)
				_, err := fetcher.Gather(t.Context(), wanted)
				done <- err
			}()
		}
		for range 8 {
			must(t, <-done)
		}
		if most := f.open.most.Load(); most != 10 {
			t.Errorf("%d pieces were read at the same time, want the 10 of one rebuild", most)
		}
	})
}

// What is not striped is none of its business.
func TestRawBlobsAreLeftToThePeers(t *testing.T) {
	f := newFleet(t, shards.Set{})
	data := []byte("whole")
	b := recovery.Blob{ID: recovery.BlobID(IDOf(data)), Size: 5, Encoding: recovery.Raw, Digest: IDOf(data)}
	f.peers[0].Put(b.ID, 0, data)
	sink := &collector{want: data}
	if peer, err := f.fetcher.Fetch(t.Context(), syncer.Piece{Blob: b}, sink); err != nil || peer != "peer0" {
		t.Errorf("it came from %q: %v", peer, err)
	}
	if _, err := f.fetcher.Begin(t.Context(), syncer.Piece{Blob: b}); !errors.Is(err, syncer.ErrUnverifiable) {
		t.Errorf("a raw blob is judged by a manifest: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	peers := newFleet(t, shards.Set{}).pool
	for name, cfg := range map[string]Config{
		"nobody": {}, "deadline": {Peers: peers, Deadline: 1}, "manifests": {Peers: peers, Manifests: 100}, "streams": {Peers: peers, Streams: -1},
	} {
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
