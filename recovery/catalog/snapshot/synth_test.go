package snapshot

import (
	"errors"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

func TestSynth(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 3000} {
		c := SynthConfig{Blobs: n, Seed: 42, Network: "made-up", Epoch: 3, EndEpoch: 9, SizeMin: 10, SizeMax: 20}
		dir := t.TempDir()
		first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
		for _, path := range []string{first, second} {
			if _, err := Synth(t.Context(), c, path); err != nil {
				t.Fatal(err)
			}
		}
		if string(readFile(t, first)) != string(readFile(t, second)) {
			t.Errorf("%d blobs: two files differ", n)
		}
		r := open(t, first)
		if err := r.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := scanAll(t, r.Scan(), recovery.Mark{})
		if err != nil || uint64(len(rows)) != n || r.Bound().Position != n || r.Header().Epoch != 3 {
			t.Fatalf("%d rows of %d, bound %v, error %v", len(rows), n, r.Bound(), err)
		}
		sizes := map[int64]bool{}
		for i, row := range rows {
			if row.Gained != uint64(i+1) || row.Size < 10 || row.Size > 20 || row.EndEpoch != 9 || !row.ContentAddressed() {
				t.Fatalf("row %d: %+v", i, row)
			}
			sizes[row.Size] = true
		}
		if n > 100 && len(sizes) != 11 {
			t.Errorf("%d sizes, want 11", len(sizes))
		}
	}
}

func TestSynthIDsRise(t *testing.T) {
	evidence.Property(t, "snapshots: ids made for benchmarks rise", func(t *rapid.T) {
		c := SynthConfig{Blobs: rapid.Uint64Range(2, 1<<40).Draw(t, "blobs"), Seed: rapid.Uint64().Draw(t, "seed")}
		i := rapid.Uint64Range(0, c.Blobs-2).Draw(t, "i")
		if a, b := c.id(i), c.id(i+1); a.Compare(b) >= 0 {
			t.Fatalf("ids %d and %d: %v, %v", i, i+1, a, b)
		}
	})
}

func TestSynthRefuses(t *testing.T) {
	for name, c := range map[string]SynthConfig{
		"too many": {Blobs: 1<<40 + 1}, "expired": {Epoch: 5, EndEpoch: 5}, "sizes": {SizeMin: 2, SizeMax: 1},
	} {
		if _, err := Synth(t.Context(), c, filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
