package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/recoverd/recoverd/shards"
	storefs "github.com/recoverd/recoverd/syncer/store/fs"
)

// The code of the test fleets: any 10 of 14 pieces.
const (
	stripedK     = 10
	stripedTotal = 14
)

// stripedFleet is a filled store of pieces, peers that each serve some shards of it, and
// room for a node.
type stripedFleet struct {
	*fleet
	peers []*shardPeer
}

// newStripedFleet imports n files of up to maxSize bytes.
func newStripedFleet(t testing.TB, n, maxSize int) *stripedFleet {
	t.Helper()
	f := &stripedFleet{fleet: &fleet{t: t, dir: t.TempDir()}}
	f.catalog = filepath.Join(f.dir, "catalog.rsnap")
	f.generate("files", n, maxSize, 1)
	if err := os.WriteFile(f.path("files/empty"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "store", "import", "--from", f.path("files"), "--store", f.path("source"), "--out", f.catalog,
		"--striped", strconv.Itoa(stripedK), "--total-shards", strconv.Itoa(stripedTotal))
	f.args = []string{
		"run", "--state-dir", f.path("state"), "--catalog", f.catalog, "--ownership", f.path("ownership.yaml"), "--placement", "striped",
		"--store", f.path("node"), "--listen", "", "--min-free", "1", "--log-format", "json",
	}
	return f
}

func (f *stripedFleet) own(owned string) {
	f.fleet.own("epoch: 1\ntotal_shards: 14\nowned: \"" + owned + "\"\n")
}

// run returns the arguments of `run` with all peers and whatever else.
func (f *stripedFleet) run(more ...string) []string {
	args := f.args[:len(f.args):len(f.args)]
	for _, p := range f.peers {
		args = append(args, "--peer", p.server.URL+"/{shard}/{id}")
	}
	return append(args, more...)
}

// serve adds a peer that holds some shards.
func (f *stripedFleet) serve(holds shards.Set) *shardPeer {
	f.t.Helper()
	reader, err := storefs.OpenReader(f.t.Context(), f.path("source"))
	if err != nil {
		f.t.Fatal(err)
	}
	p := &shardPeer{holds: holds, blobs: newBlobHandler(reader), life: map[string]int{}, earlier: map[string]int{}}
	p.server = httptest.NewServer(p)
	f.t.Cleanup(func() {
		p.server.Close()
		_ = reader.Close()
	})
	f.peers = append(f.peers, p)
	return p
}

// samePieces fails unless the node holds just what the source holds of its shards, byte
// for byte, and every manifest. It shares no code with what fetched it.
func (f *stripedFleet) samePieces(owned shards.Set) {
	f.t.Helper()
	want := map[string]bool{"manifest": true}
	for shard := range owned.All() {
		want[strconv.Itoa(int(shard))] = true
	}
	pieces := 0
	for dir := range want {
		err := filepath.WalkDir(f.path("source/"+dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
				return err
			}
			right, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			got, err := os.ReadFile(strings.Replace(file, f.path("source"), f.path("node"), 1))
			if err != nil || !bytes.Equal(got, right) {
				f.t.Errorf("%s: other bytes than in the source: %v", file, err)
			}
			pieces++
			return nil
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	if pieces == 0 {
		f.t.Error("there was nothing to compare")
	}
	dirs, err := os.ReadDir(f.path("node"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, d := range dirs {
		if !strings.HasPrefix(d.Name(), ".") && !want[d.Name()] {
			f.t.Errorf("the node holds %s", d.Name())
		}
	}
}

// shardPeer serves some shards of a store over real HTTP, and can lie or be told to
// stop.
type shardPeer struct {
	server *httptest.Server
	blobs  http.Handler
	holds  shards.Set

	mu      sync.Mutex
	lies    func(path string) bool
	lied    int
	budget  int            // answers left before it fails; 0: no limit
	life    map[string]int // whole answers by path, in this life
	earlier map[string]int // and in earlier ones
	lacked  int            // answers that a piece is not here
}

func (p *shardPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shard, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	n, err := strconv.ParseUint(shard, 10, 32)
	switch {
	case p.stopped():
		http.Error(w, "stopped", http.StatusServiceUnavailable)
		return
	case shard != "manifest" && (err != nil || !p.holds.Contains(uint32(n))):
		p.mu.Lock()
		p.lacked++
		p.mu.Unlock()
		http.NotFound(w, r)
		return
	case p.lying(r.URL.Path):
		p.blobs.ServeHTTP(&lyingWriter{w}, r)
		return
	}
	counted := &countingWriter{ResponseWriter: w}
	p.blobs.ServeHTTP(counted, r)
	if counted.err == nil {
		p.mu.Lock()
		p.life[r.URL.Path]++
		p.mu.Unlock()
	}
}

func (p *shardPeer) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget > 1 {
		p.budget--
	}
	return p.budget == 1
}

func (p *shardPeer) lying(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lie := p.lies != nil && p.lies(path)
	if lie {
		p.lied++
	}
	return lie
}

func (p *shardPeer) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// answers counts the whole pieces of this life, and the answers that one is not here.
func (f *stripedFleet) answers() (pieces, manifests, lacked int) {
	for _, p := range f.peers {
		p.mu.Lock()
		for path, n := range p.life {
			if strings.HasPrefix(path, "/manifest/") {
				manifests += n
			} else {
				pieces += n
			}
		}
		lacked += p.lacked
		p.mu.Unlock()
	}
	return pieces, manifests, lacked
}

// newLife begins to count anew.
func (f *stripedFleet) newLife() {
	for _, p := range f.peers {
		p.set(func() {
			for path, n := range p.life {
				p.earlier[path] += n
			}
			p.life, p.lacked, p.budget = map[string]int{}, 0, 0
		})
	}
}
