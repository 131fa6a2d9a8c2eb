package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a store of plain files that can also lie.
type shelf struct {
	dir string

	mu   sync.Mutex
	errs map[recovery.BlobID]error
	// after is called with each id that was opened, after it was.
	after func(recovery.BlobID)
}

func (s *shelf) Open(_ uint32, id recovery.BlobID) (*os.File, int64, error) {
	s.mu.Lock()
	err := s.errs[id]
	s.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(filepath.Join(s.dir, id.String()))
	if err != nil {
		return nil, 0, err
	}
	if s.after != nil {
		s.after(id)
	}
	info, err := f.Stat()
	return f, info.Size(), err
}

// newShelf stores n blobs, and returns their rows in order.
func newShelf(t *testing.T, n int) (*shelf, []recovery.Row) {
	t.Helper()
	s := &shelf{dir: t.TempDir(), errs: map[recovery.BlobID]error{}}
	var rows []recovery.Row
	for i := range n {
		data := fmt.Appendf(nil, "blob %d", i)
		id := recovery.BlobID(sha256.Sum256(data))
		if err := os.WriteFile(filepath.Join(s.dir, id.String()), data, 0o600); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, recovery.Row{Blob: recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}, EndEpoch: 10})
	}
	slices.SortFunc(rows, func(a, b recovery.Row) int { return a.ID.Compare(b.ID) })
	return s, rows
}

func (s *shelf) config() Config {
	return Config{Store: s, Placement: shards.Hashed, TotalShards: 1, Owned: shards.SetOf(0), Epoch: 5, Concurrency: 3}
}

