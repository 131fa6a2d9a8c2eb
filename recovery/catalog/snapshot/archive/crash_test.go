package archive

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// hooked tells every step before it is made; an error is the step's.
type hooked struct {
	disk
	before func(step string) error
}

func (h hooked) Mkdir(path string) error { return h.step("mkdir", path, h.disk.Mkdir) }

func (h hooked) Rename(from, to string) error {
	return h.step("rename", to, func(string) error { return h.disk.Rename(from, to) })
}

func (h hooked) Remove(path string) error { return h.step("remove", path, h.disk.Remove) }

func (h hooked) Sync(path string) error { return h.step("sync", path, h.disk.Sync) }

func (h hooked) step(verb, path string, do func(string) error) error {
	if err := h.before(verb + " " + filepath.Base(path)); err != nil {
		return err
	}
	return do(path)
}

// failing fails one step of many, and counts them.
type failing struct {
	steps, failAt int
	failed        string
}

func (f *failing) before(step string) error {
	f.steps++
	if f.steps == f.failAt {
		f.failed = step
		return errTest
	}
	return nil
}

// The order of what others see: names of chunks but the first, durably, then
// the first, durably; and the other way round.
func TestOrderOfPublication(t *testing.T) {
	a := newArchive(t, "")
	var steps []string
	note := func(step string) error {
		verb, name, _ := strings.Cut(step, " ")
		if file, err := ParseFile(name); err == nil {
			name = fmt.Sprintf("full-%d %d", file.Position, file.Chunk)
		}
		steps = append(steps, verb+" "+strings.ReplaceAll(name, filepath.Base(a.Dir()), "DIR"))
		return nil
	}
	a.disk = hooked{osDisk{}, note}
	e := create(t, a, state{position: chunkBlobs}, chunkMax)
	if e.Chunks != 4 {
		t.Fatalf("%d chunks", e.Chunks)
	}
	want := `mkdir .create.rsnap-tmp
rename full-4500 4
rename full-4500 3
rename full-4500 2
sync DIR
rename full-4500 1
sync DIR
remove .create.rsnap-tmp`
	if got := strings.Join(steps, "\n"); got != want {
		t.Errorf("creation:\n%s\nwant\n%s", got, want)
	}
	create(t, a, state{position: chunkBlobs + 1}, 0)
	steps = nil
	if _, err := a.Prune(t.Context(), Policy{Fulls: 1}); err != nil {
		t.Fatal(err)
	}
	want = `sync full-4501 0
sync DIR
remove full-4500 1
sync DIR
remove full-4500 2
remove full-4500 3
remove full-4500 4
sync DIR`
	if got := strings.Join(steps, "\n"); got != want {
		t.Errorf("pruning:\n%s\nwant\n%s", got, want)
	}
}

// A step that fails fails the creation: what was there stays, nothing half is
// listed, and the next attempt succeeds. Hazards 46 and 47: flushing counts.
func TestEveryStepOfCreationMayFail(t *testing.T) {
	old := newArchive(t, "")
	create(t, old, state{position: 10}, 0)
	for _, chunk := range []int64{0, chunkMax} {
		for failAt, done := 1, false; !done; failAt++ {
			a := copied(t, old)
			f := &failing{failAt: failAt}
			a.disk = hooked{osDisk{}, f.before}
			_, err := a.CreateFull(t.Context(), state{position: chunkBlobs}, CreateOptions{MaxChunk: chunk})
			done = f.steps < failAt
			afterwards := strings.HasPrefix(f.failed, "remove") // of the draft: nobody's concern
			if (err == nil) != (done || afterwards) || err != nil && !errors.Is(err, errTest) {
				t.Fatalf("step %d: %v", failAt, err)
			}
			if all := names(list(t, a).Entries); err != nil && all != "full-10" {
				t.Fatalf("step %d, %s: there are %s after an error", failAt, f.failed, all)
			}
			a.disk = osDisk{}
			afterCrash(t, a, "full-10", chunk)
		}
	}
}

// afterCrash checks what an attempt at the state of chunkBlobs left, and that
// the next start finishes or starts again.
func afterCrash(t *testing.T, a *Archive, before string, chunk int64) {
	t.Helper()
	for _, e := range list(t, a).Entries {
		if e.Status != Complete {
			t.Fatalf("%v is shown as %s: %v", e.Name, e.Status, e.Err)
		}
	}
	if _, err := a.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := list(t, a)
	if len(l.Leftovers) > 0 || len(inDir(t, a)) > len(l.Entries)-1+max(1, l.Entries[len(l.Entries)-1].Chunks) {
		t.Fatalf("%q is left of %q", l.Leftovers, inDir(t, a))
	}
	if all := names(l.Entries); all != before && !strings.HasPrefix(all, before+" full-4500") {
		t.Fatalf("there are %s", all)
	}
	e := create(t, a, state{position: chunkBlobs}, chunk)
	verify(t, a, before+" "+names([]Entry{e}))
}

// A step that fails fails the pruning; what is kept is there.
func TestEveryStepOfPruningMayFail(t *testing.T) {
	old := prunable(t)
	for failAt, done := 1, false; !done; failAt++ {
		a := copied(t, old)
		f := &failing{failAt: failAt}
		a.disk = hooked{osDisk{}, f.before}
		_, err := a.Prune(t.Context(), Policy{Fulls: 1})
		if done = f.steps < failAt; done != (err == nil) {
			t.Fatalf("step %d: %v", failAt, err)
		}
		a.disk = osDisk{}
		afterPruning(t, a)
	}
}

// copied is an archive with the same files.
func copied(t testing.TB, from *Archive) *Archive {
	t.Helper()
	a := newArchive(t, "")
	for _, name := range inDir(t, from) {
		write(t, a, name, read(t, from, name))
	}
	return a
}

