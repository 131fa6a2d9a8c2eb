package worker

import (
	"math"
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

// Hazard 37: a figure that misleads. The rate is right from the first second on,
// and what an earlier process did is not taken for this one's speed.
func TestRateIsOfThisProcess(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	var r progressRate
	r.note(start, 0, recovery.Counters{})
	stored := uint64(9_000) // what was loaded
	r.note(start.Add(time.Second), 1, recovery.Counters{Stored: stored})
	for i := range 40 {
		stored += 100
		r.note(start.Add(time.Second+time.Duration(i+1)*100*time.Millisecond), 1, recovery.Counters{Stored: stored})
		if math.Abs(r.blobs-1_000) > 1 {
			t.Fatalf("after %d looks: %v blobs/s, want 1000", i+1, r.blobs)
		}
	}
	r.note(start.Add(65*time.Second), 1, recovery.Counters{Stored: stored})
	if r.blobs > 10 {
		t.Errorf("a minute after the last blob: %v blobs/s", r.blobs)
	}
}
