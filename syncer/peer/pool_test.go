package peer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/mempeer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

func TestNewRefuses(t *testing.T) {
	for name, open := range map[string]func() (*peer.Pool, error){
		"no peers":       func() (*peer.Pool, error) { return peer.New(peer.Config{}) },
		"too many peers": func() (*peer.Pool, error) { return peer.New(peer.Config{}, manyPeers(peer.MaxPeers+1)...) },
		"bad limit":      func() (*peer.Pool, error) { return peer.New(peer.Config{MinSpeed: -1}, mempeer.New("a")) },
	} {
		if pool, err := open(); !errors.Is(err, peer.ErrConfig) {
			t.Errorf("%s: %v, %v", name, pool, err)
		}
	}
}

func manyPeers(n int) (peers []peer.Peer) {
	for range n {
		peers = append(peers, mempeer.New("same"))
	}
	return peers
}

func TestNamesAreUnique(t *testing.T) {
	pool := peertest.NewPool(t, peer.Config{}, manyPeers(3)...)
	var names []string
	for _, s := range pool.Status() {
		names = append(names, s.Name)
	}
	if d := cmp.Diff([]string{"same", "same#2", "same#3"}, names); d != "" {
		t.Error(d)
	}
}

// One Fetch asks all peers, and says what each of them answered.
func TestFailover(t *testing.T) {
	piece, content := peertest.NewPiece(1, 1000)
	bad := []peer.Peer{
		&stub{name: "lacks", get: fail(recovery.Absent, 0, 0)},
		&stub{name: "lies", get: serve(content[1:], 0)},
		&stub{name: "breaks", get: fail(recovery.PeerFailed, 0, 0)},
		&stub{name: "is off", get: fail(recovery.Unreachable, 0, 0), probe: func(context.Context) error { return syscall.ECONNREFUSED }},
	}
	pool := peertest.NewPool(t, peer.Config{}, bad...)
	for _, last := range []bool{true, false} { // the second time one of them is not asked
		_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
		var failed *syncer.FetchError
		if !errors.As(err, &failed) || failed.Reason() != recovery.WrongBytes || !failed.Definite() {
			t.Fatalf("%v", err)
		}
		got := make(map[string]recovery.Reason)
		for _, a := range failed.Answers {
			got[a.Peer] = a.Reason
		}
		want := map[string]recovery.Reason{"lacks": recovery.Absent, "lies": recovery.WrongBytes,
			"breaks": recovery.PeerFailed, "is off": recovery.Unreachable}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if asked := !errors.Is(err, peer.ErrNotAsked); asked != last {
			t.Errorf("%v", err)
		}
	}
	good := peertest.NewPool(t, peer.Config{}, append(bad, &stub{name: "good", get: serve(content, 0)})...)
	sink := peertest.NewSink(piece)
	if name, err := good.Fetch(t.Context(), piece, sink); name != "good" {
		t.Errorf("served by %q, %v", name, err)
	}
	if d := cmp.Diff([]string{"lacks", "lies", "breaks", "is off", "good"}, sink.Peers()); d != "" {
		t.Errorf("noted peers: %s", d)
	}
}

// A full disk is not the peer's fault, and no other peer is asked.
func TestSinkErrorsArePassedOn(t *testing.T) {
	piece, content := peertest.NewPiece(1, 1000)
	pool := peertest.NewPool(t, peer.Config{}, &stub{name: "a", get: serve(content, 0)}, &stub{name: "b", get: serve(content, 0)})
	sink := peertest.NewSink(piece)
	sink.OnWrite = func(int) error { return fmt.Errorf("write: %w", syscall.ENOSPC) }
	_, err := pool.Fetch(t.Context(), piece, sink)
	var failed *syncer.FetchError
	if !errors.Is(err, syscall.ENOSPC) || errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
	for _, s := range pool.Status() {
		if s.Failed+s.WrongBytes != 0 || s.InFlight != 0 || s.LastError != "" {
			t.Errorf("blamed: %+v", s)
		}
	}
}

// Hazard 28.
func TestOneDeadSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		var hung atomic.Int64
		dead := &stub{name: "dead", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
			hung.Add(1)
			return fail(recovery.Unreachable, 0, 10*time.Second)(ctx, p, from)
		}} // it accepts connections, so that every probe succeeds
		pool := peertest.NewPool(t, peer.Config{}, dead, &stub{name: "good", get: serve(content, 10*time.Millisecond)})
		began := time.Now()
		var wg sync.WaitGroup
		const workers, each = 16, 1000
		for range workers {
			wg.Go(func() {
				for range each {
					if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		// Each worker meets it once at the start, until the good peer has more in
		// flight; then one at a time tries it.
		if n := hung.Load(); n == 0 || n > workers {
			t.Errorf("the dead peer was asked %d times", n)
		}
		if d, alone := time.Since(began), each*10*time.Millisecond; d > 3*alone {
			t.Errorf("took %v, without the dead peer it takes %v", d, alone)
		}
	})
}

// Hazard 28: a peer that accepts and hangs comes back again and again. Each time
// it costs one request, however many are waiting.
func TestDeadSourceIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		pool := peertest.NewPool(t, peer.Config{},
			&stub{name: "dead", get: fail(recovery.Unreachable, 0, 10*time.Second)},
			&stub{name: "good", get: serve(content, 10*time.Millisecond)})
		for round := range uint64(3) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n, want := pool.Status()[0].Unreachable, 8+round; n != want {
				t.Errorf("after round %d the dead peer was asked %d times, want %d", round, n, want)
			}
			time.Sleep(10 * time.Minute) // it is reachable again, and its failures have faded
		}
	})
}

