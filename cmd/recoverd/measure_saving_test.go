package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
)

// saving measures what saving takes from the loop while it fetches, with a peer
// in memory: the faster the peer, the larger the share.
func (m *measurement) saving(t *testing.T) {
	const rounds, blobs, absent = 5, 50_000, 1_000
	f := newFetched(t, m.dir, blobs, absent)
	for range rounds {
		f.fetch()
	}
	m.add(t, finding{
		what:  "saving's share of the time of a run that fetches 50,000 x 4 KiB, 1,000 unsettled besides",
		value: f.share.percent(), target: "at most 2 %", rounds: rounds,
		detail: fmt.Sprintf("run %v, %.0f blobs/s, %.0f saves", f.took, blobs/f.took.median().Seconds(), f.saves.median()),
	})
	m.add(t, finding{
		what: "saving's share of the time that the machine computes", value: f.busy.percent(), rounds: rounds,
		detail: "steps that take a value to save, counted whole, and handing it to the writer",
	})
}

// fetched is a network whose peer has all but the lowest ids.
type fetched struct {
	t     testing.TB
	dir   string
	net   network
	peer  *mempeer.Peer
	blobs uint64 // that the peer has
	gone  int    // that it does not

	took               series
	share, busy, saves spread
}

func newFetched(t testing.TB, dir string, blobs, absent int) *fetched {
	t.Helper()
	const size = 4_096
	f := &fetched{
		t: t, dir: dir, peer: mempeer.New("memory"), blobs: uint64(blobs), gone: absent,
		net: network{catalog: filepath.Join(dir, "fetched.rsnap"), ownership: filepath.Join(dir, "fetched.yaml")},
	}
	writeFile(t, f.net.ownership, "epoch: 1\ntotal_shards: 100\nowned: \"0-99\"\n")
	// The contents overlap: each begins a byte after the one before.
	bytes := make([]byte, size+blobs+absent)
	random := rand.New(rand.NewPCG(1, 0))
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	made := make([]snapshot.NewBlob, blobs+absent)
	contents := make(map[recovery.BlobID][]byte, len(made))
	for i := range made {
		content := bytes[i : i+size]
		made[i] = snapshot.NewBlob{ID: sha256.Sum256(content), Size: size}
		contents[made[i].ID] = content
	}
	slices.SortFunc(made, func(a, b snapshot.NewBlob) int { return a.ID.Compare(b.ID) })
	for _, b := range made[absent:] {
		f.peer.Put(b.ID, 0, contents[b.ID])
	}
	if _, err := snapshot.Build(t.Context(), snapshot.BuildConfig{Blobs: made}, f.net.catalog); err != nil {
		t.Fatal(err)
	}
	return f
}

// fetch takes a fresh node through the catalog until all that can be had is
// stored, and notes the loop's time.
func (f *fetched) fetch() {
	t, round := f.t, len(f.took)+1
	n := newNode(t, f.net.args(
		filepath.Join(f.dir, fmt.Sprintf("fetched-state-%d", round)), filepath.Join(f.dir, fmt.Sprintf("fetched-store-%d", round)), "http://127.0.0.1/{id}"))
	pool, err := peer.New(peer.Config{}, f.peer)
	if err != nil {
		t.Fatal(err)
	}
	n.pool = pool
	n.closeLater(pool)
	for _, open := range []func() error{
		func() error { return n.openOwnership(t.Context()) },
		func() error { return n.openCatalog(t.Context()) },
		func() error { return n.openCheckpoint(t.Context()) },
		func() error { return n.openStore(t.Context()) },
		func() error { return n.openSyncer(t.Context()) },
	} {
		if err := open(); err != nil {
			t.Fatal(errors.Join(err, n.close()))
		}
	}
	f.drive(n)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
}

// drive runs a worker until the peer's blobs are stored.
func (f *fetched) drive(n *node) {
	t := f.t
	timed := &timedCheckpoint{Checkpoint: n.keeper}
	w, err := worker.New(worker.Config{
		Machine:    recovery.Config{Placement: shards.Hashed, ParkAfter: 1_000_000}, // the absent ones stay in retry
		Checkpoint: timed, Ownership: n.ownership, Catalog: n.catalog, Store: n.store,
		Syncer: n.handler, Peers: n.pool, Delays: &syncer.Retry{},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := background(t, w)
	began := time.Now()
	until(t, "all that can be had is stored", func() bool { return w.Status().Counters.Stored == f.blobs })
	took, loop := time.Since(began), w.Loop()
	handing := time.Duration(timed.took.Load())
	if got := w.Status().Unsettled.Total; got != f.gone {
		t.Fatalf("%d blobs are unsettled, not %d", got, f.gone)
	}
	stop()
	f.took, f.saves = append(f.took, took), append(f.saves, float64(loop.Saves))
	f.share = append(f.share, float64(loop.Saving+handing)/float64(took))
	f.busy = append(f.busy, float64(loop.Saving+handing)/float64(loop.Busy+handing))
}

// timedCheckpoint times what handing a record in takes: the loop does it, and
// LoopStats leave it out.
type timedCheckpoint struct {
	worker.Checkpoint
	took atomic.Int64 // nanoseconds
}

func (c *timedCheckpoint) Save(r recovery.Record, done func(error)) {
	began := time.Now()
	c.Checkpoint.Save(r, done)
	c.took.Add(int64(time.Since(began)))
}

func (c *timedCheckpoint) Reset(r recovery.Record, done func(error)) {
	began := time.Now()
	c.Checkpoint.Reset(r, done)
	c.took.Add(int64(time.Since(began)))
}
