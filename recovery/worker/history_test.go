package worker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// Whatever happens for some minutes to ownership, catalog, peers, disk and
// process: nothing is claimed that a power cut would refute, and once it is over
// all becomes complete (I1, I13).
func TestAnyHistoryEndsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		evidence.Property(virtual{t}, "worker: nothing is claimed that a power cut would refute, and all ends complete", func(t *rapid.T) {
			newHistory(t, "").happens(15)
		})
	})
}

// The same over bbolt and its mirror, which every process of a history opens anew.
func TestAnyHistoryOverBoltEndsComplete(t *testing.T) {
	parent := t.TempDir()
	if fast, err := os.MkdirTemp("/dev/shm", "recoverd-test-"); err == nil { // each history saves hundreds of times
		t.Cleanup(func() { _ = os.RemoveAll(fast) })
		parent = fast
	}
	synctest.Test(t, func(t *testing.T) {
		evidence.Property(virtual{t}, "worker: the same over bbolt and its mirror, opened anew after every end", func(t *rapid.T) {
			dir, err := os.MkdirTemp(parent, "")
			if err != nil {
				t.Fatal(err)
			}
			newHistory(t, dir).happens(5)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// happens lets up to so many things happen, and mends them all.
func (h *history) happens(most int) {
	faults := h.faults()
	names := slices.Sorted(maps.Keys(faults))
	for range rapid.IntRange(1, most).Draw(h.rapid, "faults") {
		faults[rapid.SampledFrom(names).Draw(h.rapid, "fault")]()
		time.Sleep(time.Duration(h.pick("pause (ms)", 15_001)) * time.Millisecond)
		h.goesOn()
	}
	h.end()
}

// virtual hides a test's deadline, which is in real time.
type virtual struct{ *testing.T }

// history is a world and what has happened to it.
type history struct {
	*world
	rapid   *rapid.T
	always  []recovery.Blob // certified from the start to the end
	catalog *failingCatalog
	next    int // number of the next blob
	present *process
	failing bool // a flush may have failed: a halt is right
}

func newHistory(t *rapid.T, dir string) *history {
	w := newWorld(t, 60)
	w.dir = dir
	h := &history{world: w, rapid: t, always: slices.Clone(w.blobs), catalog: &failingCatalog{Memory: w.catalog}, next: 60}
	h.begin()
	return h
}

// begin starts a process with limits small enough to be met.
func (h *history) begin() {
	h.present = h.start(func(s *setup) {
		s.worker.Catalog = h.catalog
		s.worker.Machine = recovery.Config{
			Slots: 4, Unsettled: 16, Parked: 6, PageRows: 16, ParkAfter: 3, ParkedRetry: 30 * time.Second, SaveSettled: 10,
		}
		s.syncer.Barrier = syncer.BarrierConfig{Blobs: 6}
		s.onFetch = func(ctx context.Context, id recovery.BlobID, _ int) error {
			return pause(ctx, time.Duration(id[0])*2*time.Millisecond)
		}
	})
}

func (h *history) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rapid, what) }

// faults are the things that may happen, by name.
func (h *history) faults() map[string]func() {
	return map[string]func(){
		"a peer goes or comes": func() { h.peers[h.pick("peer", 2)].SetDown(h.pick("down", 2) == 0) },
		"all peers go":         func() { h.setDown(true) },
		"a blob is lost":       func() { h.lose(h.blobs[h.pick("blob", len(h.blobs))]) },
		"a peer lies": func() {
			h.peers[h.pick("peer", 2)].Put(h.blobs[h.pick("blob", len(h.blobs))].ID, 0, []byte("not this one"))
		},
		"the disk is full":  func() { h.disk.SetCapacity(int64(h.pick("capacity", 4_000))) },
		"the disk has room": func() { h.disk.SetCapacity(1 << 30) },
		"a flush fails": func() {
			h.disk.FailFlushes(syscall.EIO)
			h.failing = true
		},
		"other shards": func() {
			owned := []string{"0-3", "0-1", "1,3", "2"}
			h.assign(func(o *ownership) { o.owned = owned[h.pick("owned", len(owned))] })
		},
		"a gap in continuity": func() { h.assign(func(o *ownership) { o.continuity += "+" }) },
		"the next epoch":      func() { h.assign(func(o *ownership) { o.epoch++ }) },
		"the catalog's epoch": func() { h.world.catalog.SetEpoch(h.own.epoch) },
		"the node's status": func() {
			status := []shards.NodeStatus{shards.Active, shards.CatchingUp, shards.Standby}
			h.assign(func(o *ownership) { o.node = status[h.pick("status", len(status))] })
		},
		"a bad ownership document": func() { h.present.ledger.Document([]byte("owned: everything")) },
		"blobs are certified": func() {
			for range 1 + h.pick("how many", 10) {
				h.certify(h.next)
				h.next++
			}
		},
		"a blob is not certified any more": func() {
			if late := slices.DeleteFunc(slices.Clone(h.blobs), h.isOld); len(late) > 0 {
				gone := late[h.pick("late blob", len(late))]
				h.world.catalog.Remove(gone.ID)
				h.blobs = slices.DeleteFunc(h.blobs, func(b recovery.Blob) bool { return b.ID == gone.ID })
			}
		},
		"the catalog breaks":    func() { h.catalog.broken.Store(true) },
		"the catalog is mended": func() { h.catalog.broken.Store(false) },
		"kill":                  func() { h.dies((*mem.Disk).Kill) },
		"power cut": func() {
			h.dies((*mem.Disk).Crash)
		},
		"stop": func() {
			h.present.cancel()
			if _, err := h.present.wait(time.Minute); err != nil {
				h.checkHalt(err)
			}
			h.checkClaims(h.always)
			h.mendFlushes()
			h.begin()
		},
	}
}

func (h *history) isOld(b recovery.Blob) bool { return slices.Contains(h.always, b) }

func (h *history) dies(losing func(*mem.Disk)) {
	h.present.crash(losing)
	h.mendFlushes()
	if h.pick("look", 2) == 0 { // a look at the claims cuts the power as well
		h.checkClaims(h.always)
	}
	h.begin()
}

func (h *history) mendFlushes() {
	h.disk.FailFlushes(nil)
	h.failing = false
}

// goesOn starts the next process where the present one has halted, which it does
// for one reason only.
func (h *history) goesOn() {
	select {
	case <-h.present.ended:
	default:
		return
	}
	_, err := h.present.wait(time.Second)
	h.checkHalt(err)
	h.checkClaims(h.always)
	h.mendFlushes()
	h.begin()
}

func (h *history) checkHalt(err error) {
	var halt *worker.HaltError
	if !h.failing || !errors.As(err, &halt) || halt.Misconfigured {
		h.rapid.Fatalf("Run returned %v", err)
	}
}

// end mends everything and waits until all is complete.
func (h *history) end() {
	h.setDown(false)
	for _, b := range h.blobs {
		h.serve(b)
	}
	h.disk.SetCapacity(1 << 30)
	h.catalog.broken.Store(false)
	h.assign(func(o *ownership) { o.node = shards.Active })
	h.world.catalog.SetEpoch(h.own.epoch)
	h.mendFlushes()
	time.Sleep(time.Second)
	h.failing = true // the present process may have seen one
	h.goesOn()
	h.present.until(fmt.Sprintf("complete with all %d blobs", len(h.owned())), 5*time.Minute, func(s worker.Status) bool {
		return s.Phase == recovery.PhaseComplete && s.Ownership.Owned.Equal(h.ownedSet()) &&
			!slices.ContainsFunc(h.owned(), func(b recovery.Blob) bool { return !h.stored(b) })
	})
	h.present.stop()
	h.checkComplete()
}
