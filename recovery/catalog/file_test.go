package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

func newFile(t *testing.T, path string) *catalog.File {
	t.Helper()
	f, err := catalog.NewFile(catalog.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFile(t *testing.T) {
	catalogtest.Run(t, func(t *testing.T, first catalogtest.State) catalogtest.Subject {
		path := filepath.Join(t.TempDir(), "catalog.rsnap")
		catalogtest.WriteSnapshot(t, path, first)
		return catalogtest.Subject{
			Source:  newFile(t, path),
			Publish: func(t testing.TB, s catalogtest.State) { catalogtest.WriteSnapshot(t, path, s) },
		}
	})
}

func TestFileTip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	want := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10, 5))
	if tip := mustPin(t, newFile(t, path)); tip.Bound != want || !tip.Static || !tip.AtTip {
		t.Errorf("tip %+v, want %v", tip, want)
	}
}

// TestFileRefused: what a person must put right is marked so; what may yet come
// or heal is not.
func TestFileRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	catalogtest.WriteSnapshot(t, good, catalogtest.NewState(10, 5))
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(at int, b byte) []byte {
		c := append([]byte{}, raw...)
		c[at] ^= b
		return c
	}
	for name, c := range map[string]struct {
		bytes  []byte
		misset bool
	}{
		"another file":      {[]byte("epoch: 7\n"), true},
		"another version":   {edited(9, 2), true},
		"another kind":      {edited(10, 2), true},
		"incremental":       {incremental(t), true},
		"a chunk":           {chunk(t), true},
		"empty":             {nil, false},
		"cut":               {raw[:len(raw)-1], false},
		"damaged":           {edited(20, 1), false},
		"followed by bytes": {append(append([]byte{}, raw...), 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "catalog.rsnap")
			if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := newFile(t, path).Pin(t.Context())
			if err == nil || errors.Is(err, recovery.ErrMisconfigured) != c.misset || !strings.Contains(err.Error(), path) {
				t.Errorf("Pin: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(c.bytes) {
				t.Errorf("the refused file was touched: %v", err)
			}
		})
	}
}

// incremental returns a snapshot that is no catalog by itself.
func incremental(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "incremental.rsnap")
	w, err := snapshot.Create(path, snapshot.Header{
		Stamp: recovery.Stamp{Network: "n", Epoch: 1, Position: 2}, Base: &recovery.Ancestor{Position: 1},
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// chunk returns the first of several files of a snapshot.
func chunk(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile("snapshot/testdata/chunks-v1.1of4.rsnap")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFileComesLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	f := newFile(t, path)
	if _, err := f.Pin(t.Context()); !errors.Is(err, os.ErrNotExist) || errors.Is(err, recovery.ErrMisconfigured) {
		t.Fatalf("Pin without a file: %v", err)
	}
	woken := make(chan error, 1)
	go func() { woken <- f.Changed(t.Context()) }()
	want := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10, 5))
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if tip := mustPin(t, f); tip.Bound != want {
		t.Errorf("pinned %v, want %v", tip.Bound, want)
	}
}

// TestFileBadReplacement: a damaged file never replaces the open one. It is
// counted once, and forgotten when a good one comes.
func TestFileBadReplacement(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "catalog.rsnap"), filepath.Join(dir, "other")
	state := catalogtest.NewState(2000, 5)
	old := catalogtest.WriteSnapshot(t, path, state)
	f := newFile(t, path)
	mustPin(t, f)

	catalogtest.WriteSnapshot(t, other, catalogtest.NewState(2000, 6))
	raw, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1 // in a block, which opening does not read
	if err := errors.Join(os.WriteFile(other, raw, 0o600), os.Rename(other, path)); err != nil {
		t.Fatal(err)
	}
	if err := f.Changed(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if tip := mustPin(t, f); tip.Bound != old {
			t.Fatalf("pinned %v, want %v", tip.Bound, old)
		}
	}
	var corrupt *snapshot.CorruptError
	if r := f.Rejected(); r.Count != 1 || !errors.As(r.Err, &corrupt) || corrupt.Path != path {
		t.Errorf("rejected %+v", r)
	}
	rows := 0
	for _, err := range catalog.Rows(t.Context(), f, recovery.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 2000 {
		t.Errorf("%d rows of the old file, want 2000", rows)
	}

	next := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(2000, 7))
	if tip := mustPin(t, f); tip.Bound != next {
		t.Errorf("pinned %v, want %v", tip.Bound, next)
	}
	if r := f.Rejected(); r.Count != 1 || r.Err != nil {
		t.Errorf("rejected %+v", r)
	}
}

