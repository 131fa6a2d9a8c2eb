package listing_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// base has a blob of every kind at epoch 5 and position 100: 1 ends at 8, 2 never;
// 3 has no size; 4 has ended; 5 was invalidated; 6 is certified by another object
// until 8, and by itself until 7; 7 by a pool until 9; 8 is walrus.
func base(t testing.TB) *snapshot.Reader {
	t.Helper()
	b := map[recovery.BlobID]*snapshot.Blob{}
	var regs []snapshot.Registration
	add := func(n int, size int64, end uint32) {
		b[id(n)] = &snapshot.Blob{Blob: recovery.Blob{ID: id(n), Size: size, Encoding: recovery.Raw, Digest: id(n)}}
		regs = append(regs, snapshot.Registration{
			Key: snapshot.KeyOf(id(n), id(n)), RegisteredEpoch: 2, Certified: true, CertifiedEpoch: 3, EndEpoch: end, Gained: uint64(10 * n),
		})
	}
	add(1, 10, 8)
	add(2, 20, recovery.EpochForever)
	add(3, unknown, 8)
	add(4, 40, 5)
	add(5, 50, 8)
	add(6, 60, 7)
	add(8, unknown, 8)
	b[id(5)].Invalidated = 33
	b[id(8)].Encoding, b[id(8)].Digest = recovery.Walrus, [32]byte{}
	b[id(7)] = &snapshot.Blob{Blob: recovery.Blob{ID: id(7), Size: 70, Encoding: recovery.Raw, Digest: id(7)}}
	other := regs[5]
	other.Key, other.EndEpoch, other.Gained = snapshot.KeyOf(id(6), [32]byte{1}), 8, 66
	regs = append(regs, other)
	pool := snapshot.Pool{ID: [32]byte{9}, StartEpoch: 1, EndEpoch: 9, Gained: 70}
	pooled := snapshot.Pooled{Key: snapshot.KeyOf(id(7), [32]byte{2}), RegisteredEpoch: 1, Certified: true, CertifiedEpoch: 1, Pool: pool.ID, Gained: 71}
	return write(t, snapshot.Header{Stamp: recovery.Stamp{Network: "net", Epoch: 5, Position: 100}}, b, regs, []snapshot.Pooled{pooled}, []snapshot.Pool{pool})
}

func end(e string) string {
	if e == "" {
		return ""
	}
	return `,"end_epoch":` + e
}

// TestRules: what a line does to each of the base's blobs. Hazard 79: what has
// ended and comes back gained its certification anew.
func TestRules(t *testing.T) {
	type want struct {
		added, lengthened, learned, kept, ended uint64
		gained                                  uint64 // of the line's blob
		end                                     uint32
		position                                uint64 // of the catalog
	}
	never := uint32(recovery.EpochForever)
	for _, tc := range []struct {
		name     string
		n        int
		size     int64 // 0: none is given
		end      string
		position uint64
		want     want
	}{
		{"new", 99, 1, "", 0, want{added: 1, gained: 101, end: never, position: 101}},
		{"new, with an end", 99, 0, "6", 0, want{added: 1, gained: 101, end: 6, position: 101}},
		{"new, over already", 99, 0, "5", 0, want{ended: 1, position: 100}},
		{"new, with a position", 99, 1, "", 150, want{added: 1, gained: 150, end: never, position: 150}},
		{"there for as long", 1, 10, "8", 0, want{kept: 1, gained: 10, end: 8, position: 100}},
		{"there for longer", 2, 0, "8", 0, want{kept: 1, gained: 20, end: never, position: 100}},
		{"lengthened", 1, 0, "9", 0, want{lengthened: 1, gained: 101, end: 9, position: 101}},
		{"lengthened for ever", 1, 10, "", 0, want{lengthened: 1, gained: 101, end: never, position: 101}},
		{"made anew later", 2, 20, "", 120, want{lengthened: 1, gained: 120, end: never, position: 120}},
		{"an old position", 1, 10, "8", 55, want{kept: 1, gained: 10, end: 8, position: 100}},
		{"a size that was unknown", 3, 30, "8", 0, want{learned: 1, gained: 101, end: 8, position: 101}},
		{"the same at an old position", 3, 30, "8", 30, want{learned: 1, gained: 101, end: 8, position: 101}},
		{"no size again", 3, 0, "8", 0, want{kept: 1, gained: 30, end: 8, position: 100}},
		{"back again", 4, 40, "8", 0, want{added: 1, gained: 101, end: 8, position: 101}},
		{"certified by another object", 6, 60, "8", 0, want{kept: 1, gained: 66, end: 8, position: 100}},
		{"longer than by any object", 6, 60, "9", 0, want{lengthened: 1, gained: 101, end: 9, position: 101}},
		{"certified by a pool", 7, 70, "9", 0, want{kept: 1, gained: 71, end: 9, position: 100}},
		{"longer than by its pool", 7, 0, "10", 0, want{lengthened: 1, gained: 101, end: 10, position: 101}},
	} {
		line := fmt.Sprintf(`{"id":"%v"%s`, id(tc.n), end(tc.end))
		if tc.size != 0 {
			line += fmt.Sprintf(`,"size":%d`, tc.size)
		}
		if tc.position != 0 {
			line += fmt.Sprintf(`,"position":%d`, tc.position)
		}
		b := base(t)
		r, result, err := importList(t, line+"}\n", listing.Config{Base: b})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got := want{result.Added, result.Lengthened, result.Learned, result.Kept, result.Ended, 0, 0, r.Header().Position}
		var row recovery.Row
		if ok, err := r.Scan().Find(id(tc.n), &row); ok && err == nil {
			got.gained, got.end = row.Gained, row.EndEpoch
		}
		if got != tc.want || tc.size != 0 && got.end != 0 && row.Size != tc.size {
			t.Errorf("%s:\n got %+v\nwant %+v\n row %+v", tc.name, got, tc.want, row)
		}
		same := bytes.Equal(readFile(t, r.Path()), readFile(t, b.Path()))
		if moved := r.Header().Position != 100; moved == same {
			t.Errorf("%s: moved %v, the same bytes %v", tc.name, moved, same)
		}
		tip := recovery.Tip{Bound: r.Bound(), Ancestors: r.Header().Ancestors}
		if !tip.Descends(b.Bound()) {
			t.Errorf("%s: no descent from the base: %+v", tc.name, tip)
		}
		checkRest(t, tc.name, b, r, id(tc.n))
	}
}