// Hazard 29.
func TestEveryPeerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 10)
		var down atomic.Bool
		var asked atomic.Int64
		var probes []time.Duration
		var lost time.Time
		p := &stub{name: "a", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
			asked.Add(1)
			if down.Load() {
				return fail(recovery.Unreachable, 0, 0)(ctx, p, from)
			}
			return serve(content, 0)(ctx, p, from)
		}, probe: func(context.Context) error {
			probes = append(probes, time.Since(lost))
			if down.Load() {
				return errors.New("refused")
			}
			return nil
		}}
		pool := peertest.NewPool(t, peer.Config{}, p)
		mustChange(t, pool, recovery.PeerHealth{Reachable: 1, Total: 1})

		down.Store(true)
		lost = time.Now()
		for range 1000 {
			if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); reasonOf(err) != recovery.Unreachable {
				t.Fatalf("%v", err)
			}
		}
		if n := asked.Load(); n != 1 || time.Since(lost) != 0 {
			t.Errorf("asked %d times in %v: a peer that is down must be left alone, and a Fetch must not wait for it", n, time.Since(lost))
		}
		mustChange(t, pool, recovery.PeerHealth{Reachable: 0, Total: 1})

		time.AfterFunc(100*time.Second, func() { down.Store(false) })
		mustChange(t, pool, recovery.PeerHealth{Reachable: 1, Total: 1, Returns: 1})
		want := []time.Duration{1, 3, 7, 15, 31, 61, 91, 121}
		for i := range want {
			want[i] *= time.Second
		}
		if d := cmp.Diff(want, probes); d != "" {
			t.Errorf("probes: %s", d)
		}
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
			t.Errorf("back: %v", err)
		}
	})
}

func mustChange(t *testing.T, pool *peer.Pool, want recovery.PeerHealth) {
	t.Helper()
	if err := pool.Changed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, pool.Health()); d != "" {
		t.Fatalf("health: %s", d)
	}
}

func TestChangedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := peertest.NewPool(t, peer.Config{}, mempeer.New("a"))
		mustChange(t, pool, recovery.PeerHealth{Reachable: 1, Total: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := pool.Changed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing changed: %v", err)
		}
		time.AfterFunc(time.Minute, func() { pool.Close() })
		if err := pool.Changed(t.Context()); !errors.Is(err, peer.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// Hazard 74: one that is right but slow, and one that is fast and wrong.
func TestAPeerThatIsRightButSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, wrong := peertest.NewPiece(0, 4096)
		var pieces []syncer.Piece
		slow := mempeer.New("slow")
		for i := range 300 {
			p, content := peertest.NewPiece(uint64(i+1), 4096)
			slow.Put(p.Blob.ID, 0, content)
			pieces = append(pieces, p)
		}
		pool := peertest.NewPool(t, peer.Config{},
			&stub{name: "fast", get: serve(wrong, time.Microsecond)},
			&stub{name: "slow", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
				if err := pause(ctx, 50*time.Millisecond); err != nil {
					return peer.Body{}, err
				}
				return slow.Get(ctx, p, from)
			}})
		for _, p := range pieces {
			sink := peertest.NewSink(p)
			name, err := pool.Fetch(t.Context(), p, sink)
			if err != nil || name != "slow" || sink.Accepted() == nil {
				t.Fatalf("served by %q, %v", name, err)
			}
		}
		fast := pool.Status()[0]
		if fast.WrongBytes == 0 || fast.WrongBytes > 20 || fast.Fetched != 0 {
			t.Errorf("the liar was believed %d times of %d", fast.WrongBytes, len(pieces))
		}
	})
}

// A peer that lied about an id is asked last for it, for a while.
func TestLiarIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100)
		other, otherContent := peertest.NewPiece(2, 100)
		first := mempeer.New("first")
		first.Put(piece.Blob.ID, 0, content[:99])
		first.Put(other.Blob.ID, 0, otherContent)
		second := mempeer.New("second")
		second.Put(piece.Blob.ID, 0, content)
		second.Put(other.Blob.ID, 0, otherContent)
		pool := peertest.NewPool(t, peer.Config{LiarMemory: time.Minute}, first, second)
		lies := func() uint64 { return pool.Status()[0].WrongBytes }
		fetch := func(p syncer.Piece) string {
			name, err := pool.Fetch(t.Context(), p, peertest.NewSink(p))
			if err != nil {
				t.Fatal(err)
			}
			return name
		}
		for range 10 {
			if name := fetch(piece); name != "second" || lies() != 1 {
				t.Fatalf("served by %s, %d lies", name, lies())
			}
		}
		if name := fetch(other); name != "first" {
			t.Errorf("another blob was served by %s", name)
		}
		second.Delete(piece.Blob.ID, 0)
		if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); reasonOf(err) != recovery.WrongBytes || lies() != 2 {
			t.Errorf("the liar is still asked when nobody else has it: %v", err)
		}
		first.Put(piece.Blob.ID, 0, content)
		second.Put(piece.Blob.ID, 0, content)
		time.Sleep(2 * time.Minute)
		if name := fetch(piece); name != "first" {
			t.Errorf("after a while it was served by %s", name)
		}
	})
}

// Peers that are as good as each other share the load, and a slower one gets
// less of it, but some.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100)
		pool := peertest.NewPool(t, peer.Config{},
			&stub{name: "a", get: serve(content, 10*time.Millisecond)},
			&stub{name: "b", get: serve(content, 10*time.Millisecond)},
			&stub{name: "slow", get: serve(content, 80*time.Millisecond)})
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				for range 100 {
					if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s := pool.Status()
		a, b, slow := s[0].Fetched, s[1].Fetched, s[2].Fetched
		if a+b+slow != 3200 || a < 1000 || b < 1000 || slow == 0 || slow > 600 {
			t.Errorf("the load was spread %d, %d, %d", a, b, slow)
		}
	})
}
