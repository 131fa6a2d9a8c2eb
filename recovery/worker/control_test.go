package worker_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// heldSaves makes every write wait while it is shut.
type heldSaves struct{ gate atomic.Pointer[chan struct{}] }

func (h *heldSaves) shut() (open func()) {
	gate := make(chan struct{})
	h.gate.Store(&gate)
	return func() { h.gate.Store(nil); close(gate) }
}

func (h *heldSaves) wait(recovery.Record) error {
	if gate := h.gate.Load(); gate != nil {
		<-*gate
	}
	return nil
}

// What was answered is in the status that is asked for next.
func TestStatusKnowsWhatWasAnswered(t *testing.T) {
	inWorld(t, 100, func(t *testing.T, w *world) {
		p := w.start(limits(2, 10), taking(time.Millisecond))
		for i := range 40 {
			paused := i%2 == 0
			p.must(p.worker.Pause(t.Context(), paused))
			if s := p.worker.Status(); s.Paused != paused {
				t.Fatalf("answered that paused is %v, and the status says %v", paused, s.Paused)
			}
		}
		p.stop()
	})
}

// Hazard 40. Pause answers when it is on the disk, not before, and then no crash
// forgets it.
func TestPauseForgottenAtRestart(t *testing.T) {
	inWorld(t, 100, func(t *testing.T, w *world) {
		saves := &heldSaves{}
		p := w.start(limits(2, 10), taking(time.Second), func(s *setup) { s.onSave = saves.wait })
		time.Sleep(3 * time.Second)
		open := saves.shut()
		answer := make(chan error, 1)
		go func() { answer <- p.worker.Pause(t.Context(), true) }()
		time.Sleep(time.Minute)
		select {
		case err := <-answer:
			t.Fatalf("answered before it is durable: %v", err)
		default:
		}
		if s := p.worker.Status(); !s.Paused || s.Blocked != "paused" {
			t.Errorf("not paused meanwhile: %+v", s)
		}
		open()
		p.must(<-answer)
		p.crash((*mem.Disk).Crash)
		if !w.record().Paused {
			t.Fatal("it was answered, and is not recorded")
		}
		p = w.start(limits(2, 10))
		time.Sleep(time.Hour)
		if s := p.worker.Status(); !s.Paused || s.Phase != recovery.PhaseScanning {
			t.Errorf("after a restart: paused %v, %v", s.Paused, s.Phase)
		}
		if asked, _ := p.fetches.count(); asked > 0 {
			t.Errorf("%d blobs were fetched while paused", asked)
		}
		p.must(p.worker.Pause(t.Context(), true)) // nothing to write
		p.must(p.worker.Pause(t.Context(), false))
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// A pause that cannot be made durable ends the process, and is not answered as done.
func TestPauseWithAFailedSave(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		var failing atomic.Bool
		p := w.start(func(s *setup) {
			s.onSave = func(recovery.Record) error {
				if failing.Load() {
					return syscall.EIO
				}
				return nil
			}
		})
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		failing.Store(true)
		if err := p.worker.Pause(t.Context(), true); !errors.Is(err, worker.ErrEnded) {
			t.Errorf("%v", err)
		}
		p.halts("input/output error")
	})
}

// parkedWorld runs until the first n blobs are parked and the others are stored.
func parkedWorld(w *world, n int) *process {
	for _, b := range w.blobs[:n] {
		w.lose(b)
	}
	p := w.start(limits(4, 1))
	p.untilPhase(recovery.PhaseIncomplete, time.Minute)
	return p
}

// Hazard 38. There is a list, and one of it can be retried alone.
func TestCountsOfFailuresWithNoList(t *testing.T) {
	inWorld(t, 6, func(t *testing.T, w *world) {
		p := parkedWorld(w, 3)
		list, err := p.worker.Unsettled(t.Context())
		p.must(err)
		if len(list) != 3 || list[0].State != recovery.Parked || list[0].Reason != recovery.Absent {
			t.Fatalf("the list is %+v", list)
		}
		w.serve(w.blobs[1])
		none := []recovery.BlobID{}
		result, err := p.worker.Retry(t.Context(), []recovery.BlobID{w.blobs[5].ID, w.blobs[1].ID, w.blobs[1].ID})
		p.must(err)
		if diff := cmp.Diff(worker.RetryResult{Due: 1, Busy: none, Unknown: []recovery.BlobID{w.blobs[5].ID}}, result); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Second)
		if s := p.worker.Status(); s.Counters.Stored != 4 || s.Unsettled.Parked != 2 {
			t.Errorf("%d are stored, %+v", s.Counters.Stored, s.Unsettled)
		}
		result, err = p.worker.Retry(t.Context(), none) // no ids are not all of them
		if p.must(err); result.Due != 0 {
			t.Errorf("%+v", result)
		}
		w.serve(w.blobs[0])
		w.serve(w.blobs[2])
		result, err = p.worker.Retry(t.Context(), nil)
		if p.must(err); result.Due != 2 {
			t.Errorf("%+v", result)
		}
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// Hazard 92. A rotten blob is put back: it is not taken for stored, whatever the
// process goes through, and what is there is replaced.
func TestRepairBelowTheCursor(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		inWorld(t, 8, func(t *testing.T, w *world) {
			w.own.owned = "0-2"
			p := w.start()
			p.untilPhase(recovery.PhaseComplete, time.Minute)
			mine := w.owned()
			rotten, foreign := mine[1], w.blobs[slices.IndexFunc(w.blobs, func(b recovery.Blob) bool { return !concerns(b, w.ownedSet()) })]
			w.disk.Plant(shards.Home(rotten.ID, totalShards), rotten.ID, []byte("rot"))
			unknown := recovery.BlobID{1}
			if crashed {
				w.setDown(true) // so that it cannot be replaced before the crash
			}
			result, err := p.worker.PutBack(t.Context(), []recovery.BlobID{rotten.ID, foreign.ID, unknown})
			p.must(err)
			want := worker.PutBackResult{Queued: 1, NotCertified: []recovery.BlobID{unknown}, NotOwned: []recovery.BlobID{foreign.ID}, Refused: []recovery.BlobID{}}
			if diff := cmp.Diff(want, result); diff != "" {
				t.Error(diff)
			}
			if crashed {
				p.crash((*mem.Disk).Crash)
				w.setDown(false)
				if r := w.record().Progress; len(r.Unsettled) != 1 || !r.Unsettled[0].Replace || r.Cursor.Covers(rotten.ID) {
					t.Fatalf("it was answered, and the record is %+v", r)
				}
				p = w.start()
			}
			p.until("complete again", time.Minute, func(s worker.Status) bool {
				return s.Phase == recovery.PhaseComplete && w.stored(rotten)
			})
			if n := p.worker.Status().PutBacks; n != map[bool]uint64{false: 1, true: 0}[crashed] {
				t.Errorf("%d blobs were put back since the start", n)
			}
			p.stop()
			w.checkComplete()
		})
	}
}

// More is put back than the list has room for: who asks hears of each one that must
// be put back again.
func TestMoreIsPutBackThanFits(t *testing.T) {
	inWorld(t, 12, func(t *testing.T, w *world) {
		p := w.start(func(s *setup) { s.worker.Machine.Unsettled = 5 })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		var rotten []recovery.BlobID
		for _, b := range w.blobs[:8] {
			w.disk.Plant(shards.Home(b.ID, totalShards), b.ID, []byte("rot"))
			rotten = append(rotten, b.ID)
		}
		for rounds := 0; len(rotten) > 0; rounds++ {
			result, err := p.worker.PutBack(t.Context(), rotten)
			if err != nil || result.Queued+len(result.Refused) != len(rotten) || result.Queued == 0 || rounds > 1 {
				t.Fatalf("%+v, %v", result, err)
			}
			rotten = result.Refused
			p.until("what was queued is replaced", time.Minute, func(s worker.Status) bool {
				return s.Phase == recovery.PhaseComplete && s.Unsettled.Total == 0
			})
			time.Sleep(time.Second)
		}
		p.stop()
		w.checkComplete()
	})
}

// Nothing can be retried, put back or looked up without a run, and it says why; a
// pause can.
func TestControlWithoutARun(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.own.node = shards.CatchingUp
		p := w.start()
		p.until("ownership is known", time.Minute, func(s worker.Status) bool { return s.Ownership != nil })
		if _, err := p.worker.Retry(t.Context(), nil); !errors.Is(err, worker.ErrNoRun) || err.Error() != "worker: no run is in force: the node is catching_up" {
			t.Errorf("%v", err)
		}
		if _, err := p.worker.PutBack(t.Context(), []recovery.BlobID{w.blobs[0].ID}); !errors.Is(err, worker.ErrNoRun) {
			t.Errorf("%v", err)
		}
		p.must(p.worker.Pause(t.Context(), true))
		if !w.record().Paused {
			t.Error("not recorded")
		}
	})
}

