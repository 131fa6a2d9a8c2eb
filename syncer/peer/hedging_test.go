package peer_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/peer"
	"github.com/recoverd/recoverd/syncer/peer/peertest"
)

const unhurried = 10 * time.Millisecond // how long a sound peer takes to answer

// fleet returns four peers of a piece, the first of which is 500 ms slow for one of
// twenty requests, in turns to answer and to send on.
func fleet(content []byte) (all []*far, peers []peer.Peer) {
	for _, name := range []string{"tired", "b", "c", "d"} {
		all = append(all, &far{name: name, content: content, answers: unhurried, chunk: 2048})
		peers = append(peers, all[len(all)-1])
	}
	all[0].every, all[0].slow = 20, 500*time.Millisecond
	return all, peers
}

// fetchMany fetches a piece n times, by some workers, and returns how long each took.
func fetchMany(t *testing.T, pool *peer.Pool, piece syncer.Piece, workers, n int) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range n / workers {
				began := time.Now()
				if _, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// sum adds up what the peers did.
func sum(pool *peer.Pool) (all peer.PeerStatus) {
	for _, s := range pool.Status() {
		all.Fetched += s.Fetched
		all.Failed += s.Failed + s.Unreachable + s.WrongBytes + s.Absent
		all.Hedges += s.Hedges
		all.HedgeWins += s.HedgeWins
		all.Beaten += s.Beaten
		all.InFlight += s.InFlight
	}
	return all
}

// One of four peers is 500 ms slow for one of twenty requests. With hedging that is not
// noticed; it costs at most 5 % more requests, and nobody is held to have failed.
func TestHedgingCutsTheTail(t *testing.T) {
	const n = 4_000
	for _, c := range []struct {
		percent int
		good    bool
	}{{5, true}, {-1, false}} {
		synctest.Test(t, func(t *testing.T) {
			piece, content := peertest.NewPiece(1, 4096)
			all, peers := fleet(content)
			pool := peertest.NewPool(t, peer.Config{HedgePercent: c.percent}, peers...)
			took := fetchMany(t, pool, piece, 16, n)
			p50, tail := took[n/2], took[n*999/1000] // fewer are slow than 1 %: the tired peer is asked less
			if good := tail <= 3*p50; good != c.good {
				t.Errorf("hedging %d %%: half took %v, 99.9 %% took %v", c.percent, p50, tail)
			}
			s := sum(pool)
			t.Logf("hedging %d %%: half took %v, 99 %% %v, 99.9 %% %v, all %v; %d hedges of %d", c.percent, p50, took[n*99/100], tail, took[n-1], s.Hedges, n)
			if s.Hedges*100 > n*5 || s.Fetched != n || s.Failed != 0 || s.InFlight != 0 {
				t.Errorf("%+v", s)
			}
			if s.Beaten != s.HedgeWins || c.good && s.Beaten == 0 || !c.good && s.Hedges != 0 {
				t.Errorf("%+v", s)
			}
			for _, f := range all {
				if f.open != 0 {
					t.Errorf("%d bodies of %s are open", f.open, f.name)
				}
			}
		})
	}
}

// warm makes a pool know how long answers take, and earns it some hedges.
func warm(t *testing.T, pool *peer.Pool, piece syncer.Piece) {
	t.Helper()
	fetchMany(t, pool, piece, 1, 400)
	if s := sum(pool); s.Hedges != 0 {
		t.Fatalf("hedged while all were quick: %+v", s)
	}
}

// A body that stops is gone on with from the other peer, from where it stopped; the
// loser is closed at once.
func TestHedgeInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100_000
		piece, content := peertest.NewPiece(1, size)
		a, b := &far{name: "a", content: content, chunk: 10_000}, &far{name: "b", content: content, chunk: 10_000}
		pool := peertest.NewPool(t, peer.Config{}, a, b)
		warm(t, pool, piece)
		a.asked, b.asked = nil, nil
		a.stall, b.answers = time.Hour, time.Millisecond
		began := time.Now()
		sink := peertest.NewSink(piece)
		name, err := pool.Fetch(t.Context(), piece, sink)
		if took := time.Since(began); err != nil || name != "b" || took > 100*time.Millisecond || !bytes.Equal(sink.Accepted(), content) {
			t.Errorf("by %q after %v: %v", name, took, err)
		}
		if !slices.Equal(a.seen(), []int64{0}) || !slices.Equal(b.seen(), []int64{10_000}) || a.open+b.open != 0 {
			t.Errorf("asked a for %v, b for %v; open: %d and %d", a.seen(), b.seen(), a.open, b.open)
		}
		if d := slices.Compare(sink.Peers(), []string{"a", "b"}); d != 0 {
			t.Errorf("noted %v", sink.Peers())
		}
	})
}

