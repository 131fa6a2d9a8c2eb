package eventlog

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// imported writes a state as an import may leave it: with positions that are not
// known, with what has ended at its epoch, and with blobs that nothing registers.
func imported(t tester, rt *rapid.T, path string, s snapshot.State) {
	t.Helper()
	var blobs []snapshot.Blob
	var own []snapshot.Registration
	var pooled []snapshot.Pooled
	collect(t, s.Blobs(), &blobs)
	collect(t, s.Registrations(), &own)
	collect(t, s.Pooled(), &pooled)
	pools := slices.Clone(s.Pools())
	forget := func(gained *uint64) {
		if rapid.IntRange(0, 2).Draw(rt, "forget") == 0 {
			*gained = 0
		}
	}
	for i := range own {
		forget(&own[i].Gained)
	}
	for i := range pooled {
		forget(&pooled[i].Gained)
	}
	for i := range pools {
		forget(&pools[i].Gained)
	}
	at := s.Header()
	ended := snapshot.Pool{ID: snapshot.PoolID{0xee}, StartEpoch: 1, EndEpoch: max(1, at.Epoch)}
	pools = append(pools, ended)
	for i := range byte(3) {
		id := recovery.BlobID{i, 0xee}
		blobs = append(blobs, snapshot.Blob{Blob: recovery.Blob{ID: id, Size: 5, Encoding: recovery.Raw, Digest: id}})
		switch i {
		case 1:
			own = append(own, snapshot.Registration{Key: snapshot.KeyOf(id, id), Certified: true, CertifiedEpoch: 1, EndEpoch: at.Epoch})
		case 2:
			pooled = append(pooled, snapshot.Pooled{Key: snapshot.KeyOf(id, id), Certified: true, CertifiedEpoch: 1, Pool: ended.ID})
		}
	}
	slices.SortFunc(blobs, func(a, b snapshot.Blob) int { return bytes.Compare(a.RowKey(), b.RowKey()) })
	slices.SortFunc(own, func(a, b snapshot.Registration) int { return bytes.Compare(a.RowKey(), b.RowKey()) })
	slices.SortFunc(pooled, func(a, b snapshot.Pooled) int { return bytes.Compare(a.RowKey(), b.RowKey()) })
	slices.SortFunc(pools, func(a, b snapshot.Pool) int { return bytes.Compare(a.RowKey(), b.RowKey()) })
	w, err := snapshot.Create(path, at)
	must(t, err)
	put(t, blobs, w.Blob)
	put(t, own, w.Registration)
	put(t, pooled, w.Pooled)
	put(t, pools, w.Pool)
	must(t, w.Close())
}

func collect[R any](t tester, from snapshot.Cursor[R], to *[]R) {
	t.Helper()
	for {
		row, err := from.Next()
		must(t, err)
		if row == nil {
			return
		}
		*to = append(*to, *row)
	}
}

func put[R any](t tester, rows []R, put func(*R) error) {
	t.Helper()
	for i := range rows {
		must(t, put(&rows[i]))
	}
}

// TestImportedBase: over a base that holds more than the canonical state, and knows
// less, everything is as over a clean one; the first snapshot leaves it behind.
func TestImportedBase(t *testing.T) {
	evidence.Property(t, "event log: over an imported base all is as over a clean one", func(rt *rapid.T) {
		dir := tempDir(t)
		h := eventtest.New(rapid.Uint64().Draw(rt, "seed"), "main")
		h.Take(rapid.IntRange(1, 80).Draw(rt, "before"))
		path := filepath.Join(dir, "import.rsnap")
		imported(rt, rt, path, h.Model().State())
		r, err := snapshot.Open(path)
		must(rt, err)
		model, err := event.ModelOf(r)
		must(rt, err)
		must(rt, r.Close())
		cfg := quiet(filepath.Join(dir, "catalog"))
		_, err = Seed(context.Background(), cfg, path)
		must(rt, err)
		c := openIn(rt, cfg)
		defer c.Close()
		agrees(rt, c, model)
		sameState(rt, c, model)
		h = eventtest.After(rapid.Uint64().Draw(rt, "then"), model)
		for range rapid.IntRange(1, 6).Draw(rt, "rounds") {
			events := h.Take(rapid.IntRange(1, 30).Draw(rt, "events"))
			apply(rt, c, events)
			agrees(rt, c, model)
			sameState(rt, c, model)
			lookups(rt, c, model, idsOf(events))
			if rapid.Bool().Draw(rt, "snapshot") {
				e, err := c.Snapshot(context.Background(), snapshot.Incremental)
				must(rt, err)
				held, err := c.shelf.OpenEntry(context.Background(), e)
				must(rt, err)
				if held.Header().Base == nil {
					noDifference(rt, model.State(), held)
				}
				must(rt, held.Close())
			}
		}
	})
}