// A catalog that cannot be read puts nothing back (I8), and neither does one that
// answers from before the bound (hazard 80).
func TestPutBackWithoutTheCatalog(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		source := &lookups{Memory: w.catalog}
		p := w.start(func(s *setup) { s.worker.Catalog = source })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		for _, answer := range []lookupAnswer{lookupFails, lookupIsOld} {
			source.answer = answer
			if _, err := p.worker.PutBack(t.Context(), []recovery.BlobID{w.blobs[0].ID}); err == nil {
				t.Errorf("put back although the catalog %v", answer)
			}
			o, err := p.worker.Sync(t.Context(), w.blobs[0].ID)
			if err != nil || o.Result != recovery.Cancelled || o.Reason != recovery.CatalogError {
				t.Errorf("%v: %+v, %v", answer, o, err)
			}
			e, err := p.worker.Explain(t.Context(), w.blobs[0].ID)
			if err != nil || e.State != "unknown" || e.Certified != nil || e.CertifiedError == "" {
				t.Errorf("%v: %+v, %v", answer, e, err)
			}
		}
		if s := p.worker.Status(); s.Phase != recovery.PhaseComplete {
			t.Errorf("%v", s.Phase)
		}
	})
}

// Callers that give up do not pile up in the machine, and do not hold up a pause.
func TestCallersThatGiveUp(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		saves := &heldSaves{}
		p := w.start(func(s *setup) { s.onSave = saves.wait })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		open := saves.shut()
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := p.worker.PutBack(ctx, []recovery.BlobID{w.blobs[0].ID}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v", err)
			}
			cancel()
		}
		paused := make(chan error, 1)
		go func() { paused <- p.worker.Pause(t.Context(), true) }()
		synctest.Wait()
		open()
		p.must(<-paused)
		p.must(p.worker.Pause(t.Context(), false))
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		if _, err := p.worker.Retry(t.Context(), []recovery.BlobID{w.blobs[0].ID}); err != nil {
			t.Errorf("there is no room after the answers: %v", err)
		}
		p.stop()
		w.checkComplete()
	})
}

// lookupAnswer is what a catalog does with a look-up.
type lookupAnswer string

const (
	lookupFails lookupAnswer = "fails"
	lookupIsOld lookupAnswer = "is old"
)

// lookups is a catalog that answers look-ups badly.
type lookups struct {
	*catalog.Memory
	answer lookupAnswer
}

func (l *lookups) Lookup(ctx context.Context, ids []recovery.BlobID) (recovery.Stamp, []recovery.Row, error) {
	stamp, rows, err := l.Memory.Lookup(ctx, ids)
	switch l.answer {
	case lookupFails:
		return recovery.Stamp{}, nil, syscall.EIO
	case lookupIsOld:
		stamp.Position--
		return stamp, nil, nil
	}
	return stamp, rows, err
}