// A replacement that is not accepted is refused like a bad one, once, and the
// pinned file stays.
func TestFileNotAccepted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	first := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10, 5))
	unwanted := uint64(20)
	f, err := catalog.NewFile(catalog.FileConfig{Path: path, Accept: func(_ context.Context, r catalog.Content) error {
		if r.Header().Position == unwanted {
			return fmt.Errorf("%w: not this one", recovery.ErrMisconfigured)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if tip := mustPin(t, f); tip.Bound != first {
		t.Errorf("pinned %v", tip.Bound)
	}
	second := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10, 20))
	if second.Position != unwanted {
		t.Fatalf("position %d", second.Position)
	}
	for range 2 {
		tip, r := mustPin(t, f), f.Rejected()
		if tip.Bound != first || r.Count != 1 || r.Err == nil || !strings.Contains(r.Err.Error(), "not this one") {
			t.Errorf("pinned %v, rejected %+v", tip.Bound, r)
		}
	}
	third := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10, 30))
	if tip, r := mustPin(t, f), f.Rejected(); tip.Bound != third || r.Err != nil {
		t.Errorf("pinned %v, rejected %+v", tip.Bound, r)
	}
}

// TestFileBehindALink: a change in another directory than the watched one is
// found by looking.
func TestFileBehindALink(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "data.rsnap")
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	catalogtest.WriteSnapshot(t, elsewhere, catalogtest.NewState(3, 5))
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	f, err := catalog.NewFile(catalog.FileConfig{Path: path, PollInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mustPin(t, f)
	woken := make(chan error, 1)
	go func() { woken <- f.Changed(t.Context()) }()
	want := catalogtest.WriteSnapshot(t, elsewhere, catalogtest.NewState(3, 6))
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if tip := mustPin(t, f); tip.Bound != want {
		t.Errorf("pinned %v, want %v", tip.Bound, want)
	}
}

// TestFileWatchedLater: a watch that begins later misses nothing, neither before nor
// after it begins.
func TestFileWatchedLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	catalogtest.WriteSnapshot(t, path, catalogtest.NewState(3, 5))
	f, err := catalog.NewFile(catalog.FileConfig{Path: path, PollInterval: time.Hour, WatchAfter: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mustPin(t, f)
	for position := range uint64(5) {
		woken := make(chan error, 1)
		go func() { woken <- f.Changed(t.Context()) }()
		want := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(3, 6+position))
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		if tip := mustPin(t, f); tip.Bound != want {
			t.Errorf("pinned %v, want %v", tip.Bound, want)
		}
	}
}

func TestFileConfig(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]catalog.FileConfig{
		"no path": {}, "interval": {Path: filepath.Join(dir, "x"), PollInterval: -1}, "no directory": {Path: filepath.Join(dir, "no", "x")},
		"none to watch": {Path: filepath.Join(dir, "no", "x"), WatchAfter: 1}, "watch": {Path: filepath.Join(dir, "x"), WatchAfter: -1},
	} {
		if f, err := catalog.NewFile(c); err == nil {
			t.Errorf("%s: accepted", name)
			f.Close()
		}
	}
}

