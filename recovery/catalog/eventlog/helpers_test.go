package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// tempDir is like t.TempDir, in memory where there is such a place: most of these
// tests make hundreds of files durable, and prove nothing by it.
func tempDir(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "eventlog")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// quiet makes no snapshots by itself.
func quiet(dir string) Config {
	return Config{
		Dir: dir, Network: "main", MinFree: -1, FullEvery: -1, IncrEvery: -1, LockTimeout: time.Millisecond,
		noSync: true, // these tests crash by copying what was written, not by cutting the power
	}
}

func openIn(t tester, cfg Config) *Catalog {
	t.Helper()
	c, err := Open(context.Background(), cfg)
	must(t, err)
	return c
}

// open opens a catalog for the length of the test.
func open(t *testing.T, cfg Config) *Catalog {
	t.Helper()
	c := openIn(t, cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// apply applies events, all of them at once, and as if there were more.
func apply(t tester, c *Catalog, events []event.Event) {
	t.Helper()
	must(t, c.Apply(context.Background(), events, 0))
}

// rowsOf reads the pinned catalog through.
func rowsOf(t tester, c *Catalog) (rows []recovery.Row) {
	t.Helper()
	for row, err := range catalog.Rows(context.Background(), c, recovery.Mark{}) {
		must(t, err)
		rows = append(rows, row)
	}
	return rows
}

// agrees compares everything that a catalog says with a model.
func agrees(t tester, c *Catalog, m *event.Model) recovery.Tip {
	t.Helper()
	tip, err := c.Pin(context.Background())
	must(t, err)
	want := m.Certified()
	var size int64
	for _, row := range want {
		if row.Size == recovery.SizeUnknown {
			size = recovery.SizeUnknown
			break
		}
		size += row.Size
	}
	if tip.Stamp != m.Stamp() || tip.Blobs != uint64(len(want)) || tip.Bytes != size {
		t.Fatalf("tip %+v, %d blobs of %d bytes; want %+v, %d of %d", tip.Stamp, tip.Blobs, tip.Bytes, m.Stamp(), len(want), size)
	}
	if diff := cmp.Diff(want, rowsOf(t, c)); diff != "" {
		t.Fatalf("pages at %d (-model +catalog):\n%s", tip.Position, diff)
	}
	return tip
}

// sameState compares the canonical state with a model's, row by row.
func sameState(t tester, c *Catalog, m *event.Model) {
	t.Helper()
	f, err := c.Freeze(context.Background())
	must(t, err)
	defer f.Close()
	noDifference(t, m.State(), f)
	if f.Header().Stamp != m.Stamp() {
		t.Fatalf("frozen at %+v, want %+v", f.Header().Stamp, m.Stamp())
	}
}

func noDifference(t tester, want, got snapshot.State) {
	t.Helper()
	err := snapshot.Diff(context.Background(), want, got, func(c snapshot.Change) error {
		return fmt.Errorf("%v %x was %s:\n%+v\n%+v", c.Table, c.Key, c.Kind(), c.Before, c.After)
	})
	if err != nil {
		t.Fatalf("states at %d differ: %v", want.Header().Position, err)
	}
}

// lookups asks for ids that the model certifies and for others.
func lookups(t tester, c *Catalog, m *event.Model, ids []recovery.BlobID) {
	t.Helper()
	asked := map[recovery.BlobID]bool{}
	for _, id := range ids {
		asked[id] = true
	}
	var want []recovery.Row
	for _, row := range m.Certified() {
		if asked[row.ID] {
			want = append(want, row)
		}
	}
	at, got, err := c.Lookup(context.Background(), ids)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" || at != m.Stamp() {
		t.Fatalf("look-ups at %+v (-model +catalog):\n%s", at, diff)
	}
}

// idsOf are the blobs of some events, once each, and one that nobody has.
func idsOf(events []event.Event) (ids []recovery.BlobID) {
	seen := map[recovery.BlobID]bool{{}: true}
	for _, e := range events {
		if !seen[e.Blob] {
			seen[e.Blob] = true
			ids = append(ids, e.Blob)
		}
	}
	return append(ids, recovery.BlobID{1, 2, 3})
}

// killedCopy copies a catalog's directory as its process would leave it if it was
// killed now: between two commits, perhaps while a snapshot is made.
func killedCopy(t tester, c *Catalog, to string) {
	t.Helper()
	c.writing.Lock()
	defer c.writing.Unlock()
	copyDir(t, c.cfg.Dir, to)
}

// copyDir copies a directory; what is removed meanwhile may be missing.
func copyDir(t tester, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(from, path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err = errors.Join(err, relErr); err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o600)
	}))
}

// entries lists the complete snapshots of a directory.
func entries(t tester, dir string) (all []archive.Entry) {
	t.Helper()
	a, err := archive.Open(archive.Config{Dir: dir})
	must(t, err)
	l, err := a.List(context.Background())
	must(t, err)
	for _, e := range l.Entries {
		if e.Status != archive.Complete {
			t.Errorf("%v is %s: %v", e.Name, e.Status, e.Err)
		}
		all = append(all, e)
	}
	return all
}

// names are the entries' names.
func names(all []archive.Entry) (names []string) {
	for _, e := range all {
		names = append(names, e.Name.String())
	}
	return names
}

func historyEvents(seed uint64, n int) []event.Event { return eventtest.New(seed, "main").Take(n) }
