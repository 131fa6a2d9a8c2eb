package peer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// Only what may mean that a peer has too much to do is counted as such.
func TestOverload(t *testing.T) {
	piece, content := peertest.NewPiece(1, 100_000)
	for _, c := range []struct {
		name string
		get  getFunc
		want uint64
	}{
		{"served", serve(content, 0), 0},
		{"absent", fail(recovery.Absent, 0, 0), 0},
		{"500", fail(recovery.PeerFailed, 0, 0), 0},
		{"503", fail(recovery.PeerFailed, time.Second, 0), 1},
		{"no answer", fail(recovery.Unreachable, 0, 0), 0},
		{"too slow", dripping(content, 1, time.Second), 1},
		{"too long", serve(content, time.Hour), 1},
		{"wrong", serve(content[1:], 0), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: c.get})
				_, _ = pool.Fetch(t.Context(), piece, peertest.NewSink(piece)) // how it ends is another test's concern
				if n := pool.Overload(); n != c.want {
					t.Errorf("%d signs of overload, want %d", n, c.want)
				}
			})
		})
	}
}
