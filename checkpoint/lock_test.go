package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/recoverd/recoverd/checkpoint/internal/recordtest"
)

// Hazard 89.
func TestTwoFirstStarters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	var wg sync.WaitGroup
	stores, errs := make([]*Store, 8), make([]error, 8)
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = Open(Config{Dir: dir, LockTimeout: time.Millisecond}) })
	}
	wg.Wait()
	var winner *Store
	for i, s := range stores {
		switch {
		case s != nil && winner != nil:
			t.Fatal("two of them won")
		case s != nil:
			winner = s
		case !errors.Is(errs[i], ErrLocked):
			t.Error(errs[i])
		}
	}
	must(t, winner.Reset(recordtest.Full()))
	must(t, winner.Close())
	s := mustOpen(t, dir)
	if got, _, err := s.Load(); err != nil || recordtest.Diff(recordtest.Full(), got) != "" {
		t.Error("the winner's record is not there", err)
	}
	must(t, s.Close())
}

// Hazard 50: a process that is killed leaves nothing that stops the next, and
// what it was acknowledged is there.
func TestLockOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=TestHelperHoldsTheLock")
	cmd.Env = append(os.Environ(), "CHECKPOINT_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	_, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "saved\n" {
		t.Fatal(line, err)
	}
	if _, err := Open(Config{Dir: dir, LockTimeout: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Errorf("while the other lives: %v", err)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait() // it was killed
	s := mustOpen(t, dir)
	got, report, err := s.Load()
	if diff := recordtest.Diff(recordtest.Full(), got); err != nil || diff != "" || report.Note() != "" {
		t.Errorf("%v, %+v\n%s", err, report, diff)
	}
	must(t, s.Close())
}

func TestHelperHoldsTheLock(t *testing.T) {
	dir := os.Getenv("CHECKPOINT_TEST_DIR")
	if dir == "" {
		t.Skip("run by TestLockOfAKilledProcess")
	}
	s := mustOpen(t, dir)
	defer s.Close() // never reached
	must(t, s.Reset(recordtest.Full()))
	fmt.Println("saved")
	io.Copy(io.Discard, os.Stdin) // until it is killed
}
