package peer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

// Hazard 73: a drip of one byte a second. What is slow, but not too slow, may
// go on.
func TestPace(t *testing.T) {
	const size = 100_000
	piece, content := peertest.NewPiece(1, size)
	unsized := piece
	unsized.Blob.Size = recovery.SizeUnknown
	cfg := peer.Config{MinSpeed: 1000, Window: 10 * time.Second, TryGrace: 30 * time.Second, TrySpeed: 2000}
	for _, c := range []struct {
		name  string
		piece syncer.Piece
		get   getFunc
		want  recovery.Reason // empty: served
		cause error
		most  time.Duration
	}{
		{"one byte a second", piece, dripping(content, 1, time.Second), recovery.PeerFailed, peer.ErrTooSlow, 10 * time.Second},
		{"silence in the body", piece, dripping(content, 1, time.Hour), recovery.PeerFailed, peer.ErrTooSlow, 10 * time.Second},
		{"silence after a good start", piece, func(ctx context.Context, _ syncer.Piece, _ peer.Resume) (peer.Body, error) {
			return peer.Body{ReadCloser: &stall{drip{ctx, content, size / 2, time.Second}}, Length: size}, nil
		}, recovery.PeerFailed, peer.ErrTooSlow, 20 * time.Second},
		{"slow, but enough", piece, dripping(content, 2000, time.Second), "", nil, 50 * time.Second},
		{"enough, but not for long", piece, dripping(content, 1200, time.Second), recovery.Deadline, peer.ErrDeadline, 80 * time.Second},
		{"the same, size unknown", unsized, dripping(content, 1200, time.Second), recovery.Deadline, peer.ErrDeadline, 80 * time.Second},
		{"an answer after half a minute", piece, serve(content, 29*time.Second), "", nil, 29 * time.Second},
		{"no answer at all", piece, serve(content, time.Hour), recovery.Deadline, peer.ErrDeadline, 80 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := peertest.NewPool(t, cfg, &stub{name: "a", get: c.get})
				began := time.Now()
				_, err := pool.Fetch(t.Context(), c.piece, peertest.NewSink(piece))
				took := time.Since(began)
				if reasonOf(err) != c.want || !errors.Is(err, c.cause) || took > c.most {
					t.Errorf("%v after %v; want %q within %v", err, took, c.want, c.most)
				}
			})
		})
	}
}

// stall gives one part, and then nothing until its context ends.
type stall struct{ drip }

func (s *stall) Read(b []byte) (int, error) {
	if len(s.left) < s.n {
		s.n = 1
	}
	n, err := s.drip.Read(b)
	s.delay = time.Hour
	return n, err
}

// A disk of ours that is slow is not the peer's fault.
func TestPaceDoesNotCountTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 300_000)
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: dripping(content, 64<<10, time.Millisecond)})
		sink := peertest.NewSink(piece)
		sink.OnWrite = func(int) error { time.Sleep(10 * time.Minute); return nil }
		if _, err := pool.Fetch(t.Context(), piece, sink); err != nil {
			t.Error(err)
		}
	})
}

// A cancelled Fetch says that it was cancelled, whatever peers said before.
func TestCallerCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100)
		pool := peertest.NewPool(t, peer.Config{},
			&stub{name: "a", get: fail(recovery.Absent, 0, 0)}, &stub{name: "b", get: serve(content, time.Minute)})
		why := errors.New("superseded")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		_, err := pool.Fetch(ctx, piece, peertest.NewSink(piece))
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || reasonOf(err) != "" {
			t.Errorf("%v", err)
		}
	})
}

// The deadline of a caller ends a Fetch, and no further peer is asked.
func TestCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100)
		pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: serve(content, time.Minute)}, &stub{name: "b", get: serve(content, 0)})
		why := errors.New("superseded")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		_, err := pool.Fetch(ctx, piece, peertest.NewSink(piece))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, why) || reasonOf(err) != recovery.Deadline {
			t.Errorf("%v", err)
		}
		for _, s := range pool.Status() {
			if s.Fetched+s.Failed+s.Unreachable != 0 || s.InFlight != 0 || s.State != peer.Reachable {
				t.Errorf("%+v", s)
			}
		}
	})
}