// Hazard 52: the label is read with the data: a snapshot that is made while events
// come is named by what is in it.
func TestALabelTakenFromTheTrigger(t *testing.T) {
	seed := uint64(21)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	events := historyEvents(seed, 300)
	next := 100
	var c *Catalog
	cfg.step = func(step string) {
		if step == "snapshot in place" && next < 300 {
			next += 50
			apply(t, c, events[:next])
		}
	}
	c = open(t, cfg)
	apply(t, c, events[:next])
	for range 3 {
		asked := c.Status().Position
		e, err := c.Snapshot(t.Context(), snapshot.Full)
		must(t, err)
		raw, err := os.ReadFile(filepath.Join(cfg.Dir, e.Files()[0].String()))
		must(t, err)
		if e.Position != asked || !bytes.Equal(raw, fullAt(t, cfg.Dir, seed, asked)) {
			t.Errorf("asked at %d: %v", asked, e.Name)
		}
		agrees(t, c, modelAt(seed, uint64(next)))
	}
}

// Hazard 54: what was dropped between base and increment does not come back: not
// what has ended, and not what lived in a pool of the same name before.
func TestIncrementalWithoutDeletionRecords(t *testing.T) {
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	c := open(t, cfg)
	pool, a, b := snapshot.PoolID{7}, recovery.BlobID{1}, recovery.BlobID{2}
	model, position := event.NewModel("main"), uint64(0)
	step := func(e event.Event) {
		t.Helper()
		position++
		e.Position = position
		must(t, e.Validate())
		must(t, model.Apply(&e))
		apply(t, c, []event.Event{e})
		agrees(t, c, model)
		sameState(t, c, model)
	}
	registered := func(id recovery.BlobID) event.Event {
		return event.Event{Kind: event.Register, Blob: id, Object: id, Size: 3, Encoding: recovery.Raw, Digest: id}
	}
	certified := func(id recovery.BlobID) event.Event {
		return event.Event{Kind: event.Certify, Blob: id, Object: id}
	}
	step(event.Event{Kind: event.EpochStarted, Epoch: 1})
	step(event.Event{Kind: event.PoolCreated, Pool: pool, EndEpoch: 3})
	member := registered(a)
	member.Pool = pool
	step(member)
	step(certified(a))
	brief := registered(b)
	brief.EndEpoch = 2
	step(brief)
	step(certified(b))
	_, err := c.Snapshot(t.Context(), snapshot.Full) // all of it is in the base
	must(t, err)
	step(event.Event{Kind: event.EpochStarted, Epoch: 2})
	step(event.Event{Kind: event.EpochStarted, Epoch: 3})
	step(event.Event{Kind: event.PoolCreated, Pool: pool, EndEpoch: 9})
	if n := c.Status().Blobs; n != 0 {
		t.Errorf("%d blobs came back", n)
	}
	step(member) // into the new pool
	if n := c.Status().Blobs; n != 0 {
		t.Errorf("%d blobs are certified by a registration of before", n)
	}
	step(certified(a))
	e, err := c.Snapshot(t.Context(), snapshot.Incremental)
	must(t, err)
	if e.Kind != snapshot.Full {
		t.Errorf("%v, over a base of another epoch", e.Name)
	}
	step(certified(a))
	e, err = c.Snapshot(t.Context(), snapshot.Incremental)
	must(t, err)
	if e.Kind != snapshot.Incremental {
		t.Errorf("%v, over a base of the same epoch", e.Name)
	}
}
