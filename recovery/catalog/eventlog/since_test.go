package eventlog

import (
	"context"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
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
	evidence.Property(t, "event log: a pass meets every blob that gained its certification behind its bound", func(rt *rapid.T) {
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

// TestTouchedByPools: pools bring all that is in them, from base and delta; and
// what is too much is given up.
func TestTouchedByPools(t *testing.T) {
	c := open(t, quiet(filepath.Join(tempDir(t), "catalog")))
	pool, position := snapshot.PoolID{5}, uint64(0)
	add := func(e event.Event) {
		position++
		e.Position = position
		apply(t, c, []event.Event{e})
	}
	add(event.Event{Kind: event.EpochStarted, Epoch: 1})
	add(event.Event{Kind: event.PoolCreated, Pool: pool, EndEpoch: 5})
	for i := range byte(40) {
		if i == 20 {
			_, err := c.Snapshot(t.Context(), snapshot.Full)
			must(t, err)
		}
		id := recovery.BlobID{i}
		e := event.Event{Kind: event.Register, Blob: id, Object: id, Encoding: recovery.Raw, Digest: id, Pool: pool}
		if i%2 == 0 {
			e.Pool, e.EndEpoch = snapshot.PoolID{}, 5
		}
		e.Digest[31] = 1
		add(e)
		add(event.Event{Kind: event.Certify, Blob: id, Object: id})
	}
	covered, err := c.Pin(t.Context())
	must(t, err)
	add(event.Event{Kind: event.PoolExtended, Pool: pool, EndEpoch: 6})
	add(event.Event{Kind: event.Certify, Blob: recovery.BlobID{2}, Object: recovery.BlobID{2}})
	_, err = c.Pin(t.Context())
	must(t, err)
	rows, pass := since(t, c, covered.Bound, 7)
	if len(rows) != 21 || pass != 21 {
		t.Errorf("%d rows of a pass of %d, want 21", len(rows), pass)
	}
	// What comes behind what was found out is met too, when it is pinned.
	add(event.Event{Kind: event.Extend, Blob: recovery.BlobID{4}, Object: recovery.BlobID{4}, EndEpoch: 9})
	_, err = c.Pin(t.Context())
	must(t, err)
	if rows, pass := since(t, c, covered.Bound, 7); len(rows) != 22 || pass != 22 {
		t.Errorf("%d rows of a pass of %d, want 22", len(rows), pass)
	}
	for _, limit := range []int{1, 20} {
		s := touchScan{c: c, at: covered.Position, limit: limit, ids: map[recovery.BlobID]struct{}{}, pools: map[snapshot.PoolID]struct{}{}}
		if all, err := s.run(t.Context(), covered.Bound); err != nil || !all {
			t.Errorf("at most %d: %v, %v", limit, all, err)
		}
	}
}

// Hazard 80, the catalog's side: no answer is from before the pinned state, and
// what an event behind that has changed shows or does not, but never an older "no".
func TestStaleNo(t *testing.T) {
	seed := uint64(31)
	events := historyEvents(seed, 150)
	c := open(t, quiet(filepath.Join(tempDir(t), "catalog")))
	for at := 10; at <= 140; at += 10 {
		apply(t, c, events[:at])
		tip, err := c.Pin(t.Context())
		must(t, err)
		apply(t, c, events[:at+5]) // it moves on
		at, rows, err := c.Lookup(t.Context(), idsOf(events))
		must(t, err)
		if !at.Reaches(tip.Bound) {
			t.Fatalf("an answer of %+v, pinned is %+v", at, tip.Stamp)
		}
		want := modelAt(seed, at.Position).Certified()
		if len(rows) != len(want) {
			t.Fatalf("%d rows at %d, want %d", len(rows), at.Position, len(want))
		}
	}
}

// Hazard 35: no transaction is open between two pages, and the log does not grow
// while a slow pass goes on and events come.
func TestLongReadTransaction(t *testing.T) {
	c := open(t, quiet(filepath.Join(tempDir(t), "catalog")))
	h := eventtest.New(32, "main")
	apply(t, c, h.Take(400))
	_, err := c.Pin(t.Context())
	must(t, err)
	rows := make([]recovery.Row, 1)
	extend := h.Model().Certified()[0]
	position, after := h.Model().Stamp().Position, recovery.Mark{}
	var first int64
	for i := range 200 {
		info, err := c.Page(t.Context(), after, rows)
		must(t, err)
		if n := c.db.db.Stats().OpenTxN; n != 0 {
			t.Fatalf("%d transactions are open after a page", n)
		}
		if after = recovery.MarkAt(rows[0].ID); info.End || info.N == 0 {
			after = recovery.Mark{}
		}
		must(t, c.update(func(b *buckets, m *meta) error { // rewrites what an event would
			w := newWork(b, m, c.base, map[snapshot.PoolID]uint64{})
			w.now = position
			row, _, _, err := w.blob(extend.ID)
			if err != nil {
				return err
			}
			return blobTable{w}.Put(row)
		}))
		must(t, c.db.view(func(tx *bbolt.Tx) error {
			if size := tx.Size(); i == 20 {
				first = size
			} else if i > 20 && size > 2*first {
				t.Fatalf("%d bytes after %d pages, %d before", size, i, first)
			}
			return nil
		}))
	}
}
