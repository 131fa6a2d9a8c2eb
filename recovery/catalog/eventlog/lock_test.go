package eventlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Hazard 89.
func TestTwoFirstStarters(t *testing.T) {
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	var group sync.WaitGroup
	catalogs, errs := make([]*Catalog, 8), make([]error, 8)
	for i := range catalogs {
		group.Go(func() { catalogs[i], errs[i] = Open(t.Context(), cfg) })
	}
	group.Wait()
	var winner *Catalog
	for i, c := range catalogs {
		switch {
		case c != nil && winner != nil:
			t.Fatal("two of them won")
		case c != nil:
			winner = c
		case !errors.Is(errs[i], ErrLocked):
			t.Error(errs[i])
		}
	}
	apply(t, winner, historyEvents(1, 20))
	if _, err := Seed(t.Context(), cfg, "x"); err == nil {
		t.Error("seeded what is in use")
	}
	if _, err := RestoreTo(t.Context(), cfg, 10); !errors.Is(err, ErrLocked) {
		t.Errorf("restored what is in use: %v", err)
	}
	must(t, winner.Close())
	agrees(t, open(t, cfg), modelAt(1, 20))
}

// Hazard 50: a process that is killed leaves nothing that stops the next, and
// what it had applied is there.
func TestLockOfAKilledProcess(t *testing.T) {
	cfg := quiet(filepath.Join(tempDir(t), "catalog"))
	cmd := exec.Command(os.Args[0], "-test.run=TestHelperHoldsTheLock")
	cmd.Env = append(os.Environ(), "EVENTLOG_TEST_DIR="+cfg.Dir)
	out, err := cmd.StdoutPipe()
	must(t, err)
	_, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "applied\n" {
		t.Fatal(line, err)
	}
	cfg.LockTimeout = time.Millisecond
	if _, err := Open(t.Context(), cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("while the other lives: %v", err)
	}
	must(t, cmd.Process.Kill())
	cmd.Wait() // it was killed
	c := open(t, cfg)
	agrees(t, c, modelAt(2, 300))
	if o := c.Opened(); o.Damage != nil || o.Rebuilt || o.Torn != 0 {
		t.Errorf("%+v", o)
	}
}

func TestHelperHoldsTheLock(t *testing.T) {
	dir := os.Getenv("EVENTLOG_TEST_DIR")
	if dir == "" {
		t.Skip("run by TestLockOfAKilledProcess")
	}
	c, err := Open(context.Background(), quiet(dir))
	must(t, err)
	defer c.Close() // never reached
	apply(t, c, historyEvents(2, 300))
	fmt.Println("applied")
	io.Copy(io.Discard, os.Stdin) // until it is killed
}
