package boltdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recoverd/recoverd/recovery/catalog/catalogtest"
	"github.com/recoverd/recoverd/recovery/catalog/snapshot"
)

// victimEnv tells the test program to restore "file into path", and to kill
// itself at the n-th step: "file|path|n".
const victimEnv = "RECOVERD_TEST_BOLT_VICTIM"

func victim() int {
	args := strings.Split(os.Getenv(victimEnv), "|")
	at, err := strconv.Atoi(args[2])
	if err != nil {
		return 2
	}
	r, err := snapshot.Open(args[0])
	if err != nil {
		return 2
	}
	step := func(name string) {
		fmt.Println(name)
		if at--; at == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {} // it is on its way
		}
	}
	if _, err := Restore(context.Background(), r, args[1], Config{step: step}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// restoreAndDie restores in another process that is killed at a step, and
// returns the steps that it made and whether it was killed.
func restoreAndDie(t testing.TB, file, path string, at int) (steps []string, killed bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", victimEnv, file, path, at))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	killed = errors.As(err, &exit) && !exit.Exited()
	if err != nil && !killed {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return strings.Fields(string(out)), killed
}

// TestDataWipedAndPositionKept kills a restore at every step. What path then
// holds is all of the old state or all of the new one, its position, its digest
// and its rows of one and the same; the next restore begins again and finishes.
//
// Hazards 58, 59: there is no second store that a position could be kept in, and
// the switch is one rename. Hazards 49, 50: what a killed restore left is in
// nobody's way, its lock included, and is removed.
func TestDataWipedAndPositionKept(t *testing.T) {
	dir := t.TempDir()
	old, next := catalogtest.RandomTables(1, 600), catalogtest.RandomTables(2, 3000)
	next.Head.Position++
	file := filepath.Join(dir, "next.rsnap")
	next.Write(t, file)
	wantOld, wantNext := asSnapshot(t, old), asSnapshot(t, next)
	left := 0
	var seen []string
	for at := 1; ; at++ {
		path := filepath.Join(dir, strconv.Itoa(at), "catalog.bolt")
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mustRestore(t, old, path, Config{})
		steps, killed := restoreAndDie(t, file, path, at)
		seen = append(seen, steps[len(steps)-1])
		if _, err := os.Stat(draftName(path)); err == nil {
			left++
		}
		r := openReader(t, path)
		if err := r.Verify(t.Context()); err != nil {
			t.Fatalf("killed when %v: %v", steps, err)
		}
		found := asSnapshot(t, r)
		renamed := slices.Contains(steps, stepRenamed)
		if want := map[bool][]byte{false: wantOld, true: wantNext}[renamed]; !bytes.Equal(want, found) {
			t.Fatalf("killed when %v: the file holds %v", steps, r.Bound())
		}
		mustRestore(t, next, path, Config{})
		if !bytes.Equal(wantNext, asSnapshot(t, openReader(t, path))) {
			t.Errorf("killed when %v: restored again, it is another state", steps)
		}
		nothingLeft(t, path)
		if !killed {
			break
		}
	}
	for _, step := range []string{stepPrepared, stepLoading, stepLoaded, stepProven, stepRenamed} {
		if !slices.Contains(seen, step) {
			t.Errorf("no restore was killed when %s", step)
		}
	}
	if left == 0 {
		t.Error("no killed restore left anything")
	}
}

// TestTheLock: two restores of one file at once; the second says so, and touches
// nothing. Hazards 50, 89.
func TestTheLock(t *testing.T) {
	state := catalogtest.RandomTables(1, 200)
	path := filepath.Join(t.TempDir(), "catalog.bolt")
	var once sync.Once
	tried := 0
	step := func(step string) {
		once.Do(func() {
			tried++
			if _, err := Restore(t.Context(), catalogtest.RandomTables(2, 10), path, Config{}); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), path) {
				t.Errorf("a second restore: %v", err)
			}
		})
	}
	mustRestore(t, state, path, Config{step: step})
	if tried != 1 {
		t.Error("no second restore was tried")
	}
	if got := openReader(t, path); !bytes.Equal(asSnapshot(t, state), asSnapshot(t, got)) {
		t.Errorf("the file holds %v", got.Bound())
	}
}

// recorder is a disk that says what it was asked to do, and fails where it is
// told to.
type recorder struct {
	realDisk
	did  []string
	fail string
}

var errDisk = errors.New("input/output error")

func (r *recorder) did1(what string) error {
	r.did = append(r.did, what)
	if what == r.fail {
		return errDisk
	}
	return nil
}

func (r *recorder) sync(f *os.File) error {
	return errors.Join(r.did1("flush the bytes"), r.realDisk.sync(f))
}

func (r *recorder) rename(from, to string) error {
	if err := r.did1("rename"); err != nil {
		return err
	}
	return r.realDisk.rename(from, to)
}

func (r *recorder) syncDir(dir string) error {
	return errors.Join(r.did1("flush the directory"), r.realDisk.syncDir(dir))
}

// The bytes are durable before they have the name, and the
// name before Restore returns; a step that fails ends the restore with what was
// there still there. Hazards 45 and 46.
func TestFileMadeWithoutADirectoryFsync(t *testing.T) {
	state := catalogtest.RandomTables(1, 50)
	order := []string{"flush the bytes", "rename", "flush the directory"}
	good := &recorder{}
	path := restored(t, state, Config{disk: good})
	if !slices.Equal(good.did, order) {
		t.Errorf("it did %q", good.did)
	}
	before := readFile(t, path)
	for i, fail := range order {
		bad := &recorder{fail: fail}
		_, err := Restore(t.Context(), catalogtest.RandomTables(2, 50), path, Config{disk: bad})
		if !errors.Is(err, errDisk) || !slices.Equal(bad.did, order[:i+1]) {
			t.Errorf("%s fails: it did %q, error %v", fail, bad.did, err)
		}
		if replaced := !bytes.Equal(before, readFile(t, path)); replaced != (i == 2) {
			t.Errorf("%s fails: the file was replaced: %v", fail, replaced)
		}
		nothingLeft(t, path)
	}
}

// TestAFullDisk: a restore that does not fit says so, leaves the old file
// serving and nothing else, and goes on when there is room. Hazard 51.
func TestAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a file system")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("no mounts here: %s", out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	old, next := catalogtest.RandomTables(1, 1000), catalogtest.RandomTables(2, 6000)
	path := filepath.Join(dir, "catalog.bolt")
	mustRestore(t, old, path, Config{})
	if _, err := Restore(t.Context(), next, path, Config{}); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
		t.Errorf("a full disk: %v", err)
	}
	nothingLeft(t, path)
	if !bytes.Equal(asSnapshot(t, old), asSnapshot(t, openReader(t, path))) {
		t.Error("the old state is gone")
	}
	if out, err := exec.Command("mount", "-o", "remount,size=32m", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mustRestore(t, next, path, Config{})
	if !bytes.Equal(asSnapshot(t, next), asSnapshot(t, openReader(t, path))) {
		t.Error("with room again, it is another state")
	}
}
