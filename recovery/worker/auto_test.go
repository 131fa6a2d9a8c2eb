package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
	"github.com/recoverd/recoverd/syncer"
)

// governed makes the concurrency govern itself.
func governed(start, most int) func(*setup) {
	return func(s *setup) {
		s.worker.Machine.Slots, s.worker.Auto, s.worker.ConcurrencyMax = start, true, most
	}
}

// about makes each fetch take d, a tenth more or less.
func about(d time.Duration) func(*setup) {
	return func(s *setup) {
		s.onFetch = func(ctx context.Context, id recovery.BlobID, _ int) error {
			return pause(ctx, d+d*time.Duration(int(id[0])-128)/1_280)
		}
	}
}

// fetchedIn is how many fetches begin in a time.
func (p *process) fetchedIn(d time.Duration) float64 {
	before, _ := p.fetches.count()
	time.Sleep(d)
	after, _ := p.fetches.count()
	return float64(after - before)
}

// Peers are 50 ms away, and goodput is proportional to the limit: within 5 s the
// ceiling is found, which is the best fixed limit. No change of the limit is kept, and
// none is told to observers.
func TestAutoFindsALatency(t *testing.T) {
	inWorld(t, 11_000, func(t *testing.T, w *world) {
		const ceiling = 64
		kept := &keptLimits{}
		p := w.start(governed(8, ceiling), about(50*time.Millisecond), kept.use)
		if l := p.worker.Limits(); !l.Auto || l.Concurrency != 8 || l.ConcurrencyMin() != 4 {
			t.Errorf("it begins with %+v", l)
		}
		time.Sleep(5 * time.Second)
		best := ceiling / 0.05
		if got := p.fetchedIn(3*time.Second) / 3; got < 0.9*best {
			t.Errorf("after 5 s %.0f blobs/s, the best fixed limit has %.0f; limits %+v", got, best, p.worker.Limits())
		}
		_, most := p.fetches.count()
		if most > ceiling || most < ceiling*9/10 {
			t.Errorf("%d blobs were in flight at once, the ceiling is %d", most, ceiling)
		}
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		p.stop()
		w.checkComplete()
		if kept.writes > 0 || len(told[recovery.PhaseChanged](p.notices)) != len(p.notices.told)-len(told[recovery.Decided](p.notices)) {
			t.Errorf("%d writes of limits; told: %+v", kept.writes, p.notices.told)
		}
	})
}

