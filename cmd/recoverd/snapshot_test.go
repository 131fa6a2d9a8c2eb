package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot/walrus/walrustest"
)

const (
	goldenOurs = "../../recovery/catalog/snapshot/testdata/full-v1.rsnap"
	goldenA    = "../../recovery/catalog/snapshot/walrus/testdata/layout-a.bin"
	goldenB    = "../../recovery/catalog/snapshot/walrus/testdata/layout-b.bin"
)

// line runs a command line in this process.
func line(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return lineWith(t, "", args...)
}

func lineWith(t testing.TB, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, complaints bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &complaints)
	return out.String(), complaints.String(), code
}

// works runs a verb that has to succeed.
func works(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := line(t, args...)
	if code != 0 {
		t.Fatalf("recoverd %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// contains fails for each text that is not there.
func contains(t testing.TB, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// folder writes files for snapshot verbs into one directory.
type folder struct {
	testing.TB
	dir string
}

func newFolder(t testing.TB) folder { return folder{t, t.TempDir()} }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) file(name string, raw []byte) string {
	f.Helper()
	if err := os.WriteFile(f.path(name), raw, 0o644); err != nil {
		f.Fatal(err)
	}
	return f.path(name)
}

// copy writes a copy of a file, with a bit of one byte flipped; at < 0: none.
func (f folder) copy(name, from string, at int) string {
	f.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		f.Fatal(err)
	}
	if at >= 0 {
		raw[at] ^= 4
	}
	return f.file(name, raw)
}

// walrus writes n objects, changed.
func (f folder) walrus(name string, l walrus.Layout, n int, change func(*walrustest.Snapshot)) string {
	f.Helper()
	s := walrustest.Many(n, 8)
	if change != nil {
		change(&s)
	}
	return f.file(name, s.Encode(l))
}

// stateOf reads a full snapshot into memory, to be changed and written again.
type memoryState struct {
	head   snapshot.Header
	blobs  []snapshot.Blob
	regs   []snapshot.Registration
	pooled []snapshot.Pooled
	pools  []snapshot.Pool
}

func (f folder) read(path string) *memoryState {
	f.Helper()
	r, err := snapshot.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	return &memoryState{r.Header(), rowsOf(f, r.Blobs()), rowsOf(f, r.Registrations()), rowsOf(f, r.Pooled()), append([]snapshot.Pool{}, r.Pools()...)}
}

func rowsOf[R any](t testing.TB, c snapshot.Cursor[R]) (rows []R) {
	t.Helper()
	for {
		row, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if row == nil {
			return rows
		}
		rows = append(rows, *row)
	}
}

// ours writes a changed copy of one of ours.
func (f folder) ours(name, from string, change func(*memoryState)) string {
	f.Helper()
	s := f.read(from)
	change(s)
	w, err := snapshot.Create(f.path(name), s.head)
	if err != nil {
		f.Fatal(err)
	}
	for i := range s.blobs {
		err = errors.Join(err, w.Blob(&s.blobs[i]))
	}
	for i := range s.regs {
		err = errors.Join(err, w.Registration(&s.regs[i]))
	}
	for i := range s.pooled {
		err = errors.Join(err, w.Pooled(&s.pooled[i]))
	}
	for i := range s.pools {
		err = errors.Join(err, w.Pool(&s.pools[i]))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		f.Fatal(err)
	}
	return f.path(name)
}

// incremental writes how a state differs from a base.
func (f folder) incremental(name, base, state string) string {
	f.Helper()
	b, errB := snapshot.Open(base)
	s, errS := snapshot.Open(state)
	if err := errors.Join(errB, errS); err != nil {
		f.Fatal(err)
	}
	_, err := snapshot.WriteIncremental(f.Context(), f.path(name), b, s, snapshot.Options{})
	if err = errors.Join(err, b.Close(), s.Close()); err != nil {
		f.Fatal(err)
	}
	return f.path(name)
}

// chunks writes a snapshot in several files and returns the first one's path.
func (f folder) chunks(name string) string {
	f.Helper()
	works(f, "catalog", "synth", "--blobs", "6000", "--out", f.path("whole.rsnap"))
	r, err := snapshot.Open(f.path("whole.rsnap"))
	if err != nil {
		f.Fatal(err)
	}
	w, err := snapshot.Write(f.Context(), f.path(name+".rsnap"), r, snapshot.Options{MaxChunk: snapshot.MinChunk})
	if err = errors.Join(err, r.Close()); err != nil || len(w.Names) < 3 {
		f.Fatal(w, err)
	}
	return f.path(w.Names[0])
}

func TestSnapshotInspect(t *testing.T) {
	contains(t, works(t, "snapshot", "inspect", goldenOurs),
		"full", `network "golden-nét", epoch 7, position 1000`, "92eb3b14aa6c4f403de1c29b6bed882bf1b2ddcead7f34455792e86d57b54c61",
		"2, the newest at position 999", "7 blobs, 6 registrations, 4 pooled, 3 pools", "4 blobs, 1.0 TiB, and 1 of unknown size")
	contains(t, works(t, "snapshot", "inspect", goldenA), "layout a, part 2 of 3", "epoch 7, next event 42", "2a2a", ":3",
		"previous", "a5e023e19df14a08", "2: 0 certified, 1 deleted, 1 ended", "1: 1 certified", "2: 0 ended")
	contains(t, works(t, "snapshot", "inspect", goldenB), "layout b", "17cf49e2fd041371 (layout b has no checksum", "567 B")

	var ours, theirs inspection
	if err := json.Unmarshal([]byte(works(t, "snapshot", "inspect", "-o", "json", goldenOurs)), &ours); err != nil {
		t.Fatal(err)
	}
	if ours.Kind != "full" || ours.Position != 1000 || ours.Rows["pooled"] != 4 || *ours.Certified != 4 || *ours.Unsized != 1 || len(ours.Ancestors) != 2 {
		t.Errorf("%+v", ours)
	}
	if err := json.Unmarshal([]byte(works(t, "snapshot", "inspect", "-o", "json", goldenA)), &theirs); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"objects": 2, "pooled objects": 1, "pools": 2}
	if diff := cmp.Diff(want, theirs.Rows); diff != "" || theirs.Kind != "walrus" || theirs.Layout != "a" || theirs.Part != 2 || theirs.Parts != 3 || theirs.Event.Sequence != 3 {
		t.Errorf("%+v (-want +got):\n%s", theirs, diff)
	}
}

func TestSnapshotInspectSet(t *testing.T) {
	f := newFolder(t)
	first := f.chunks("set")
	second := strings.Replace(first, ".1of", ".2of", 1)
	contains(t, works(t, "snapshot", "inspect", second), "chunk 1 of", first, second, "6,000 blobs")
	contains(t, works(t, "snapshot", "verify", first, second, f.path("whole.rsnap")), "whole.rsnap: good", "set.1of")
	if out := works(t, "snapshot", "verify", first, second); strings.Count(out, "\n") != 1 {
		t.Errorf("one set is verified twice:\n%s", out)
	}
	works(t, "snapshot", "diff", second, f.path("whole.rsnap"))
	contains(t, works(t, "snapshot", "quorum", first, second, f.path("whole.rsnap")), "2 of 2, all agree")
	if err := os.Rename(second, f.path("elsewhere.rsnap")); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{first: "set.2of", f.path("elsewhere.rsnap"): "its name does not say"} {
		if _, stderr, code := line(t, "snapshot", "inspect", path); code != exitFailure || !strings.Contains(stderr, what) {
			t.Errorf("%s: exit code %d, %s", path, code, stderr)
		}
	}
}

// Damage is told with its file and offset, and the other files are read all the
// same.
func TestSnapshotVerify(t *testing.T) {
	f := newFolder(t)
	base := f.copy("base.rsnap", goldenOurs, -1)
	later := f.ours("later.rsnap", base, func(s *memoryState) { s.head.Position++; s.blobs[0].Size++ })
	out := works(t, "snapshot", "verify", base, later, goldenA, goldenB, f.incremental("incr.rsnap", base, later))
	contains(t, out, `base.rsnap: good: full of network "golden-nét", epoch 7, position 1000, 20 rows, digest 92eb`, "layout-a.bin: good: walrus layout a",
		"layout b has no checksum", "digest 17cf49e2fd041371", "incr.rsnap: good: incremental", "show only over its base")

	bad := []string{
		f.copy("flip-ours.rsnap", goldenOurs, 400), f.copy("flip-a.bin", goldenA, 300), f.copy("order-b.bin", goldenB, 72+32),
		f.file("cut.rsnap", []byte("\x89rs")), f.file("cut.bin", []byte("\xb1\x0b\x1f")), f.file("empty", nil), f.path("none"),
		f.file("text", []byte("hello")),
	}
	stdout, stderr, code := line(t, append([]string{"snapshot", "verify", goldenB}, bad...)...)
	if code != exitFailure || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
	contains(t, stderr, "flip-ours.rsnap: bad: snapshot: ", "is damaged at byte", "flip-a.bin: bad", "order-b.bin: bad", "cut.rsnap: bad", "cut.bin: bad",
		"empty: bad", "neither a snapshot of recoverd nor one of Walrus", "none: bad", "no such file", "8 of 9 snapshots cannot be trusted")
	stdout, _, code = line(t, append([]string{"snapshot", "verify", "-o", "json", goldenB}, bad...)...)
	type shown struct {
		File, Error, Digest string
		OK                  bool
		Offset              *int64
	}
	var lines []shown
	for in := json.NewDecoder(strings.NewReader(stdout)); in.More(); {
		var v shown
		if err := in.Decode(&v); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, v)
	}
	if code != exitFailure || len(lines) != 9 || !lines[0].OK || lines[0].Digest != "17cf49e2fd041371" {
		t.Fatalf("exit code %d:\n%s", code, stdout)
	}
	for i, v := range lines[1:] {
		if v.OK || v.Error == "" || v.File != bad[i] || i < 5 && v.Offset == nil {
			t.Errorf("%+v", v)
		}
	}
	if *lines[2].Offset < 100 || *lines[4].Offset != 3 {
		t.Errorf("offsets %d and %d", *lines[2].Offset, *lines[4].Offset)
	}
}

