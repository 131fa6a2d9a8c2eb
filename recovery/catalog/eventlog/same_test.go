package eventlog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/event/eventtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
	"github.com/recoverd/recoverd/recovery/sim/evidence"
)

// busy makes many snapshots and keeps them all.
func busy(dir string) Config {
	c := quiet(dir)
	c.EpochSnapshots, c.FullEvery, c.IncrEvery = true, 64, 8
	c.Retain = archive.Policy{Fulls: 1000, Increments: 1000, Older: 1000}
	return c
}

// settle waits for the snapshot under way, if any.
func settle(t tester, c *Catalog) {
	t.Helper()
	must(t, c.take(context.Background()))
	c.giveBack()
	if s := c.Status(); s.Full.Err != nil || s.Incremental.Err != nil || s.Tidy != nil {
		t.Fatalf("%+v", s)
	}
}

// modelAt is the state at a position of the history with that seed.
func modelAt(seed, position uint64) *event.Model {
	h := eventtest.New(seed, "main")
	h.Take(int(position))
	return h.Model()
}

// fullAt are the bytes of a full snapshot of the history at a position.
func fullAt(t tester, dir string, seed, position uint64) []byte {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("model-%d-%d", seed, position))
	_, err := snapshot.Write(context.Background(), path, modelAt(seed, position).State(), snapshot.Options{})
	must(t, err)
	raw, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	return raw
}

// filesOf are the bytes of a directory's snapshots by name.
func filesOf(t tester, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, e := range entries(t, dir) {
		raw, err := os.ReadFile(filepath.Join(dir, e.Files()[0].String()))
		must(t, err)
		files[e.Name.String()] = raw
	}
	return files
}

// TestSameEventsSameFiles: however the events were cut into batches, and wherever
// the process ended or was killed, two catalogs make the same files at the same
// positions, byte for byte; and full ones are those of the model.
//
// Hazards 13 and 59: the position moves with the data, whenever a kill comes.
// Hazard 64: it is made sure that there is something to compare.
func TestSameEventsSameFiles(t *testing.T) {
	compared := map[snapshot.Kind]int{}
	evidence.Property(t, "event log: the same events make the same files, wherever a kill comes", func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		events := eventtest.New(seed, "main").Take(rapid.IntRange(60, 260).Draw(rt, "events"))
		one, two := filepath.Join(tempDir(t), "one"), filepath.Join(tempDir(t), "two")
		a := openIn(rt, busy(one))
		for i := range events {
			must(rt, a.Apply(context.Background(), events[i:i+1], uint64(i+1)))
			settle(rt, a)
		}
		must(rt, a.Close())

		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1 + int(seed%3)))
		cfg := busy(two)
		cfg.BatchEvents = rapid.IntRange(1, 40).Draw(rt, "batch")
		b := openIn(rt, cfg)
		for at := 0; at < len(events); {
			n := min(len(events)-at, rapid.IntRange(1, 90).Draw(rt, "given"))
			from := max(0, at-rapid.IntRange(0, 5).Draw(rt, "again"))
			tip := rapid.SampledFrom([]int{at + n, len(events)}).Draw(rt, "tip")
			must(rt, b.Apply(context.Background(), events[from:at+n], uint64(tip)))
			at += n
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0: // it ends and begins again
				settle(rt, b)
				must(rt, b.Close())
				b = openIn(rt, cfg)
			case 1: // it is killed, perhaps while a snapshot is made
				cfg.Dir = filepath.Join(tempDir(t), "killed")
				killedCopy(rt, b, cfg.Dir)
				must(rt, b.Close())
				two = cfg.Dir
				b = openIn(rt, cfg)
			}
		}
		settle(rt, b)
		sameState(rt, b, modelAt(seed, uint64(len(events))))
		must(rt, b.Close())
		first, second := filesOf(rt, one), filesOf(rt, two)
		for _, e := range entries(rt, two) {
			name := e.Name.String()
			if e.Kind == snapshot.Full && !bytes.Equal(second[name], fullAt(rt, tempDir(t), seed, e.Position)) {
				rt.Fatalf("%s is not the model's state", name)
			}
			if other, there := first[name]; there {
				compared[e.Kind]++
				if !bytes.Equal(other, second[name]) {
					rt.Fatalf("%s differs", name)
				}
			}
		}
		for _, e := range events {
			if e.Kind == event.EpochStarted && !madeAt(entries(rt, two), e.Position) {
				rt.Fatalf("no full snapshot at position %d, where epoch %d began: %v", e.Position, e.Epoch, names(entries(rt, two)))
			}
		}
	})
	t.Logf("compared %v", compared)
	if compared[snapshot.Full] < 20 || compared[snapshot.Incremental] < 2 {
		t.Errorf("only %v snapshots could be compared", compared)
	}
}