// prunable has a set of chunks and an incremental to be removed.
func prunable(t testing.TB) *Archive {
	a := newArchive(t, "")
	e := create(t, a, state{position: chunkBlobs}, chunkMax)
	createOver(t, a, e, state{position: chunkBlobs + 1})
	create(t, a, state{position: chunkBlobs + 2}, 0)
	return a
}

func afterPruning(t *testing.T, a *Archive) {
	t.Helper()
	for _, e := range list(t, a).Entries {
		if e.Status != Complete {
			t.Fatalf("%v is shown as %s: %v", e.Name, e.Status, e.Err)
		}
	}
	if p, err := MakePlan(list(t, a).Entries, Range{}, Latest); err != nil || p.Position != chunkBlobs+2 {
		t.Fatalf("the newest is %+v, %v", p, err)
	}
	if _, err := a.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Prune(t.Context(), Policy{Fulls: 1}); err != nil {
		t.Fatal(err)
	}
	verify(t, a, "full-4502")
	if files := inDir(t, a); len(files) != 1 {
		t.Fatalf("%q is left", files)
	}
}

// victim, if set, makes this process create or prune in a directory and kill
// itself at a step: "create DIR CHUNK STEP" or "prune DIR 0 STEP".
const victim = "RECOVERD_ARCHIVE_VICTIM"

func TestVictim(t *testing.T) {
	words := strings.Fields(os.Getenv(victim))
	if len(words) != 4 {
		t.Skip("only to be killed")
	}
	chunk, _ := strconv.ParseInt(words[2], 10, 64)
	killAt, _ := strconv.Atoi(words[3])
	steps := 0
	die := func() error {
		if steps++; steps == killAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it arrives
		}
		return nil
	}
	a := newArchive(t, words[1])
	a.disk = hooked{osDisk{}, func(string) error { return die() }}
	if words[0] == "prune" {
		_, err := a.Prune(t.Context(), Policy{Fulls: 1})
		fmt.Println("unharmed", err)
		return
	}
	rows := 0
	s := state{position: chunkBlobs, rows: &rows, onRow: func(row int) error {
		if row%2000 == 1999 {
			return die()
		}
		return nil
	}}
	_, err := a.CreateFull(t.Context(), s, CreateOptions{MaxChunk: chunk})
	fmt.Println("unharmed", err)
}

// kill runs a victim, and reports whether it was killed.
func kill(t *testing.T, task, dir string, chunk int64, killAt int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d", victim, task, dir, chunk, killAt))
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "unharmed <nil>") {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%v: %s", err, out)
	}
	return true
}

// A kill at every step of a creation: never is half of it listed, and the next
// start finishes or starts again.
//
// Hazards 49 and 50: drafts of the killed are no snapshots, and do not pile up;
// their locks end with them.
func TestKillAtEveryStepOfCreation(t *testing.T) {
	killed := 0
	old := newArchive(t, "")
	create(t, old, state{position: 10}, 0)
	for _, chunk := range []int64{0, chunkMax} {
		for at := 1; ; at++ {
			a := copied(t, old)
			if !kill(t, "create", a.Dir(), chunk, at) {
				break
			}
			killed++
			afterCrash(t, a, "full-10", chunk)
		}
	}
	if killed < 10 {
		t.Errorf("killed only %d times", killed)
	}
}

func TestKillAtEveryStepOfPruning(t *testing.T) {
	killed, old := 0, prunable(t)
	for at := 1; ; at++ {
		a := copied(t, old)
		if !kill(t, "prune", a.Dir(), 0, at) {
			break
		}
		killed++
		afterPruning(t, a)
	}
	if killed < 7 {
		t.Errorf("killed only %d times", killed)
	}
}

// Hazard 49: leftovers of killed processes are neither served nor counted, do
// not pile up, and are not cleaned while another process uses them.
func TestLeftovers(t *testing.T) {
	a, other := newArchive(t, ""), (*Archive)(nil)
	other = newArchive(t, a.Dir())
	create(t, a, state{position: 10}, 0)
	leave := func() {
		write(t, a, ".full-11.X.rsnap-tmp", []byte("half"))
		if err := os.MkdirAll(a.path(createDraft), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, a, createDraft+"/full-11-0000000000000000.rsnap", []byte("half"))
		write(t, a, "full-11-0000000000000000.2of3.rsnap", []byte("half"))
	}
	leave()
	verify(t, a, "full-10")
	if n := len(list(t, a).Leftovers); n != 3 {
		t.Errorf("%d leftovers: %q", n, list(t, a).Leftovers)
	}
	if v, err := a.Verdicts(t.Context(), Policy{}); err != nil || verdicts(v) != "+full-10" {
		t.Errorf("%v, %v", verdicts(v), err)
	}
	removed, err := a.Clean(t.Context())
	if err != nil || len(removed) != 3 || len(inDir(t, a)) != 1 {
		t.Errorf("removed %q, %v; left %q", removed, err, inDir(t, a))
	}

	// A new attempt takes the draft of a killed one over.
	leave()
	create(t, a, state{position: 11}, 0)
	if _, err := os.Stat(a.path(createDraft)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the draft: %v", err)
	}

	// What is in use stays.
	rows := 0
	s := state{position: 12, rows: &rows, onRow: func(row int) error {
		if row == 5 {
			if _, err := other.Clean(t.Context()); err != nil {
				return err
			}
			if n := len(list(t, other).Leftovers); n != 1 {
				return fmt.Errorf("left are %q", list(t, other).Leftovers)
			}
		}
		return nil
	}}
	if _, err := a.CreateFull(t.Context(), s, CreateOptions{}); err != nil {
		t.Error(err)
	}
	verify(t, a, "full-10 full-11 full-12")
}
