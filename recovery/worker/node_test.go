package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// asked is what the node hears.
type asked struct {
	outcome recovery.Outcome
	err     error
}

// nodeAsks asks for a blob on a goroutine of its own.
func (p *process) nodeAsks(ctx context.Context, b recovery.Blob) <-chan asked {
	answer := make(chan asked, 1)
	go func() {
		o, err := p.worker.Sync(ctx, b.ID)
		answer <- asked{o, err}
	}()
	return answer
}

// Hazard 88. The node joins a flight of a run that is superseded, or asks for a blob
// by itself while the run is: it gets an outcome that holds for what it asked, and so
// does the new run for what it asks.
func TestNodeOutlivesARun(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*ownership)
		asked  int // fetches in all
	}{
		{"the same shards", func(o *ownership) { o.continuity = "gap" }, 1},
		{"other shards", func(o *ownership) { o.owned = "1-3" }, 1},
	} {
		for _, joins := range []bool{true, false} {
			inWorld(t, 0, func(t *testing.T, w *world) {
				for n := 0; len(w.blobs) == 0 || shards.Home(w.blobs[0].ID, totalShards) != 0; n++ {
					w.blobs = nil
					if b := blobOf(content(n)); shards.Home(b.ID, totalShards) == 0 {
						w.certify(n)
						break
					}
				}
				hang := make(chan struct{})
				p := w.start(func(s *setup) {
					s.onFetch = func(ctx context.Context, _ recovery.BlobID, _ int) error {
						select {
						case <-hang:
							return nil
						case <-ctx.Done():
							return ctx.Err()
						}
					}
				})
				p.until("the fetch is under way", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 1 })
				if !joins { // the node's request is the only one left when the run is paused and gone
					p.must(p.worker.Pause(t.Context(), true))
				}
				answer := p.nodeAsks(t.Context(), w.blobs[0])
				synctest.Wait()
				w.assign(tc.change)
				p.until("a new run", time.Second, func(s worker.Status) bool { return s.Run == 2 })
				time.Sleep(10 * time.Second)
				close(hang)
				got := <-answer
				if got.err != nil || got.outcome.Result != recovery.Success || got.outcome.Covers.Total != totalShards || got.outcome.Covers.Owned.String() != "0-3" {
					t.Errorf("%s: the node hears %+v, %v", tc.name, got.outcome, got.err)
				}
				if !joins {
					p.must(p.worker.Pause(t.Context(), false))
				}
				p.untilPhase(recovery.PhaseComplete, time.Minute)
				if n := p.fetches.of(w.blobs[0].ID); n != tc.asked {
					t.Errorf("%s: fetched %d times", tc.name, n)
				}
				p.stop()
				w.checkComplete()
			})
		}
	}
}

// What the node asks for is not settled by that, but looked at again: a parked blob
// that the node gets is settled at once.
func TestNodeGetsAParkedBlob(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		p := parkedWorld(w, 2)
		w.serve(w.blobs[0])
		o, err := p.worker.Sync(t.Context(), w.blobs[0].ID)
		if err != nil || o.Result != recovery.Success || o.Peer == "" {
			t.Errorf("%+v, %v", o, err)
		}
		s := p.until("the run knows", time.Second, func(s worker.Status) bool { return s.Unsettled.Total == 1 })
		if s.Counters.AlreadyStored != 1 || s.Counters.Stored != 4 {
			t.Errorf("the run counts %+v", s.Counters)
		}
		o, err = p.worker.Sync(t.Context(), w.blobs[0].ID)
		if err != nil || o.Result != recovery.Skipped || o.Reason != recovery.AlreadyStored {
			t.Errorf("once more: %+v, %v", o, err)
		}
	})
}

