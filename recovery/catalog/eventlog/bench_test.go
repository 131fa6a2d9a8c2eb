package eventlog

import (
	"context"
	"encoding/binary"
	"flag"
	"path/filepath"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

var benchBase = flag.Uint64("eventlog.base", 1_000_000, "blobs in the base of benchmarks")

// benchCatalog is a catalog over a made-up base, on a real disk.
func benchCatalog(b *testing.B, blobs uint64) (*Catalog, *bench) {
	b.Helper()
	dir := b.TempDir()
	path := filepath.Join(dir, "synth.rsnap")
	_, err := snapshot.Synth(b.Context(), snapshot.SynthConfig{Blobs: blobs, Network: "main"}, path)
	must(b, err)
	cfg := quiet(filepath.Join(dir, "catalog"))
	cfg.noSync = false
	_, err = Seed(b.Context(), cfg, path)
	must(b, err)
	c, err := Open(b.Context(), cfg)
	must(b, err)
	b.Cleanup(func() {
		if err := c.Close(); err != nil {
			b.Error(err)
		}
	})
	_, err = c.Pin(b.Context())
	must(b, err)
	return c, &bench{position: blobs}
}

// bench makes events up: new blobs, registered and then certified.
type bench struct{ position, blobs uint64 }

func (g *bench) id(n uint64) (id recovery.BlobID) {
	for i := range 4 { // splitmix64
		z := (4*n + uint64(i) + 1) * 0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.BigEndian.PutUint64(id[8*i:], z^z>>31)
	}
	return id
}

func (g *bench) take(n int) []event.Event {
	events := make([]event.Event, 0, n)
	for len(events) < n {
		id := g.id(g.blobs / 2)
		g.position++
		e := event.Event{Position: g.position, Kind: event.Certify, Blob: id, Object: id}
		if g.blobs%2 == 0 {
			e = event.Event{
				Position: g.position, Kind: event.Register, Blob: id, Object: id, Size: 4096, Encoding: recovery.Raw, Digest: id, EndEpoch: 9,
			}
		}
		g.blobs++
		events = append(events, e)
	}
	return events
}

// BenchmarkApply appends and applies batches of 1,000 events, half of which
// register a new blob and half certify it. Every transaction is durable.
func BenchmarkApply(b *testing.B) {
	c, g := benchCatalog(b, *benchBase)
	for b.Loop() {
		b.StopTimer()
		events := g.take(1000)
		b.StartTimer()
		must(b, c.Apply(b.Context(), events, 0))
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkApplyToBase extends blobs of the base, at random.
func BenchmarkApplyToBase(b *testing.B) {
	c, g := benchCatalog(b, *benchBase)
	var ids []recovery.BlobID
	for row, err := range catalog.Rows(b.Context(), c, recovery.Mark{}) {
		must(b, err)
		ids = append(ids, row.ID)
	}
	n := uint64(0)
	for b.Loop() {
		b.StopTimer()
		events := make([]event.Event, 1000)
		for i := range events {
			n++
			g.position++
			id := ids[n*0x9e3779b97f4a7c15%uint64(len(ids))]
			events[i] = event.Event{Position: g.position, Kind: event.Certify, Blob: id, Object: id}
		}
		b.StartTimer()
		must(b, c.Apply(b.Context(), events, 0))
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPages reads all of a catalog, 1,024 rows at a time: the base alone, as a
// file, and with 25,000 events over it.
func BenchmarkPages(b *testing.B) {
	c, g := benchCatalog(b, *benchBase)
	f, err := catalog.NewFile(catalog.FileConfig{Path: c.base.Path()})
	must(b, err)
	defer f.Close()
	_, err = f.Pin(b.Context())
	must(b, err)
	read := func(b *testing.B, s catalog.Source) {
		rows := make([]recovery.Row, 1024)
		seen := 0
		for b.Loop() {
			for after, end := (recovery.Mark{}), false; !end; {
				info, err := s.Page(b.Context(), after, rows)
				must(b, err)
				seen += info.N
				if end = info.End; info.N > 0 {
					after = recovery.MarkAt(rows[info.N-1].ID)
				}
			}
		}
		b.ReportMetric(float64(seen)/b.Elapsed().Seconds(), "rows/s")
	}
	b.Run("file", func(b *testing.B) { read(b, f) })
	b.Run("base", func(b *testing.B) { read(b, c) })
	must(b, c.Apply(b.Context(), g.take(25_000), 0))
	b.Run("delta", func(b *testing.B) { read(b, c) })
}

// BenchmarkSnapshot makes snapshots of 25,000 events over a base.
func BenchmarkSnapshot(b *testing.B) {
	for _, kind := range []snapshot.Kind{snapshot.Incremental, snapshot.Full} {
		b.Run(kind.String(), func(b *testing.B) {
			c, g := benchCatalog(b, *benchBase)
			for b.Loop() {
				b.StopTimer()
				n := 25_000
				if kind == snapshot.Incremental && g.blobs > 0 {
					n = 100
				}
				must(b, c.Apply(b.Context(), g.take(n), 0))
				b.StartTimer()
				e, err := c.Snapshot(context.Background(), kind)
				must(b, err)
				if e.Kind != kind {
					b.Fatalf("%v was made", e.Name)
				}
			}
		})
	}
}

// BenchmarkOpen proves and opens a log with 25,000 events and what they changed.
func BenchmarkOpen(b *testing.B) {
	c, g := benchCatalog(b, *benchBase)
	must(b, c.Apply(b.Context(), g.take(25_000), 0))
	must(b, c.Close())
	for b.Loop() {
		again, err := Open(b.Context(), c.cfg)
		must(b, err)
		must(b, again.Close())
	}
}
