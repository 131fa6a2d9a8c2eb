package syncer

import (
	"testing"
	"testing/synctest"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// Hazard 92. A blob that is there and rotten is fetched, and published over what
// is there.
func TestRepairBelowTheCursor(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		w.mayReplace = true
		if o := wait(t, h.Sync(ask(1, 0))); o.Result != recovery.Success {
			t.Fatalf("outcome is %+v", o)
		}
		home := shards.Home(ask(1, 0).Blob.ID, totalShards)
		before := w.pieces[pieceKey{id: ask(1, 0).Blob.ID, shard: home}]
		copy(before.data, "rot")
		if o := wait(t, h.Sync(ask(1, 0))); o.Reason != recovery.AlreadyStored {
			t.Fatalf("outcome is %+v", o)
		}
		again := ask(1, 0)
		again.Replace = true
		if o := wait(t, h.Sync(again)); o.Result != recovery.Success {
			t.Errorf("outcome is %+v", o)
		}
		if now := w.pieces[pieceKey{id: again.Blob.ID, shard: home}]; string(now.data) != string(content(0)) || !w.durable(again.Blob, home) {
			t.Errorf("the store has %q", now.data)
		}
	})
}

// A flight that would be content with what is there does not serve who wants it
// replaced; the other way round it does.
func TestReplacingFlightsServeTheOthers(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		w.mayReplace = true
		open := gate(w)
		replacing := ask(1, 0)
		replacing.Replace = true
		plain, first, second, last := h.Sync(ask(1, 0)), h.Sync(replacing), h.Sync(replacing), h.Sync(ask(0, 0))
		synctest.Wait()
		if a, b := first.Status().Stage, last.Status().Stage; a != Queued || b != Fetching {
			t.Errorf("the replacing one is %v, the last one %v", a, b)
		}
		open()
		for _, watch := range []*Watch{plain, first, second, last} {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
		if n := w.asked[ask(0, 0).Blob.ID]; n != 2 {
			t.Errorf("fetched %d times, want once for each kind", n)
		}
		joined := h.Sync(replacing)
		if alone := h.Sync(ask(0, 0)); joined.flight != alone.flight {
			t.Error("who only wants it stored does not join who replaces it")
		}
		wait(t, joined)
	})
}

// A blob that is lost again while its replacement waits for the barrier is fetched
// anew: that flight has published what was lost. Found by the simulation.
func TestReplacingJoinsNothingThatHasBegun(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world, h *Handler) {
		w.serve(1)
		w.mayReplace = true
		open := gate(w)
		replacing := ask(1, 0)
		replacing.Replace = true
		first := h.Sync(replacing)
		synctest.Wait()
		second := h.Sync(replacing)
		if a, b := first.Status().Stage, second.Status().Stage; a != Fetching || b != Queued {
			t.Errorf("the first one is %v, the second one %v", a, b)
		}
		open()
		for _, watch := range []*Watch{first, second} {
			if o := wait(t, watch); o.Result != recovery.Success {
				t.Errorf("outcome is %+v", o)
			}
		}
		if n := w.asked[replacing.Blob.ID]; n != 2 {
			t.Errorf("fetched %d times, want twice", n)
		}
	})
}
