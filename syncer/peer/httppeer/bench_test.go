package httppeer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/httppeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

func BenchmarkFetch4K(b *testing.B) { benchmarkFetch(b, 4<<10) }
func BenchmarkFetch8M(b *testing.B) { benchmarkFetch(b, 8<<20) }

// benchmarkFetch fetches one piece of n bytes over and over, 16 at a time for
// each core, from a server in the same process over kept connections.
func benchmarkFetch(b *testing.B, n int) {
	piece, content := peertest.NewPiece(1, n)
	length := strconv.Itoa(n)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", length)
		_, _ = w.Write(content) // a client that went away is not the server's concern
	}))
	b.Cleanup(server.Close)
	tmpl, err := peer.ParseTemplate(fmt.Sprintf("%s/{aa}/{id}", server.URL))
	if err != nil {
		b.Fatal(err)
	}
	p, err := httppeer.New(tmpl, httppeer.Config{})
	if err != nil {
		b.Fatal(err)
	}
	pool := peertest.NewPool(b, peer.Config{}, p)
	b.SetBytes(int64(n))
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		sink := peertest.NewSink(piece)
		for pb.Next() {
			if _, err := pool.Fetch(b.Context(), piece, sink); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "fetches/s")
}
