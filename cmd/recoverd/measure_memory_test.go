package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// memory looks from outside at a process that scans 10 M blobs of which the
// first is missing for ever, and at what a restart after that asks for again
// (hazards 19, 34).
func (m *measurement) memory(t *testing.T) {
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
	doc, ok := status(t, state)
	p.kill()
	if !ok {
		t.Fatal("it did not tell its status")
	}
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
