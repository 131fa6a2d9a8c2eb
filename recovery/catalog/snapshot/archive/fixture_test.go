package archive

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// state is a made-up catalog at a position: one registered blob for every
// event. A variant differs in one end epoch.
type state struct {
	position uint64
	variant  uint32
	// onRow is called before every row that is read; nil: it is not.
	onRow func(row int) error
	rows  *int
}

func (s state) Header() snapshot.Header {
	return snapshot.Header{Stamp: recovery.Stamp{Network: "test", Epoch: 3, Position: s.position}}
}

func (s state) ids() []recovery.BlobID {
	ids := make([]recovery.BlobID, s.position)
	for i := range ids {
		ids[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return ids
}

func (s state) Blobs() snapshot.Cursor[snapshot.Blob] {
	return rowsOf(s, func(id recovery.BlobID) snapshot.Blob {
		return snapshot.Blob{Blob: recovery.Blob{ID: id, Size: 100, Encoding: recovery.Raw, Digest: id}}
	})
}

func (s state) Registrations() snapshot.Cursor[snapshot.Registration] {
	first := recovery.BlobID(sha256.Sum256(make([]byte, 8)))
	return rowsOf(s, func(id recovery.BlobID) snapshot.Registration {
		r := snapshot.Registration{Key: snapshot.KeyOf(id, id), Certified: true, CertifiedEpoch: 3, EndEpoch: 50, Gained: 1}
		if id == first {
			r.EndEpoch += s.variant
		}
		return r
	})
}

func (s state) Pooled() snapshot.Cursor[snapshot.Pooled] { return &listed[snapshot.Pooled]{} }
func (s state) Pools() []snapshot.Pool                   { return nil }

func rowsOf[R any](s state, row func(recovery.BlobID) R) snapshot.Cursor[R] {
	l := &listed[R]{before: func() error {
		if s.onRow == nil {
			return nil
		}
		*s.rows++
		return s.onRow(*s.rows)
	}}
	for _, id := range s.ids() {
		l.rows = append(l.rows, row(id))
	}
	return l
}

// listed is a cursor over rows in memory.
type listed[R any] struct {
	rows   []R
	before func() error
}

func (l *listed[R]) Next() (*R, error) {
	if l.before != nil {
		if err := l.before(); err != nil {
			return nil, err
		}
	}
	if len(l.rows) == 0 {
		return nil, nil
	}
	row := &l.rows[0]
	l.rows = l.rows[1:]
	return row, nil
}

// chunked makes sets of chunks of states with chunkBlobs blobs.
const (
	chunkBlobs = 4500
	chunkMax   = snapshot.MinChunk
)

func newArchive(t testing.TB, dir string) *Archive {
	t.Helper()
	a, err := Open(Config{Dir: cmp.Or(dir, t.TempDir()), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func create(t testing.TB, a *Archive, s state, chunk int64) Entry {
	t.Helper()
	e, err := a.CreateFull(t.Context(), s, CreateOptions{MaxChunk: chunk})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// createOver makes an incremental to position.
func createOver(t testing.TB, a *Archive, base Entry, s state) Entry {
	t.Helper()
	b := hold(t, a, base)
	e, err := a.CreateIncremental(t.Context(), b.Reader, s, CreateOptions{})
	if err = errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return e
}

func hold(t testing.TB, a *Archive, e Entry) *Held {
	t.Helper()
	h, err := a.OpenEntry(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func list(t testing.TB, a *Archive) Listing {
	t.Helper()
	l, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// inDir lists all files.
func inDir(t testing.TB, a *Archive) (names []string) {
	t.Helper()
	files, err := os.ReadDir(a.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// verify proves every complete entry, and that nothing else is there.
func verify(t testing.TB, a *Archive, want string) {
	t.Helper()
	l := list(t, a)
	if names(l.Entries) != want {
		t.Fatalf("there are %q, want %q", names(l.Entries), want)
	}
	for _, e := range l.Entries {
		if e.Status != Complete {
			t.Fatalf("%v is %s: %v", e.Name, e.Status, e.Err)
		}
		h := hold(t, a, e)
		if err := errors.Join(h.Verify(t.Context()), h.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// write puts a file into the archive.
func write(t testing.TB, a *Archive, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.Dir(), name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, a *Archive, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(a.Dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