// TestFileGone: a catalog that is taken away is no empty catalog.
func TestFileGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	old := catalogtest.WriteSnapshot(t, path, catalogtest.NewState(30, 5))
	f := newFile(t, path)
	mustPin(t, f)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if tip := mustPin(t, f); tip.Bound != old {
			t.Fatalf("pinned %v, want %v", tip.Bound, old)
		}
	}
	if r := f.Rejected(); r.Count != 1 || !errors.Is(r.Err, os.ErrNotExist) {
		t.Errorf("rejected %+v", r)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := f.Changed(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPin(t, f)
	if r := f.Rejected(); r.Err != nil {
		t.Errorf("rejected %+v after the file came back", r)
	}
}

// TestTruncatedIteration damages the open file under a pass: the pass must fail,
// not end. Hazard 10.
func TestTruncatedIteration(t *testing.T) {
	for name, damage := range map[string]func(path string, size int64) error{
		"cut": func(path string, size int64) error { return os.Truncate(path, size/4) },
		"overwritten": func(path string, size int64) error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteAt([]byte("damage"), size/4)
			return errors.Join(err, file.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "catalog.rsnap")
			catalogtest.WriteSnapshot(t, path, catalogtest.NewState(10_000, 5))
			f := newFile(t, path)
			mustPin(t, f)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, info.Size()); err != nil {
				t.Fatal(err)
			}
			var last error
			for _, err := range catalog.Rows(t.Context(), f, recovery.Mark{}) {
				last = err
			}
			var corrupt *snapshot.CorruptError
			if !errors.As(last, &corrupt) {
				t.Errorf("a damaged file was read to its end: %v", last)
			}
			ids := []recovery.BlobID{}
			for _, row := range catalogtest.NewState(10_000, 5).Certified() {
				ids = append(ids, row.ID)
			}
			if _, _, err := f.Lookup(t.Context(), ids); !errors.As(err, &corrupt) {
				t.Errorf("a damaged file answered every look-up: %v", err)
			}
		})
	}
}

func TestFileClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	catalogtest.WriteSnapshot(t, path, catalogtest.NewState(3, 5))
	f := newFile(t, path)
	mustPin(t, f)
	woken := make(chan error, 1)
	go func() { woken <- f.Changed(context.Background()) }()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, pinErr := f.Pin(t.Context())
	_, pageErr := f.Page(t.Context(), recovery.Mark{}, make([]recovery.Row, 1))
	for name, err := range map[string]error{"Changed": <-woken, "Pin": pinErr, "Page": pageErr} {
		if !errors.Is(err, catalog.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}

func TestFilePageAllocatesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.rsnap")
	catalogtest.WriteSnapshot(t, path, catalogtest.NewState(60_000, 5))
	f := newFile(t, path)
	mustPin(t, f)
	rows, after := make([]recovery.Row, 512), recovery.Mark{}
	allocs := testing.AllocsPerRun(100, func() {
		info, err := f.Page(t.Context(), after, rows)
		if err != nil || info.N != len(rows) {
			t.Fatal(info, err)
		}
		after = recovery.MarkAt(rows[info.N-1].ID)
	})
	if allocs > 1 { // the first one seeks
		t.Errorf("%v allocations a page", allocs)
	}
}

func BenchmarkFilePages(b *testing.B) {
	path := filepath.Join(b.TempDir(), "catalog.rsnap")
	if _, err := snapshot.Synth(b.Context(), snapshot.SynthConfig{Blobs: 200_000}, path); err != nil {
		b.Fatal(err)
	}
	f, err := catalog.NewFile(catalog.FileConfig{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Pin(b.Context()); err != nil {
		b.Fatal(err)
	}
	rows := make([]recovery.Row, 1024)
	b.ReportAllocs()
	for b.Loop() {
		for after, end := (recovery.Mark{}), false; !end; {
			info, err := f.Page(b.Context(), after, rows)
			if err != nil {
				b.Fatal(err)
			}
			if end = info.End; !end {
				after = recovery.MarkAt(rows[info.N-1].ID)
			}
		}
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
