package worker_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tester is the part of a test that *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// totalShards is the test network's.
const totalShards = 4

// world is what outlives a process: the network, and the node's own disk and
// checkpoint. All of it is real and in memory, or the checkpoint is in files.
type world struct {
	t       tester
	catalog *catalog.Memory
	peers   []*mempeer.Peer
	disk    *mem.Disk
	memory  *checkpoint.Nop
	dir     string // of the checkpoint in files; empty: it is in memory
	own     ownership
	blobs   []recovery.Blob // certified now, by rising id
	bytes   map[recovery.BlobID][]byte
	running *process // nil between two
}

// ownership is the document that the node would read next.
type ownership struct {
	epoch      uint32
	owned      string
	continuity string
	node       shards.NodeStatus
}

func (o ownership) document() []byte {
	return fmt.Appendf(nil, "{epoch: %d, total_shards: %d, owned: %q, continuity: %q, node: %s}",
		o.epoch, totalShards, o.owned, o.continuity, o.node)
}

// inWorld runs a test in virtual time, in a world with so many blobs and two
// peers that have them. The node owns everything.
func inWorld(t *testing.T, blobs int, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, blobs)) })
}

func newWorld(t tester, blobs int) *world {
	w := &world{
		t: t, catalog: catalog.NewMemory("testnet"), disk: mem.NewDisk(), memory: &checkpoint.Nop{},
		peers: []*mempeer.Peer{mempeer.New("a"), mempeer.New("b")},
		own:   ownership{epoch: 1, owned: "0-3", node: shards.Active},
		bytes: map[recovery.BlobID][]byte{},
	}
	for n := range blobs {
		w.certify(n)
	}
	return w
}

// content is the bytes of test blob n.
func content(n int) []byte { return []byte(strings.Repeat(fmt.Sprintf("blob %d ", n), 1+n%7)) }

func blobOf(data []byte) recovery.Blob {
	id := sha256.Sum256(data)
	return recovery.Blob{ID: id, Size: int64(len(data)), Encoding: recovery.Raw, Digest: id}
}

// certify adds test blob n to the catalog, and to the peers.
func (w *world) certify(n int) recovery.Blob {
	data := content(n)
	b := blobOf(data)
	w.bytes[b.ID] = data
	w.catalog.Add(recovery.Row{Blob: b})
	w.serve(b)
	w.blobs = append(w.blobs, b)
	slices.SortFunc(w.blobs, func(a, b recovery.Blob) int { return a.ID.Compare(b.ID) })
	return b
}

// serve makes every peer have a blob.
func (w *world) serve(b recovery.Blob) {
	for _, p := range w.peers {
		p.Put(b.ID, 0, w.bytes[b.ID])
	}
}

// lose takes a blob away from every peer.
func (w *world) lose(b recovery.Blob) {
	for _, p := range w.peers {
		p.Delete(b.ID, 0)
	}
}

func (w *world) setDown(down bool) {
	for _, p := range w.peers {
		p.SetDown(down)
	}
}

// assign changes the ownership document.
func (w *world) assign(change func(*ownership)) {
	change(&w.own)
	if w.running != nil {
		w.running.ledger.Document(w.own.document())
	}
}

// record is what a process that starts now would resume from.
func (w *world) record() recovery.Record {
	w.t.Helper()
	b := w.backend()
	r, _, err := b.Load()
	if err := errors.Join(err, b.Close()); err != nil {
		w.t.Fatalf("load: %v", err)
	}
	return r
}

// backend opens the checkpoint. In files only one process at a time has it.
func (w *world) backend() checkpoint.Backend {
	w.t.Helper()
	if w.dir == "" {
		return w.memory.Reopen()
	}
	b, err := checkpoint.Open(checkpoint.Config{Dir: w.dir})
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return b
}

// concerns reports whether a node that owns such shards has to hold the blob.
func concerns(b recovery.Blob, owned shards.Set) bool {
	return shards.Hashed.Concerns(b.ID, totalShards, owned)
}

func (w *world) ownedSet() shards.Set {
	set, err := shards.ParseSet(w.own.owned)
	if err != nil {
		w.t.Fatalf("the test's ownership: %v", err)
	}
	return set
}

// owned lists the certified blobs that the node has to hold.
func (w *world) owned() (blobs []recovery.Blob) {
	for _, b := range w.blobs {
		if concerns(b, w.ownedSet()) {
			blobs = append(blobs, b)
		}
	}
	return blobs
}

// stored reports whether a blob's bytes are in its place, whole.
func (w *world) stored(b recovery.Blob) bool {
	data, ok := w.disk.Read(shards.Home(b.ID, totalShards), b.ID)
	return ok && sha256.Sum256(data) == b.Digest
}

// checkComplete cuts the power and compares what is left with what "complete"
// claims (I1, I7).
func (w *world) checkComplete() {
	w.t.Helper()
	w.disk.Crash()
	for _, b := range w.owned() {
		if !w.stored(b) {
			w.t.Errorf("complete, and %v is not stored", b.ID)
		}
	}
	p := w.record().Progress
	switch {
	case p == nil:
		w.t.Errorf("complete, and nothing is recorded")
	case p.Covered == nil || *p.Covered != p.Bound || !p.Cursor.End() || len(p.Unsettled) > 0:
		w.t.Errorf("complete, and the record says covered %v, bound %v, cursor %v, %d unsettled",
			p.Covered, p.Bound, p.Cursor, len(p.Unsettled))
	}
}

// checkClaims cuts the power and checks what the record claims of blobs that
// were certified all the time: each one up to the cursor, or all after a finished
// pass, is stored durably or listed (I1 to I3, I7).
func (w *world) checkClaims(always []recovery.Blob) {
	w.t.Helper()
	w.disk.Crash()
	p := w.record().Progress
	if p == nil {
		return
	}
	listed := map[recovery.BlobID]bool{}
	for _, u := range p.Unsettled {
		listed[u.ID] = true
		if p.Cursor.Covers(u.ID) {
			w.t.Errorf("the cursor %v is past the unsettled %v", p.Cursor, u.ID)
		}
	}
	for _, b := range always {
		looked := p.Covered != nil || p.Scan.Covers(b.ID)
		if looked && concerns(b, p.Fence.Owned) && !listed[b.ID] && !w.stored(b) {
			w.t.Errorf("run %d, cursor %v, scan %v: %v is neither stored nor listed", p.Run, p.Cursor, p.Scan, b.ID)
		}
	}
}

// pause waits for d in the time of the test, or for ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
