package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

const (
	goldenV1 = "testdata/full-v1.rsnap"
	incrV1   = "testdata/incr-v1.rsnap"
	chunksV1 = "testdata/chunks-v1.rsnap" // of four, each with its ChunkName
)

// Digests, frozen apart from the files. The chunks hold the state of the full one.
const (
	goldenDigest = "92eb3b14aa6c4f403de1c29b6bed882bf1b2ddcead7f34455792e86d57b54c61"
	incrDigest   = "7a9544f5d65720db055e39e47d494b4a735edc4e886f1ae9a516852049e1d576"
)

func goldenID(b byte) recovery.BlobID { return recovery.BlobID{0: 0xb1, 1: b, 31: 0x0b} }
func goldenObject(b byte) [32]byte    { return [32]byte{0: 0x0b, 31: b} }
func goldenPool(b byte) PoolID        { return PoolID{0: 0xf0, 31: b} }

// golden is a small state in which every flag, and its absence, occurs.
func golden() *tables {
	id, object, pool := goldenID, goldenObject, goldenPool
	blob := func(b byte, size int64, e recovery.Encoding) Blob {
		return Blob{Blob: recovery.Blob{ID: id(b), Size: size, Encoding: e, Digest: id(b)}}
	}
	s := &tables{head: Header{
		Stamp:     recovery.Stamp{Network: "golden-nét", Epoch: 7, Position: 1000},
		Ancestors: []recovery.Ancestor{{Position: 10, Digest: recovery.Digest{1}}, {Position: 999, Digest: recovery.Digest{2}}},
	}}
	s.blobs = []Blob{
		blob(1, 0, recovery.Raw), blob(2, 1<<40, recovery.Raw), blob(3, 300, recovery.Striped),
		blob(4, recovery.SizeUnknown, recovery.Walrus), blob(5, 5, recovery.Raw), blob(6, 6, recovery.Raw), blob(7, 7, recovery.Raw),
	}
	s.blobs[2].Digest = [32]byte{0xd1}
	s.blobs[3].Digest = [32]byte{}
	s.blobs[4].Invalidated = 500
	s.regs = []Registration{
		{Key: KeyOf(id(1), id(1)), RegisteredEpoch: 1, Certified: true, CertifiedEpoch: 2, EndEpoch: 8, Gained: 3},
		{Key: KeyOf(id(2), object(1)), RegisteredEpoch: 1, EndEpoch: 200, Deletable: true},
		{Key: KeyOf(id(2), object(2)), RegisteredEpoch: 300, Certified: true, CertifiedEpoch: 300, EndEpoch: recovery.EpochForever},
		{Key: KeyOf(id(2), id(2)), RegisteredEpoch: 3, Certified: true, CertifiedEpoch: 4, EndEpoch: 9, Deleted: true, Gained: 900},
		{Key: KeyOf(id(3), id(3)), RegisteredEpoch: 2, Certified: true, CertifiedEpoch: 2, EndEpoch: 7, Gained: 20}, // expired
		{Key: KeyOf(id(5), id(5)), RegisteredEpoch: 2, Certified: true, CertifiedEpoch: 2, EndEpoch: 70, Gained: 30},
	}
	s.pooled = []Pooled{
		{Key: KeyOf(id(3), object(9)), RegisteredEpoch: 5, Certified: true, CertifiedEpoch: 6, Pool: pool(2), Gained: 40},
		{Key: KeyOf(id(4), id(4)), RegisteredEpoch: 5, Certified: true, CertifiedEpoch: 5, Pool: pool(3)},
		{Key: KeyOf(id(6), object(1)), RegisteredEpoch: 5, Pool: pool(2), Gained: 1},
		{Key: KeyOf(id(6), object(2)), RegisteredEpoch: 5, Certified: true, CertifiedEpoch: 5, Pool: pool(1), Gained: 1},
	}
	s.pools = []Pool{
		{ID: pool(1), StartEpoch: 1, EndEpoch: 7, Gained: 5},
		{ID: pool(2), StartEpoch: 1, EndEpoch: 30, Gained: 600},
		{ID: pool(3), StartEpoch: 2, EndEpoch: recovery.EpochForever},
	}
	return s
}

