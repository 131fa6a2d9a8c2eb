package syncer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/recoverd/recoverd/recovery"
)

// Hazard 30.
func TestSecondWaiterBlocksForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFlight(ask(1, 0)).admit(Request{Run: 1})
		want := recovery.Outcome{Result: recovery.Success, Bytes: 7}
		var waiters sync.WaitGroup
		for range 8 {
			waiters.Go(func() {
				if o := wait(t, w); o.Result != want.Result || o.Bytes != want.Bytes {
					t.Errorf("a waiter sees %+v", o)
				}
			})
			waiters.Go(func() {
				for changed := w.Changed(); w.Status().Stage != Done; changed = w.Changed() {
					<-changed
				}
			})
		}
		synctest.Wait()
		w.move(Fetching)
		w.move(Stored)
		w.finish(want, nil)
		waiters.Wait()
		if o := wait(t, w); o.Bytes != want.Bytes {
			t.Errorf("a late waiter sees %+v", o)
		}
		<-w.Changed()
		<-w.end()
	})
}

func TestWatchOnlyMovesForward(t *testing.T) {
	w := newFlight(ask(1, 0)).admit(Request{Run: 1})
	w.move(Stored)
	before := w.Changed()
	w.move(Fetching)
	if s := w.Status(); s.Stage != Stored {
		t.Errorf("stage is %v", s.Stage)
	}
	select {
	case <-before:
		t.Error("a stage that was passed counts as a change")
	default:
	}
	w.finish(recovery.Outcome{Result: recovery.Success}, nil)
	w.finish(recovery.Outcome{Result: recovery.Cancelled}, nil)
	w.move(Stored)
	select {
	case <-w.end():
	default:
		t.Error("whoever begins to wait after the end waits for ever")
	}
	if o, ok := w.Outcome(); !ok || o.Result != recovery.Success {
		t.Errorf("outcome is %v, %v", o.Result, ok)
	}
}

func TestBytesWakeNobody(t *testing.T) {
	f := newFlight(ask(1, 0))
	w := f.admit(Request{Run: 1})
	changed := w.Changed()
	f.meter.bytes.Add(10)
	f.meter.notePeer("p1")
	select {
	case <-changed:
		t.Error("bytes count as a change")
	default:
	}
	if s := w.Status(); s != (Status{Stage: Queued, Bytes: 10, Peer: "p1"}) {
		t.Errorf("status is %+v", s)
	}
}

func TestGivingUpWaiting(t *testing.T) {
	w := newFlight(ask(1, 0)).admit(Request{Run: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	w.finish(recovery.Outcome{Result: recovery.Success}, nil)
	if _, err := w.Wait(ctx); err != nil {
		t.Errorf("there is an outcome, and the error is %v", err)
	}
}