func yielding(rows []recovery.Row, last error) iter.Seq2[recovery.Row, error] {
	return func(yield func(recovery.Row, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if last != nil {
			yield(recovery.Row{}, last)
		}
	}
}

// Every blob is reported once and in order, whoever was quicker, with what is wrong.
func TestRunReportsInOrder(t *testing.T) {
	s, rows := newShelf(t, 200)
	rows[7].EndEpoch = 5 // the present epoch: it need not be stored
	want := map[recovery.BlobID]Finding{}
	spoil := func(i int, err error, f Finding) {
		f.ID = rows[i].ID
		s.errs[f.ID], want[f.ID] = err, f
	}
	spoil(3, fs.ErrNotExist, Finding{Kind: Missing})
	spoil(20, fmt.Errorf("a door is %w", store.ErrIrregular), Finding{Kind: Irregular, Err: "a door is not a regular file"})
	spoil(21, syscall.EIO, Finding{Kind: Unreadable, Err: "input/output error"})
	spoil(22, fs.ErrPermission, Finding{Kind: Unreadable, Err: "permission denied", Denied: true})
	spoil(30, nil, Finding{Kind: WrongSize, Want: 99, Have: rows[30].Size})
	rows[30].Size = 99
	spoil(31, nil, Finding{Kind: Rotten})
	rows[31].Digest[0] ^= 1
	got, at := map[recovery.BlobID]Finding{}, 0
	err := Run(t.Context(), s.config(), yielding(rows, nil), func(c Checked) error {
		if c.ID != rows[at].ID || c.Expired != (at == 7) || (c.Pieces == 1) == c.Expired {
			t.Errorf("blob %d: %+v", at, c)
		}
		at++
		for _, f := range c.Findings {
			got[f.ID] = f
		}
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil || at != 200 {
		t.Errorf("%d blobs, %v (-want +got):\n%s", at, err, diff)
	}
	for id, f := range got {
		if mendable := f.Kind != Irregular && !f.Denied; f.Mendable() != mendable {
			t.Errorf("%v: mendable %t", id, f.Mendable())
		}
	}
}

// A piece that is replaced while it is read is not called rotten.
func TestRunLooksTwice(t *testing.T) {
	s, rows := newShelf(t, 1)
	path := filepath.Join(s.dir, rows[0].ID.String())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, len(good)), 0o600); err != nil {
		t.Fatal(err)
	}
	opened := 0
	s.after = func(recovery.BlobID) { // the old file is open: now the new one takes its name
		if opened++; opened == 1 {
			if err := errors.Join(os.WriteFile(path+".new", good, 0o600), os.Rename(path+".new", path)); err != nil {
				t.Error(err)
			}
		}
	}
	err = Run(t.Context(), s.config(), yielding(rows, nil), func(c Checked) error {
		if len(c.Findings) > 0 {
			t.Errorf("found %+v", c.Findings)
		}
		return nil
	})
	if err != nil || opened != 2 {
		t.Errorf("%v after %d looks", err, opened)
	}
}

// What says nothing about a piece ends the audit; nothing beyond it is reported, and
// nobody is left behind.
func TestRunEnds(t *testing.T) {
	errStop := errors.New("stop")
	for name, tc := range map[string]struct {
		rows   error // of the catalog, after all rows
		open   error
		report error
		want   error
	}{
		"the catalog cannot be read": {rows: errStop, want: errStop},
		"too many open files":        {open: syscall.EMFILE, want: syscall.EMFILE},
		"the report cannot be given": {report: errStop, want: errStop},
	} {
		t.Run(name, func(t *testing.T) {
			s, rows := newShelf(t, 100)
			if tc.open != nil {
				s.errs[rows[50].ID] = tc.open
			}
			seen := 0
			err := Run(t.Context(), s.config(), yielding(rows, tc.rows), func(Checked) error {
				if seen++; seen == 50 {
					return tc.report
				}
				return nil
			})
			if !errors.Is(err, tc.want) || tc.open != nil && seen > 50 {
				t.Errorf("%v after %d blobs", err, seen)
			}
		})
	}
	s, rows := newShelf(t, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := s.config()
	cfg.BytesPerSecond = 1 // the first chunk is free; the rest would take minutes
	rows[90].Size = 1 << 20
	if err := os.WriteFile(filepath.Join(s.dir, rows[90].ID.String()), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(ctx, cfg, yielding(rows, nil), func(c Checked) error {
		if c.ID == rows[50].ID { // at most 27 are under way ahead of it: the large one comes later
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	s, _ := newShelf(t, 0)
	for name, change := range map[string]func(*Config){
		"no store": func(c *Config) { c.Store = nil }, "no placement": func(c *Config) { c.Placement = 0 },
		"striped too far": func(c *Config) { c.Placement, c.TotalShards = shards.Striped, shards.MaxStriped+1 },
		"no shards":       func(c *Config) { c.TotalShards = 0 }, "a shard too many": func(c *Config) { c.Owned = shards.SetOf(1) },
		"readers": func(c *Config) { c.Concurrency = 257 }, "bytes": func(c *Config) { c.BytesPerSecond = -1 },
	} {
		cfg := s.config()
		change(&cfg)
		if err := Run(t.Context(), cfg, yielding(nil, nil), nil); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lists is a Listing whose stretches are short, so that they end at odd places.
type lists map[uint32][]recovery.BlobID

func (l lists) Shards() (numbers []uint32, err error) {
	for n := range l {
		if n != store.Manifests {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

func (l lists) HasShard(shard uint32) (bool, error) {
	_, there := l[shard]
	return there, nil
}

func (l lists) List(_ context.Context, shard uint32, from recovery.BlobID, _ int, ids []recovery.BlobID) ([]recovery.BlobID, recovery.Mark, error) {
	ids = ids[:0]
	for _, id := range l[shard] {
		switch {
		case id.Compare(from) < 0:
		case len(ids) == min(int(shard), 5)+1:
			return ids, recovery.MarkAt(id), nil
		default:
			ids = append(ids, id)
		}
	}
	return ids, recovery.MarkEnd(), nil
}

func (l lists) Strays(_ context.Context, shard uint32, fn func(path, kind string) error) error {
	if shard == 2 {
		return fn("2/x", "regular file")
	}
	return nil
}

// What need not be stored is found wherever the stretches of the listings end.
func TestFindNeedless(t *testing.T) {
	_, rows := newShelf(t, 60)
	stored, want := lists{0: nil, 1: nil, 2: nil}, map[string]Kind{"2/x is a regular file": Stray}
	name := func(shard uint32, id recovery.BlobID) string { return fmt.Sprintf("%d/%v", shard, id) }
	var certified []recovery.Row
	for i, row := range rows {
		home := shards.Home(row.ID, 3)
		stored[home] = append(stored[home], row.ID)
		switch {
		case home == 2:
			want[name(2, row.ID)] = NotOwned
		case i%5 == 0:
			want[name(home, row.ID)] = NotCertified
			continue
		case i%7 == 0:
			want[name(home, row.ID)] = NotCertified
			row.EndEpoch = 5
		case i%11 == 0:
			stored[1-home] = append(stored[1-home], row.ID)
			want[name(1-home, row.ID)] = Misplaced
		}
		certified = append(certified, row)
	}
	cfg := Config{Store: &shelf{}, Placement: shards.Hashed, TotalShards: 3, Owned: shards.SetOf(0, 1), Epoch: 5}
	got := map[string]Kind{}
	err := FindNeedless(t.Context(), cfg, stored, yielding(certified, nil), func(f Finding) error {
		key := name(f.Shard, f.ID)
		if f.Kind == Stray {
			key = f.Err
		}
		if got[key] != "" {
			t.Errorf("%s twice", key)
		}
		got[key] = f.Kind
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	errRead := errors.New("cannot be read")
	if err := FindNeedless(t.Context(), cfg, stored, yielding(nil, errRead), func(Finding) error { return nil }); !errors.Is(err, errRead) {
		t.Errorf("a catalog that ends early is taken for one that certifies nothing: %v", err)
	}
}