// goldenLater is a state one epoch after golden: of every table something was
// dropped, changed and added.
func goldenLater() *tables {
	s := golden()
	s.head.Epoch, s.head.Position, s.head.Ancestors = 8, 1010, nil
	s.blobs[1].Size, s.blobs[5].Invalidated = 1<<40+1, 1001
	s.blobs = append(s.blobs[1:7], Blob{Blob: recovery.Blob{ID: goldenID(8), Size: 8, Encoding: recovery.Raw, Digest: goldenID(8)}})
	s.regs = []Registration{
		s.regs[1], // 1/1 and 2/2 went, and of one blob 2/object 2
		{Key: KeyOf(goldenID(2), goldenObject(3)), RegisteredEpoch: 8, EndEpoch: 9, Certified: true, CertifiedEpoch: 8, Gained: 1002},
		s.regs[5], // and 3/3
		{Key: KeyOf(goldenID(8), goldenID(8)), RegisteredEpoch: 8, EndEpoch: 10, Certified: true, CertifiedEpoch: 8, Gained: 1003},
	}
	s.regs[2].EndEpoch, s.regs[2].Gained = 71, 1004
	s.pooled = []Pooled{
		s.pooled[0], s.pooled[2],
		{Key: KeyOf(goldenID(7), goldenID(7)), RegisteredEpoch: 8, Pool: goldenPool(4)},
	}
	s.pooled[1].Certified, s.pooled[1].CertifiedEpoch, s.pooled[1].Gained = true, 8, 1005
	s.pools = []Pool{s.pools[1], {ID: goldenPool(4), StartEpoch: 8, EndEpoch: 9, Gained: 1006}}
	s.pools[0].EndEpoch, s.pools[0].Gained = 31, 1007
	return s
}

// goldenRows is what of golden is certified at epoch 7, worked out by hand.
func goldenRows() []recovery.Row {
	s := golden()
	return []recovery.Row{
		{Blob: s.blobs[0].Blob, CertifiedEpoch: 2, EndEpoch: 8, Gained: 3},
		{Blob: s.blobs[1].Blob, CertifiedEpoch: 300, EndEpoch: recovery.EpochForever, Gained: 1000},
		{Blob: s.blobs[2].Blob, CertifiedEpoch: 6, EndEpoch: 30, Gained: 600},
		{Blob: s.blobs[3].Blob, CertifiedEpoch: 5, EndEpoch: recovery.EpochForever, Gained: 1000},
	}
}

// goldenLaterRows is what of goldenLater is certified at epoch 8. Blob 6 was
// invalidated, the pools of 4 and 7 are gone or its registration is not certified.
func goldenLaterRows() []recovery.Row {
	s := goldenLater()
	return []recovery.Row{
		{Blob: s.blobs[0].Blob, CertifiedEpoch: 8, EndEpoch: 9, Gained: 1002},
		{Blob: s.blobs[1].Blob, CertifiedEpoch: 6, EndEpoch: 31, Gained: 1007},
		{Blob: s.blobs[6].Blob, CertifiedEpoch: 8, EndEpoch: 10, Gained: 1003},
	}
}

// frozen compares bytes with a golden file of version 1. The file is never
// regenerated: -update only writes one that is not there.
func frozen(t *testing.T, path string, got []byte) {
	t.Helper()
	if _, err := os.Stat(path); *update && errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s is written differently now: %d bytes, %d are frozen", path, len(got), len(want))
	}
}

func TestGolden(t *testing.T) {
	frozen(t, goldenV1, readFile(t, golden().write(t)))
	r := open(t, goldenV1)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Bound().Digest.String(); got != goldenDigest {
		t.Errorf("digest %s, want %s", got, goldenDigest)
	}
	checkGolden(t, r)
	want := Totals{Rows: Counts{7, 6, 4, 3}, Certified: 4, CertifiedBytes: 1<<40 + 300, Unsized: 1}
	if got := r.Totals(); got != want || got.Bytes() != recovery.SizeUnknown {
		t.Errorf("totals %+v, want %+v", got, want)
	}
}