// A peer that was kept waiting for delivers first after all: the rival is closed, and
// is not held to have failed.
func TestHedgeThatLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		a, b := &far{name: "a", content: content, answers: unhurried}, &far{name: "b", content: content, answers: unhurried}
		pool := peertest.NewPool(t, peer.Config{}, a, b)
		warm(t, pool, piece)
		a.answers, b.answers = 100*time.Millisecond, time.Hour
		name, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
		s := sum(pool)
		if err != nil || name != "a" || s.Hedges != 1 || s.HedgeWins != 0 || s.Failed != 0 || s.InFlight != 0 || a.open+b.open != 0 {
			t.Errorf("by %q: %v; %+v", name, err, s)
		}
	})
}

// A rival that delivers when nobody waits any more is closed.
func TestHedgeThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		a, b := &far{name: "a", content: content, answers: unhurried}, &far{name: "b", content: content, answers: unhurried}
		heedless := &stub{name: "b", get: func(ctx context.Context, p syncer.Piece, from peer.Resume) (peer.Body, error) {
			return b.Get(context.WithoutCancel(ctx), p, from)
		}}
		pool := peertest.NewPool(t, peer.Config{}, a, heedless)
		warm(t, pool, piece)
		a.answers, b.answers = 100*time.Millisecond, time.Second
		name, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
		s := sum(pool)
		if err != nil || name != "a" || s.Hedges != 1 || s.HedgeWins != 0 || s.Failed != 0 || s.InFlight != 0 || a.open+b.open != 0 {
			t.Errorf("by %q: %v; %+v; open: %d and %d", name, err, s, a.open, b.open)
		}
	})
}

// A rival that can only begin again is no help in the middle of a blob.
func TestHedgeThatBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 100_000)
		a := &far{name: "a", content: content, chunk: 50_000}
		b := &far{name: "b", content: content, noRange: true, answers: time.Millisecond}
		pool := peertest.NewPool(t, peer.Config{}, a, b)
		warm(t, pool, piece)
		a.stall = 100 * time.Millisecond
		sink := peertest.NewSink(piece)
		name, err := pool.Fetch(t.Context(), piece, sink)
		s := sum(pool)
		if err != nil || name != "a" || s.Hedges != 1 || s.HedgeWins != 0 || s.Failed != 0 || a.open+b.open != 0 || !bytes.Equal(sink.Accepted(), content) {
			t.Errorf("by %q: %v; %+v", name, err, s)
		}
	})
}

// A rival that fails is counted, and told; the one that is waited for goes on.
func TestHedgeThatFails(t *testing.T) {
	for _, last := range []bool{false, true} { // whether the other one fails too, later
		synctest.Test(t, func(t *testing.T) {
			piece, content := peertest.NewPiece(1, 4096)
			a, b := &far{name: "a", content: content, answers: unhurried}, &far{name: "b", content: content, answers: unhurried}
			pool := peertest.NewPool(t, peer.Config{}, a, b)
			warm(t, pool, piece)
			a.answers, b.err = 100*time.Millisecond, peer.Errorf(recovery.Absent, "status 404")
			if last {
				a.err = peer.Errorf(recovery.PeerFailed, "status 500")
			}
			_, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
			want := recovery.Reason("")
			if last {
				want = recovery.Absent
			}
			if s := pool.Status(); reasonOf(err) != want || s[1].Absent != 1 || s[0].InFlight+s[1].InFlight != 0 {
				t.Errorf("%v; %+v", err, s)
			}
		})
	}
}

// The one that is waited for fails while a rival is under way: the rival is waited for
// then, and nobody is asked twice.
func TestHedgeTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		a, b := &far{name: "a", content: content, answers: unhurried}, &far{name: "b", content: content, answers: unhurried}
		pool := peertest.NewPool(t, peer.Config{}, a, b)
		warm(t, pool, piece)
		a.answers, b.answers, a.err = 100*time.Millisecond, time.Second, peer.Errorf(recovery.PeerFailed, "status 500")
		b.asked = nil
		name, err := pool.Fetch(t.Context(), piece, peertest.NewSink(piece))
		if s := pool.Status(); err != nil || name != "b" || s[0].Failed != 1 || s[0].Beaten != 0 || len(b.seen()) != 1 {
			t.Errorf("by %q: %v; %+v; asked for %v", name, err, s, b.seen())
		}
	})
}

