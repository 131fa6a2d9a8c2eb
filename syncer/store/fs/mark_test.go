package fs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// With memory for a small part of a listing, pages of any size get the same
// answers as with enough of it.
func TestMarkWithLittleMemory(t *testing.T) {
	for _, layout := range []store.Layout{store.Flat, store.Fanout} {
		t.Run(layout.String(), func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "store")
			s := openStore(t, fs.Config{Root: root, Layout: layout, ListingMemory: 64 << 10}, request(2))
			rows := manyRows(1500)
			for i, r := range rows {
				for shard := range 2 {
					if i%5 > shard { // one in five on no shard, one in five on shard 0 only
						plant(t, root, layout, shard, r.ID)
					}
				}
			}
			for _, page := range []int{1500, 400, 70, 10} {
				_, err := s.Prepare(t.Context(), request(2))
				check(t, err)
				for part := range slices.Chunk(rows, page) {
					check(t, s.Mark(t.Context(), part))
				}
				for i, r := range rows {
					if want := i%5 > 1; r.Stored != want {
						t.Fatalf("pages of %d, row %d: stored is %v, want %v", page, i, r.Stored, want)
					}
					rows[i].Stored = !r.Stored
				}
			}
		})
	}
}

func manyRows(n int) []recovery.Row {
	rows := make([]recovery.Row, n)
	for i := range rows {
		rows[i].Blob = pieceOf(binary.BigEndian.AppendUint32(nil, uint32(i)), 0).Blob
	}
	return sorted(rows)
}

func plant(t *testing.T, root string, layout store.Layout, shard int, id recovery.BlobID) {
	path := filepath.Join(root, fmt.Sprint(shard), id.String())
	if layout == store.Fanout {
		path = filepath.Join(root, fmt.Sprint(shard), id.String()[:2], id.String())
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	}
	check(t, os.WriteFile(path, nil, 0o644))
}

// Everything at once: the race detector's part of the tests.
func TestManyCallers(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root, Layout: store.Fanout}, request(2))
	rows := manyRows(300)
	var wg sync.WaitGroup
	var flushing sync.Mutex // one at a time (syncer.Volume)
	errs := make(chan error, 64)
	for caller := range 3 {
		wg.Go(func() {
			mine := slices.Clone(rows)
			for range 5 {
				_, err := s.Prepare(t.Context(), request(uint32(1+caller)))
				errs <- err
				errs <- s.Mark(t.Context(), mine)
				_, err = s.Room(t.Context())
				errs <- err
			}
		})
		wg.Go(func() {
			data := []byte{byte(caller)}
			p := pieceOf(data, 0)
			errs <- store1(t.Context(), s, p, data, &flushing)
			_, err := s.Has(t.Context(), p)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		check(t, err)
	}
}

// store1 stores one piece, from a goroutine that may not end the test.
func store1(ctx context.Context, s *fs.Store, p syncer.Piece, data []byte, flushing *sync.Mutex) error {
	flush := func(v syncer.Volume, data, names []syncer.Draft) error {
		flushing.Lock()
		defer flushing.Unlock()
		return v.Flush(data, names)
	}
	d, err := s.Create(ctx, p, int64(len(data)))
	if err != nil {
		return err
	}
	_, err = d.Write(data)
	err = errors.Join(err, d.Seal(), flush(d.Volume(), []syncer.Draft{d}, nil))
	return errors.Join(err, d.Publish(), flush(d.Volume(), nil, []syncer.Draft{d}))
}
