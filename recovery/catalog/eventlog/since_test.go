package eventlog

import (
	"context"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// since reads a pass that has covered a bound.
func since(t tester, c *Catalog, covered recovery.Bound, size int) (rows []recovery.Row, pass uint64) {
	t.Helper()
	page := make([]recovery.Row, size)
	for after := (recovery.Mark{}); ; {
		info, err := c.PageSince(context.Background(), covered, after, page)
		must(t, err)
		if info.N == 0 && !info.End {
			t.Fatalf("an empty page after %v is not the end", after)
		}
		for _, row := range page[:info.N] {
			if after.Covers(row.ID) {
				t.Fatalf("%v follows %v", row.ID, after)
			}
			after = recovery.MarkAt(row.ID)
			rows = append(rows, row)
		}
		pass = info.Pass
		if info.End {
			return rows, pass
		}
	}
}

// TestSinceMissesNothing: a pass that has covered a bound meets every blob of which
// the model says that it gained its certification behind it, as it is now. Where
// the log does not reach back, it meets all.
//
// Hazard 79: what is extended counts, by itself or by its pool.
func TestSinceMissesNothing(t *testing.T) {
	narrow, wide, pools := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		h := eventtest.New(rapid.Uint64().Draw(rt, "seed"), "main")
		c := openIn(rt, quiet(filepath.Join(tempDir(t), "catalog")))
		defer c.Close()
		apply(rt, c, h.Take(rapid.IntRange(1, 150).Draw(rt, "before")))
		covered := agrees(rt, c, h.Model()).Bound
		snapshots := func() {
			for rapid.IntRange(0, 3).Draw(rt, "full") == 0 {
				_, err := c.Snapshot(context.Background(), snapshot.Full)
				must(rt, err)
			}
		}
		snapshots()
		later := h.Take(rapid.IntRange(0, 60).Draw(rt, "after"))
		apply(rt, c, later)
		snapshots()
		tip := agrees(rt, c, h.Model())
		got := map[recovery.BlobID]recovery.Row{}
		rows, pass := since(rt, c, covered, rapid.IntRange(1, 20).Draw(rt, "rows"))
		for _, row := range rows {
			got[row.ID] = row
		}
		if pass != 0 && uint64(len(rows)) > pass {
			rt.Fatalf("%d rows of a pass of %d", len(rows), pass)
		}
		for _, row := range h.Model().Certified() {
			found, there := got[row.ID]
			switch {
			case row.Gained > covered.Position && !there, row.CertifiedEpoch > covered.Epoch && !there:
				rt.Fatalf("%v gained at %d is not met, from %d to %d", row.ID, row.Gained, covered.Position, tip.Position)
			case there && found != row:
				rt.Fatalf("met as %+v, it is %+v", found, row)
			}
			delete(got, row.ID)
		}
		if len(got) > 0 {
			rt.Fatalf("met what is not certified: %v", got)
		}
		if pass == 0 {
			wide++
			return
		}
		narrow++
		touched := map[recovery.BlobID]bool{}
		for _, e := range later {
			touched[e.Blob] = true
			if e.Kind == event.PoolExtended {
				pools++
			}
		}
		if pools == 0 && len(rows) > len(touched) {
			rt.Fatalf("%d blobs were touched, %d are met", len(touched), len(rows))
		}
	})
	if narrow < 3 || pools < 1 {
		t.Errorf("%d narrow passes, %d wide ones, %d pools extended", narrow, wide, pools)
	}
}

// Hazard 93, the catalog's side: a pass after a move of the bound looks at what the
// events in between touched, not at all there is.
func TestChasingTheTip(t *testing.T) {
	dir := tempDir(t)
	path := filepath.Join(dir, "synth.rsnap")
	_, err := snapshot.Synth(t.Context(), snapshot.SynthConfig{Blobs: 20_000, Network: "main"}, path)
	must(t, err)
	cfg := quiet(filepath.Join(dir, "catalog"))
	_, err = Seed(t.Context(), cfg, path)
	must(t, err)
	c := open(t, cfg)
	covered, err := c.Pin(t.Context())
	must(t, err)
	all := rowsOf(t, c)
	for i := range 3 {
		id := all[1000*i].ID
		e := event.Event{Position: covered.Position + uint64(i) + 1, Kind: event.Certify, Blob: id, Object: id}
		apply(t, c, []event.Event{e})
	}
	_, err = c.Pin(t.Context())
	must(t, err)
	rows, pass := since(t, c, covered.Bound, 1024)
	if len(rows) != 3 || pass != 3 {
		t.Errorf("a pass after 3 events meets %d of %d blobs, and says %d", len(rows), len(all), pass)
	}
	// Another network's bound, and one from before the log, tell nothing.
	for _, strange := range []recovery.Bound{{Stamp: recovery.Stamp{Network: "other", Position: covered.Position}}, {Stamp: recovery.Stamp{Network: "main", Position: 3}}} {
		if rows, pass := since(t, c, strange, 1024); len(rows) != len(all) || pass != 0 {
			t.Errorf("since %v: %d rows of %d", strange, len(rows), len(all))
		}
	}
}
