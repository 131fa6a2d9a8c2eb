package httppeer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	iofs "io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

const nodeShards = 4

// node is the real syncer over the real store in a directory. Each blob has a pool of
// its own.
type node struct {
	root    string
	handler *syncer.Handler
	good    *httptest.Server // has every blob

	mu    sync.Mutex
	blobs peertest.Far
	pools map[recovery.BlobID]*peer.Pool
	heap  uint64 // the most that was in use, bytes
	files int    // the most that were open
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{root: filepath.Join(t.TempDir(), "store"), blobs: peertest.Far{}, pools: map[recovery.BlobID]*peer.Pool{}}
	store, err := fs.Open(fs.Config{Root: n.root, Create: true, MinFree: 1, Durability: fs.Fdatasync})
	if err != nil {
		t.Fatal(err)
	}
	request := recovery.StoreRequest{Network: "hostile", TotalShards: nodeShards, Placement: shards.Hashed, Owned: shards.Range(0, nodeShards-1)}
	if _, err := store.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if n.handler, err = syncer.New(syncer.Config{Store: store, Fetcher: n}); err != nil {
		t.Fatal(err)
	}
	n.good = httptest.NewServer(serveBlobs(n.blob))
	t.Cleanup(func() {
		n.good.Close()
		if err := errors.Join(n.handler.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Fetch implements syncer.Fetcher.
func (n *node) Fetch(ctx context.Context, p syncer.Piece, sink syncer.Sink) (string, error) {
	n.mu.Lock()
	pool := n.pools[p.Blob.ID]
	n.mu.Unlock()
	return pool.Fetch(ctx, p, sink)
}

func (n *node) blob(id recovery.BlobID) ([]byte, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	content, ok := n.blobs[id]
	return content, ok
}

// add makes a blob that is fetched from a pool.
func (n *node) add(pool *peer.Pool) recovery.Blob {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, content := peertest.NewPiece(uint64(len(n.blobs)), wantedSize)
	n.blobs[p.Blob.ID], n.pools[p.Blob.ID] = content, pool
	return p.Blob
}

// sync recovers a blob.
func (n *node) sync(t *testing.T, b recovery.Blob) recovery.Outcome {
	t.Helper()
	outcome, err := n.handler.Sync(syncer.Request{
		Run: 1, Blob: b, Placement: shards.Hashed, Covers: recovery.Covers{Total: nodeShards, Owned: shards.Range(0, nodeShards-1)},
	}).Wait(t.Context())
	if err != nil {
		t.Error(err)
	}
	return outcome
}

// stored returns what the store has of a blob, under its final name.
func (n *node) stored(t *testing.T, b recovery.Blob) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.root, "*", b.ID.String()))
	if err != nil || len(found) > 1 {
		t.Errorf("%q: %v", found, err)
	}
	if len(found) == 0 {
		return nil
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		t.Error(err)
	}
	return content
}

// checkTree looks at every file of the store: what has a blob's name is that blob, and
// only blobs that were recovered are there.
func (n *node) checkTree(t *testing.T, want int) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(n.root, func(path string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		id, err := recovery.ParseBlobID(d.Name())
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if sum := sha256.Sum256(content); err == nil && !bytes.Equal(sum[:], id[:]) {
			t.Errorf("%s holds %d wrong bytes", path, len(content))
		}
		found++
		return err
	})
	if err != nil || found != want {
		t.Errorf("%d blobs are stored, want %d: %v", found, want, err)
	}
}

// weigh notes how much memory and how many files are in use.
func (n *node) weigh() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, err := os.ReadDir("/proc/self/fd")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heap = max(n.heap, m.HeapAlloc)
	if err == nil {
		n.files = max(n.files, len(open))
	}
}