// What cannot be fetched now is Cancelled and never Skipped; Skipped says what holds.
func TestNodeAsksInVain(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		w.own.owned, w.own.node = "0-2", shards.CatchingUp
		w.disk.SetCapacity(1 << 20)
		w.catalog.SetEpoch(5)
		gone := w.certify(30)
		w.catalog.Remove(gone.ID)
		expired := w.certify(31)
		w.catalog.Add(recovery.Row{Blob: expired, EndEpoch: 8})
		var foreign recovery.Blob
		for _, b := range w.blobs {
			if b != gone && b != expired && !concerns(b, w.ownedSet()) {
				foreign = b
			}
		}
		if !concerns(gone, w.ownedSet()) || !concerns(expired, w.ownedSet()) {
			t.Fatal("the test's blobs are on other shards")
		}
		p := w.start(func(s *setup) { s.store.MinFree = 1 << 10 })
		p.until("ownership is known", time.Minute, func(s worker.Status) bool { return s.Ownership != nil })
		hears := func(b recovery.Blob, result recovery.Result, reason recovery.Reason, text string) {
			t.Helper()
			o, err := p.worker.Sync(t.Context(), b.ID)
			if err != nil || o.Result != result || o.Reason != reason || !strings.Contains(o.Err, text) {
				t.Errorf("want %v (%s): %+v, %v", result, reason, o, err)
			}
			if result == recovery.Skipped && o.JudgedAt.Position == 0 {
				t.Errorf("%s: it does not say at which state", reason)
			}
		}
		hears(w.blobs[0], recovery.Cancelled, recovery.NotReady, "catching_up")
		w.assign(func(o *ownership) { o.node, o.epoch = shards.Active, 8 })
		p.until("the scan is done", time.Minute, func(s worker.Status) bool { return s.Counters.Passes == 1 && s.Unsettled.Total == 0 })
		hears(gone, recovery.Skipped, recovery.NotCertified, "")
		hears(expired, recovery.Skipped, recovery.Expired, "")
		hears(foreign, recovery.Cancelled, recovery.OtherSet, "0-2")
		w.disk.SetCapacity(1)
		time.Sleep(2 * time.Second)
		hears(w.owned()[0], recovery.Cancelled, recovery.NoSpace, "fewer than")
	})
}

// Who gives up takes its request back: nothing goes on for nobody, and a run's flight
// goes on. The end of the worker ends every question.
func TestNodeGivesUp(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.lose(w.blobs[0])
		var hangs atomic.Bool
		p := w.start(limits(4, 1), func(s *setup) {
			s.onFetch = func(ctx context.Context, _ recovery.BlobID, _ int) error {
				if hangs.Load() {
					<-ctx.Done()
				}
				return ctx.Err()
			}
		})
		p.untilPhase(recovery.PhaseIncomplete, time.Minute)
		hangs.Store(true)
		giveUp := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if o, err := p.worker.Sync(ctx, w.blobs[0].ID); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v, %v", o, err)
			}
			synctest.Wait()
		}
		if giveUp(); p.handler.Flying(w.blobs[0].ID) {
			t.Error("a flight goes on for nobody")
		}
		_, err := p.worker.Retry(t.Context(), nil)
		p.must(err)
		synctest.Wait()
		if giveUp(); !p.handler.Flying(w.blobs[0].ID) {
			t.Error("the run's flight ended with the node's request")
		}
		p.must(p.worker.Pause(t.Context(), true)) // so that nothing newer is pinned
		late := w.certify(7)
		if o, err := p.worker.Sync(t.Context(), late.ID); err != nil || o.Reason != recovery.NotCertified {
			t.Errorf("a blob that is newer than the catalog pinned: %+v, %v", o, err)
		}
		p.stop()
		if _, err := p.worker.Sync(t.Context(), w.blobs[1].ID); !errors.Is(err, worker.ErrEnded) {
			t.Errorf("%v", err)
		}
	})
}

// The node has slots of its own, and a bounded number of them; who joins a flight
// needs none.
func TestNodeSlotsAreBounded(t *testing.T) {
	inWorld(t, 40, func(t *testing.T, w *world) {
		p := w.start(limits(1, 10), taking(time.Second), func(s *setup) { s.worker.NodeSlots = 3 })
		p.until("fetching", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 1 })
		var all sync.WaitGroup
		for _, b := range w.blobs {
			all.Go(func() {
				if o, err := p.worker.Sync(t.Context(), b.ID); err != nil || o.Result == recovery.Cancelled {
					t.Errorf("%+v, %v", o, err)
				}
			})
		}
		all.Wait()
		if total, most := p.fetches.count(); most != 1+3 || total != 40 {
			t.Errorf("%d fetches, at most %d at once; want 40 and 4", total, most)
		}
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
	})
}