// A fast liar that wins in the middle of a blob does not spoil it, and the peer it beat
// is not blamed.
func TestHedgeThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100_000
		piece, content := peertest.NewPiece(1, size)
		a, b := &far{name: "a", content: content, chunk: 10_000}, &far{name: "b", content: content, chunk: 10_000}
		pool := peertest.NewPool(t, peer.Config{}, a, b)
		warm(t, pool, piece)
		b.content, b.answers = flip(content, size-1), time.Millisecond
		for i := range 20 {
			a.stall = 0
			fetchMany(t, pool, piece, 1, 40)
			a.stall = 50 * time.Millisecond
			piece.Blob.ID[0] = byte(i) // of another one nothing is known
			sink := peertest.NewSink(piece)
			if _, err := pool.Fetch(t.Context(), piece, sink); err != nil || !bytes.Equal(sink.Accepted(), content) {
				t.Fatal(err)
			}
		}
		if s := pool.Status(); s[0].WrongBytes != 0 || s[1].WrongBytes == 0 || sum(pool).InFlight != 0 {
			t.Errorf("%+v", s)
		}
		if s := pool.Status()[1]; s.Hedges > 2 { // not trusted in the middle until it has served alone
			t.Errorf("it was a rival %d times", s.Hedges)
		}
	})
}

// While anybody has too much to do, nothing is hedged.
func TestNothingIsHedgedUnderOverload(t *testing.T) {
	busy := func(rest time.Duration) func(*far) {
		return func(f *far) {
			f.err = &peer.Error{Reason: recovery.PeerFailed, Rest: rest, Err: context.DeadlineExceeded}
		}
	}
	for _, c := range []struct {
		name   string
		third  func(*far) // what becomes of it
		limit  int64      // bytes a second
		until  time.Duration
		hedges uint64
	}{
		{"all is quiet", nil, 0, 0, 1},
		{"a peer asks to be left alone", busy(time.Second), 0, 4 * time.Second, 0},
		{"a while ago", busy(time.Second), 0, 6 * time.Second, 1},
		{"a peer rests", busy(20 * time.Second), 0, 10 * time.Second, 0},
		{"our own limit holds", nil, 1 << 10, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				piece, content := peertest.NewPiece(1, 4096)
				a, b, third := &far{name: "a", content: content, answers: unhurried}, &far{name: "b", content: content, answers: unhurried}, &far{name: "third", content: content}
				pool := peertest.NewPool(t, peer.Config{}, a, b, third)
				warm(t, pool, piece)
				if c.third != nil {
					c.third(third)
					fetchMany(t, pool, piece, 1, 1)
				}
				if c.limit > 0 {
					pool.SetBandwidth(c.limit)
					fetchMany(t, pool, piece, 1, 2)
				}
				time.Sleep(c.until)
				third.err = peer.Errorf(recovery.Absent, "status 404")
				a.answers, b.answers = time.Second, time.Second
				fetchMany(t, pool, piece, 1, 1)
				if s := sum(pool); s.Hedges != c.hedges {
					t.Errorf("%d hedges, want %d", s.Hedges, c.hedges)
				}
			})
		})
	}
}

// With one usable peer there is nobody to race it.
func TestOnePeerIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		a := &far{name: "a", content: content, answers: unhurried}
		down := &stub{name: "down", get: fail(recovery.Unreachable, 0, 0), probe: func(context.Context) error { return errCut }}
		pool := peertest.NewPool(t, peer.Config{}, a, down)
		warm(t, pool, piece)
		a.answers = 2 * time.Second
		fetchMany(t, pool, piece, 1, 2)
		if s := sum(pool); s.Hedges != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Hazard 28: a peer that takes requests and never answers is found out, although
// others always win against it: it gets one request at a time.
func TestOneDeadSourceIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece, content := peertest.NewPiece(1, 4096)
		all, peers := fleet(content)
		all[0].every = 0
		pool := peertest.NewPool(t, peer.Config{}, peers...)
		warm(t, pool, piece)
		all[0].answers = time.Hour
		took := fetchMany(t, pool, piece, 16, 4_000)
		s := pool.Status()[0]
		if p99 := took[len(took)*99/100]; p99 > 3*unhurried {
			t.Errorf("99 %% took %v; %+v", p99, s)
		}
		if s.Beaten < peer.RestAfter || s.Beaten > 200 {
			t.Errorf("it was beaten %d times", s.Beaten)
		}
	})
}
