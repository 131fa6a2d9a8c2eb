package snapshot

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// drawState draws a small state with many collisions: few ids, epochs around
// the state's, and every flag.
func drawState(t *rapid.T) *tables {
	s := &tables{head: Header{Stamp: recovery.Stamp{
		Network: "drawn", Epoch: rapid.Uint32Range(0, 5).Draw(t, "epoch"), Position: rapid.Uint64Range(0, 1<<40).Draw(t, "position"),
	}}}
	id := rapid.Custom(func(t *rapid.T) (id recovery.BlobID) {
		id[0], id[31] = rapid.ByteRange(0, 4).Draw(t, "first"), rapid.ByteRange(0, 4).Draw(t, "last")
		return id
	})
	epoch := rapid.OneOf(rapid.Uint32Range(0, 8), rapid.Just(uint32(recovery.EpochForever)))
	end := epoch
	position := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, s.head.Position))
	for _, id := range sorted(rapid.SliceOfN(id, 0, 30).Draw(t, "blobs"), recovery.BlobID.Compare) {
		b := Blob{Blob: recovery.Blob{
			ID: id, Size: rapid.Int64Range(-1, math.MaxInt64).Draw(t, "size"),
			Encoding: recovery.Encoding(rapid.ByteRange(1, 3).Draw(t, "encoding")),
			Digest:   rapid.SampledFrom([][32]byte{id, {}, {1}}).Draw(t, "digest"),
		}}
		if rapid.IntRange(0, 5).Draw(t, "invalidated") == 0 {
			b.Invalidated = position.Draw(t, "at")
		}
		s.blobs = append(s.blobs, b)
	}
	for _, p := range sorted(rapid.SliceOfN(id, 1, 4).Draw(t, "pools"), recovery.BlobID.Compare) {
		s.pools = append(s.pools, Pool{
			ID: PoolID(p), StartEpoch: epoch.Draw(t, "start"), EndEpoch: end.Draw(t, "end"), Gained: position.Draw(t, "gained"),
		})
	}
	if len(s.blobs) == 0 {
		return s
	}
	key := rapid.Custom(func(t *rapid.T) Key {
		blob := rapid.SampledFrom(s.blobs).Draw(t, "blob").ID
		return KeyOf(blob, rapid.OneOf(id, rapid.Just(blob)).Draw(t, "object"))
	})
	compare := func(a, b Key) int { return bytes.Compare(a[:], b[:]) }
	for _, k := range sorted(rapid.SliceOfN(key, 0, 40).Draw(t, "registrations"), compare) {
		r := Registration{
			Key: k, RegisteredEpoch: epoch.Draw(t, "registered"), Certified: rapid.Bool().Draw(t, "certified"),
			EndEpoch: end.Draw(t, "end"), Deletable: rapid.Bool().Draw(t, "deletable"),
			Deleted: rapid.IntRange(0, 4).Draw(t, "deleted") == 0, Gained: position.Draw(t, "gained"),
		}
		if r.Certified {
			r.CertifiedEpoch = epoch.Draw(t, "certified epoch")
		}
		s.regs = append(s.regs, r)
	}
	for _, k := range sorted(rapid.SliceOfN(key, 0, 20).Draw(t, "pooled"), compare) {
		p := Pooled{
			Key: k, RegisteredEpoch: epoch.Draw(t, "registered"), Certified: rapid.Bool().Draw(t, "certified"),
			Pool: rapid.SampledFrom(s.pools).Draw(t, "pool").ID, Gained: position.Draw(t, "gained"),
		}
		if p.Certified {
			p.CertifiedEpoch = epoch.Draw(t, "certified epoch")
		}
		s.pooled = append(s.pooled, p)
	}
	return s
}

