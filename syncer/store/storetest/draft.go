package storetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

func runDraft(t *testing.T, medium func(t *testing.T) Medium) {
	tests := []struct {
		name string
		run  func(t *testing.T, m Medium, s Store, p syncer.Piece)
	}{
		{"NameBeforeData", testNameBeforeData},
		{"StoredOnceTheNameIsDurable", testStoredOnceDurable},
		{"ShortDraftIsNotSealed", testShortDraft},
		{"Reset", testReset},
		{"Discard", testDiscard},
		{"DiscardAfterPublish", testDiscardAfterPublish},
		{"OutOfOrder", testOutOfOrder},
		{"PublishTwice", testPublishOver},
		{"EmptyBlob", testEmptyBlob},
		{"OtherVolumesDraft", testStrangeDraft},
		{"NotPrepared", testNotPrepared},
		{"CancelledContext", testCancelled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := medium(t)
			s := m.Open(t, Settings{})
			req := request(0, 1)
			prepare(t, s, req)
			tt.run(t, m, s, pieceOf(blobs(1, 4, req.Owned)[0]))
		})
	}
}

// Hazard 76.
func testNameBeforeData(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d := seal(t, s, p)
	if err := d.Publish(); err == nil {
		t.Fatal("a draft that no flush covered was published")
	}
	if _, ok := m.Read(p.Shard, p.Blob.ID); ok {
		t.Error("its name can be seen")
	}
	must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	must(t, d.Publish())
}

func testStoredOnceDurable(t *testing.T, m Medium, s Store, p syncer.Piece) {
	wantHas(t, s, p, false)
	d := publish(t, s, p)
	wantHas(t, s, p, false)
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	wantHas(t, s, p, true)
	if got, ok := m.Read(p.Shard, p.Blob.ID); !ok || !bytes.Equal(got, bytesOf(p.Blob)) {
		t.Errorf("stored %q, %v", got, ok)
	}
}

// Hazard 47: a file that is too short is never published.
func testShortDraft(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d, err := s.Create(t.Context(), p, p.Blob.Size)
	must(t, err)
	_, err = d.Write(bytesOf(p.Blob)[1:])
	must(t, err)
	if err := d.Seal(); err == nil {
		t.Error("a draft with a byte missing was sealed")
	}
	if err := d.Volume().Flush([]syncer.Draft{d}, nil); err == nil {
		t.Error("and flushed")
	}
	if err := d.Publish(); err == nil {
		t.Error("and published")
	}
	must(t, d.Discard())
}

func testReset(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d, err := s.Create(t.Context(), p, p.Blob.Size)
	must(t, err)
	_, err = d.Write([]byte("something else, and a good deal longer than the piece is"))
	must(t, err)
	must(t, d.Reset())
	_, err = d.Write(bytesOf(p.Blob))
	must(t, err)
	must(t, d.Seal())
	must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	must(t, d.Publish())
	if got, _ := m.Read(p.Shard, p.Blob.ID); !bytes.Equal(got, bytesOf(p.Blob)) {
		t.Errorf("stored %q", got)
	}
}

func testDiscard(t *testing.T, m Medium, s Store, p syncer.Piece) {
	for _, upTo := range []string{"created", "written", "sealed", "durable"} {
		d, err := s.Create(t.Context(), p, p.Blob.Size)
		must(t, err)
		if upTo != "created" {
			_, err = d.Write(bytesOf(p.Blob))
			must(t, err)
		}
		if upTo == "sealed" || upTo == "durable" {
			must(t, d.Seal())
		}
		if upTo == "durable" {
			must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
		}
		must(t, d.Discard())
		must(t, d.Discard())
		if err := d.Publish(); err == nil {
			t.Errorf("%s, discarded, and published", upTo)
		}
	}
	wantHas(t, s, p, false)
}

func testDiscardAfterPublish(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d := publish(t, s, p)
	must(t, d.Discard())
	if _, ok := m.Read(p.Shard, p.Blob.ID); !ok {
		t.Error("the piece is gone")
	}
}

func testOutOfOrder(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d := seal(t, s, p)
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("a sealed draft took another byte")
	}
	if err := d.Reset(); err == nil {
		t.Error("a sealed draft was reset")
	}
	if err := d.Seal(); err == nil {
		t.Error("a sealed draft was sealed")
	}
	if err := d.Volume().Flush(nil, []syncer.Draft{d}); err == nil {
		t.Error("a name was flushed that there is not")
	}
}

// A piece that was fetched twice, whatever for, is there once.
func testPublishOver(t *testing.T, m Medium, s Store, p syncer.Piece) {
	first := publish(t, s, p)
	second := publish(t, s, p)
	must(t, first.Volume().Flush(nil, []syncer.Draft{first}))
	wantHas(t, s, p, false)
	must(t, second.Volume().Flush(nil, []syncer.Draft{second}))
	wantHas(t, s, p, true)
}

func testEmptyBlob(t *testing.T, m Medium, s Store, _ syncer.Piece) {
	b := blobOf(nil)
	p := pieceOf(b)
	prepare(t, s, request(p.Shard))
	d, err := s.Create(t.Context(), p, 0)
	must(t, err)
	must(t, d.Seal())
	must(t, d.Volume().Flush([]syncer.Draft{d}, nil))
	must(t, d.Publish())
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	wantHas(t, s, p, true)
}

// Hazard 85: a draft of another volume is not flushed, nor taken for flushed.
func testStrangeDraft(t *testing.T, m Medium, s Store, p syncer.Piece) {
	d := seal(t, s, p)
	strange := strangeDraft{d}
	if err := d.Volume().Flush([]syncer.Draft{strange}, nil); err == nil {
		t.Error("it was flushed")
	}
}

type strangeDraft struct{ syncer.Draft }

func testNotPrepared(t *testing.T, m Medium, s Store, p syncer.Piece) {
	other := p
	other.Shard = 3
	if _, err := s.Create(t.Context(), other, 1); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("create on a shard that is not owned: %v", err)
	}
	if _, err := s.Has(t.Context(), other); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("look on a shard that is not owned: %v", err)
	}
	m.Kill()
	fresh := m.Open(t, Settings{})
	if _, err := fresh.Has(t.Context(), p); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("look before Prepare: %v", err)
	}
	if err := fresh.Mark(t.Context(), rowsOf([]recovery.Blob{p.Blob})); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("mark before Prepare: %v", err)
	}
	if _, err := fresh.Room(t.Context()); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("room before Prepare: %v", err)
	}
}

// Hazard 2: what could not be read is not "not there".
func testCancelled(t *testing.T, m Medium, s Store, p syncer.Piece) {
	put(t, s, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Has(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("Has: %v", err)
	}
	if err := s.Mark(ctx, rowsOf([]recovery.Blob{p.Blob})); !errors.Is(err, context.Canceled) {
		t.Errorf("Mark: %v", err)
	}
	if _, err := s.Create(ctx, p, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Create: %v", err)
	}
	if _, err := s.Prepare(ctx, request(0, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Prepare: %v", err)
	}
}
