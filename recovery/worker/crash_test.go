package worker_test

import (
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// A process that dies is followed by one that goes on where the record says, and
// both together do what one would have done (I13). After a kill nothing but what
// was in flight or in the barrier is fetched again.
func TestResumesAfterACrash(t *testing.T) {
	const slots, group = 4, 10
	for _, tc := range []struct {
		name   string
		losing func(*mem.Disk)
		redone int
	}{
		{"killed", (*mem.Disk).Kill, slots + group},
		{"power cut", (*mem.Disk).Crash, slots + group + 2*slots*10}, // and what was stored in the two seconds since a save
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, 300, func(t *testing.T, w *world) {
				change := []func(*setup){limits(slots, 10), taking(100 * time.Millisecond), exitWhenComplete, func(s *setup) {
					s.syncer.Barrier = syncer.BarrierConfig{Blobs: group}
				}}
				p := w.start(change...)
				p.until("a third is stored", time.Minute, func(s worker.Status) bool { return s.Counters.Stored >= 100 })
				p.crash(tc.losing)
				before := w.record().Progress
				first, _ := p.fetches.count()
				if tc.redone > slots+group {
					w.checkClaims(w.blobs)
				}
				p = w.start(change...)
				p.finish(time.Minute)
				s := p.worker.Status()
				if s.Origin.Decision != recovery.Resume || s.Origin.From != before.Cursor || s.Run != 1 || s.Counters.Resumes != 1 {
					t.Errorf("it went on with %+v in run %d", s.Origin, s.Run)
				}
				second, _ := p.fetches.count()
				if redone := first + second - 300; redone > tc.redone || before.Cursor.None() {
					t.Errorf("%d blobs were fetched twice, want at most %d; the cursor was %v", redone, tc.redone, before.Cursor)
				}
				w.checkComplete()
			})
		})
	}
}

// A new run asks for nothing before its header is durable (DESIGN 7).
func TestNewRunBeforeItsHeader(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		slow := make(chan struct{})
		p := w.start(func(s *setup) {
			s.onSave = func(r recovery.Record) error {
				if r.Progress.Run == 2 {
					<-slow
				}
				return nil
			}
		})
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		w.assign(func(o *ownership) { o.continuity = "gap" })
		late := w.certify(20)
		time.Sleep(time.Minute)
		if s := p.worker.Status(); s.Phase != recovery.PhaseLoading || p.fetches.of(late.ID) > 0 {
			t.Errorf("before the header is durable it is %v, %d fetches", s.Phase, p.fetches.of(late.ID))
		}
		close(slow)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		if s := p.worker.Status(); s.Run != 2 || !w.stored(late) {
			t.Errorf("then run %d is complete", s.Run)
		}
		p.stop()
		w.checkComplete()
	})
}

// While a save hangs the work goes on, one more save is wanted at most, and the
// next one takes what has happened meanwhile.
func TestWorkGoesOnWhileASaveHangs(t *testing.T) {
	inWorld(t, 600, func(t *testing.T, w *world) {
		slow := make(chan struct{})
		p := w.start(limits(2, 10), taking(200*time.Millisecond), func(s *setup) {
			writes := 0
			s.onSave = func(recovery.Record) error {
				if writes++; writes == 3 {
					<-slow
				}
				return nil
			}
		})
		p.until("the third write hangs", time.Minute, func(worker.Status) bool { return p.desk.writes.Load() == 3 })
		saves, before, record := p.worker.Loop().Saves, p.worker.Status(), w.record()
		time.Sleep(30 * time.Second)
		after := p.worker.Status()
		if n := after.Counters.Stored - before.Counters.Stored; n < 250 || time.Since(after.At) > time.Second {
			t.Errorf("in half a minute %d were stored; the status is %v old", n, time.Since(after.At))
		}
		if list, err := p.worker.Unsettled(t.Context()); err != nil || len(list) == 0 {
			t.Errorf("asked on the loop: %d unsettled, %v", len(list), err)
		}
		if n := p.worker.Loop().Saves - saves; n > 1 || p.desk.writes.Load() != 3 {
			t.Errorf("%d more saves were wanted, %d written", n, p.desk.writes.Load()-3)
		}
		if r := w.record(); r.Progress.Cursor != record.Progress.Cursor {
			t.Error("the record moved while its writing hung")
		}
		close(slow)
		time.Sleep(2 * time.Second)
		if r := w.record(); r.Progress.Counters.Stored < after.Counters.Stored {
			t.Errorf("the record says %d stored, the status said %d", r.Progress.Counters.Stored, after.Counters.Stored)
		}
		p.untilPhase(recovery.PhaseComplete, 2*time.Minute)
		p.stop()
		w.checkComplete()
	})
}
