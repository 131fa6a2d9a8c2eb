package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// piece is small, so that small snapshots have many.
const piece = MinPiece

func newArchive(t testing.TB) *archive.Archive {
	t.Helper()
	return openArchive(t, t.TempDir())
}

func openArchive(t testing.TB, dir string) *archive.Archive {
	t.Helper()
	a, err := archive.Open(archive.Config{Dir: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// synth opens a made-up state of n blobs at position n. A seed makes others.
func synth(t testing.TB, n, seed uint64) *snapshot.Reader {
	t.Helper()
	return synthOf(t, snapshot.SynthConfig{Blobs: n, Seed: seed, Network: "test"})
}

// foreign opens a state of another network.
func foreign(t testing.TB, n uint64) *snapshot.Reader {
	t.Helper()
	return synthOf(t, snapshot.SynthConfig{Blobs: n, Network: "other"})
}

func synthOf(t testing.TB, c snapshot.SynthConfig) *snapshot.Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.rsnap")
	if _, err := snapshot.Synth(t.Context(), c, path); err != nil {
		t.Fatal(err)
	}
	r, err := snapshot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// full puts the state of n blobs into an archive.
func full(t testing.TB, a *archive.Archive, n uint64) archive.Entry {
	t.Helper()
	return fullOf(t, a, synth(t, n, 1), archive.CreateOptions{})
}

func fullOf(t testing.TB, a *archive.Archive, s snapshot.State, o archive.CreateOptions) archive.Entry {
	t.Helper()
	e, err := a.CreateFull(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// over puts an incremental to position n into an archive.
func over(t testing.TB, a *archive.Archive, base archive.Entry, n uint64) archive.Entry {
	t.Helper()
	h, err := a.OpenEntry(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.CreateIncremental(t.Context(), h.Reader, synth(t, n, 1), archive.CreateOptions{})
	if err = errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
	return e
}

func entries(t testing.TB, a *archive.Archive) []archive.Entry {
	t.Helper()
	l, err := a.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l.Entries
}

// has checks that an archive holds just these snapshots, with the bytes of
// another archive, and nothing half.
func has(t testing.TB, a, from *archive.Archive, want ...archive.Entry) {
	t.Helper()
	var files []string
	for _, e := range want {
		for _, f := range e.Files() {
			files = append(files, f.String())
			got, err1 := os.ReadFile(filepath.Join(a.Dir(), f.String()))
			there, err2 := os.ReadFile(filepath.Join(from.Dir(), f.String()))
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(got, there) {
				t.Errorf("%v is not what it was: %v", f, err)
			}
		}
	}
	if got := dir(t, a.Dir()); len(got) != len(files) {
		t.Errorf("the archive holds %q, want %q", got, files)
	}
}

func dir(t testing.TB, path string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// server is an archive on loopback that counts what it sends of files.
type server struct {
	*httptest.Server
	sent atomic.Int64
	// before, if set, may answer in the handler's place.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func serve(t testing.TB, a *archive.Archive, before func(w http.ResponseWriter, r *http.Request) bool) *server {
	t.Helper()
	h, err := NewHandler(a, HandlerConfig{Piece: piece})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{before: before}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.before != nil && s.before(w, r) {
			return
		}
		if strings.HasPrefix(r.URL.Path, "/snapshots/") {
			w = &counting{w, &s.sent}
		}
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handlers that abort are what some tests want
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// counting counts the bytes of bodies.
type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// config fetches the newest, and does not wait.
func config(a *archive.Archive, servers ...*server) Config {
	c := Config{
		Archive: a, Target: archive.Latest, Pause: time.Nanosecond, Rounds: 3,
		AnswerTimeout: 10 * time.Second, ListTimeout: 10 * time.Second, MinSpeed: 3000,
	}
	for _, s := range servers {
		c.Peers = append(c.Peers, s.URL)
	}
	return c
}

func fetchAll(t testing.TB, c Config) Result {
	t.Helper()
	r, err := Fetch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fails runs a fetch that must fail.
func fails(t testing.TB, c Config) *FetchError {
	t.Helper()
	r, err := Fetch(t.Context(), c)
	var failed *FetchError
	if !errors.As(err, &failed) {
		t.Fatalf("fetched %+v, %v", r, err)
	}
	return failed
}

func isList(r *http.Request) bool { return r.URL.Path == "/snapshots" }

func contentRange(first, last, total int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", first, last, total)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
