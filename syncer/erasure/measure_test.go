package erasure

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
)

var measure = flag.Bool("measure", false, "measure a rebuild against fetching its pieces alone; the machine should be idle")

const (
	measureRounds = 7
	measureBlobs  = 24 // in a round, one after the other
)

// One missing piece of 10-of-14, pieces of 1 MiB, over HTTP on loopback: the rebuild,
// written to a file and verified, against fetching and hashing ten pieces with the same
// pool at the same time. Rounds alternate; the medians are compared.
func TestMeasureRebuild(t *testing.T) {
	if !*measure {
		t.Skip("only with -measure")
	}
	code := Code{10, 14}
	f := newServedFleet(t, code)
	blobs := make([]*striped, measureBlobs)
	for i := range blobs {
		blobs[i] = newStriped(t, code, uint64(i), 10<<20)
		f.serve(t, blobs[i])
	}
	dir := t.TempDir()
	var alone, rebuilt []time.Duration
	for round := range measureRounds + 1 {
		runtime.GC()
		var a, b time.Duration
		for i, s := range blobs { // in turn, so that both see the same machine
			began := time.Now()
			f.fetchAlone(t, s)
			a += time.Since(began)
			began = time.Now()
			f.rebuildInto(t, s, filepath.Join(dir, fmt.Sprintf("%d-%d", round, i)))
			b += time.Since(began)
		}
		if round > 0 { // the first warms up
			alone, rebuilt = append(alone, a), append(rebuilt, b)
		}
	}
	slices.Sort(alone)
	slices.Sort(rebuilt)
	a, b := alone[measureRounds/2], rebuilt[measureRounds/2]
	t.Logf("one missing piece of %v, 1 MiB pieces, medians of %d rounds of %d blobs: rebuilt in %v a blob, ten pieces fetched and hashed alone in %v: %.2f times (wanted: at most 1.3)",
		code, measureRounds, measureBlobs, (b / measureBlobs).Round(10*time.Microsecond), (a / measureBlobs).Round(10*time.Microsecond), b.Seconds()/a.Seconds())
}

// servedFleet is an HTTP server for each shard but the first.
type servedFleet struct {
	pool    *peer.Pool
	fetcher *Fetcher

	mu    sync.RWMutex
	files map[string][]byte // by path
}

func newServedFleet(t *testing.T, code Code) *servedFleet {
	t.Helper()
	f := &servedFleet{files: map[string][]byte{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.RLock()
		data, ok := f.files[r.URL.Path]
		f.mu.RUnlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	var peers []peer.Peer
	for range 4 {
		template, err := peer.ParseTemplate(server.URL + "/{shard}/{id}")
		must(t, err)
		p, err := httppeer.New(template, httppeer.Config{})
		must(t, err)
		peers = append(peers, p)
	}
	var err error
	f.pool, err = peer.New(peer.Config{}, peers...)
	must(t, err)
	t.Cleanup(func() { must(t, f.pool.Close()) })
	f.fetcher, err = New(Config{Peers: f.pool, Outlook: func(p syncer.Piece) Outlook { return Outlook(f.pool.Outlook(p)) }})
	must(t, err)
	return f
}

func (f *servedFleet) serve(t *testing.T, s *striped) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files["/manifest/"+s.blob.ID.String()] = s.encoded
	for shard := range uint32(s.N) {
		if shard > 0 {
			f.files[fmt.Sprintf("/%d/%v", shard, s.blob.ID)] = s.pieces[s.at(shard).Index]
		}
	}
}

// fetchAlone fetches and hashes K pieces at the same time.
func (f *servedFleet) fetchAlone(t *testing.T, s *striped) {
	var group sync.WaitGroup
	for shard := range shards.Range(1, uint32(s.K)).All() {
		group.Go(func() {
			p := s.at(shard)
			if _, err := f.pool.Fetch(context.Background(), p, &hashSink{judge: newJudge(s.PieceSize(), s.Pieces[p.Index])}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// rebuildInto writes the missing piece to a file.
func (f *servedFleet) rebuildInto(t *testing.T, s *striped, path string) {
	t.Helper()
	file, err := os.Create(path)
	must(t, err)
	p := s.at(0)
	sink := &hashSink{judge: newJudge(s.PieceSize(), s.Pieces[p.Index]), to: file}
	peer, err := f.fetcher.Gather(t.Context(), []syncer.Wanted{{Piece: p, Sink: sink}})
	must(t, err)
	must(t, file.Close())
	if !strings.HasPrefix(peer, "10 of 14") {
		t.Fatalf("it came from %q, not from a rebuild", peer)
	}
}

// hashSink judges what comes, and keeps it in a file if there is one.
type hashSink struct {
	judge   *judge
	to      io.Writer
	written int64
}

func (h *hashSink) Write(p []byte) (int, error) {
	h.judge.hash.Write(p)
	h.written += int64(len(p))
	if h.to == nil {
		return len(p), nil
	}
	return h.to.Write(p)
}

func (h *hashSink) Reset() error {
	if h.written > 0 && h.to != nil {
		return fmt.Errorf("begun again after %d bytes", h.written)
	}
	h.judge.Reset()
	h.written = 0
	return nil
}

func (h *hashSink) Written() int64 { return h.written }
func (h *hashSink) Verify() error  { return h.judge.Verify() }