func sorted[T comparable](all []T, compare func(a, b T) int) []T {
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// TestRoundTrip: what was written is read back; the certified blobs are those
// of the rules, from any place; and the digest is that of the state.
func TestRoundTrip(t *testing.T) {
	evidence.Property(t, "snapshots: what was written is read back, from any place", func(rt *rapid.T) {
		s := drawState(rt)
		r, err := inMemory(encode(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		back, err := readAll(r)
		if diff := gocmp.Diff(*s, back, gocmp.AllowUnexported(tables{}), cmpopts.EquateEmpty()); diff != "" || err != nil {
			rt.Fatalf("read back: %v (-want +got):\n%s", err, diff)
		}
		checkScan(rt, t, s, r.Scan())
		checkFind(rt, s, r.Scan())
		checkLookup(rt, s, r.Lookup())
	})
}

// checkScan reads the certified blobs from everywhere.
func checkScan(rt *rapid.T, t *testing.T, s *tables, scan *Scan) {
	want := s.rows()
	marks := []recovery.Mark{{}, recovery.MarkEnd(), recovery.MarkAt(recovery.BlobID(bytes.Repeat([]byte{0xff}, 32)))}
	for _, b := range s.blobs {
		marks = append(marks, recovery.MarkAt(b.ID))
	}
	for _, m := range marks {
		rest := slices.DeleteFunc(slices.Clone(want), func(row recovery.Row) bool { return m.Covers(row.ID) })
		rows, err := scanAll(t, scan, m)
		if diff := gocmp.Diff(rest, rows, cmpopts.EquateEmpty()); diff != "" || err != nil {
			rt.Fatalf("after %v: %v (-want +got):\n%s", m, err, diff)
		}
	}
}

// checkFind looks every blob up, and ids that are not there.
func checkFind(t *rapid.T, s *tables, scan *Scan) {
	byID := map[recovery.BlobID]recovery.Row{}
	for _, row := range s.rows() {
		byID[row.ID] = row
	}
	for _, b := range s.blobs {
		absent := b.ID
		absent[16] = 1
		for _, id := range []recovery.BlobID{b.ID, absent} {
			var row recovery.Row
			ok, err := scan.Find(id, &row)
			want, there := byID[id]
			if err != nil || ok != there || ok && row != want {
				t.Fatalf("find %v: %v, error %v, row %+v, want %+v", id, ok, err, row, want)
			}
		}
	}
}

// checkLookup looks every row up, twice, in any order, and keys that are not
// there.
func checkLookup(t *rapid.T, s *tables, l *Lookup) {
	lookEach(t, s.blobs, func(b *Blob) (*Blob, error) { return l.Blob(b.ID) })
	lookEach(t, s.regs, func(r *Registration) (*Registration, error) { return l.Registration(r.Key) })
	lookEach(t, s.pooled, func(p *Pooled) (*Pooled, error) { return l.Pooled(p.Key) })
	lookEach(t, s.pools, func(p *Pool) (*Pool, error) { return l.Pool(p.ID), nil })
}

func lookEach[R comparable, P Row[R]](t *rapid.T, rows []R, look func(*R) (*R, error)) {
	if len(rows) == 0 {
		return
	}
	there := map[string]bool{}
	for i := range rows {
		there[string(P(&rows[i]).RowKey())] = true
	}
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(rows)-1), 1, 20).Draw(t, "look-ups") {
		for range 2 {
			if got, err := look(&rows[i]); err != nil || got == nil || *got != rows[i] {
				t.Fatalf("look-up of %+v: %+v, error %v", rows[i], got, err)
			}
		}
		absent := rows[i]
		P(&absent).RowKey()[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
		if got, err := look(&absent); err != nil || (got != nil) != there[string(P(&absent).RowKey())] {
			t.Fatalf("look-up of %+v: %+v, error %v", absent, got, err)
		}
	}
}

// TestSameStateSameBytes writes one state twice, and states that differ in one
// place. Hazard 64: there must be something to compare.
func TestSameStateSameBytes(t *testing.T) {
	first, second := encode(t, golden()), encode(t, golden())
	if len(first) < 500 || !bytes.Equal(first, second) {
		t.Fatalf("%d and %d bytes differ, or are too few", len(first), len(second))
	}
	digest := func(raw []byte) recovery.Digest {
		r, err := inMemory(raw)
		if err != nil {
			t.Fatal(err)
		}
		return r.Bound().Digest
	}
	for name, c := range map[string]struct {
		edit func(*tables)
		same bool // one state all the same
	}{
		"ancestors":   {func(s *tables) { s.head.Ancestors = nil }, true},
		"network":     {func(s *tables) { s.head.Network += "2" }, false},
		"epoch":       {func(s *tables) { s.head.Epoch++ }, false},
		"position":    {func(s *tables) { s.head.Position++ }, false},
		"size":        {func(s *tables) { s.blobs[2].Size++ }, false},
		"invalidated": {func(s *tables) { s.blobs[0].Invalidated = 1 }, false},
		"end epoch":   {func(s *tables) { s.regs[0].EndEpoch++ }, false},
		"gained":      {func(s *tables) { s.regs[0].Gained = 0 }, false},
		"pool":        {func(s *tables) { s.pools[0].EndEpoch++ }, false},
		"one fewer":   {func(s *tables) { s.pooled = s.pooled[:3] }, false},
	} {
		s := golden()
		c.edit(s)
		raw := encode(t, s)
		if bytes.Equal(raw, first) {
			t.Errorf("%s: the bytes are the same", name)
		}
		if (digest(raw) == digest(first)) != c.same {
			t.Errorf("%s: digests are equal: %v, want %v", name, !c.same, c.same)
		}
	}
}

// manyBlocks is a state with several blocks in every table. By another variant a
// part of every table differs, and keys are there that are not in the first.
func manyBlocks(n int, variant byte) *tables {
	s := state(n)
	s.head.Position += uint64(variant)
	for i := range s.blobs {
		if i%2 == 0 {
			id := s.blobs[i].ID
			pool := PoolID{0: byte(i >> 8), 1: byte(i), 31: 7}
			s.pools = append(s.pools, Pool{ID: pool, EndEpoch: 6 + uint32(i)})
			s.pooled = append(s.pooled, Pooled{Key: KeyOf(id, pool), Certified: true, CertifiedEpoch: 1, Pool: pool})
		}
	}
	for i := range 3000 { // one blob with registrations for several blocks
		s.regs = append(s.regs, Registration{
			Key:       KeyOf(s.blobs[2000].ID, [32]byte{1, byte(i >> 8), byte(i), 0, byte(i * 7), byte(i * 13), byte(i * 29)}),
			Certified: true, CertifiedEpoch: 2, EndEpoch: 6,
		})
	}
	slices.SortFunc(s.regs, func(a, b Registration) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	if variant == 0 {
		return s
	}
	for i := range s.blobs {
		if i%3 == 0 {
			s.blobs[i].Size += int64(variant)
		}
	}
	for i := range s.pools {
		s.pools[i].EndEpoch += uint32(variant)
	}
	s.regs = slices.DeleteFunc(s.regs, func(r Registration) bool { return r.Key[33]%3 == 0 })
	s.pooled = slices.DeleteFunc(s.pooled, func(p Pooled) bool { return p.Key[33]%2 == 0 })
	return s
}

// TestManyBlocks crosses block borders in every table.
func TestManyBlocks(t *testing.T) {
	s := manyBlocks(4000, 0)
	r := open(t, s.write(t))
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table := Blobs; table <= Pools; table++ {
		if n := len(r.index.of(table)); n < 2 {
			t.Errorf("%v: %d blocks, want some", table, n)
		}
	}
	want, scan := s.rows(), r.Scan()
	for i := 0; i < len(want); i += 331 {
		rows, err := scanAll(t, scan, recovery.MarkAt(want[i].ID))
		if err != nil || !slices.Equal(rows, want[i+1:]) {
			t.Fatalf("after row %d: %d rows, want %d, error %v", i, len(rows), len(want)-i-1, err)
		}
		var row recovery.Row
		if ok, err := scan.Find(want[i].ID, &row); err != nil || !ok || row != want[i] {
			t.Fatalf("find row %d: %v %v %+v", i, ok, err, row)
		}
	}
}

// encode writes a state to memory.
func encode(t testing.TB, s *tables) []byte {
	t.Helper()
	files := encodeSet(t, s, 0)
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	return files[0]
}

// encodeSet writes a state to memory, in chunks of at most limit bytes.
func encodeSet(t testing.TB, s *tables, limit int64) (files [][]byte) {
	t.Helper()
	var to memoryStorage
	w, err := newWriter(&to, "memory", s.head, Options{MaxChunk: limit})
	if err = cmp.Or(err, s.put(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, f := range to.files {
		files = append(files, f.Bytes())
	}
	return files
}
