package syncer

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
)

// BenchmarkHandlerSync measures what a settled blob costs besides its peer and
// its disk: both answer at once. As in a run, 64 slots are given back when a
// blob is stored, and durability is awaited outside of them.
func BenchmarkHandlerSync(b *testing.B) {
	h, err := New(Config{Store: instantStore{}, Fetcher: instantFetcher{}})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	blob := rawBlob(content(0))
	req := Request{Run: 1, Blob: blob, Covers: everything(), Placement: shards.Hashed}
	slots := make(chan struct{}, 64)
	ends := make(chan struct{}, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(req.Blob.ID[8:], uint64(i))
		slots <- struct{}{}
		ends <- struct{}{}
		w := h.Sync(req)
		go func() {
			for changed := w.Changed(); w.Status().Stage < Stored; changed = w.Changed() {
				<-changed
			}
			<-slots
			if o, _ := w.Wait(context.Background()); o.Result != recovery.Success {
				b.Error(o)
			}
			<-ends
		}()
	}
	for range cap(ends) { // the last ones become durable
		ends <- struct{}{}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "settled/s")
}

// BenchmarkSkip is the same for a blob that is there.
func BenchmarkSkip(b *testing.B) {
	h, err := New(Config{Store: instantStore{has: true}, Fetcher: instantFetcher{}})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	req := ask(1, 0)
	b.ReportAllocs()
	for b.Loop() {
		if o, _ := h.Sync(req).Wait(context.Background()); o.Result != recovery.Skipped {
			b.Fatal(o)
		}
	}
}

type instantFetcher struct{}

func (instantFetcher) Fetch(_ context.Context, p Piece, sink Sink) (string, error) {
	return "p1", send(sink, content0)
}

var content0 = content(0)

type instantStore struct{ has bool }

func (s instantStore) Has(context.Context, Piece) (bool, error) { return s.has, nil }
func (instantStore) Create(context.Context, Piece, int64) (Draft, error) {
	return instantDraft{}, nil
}

type instantDraft struct{}

func (instantDraft) Write(p []byte) (int, error) { return len(p), nil }
func (instantDraft) Reset() error                { return nil }
func (instantDraft) Seal() error                 { return nil }
func (instantDraft) Volume() Volume              { return instantVolume{} }
func (instantDraft) Publish() error              { return nil }
func (instantDraft) Discard() error              { return nil }

type instantVolume struct{}

func (instantVolume) Flush(_, _ []Draft) error { return nil }
