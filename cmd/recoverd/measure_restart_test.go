package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// restart compares the time from exec to the first request to a peer between a
// large catalog and a small one, both killed at 90 %.
func (m *measurement) restart(t *testing.T) {
	const rounds = 21
	peer := newSilentPeer(t)
	large := m.stopAt90(t, peer, "large", m.network(t, "ten-million", 10_000_000, 1_000, 1))
	small := m.stopAt90(t, peer, "small", m.network(t, "thousand", 1_000, 1, 1))
	nothing := func() time.Duration {
		began := time.Now()
		must(t, "version")
		return time.Since(began)
	}
	took := takeTurns(rounds, large.restart, small.restart, nothing)
	m.add(t, finding{
		what:  "restart at 90 %, exec to first request: 10 M blobs against 1,000",
		value: took[0].over(took[1]).times(), target: "at most 2", rounds: rounds,
		detail: fmt.Sprintf("%v and %v, of which exec and exit alone %v", took[0], took[1], took[2]),
	})
}

// stopped is a node that was killed with a tenth of its blobs missing.
type stopped struct {
	t    testing.TB
	peer *silentPeer
	args func(peer string) []string
}

// stopAt90 gives the node the first nine tenths of its blobs, lets it run until
// every slot waits for one of the others and that is saved, and kills it.
func (m *measurement) stopAt90(t testing.TB, peer *silentPeer, name string, net network) *stopped {
	t.Helper()
	root, state := filepath.Join(m.dir, name+"-store"), filepath.Join(m.dir, name+"-state")
	ids := net.ids(t)
	kept := len(ids) * 9 / 10
	net.store(t, root, ids[:kept])
	s := &stopped{t: t, peer: peer, args: func(peer string) []string {
		return append([]string{"run"}, net.args(state, root, peer)...)
	}}
	template, _ := peer.next()
	p := start(t, s.args(template)...)
	const slots = 64 // --concurrency
	until(t, name+" is at 90 %", func() bool {
		if p.hasEnded() {
			t.Fatalf("it ended by itself: %s", p.stderr.String())
		}
		progress := durableProgress(t, state)
		return progress != nil && len(progress.Unsettled) == slots
	})
	p.kill()
	progress := durableProgress(t, state)
	if got := progress.Counters.AlreadyStored; got != uint64(kept) || progress.Scan.Covers(ids[kept+slots]) {
		t.Fatalf("it was killed with %d of %d stored blobs seen, at %v", got, kept, progress.Scan)
	}
	t.Logf("%s: killed after %d of %d catalog rows, %d of its own %d blobs are there", name, progress.Counters.Looked, net.blobs, kept, len(ids))
	return s
}

// restart returns the time from exec to the first request, and kills the
// process again.
func (s *stopped) restart() time.Duration {
	template, first := s.peer.next()
	began := time.Now()
	p := start(s.t, s.args(template)...)
	defer p.kill()
	select {
	case at := <-first:
		return at.Sub(began)
	case <-p.ended:
		s.t.Fatalf("it ended by itself: %s", p.stderr.String())
	case <-time.After(patience):
		s.t.Fatalf("it asked for nothing: %s", p.stderr.String())
	}
	return 0
}

// silentPeer never answers. Each life of a node gets a prefix of its own, so that
// a request that a killed one left in the kernel is not taken for the next one's.
type silentPeer struct {
	url  string
	gone chan struct{}

	mu    sync.Mutex
	life  int
	first chan time.Time // of this life
}

func newSilentPeer(t testing.TB) *silentPeer {
	s := &silentPeer{gone: make(chan struct{})}
	server := httptest.NewServer(s)
	s.url = server.URL
	t.Cleanup(func() {
		close(s.gone)
		server.Close()
	})
	return s
}

// next begins a life, and tells when its first request comes.
func (s *silentPeer) next() (template string, first <-chan time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life++
	s.first = make(chan time.Time, 1)
	return fmt.Sprintf("%s/%d/{shard}/{id}", s.url, s.life), s.first
}

func (s *silentPeer) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	now := time.Now()
	s.mu.Lock()
	if strings.HasPrefix(r.URL.Path, fmt.Sprintf("/%d/", s.life)) {
		select {
		case s.first <- now:
		default: // not the first
		}
	}
	s.mu.Unlock()
	select {
	case <-s.gone:
	case <-r.Context().Done():
	}
}
