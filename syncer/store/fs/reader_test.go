package fs_test

import (
	"encoding/binary"
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// make100Rows returns 100 rows of blobs that are stored nowhere.
func make100Rows() []recovery.Row {
	rows := make([]recovery.Row, 100)
	for i := range rows {
		rows[i].Blob = pieceOf(binary.BigEndian.AppendUint64([]byte("absent"), uint64(i)), 0).Blob
	}
	return sorted(rows)
}

func withRow(rows []recovery.Row, b recovery.Blob) []recovery.Row {
	return sorted(append(slices.Clone(rows), recovery.Row{Blob: b}))
}

func sorted(rows []recovery.Row) []recovery.Row {
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	return rows
}

func TestReader(t *testing.T) {
	for _, layout := range []store.Layout{store.Flat, store.Fanout} {
		t.Run(layout.String(), func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "store")
			s := openStore(t, fs.Config{Root: root, Layout: layout}, request(3))
			type found struct {
				Shard uint32
				ID    recovery.BlobID
				Size  int64
			}
			var want []found
			var drafts []syncer.Draft
			for i := range 300 {
				data := make([]byte, 8+i)
				binary.BigEndian.PutUint64(data, uint64(i))
				p := pieceOf(data, uint32(i%3))
				drafts = append(drafts, seal(t, s, p, data))
				want = append(want, found{p.Shard, p.Blob.ID, p.Blob.Size})
			}
			finish(t, drafts...)
			slices.SortFunc(want, func(a, b found) int {
				if a.Shard != b.Shard {
					return int(a.Shard) - int(b.Shard)
				}
				return a.ID.Compare(b.ID)
			})

			r, err := fs.OpenReader(t.Context(), root) // while the store has the lock
			check(t, err)
			defer r.Close()
			var got []found
			check(t, r.Walk(t.Context(), func(shard uint32, id recovery.BlobID, size int64) error {
				got = append(got, found{shard, id, size})
				return nil
			}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, w := range want[:5] {
				f, size, err := r.Open(w.Shard, w.ID)
				check(t, err)
				data, err := io.ReadAll(f)
				check(t, errors.Join(err, f.Close()))
				if size != w.Size || pieceOf(data, 0).Blob.ID != w.ID {
					t.Errorf("%s: %d bytes, said to be %d", w.ID, len(data), size)
				}
			}
			if _, _, err := r.Open(0, recovery.BlobID{}); !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("a piece that is not there: %v", err)
			}
			if _, _, err := r.Open(7, recovery.BlobID{}); !errors.Is(err, iofs.ErrNotExist) {
				t.Errorf("a shard that is not there: %v", err)
			}
			stop := errors.New("stop")
			if err := r.Walk(t.Context(), func(uint32, recovery.BlobID, int64) error { return stop }); !errors.Is(err, stop) {
				t.Errorf("a walk that was stopped: %v", err)
			}
		})
	}
}

// A plan looks at a store that nobody has prepared for it.
func TestReaderInventory(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root}, request(1))
	p := pieceOf([]byte("x"), 0)
	put(t, s, p, []byte("x"))
	r, err := fs.OpenReader(t.Context(), root)
	check(t, err)
	defer r.Close()
	for n, want := range map[uint32]bool{1: true, 2: false} {
		inv, err := r.Inventory(fs.Config{}, request(n))
		check(t, err)
		for _, rows := range [][]recovery.Row{{{Blob: p.Blob}}, withRow(make100Rows(), p.Blob)} {
			check(t, inv.Mark(t.Context(), rows))
			for _, row := range rows {
				if row.Stored != (want && row.ID == p.Blob.ID) {
					t.Errorf("%d shards, %d rows: %s is stored: %v", n, len(rows), row.ID, row.Stored)
				}
			}
		}
	}
	bad := request(1)
	bad.Owned = shards.SetOf(8)
	if _, err := r.Inventory(fs.Config{}, bad); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("a shard beyond the total: %v", err)
	}
}

// A plain directory of somebody else's can be served as it is.
func TestReaderWithoutMarker(t *testing.T) {
	p := pieceOf([]byte("x"), 0)
	id := p.Blob.ID.String()
	for name, path := range map[string]string{"flat": id, "fanout": filepath.Join(id[:2], id)} {
		root := t.TempDir()
		file := filepath.Join(root, "0", path)
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte("x"), 0o644))
		r, err := fs.OpenReader(t.Context(), root)
		check(t, err)
		if _, ok := r.Marker(); ok {
			t.Errorf("%s: there is a marker", name)
		}
		f, size, err := r.Open(0, p.Blob.ID)
		if err != nil || size != 1 {
			t.Fatalf("%s: %d bytes, %v", name, size, err)
		}
		check(t, errors.Join(f.Close(), r.Close()))
		other := filepath.Join(root, "1", "ab")
		if name == "fanout" {
			other = filepath.Join(root, "1", id)
		}
		check(t, os.MkdirAll(other, 0o755))
		if _, err := fs.OpenReader(t.Context(), root); !errors.Is(err, recovery.ErrMisconfigured) {
			t.Errorf("%s and the other one beside it: %v", name, err)
		}
	}
}
