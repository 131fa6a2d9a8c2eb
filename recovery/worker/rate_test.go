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

// Progress is what was looked at or settled, by this process: neither what was
// loaded, nor a try that failed.
func TestProgressIsOfThisProcess(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(1_800_000_000+int64(second), 0) }
	var r progressRate
	for i, step := range []struct {
		run  uint64
		c    recovery.Counters
		want time.Time
	}{
		{0, recovery.Counters{}, time.Time{}},
		{1, recovery.Counters{Stored: 900, Looked: 1_000, Passes: 1}, time.Time{}}, // loaded
		{1, recovery.Counters{Stored: 900, Looked: 1_000, Passes: 1, Cancelled: 4, Parkings: 1}, time.Time{}},
		{1, recovery.Counters{Stored: 900, Looked: 1_001, Passes: 1, Cancelled: 4, Parkings: 1}, at(3)},
		{1, recovery.Counters{Stored: 900, Looked: 1_001, Passes: 1, Cancelled: 5, Parkings: 1}, at(3)},
		{1, recovery.Counters{Stored: 900, Looked: 0, Passes: 2, Cancelled: 5, Parkings: 1}, at(5)},
		{2, recovery.Counters{}, at(5)}, // a discard is none
		{2, recovery.Counters{Expired: 1}, at(7)},
	} {
		r.note(at(i), step.run, step.c)
		if !r.moved.Equal(step.want) {
			t.Errorf("step %d: the last progress was at %v, want %v", i, r.moved, step.want)
		}
	}
}
