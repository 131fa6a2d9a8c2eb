package storetest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer"
	"github.com/recoverd/recoverd/syncer/store"
)

func runMark(t *testing.T, medium func(t *testing.T) Medium) {
	t.Run("Hashed", func(t *testing.T) { testMarkHashed(t, medium(t)) })
	t.Run("Striped", func(t *testing.T) { testMarkStriped(t, medium(t)) })
	t.Run("UnorderedRows", func(t *testing.T) { testUnordered(t, medium(t)) })
	t.Run("StoredSince", func(t *testing.T) { testStoredSince(t, medium(t)) })
	t.Run("NothingOwned", func(t *testing.T) { testNothingOwned(t, medium(t)) })
	t.Run("Repeatable", func(t *testing.T) { testRepeatable(t, medium(t)) })
}

// putAll stores pieces in one group.
func putAll(t *testing.T, s Store, pieces []syncer.Piece) {
	t.Helper()
	groups := map[syncer.Volume][]syncer.Draft{}
	for _, p := range pieces {
		d := seal(t, s, p)
		groups[d.Volume()] = append(groups[d.Volume()], d)
	}
	for v, drafts := range groups {
		must(t, v.Flush(drafts, nil))
		for _, d := range drafts {
			must(t, d.Publish())
		}
		must(t, v.Flush(nil, drafts))
	}
}

// Pages, lone rows and look-ups in between all say the same, and only of owned
// shards.
func testMarkHashed(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1, 2))
	all := blobs(600, 4, shards.Range(0, 3))
	stored := map[recovery.BlobID]bool{}
	var pieces []syncer.Piece
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, b := range all {
		if p := pieceOf(b); p.Shard != 3 && rnd.IntN(3) > 0 {
			pieces = append(pieces, p)
			stored[b.ID] = true
		}
	}
	putAll(t, s, pieces)
	prepare(t, s, request(0, 1))
	check := func(part []recovery.Blob) {
		t.Helper()
		rows := rowsOf(part)
		for i := range rows {
			rows[i].Stored = rnd.IntN(2) == 0 // what was there before counts for nothing
		}
		must(t, s.Mark(t.Context(), rows))
		for i, r := range rows {
			want := stored[r.ID] && shards.Home(r.ID, 4) < 2
			if r.Stored != want {
				t.Fatalf("row %d of %d: stored is %v, want %v", i, len(rows), r.Stored, want)
			}
		}
	}
	for range 2 {
		for page := range slices.Chunk(all, 100) {
			check(page)
			check(page[:1])
			check(all[:70])
			check(all[len(all)-3:])
		}
	}
	check(nil)
}

// Striped, a blob is stored when every owned shard has its piece and the manifest is
// there.
func testMarkStriped(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	req := request(0, 1, 2)
	req.Placement = shards.Striped
	prepare(t, s, req)
	all := blobs(200, 4, shards.Range(0, 3))
	var pieces []syncer.Piece
	for i := range all {
		all[i].Encoding = recovery.Striped
		b := all[i]
		for shard := range uint32(3) {
			if i%5 > 2 || int(shard) != i%5 { // one is missing of three in five
				pieces = append(pieces, syncer.Piece{Blob: b, Shard: shard})
			}
		}
		if i%5 != 3 { // and of one the manifest
			pieces = append(pieces, syncer.Piece{Blob: b, Manifest: true})
		}
	}
	putAll(t, s, pieces)
	prepare(t, s, req)
	for _, n := range []int{200, 5} {
		rows := rowsOf(all[:n])
		must(t, s.Mark(t.Context(), rows))
		for i, r := range rows {
			if want := i%5 == 4; r.Stored != want {
				t.Fatalf("row %d of %d: stored is %v, want %v", i, n, r.Stored, want)
			}
		}
	}
	// What a host keeps in pieces in some other way has no manifest.
	rows := rowsOf(all[:5])
	for i := range rows {
		rows[i].Encoding = recovery.Walrus
	}
	must(t, s.Mark(t.Context(), rows))
	if !rows[3].Stored || rows[0].Stored {
		t.Errorf("without manifests: stored is %v, want true, and %v, want false", rows[3].Stored, rows[0].Stored)
	}
}

// Hazard 11.
func testUnordered(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0))
	rows := rowsOf(blobs(3, 4, shards.SetOf(0)))
	rows[1], rows[2] = rows[2], rows[1]
	if err := s.Mark(t.Context(), rows); !errors.Is(err, store.ErrOrder) {
		t.Errorf("unordered rows: %v", err)
	}
	rows[2] = rows[1]
	if err := s.Mark(t.Context(), rows[1:]); !errors.Is(err, store.ErrOrder) {
		t.Errorf("a row twice: %v", err)
	}
}

// A listing may miss what was stored since; it never shows what is not there,
// and Has and the next Prepare know better.
func testStoredSince(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	all := blobs(200, 4, shards.SetOf(0, 1))
	rows := rowsOf(all)
	must(t, s.Mark(t.Context(), rows[:100]))
	late := pieceOf(all[150])
	d := publish(t, s, late)
	must(t, s.Mark(t.Context(), rows[100:]))
	if rows[150].Stored {
		t.Error("a name that is not durable counts as stored")
	}
	must(t, d.Volume().Flush(nil, []syncer.Draft{d}))
	if ok, err := s.Has(t.Context(), late); err != nil || !ok {
		t.Errorf("Has: %v, %v", ok, err)
	}
	prepare(t, s, request(0, 1))
	must(t, s.Mark(t.Context(), rows))
	for i, r := range rows {
		if want := i == 150; r.Stored != want {
			t.Errorf("row %d: stored is %v, want %v", i, r.Stored, want)
		}
	}
}

func testNothingOwned(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	req := request()
	req.Placement = shards.Striped
	prepare(t, s, req)
	rows := rowsOf(blobs(70, 4, shards.Range(0, 3)))
	must(t, s.Mark(t.Context(), rows))
	if i := slices.IndexFunc(rows, func(r recovery.Row) bool { return r.Stored }); i >= 0 {
		t.Errorf("row %d is stored on no shard", i)
	}
}

func testRepeatable(t *testing.T, m Medium) {
	s := m.Open(t, Settings{})
	prepare(t, s, request(0, 1))
	all := blobs(300, 4, shards.SetOf(0, 1))
	var pieces []syncer.Piece
	for i, b := range all {
		if i%2 == 0 {
			pieces = append(pieces, pieceOf(b))
		}
	}
	putAll(t, s, pieces)
	rows := rowsOf(all)
	for pass := range 6 {
		must(t, s.Mark(t.Context(), rows))
		for i, r := range rows {
			if want := i%2 == 0; r.Stored != want {
				t.Fatalf("pass %d, row %d: stored is %v, want %v", pass, i, r.Stored, want)
			}
		}
	}
}
