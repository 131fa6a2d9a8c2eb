package snapshot

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// drawLater draws a state of the base's network at a higher position that has
// much in common with it.
func drawLater(t *rapid.T, base *tables) *tables {
	s := drawState(t)
	s.head.Epoch = base.head.Epoch + rapid.Uint32Range(0, 2).Draw(t, "epochs")
	s.head.Position = max(s.head.Position, base.head.Position) + 1
	s.head.Ancestors = []recovery.Ancestor{{Position: base.head.Position, Digest: recovery.Digest{9}}}
	keep := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) > 0 }
	s.blobs = mix(s.blobs, base.blobs, func(*Blob) bool { return keep("blob") })
	there := map[recovery.BlobID]bool{}
	for _, b := range s.blobs {
		there[b.ID] = true
	}
	s.pools = mix(s.pools, base.pools, func(*Pool) bool { return true })
	s.regs = mix(s.regs, base.regs, func(r *Registration) bool { return there[r.Key.Blob()] && keep("registration") })
	s.pooled = mix(s.pooled, base.pooled, func(p *Pooled) bool { return there[p.Key.Blob()] && keep("pooled") })
	return s
}

// mix puts rows of two tables in key order, of the base's those that keep likes.
func mix[R any, P Row[R]](own, base []R, keep func(*R) bool) (all []R) {
	both[R, P](own, base, func(a, b *R) {
		if b != nil && keep(b) {
			all = append(all, *b)
		} else if a != nil {
			all = append(all, *a)
		}
	})
	return all
}

// both calls visit with the rows of two tables, by key, nil where one has not
// the key.
func both[R any, P Row[R]](a, b []R, visit func(a, b *R)) {
	for len(a) > 0 || len(b) > 0 {
		order := -1
		switch {
		case len(a) == 0:
			order = 1
		case len(b) > 0:
			order = bytes.Compare(P(&a[0]).RowKey(), P(&b[0]).RowKey())
		}
		var inA, inB *R
		if order <= 0 {
			inA, a = &a[0], a[1:]
		}
		if order >= 0 {
			inB, b = &b[0], b[1:]
		}
		visit(inA, inB)
	}
}

// TestIncrementalOverItsBase: the difference of two states over the first one is
// the second one, byte for byte, and there is one way to write it.
func TestIncrementalOverItsBase(t *testing.T) {
	evidence.Property(t, "snapshots: a difference over its base is the later state, byte for byte", func(rt *rapid.T) {
		a := drawState(rt)
		b := drawLater(rt, a)
		base, want := mustMemory(t, encode(t, a)), mustMemory(t, encode(t, b))
		slow, _ := writeMemory(rt, base, want)
		incr := mustMemory(t, slow)
		if err := incr.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
		for name, delta := range map[string]*Reader{"canonical": incr, "draft": mustMemory(t, writeDraft(rt, base, a, b))} {
			over, err := Over(base, delta)
			if err != nil {
				rt.Fatal(err)
			}
			if fast, _ := writeMemory(rt, base, over); !bytes.Equal(slow, fast) {
				rt.Errorf("%s: the incremental snapshot is written in two ways", name)
			}
			full, written := writeMemory(rt, nil, over)
			if written.Bound != want.Bound() || written.Totals != want.Totals() || !bytes.Equal(full, encode(t, b)) {
				rt.Errorf("%s: base and incremental do not make the state", name)
			}
			checkOverlay(rt, t, over, b)
		}
	})
}

