package worker

import (
	"math"
	"time"
)

// overload remembers what signs of overload said. The zero value has heard none.
type overload struct {
	quiet time.Duration // signs of what was in flight before a cut are not heard
	deaf  time.Duration // nor those that cutting did not stop
	mute  time.Duration // the length of the next deafness

	limit float64       // cap; 0: none
	proof float64       // a cap that has risen so far is none any more
	rise  time.Duration // until it may rise
	holds time.Duration // how long the last one held; 0: that is over

	best outcome // of all whole windows since there is a cap, or the newest before that
}

const (
	quietLeast = 500 * time.Millisecond
	quietMost  = 3 * time.Second
	keepSome   = 0.7 // of the limit, at a cut
	keepHalf   = 0.5 // where signs are as many as blobs
	capBelow   = 0.9 // of the limit at which signs came
	holdLeast  = 10 * time.Second
	holdMost   = 80 * time.Second
	riseEvery  = time.Second
	muteLeast  = 30 * time.Second
	muteMost   = 5 * time.Minute
	vainLimit  = 0.75 // of the limit that yielded the best, from which on cuts are judged
)

// heard reports whether a sign counts now.
func (o *overload) heard() bool { return o.quiet <= 0 && o.deaf <= 0 }

// cap is the highest limit that signs allow.
func (o *overload) cap() float64 {
	if o.limit == 0 || o.deaf > 0 {
		return math.MaxInt32
	}
	return o.limit
}

// pass lets time go by. A cap rises while the limit presses against it: that nothing
// happens far below it proves nothing.
func (o *overload) pass(d time.Duration, pressing float64) {
	o.quiet = max(o.quiet-d, 0)
	o.deaf = max(o.deaf-d, 0)
	if o.limit == 0 {
		return
	}
	if o.rise -= d; o.rise > 0 || pressing < o.limit {
		return
	}
	o.rise = riseEvery
	if o.limit *= spread; o.limit >= o.proof {
		o.limit, o.holds = 0, 0
	}
}

// vain reports whether cuts cost goodput and did not stop the signs. What is overloaded
// yields about as much when it is asked for less.
func (o *overload) vain(limit float64, last outcome) bool {
	share := max(limit, last.limit) / o.best.limit
	return last.goodput > 0 && share <= vainLimit && last.goodput < o.best.goodput*math.Sqrt(share)
}

// note takes what a whole window has yielded.
func (o *overload) note(got outcome) {
	if o.limit == 0 || got.goodput > o.best.goodput {
		o.best = got
	}
}

// cut takes signs that came at a limit; last is what the newest whole window since the
// last cut yielded. It returns the share of the limit to keep, 1 where cutting is in
// vain.
func (o *overload) cut(limit float64, last outcome, s Sample, took time.Duration) (keep float64) {
	if o.vain(limit, last) {
		o.mute = min(max(2*o.mute, muteLeast), muteMost)
		o.deaf, o.limit, o.holds, o.best = o.mute, 0, 0, outcome{}
		return 1
	}
	o.holds = min(max(2*o.holds, holdLeast), holdMost)
	o.limit, o.proof, o.rise, o.quiet = capBelow*limit, 2*limit, o.holds, min(max(2*took, quietLeast), quietMost)
	if s.Overload >= s.Blobs {
		return keepHalf
	}
	return keepSome
}
