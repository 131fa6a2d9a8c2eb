package snapshot

import (
	"errors"
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

// BenchmarkWriteState is what a followed catalog does: all of a state, with its
// totals.
func BenchmarkWriteState(b *testing.B) {
	path := filepath.Join(b.TempDir(), "bench.rsnap")
	for b.Loop() {
		if _, err := Write(b.Context(), path, benchState{benchCount(b)}, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchCount(b))
}

// benchOverlay lays changes of every hundredth blob over the benches' catalog.
func benchOverlay(b *testing.B) *Overlay {
	b.Helper()
	base := benchCatalog(b)
	h := base.Header()
	h.Base = &recovery.Ancestor{Position: h.Position, Digest: base.Bound().Digest}
	h.Position++
	path := filepath.Join(b.TempDir(), "draft.rsnap")
	w, err := Create(path, h)
	if err != nil {
		b.Fatal(err)
	}
	var regs []Registration
	for c, i := base.Registrations(), 0; ; i++ {
		row, err := c.Next()
		if err != nil {
			b.Fatal(err)
		}
		if row == nil {
			break
		}
		if i%100 == 0 {
			row.Gained = h.Position
			regs = append(regs, *row)
		}
	}
	if err := errors.Join(each(regs, w.Registration), w.Close()); err != nil {
		b.Fatal(err)
	}
	over, err := Over(base, open(b, path))
	if err != nil {
		b.Fatal(err)
	}
	return over
}

func BenchmarkScanOverlay(b *testing.B) {
	o := benchOverlay(b)
	rows := make([]recovery.Row, 1024)
	b.ReportAllocs()
	for b.Loop() {
		for s, end := o.Scan(), false; !end; {
			var err error
			if _, end, err = s.Fill(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
		}
	}
	perRow(b, benchCount(b))
}

// BenchmarkWriteIncremental is of a hundredth of all blobs.
func BenchmarkWriteIncremental(b *testing.B) {
	o := benchOverlay(b)
	path := filepath.Join(b.TempDir(), "incr.rsnap")
	for b.Loop() {
		if _, err := WriteIncremental(b.Context(), path, o.base, o, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	perRow(b, benchCount(b)/100)
}

func BenchmarkDiff(b *testing.B) {
	o := benchOverlay(b)
	for b.Loop() {
		n := 0
		if err := Diff(b.Context(), o.base, o, func(Change) error { n++; return nil }); err != nil || n == 0 {
			b.Fatal(n, err)
		}
	}
	perRow(b, benchCount(b))
}

// BenchmarkLookup finds registrations: anywhere, the next one, and every
// hundredth.
func BenchmarkLookup(b *testing.B) {
	r := benchCatalog(b)
	c := SynthConfig{Blobs: benchCount(b), Seed: 1}
	for name, step := range map[string]uint64{"random": 7919 * 7919, "next": 1, "hundredth": 100} {
		b.Run(name, func(b *testing.B) {
			l, i := r.Lookup(), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				i = (i + step) % c.Blobs
				id := c.id(i)
				if row, err := l.Registration(KeyOf(id, id)); err != nil || row == nil {
					b.Fatal(row, err)
				}
			}
		})
	}
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
