package peer_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
)

// onlyShard serves the pieces of one shard, and of the others none.
func onlyShard(shard uint32, asked *int) getFunc {
	return func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
		*asked++
		if p.Shard != shard && !p.Manifest {
			return peer.Body{}, peer.Errorf(recovery.Absent, "404")
		}
		return serve([]byte("piece"), 0)(ctx, p, from)
	}
}

// anySink takes what comes.
type anySink struct{ n int64 }

func (s *anySink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }
func (s *anySink) Reset() error                { s.n = 0; return nil }
func (s *anySink) Written() int64              { return s.n }
func (s *anySink) Verify() error               { return nil }

// In a fleet in which each peer holds one shard, a piece is asked for where its shard
// is, once that is known; and what nobody had is not taken for hopeless for ever.
func TestAskedWhereTheShardIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5
		var asked [n]int
		var peers []peer.Peer
		for i := range asked {
			peers = append(peers, &stub{name: fmt.Sprint(i), get: onlyShard(uint32(i), &asked[i])})
		}
		pool, err := peer.New(peer.Config{}, peers...)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		piece := func(blob int, shard uint32) syncer.Piece {
			return syncer.Piece{Shard: shard, Blob: recovery.Blob{ID: sha256.Sum256(fmt.Append(nil, blob)), Encoding: recovery.Striped}}
		}
		round := func(blob int) (requests int) {
			asked = [n]int{}
			for shard := range uint32(n) {
				peer, err := pool.Fetch(t.Context(), piece(blob, shard), &anySink{})
				if err != nil || peer != fmt.Sprint(shard) {
					t.Errorf("shard %d came from %q: %v", shard, peer, err)
				}
			}
			for _, times := range asked {
				requests += times
			}
			return requests
		}
		if o := pool.Outlook(piece(0, 3)); o != peer.Unclear {
			t.Errorf("before anything was asked the outlook is %d", o)
		}
		round(0)
		if requests := round(1); requests != n {
			t.Errorf("%d requests for %d pieces", requests, n)
		}
		if o := pool.Outlook(piece(2, 3)); o != peer.Promising {
			t.Errorf("where a peer holds the shard the outlook is %d", o)
		}
		var failed *syncer.FetchError
		if _, err := pool.Fetch(t.Context(), piece(0, n), &anySink{}); !errors.As(err, &failed) || !failed.Definite() {
			t.Errorf("a shard that nobody holds: %v", err)
		}
		if o := pool.Outlook(piece(1, n)); o != peer.Dim {
			t.Errorf("where nobody holds the shard the outlook is %d", o)
		}
		if o := pool.Outlook(syncer.Piece{Blob: piece(1, 0).Blob, Manifest: true}); o != peer.Unclear {
			t.Errorf("for a manifest the outlook is %d", o)
		}
		time.Sleep(2 * time.Minute)
		if o := pool.Outlook(piece(1, n)); o != peer.Unclear {
			t.Errorf("two minutes later it is %d", o)
		}
	})
}

func TestOutlookWithoutPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool, err := peer.New(peer.Config{}, &stub{name: "down", get: fail(recovery.Unreachable, 0, 0), probe: func(context.Context) error { return errors.New("down") }})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		p := syncer.Piece{Blob: recovery.Blob{Encoding: recovery.Striped}}
		if _, err := pool.Fetch(t.Context(), p, &anySink{}); err == nil {
			t.Error("a peer that is down served a piece")
		}
		if o := pool.Outlook(p); o != peer.Hopeless {
			t.Errorf("with no peer to ask the outlook is %d", o)
		}
	})
}
