package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/archive"
)

// kills keeps copies of a directory as a process that is killed would leave it.
type kills struct {
	t    *testing.T
	dir  string
	all  []kill
	seen map[string]int
}

type kill struct{ step, dir string }

func newKills(t *testing.T, dir string) *kills {
	return &kills{t: t, dir: dir, seen: map[string]int{}}
}

func (k *kills) here(step string) {
	k.seen[step]++
	to := filepath.Join(tempDir(k.t), fmt.Sprintf("killed-%d", len(k.all)))
	copyDir(k.t, k.dir, to)
	k.all = append(k.all, kill{step, to})
}

// TestKilledAtEveryStep: whenever the process is killed while it applies events,
// makes snapshots, switches the base and tidies up, the next one finds all that was
// committed, goes on, and makes the same files.
func TestKilledAtEveryStep(t *testing.T) {
	seed := uint64(11)
	events := historyEvents(seed, 120)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	cfg.BatchEvents, cfg.FullEvery = 15, 40
	cfg.Retain = archive.Policy{Fulls: 1, Increments: 1}
	k := newKills(t, cfg.Dir)
	cfg.step = k.here
	c := openIn(t, cfg)
	c.db.commit = func(tx *bbolt.Tx) error {
		err := tx.Commit()
		k.here("after a commit") // before the next one it is the same
		return err
	}
	for at := 0; at < 120; at += 10 {
		apply(t, c, events[at:at+10])
		settle(t, c)
		if at == 50 || at == 90 {
			_, err := c.Pin(t.Context())
			must(t, err)
			_, err = c.Snapshot(t.Context(), snapshot.Incremental)
			must(t, err)
		}
	}
	c.db.commit = (*bbolt.Tx).Commit
	must(t, c.Close())
	want := filesOf(t, cfg.Dir)
	for _, step := range []string{"snapshot in place", "base switched", "swept", "snapshots pruned", "after a commit"} {
		if k.seen[step] < 2 {
			t.Errorf("%s: %d times", step, k.seen[step])
		}
	}
	for _, killed := range k.all {
		cfg := cfg
		cfg.Dir, cfg.step = killed.dir, nil
		c := openIn(t, cfg)
		if o := c.Opened(); o.Damage != nil || o.Rebuilt {
			t.Fatalf("killed when %s: %+v", killed.step, o)
		}
		agrees(t, c, modelAt(seed, c.Opened().At.Position))
		sameState(t, c, modelAt(seed, c.Opened().At.Position))
		apply(t, c, events)
		settle(t, c)
		_, err := c.Snapshot(t.Context(), snapshot.Full)
		must(t, err)
		agrees(t, c, modelAt(seed, 120))
		if s := c.Status(); s.First != 121 || s.Tidy != nil {
			t.Errorf("killed when %s: %+v", killed.step, s)
		}
		must(t, c.Close())
		got := filesOf(t, cfg.Dir)
		for name, raw := range want {
			if have, there := got[name]; there && !bytes.Equal(have, raw) {
				t.Errorf("killed when %s: %s differs", killed.step, name)
			}
		}
		must(t, os.RemoveAll(killed.dir))
	}
}

// TestSeedKilledAtEveryStep: an unfinished Seed is refused until it is done again;
// data and position take effect together.
func TestSeedKilledAtEveryStep(t *testing.T) {
	seed, dir := uint64(12), tempDir(t)
	events := historyEvents(seed, 90)
	path := filepath.Join(dir, "at-60.rsnap")
	must(t, os.WriteFile(path, fullAt(t, dir, seed, 60), 0o600))
	cfg := quiet(filepath.Join(dir, "catalog"))
	k := newKills(t, cfg.Dir)
	cfg.step = k.here
	_, err := Seed(t.Context(), cfg, path)
	must(t, err)
	steps := []string{"marker set", "snapshot in place", "log begun", "log built", "log in place", "marker cleared"}
	for i, killed := range k.all {
		if killed.step != steps[i] {
			t.Fatalf("step %d is %q", i, killed.step)
		}
		cfg := cfg
		cfg.Dir, cfg.step = killed.dir, nil
		if killed.step != "marker cleared" {
			if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrUnfinished) {
				t.Errorf("killed when %s: Open: %v", killed.step, err)
			}
			_, err := Seed(t.Context(), cfg, path)
			must(t, err)
		} else if _, err := Seed(t.Context(), cfg, path); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("seeded twice: %v", err)
		}
		c := openIn(t, cfg)
		agrees(t, c, modelAt(seed, 60))
		apply(t, c, events[60:])
		agrees(t, c, modelAt(seed, 90))
		must(t, c.Close())
	}
}

