package fs

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// anyID draws ids that share prefixes, so that every byte decides at times.
func anyID() *rapid.Generator[recovery.BlobID] {
	return rapid.Custom(func(t *rapid.T) (id recovery.BlobID) {
		id[0] = rapid.SampledFrom([]byte{0, 1, 0x7f, 0xff}).Draw(t, "first")
		id[7] = rapid.ByteRange(0, 3).Draw(t, "eighth")
		id[31] = rapid.ByteRange(0, 3).Draw(t, "last")
		return id
	})
}

// Whatever the order of a listing, and however little is kept of it, the windows
// that follow each other answer as the whole sorted listing would.
func TestWindowsAnswerAsTheWholeListing(t *testing.T) {
	evidence.Property(t, "store: windows of a listing answer as the whole one would", func(t *rapid.T) {
		listing := rapid.SliceOf(anyID()).Draw(t, "listing")
		limit := rapid.IntRange(2, 20).Draw(t, "limit")
		asked := rapid.SliceOfDistinct(anyID(), rapid.ID[recovery.BlobID]).Draw(t, "asked")
		slices.SortFunc(asked, recovery.BlobID.Compare)
		want := make([]wanted, len(asked))
		for i, id := range asked {
			want[i] = wanted{id: id, row: i}
		}
		hits := map[int]bool{}
		var win window
		for rest := want; len(rest) > 0; {
			c := newCollector(window{from: rest[0].id, open: true}, limit, win.ids)
			for i := range listing {
				c.add(&listing[i])
				if len(c.win.ids) > limit {
					t.Fatalf("%d ids are held, the limit is %d", len(c.win.ids), limit)
				}
			}
			win = c.window()
			n, err := win.merge(rest, func(w wanted) error { hits[w.row] = true; return nil })
			if err != nil || n == 0 {
				t.Fatalf("a new window answers for %d rows: %v", n, err)
			}
			rest = rest[n:]
		}
		for i, id := range asked {
			if hits[i] != slices.Contains(listing, id) {
				t.Fatalf("%s: %v", id, hits[i])
			}
		}
	})
}

func TestWindowCovers(t *testing.T) {
	at := func(n byte) *recovery.BlobID { return &recovery.BlobID{n} }
	for _, tt := range []struct {
		win  window
		id   byte
		want bool
	}{
		{window{}, 0, false},
		{window{from: *at(2), to: *at(5)}, 1, false},
		{window{from: *at(2), to: *at(5)}, 2, true},
		{window{from: *at(2), to: *at(5)}, 5, false},
		{window{from: *at(2), open: true}, 255, true},
	} {
		if got := tt.win.covers(at(tt.id)); got != tt.want {
			t.Errorf("%+v covers %d: %v", tt.win, tt.id, got)
		}
	}
}

func TestSortIDs(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, n := range []int{0, 1, 2, 1000, 5000, 50_000} {
		for shared := range 4 {
			ids := make([]recovery.BlobID, n)
			for i := range ids {
				for b := shared; b < len(ids[i]); b++ {
					ids[i][b] = byte(rnd.Uint32())
				}
			}
			want := slices.Clone(ids)
			slices.SortFunc(want, recovery.BlobID.Compare)
			sortIDs(ids)
			if !slices.Equal(ids, want) {
				t.Errorf("%d ids that share %d bytes are not in order", n, shared)
			}
		}
	}
	same := make([]recovery.BlobID, 5000)
	sortIDs(same)
}
