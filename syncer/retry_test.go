package syncer

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

func TestRetryDoublesWithinItsLimits(t *testing.T) {
	for _, c := range []struct {
		attempt        uint32
		low, mid, high time.Duration
	}{
		{0, time.Second, 1125 * time.Millisecond, 1250 * time.Millisecond},
		{1, 1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond},
		{2, 3 * time.Second, 4 * time.Second, 5 * time.Second},
		{3, 6 * time.Second, 8 * time.Second, 10 * time.Second},
		{4, 12 * time.Second, 16 * time.Second, 20 * time.Second},
		{5, 22500 * time.Millisecond, 26250 * time.Millisecond, 30 * time.Second},
		{6, 22500 * time.Millisecond, 26250 * time.Millisecond, 30 * time.Second},
		{1 << 31, 22500 * time.Millisecond, 26250 * time.Millisecond, 30 * time.Second},
	} {
		for _, d := range []struct {
			random float64
			want   time.Duration
		}{{0, c.low}, {0.5, c.mid}, {1, c.high}} {
			r := Retry{Random: func() float64 { return d.random }}
			if got := r.Delay(c.attempt); got != d.want {
				t.Errorf("delay after %d tries at %v is %v, want %v", c.attempt, d.random, got, d.want)
			}
		}
	}
}

func TestRetryStaysWithinLimitsWhateverChanceSays(t *testing.T) {
	evidence.Property(t, "retries: a delay stays between 1 and 30 s, whatever chance says", func(t *rapid.T) {
		random := rapid.Float64().Draw(t, "random")
		r := Retry{Random: func() float64 { return random }}
		d := r.Delay(rapid.Uint32().Draw(t, "attempt"))
		if d < recovery.RetryMin || d > recovery.RetryMax {
			t.Fatalf("delay is %v", d)
		}
	})
}

func TestZeroRetryIsSpread(t *testing.T) {
	var r Retry
	seen := map[time.Duration]bool{}
	for range 16 {
		seen[r.Delay(5)] = true
	}
	if len(seen) < 2 {
		t.Error("16 delays are all the same")
	}
}
