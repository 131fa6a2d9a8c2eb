package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
)

func TestBadOwnershipKeepsTheOldOne(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		p := w.start()
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		w.assign(func(o *ownership) { o.owned = "0-200" })
		time.Sleep(time.Minute)
		s := p.worker.Status()
		if s.Phase != recovery.PhaseComplete || s.Run != 1 || s.Ownership.Owned.Len() != 4 {
			t.Errorf("%v in run %d, owning %v", s.Phase, s.Run, s.Ownership.Owned)
		}
		if !strings.Contains(s.OwnershipTrouble, "shard 200") || s.OwnershipRefusals != 1 {
			t.Errorf("refused %d times: %q", s.OwnershipRefusals, s.OwnershipTrouble)
		}
		if n := told[worker.OwnershipRefused](p.notices); len(n) != 1 || n[0].Err != s.OwnershipTrouble {
			t.Errorf("observers were told %v", n)
		}
		w.assign(func(o *ownership) { o.owned, o.epoch = "0-2", 2 })
		p.until("the next good one is in force", time.Minute, func(s worker.Status) bool {
			return s.Run == 2 && s.OwnershipTrouble == "" && s.OwnershipRefusals == 1
		})
	})
}

// silent is an ownership source that was read once and fails from then on, every
// time it is asked and at once.
type silent struct {
	first shards.Ownership
	asked atomic.Int64
}

func (s *silent) Next(context.Context) (shards.Ownership, error) {
	if s.asked.Add(1) == 1 {
		return s.first, nil
	}
	return shards.Ownership{}, errors.New("connection refused")
}

// Hazard 27. Failures of one kind are counted, told once, and make no hot loop.
func TestOwnershipSourceInTrouble(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		source := &silent{first: shards.Ownership{Epoch: 1, TotalShards: totalShards, Owned: shards.Range(0, 3), Node: shards.Active}}
		p := w.start(func(s *setup) { s.worker.Ownership = source })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		time.Sleep(time.Minute)
		if n := source.asked.Load(); n < 55 || n > 65 {
			t.Errorf("asked %d times in a minute", n)
		}
		if n := told[worker.OwnershipRefused](p.notices); len(n) != 1 || p.worker.Status().OwnershipRefusals < 50 {
			t.Errorf("counted %d, told %v", p.worker.Status().OwnershipRefusals, n)
		}
	})
}

// Every change that breaks the fence begins a run of its own, and the last one
// ends complete (I6).
func TestOwnershipChangesUnderWay(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		p := w.start(limits(4, 10), taking(50*time.Millisecond))
		for _, change := range []func(*ownership){
			func(o *ownership) { o.owned = "0-1" },
			func(o *ownership) { o.owned = "1-2" },
			func(o *ownership) { o.epoch = 2 }, // only the epoch: the run goes on
			func(o *ownership) { o.node = shards.CatchingUp },
			func(o *ownership) { o.node, o.continuity = shards.Active, "gap" },
		} {
			time.Sleep(700 * time.Millisecond)
			w.assign(change)
		}
		w.catalog.SetEpoch(2)
		p.until("complete", time.Minute, func(s worker.Status) bool {
			return s.Phase == recovery.PhaseComplete && s.Ownership.Continuity == "gap"
		})
		if s := p.worker.Status(); s.Run != 4 {
			t.Errorf("it ends in run %d", s.Run)
		}
		p.stop()
		w.checkComplete()
	})
}
