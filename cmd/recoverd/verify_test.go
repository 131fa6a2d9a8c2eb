package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recoverd/recoverd/recovery"
	"github.com/recoverd/recoverd/shards"
	"github.com/recoverd/recoverd/syncer/audit"
)

// verify returns the arguments of `verify` for the node's store.
func (f *fleet) verify(more ...string) []string {
	return append([]string{
		"verify", "--store", f.path("node"), "--catalog", f.catalog, "--ownership", f.path("ownership.yaml"), "-o", "json",
	}, more...)
}

// recovered is a fleet whose node has everything.
func recovered(t testing.TB, n, maxSize int) *fleet {
	t.Helper()
	f := newFleet(t, n, maxSize)
	must(t, f.run("--exit-when-complete")...)
	return f
}

// found reads the JSON of a verification: the kind of each finding by its path (or
// its error), and the summary.
func found(t testing.TB, stdout string) (map[string]audit.Kind, verifySummary) {
	t.Helper()
	findings := map[string]audit.Kind{}
	var sum *verifySummary
	for line := range strings.Lines(stdout) {
		var entry struct {
			findingView
			Summary *verifySummary `json:"summary"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch {
		case entry.Summary != nil:
			sum = entry.Summary
		case entry.Path != "":
			findings[entry.Path] = entry.Kind
		default:
			findings[entry.Err] = entry.Kind
		}
	}
	if sum == nil {
		t.Fatalf("there is no summary:\n%s", stdout)
	}
	return findings, *sum
}

// check verifies the node's store and compares what is found.
func (f *fleet) check(want map[string]audit.Kind, more ...string) verifySummary {
	f.t.Helper()
	stdout, stderr, code := invoke(f.t, f.verify(more...)...)
	wantCode := exitOK
	if len(want) > 0 {
		wantCode = exitIncomplete
	}
	if code != wantCode {
		f.t.Fatalf("exit code %d, want %d\n%s%s", code, wantCode, stdout, stderr)
	}
	got, sum := found(f.t, stdout)
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("findings (-want +got):\n%s", diff)
	}
	return sum
}

// files lists the paths of the node's pieces.
func (f *fleet) files() (paths []string) {
	f.t.Helper()
	for name := range pieces(f.t, f.path("node")) {
		paths = append(paths, filepath.Join(f.path("node"), name))
	}
	slices.Sort(paths)
	return paths
}

// damage spoils one piece in one of several ways, and says what that is.
func damage(t testing.TB, path string, random *rand.Rand) audit.Kind {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := make([]byte, len(data))
	for i := range other {
		other[i] = byte(random.Uint32())
	}
	kind, err := rotters[random.IntN(len(rotters))].do(rot{random, path, data, other})
	if err != nil {
		t.Fatal(err)
	}
	return kind
}

// Whatever is done to stored blobs is found, each as what it is, and nothing else
// is. The cursor claims them all.
func TestVerifyFindsEveryCorruption(t *testing.T) {
	f := recovered(t, 300, 600)
	if sum := f.check(map[string]audit.Kind{}); sum.Blobs != 300 || !sum.Good {
		t.Errorf("of a good store: %s", toJSON(sum))
	}
	random := rand.New(rand.NewPCG(7, 7))
	paths := f.files()
	random.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	want, kinds := map[string]audit.Kind{}, map[audit.Kind]uint64{}
	for _, path := range paths[:200] {
		want[path] = damage(t, path, random)
		kinds[want[path]]++
	}
	sum := f.check(want, "--concurrency", "7")
	if diff := cmp.Diff(kinds, sum.Wrong); diff != "" || sum.Good || sum.Blobs != 300 {
		t.Errorf("the summary is %s\n%s", toJSON(sum), diff)
	}
	for _, kind := range audit.Wrong() {
		if kinds[kind] == 0 && kind != audit.Unreadable {
			t.Errorf("nothing was made %s", kind)
		}
	}
}

// A flipped byte in a stored blob is found, called bit rot, repaired and verified
// again, and so is a deleted one; the cursor goes back for them, and forward again.
// Hazard 92.
func TestVerifyRepairBelowTheCursor(t *testing.T) {
	f := newFleet(t, 100, 600)
	state := []string{"--state-dir", f.path("state")}
	p := start(t, f.run()...)
	complete := func() bool {
		doc, ok := status(t, f.path("state"))
		return ok && doc.Phase == recovery.PhaseComplete.String() && doc.Unsettled.Total == 0 && doc.CursorDurable != nil && doc.CursorDurable.End()
	}
	until(t, "everything is there", complete)
	paths := f.files()
	rotten, gone, short := paths[17], paths[42], paths[77]
	data, err := os.ReadFile(rotten)
	if err != nil {
		t.Fatal(err)
	}
	data[5] ^= 0x10
	if err := errorsOf(os.WriteFile(rotten, data, 0o644), os.Remove(gone), os.Truncate(short, 3)); err != nil {
		t.Fatal(err)
	}
	want := map[string]audit.Kind{rotten: audit.Rotten, gone: audit.Missing, short: audit.WrongSize}
	f.check(want, state...)

	f.source.newLife(0) // the peer hangs: the daemon cannot be quicker than this looks
	sum := f.check(want, append(state, "--repair")...)
	if sum.Repair == nil || sum.Repair.Queued != 3 {
		t.Errorf("the daemon was handed %s", toJSON(sum.Repair))
	}
	until(t, "the cursor is back below the lowest of them, on the disk", func() bool {
		doc, ok := status(t, f.path("state"))
		lowest := recovery.MarkEnd()
		for path := range want {
			id, err := recovery.ParseBlobID(filepath.Base(path))
			if err != nil {
				t.Fatal(err)
			}
			if m := recovery.MarkAt(id); m.Compare(lowest) < 0 {
				lowest = m
			}
		}
		return ok && doc.Unsettled.Total == 3 && doc.CursorDurable != nil && doc.CursorDurable.Compare(lowest) < 0
	})
	f.source.letGo()
	until(t, "they were fetched", complete)
	f.check(map[string]audit.Kind{}, append(state, "--repair")...)
	f.sameStore()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}

	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := invoke(t, f.verify(append(state, "--repair")...)...)
	if code != exitTryAgain || !strings.Contains(stderr, "recoverd run") {
		t.Errorf("without a daemon: exit code %d, %s", code, stderr)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A verification that is killed goes on where it was, and what it found before is in
// its result; with other facts it begins anew.
func TestVerifyGoesOnAfterAKill(t *testing.T) {
	f := recovered(t, 400, 10_000)
	paths := f.files()
	want := map[string]audit.Kind{}
	random := rand.New(rand.NewPCG(9, 9))
	for i := 0; i < len(paths); i += 20 {
		want[paths[i]] = damage(t, paths[i], random)
	}
	kept := filepath.Join(f.path("state"), verifyStateFile)
	mark := func() (s verifyState) {
		data, err := os.ReadFile(kept)
		if os.IsNotExist(err) {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		state, err := decodeVerifyState(data)
		if err != nil {
			t.Fatal(err)
		}
		return *state
	}
	slow := f.verify("--state-dir", f.path("state"), "--bwlimit", "100kB", "--concurrency", "1")
	last := recovery.Mark{}
	for range 2 {
		p := start(t, slow...)
		until(t, "it has saved a later mark", func() bool { return mark().Mark.Compare(last) > 0 || p.hasEnded() })
		if p.hasEnded() {
			t.Fatalf("it was not slow enough: %s", p.stderr.String())
		}
		p.kill()
		last = mark().Mark
	}
	before := mark().Sums.Blobs
	stdout, stderr, code := invoke(t, f.verify("--state-dir", f.path("state"))...)
	got, sum := found(t, stdout)
	if code != exitIncomplete || before == 0 || sum.Blobs != 400 || !strings.Contains(stderr, "going on after") {
		t.Errorf("exit code %d, %d blobs before the kill, then %s\n%s", code, before, toJSON(sum), stderr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if s := mark(); s.Version != 0 {
		t.Errorf("its state is still there: %s", toJSON(s))
	}

	p := start(t, slow...)
	until(t, "it has saved", func() bool { return mark().Sums.Blobs > 0 })
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitTryAgain || !strings.Contains(p.stderr.String(), "goes on from there") {
		t.Errorf("told to stop: exit code %d, %s", code, p.stderr.String())
	}
	f.own("epoch: 2\ntotal_shards: 4\nowned: \"0-3\"\n")
	_, stderr, _ = invoke(t, f.verify("--state-dir", f.path("state"))...)
	if !strings.Contains(stderr, "beginning anew: the ownership has changed") {
		t.Errorf("of another ownership: %s", stderr)
	}
}

// A kept mark that says too much would be a store that nobody looked at.
func TestVerifyDoesNotBelieveADamagedMark(t *testing.T) {
	f := recovered(t, 40, 600)
	kept := f.path("kept.json")
	good, err := encodeVerifyState(&verifyState{Version: verifyVersion, Of: verifyKey{Placement: shards.Hashed}, Mark: recovery.MarkAt(f.someBlob(30)), Sums: verifySums{Wrong: map[audit.Kind]uint64{}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeVerifyState(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if _, err := decodeVerifyState(bad); err == nil {
			t.Fatalf("byte %d may be anything", i)
		}
		if _, err := decodeVerifyState(good[:i]); err == nil {
			t.Fatalf("%d bytes of %d suffice", i, len(good))
		}
	}
	for _, data := range [][]byte{[]byte(`{"version":1,"mark":"end"}`), good[:len(good)/2], {}} {
		if err := os.WriteFile(kept, data, 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := invoke(t, f.verify("--resume", kept)...)
		if _, sum := found(t, stdout); code != exitOK || sum.Blobs != 40 || !strings.Contains(stderr, "beginning anew") {
			t.Errorf("exit code %d, %s, %s", code, toJSON(sum), stderr)
		}
	}
}
