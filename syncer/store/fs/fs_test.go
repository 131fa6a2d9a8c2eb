package fs_test

import (
	"crypto/sha256"
	"errors"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
	"github.com/recoverd/recoverd/syncer/store/storetest"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(dieIn); root != "" {
		dieWriting(root)
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	for _, cfg := range []fs.Config{
		{Layout: store.Flat, Durability: fs.Syncfs},
		{Layout: store.Fanout, Durability: fs.Fdatasync},
	} {
		t.Run(cfg.Layout.String()+"/"+cfg.Durability.String(), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Medium { return medium(t, cfg, t.TempDir()) })
		})
	}
	// In memory, where drafts need no name. On a disk that depends on the file system.
	for name, cfg := range map[string]fs.Config{
		"nameless/flat": {Layout: store.Flat}, "nameless/fanout": {Layout: store.Fanout},
		"named/fanout": fs.Named(fs.Config{Layout: store.Fanout}),
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Medium {
				dir, err := os.MkdirTemp("/dev/shm", "recoverd-")
				if err != nil {
					t.Skip(err)
				}
				t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
				return medium(t, cfg, dir)
			})
		})
	}
}

// medium is a directory, and disks that are renamed in place of mounted.
func medium(t *testing.T, cfg fs.Config, dir string) storetest.Medium {
	cfg.Root = filepath.Join(dir, "store")
	away := cfg.Root + ".away"
	var open *fs.Store
	end := func() {
		if open != nil {
			check(t, open.Close())
		}
	}
	t.Cleanup(end)
	shardDir := func(shard uint32) string { return filepath.Join(cfg.Root, store.DirName(shard)) }
	file := func(shard uint32, id recovery.BlobID) string {
		if cfg.Layout == store.Fanout {
			return filepath.Join(shardDir(shard), id.String()[:2], id.String())
		}
		return filepath.Join(shardDir(shard), id.String())
	}
	return storetest.Medium{
		Open: func(t *testing.T, set storetest.Settings) storetest.Store {
			cfg.Create = !set.NoCreate
			s, err := fs.Open(cfg)
			check(t, err)
			open = s
			return s
		},
		Kill: end,
		Unmount: func() {
			check(t, os.Rename(cfg.Root, away))
			check(t, os.Mkdir(cfg.Root, 0o755))
		},
		Mount: func() {
			check(t, os.RemoveAll(cfg.Root))
			check(t, os.Rename(away, cfg.Root))
		},
		Wipe: func(shard uint32) {
			check(t, os.RemoveAll(shardDir(shard)))
			check(t, os.Mkdir(shardDir(shard), 0o755))
		},
		Remove: func(shard uint32) { check(t, os.RemoveAll(shardDir(shard))) },
		Swap: func(a, b uint32) {
			for _, move := range [][2]string{{shardDir(a), away}, {shardDir(b), shardDir(a)}, {away, shardDir(b)}} {
				check(t, os.Rename(move[0], move[1]))
			}
		},
		Plant: func(shard uint32, id recovery.BlobID, data []byte) {
			check(t, os.MkdirAll(filepath.Dir(file(shard, id)), 0o755))
			check(t, os.WriteFile(file(shard, id), data, 0o644))
		},
		Read: func(shard uint32, id recovery.BlobID) ([]byte, bool) {
			data, err := os.ReadFile(file(shard, id))
			if errors.Is(err, iofs.ErrNotExist) {
				return nil, false
			}
			check(t, err)
			return data, true
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request owns shards 0 to n-1, striped: every shard takes a piece of every blob.
func request(n uint32) recovery.StoreRequest {
	return recovery.StoreRequest{Network: "testnet", TotalShards: 8, Placement: shards.Striped, Owned: shards.Range(0, n-1)}
}

// openStore opens and prepares a store for the request.
func openStore(t testing.TB, cfg fs.Config, req recovery.StoreRequest) *fs.Store {
	t.Helper()
	cfg.Create = true
	s, err := fs.Open(cfg)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	_, err = s.Prepare(t.Context(), req)
	check(t, err)
	return s
}

func pieceOf(data []byte, shard uint32) syncer.Piece {
	id := sha256.Sum256(data)
	return syncer.Piece{Shard: shard, Blob: recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}}
}

// seal writes a draft of the piece.
func seal(t testing.TB, s *fs.Store, p syncer.Piece, data []byte) syncer.Draft {
	t.Helper()
	d, err := s.Create(t.Context(), p, int64(len(data)))
	check(t, err)
	_, err = d.Write(data)
	check(t, err)
	check(t, d.Seal())
	return d
}

// put stores the piece durably.
func put(t testing.TB, s *fs.Store, p syncer.Piece, data []byte) {
	t.Helper()
	finish(t, seal(t, s, p, data))
}

// finish makes sealed drafts of one volume pieces.
func finish(t testing.TB, drafts ...syncer.Draft) {
	t.Helper()
	check(t, drafts[0].Volume().Flush(drafts, nil))
	for _, d := range drafts {
		check(t, d.Publish())
	}
	check(t, drafts[0].Volume().Flush(nil, drafts))
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]fs.Config{
		"no root":        {},
		"bad layout":     {Root: "x", Layout: 9},
		"bad durability": {Root: "x", Durability: 9},
		"no memory":      {Root: "x", ListingMemory: 100},
		"many listers":   {Root: "x", Listers: 1000},
	} {
		if _, err := fs.Open(cfg); !errors.Is(err, fs.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, d := range []fs.Durability{fs.DurabilityAuto, fs.Syncfs, fs.Fdatasync} {
		if back, err := fs.ParseDurability(d.String()); err != nil || back != d {
			t.Errorf("%s reads back as %s, %v", d, back, err)
		}
	}
	if _, err := fs.ParseDurability("hope"); !errors.Is(err, fs.ErrDurability) {
		t.Errorf("an unknown durability: %v", err)
	}
}

// A missing parent is more often than not a disk that is not mounted.
func TestParentOfRootIsNotMade(t *testing.T) {
	cfg := fs.Config{Root: filepath.Join(t.TempDir(), "disk", "store"), Create: true}
	s, err := fs.Open(cfg)
	check(t, err)
	defer s.Close()
	if _, err := s.Prepare(t.Context(), request(1)); !errors.Is(err, iofs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	check(t, os.Mkdir(filepath.Dir(cfg.Root), 0o755))
	if _, err := s.Prepare(t.Context(), request(1)); err != nil {
		t.Errorf("with the parent there: %v", err)
	}
}

// Damage to a marker is loud; it is never taken for a missing one.
func TestDamagedMarkers(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	check(t, openStore(t, fs.Config{Root: root}, request(2)).Close())
	for _, marker := range []string{".recoverd", "1/.recoverd"} {
		path := filepath.Join(root, marker)
		good, err := os.ReadFile(path)
		check(t, err)
		for name, data := range map[string][]byte{
			"empty": {}, "cut": good[:len(good)/2], "huge": make([]byte, 1<<20),
		} {
			check(t, os.WriteFile(path, data, 0o644))
			s, err := fs.Open(fs.Config{Root: root, Create: true})
			check(t, err)
			_, err = s.Prepare(t.Context(), request(2))
			if !errors.Is(err, store.ErrMarker) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v", marker, name, err)
			}
			check(t, s.Close())
		}
		check(t, os.WriteFile(path, good, 0o644))
	}
}

// Hazard 49: leftovers go when their shard is first prepared, and nothing else.
func TestLeftovers(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root}, request(1))
	put(t, s, pieceOf([]byte("stored"), 0), []byte("stored"))
	seal(t, s, pieceOf([]byte("under way"), 0), []byte("under way"))
	check(t, s.Close())
	for name, kept := range map[string]bool{".tmp/0123456789abcdef": false, ".tmp/mine": true, "notes.txt": true} {
		check(t, os.WriteFile(filepath.Join(root, "0", name), nil, 0o644))
		t.Cleanup(func() {
			if _, err := os.Lstat(filepath.Join(root, "0", name)); (err == nil) != kept {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	check(t, os.Mkdir(filepath.Join(root, "0", ".tmp", "00000000000000aa"), 0o755))
	s = openStore(t, fs.Config{Root: root}, request(1))
	mine := seal(t, s, pieceOf([]byte("under way"), 0), []byte("under way"))
	_, err := s.Prepare(t.Context(), request(2)) // must not take it for a leftover
	check(t, err)
	check(t, mine.Volume().Flush([]syncer.Draft{mine}, nil))
	check(t, mine.Publish())
	var names []string
	entries, err := os.ReadDir(filepath.Join(root, "0", ".tmp"))
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "00000000000000aa mine" {
		t.Errorf("left: %s", got)
	}
}

func TestAcceptTakesOverShardsOfAnotherRoot(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root}, request(2))
	first, err := s.Prepare(t.Context(), request(2))
	check(t, err)
	put(t, s, pieceOf([]byte("stored"), 1), []byte("stored"))
	check(t, s.Close())
	check(t, os.Remove(filepath.Join(root, ".recoverd"))) // its disk was replaced
	req := request(2)
	req.Identity, req.Claimed = first.Identity, req.Owned
	s, err = fs.Open(fs.Config{Root: root, Create: true})
	check(t, err)
	defer s.Close()
	if _, err := s.Prepare(t.Context(), req); !errors.Is(err, store.ErrEmpty) {
		t.Fatalf("without the root's marker: %v", err)
	}
	accepted, err := s.Accept(t.Context(), req)
	check(t, err)
	if accepted.Identity == first.Identity || !accepted.Foreign || accepted.Wiped.Len() != 2 {
		t.Errorf("accepted: %+v", accepted)
	}
	if ok, err := s.Has(t.Context(), pieceOf([]byte("stored"), 1)); err != nil || !ok {
		t.Errorf("the piece that is there: %v, %v", ok, err)
	}
}

// Somebody tidied up the empty directories.
func TestRemovedFan(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root, Layout: store.Fanout, Durability: fs.Fdatasync}, request(1))
	p := pieceOf([]byte("x"), 0)
	put(t, s, p, []byte("x"))
	check(t, os.RemoveAll(filepath.Join(root, "0", p.Blob.ID.String()[:2])))
	put(t, s, p, []byte("x"))
	if ok, err := s.Has(t.Context(), p); err != nil || !ok {
		t.Errorf("Has: %v, %v", ok, err)
	}
}
