package snapshot

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

func build(t *testing.T, c BuildConfig) (*Reader, BuildResult) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "built.rsnap")
	res, err := Build(t.Context(), c, path)
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, path)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Bound() != res.Bound || r.Totals() != res.Totals {
		t.Errorf("the file is %v with %+v, the result %+v", r.Bound(), r.Totals(), res)
	}
	return r, res
}

func nb(b byte, size int64) NewBlob { return NewBlob{ID: recovery.BlobID{b}, Size: size} }

// rowsOf lists what is certified as first id byte -> {certified, end, gained}.
func rowsOf(t *testing.T, r *Reader) map[byte][3]uint64 {
	t.Helper()
	rows, err := scanAll(t, r.Scan(), recovery.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[byte][3]uint64{}
	for _, row := range rows {
		got[row.ID[0]] = [3]uint64{uint64(row.CertifiedEpoch), uint64(row.EndEpoch), row.Gained}
	}
	return got
}

func TestBuildFromNothing(t *testing.T) {
	r, res := build(t, BuildConfig{Blobs: []NewBlob{nb(9, 90), nb(1, 10), nb(5, 50), nb(1, 10)}, Epoch: 3, EndEpoch: 8})
	if res.Added != 3 || res.Kept != 0 || res.Lengthened != 0 || res.Bound.Position != 3 || res.Bound.Epoch != 3 {
		t.Errorf("result %+v", res)
	}
	if !strings.HasPrefix(res.Bound.Network, "import-") || len(r.Header().Ancestors) != 0 {
		t.Errorf("header %+v", r.Header())
	}
	want := map[byte][3]uint64{1: {3, 8, 1}, 5: {3, 8, 2}, 9: {3, 8, 3}}
	if diff := cmp.Diff(want, rowsOf(t, r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, other := build(t, BuildConfig{Blobs: []NewBlob{nb(9, 90)}})
	if other.Bound.Network == res.Bound.Network {
		t.Error("unrelated imports share a network") // hazard 84
	}
}

// TestBuildOnBase also covers hazard 79: what expired and comes back gained its
// certification anew.
func TestBuildOnBase(t *testing.T) {
	base, first := build(t, BuildConfig{
		Network: "net", Blobs: []NewBlob{nb(2, 20), nb(4, 40), nb(6, 60), nb(8, 80)}, Epoch: 1, EndEpoch: 5,
	})
	// 2 and 8 are not mentioned, 4 is lengthened, 6 too, 3 and 9 are new; 4 twice.
	next, second := build(t, BuildConfig{
		Base: base, Blobs: []NewBlob{nb(9, 90), nb(6, 60), nb(4, 40), nb(3, 30), nb(4, 40)}, EndEpoch: 7,
	})
	if second.Added != 2 || second.Lengthened != 2 || second.Kept != 0 || second.Bound.Position != 8 {
		t.Errorf("result %+v", second)
	}
	want := map[byte][3]uint64{2: {1, 5, 1}, 3: {1, 7, 5}, 4: {1, 7, 6}, 6: {1, 7, 7}, 8: {1, 5, 4}, 9: {1, 7, 8}}
	if diff := cmp.Diff(want, rowsOf(t, next)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tip := recovery.Tip{Bound: second.Bound, Ancestors: next.Header().Ancestors}
	if !tip.Descends(first.Bound) {
		t.Errorf("ancestors %+v do not prove descent from %v", tip.Ancestors, first.Bound)
	}
	// Epoch 5: 2 and 8 have ended; 2 comes back.
	last, third := build(t, BuildConfig{Base: next, Blobs: []NewBlob{nb(2, 20), nb(9, 90)}, Epoch: 5, EndEpoch: 7})
	if third.Added != 1 || third.Kept != 1 || third.Bound.Position != 10 {
		t.Errorf("result %+v", third)
	}
	want = map[byte][3]uint64{2: {5, 7, 10}, 3: {1, 7, 5}, 4: {1, 7, 6}, 6: {1, 7, 7}, 9: {1, 7, 8}}
	if diff := cmp.Diff(want, rowsOf(t, last)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tip = recovery.Tip{Bound: third.Bound, Ancestors: last.Header().Ancestors}
	if !tip.Descends(first.Bound) || !tip.Descends(second.Bound) {
		t.Errorf("ancestors %+v", tip.Ancestors)
	}
}

// TestBuildChangesNothing: without a change it is the same state, so the bytes
// are the same.
func TestBuildChangesNothing(t *testing.T) {
	s := golden()
	base := open(t, s.write(t))
	next, res := build(t, BuildConfig{Base: base, Blobs: []NewBlob{{ID: s.blobs[0].ID, Size: 0}}, EndEpoch: 8})
	if res.Kept != 1 || res.Bound != base.Bound() {
		t.Errorf("result %+v", res)
	}
	if string(readFile(t, next.Path())) != string(readFile(t, base.Path())) {
		t.Error("the bytes differ")
	}
}

// TestBuildKeepsTables: what an import does not speak of is copied, whatever it
// is.
func TestBuildKeepsTables(t *testing.T) {
	s := golden()
	added := recovery.BlobID{0xff}
	next, res := build(t, BuildConfig{Base: open(t, s.write(t)), Blobs: []NewBlob{{ID: added, Size: 1}, {ID: s.blobs[1].ID, Size: 1 << 40}}})
	if res.Added != 2 { // the deleted registration of the second blob comes back
		t.Errorf("result %+v", res)
	}
	got, err := readAll(next)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.blobs[:7], s.blobs) || !slices.Equal(got.pooled, s.pooled) || !slices.Equal(got.pools, s.pools) {
		t.Errorf("tables were changed: %+v", got)
	}
	if !slices.Equal(got.regs[:3], s.regs[:3]) || !slices.Equal(got.regs[4:6], s.regs[4:6]) {
		t.Errorf("registrations were changed: %+v", got.regs)
	}
	if r := got.regs[3]; r.Deleted || !r.Certified || r.CertifiedEpoch != 7 || r.Gained != 1001 {
		t.Errorf("the second blob's registration: %+v", r)
	}
}

// A striped blob is listed with its own size, and with its manifest's digest.
func TestBuildStriped(t *testing.T) {
	striped := nb(3, 300)
	striped.Encoding = recovery.Striped
	base, _ := build(t, BuildConfig{Network: "net", Blobs: []NewBlob{striped}})
	got, err := readAll(base)
	if err != nil {
		t.Fatal(err)
	}
	want := recovery.Blob{ID: striped.ID, Size: 300, Encoding: recovery.Striped, Digest: striped.ID}
	if len(got.blobs) != 1 || got.blobs[0].Blob != want {
		t.Errorf("listed as %+v", got.blobs)
	}
	if _, res := build(t, BuildConfig{Base: base, Blobs: []NewBlob{striped}}); res.Kept != 1 {
		t.Errorf("built again: %+v", res)
	}
}

func TestBuildRefuses(t *testing.T) {
	s := golden()
	base := open(t, s.write(t))
	one := []NewBlob{nb(1, 10)}
	for name, c := range map[string]BuildConfig{
		"two sizes":      {Blobs: []NewBlob{nb(1, 10), nb(1, 11)}},
		"two encodings":  {Blobs: []NewBlob{nb(1, 10), {ID: nb(1, 10).ID, Size: 10, Encoding: recovery.Striped}}},
		"no digest":      {Blobs: []NewBlob{{Size: 10, Encoding: recovery.Walrus}}},
		"negative size":  {Blobs: []NewBlob{nb(1, -1)}},
		"other network":  {Base: base, Network: "other", Blobs: one},
		"epoch back":     {Base: base, Epoch: 6, Blobs: one},
		"already over":   {Base: base, EndEpoch: 7, Blobs: one},
		"other size":     {Base: base, Blobs: []NewBlob{{ID: s.blobs[0].ID, Size: 1}}},
		"other encoding": {Base: base, Blobs: []NewBlob{{ID: s.blobs[2].ID, Size: 300}}},
		"invalidated":    {Base: base, Blobs: []NewBlob{{ID: s.blobs[4].ID, Size: 5}}},
	} {
		path := filepath.Join(t.TempDir(), "x")
		if _, err := Build(t.Context(), c, path); !errors.Is(err, ErrBuild) {
			t.Errorf("%s: error %v", name, err)
		}
		checkDir(t, filepath.Dir(path))
	}
}

func TestDescendIsBounded(t *testing.T) {
	var all []recovery.Ancestor
	for i := range uint64(MaxAncestors + 5) {
		all = Descend(recovery.Bound{Stamp: recovery.Stamp{Position: i}}, all)
	}
	if len(all) != MaxAncestors || all[0].Position != 5 || all[MaxAncestors-1].Position != MaxAncestors+4 {
		t.Errorf("%d ancestors from %d to %d", len(all), all[0].Position, all[len(all)-1].Position)
	}
}
