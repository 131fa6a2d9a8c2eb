package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/event"
)

// shelf is a followed catalog on disk, made by `catalog apply`, and the events that
// it is made of.
type shelf struct {
	t      testing.TB
	dir    string
	events string
	h      *history
}

// newShelf applies a history of 45 events. It leaves full snapshots at 20 and 40, an
// incremental one over each, at 35 and 45, and the events from 21 on in the log.
func newShelf(t testing.TB) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: filepath.Join(t.TempDir(), "catalog"), events: filepath.Join(t.TempDir(), "events.ndjson"), h: newHistory(t)}
	s.h.epoch(1)
	for n := range 22 {
		id := recovery.BlobID{byte(n * 11), byte(n), 1}
		s.h.add(event.Event{Kind: event.Register, Blob: id, Object: id, Size: int64(n), Encoding: recovery.Raw, Digest: id, EndEpoch: uint32(3 + n)})
		s.h.add(event.Event{Kind: event.Certify, Blob: id, Object: id})
	}
	all := s.h.lines
	for _, part := range [][2]int{{0, 37}, {37, len(all)}} {
		s.h.lines = all[:part[1]]
		s.h.write(s.events, part[0])
		must(t, "catalog", "apply", "--dir", s.dir, "--events", s.events, "--network", "testnet", "--epoch-snapshots=false",
			"--full-every", "20", "--incr-every", "5", "--catalog-min-free", "1")
	}
	return s
}

// file returns the one file of the shelf whose name begins so.
func (s *shelf) file(prefix string) string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, prefix+"*.rsnap"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("%d files begin with %s: %v", len(found), prefix, err)
	}
	return found[0]
}

