package listing_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"path/filepath"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/listing"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// write writes a catalog.
func write(t testing.TB, h snapshot.Header, blobs map[recovery.BlobID]*snapshot.Blob, regs []snapshot.Registration, pooled []snapshot.Pooled, pools []snapshot.Pool) *snapshot.Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.rsnap")
	w, err := snapshot.Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.SortedFunc(maps.Keys(blobs), recovery.BlobID.Compare) {
		err = errors.Join(err, w.Blob(blobs[id]))
	}
	slices.SortFunc(regs, func(a, b snapshot.Registration) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	for i := range regs {
		err = errors.Join(err, w.Registration(&regs[i]))
	}
	slices.SortFunc(pooled, func(a, b snapshot.Pooled) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	for i := range pooled {
		err = errors.Join(err, w.Pooled(&pooled[i]))
	}
	for i := range pools {
		err = errors.Join(err, w.Pool(&pools[i]))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// draw draws a catalog as they occur: no certification is of a later epoch than
// the catalog's.
func draw(t testing.TB, rt *rapid.T) *snapshot.Reader {
	h := snapshot.Header{Stamp: recovery.Stamp{
		Network: "drawn", Epoch: rapid.Uint32Range(1, 6).Draw(rt, "epoch"), Position: rapid.Uint64Range(1, math.MaxUint64).Draw(rt, "position"),
	}}
	position := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1, h.Position))
	after := func(certified uint32) uint32 {
		return rapid.OneOf(rapid.Uint32Range(certified+1, 9), rapid.Just(uint32(recovery.EpochForever))).Draw(rt, "end")
	}
	pools := []snapshot.Pool{{ID: [32]byte{1}, EndEpoch: 9, Gained: position.Draw(rt, "pool gained")}, {ID: [32]byte{2}, EndEpoch: 2}}
	blobs := map[recovery.BlobID]*snapshot.Blob{}
	var regs []snapshot.Registration
	var pooled []snapshot.Pooled
	for n := range rapid.IntRange(0, 12).Draw(rt, "blobs") {
		b := id(n)
		row := recovery.Blob{
			ID: b, Size: rapid.Int64Range(-1, math.MaxInt64).Draw(rt, "size"), Encoding: recovery.Encoding(rapid.ByteRange(1, 3).Draw(rt, "encoding")),
			Digest: rapid.SampledFrom([][32]byte{b, {}, {1}}).Draw(rt, "digest"),
		}
		blobs[b] = &snapshot.Blob{Blob: row}
		for o := range byte(rapid.IntRange(0, 2).Draw(rt, "objects")) {
			certified := rapid.Uint32Range(0, h.Epoch).Draw(rt, "certified")
			regs = append(regs, snapshot.Registration{
				Key: snapshot.KeyOf(b, [32]byte{o}), Certified: true, CertifiedEpoch: certified, EndEpoch: after(certified),
				Deleted: rapid.IntRange(0, 5).Draw(rt, "deleted") == 0, Gained: position.Draw(rt, "gained"),
			})
		}
		if rapid.IntRange(0, 3).Draw(rt, "pooled") == 0 {
			pooled = append(pooled, snapshot.Pooled{
				Key: snapshot.KeyOf(b, [32]byte{9}), Certified: true, CertifiedEpoch: rapid.Uint32Range(0, min(h.Epoch, 8)).Draw(rt, "certified"),
				Pool: rapid.SampledFrom(pools).Draw(rt, "pool").ID, Gained: position.Draw(rt, "gained"),
			})
		}
	}
	return write(t, h, blobs, regs, pooled, pools)
}

// A catalog that is exported and imported again has the same certified blobs, with
// the same sizes, encodings, digests, epochs and positions. Hazard 64: some have
// rows.
func TestRoundTrip(t *testing.T) {
	full := 0
	evidence.Property(t, "snapshots: a list that is exported and imported has the same certified blobs", func(rt *rapid.T) {
		x := draw(t, rt)
		want := rowsOf(t, x)
		list := export(t, x, listing.NDJSON)
		if len(want) == 0 {
			return
		}
		full++
		y, result, err := importList(t, list, listing.Config{Network: x.Header().Network, Epoch: x.Header().Epoch})
		if err != nil {
			rt.Fatalf("%v, of\n%s", err, list)
		}
		if diff := cmp.Diff(want, rowsOf(t, y)); diff != "" || result.Lines != uint64(len(want)) || y.Header().Epoch != x.Header().Epoch {
			rt.Fatalf("%+v (-want +got):\n%s", result, diff)
		}
		if again := export(t, y, listing.NDJSON); again != list {
			rt.Fatalf("exported again:\n%s\nit was\n%s", again, list)
		}
		// Over itself it changes nothing.
		z, _, err := importList(t, list, listing.Config{Base: x})
		if err != nil || z.Bound() != x.Bound() {
			rt.Fatalf("over itself: %v, error %v", z, err)
		}
		// The other formats keep ids and sizes, or ids alone.
		for i := range want {
			want[i] = raw(want[i].ID, want[i].Size)
		}
		if diff := cmp.Diff(want, rowsOf(t, mustImport(t, export(t, x, listing.IDs), listing.Config{Format: listing.IDs}))); diff != "" {
			rt.Fatalf("ids (-want +got):\n%s", diff)
		}
	})
	if full < 20 {
		t.Errorf("only %d catalogs had certified blobs", full)
	}
}

func TestExportSums(t *testing.T) {
	text := lines("%v 5", 1, 2, 3)
	r := mustImport(t, text, listing.Config{})
	sums := export(t, r, listing.SHA256Sum)
	if want := id(1).String() + "  " + id(1).String() + "\n"; !strings.Contains(sums, want) {
		t.Errorf("%q is not in\n%s", want, sums)
	}
	back, result, err := importList(t, sums, listing.Config{})
	if err != nil || result.Format != listing.SHA256Sum || back.Totals().Certified != 3 || back.Totals().Unsized != 3 {
		t.Errorf("%+v, error %v", result, err)
	}
	w := mustImport(t, `{"id":"`+id(1).String()+`","encoding":"walrus"}`, listing.Config{})
	var out bytes.Buffer
	if _, err := listing.Export(t.Context(), w, listing.SHA256Sum, &out); !errors.Is(err, listing.ErrExport) || !strings.Contains(err.Error(), id(1).String()) {
		t.Errorf("a blob of Walrus: %v", err)
	}
	if got := export(t, w, listing.IDs); got != id(1).String()+"\n" {
		t.Errorf("its id: %q", got)
	}
	full := errors.New("full")
	if _, err := listing.Export(t.Context(), r, listing.IDs, failing{full}); !errors.Is(err, full) {
		t.Errorf("nowhere to write: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := listing.Export(ctx, r, listing.IDs, &out); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// FuzzImport imports arbitrary text: nothing panics, and what is accepted says the
// same when it is exported and imported again.
func FuzzImport(f *testing.F) {
	for _, text := range []string{
		lines("%v", 1, 2), lines("%v 7", 1, 2), lines("%v  name", 1, 2), lines("\\%v *a\\nb", 1), lines("sha256:%v 9", 1, 2),
		lines(`{"id":"%v","size":3,"certified_epoch":2,"end_epoch":8,"position":7,"encoding":"striped","digest":null}`, 1),
		id(1).Base64URL() + "\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if format, err := listing.ParseFormat(text); err == nil && format.String() != text {
			t.Fatalf("%q is the format %v", text, format)
		}
		r, result, err := importList(t, text, listing.Config{})
		if err != nil {
			return
		}
		if result.Format == listing.Walrus {
			return
		}
		want := rowsOf(t, r)
		y := mustImport(t, export(t, r, listing.NDJSON), listing.Config{Epoch: r.Header().Epoch})
		if diff := cmp.Diff(want, rowsOf(t, y), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
