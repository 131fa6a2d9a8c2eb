package walrus_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// convert makes a catalog of a file's bytes.
func convert(t testing.TB, raw []byte, cfg walrus.StateConfig) (*snapshot.Reader, []snapshot.PoolID, error) {
	t.Helper()
	dir := t.TempDir()
	cfg.Dir = dir
	s, err := walrus.NewState(t.Context(), inMemory(t, raw), cfg)
	if err != nil {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		return nil, nil, err
	}
	path := filepath.Join(dir, "walrus.rsnap")
	_, err = snapshot.Write(t.Context(), path, s, snapshot.Options{})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	return r, s.Missing(), nil
}

func mustConvert(t testing.TB, raw []byte, cfg walrus.StateConfig) *snapshot.Reader {
	t.Helper()
	r, _, err := convert(t, raw, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func collect[R any](t testing.TB, c snapshot.Cursor[R]) (rows []R) {
	t.Helper()
	for {
		row, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if row == nil {
			return rows
		}
		rows = append(rows, *row)
	}
}

// state is what a catalog must hold.
type state struct {
	Stamp  recovery.Stamp
	Blobs  []snapshot.Blob
	Regs   []snapshot.Registration
	Pooled []snapshot.Pooled
	Pools  []snapshot.Pool
}

func stateOf(t testing.TB, r *snapshot.Reader) state {
	t.Helper()
	return state{
		Stamp: r.Header().Stamp, Blobs: collect(t, r.Blobs()), Regs: collect(t, r.Registrations()),
		Pooled: collect(t, r.Pooled()), Pools: slices.Clone(r.Pools()),
	}
}

func blob(id recovery.BlobID) snapshot.Blob {
	return snapshot.Blob{Blob: recovery.Blob{ID: id, Size: recovery.SizeUnknown, Encoding: recovery.Walrus}}
}

// model works the state out from the entries, in memory.
func model(s walrustest.Snapshot, network string) state {
	m := state{Stamp: recovery.Stamp{Network: network, Epoch: s.Header.Epoch, Position: s.Header.Next}}
	for _, e := range s.Objects {
		v := e.Value
		m.Blobs = append(m.Blobs, blob(v.Blob))
		m.Regs = append(m.Regs, snapshot.Registration{
			Key: snapshot.KeyOf(v.Blob, e.Key), RegisteredEpoch: v.RegisteredEpoch, Certified: v.Certified,
			CertifiedEpoch: v.CertifiedEpoch, EndEpoch: v.EndEpoch, Deletable: v.Deletable, Deleted: v.Deleted,
		})
	}
	for _, e := range s.Pooled {
		v := e.Value
		m.Blobs = append(m.Blobs, blob(v.Blob))
		m.Pooled = append(m.Pooled, snapshot.Pooled{
			Key: snapshot.KeyOf(v.Blob, e.Key), RegisteredEpoch: v.RegisteredEpoch, Certified: v.Certified,
			CertifiedEpoch: v.CertifiedEpoch, Pool: v.Pool,
		})
	}
	for _, e := range s.Pools {
		m.Pools = append(m.Pools, snapshot.Pool{ID: e.Key, StartEpoch: e.Value.StartEpoch, EndEpoch: e.Value.EndEpoch})
	}
	slices.SortFunc(m.Blobs, func(a, b snapshot.Blob) int { return a.ID.Compare(b.ID) })
	m.Blobs = slices.Compact(m.Blobs)
	slices.SortFunc(m.Regs, func(a, b snapshot.Registration) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	slices.SortFunc(m.Pooled, func(a, b snapshot.Pooled) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return m
}

// A catalog holds what the file holds, in the order of blobs, from either layout
// and with any memory, in the same bytes. Hazard 64: there is something to
// compare.
func TestState(t *testing.T) {
	s := walrustest.Many(5_000, 5)
	want := model(s, "walrus")
	var first []byte
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		for _, memory := range []int{0, 1 << 20, 100_000, 20_000} {
			r := mustConvert(t, s.Encode(l), walrus.StateConfig{Network: "walrus", Memory: memory})
			raw := readFile(t, r.Path())
			if first == nil {
				first = raw
				if diff := cmp.Diff(want, stateOf(t, r)); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
			}
			if !bytes.Equal(raw, first) || len(raw) < 100_000 {
				t.Fatalf("layout %v, memory %d: other bytes, or too few: %d", l, memory, len(raw))
			}
		}
	}
	if len(want.Blobs) >= len(want.Regs)+len(want.Pooled) {
		t.Error("no blob has two registrations")
	}
}

// Two files that differ are two networks, unless somebody says otherwise. Hazard
// 84.
func TestDerivedNetwork(t *testing.T) {
	sample := readFile(t, sampleB)
	r := mustConvert(t, sample, walrus.StateConfig{})
	if got := r.Header().Network; got != "walrus-17cf49e2fd041371" {
		t.Errorf("network %q", got)
	}
	if other := mustConvert(t, walrustest.Many(1, 1).Encode(walrus.B), walrus.StateConfig{}); other.Header().Network == r.Header().Network {
		t.Error("unrelated files share a network")
	}
	if again := mustConvert(t, sample, walrus.StateConfig{}); again.Bound() != r.Bound() {
		t.Errorf("the same file gives %v and %v", r.Bound(), again.Bound())
	}
}

// The sample names a pool that it does not have. When that ends is unknown, so
// it has no end.
func TestMissingPool(t *testing.T) {
	r, missing, err := convert(t, readFile(t, sampleB), walrus.StateConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]snapshot.PoolID{walrustest.Last(8)}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	want := []snapshot.Pool{
		{ID: walrustest.Last(4), StartEpoch: 1, EndEpoch: 100}, {ID: walrustest.Last(5), StartEpoch: 2, EndEpoch: 50},
		{ID: walrustest.Last(8), EndEpoch: recovery.EpochForever},
	}
	if diff := cmp.Diff(want, r.Pools()); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	row := recovery.Row{}
	certified, err := r.Scan().Find(walrustest.Last(20), &row)
	if err != nil || !certified || row.Encoding != recovery.Walrus || row.Size != recovery.SizeUnknown || row.Digest != [32]byte{} {
		t.Errorf("certified %v, error %v, row %+v", certified, err, row)
	}
	if r.Totals().Certified != 1 || r.Totals().Unsized != 1 || r.Header().Position != 42 || r.Header().Epoch != 7 {
		t.Errorf("%+v, %+v", r.Header(), r.Totals())
	}
}

// Over a base, only what was certified or lengthened since is gained anew.
func TestStateOverBase(t *testing.T) {
	first := walrustest.Many(3_000, 9)
	next := walrustest.Many(3_000, 9)
	next.Header.Next += 500
	next.Header.Epoch++
	gained := map[[32]byte]bool{} // by object or pool
	change := func(e *walrustest.Entry[walrus.Object], f func(*walrus.Object)) {
		f(&e.Value)
		gained[e.Key] = e.Value.Certified
	}
	for i := range next.Objects {
		e := &next.Objects[i]
		switch i % 10 {
		case 0:
			change(e, func(o *walrus.Object) { o.EndEpoch += 5 })
		case 1:
			e.Value.EndEpoch -= 2 // shortened
		case 2:
			if !e.Value.Certified {
				change(e, func(o *walrus.Object) { o.Certified, o.CertifiedEpoch = true, 11 })
			}
		case 3:
			if e.Value.Deleted {
				change(e, func(o *walrus.Object) { o.Deleted = false })
			}
		}
	}
	for i := range next.Pools {
		if i%3 == 0 {
			next.Pools[i].Value.EndEpoch++
			gained[next.Pools[i].Key] = true
		}
	}
	for i := range next.Pooled {
		if p := &next.Pooled[i].Value; i%4 == 0 && p.Certified {
			p.CertifiedEpoch++
			gained[next.Pooled[i].Key] = true
		} else if i%4 == 1 && p.Certified {
			at := slices.IndexFunc(next.Pools, func(e walrustest.Entry[walrus.Pool]) bool { return e.Key == p.Pool })
			p.Pool = next.Pools[(at+1)%len(next.Pools)].Key
			gained[next.Pooled[i].Key] = true
		}
	}
	added := next.Objects[78]
	next.Objects = slices.Delete(next.Objects, 77, 78)
	added.Key[31]++
	added.Value.Certified, added.Value.Deleted = true, false
	next.Objects = slices.Insert(next.Objects, 78, added)
	gained[added.Key] = true

	base := mustConvert(t, first.Encode(walrus.A), walrus.StateConfig{Network: "net"})
	r := mustConvert(t, next.Encode(walrus.B), walrus.StateConfig{Base: base, Memory: 50_000})
	want := model(next, "net")
	old := first.Header.Next
	for i := range want.Regs {
		if g := &want.Regs[i]; g.Certified && !gained[g.Key.Object()] {
			g.Gained = old
		}
	}
	for i := range want.Pooled {
		if g := &want.Pooled[i]; g.Certified && !gained[g.Key.Object()] {
			g.Gained = old
		}
	}
	for i := range want.Pools {
		if g := &want.Pools[i]; !gained[g.ID] {
			g.Gained = old
		}
	}
	if diff := cmp.Diff(want, stateOf(t, r)); diff != "" || len(gained) < 300 {
		t.Errorf("%d gained (-want +got):\n%s", len(gained), diff)
	}
	if tip := (recovery.Tip{Bound: r.Bound(), Ancestors: r.Header().Ancestors}); !tip.Descends(base.Bound()) {
		t.Errorf("ancestors %+v", tip.Ancestors)
	}
}

// What a base knows of a blob besides stays known, and what contradicts it is
// refused.
func TestStateBase(t *testing.T) {
	sized, invalid := blob(walrustest.Last(10)), blob(walrustest.Last(99))
	sized.Size, invalid.Invalidated = 123, 7
	header := snapshot.Header{Stamp: recovery.Stamp{Network: "net", Epoch: 7, Position: 41}}
	base := write(t, header, sized, blob(walrustest.Last(50)), invalid)
	r := mustConvert(t, readFile(t, sampleB), walrus.StateConfig{Base: base, Network: "net"})
	want := []snapshot.Blob{sized, blob(walrustest.Last(11)), blob(walrustest.Last(20)), invalid}
	if diff := cmp.Diff(want, collect(t, r.Blobs())); diff != "" {
		t.Errorf("blobs (-want +got):\n%s", diff)
	}
	raw := sized
	raw.Encoding, raw.Digest = recovery.Raw, raw.ID
	at := func(change func(*snapshot.Header)) snapshot.Header {
		h := header
		change(&h)
		return h
	}
	for name, c := range map[string]walrus.StateConfig{
		"other network":    {Base: base, Network: "other"},
		"same position":    {Base: write(t, at(func(h *snapshot.Header) { h.Position = 42 }))},
		"later epoch":      {Base: write(t, at(func(h *snapshot.Header) { h.Epoch = 8 }))},
		"other encoding":   {Base: write(t, header, raw)},
		"incremental base": {Base: write(t, at(func(h *snapshot.Header) { h.Base = &recovery.Ancestor{Position: 1} }))},
	} {
		if _, _, err := convert(t, readFile(t, sampleB), c); !errors.Is(err, walrus.ErrBase) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// write writes a catalog of blobs without registrations.
func write(t testing.TB, h snapshot.Header, blobs ...snapshot.Blob) *snapshot.Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.rsnap")
	w, err := snapshot.Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if err := w.Blob(&b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// What is damaged, or is not the whole, makes no catalog and leaves nothing.
func TestNoState(t *testing.T) {
	whole := walrustest.Many(2_000, 4).Encode(walrus.B)
	if _, _, err := convert(t, whole[:len(whole)-1], walrus.StateConfig{Memory: 1000}); corrupt(err) == nil {
		t.Errorf("cut: error %v", err)
	}
	if _, _, err := convert(t, readFile(t, sampleA), walrus.StateConfig{}); !errors.Is(err, walrus.ErrUnsupported) {
		t.Errorf("part of several: error %v", err)
	}
	pools := walrustest.Sample()
	for i := range uint32(snapshot.MaxPools) + 1 {
		e := walrustest.Entry[walrus.Pool]{}
		binary.BigEndian.PutUint32(e.Key[:], i)
		pools.Pools = append(pools.Pools[:i], e)
	}
	if _, _, err := convert(t, pools.Encode(walrus.B), walrus.StateConfig{}); !errors.Is(err, walrus.ErrUnsupported) {
		t.Errorf("too many pools: error %v", err)
	}
	pools.Pools = pools.Pools[:snapshot.MaxPools] // the one that is named and missing is one too many
	if _, _, err := convert(t, pools.Encode(walrus.A), walrus.StateConfig{}); !errors.Is(err, walrus.ErrUnsupported) {
		t.Errorf("too many pools with the missing one: error %v", err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if _, err := walrus.NewState(t.Context(), inMemory(t, whole), walrus.StateConfig{Memory: 1000, Dir: none}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := walrus.NewState(ctx, inMemory(t, whole), walrus.StateConfig{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
}