// Two that differ by one registration: exactly it is named.
func TestSnapshotDiff(t *testing.T) {
	f := newFolder(t)
	base := f.copy("base.rsnap", goldenOurs, -1)
	other := f.ours("other.rsnap", base, func(s *memoryState) { s.regs[0].EndEpoch++ })
	key := f.read(base).regs[0].Key
	stdout, stderr, code := line(t, "snapshot", "diff", base, other)
	want := fmt.Sprintf("~ registrations %x %x: end_epoch 8 -> 9\n1 difference: 0 only in A, 0 only in B, 1 in both\n", key[:32], key[32:])
	if code != exitFailure || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %s, got\n%swant\n%s", code, stderr, stdout, want)
	}
	if out := works(t, "snapshot", "diff", base, goldenOurs); out != "the same: 20 rows\n" {
		t.Errorf("a copy: %q", out)
	}
	many := f.ours("many.rsnap", base, func(s *memoryState) {
		s.head.Epoch, s.head.Position = 8, 1001
		s.blobs[2].Size = recovery.SizeUnknown
		s.blobs[4].Invalidated = 0
		s.regs = s.regs[1:]
		s.pooled[0].Gained = 0
		s.pools[2].EndEpoch = 77
		s.pools = append(s.pools, snapshot.Pool{ID: [32]byte{0xff}, EndEpoch: 9})
	})
	stdout, _, code = line(t, "snapshot", "diff", base, many)
	if code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	contains(t, stdout, "~ header: epoch 7 -> 8, position 1000 -> 1001\n", "size 300 -> none", "invalidated 500 -> none",
		fmt.Sprintf("- registrations %x %x: registered_epoch 1, certified_epoch 2, end_epoch 8, deletable false, deleted false, gained 3\n", key[:32], key[32:]),
		"gained 40 -> none", "end_epoch none -> 77", "+ pools ff", "start_epoch 0, end_epoch 9, gained none", "7 differences: 1 only in A, 1 only in B, 5 in both")
	stdout, _, code = line(t, "snapshot", "diff", "--limit", "3", base, many)
	if code != exitFailure || strings.Count(stdout, "\n") != 4 || !strings.HasSuffix(stdout, "and more (--limit 3)\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	stdout, _, code = line(t, "snapshot", "diff", "--limit", "7", base, many)
	if code != exitFailure || !strings.Contains(stdout, "7 differences") {
		t.Errorf("a limit that is just enough: exit code %d\n%s", code, stdout)
	}
	stdout, _, _ = line(t, "snapshot", "diff", "-o", "json", base, many)
	var changes []shownChange
	for in := json.NewDecoder(strings.NewReader(stdout)); in.More(); {
		var c shownChange
		if err := in.Decode(&c); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c)
	}
	if len(changes) != 7 || changes[0].Table != "header" || changes[3].Change != "only_a" || changes[3].Object != fmt.Sprintf("%x", key[32:]) ||
		changes[3].B != nil || changes[3].A["end_epoch"] != 8.0 || changes[1].B["size"] != nil || changes[6].Change != "only_b" {
		t.Errorf("%s", stdout)
	}
}

