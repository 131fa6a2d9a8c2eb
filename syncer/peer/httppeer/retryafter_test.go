package httppeer_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// Hazard 72.
func TestRetryAfter(t *testing.T) {
	piece, _ := peertest.NewPiece(1, 10)
	for _, c := range []struct {
		header string
		status int
		want   time.Duration
	}{
		{"Retry-After: 1000000000", 503, peer.RestMax},
		{"Retry-After: 99999999999999999999999", 429, peer.RestMax},
		{"Retry-After: 0", 429, peer.RestMin},
		{"Retry-After: -5", 503, peer.RestMin},
		{"Retry-After: 7", 503, 7 * time.Second},
		{"Retry-After: soon", 503, peer.RestMin},
		{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 503, peer.RestMax},
		{"Retry-After: Sat, 01 Jan 2000 00:00:00 GMT", 503, peer.RestMin},
		{"X: y", 503, peer.RestMin},
		{"Retry-After: 7", 500, 0},
	} {
		server := newRawServer(t, func(x *exchange) { x.answer(c.status, c.header+"\nContent-Length: 0", "") })
		p := newPeer(t, server.URL+"/{id}")
		_, err := p.Get(t.Context(), piece, peer.Resume{})
		var failed *peer.Error
		if !errors.As(err, &failed) || failed.Rest != c.want || failed.Reason != recovery.PeerFailed {
			t.Errorf("%d %s: %+v, want a rest of %v", c.status, c.header, err, c.want)
		}
		p.Close()
	}
}

// While a peer rests it is not asked.
func TestRestingIsNotAsked(t *testing.T) {
	piece, _ := peertest.NewPiece(1, 10)
	server := newRawServer(t, func(x *exchange) {
		x.answer(http.StatusTooManyRequests, "Retry-After: 1000000000\nContent-Length: 0", "")
	})
	pool := peertest.NewPool(t, quick, newPeer(t, server.URL+"/{id}"))
	for range 3 {
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err == nil {
			t.Fatal("fetched")
		}
	}
	if n, h := len(server.seen()), pool.Health(); n != 1 || h.Reachable != 0 {
		t.Errorf("asked %d times, health %+v", n, h)
	}
}