func madeAt(all []archive.Entry, position uint64) bool {
	for _, e := range all {
		if e.Kind == snapshot.Full && e.Position == position {
			return true
		}
	}
	return false
}

// TestRestoredAnywhere: full, incremental and replay lead to the state at any
// position that can be reached, byte for byte, and the history goes on from there.
func TestRestoredAnywhere(t *testing.T) {
	tried, replayed, laid := 0, 0, 0
	evidence.Property(t, "event log: full, incremental and replay lead to the same state, byte for byte", func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		events := eventtest.New(seed, "main").Take(rapid.IntRange(80, 200).Draw(rt, "events"))
		dir := filepath.Join(tempDir(t), "catalog")
		cfg := busy(dir)
		cfg.EpochSnapshots = rapid.Bool().Draw(rt, "epochs")
		cfg.Retain.Fulls = rapid.IntRange(1, 4).Draw(rt, "fulls")
		c := openIn(rt, cfg)
		for i := range events {
			must(rt, c.Apply(context.Background(), events[i:i+1], uint64(i+1)))
			if i%4 == 0 {
				settle(rt, c)
			}
		}
		settle(rt, c)
		must(rt, c.Close())
		all := entries(rt, dir)
		oldest := all[slices.IndexFunc(all, func(e archive.Entry) bool { return e.Kind == snapshot.Full })].Position
		target := rapid.Uint64Range(oldest, uint64(len(events))).Draw(rt, "target")
		if rapid.IntRange(0, 2).Draw(rt, "log") == 0 { // it is lost: only what was written down can be reached
			must(rt, os.Remove(filepath.Join(dir, logName)))
			target = rapid.SampledFrom(all).Draw(rt, "entry").Position
		}
		way, err := RestoreTo(context.Background(), cfg, target)
		must(rt, err)
		tried++
		if !way.Replay.Empty() {
			replayed++
		}
		if way.Incremental != nil {
			laid++
		}
		cfg.EpochSnapshots = false
		c = openIn(rt, cfg)
		defer c.Close()
		m := modelAt(seed, target)
		agrees(rt, c, m)
		sameState(rt, c, m)
		e, err := c.Snapshot(context.Background(), snapshot.Full)
		must(rt, err)
		raw, err := os.ReadFile(filepath.Join(dir, e.Files()[0].String()))
		must(rt, err)
		if !bytes.Equal(raw, fullAt(rt, tempDir(t), seed, target)) {
			rt.Fatalf("restored to %d by %v, the full snapshot differs", target, names(way.Entries()))
		}
		apply(rt, c, events[target:])
		agrees(rt, c, modelAt(seed, uint64(len(events))))
	})
	t.Logf("of %d restores %d replayed events, %d used an incremental", tried, replayed, laid)
	if enough := tried / 12; replayed < enough-3 || laid < enough-3 || replayed+laid == 0 { // chance is not even
		t.Errorf("only %d of %d restores replayed events, %d used an incremental", replayed, tried, laid)
	}
}