// TestRestoreKilledAtEveryStep: the old log stays until the new one takes its
// place, and the restore is done again.
func TestRestoreKilledAtEveryStep(t *testing.T) {
	seed := uint64(13)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	c := openIn(t, cfg)
	events := historyEvents(seed, 100)
	apply(t, c, events[:30])
	_, err := c.Snapshot(t.Context(), snapshot.Full)
	must(t, err)
	apply(t, c, events[30:])
	must(t, c.Close())
	k := newKills(t, cfg.Dir)
	cfg.step = k.here
	_, err = RestoreTo(t.Context(), cfg, 70)
	must(t, err)
	if len(k.all) != 5 {
		t.Fatalf("%v", k.all)
	}
	for _, killed := range k.all {
		cfg := cfg
		cfg.Dir, cfg.step = killed.dir, nil
		if killed.step != "marker cleared" {
			if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrUnfinished) {
				t.Errorf("killed when %s: Open: %v", killed.step, err)
			}
		}
		if _, err := Seed(t.Context(), cfg, filepath.Join(cfg.Dir, entries(t, cfg.Dir)[0].Files()[0].String())); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("killed when %s: Seed over a log: %v", killed.step, err)
		}
		_, err := RestoreTo(t.Context(), cfg, 70)
		must(t, err)
		c := openIn(t, cfg)
		agrees(t, c, modelAt(seed, 70))
		apply(t, c, events[70:])
		agrees(t, c, modelAt(seed, 100))
		must(t, c.Close())
	}
}

// TestHistoryKeepsItsNames: bounds that were handed out stay ancestors through
// restarts, snapshots and restores, and one position keeps its digest.
func TestHistoryKeepsItsNames(t *testing.T) {
	seed := uint64(14)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	c := openIn(t, cfg)
	events := historyEvents(seed, 100)
	tips := map[uint64]recovery.Tip{}
	pin := func() {
		t.Helper()
		tip := agrees(t, c, modelAt(seed, c.Status().Position))
		if before, there := tips[tip.Position]; there && before.Digest != tip.Digest {
			t.Errorf("position %d is %v, and was %v", tip.Position, tip.Digest, before.Digest)
		}
		for position, before := range tips {
			if position <= tip.Position && !tip.Descends(before.Bound) {
				t.Errorf("%v does not descend from %v", tip.Bound, before.Bound)
			}
		}
		if tip.Position > 0 && !tip.Digest.Replayed() {
			t.Errorf("%v does not say that it was replayed", tip.Bound)
		}
		tips[tip.Position] = tip
	}
	for at := 0; at < 100; at += 10 {
		pin()
		apply(t, c, events[at:at+10])
		pin()
		if at == 40 {
			e, err := c.Snapshot(t.Context(), snapshot.Full)
			must(t, err)
			pin()
			if tip := tips[50]; !agrees(t, c, modelAt(seed, 50)).Descends(e.Bound) {
				t.Errorf("%v is not known as %v", tip.Bound, e.Bound)
			}
		}
		if at%30 == 0 {
			must(t, c.Close())
			c = openIn(t, cfg)
			pin()
		}
	}
	must(t, c.Close())
	_, err := RestoreTo(t.Context(), cfg, 80)
	must(t, err)
	c = openIn(t, cfg)
	for position := range tips { // what came behind it may come otherwise
		if position > 80 && position < 100 {
			delete(tips, position)
		}
	}
	pin()
	apply(t, c, events[80:])
	pin()
	must(t, c.Close())
	// Hazard 84: another history is not taken for this one.
	other := open(t, quiet(filepath.Join(tempDir(t), "other")))
	apply(t, other, historyEvents(seed+1, 100))
	strange, err := other.Pin(t.Context())
	must(t, err)
	if strange.Descends(tips[50].Bound) || strange.Digest == tips[100].Digest {
		t.Error("another history goes by the same names")
	}
}

