package syncer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// inWorld runs a test in a world of its own, in virtual time, and closes the
// handler. A closed handler has left no draft open.
func inWorld(t *testing.T, change func(*Config), test func(*testing.T, *world, *Handler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := w.handler(t, change)
		test(t, w, h)
		_ = h.Close()
		if n := w.openDrafts(); n > 0 {
			t.Errorf("%d drafts are left open", n)
		}
	})
}

func TestSyncStoresDurably(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		req := ask(1, 0)
		began := time.Now()
		got := wait(t, h.Sync(req))
		if took := time.Since(began); took != 2*time.Millisecond {
			t.Errorf("a lone blob took %v, want the barrier's idle time", took)
		}
		want := recovery.Outcome{Result: recovery.Success, Peer: "p1", Bytes: req.Blob.Size, Covers: req.Covers}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		home := shards.Home(req.Blob.ID, totalShards)
		if !w.durable(req.Blob, home) {
			t.Error("Success, and it would not survive a power cut")
		}
		if d := w.pieces[pieceKey{id: req.Blob.ID, shard: home}]; !bytes.Equal(d.data, content(0)) {
			t.Errorf("stored %q", d.data)
		}
		got = wait(t, h.Sync(ask(2, 0)))
		want = recovery.Outcome{Result: recovery.Skipped, Reason: recovery.AlreadyStored, Covers: req.Covers}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if n := w.asked[req.Blob.ID]; n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

func TestNothingOwnedNeedsNothing(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		req := ask(1, 0)
		home := shards.Home(req.Blob.ID, totalShards)
		req.Covers.Owned = shards.SetOf((home + 1) % totalShards)
		if o := wait(t, h.Sync(req)); o.Result != recovery.Skipped || w.asked[req.Blob.ID] != 0 {
			t.Errorf("outcome is %+v", o)
		}
		req.Covers = recovery.Covers{}
		wantCancelled(t, wait(t, h.Sync(req)), recovery.OtherSet, false)
	})
}

func TestCancelledReasons(t *testing.T) {
	fail := func(err error) func(Piece) error { return func(Piece) error { return err } }
	for name, c := range map[string]struct {
		change   func(*world)
		request  func(*Request)
		reason   recovery.Reason
		definite bool
	}{
		"absent":        {func(w *world) { clear(w.byID) }, nil, recovery.Absent, true},
		"unknown size":  {nil, func(r *Request) { r.Blob.Size = recovery.SizeUnknown }, recovery.Unverifiable, false},
		"walrus":        {nil, func(r *Request) { r.Blob.Encoding = recovery.Walrus }, recovery.Unverifiable, false},
		"cannot look":   {func(w *world) { w.failHas = fail(syscall.EIO) }, nil, recovery.StoreError, false},
		"cannot create": {func(w *world) { w.failCreate = fail(syscall.EACCES) }, nil, recovery.StoreError, false},
		"no room to create": {func(w *world) {
			w.failCreate = fail(fmt.Errorf("open: %w", syscall.ENOSPC))
		}, nil, recovery.NoSpace, false},
		"no room to write": {func(w *world) {
			w.failWrite = func(Piece, int) error { return syscall.ENOSPC }
		}, nil, recovery.NoSpace, false},
		"no room to seal":    {func(w *world) { w.failSeal = fail(syscall.EDQUOT) }, nil, recovery.NoSpace, false},
		"no room to publish": {func(w *world) { w.failPublish = fail(syscall.ENOSPC) }, nil, recovery.NoSpace, false},
		"cannot publish":     {func(w *world) { w.failPublish = fail(syscall.EIO) }, nil, recovery.StoreError, false},
		"fetcher without a contract": {func(w *world) {
			w.instead = func(context.Context, Piece, Sink) (string, error) { return "", errors.New("boom") }
		}, nil, recovery.PeerFailed, false},
		"fetcher that does not look": {func(w *world) {
			w.instead = func(_ context.Context, _ Piece, sink Sink) (string, error) {
				_, _ = sink.Write([]byte("anything"))
				return "p1", nil
			}
		}, nil, recovery.WrongBytes, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
				w.serve(1)
				if c.change != nil {
					c.change(w)
				}
				req := ask(1, 0)
				if c.request != nil {
					c.request(&req)
				}
				wantCancelled(t, wait(t, h.Sync(req)), c.reason, c.definite)
				if len(w.pieces) > 0 {
					t.Error("something was published")
				}
				if n := w.openDrafts(); n > 0 {
					t.Errorf("%d drafts are left open", n)
				}
			})
		})
	}
}

