package fs

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/store"
)

func TestSequence(t *testing.T) {
	type call struct {
		first, last byte
		want        stepKind
	}
	for name, calls := range map[string][]call{
		"a scan":                      {{0, 9, begins}, {10, 19, goesOn}, {30, 39, goesOn}},
		"look-ups between its pages":  {{0, 9, begins}, {3, 4, stray}, {10, 19, goesOn}, {3, 4, stray}, {12, 15, stray}, {20, 29, goesOn}},
		"a new pass":                  {{50, 59, begins}, {0, 9, stray}, {10, 19, stray}, {20, 29, begins}, {30, 39, goesOn}},
		"the same look-up, again":     {{50, 59, begins}, {0, 9, stray}, {0, 9, stray}, {0, 9, stray}, {60, 69, goesOn}},
		"a page that is asked again":  {{0, 9, begins}, {0, 9, stray}, {10, 19, goesOn}},
		"a new pass after look-ups":   {{50, 59, begins}, {8, 9, stray}, {0, 3, stray}, {4, 7, stray}, {8, 11, begins}},
		"a new pass, from the middle": {{0, 99, begins}, {40, 49, stray}, {50, 59, stray}, {60, 69, begins}, {70, 79, goesOn}},
	} {
		var q sequence
		for i, c := range calls {
			if got := q.step(recovery.BlobID{c.first}, recovery.BlobID{c.last}); got != c.want {
				t.Errorf("%s: call %d is %d, want %d", name, i, got, c.want)
			}
		}
	}
}

// spread returns n rows evenly over a part of the id space.
func spread(n int, from, to float64) []recovery.Row {
	rows := make([]recovery.Row, n)
	for i := range rows {
		at := from + (to-from)*float64(i)/float64(n)
		binary.BigEndian.PutUint64(rows[i].ID[:], uint64(at*math.MaxUint64))
	}
	return rows
}

func TestWorthListing(t *testing.T) {
	for _, tt := range []struct {
		name    string
		layout  store.Layout
		shards  int
		entries int // in each shard; 0: never listed
		memory  int
		rows    []recovery.Row
		want    bool
	}{
		{"few rows", store.Flat, 1, 0, 32 << 20, spread(63, 0, 0.001), false},
		{"a page, nothing known", store.Flat, 1, 0, 32 << 20, spread(64, 0, 0.001), true},
		{"a page of a dense catalog", store.Flat, 1, 1e6, 32 << 20, spread(1000, 0, 0.001), true},
		{"a page of a dense catalog, fanned out", store.Fanout, 10, 1e5, 32 << 20, spread(1000, 0.5, 0.501), true},
		{"scattered retries", store.Flat, 1, 1e6, 32 << 20, spread(1000, 0, 1), false},
		{"scattered retries, fanned out", store.Fanout, 10, 1e5, 32 << 20, spread(1000, 0, 1), false},
		{"scattered, in a small store", store.Flat, 1, 3000, 32 << 20, spread(1000, 0, 1), true},
		{"the last hundredth of a large directory", store.Flat, 1, 1e6, 32 << 20, spread(1000, 0.99, 0.991), false},
		{"a directory that fits a hundred times", store.Flat, 1, 1e6, 32 * 1e4, spread(1000, 0, 0.001), false},
		{"a directory that fits twice", store.Flat, 1, 1e6, 32 * 1e6, spread(1000, 0, 0.001), true},
		{"more shards than memory", store.Fanout, 1000, 0, 32 * 256_000 / 2, spread(1000, 0, 0.001), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			owned := make([]listed, tt.shards)
			for i := range owned {
				owned[i].entries = tt.entries
			}
			req := recovery.StoreRequest{TotalShards: uint32(tt.shards), Placement: shards.Hashed, Owned: shards.Range(0, uint32(tt.shards-1))}
			cfg := Config{ListingMemory: tt.memory}.withDefaults()
			inv := newInventory(cfg, tt.layout, req, owned, nil)
			if got := inv.worthListing(tt.rows, len(tt.rows)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