// writeMemory writes a state, or how it differs from a base.
func writeMemory(t interface {
	Helper()
	Fatal(args ...any)
	Context() context.Context
}, base *Reader, s State) ([]byte, Written) {
	t.Helper()
	c, err := whole(s)
	if base != nil {
		c, err = difference(base, s, "memory")
	}
	if err != nil {
		t.Fatal(err)
	}
	var to memoryStorage
	w, err := newWriter(&to, "memory", c.head, Options{})
	if err != nil {
		t.Fatal(err)
	}
	written, err := c.writeTo(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return to.files[0].Bytes(), written
}

// writeDraft writes an incremental that leads from a to b by more than what
// differs: rows that are the base's, and keys that it has not are dropped.
func writeDraft(rt *rapid.T, base *Reader, a, b *tables) []byte {
	h := b.head
	h.Base = &recovery.Ancestor{Position: base.Bound().Position, Digest: base.Bound().Digest}
	var to memoryStorage
	w, err := newWriter(&to, "draft", h, Options{})
	if err != nil {
		rt.Fatal(err)
	}
	noise := func() bool { return rapid.Bool().Draw(rt, "noise") }
	draftTable(a.blobs, b.blobs, noise, w.Blob, func(b *Blob) { err = errors.Join(err, w.DropBlob(b.ID)) })
	draftTable(a.regs, b.regs, noise, w.Registration, func(r *Registration) { err = errors.Join(err, w.DropRegistration(r.Key)) })
	if noise() {
		err = errors.Join(err, w.DropRegistration(Key{0xff}))
	}
	draftTable(a.pooled, b.pooled, noise, w.Pooled, func(p *Pooled) { err = errors.Join(err, w.DropPooled(p.Key)) })
	draftTable(a.pools, b.pools, noise, w.Pool, func(p *Pool) { err = errors.Join(err, w.DropPool(p.ID)) })
	if noise() {
		err = errors.Join(err, w.DropPool(PoolID{0xff}))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		rt.Fatal(err)
	}
	return to.files[0].Bytes()
}

func draftTable[R comparable, P Row[R]](a, b []R, noise func() bool, put func(*R) error, drop func(*R)) {
	both[R, P](a, b, func(before, after *R) {
		switch {
		case after == nil:
			drop(before)
		case before == nil || *before != *after || noise():
			_ = put(after) // sticks, and Close says it
		}
	})
}

// checkOverlay compares an overlay with the state it stands for: as a state, as
// a scan from any place, and row by row.
func checkOverlay(rt *rapid.T, t *testing.T, over *Overlay, want *tables) {
	if diff := cmp.Diff(want.head, over.Header()); diff != "" {
		rt.Errorf("header (-want +got):\n%s", diff)
	}
	back := tables{head: over.Header(), pools: slices.Clone(over.Pools())}
	var errs [3]error
	back.blobs, errs[0] = collect(over.Blobs())
	back.regs, errs[1] = collect(over.Registrations())
	back.pooled, errs[2] = collect(over.Pooled())
	if diff := cmp.Diff(*want, back, cmp.AllowUnexported(tables{}), cmpopts.EquateEmpty()); diff != "" || errors.Join(errs[:]...) != nil {
		rt.Errorf("tables: %v (-want +got):\n%s", errors.Join(errs[:]...), diff)
	}
	checkScan(rt, t, want, over.Scan())
	checkFind(rt, want, over.Scan())
	checkLookup(rt, want, over.Lookup())
}

// TestIncrementalWithoutDeletionRecords: it has them, so what was deleted does not
// come back; and a full snapshot has none. Hazard 54.
func TestIncrementalWithoutDeletionRecords(t *testing.T) {
	base := open(t, goldenV1)
	over, err := Over(base, open(t, incrV1))
	if err != nil {
		t.Fatal(err)
	}
	gone := goldenID(1)
	look := over.Lookup()
	if b, err := base.Lookup().Blob(gone); err != nil || b == nil {
		t.Fatalf("the base has not the blob that is dropped: %v", err)
	}
	blob, err := look.Blob(gone)
	if err != nil || blob != nil {
		t.Errorf("the dropped blob: %v, %v", blob, err)
	}
	reg, err := look.Registration(KeyOf(gone, gone))
	if err != nil || reg != nil {
		t.Errorf("its registration: %v, %v", reg, err)
	}
	pooled, err := look.Pooled(KeyOf(goldenID(4), goldenID(4)))
	if err != nil || pooled != nil {
		t.Errorf("the dropped pooled registration: %v, %v", pooled, err)
	}
	if p := look.Pool(goldenPool(1)); p != nil {
		t.Errorf("the dropped pool: %v", p)
	}
	var row recovery.Row
	if certified, err := over.Scan().Find(gone, &row); err != nil || certified {
		t.Errorf("the dropped blob is certified: %v, %v", certified, err)
	}
	w, err := newWriter(&memoryStorage{}, "memory", golden().head, Options{})
	if err = errors.Join(err, w.DropBlob(gone)); !errors.Is(err, ErrRow) {
		t.Errorf("a full snapshot drops a key: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

// TestTwoSnapshotsOfOnePosition with different digests: an incremental lies over
// the one that it names, and the error for the other names both. Hazard 56.
func TestTwoSnapshotsOfOnePosition(t *testing.T) {
	s := golden()
	s.blobs[0].Size++
	other := open(t, s.write(t))
	incr := open(t, incrV1)
	_, err := Over(other, incr)
	var wrong *BaseError
	if !errors.As(err, &wrong) || wrong.Wants.Digest == wrong.Base.Digest || wrong.Wants.Position != wrong.Base.Position {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{incrV1, other.Path(), goldenDigest, other.Bound().Digest.String(), "position 1000"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %q", err, part)
		}
	}
}

func TestOverRefuses(t *testing.T) {
	base, incr := open(t, goldenV1), open(t, incrV1)
	rewrite := func(edit func(*Header)) *Reader {
		h := incr.Header()
		edit(&h)
		path := filepath.Join(t.TempDir(), "x")
		w, err := Create(path, h)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return open(t, path)
	}
	later := open(t, goldenLater().write(t))
	for name, c := range map[string]struct {
		base, over *Reader
		says       string // of a BaseError; else the kind is wrong
	}{
		"two full ones":    {base, base, ""},
		"two incrementals": {incr, incr, ""},
		"another network":  {base, rewrite(func(h *Header) { h.Network = "other" }), `"other"`},
		"an earlier epoch": {base, rewrite(func(h *Header) { h.Epoch = 6 }), "epoch 6"},
		"a later base":     {later, incr, "position 1010"},
	} {
		_, err := Over(c.base, c.over)
		var wrong *BaseError
		if errors.As(err, &wrong) != (c.says != "") || errors.Is(err, ErrKind) != (c.says == "") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "x")
		if c.over.Header().Base == nil {
			continue
		}
		if _, err := Write(t.Context(), path, c.over, Options{}); !errors.Is(err, ErrKind) {
			t.Errorf("%s: Write of an incremental: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ base, state *Reader }{
		"same position": {base, base}, "backwards": {later, base}, "incremental base": {incr, later}, "incremental state": {base, incr},
	} {
		_, err := WriteIncremental(t.Context(), filepath.Join(t.TempDir(), "x"), c.base, c.state, Options{})
		if !errors.Is(err, ErrRow) && !errors.Is(err, ErrKind) && !errors.As(err, new(*BaseError)) {
			t.Errorf("WriteIncremental, %s: error %v", name, err)
		}
	}
}

// TestIncrementalIsNoState: whatever asks it for tables, or for what is
// certified, gets an error and not half of the truth.
func TestIncrementalIsNoState(t *testing.T) {
	incr := open(t, incrV1)
	_, blobs := incr.Blobs().Next()
	_, regs := incr.Registrations().Next()
	_, pooled := incr.Pooled().Next()
	_, look := incr.Lookup().Blob(goldenID(2))
	_, scan := scanAll(t, incr.Scan(), recovery.Mark{})
	_, find := incr.Scan().Find(goldenID(2), &recovery.Row{})
	_, build := Build(t.Context(), BuildConfig{Base: incr}, filepath.Join(t.TempDir(), "x"))
	diff := Diff(t.Context(), open(t, goldenV1), incr, func(Change) error { return nil })
	for name, err := range map[string]error{
		"blobs": blobs, "registrations": regs, "pooled": pooled, "look-up": look, "scan": scan, "find": find, "diff": diff,
	} {
		if !errors.Is(err, ErrKind) || !strings.Contains(err.Error(), incrV1) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if !errors.Is(build, ErrBuild) {
		t.Errorf("build: error %v", build)
	}
	if n := len(incr.Pools()); n != 0 {
		t.Errorf("%d pools", n)
	}
}

// TestDeterminismCheck that passes when there is nothing to compare: there is
// enough here, in every table, dropped keys too. The bytes do not depend on how
// many goroutines run at once. Hazard 64.
func TestDeterminismCheck(t *testing.T) {
	a, b := manyBlocks(4000, 0), manyBlocks(4000, 1)
	base, state := open(t, a.write(t)), open(t, b.write(t))
	write := func(procs int) (full, incr []byte) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		dir := t.TempDir()
		if _, err := Write(t.Context(), filepath.Join(dir, "full"), state, Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := WriteIncremental(t.Context(), filepath.Join(dir, "incr"), base, state, Options{}); err != nil {
			t.Fatal(err)
		}
		return readFile(t, filepath.Join(dir, "full")), readFile(t, filepath.Join(dir, "incr"))
	}
	full, incr := write(1)
	if n := mustMemory(t, incr).Totals().Rows; min(n.Blobs, n.Registrations, n.Pooled, n.Pools) < 1000 || len(incr) < 4*blockPayload {
		t.Fatalf("there is too little to compare: %+v in %d bytes", n, len(incr))
	}
	for _, procs := range []int{2, 7} {
		if f, i := write(procs); !bytes.Equal(f, full) || !bytes.Equal(i, incr) {
			t.Errorf("with GOMAXPROCS %d the bytes differ", procs)
		}
	}
	if !bytes.Equal(full, readFile(t, state.Path())) {
		t.Error("a state is written differently row by row")
	}
}
