package worker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store/mem"
)

// checkShards compares what is told of the shards with the truth: every certified
// blob is counted where it lives, and none is done that is not stored; with exact,
// all that are stored are.
func (w *world) checkShards(list []worker.ShardProgress, exact bool) {
	w.t.Helper()
	certified, stored := map[uint32]uint64{}, map[uint32]uint64{}
	for _, b := range w.owned() {
		home := shards.Home(b.ID, totalShards)
		certified[home]++
		if w.stored(b) {
			stored[home]++
		}
	}
	if len(list) != w.ownedSet().Len() {
		w.t.Fatalf("%d shards, %d are owned", len(list), w.ownedSet().Len())
	}
	for i, s := range list {
		switch {
		case i > 0 && list[i-1].Shard >= s.Shard || !w.ownedSet().Contains(s.Shard):
			w.t.Errorf("shard %d after %d", s.Shard, list[i-1].Shard)
		case s.Certified == nil || s.Done == nil:
			w.t.Errorf("shard %d is not counted", s.Shard)
		case *s.Certified != certified[s.Shard] || *s.Done > stored[s.Shard]:
			w.t.Errorf("shard %d: %d of %d are done, %d of %d are stored", s.Shard, *s.Done, *s.Certified, stored[s.Shard], certified[s.Shard])
		case exact && *s.Done != stored[s.Shard]:
			w.t.Errorf("shard %d: %d are done, %d are stored", s.Shard, *s.Done, stored[s.Shard])
		}
	}
}

// settledShards waits until nothing changes any more and the list is fresh.
func (p *process) settledShards() []worker.ShardProgress {
	time.Sleep(5 * time.Second)
	synctest.Wait()
	return p.worker.Shards()
}

// Hazard 36. No shard is done while it is empty; what is told is right in the middle
// of a pass, after a restart in the middle, in later passes, and at the end.
func TestNOfNShardsReadyWhileTheyAreEmpty(t *testing.T) {
	inWorld(t, 300, func(t *testing.T, w *world) {
		w.own.owned = "0,2-3"
		p := w.start(limits(4, 1), taking(time.Second), func(s *setup) { s.worker.Machine.PageRows = 16 })
		if list := p.worker.Shards(); len(list) > 0 {
			t.Errorf("before a run: %+v", list)
		}
		for range 3 {
			time.Sleep(7 * time.Second)
			w.checkShards(p.worker.Shards(), false)
		}
		sum := func(list []worker.ShardProgress) (done uint64) {
			for _, s := range list {
				done += *s.Done
			}
			return done
		}
		before := sum(p.worker.Shards())
		if before < 60 {
			t.Errorf("only %d are done after 21 s of 4 a second", before)
		}
		p.crash((*mem.Disk).Crash)
		w.lose(w.owned()[10]) // stored already
		absent := w.owned()[len(w.owned())-1]
		w.lose(absent)
		p = w.start(limits(4, 1), taking(time.Second), func(s *setup) { s.worker.Machine.PageRows = 16 })
		time.Sleep(3 * time.Second)
		w.checkShards(p.worker.Shards(), false)
		if after := sum(p.worker.Shards()); after+20 < before {
			t.Errorf("%d were done before the restart, %d after it", before, after)
		}
		p.untilPhase(recovery.PhaseIncomplete, 5*time.Minute)
		list := p.settledShards()
		w.checkShards(list, true)
		for _, s := range list {
			if home := shards.Home(absent.ID, totalShards); s.Shard == home && (s.Parked != 1 || s.Unsettled != 1) || s.Shard != home && s.Unsettled > 0 {
				t.Errorf("%+v", s)
			}
		}
		w.serve(absent)
		_, err := p.worker.Retry(t.Context(), nil)
		p.must(err)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		w.checkShards(p.settledShards(), true)
		p.stop()
		w.checkComplete()
	})
}

// Later passes, and everything again: the counts stay true, also of a process that
// begins in the middle of one, and the catalog is not counted at every move.
func TestShardsOfLaterPasses(t *testing.T) {
	inWorld(t, 100, func(t *testing.T, w *world) {
		source := &countedPages{Memory: w.catalog}
		use := func(s *setup) { s.worker.Catalog, s.worker.Follower, s.worker.Machine.PageRows = source, source, 16 }
		p := w.start(use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		w.checkShards(p.settledShards(), true)
		whole := source.whole.Load()
		for n := range 20 {
			w.certify(1_000 + n)
			time.Sleep(15 * time.Second)
		}
		p.until("complete at the newest", time.Minute, func(s worker.Status) bool {
			return s.Phase == recovery.PhaseComplete && s.Counters.Passes >= 20
		})
		if n := source.whole.Load() - whole; n > 1 {
			t.Errorf("counted %d times in five minutes", n)
		}
		time.Sleep(15 * time.Minute)
		w.certify(2_000)
		time.Sleep(time.Minute)
		w.checkShards(p.settledShards(), true)
		if n := source.whole.Load() - whole; n < 1 || n > 3 {
			t.Errorf("counted %d times in twenty minutes", n)
		}
		w.certify(3_000)
		w.certify(3_001)
		p.stop()
		p = w.start(use, limits(1, 10), taking(20*time.Second)) // the second one keeps the pass from ending
		time.Sleep(10 * time.Second)
		list := p.settledShards()
		w.checkShards(list, false)
		done := uint64(0)
		for _, s := range list {
			done += *s.Done
		}
		if s := p.worker.Status(); done != 121 || s.Phase != recovery.PhaseScanning || s.Covered == nil {
			t.Errorf("%d are done, %v; want all but the new ones, in the middle of a later pass", done, s.Phase)
		}
		p.untilPhase(recovery.PhaseComplete, 5*time.Minute)
		w.checkShards(p.settledShards(), true)
		p.stop()
		w.checkComplete()
	})
}

// A catalog that cannot be read is not counted again and again, and unknown stays
// unknown.
func TestShardsThatCannotBeCounted(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		source := &countedPages{Memory: w.catalog, fails: true}
		p := w.start(func(s *setup) { s.worker.Catalog, s.worker.Follower, s.worker.Machine.PageRows = source, source, 16 })
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		time.Sleep(10 * time.Minute)
		for _, s := range p.worker.Shards() {
			if s.Certified != nil || s.Done != nil {
				t.Errorf("%+v", s)
			}
		}
		if n := source.whole.Load(); n < 3 || n > 7 {
			t.Errorf("tried %d times in ten minutes", n)
		}
		p.stop()
	})
}

// countedPages is a catalog that tells a count's first pages, which have room for
// 1,024 rows, from a scan's, and may fail them.
type countedPages struct {
	*catalog.Memory
	whole atomic.Int64
	fails bool
}

func (c *countedPages) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	if after.None() && len(rows) == 1_024 {
		c.whole.Add(1)
		if c.fails {
			return recovery.PageInfo{}, context.DeadlineExceeded
		}
	}
	return c.Memory.Page(ctx, after, rows)
}