// A registration that goes on keeps what it was; one that comes back is new.
func TestRegistrations(t *testing.T) {
	r := mustImport(t, fmt.Sprintf(`{"id":"%v","end_epoch":9}`+"\n"+`{"id":"%v","end_epoch":9,"certified_epoch":4}`+"\n"+`{"id":"%v"}`+"\n", id(1), id(4), id(99)), listing.Config{Base: base(t)})
	want := map[recovery.BlobID]snapshot.Registration{
		id(1):  {RegisteredEpoch: 2, CertifiedEpoch: 3, EndEpoch: 9},
		id(4):  {RegisteredEpoch: 4, CertifiedEpoch: 4, EndEpoch: 9},
		id(99): {RegisteredEpoch: 1, CertifiedEpoch: 1, EndEpoch: recovery.EpochForever},
	}
	for b, w := range want {
		w.Key, w.Certified, w.Gained = snapshot.KeyOf(b, b), true, 101
		got, err := r.Lookup().Registration(w.Key)
		if err != nil || got == nil || *got != w {
			t.Errorf("%+v, error %v, want %+v", got, err, w)
		}
	}
}

// checkRest: all that a list does not speak of is as it was.
func checkRest(t *testing.T, name string, before, after *snapshot.Reader, except recovery.BlobID) {
	t.Helper()
	err := snapshot.Diff(t.Context(), before, after, func(c snapshot.Change) error {
		if recovery.BlobID(c.Key[:32]) != except || c.After == nil {
			return fmt.Errorf("%s of %v %x", c.Kind(), c.Table, c.Key)
		}
		return nil
	})
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// What contradicts the base is refused, with its line.
func TestBaseRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		cfg  listing.Config
		line uint64
		what string
	}{
		"other size":        {fmt.Sprintf("%v 10\n%v 21\n", id(1), id(2)), listing.Config{}, 2, "21 bytes, in the base it has 20"},
		"invalidated":       {fmt.Sprintf("%v\n", id(5)), listing.Config{}, 1, "invalidated at position 33"},
		"other encoding":    {fmt.Sprintf("%v\n", id(8)), listing.Config{}, 1, "is raw, in the base it is walrus"},
		"other digest":      {fmt.Sprintf(`{"id":"%v","digest":"%v"}`, id(1), id(2)), listing.Config{}, 1, "digest"},
		"old and not there": {fmt.Sprintf(`{"id":"%v","position":100}`, id(99)), listing.Config{}, 1, "position 100 is not beyond the base's, 100"},
		"old and longer":    {fmt.Sprintf(`{"id":"%v","position":9,"end_epoch":9}`, id(1)), listing.Config{}, 1, "until epoch 9"},
		"other network":     {lines("%v", 1), listing.Config{Network: "other"}, 0, `network "net", not "other"`},
		"earlier epoch":     {lines("%v", 1), listing.Config{Epoch: 4}, 0, "epoch 4 is before the base's, 5"},
	} {
		tc.cfg.Base = base(t)
		_, _, err := importList(t, tc.text, tc.cfg)
		if !errors.Is(err, listing.ErrImport) || lineOf(err) != tc.line || !strings.Contains(err.Error(), tc.what) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	last := write(t, snapshot.Header{Stamp: recovery.Stamp{Network: "net", Epoch: 1, Position: math.MaxUint64}}, nil, nil, nil, nil)
	if _, _, err := importList(t, lines("%v", 1), listing.Config{Base: last}); !errors.Is(err, listing.ErrImport) || !strings.Contains(err.Error(), "can follow") {
		t.Errorf("nothing can follow: %v", err)
	}
	full := base(t)
	path := filepath.Join(t.TempDir(), "incr.rsnap")
	h := full.Header()
	bound := full.Bound()
	h.Position++
	h.Base = &recovery.Ancestor{Position: bound.Position, Digest: bound.Digest}
	w, err := snapshot.Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := importList(t, lines("%v", 1), listing.Config{Base: open(t, path)}); !errors.Is(err, listing.ErrImport) {
		t.Errorf("an incremental base: %v", err)
	}
}