// Hazards 69, 70 and 75: whatever a peer sends in place of the blob goes nowhere
// near its name.
func TestAPageForTheBrowser(t *testing.T) {
	for name, body := range map[string]string{
		"short body":  string(content(0)[:5]),
		"empty body":  "",
		"page":        "<!doctype html><title>Sign in</title>",
		"endless":     strings.Repeat("x", 1<<20),
		"same length": strings.Repeat("x", len(content(0))),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
				w.byID[ask(1, 0).Blob.ID] = []byte(body)
				o := wait(t, h.Sync(ask(1, 0)))
				wantCancelled(t, o, recovery.WrongBytes, true)
				if len(w.pieces) > 0 || o.Bytes != 0 {
					t.Error("wrong bytes were kept")
				}
			})
		})
	}
}

// Hazard 73.
func TestADripOfOneByteASecond(t *testing.T) {
	inWorld(t, func(c *Config) { c.Deadline, c.MinSpeed = 5*time.Second, 4 }, func(t *testing.T, w *world, h *Handler) {
		w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
			for i := 0; ; i++ {
				if err := pause(ctx, time.Second); err != nil {
					return "", &FetchError{Answers: []PeerAnswer{{Peer: "p1", Reason: recovery.PeerFailed, Err: err}}}
				}
				if _, err := sink.Write(content(0)[i : i+1]); err != nil {
					return "", err
				}
			}
		}
		began := time.Now()
		watch := h.Sync(ask(1, 0)) // 21 bytes
		synctest.Wait()
		time.Sleep(3500 * time.Millisecond)
		if s := watch.Status(); s != (Status{Stage: Fetching, Bytes: 3}) {
			t.Errorf("status is %+v", s)
		}
		o := wait(t, watch)
		wantCancelled(t, o, recovery.Deadline, false)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v, want 5 s and a second for each 4 of its 21 bytes", took)
		}
	})
}

// A definite answer counts although the time was up for the other peers.
func TestDefiniteAnswerOutlivesTheDeadline(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
			<-ctx.Done()
			return "", &FetchError{Answers: []PeerAnswer{
				{Peer: "p1", Reason: recovery.Absent, Err: errNotHere},
				{Peer: "p2", Reason: recovery.Deadline, Err: ctx.Err()},
			}}
		}
		wantCancelled(t, wait(t, h.Sync(ask(1, 0))), recovery.Absent, true)
	})
}

// Hazard 28.
func TestOneDeadSourceHoldsUpAllOtherWork(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(10)
		dead := ask(1, 0).Blob.ID
		w.instead = func(ctx context.Context, p Piece, sink Sink) (string, error) {
			if p.Blob.ID == dead {
				<-ctx.Done()
				return "", &FetchError{}
			}
			return "p1", send(sink, w.byID[p.Blob.ID])
		}
		h.Sync(ask(1, 0))
		began := time.Now()
		var watches []*Watch
		for n := 1; n < 10; n++ {
			watches = append(watches, h.Sync(ask(1, n)))
		}
		for _, watch := range watches {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("the others took %v", took)
		}
	})
}

// Hazard 20: a slot is free as soon as the bytes are in the store, and not held
// while the barrier collects and flushes.
func TestSlotHoarding(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		w.flush = func(*memVolume) error { time.Sleep(time.Hour); return nil }
		watch := h.Sync(ask(1, 0))
		synctest.Wait()
		if s := watch.Status(); s != (Status{Stage: Stored, Bytes: ask(1, 0).Blob.Size, Peer: "p1"}) {
			t.Errorf("status before any flush is %+v", s)
		}
		if !h.Flying(ask(1, 0).Blob.ID) {
			t.Error("not flying, and not durable")
		}
		if o := wait(t, watch); o.Result != recovery.Success {
			t.Errorf("outcome is %+v", o)
		}
		if h.Flying(ask(1, 0).Blob.ID) {
			t.Error("flying after its end")
		}
	})
}

