package snapshot

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestBench: everything is measured, and nothing is left behind.
func TestBench(t *testing.T) {
	dir := t.TempDir()
	r, err := Bench(t.Context(), BenchConfig{Dir: dir, Blobs: 3000, Rounds: 2, Seeks: 3, Levels: []int{1, 9}})
	if err != nil {
		t.Fatal(err)
	}
	checkDir(t, dir)
	if r.Rows != (Counts{Blobs: 3000, Registrations: 3000}) || r.Bytes < 3000*70 || r.Bytes > 3000*90 {
		t.Errorf("%+v in %d bytes", r.Rows, r.Bytes)
	}
	for name, times := range map[string][]time.Duration{
		"baseline": r.Baseline, "write": r.Write, "sync": r.WriteSync, "verify": r.Verify,
	} {
		if len(times) != 2 || times[0] <= 0 {
			t.Errorf("%s: %v", name, times)
		}
	}
	if len(r.Open) != 3 || len(r.Seek) != 3 || r.Resident < 1<<20 {
		t.Errorf("open %v, seek %v, %d bytes resident", r.Open, r.Seek, r.Resident)
	}
	for _, z := range r.Zstd { // the second copy of an id can be saved, and little else
		if z.Before < 3000*70 || z.Bytes < z.Before/2 || z.Bytes > z.Before+z.Before/100 || z.Compress <= 0 || z.Decompress <= 0 {
			t.Errorf("zstd: %+v", z)
		}
	}
	if len(r.Zstd) != 2 || r.Zstd[1].Level != 9 || r.Zstd[1].Bytes >= r.Zstd[0].Bytes {
		t.Errorf("zstd: %+v", r.Zstd)
	}
	checkReport(t, r)
}

func checkReport(t *testing.T, r BenchResult) {
	t.Helper()
	var text, lines strings.Builder
	if err := errors.Join(r.WriteText(&text), r.WriteBenchmark(&lines)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"3000 blobs", "baseline", "write and sync", "of the baseline's speed", "seek and page", "MiB resident", "zstd level 9"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text does not speak of %q:\n%s", part, text.String())
		}
	}
	format := regexp.MustCompile(`^BenchmarkSnapshot/\S+ 1 \d+ ns/op( [\d.]+ \S+)*$`)
	n := 0
	for line := range strings.Lines(lines.String()) {
		n++
		if !format.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("not a line of a benchmark: %q", line)
		}
	}
	if want := 4*2 + 2*3 + 2*2; n != want {
		t.Errorf("%d lines, want %d:\n%s", n, want, lines.String())
	}
}

// TestBenchState: what is made up is a state: ids rise, and are found again.
func TestBenchState(t *testing.T) {
	s := benchState{5000}
	raw, written := writeMemory(t, nil, s)
	r := mustMemory(t, raw)
	if err := r.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if written.Totals.Certified != 5000 {
		t.Errorf("%+v", written.Totals)
	}
	l := r.Lookup()
	for i := uint64(0); i < 5000; i += 77 {
		if b, err := l.Blob(s.id(i)); err != nil || b == nil {
			t.Errorf("blob %d: %v, %v", i, b, err)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	for name, c := range map[string]BenchConfig{
		"rounds": {Rounds: -1}, "seeks": {Seeks: -1}, "blobs": {Blobs: 1 << 33}, "levels": {Levels: []int{0}},
	} {
		c.Dir = t.TempDir()
		if _, err := Bench(t.Context(), c); !errors.Is(err, ErrRow) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Bench(ctx, BenchConfig{Dir: dir, Blobs: 5000}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
	checkDir(t, dir)
}
