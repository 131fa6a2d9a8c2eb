package snapshot

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/recoverd/recoverd/recovery"
)

// benchCount is the size of the benches' catalog; RECOVERD_BENCH_BLOBS sets
// another one.
func benchCount(b *testing.B) uint64 {
	n, err := strconv.ParseUint(os.Getenv("RECOVERD_BENCH_BLOBS"), 10, 64)
	if err != nil {
		return 200_000
	}
	return n
}

func benchCatalog(b *testing.B) *Reader {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bench.rsnap")
	if _, err := Synth(b.Context(), SynthConfig{Blobs: benchCount(b), Seed: 1}, path); err != nil {
		b.Fatal(err)
	}
	return open(b, path)
}

func perRow(b *testing.B, rows uint64) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkScan(b *testing.B) {
	r := benchCatalog(b)
	rows := make([]recovery.Row, 1024)
	b.ReportAllocs()
	b.SetBytes(r.Size())
	for b.Loop() {
		seen := uint64(0)
		for s, end := r.Scan(), false; !end; {
			var n int
			var err error
			if n, end, err = s.Fill(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
			seen += uint64(n)
		}
		if seen != benchCount(b) {
			b.Fatalf("%d rows", seen)
		}
	}
	perRow(b, benchCount(b))
}

func BenchmarkVerify(b *testing.B) {
	r := benchCatalog(b)
	b.SetBytes(r.Size())
	for b.Loop() {
		if err := r.Verify(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchCount(b))
}

func BenchmarkWrite(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.rsnap")
	for b.Loop() {
		if _, err := Synth(b.Context(), SynthConfig{Blobs: benchCount(b), Seed: 1}, path); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchCount(b))
}

func BenchmarkSeek(b *testing.B) {
	r := benchCatalog(b)
	c := SynthConfig{Blobs: benchCount(b), Seed: 1}
	s := r.Scan()
	var row recovery.Row
	i := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919*7919) % c.Blobs
		if ok, err := s.Find(c.id(i), &row); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := benchCatalog(b).Path()
	for b.Loop() {
		r, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