// I10: what is sealed and not published never exceeds the barrier's room and
// what waits to be handed in.
func TestSlowDiskHoldsBackTheFetchers(t *testing.T) {
	inWorld(t, func(c *Config) { c.Barrier.Blobs = 8 }, func(t *testing.T, w *world, h *Handler) {
		w.serve(200)
		w.flush = func(*memVolume) error { time.Sleep(100 * time.Millisecond); return nil }
		const slots = 4
		held := make(chan struct{}, slots)
		var all sync.WaitGroup
		for n := range 200 {
			held <- struct{}{}
			watch := h.Sync(ask(1, n))
			all.Go(func() {
				for changed := watch.Changed(); watch.Status().Stage < Stored; changed = watch.Changed() {
					<-changed
				}
				<-held
				if o := wait(t, watch); o.Result != recovery.Success {
					t.Errorf("outcome is %+v", o)
				}
			})
		}
		all.Wait()
		if w.unnamed > 8+slots {
			t.Errorf("%d drafts were sealed and not published at one time, room is for 8 and there are %d slots", w.unnamed, slots)
		}
		if w.flushes > 110 {
			t.Errorf("%d flushes for 200 blobs", w.flushes)
		}
	})
}

// Hazard 45. Every later request is answered at once, also where the piece is
// under its name: nothing says that the name is durable.
func TestFsyncFailed(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(2)
		names := false
		w.flush = func(*memVolume) error {
			if names {
				return syscall.EIO
			}
			names = true
			return nil
		}
		wantCancelled(t, wait(t, h.Sync(ask(1, 0))), recovery.NotDurable, false)
		if has, _ := w.Has(t.Context(), Piece{Blob: ask(1, 0).Blob, Shard: shards.Home(ask(1, 0).Blob.ID, totalShards)}); !has {
			t.Fatal("the test wants a name that is there and not durable")
		}
		wantCancelled(t, wait(t, h.Sync(ask(1, 0))), recovery.NotDurable, false)
		wantCancelled(t, wait(t, h.Sync(ask(1, 1))), recovery.NotDurable, false)
		w.failHas = func(Piece) error { return syscall.EIO }
		wantCancelled(t, wait(t, h.Sync(ask(1, 1))), recovery.NotDurable, false)
		if !h.Flying(ask(1, 0).Blob.ID) {
			t.Error("its name may be taken for durable")
		}
		if n := w.flushes; n != 2 {
			t.Errorf("%d flushes, want no third", n)
		}
		if !errors.Is(h.Err(), syscall.EIO) || !errors.Is(h.Close(), ErrNotDurable) {
			t.Errorf("Err is %v", h.Err())
		}
	})
}

// The barrier fails between two looks: what is there by then is not skipped.
func TestFlushFailsWhileLookingForThePiece(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		if o := wait(t, h.Sync(ask(1, 0))); o.Result != recovery.Success {
			t.Fatalf("outcome is %+v", o)
		}
		w.failHas = func(Piece) error { h.barrier.fail(syscall.EIO); return nil }
		wantCancelled(t, wait(t, h.Sync(ask(1, 0))), recovery.NotDurable, false)
	})
}

func TestConfigValidate(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*Config){
		"no store":      func(c *Config) { c.Store = nil },
		"no fetcher":    func(c *Config) { c.Fetcher = nil },
		"raw verifier":  func(c *Config) { c.Verifiers = map[recovery.Encoding]Verifier{recovery.Raw: contentVerifier{}} },
		"deadline":      func(c *Config) { c.Deadline = -1 },
		"speed":         func(c *Config) { c.MinSpeed = -1 },
		"barrier blobs": func(c *Config) { c.Barrier.Blobs = -1 },
		"barrier bytes": func(c *Config) { c.Barrier.Bytes = -1 },
		"barrier delay": func(c *Config) { c.Barrier.Delay = time.Hour },
		"barrier idle":  func(c *Config) { c.Barrier.Idle = -1 },
	} {
		cfg := Config{Store: w.memStore, Fetcher: w.memFetcher}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestDeadlineGrowsWithTheSize(t *testing.T) {
	cfg := Config{}.withDefaults()
	for size, want := range map[int64]time.Duration{
		0:        30 * time.Second,
		64 << 10: 31 * time.Second,
		64 << 20: 30*time.Second + 1024*time.Second,
		maxPiece: 30*time.Second + 365*24*time.Hour,
	} {
		if got := cfg.timeFor(size); got != want {
			t.Errorf("%d bytes get %v, want %v", size, got, want)
		}
	}
}