// A later epoch is an event: the position moves, and what ended by it is gone.
func TestBaseEpoch(t *testing.T) {
	r, result, err := importList(t, fmt.Sprintf(`{"id":"%v","certified_epoch":8,"end_epoch":9}`+"\n", id(1)), listing.Config{Base: base(t)})
	if err != nil || r.Header().Epoch != 8 || r.Header().Position != 101 || result.Added != 1 {
		t.Fatalf("%+v, error %v", result, err)
	}
	got := map[recovery.BlobID][3]uint64{}
	for _, row := range rowsOf(t, r) {
		got[row.ID] = [3]uint64{uint64(row.CertifiedEpoch), uint64(row.EndEpoch), row.Gained}
	}
	want := map[recovery.BlobID][3]uint64{id(1): {8, 9, 101}, id(2): {3, recovery.EpochForever, 20}, id(7): {1, 9, 71}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r, result, err = importList(t, fmt.Sprintf(`{"id":"%v"}`+"\n", id(2)), listing.Config{Base: base(t), Epoch: 6})
	if err != nil || r.Header().Epoch != 6 || r.Header().Position != 101 || result.Kept != 1 {
		t.Errorf("only the epoch: %+v, error %v", result, err)
	}
}

// Over its own base an exported list changes nothing, byte for byte, and the
// output may take the base's place.
func TestExportOverItself(t *testing.T) {
	b := base(t)
	list := export(t, b, listing.NDJSON)
	r, result, err := importList(t, list, listing.Config{Base: b, Network: "net"})
	if err != nil || result.Kept != b.Totals().Certified || result.Kept < 5 || !bytes.Equal(readFile(t, r.Path()), readFile(t, b.Path())) {
		t.Errorf("%+v, error %v", result, err)
	}
	before := rowsOf(t, b)
	out, err := listing.Import(t.Context(), listing.Config{Path: "list", In: strings.NewReader(lines("%v 1", 99)), Base: b, Out: b.Path()})
	if err != nil || out.Added != 1 || len(rowsOf(t, open(t, b.Path()))) != len(before)+1 {
		t.Errorf("in the base's place: %+v, error %v", out, err)
	}
}

// A Walrus snapshot over a base is the next state of its network.
func TestWalrusOverBase(t *testing.T) {
	s := walrustest.Many(100, 2)
	first := mustImport(t, string(s.Encode(1)), listing.Config{Network: "net"})
	s.Header.Next += 10
	removed := s.Objects[3]
	s.Objects = append(s.Objects[:3:3], s.Objects[4:]...)
	next := mustImport(t, string(s.Encode(2)), listing.Config{Base: first})
	var changed []string
	err := snapshot.Diff(t.Context(), first, next, func(c snapshot.Change) error {
		if c.Kind() == "removed" && c.Table == snapshot.Registrations {
			changed = append(changed, fmt.Sprintf("%x", c.Key[32:]))
		}
		return nil
	})
	if diff := cmp.Diff([]string{fmt.Sprintf("%x", removed.Key)}, changed); diff != "" || err != nil {
		t.Errorf("removed, error %v (-want +got):\n%s", err, diff)
	}
	if _, _, err := importList(t, string(s.Encode(1)), listing.Config{Base: next}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same position again: %v", err)
	}
}
