package syncer

import (
	"context"
	"fmt"
	"math"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// gate makes every fetch wait until it is opened, or cancelled.
func gate(w *world) (open func()) {
	opened := make(chan struct{})
	w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
		select {
		case <-opened:
		case <-ctx.Done():
			return "", &FetchError{}
		}
		return "p1", send(sink, w.byID[p.Blob.ID])
	}
	return func() { close(opened) }
}

func TestOneFlightPerID(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		open := gate(w)
		var watches []*Watch
		for i := range 5 {
			watches = append(watches, h.Sync(ask(uint64((i+1)%2), 0))) // a run, the node, the run, ...
			synctest.Wait()
			if s := watches[i].Status().Stage; s != Fetching {
				t.Errorf("who joins sees %v", s)
			}
		}
		open()
		for _, watch := range watches {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
		if n := w.asked[ask(0, 0).Blob.ID]; n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// Hazard 88: the new run's request gets an answer of its own, the old run's end
// notwithstanding.
func TestJoinedFlightFenced(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		open := gate(w)
		older := h.Sync(ask(1, 0))
		synctest.Wait()
		newer := h.Sync(ask(2, 0))
		h.CancelRun(1)
		wantCancelled(t, wait(t, older), recovery.Stopped, false)
		open()
		if o := wait(t, newer); o.Result != recovery.Success {
			t.Errorf("outcome is %+v", o)
		}
		if n := w.asked[ask(0, 0).Blob.ID]; n != 2 {
			t.Errorf("fetched %d times, want once for each run", n)
		}
	})
}

// A newer run does not share what the node began before it: the store may be another
// since, or have lost what that flight has published (I6). Found by the simulation.
func TestFlightFromBeforeTheRun(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(2)
		wait(t, h.Sync(ask(1, 1))) // a run is known
		open := gate(w)
		node := h.Sync(ask(0, 0))
		synctest.Wait()
		same, newer, nodeAgain := h.Sync(ask(1, 0)), h.Sync(ask(2, 0)), h.Sync(ask(0, 0))
		synctest.Wait()
		for watch, want := range map[*Watch]Stage{node: Fetching, same: Fetching, newer: Queued, nodeAgain: Queued} {
			if s := watch.Status().Stage; s != want {
				t.Errorf("one is %v, want %v", s, want)
			}
		}
		open()
		for _, watch := range []*Watch{node, same} {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
		for _, watch := range []*Watch{newer, nodeAgain} {
			if o := wait(t, watch); o.Reason != recovery.AlreadyStored {
				t.Errorf("outcome is %+v", o)
			}
		}
	})
}

// Hazard 6: a request for other shards waits for the flight under way, and is
// then answered for its own.
func TestWrongShardSet(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		open := gate(w)
		older := h.Sync(ask(1, 0))
		other := ask(2, 0)
		other.Covers.Total = math.MaxUint16
		other.Covers.Owned = shards.Range(0, math.MaxUint16)
		newer, third := h.Sync(other), h.Sync(other)
		synctest.Wait()
		if s := newer.Status().Stage; s != Queued {
			t.Errorf("the second one is %v beside the first", s)
		}
		open()
		for watch, covers := range map[*Watch]recovery.Covers{
			older: everything(), newer: other.Covers, third: other.Covers,
		} {
			if o := wait(t, watch); o.Result != recovery.Success || !o.Covers.Equal(covers) {
				t.Errorf("outcome is %v for %d shards, want success for %d", o.Result, o.Covers.Total, covers.Total)
			}
		}
		if n := w.asked[ask(0, 0).Blob.ID]; n != 2 {
			t.Errorf("fetched %d times, want once for each set", n)
		}
	})
}

