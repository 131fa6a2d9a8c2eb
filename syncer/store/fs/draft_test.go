package fs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// inMemory returns a directory on a file system that knows files without a name, or
// skips the test.
func inMemory(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "memory")
	check(t, os.Mkdir(dir, 0o755))
	tmpfs(t, dir, "size=16m")
	return filepath.Join(dir, "store")
}

func commit(t *testing.T, d syncer.Draft) {
	t.Helper()
	check(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	check(t, d.Publish())
	check(t, d.Volume().Flush(nil, []syncer.Draft{d}))
}

// Hazard 49: a draft without a name leaves nothing, wherever it ends; and all of them
// give their descriptors back.
func TestLeftoversOfNamelessDrafts(t *testing.T) {
	for _, layout := range []store.Layout{store.Flat, store.Fanout} {
		s := recorded(t, Config{Root: inMemory(t), Layout: layout, Durability: Fdatasync}, unix.Syncfs)
		_, err := s.Prepare(t.Context(), request(1))
		check(t, err)
		names := func() []string {
			all, err := filepath.Glob(filepath.Join(s.cfg.Root, "0", "[0-9a-f]*"))
			check(t, err)
			temps, err := filepath.Glob(filepath.Join(s.cfg.Root, "0", ".tmp", "*"))
			check(t, err)
			return append(all, temps...)
		}
		d := sealedDraft(t, s, piece(1, 0))
		if d.(*draft).temp != "" || len(names()) != 0 || s.kept.now.Load() != 1 {
			t.Errorf("%s: under way: %v, %d open", layout, names(), s.kept.now.Load())
		}
		check(t, d.Discard())
		commit(t, sealedDraft(t, s, piece(1, 0)))
		for range 2 { // in place of the one before
			commit(t, sealedDraft(t, s, piece(1, 0)))
		}
		if len(names()) != 1 || s.kept.now.Load() != 0 {
			t.Errorf("%s: at the end: %v, %d open", layout, names(), s.kept.now.Load())
		}
	}
}

// When too many files are open drafts get names, and are closed until they are
// flushed.
func TestDraftsBeyondTheDescriptors(t *testing.T) {
	for _, way := range []Durability{Syncfs, Fdatasync} {
		s := recorded(t, Config{Root: inMemory(t), Durability: way}, unix.Syncfs)
		s.kept.most = 2
		_, err := s.Prepare(t.Context(), request(1))
		check(t, err)
		var group []syncer.Draft
		open := 0
		for n := range 5 {
			d := sealedDraft(t, s, piece(uint64(n+1), 0))
			group = append(group, d)
			if d.(*draft).sheet.open {
				open++
			}
		}
		if open != 2 {
			t.Errorf("%s: %d of 5 drafts are open", way, open)
		}
		v := group[0].Volume()
		check(t, v.Flush(group, nil))
		for _, d := range group {
			check(t, d.Publish())
		}
		check(t, v.Flush(nil, group))
		for n := range 5 {
			if ok, err := s.Has(t.Context(), piece(uint64(n+1), 0)); !ok || err != nil {
				t.Errorf("%s: piece %d: %v, %v", way, n, ok, err)
			}
		}
		if s.kept.now.Load() != 0 {
			t.Errorf("%s: %d are taken for open", way, s.kept.now.Load())
		}
	}
}

// Somebody removes the directory for temporary names under way.
func TestTempDirRemoved(t *testing.T) {
	s := recorded(t, Config{Root: filepath.Join(t.TempDir(), "store"), named: true}, unix.Syncfs)
	_, err := s.Prepare(t.Context(), request(1))
	check(t, err)
	lost := sealedDraft(t, s, piece(1, 0))
	check(t, os.RemoveAll(filepath.Join(s.cfg.Root, "0", store.TempDir)))
	check(t, lost.Volume().Flush([]syncer.Draft{lost}, nil))
	if err := lost.Publish(); err == nil {
		t.Error("a file that was removed was published")
	}
	check(t, lost.Discard())
	commit(t, sealedDraft(t, s, piece(1, 0)))
}

func TestNamelessIsRefusedOnce(t *testing.T) {
	var n nameless
	for _, err := range []error{unix.EIO, unix.ENOSPC, unix.EMFILE, unix.EROFS, unix.EDQUOT, unix.EEXIST} {
		if n.refuses(err) {
			t.Errorf("%v is taken for a refusal", err)
		}
	}
	if !n.refuses(errors.Join(unix.EOPNOTSUPP)) || !n.refused.Load() {
		t.Error("a refusal is not remembered")
	}
	if _, ok, err := n.create(-1); ok || err != nil {
		t.Errorf("asked again: %v, %v", ok, err)
	}
	closed := handle{}
	check(t, closed.close())
	if err := closed.use(func() (*os.File, error) { return os.Open("/") }, func(int) error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("use of a closed handle: %v", err)
	}
}
