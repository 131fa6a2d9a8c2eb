package peer

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// A percentile is that of the sorted waits, to within an eighth.
func TestPercentile(t *testing.T) {
	evidence.Property(t, "peers: a percentile is that of the sorted waits, to an eighth", func(t *rapid.T) {
		now := time.Unix(1_700_000_000, 0)
		var w waits
		var all []time.Duration
		for range rapid.IntRange(waitsNeeded, 300).Draw(t, "waits") {
			d := time.Duration(rapid.Int64Range(0, int64(4*time.Minute)).Draw(t, "d"))
			d >>= rapid.IntRange(0, 30).Draw(t, "smaller")
			w.add(now, d)
			all = append(all, d)
		}
		slices.Sort(all)
		percent := rapid.IntRange(1, 100).Draw(t, "percent")
		want := max(all[(len(all)*percent+99)/100-1], waitLeast*time.Microsecond)
		got := w.percentile(uint32(percent))
		if got < want.Truncate(time.Microsecond) || float64(got) > float64(want)*1.126+1e3 {
			t.Fatalf("%d %%: %v, want %v", percent, got, want)
		}
	})
}

// Few waits tell nothing, and old ones fade.
func TestWaitsFade(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var w waits
	for range waitsNeeded - 1 {
		w.add(now, time.Second)
	}
	if d := w.percentile(50); d != 0 {
		t.Errorf("of %d waits: %v", w.total, d)
	}
	for range 5_000 {
		w.add(now, time.Second)
	}
	if w.total > waitMemory+1 {
		t.Errorf("%d waits are remembered", w.total)
	}
	now = now.Add(5 * time.Minute)
	for range waitsNeeded {
		w.add(now, time.Millisecond)
	}
	if d := w.percentile(95); d > 2*time.Millisecond {
		t.Errorf("after five minutes %v", d)
	}
}

// Whatever happens in whatever order, there are never more hedges than the share of
// requests, never more in a row than maxTokens, and none for a while after a sign of
// overload.
func TestHedgeBudgetHolds(t *testing.T) {
	evidence.Property(t, "peers: races stay inside their budget, and none follows a sign of overload", func(t *rapid.T) {
		h := hedging{percent: rapid.IntRange(0, 100).Draw(t, "percent")}
		now := time.Unix(1_700_000_000, 0)
		requests, hedges, row := 0, 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"request": func(t *rapid.T) {
				n := rapid.IntRange(1, 500).Draw(t, "n")
				for range n {
					h.request()
				}
				requests += n
				row = 0
			},
			"hedge": func(*rapid.T) {
				if h.calm(now) && h.take() {
					hedges++
					row++
				}
			},
			"overload": func(*rapid.T) {
				h.overloadAt = now
				if h.calm(now.Add(calmAfter - 1)) {
					t.Fatal("calm at once")
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*calmAfter)).Draw(t, "d")))
			},
			"": func(t *rapid.T) {
				if hedges*100 > requests*h.percent || row > maxTokens {
					t.Fatalf("%d hedges, %d in a row, for %d requests at %d %%", hedges, row, requests, h.percent)
				}
			},
		})
	})
}