// Hazard 59, the other half: snapshots that are gone leave no position behind.
// TestBaseThatIsGone: another way to the same position is found, or the catalog
// says what it needs.
func TestBaseThatIsGone(t *testing.T) {
	seed := uint64(15)
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	cfg.Retain = archive.Policy{Fulls: 2}
	c := openIn(t, cfg)
	events := historyEvents(seed, 100)
	for at := 0; at < 90; at += 30 {
		apply(t, c, events[at:at+30])
		_, err := c.Snapshot(t.Context(), snapshot.Full)
		must(t, err)
	}
	apply(t, c, events[90:])
	tip := agrees(t, c, modelAt(seed, 100))
	must(t, c.Close())
	all := entries(t, cfg.Dir)
	if len(all) != 2 {
		t.Fatalf("%v", names(all))
	}
	newest := all[1].Files()[0].String()
	for name, spoil := range map[string]func(path string) error{
		"gone":  os.Remove,
		"short": func(path string) error { return os.Truncate(path, 1000) },
		"other": func(path string) error { return os.WriteFile(path, fullAt(t, cfg.Dir, seed, 55), 0o600) },
	} {
		cfg := cfg
		cfg.Dir = filepath.Join(tempDir(t), name)
		copyDir(t, c.cfg.Dir, cfg.Dir)
		must(t, spoil(filepath.Join(cfg.Dir, newest)))
		c := openIn(t, cfg)
		if !c.Opened().Rebuilt || c.Opened().At.Position != 100 {
			t.Errorf("%s: %+v", name, c.Opened())
		}
		if again := agrees(t, c, modelAt(seed, 100)); again.Bound != tip.Bound {
			t.Errorf("%s: %v, it was %v", name, again.Bound, tip.Bound)
		}
		must(t, c.Close())
	}
	for _, e := range all {
		must(t, os.Remove(filepath.Join(cfg.Dir, e.Files()[0].String())))
	}
	var nothing *archive.NothingError
	if _, err := Open(t.Context(), cfg); !errors.As(err, &nothing) {
		t.Errorf("without any snapshot: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, logName)); err != nil {
		t.Errorf("the log is gone too: %v", err)
	}
}

// TestFreshDirectories: what is there decides what a catalog begins with.
func TestFreshDirectories(t *testing.T) {
	seed, dir := uint64(16), tempDir(t)
	cfg := quiet(filepath.Join(dir, "catalog"))
	nameless := cfg
	nameless.Network = ""
	if _, err := Open(t.Context(), nameless); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("nothing there, and no name: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(cfg.Dir, "full-40-0000000000000000.rsnap"), fullAt(t, dir, seed, 40), 0o600))
	var damage *archive.DamagedError
	if _, err := Open(t.Context(), cfg); !errors.As(err, &damage) {
		t.Errorf("a snapshot that is not what it is called: %v", err)
	}
	must(t, os.Remove(filepath.Join(cfg.Dir, "full-40-0000000000000000.rsnap")))
	c := openIn(t, cfg)
	if at := c.Opened().At; at.Position != 0 {
		t.Errorf("%+v", c.Opened())
	}
	must(t, c.Close())
	strange := cfg
	strange.Network = "other"
	if _, err := Open(t.Context(), strange); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("another network's log: %v", err)
	}
	cfg.Dir = filepath.Join(dir, "fetched")
	must(t, os.Mkdir(cfg.Dir, 0o700))
	a, err := archive.Open(archive.Config{Dir: cfg.Dir, MinFree: -1})
	must(t, err)
	_, err = a.CreateFull(context.Background(), modelAt(seed, 40).State(), archive.CreateOptions{})
	must(t, err)
	strange.Dir = cfg.Dir
	if _, err := Open(t.Context(), strange); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("another network's snapshot: %v", err)
	}
	cfg.Network = ""
	c = openIn(t, cfg)
	agrees(t, c, modelAt(seed, 40))
	apply(t, c, historyEvents(seed, 60))
	agrees(t, c, modelAt(seed, 60))
	must(t, c.Close())
	for _, bad := range []Config{{}, {Dir: "x", BatchEvents: -1}, {Dir: "x", RetryEvery: -1}, {Dir: "x", MaxChunk: 5}} {
		if _, err := Open(t.Context(), bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := Open(t.Context(), quiet(filepath.Join(dir, "no", "parent"))); !errors.Is(err, ErrCreate) {
		t.Errorf("no parent: %v", err)
	}
}

// TestSeedRefuses: what is not a whole, good snapshot of the network leaves the
// directory as it was.
func TestSeedRefuses(t *testing.T) {
	seed, dir := uint64(17), tempDir(t)
	cfg := quiet(filepath.Join(dir, "catalog"))
	path := filepath.Join(dir, "s.rsnap")
	raw := fullAt(t, dir, seed, 40)
	spoiled := bytes.Clone(raw)
	spoiled[len(raw)/2] ^= 1
	must(t, os.WriteFile(path, spoiled, 0o600))
	var corrupt *snapshot.CorruptError
	if _, err := Seed(t.Context(), cfg, path); !errors.As(err, &corrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
	must(t, os.WriteFile(path, raw, 0o600))
	strange := cfg
	strange.Network = "other"
	if _, err := Seed(t.Context(), strange, path); !errors.Is(err, recovery.ErrMisconfigured) {
		t.Errorf("another network: %v", err)
	}
	cfg.MinFree = 1 << 60
	var room *archive.SpaceError
	if _, err := Seed(t.Context(), cfg, path); !errors.As(err, &room) {
		t.Errorf("no room: %v", err)
	}
	cfg.MinFree = -1
	c := open(t, cfg) // no marker is left
	if at := c.Opened().At.Position; at != 0 {
		t.Errorf("position %d", at)
	}
}

// TestTooManyPools: a state that no snapshot could hold is not made, and what comes
// before it is.
func TestTooManyPools(t *testing.T) {
	c := openIn(t, quiet(filepath.Join(tempDir(t), "catalog")))
	must(t, c.update(func(_ *buckets, m *meta) error {
		m.PoolRows = snapshot.MaxPools - 2
		return nil
	}))
	events := []event.Event{{Position: 1, Kind: event.EpochStarted, Epoch: 1}}
	for i := range byte(4) {
		events = append(events, event.Event{Position: uint64(i) + 2, Kind: event.PoolCreated, Pool: snapshot.PoolID{1, i}, EndEpoch: 9})
	}
	if err := c.Apply(t.Context(), events, 0); !errors.Is(err, ErrPools) {
		t.Errorf("%v", err)
	}
	if at := c.Status().Position; at != 3 {
		t.Errorf("position %d", at)
	}
	must(t, c.Close())
}

// TestIncrementalAcrossEpochs: an incremental that drops keys, as others may make
// them, is laid over its base, and what it drops stays dropped. Hazard 54.
func TestIncrementalAcrossEpochs(t *testing.T) {
	for seed := uint64(40); seed < 52; seed++ {
		cfg := quiet(filepath.Join(tempDir(t), "catalog"))
		must(t, os.Mkdir(cfg.Dir, 0o700))
		a, err := archive.Open(archive.Config{Dir: cfg.Dir, MinFree: -1})
		must(t, err)
		full, err := a.CreateFull(t.Context(), modelAt(seed, 60).State(), archive.CreateOptions{})
		must(t, err)
		held, err := a.OpenEntry(t.Context(), full)
		must(t, err)
		incr, err := a.CreateIncremental(t.Context(), held.Reader, modelAt(seed, 140).State(), archive.CreateOptions{})
		must(t, err)
		must(t, held.Close())
		way, err := RestoreTo(t.Context(), cfg, archive.Latest)
		must(t, err)
		if way.Incremental == nil || way.Incremental.Name != incr.Name {
			t.Fatalf("%v", names(way.Entries()))
		}
		c := openIn(t, cfg)
		events := historyEvents(seed, 260)
		for at := 140; at < 260; at += 30 {
			agrees(t, c, modelAt(seed, uint64(at)))
			sameState(t, c, modelAt(seed, uint64(at)))
			apply(t, c, events[at:at+30])
			lookups(t, c, modelAt(seed, uint64(at+30)), idsOf(events))
		}
		must(t, c.Close())
	}
}
