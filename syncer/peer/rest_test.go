package peer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// Hazard 72: whatever a peer asks for, it rests for 1 s to 30 s.
func TestRests(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		time.Nanosecond:             time.Second,
		7 * time.Second:             7 * time.Second,
		1_000_000_000 * time.Second: 30 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			piece, _ := peertest.NewPiece(1, 10)
			pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: fail(recovery.PeerFailed, asked, 0)})
			mustChange(t, pool, recovery.PeerHealth{Reachable: 1, Total: 1})
			began := time.Now()
			if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); reasonOf(err) != recovery.PeerFailed {
				t.Errorf("%v", err)
			}
			_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
			if reasonOf(err) != recovery.Unreachable || !errors.Is(err, peer.ErrNotAsked) {
				t.Errorf("while it rests: %v", err)
			}
			mustChange(t, pool, recovery.PeerHealth{Reachable: 0, Total: 1})
			mustChange(t, pool, recovery.PeerHealth{Reachable: 1, Total: 1})
			if d := time.Since(began); d != want {
				t.Errorf("asked for %v, rested %v, want %v", asked, d, want)
			}
		})
	}
}

// A peer that only fails rests longer and longer, and is never given up.
func TestFailingRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 10)
		broken := true
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
			if broken {
				return fail(recovery.PeerFailed, 0, 0)(ctx, p, from)
			}
			return serve(content, 0)(ctx, p, from)
		}})
		fetch := func() error {
			_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
			return err
		}
		for range peer.RestAfter {
			if err := fetch(); reasonOf(err) != recovery.PeerFailed {
				t.Fatal(err)
			}
		}
		for _, rest := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			began := time.Now()
			for pool.Health().Reachable == 0 {
				if err := pool.Changed(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if d := time.Since(began); d != rest*time.Second {
				t.Errorf("rested %v, want %v s", d, int(rest))
			}
			if err := fetch(); reasonOf(err) != recovery.PeerFailed {
				t.Fatal(err)
			}
		}
		broken = false
		time.Sleep(peer.RestMax + time.Second)
		for range 10 {
			if err := fetch(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A peer that came back and is the only one gets one request, however many wait: they
// all learn from it whether it is sound.
func TestTheOnlyPeerIsTriedOnce(t *testing.T) {
	for _, mended := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			piece, content := peertest.NewPiece(1, 100)
			only := &far{name: "only", content: content, answers: unhurried, err: peer.Errorf(recovery.PeerFailed, "status 500")}
			pool := peertest.NewPool(t, peer.Config{}, only)
			for range peer.RestAfter {
				_, _ = pool.Fetch(t.Context(), piece, peertest.NewSink(piece)) // that is how it comes to rest
			}
			time.Sleep(peer.RestMin + time.Millisecond)
			only.asked = nil
			if mended {
				only.err = nil
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			var wg sync.WaitGroup
			for range 15 {
				wg.Go(func() {
					if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); (err == nil) != mended {
						t.Errorf("%v", err)
					}
				})
			}
			synctest.Wait()
			wg.Go(func() {
				if _, err := pool.Fetch(ctx, piece, peertest.NewSink(piece)); !errors.Is(err, errCut) || reasonOf(err) != "" {
					t.Errorf("cancelled while it waited for the verdict: %v", err)
				}
			})
			synctest.Wait()
			cancel(errCut)
			synctest.Wait()
			if n := len(only.seen()); n != 1 {
				t.Errorf("asked %d times before its first answer", n)
			}
			wg.Wait()
			want := 1
			if mended {
				want = 15
			}
			if n := len(only.seen()); n != want || pool.Status()[0].InFlight != 0 {
				t.Errorf("asked %d times, want %d; %+v", n, want, pool.Status()[0])
			}
		})
	}
}
