package storetest

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

// The manifests of striped blobs lie in a directory that is kept like a shard's.
func runStriped(t *testing.T, medium func(t *testing.T) Medium) {
	tests := []struct {
		name string
		run  func(t *testing.T, m Medium)
	}{
		{"ManifestApart", testManifestApart},
		{"ManifestsWiped", testManifestsWiped},
		{"ManifestsGone", testManifestsGone},
		{"ManifestSwapped", testManifestsSwapped},
		{"PowerCut", testManifestPowerCut},
		{"OpenPiece", testOpenPiece},
		{"NoManifestsHashed", testNoManifestsHashed},
		{"TooManyShards", testTooManyShards},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, medium(t)) })
	}
}

// striped owns the given shards of four.
func striped(owned ...uint32) recovery.StoreRequest {
	req := request(owned...)
	req.Placement = shards.Striped
	return req
}

// stripedBlob is a test blob with a manifest.
func stripedBlob(n int) recovery.Blob {
	b := blobOf(content(n))
	b.Encoding = recovery.Striped
	return b
}

// manifestOf stands for a blob's manifest: to a store it is bytes like others.
func manifestOf(b recovery.Blob) syncer.Piece { return syncer.Piece{Blob: b, Manifest: true} }

func has(t *testing.T, s Store, p syncer.Piece) bool {
	t.Helper()
	got, err := s.Has(t.Context(), p)
	must(t, err)
	return got
}

// Shard 0 and the manifests are not confused, by name, while under way, or as stored.
func testManifestApart(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, striped(0, 1))
	b := stripedBlob(1)
	d := publish(t, s, manifestOf(b))
	if has(t, s, manifestOf(b)) {
		t.Error("a manifest whose name is not durable counts as stored")
	}
	put(t, s, syncer.Piece{Blob: b, Shard: 0})
	if has(t, s, manifestOf(b)) || !has(t, s, syncer.Piece{Blob: b, Shard: 0}) {
		t.Error("the manifest and the piece in shard 0 are taken for each other")
	}
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	if !has(t, s, manifestOf(b)) || has(t, s, syncer.Piece{Blob: b, Shard: 1}) {
		t.Error("the manifest is not stored, or a piece is that is not")
	}
	put(t, s, syncer.Piece{Blob: b, Shard: 1})
	wantHas(t, s, manifestOf(b), true) // so every row of the blob is stored
	if _, ok := m.Read(store.Manifests, b.ID); !ok {
		t.Error("the manifest does not lie where it belongs")
	}
}

// Hazard 5: the manifests were lost and came back empty, as a shard can.
func testManifestsWiped(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, striped(0, 1))
	if !first.ManifestsWiped || !first.Wiped.Equal(shards.SetOf(0, 1)) {
		t.Errorf("a new store reports %+v", first)
	}
	b := blobOf(content(1))
	put(t, s, manifestOf(b))
	m.Wipe(store.Manifests)
	now := prepare(t, s, claiming(striped(0, 1), first))
	if now.Identity == first.Identity || !now.ManifestsWiped || now.Wiped.Len() != 0 {
		t.Errorf("with the manifests wiped it reports %+v; it was %+v", now, first)
	}
	if has(t, s, manifestOf(b)) {
		t.Error("a manifest is stored that was wiped")
	}
	put(t, s, manifestOf(b))
	m.Kill()
	s = m.Open(t, Settings{})
	if again := prepare(t, s, claiming(striped(0, 1), now)); again.Identity != now.Identity || again.ManifestsWiped {
		t.Errorf("then %+v", again)
	}
	if !has(t, s, manifestOf(b)) {
		t.Error("the manifest is not there after a restart")
	}
}

// Hazard 36, of the manifests: a directory that is gone is waited for.
func testManifestsGone(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	first := prepare(t, s, striped(0, 1))
	m.Remove(store.Manifests)
	_, err := s.Prepare(t.Context(), claiming(striped(0, 1), first))
	if !errors.Is(err, store.ErrMissing) || !strings.Contains(err.Error(), "the directory of the manifests is not there") {
		t.Fatalf("the manifests' directory is gone: %v", err)
	}
	m.Remove(1)
	_, err = s.Prepare(t.Context(), claiming(striped(0, 1), first))
	if !errors.Is(err, store.ErrMissing) || !strings.Contains(err.Error(), "shard 1 and the directory of the manifests") {
		t.Fatalf("so is that of shard 1: %v", err)
	}
	if now := prepare(t, s, striped(0, 1)); !now.ManifestsWiped || !now.Wiped.Equal(shards.SetOf(1)) {
		t.Errorf("with nothing claimed it reports %+v", now)
	}
}

// A disk with the manifests, mounted in a shard's place, is found by its marker.
func testManifestsSwapped(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, striped(0))
	if m.Swap == nil {
		t.Skip("directories cannot be swapped here")
	}
	m.Swap(0, store.Manifests)
	_, err := s.Prepare(t.Context(), striped(0))
	if !errors.Is(err, recovery.ErrMisconfigured) || !strings.Contains(err.Error(), "swapped") {
		t.Errorf("shard 0 and the manifests were swapped: %v", err)
	}
}

// Hazards 14 and 46, of a manifest.
func testManifestPowerCut(t *testing.T, m Medium) {
	if m.Crash == nil {
		t.Skip("the power cannot be cut here")
	}
	s := m.Open(t, Settings{})
	first := prepare(t, s, striped(0))
	kept, lost := blobOf(content(1)), blobOf(content(2))
	put(t, s, manifestOf(kept))
	publish(t, s, manifestOf(lost))
	m.Crash()
	s = m.Open(t, Settings{})
	if now := prepare(t, s, claiming(striped(0), first)); now.Identity != first.Identity {
		t.Errorf("the markers did not outlive it: %+v", now)
	}
	if !has(t, s, manifestOf(kept)) {
		t.Error("a durable manifest is gone")
	}
}

func testOpenPiece(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, striped(0, 1))
	b := blobOf(content(1))
	put(t, s, manifestOf(b))
	f, size, err := s.OpenPiece(t.Context(), manifestOf(b))
	must(t, err)
	data, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	if string(data) != string(content(1)) || size != int64(len(data)) {
		t.Errorf("%d bytes were opened: %q", size, data)
	}
	if _, _, err := s.OpenPiece(t.Context(), syncer.Piece{Blob: b, Shard: 0}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a piece that is not there: %v", err)
	}
	if _, _, err := s.OpenPiece(t.Context(), syncer.Piece{Blob: b, Shard: 3}); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("a shard that is not owned: %v", err)
	}
}

func testNoManifestsHashed(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	if report := prepare(t, s, request(0, 1)); report.ManifestsWiped {
		t.Errorf("a store of whole blobs reports %+v", report)
	}
	if _, err := s.Has(t.Context(), manifestOf(blobOf(content(1)))); !errors.Is(err, store.ErrNotPrepared) {
		t.Errorf("a manifest in a store of whole blobs: %v", err)
	}
	m.Kill()
	s = m.Open(t, Settings{})
	if _, err := s.Prepare(t.Context(), striped(0, 1)); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("a store of whole blobs was taken for one of pieces: %v", err)
	}
}

// An erasure code of bytes has at most 256 pieces.
func testTooManyShards(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	req := striped(0)
	req.TotalShards = 257
	if _, err := s.Prepare(t.Context(), req); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("striped over 257 shards: %v", err)
	}
}
