package erasure

import (
	"cmp"
	"context"
	"errors"
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
	"syscall"
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
	measureBlobs  = 24 // in a round
)

// One missing piece of 10-of-14, pieces of 1 MiB, over HTTP on loopback: the rebuild,
// written to a file and verified, against fetching and hashing ten pieces with the same
// pool at the same time. They alternate: blob by blob, and with several blobs at once.
// On a machine that others use the wall clock measures them too; the CPU time does not,
// nor how well it overlaps.
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
	for _, atOnce := range []int{1, 8} {
		alone, rebuilt := f.measure(t, blobs, atOnce)
		t.Logf("one missing piece of %v, 1 MiB pieces, %d blobs at once, %d times: rebuilt against ten pieces fetched and hashed alone (wanted: at most 1.3)",
			code, atOnce, len(rebuilt))
		for _, m := range []struct {
			what    string
			percent int
			of      func(cost) time.Duration
		}{{"wall, median", 50, cost.Wall}, {"wall, the best tenth", 10, cost.Wall}, {"CPU, median, the server's too", 50, cost.CPU}} {
			a, b := alone.at(m.percent, m.of), rebuilt.at(m.percent, m.of)
			t.Logf("%s: %v against %v: %.2f times", m.what, b.Round(10*time.Microsecond), a.Round(10*time.Microsecond), b.Seconds()/a.Seconds())
		}
	}
}

// measure takes turns, so that both see the same machine.
func (f *servedFleet) measure(t *testing.T, blobs []*striped, atOnce int) (alone, rebuilt spent) {
	t.Helper()
	dir := t.TempDir()
	for round := range measureRounds + 1 {
		runtime.GC()
		for some := range slices.Chunk(blobs, atOnce) {
			a := spend(t, func() { each(some, func(s *striped) { f.fetchAlone(t, s) }) })
			b := spend(t, func() {
				each(some, func(s *striped) { f.rebuildInto(t, s, filepath.Join(dir, fmt.Sprintf("%d-%v", round, s.blob.ID))) })
			})
			if round > 0 { // the first warms up
				alone, rebuilt = append(alone, a), append(rebuilt, b)
			}
		}
	}
	return alone, rebuilt
}

// each does something with all blobs at once.
func each(blobs []*striped, do func(*striped)) {
	var group sync.WaitGroup
	for _, s := range blobs {
		group.Go(func() { do(s) })
	}
	group.Wait()
}

// cost is what something took; CPU is the user and system time of the process.
type cost struct{ wall, cpu time.Duration }

func (c cost) Wall() time.Duration { return c.wall }
func (c cost) CPU() time.Duration  { return c.cpu }

type spent []cost

// at returns what so many percent of them took at most.
func (s spent) at(percent int, of func(cost) time.Duration) time.Duration {
	slices.SortFunc(s, func(a, b cost) int { return cmp.Compare(of(a), of(b)) })
	return of(s[len(s)*percent/100])
}

func spend(t *testing.T, on func()) cost {
	t.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	used, began := cpu(), time.Now()
	on()
	return cost{time.Since(began), cpu() - used}
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
	file, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	p := s.at(0)
	sink := &hashSink{judge: newJudge(s.PieceSize(), s.Pieces[p.Index]), to: file}
	peer, err := f.fetcher.Gather(context.Background(), []syncer.Wanted{{Piece: p, Sink: sink}})
	if err = errors.Join(err, file.Close()); err != nil || !strings.HasPrefix(peer, "10 of 14") {
		t.Errorf("it came from %q, %v, not from a rebuild", peer, err)
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
