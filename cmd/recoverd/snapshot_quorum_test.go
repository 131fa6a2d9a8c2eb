package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

// TestSnapshotQuorum: who agrees, who is in the minority, and what cannot be
// compared, of both kinds of files. Hazard 56: digests that differ at one position
// are both named.
func TestSnapshotQuorum(t *testing.T) {
	f := newFolder(t)
	a := f.copy("a.rsnap", goldenOurs, -1)
	b := f.copy("b.rsnap", goldenOurs, -1)
	c := f.ours("c.rsnap", a, func(s *memoryState) { s.regs[0].EndEpoch++ })
	d := f.ours("d.rsnap", a, func(s *memoryState) { s.regs[0].EndEpoch += 2 })
	ancestors := f.ours("ancestors.rsnap", a, func(s *memoryState) { s.head.Ancestors = nil })
	later := f.ours("later.rsnap", a, func(s *memoryState) { s.head.Position++ })
	epoch := f.ours("epoch.rsnap", a, func(s *memoryState) { s.head.Epoch++ })
	network := f.ours("network.rsnap", a, func(s *memoryState) { s.head.Network = "other" })
	incr := f.incremental("incr.rsnap", a, later)
	damaged := f.copy("damaged.rsnap", goldenOurs, 300)
	empty := f.ours("empty.rsnap", a, func(s *memoryState) { *s = memoryState{head: s.head} })
	empty2 := f.copy("empty2.rsnap", empty, -1)
	w := f.walrus("w.bin", walrus.B, 50, nil)
	w2 := f.copy("w2.bin", w, -1)
	w3 := f.walrus("w3.bin", walrus.B, 50, func(s *walrustest.Snapshot) { s.Objects[3].Value.Deleted = !s.Objects[3].Value.Deleted })
	wA := f.walrus("wA.bin", walrus.A, 50, nil)
	wA2 := f.copy("wA2.bin", wA, -1)
	part := func(name string, n uint32) string {
		return f.walrus(name, walrus.A, 50, func(s *walrustest.Snapshot) { s.Header.Chunk, s.Header.Chunks = n, 2 })
	}
	none := f.path("none")
	for _, tc := range []struct {
		name  string
		files []string
		code  int
		says  []string // together on one line
	}{
		{"all agree", []string{a, b}, exitOK, []string{"2 of 2, all agree", "a.rsnap", "b.rsnap"}},
		{"ancestors are nobody's business", []string{a, ancestors}, exitOK, []string{"2 of 2, all agree"}},
		{"a minority", []string{c, a, b}, exitFailure, []string{"1 of 3, MINORITY", "c.rsnap"}},
		{"a majority", []string{c, a, b}, exitFailure, []string{"2 of 3, majority", "a.rsnap", "b.rsnap"}},
		{"no majority", []string{a, c}, exitFailure, []string{"1 of 2, no majority"}},
		{"no majority of three", []string{a, c, d}, exitFailure, []string{"1 of 3, no majority"}},
		{"less than half, but most", []string{a, b, c, d}, exitFailure, []string{"1 of 4, MINORITY", "d.rsnap"}},
		{"another position", []string{a, b, later}, exitConfig, []string{"position 1001", "1 file"}},
		{"another epoch", []string{a, epoch}, exitConfig, []string{"epoch 8"}},
		{"another network", []string{a, network}, exitConfig, []string{`network "other"`}},
		{"incremental", []string{later, incr}, exitConfig, []string{"incremental"}},
		{"disagreement among what is comparable", []string{a, c, later}, exitConfig, []string{"1 of 2, no majority", "c.rsnap"}},
		{"damaged", []string{a, b, damaged}, exitFailure, []string{"damaged.rsnap is damaged at byte"}},
		{"not there", []string{a, b, none}, exitFailure, []string{"none: no such file"}},
		{"one is left", []string{a, damaged}, exitFailure, []string{"damaged.rsnap"}},
		{"none is left", []string{none, damaged}, exitFailure, []string{"damaged.rsnap"}},
		{"walrus agrees", []string{w, w2}, exitOK, []string{"walrus layout b", "2 files"}},
		{"walrus disagrees", []string{w, w3, w2}, exitFailure, []string{"MINORITY", "w3.bin"}},
		{"walrus, layout a", []string{wA, wA2}, exitOK, []string{"walrus layout a"}},
		{"two layouts", []string{w, wA}, exitConfig, []string{"walrus layout a"}},
		{"two parts", []string{part("p1", 0), part("p2", 1)}, exitConfig, []string{"part 2 of 2"}},
		{"two kinds", []string{a, w}, exitConfig, []string{"walrus layout b"}},
		{"empty ones", []string{empty, empty2}, exitConfig, []string{"all agree"}},
	} {
		stdout, stderr, code := line(t, append([]string{"snapshot", "quorum"}, tc.files...)...)
		if code != tc.code || (stderr == "") != (code == exitOK) || !hasLine(stdout, tc.says) {
			t.Errorf("%s: exit code %d, want %d and a line with %q:\n%s%s", tc.name, code, tc.code, tc.says, stdout, stderr)
		}
	}
}

func hasLine(text string, words []string) bool {
next:
	for line := range strings.SplitSeq(text, "\n") {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return true
	}
	return false
}

// A check that has nothing to compare fails. Hazard 64.
func TestADeterminismCheckThatPassesWhenThereIsNothingToCompare(t *testing.T) {
	f := newFolder(t)
	a := f.copy("a.rsnap", goldenOurs, -1)
	for name, tc := range map[string]struct {
		files []string
		code  int
		says  string
	}{
		"no file":                            {nil, exitUsage, "at least 2"},
		"one file":                           {[]string{a}, exitUsage, "at least 2"},
		"a file with itself":                 {[]string{a, a}, exitConfig, "one file, and cannot vote twice"},
		"a file with itself by another name": {[]string{a, f.dir + "/../" + f.dir[strings.LastIndex(f.dir, "/")+1:] + "/a.rsnap"}, exitConfig, "cannot vote twice"},
	} {
		_, stderr, code := line(t, append([]string{"snapshot", "quorum"}, tc.files...)...)
		if code != tc.code || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
	chunk := f.chunks("set")
	second := strings.Replace(chunk, ".1of", ".2of", 1)
	if _, stderr, code := line(t, "snapshot", "quorum", chunk, second); code != exitConfig || !strings.Contains(stderr, "nothing to compare") {
		t.Errorf("two chunks of one snapshot: exit code %d, %s", code, stderr)
	}
}

func TestSnapshotQuorumJSON(t *testing.T) {
	f := newFolder(t)
	a := f.copy("a.rsnap", goldenOurs, -1)
	b := f.copy("b.rsnap", goldenOurs, -1)
	c := f.ours("c.rsnap", a, func(s *memoryState) { s.regs[0].EndEpoch++ })
	none := f.path("none")
	stdout, _, code := line(t, "snapshot", "quorum", "-o", "json", c, a, none, b)
	var got quorum
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitFailure || got.Agree || len(got.States) != 1 || len(got.Bad) != 1 || got.Bad[0].File != none || got.Rows != 20 {
		t.Fatalf("exit code %d:\n%s", code, stdout)
	}
	groups := got.States[0].Digests
	if diff := cmp.Diff([][]string{{a, b}, {c}}, [][]string{groups[0].Files, groups[1].Files}); diff != "" || !groups[0].Majority || groups[1].Majority {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stdout, _, code = line(t, "snapshot", "quorum", "-o", "json", a, b)
	if code != exitOK || !strings.Contains(stdout, `"agree": true`) || !strings.Contains(stdout, `"bad": []`) {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}