// A flight that nobody wants any more is stopped; the same run may ask again at
// once and gets a flight of its own, after the first has ended.
func TestAskedAgainWhileStopping(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		stopping := make(chan struct{})
		first := true
		w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
			if first {
				first = false
				<-ctx.Done()
				<-stopping
				return "", &FetchError{}
			}
			return "p1", send(sink, content(0))
		}
		a := h.Sync(ask(1, 0))
		synctest.Wait()
		h.CancelRun(1)
		wantCancelled(t, wait(t, a), recovery.Stopped, false)
		b := h.Sync(ask(1, 0))
		c := h.Sync(ask(1, 0))
		synctest.Wait()
		if s := b.Status().Stage; s != Queued {
			t.Errorf("it is %v while the stopped flight has not ended", s)
		}
		close(stopping)
		for _, watch := range []*Watch{b, c} {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
	})
}

// Cancelling before and in the barrier: no goroutine and no draft is left, and
// what was handed in becomes durable all the same.
func TestCancelRunAtEveryStage(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(3)
		stored := h.Sync(ask(1, 0))
		synctest.Wait()
		open := gate(w)
		defer open()
		fetching := h.Sync(ask(1, 1))
		other := ask(1, 1)
		other.Covers = recovery.Covers{Total: totalShards + 1, Owned: shards.Range(0, totalShards)}
		queued := h.Sync(other)
		kept := h.Sync(ask(2, 2))
		synctest.Wait()
		for watch, stage := range map[*Watch]Stage{stored: Stored, fetching: Fetching, queued: Queued, kept: Fetching} {
			if s := watch.Status().Stage; s != stage {
				t.Errorf("stage is %v, want %v", s, stage)
			}
		}
		h.CancelRun(1)
		for _, watch := range []*Watch{stored, fetching, queued} {
			o := wait(t, watch)
			wantCancelled(t, o, recovery.Stopped, false)
			if o.Covers.Total == 0 {
				t.Error("it does not say what it covers")
			}
		}
		time.Sleep(time.Second)
		if b := ask(1, 0).Blob; !w.durable(b, shards.Home(b.ID, totalShards)) || h.Flying(b.ID) {
			t.Error("what was handed in is not durable")
		}
		if n := w.asked[ask(1, 1).Blob.ID]; n != 1 || h.Flying(ask(1, 1).Blob.ID) {
			t.Errorf("flights that nobody wants go on; fetched %d times", n)
		}
		if s := kept.Status().Stage; s != Fetching {
			t.Errorf("another run's flight is %v", s)
		}
	})
}

// Whoever waits for room in the barrier can be cancelled.
func TestCancelWhileTheDiskHangs(t *testing.T) {
	inWorld(t, func(c *Config) { c.Barrier.Blobs = 1 }, func(t *testing.T, w *world, h *Handler) {
		w.serve(2)
		repaired := make(chan struct{})
		w.flush = func(*memVolume) error { <-repaired; return nil }
		h.Sync(ask(1, 0))
		synctest.Wait()
		h.Sync(ask(1, 1))
		time.Sleep(time.Hour) // no deadline for what is fetched
		if !h.Flying(ask(1, 1).Blob.ID) {
			t.Error("a blob that is fetched and verified was given up")
		}
		h.CancelRun(1)
		synctest.Wait()
		if h.Flying(ask(1, 1).Blob.ID) {
			t.Error("it still waits for room")
		}
		close(repaired)
	})
}

