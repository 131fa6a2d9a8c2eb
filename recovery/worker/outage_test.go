package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer"
)

// taking makes every fetch take d.
func taking(d time.Duration) func(*setup) {
	return func(s *setup) {
		s.onFetch = func(ctx context.Context, _ recovery.BlobID, _ int) error { return pause(ctx, d) }
	}
}

func limits(slots int, parkAfter uint32) func(*setup) {
	return func(s *setup) { s.worker.Machine.Slots, s.worker.Machine.ParkAfter = slots, parkAfter }
}

// Hazards 91 and 29. Ten minutes without a peer park nothing and leave the list
// small; the first peer that is back settles everything within a minute.
func TestOutageParksAll(t *testing.T) {
	for name, before := range map[string]time.Duration{"from the start": 0, "in the middle": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 400, func(t *testing.T, w *world) {
				const slots = 8
				if before == 0 {
					w.setDown(true)
				}
				p := w.start(limits(slots, 2), taking(100*time.Millisecond))
				time.Sleep(before)
				w.setDown(true)
				time.Sleep(time.Second)
				for range 60 {
					time.Sleep(10 * time.Second)
					s := p.worker.Status()
					if s.Counters.Parkings > 0 || s.Unsettled.Total > 3*slots {
						t.Fatalf("parked %d times, %d are unsettled", s.Counters.Parkings, s.Unsettled.Total)
					}
					if s.Blocked != "no peer can be reached" || s.Phase != recovery.PhaseScanning {
						t.Fatalf("%v, blocked: %q", s.Phase, s.Blocked)
					}
				}
				w.peers[1].SetDown(false)
				p.untilPhase(recovery.PhaseComplete, time.Minute)
				p.stop()
				w.checkComplete()
			})
		})
	}
}

// Hazard 20. Blobs that wait for their next try hold no slot: everything else
// goes past them.
func TestSlotHoarding(t *testing.T) {
	inWorld(t, 66, func(t *testing.T, w *world) {
		for _, b := range w.blobs[:6] {
			w.lose(b)
		}
		p := w.start(limits(2, 1_000_000), taking(100*time.Millisecond))
		s := p.until("all but the absent ones are stored", 30*time.Second, func(s worker.Status) bool { return s.Counters.Stored == 60 })
		if s.Unsettled.Total != 6 || s.Unsettled.Parked > 0 {
			t.Errorf("unsettled: %+v", s.Unsettled)
		}
	})
}

// Hazard 21. Retries take a slot like everybody else.
func TestRetriesBeyondTheCap(t *testing.T) {
	inWorld(t, 100, func(t *testing.T, w *world) {
		const slots = 4
		failed := &syncer.FetchError{Answers: []syncer.PeerAnswer{{Peer: "a", Reason: recovery.PeerFailed, Err: context.DeadlineExceeded}}}
		p := w.start(limits(slots, 10), exitWhenComplete, func(s *setup) {
			s.onFetch = func(ctx context.Context, _ recovery.BlobID, n int) error {
				if err := pause(ctx, 300*time.Millisecond); err != nil || n > 2 {
					return err
				}
				return failed
			}
		})
		p.finish(5 * time.Minute)
		if total, most := p.fetches.count(); most != slots || total != 3*100 {
			t.Errorf("%d fetches, at most %d at once; want 300 and %d", total, most, slots)
		}
		w.checkComplete()
	})
}

// Hazard 20. What waits to be durable holds no slot either.
func TestFlushingHoldsNoSlot(t *testing.T) {
	inWorld(t, 40, func(t *testing.T, w *world) {
		cache := newPageCache()
		t.Cleanup(cache.open)
		p := w.start(limits(2, 10), taking(100*time.Millisecond), func(s *setup) { s.worker.Store, s.syncer.Store = cache, cache })
		p.until("all are stored and not durable", time.Minute, func(s worker.Status) bool { return s.Unsettled.Flushing == 40 })
		cache.open()
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// A volume that is nearly full when the store is opened, half-way between two
// looks at the free space, gets nothing at all.
func TestLowSpaceFromTheStart(t *testing.T) {
	inWorld(t, 50, func(t *testing.T, w *world) {
		w.disk.SetCapacity(1 << 20)
		w.own.owned = ""
		p := w.start(func(s *setup) { s.store.MinFree = 2 << 20 })
		time.Sleep(500 * time.Millisecond)
		w.assign(func(o *ownership) { o.owned = "0-3" })
		time.Sleep(time.Minute)
		if asked, _ := p.fetches.count(); asked > 0 || p.worker.Status().Blocked == "" {
			t.Errorf("%d fetches without room, blocked: %q", asked, p.worker.Status().Blocked)
		}
		w.disk.SetCapacity(1 << 30)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
	})
}
