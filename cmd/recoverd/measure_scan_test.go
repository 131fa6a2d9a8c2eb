package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// storedScan compares a whole run over blobs that are all stored with nothing but
// one look-up for each of them.
func (m *measurement) storedScan(t *testing.T) {
	const blobs, total = 1_000_000, 100
	began := time.Now()
	s := &scanned{
		t: t, dir: m.dir, net: m.network(t, "million", blobs, total, total),
		root: filepath.Join(m.dir, "million"), peer: refusingPeer(t),
	}
	s.ids = s.net.ids(t)
	s.net.store(t, s.root, s.ids)
	s.openShards()
	t.Logf("made %d files in %d shards in %v", blobs, total, roundTime(time.Since(began)))

	const warm = 5
	s.run() // fills the caches
	s.opening, s.fresh = nil, nil
	took := takeTurns(warm, s.run, s.lstat, s.fstatat, s.faccessat)
	run, lstat, fstatat, faccessat := took[0], took[1], took[2], took[3]
	m.add(t, finding{
		what: "1 M stored blobs, warm: one stat each against the whole loop", value: lstat.over(run).times(), target: "at least 2.5", rounds: warm,
		detail: fmt.Sprintf("loop %v, %s; lstat %v, %s", run, run.perSecond(blobs), lstat, lstat.perSecond(blobs)),
	})
	m.add(t, finding{
		what: "the same, fstatat in an open directory", value: fstatat.over(run).times(), rounds: warm,
		detail: fmt.Sprintf("fstatat %v, %s; with faccessat %s", fstatat, fstatat.perSecond(blobs), faccessat.over(run).times()),
	})
	m.add(t, finding{
		what: "the same, from the first start to complete", value: lstat.over(s.fresh).times(), rounds: warm,
		detail: fmt.Sprintf("%v; %v of it before the loop, with the proof of the catalog", s.fresh, s.opening),
	})

	const cold = 3
	if err := dropCaches(); err != nil {
		t.Logf("no cold measurement: %v", err)
		return
	}
	took = takeTurns(cold, s.cold(s.run), s.cold(s.lstat))
	run, lstat = took[0], took[1]
	m.add(t, finding{
		what: "1 M stored blobs, cold: one stat each against the whole loop", value: lstat.over(run).times(), target: "at least 2.5", rounds: cold,
		detail: fmt.Sprintf("loop %v, %s; lstat %v, %s", run, run.perSecond(blobs), lstat, lstat.perSecond(blobs)),
	})
}

// scanned is a store in which everything is there.
type scanned struct {
	t    testing.TB
	dir  string
	net  network
	root string
	peer string
	ids  []recovery.BlobID
	fds  []int // of the shard directories
	runs int

	opening series // until the loop began
	fresh   series // until it was complete
}

// refusingPeer is for nodes that have nothing to ask for.
func refusingPeer(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a peer was asked for %s", r.URL)
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/{shard}/{id}"
}

// openShards opens the directories that the look-ups are made in.
func (s *scanned) openShards() {
	for shard := range s.net.total {
		fd, err := unix.Open(shardPath(s.root, shard), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = unix.Close(fd) }) // O_PATH: nothing to lose
		s.fds = append(s.fds, fd)
	}
}

// run takes a fresh node to complete, and returns the time in Worker.Run.
func (s *scanned) run() time.Duration {
	s.runs++
	state := filepath.Join(s.dir, fmt.Sprintf("million-state-%d", s.runs))
	cfg := newNode(s.t, s.net.args(state, s.root, s.peer, "--exit-when-complete")).cfg
	began := time.Now()
	n, err := wire(s.t.Context(), cfg, zerolog.Nop(), &logLevel{})
	if err != nil {
		s.t.Fatal(err)
	}
	ready := time.Now()
	result, err := n.worker.Run(s.t.Context())
	ended := time.Now()
	counters := n.worker.Status().Counters
	if err = errors.Join(err, n.close()); err != nil {
		s.t.Fatal(err)
	}
	if result.Phase != recovery.PhaseComplete || counters.AlreadyStored != s.net.blobs {
		s.t.Fatalf("it ended %s with %s", result.Phase, toJSON(counters))
	}
	s.opening, s.fresh = append(s.opening, ready.Sub(began)), append(s.fresh, ended.Sub(began))
	return ended.Sub(ready)
}

func (s *scanned) lstat() time.Duration {
	return s.lookUp(func(shard uint32, name string) error {
		_, err := os.Lstat(shardPath(s.root, shard) + "/" + name)
		return err
	})
}

func (s *scanned) fstatat() time.Duration {
	return s.lookUp(func(shard uint32, name string) error {
		var st unix.Stat_t
		return unix.Fstatat(s.fds[shard], name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (s *scanned) faccessat() time.Duration {
	return s.lookUp(func(shard uint32, name string) error {
		return unix.Faccessat(s.fds[shard], name, unix.F_OK, 0)
	})
}

// lookUp asks for every blob in the order of the catalog, a page at a time on as
// many goroutines as the store lists directories with.
func (s *scanned) lookUp(ask func(shard uint32, name string) error) time.Duration {
	const page = 1_024
	began := time.Now()
	var next atomic.Int64
	var group errgroup.Group
	for range min(max(runtime.GOMAXPROCS(0), 2), 4) { // fs.Config.Listers
		group.Go(func() error {
			for {
				from := int(next.Add(page)) - page
				if from >= len(s.ids) {
					return nil
				}
				for _, id := range s.ids[from:min(from+page, len(s.ids))] {
					if err := ask(shards.Home(id, s.net.total), id.String()); err != nil {
						return err
					}
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		s.t.Fatal(err)
	}
	return time.Since(began)
}

// cold makes a task begin with nothing in the kernel's caches.
func (s *scanned) cold(task func() time.Duration) func() time.Duration {
	return func() time.Duration {
		if err := dropCaches(); err != nil {
			s.t.Fatal(err)
		}
		return task()
	}
}

// dropCaches drops pages, directory entries and inodes; only root may.
func dropCaches() error {
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return fmt.Errorf("drop caches: %w", err)
	}
	return nil
}
