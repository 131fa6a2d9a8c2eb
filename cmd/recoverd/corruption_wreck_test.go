package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/checkpoint"
	"github.com/recoverd/recoverd/recovery"
)

// wreck is what an interrupted recovery left: its state directory and its store, to be
// laid out again and again, and a peer that now has everything.
type wreck struct {
	*trial
	name  string
	state map[string][]byte // its files by name
	store map[string][]byte // by path below the root
	older [][]byte          // checkpoint.db as it was at earlier ends
	// rotten are the pieces, by "shard/id", that are stored with wrong bytes and wait in the
	// list to be replaced. If the list is lost nothing in the store says so.
	rotten []string
	paused bool
	// mirrored is the record as JSON where the mirror has the newest one too; empty where
	// the kill came between the two writes of a save, which nobody was told of then.
	mirrored string
}

// maxWreckBlobs is how many blobs the largest wreck is of.
const maxWreckBlobs = 150

// newWrecks interrupts recoveries in all the ways that leave another kind of state.
func newWrecks(t testing.TB) []*wreck {
	t.Helper()
	f := newFleet(t, 32, 400)
	small := f.rows()
	crowd := newFleet(t, maxWreckBlobs, 200)
	var wrecks []*wreck
	for _, interrupt := range []func(*wreck){unfinished, finished, unrepaired, paused} {
		wrecks = append(wrecks, newWreck(t, f, small, interrupt))
	}
	return append(wrecks, newWreck(t, crowd, crowd.rows(), crowded))
}

func newWreck(t testing.TB, f *fleet, rows []recovery.Row, interrupt func(*wreck)) *wreck {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &wreck{}
	w.trial = f.trial(t, "wreck"+string(rune('a'+len(entries))), rows)
	interrupt(w)
	w.source.newLife(-1)
	w.state, w.store = treeOf(t, w.path("state")), treeOf(t, w.path("node"))
	for name := range w.state {
		if !slices.Contains([]string{"checkpoint.db", "progress-a", "progress-b", "history.jsonl", "lock", "token"}, name) {
			delete(w.state, name)
		}
	}
	d := saved(t, w.path("state"))
	if d.Seq < 4 || len(d.Damage) > 0 {
		t.Fatalf("%s: it is at write %d, and both slots cannot have been written: %s", w.name, d.Seq, toJSON(d))
	}
	if _, mirror, err := checkpoint.ReadMirror(w.path("state")); err == nil && mirror.Seq == d.Seq {
		w.mirrored = toJSON(d.Record)
	}
	return w
}

// treeOf reads all regular files below a directory.
func treeOf(t testing.TB, root string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root+"/")] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// remembers keeps the database as it is now.
func (w *wreck) remembers() {
	w.t.Helper()
	data, err := os.ReadFile(w.path("state/checkpoint.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.older = append(w.older, data)
}

// hung runs a daemon until its peer has sent so many blobs and holds all slots, and
// what it claims by then is saved.
func (w *wreck) hung(blobs int) *process {
	w.t.Helper()
	w.source.newLife(blobs)
	p := start(w.t, w.daemon()...)
	w.hangs(trialFlight)
	until(w.t, "what is unsettled is saved", func() bool {
		if _, err := os.Stat(w.path("state")); err != nil {
			return false
		}
		progress := durableProgress(w.t, w.path("state"))
		return progress != nil && len(progress.Unsettled) >= trialFlight
	})
	return p
}

// unfinished is killed while some blobs are in flight, and some were not to be had.
func unfinished(w *wreck) {
	w.name = "in the middle of a pass"
	for _, row := range w.rows[3:6] {
		w.source.miss(row.ID.String(), true)
	}
	for range 3 {
		w.hung(5).kill()
		w.remembers()
	}
	for _, row := range w.rows[3:6] {
		w.source.miss(row.ID.String(), false)
	}
}

func finished(w *wreck) {
	w.name = "complete"
	w.hung(10).kill()
	w.remembers()
	w.source.newLife(-1)
	w.recovers()
}

// unrepaired was complete; then some blobs rotted or were lost, verify handed them over,
// and it was killed before it had any of them.
func unrepaired(w *wreck) {
	finished(w)
	w.remembers()
	w.name = "with repairs to do"
	var names []string
	for name := range pieces(w.t, w.path("node")) {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names[:6] {
		path := filepath.Join(w.path("node"), name)
		if i%3 == 0 {
			w.must(os.Remove(path))
			continue
		}
		data, err := os.ReadFile(path)
		w.must(err)
		data[len(data)/2] ^= 4
		w.must(os.WriteFile(path, data, 0o644))
		w.rotten = append(w.rotten, name)
	}
	w.source.newLife(0)
	p := start(w.t, w.daemon()...)
	w.reaches(recovery.PhaseComplete)
	stdout, stderr, code := invoke(w.t, w.verify("--state-dir", w.path("state"), "--repair")...)
	if got, sum := found(w.t, stdout); code != exitIncomplete || len(got) != 6 || sum.Repair.Queued != 6 {
		w.t.Fatalf("exit code %d, %v: %s", code, got, stderr)
	}
	until(w.t, "what is to be repaired is saved", func() bool { return len(durableProgress(w.t, w.path("state")).Unsettled) == 6 })
	p.kill()
}

// paused is killed after an operator paused it.
func paused(w *wreck) {
	w.name, w.paused = "paused", true
	w.hung(6).kill()
	w.remembers()
	p := w.hung(6)
	w.must(w.operator().Pause(w.t.Context(), true))
	p.kill()
}

// crowded parked most of its blobs, so that the list takes several pages.
func crowded(w *wreck) {
	w.name = "with a long list"
	w.hung(8).kill()
	w.remembers()
	for _, row := range w.rows[20:] {
		w.source.miss(row.ID.String(), true)
	}
	w.source.newLife(-1)
	if _, stderr, code := invoke(w.t, w.once("--park-after", "1")...); code != exitIncomplete {
		w.t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, row := range w.rows[20:] {
		w.source.miss(row.ID.String(), false)
	}
}

// layOut writes the wreck into a new directory.
func (w *wreck) layOut(dir string, state map[string][]byte) error {
	for root, files := range map[string]map[string][]byte{"state": state, "node": w.store} {
		for name, data := range files {
			path := filepath.Join(dir, root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				return err
			}
		}
	}
	for shard := range totalShards { // one that holds nothing yet has its marker all the same
		if err := os.MkdirAll(filepath.Join(dir, "node", string(rune('0'+shard))), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// args are those of a daemon that works in that directory.
func (w *wreck) argsIn(dir string) []string {
	args := w.once()
	for i, a := range args {
		if rel, err := filepath.Rel(w.dir, a); err == nil && (rel == "state" || rel == "node") {
			args[i] = filepath.Join(dir, rel)
		}
	}
	return args
}
