package worker

import (
	"sync/atomic"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// autopilot is what makes a concurrency govern itself: it measures what the work does
// and puts in force what a Governor says. It is the loop's, but for its atomics.
//
// Nothing of it is kept: a change of the limit is no change of what an operator has
// set. A restart begins where the configuration says.
type autopilot struct {
	load    Load          // nil: there is no autopilot
	stored  atomic.Uint64 // blobs that gave their slots back with all their bytes
	present atomic.Int64  // the limit, while governor is not nil

	governor *Governor // nil: the concurrency is fixed
	bytes    int64     // in flight, of the limits in force
	ticker   *time.Ticker
	sums     sampleSums
}

// sampleEvery is the time between two samples.
const sampleEvery = 100 * time.Millisecond

// sampleSums collects what a Sample is made of.
type sampleSums struct {
	began time.Time // zero: not yet

	// What held since the last turn.
	turned time.Time
	taken  int
	full   bool

	slotSeconds, fullSeconds   float64
	most                       int
	stored, received, overload uint64 // the counters when it began
}

// use puts limits in force, and returns the concurrency.
func (a *autopilot) use(l Limits) int {
	a.bytes = l.BytesInFlight
	switch {
	case !l.Auto:
		a.governor = nil
		a.stop()
		return l.Concurrency
	case a.governor == nil:
		a.governor = NewGovernor(l.ConcurrencyMin(), l.ConcurrencyMax, l.Concurrency)
	default:
		a.governor.Bound(l.ConcurrencyMin(), l.ConcurrencyMax)
	}
	a.present.Store(int64(a.governor.Limit()))
	return a.governor.Limit()
}

// due is when to take a sample; nil while nothing is in flight.
func (a *autopilot) due() <-chan time.Time {
	if a.ticker == nil {
		return nil
	}
	return a.ticker.C
}

func (a *autopilot) stop() {
	if a.ticker != nil {
		a.ticker.Stop()
		a.ticker, a.sums = nil, sampleSums{}
	}
}

// turned is called after each turn of the loop: so many slots are taken until the next.
func (a *autopilot) turned(now time.Time, taken, limit int) {
	if a.governor == nil {
		return
	}
	if taken > 0 && a.ticker == nil {
		a.ticker = time.NewTicker(sampleEvery)
		a.sums = a.begin(now)
	}
	a.sums.pass(now)
	a.sums.taken, a.sums.full = taken, taken >= limit
}

func (a *autopilot) begin(now time.Time) sampleSums {
	return sampleSums{
		began: now, turned: now, taken: a.sums.taken, full: a.sums.full, most: a.sums.taken,
		stored: a.stored.Load(), received: a.load.Received(), overload: a.load.Overload(),
	}
}

func (s *sampleSums) pass(now time.Time) {
	seconds := now.Sub(s.turned).Seconds()
	s.turned = now
	s.most = max(s.most, s.taken)
	s.slotSeconds += float64(s.taken) * seconds
	if s.full {
		s.fullSeconds += seconds
	}
}

// measure ends a sample and begins the next.
func (a *autopilot) measure(now time.Time) Sample {
	a.sums.pass(now)
	was, next := a.sums, a.begin(now)
	a.sums = next
	s := Sample{
		Elapsed: now.Sub(was.began), Most: was.most,
		Blobs: next.stored - was.stored, Bytes: next.received - was.received, Overload: next.overload - was.overload,
	}
	if seconds := s.Elapsed.Seconds(); seconds > 0 {
		s.InFlight, s.Full = was.slotSeconds/seconds, was.fullSeconds/seconds
	}
	return s
}

// sample takes a sample. It returns the event that puts another limit in force, or
// nil. A time in which nothing was in flight ends the sampling, until something is.
func (a *autopilot) sample(now time.Time) recovery.Event {
	s, before := a.measure(now), a.governor.Limit()
	limit := a.governor.Step(s)
	if s.Most == 0 && s.Blobs == 0 {
		a.stop()
	}
	if limit == before {
		return nil
	}
	a.present.Store(int64(limit))
	return recovery.LimitsAsked{Slots: limit, BytesInFlight: a.bytes}
}
