package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// network is a catalog, and a node that owns the first shards of it.
type network struct {
	catalog   string // path
	ownership string // path
	blobs     uint64
	total     uint32
	owned     uint32 // shards 0 to owned-1
}

// network makes a made-up catalog, or returns the one that was made before under
// that name. Its ids are the hash of nothing: blobs of it can be found, not
// fetched.
func (m *measurement) network(t testing.TB, name string, blobs uint64, total, owned uint32) network {
	t.Helper()
	n := network{catalog: filepath.Join(m.dir, name+".rsnap"), blobs: blobs, total: total, owned: owned}
	n.ownership = filepath.Join(m.dir, fmt.Sprintf("%s-%d-of-%d.yaml", name, owned, total))
	writeFile(t, n.ownership, fmt.Sprintf("epoch: 1\ntotal_shards: %d\nowned: \"0-%d\"\n", total, owned-1))
	if m.made == nil {
		m.made = map[string]network{}
	}
	if _, there := m.made[name]; !there {
		if _, err := snapshot.Synth(t.Context(), snapshot.SynthConfig{Blobs: blobs, Seed: 1}, n.catalog); err != nil {
			t.Fatal(err)
		}
	}
	m.made[name] = n
	return n
}

func (n network) ownedSet() shards.Set { return shards.Range(0, n.owned-1) }

// ids lists, in rising order, the blobs that the node has to hold.
func (n network) ids(t testing.TB) (ids []recovery.BlobID) {
	t.Helper()
	source, err := catalog.NewFile(catalog.FileConfig{Path: n.catalog})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := source.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	owned := n.ownedSet()
	for row, err := range catalog.Rows(t.Context(), source, recovery.Mark{}) {
		if err != nil {
			t.Fatal(err)
		}
		if shards.Hashed.Concerns(row.ID, n.total, owned) {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// store makes a store as recoverd itself would, with an empty file for each id:
// in a store of its own making a name proves the content (I5), so nobody looks
// at the size.
func (n network) store(t testing.TB, root string, ids []recovery.BlobID) {
	t.Helper()
	s, err := fs.Open(fs.Config{Root: root, Create: true, MinFree: 1, ExpectedPerShard: n.blobs / uint64(n.total)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Prepare(t.Context(), recovery.StoreRequest{
		Network: "synth", TotalShards: n.total, Placement: shards.Hashed, Owned: n.ownedSet(),
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	reader, err := fs.OpenReader(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	marker, _ := reader.Marker()
	if err := errors.Join(reader.Close(), createPieces(root, marker.Layout, n.total, ids), flushVolume(root)); err != nil {
		t.Fatal(err)
	}
}

// createPieces makes empty files under their final names, a shard at a time on
// each CPU: a directory takes one new name at a time.
func createPieces(root string, layout store.Layout, total uint32, ids []recovery.BlobID) error {
	shard := make(map[uint32][]recovery.BlobID)
	for _, id := range ids {
		home := shards.Home(id, total)
		shard[home] = append(shard[home], id)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for number, ids := range shard {
		group.Go(func() error { return createInShard(shardPath(root, number), layout, ids) })
	}
	return group.Wait()
}

func createInShard(path string, layout store.Layout, ids []recovery.BlobID) (err error) {
	dir, err := unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, unix.Close(dir)) }()
	for _, id := range ids {
		name := id.String()
		if layout == store.Fanout {
			if err := unix.Mkdirat(dir, name[:2], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("make %s/%s: %w", path, name[:2], err)
			}
			name = name[:2] + "/" + name
		}
		if err := unix.Mknodat(dir, name, unix.S_IFREG|0o644, 0); err != nil {
			return fmt.Errorf("make %s/%s: %w", path, name, err)
		}
	}
	return nil
}

func shardPath(root string, shard uint32) string {
	return root + "/" + strconv.FormatUint(uint64(shard), 10)
}

// flushVolume writes back what was made, so that nobody measures that.
func flushVolume(path string) error {
	dir, err := unix.Open(path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return errors.Join(unix.Syncfs(dir), unix.Close(dir))
}

// args are the arguments of `run` for the node.
func (n network) args(state, root, peer string, more ...string) []string {
	return append([]string{
		"--state-dir", state, "--catalog", n.catalog, "--ownership", n.ownership, "--store", root,
		"--peer", peer, "--listen", "", "--min-free", "1", "--log-format", "json",
	}, more...)
}

// newNode is a node with those arguments that has opened nothing yet.
func newNode(t testing.TB, args []string) *node {
	t.Helper()
	cfg := &runConfig{}
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	cfg.register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &node{cfg: cfg, log: zerolog.Nop()}
}

// durableProgress is what a restart would find, or nil. It takes no lock.
func durableProgress(t testing.TB, state string) *recovery.Progress {
	t.Helper()
	record, _, err := checkpoint.ReadMirror(state)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	return record.Progress
}

// background runs a worker. What it returns stops the worker and waits for it.
func background(t testing.TB, w *worker.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := w.Run(ctx)
		ended <- err
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}
