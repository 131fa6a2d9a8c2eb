package peer

import (
	"math/bits"
	"time"
)

const (
	waitLeast   = 64               // µs; shorter waits are taken for equal
	waitSteps   = 8                // buckets of a doubling: a value is known to within an eighth
	waitBuckets = 22 * waitSteps   // up to four minutes
	waitMemory  = 1024             // waits that are remembered at full weight
	waitTime    = 30 * time.Second // after which they count for half
	waitsNeeded = 20               // to tell a percentile from
)

// waits tells the percentiles of recent waiting times. Those of long ago fade. The
// zero value knows of none.
type waits struct {
	counts [waitBuckets]uint32
	total  uint32
	halved time.Time
}

func (w *waits) add(now time.Time, d time.Duration) {
	w.fade(now)
	w.counts[bucketOf(d)]++
	w.total++
}

// fade halves the weight of all waits once they are many or old.
func (w *waits) fade(now time.Time) {
	halvings := min(int(now.Sub(w.halved)/waitTime), 32)
	if w.total >= waitMemory {
		halvings = max(halvings, 1)
	}
	if halvings <= 0 {
		return
	}
	w.total, w.halved = 0, now
	for i := range w.counts {
		w.counts[i] >>= halvings
		w.total += w.counts[i]
	}
}

// percentile returns a time that so many percent of the waits do not exceed; 0 while
// too few are known.
func (w *waits) percentile(percent uint32) time.Duration {
	if w.total < waitsNeeded {
		return 0
	}
	need := (w.total*percent + 99) / 100
	for i, n := range w.counts {
		if need <= n {
			return upTo(i)
		}
		need -= n
	}
	return upTo(waitBuckets - 1)
}

// bucketOf numbers the buckets by rising time: waitSteps for each doubling.
func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), waitLeast))
	n := bits.Len64(us)
	step := int(us*waitSteps>>(n-1)) - waitSteps
	return min((n-bits.Len64(waitLeast))*waitSteps+step, waitBuckets-1)
}

// upTo is the end of a bucket.
func upTo(bucket int) time.Duration {
	doublings, step := bucket/waitSteps, bucket%waitSteps
	return time.Duration(waitSteps+step+1) << doublings * (waitLeast / waitSteps) * time.Microsecond
}
