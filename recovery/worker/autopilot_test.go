package worker

import (
	"math"
	"testing"
	"time"
)

// Samples are taken while something is in flight, and not a moment longer.
func TestAutopilotSleepsWhileIdle(t *testing.T) {
	a := autopilot{load: noLoad{}}
	now := time.Unix(1_800_000_000, 0)
	a.use(Limits{Concurrency: 9, Auto: true, ConcurrencyMax: 99, BytesInFlight: 1})
	a.turned(now, 0, 9)
	if a.due() != nil {
		t.Error("nothing is in flight, and it ticks")
	}
	a.turned(now, 9, 9)
	if a.due() == nil {
		t.Fatal("it does not tick")
	}
	a.turned(now.Add(50*time.Millisecond), 3, 9)
	a.sample(now.Add(100 * time.Millisecond))
	a.turned(now.Add(120*time.Millisecond), 0, 9)
	a.sample(now.Add(200 * time.Millisecond))
	if a.due() == nil {
		t.Error("something was in flight a moment ago, and it has stopped")
	}
	a.sample(now.Add(300 * time.Millisecond))
	if a.due() != nil {
		t.Error("nothing is in flight any more, and it ticks")
	}
	a.turned(now.Add(400*time.Millisecond), 1, 9)
	if a.use(Limits{Concurrency: 7}); a.due() != nil {
		t.Error("the concurrency is fixed, and it ticks")
	}
	if a.turned(now.Add(500*time.Millisecond), 1, 7); a.due() != nil {
		t.Error("the concurrency is fixed, and it ticks again")
	}
}

// A sample says how long slots were taken, not how often one looked.
func TestAutopilotWeighsByTime(t *testing.T) {
	a := autopilot{load: noLoad{}}
	now := time.Unix(1_800_000_000, 0)
	defer a.stop()
	a.use(Limits{Concurrency: 8, Auto: true, ConcurrencyMax: 99, BytesInFlight: 1})
	a.turned(now, 8, 8)
	a.turned(now.Add(75*time.Millisecond), 4, 8)
	s := a.measure(now.Add(100 * time.Millisecond))
	if math.Round(s.InFlight*1e6) != 7e6 || math.Round(s.Full*1e6) != 75e4 || s.Most != 8 || s.Elapsed != 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if s = a.measure(now.Add(200 * time.Millisecond)); s.InFlight != 4 || s.Full != 0 || s.Most != 4 {
		t.Errorf("%+v", s)
	}
}

type noLoad struct{}

func (noLoad) Received() uint64 { return 0 }
func (noLoad) Overload() uint64 { return 0 }
