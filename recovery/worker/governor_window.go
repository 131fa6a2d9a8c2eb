package worker

import (
	"math"
	"time"
)

// window measures what one limit yields. After a change it waits until what is in
// flight is what the limit says and has been so for as long as a blob takes: before
// that the goodput is still the old limit's.
type window struct {
	settle  time.Duration // still to wait
	waited  time.Duration
	took    time.Duration // a blob, when last measured
	elapsed time.Duration
	// Sums over elapsed.
	work, blobs, inFlight, full float64
}

// Samples come every 100 ms or so, not to the millisecond.
const (
	settleLeast = 80 * time.Millisecond // one sample
	settleMost  = time.Second
	waitMost    = 5 * time.Second        // for in-flight blobs to become fewer
	windowLeast = 180 * time.Millisecond // two samples
	windowMost  = 1500 * time.Millisecond
	windowBlobs = 4    // times what a blob takes, so that bursts average out
	fullLeast   = 0.75 // share of the time that a limit must bind
)

// begin starts over, after a change of the limit or without one.
func (w *window) begin(changed bool) {
	*w = window{took: w.took}
	if changed {
		w.settle = min(max(w.took, settleLeast), settleMost)
	}
}

type windowState uint8

const (
	windowOpen windowState = iota
	windowDone
	windowVoid // the limit was not what held work back
)

// add takes a sample of the time that the limit was in force.
func (w *window) add(s Sample, limit int) windowState {
	if w.settle > 0 || w.elapsed == 0 && s.InFlight > float64(limit)+1 {
		w.settle -= s.Elapsed
		if w.waited += s.Elapsed; w.waited > waitMost {
			return windowVoid
		}
		return windowOpen
	}
	seconds := s.Elapsed.Seconds()
	w.elapsed += s.Elapsed
	w.work += float64(s.Bytes) + blobBonus*float64(s.Blobs)
	w.blobs += float64(s.Blobs)
	w.inFlight += s.InFlight * seconds
	w.full += s.Full * seconds
	long := windowMost
	if w.blobs > 0 {
		w.took = time.Duration(min(w.inFlight/w.blobs, 1e6) * float64(time.Second))
		long = min(windowBlobs*w.took, windowMost)
	}
	switch {
	case w.elapsed < max(long, windowLeast):
		return windowOpen
	case w.full < fullLeast*w.elapsed.Seconds():
		return windowVoid
	}
	return windowDone
}

// goodput is that of the window so far; 0: none or not known.
func (w *window) goodput() float64 {
	if w.elapsed == 0 {
		return 0
	}
	return w.work / w.elapsed.Seconds()
}

// trial compares two limits in pairs of windows: high, low, low, high, and so on, so
// that what drifts in the same direction cancels out.
type trial struct {
	windows    int
	high, low  outcome // the newest of each
	pairs      float64
	sum, sumSq float64 // of the pairs' elasticities
	noise      float64 // the least one of them is believed to have
}

func (t *trial) wantsHigh() bool { return t.windows%4 == 0 || t.windows%4 == 3 }

// add takes a window and reports whether it completes a pair.
func (t *trial) add(o outcome) (paired bool) {
	if t.wantsHigh() {
		t.high = o
	} else {
		t.low = o
	}
	t.windows++
	if t.windows%2 == 1 {
		return false
	}
	width := math.Log(t.high.limit / t.low.limit)
	e := math.Log(t.high.goodput/t.low.goodput) / width
	t.pairs++
	t.sum += e
	t.sumSq += e * e
	t.noise = leastNoise / width
	return true
}

type verdict uint8

const (
	undecided verdict = iota
	steep             // climb
	worthIt           // a higher limit pays
	even              // neither
	worthless         // a lower limit yields as much
	falls             // or clearly more
)

// The elasticities at which a verdict is certain.
const (
	steepSlope = 0.5
	worthMore  = 0.1  // for a higher limit
	worthThat  = 0.06 // for not a lower one
	leastNoise = 0.08 // of a pair's ratio of goodputs
	surePairs  = 3    // their own deviation tells more, half of the least noise is enough
	maxPairs   = 8
	fallSlope  = -0.2
)

// verdict says what the pairs show, within their standard error.
func (t *trial) verdict() verdict {
	mean := t.sum / t.pairs
	deviation := math.Sqrt(max(t.sumSq/t.pairs-mean*mean, 0))
	least := t.noise
	if t.pairs >= surePairs {
		least /= 2
	}
	err := max(deviation, least) / math.Sqrt(t.pairs)
	if t.pairs >= maxPairs {
		err = 0 // it will not become more certain
	}
	switch {
	case mean-err > steepSlope:
		return steep
	case mean+err < fallSlope:
		return falls
	case mean-err > worthMore:
		return worthIt
	case mean+err < worthThat:
		return worthless
	case t.pairs >= maxPairs:
		return even
	}
	return undecided
}