// An incremental one is compared as the state that it makes of its base.
func TestSnapshotDiffIncremental(t *testing.T) {
	f := newFolder(t)
	base := f.copy("base.rsnap", goldenOurs, -1)
	later := f.ours("later.rsnap", base, func(s *memoryState) { s.head.Position++; s.pools[1].EndEpoch = 31 })
	incr := f.incremental("incr.rsnap", base, later)
	works(t, "snapshot", "diff", "--base", base, incr, later)
	works(t, "snapshot", "diff", "--base", base, later, incr)
	stdout, _, code := line(t, "snapshot", "diff", "--base", base, base, incr)
	if code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	contains(t, stdout, "position 1000 -> 1001", "end_epoch 30 -> 31", "2 differences")
	for name, args := range map[string][]string{
		"no base": {incr, later}, "another base": {"--base", later, incr, later}, "a base of Walrus": {"--base", goldenA, incr, later},
		"a base that is not there": {"--base", f.path("none"), later, incr},
	} {
		if stdout, stderr, code := line(t, append([]string{"snapshot", "diff"}, args...)...); code != exitConfig || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, %s%s", name, code, stdout, stderr)
		}
	}
}

func TestSnapshotDiffWalrus(t *testing.T) {
	f := newFolder(t)
	var key [32]byte
	for _, l := range []walrus.Layout{walrus.A, walrus.B} {
		a := f.walrus("a.bin", l, 500, nil)
		b := f.walrus("b.bin", l, 500, func(s *walrustest.Snapshot) {
			s.Objects[77].Value.EndEpoch += 1000
			key = s.Objects[77].Key
		})
		stdout, _, code := line(t, "snapshot", "diff", a, b)
		if code != exitFailure || strings.Count(stdout, "\n") != 2 {
			t.Errorf("layout %v: exit code %d\n%s", l, code, stdout)
		}
		contains(t, stdout, fmt.Sprintf("~ objects %x: end_epoch ", key), "1 difference")
		if out := works(t, "snapshot", "diff", a, f.copy("c.bin", a, -1)); out != "the same: 556 rows\n" {
			t.Errorf("layout %v: %s", l, out)
		}
	}
	a, b := f.walrus("a.bin", walrus.A, 5, nil), f.walrus("b.bin", walrus.B, 5, nil)
	later := f.walrus("later.bin", walrus.B, 5, func(s *walrustest.Snapshot) {
		s.Header.Next++
		s.Objects[0].Value.Event.Sequence = 7
		s.Objects[1].Value.Certified, s.Objects[1].Value.CertifiedEpoch = !s.Objects[1].Value.Certified, 0
		s.Objects = s.Objects[:4]
	})
	stdout, _, _ := line(t, "snapshot", "diff", b, later)
	contains(t, stdout, "~ header: next_event 1000005 -> 1000006\n", ":7\n", "certified_epoch ", "- objects ", "4 differences")
	damaged := f.file("cut.bin", walrustest.Many(5, 8).Encode(walrus.B)[:300])
	for name, args := range map[string][]string{
		"two layouts": {a, b}, "two kinds": {goldenOurs, b}, "two kinds, turned": {b, goldenOurs}, "damaged": {b, damaged},
		"not there": {b, f.path("none")}, "not there, turned": {f.path("none"), b}, "neither": {b, f.file("text", []byte("text"))},
	} {
		if _, stderr, code := line(t, append([]string{"snapshot", "diff"}, args...)...); code != exitConfig || stderr == "" {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}
