package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"path"
	"sync"
	"time"
)

// demoFleet is peers that serve one store.
type demoFleet struct {
	peers []*demoPeer

	mu    sync.Mutex
	life  int
	whole [2]map[string]bool // ids served whole and truthfully, by life
	lied  int
}

type demoPeer struct {
	name, about, url string
	server           *http.Server
}

const demoDelay = 20 * time.Millisecond

// demoMember is a peer as it is meant to be.
type demoMember struct {
	name, about string
	handler     http.Handler
}

// hashedMembers are three peers: one as it should be, one slow, and one that lies about
// some blobs.
func hashedMembers(f *demoFleet, blobs http.Handler) []demoMember {
	return []demoMember{
		{"1", "as it should be", f.counting(blobs)},
		{"2", "slow, 20 ms an answer", slow(f.counting(blobs))},
		{"3", "lies about one blob in eight", f.lying(blobs)},
	}
}

func startDemoFleet(blobs http.Handler, members func(*demoFleet, http.Handler) []demoMember) (*demoFleet, error) {
	f := &demoFleet{whole: [2]map[string]bool{{}, {}}}
	for _, p := range members(f, blobs) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.close()
			return nil, err
		}
		peer := &demoPeer{name: p.name, about: p.about, url: "http://" + l.Addr().String(), server: &http.Server{Handler: p.handler, ReadHeaderTimeout: 5 * time.Second}}
		f.peers = append(f.peers, peer)
		go func() { _ = peer.server.Serve(l) }() // ends with Close
	}
	return f, nil
}

func (f *demoFleet) close() {
	for _, p := range f.peers {
		_ = p.server.Close()
	}
}

// counting notes which blobs were served whole.
func (f *demoFleet) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counted := &countingWriter{ResponseWriter: w}
		next.ServeHTTP(counted, r)
		if counted.err == nil {
			f.mu.Lock()
			f.whole[f.life][path.Base(r.URL.Path)] = true
			f.mu.Unlock()
		}
	})
}

// countingWriter remembers whether writing failed. It hides the underlying
// writer's ReadFrom, which would go past it.
type countingWriter struct {
	http.ResponseWriter
	err error
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.err = errors.Join(c.err, err)
	return n, err
}

func slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(demoDelay)
		next.ServeHTTP(w, r)
	})
}

// lying flips a bit in the blobs whose id ends in one of two digits.
func (f *demoFleet) lying(next http.Handler) http.Handler {
	honest := f.counting(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := path.Base(r.URL.Path)
		if last := id[len(id)-1]; last != '0' && last != '8' {
			honest.ServeHTTP(w, r)
			return
		}
		f.mu.Lock()
		f.lied++
		f.mu.Unlock()
		next.ServeHTTP(&lyingWriter{ResponseWriter: w}, r)
	})
}

type lyingWriter struct{ http.ResponseWriter }

func (l *lyingWriter) Write(p []byte) (int, error) {
	p = bytes.Clone(p)
	p[len(p)/2] ^= 1
	return l.ResponseWriter.Write(p)
}

func (f *demoFleet) servedBlobs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.whole[0])
}

func (f *demoFleet) nextLife() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life = 1
}

// redone counts the blobs served whole before the kill and again after it.
func (f *demoFleet) redone() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.whole[1] {
		if f.whole[0][id] {
			n++
		}
	}
	return n
}

func (f *demoFleet) lies() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lied
}
