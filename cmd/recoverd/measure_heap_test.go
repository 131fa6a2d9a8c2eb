package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// heap compares the heap of a worker that owns everything and looks at
// 10 M blobs with that of one that looks at 100,000.
func (m *measurement) heap(t *testing.T) {
	const rounds = 5
	large := m.ownAll(t, "ten-million", 10_000_000)
	small := m.ownAll(t, "hundred-thousand", 100_000)
	var ratio spread
	for round := range rounds {
		small.scan()
		large.scan()
		ratio = append(ratio, float64(large.kept[round])/float64(small.kept[round]))
	}
	m.add(t, finding{
		what:  "what a worker that owns all keeps, first blob missing: 10 M blobs against 100,000",
		value: ratio.times(), rounds: rounds,
		detail: fmt.Sprintf("%s and %s of heap, with garbage at most %s; the catalog's index takes 48 bytes for each 64 KiB of it; %s",
			mebibytes(slices.Max(large.kept)), mebibytes(slices.Max(small.kept)), mebibytes(slices.Max(large.most)), large.took.perSecond(10_000_000)),
	})
}

// ownsAll is a node that owns every shard and lacks the first blob.
type ownsAll struct {
	t     testing.TB
	dir   string
	name  string
	net   network
	first recovery.BlobID

	took series
	kept []uint64 // bytes of heap that the scan left in use, by round
	most []uint64 // and that there were at most, garbage included
}

func (m *measurement) ownAll(t testing.TB, name string, blobs uint64) *ownsAll {
	t.Helper()
	o := &ownsAll{t: t, dir: m.dir, name: name, net: m.network(t, name, blobs, 100, 100)}
	n := newNode(t, o.net.args("", "", ""))
	if err := n.openCatalog(t.Context()); err != nil {
		t.Fatal(err)
	}
	row := make([]recovery.Row, 1)
	if _, err := n.catalog.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.catalog.Page(t.Context(), recovery.Mark{}, row); err != nil {
		t.Fatal(err)
	}
	o.first = row[0].ID
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// scan runs a fresh worker until the catalog was looked at.
func (o *ownsAll) scan() {
	t := o.t
	state := filepath.Join(o.dir, fmt.Sprintf("all-of-%s-%d", o.name, len(o.took)))
	n := newNode(t, o.net.args(state, "", ""))
	for _, open := range []func(context.Context) error{n.openOwnership, n.openCatalog, n.openCheckpoint} {
		if err := open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w := o.worker(n)
	watch := watchHeap()
	stop := background(t, w)
	began := time.Now()
	until(t, "the catalog was scanned", func() bool { return w.Status().Phase == recovery.PhaseDraining })
	o.took = append(o.took, time.Since(began))
	most, kept := watch()
	o.most, o.kept = append(o.most, most), append(o.kept, kept)
	if s := w.Status(); s.Counters.AlreadyStored != o.net.blobs-1 || s.Unsettled.Total != 1 {
		t.Fatalf("%d were stored, %d are unsettled", s.Counters.AlreadyStored, s.Unsettled.Total)
	}
	stop()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
}

func (o *ownsAll) worker(n *node) *worker.Worker {
	t := o.t
	s, err := mem.Open(mem.NewDisk(), mem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := peer.New(peer.Config{}, mempeer.New("empty"))
	if err != nil {
		t.Fatal(err)
	}
	n.closeLater(pool)
	handler, err := syncer.New(syncer.Config{Store: s, Fetcher: pool})
	if err != nil {
		t.Fatal(err)
	}
	n.closeLater(handler)
	w, err := worker.New(worker.Config{
		Machine:    recovery.Config{Placement: shards.Hashed, ParkAfter: 1_000_000},
		Checkpoint: n.keeper, Ownership: n.ownership, Catalog: n.catalog, Store: allButOne{s, o.first},
		Syncer: handler, Peers: pool, Delays: &syncer.Retry{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// allButOne says that everything is stored but one blob.
type allButOne struct {
	*mem.Store
	missing recovery.BlobID
}

func (s allButOne) Mark(_ context.Context, rows []recovery.Row) error {
	for i := range rows {
		rows[i].Stored = rows[i].ID != s.missing
	}
	return nil
}

// watchHeap looks at the heap until the function that it returns is called,
// which tells by how many bytes it grew at most, and without garbage.
func watchHeap() (grown func() (most, kept uint64)) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before := read()
	stop, found := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		peak := before
		for {
			select {
			case <-tick.C:
				peak = max(peak, read())
			case <-stop:
				found <- peak
				return
			}
		}
	}()
	return func() (most, kept uint64) {
		close(stop)
		peak := <-found
		runtime.GC()
		return peak - before, max(read(), before) - before
	}
}
