package worker_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/erasure"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// stripes are striped blobs, any two of four pieces, in a world.
type stripes struct {
	*world
	rows   []recovery.Blob
	pieces map[syncer.Piece][]byte
}

// newStripes certifies n striped blobs. The first peer holds shards 1 and 2, the other 3;
// so what the node holds of shard 0 is always rebuilt.
func newStripes(t *testing.T, w *world, n int) *stripes {
	t.Helper()
	s := &stripes{world: w, pieces: map[syncer.Piece][]byte{}}
	for i := range n {
		s.certify(t, content(1_000+i))
	}
	return s
}

func (s *stripes) certify(t *testing.T, data []byte) recovery.Blob {
	t.Helper()
	m, err := erasure.Split(t.Context(), erasure.Code{K: 2, N: totalShards}, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := erasure.BlobOf(encoded, int64(len(data)))
	s.pieces[syncer.Piece{Blob: b, Manifest: true}] = encoded
	for shard := range uint32(totalShards) {
		var piece bytes.Buffer
		p := syncer.Piece{Blob: b, Shard: shard, Index: shards.Striped.PieceOf(b.ID, shard, totalShards)}
		if err := erasure.WritePieces(t.Context(), m, bytes.NewReader(data), []erasure.Target{{Index: int(p.Index), Writer: &piece}}); err != nil {
			t.Fatal(err)
		}
		s.pieces[p] = piece.Bytes()
		if shard > 0 {
			s.peers[shard/3].Put(b.ID, p.Index, piece.Bytes())
		}
	}
	for _, p := range s.peers {
		p.PutManifest(b.ID, encoded)
	}
	s.catalog.Add(recovery.Row{Blob: b})
	s.rows = append(s.rows, b)
	return b
}

// striped makes a process keep pieces.
func striped(t *testing.T) func(*setup) {
	return func(s *setup) {
		f, err := erasure.New(erasure.Config{Peers: s.syncer.Fetcher})
		if err != nil {
			t.Fatal(err)
		}
		s.worker.Machine.Placement = shards.Striped
		s.syncer.Fetcher, s.syncer.Verifiers = f, map[recovery.Encoding]syncer.Verifier{recovery.Striped: f}
	}
}

// holds reports whether the disk has a blob's manifest and its pieces on some shards.
func (s *stripes) holds(b recovery.Blob, owned shards.Set) bool {
	for place := range store.Places(shards.Striped, owned) {
		data, ok := s.disk.Read(place, b.ID)
		if !ok || !bytes.Equal(data, s.pieces[store.PieceIn(b, place, shards.Striped, totalShards)]) {
			return false
		}
	}
	return true
}

// checkAll cuts the power: what is complete is there, manifests and all owned pieces.
func (s *stripes) checkAll() {
	s.t.Helper()
	s.disk.Crash()
	for _, b := range s.rows {
		if !s.holds(b, s.ownedSet()) {
			s.t.Errorf("complete, and %v is not whole", b.ID)
		}
	}
}

// Striped blobs take the same way as whole ones: killed or cut from the power half-way,
// they are resumed, and complete says that every owned piece and manifest is durable.
func TestStripedResumesAfterACrash(t *testing.T) {
	for name, losing := range map[string]func(*mem.Disk){"killed": (*mem.Disk).Kill, "power cut": (*mem.Disk).Crash} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 0, func(t *testing.T, w *world) {
				s := newStripes(t, w, 200)
				w.assign(func(o *ownership) { o.owned = "0-1" })
				change := []func(*setup){striped(t), limits(4, 10), taking(50 * time.Millisecond), exitWhenComplete}
				p := w.start(change...)
				p.until("a third is stored", 10*time.Minute, func(s worker.Status) bool { return s.Counters.Stored >= 70 })
				p.crash(losing)
				listed := map[recovery.BlobID]bool{}
				progress := w.record().Progress
				for _, u := range progress.Unsettled {
					listed[u.ID] = true
				}
				if name == "power cut" {
					for _, b := range s.rows { // I1 to I3, of pieces
						if progress.Scan.Covers(b.ID) && !listed[b.ID] && !s.holds(b, s.ownedSet()) {
							t.Errorf("%v is neither whole nor listed", b.ID)
						}
					}
				}
				p = w.start(change...)
				if p.finish(10 * time.Minute); p.worker.Status().Run != 1 {
					t.Errorf("it ended in run %d", p.worker.Status().Run)
				}
				s.checkAll()
			})
		})
	}
}

// A shard that is gained is filled for every blob, and only it. The manifests' directory
// that comes back wiped is as a shard that does (hazard 5).
func TestStripedGainedAndWiped(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		s := newStripes(t, w, 50)
		w.assign(func(o *ownership) { o.owned = "0-1" })
		p := w.start(striped(t))
		p.untilPhase(recovery.PhaseComplete, 10*time.Minute)
		w.assign(func(o *ownership) { o.owned = "0-2" })
		p.until("the gained shard is filled", 10*time.Minute, func(st worker.Status) bool {
			return st.Run == 2 && st.Phase == recovery.PhaseComplete
		})
		p.stop()
		s.checkAll()
		w.disk.Wipe(store.Manifests)
		p = w.start(striped(t), exitWhenComplete)
		p.finish(10 * time.Minute)
		if st := p.worker.Status(); st.Run != 3 || st.Origin.Why != "the directory of the manifests was wiped" {
			t.Errorf("after the manifests were wiped: run %d, %q", st.Run, st.Origin.Why)
		}
		s.checkAll()
	})
}

// Fewer than k pieces never settle, are parked by what peers say, and say who had what.
func TestStripedTooFewPieces(t *testing.T) {
	inWorld(t, 0, func(t *testing.T, w *world) {
		s := newStripes(t, w, 20)
		w.assign(func(o *ownership) { o.owned = "0" })
		poor := s.rows[7]
		for shard := range uint32(totalShards) {
			if shard > 1 {
				w.peers[shard/3].Delete(poor.ID, shards.Striped.PieceOf(poor.ID, shard, totalShards))
			}
		}
		p := w.start(striped(t), exitWhenComplete, func(s *setup) { s.worker.Machine.ParkAfter = 3 })
		if result := p.finish(time.Hour); result.Phase != recovery.PhaseIncomplete {
			t.Errorf("it ended %v", result.Phase)
		}
		list := w.record().Progress.Unsettled
		if len(list) != 1 || list[0].ID != poor.ID || list[0].State != recovery.Parked {
			t.Fatalf("unsettled: %+v", list)
		}
		const says = "1 of 2 pieces could be had: "
		if list[0].LastError[:len(says)] != says {
			t.Errorf("it says %q", list[0].LastError)
		}
	})
}
