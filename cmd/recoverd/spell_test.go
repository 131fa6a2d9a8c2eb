package main

import (
	"testing"
	"time"

	"github.com/recoverd/recoverd/recovery"
)

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 999 * time.Millisecond: "0 s", 45 * time.Second: "45 s", 150 * time.Second: "2 min",
		time.Hour: "1 h", 200 * time.Minute: "3 h 20 min", 50 * time.Hour: "2 d 2 h", 48*time.Hour + 59*time.Minute: "2 d",
	} {
		if got := spell(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for r, want := range map[float64]string{-1: "0", 0: "0", 0.01: "< 0.1", 0.05: "0.1", 12.34: "12.3", 12_345.6: "12,345"} {
		if got := rate(r); got != want {
			t.Errorf("%v: %q, want %q", r, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 blobs", 1: "1 blob", 1_234: "1,234 blobs"} {
		if got := plural(n, "blob"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for m, want := range map[recovery.Mark]string{
		{}: "none", recovery.MarkEnd(): "end", recovery.MarkAt(recovery.BlobID{0xab}): "ab00000000000000...",
	} {
		if got := shortMark(m); got != want {
			t.Errorf("%v: %q, want %q", m, got, want)
		}
	}
}