// checkGolden compares the content of a snapshot with golden.
func checkGolden(t *testing.T, r *Reader) {
	t.Helper()
	back, err := readAll(r)
	if diff := cmp.Diff(*golden(), back, cmp.AllowUnexported(tables{})); diff != "" || err != nil {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}
	rows, err := scanAll(t, r.Scan(), recovery.Mark{})
	if diff := cmp.Diff(goldenRows(), rows); diff != "" || err != nil {
		t.Errorf("certified: %v (-want +got):\n%s", err, diff)
	}
}

// TestGoldenIncremental: the difference between two states, with a dropped key,
// a changed and a new row in every table.
func TestGoldenIncremental(t *testing.T) {
	path := filepath.Join(t.TempDir(), "incr.rsnap")
	base := open(t, goldenV1)
	if _, err := WriteIncremental(t.Context(), path, base, open(t, goldenLater().write(t)), Options{}); err != nil {
		t.Fatal(err)
	}
	frozen(t, incrV1, readFile(t, path))
	r := open(t, incrV1)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Bound().Digest.String(); got != incrDigest {
		t.Errorf("digest %s, want %s", got, incrDigest)
	}
	if got, want := r.Totals(), (Totals{Rows: Counts{4, 7, 4, 4}}); got != want {
		t.Errorf("totals %+v, want %+v", got, want)
	}
	want := []string{
		"-b101", "+b102", "+b106", "+b108",
		"-b101/b101", "-b102/0b00", "+b102/0b00", "-b102/b102", "-b103/b103", "+b105/b105", "+b108/b108",
		"-b104/b104", "+b106/0b00", "-b106/0b00", "+b107/b107",
		"-f000", "+f000", "-f000", "+f000",
	}
	if diff := cmp.Diff(want, editsOf(t, r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	over, err := Over(base, r)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := scanAll(t, over.Scan(), recovery.Mark{})
	if diff := cmp.Diff(goldenLaterRows(), rows); diff != "" || err != nil {
		t.Errorf("certified: %v (-want +got):\n%s", err, diff)
	}
}

// editsOf lists what an incremental changes: + or -, and the first two bytes of
// each half of the key.
func editsOf(t testing.TB, r *Reader) []string {
	t.Helper()
	all, err := readDeltas(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// readDeltas reads all that an incremental holds.
func readDeltas(r *Reader) (all []string, err error) {
	if all, err = deltasOf(all, r.BlobDeltas()); err != nil {
		return nil, err
	}
	if all, err = deltasOf(all, r.RegistrationDeltas()); err != nil {
		return nil, err
	}
	if all, err = deltasOf(all, r.PooledDeltas()); err != nil {
		return nil, err
	}
	return deltasOf(all, r.PoolDeltas())
}

func deltasOf[R any, P Row[R]](all []string, c DeltaCursor[R]) ([]string, error) {
	for {
		row, dropped, err := c.Next()
		if row == nil || err != nil {
			return all, err
		}
		sign, key := "+", P(row).RowKey()
		if dropped {
			sign = "-"
		}
		text := fmt.Sprintf("%s%x", sign, key[:2])
		if len(key) == 64 {
			text += fmt.Sprintf("/%x", key[32:34])
		}
		all = append(all, text)
	}
}

// TestGoldenChunks: the golden state, one block in each file.
func TestGoldenChunks(t *testing.T) {
	files := encodeSet(t, golden(), 1)
	if len(files) != 4 {
		t.Fatalf("%d chunks", len(files))
	}
	var paths []string
	for i, raw := range files {
		paths = append(paths, ChunkName(chunksV1, Chunk{uint32(i), 4}))
		frozen(t, paths[i], raw)
	}
	r, err := OpenSet(paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole := open(t, goldenV1)
	if r.Bound() != whole.Bound() || r.Totals() != whole.Totals() {
		t.Errorf("%v %+v, the whole is %v %+v", r.Bound(), r.Totals(), whole.Bound(), whole.Totals())
	}
	checkGolden(t, r)
}

// goldenSets are the golden snapshots, each as the bytes of its files.
func goldenSets(t testing.TB) map[string][][]byte {
	sets := map[string][][]byte{"full": {readFile(t, goldenV1)}, "incremental": {readFile(t, incrV1)}}
	for i := range uint32(4) {
		sets["chunks"] = append(sets["chunks"], readFile(t, ChunkName(chunksV1, Chunk{i, 4})))
	}
	return sets
}

// contentOf is what a snapshot says when it is read without being proven.
func contentOf(t testing.TB, r *Reader) (any, error) {
	if r.head.Base != nil {
		return readDeltas(r)
	}
	return scanAll(t, r.Scan(), recovery.Mark{})
}

// refused reports whether a file was refused for what is in it.
func refused(err error) bool {
	return isCorrupt(err) || errors.Is(err, ErrNotSnapshot) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrChunk)
}

// TestEveryBitFlip flips each bit of the golden files: the whole of them must
// not pass, and what can be read before that must be right.
func TestEveryBitFlip(t *testing.T) {
	tried := uint64(0)
	for name, set := range goldenSets(t) {
		good, err := contentOf(t, mustMemory(t, set...))
		if err != nil {
			t.Fatal(err)
		}
		for i, raw := range set {
			for bit := range 8 * len(raw) {
				bad := slices.Clone(set)
				bad[i] = slices.Clone(raw)
				bad[i][bit/8] ^= 1 << (bit % 8)
				tried++
				before := allocated()
				r, err := inMemory(bad...)
				if err == nil {
					err = r.Verify(t.Context())
					got, readErr := contentOf(t, r)
					if diff := cmp.Diff(good, got); readErr == nil && diff != "" {
						t.Errorf("%s, file %d, bit %d of byte %d: wrong content without an error:\n%s", name, i, bit%8, bit/8, diff)
					}
				}
				if !refused(err) {
					t.Errorf("%s, file %d, bit %d of byte %d: error %v", name, i, bit%8, bit/8, err)
				}
				if took := allocated() - before; took > maxForAFlip {
					t.Errorf("%s, file %d, bit %d of byte %d: %d bytes were allocated", name, i, bit%8, bit/8, took)
				}
			}
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every flipped bit of the frozen snapshots: full, incremental, in chunks", Tried: tried, Unit: "corruptions",
		Detail: "all are refused, and what can be read before is right",
	})
}

// maxForAFlip bounds what reading a golden file with a flipped bit may allocate, in
// bytes: none of them is larger than 2 KiB, so this is the reader's own buffers.
const maxForAFlip = 4 << 20

// allocated is what the process has allocated so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestEveryTruncation cuts the golden files everywhere, and adds to them.
func TestEveryTruncation(t *testing.T) {
	tried := uint64(0)
	for name, set := range goldenSets(t) {
		for i, raw := range set {
			bad := slices.Clone(set)
			for n := range raw {
				bad[i] = raw[:n]
				tried++
				if _, err := inMemory(bad...); !isCorrupt(err) {
					t.Errorf("%s, file %d cut to %d bytes: error %v", name, i, n, err)
				}
			}
			for _, more := range [][]byte{{0}, raw[len(raw)-trailerLength:], raw} {
				bad[i] = slices.Concat(raw, more)
				tried++
				r, err := inMemory(bad...)
				if err == nil {
					err = r.Verify(t.Context())
				}
				if !isCorrupt(err) {
					t.Errorf("%s, file %d with %d bytes more: error %v", name, i, len(more), err)
				}
			}
		}
	}
	evidence.Proved(t, evidence.Entry{
		Layer: "corruption", What: "every truncation of the frozen snapshots, and bytes appended", Tried: tried, Unit: "corruptions",
		Detail: "all are refused",
	})
}

// TestUnknownVersionUntouched: what this program does not know it refuses as
// such, not as damage, whatever else the file holds.
func TestUnknownVersionUntouched(t *testing.T) {
	for name, edit := range map[string]func([]byte){
		"version": func(b []byte) { b[headerVersion+1] = 2 },
		"kind":    func(b []byte) { b[headerKind] = 3 },
	} {
		bad := readFile(t, goldenV1)
		edit(bad)
		for _, raw := range [][]byte{bad, reseal(slices.Clone(bad)), bad[:200]} {
			if _, err := inMemory(raw); !errors.Is(err, ErrUnsupported) || isCorrupt(err) {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
}
