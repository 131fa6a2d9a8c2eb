package catalogtest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// Tables is a state in memory, in key order. It is a snapshot.State.
type Tables struct {
	Head       snapshot.Header
	BlobRows   []snapshot.Blob
	OwnRows    []snapshot.Registration
	PoolRows   []snapshot.Pool
	PooledRows []snapshot.Pooled
}

// Header implements snapshot.State.
func (s *Tables) Header() snapshot.Header { return s.Head }

// Blobs implements snapshot.State.
func (s *Tables) Blobs() snapshot.Cursor[snapshot.Blob] {
	return &rows[snapshot.Blob]{rest: s.BlobRows}
}

// Registrations implements snapshot.State.
func (s *Tables) Registrations() snapshot.Cursor[snapshot.Registration] {
	return &rows[snapshot.Registration]{rest: s.OwnRows}
}

// Pooled implements snapshot.State.
func (s *Tables) Pooled() snapshot.Cursor[snapshot.Pooled] {
	return &rows[snapshot.Pooled]{rest: s.PooledRows}
}

// Pools implements snapshot.State.
func (s *Tables) Pools() []snapshot.Pool { return s.PoolRows }

// rows is a cursor over rows in memory. What it yields is overwritten, as the
// contract allows.
type rows[R any] struct {
	rest []R
	row  R
}

// Next implements snapshot.Cursor.
func (r *rows[R]) Next() (*R, error) {
	if len(r.rest) == 0 {
		return nil, nil
	}
	r.row, r.rest = r.rest[0], r.rest[1:]
	return &r.row, nil
}

// RandomTables returns a state of up to n blobs in which every kind of row and
// of value occurs, once n is large enough: live, expired, deleted and pooled
// registrations, several of one blob, invalidated blobs, unknown sizes and
// digests, and the largest numbers. The same seed gives the same state.
func RandomTables(seed uint64, n int) *Tables {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &Tables{Head: snapshot.Header{
		Stamp:     recovery.Stamp{Network: "random", Epoch: 10, Position: 1 << 40},
		Ancestors: []recovery.Ancestor{{Position: 3, Digest: recovery.Digest{1}}, {Position: 1 << 30, Digest: recovery.Digest{2}}},
	}}
	for range n/50 + 2 {
		s.PoolRows = append(s.PoolRows, snapshot.Pool{ID: id(r), StartEpoch: r.Uint32N(9), EndEpoch: endEpoch(r), Gained: gained(r)})
	}
	slices.SortFunc(s.PoolRows, func(a, b snapshot.Pool) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for range n {
		s.BlobRows = append(s.BlobRows, randomBlob(r))
	}
	slices.SortFunc(s.BlobRows, func(a, b snapshot.Blob) int { return a.ID.Compare(b.ID) })
	for i := range s.BlobRows {
		s.register(r, s.BlobRows[i].ID)
	}
	return s
}

func randomBlob(r *rand.Rand) snapshot.Blob {
	b := snapshot.Blob{Blob: recovery.Blob{ID: id(r), Size: r.Int64N(1 << 40), Encoding: recovery.Raw}}
	b.Digest = b.ID
	switch r.IntN(12) {
	case 0:
		b.Size, b.Encoding, b.Digest = recovery.SizeUnknown, recovery.Walrus, [32]byte{}
	case 1:
		b.Encoding, b.Digest = recovery.Striped, id(r)
	case 2:
		b.Size = 0
	case 3:
		b.Invalidated = 1 + r.Uint64N(1<<40)
	}
	return b
}

// register gives a blob some registrations, in key order.
func (s *Tables) register(r *rand.Rand, blob recovery.BlobID) {
	var objects [][32]byte
	for range r.IntN(4) {
		objects = append(objects, id(r))
	}
	if r.IntN(3) > 0 {
		objects = append(objects, blob)
	}
	slices.SortFunc(objects, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, object := range objects {
		certified := r.IntN(5) > 0
		var epoch uint32
		if certified {
			epoch = r.Uint32N(11)
		}
		key := snapshot.KeyOf(blob, object)
		if r.IntN(3) == 0 {
			pool := s.PoolRows[r.IntN(len(s.PoolRows))].ID
			s.PooledRows = append(s.PooledRows, snapshot.Pooled{
				Key: key, RegisteredEpoch: r.Uint32N(11), Certified: certified, CertifiedEpoch: epoch, Pool: pool, Gained: gained(r),
			})
			continue
		}
		s.OwnRows = append(s.OwnRows, snapshot.Registration{
			Key: key, RegisteredEpoch: r.Uint32N(11), Certified: certified, CertifiedEpoch: epoch, EndEpoch: endEpoch(r),
			Deletable: r.IntN(2) == 0, Deleted: r.IntN(6) == 0, Gained: gained(r),
		})
	}
}

// id returns an id that shares a prefix with many others.
func id(r *rand.Rand) (id [32]byte) {
	id[0] = byte(r.IntN(4) * 85)
	for i := 1 + r.IntN(3); i < len(id); i++ {
		id[i] = byte(r.Uint32())
	}
	return id
}

func endEpoch(r *rand.Rand) uint32 {
	if r.IntN(4) == 0 {
		return recovery.EpochForever
	}
	return 5 + r.Uint32N(20)
}

func gained(r *rand.Rand) uint64 {
	switch r.IntN(8) {
	case 0:
		return 0
	case 1:
		return 1 << 40
	}
	return 1 + r.Uint64N(1<<40)
}

// Write publishes the state as a full snapshot.
func (s *Tables) Write(t testing.TB, path string) snapshot.Written {
	t.Helper()
	w, err := snapshot.Write(t.Context(), path, s, snapshot.Options{})
	if err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return w
}
