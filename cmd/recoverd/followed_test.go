package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
)

// history is what has happened in a fleet's network, as lines of JSON.
type history struct {
	t     testing.TB
	lines []string // that of position n is at n-1
	blobs map[recovery.BlobID]bool
}

func newHistory(t testing.TB) *history {
	return &history{t: t, blobs: map[recovery.BlobID]bool{}}
}

func (h *history) add(e event.Event) {
	h.t.Helper()
	e.Position = uint64(len(h.lines) + 1)
	if err := e.Validate(); err != nil {
		h.t.Fatal(err)
	}
	h.lines = append(h.lines, string(event.AppendLine(nil, &e)))
}

func (h *history) epoch(n uint32) { h.add(event.Event{Kind: event.EpochStarted, Epoch: n}) }

// certify registers and certifies the blobs of a catalog file that are new.
func (h *history) certify(path string) {
	h.t.Helper()
	source, err := catalog.NewFile(catalog.FileConfig{Path: path})
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if _, err := source.Pin(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	for row, err := range catalog.Rows(h.t.Context(), source, recovery.Mark{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		if h.blobs[row.ID] {
			continue
		}
		h.blobs[row.ID] = true
		h.add(event.Event{
			Kind: event.Register, Blob: row.ID, Object: row.ID, Size: row.Size, Encoding: row.Encoding, Digest: row.Digest, EndEpoch: recovery.EpochForever,
		})
		h.add(event.Event{Kind: event.Certify, Blob: row.ID, Object: row.ID})
	}
}

// write appends the events behind a position to a file.
func (h *history) write(path string, after int) {
	h.t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range h.lines[after:] {
		if _, err := fmt.Fprintln(f, strings.TrimSuffix(line, "\n")); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// follower is a node of the fleet that keeps its own catalog.
type follower struct {
	f     *fleet
	name  string
	peers []string
}

func (n follower) path(name string) string { return n.f.path(n.name + "-" + name) }

func (n follower) run(more ...string) *process { return start(n.f.t, n.args(more...)...) }

func (n follower) args(more ...string) []string {
	args := []string{
		"run", "--state-dir", n.path("state"), "--events", n.path("events"), "--network", "testnet", "--ownership", n.f.path("ownership.yaml"),
		"--store", n.path("store"), "--peer", n.f.source.template(), "--listen", "", "--min-free", "1", "--catalog-min-free", "1",
		"--full-every", "200", "--incr-every", "50", "--follow-interval", "50ms", "--log-format", "json",
	}
	for _, peer := range n.peers {
		args = append(args, "--snapshot-peer", peer)
	}
	return append(args, more...)
}

// reaches waits until the node is complete at a position.
func (n follower) reaches(p *process, position int) {
	n.f.t.Helper()
	until(n.f.t, fmt.Sprintf("%s is complete at position %d", n.name, position), func() bool {
		if p.hasEnded() {
			n.f.t.Fatalf("%s has ended: %s", n.name, p.stderr.String())
		}
		doc, ok := status(n.f.t, n.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Covered.Position == uint64(position)
	})
}

// snapshots lists the complete snapshots of the node, by position and kind, with
// their digests.
func (n follower) snapshots() map[string]recovery.Digest {
	n.f.t.Helper()
	var list listingView
	out := must(n.f.t, "snapshot", "list", "--dir", catalogDir(n.path("state")), "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		n.f.t.Fatal(err)
	}
	found := map[string]recovery.Digest{}
	for _, s := range list.Snapshots {
		if s.Status == "complete" {
			found[fmt.Sprintf("%s %d to %d", s.Kind, s.Base, s.Bound.Position)] = s.Bound.Digest
		}
	}
	return found
}

// serveSnapshots serves the node's snapshots and returns the address.
func (n follower) serveSnapshots() string {
	n.f.t.Helper()
	p := start(n.f.t, "serve", "--snapshots", catalogDir(n.path("state")), "--listen", "127.0.0.1:0")
	address := ""
	until(n.f.t, "snapshots are served", func() bool {
		_, rest, ok := strings.Cut(p.stderr.String(), "http://")
		if ok {
			address = "http://" + strings.TrimRight(strings.FieldsFunc(rest, func(r rune) bool { return r != ':' && r != '.' && (r < '0' || r > '9') })[0], ".")
		}
		return ok
	})
	return address
}

// A node that has nothing but events gets its catalog from them, and its blobs; the
// next one has an event source that begins too late, and gets its catalog from the
// first one's snapshots, takes its own after catching up, and is where the third one
// begins. Snapshots of one position are the same everywhere.
func TestNodesFromNothing(t *testing.T) {
	f := newFleet(t, 250, 600)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	a := follower{f: f, name: "a"}
	h.write(a.path("events"), 0)
	pa := a.run()
	a.reaches(pa, len(h.lines))
	before := len(h.lines)
	f.grow("more", 60, 2, "1")
	h.epoch(2)
	h.certify(f.catalog)
	h.write(a.path("events"), before)
	a.reaches(pa, len(h.lines))

	last := a
	for _, name := range []string{"b", "c"} {
		peer := last.serveSnapshots()
		n := follower{f: f, name: name, peers: []string{peer}}
		h.write(n.path("events"), before) // of which the first ones are gone
		p := n.run("--incr-every", "10")
		n.reaches(p, len(h.lines))
		// Its own, or one that was fetched if that is as young: what the first node makes
		// depends on how far it was when another was under way.
		until(t, "the snapshot after catching up", func() bool {
			return slices.ContainsFunc(slices.Collect(maps.Keys(n.snapshots())), func(slot string) bool {
				var kind string
				var base, at int
				_, err := fmt.Sscanf(slot, "%s %d to %d", &kind, &base, &at)
				return err == nil && at+10 > len(h.lines)
			})
		})
		if want, got := pieces(t, f.path("source")), pieces(t, n.path("store")); len(got) != len(want) || len(want) != 310 {
			t.Errorf("%s holds %d pieces, the source %d", name, len(got), len(want))
		}
		same := 0
		ours, theirs := n.snapshots(), last.snapshots()
		for slot, digest := range ours {
			if other, ok := theirs[slot]; ok {
				same++
				if other != digest {
					t.Errorf("%s: %s has digest %v and %v", slot, name, digest, other)
				}
			}
		}
		if same == 0 { // hazard 64
			t.Errorf("nothing to compare: %v and %v", ours, theirs)
		}
		last = n
	}
	pa.signal(syscall.SIGTERM)
	if code := pa.wait(); code != exitOK {
		t.Errorf("exit code %d after SIGTERM: %s", code, pa.stderr.String())
	}
}

// A killed node opens its catalog where it was, and goes on; it stops exactly where
// it is told to, with a full snapshot there.
func TestStopAtPosition(t *testing.T) {
	f := newFleet(t, 120, 600)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	n := follower{f: f, name: "n"}
	h.write(n.path("events"), 0)
	p := n.run("--stop-at-position", "101")
	if code := p.wait(); code != exitOK {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	if !strings.Contains(p.stdout.String(), "complete at epoch 1, position 101") {
		t.Errorf("it said %s", p.stdout.String())
	}
	if len(pieces(t, n.path("store"))) != 50 {
		t.Errorf("%d pieces of the first 101 events", len(pieces(t, n.path("store"))))
	}
	if _, ok := n.snapshots()["full 0 to 101"]; !ok {
		t.Errorf("no full snapshot at 101: %v", n.snapshots())
	}
	p = n.run()
	until(t, "some of the rest is there", func() bool {
		if p.hasEnded() {
			t.Fatalf("it ended: %s", p.stderr.String())
		}
		list, _ := filepath.Glob(filepath.Join(n.path("store"), "*", "*"))
		return len(list) > 60
	})
	p.kill()
	n.reaches(n.run(), len(h.lines))
	if len(pieces(t, n.path("store"))) != 120 {
		t.Errorf("%d pieces", len(pieces(t, n.path("store"))))
	}
}

// A node that has everything finds out when its source answers, however slowly, and
// not at its next look for a newer catalog.
func TestRestartOfACompleteNode(t *testing.T) {
	f := newFleet(t, 20, 300)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprintf(w, "{\"network\":\"testnet\",\"tip\":%d}\n", len(h.lines))
		for _, line := range h.lines[min(after, len(h.lines)):] {
			fmt.Fprintln(w, strings.TrimSuffix(line, "\n"))
		}
	}))
	defer slow.Close()
	n := follower{f: f, name: "n"}
	p := n.run("--events", slow.URL)
	n.reaches(p, len(h.lines))
	if code := n.run("--events", slow.URL).wait(); code != exitTryAgain {
		t.Errorf("a second one beside it: exit code %d", code)
	}
	p.kill()
	if code := n.run("--events", slow.URL, "--exit-when-complete", "--follow-interval", "1h").wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
