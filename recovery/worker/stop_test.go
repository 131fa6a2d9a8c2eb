package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// gated makes every fetch wait until the gate is closed, or cancelled.
func gated(gate <-chan struct{}) func(*setup) {
	return func(s *setup) {
		s.onFetch = func(ctx context.Context, _ recovery.BlobID, _ int) error {
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// Hazard 31. A stop asks for nothing new, lets end what is under way, and saves.
func TestShutdownOrder(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		gate := make(chan struct{})
		p := w.start(limits(2, 10), gated(gate))
		p.until("two syncs are under way", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 2 })
		p.cancel()
		time.Sleep(5 * time.Second)
		if asked, _ := p.fetches.count(); asked != 2 || p.worker.Status().Blocked != "stopping" {
			t.Errorf("%d fetches while stopping, blocked: %q", asked, p.worker.Status().Blocked)
		}
		select {
		case <-p.ended:
			t.Error("Run returned while syncs were under way")
		default:
		}
		close(gate)
		if result := p.finish(time.Second); len(result.Unsettled) > 0 || result.Phase != recovery.PhaseScanning {
			t.Errorf("stopped in %v with %d unsettled", result.Phase, len(result.Unsettled))
		}
		r := w.record()
		if asked, _ := p.fetches.count(); asked != 2 || r.Progress.Counters.Stored != 2 || len(r.Progress.Unsettled) > 0 {
			t.Errorf("%d fetches, the record says %d stored, %d unsettled", asked, r.Progress.Counters.Stored, len(r.Progress.Unsettled))
		}
		if !r.Progress.Cursor.Covers(w.blobs[1].ID) || r.Progress.Cursor.Covers(w.blobs[2].ID) {
			t.Errorf("the cursor is %v", r.Progress.Cursor)
		}
		w.checkClaims(w.blobs)
	})
}

// Hazard 31. What does not end within the grace is cancelled, and listed.
func TestStopGrace(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		p := w.start(limits(2, 10), gated(nil), func(s *setup) { s.worker.StopGrace = 3 * time.Second })
		p.until("two syncs are under way", time.Minute, func(s worker.Status) bool { return s.Unsettled.Fetching == 2 })
		began := time.Now()
		result := p.stop()
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("the stop took %v", took)
		}
		listed := w.record().Progress.Unsettled
		if len(listed) != 2 || len(result.Unsettled) != 2 {
			t.Fatalf("the record lists %d, the result %d", len(listed), len(result.Unsettled))
		}
		for i, u := range result.Unsettled {
			if u.ID != w.blobs[i].ID || listed[i].ID != w.blobs[i].ID {
				t.Errorf("entry %d is %v in the result, %v in the record", i, u.ID, listed[i].ID)
			}
		}
		p = w.start(exitWhenComplete)
		p.finish(time.Minute)
		if s := p.worker.Status(); s.Run != 1 || s.Counters.Stored != 20 {
			t.Errorf("then run %d stored %d", s.Run, s.Counters.Stored)
		}
		w.checkComplete()
	})
}

// A stop finds its way out of every phase, and never claims what is not so.
func TestStopInAnyPhase(t *testing.T) {
	for name, after := range map[string]time.Duration{"at once": 0, "while loading": time.Microsecond, "while scanning": time.Second, "when complete": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 50, func(t *testing.T, w *world) {
				p := w.start(limits(4, 10), taking(200*time.Millisecond))
				time.Sleep(after)
				p.stop()
				w.checkClaims(w.blobs)
				w.start(exitWhenComplete).finish(time.Minute)
				w.checkComplete()
			})
		})
	}
}
