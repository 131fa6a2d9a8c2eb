package fs_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/recoverd/recoverd/syncer/store"
	"github.com/recoverd/recoverd/syncer/store/fs"
)

// Hazard 50.
func TestLock(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	s := openStore(t, fs.Config{Root: root}, request(1))
	if _, err := fs.Open(fs.Config{Root: root}); !errors.Is(err, fs.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
	link := root + ".link"
	check(t, os.Symlink(root, link))
	if _, err := fs.Open(fs.Config{Root: link}); !errors.Is(err, fs.ErrLocked) {
		t.Errorf("a second process by another path: %v", err)
	}
	check(t, s.Close())
	openStore(t, fs.Config{Root: link}, request(1))
}

func TestLockOfAnEmptyRoot(t *testing.T) {
	root := t.TempDir()
	s, err := fs.Open(fs.Config{Root: root})
	check(t, err)
	defer s.Close()
	if _, err := fs.Open(fs.Config{Root: root}); !errors.Is(err, fs.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
}

// Hazard 89: two processes find no root, both make it; one gets it.
func TestTwoFirstStarters(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	const n = 8
	var stores [n]*fs.Store
	for i := range stores {
		var err error
		stores[i], err = fs.Open(fs.Config{Root: root, Create: true})
		check(t, err)
		defer stores[i].Close()
	}
	var errs [n]error
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { _, errs[i] = stores[i].Prepare(t.Context(), request(2)) })
	}
	wg.Wait()
	winners := 0
	for _, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, fs.ErrLocked):
			t.Error(err)
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d have the store", winners, n)
	}
}

// While a daemon waits for a disk, the command that accepts the empty store gets
// the lock; and the daemon goes on afterwards.
func TestAcceptWhileWaiting(t *testing.T) {
	root := t.TempDir()
	daemon, err := fs.Open(fs.Config{Root: root, Create: true})
	check(t, err)
	defer daemon.Close()
	req := request(2)
	req.Identity, req.Claimed, req.Settled = "of a lost disk", req.Owned, 7
	if _, err := daemon.Prepare(t.Context(), req); !errors.Is(err, store.ErrEmpty) {
		t.Fatalf("an empty store: %v", err)
	}
	command, err := fs.Open(fs.Config{Root: root})
	check(t, err)
	accepted, err := command.Accept(t.Context(), req)
	check(t, err)
	if _, err := daemon.Prepare(t.Context(), req); !errors.Is(err, fs.ErrLocked) {
		t.Errorf("while the command has it: %v", err)
	}
	check(t, command.Close())
	report, err := daemon.Prepare(t.Context(), req)
	check(t, err)
	if report.Identity != accepted.Identity {
		t.Errorf("accepted %s, found %s", accepted.Identity, report.Identity)
	}
}

// dieIn names the environment variable with the root in which a process of this
// test is to die.
const dieIn = "RECOVERD_TEST_DIE_IN"

// dieWriting has the store's lock and a draft when it is killed.
func dieWriting(root string) {
	s, err := fs.Open(fs.Named(fs.Config{Root: root, Create: true}))
	if err == nil {
		_, err = s.Prepare(context.Background(), request(1))
	}
	if err == nil {
		_, err = s.Create(context.Background(), pieceOf([]byte("x"), 0), 1)
	}
	if err == nil {
		err = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	panic(err)
}

// Hazard 50: what SIGKILL leaves behind does not stop the next start; and hazard
// 49: it does not pile up.
func TestKilledWhileWriting(t *testing.T) {
	root := filepath.Join(t.TempDir(), "store")
	left := func() int {
		names, err := filepath.Glob(filepath.Join(root, "0", ".tmp", "*"))
		check(t, err)
		return len(names)
	}
	for range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), dieIn+"="+root)
		var died *exec.ExitError
		if err := child.Run(); !errors.As(err, &died) || died.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process ended otherwise: %v", err)
		}
		if n := left(); n != 1 {
			t.Errorf("%d temporary files are left", n)
		}
	}
	openStore(t, fs.Config{Root: root}, request(1))
	if n := left(); n != 0 {
		t.Errorf("%d temporary files are left after the next start", n)
	}
}
