package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// hedging measures the tail of four peers, one of which is 500 ms slow for 5 % of its
// requests, with and without racing it. Sound answers take 5 ms, as from the next
// rack or so; a fetch without a server's delay is told as well.
func (m *measurement) hedging(t *testing.T) {
	for _, c := range []struct {
		what   string
		delay  time.Duration
		target string
	}{
		{"answers take 5 ms", 5 * time.Millisecond, "at most 3"},
		{"answers take no time", 0, ""},
	} {
		const blobs, rounds = 8_000, 3
		f := newTiredFleet(t, c.delay)
		var with, without, extra spread
		var median, p99, p999, slow, slower series
		for range rounds {
			took, hedges := f.fetch(t, blobs, 5)
			with = append(with, float64(took[blobs*99/100])/float64(took[blobs/2]))
			extra = append(extra, float64(hedges)/blobs)
			median, p99, p999 = append(median, took[blobs/2]), append(p99, took[blobs*99/100]), append(p999, took[blobs*999/1000])
			took, hedges = f.fetch(t, blobs, -1)
			without = append(without, float64(took[blobs*99/100])/float64(took[blobs/2]))
			slow, slower = append(slow, took[blobs*99/100]), append(slower, took[blobs*999/1000])
			if hedges != 0 {
				t.Errorf("%d hedges, and they are off", hedges)
			}
		}
		m.add(t, finding{
			what: "one of four peers 500 ms slow for 5 % of requests, " + c.what + ": p99 over the median of a fetch", value: with.times(), target: c.target, rounds: rounds,
			detail: fmt.Sprintf("median %s, p99 %s, p99.9 %s; without hedging %s, p99 %s, p99.9 %s", median, p99, p999, without.times(), slow, slower),
		})
		m.add(t, finding{what: "... and the hedges for a hundred requests", value: extra.percent(), target: "at most 5 %", rounds: rounds, detail: fmt.Sprintf("%d fetches a round", blobs)})
		if slices.Max(extra) > 0.05 {
			t.Errorf("%s of extra requests", extra.percent())
		}
	}
}

// tiredFleet is four servers with one piece.
type tiredFleet struct {
	piece syncer.Piece
	urls  []string
}

func newTiredFleet(t *testing.T, delay time.Duration) *tiredFleet {
	piece, content := peertest.NewPiece(1, 4096)
	f := &tiredFleet{piece: piece}
	for i := range 4 {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			wait := delay
			if i == 0 && asked.Add(1)%20 == 0 {
				wait += 500 * time.Millisecond
			}
			if wait > 0 {
				select {
				case <-time.After(wait):
				case <-r.Context().Done():
					return
				}
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}))
		t.Cleanup(server.Close)
		f.urls = append(f.urls, server.URL)
	}
	return f
}

// fetch fetches the piece n times, 16 at a time, and returns how long each took, sorted,
// and how many hedges that needed.
func (f *tiredFleet) fetch(t *testing.T, n, percent int) (took series, hedges uint64) {
	t.Helper()
	var peers []peer.Peer
	for _, url := range f.urls {
		template, err := peer.ParseTemplate(url + "/{id}")
		if err != nil {
			t.Fatal(err)
		}
		p, err := httppeer.New(template, httppeer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
	}
	pool := peertest.NewPool(t, peer.Config{HedgePercent: percent}, peers...)
	took = make(series, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			sink := peertest.NewSink(f.piece)
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				began := time.Now()
				if _, err := pool.Fetch(t.Context(), f.piece, sink); err != nil {
					t.Error(err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	for _, s := range pool.Status() {
		hedges += s.Hedges
		if failed := s.Failed + s.Unreachable + s.WrongBytes + s.Absent; failed > 0 {
			t.Errorf("%s is held to have failed %d times: %s", s.Name, failed, s.LastError)
		}
	}
	return took, hedges
}
