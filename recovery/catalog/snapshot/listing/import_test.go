package listing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// Neither the order of lines nor the memory changes a byte. Hazard 64: there are
// bytes to compare, and another list gives others.
func TestOrderAndMemory(t *testing.T) {
	var list []string
	for n := range 3_000 {
		list = append(list, fmt.Sprintf("%v %d\n", id(n), n))
	}
	list = append(list, list[5], list[5], list[77])
	var first []byte
	for seed, memory := range []int{0, 1 << 20, 50_000, 5_000, 1} {
		rand.New(rand.NewPCG(uint64(seed), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if memory == 1 {
			list = slices.Clone(list)
		}
		r, result, err := importList(t, strings.Join(list, ""), listing.Config{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		raw := readFile(t, r.Path())
		if first == nil {
			first = raw
		}
		if !bytes.Equal(raw, first) || len(raw) < 100_000 || result.Repeated != 3 || result.Added != 3_000 {
			t.Errorf("memory %d: other bytes, or too few: %d; %+v", memory, len(raw), result)
		}
	}
	list[9] = fmt.Sprintf("%v 1\n", id(5_000))
	if other := readFile(t, mustImport(t, strings.Join(list, ""), listing.Config{}).Path()); bytes.Equal(other, first) {
		t.Error("another list gives the same bytes")
	}
}

// Every form of the same content gives the same catalog, network and all; unlike
// content never gives one network. Hazard 84.
func TestDerivedNetwork(t *testing.T) {
	ids := lines("%v", 1, 2, 3)
	want := mustImport(t, ids, listing.Config{}).Bound()
	if !strings.HasPrefix(want.Network, "import-") || want.Position != 1 || want.Epoch != 1 {
		t.Errorf("%v", want)
	}
	for _, text := range []string{lines("sha256:%v", 3, 2, 1), lines("%v  x", 1, 3, 2), lines(`{"id":"%v"}`, 2, 1, 3)} {
		if got := mustImport(t, text, listing.Config{}).Bound(); got != want {
			t.Errorf("%v, of\n%s", got, text)
		}
	}
	for _, text := range []string{lines("%v", 1, 2), lines("%v 7", 1, 2, 3), lines(`{"id":"%v","end_epoch":9}`, 1, 2, 3)} {
		if got := mustImport(t, text, listing.Config{}).Bound(); got.Network == want.Network {
			t.Errorf("%v has the network of another list:\n%s", got, text)
		}
	}
}

// Lines that contradict each other are refused with both numbers; those that only
// know less are not.
func TestDuplicates(t *testing.T) {
	a, b := id(1), id(2)
	for name, text := range map[string]string{
		"size":            fmt.Sprintf("%v 1\n%v 2\n%v\n%v 3\n", a, b, a, a),
		"certified epoch": fmt.Sprintf(`{"id":"%v","certified_epoch":2}`+"\n"+`{"id":"%v"}`+"\n\n", a, b) + fmt.Sprintf(`{"id":"%v"}`, a),
		"end epoch":       fmt.Sprintf(`{"id":"%v","end_epoch":2}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v","end_epoch":3}`+"\n", a, b, b, a),
		"position":        fmt.Sprintf(`{"id":"%v","position":2}`+"\n"+`{"id":"%v","position":2}`+"\n"+`{"id":"%v","position":2}`+"\n"+`{"id":"%v","position":1}`+"\n", a, b, b, a),
		"encoding":        fmt.Sprintf(`{"id":"%v"}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v","encoding":"walrus"}`+"\n", a, b, b, a),
		"digest":          fmt.Sprintf(`{"id":"%v"}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v"}`+"\n"+`{"id":"%v","digest":null}`+"\n", a, b, b, a),
	} {
		if name == "certified epoch" {
			text = strings.ReplaceAll(text, "\n\n", "\n"+fmt.Sprintf(`{"id":"%v"}`, b)+"\n")
		}
		_, _, err := importList(t, text, listing.Config{})
		if lineOf(err) != 4 || !strings.Contains(err.Error(), "line 1 too") || !strings.Contains(err.Error(), a.String()) || !strings.Contains(err.Error(), strings.Fields(name)[0]) && name != "size" {
			t.Errorf("%s: error %v", name, err)
		}
	}
	r, result, err := importList(t, fmt.Sprintf("%v\n%v 5\n%v\n%v\n", a, a, a, b), listing.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byID([]recovery.Row{raw(a, 5), raw(b, unknown)}), rowsOf(t, r)); diff != "" || result.Repeated != 2 {
		t.Errorf("%+v (-want +got):\n%s", result, diff)
	}
}

// Positions: all lines have one, or none has.
func TestPositions(t *testing.T) {
	a, b, c := id(1), id(2), id(3)
	with := func(b recovery.BlobID, position int) string {
		return fmt.Sprintf(`{"id":"%v","position":%d}`+"\n", b, position)
	}
	without := func(b recovery.BlobID) string { return fmt.Sprintf(`{"id":"%v"}`+"\n", b) }
	r := mustImport(t, with(a, 30)+with(b, 7)+with(c, 8), listing.Config{})
	got := map[recovery.BlobID]uint64{}
	for _, row := range rowsOf(t, r) {
		got[row.ID] = row.Gained
	}
	if diff := cmp.Diff(map[recovery.BlobID]uint64{a: 30, b: 7, c: 8}, got); diff != "" || r.Header().Position != 30 {
		t.Errorf("position %d (-want +got):\n%s", r.Header().Position, diff)
	}
	for text, line := range map[string]uint64{
		with(a, 1) + with(b, 2) + without(c): 3, without(a) + with(b, 2) + with(c, 2): 2,
	} {
		if _, _, err := importList(t, text, listing.Config{}); lineOf(err) != line || !strings.Contains(err.Error(), "line 1 has") && !strings.Contains(err.Error(), "line 2 has") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// The catalog's epoch is the highest in the list, or the one that is given. What
// has ended by then is left out, and counted.
func TestEpochs(t *testing.T) {
	text := fmt.Sprintf(`{"id":"%v","certified_epoch":2,"end_epoch":7}
{"id":"%v","certified_epoch":7,"end_epoch":9}
{"id":"%v"}
`, id(1), id(2), id(3))
	for given, want := range map[uint32]struct {
		epoch uint32
		left  uint64
	}{0: {7, 2}, 7: {7, 2}, 8: {8, 2}, 9: {9, 1}} {
		r, result, err := importList(t, text, listing.Config{Epoch: given})
		if err != nil || r.Header().Epoch != want.epoch || result.Added != want.left || result.Ended != 3-want.left || r.Totals().Certified != want.left {
			t.Errorf("epoch %d: %+v, error %v", given, result, err)
		}
	}
	if _, _, err := importList(t, text, listing.Config{Epoch: 6}); lineOf(err) != 2 || !strings.Contains(err.Error(), "epoch 7") {
		t.Errorf("epoch 6: %v", err)
	}
	ended := fmt.Sprintf(`{"id":"%v","end_epoch":7}`, id(1))
	if _, _, err := importList(t, ended, listing.Config{Epoch: 7}); !errors.Is(err, listing.ErrImport) || !strings.Contains(err.Error(), "everything in it has ended") {
		t.Errorf("all ended: %v", err)
	}
}

// A Walrus snapshot of either layout becomes the catalog that package walrus
// makes of it.
func TestWalrus(t *testing.T) {
	s := walrustest.Many(500, 2)
	var bounds []recovery.Bound
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		r, result, err := importList(t, string(s.Encode(l)), listing.Config{Network: "walrus", Memory: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		bounds = append(bounds, r.Bound())
		if result.Format != listing.Walrus || result.Lines != uint64(len(s.Objects)+len(s.Pooled)+len(s.Pools)) || r.Header().Position != s.Header.Next || len(result.MissingPools) > 0 {
			t.Errorf("layout %v: %+v", l, result)
		}
		if rows := rowsOf(t, r); len(rows) < 100 || rows[0].Encoding != recovery.Walrus || rows[0].Size != unknown || rows[0].Gained != s.Header.Next {
			t.Errorf("layout %v: %d rows", l, len(rows))
		}
	}
	if bounds[0] != bounds[1] {
		t.Errorf("the layouts give %v and %v", bounds[0], bounds[1])
	}
	sample := string(readFile(t, "../walrus/testdata/layout-b.bin"))
	r, result, err := importList(t, sample, listing.Config{Format: listing.Walrus})
	if err != nil || r.Header().Network != "walrus-17cf49e2fd041371" || r.Header().Position != 42 || len(result.MissingPools) != 1 {
		t.Errorf("the sample: %+v, error %v", result, err)
	}
	var corrupt *snapshot.CorruptError
	if _, _, err := importList(t, sample[:400], listing.Config{}); !errors.As(err, &corrupt) || corrupt.Path != "list" {
		t.Errorf("cut: %v", err)
	}
	for name, cfg := range map[string]listing.Config{"epoch": {Epoch: 9}, "format": {Format: listing.IDs}} {
		if _, _, err := importList(t, sample, cfg); !errors.Is(err, listing.ErrImport) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An import that is stopped, or has nowhere to write to, leaves nothing. Hazard
// 51.
func TestImportFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := filepath.Join(t.TempDir(), "x.rsnap")
	cfg := listing.Config{Path: "list", In: strings.NewReader(lines("%v", 1)), Out: out}
	if _, err := listing.Import(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	cfg.In, cfg.Out = strings.NewReader(lines("%v", 1)), filepath.Join(out, "none", "x.rsnap")
	if _, err := listing.Import(t.Context(), cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.WriteFile(out, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg.In, cfg.Out = strings.NewReader("no list\n"), out
	if _, err := listing.Import(t.Context(), cfg); !errors.Is(err, listing.ErrImport) {
		t.Errorf("no list: %v", err)
	}
	if got := string(readFile(t, out)); got != "old" {
		t.Errorf("a failed import changed what was there: %q", got)
	}
}
