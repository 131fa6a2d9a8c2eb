package syncer

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
)

// teller remembers what it was told.
type teller struct {
	mu     sync.Mutex
	stages []Stage
	last   recovery.Outcome
}

// asks returns a request that tells it.
func (l *teller) asks(run uint64, n int) Request {
	req := ask(run, n)
	req.Told = func(w *Watch, stage Stage) {
		outcome, done := w.Outcome()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stages = append(l.stages, stage)
		if l.last = outcome; done != (stage == Done) {
			l.stages = append(l.stages, Queued) // which nobody wants
		}
	}
	return req
}

func (l *teller) check(t *testing.T, want recovery.Result, stages ...Stage) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(stages, l.stages); diff != "" || l.last.Result != want {
		t.Errorf("told %+v and: %s", l.last, diff)
	}
}

// Each request is told once that its slot is free, and once how it ended, whenever it
// came.
func TestTold(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		open := gate(w)
		var first, joined, taken, late teller
		watch := h.Sync(first.asks(3, 0))
		h.Sync(joined.asks(3, 0))
		h.Sync(taken.asks(2, 0))
		synctest.Wait()
		h.CancelRun(2)
		taken.check(t, recovery.Cancelled, Done)
		open()
		synctest.Wait() // it is sealed, and the barrier waits for more
		first.check(t, 0, Stored)
		h.Sync(late.asks(3, 0))
		late.check(t, 0, Stored)
		wait(t, watch)
		synctest.Wait() // who waits may hear before who is told
		for _, l := range []*teller{&first, &joined, &late} {
			l.check(t, recovery.Success, Stored, Done)
		}
		var again, closed teller
		wait(t, h.Sync(again.asks(5, 0)))
		synctest.Wait()
		again.check(t, recovery.Skipped, Done)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		h.Sync(closed.asks(6, 0))
		closed.check(t, recovery.Cancelled, Done)
	})
}
