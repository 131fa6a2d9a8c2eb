package worker_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

// halts waits for Run to halt within a second of its cause (I12).
func (p *process) halts(cause string) *worker.HaltError {
	p.world.t.Helper()
	result, err := p.wait(time.Second)
	var halt *worker.HaltError
	if !errors.As(err, &halt) || !strings.Contains(halt.Reason, cause) {
		p.world.t.Fatalf("Run returned %v, want a halt because of %q", err, cause)
	}
	s := p.worker.Status()
	if result.Phase != recovery.PhaseHalted || s.Phase != recovery.PhaseHalted || !strings.Contains(s.Why, cause) {
		p.world.t.Errorf("the result is %v, the status %v: %s", result.Phase, s.Phase, s.Why)
	}
	if n := told[recovery.Halt](p.notices); len(n) != 1 {
		p.world.t.Errorf("observers were told of %d halts", len(n))
	}
	return halt
}

// Hazard 45.
func TestFailedSave(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		failed := make(chan recovery.Record, 1)
		p := w.start(limits(4, 10), taking(100*time.Millisecond), func(s *setup) {
			writes := 0
			s.onSave = func(recovery.Record) error {
				if writes++; writes < 3 {
					return nil
				}
				failed <- w.record()
				return syscall.EIO
			}
		})
		before := <-failed
		p.halts("input/output error")
		asked, _ := p.fetches.count()
		time.Sleep(time.Minute)
		if after, _ := p.fetches.count(); after != asked || p.desk.writes.Load() != 3 {
			t.Errorf("after the halt %d fetches and %d writes", after-asked, p.desk.writes.Load()-3)
		}
		if r := w.record(); r.Progress.Cursor != before.Progress.Cursor || r.Progress.Counters != before.Progress.Counters {
			t.Errorf("the record moved from %v to %v", before.Progress.Cursor, r.Progress.Cursor)
		}
		w.checkClaims(w.blobs)
		w.start(exitWhenComplete).finish(time.Minute)
		w.checkComplete()
	})
}

// Hazard 45.
func TestFailedFlush(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		p := w.start(limits(4, 10), taking(100*time.Millisecond))
		time.Sleep(2 * time.Second)
		stored := p.worker.Status().Counters.Stored
		w.disk.FailFlushes(syscall.EIO)
		p.halts("input/output error")
		if s := p.worker.Status(); s.Counters.Stored < stored || s.Counters.Stored == 200 {
			t.Errorf("stored %d, then %d", stored, s.Counters.Stored)
		}
		w.checkClaims(w.blobs)
		w.disk.FailFlushes(nil)
		w.start(exitWhenComplete).finish(time.Minute)
		w.checkComplete()
	})
}

// Hazard 45. A flush that fails for a run that is over ends the process as well,
// although nobody asks for anything.
func TestFailedFlushOfASupersededRun(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		cache := newPageCache()
		t.Cleanup(cache.open)
		p := w.start(func(s *setup) { s.worker.Store, s.syncer.Store = cache, cache })
		p.until("every blob has its name", time.Minute, func(worker.Status) bool { return cache.names() == 5 })
		w.assign(func(o *ownership) { o.node = shards.Standby })
		p.untilPhase(recovery.PhaseWaiting, time.Minute)
		w.disk.FailFlushes(syscall.EIO)
		cache.open()
		p.halts("input/output error")
		w.checkClaims(w.blobs)
	})
}

// A write that hangs in the kernel does not hold up the end of the process.
func TestHaltWhileASaveHangs(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		never := make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(never) }) // so that the test ends
		p := w.start(limits(4, 10), taking(100*time.Millisecond), func(s *setup) {
			writes := 0
			s.onSave = func(recovery.Record) error {
				if writes++; writes == 3 {
					<-never
				}
				return nil
			}
		})
		p.until("the third write hangs", time.Minute, func(worker.Status) bool { return p.desk.writes.Load() == 3 })
		w.disk.FailFlushes(syscall.EIO)
		p.halts("input/output error")
	})
}

// Nor does a read.
func TestHaltWhileAReadHangs(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		source := &stuckCatalog{Memory: w.catalog, release: make(chan struct{})}
		t.Cleanup(func() { close(source.release) })
		p := w.start(limits(4, 10), taking(100*time.Millisecond), func(s *setup) {
			s.worker.Catalog, s.worker.Machine.PageRows = source, 50
		})
		time.Sleep(time.Second)
		w.disk.FailFlushes(syscall.EIO)
		p.halts("input/output error")
	})
}

// stuckCatalog is a catalog whose second page never comes, and which does not hear that
// it was given up.
type stuckCatalog struct {
	*catalog.Memory
	release chan struct{}
}

func (s *stuckCatalog) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	if !after.None() {
		<-s.release
	}
	return s.Memory.Page(ctx, after, rows)
}

// deaf is an observer that never returns from its first notice.
type deaf chan struct{}

func (d deaf) Observe(worker.Notice) { <-d }

func TestHaltWithADeafObserver(t *testing.T) {
	inWorld(t, 50, func(t *testing.T, w *world) {
		never := make(deaf)
		t.Cleanup(func() { close(never) })
		p := w.start(limits(4, 10), taking(100*time.Millisecond), func(s *setup) { s.worker.Observers = append(s.worker.Observers, never) })
		time.Sleep(150 * time.Millisecond)
		w.disk.FailFlushes(syscall.EIO)
		p.halts("input/output error")
	})
}

func TestTwoDigestsForOnePosition(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		p := w.start()
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		tip, err := w.catalog.Pin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tip.Digest[0] ^= 1
		w.catalog.SetTip(tip)
		<-p.ended
		if halt := p.halts("two catalogs claim position"); !halt.Misconfigured {
			t.Error("a human must act, and it does not say so")
		}
	})
}
