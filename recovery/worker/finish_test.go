package worker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

func exitWhenComplete(s *setup) { s.worker.ExitWhenComplete = true }

func TestHappyPath(t *testing.T) {
	inWorld(t, 100, func(t *testing.T, w *world) {
		w.own.owned = "0-1"
		p := w.start(exitWhenComplete)
		if result := p.finish(time.Minute); result.Phase != recovery.PhaseComplete || len(result.Unsettled) > 0 {
			t.Errorf("ended %v with %d unsettled", result.Phase, len(result.Unsettled))
		}
		w.checkComplete()
		for _, b := range w.blobs {
			if !concerns(b, w.ownedSet()) && (w.stored(b) || p.fetches.of(b.ID) > 0) {
				t.Errorf("%v is on a shard that is not owned, and was fetched", b.ID)
			}
		}
		c, owned := p.worker.Status().Counters, uint64(len(w.owned()))
		if c.Stored != owned || c.Looked != 100 || owned == 0 || owned == 100 {
			t.Errorf("stored %d of %d, looked at %d", c.Stored, owned, c.Looked)
		}
	})
}

// A worker that goes on takes up what is certified later, and stops on request
// without an error.
func TestCompleteGoesOn(t *testing.T) {
	inWorld(t, 10, func(t *testing.T, w *world) {
		p := w.start()
		first := p.untilPhase(recovery.PhaseComplete, time.Minute)
		late := w.certify(10)
		p.until("the late blob is stored and all is complete", time.Minute, func(s worker.Status) bool {
			return s.Phase == recovery.PhaseComplete && s.Bound.Position > first.Bound.Position
		})
		if !w.stored(late) {
			t.Error("complete without the late blob")
		}
		if result := p.stop(); result.Phase != recovery.PhaseComplete {
			t.Errorf("stopped in %v", result.Phase)
		}
		w.checkComplete()
	})
}

func TestIncompleteNamesTheIDs(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		gone := []recovery.BlobID{w.blobs[3].ID, w.blobs[11].ID}
		w.lose(w.blobs[3])
		w.lose(w.blobs[11])
		p := w.start(exitWhenComplete, func(s *setup) { s.worker.Machine.ParkAfter = 2 })
		result := p.finish(time.Minute)
		if result.Phase != recovery.PhaseIncomplete {
			t.Errorf("ended %v", result.Phase)
		}
		var named []recovery.BlobID
		for _, u := range result.Unsettled {
			named = append(named, u.ID)
			if u.State != recovery.Parked || u.Reason != recovery.Absent || u.LastError == "" {
				t.Errorf("listed as %+v", u)
			}
		}
		if diff := cmp.Diff(gone, named); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
		if parked := told[recovery.BlobParked](p.notices); len(parked) != 2 {
			t.Errorf("observers were told %v", parked)
		}
		if r := w.record(); len(r.Progress.Unsettled) != 2 || r.Progress.Cursor.Covers(gone[0]) {
			t.Errorf("the record lists %d, cursor %v", len(r.Progress.Unsettled), r.Progress.Cursor)
		}
		w.checkClaims(w.blobs)
	})
}

// Hazard 23.
func TestRestartOnTheSameFacts(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		w.start(exitWhenComplete).finish(time.Minute)
		p := w.start()
		s := p.untilPhase(recovery.PhaseComplete, time.Minute)
		if s.Origin.Decision != recovery.Nothing || s.Run != 1 {
			t.Errorf("decided %v in run %d", s.Origin, s.Run)
		}
		writes := p.desk.writes.Load()
		time.Sleep(10 * time.Minute)
		if asked, _ := p.fetches.count(); asked > 0 || p.worker.Status().Counters.Passes != 1 {
			t.Errorf("%d fetches and %d passes with nothing to do", asked, p.worker.Status().Counters.Passes)
		}
		if more := p.desk.writes.Load() - writes; more > 0 {
			t.Errorf("%d records were written with nothing to do", more)
		}
	})
}

// Hazard 24.
func TestEmptyOwnership(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.own.owned = ""
		p := w.start(exitWhenComplete)
		time.Sleep(time.Minute)
		if s := p.worker.Status(); s.Phase != recovery.PhaseWaiting || s.Why == "" {
			t.Errorf("owning nothing, it is %v: %s", s.Phase, s.Why)
		}
		w.assign(func(o *ownership) { o.owned, o.node = "2", shards.CatchingUp })
		time.Sleep(time.Minute)
		if s := p.worker.Status(); s.Phase != recovery.PhaseWaiting {
			t.Errorf("while the node catches up, it is %v", s.Phase)
		}
		w.assign(func(o *ownership) { o.node = shards.Active })
		p.finish(time.Minute)
		w.checkComplete()
	})
}