// The way to a position, and the three reasons why there is none, each with its exit
// code and the name of what is in the way.
func TestSnapshotPlan(t *testing.T) {
	s := newShelf(t)
	plan := func(args ...string) (string, string, int) {
		return invoke(t, append([]string{"snapshot", "plan", "--dir", s.dir}, args...)...)
	}
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout []string
		stderr []string
	}{
		{"a snapshot's own position", []string{"--at", "40"}, exitOK, []string{"full full-40-", "replay nothing"}, nil},
		{"events after it", []string{"--at", "43"}, exitOK, []string{"full-40-", "events 41 to 43"}, nil},
		{"the newest", []string{"--at", "latest"}, exitOK, []string{"position 45", "incremental incr-40-45-"}, nil},
		{"a newer one is not in the way", []string{"--at", "37", "--log", "1-45"}, exitOK,
			[]string{"full-20-", "incr-20-35-", "events 36 to 37", "newer full-40-", "not in the way"}, nil},
		{"nothing at or before", []string{"--at", "12", "--log", "none"}, exitNothing, nil, []string{"12", "full-20-"}},
		{"events missing", []string{"--at", "37", "--log", "39-45"}, exitMissing, nil, []string{"36"}},
		{"not a position", []string{"--at", "-3"}, exitUsage, nil, []string{"not a position"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := plan(c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.stdout {
				if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) {
					t.Errorf("it does not say %q:\n%s", want, stdout)
				}
			}
			for _, want := range c.stderr {
				if !strings.Contains(stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
	flipNearEnd(t, s.file("full-20-"))
	stdout, stderr, code := plan("--at", "20", "--log", "none")
	if code != exitDamaged || !strings.Contains(stderr, "full-20-") {
		t.Errorf("a damaged one: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// flipNearEnd flips a bit at a file's end, which every look at it notices.
func flipNearEnd(t testing.TB, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-40] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Hazard 56: two snapshots of one position with different digests stop the choice,
// which names both. The second is of a history that differs by one registration, and
// diff names exactly it.
func TestTwoSnapshotsOfOnePosition(t *testing.T) {
	s := newShelf(t)
	other := newHistory(t)
	other.lines = append(other.lines, s.h.lines...)
	other.lines[39] = strings.Replace(s.h.lines[39], `"size":19`, `"size":20`, 1)
	if other.lines[39] == s.h.lines[39] {
		t.Fatalf("event 40 is %s", s.h.lines[39])
	}
	events, dir := filepath.Join(t.TempDir(), "events.ndjson"), filepath.Join(t.TempDir(), "other")
	other.write(events, 0)
	must(t, "catalog", "apply", "--dir", dir, "--events", events, "--network", "testnet", "--until", "40", "--epoch-snapshots=false", "--catalog-min-free", "1")
	theirs := (&shelf{t: t, dir: dir}).file("full-40-")
	ours := s.file("full-40-")

	stdout, _, code := invoke(t, "snapshot", "diff", ours, theirs)
	if code != exitFailure || strings.Count(stdout, "blobs") == 0 || !strings.Contains(stdout, recovery.BlobID{19 * 11, 19, 1}.String()) {
		t.Errorf("diff: exit code %d\n%s", code, stdout)
	}
	if err := os.Link(theirs, filepath.Join(s.dir, filepath.Base(theirs))); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, "snapshot", "plan", "--dir", s.dir, "--at", "40", "--log", "none")
	if code != exitDamaged || !strings.Contains(stderr, filepath.Base(ours)[:20]) || !strings.Contains(stderr, filepath.Base(theirs)[:20]) {
		t.Errorf("plan: exit code %d\n%s", code, stderr)
	}
}

// Every target of a restore holds the same state: at a snapshot, and behind one.
func TestSnapshotRestore(t *testing.T) {
	s := newShelf(t)
	for _, at := range []string{"40", "43", "30"} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			file, db := filepath.Join(dir, "state.rsnap"), filepath.Join(dir, "state.db")
			for _, to := range []string{file, db} {
				must(t, "snapshot", "restore", "--dir", s.dir, "--at", at, "--to", to, "--events", s.events)
			}
			fresh := filepath.Join(dir, "fresh")
			must(t, "catalog", "apply", "--dir", fresh, "--events", s.events, "--network", "testnet", "--until", at,
				"--full-every", "-1", "--incr-every", "-1", "--epoch-snapshots=false", "--catalog-min-free", "1")
			want := (&shelf{t: t, dir: fresh}).file("full-" + at + "-")
			if got, want := readAll(t, file), readAll(t, want); got != want {
				t.Errorf("the restored file is not the one that applying makes")
			}
			if found, err := filepath.Glob(filepath.Join(s.dir, ".replay", "*")); err != nil || len(found) > 0 {
				t.Errorf("left behind: %v %v", found, err)
			}
		})
	}
	must(t, "snapshot", "restore", "--dir", s.dir, "--at", "41", "--to", "in-place")
	var doc applied
	out := must(t, "catalog", "apply", "--dir", s.dir, "--events", s.events, "--full-every", "-1", "--incr-every", "-1", "-o", "json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Applied != 4 || doc.Position != 45 {
		t.Errorf("after in-place: %+v %v", doc, err)
	}
}

func readAll(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// A run scans a state in bbolt as it scans a file.
func TestRunFromBolt(t *testing.T) {
	f := newFleet(t, 80, 600)
	h := newHistory(t)
	h.epoch(1)
	h.certify(f.catalog)
	events, dir, db := f.path("events"), f.path("followed"), f.path("catalog.db")
	h.write(events, 0)
	must(t, "catalog", "apply", "--dir", dir, "--events", events, "--network", "testnet", "--until", fmt.Sprint(len(h.lines)), "--catalog-min-free", "1")
	must(t, "snapshot", "restore", "--dir", dir, "--to", db)
	stdout := must(t, "run", "--state-dir", f.path("state"), "--catalog", db, "--ownership", f.path("ownership.yaml"), "--store", f.path("node"),
		"--peer", f.source.template(), "--listen", "", "--min-free", "1", "--exit-when-complete")
	if !strings.Contains(stdout, fmt.Sprintf("position %d", len(h.lines))) {
		t.Errorf("it said %s", stdout)
	}
	f.sameStore()
}

// What is asked for wrongly says so, with the exit code for it; what a catalog can't
// take is refused, and what it held stays.
func TestCatalogApplyRefuses(t *testing.T) {
	s := newShelf(t)
	bad := func(name, line string) string {
		path := filepath.Join(t.TempDir(), name)
		writeFile(t, path, strings.Join(s.h.lines, "")+line+"\n")
		return path
	}
	id := recovery.BlobID{1, 2, 3}.String()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no events":          {[]string{"--dir", s.dir}, exitUsage, "--events"},
		"another network":    {[]string{"--dir", s.dir, "--events", s.events, "--network", "other"}, exitConfig, "other"},
		"ends before":        {[]string{"--dir", s.dir, "--events", s.events, "--until", "60"}, exitMissing, "46"},
		"beyond":             {[]string{"--dir", s.dir, "--events", s.events, "--until", "30"}, exitConfig, "45"},
		"not registered":     {[]string{"--dir", s.dir, "--events", bad("a", `{"position":46,"kind":"certify","blob":"`+id+`"}`)}, exitFailure, "not registered"},
		"a hole":             {[]string{"--dir", s.dir, "--events", bad("b", `{"position":47,"kind":"epoch_started","epoch":2}`)}, exitFailure, "46"},
		"a line that is not": {[]string{"--dir", s.dir, "--events", bad("c", `{"position":46,"kind":"epoch_started","epoch":2,"x":1}`)}, exitFailure, "line 46"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := invoke(t, append([]string{"catalog", "apply", "--catalog-min-free", "1"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d saying %q:\n%s", code, c.code, c.says, stderr)
			}
		})
	}
	if out := must(t, "snapshot", "plan", "--dir", s.dir, "--at", "latest"); !strings.Contains(out, "incr-40-45-") {
		t.Errorf("the catalog moved:\n%s", out)
	}
}

// What prune would do and does; snapshots are fetched by the command line.
func TestSnapshotPruneAndFetch(t *testing.T) {
	s := newShelf(t)
	before := must(t, "snapshot", "list", "--dir", s.dir)
	out := must(t, "snapshot", "prune", "--dir", s.dir, "--keep-fulls", "1")
	if !strings.Contains(out, "would remove") || !strings.Contains(out, "--yes") {
		t.Errorf("it said\n%s", out)
	}
	if after := must(t, "snapshot", "list", "--dir", s.dir); after != before {
		t.Errorf("a look changed something:\n%s\n%s", before, after)
	}
	must(t, "snapshot", "prune", "--dir", s.dir, "--keep-fulls", "1", "--yes")
	if after := must(t, "snapshot", "list", "--dir", s.dir); strings.Contains(after, "full-20-") || !strings.Contains(after, "full-40-") {
		t.Errorf("left:\n%s", after)
	}
	f := &fleet{t: t, dir: t.TempDir()}
	n := follower{f: f, name: "n"}
	if err := os.MkdirAll(n.path("state"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.dir, catalogDir(n.path("state"))); err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(t.TempDir(), "fetched")
	out = must(t, "snapshot", "fetch", "--peer", n.serveSnapshots(), "--dir", dest)
	if !strings.Contains(out, "full-40-") {
		t.Errorf("it said\n%s", out)
	}
	must(t, "snapshot", "verify", (&shelf{t: t, dir: dest}).file("full-40-"))
	_, stderr, code := invoke(t, "snapshot", "fetch", "--peer", "http://127.0.0.1:1", "--dir", dest)
	if code != exitTryAgain {
		t.Errorf("nobody there: exit code %d\n%s", code, stderr)
	}
}

func TestSnapshotBench(t *testing.T) {
	args := []string{"snapshot", "bench", "--blobs", "2000", "--rounds", "1", "--seeks", "2", "--dir", t.TempDir()}
	text, lines := must(t, args...), must(t, append(args, "-o", "go")...)
	for _, want := range []string{"bytes a blob", "write+sync", "read+verify", "load", "seek", "zstd 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(lines) {
		if fields := strings.Fields(line); len(fields) < 4 || !strings.HasPrefix(line, "BenchmarkSnapshot/") || fields[3] != "ns/op" {
			t.Errorf("not a benchmark's line: %s", line)
		}
	}
}
