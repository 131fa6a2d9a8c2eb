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

// heldSink counts how often, and how long, it was held.
type heldSink struct {
	*peertest.Sink
	holds int
	since time.Time
	held  time.Duration
}

func (s *heldSink) Hold()    { s.holds, s.since = s.holds+1, time.Now() }
func (s *heldSink) Release() { s.held += time.Since(s.since) }

var _ syncer.Holder = (*heldSink)(nil)

// All transfers together keep to the limit, whatever their number; they end
// together, since none of them is preferred; and being held is no slowness of the
// peer's.
func TestBandwidthIsSharedFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const transfers, size, limit = 20, 100 << 10, 64 << 10
		piece, content := peertest.NewPiece(1, size)
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: serve(content, 0)})
		pool.SetBandwidth(limit)
		began := time.Now()
		var took [transfers]time.Duration
		var all sync.WaitGroup
		for n := range transfers {
			all.Go(func() {
				sink := &heldSink{Sink: peertest.NewSink(piece)}
				if _, err := pool.Fetch(t.Context(), piece, sink); err != nil {
					t.Error(err)
				}
				took[n] = time.Since(began)
				if sink.holds == 0 || sink.held < took[n]-time.Second {
					t.Errorf("held %d times for %v of %v", sink.holds, sink.held, took[n])
				}
			})
		}
		all.Wait()
		want := time.Duration(transfers*size) * time.Second / limit
		for n, d := range took {
			if d > want+time.Second || d < want*8/10 {
				t.Errorf("transfer %d of %d took %v, want nearly %v as all of them together", n, transfers, d, want)
			}
		}
		if s := pool.Status()[0]; s.Failed > 0 || s.State != peer.Reachable {
			t.Errorf("the peer is blamed: %+v", s)
		}
	})
}

// A change takes effect at once, for those that wait too: at the first limit each of
// a hundred waits for 50 s at a time.
func TestBandwidthChangesWhileTheyWait(t *testing.T) {
	for _, tc := range []struct {
		name  string
		limit int64
		took  time.Duration
	}{
		{"raised", 1 << 20, 11 * time.Second},
		{"taken away", 0, 10 * time.Second},
		{"lowered", 512, (10 + 1979) * time.Second}, // 10 KiB and a burst had been read
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				piece, content := peertest.NewPiece(1, 10<<10)
				pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: serve(content, 0)})
				pool.SetBandwidth(1 << 10)
				began := time.Now()
				time.AfterFunc(10*time.Second, func() { pool.SetBandwidth(tc.limit) })
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() {
						if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if took := time.Since(began); took > tc.took+3*time.Second || took < tc.took-3*time.Second {
					t.Errorf("it took %v, want about %v", took, tc.took)
				}
			})
		})
	}
}

// Who waits for its share hears that it is cancelled, and gives the share back.
func TestCancelledWhileHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 64<<10)
		small, few := peertest.NewPiece(2, 512)
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
			if p == small {
				return serve(few, 0)(ctx, p, from)
			}
			return serve(content, 0)(ctx, p, from)
		}})
		pool.SetBandwidth(1 << 10)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := pool.Fetch(ctx, piece, peertest.NewSink(piece))
		if reasonOf(err) != recovery.Deadline || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if s := pool.Status()[0]; s.InFlight != 0 || s.Failed > 0 {
			t.Errorf("%+v", s)
		}
		began = time.Now()
		if _, err := pool.Fetch(t.Context(), small, peertest.NewSink(small)); err != nil || time.Since(began) > time.Second/2 {
			t.Errorf("the next one took %v: %v", time.Since(began), err)
		}
	})
}

// The deadline of a whole piece is a cause where it can be held; it is told as one.
func TestDeadlineAsACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100)
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: serve(content, time.Minute)})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(context.DeadlineExceeded) })
		if _, err := pool.Fetch(ctx, piece, peertest.NewSink(piece)); reasonOf(err) != recovery.Deadline {
			t.Errorf("%v", err)
		}
	})
}

func TestLiarsAreNamed(t *testing.T) {
	piece, content := peertest.NewPiece(1, 100)
	other, _ := peertest.NewPiece(2, 100)
	pool := peertest.NewPool(t, peer.Config{}, &stub{name: "lies", get: serve(content[1:], 0)}, &stub{name: "good", get: serve(content, 0)})
	if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
		t.Fatal(err)
	}
	if liars := pool.Liars(piece.Blob.ID); len(liars) != 1 || liars[0] != "lies" {
		t.Errorf("liars are %v", liars)
	}
	if liars := pool.Liars(other.Blob.ID); len(liars) != 0 {
		t.Errorf("of another blob they are %v", liars)
	}
}
