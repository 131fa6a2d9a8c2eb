package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/worker"
)

// countedCatalog is a catalog that counts the questions. It answers no more than limit
// of those whether it changed, so that a host that asks without a pause fails
// instead of turning for ever.
type countedCatalog struct {
	*catalog.Memory
	pins, changes, narrow atomic.Int64
	limit                 int64
}

func (a *countedCatalog) Pin(ctx context.Context) (recovery.Tip, error) {
	a.pins.Add(1)
	return a.Memory.Pin(ctx)
}

func (a *countedCatalog) PageSince(ctx context.Context, since recovery.Bound, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	a.narrow.Add(1)
	return a.Memory.PageSince(ctx, since, after, rows)
}

func (a *countedCatalog) Changed(ctx context.Context) error {
	if a.changes.Add(1) > a.limit {
		<-ctx.Done()
	}
	return a.Memory.Changed(ctx)
}

// Hazard 93. However often the bound moves, there is one pass in each follow
// interval; and asking for changes is no hot loop (hazard 27).
func TestChasingTheTip(t *testing.T) {
	inWorld(t, 10, func(t *testing.T, w *world) {
		source := &countedCatalog{Memory: w.catalog, limit: 150}
		p := w.start(func(s *setup) {
			s.worker.Catalog, s.worker.Follower = source, source
			s.worker.Machine.FollowInterval = 10 * time.Second
		})
		for n := range 1_200 {
			w.certify(10 + n)
			time.Sleep(100 * time.Millisecond)
		}
		s := p.until("all is stored", 15*time.Second, func(s worker.Status) bool {
			return s.Phase == recovery.PhaseComplete && s.Counters.Stored == 1_210
		})
		if s.Counters.Passes < 10 || s.Counters.Passes > 14 || source.pins.Load() > 15 {
			t.Errorf("%d passes and %d looks at the bound in two minutes", s.Counters.Passes, source.pins.Load())
		}
		if source.narrow.Load() == 0 || s.Counters.Looked > 300 {
			t.Errorf("the last pass looked at %d blobs, in pages of which %d listed only what changed", s.Counters.Looked, source.narrow.Load())
		}
		if n := source.changes.Load(); n >= source.limit {
			t.Errorf("asked %d times whether the catalog changed", n)
		}
		p.stop()
		w.checkComplete()
	})
}

// Hazard 87. Nothing is complete while the catalog is behind: in an older epoch
// than the ownership, or not at its tip.
func TestCompleteBehindTheEpoch(t *testing.T) {
	for _, tc := range []struct {
		name    string
		lag     func(*world, recovery.Tip)
		catchUp func(*world, recovery.Tip)
		why     string
	}{
		{
			name:    "older epoch",
			lag:     func(w *world, _ recovery.Tip) { w.catalog.SetEpoch(5); w.own.epoch = 7 },
			catchUp: func(w *world, _ recovery.Tip) { w.catalog.SetEpoch(7) },
			why:     "the catalog is in epoch 5, the ownership in 7",
		},
		{
			name:    "not at its tip",
			lag:     func(w *world, tip recovery.Tip) { tip.AtTip = false; w.catalog.SetTip(tip) },
			catchUp: func(w *world, tip recovery.Tip) { w.catalog.SetTip(tip) },
			why:     "not at its tip",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, 20, func(t *testing.T, w *world) {
				tip, err := w.catalog.Pin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tc.lag(w, tip)
				p := w.start(exitWhenComplete)
				p.until("all is stored", time.Minute, func(s worker.Status) bool { return s.Counters.Stored == 20 })
				time.Sleep(10 * time.Minute)
				if s := p.worker.Status(); s.Phase != recovery.PhaseDraining || !strings.Contains(s.Why, tc.why) {
					t.Errorf("%v: %s", s.Phase, s.Why)
				}
				tc.catchUp(w, tip)
				p.finish(15 * time.Second)
				w.checkComplete()
			})
		})
	}
}

// A look at the catalog that fails is tried again with backoff, and told once
// (hazard 27); what it hid is found afterwards.
func TestHotLoopOnAReadError(t *testing.T) {
	inWorld(t, 20, func(t *testing.T, w *world) {
		source := &failingCatalog{Memory: w.catalog}
		source.broken.Store(true)
		p := w.start(func(s *setup) { s.worker.Catalog = source })
		time.Sleep(10 * time.Minute)
		if n := source.pages.Load(); n < 20 || n > 30 {
			t.Errorf("%d pages were asked for in ten minutes", n)
		}
		if told := told[recovery.ReadTrouble](p.notices); len(told) != 1 || p.worker.Status().Trouble == "" {
			t.Errorf("observers were told %v", told)
		}
		source.broken.Store(false)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		if told := told[recovery.ReadTrouble](p.notices); len(told) != 2 || told[1].Err != "" {
			t.Errorf("observers were told %v", told)
		}
		p.stop()
		w.checkComplete()
	})
}

// failingCatalog is a catalog whose pages cannot be read while it is broken.
type failingCatalog struct {
	*catalog.Memory
	broken atomic.Bool
	pages  atomic.Int64
}

func (f *failingCatalog) Page(ctx context.Context, after recovery.Mark, rows []recovery.Row) (recovery.PageInfo, error) {
	f.pages.Add(1)
	if f.broken.Load() {
		return recovery.PageInfo{}, catalog.ErrBroken
	}
	return f.Memory.Page(ctx, after, rows)
}
