package fs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// intruders are what somebody may have put in a file's place. Each makes path,
// and names what it is.
func intruders(t *testing.T) map[string]func(path string) {
	target := filepath.Join(t.TempDir(), "target")
	check(t, os.WriteFile(target, []byte("secret"), 0o600))
	return map[string]func(string){
		"symbolic link": func(path string) { check(t, os.Symlink(target, path)) },
		"named pipe":    func(path string) { check(t, unix.Mkfifo(path, 0o644)) },
		"directory":     func(path string) { check(t, os.Mkdir(path, 0o755)) },
	}
}

func TestSymlinkedShard(t *testing.T) {
	for name, target := range map[string]string{"out of the root": "../elsewhere", "inside of the root": "1"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := filepath.Join(dir, "store")
			check(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o755))
			check(t, openStore(t, fs.Config{Root: root}, request(3)).Close())
			check(t, os.RemoveAll(filepath.Join(root, "2")))
			check(t, os.Symlink(target, filepath.Join(root, "2")))
			s, err := fs.Open(fs.Config{Root: root, Create: true})
			check(t, err)
			defer s.Close()
			_, err = s.Prepare(t.Context(), request(3))
			if err == nil || !strings.Contains(err.Error(), "shard 2") || !strings.Contains(err.Error(), "symbolic link") {
				t.Errorf("got %v", err)
			}
			if got, err := os.ReadDir(filepath.Join(dir, "elsewhere")); err != nil || len(got) > 0 {
				t.Errorf("written there: %v, %v", got, err)
			}
		})
	}
}

func TestIntruderAtFinalName(t *testing.T) {
	for _, layout := range []store.Layout{store.Flat, store.Fanout} {
		for kind, make := range intruders(t) {
			t.Run(layout.String()+"/"+kind, func(t *testing.T) {
				root := filepath.Join(t.TempDir(), "store")
				s := openStore(t, fs.Config{Root: root, Layout: layout}, request(1))
				rows := make100Rows()
				p := pieceOf([]byte("secret"), 0)
				path := filepath.Join(root, "0", p.Blob.ID.String())
				if layout == store.Fanout {
					path = filepath.Join(root, "0", p.Blob.ID.String()[:2], p.Blob.ID.String())
					check(t, os.MkdirAll(filepath.Dir(path), 0o755))
				}
				make(path)
				ok, err := s.Has(t.Context(), p)
				if ok || err == nil || !strings.Contains(err.Error(), kind) {
					t.Errorf("Has: %v, %v", ok, err)
				}
				for _, r := range [][]recovery.Row{{{Blob: p.Blob}}, withRow(rows, p.Blob)} {
					check(t, s.Mark(t.Context(), r))
					for _, row := range r {
						if row.Stored {
							t.Errorf("of %d rows, %s is stored", len(r), row.ID)
						}
					}
				}
				r, err := fs.OpenReader(t.Context(), root)
				check(t, err)
				defer r.Close()
				if _, _, err := r.Open(0, p.Blob.ID); err == nil || !strings.Contains(err.Error(), kind) {
					t.Errorf("opened for reading: %v", err)
				}
				check(t, r.Walk(t.Context(), func(shard uint32, id recovery.BlobID, size int64) error {
					t.Errorf("walked over %s", id)
					return nil
				}))
			})
		}
	}
}

// In the place of a sub-directory there may be something else, too.
func TestIntruderAtFan(t *testing.T) {
	for kind, make := range intruders(t) {
		if kind == "directory" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "store")
			s := openStore(t, fs.Config{Root: root, Layout: store.Fanout}, request(1))
			p := pieceOf([]byte("x"), 0)
			make(filepath.Join(root, "0", p.Blob.ID.String()[:2]))
			d := seal(t, s, p, []byte("x"))
			check(t, d.Volume().Flush([]syncer.Draft{d}, nil))
			if err := d.Publish(); err == nil || !strings.Contains(err.Error(), kind) {
				t.Errorf("publish: %v", err)
			}
			check(t, d.Discard())
			if err := s.Mark(t.Context(), withRow(make100Rows(), p.Blob)); err == nil || !strings.Contains(err.Error(), kind) {
				t.Errorf("mark: %v", err)
			}
		})
	}
}

func TestIntruderAtTempName(t *testing.T) {
	for kind, make := range intruders(t) {
		for _, way := range []fs.Durability{fs.Syncfs, fs.Fdatasync} {
			t.Run(kind+"/"+way.String(), func(t *testing.T) {
				root := filepath.Join(t.TempDir(), "store")
				s := openStore(t, fs.Named(fs.Config{Root: root, Durability: way}), request(1))
				p := pieceOf([]byte("x"), 0)
				d := seal(t, s, p, []byte("x"))
				temps, err := filepath.Glob(filepath.Join(root, "0", ".tmp", "*"))
				if err != nil || len(temps) != 1 {
					t.Fatalf("temporary names: %v, %v", temps, err)
				}
				check(t, os.Remove(temps[0]))
				make(temps[0])
				check(t, d.Volume().Flush([]syncer.Draft{d}, nil))
				if err := d.Publish(); err == nil || !strings.Contains(err.Error(), kind) {
					t.Errorf("publish: %v", err)
				}
				if ok, err := s.Has(t.Context(), p); ok || err != nil {
					t.Errorf("what is not ours has the final name: %v, %v", ok, err)
				}
				check(t, s.Close())
				openStore(t, fs.Config{Root: root}, request(1))
				if _, err := os.Lstat(temps[0]); err != nil {
					t.Errorf("what is not ours was cleaned up: %v", err)
				}
			})
		}
	}
}

func TestIntruderAtMarkerAndLock(t *testing.T) {
	for _, at := range []string{".recoverd", ".recoverd.lock", "0/.recoverd"} {
		for kind, make := range intruders(t) {
			t.Run(at+"/"+kind, func(t *testing.T) {
				root := t.TempDir()
				check(t, os.Mkdir(filepath.Join(root, "0"), 0o755))
				make(filepath.Join(root, at))
				s, err := fs.Open(fs.Config{Root: root, Create: true})
				check(t, err)
				defer s.Close()
				if _, err = s.Prepare(t.Context(), request(1)); err == nil {
					t.Error("it was prepared all the same")
				}
			})
		}
	}
}

// A shard number is written in one way only, and ids are lower-case.
func TestOtherNamesArePassedOver(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	p := pieceOf([]byte("x"), 0)
	s := openStore(t, fs.Config{Root: root}, request(1))
	for _, name := range []string{
		strings.ToUpper(p.Blob.ID.String()), p.Blob.ID.String() + ".part", p.Blob.ID.String()[:63], ".hidden", "lost+found",
	} {
		check(t, os.WriteFile(filepath.Join(root, "0", name), []byte("x"), 0o644))
	}
	for _, name := range []string{"00", "+1", "65536", "x"} {
		check(t, os.Mkdir(filepath.Join(root, name), 0o755))
	}
	check(t, s.Mark(t.Context(), withRow(make100Rows(), p.Blob)))
	r, err := fs.OpenReader(t.Context(), root)
	check(t, err)
	defer r.Close()
	if got, err := r.Shards(); err != nil || len(got) != 1 {
		t.Errorf("shards %v, %v", got, err)
	}
	check(t, r.Walk(t.Context(), func(_ uint32, id recovery.BlobID, _ int64) error {
		return errors.New("walked over " + id.String())
	}))
}
