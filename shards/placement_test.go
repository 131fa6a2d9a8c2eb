package shards_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/sim/evidence"
	"github.com/recoverd/recoverd/shards"
)

// idAt returns an id whose first 8 bytes are n, and whose others must not matter.
func idAt(n uint64) (id [32]byte) {
	for i := range id {
		id[i] = 0xa5
	}
	binary.BigEndian.PutUint64(id[:8], n)
	return id
}

// Every stored piece lies where these numbers say: they may never change.
func TestPlacementIsFrozen(t *testing.T) {
	for _, tc := range []struct {
		first8 uint64
		total  uint32
		home   uint32
	}{
		{0, 1, 0},
		{0, 100, 0},
		{99, 100, 99},
		{100, 100, 0},
		{1 << 56, 100, 36}, // the first byte is the highest
		{math.MaxUint64, 100, 15},
		{math.MaxUint64, 1000, 615},
		{math.MaxUint64, shards.MaxTotal, shards.MaxTotal - 1},
	} {
		if got := shards.Home(idAt(tc.first8), tc.total); got != tc.home {
			t.Errorf("Home(%#x, %d) is %d, want %d", tc.first8, tc.total, got, tc.home)
		}
	}
	for _, tc := range []struct {
		placement    shards.Placement
		home         uint64
		shard, total uint32
		piece        uint32
	}{
		{shards.Hashed, 7, 7, 10, 0},
		{shards.Striped, 0, 0, 10, 0},
		{shards.Striped, 0, 3, 10, 3},
		{shards.Striped, 7, 0, 10, 7},
		{shards.Striped, 7, 3, 10, 0},
		{shards.Striped, 7, 9, 10, 6},
		{shards.Striped, 255, 255, 256, 254},
	} {
		if tc.placement == shards.Striped {
			if got := shards.ShardOf(idAt(tc.home), tc.piece, tc.total); got != tc.shard {
				t.Errorf("piece %d of %d, home %d, lies in shard %d, want %d", tc.piece, tc.total, tc.home, got, tc.shard)
			}
		}
		if got := tc.placement.PieceOf(idAt(tc.home), tc.shard, tc.total); got != tc.piece {
			t.Errorf("%v piece of shard %d of %d, home %d, is %d, want %d", tc.placement, tc.shard, tc.total, tc.home, got, tc.piece)
		}
	}
}

func TestHolders(t *testing.T) {
	for _, tc := range []struct {
		name      string
		placement shards.Placement
		owned     shards.Set
		want      []uint32
	}{
		{"hashed, owned", shards.Hashed, shards.Range(0, 9), []uint32{7}},
		{"hashed, not owned", shards.Hashed, shards.Range(0, 6), nil},
		{"hashed, nothing owned", shards.Hashed, shards.Set{}, nil},
		{"striped", shards.Striped, shards.SetOf(9, 2, 4), []uint32{2, 4, 9}},
		{"striped, nothing owned", shards.Striped, shards.Set{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := idAt(17)
			if diff := cmp.Diff(tc.want, tc.placement.Holders(nil, id, 10, tc.owned)); diff != "" {
				t.Error(diff)
			}
			if got := tc.placement.Concerns(id, 10, tc.owned); got != (len(tc.want) > 0) {
				t.Errorf("Concerns is %t", got)
			}
		})
	}
	kept := shards.Striped.Holders([]uint32{77}, idAt(0), 10, shards.SetOf(1))
	if diff := cmp.Diff([]uint32{77, 1}, kept); diff != "" {
		t.Errorf("the buffer's head is not kept: %s", diff)
	}
}

func TestPlacementProperties(t *testing.T) {
	evidence.Property(t, "sets: every blob has its places, and only those", func(t *rapid.T) {
		total := rapid.Uint32Range(1, shards.MaxStriped).Draw(t, "total")
		id := idAt(rapid.Uint64().Draw(t, "first8"))
		everything := shards.Range(0, total-1)

		// Hashed: exactly one shard of all holds the blob.
		if got := shards.Hashed.Holders(nil, id, total, everything); len(got) != 1 || got[0] >= total {
			t.Fatalf("hashed over %d shards: %v", total, got)
		}
		// Striped: every shard holds a piece, no two the same.
		pieces := make([]uint32, 0, total)
		for s := range everything.All() {
			pieces = append(pieces, shards.Striped.PieceOf(id, s, total))
		}
		slices.Sort(pieces)
		if want := slices.Collect(everything.All()); !slices.Equal(pieces, want) {
			t.Fatalf("striped over %d shards: pieces %v", total, pieces)
		}
		// Concerns is Holders without the list.
		owned := models().Draw(t, "owned").set()
		for _, p := range []shards.Placement{shards.Hashed, shards.Striped} {
			if p.Concerns(id, total, owned) != (len(p.Holders(nil, id, total, owned)) > 0) {
				t.Fatalf("%v: Concerns and Holders differ for %q", p, owned)
			}
		}
	})
}

// Hazard 83. The same owned set in another total is another placement: a blob
// that was none of this node's business becomes so.
func TestSameSetOtherTotal(t *testing.T) {
	owned, id := shards.Range(0, 4), idAt(10)
	if !shards.Hashed.Concerns(id, 10, owned) || shards.Hashed.Concerns(id, 16, owned) {
		t.Error("shard 0 of 10 and shard 10 of 16 were not told apart")
	}
	if a, b := shards.Striped.PieceOf(id, 1, 10), shards.Striped.PieceOf(id, 1, 16); a == b {
		t.Errorf("shard 1 holds piece %d of 10 and %d of 16", a, b)
	}
}

func TestPlacementText(t *testing.T) {
	for _, p := range []shards.Placement{shards.Hashed, shards.Striped} {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back shards.Placement
		if err := back.UnmarshalText(text); err != nil || back != p {
			t.Errorf("%s came back as %v, %v", text, back, err)
		}
	}
	for _, text := range []string{"", "Hashed", "striped ", "placement(1)"} {
		if p, err := shards.ParsePlacement(text); !errors.Is(err, shards.ErrPlacement) {
			t.Errorf("%q is read as %v, %v", text, p, err)
		}
	}
}

func TestCheckTotal(t *testing.T) {
	for _, tc := range []struct {
		placement shards.Placement
		total     uint32
		ok        bool
	}{
		{shards.Hashed, 0, false},
		{shards.Hashed, 1, true},
		{shards.Hashed, shards.MaxTotal, true},
		{shards.Hashed, shards.MaxTotal + 1, false},
		{shards.Striped, 0, false},
		{shards.Striped, 256, true},
		{shards.Striped, 257, false},
	} {
		err := tc.placement.CheckTotal(tc.total)
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, shards.ErrTotal) {
			t.Errorf("%v over %d shards: %v", tc.placement, tc.total, err)
		}
	}
}
