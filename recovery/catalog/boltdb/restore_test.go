package boltdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// restored restores a state into a new directory.
func restored(t testing.TB, s snapshot.State, c Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.bolt")
	mustRestore(t, s, path, c)
	return path
}

func mustRestore(t testing.TB, s snapshot.State, path string, c Config) Result {
	t.Helper()
	result, err := Restore(context.Background(), s, path, c)
	if err != nil {
		t.Errorf("restore: %v", err) // perhaps not the test's goroutine: no Fatal
	}
	return result
}

func openReader(t testing.TB, path string) *Reader {
	t.Helper()
	r, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// asSnapshot returns the bytes of a state's snapshot, by which states are equal
// or not.
func asSnapshot(t testing.TB, s snapshot.State) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.rsnap")
	if _, err := snapshot.Write(t.Context(), path, s, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	return readFile(t, path)
}

func TestCatalog(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T, first catalogtest.State) catalogtest.Subject {
		dir := t.TempDir()
		path := filepath.Join(dir, "catalog.bolt")
		publish := func(t testing.TB, s catalogtest.State) {
			file := filepath.Join(dir, "state.rsnap")
			catalogtest.WriteSnapshot(t, file, s)
			r, err := snapshot.Open(file)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			mustRestore(t, r, path, Config{})
		}
		publish(t, first)
		return catalogtest.Subject{Source: newCatalog(t, path), Publish: publish}
	})
}

