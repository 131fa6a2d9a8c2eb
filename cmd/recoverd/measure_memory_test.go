package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// memory measures what a scan of 10 M blobs keeps while its first blob is
// missing for ever, and what a restart after it asks for again (hazards 19, 34).
func (m *measurement) memory(t *testing.T) {
	m.processMemory(t)
	m.workerMemory(t)
}

// processMemory looks at a real process from outside.
func (m *measurement) processMemory(t *testing.T) {
	const blobs, oneIn = 10_000_000, 1_000
	net := m.network(t, "ten-million", blobs, 100, 1)
	root, state := filepath.Join(m.dir, "memory-store"), filepath.Join(m.dir, "memory-state")
	var there, missing []recovery.BlobID
	for i, id := range net.ids(t) {
		if i%oneIn == 0 {
			missing = append(missing, id)
		} else {
			there = append(there, id)
		}
	}
	net.store(t, root, there)
	peer := newEmptyPeer(t)
	args := append([]string{"run"}, net.args(state, root, peer.template)...)

	began := time.Now()
	p := start(t, args...)
	var use residence
	until(t, "the catalog was scanned", func() bool {
		use.look(t, p)
		doc, ok := status(t, state)
		return ok && doc.Phase == recovery.PhaseDraining.String()
	})
	scan := time.Since(began)
	until(t, "the end of the pass is durable", func() bool { return durableProgress(t, state).Covered != nil })
	use.look(t, p)
	p.kill()
	list := unsettledIDs(durableProgress(t, state))
	if !slices.Equal(list, missing) || durableProgress(t, state).Counters.Looked != blobs {
		t.Fatalf("%d of %d missing blobs are listed, after %d rows", len(list), len(missing), durableProgress(t, state).Counters.Looked)
	}
	m.add(t, finding{
		what: "10 M blobs looked at, the first missing for ever: resident at most", value: mebibytes(use.most), target: "below 100 MiB", rounds: 1,
		detail: fmt.Sprintf("anonymous %s; %d stored, %d missing; %v from exec, with the proof of the catalog",
			mebibytes(use.anonymous), len(there), len(missing), roundTime(scan)),
	})

	peer.forget()
	began = time.Now()
	p = start(t, args...)
	until(t, "the list was asked for again", func() bool { return len(peer.asked()) >= len(list) })
	again := time.Since(began)
	doc, _ := status(t, state)
	p.kill()
	if asked := peer.asked(); !slices.Equal(asked, list) {
		t.Errorf("a restart asked for %d blobs, %d are unsettled", len(asked), len(list))
	}
	m.add(t, finding{
		what: "killed after that: what the restart asks for", value: fmt.Sprintf("%d of %d blobs", len(peer.asked()), len(there)+len(missing)), target: "only the unsettled", rounds: 1,
		detail: fmt.Sprintf("%d unsettled; %d rows looked at again; %v from exec until all were asked for",
			len(list), doc.Counters.Looked-blobs, roundTime(again)),
	})
}

func unsettledIDs(p *recovery.Progress) (ids []recovery.BlobID) {
	for _, u := range p.Unsettled {
		ids = append(ids, u.ID)
	}
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return ids
}

// residence is the most memory that a process was seen to hold, in bytes.
type residence struct {
	most      uint64 // resident, as the kernel remembers it
	anonymous uint64 // the part that is no file's
}

func (r *residence) look(t testing.TB, p *process) {
	t.Helper()
	if p.hasEnded() {
		t.Fatalf("it ended by itself: %s", p.stderr.String())
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
		kib, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			continue // not a size
		}
		switch name {
		case "VmHWM":
			r.most = max(r.most, kib<<10)
		case "RssAnon":
			r.anonymous = max(r.anonymous, kib<<10)
		}
	}
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// emptyPeer has nothing, and remembers what it was asked for.
type emptyPeer struct {
	template string

	mu  sync.Mutex
	ids map[recovery.BlobID]bool
}

func newEmptyPeer(t testing.TB) *emptyPeer {
	p := &emptyPeer{ids: map[recovery.BlobID]bool{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := recovery.ParseBlobID(path.Base(r.URL.Path))
		if err != nil {
			t.Errorf("asked for %s: %v", r.URL, err)
		}
		p.mu.Lock()
		p.ids[id] = true
		p.mu.Unlock()
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	p.template = server.URL + "/{shard}/{id}"
	return p
}

func (p *emptyPeer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.ids)
}

// asked lists the ids in rising order.
func (p *emptyPeer) asked() (ids []recovery.BlobID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.ids {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, recovery.BlobID.Compare)
	return ids
}

// workerMemory compares the heap of a worker that owns everything and looks at
// 10 M blobs with that of one that looks at 100,000.
func (m *measurement) workerMemory(t *testing.T) {
	const rounds = 5
	large := m.ownAll(t, "ten-million", 10_000_000)
	small := m.ownAll(t, "hundred-thousand", 100_000)
	var ratio spread
	for range rounds {
		small.scan()
		large.scan()
		ratio = append(ratio, float64(large.heap[len(large.heap)-1])/float64(small.heap[len(small.heap)-1]))
	}
	m.add(t, finding{
		what:  "heap of a worker that owns all, first blob missing: 10 M blobs against 100,000",
		value: ratio.times(), target: "does not grow with the catalog", rounds: rounds,
		detail: fmt.Sprintf("at most %s and %s, garbage included; %s",
			mebibytes(slices.Max(large.heap)), mebibytes(slices.Max(small.heap)), large.took.perSecond(10_000_000)),
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
	heap []uint64 // bytes at most, by round
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
	o.heap = append(o.heap, watch())
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
// which tells by how many bytes it grew at most.
func watchHeap() (most func() uint64) {
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
				found <- peak - before
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-found
	}
}
