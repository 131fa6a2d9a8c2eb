package worker_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/worker"
)

// keptLimits is where the limits of a process outlive it.
type keptLimits struct {
	limits *worker.Limits
	err    error
	writes int
}

func (k *keptLimits) keep(l *worker.Limits) error {
	k.writes++
	if k.err == nil {
		k.limits = l
	}
	return k.err
}

// use makes a process begin with what was kept, and keep what it is told.
func (k *keptLimits) use(s *setup) { s.worker.Limits, s.worker.KeepLimits = k.limits, k.keep }

// Limits change while the work goes on: up at once, down without cancelling
// anything; and they outlive the process.
func TestLimitsAtRunTime(t *testing.T) {
	inWorld(t, 400, func(t *testing.T, w *world) {
		kept := &keptLimits{}
		p := w.start(limits(4, 10), taking(time.Second), kept.use)
		inFlight := func(want int) {
			t.Helper()
			time.Sleep(3 * time.Second)
			if s := p.worker.Status(); s.Unsettled.Fetching != want || s.Limits.Concurrency != want {
				t.Errorf("%d are being fetched, the limit is %d; want %d", s.Unsettled.Fetching, s.Limits.Concurrency, want)
			}
		}
		inFlight(4)
		l := p.worker.Limits()
		l.Concurrency = 16
		p.must(p.worker.SetLimits(t.Context(), l))
		inFlight(16)
		cancelled := p.worker.Status().Counters.Cancelled
		l.Concurrency = 2
		p.must(p.worker.SetLimits(t.Context(), l))
		inFlight(2)
		if c := p.worker.Status().Counters.Cancelled; c != cancelled {
			t.Errorf("%d blobs were cancelled for a lower limit", c-cancelled)
		}
		l.BytesPerSecond = 1 << 20
		p.must(p.worker.SetLimits(t.Context(), l))
		p.stop()
		p = w.start(limits(4, 10), taking(time.Second), kept.use)
		if diff := cmp.Diff(l, p.worker.Limits()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
		inFlight(2)
		p.must(p.worker.ResetLimits(t.Context()))
		inFlight(4)
		if kept.limits != nil || p.worker.Limits() != p.worker.DefaultLimits() {
			t.Errorf("kept: %+v, in force: %+v", kept.limits, p.worker.Limits())
		}
	})
}

// A bandwidth holds from the start, and until it is lifted.
func TestBandwidthAtRunTime(t *testing.T) {
	inWorld(t, 400, func(t *testing.T, w *world) {
		bytes := int64(0)
		for _, b := range w.blobs {
			bytes += b.Size
		}
		p := w.start(func(s *setup) { s.worker.BytesPerSecond = 1 << 10 })
		time.Sleep(5 * time.Second)
		if s := p.worker.Status(); s.Counters.StoredBytes < 4<<10 || s.Counters.StoredBytes > 6<<10 || bytes < 12<<10 {
			t.Errorf("%d of %d bytes came in 5 s at 1 KiB/s", s.Counters.StoredBytes, bytes)
		}
		l := p.worker.Limits()
		l.BytesPerSecond = 0
		p.must(p.worker.SetLimits(t.Context(), l))
		p.untilPhase(recovery.PhaseComplete, time.Second)
		p.stop()
		w.checkComplete()
	})
}

// Bytes in flight are lowered below what is in flight.
func TestBytesLimitsAtRunTime(t *testing.T) {
	inWorld(t, 200, func(t *testing.T, w *world) {
		p := w.start(limits(8, 10), taking(time.Second))
		time.Sleep(2500 * time.Millisecond)
		l := p.worker.Limits()
		l.BytesInFlight = 20 // less than most of them have
		p.must(p.worker.SetLimits(t.Context(), l))
		time.Sleep(3 * time.Second)
		if s := p.worker.Status(); s.Unsettled.Fetching > 2 || s.BytesInFlight > 100 {
			t.Errorf("%d blobs of %d bytes are in flight", s.Unsettled.Fetching, s.BytesInFlight)
		}
		p.must(p.worker.ResetLimits(t.Context()))
		p.untilPhase(recovery.PhaseComplete, 5*time.Minute)
		p.stop()
		w.checkComplete()
	})
}

// Defaults that change are in force at once, unless an operator has set others.
func TestDefaultLimits(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		p := w.start(limits(4, 10))
		other := worker.Limits{Concurrency: 9, ConcurrencyMax: 1_024, BytesInFlight: 1 << 20, BytesPerSecond: 1 << 20}
		p.must(p.worker.SetDefaultLimits(t.Context(), other))
		if p.worker.Limits() != other || p.worker.DefaultLimits() != other {
			t.Errorf("in force: %+v", p.worker.Limits())
		}
		mine := worker.Limits{Concurrency: 2, ConcurrencyMax: 1_024, BytesInFlight: 1 << 10}
		p.must(p.worker.SetLimits(t.Context(), mine))
		third := worker.Limits{Concurrency: 30, ConcurrencyMax: 1_024, BytesInFlight: 1 << 20}
		p.must(p.worker.SetDefaultLimits(t.Context(), third))
		if p.worker.Limits() != mine {
			t.Errorf("an operator's limits are gone: %+v", p.worker.Limits())
		}
		p.must(p.worker.ResetLimits(t.Context()))
		if p.worker.Limits() != third {
			t.Errorf("after the reset: %+v", p.worker.Limits())
		}
	})
}

// What makes no sense, or cannot be kept, changes nothing.
func TestLimitsRefused(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		kept := &keptLimits{}
		p := w.start(limits(4, 10), kept.use)
		p.untilPhase(recovery.PhaseComplete, time.Minute)
		good := p.worker.Limits()
		for name, spoil := range map[string]func(*worker.Limits){
			"no blobs":       func(l *worker.Limits) { l.Concurrency = 0 },
			"too many blobs": func(l *worker.Limits) { l.Concurrency = 5_000 },
			"no ceiling":     func(l *worker.Limits) { l.ConcurrencyMax = 0 },
			"high ceiling":   func(l *worker.Limits) { l.ConcurrencyMax = 5_000 },
			"no bytes":       func(l *worker.Limits) { l.BytesInFlight = 0 },
			"too many bytes": func(l *worker.Limits) { l.BytesInFlight = 1<<40 + 1 },
			"slow":           func(l *worker.Limits) { l.BytesPerSecond = 1_023 },
			"negative":       func(l *worker.Limits) { l.BytesPerSecond = -1 },
		} {
			bad := good
			spoil(&bad)
			if err := p.worker.SetLimits(t.Context(), bad); !errors.Is(err, worker.ErrLimits) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if kept.writes > 0 {
			t.Errorf("%d bad limits were kept", kept.writes)
		}
		kept.err = syscall.ENOSPC
		other := good
		other.Concurrency = 9
		if err := p.worker.SetLimits(t.Context(), other); !errors.Is(err, syscall.ENOSPC) || p.worker.Limits() != good {
			t.Errorf("%v; in force: %+v", err, p.worker.Limits())
		}
		p.stop()
		if err := p.worker.SetLimits(t.Context(), good); err == nil {
			t.Error("set after the end")
		}
	})
}