func newCatalog(t testing.TB, path string) *catalog.File {
	t.Helper()
	c, err := Open(catalog.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestRestoreIsTheState: whatever is in a state is in the file, and comes out as
// the same snapshot, byte for byte.
func TestRestoreIsTheState(t *testing.T) {
	for _, n := range []int{0, 1, 7, 200, 5000} {
		want := catalogtest.RandomTables(uint64(n), n)
		if n == 200 { // a description of several pages
			want.Head.Ancestors = nil
			for i := range uint64(snapshot.MaxAncestors) {
				want.Head.Ancestors = append(want.Head.Ancestors, recovery.Ancestor{Position: i, Digest: recovery.Digest{byte(i)}})
			}
		}
		path := filepath.Join(t.TempDir(), "catalog.bolt")
		result := mustRestore(t, want, path, Config{})
		got := openReader(t, path)
		if !bytes.Equal(asSnapshot(t, want), asSnapshot(t, got)) {
			t.Errorf("%d blobs: the state that was restored is another", n)
		}
		if result.Bound != got.Bound() || result.Totals != got.Totals() || result.Bytes != got.Size() {
			t.Errorf("%d blobs: result %+v of %+v", n, result, got.Bound())
		}
		if err := got.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestRestoreFile: a snapshot, and one laid over another, are restored as the
// state that they are.
func TestRestoreFile(t *testing.T) {
	dir := t.TempDir()
	base, next := catalogtest.RandomTables(1, 900), catalogtest.RandomTables(2, 700)
	next.Head.Position++
	next.BlobRows = append(slices.Clone(base.BlobRows[:400]), next.BlobRows...)
	slices.SortFunc(next.BlobRows, func(a, b snapshot.Blob) int { return a.ID.Compare(b.ID) })
	base.Write(t, filepath.Join(dir, "full"))
	full, err := snapshot.Open(filepath.Join(dir, "full"))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if _, err := snapshot.WriteIncremental(t.Context(), filepath.Join(dir, "incr"), full, next, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	incremental, err := snapshot.Open(filepath.Join(dir, "incr"))
	if err != nil {
		t.Fatal(err)
	}
	defer incremental.Close()
	over, err := snapshot.Over(full, incremental)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ state, want snapshot.State }{"full": {full, base}, "incremental": {over, next}} {
		if got := openReader(t, restored(t, c.state, Config{})); !bytes.Equal(asSnapshot(t, c.want), asSnapshot(t, got)) {
			t.Errorf("%s: the state that was restored is another", name)
		}
	}
	if _, err := Restore(t.Context(), incremental, filepath.Join(dir, "x"), Config{}); !errors.Is(err, snapshot.ErrKind) {
		t.Errorf("an incremental alone was restored: %v", err)
	}
}

// TestSeekAnywhere compares scans and look-ups from many places with those of
// the snapshot.
func TestSeekAnywhere(t *testing.T) {
	state := catalogtest.RandomTables(9, 4000)
	file := filepath.Join(t.TempDir(), "state.rsnap")
	state.Write(t, file)
	want, err := snapshot.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	got := openReader(t, restored(t, state, Config{}))
	a, b := want.Scan(), got.Scan()
	rowsA, rowsB := make([]recovery.Row, 5), make([]recovery.Row, 5)
	for i := 0; i < len(state.BlobRows); i += 13 {
		for _, by := range []byte{0, 1, 255} {
			id := state.BlobRows[i].ID
			id[20] += by
			if err := errors.Join(a.Seek(recovery.MarkAt(id)), b.Seek(recovery.MarkAt(id))); err != nil {
				t.Fatal(err)
			}
			nA, endA, errA := a.Fill(t.Context(), rowsA)
			nB, endB, errB := b.Fill(t.Context(), rowsB)
			if err := errors.Join(errA, errB); err != nil || endA != endB {
				t.Fatalf("after %v: end %v, not %v; error %v", id, endB, endA, err)
			}
			if diff := cmp.Diff(rowsA[:nA], rowsB[:nB]); diff != "" {
				t.Fatalf("after %v (-want +got):\n%s", id, diff)
			}
			foundA, errA := a.Find(id, &rowsA[0])
			foundB, errB := b.Find(id, &rowsB[0])
			if err := errors.Join(errA, errB); err != nil || foundA != foundB || foundA && rowsA[0] != rowsB[0] {
				t.Fatalf("%v: found %v %+v, want %v %+v; error %v", id, foundB, rowsB[0], foundA, rowsA[0], err)
			}
		}
	}
}

// TestReadableByBolt: other tools read the file too, find nothing wrong, and may
// even write to a copy of it.
func TestReadableByBolt(t *testing.T) {
	for _, n := range []int{0, 1, 50, 5000} {
		state := catalogtest.RandomTables(3, n)
		db, err := bbolt.Open(restored(t, state, Config{}), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		check := func(blobs int) {
			err := db.View(func(tx *bbolt.Tx) error {
				for err := range tx.Check() {
					t.Error(err)
				}
				if n := tx.Bucket([]byte("blobs")).Stats().KeyN; n != blobs {
					t.Errorf("%d blobs, want %d", n, blobs)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		check(n)
		for i := range 3 {
			err := db.Update(func(tx *bbolt.Tx) error {
				return tx.Bucket([]byte("blobs")).Put([]byte{byte(80 * i)}, make([]byte, 500))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		check(n + 3)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSameStateSameBytes: a file depends on its state alone, its size on nothing
// that a restore did before.
func TestSameStateSameBytes(t *testing.T) {
	state := catalogtest.RandomTables(8, 700)
	path := restored(t, state, Config{})
	first := readFile(t, path)
	mustRestore(t, openReader(t, path), path, Config{}) // from itself
	if !bytes.Equal(first, readFile(t, path)) {
		t.Error("the same state gave another file")
	}
}

// liar is a state that says it is another.
type liar struct {
	*catalogtest.Tables
	snapshot.Summary
}

func (l liar) Bound() recovery.Bound   { return l.Summary.Bound }
func (l liar) Totals() snapshot.Totals { return l.Summary.Totals }

// TestVerifyRefuses: what was loaded is compared with what was to be restored
// before anything is replaced.
func TestVerifyRefuses(t *testing.T) {
	state := catalogtest.RandomTables(1, 100)
	path := restored(t, state, Config{})
	before := readFile(t, path)
	for name, change := range map[string]func(*snapshot.Summary){
		"digest": func(s *snapshot.Summary) { s.Bound.Digest[5]++ },
		"rows":   func(s *snapshot.Summary) { s.Totals.Rows.Blobs++ },
		"totals": func(s *snapshot.Summary) { s.Totals.Certified-- },
	} {
		sum, err := snapshot.SumUp(t.Context(), state)
		if err != nil {
			t.Fatal(err)
		}
		change(&sum)
		if _, err := Restore(t.Context(), liar{state, sum}, path, Config{}); !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, readFile(t, path)) {
			t.Errorf("%s: the file was replaced", name)
		}
		nothingLeft(t, path)
	}
}

// nothingLeft reports what lies beside a file besides its lock.
func nothingLeft(t testing.TB, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) && e.Name() != filepath.Base(lockName(path)) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// broken is a state whose registrations fail half-way.
type broken struct {
	snapshot.State
	err error
}

func (b broken) Registrations() snapshot.Cursor[snapshot.Registration] { return b }
func (b broken) Next() (*snapshot.Registration, error)                 { return nil, b.err }

// brokenFile is one that knows what it comes to.
type brokenFile struct {
	liar
	broken
}

func (b brokenFile) Header() snapshot.Header                               { return b.broken.Header() }
func (b brokenFile) Blobs() snapshot.Cursor[snapshot.Blob]                 { return b.broken.Blobs() }
func (b brokenFile) Registrations() snapshot.Cursor[snapshot.Registration] { return b.broken }
func (b brokenFile) Pooled() snapshot.Cursor[snapshot.Pooled]              { return b.broken.Pooled() }
func (b brokenFile) Pools() []snapshot.Pool                                { return b.broken.Pools() }

// TestSourceFails: what the state can't be read for, or a cancelled context, ends
// the restore and leaves what was there.
func TestSourceFails(t *testing.T) {
	state := catalogtest.RandomTables(1, 100)
	path := restored(t, state, Config{})
	before := readFile(t, path)
	sum, err := snapshot.SumUp(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]snapshot.State{
		"before loading": broken{state, io.ErrUnexpectedEOF},
		"while loading":  brokenFile{liar{state, sum}, broken{state, io.ErrUnexpectedEOF}},
	} {
		if _, err := Restore(t.Context(), s, path, Config{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []string{stepPrepared, stepLoading, stepLoaded} {
		ctx, cancel := context.WithCancel(t.Context())
		step := func(step string) {
			if step == at {
				cancel()
			}
		}
		if _, err := Restore(ctx, state, path, Config{step: step}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled when %s: %v", at, err)
		}
	}
	if !bytes.Equal(before, readFile(t, path)) {
		t.Error("the file was replaced")
	}
	nothingLeft(t, path)
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	state := catalogtest.RandomTables(1, 3)
	if _, err := Restore(t.Context(), state, filepath.Join(dir, "no", "x"), Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if _, err := Restore(t.Context(), state, dir, Config{}); err == nil {
		t.Error("a directory was replaced")
	}
	var told []uint64
	restored(t, catalogtest.RandomTables(1, 3000), Config{Progress: func(n uint64) { told = append(told, n) }})
	if len(told) < 6 || !slices.IsSorted(told) {
		t.Errorf("progress %v", told)
	}
}
