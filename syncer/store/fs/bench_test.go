package fs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// BenchmarkMark marks a whole catalog, nine in ten of it stored, in pages of
// 1,024 rows: by listings, and by a stat for each row on as many goroutines. The
// directories are in the page cache. RECOVERD_BENCH_FILES sets the number of rows,
// default 100,000. The store is kept for all rounds.
func BenchmarkMark(b *testing.B) {
	for _, c := range []struct {
		layout store.Layout
		shards uint32
	}{{store.Flat, 1}, {store.Flat, 8}, {store.Fanout, 1}, {store.Fanout, 8}} {
		b.Run(fmt.Sprintf("%s/shards=%d", c.layout, c.shards), func(b *testing.B) {
			root := filepath.Join(b.TempDir(), "store")
			req := recovery.StoreRequest{Network: "n", TotalShards: c.shards, Placement: shards.Hashed, Owned: shards.Range(0, c.shards-1)}
			s := openStore(b, fs.Config{Root: root, Layout: c.layout, Listers: 2}, req)
			rows := benchRows(b, root, c.layout, c.shards)
			b.Run("listing", func(b *testing.B) {
				for b.Loop() {
					_, err := s.Prepare(b.Context(), req)
					check(b, err)
					for page := range slices.Chunk(rows, 1024) {
						check(b, s.Mark(b.Context(), page))
					}
				}
				report(b, rows)
			})
			b.Run("stat", func(b *testing.B) {
				dirs := make([]*os.File, c.shards)
				for i := range dirs {
					var err error
					dirs[i], err = os.Open(filepath.Join(root, strconv.Itoa(i)))
					check(b, err)
					defer dirs[i].Close()
				}
				for b.Loop() {
					for page := range slices.Chunk(rows, 1024) {
						check(b, statAll(b.Context(), dirs, c.layout, page))
					}
				}
				report(b, rows)
			})
		})
	}
}

// report checks that the answer is right before it is praised for its speed.
func report(b *testing.B, rows []recovery.Row) {
	for i, r := range rows {
		if r.Stored != (i%10 != 0) {
			b.Fatalf("row %d: stored is %v", i, r.Stored)
		}
	}
	b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "ids/s")
	b.ReportMetric(0, "ns/op")
}

func benchRows(b *testing.B, root string, layout store.Layout, total uint32) []recovery.Row {
	n := 100_000
	if text := os.Getenv("RECOVERD_BENCH_FILES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		check(b, err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	rows := make([]recovery.Row, n)
	for i := range rows {
		for w := 0; w < 32; w += 8 {
			binary.BigEndian.PutUint64(rows[i].ID[w:], rnd.Uint64())
		}
		rows[i].Encoding = recovery.Raw
	}
	sorted(rows)
	made := map[string]bool{}
	for _, i := range rnd.Perm(n) {
		if i%10 == 0 {
			continue
		}
		path := benchPath(root, layout, total, rows[i].ID)
		if dir := filepath.Dir(path); !made[dir] {
			check(b, os.MkdirAll(dir, 0o755))
			made[dir] = true
		}
		f, err := os.Create(path)
		check(b, err)
		check(b, f.Close())
	}
	return rows
}

func benchPath(root string, layout store.Layout, total uint32, id recovery.BlobID) string {
	dir := filepath.Join(root, strconv.Itoa(int(shards.Home(id, total))))
	if layout == store.Fanout {
		dir = filepath.Join(dir, id.String()[:2])
	}
	return filepath.Join(dir, id.String())
}

// statAll is the plain way at its best: two goroutines, and a call for each row
// that begins at the shard's open directory.
func statAll(ctx context.Context, dirs []*os.File, layout store.Layout, rows []recovery.Row) error {
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for g, part := range [][]recovery.Row{rows[:len(rows)/2], rows[len(rows)/2:]} {
		wg.Go(func() {
			var st unix.Stat_t
			for i := range part {
				dir := dirs[shards.Home(part[i].ID, uint32(len(dirs)))]
				name := part[i].ID.String()
				if layout == store.Fanout {
					name = name[:2] + "/" + name
				}
				err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
				part[i].Stored = err == nil
				if err != nil && err != unix.ENOENT {
					errs[g] = err
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