func TestCloseEndsEverything(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(2)
		stored := h.Sync(ask(1, 0))
		synctest.Wait()
		open := gate(w)
		defer open()
		fetching := h.Sync(ask(0, 1))
		synctest.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		for _, watch := range []*Watch{stored, fetching, h.Sync(ask(3, 0))} {
			wantCancelled(t, wait(t, watch), recovery.Stopped, false)
		}
		if b := ask(1, 0).Blob; !w.durable(b, shards.Home(b.ID, totalShards)) {
			t.Error("Close returned before the barrier was empty")
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
}

// pieceVerifier judges pieces of an encoding with one piece a shard.
type pieceVerifier struct{}

func pieceBytes(p Piece) []byte { return fmt.Appendf(nil, "piece %d of %.8s", p.Index, p.Blob.ID) }

func (pieceVerifier) Begin(ctx context.Context, p Piece) (Judge, error) {
	return contentVerifier{}.Begin(ctx, Piece{Blob: rawBlob(pieceBytes(p))})
}

func striped(c *Config) {
	c.Verifiers = map[recovery.Encoding]Verifier{recovery.Walrus: pieceVerifier{}}
}

func askStriped() Request {
	req := ask(1, 0)
	req.Placement = shards.Striped
	req.Blob.Encoding, req.Blob.Size = recovery.Walrus, recovery.SizeUnknown
	return req
}

// A blob of several pieces is Success only when every owned one is durable, and
// only the missing ones are fetched.
func TestSeveralPieces(t *testing.T) {
	inWorld(t, striped, func(t *testing.T, w *world, h *Handler) {
		w.volumeOf = func(shard uint32) uint32 { return shard % 2 }
		var fetched []uint32
		refused := uint32(2)
		w.instead = func(_ context.Context, p Piece, sink Sink) (string, error) {
			if p.Shard == refused {
				return "", &FetchError{Answers: []PeerAnswer{{Peer: "p1", Reason: recovery.Absent, Err: errNotHere}}}
			}
			fetched = append(fetched, p.Shard)
			return "p1", send(sink, pieceBytes(p))
		}
		req := askStriped()
		wantCancelled(t, wait(t, h.Sync(req)), recovery.Absent, true)
		for shard := range refused {
			if !w.durable(req.Blob, shard) {
				t.Errorf("the flight ended before shard %d was durable: the next one would take its name for it", shard)
			}
		}
		refused = totalShards
		o := wait(t, h.Sync(req))
		if o.Result != recovery.Success || o.Bytes != int64(len(pieceBytes(Piece{Blob: req.Blob}))*2) {
			t.Errorf("outcome is %+v", o)
		}
		for shard := range uint32(totalShards) {
			if !w.durable(req.Blob, shard) {
				t.Errorf("Success without shard %d", shard)
			}
		}
		if fmt.Sprint(fetched) != "[0 1 2 3]" {
			t.Errorf("fetched shards %v", fetched)
		}
	})
}

// A failed flush outranks what a peer said of another piece.
func TestFailedFlushOfOneOfSeveralPieces(t *testing.T) {
	inWorld(t, striped, func(t *testing.T, w *world, h *Handler) {
		w.flush = func(*memVolume) error { return syscall.EIO }
		w.instead = func(_ context.Context, p Piece, sink Sink) (string, error) {
			if p.Shard > 0 {
				return "", &FetchError{Answers: []PeerAnswer{{Peer: "p1", Reason: recovery.Absent, Err: errNotHere}}}
			}
			return "p1", send(sink, pieceBytes(p))
		}
		wantCancelled(t, wait(t, h.Sync(askStriped())), recovery.NotDurable, false)
	})
}

// sizedJudge claims a size that no piece has.
type sizedJudge struct {
	Judge
	size int64
}

func (j sizedJudge) Size() int64 { return j.size }

type sizedVerifier int64

func (v sizedVerifier) Begin(ctx context.Context, p Piece) (Judge, error) {
	if v == 0 {
		return nil, errNotHere
	}
	judge, err := pieceVerifier{}.Begin(ctx, p)
	return sizedJudge{judge, int64(v)}, err
}

func TestVerifierWithoutAnAnswer(t *testing.T) {
	for v, reason := range map[sizedVerifier]recovery.Reason{
		0: recovery.PeerFailed, -1: recovery.Unverifiable, maxPiece + 1: recovery.Unverifiable,
	} {
		change := func(c *Config) { c.Verifiers = map[recovery.Encoding]Verifier{recovery.Walrus: v} }
		inWorld(t, change, func(t *testing.T, w *world, h *Handler) {
			wantCancelled(t, wait(t, h.Sync(askStriped())), reason, false)
		})
	}
}