// Peers serve no more than 40 at a time and refuse the rest: that is found and kept.
func TestAutoYieldsToOverload(t *testing.T) {
	inWorld(t, 8_000, func(t *testing.T, w *world) {
		const most = 40
		var p *process
		slots, started := make(chan struct{}, most), make(chan struct{})
		p = w.start(governed(128, 256), func(s *setup) {
			s.onFetch = func(ctx context.Context, id recovery.BlobID, _ int) error {
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
					return pause(ctx, 50*time.Millisecond+time.Duration(id[0])*10*time.Microsecond)
				default:
					<-started
					p.traffic.signs.Add(1)
					return &syncer.FetchError{Answers: []syncer.PeerAnswer{{Peer: "a", Reason: recovery.PeerFailed, Err: errors.New("status 429")}}}
				}
			}
		})
		close(started)
		time.Sleep(5 * time.Second)
		refused := p.traffic.signs.Load()
		if got := p.fetchedIn(4 * time.Second); got < 0.7*4*most/0.0525 {
			t.Errorf("%.0f blobs/s", got/4)
		}
		if n := p.traffic.signs.Load() - refused; n > most || p.worker.Limits().Concurrency > most*5/4 {
			t.Errorf("%d refused in 4 s; limits %+v", n, p.worker.Limits())
		}
		p.untilPhase(recovery.PhaseComplete, 5*time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// What an operator switches at run time holds at once and over a restart, both ways.
func TestAutoAtRunTime(t *testing.T) {
	inWorld(t, 9_000, func(t *testing.T, w *world) {
		kept := &keptLimits{}
		p := w.start(limits(4, 10), about(100*time.Millisecond), kept.use)
		l := p.worker.Limits()
		l.Auto, l.ConcurrencyMax = true, 32
		p.must(p.worker.SetLimits(t.Context(), l))
		time.Sleep(10 * time.Second)
		if got := p.worker.Limits(); !got.Auto || got.Concurrency < 25 || got.Concurrency > 32 || p.worker.Status().Limits.Concurrency < 25 {
			t.Errorf("after a while: %+v", got)
		}
		if kept.writes != 1 || !p.worker.LimitsSet() {
			t.Errorf("%d writes of limits for one change", kept.writes)
		}
		p.stop()

		p = w.start(limits(4, 10), about(100*time.Millisecond), kept.use)
		if got := p.worker.Limits(); !got.Auto || got.ConcurrencyMax != 32 || got.Concurrency != 4 {
			t.Errorf("after a restart: %+v", got)
		}
		time.Sleep(10 * time.Second)
		l = p.worker.Limits()
		l.Auto = false
		p.must(p.worker.SetLimits(t.Context(), l)) // stays at what was found
		time.Sleep(5 * time.Second)
		if got := p.worker.Limits(); got != l || l.Concurrency < 25 {
			t.Errorf("fixed at %+v, and then it is %+v", l, got)
		}
		l.Concurrency = 2
		p.must(p.worker.SetLimits(t.Context(), l))
		time.Sleep(3 * time.Second)
		if s := p.worker.Status(); s.Unsettled.Fetching != 2 || s.Limits.Auto {
			t.Errorf("fixed at 2: %d are being fetched, %+v", s.Unsettled.Fetching, s.Limits)
		}
		p.must(p.worker.ResetLimits(t.Context()))
		if diff := cmp.Diff(p.worker.DefaultLimits(), p.worker.Limits()); diff != "" || p.worker.LimitsSet() {
			t.Errorf("reset: %s", diff)
		}
		p.stop()
	})
}

// Hazard 29. Every peer down: the limit grows as little as the retry list.
func TestEveryPeerDownWithAuto(t *testing.T) {
	inWorld(t, 2_000, func(t *testing.T, w *world) {
		w.setDown(true)
		p := w.start(governed(16, 256))
		time.Sleep(10 * time.Minute)
		s := p.worker.Status()
		if s.Limits.Concurrency > 16 || s.Unsettled.Total > 160 {
			t.Errorf("after ten minutes without peers the limit is %d, and %d blobs are listed", s.Limits.Concurrency, s.Unsettled.Total)
		}
		w.setDown(false)
		p.untilPhase(recovery.PhaseComplete, 5*time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// Hazards 21 and 90. Retries beyond the cap, and a blob bigger than the budget: the
// limit that governs itself is one, whatever it is just now.
func TestRetriesBeyondTheCapWithAuto(t *testing.T) {
	inWorld(t, 3_000, func(t *testing.T, w *world) {
		const ceiling = 32
		p := w.start(governed(8, ceiling), func(s *setup) {
			s.worker.Machine.BytesInFlight = 40 // less than some of them have
			s.onFetch = func(ctx context.Context, id recovery.BlobID, n int) error {
				if err := pause(ctx, 20*time.Millisecond); err != nil || n > 1 || id[1]%3 > 0 {
					return err
				}
				return errors.New("not now")
			}
		})
		p.untilPhase(recovery.PhaseComplete, 10*time.Minute)
		if _, most := p.fetches.count(); most > ceiling {
			t.Errorf("%d were in flight at once", most)
		}
		p.stop()
		w.checkComplete()
	})
}

// Without anything that tells what transfers do there is no auto.
func TestAutoNeedsALoad(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := w.start(func(s *setup) { s.blind = true })
		l := p.worker.Limits()
		l.Auto = true
		if err := p.worker.SetLimits(t.Context(), l); !errors.Is(err, worker.ErrLimits) || p.worker.Limits().Auto {
			t.Errorf("%v; in force: %+v", err, p.worker.Limits())
		}
		p.stop()
	})
}
