package worker_test

import (
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// An observer that never returns delays nothing but Run's end, by half a second.
// What it is not told is counted, and the others are told everything.
func TestDeafObserver(t *testing.T) {
	const blobs = 1_500 // more parkings than a queue of notices holds
	inWorld(t, blobs, func(t *testing.T, w *world) {
		for _, b := range w.blobs {
			w.lose(b)
		}
		never := make(deaf)
		t.Cleanup(func() { close(never) })
		var all []worker.Notice // of the observer that listens
		p := w.start(limits(64, 1), taking(100*time.Millisecond), func(s *setup) {
			s.worker.Observers = append(s.worker.Observers, never, observed(func(n worker.Notice) { all = append(all, n) }))
		})
		s := p.until("everything is parked", time.Minute, func(s worker.Status) bool { return s.Unsettled.Parked == blobs })
		if s.NoticesDropped == 0 || s.NoticesDropped > blobs {
			t.Errorf("%d notices were dropped", s.NoticesDropped)
		}
		began := time.Now()
		p.stop()
		if took := time.Since(began); took < 500*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("the stop took %v", took)
		}
		if n := len(told[recovery.BlobParked](p.notices)); n != blobs {
			t.Errorf("%d of %d parkings were told", n, blobs)
		}
		// Of its notices the deaf one took the first; all others are lost.
		if dropped := p.worker.Status().NoticesDropped; dropped != uint64(len(all)-1) {
			t.Errorf("%d of %d notices were dropped", dropped, len(all))
		}
	})
}

// observed is an observer that is a function.
type observed func(worker.Notice)

func (f observed) Observe(n worker.Notice) { f(n) }

// An observer that is merely slow is told everything before Run returns, if that
// takes no longer than half a second.
func TestSlowObserver(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		var slow []worker.Notice
		p := w.start(exitWhenComplete, func(s *setup) {
			s.worker.Observers = append(s.worker.Observers, observed(func(n worker.Notice) {
				time.Sleep(50 * time.Millisecond)
				slow = append(slow, n)
			}))
		})
		p.finish(time.Minute)
		if n := len(told[recovery.PhaseChanged](p.notices)) + len(told[recovery.Decided](p.notices)); len(slow) != n || n == 0 {
			t.Errorf("told %d of %d notices", len(slow), n)
		}
	})
}
