package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fleet is a peer's filled store, the catalog of it, and room for a node that
// has to fetch it all.
type fleet struct {
	t       testing.TB
	dir     string
	catalog string
	source  *peerServer
	args    []string // of `run`, but for --peer
}

// totalShards is the number of shards of the test networks.
const totalShards = 4

// newFleet imports n files of up to maxSize bytes and serves them.
func newFleet(t testing.TB, n, maxSize int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir()}
	f.catalog = filepath.Join(f.dir, "catalog.rsnap")
	f.generate("files", n, maxSize, 1)
	must(t, "store", "import", "--from", f.path("files"), "--store", f.path("source"), "--out", f.catalog, "--total-shards", fmt.Sprint(totalShards))
	f.source = newPeerServer(t, f.path("source"))
	f.own("epoch: 1\ntotal_shards: 4\nowned: \"0-3\"\n")
	f.args = []string{
		"run", "--state-dir", f.path("state"), "--catalog", f.catalog, "--ownership", f.path("ownership.yaml"),
		"--store", f.path("node"), "--listen", "", "--min-free", "1", "--log-format", "json",
	}
	return f
}

func (f *fleet) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fleet) own(document string) { writeFile(f.t, f.path("ownership.yaml"), document) }

// run returns the arguments of `run` with a peer and whatever else.
func (f *fleet) run(more ...string) []string {
	return append(append(f.args[:len(f.args):len(f.args)], "--peer", f.source.template()), more...)
}

// generate writes n files with random content.
func (f *fleet) generate(name string, n, maxSize int, seed uint64) {
	f.t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	content := make([]byte, maxSize)
	if err := os.MkdirAll(f.path(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	for i := range n {
		data := content[:random.IntN(maxSize-15)+16]
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if err := os.WriteFile(filepath.Join(f.path(name), fmt.Sprint(i)), data, 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

// pieces returns the digest of every piece in a store by "shard/id", and fails on
// a name that is not the digest of its bytes.
func pieces(t testing.TB, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir // drafts, which nobody takes for pieces
		case d.IsDir() || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != d.Name() {
			t.Errorf("%s has other bytes than its name says (%d of them)", file, len(data))
		}
		shard, _, _ := strings.Cut(strings.TrimPrefix(file, root+"/"), "/")
		found[shard+"/"+d.Name()] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sameStore fails unless the node holds just what the source does.
func (f *fleet) sameStore() {
	f.t.Helper()
	want, got := pieces(f.t, f.path("source")), pieces(f.t, f.path("node"))
	for name := range want {
		if !got[name] {
			f.t.Errorf("%s is missing", name)
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		f.t.Errorf("the node holds %d pieces, the source %d", len(got), len(want))
	}
}

// peerServer serves a store's directory over real HTTP, counts what it served,
// and can be told to stop in the middle, to miss blobs or to lie.
type peerServer struct {
	root   string
	server *httptest.Server

	mu      sync.Mutex
	budget  int            // answers left before it hangs; negative: no limit
	served  map[string]int // whole answers by id, of earlier lives
	life    map[string]int // and of this one
	missing map[string]bool
	hanging int
	gone    chan struct{} // closed to let go of hanging answers
}

func newPeerServer(t testing.TB, root string) *peerServer {
	s := &peerServer{root: root, budget: -1, served: map[string]int{}, life: map[string]int{}, missing: map[string]bool{}, gone: make(chan struct{})}
	s.server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.letGo()
		s.server.Close()
	})
	return s
}

// letGo serves what hangs, and everything from now on.
func (s *peerServer) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget = -1
	close(s.gone)
	s.gone = make(chan struct{})
}

// waiting counts the requests that hang.
func (s *peerServer) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hanging
}

func (s *peerServer) template() string { return s.server.URL + "/{shard}/{id}" }

// newLife forgets the budget of the last life and begins to count anew.
func (s *peerServer) newLife(budget int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.life {
		s.served[id] += n
	}
	s.life, s.budget = map[string]int{}, budget
}

// redone counts what was served whole in this life and in an earlier one too.
func (s *peerServer) redone() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, times := range s.life {
		if s.served[id] > 0 {
			n += times
		} else {
			n += times - 1
		}
	}
	return n
}

// requests counts the whole answers of this life.
func (s *peerServer) requests() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.life {
		n += times
	}
	return n
}

func (s *peerServer) miss(id string, missing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing[id] = missing
}

// admit decides about one request: hang, miss or serve.
func (s *peerServer) admit(id string) (hang, miss bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing[id] {
		return false, true
	}
	if s.budget == 0 {
		return true, false
	}
	if s.budget > 0 {
		s.budget--
	}
	return false, false
}

// hang waits to be let go; false says that the client has left.
func (s *peerServer) hang(ctx context.Context) bool {
	s.mu.Lock()
	gone := s.gone
	s.hanging++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.hanging--
		s.mu.Unlock()
	}()
	select {
	case <-gone:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *peerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := path.Base(r.URL.Path)
	hang, miss := s.admit(id)
	switch {
	case miss:
		http.NotFound(w, r)
		return
	case hang && !s.hang(r.Context()):
		return
	}
	data, err := os.ReadFile(filepath.Join(s.root, path.Clean(r.URL.Path)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if _, err := w.Write(data); err == nil {
		s.mu.Lock()
		s.life[id]++
		s.mu.Unlock()
	}
}
