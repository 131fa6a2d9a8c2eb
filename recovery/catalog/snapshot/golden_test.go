package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

var update = flag.Bool("update", false, "write golden files that do not exist yet")

const goldenV1 = "testdata/full-v1.rsnap"

// goldenDigest freezes the state's name apart from the file.
const goldenDigest = "92eb3b14aa6c4f403de1c29b6bed882bf1b2ddcead7f34455792e86d57b54c61"

// golden is a small state in which every flag, and its absence, occurs.
func golden() *tables {
	id := func(b byte) recovery.BlobID { return recovery.BlobID{0: 0xb1, 1: b, 31: 0x0b} }
	object := func(b byte) [32]byte { return [32]byte{0: 0x0b, 31: b} }
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
	pool := func(b byte) PoolID { return PoolID{0: 0xf0, 31: b} }
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

// goldenRows is what of it is certified at epoch 7, worked out by hand.
func goldenRows() []recovery.Row {
	s := golden()
	return []recovery.Row{
		{Blob: s.blobs[0].Blob, CertifiedEpoch: 2, EndEpoch: 8, Gained: 3},
		{Blob: s.blobs[1].Blob, CertifiedEpoch: 300, EndEpoch: recovery.EpochForever, Gained: 1000},
		{Blob: s.blobs[2].Blob, CertifiedEpoch: 6, EndEpoch: 30, Gained: 600},
		{Blob: s.blobs[3].Blob, CertifiedEpoch: 5, EndEpoch: recovery.EpochForever, Gained: 1000},
	}
}

// TestGolden freezes the bytes of version 1. The file is never regenerated:
// -update only writes one that is not there.
func TestGolden(t *testing.T) {
	got := readFile(t, golden().write(t))
	if _, err := os.Stat(goldenV1); *update && errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(goldenV1), 0o755), os.WriteFile(goldenV1, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, goldenV1); !bytes.Equal(got, want) {
		t.Errorf("version 1 is written differently now: %d bytes, %d are frozen", len(got), len(want))
	}
	r := open(t, goldenV1)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.Bound().Digest.String(); got != goldenDigest {
		t.Errorf("digest %s, want %s", got, goldenDigest)
	}
	back, err := readAll(r)
	if diff := cmp.Diff(*golden(), back, cmp.AllowUnexported(tables{})); diff != "" || err != nil {
		t.Errorf("read back: %v (-want +got):\n%s", err, diff)
	}
	rows, err := scanAll(t, r.Scan(), recovery.Mark{})
	if diff := cmp.Diff(goldenRows(), rows); diff != "" || err != nil {
		t.Errorf("certified: %v (-want +got):\n%s", err, diff)
	}
	want := Totals{Rows: Counts{7, 6, 4, 3}, Certified: 4, CertifiedBytes: 1<<40 + 300, Unsized: 1}
	if got := r.Totals(); got != want || got.Bytes() != recovery.SizeUnknown {
		t.Errorf("totals %+v, want %+v", got, want)
	}
}

// TestEveryBitFlip flips each bit of the golden file: the whole of it must not
// pass, and what can be read of it before that must be right.
func TestEveryBitFlip(t *testing.T) {
	raw := readFile(t, goldenV1)
	for bit := range 8 * len(raw) {
		bad := slices.Clone(raw)
		bad[bit/8] ^= 1 << (bit % 8)
		r, err := inMemory(bad)
		if err == nil {
			err = r.Verify(t.Context())
			rows, scanErr := scanAll(t, r.Scan(), recovery.Mark{})
			if diff := cmp.Diff(goldenRows(), rows); scanErr == nil && diff != "" {
				t.Errorf("bit %d of byte %d: wrong rows without an error:\n%s", bit%8, bit/8, diff)
			}
		}
		if !isCorrupt(err) && !errors.Is(err, ErrNotSnapshot) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("bit %d of byte %d: error %v", bit%8, bit/8, err)
		}
	}
}

// TestEveryTruncation cuts the golden file everywhere, and adds to it.
func TestEveryTruncation(t *testing.T) {
	raw := readFile(t, goldenV1)
	for n := range raw {
		if _, err := inMemory(raw[:n]); !isCorrupt(err) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
	for _, more := range [][]byte{{0}, raw[len(raw)-trailerLength:], raw} {
		if r, err := inMemory(slices.Concat(raw, more)); err == nil {
			if err := r.Verify(t.Context()); err == nil {
				t.Errorf("%d bytes more are accepted", len(more))
			}
		} else if !isCorrupt(err) {
			t.Errorf("%d bytes more: error %v", len(more), err)
		}
	}
}

// TestUnknownVersionUntouched: what this program does not know it refuses as
// such, not as damage, whatever else the file holds.
func TestUnknownVersionUntouched(t *testing.T) {
	for name, edit := range map[string]func([]byte){
		"version":     func(b []byte) { b[headerVersion+1] = 2 },
		"kind":        func(b []byte) { b[headerKind] = 3 },
		"chunk":       func(b []byte) { b[headerChunk+3] = 1 },
		"chunk count": func(b []byte) { b[headerNetwork-1] = 2 },
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
